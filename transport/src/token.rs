//! Holds the secret half of an invitation's token, which proves that its holder was invited.
//!
//! The token is a key pair: the log carries its public half, the [`TokenKey`], and the invitation its secret half. So
//! whoever reads the log cannot join with what is in it.

use std::fmt;

use ed25519_dalek::{Signer, SigningKey};
use liferaft_platform::{PublicKey, TokenKey};
use zeroize::Zeroizing;

use crate::signing::SIGNATURE_BYTES;

/// The length of a token's secret, in bytes.
pub const TOKEN_SECRET_BYTES: usize = 32;

/// The secret half of a token: whoever holds it may join, or be a client, as the token's terms say.
///
/// It is wiped when it is dropped, and [`Debug`] shows nothing of it.
///
/// ```
/// # mod liferaft { pub use liferaft_transport as transport; }
/// use liferaft::transport::token::TokenSecret;
///
/// let token = TokenSecret::from_bytes([7; 32]);
/// assert_eq!(token.key(), TokenSecret::from_bytes(*token.as_bytes()).key());
/// ```
#[derive(Clone)]
pub struct TokenSecret(Zeroizing<[u8; TOKEN_SECRET_BYTES]>);

impl TokenSecret {
    /// Takes 32 bytes of entropy, or those of a token that was drawn before.
    #[must_use]
    pub fn from_bytes(secret: [u8; TOKEN_SECRET_BYTES]) -> Self {
        Self(Zeroizing::new(secret))
    }

    /// Returns the secret, for the invitation that carries it and for nothing else.
    #[must_use]
    pub fn as_bytes(&self) -> &[u8; TOKEN_SECRET_BYTES] {
        &self.0
    }

    /// Returns the public half, which the log carries.
    #[must_use]
    pub fn key(&self) -> TokenKey {
        TokenKey(PublicKey(self.signing_key().verifying_key().to_bytes()))
    }

    /// Signs a statement as the holder of the token.
    pub(crate) fn sign(&self, statement: &[u8]) -> [u8; SIGNATURE_BYTES] {
        self.signing_key().sign(statement).to_bytes()
    }

    fn signing_key(&self) -> SigningKey {
        SigningKey::from_bytes(&self.0)
    }
}

/// Never shows the secret.
impl fmt::Debug for TokenSecret {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("TokenSecret").finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::signing::{Purpose, verifies};

    #[test]
    fn a_token_signs_for_its_public_half() {
        let token = TokenSecret::from_bytes([7; 32]);
        let statement = Purpose::TOKEN.statement(&[b"a"]);

        let signature = token.sign(&statement);

        assert!(verifies(&token.key().0, &statement, &signature));
        assert!(!verifies(&token.key().0, b"another", &signature));
    }

    #[test]
    fn the_secret_of_a_token_is_never_shown() {
        let shown = format!("{:?}", TokenSecret::from_bytes([0xab; 32]));

        assert_eq!(shown, "TokenSecret { .. }");
    }
}
