use core::num::NonZeroU64;
use core::ops::RangeInclusive;

use super::*;

const LIMITS: StoreLimits = StoreLimits {
    sequence_values_max: 10,
    sequence_bytes_max: 1000,
    store_bytes_max: 1000,
    history_changes_max: 1500,
    history_bytes_max: 400_000,
};

fn meta(at: u64) -> Meta {
    Meta {
        created: Revision(1),
        modified: Revision(at),
        version: at,
        lease: NonZeroU64::new(7).map(LeaseId),
    }
}

/// A change of each kind, after something of each kind.
fn changes(at: u64) -> [Change; 4] {
    let value = Bytes::from(vec![7; 100]);
    let count = Count::new(3, at);
    let [set, appended, trimmed, deleted] = [
        ChangeKind::Set {
            value: value.clone(),
            meta: meta(at),
        },
        ChangeKind::Appended {
            value: value.clone(),
            count,
        },
        ChangeKind::Trimmed { first: 1, count },
        ChangeKind::Deleted { ended: None },
    ];
    let past = |content| {
        Some(Past {
            content,
            meta: meta(at),
        })
    };
    [
        (set, past(PastContent::Value(value))),
        (appended, None),
        (trimmed, past(PastContent::Sequence(count))),
        (deleted, past(PastContent::Sequence(count))),
    ]
    .map(|(kind, before)| Change {
        key: Bytes::from(format!("key {}", at % 10)),
        kind,
        before,
    })
}

fn batch(revision: u64) -> Arc<Batch> {
    let changes = changes(revision).into();
    let revision = Revision(revision);
    Arc::new(Batch { revision, changes })
}

/// A history of these revisions, within the limits.
fn history(revisions: RangeInclusive<u64>) -> History {
    let mut history = History::default();
    for revision in revisions {
        for change in changes(revision) {
            history.record(Revision(revision), change);
        }
        history.trim(&LIMITS);
    }
    history
}

#[test]
fn what_is_left_of_a_long_history_is_as_it_was_recorded() {
    let history = history(1..=2000);

    // 375 revisions of four changes.
    assert_eq!((history.len(), history.compacted()), (375, Revision(1625)));
    assert!(history.full.len() > 2, "in more than one chunk");
    for from in [0, 1626, 1627, 1800, 1999, 2000, 2001] {
        let since = history.since(Revision(from));
        assert!(since.eq((from.max(1626)..=2000).map(batch)), "from {from}");
    }
}

#[test]
fn revisions_of_which_no_key_is_wanted_are_passed_over() {
    let history = history(1..=2000);

    let found = history.since_where(Revision(1990), |key| key == b"key 3" || key == b"key 0");

    assert!(found.eq([1990, 1993, 2000].map(batch)));
}

#[test]
fn a_history_that_grows_and_is_trimmed_leaves_its_clones_alone() {
    let mut grown = history(1..=1000);
    let clone = grown.clone();

    for revision in 1001..=2000 {
        for change in changes(revision) {
            grown.record(Revision(revision), change);
        }
        grown.trim(&LIMITS);
    }

    assert!(clone == history(1..=1000));
    assert!(grown == history(1..=2000));
    assert!(clone.since(Revision(626)).eq((626..=1000).map(batch)));
}

#[test]
fn all_of_a_history_can_be_dropped() {
    let nothing = StoreLimits {
        history_changes_max: 0,
        ..LIMITS
    };
    let mut history = history(1..=500);

    history.trim(&nothing);
    history.record(Revision(501), changes(501).into_iter().next().unwrap());

    assert_eq!((history.len(), history.compacted()), (1, Revision(500)));
    assert_eq!(history.since(Revision(0)).count(), 1);
}
