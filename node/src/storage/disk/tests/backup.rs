//! Copies of stores.

use std::fs;
use std::path::PathBuf;

use bytes::Bytes;
use futures::executor::block_on;

use super::folders::Temporary;
use crate::identity::Identity;
use crate::ids::{ClusterId, Index, LogPosition, Starts, Term};
use crate::storage::conformance::{boots, entry, hard_state, metadata, put};
use crate::storage::disk::files::{Files as _, Folder};
use crate::storage::disk::names::snapshot_name;
use crate::storage::disk::pages::PAGE_BYTES;
use crate::storage::disk::recovery;
use crate::storage::disk::snapshot_file::STATE_AT;
use crate::storage::{
    DiskStorage, Storage as _, StorageError, Write, back_up, found_anew, set_aside,
};

/// An open store with a snapshot and an entry behind it.
fn written(folder: &Temporary) -> DiskStorage {
    let mut disk = block_on(DiskStorage::open(folder.path())).unwrap();
    block_on(disk.bind(ClusterId(7), None)).unwrap();
    let (metadata, state) = (metadata(2, 1, b"state"), Bytes::from_static(b"state"));
    let write = Write {
        hard_state: Some(hard_state(3, Some(9))),
        peer_boots: Some(boots([(8, 2)])),
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
    let mut files = Folder::new(to);
    let copy = recovery::find(&mut files, u64::MAX).unwrap();
    let copy = copy.expect("it was made");
    let held = copy.recovered;
    let snapshot = held.snapshot.expect("it was in force");
    let state = files.read_at(&snapshot_name(snapshot.name.0), STATE_AT, 100);

    assert_eq!(backup.last, LogPosition::new(Term(1), Index(3)));
    assert_eq!(snapshot.metadata, metadata(2, 1, b"state"));
    assert_eq!(state.unwrap(), b"state");
    assert_eq!(held.entries, [entry(3, 1, "c")]);
    assert_eq!(held.hard_state.term, Term(3));
    assert_eq!(held.hard_state.voted_for, None);
    assert_eq!(copy.header.bound.cluster, Some(ClusterId(7)));
    assert_eq!(copy.header.starts, Starts::default());
    assert_eq!(held.peer_boots, boots([(8, 2)]));
    let server = Identity::from_secret_key(&copy.header.secret.0).id();
    assert_ne!(server, open.identity().id());
    assert_eq!(fs::read_dir(other.path()).unwrap().count(), 1);
    drop(open);
}

/// A member that was started from it would wait for its cluster, which does not know it.
#[test]
fn no_member_opens_a_copy_before_a_cluster_is_founded_from_it() {
    let (folder, other) = (Temporary::new(), Temporary::new());
    let open = written(&folder);
    let to = within(&other);
    back_up(folder.path(), &to).unwrap();

    let refused = block_on(DiskStorage::open(&to)).map(drop);
    let kept = set_aside(&to);
    let founded = found_anew(&to).unwrap();
    let opened = block_on(DiskStorage::open(&to)).unwrap();

    let told = refused.expect_err("it is a backup").to_string();
    let command = format!("`liferaft recover --accept-data-loss {}`", to.display());
    assert!(told.contains(&command), "{told}");
    assert!(matches!(kept, Err(StorageError::Backup { .. })), "{kept:?}");
    assert_eq!(opened.cluster(), Some(founded.cluster));
    drop(open);
}

/// A segment has its whole length from the beginning, and takes no room where nothing was written yet.
#[test]
fn a_copy_takes_no_more_room_than_the_store() {
    let (folder, other) = (Temporary::new(), Temporary::new());
    let open = written(&folder);
    let to = within(&other);

    back_up(folder.path(), &to).unwrap();

    let segment = "log-0000000000000001";
    let [store, copy] = [folder.path(), &to].map(|folder| {
        let mut files = Folder::new(folder.to_owned());
        (
            files.length(segment).unwrap(),
            files.allocated(segment).unwrap(),
        )
    });
    assert_eq!(copy.0, store.0);
    assert!(copy.1 <= store.1, "{copy:?} of {store:?}");
    drop(open);
}

/// Whoever lost the header has a damaged store, and would else look for it elsewhere.
#[test]
fn a_store_without_its_header_is_damaged_and_not_absent() {
    let (folder, other) = (Temporary::new(), Temporary::new());
    block_on(written(&folder).close()).unwrap();
    fs::remove_file(folder.path().join("header")).unwrap();

    let refused = back_up(folder.path(), within(&other));

    assert!(
        matches!(refused, Err(StorageError::Damaged { what: "header", .. })),
        "{refused:?}"
    );
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
