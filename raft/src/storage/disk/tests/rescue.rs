//! A cluster that is founded anew from a store, interrupted at any step.

use super::fake::FakeDisk;
use crate::consensus::{HardState, Recovered, Write};
use crate::entry::{Entry, Payload};
use crate::ids::{ClusterId, Index, LogPosition, ServerId, Term};
use crate::storage::StorageError;
use crate::storage::conformance::{entry, hard_state, snapshot};
use crate::storage::disk::record::PAGE_BYTES;
use crate::storage::disk::rescue::found_anew_in;
use crate::storage::disk::store::{Options, Store};

const OLD: ClusterId = ClusterId(1);
const NEW: ClusterId = ClusterId(2);
const SURVIVOR: ServerId = ServerId(7);

const OPTIONS: Options = Options {
    segment_bytes: 6 * PAGE_BYTES as u64,
    nonce: 1,
};

/// A store of the old cluster, which this was written to.
fn store(writes: Vec<Write>) -> FakeDisk {
    let disk = FakeDisk::new(0, None);
    let (mut store, _) = Store::open(disk.clone(), OPTIONS).unwrap();
    store.bind(OLD, None).unwrap();
    store.write(writes).unwrap();
    disk
}

/// A snapshot up to the second entry, and two entries behind it.
fn written() -> Vec<Write> {
    vec![Write {
        hard_state: Some(hard_state(3, Some(9))),
        snapshot: Some(snapshot(2, 1, "state")),
        entries: vec![entry(3, 1, "c"), entry(4, 3, "d")],
        ..Write::default()
    }]
}

/// The cluster of a store, and what is stored.
fn stored(disk: &FakeDisk) -> (Option<ClusterId>, Recovered) {
    let (store, opened) = Store::open(disk.clone(), OPTIONS).unwrap();
    (store.header().cluster, opened.recovered)
}

/// The voters of the last entry, if that is a configuration.
fn last_voters(recovered: &Recovered) -> Option<&[ServerId]> {
    match &recovered.entries.last()?.payload {
        Payload::Configuration(configuration) => Some(configuration.voters()),
        Payload::Noop | Payload::Command(_) => None,
    }
}

#[test]
fn a_cluster_that_is_founded_anew_keeps_the_state_and_has_one_voter() {
    let disk = store(written());

    let founded = found_anew_in(disk.clone(), OPTIONS, NEW, SURVIVOR);
    let founded = founded.unwrap().expect("it was of a cluster");
    let (cluster, recovered) = stored(&disk);

    assert_eq!(founded.last, LogPosition::new(Term(3), Index(4)));
    assert_eq!(cluster, Some(NEW));
    let positions: Vec<_> = recovered.entries.iter().map(Entry::position).collect();
    let expected = [(1, 3), (3, 4), (4, 5)];
    assert_eq!(
        positions,
        expected.map(|(term, index)| LogPosition::new(Term(term), Index(index)))
    );
    assert_eq!(last_voters(&recovered), Some(&[SURVIVOR][..]));
    assert_eq!(recovered.hard_state.term, Term(4));
    assert_eq!(recovered.hard_state.voted_for, None);
    assert_eq!(recovered.snapshot, Some(snapshot(2, 1, "state")));
}

#[test]
fn interrupted_at_any_step_no_second_leader_is_made_for_the_old_cluster() {
    let mut halfway = 0;
    let mut steps = 0;
    loop {
        let disk = store(written());
        disk.dies_after(steps);
        let founded = found_anew_in(disk.clone(), OPTIONS, NEW, SURVIVOR);
        if founded.is_ok() {
            break;
        }
        steps += 1;
        disk.lose_power();

        let (cluster, recovered) = stored(&disk);
        let is_alone = last_voters(&recovered).is_some();
        assert!(cluster == Some(NEW) || !is_alone, "step {steps}");
        halfway += u32::from(cluster == Some(NEW) && !is_alone);
        let again = found_anew_in(disk.clone(), OPTIONS, NEW, SURVIVOR).unwrap();
        assert!(again.is_some(), "step {steps}");
        let (cluster, recovered) = stored(&disk);
        assert_eq!(
            (cluster, last_voters(&recovered).is_some()),
            (Some(NEW), true)
        );
    }

    assert!(
        steps > 10 && halfway > 0,
        "{steps} steps, {halfway} halfway"
    );
}

#[test]
fn entries_that_contradict_the_snapshot_are_dropped_before_the_new_configuration() {
    let mut writes = written();
    writes.push(Write {
        snapshot: Some(snapshot(4, 2, "later")),
        ..Write::default()
    });
    let disk = store(writes);

    let founded = found_anew_in(disk.clone(), OPTIONS, NEW, SURVIVOR);
    let founded = founded.unwrap().expect("it was of a cluster");
    let (_, recovered) = stored(&disk);

    assert_eq!(founded.last, LogPosition::new(Term(2), Index(4)));
    assert_eq!(recovered.entries.len(), 1);
    assert_eq!(recovered.entries[0].index, Index(5));
}

#[test]
fn nothing_is_founded_from_a_store_without_a_configuration() {
    let hard_state = HardState {
        term: Term(1),
        ..HardState::default()
    };
    let writes = vec![Write {
        hard_state: Some(hard_state),
        ..Write::default()
    }];
    let disk = store(writes);

    let founded = found_anew_in(disk.clone(), OPTIONS, NEW, SURVIVOR).unwrap();

    assert_eq!(founded, None);
    assert_eq!(stored(&disk).0, Some(OLD));
}

#[test]
fn nothing_is_founded_from_a_log_that_lacks_what_was_committed() {
    let mut writes = written();
    writes[0].hard_state.as_mut().unwrap().commit = Index(9);
    let disk = store(writes);

    let founded = found_anew_in(disk, OPTIONS, NEW, SURVIVOR);

    assert!(matches!(
        founded,
        Err(StorageError::Damaged { what: "log", .. })
    ));
}
