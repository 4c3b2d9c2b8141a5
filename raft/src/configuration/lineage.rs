//! Keeps the vouchers of servers that have left, as far as those who are there rest on them.
//!
//! A member that was cut off while all whom it knew were replaced believes a newcomer by a chain of vouchers that ends
//! in a key which it knows. The links of that chain may have left in the meantime, and their vouchers stay with the
//! configuration for as long as the chain of a member goes through them.

use alloc::vec::Vec;

use super::{Configuration, Member, PublicKey, Voucher};
use crate::ids::ServerId;
use crate::sorted::SortedMap;

/// The longest chain of vouchers that counts: of what lies further back nothing is kept.
pub const VOUCHER_CHAIN_MAX: usize = 8;

/// The most vouchers of servers that have left which a configuration keeps. Beyond it chains end where they are cut. A
/// frame that claims more is refused.
pub const PAST_VOUCHERS_MAX: usize = 64;

/// Vouchers of servers that have left, by the servers' keys.
pub(super) type PastVouchers = SortedMap<PublicKey, Voucher>;

impl Configuration {
    /// What the voucher of a server that has left adds to the [weight](Self::weight), in bytes.
    pub(super) const PAST_VOUCHER_WEIGHT: u64 = Voucher::WEIGHT + 38;

    /// This configuration, which remembers these vouchers of servers that have left, by the servers' keys: those that a
    /// member's chain goes through, and at most [`PAST_VOUCHERS_MAX`] of them.
    #[must_use]
    pub fn with_past_vouchers(
        mut self,
        vouchers: impl IntoIterator<Item = (PublicKey, Voucher)>,
    ) -> Self {
        let known: PastVouchers = vouchers.into_iter().collect();
        self.past_vouchers = still_needed(&self.members, |key| known.get(&key).copied());
        self
    }

    /// Returns the vouchers of servers that have left, by ascending key.
    pub fn past_vouchers(&self) -> impl ExactSizeIterator<Item = (PublicKey, Voucher)> {
        self.past_vouchers
            .iter()
            .map(|(key, voucher)| (*key, *voucher))
    }

    /// Returns the voucher of a server that has left, if it is remembered.
    pub(crate) fn past_voucher(&self, id: ServerId) -> Option<Voucher> {
        let mut past = self.past_vouchers.iter();
        let found = past.find(|(key, _)| key.server_id() == id);
        found.map(|(_, voucher)| *voucher)
    }

    /// Returns who vouches for the server with this key, nearest first, each voucher with its subject: at most
    /// [`VOUCHER_CHAIN_MAX`].
    #[must_use]
    pub fn vouchers_of(&self, key: PublicKey) -> Vec<(PublicKey, Voucher)> {
        let mut chain = Vec::new();
        let mut subject = key;
        while chain.len() < VOUCHER_CHAIN_MAX
            && let Some(voucher) = self.voucher_of(subject)
        {
            chain.push((subject, voucher));
            subject = voucher.by;
        }
        chain
    }

    pub(super) fn voucher_of(&self, key: PublicKey) -> Option<Voucher> {
        let member = self.members.get(&key.server_id());
        let current = member.and_then(|member| member.voucher);
        current.or_else(|| self.past_vouchers.get(&key).copied())
    }
}

/// Returns the vouchers that the chains of these members go through apart from their own, as far as they are known.
pub(super) fn still_needed(
    members: &SortedMap<ServerId, Member>,
    known: impl Fn(PublicKey) -> Option<Voucher>,
) -> PastVouchers {
    let mut needed = PastVouchers::new();
    for first in members.values().filter_map(|member| member.voucher) {
        let mut subject = first.by;
        for _ in 1..VOUCHER_CHAIN_MAX {
            let member = members.get(&subject.server_id());
            if let Some(voucher) = member.and_then(|member| member.voucher) {
                subject = voucher.by;
                continue;
            }
            let Some(voucher) = known(subject) else {
                break;
            };
            if needed.len() >= PAST_VOUCHERS_MAX && !needed.contains_key(&subject) {
                break;
            }
            needed.insert(subject, voucher);
            subject = voucher.by;
        }
    }
    needed
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::configuration::{Description, SIGNATURE_BYTES};

    const fn key(number: u8) -> PublicKey {
        PublicKey([number; 32])
    }

    fn voucher(by: u8) -> Voucher {
        Voucher {
            by: key(by),
            signature: [by; SIGNATURE_BYTES],
        }
    }

    /// Servers with these keys, each with the key of who vouches for it; 0 for nobody.
    fn members(servers: &[(u8, u8)]) -> Vec<(ServerId, Member)> {
        let member = |&(number, by): &(u8, u8)| {
            let voter = Member::voter(Description::of(key(number)));
            let voucher = (by != 0).then(|| voucher(by));
            (key(number).server_id(), Member { voucher, ..voter })
        };
        servers.iter().map(member).collect()
    }

    fn chain_of(configuration: &Configuration, number: u8) -> Vec<u8> {
        let chain = configuration.vouchers_of(key(number)).into_iter();
        chain.map(|(_, voucher)| voucher.by.0[0]).collect()
    }

    #[test]
    fn a_chain_goes_through_servers_that_have_left() {
        let before = Configuration::from_members(members(&[(1, 0), (2, 1), (3, 2)]));

        let after = before.with_members(members(&[(3, 2), (4, 3)]));

        assert_eq!(chain_of(&after, 4), [3, 2, 1]);
        assert_eq!(after.past_vouchers().len(), 1);
    }

    #[test]
    fn a_voucher_that_no_chain_needs_is_forgotten() {
        let before = Configuration::from_members(members(&[(1, 0), (2, 1), (3, 2)]));

        let after = before
            .with_members(members(&[(3, 2)]))
            .with_members(members(&[(5, 0)]));

        assert_eq!(after.past_vouchers().len(), 0);
    }

    #[test]
    fn a_chain_is_kept_as_far_as_it_counts() {
        let generation = |n: u8| members(&[(n + 1, n)]);

        let first = Configuration::from_members(generation(1));
        let last = (2..30).fold(first, |before, n| {
            let both = [generation(n - 1), generation(n)].concat();
            before.with_members(both).with_members(generation(n))
        });

        let chain: Vec<u8> = (22..30).rev().collect();
        assert_eq!(chain_of(&last, 30), chain);
        assert_eq!(last.past_vouchers().len(), VOUCHER_CHAIN_MAX - 1);
    }

    #[test]
    fn servers_that_vouch_for_each_other_make_no_endless_chain() {
        let circle = Configuration::from_members(members(&[(1, 2), (2, 1)]));

        assert_eq!(chain_of(&circle, 1), [2, 1, 2, 1, 2, 1, 2, 1]);
        assert_eq!(circle.past_vouchers().len(), 0);
    }

    #[test]
    fn what_is_kept_of_those_who_left_is_bounded() {
        let pairs = 1..=100_u8;
        let both: Vec<_> = pairs
            .clone()
            .flat_map(|n| [(n, 200), (n + 100, n)])
            .collect();
        let newer: Vec<_> = pairs.map(|n| (n + 100, n)).collect();

        let after = Configuration::from_members(members(&both)).with_members(members(&newer));

        assert_eq!(after.past_vouchers().len(), PAST_VOUCHERS_MAX);
    }
}
