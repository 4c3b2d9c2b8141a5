//! Copies of stores.

use std::fs;
use std::path::PathBuf;

use bytes::Bytes;
use futures::executor::block_on;

use super::folders::Temporary;
use crate::ids::{ClusterId, Index, LogPosition, Term};
use crate::storage::conformance::{entry, hard_state, metadata, put};
use crate::storage::disk::record::PAGE_BYTES;
use crate::storage::{DiskStorage, Storage as _, StorageError, Write, back_up};

/// An open store with a snapshot and an entry behind it.
fn written(folder: &Temporary) -> DiskStorage {
    let mut disk = block_on(DiskStorage::open(folder.path())).unwrap();
    block_on(disk.bind(ClusterId(7), None)).unwrap();
    let (metadata, state) = (metadata(2, 1, b"state"), Bytes::from_static(b"state"));
    let write = Write {
        hard_state: Some(hard_state(3, Some(9))),
        snapshot: block_on(put(&*disk.snapshots(), metadata, [state])),
        entries: vec![entry(3, 1, "c")],
        ..Write::default()
    };
    block_on(disk.write(vec![write])).unwrap();
    disk
}

/// A folder in this one, which is there.
fn within(folder: &Temporary) -> PathBuf {
    fs::create_dir_all(folder.path()).unwrap();
    folder.path().join("copy")
}

#[test]
fn a_copy_of_an_open_store_holds_all_but_its_vote() {
    let (folder, other) = (Temporary::new(), Temporary::new());
    let open = written(&folder);
    let to = within(&other);

    let backup = back_up(folder.path(), &to).unwrap();
    let mut copy = block_on(DiskStorage::open(&to)).unwrap();
    let held = block_on(copy.recover(u64::MAX)).unwrap();
    let snapshot = held.snapshot.expect("it was in force");
    let state = block_on(copy.snapshots().read(snapshot.name, 0, 100)).unwrap();

    assert_eq!(backup.last, LogPosition::new(Term(1), Index(3)));
    assert_eq!(snapshot.metadata, metadata(2, 1, b"state"));
    assert_eq!(state.as_deref(), Some(&b"state"[..]));
    assert_eq!(held.entries, [entry(3, 1, "c")]);
    assert_eq!(held.hard_state.term, Term(3));
    assert_eq!(held.hard_state.voted_for, None);
    assert_eq!(copy.cluster(), Some(ClusterId(7)));
    assert_eq!(copy.identity().boot(), 1);
    assert_ne!(copy.identity().id(), open.identity().id());
    assert_eq!(fs::read_dir(other.path()).unwrap().count(), 1);
    drop(open);
}

#[test]
fn a_store_that_is_blank_or_damaged_is_not_copied() {
    let (folder, other) = (Temporary::new(), Temporary::new());
    let to = within(&other);
    fs::create_dir_all(folder.path()).unwrap();
    let blank = back_up(folder.path(), &to);
    block_on(written(&folder).close()).unwrap();
    let segment = folder.path().join("log-0000000000000001");
    let mut bytes = fs::read(&segment).unwrap();
    bytes[PAGE_BYTES + 100] ^= 1;
    fs::write(&segment, bytes).unwrap();

    let damaged = back_up(folder.path(), &to);

    assert!(matches!(blank, Err(StorageError::Blank { .. })));
    assert!(matches!(
        damaged,
        Err(StorageError::Damaged { what: "log", .. })
    ));
    assert_eq!(fs::read_dir(other.path()).unwrap().count(), 0);
}

#[test]
fn what_is_there_already_is_never_replaced_by_a_copy() {
    let (folder, other) = (Temporary::new(), Temporary::new());
    let open = written(&folder);
    let to = within(&other);
    let beside = other.path().join("copy.new");

    for path in [&to, &beside] {
        fs::write(path, "mine").unwrap();

        let refused = back_up(folder.path(), &to);

        assert!(matches!(refused, Err(StorageError::Io { .. })));
        assert_eq!(fs::read(path).unwrap(), b"mine");
        fs::remove_file(path).unwrap();
    }
    drop(open);
}
