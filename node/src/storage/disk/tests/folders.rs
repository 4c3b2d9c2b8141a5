//! The storage as members use it, on folders of the system.

use std::fs;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::mpsc;
use std::thread;
use std::time::{Duration, Instant};

use bytes::Bytes;
use futures::executor::block_on;
use tokio::sync::oneshot;

use super::fake::FakeDisk;
use crate::ids::ClusterId;
use crate::storage::conformance::{self, Disk, entry, metadata, put};
use crate::storage::disk::files::{Files, Folder};
use crate::storage::disk::store::{Options, Store};
use crate::storage::disk::{Job, recovery, serve};
use crate::storage::{DiskStorage, Storage, StorageError, Write};

/// A folder that is removed when it is dropped.
#[derive(Debug)]
pub(super) struct Temporary(PathBuf);

impl Temporary {
    pub(super) fn new() -> Self {
        static COUNT: AtomicU64 = AtomicU64::new(0);
        let count = COUNT.fetch_add(1, Ordering::Relaxed);
        let name = format!("liferaft-disk-{}-{count}", std::process::id());
        let path = std::env::temp_dir().join(name);
        // Of a process that had the same id, and was killed.
        let _absent = fs::remove_dir_all(&path);
        Self(path)
    }

    pub(super) fn path(&self) -> &Path {
        &self.0
    }
}

impl Drop for Temporary {
    fn drop(&mut self) {
        // A test that failed before it made the folder has none.
        let _absent = fs::remove_dir_all(&self.0);
    }
}

impl Disk for Temporary {
    type Storage = DiskStorage;

    async fn open(&mut self) -> DiskStorage {
        let opened = DiskStorage::open(self.path()).await;
        opened.expect("it was closed, and is in order")
    }
}

fn of_entry(index: u64) -> Write {
    Write {
        entries: vec![entry(index, 1, "command")],
        ..Write::default()
    }
}

#[test]
fn it_keeps_the_promises_of_a_storage() {
    block_on(conformance::check_all(async || Temporary::new()));
}

#[test]
fn a_folder_that_is_open_is_refused_until_it_is_closed() {
    let folder = Temporary::new();
    let mut first = block_on(DiskStorage::open(folder.path())).unwrap();

    let second = block_on(DiskStorage::open(folder.path()));
    block_on(first.close()).unwrap();
    let third = block_on(DiskStorage::open(folder.path()));

    assert!(matches!(second, Err(StorageError::InUse { .. })));
    assert_eq!(third.unwrap().identity().boot(), 2);
}

#[test]
fn a_file_is_no_folder_to_open() {
    let file = Temporary::new();
    fs::write(file.path(), "mine").unwrap();

    let refused = block_on(DiskStorage::open(file.path())).map(drop);
    fs::remove_file(file.path()).unwrap();

    let told = refused.expect_err("it is a file").to_string();
    assert!(told.contains("not a directory"), "{told}");
}

#[test]
fn a_refusal_to_join_another_cluster_names_the_folder() {
    let folder = Temporary::new();
    let mut disk = block_on(DiskStorage::open(folder.path())).unwrap();
    block_on(disk.bind(ClusterId(7), None)).unwrap();

    let refused = block_on(disk.bind(ClusterId(8), None));

    let told = refused.expect_err("it is bound").to_string();
    let store = format!("the store in {}", folder.path().display());
    assert!(told.contains(&store), "{told}");
    assert!(!told.contains("an empty one"), "{told}");
}

/// Its key is gone, and nobody else has it.
#[test]
fn a_wiped_folder_comes_back_as_another_server() {
    let folder = Temporary::new();
    let before = block_on(DiskStorage::open(folder.path())).unwrap();
    let before = before.identity().id();
    fs::remove_dir_all(folder.path()).unwrap();

    let disk = block_on(DiskStorage::open(folder.path())).unwrap();

    assert_ne!(disk.identity().id(), before);
    assert_eq!(disk.identity().boot(), 1);
}

#[cfg(unix)]
#[test]
fn nobody_but_the_owner_may_read_what_is_stored() {
    use std::os::unix::fs::PermissionsExt;

    let folder = Temporary::new();
    let mut disk = block_on(DiskStorage::open(folder.path())).unwrap();
    block_on(async {
        let (metadata, state) = (metadata(1, 1, b"state"), Bytes::from_static(b"state"));
        let snapshot = put(&*disk.snapshots(), metadata, [state]).await;
        let write = Write {
            snapshot,
            ..Write::default()
        };
        disk.write(vec![write]).await.unwrap();
    });

    let mode = |path: &Path| fs::metadata(path).unwrap().permissions().mode() & 0o777;
    let files = fs::read_dir(folder.path()).unwrap();
    let modes: Vec<_> = files.map(|file| mode(&file.unwrap().path())).collect();

    assert_eq!(
        modes, [0o600; 5],
        "the lock, the header, a segment, a snapshot, the reserve"
    );
    assert_eq!(mode(folder.path()), 0o700);
}

#[test]
fn after_a_failed_write_all_others_are_refused() {
    let folder = Temporary::new();
    let mut disk = block_on(DiskStorage::open(folder.path())).unwrap();
    block_on(disk.write(vec![of_entry(1)])).unwrap();

    let gap = block_on(disk.write(vec![of_entry(3)]));
    let next = block_on(disk.write(vec![of_entry(2)]));

    assert!(matches!(
        gap,
        Err(StorageError::Damaged { what: "log", .. })
    ));
    assert!(matches!(next, Err(StorageError::Stopped { .. })));
}

#[test]
fn a_file_in_the_place_of_the_folder_is_an_error() {
    let folder = Temporary::new();
    fs::write(folder.path(), "not a folder").unwrap();

    let opened = block_on(DiskStorage::open(folder.path()));
    fs::remove_file(folder.path()).unwrap();

    let refused = opened.unwrap_err();
    assert!(matches!(refused, StorageError::Io { .. }));
    let (told, shown) = (refused.to_string(), folder.path().display().to_string());
    assert!(told.contains(&shown), "{told}");
}

// What the system refuses and what is damaged named no folder: of several members on one machine, nobody knew whose.
#[test]
fn an_error_names_the_folder_and_the_file() {
    let folder = Temporary::new();
    drop(block_on(DiskStorage::open(folder.path())));
    let header = folder.path().join("header");
    let whole = fs::read(&header).unwrap();

    fs::write(&header, "").unwrap();
    let damaged = block_on(DiskStorage::open(folder.path())).unwrap_err();
    fs::write(&header, whole).unwrap();
    let segment = folder.path().join("log-0000000000000001");
    fs::remove_file(&segment).unwrap();
    fs::create_dir(&segment).unwrap();
    let refused = block_on(DiskStorage::open(folder.path())).unwrap_err();

    let wanted = format!("in {}, header: ", folder.path().display());
    assert!(damaged.to_string().contains(&wanted), "{damaged}");
    let wanted = format!("{}: ", segment.display());
    assert!(refused.to_string().contains(&wanted), "{refused}");
}

#[test]
fn files_that_are_not_the_stores_are_left_alone() {
    let folder = Temporary::new();
    fs::create_dir_all(folder.path()).unwrap();
    let names = [
        "README",
        "log-1",
        "log-000000000000000G",
        "snapshot-ffffffffffffffff",
        "x.new",
    ];
    for name in names {
        fs::write(folder.path().join(name), "mine").unwrap();
    }

    let mut disk = block_on(DiskStorage::open(folder.path())).unwrap();
    block_on(disk.close()).unwrap();

    for name in names {
        assert_eq!(fs::read(folder.path().join(name)).unwrap(), b"mine");
    }
}

/// Returns true if the last batch is not marked as durable. Needs no lock.
fn unmarked(files: &mut impl Files) -> bool {
    let found = recovery::find(files, u64::MAX).unwrap();
    found.expect("a store is there").unmarked.is_some()
}

#[test]
fn closing_marks_the_last_batch() {
    let folder = Temporary::new();
    let mut files = Folder::new(folder.path().to_owned());
    let mut disk = block_on(DiskStorage::open(folder.path())).unwrap();
    block_on(disk.write(vec![of_entry(1)])).unwrap();
    let before = unmarked(&mut files);

    block_on(disk.close()).unwrap();

    assert_eq!((before, unmarked(&mut files)), (true, false));
}

#[test]
fn a_store_that_is_idle_marks_its_last_batch() {
    let mut disk = FakeDisk::new(0, None);
    let options = Options {
        segment_bytes: 1 << 16,
        nonce: 1,
    };
    let (store, _) = Store::open(disk.clone(), options).unwrap();
    let (jobs, queue) = mpsc::channel();
    let thread = thread::spawn(move || serve(store, &queue, Duration::ZERO));
    let (reply, replied) = oneshot::channel();

    jobs.send(Job::Write(vec![of_entry(1)], reply)).unwrap();
    block_on(replied).unwrap().unwrap();

    let deadline = Instant::now() + Duration::from_secs(60);
    while unmarked(&mut disk) {
        assert!(Instant::now() < deadline, "it was not marked");
        thread::yield_now();
    }
    drop(jobs);
    thread.join().unwrap();
}
