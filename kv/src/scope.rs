//! Judges whether what a client asks stays within the keys that its invitation is for.
//!
//! Every key that is named has to be in the scope, in conditions too, since whether one holds tells of its key. A
//! selection of keys has to lie within one prefix.

use core::ops::Bound;

use liferaft_raft::configuration::Scope;

use crate::command::Command;
use crate::keys::{Keys, end_of_prefix};
use crate::query::Query;
use crate::step::Step;
use crate::txn::Txn;

/// Whether a command touches keys of the scope alone. A lease has no key: it is granted and kept alive, and not
/// revoked, since that deletes keys, and nobody knows from the lease whose.
pub(crate) fn is_command_within(command: &Command, scope: &Scope) -> bool {
    match command {
        Command::Set { key, .. }
        | Command::Delete { key }
        | Command::CompareAndSet { key, .. }
        | Command::SeqAppend { key, .. }
        | Command::Append { key, .. }
        | Command::TrimBefore { key, .. } => scope.contains(key),
        Command::DeleteKeys(keys) => are_within(keys, scope),
        Command::Txn(txn) => is_txn_within(txn, scope),
        Command::Batch(steps) => steps.iter().all(|step| is_step_within(step, scope)),
        Command::GrantLease { .. } | Command::KeepAlive { .. } => true,
        Command::RevokeLease { .. } => scope.is_everything(),
    }
}

/// Whether a query, and its answer, tell of keys of the scope alone. How long a lease lives and the revision of the
/// store tell of no key.
pub(crate) fn is_query_within(query: &Query, scope: &Scope) -> bool {
    match query {
        Query::Get { key } | Query::ReadSequence { key, .. } | Query::Entry { key } => {
            scope.contains(key)
        }
        Query::Scan(scan) => are_within(&scan.keys, scope),
        Query::Changes { keys, .. } => are_within(keys, scope),
        Query::Watch(subscription) | Query::Progress(subscription) => {
            are_within(&subscription.keys, scope)
        }
        Query::Lease { .. } | Query::Revision => true,
    }
}

fn is_txn_within(txn: &Txn, scope: &Scope) -> bool {
    let mut compared = txn.compare.iter().map(|compare| &compare.key);
    let mut steps = txn.then.iter().chain(&txn.otherwise);
    compared.all(|key| scope.contains(key)) && steps.all(|step| is_step_within(step, scope))
}

fn is_step_within(step: &Step, scope: &Scope) -> bool {
    match step {
        Step::Get { key }
        | Step::Set { key, .. }
        | Step::Delete { key }
        | Step::CompareAndSet { key, .. }
        | Step::SeqAppend { key, .. }
        | Step::Append { key, .. }
        | Step::TrimBefore { key, .. } => scope.contains(key),
        Step::Scan(scan) => are_within(&scan.keys, scope),
        Step::DeleteKeys(keys) => are_within(keys, scope),
    }
}

/// Whether all keys that a selection could ever hold are in the scope, by one prefix of it.
fn are_within(keys: &Keys, scope: &Scope) -> bool {
    match keys {
        Keys::One(key) => scope.contains(key),
        Keys::Prefix(prefix) => scope.contains(prefix),
        Keys::Range(from, to) => {
            let mut prefixes = scope.prefixes().iter();
            let is_within = prefixes.any(|prefix| {
                let ends_within = match (to, end_of_prefix(prefix)) {
                    (Some(to), Bound::Excluded(end)) => *to <= end,
                    (None, Bound::Excluded(_)) => false,
                    // No key comes after those with this prefix.
                    (_, Bound::Included(_) | Bound::Unbounded) => true,
                };
                from.starts_with(prefix) && ends_within
            });
            scope.is_everything() || is_within
        }
    }
}

#[cfg(test)]
mod tests {
    use core::num::NonZeroU64;

    use bytes::Bytes;

    use super::*;
    use crate::count::Count;
    use crate::entry::LeaseId;
    use crate::scan::Scan;
    use crate::txn::Compare;

    const LEASE: LeaseId = LeaseId(NonZeroU64::MIN);

    fn camp() -> Scope {
        Scope::of_prefixes(["camp/", "log/"]).expect("they are short")
    }

    /// All commands about one key.
    fn commands(key: &'static str) -> Vec<Command> {
        let (key, value) = (Bytes::from(key), Bytes::from("v"));
        let count = Count::ZERO;
        vec![
            Command::Set {
                key: key.clone(),
                value: value.clone(),
            },
            Command::Delete { key: key.clone() },
            Command::CompareAndSet {
                key: key.clone(),
                expected: None,
                new: Some(value.clone()),
            },
            Command::SeqAppend {
                key: key.clone(),
                count,
                value: value.clone(),
            },
            Command::Append {
                key: key.clone(),
                value,
            },
            Command::TrimBefore { key, count },
        ]
    }

    /// All steps about one key, or keys that begin with it.
    fn steps(key: &'static str) -> Vec<Step> {
        vec![
            Step::get(key),
            Step::set_with_lease(key, "v", LEASE),
            Step::delete(key),
            Step::compare_and_set(key, "v", "w"),
            Step::seq_append(key, Count::ZERO, "v"),
            Step::append(key, "v"),
            Step::scan(Keys::prefix(key)),
            Step::trim_before(key, Count::ZERO),
            Step::delete_keys(Keys::prefix(key)),
        ]
    }

    #[test]
    fn a_command_is_within_if_its_key_is() {
        let judged = |key| {
            let commands = commands(key).into_iter();
            commands.map(|command| is_command_within(&command, &camp()))
        };

        let within: Vec<_> = judged("camp/1").chain(judged("log/")).collect();
        let without: Vec<_> = judged("tent/1").chain(judged("camp")).collect();

        assert_eq!((within, without), (vec![true; 12], vec![false; 12]));
    }

    #[test]
    fn a_batch_is_within_if_all_of_its_steps_are() {
        for outside in steps("tent/1") {
            let batch = |step| Command::Batch(vec![Step::get("camp/1"), step]);

            assert!(!is_command_within(&batch(outside), &camp()));
        }
        assert!(is_command_within(&Command::Batch(steps("camp/1")), &camp()));
    }

    #[test]
    fn a_txn_is_within_if_conditions_and_both_branches_are() {
        let within = Txn::when([Compare::exists("log/1")])
            .then(steps("camp/1"))
            .otherwise(steps("log/2"));
        let outside = [
            within.clone().and(Compare::exists("tent/1")),
            within.clone().then([Step::get("tent/1")]),
            within.clone().otherwise([Step::get("tent/1")]),
        ];

        let is_within = |txn| is_command_within(&Command::Txn(txn), &camp());

        assert!(is_within(within));
        assert_eq!(outside.map(is_within), [false; 3]);
    }

    #[test]
    fn a_selection_is_within_if_one_prefix_holds_all_of_it() {
        let within = [
            Keys::one("camp/1"),
            Keys::prefix("camp/"),
            Keys::prefix("camp/a"),
            Keys::range("camp/", "camp0"),
            Keys::range("camp/a", "camp/b"),
        ];
        let outside = [
            Keys::all(),
            Keys::one("camp"),
            Keys::prefix("cam"),
            Keys::range("camp/", "camp1"),
            Keys::range("camp", "camp/2"),
            Keys::range("camp/", "log/1"),
            Keys::since("camp/"),
        ];

        let are_within = |keys| {
            let scanned = is_query_within(&Query::Scan(Scan::of(Keys::clone(&keys))), &camp());
            let followed = Query::Changes {
                keys: keys.clone(),
                from: None,
            };
            let deleted = is_command_within(&Command::DeleteKeys(keys), &camp());
            [scanned, is_query_within(&followed, &camp()), deleted]
        };

        assert_eq!(within.map(are_within), [[true; 3]; 5]);
        assert_eq!(outside.map(are_within), [[false; 3]; 7]);
    }

    #[test]
    fn a_range_to_the_last_key_is_within_a_prefix_of_the_last() {
        let last = Scope::of_prefixes([&b"\xff"[..]]).expect("it is short");

        assert!(are_within(&Keys::since(&b"\xff\x01"[..]), &last));
        assert!(!are_within(&Keys::since("a"), &last));
    }

    #[test]
    fn queries_about_a_key_are_within_if_it_is() {
        let queries = |key: &'static str| {
            let key = Bytes::from(key);
            [
                Query::Get { key: key.clone() },
                Query::ReadSequence {
                    key: key.clone(),
                    from: 0,
                    limit: 1,
                },
                Query::Entry { key },
            ]
        };

        let judged = |key| queries(key).map(|query| is_query_within(&query, &camp()));

        assert_eq!(judged("camp/1"), [true; 3]);
        assert_eq!(judged("tent/1"), [false; 3]);
    }

    #[test]
    fn what_names_no_key_is_within_unless_it_deletes() {
        let commands = [
            Command::GrantLease { ttl_ms: 1000 },
            Command::KeepAlive { lease: LEASE },
            Command::RevokeLease { lease: LEASE },
        ];
        let queries = [Query::Revision, Query::Lease { lease: LEASE }];

        let commands = commands.map(|command| is_command_within(&command, &camp()));
        let queries = queries.map(|query| is_query_within(&query, &camp()));

        assert_eq!((commands, queries), ([true, true, false], [true, true]));
    }
}
