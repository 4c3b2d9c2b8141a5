//! The boots of other servers: what they cost, and where they are when the log that had them is gone.

use super::fake::FakeDisk;
use super::histories::store_state;
use crate::boots::Boots;
use crate::ids::Index;
use crate::storage::conformance::{boots, entry, hard_state, metadata};
use crate::storage::disk::files::Files as _;
use crate::storage::disk::names::segment_name;
use crate::storage::disk::pages::PAGE_BYTES;
use crate::storage::disk::store::{Options, Store};
use crate::storage::{Snapshot, Write};

const OPTIONS: Options = Options {
    segment_bytes: 6 * PAGE_BYTES as u64,
    nonce: 1,
};

fn opened(disk: &FakeDisk) -> (Store<FakeDisk>, Boots) {
    let (store, opened) = Store::open(disk.clone(), OPTIONS).unwrap();
    (store, opened.recovered.peer_boots)
}

/// How many steps a blank store takes to make this write.
fn steps_of(write: Write) -> u64 {
    let disk = FakeDisk::new(0, None);
    let (mut store, _) = opened(&disk);
    let before = disk.steps();
    store.write(vec![write]).unwrap();
    disk.steps() - before
}

#[test]
fn boots_add_no_step_to_a_write_of_entries_or_of_a_vote() {
    let entries = Write {
        entries: vec![entry(1, 1, "a")],
        ..Write::default()
    };
    let vote = Write {
        hard_state: Some(hard_state(1, Some(7))),
        ..Write::default()
    };
    for write in [entries, vote] {
        let with_boots = Write {
            peer_boots: Some(boots([(8, 1)])),
            ..write.clone()
        };

        assert_eq!(steps_of(with_boots), steps_of(write));
    }
}

#[test]
fn boots_alone_take_a_write_and_a_sync() {
    let alone = Write {
        peer_boots: Some(boots([(8, 1)])),
        ..Write::default()
    };

    assert_eq!(steps_of(alone), 2);
}

#[test]
fn boots_outlive_the_segment_that_has_them() {
    let mut disk = FakeDisk::new(0, None);
    let (mut store, _) = opened(&disk);
    let first = Write {
        peer_boots: Some(boots([(8, 1), (9, 2)])),
        ..Write::default()
    };
    store.write(vec![first]).unwrap();
    for index in 1..=12 {
        let entries = vec![entry(index, 1, "command")];
        let write = Write {
            entries,
            ..Write::default()
        };
        store.write(vec![write]).unwrap();
    }
    let metadata = metadata(12, 1, b"state");
    let name = store_state(&mut store.lane(disk.clone()), &metadata, b"state").unwrap();
    let compacted = Write {
        snapshot: Some(Snapshot { name, metadata }),
        compact: Some(Index(12)),
        ..Write::default()
    };
    store.write(vec![compacted]).unwrap();
    store.mark().unwrap();
    disk.lose_power();

    let (_, found) = opened(&disk);

    let names = disk.list().unwrap();
    assert!(!names.contains(&segment_name(1)), "{names:?}");
    assert_eq!(found, boots([(8, 1), (9, 2)]));
}
