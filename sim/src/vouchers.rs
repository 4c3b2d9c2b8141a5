//! Keeps who let whom into a closed cluster, and tells whether a server is vouched for to one that does not know it.
//!
//! The leader that lets a server in gives its word for it, and whoever does not know the server believes it by a chain
//! of such words that ends in a server which it knows, and does not go on behind an expelled one. Signatures are left
//! out, since the ids of simulated servers are no digests of keys: a word here is the id of who gave it.
//!
//! Every word is kept, and counts for a server that its hearer knows to be removed if it is younger than that: an
//! operator has added the server again. The driver is stricter in both: configurations keep one word for each server,
//! and who is removed as far as a server knows gets no link to it.

use std::collections::{BTreeMap, BTreeSet};

use liferaft_raft::configuration::{Configuration, Dismissal, VOUCHER_CHAIN_MAX};
use liferaft_raft::ids::{Index, ServerId};

/// Who gave its word for each server, and for which entry at last. A word stays given where the entry is lost.
#[derive(Debug, Default)]
pub(crate) struct Vouchers(BTreeMap<ServerId, BTreeMap<ServerId, Index>>);

impl Vouchers {
    /// A leader appends a configuration, and lets those in whom it names and the one before does not.
    pub(crate) fn let_in(
        &mut self,
        leader: ServerId,
        before: &Configuration,
        (index, after): (Index, &Configuration),
    ) {
        for (id, _) in after.members() {
            if !before.contains(id) {
                self.0.entry(id).or_default().insert(leader, index);
            }
        }
    }

    /// Whether a server that knows this configuration, and not the subject, takes it for one of the cluster's.
    pub(crate) fn reach(&self, subject: ServerId, known: (Index, &Configuration)) -> bool {
        let (index, configuration) = known;
        let mut reached = BTreeSet::new();
        let mut ends = vec![subject];
        for _ in 0..VOUCHER_CHAIN_MAX {
            let believed = ends.into_iter().filter(|id| {
                configuration.dismissal(*id) != Some(Dismissal::Removed)
                    || self.words_for(*id).any(|(_, at)| at > index)
            });
            let further = believed.flat_map(|id| self.words_for(id).map(|(by, _)| by));
            ends = further.filter(|by| reached.insert(*by)).collect();
            if ends.iter().any(|by| configuration.contains(*by)) {
                return true;
            }
        }
        false
    }

    fn words_for(&self, subject: ServerId) -> impl Iterator<Item = (ServerId, Index)> {
        let words = self.0.get(&subject).into_iter().flatten();
        words.map(|(by, at)| (*by, *at))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn of(ids: impl IntoIterator<Item = u128>) -> Configuration {
        Configuration::of_voters(ids.into_iter().map(ServerId))
    }

    /// 1 lets 2 in, which lets 3 in.
    fn chain() -> Vouchers {
        let mut vouchers = Vouchers::default();
        vouchers.let_in(ServerId(1), &of([1]), (Index(5), &of([1, 2])));
        vouchers.let_in(ServerId(2), &of([1, 2]), (Index(6), &of([2, 3])));
        vouchers
    }

    fn removed(server: u128, from: Configuration) -> Configuration {
        from.with_dismissed([(ServerId(server), Dismissal::Removed)])
    }

    #[test]
    fn a_chain_ends_in_a_server_that_is_known() {
        let vouchers = chain();

        assert!(vouchers.reach(ServerId(3), (Index(1), &of([1]))));
        assert!(!vouchers.reach(ServerId(3), (Index(1), &of([4]))));
        assert!(!vouchers.reach(ServerId(4), (Index(1), &of([1]))));
    }

    #[test]
    fn no_word_counts_behind_an_expelled_server() {
        let vouchers = chain();

        let known = removed(2, of([1]));

        assert!(!vouchers.reach(ServerId(2), (Index(6), &known)));
        assert!(!vouchers.reach(ServerId(3), (Index(6), &known)));
    }

    #[test]
    fn an_expelled_server_that_was_added_again_is_vouched_for() {
        let mut vouchers = chain();
        let known = removed(3, of([1, 2]));

        vouchers.let_in(ServerId(2), &of([2]), (Index(9), &of([2, 3])));

        assert!(!vouchers.reach(ServerId(3), (Index(9), &known)));
        assert!(vouchers.reach(ServerId(3), (Index(8), &known)));
    }
}
