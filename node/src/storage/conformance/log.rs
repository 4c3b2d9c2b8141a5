//! Checks what is promised of a stored log: that it can be read again, and recovered with little of it in memory.

use super::{Disk, Draft, entry, hard_state, of_entries, of_snapshot, snapshot, write_to};
use crate::config::Config;
use crate::configuration::Configuration;
use crate::consensus::Raft;
use crate::entry::{Entry, Payload};
use crate::ids::{Index, ServerId};
use crate::storage::{LogReader, Recovered, Storage, Write};
use crate::time::Instant;

/// Any range of the log can be read, also after a restart, and no more of it than may be.
///
/// # Panics
/// When the promise is broken.
pub async fn any_range_of_the_log_is_read(mut disk: impl Disk) {
    let log: Vec<_> = (1..=9).map(|index| entry(index, 1, "command")).collect();
    let weight = log[0].weight();
    let mut storage = disk.open().await;
    storage.recover(u64::MAX).await.expect("it is blank");
    for part in [&log[..1], &log[1..5], &log[5..]] {
        let write = Write {
            entries: part.to_vec(),
            ..Write::default()
        };
        storage.write(vec![write]).await.expect("it is in order");
    }

    for restarted in [false, true] {
        let reader = storage.log();
        for (from, through) in [(1, 9), (1, 1), (2, 5), (9, 9), (3, 7)] {
            let read = read(&*reader, from, through, u64::MAX).await;
            assert_eq!(read, log[from - 1..through]);
        }
        assert_eq!(read(&*reader, 2, 8, 3 * weight).await, log[1..4]);
        assert_eq!(read(&*reader, 2, 8, 4 * weight - 1).await, log[1..4]);
        assert_eq!(read(&*reader, 2, 3, 4 * weight).await, log[1..3]);
        assert_eq!(
            read(&*reader, 2, 8, 0).await,
            log[1..2],
            "the first is read"
        );
        if !restarted {
            drop((reader, storage));
            storage = disk.open().await;
            storage.recover(0).await.expect("it is undamaged");
        }
    }
}

/// What replaced a truncated tail is read, and not what was there before.
///
/// # Panics
/// When the promise is broken.
pub async fn the_log_is_read_as_it_became_by_truncation(mut disk: impl Disk) {
    let log = (1..=4).map(|index| entry(index, 1, "old")).collect();
    let replaced = Draft {
        truncate: Some(Index(3)),
        ..of_entries(vec![entry(3, 2, "new"), entry(4, 2, "new")])
    };
    write_to(&mut disk, vec![of_entries(log)]).await;
    write_to(
        &mut disk,
        vec![replaced, of_entries(vec![entry(5, 2, "new")])],
    )
    .await;
    let mut storage = disk.open().await;
    storage.recover(0).await.expect("it is undamaged");

    let read = read(&*storage.log(), 2, 5, u64::MAX).await;

    let expected = [
        entry(2, 1, "old"),
        entry(3, 2, "new"),
        entry(4, 2, "new"),
        entry(5, 2, "new"),
    ];
    assert_eq!(read, expected);
}

/// An entry that was compacted is not read any more, nor one that a snapshot took the place of.
///
/// # Panics
/// When the promise is broken.
pub async fn a_compacted_entry_is_not_read(mut disk: impl Disk) {
    let log = (1..=4).map(|index| entry(index, 1, "command")).collect();
    let compacted = Draft {
        compact: Some(Index(2)),
        ..of_snapshot(snapshot(3, 1, "state"))
    };
    write_to(&mut disk, vec![of_entries(log), compacted]).await;
    let mut storage = disk.open().await;
    storage.recover(0).await.expect("it is undamaged");
    let reader = storage.log();
    assert_eq!(read(&*reader, 2, 4, u64::MAX).await, []);
    assert_eq!(
        read(&*reader, 3, 3, u64::MAX).await,
        [entry(3, 1, "command")]
    );
    drop((reader, storage));

    let installed = Draft {
        truncate: Some(Index(3)),
        entries: vec![entry(10, 4, "behind")],
        ..of_snapshot(snapshot(9, 4, "other"))
    };
    write_to(&mut disk, vec![installed]).await;
    let mut storage = disk.open().await;
    storage.recover(0).await.expect("it is undamaged");

    let reader = storage.log();
    assert_eq!(read(&*reader, 3, 4, u64::MAX).await, []);
    assert_eq!(
        read(&*reader, 10, 10, u64::MAX).await,
        [entry(10, 4, "behind")]
    );
}

/// The log is read while writes are made behind what is read.
///
/// # Panics
/// When the promise is broken.
pub async fn the_log_is_read_while_writes_are_made(mut disk: impl Disk) {
    let mut storage = disk.open().await;
    storage.recover(u64::MAX).await.expect("it is blank");
    let reader = storage.log();
    let mut log = vec![entry(1, 1, "command")];
    let first = Write {
        entries: log.clone(),
        ..Write::default()
    };
    storage.write(vec![first]).await.expect("it is in order");

    for index in 2..=30 {
        let next = entry(index, 1, "command");
        let write = Write {
            entries: vec![next.clone()],
            ..Write::default()
        };
        let durable = log.len();
        let (read, written) = futures::future::join(
            read(&*reader, 1, durable, u64::MAX),
            storage.write(vec![write]),
        )
        .await;
        written.expect("it is in order");
        assert_eq!(read, log);
        log.push(next);
    }
}

/// A log that is recovered with little of it in memory tells the same as all of it does: the terms of its entries,
/// where it ends, and the configuration in force. What may not be committed is there as entries in any case.
///
/// # Panics
/// When the promise is broken.
pub async fn a_log_that_is_outlined_tells_the_same(mut disk: impl Disk) {
    let configured = Entry {
        payload: Payload::Configuration(Configuration::of_voters([ServerId(3)]).into()),
        ..entry(4, 2, "")
    };
    let log = vec![
        entry(1, 1, "a"),
        entry(2, 1, "b"),
        entry(3, 2, "c"),
        configured,
        entry(5, 4, "e"),
    ];
    let behind = vec![entry(6, 4, "f"), entry(7, 7, "g"), entry(8, 7, "h")];
    let compacted = Draft {
        compact: Some(Index(1)),
        ..of_snapshot(snapshot(2, 1, "ab"))
    };
    // Up to entry 7 it is committed.
    let noted = Draft {
        hard_state: Some(hard_state(7, None)),
        ..of_entries(behind)
    };
    write_to(&mut disk, vec![of_entries(log), compacted, noted]).await;

    let whole = recovered_within(&mut disk, u64::MAX).await;
    for bytes_max in [0, 1, whole.entries[0].memory() * 3, 10_000] {
        let bounded = recovered_within(&mut disk, bytes_max).await;

        let (outline, held) = (&bounded.outline, &bounded.entries);
        let uncommitted = held.last().map(|entry| entry.index);
        assert_eq!(uncommitted, Some(Index(8)), "of at most {bytes_max} bytes");
        let begin = whole.entries.len() - held.len();
        assert_eq!(*held, whole.entries[begin..]);
        for entry in &whole.entries[..begin] {
            let told = outline.term_at(entry.index);
            assert_eq!(told, Some(entry.term), "of entry {}", entry.index);
        }
        let outlined = outline.last().index.distance_from(outline.base().index);
        assert!(begin as u64 == outlined || bounded.outline.is_empty() && begin == 0);
        assert_eq!(bounded.hard_state, whole.hard_state);
        assert_eq!(bounded.snapshot, whole.snapshot);
        let (raft, other) = (begun(&whole), begun(&bounded));
        assert_eq!(raft.positions().last, other.positions().last);
        assert_eq!(raft.configuration(), other.configuration());
    }
}

/// The protocol as it goes on from what is stored.
fn begun(recovered: &Recovered) -> Raft {
    let (server, now) = (ServerId(1), Instant::ORIGIN);
    let raft = Raft::new(server, Config::default(), recovered.clone(), now, 0);
    raft.expect("what is stored is in order")
}

async fn recovered_within(disk: &mut impl Disk, bytes_max: u64) -> Recovered {
    let recovered = disk.open().await.recover(bytes_max).await;
    recovered.expect("it is undamaged")
}

async fn read(reader: &dyn LogReader, from: usize, through: usize, bytes_max: u64) -> Vec<Entry> {
    let [from, through] = [from, through].map(|index| Index(index as u64));
    let read = reader.read(from, through, bytes_max).await;
    read.expect("what is there can be read")
}
