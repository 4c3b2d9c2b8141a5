//! A cluster that is founded anew from a store, interrupted at any step.

use super::fake::FakeDisk;
use super::histories::store_state;
use crate::consensus::HardState;
use crate::entry::{Entry, Payload};
use crate::identity::Identity;
use crate::ids::{ClusterId, Index, LogPosition, ServerId, Term};
use crate::storage::conformance::{boots, entry, hard_state, metadata};
use crate::storage::disk::files::Files as _;
use crate::storage::disk::header::{self, Header};
use crate::storage::disk::lane::Lane;
use crate::storage::disk::pages::PAGE_BYTES;
use crate::storage::disk::rescue::found_anew_in;
use crate::storage::disk::store::{Options, Store};
use crate::storage::{Recovered, Snapshot, StorageError, Write};

const OLD: ClusterId = ClusterId(1);
const NEW: ClusterId = ClusterId(2);

const OPTIONS: Options = Options {
    segment_bytes: 6 * PAGE_BYTES as u64,
    nonce: 1,
};

/// A store of the old cluster, to which was written what this makes of its lane.
fn store(writes: impl FnOnce(&mut Lane<FakeDisk>) -> Vec<Write>) -> FakeDisk {
    let disk = FakeDisk::new(0, None);
    let (mut store, _) = Store::open(disk.clone(), OPTIONS).unwrap();
    store.bind(OLD, None).unwrap();
    let writes = writes(&mut store.lane(disk.clone()));
    store.write(writes).unwrap();
    disk
}

fn snapshot(lane: &mut Lane<FakeDisk>, index: u64, term: u64) -> Snapshot {
    let metadata = metadata(index, term, b"state");
    let name = store_state(lane, &metadata, b"state").unwrap();
    Snapshot { name, metadata }
}

/// A snapshot up to the second entry, and two entries behind it.
fn written(lane: &mut Lane<FakeDisk>) -> Vec<Write> {
    vec![Write {
        hard_state: Some(hard_state(3, Some(9))),
        peer_boots: Some(boots([(8, 2)])),
        snapshot: Some(snapshot(lane, 2, 1)),
        entries: vec![entry(3, 1, "c"), entry(4, 3, "d")],
        ..Write::default()
    }]
}

/// Marks a store as a backup.
fn make_backup(disk: &mut FakeDisk) {
    let copies = disk.read(header::NAME).unwrap();
    let mut header = Header::judge(&copies).unwrap().header;
    header.is_backup = true;
    for copy in [0, PAGE_BYTES as u64] {
        disk.write_at(header::NAME, copy, &header.encode()).unwrap();
        disk.sync(header::NAME).unwrap();
    }
}

/// The cluster of a store, and what is stored.
fn stored(disk: &FakeDisk) -> (Option<ClusterId>, Recovered) {
    let (store, opened) = Store::open(disk.clone(), OPTIONS).unwrap();
    (store.header().bound.cluster, opened.recovered)
}

/// Whose store it is.
fn server(disk: &FakeDisk) -> ServerId {
    let (store, _) = Store::open(disk.clone(), OPTIONS).unwrap();
    Identity::from_secret_key(&store.header().secret.0).id()
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
    let disk = store(written);

    let founded = found_anew_in(disk.clone(), OPTIONS, NEW);
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
    assert_eq!(last_voters(&recovered), Some(&[server(&disk)][..]));
    assert_eq!(recovered.hard_state.term, Term(4));
    assert_eq!(recovered.hard_state.voted_for, None);
    assert_eq!(recovered.peer_boots, boots([(8, 2)]));
    let snapshot = recovered.snapshot.map(|snapshot| snapshot.metadata);
    assert_eq!(snapshot, Some(metadata(2, 1, b"state")));
}

#[test]
fn interrupted_at_any_step_no_second_leader_is_made_for_the_old_cluster() {
    let mut halfway = 0;
    let mut steps = 0;
    loop {
        let disk = store(written);
        disk.dies_after(steps);
        let founded = found_anew_in(disk.clone(), OPTIONS, NEW);
        if founded.is_ok() {
            break;
        }
        steps += 1;
        disk.lose_power();

        let (cluster, recovered) = stored(&disk);
        let is_alone = last_voters(&recovered).is_some();
        assert!(cluster == Some(NEW) || !is_alone, "step {steps}");
        halfway += u32::from(cluster == Some(NEW) && !is_alone);
        let again = found_anew_in(disk.clone(), OPTIONS, NEW).unwrap();
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

/// Halfway it belongs to a cluster that elects nobody.
#[test]
fn a_backup_is_opened_only_once_its_cluster_is_founded() {
    let mut refused = 0;
    loop {
        let mut disk = store(written);
        make_backup(&mut disk);
        disk.dies_after(refused);
        let founded = found_anew_in(disk.clone(), OPTIONS, NEW);
        disk.lose_power();

        match Store::open(disk.clone(), OPTIONS) {
            Err(StorageError::Backup { .. }) => {
                assert!(founded.is_err(), "step {refused}");
                refused += 1;
            }
            opened => {
                drop(opened.expect("it is in order"));
                let (cluster, recovered) = stored(&disk);
                assert_eq!(cluster, Some(NEW));
                assert!(last_voters(&recovered).is_some(), "step {refused}");
                break;
            }
        }
        let again = found_anew_in(disk, OPTIONS, NEW).unwrap();
        assert!(again.is_some(), "step {refused}");
    }
    assert!(refused > 10, "{refused} steps");
}

#[test]
fn entries_that_contradict_the_snapshot_are_dropped_before_the_new_configuration() {
    let disk = store(|lane| {
        let mut writes = written(lane);
        writes.push(Write {
            snapshot: Some(snapshot(lane, 4, 2)),
            ..Write::default()
        });
        writes
    });

    let founded = found_anew_in(disk.clone(), OPTIONS, NEW);
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
    let disk = store(|_| writes);

    let founded = found_anew_in(disk.clone(), OPTIONS, NEW).unwrap();

    assert_eq!(founded, None);
    assert_eq!(stored(&disk).0, Some(OLD));
}

#[test]
fn nothing_is_founded_from_a_log_that_lacks_what_was_committed() {
    let disk = store(|lane| {
        let mut writes = written(lane);
        writes[0].hard_state.as_mut().unwrap().commit = Index(9);
        writes
    });

    let founded = found_anew_in(disk, OPTIONS, NEW);

    assert!(matches!(
        founded,
        Err(StorageError::Damaged { what: "log", .. })
    ));
}
