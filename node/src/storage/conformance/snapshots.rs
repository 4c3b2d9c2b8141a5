//! Checks what the lane of snapshots promises.

use bytes::Bytes;

use super::{Disk, entry, metadata, of_snapshot, put, read, recovered, snapshot, write_to};
use crate::storage::{Snapshot, Storage, Write};

/// Any range of a state can be read, before it is in force, and after a restart. What lies beyond its end is empty.
///
/// # Panics
/// When the promise is broken.
pub async fn the_state_of_a_snapshot_is_read_in_any_ranges(mut disk: impl Disk) {
    let state: Vec<u8> = (0..=u8::MAX).cycle().take(100_000).collect();
    let ranges = [(0, 1), (99_999, 1), (4095, 4098), (0, 100_000), (7, 0)];
    let mut storage = disk.open().await;
    storage.recover(u64::MAX).await.expect("it is blank");
    let pieces = state.chunks(30_001).map(Bytes::copy_from_slice);
    let stored = put(&*storage.snapshots(), metadata(2, 1, &state), pieces).await;
    let stored = stored.expect("it is what it says");

    for restarted in [false, true] {
        let lane = storage.snapshots();
        for (offset, bytes) in ranges {
            let read = lane.read(stored.name, offset, bytes).await;
            let from = usize::try_from(offset).expect("it is small");
            let expected = Bytes::copy_from_slice(&state[from..from + bytes]);
            assert_eq!(read.expect("it can be read"), Some(expected));
        }
        let over = lane.read(stored.name, 99_990, 100).await;
        let beyond = lane.read(stored.name, 100_000, 100).await;
        assert_eq!(
            over.expect("it can be read").as_deref(),
            Some(&state[99_990..])
        );
        assert_eq!(beyond.expect("it can be read"), Some(Bytes::new()));
        if !restarted {
            let switch = Write {
                snapshot: Some(stored.clone()),
                ..Write::default()
            };
            let switched = storage.write(vec![switch]).await;
            switched.expect("it is finished");
            drop(storage);
            storage = disk.open().await;
            let recovered = storage.recover(u64::MAX).await.expect("it is undamaged");
            assert_eq!(recovered.snapshot, Some(stored.clone()));
        }
    }
}

/// A snapshot counts for nothing until a write names it, finished or not, and a restart removes it.
///
/// # Panics
/// When the promise is broken.
pub async fn a_snapshot_that_no_write_names_is_gone_after_a_restart(mut disk: impl Disk) {
    write_to(&mut disk, vec![of_snapshot(snapshot(2, 1, "state"))]).await;
    let mut storage = disk.open().await;
    storage.recover(u64::MAX).await.expect("it is undamaged");
    let lane = storage.snapshots();

    let begun = lane.begin().await.expect("another can be begun");
    let piece = Bytes::from_static(b"other");
    lane.append(begun, piece.clone())
        .await
        .expect("it was begun");
    let finished = put(&*lane, metadata(3, 1, b"other"), [piece]).await;
    let finished = finished.expect("it is what it says");
    assert_ne!(begun, finished.name, "a name was given twice");
    drop((lane, storage));

    let mut storage = disk.open().await;
    let recovered = storage.recover(u64::MAX).await.expect("it is undamaged");
    let lane = storage.snapshots();
    assert_eq!(read(&*lane, begun).await, None);
    assert_eq!(read(&*lane, finished.name).await, None);
    let in_force = recovered.snapshot.expect("one is in force");
    assert_eq!(
        read(&*lane, in_force.name).await.as_deref(),
        Some(&b"state"[..])
    );
}

/// What is not what it should be is never finished, and is gone.
///
/// # Panics
/// When the promise is broken.
pub async fn a_snapshot_of_another_length_or_digest_is_not_finished(mut disk: impl Disk) {
    let mut storage = disk.open().await;
    storage.recover(u64::MAX).await.expect("it is blank");
    let lane = storage.snapshots();
    let (state, digest) = (Bytes::from_static(b"state"), crc32fast::hash(b"state"));

    for (length, digest) in [(4, digest), (6, digest), (5, digest ^ 1)] {
        let name = lane.begin().await.expect("it can be begun");
        let appended = lane.append(name, state.clone()).await;
        appended.expect("it was begun");

        let is_whole = lane.finish(name, length, digest).await;

        assert!(!is_whole.expect("that is no failure of the storage"));
        assert_eq!(read(&*lane, name).await, None);
    }
}

/// Removal is for snapshots that are not in force: that one stays, also over a restart.
///
/// # Panics
/// When the promise is broken.
pub async fn a_snapshot_in_force_stays_until_another_is(mut disk: impl Disk) {
    write_to(&mut disk, vec![of_snapshot(snapshot(2, 1, "first"))]).await;
    let mut storage = disk.open().await;
    let first = storage
        .recover(u64::MAX)
        .await
        .expect("it is undamaged")
        .snapshot;
    let first = first.expect("it is in force").name;
    let lane = storage.snapshots();

    lane.remove(first).await.expect("it is kept");
    let early = Write {
        entries: vec![entry(3, 1, "c")],
        ..Write::default()
    };
    storage.write(vec![early]).await.expect("it is in order");
    drop((lane, storage));
    let kept = recovered(&mut disk).await;
    write_to(&mut disk, vec![of_snapshot(snapshot(3, 1, "second"))]).await;
    let replaced = recovered(&mut disk).await;

    assert_eq!(kept.snapshot, Some(snapshot(2, 1, "first")));
    assert_eq!(replaced.snapshot, Some(snapshot(3, 1, "second")));
}

/// A snapshot that is not durable never comes into force.
///
/// # Panics
/// When the promise is broken.
pub async fn a_write_that_names_an_unfinished_snapshot_is_refused(mut disk: impl Disk) {
    let mut storage = disk.open().await;
    storage.recover(u64::MAX).await.expect("it is blank");
    let lane = storage.snapshots();
    let name = lane.begin().await.expect("it can be begun");
    let piece = Bytes::from_static(b"state");
    lane.append(name, piece).await.expect("it was begun");

    let metadata = metadata(2, 1, b"state");
    assert_eq!(read(&*lane, name).await, None);
    let refused = storage
        .write(vec![Write {
            snapshot: Some(Snapshot { name, metadata }),
            ..Write::default()
        }])
        .await;

    assert!(refused.is_err(), "it is in force and not durable");
}

/// Neither of the two waits for the other to end.
///
/// # Panics
/// When the promise is broken.
pub async fn a_snapshot_is_stored_while_writes_are_made(mut disk: impl Disk) {
    let state: Vec<u8> = (0..=u8::MAX).cycle().take(300_000).collect();
    let mut storage = disk.open().await;
    storage.recover(u64::MAX).await.expect("it is blank");
    let lane = storage.snapshots();
    let name = lane.begin().await.expect("it can be begun");

    for (piece, index) in state.chunks(30_000).zip(1..) {
        let write = Write {
            entries: vec![entry(index, 1, "command")],
            ..Write::default()
        };
        let piece = Bytes::copy_from_slice(piece);
        let (appended, written) =
            futures::future::join(lane.append(name, piece), storage.write(vec![write])).await;
        appended.expect("it was begun");
        written.expect("it is in order");
    }
    let metadata = metadata(2, 1, &state);
    let is_whole = lane.finish(name, metadata.length, metadata.digest).await;
    assert!(is_whole.expect("it can be finished"));
    let switch = Write {
        snapshot: Some(Snapshot { name, metadata }),
        ..Write::default()
    };
    storage.write(vec![switch]).await.expect("it is finished");
    drop((lane, storage));

    let recovered = recovered(&mut disk).await;
    assert_eq!(recovered.entries.len(), 10);
    let snapshot = recovered.snapshot.expect("it is in force");
    assert!(snapshot.data == state, "another state is in force");
}
