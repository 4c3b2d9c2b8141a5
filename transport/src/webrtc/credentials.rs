//! Makes the names and passwords that ICE wants (RFC 8445, section 5.3).
//!
//! Those of a listener follow from its certificate's fingerprint by a public rule, so that an address is all that it
//! takes to reach it. They protect nothing: they tell packets for this listener from others. The certificate is proven
//! by DTLS, and who is there by the handshake of links.

use liferaft_platform::entropy_u128;
use sha2::{Digest, Sha256};

use crate::hosts::Fingerprint;

/// Sets the digests of this rule apart from any other.
const RULE: &[u8] = b"liferaft ICE credentials 1";

/// The bytes of a digest that become the name of an end, in hexadecimal.
const UFRAG_BYTES: usize = 8;

/// The bytes of a digest that become its password: with at least 22 characters, as RFC 8445 wants it.
const PASSWORD_BYTES: usize = 16;

/// What an end shows in ICE.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Credentials {
    pub(crate) ufrag: String,
    pub(crate) password: String,
}

impl Credentials {
    /// Returns those of the listener that has a certificate.
    pub(crate) fn of_listener(fingerprint: &Fingerprint) -> Self {
        let digest = Sha256::new()
            .chain_update(RULE)
            .chain_update(fingerprint.0)
            .finalize();
        let (ufrag, rest) = digest.split_at(UFRAG_BYTES);
        Self {
            ufrag: hexadecimal(ufrag),
            password: hexadecimal(&rest[..PASSWORD_BYTES]),
        }
    }

    /// Makes those of an end that dials: others for each connection, by which a listener tells them apart.
    pub(crate) fn random() -> Self {
        Self {
            ufrag: hexadecimal(&entropy_u128().to_le_bytes()[..UFRAG_BYTES]),
            password: hexadecimal(&entropy_u128().to_le_bytes()),
        }
    }
}

fn hexadecimal(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Whoever dials, in a browser too, computes the same.
    #[test]
    fn the_rule_for_a_listener_stays_what_it_is() {
        let credentials = Credentials::of_listener(&Fingerprint([7; 32]));

        assert_eq!(credentials.ufrag, "37c026388a724958");
        assert_eq!(credentials.password, "10820f93c66f4b51a983aa8c7424d493");
    }

    #[test]
    fn credentials_are_as_long_as_ice_wants_them() {
        for credentials in [
            Credentials::of_listener(&Fingerprint([0; 32])),
            Credentials::random(),
        ] {
            assert!((4..=256).contains(&credentials.ufrag.len()));
            assert!((22..=256).contains(&credentials.password.len()));
        }
    }
}
