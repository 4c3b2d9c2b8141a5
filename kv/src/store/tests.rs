use liferaft_raft::ids::{Index, Term};

use super::*;

const SMALL: StoreLimits = StoreLimits {
    sequence_values_max: 3,
    sequence_bytes_max: 100,
    store_bytes_max: 200,
    history_changes_max: 3,
    history_bytes_max: 1000,
};

fn small() -> Store {
    Store::new(SMALL, 0)
}

fn with_sequence(values: [&'static str; 3]) -> Store {
    let mut store = small();
    let appended = values.map(|value| store.append("s".into(), None, value.into()));
    assert!(appended.iter().all(Result::is_ok), "there is room");
    store
}

fn bytes(len: usize) -> Bytes {
    Bytes::from(vec![b'x'; len])
}

#[test]
fn a_sequence_with_the_most_values_is_full_and_stays_as_it_is() {
    let mut store = with_sequence(["a", "b", "c"]);
    let before = store.clone();

    let refused = store.append("s".into(), None, "d".into());

    assert_eq!(refused, Err(Refused::SequenceFull { key: "s".into() }));
    assert_eq!(store, before);
}

#[test]
fn a_sequence_with_the_most_bytes_is_full_and_stays_as_it_is() {
    let mut store = small();
    let first = store.append("s".into(), None, bytes(60));
    let before = store.clone();

    let refused = store.append("s".into(), None, bytes(9));

    assert!(first.is_ok());
    assert_eq!(refused, Err(Refused::SequenceFull { key: "s".into() }));
    assert_eq!(store, before);
}

#[test]
fn a_first_value_is_held_to_the_bound_of_a_sequence_too() {
    let mut store = small();

    let refused = store.append("s".into(), None, bytes(85));

    assert_eq!(refused, Err(Refused::SequenceFull { key: "s".into() }));
    assert_eq!(store, small());
}

#[test]
fn a_stale_count_fails_on_a_full_sequence_too() {
    let mut store = with_sequence(["a", "b", "c"]);

    let failed = store.append("s".into(), Some(Count::ZERO), "d".into());

    assert_eq!(
        failed,
        Ok(SeqAppend {
            succeeded: false,
            count: Count::new(1, 3)
        })
    );
}

#[test]
fn a_full_store_refuses_what_grows_and_takes_what_shrinks() {
    let mut store = small();
    store
        .set("a".into(), bytes(128), None)
        .expect("193 of 200 bytes");
    let before = store.clone();

    assert_eq!(
        store.set("a".into(), bytes(136), None),
        Err(Refused::StoreFull)
    );
    assert_eq!(
        store.set("b".into(), Bytes::new(), None),
        Err(Refused::StoreFull)
    );
    assert_eq!(
        store.append("b".into(), None, Bytes::new()),
        Err(Refused::StoreFull)
    );
    assert_eq!(store, before);

    assert_eq!(store.set("a".into(), bytes(1), None), Ok(()));
    assert_eq!(store.set("b".into(), bytes(1), None), Ok(()));
}

#[test]
fn what_is_deleted_is_given_back() {
    let mut store = with_sequence(["a", "b", "c"]);
    store
        .set("a".into(), bytes(7), None)
        .expect("there is room");

    assert!(store.delete(&"a".into()));
    assert!(store.delete(&"s".into()));

    assert_eq!(store.weight(), 0);
    assert_eq!((store.len(), store.sequences_made()), (0, 1));
}

fn at(index: u64, ms: u64) -> ApplyContext {
    ApplyContext {
        index: Index(index),
        term: Term(1),
        time: ClusterTime(ms),
    }
}

#[test]
fn the_history_drops_whole_revisions_and_no_more_than_it_must() {
    let mut store = small();
    for index in 1..=4 {
        store.begin(at(index, 0));
        store
            .set("k".into(), bytes(1), None)
            .expect("there is room");
        store.trim();
    }

    let readable = [0, 1, 2].map(|revision| store.history().check(Revision(revision)).is_ok());

    assert_eq!(readable, [false, true, true]);
    assert_eq!(store.history().compacted(), Revision(1));
}

#[test]
fn a_revision_that_alone_exceeds_the_history_is_compacted_at_once() {
    let mut store = small();
    store.begin(at(1, 0));
    for key in ["a", "b", "c", "d"] {
        drop(store.set(key.into(), Bytes::new(), None));
        store.delete(&key.into());
    }
    store.trim();

    assert_eq!(store.history().compacted(), Revision(1));
    assert_eq!((store.history().len(), store.history().bytes()), (0, 0));
    assert_eq!(store.revision(), Revision(1));
}

#[test]
fn what_a_lease_has_to_remember_is_counted_and_given_back() {
    let mut store = small();
    store.begin(at(1, 0));
    let lease = store
        .grant_lease(Duration::from_secs(1))
        .expect("there is room");
    store
        .set("k".into(), Bytes::new(), Some(lease))
        .expect("there is room");
    let leased = store.weight();
    store
        .set("k".into(), Bytes::new(), None)
        .expect("there is room");
    let freed = store.weight();
    store
        .set("k".into(), Bytes::new(), Some(lease))
        .expect("there is room");

    store.begin(at(2, 1000));

    assert_eq!((leased, freed), (130, 65));
    assert_eq!((store.weight(), store.len()), (0, 0));
}
