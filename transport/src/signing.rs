//! Separates by purpose what keys sign, so that a signature made for one purpose never serves another.
//!
//! Whatever is signed begins with 32 bytes that name its purpose. No two purposes share them, and what follows them has
//! one length for each purpose: no two statements are the same bytes.

use bytes::Bytes;
use ed25519_dalek::{Signature, VerifyingKey};
use liferaft_platform::PublicKey;

/// The length of an Ed25519 signature, in bytes.
pub const SIGNATURE_BYTES: usize = 64;

/// What a signature is for: the first bytes of what is signed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Purpose([u8; 32]);

impl Purpose {
    /// An initiator proves its key in a handshake.
    pub(crate) const INITIATOR: Self = Self(*b"liferaft 1: handshake, initiator");
    /// A responder proves its key in a handshake.
    pub(crate) const RESPONDER: Self = Self(*b"liferaft 1: handshake, responder");
    /// The holder of an invitation proves its token in a handshake.
    pub(crate) const TOKEN: Self = Self(*b"liferaft 1: token of invitation.");
    /// A server vouches for a key.
    pub(crate) const VOUCHER: Self = Self(*b"liferaft 1: voucher for a server");
    /// A page draws from the signature by what it takes its id back at signaling servers. Nobody is shown it.
    #[allow(dead_code, reason = "only pages have no other secret")]
    pub(crate) const SIGNALING: Self = Self(*b"liferaft 1: signaling server ids");

    /// Returns the bytes to be signed: the purpose, then the parts. The parts of one purpose have fixed lengths.
    pub(crate) fn statement(self, parts: &[&[u8]]) -> Bytes {
        let mut statement = self.0.to_vec();
        parts
            .iter()
            .for_each(|part| statement.extend_from_slice(part));
        statement.into()
    }
}

/// Returns true if `signature` is the key's over `statement`. It is strict: of one statement and key, nobody can make
/// a second valid signature from a first, and keys of small order verify nothing.
pub(crate) fn verifies(
    key: &PublicKey,
    statement: &[u8],
    signature: &[u8; SIGNATURE_BYTES],
) -> bool {
    VerifyingKey::from_bytes(key.as_bytes())
        .and_then(|key| key.verify_strict(statement, &Signature::from_bytes(signature)))
        .is_ok()
}

#[cfg(test)]
mod tests {

    use super::*;
    use liferaft_platform::SortedSet;

    #[test]
    fn no_two_purposes_sign_the_same_bytes() {
        let purposes = [
            Purpose::INITIATOR,
            Purpose::RESPONDER,
            Purpose::TOKEN,
            Purpose::VOUCHER,
            Purpose::SIGNALING,
        ];

        let statements: SortedSet<_> = purposes
            .iter()
            .map(|purpose| purpose.statement(&[&[7; 64]]))
            .collect();

        assert_eq!(statements.len(), purposes.len());
    }
}
