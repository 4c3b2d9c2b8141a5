//! Lets a server be known to those who have not read yet that it was admitted.
//!
//! A leader that admits a server signs the server's key. A member that was cut off meanwhile knows neither the server
//! nor, perhaps, that leader, but one that vouched for that leader: the newcomer shows a chain of vouchers that ends in
//! a key which the member trusts.

use bytes::Bytes;
use liferaft_platform::{ClusterId, PUBLIC_KEY_BYTES, PublicKey};

use crate::signing::{Purpose, SIGNATURE_BYTES, verifies};

/// The longest chain of vouchers. It bounds what a handshake carries and how many signatures it verifies. A member that
/// missed so many admissions one upon the other needs an invitation.
pub const VOUCHERS_MAX: usize = 8;

/// What a voucher takes in a message of a handshake, in bytes: a key and a signature.
pub(crate) const VOUCHER_BYTES: usize = PUBLIC_KEY_BYTES + SIGNATURE_BYTES;

/// A server's word, signed, that a key is that of a server of the cluster.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Voucher {
    /// The key that is vouched for.
    pub subject: PublicKey,
    /// The key of the server that vouches.
    pub by: PublicKey,
    /// Its signature over [`statement`](Self::statement).
    pub signature: [u8; SIGNATURE_BYTES],
}

impl Voucher {
    /// Returns the bytes that a server signs to vouch for `subject` in `cluster`.
    #[must_use]
    pub fn statement(cluster: ClusterId, subject: &PublicKey) -> Bytes {
        Purpose::VOUCHER.statement(&[&cluster.0.to_be_bytes(), subject.as_bytes()])
    }

    /// Returns true if the signature is that of `by`, made for this cluster.
    #[must_use]
    pub fn verifies(&self, cluster: ClusterId) -> bool {
        verifies(
            &self.by,
            &Self::statement(cluster, &self.subject),
            &self.signature,
        )
    }
}

/// Returns who vouches for `subject`, nearest first: the first key for `subject` itself, each other for the one before
/// it. The chain counts as far as it holds together, and no further than [`VOUCHERS_MAX`].
#[must_use]
pub fn vouching(cluster: ClusterId, subject: PublicKey, chain: &[Voucher]) -> Vec<PublicKey> {
    let mut vouching = Vec::new();
    let mut subject = subject;
    for voucher in chain.iter().take(VOUCHERS_MAX) {
        if voucher.subject != subject || !voucher.verifies(cluster) {
            break;
        }
        vouching.push(voucher.by);
        subject = voucher.by;
    }
    vouching
}

#[cfg(test)]
mod tests {
    use ed25519_dalek::{Signer, SigningKey};

    use super::*;

    const CLUSTER: ClusterId = ClusterId(7);

    fn key(seed: u8) -> PublicKey {
        PublicKey(
            SigningKey::from_bytes(&[seed; 32])
                .verifying_key()
                .to_bytes(),
        )
    }

    fn voucher(cluster: ClusterId, subject: u8, by: u8) -> Voucher {
        let statement = Voucher::statement(cluster, &key(subject));
        Voucher {
            subject: key(subject),
            by: key(by),
            signature: SigningKey::from_bytes(&[by; 32])
                .sign(&statement)
                .to_bytes(),
        }
    }

    #[test]
    fn a_chain_names_all_who_vouch_nearest_first() {
        let chain = [voucher(CLUSTER, 1, 2), voucher(CLUSTER, 2, 3)];

        assert_eq!(vouching(CLUSTER, key(1), &chain), [key(2), key(3)]);
        assert_eq!(vouching(CLUSTER, key(1), &[]), []);
    }

    #[test]
    fn a_broken_chain_counts_up_to_the_break() {
        let gap = [voucher(CLUSTER, 1, 2), voucher(CLUSTER, 3, 4)];
        let mut forged = [voucher(CLUSTER, 1, 2), voucher(CLUSTER, 2, 3)];
        forged[1].by = key(4);

        assert_eq!(vouching(CLUSTER, key(1), &gap), [key(2)]);
        assert_eq!(vouching(CLUSTER, key(1), &forged), [key(2)]);
        assert_eq!(vouching(CLUSTER, key(5), &gap), []);
    }

    #[test]
    fn a_voucher_of_another_cluster_counts_for_nothing() {
        let chain = [voucher(ClusterId(8), 1, 2)];

        assert_eq!(vouching(CLUSTER, key(1), &chain), []);
    }

    #[test]
    fn no_chain_counts_beyond_its_longest() {
        let chain: Vec<_> = (1..=9)
            .map(|subject| voucher(CLUSTER, subject, subject + 1))
            .collect();

        let vouching = vouching(CLUSTER, key(1), &chain);

        assert_eq!(vouching.len(), VOUCHERS_MAX);
    }
}
