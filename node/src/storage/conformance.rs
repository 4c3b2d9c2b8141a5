//! Checks what a [`Storage`] promises: every implementation passes, those of applications included.
//!
//! A check panics with what went wrong, as a test does. [`check_all`] makes them all, each on a blank disk, and names
//! the one that fails:
//!
//! ```
//! # mod liferaft { pub use {liferaft_node::*, liferaft_raft::*}; }
//! use liferaft::storage::{MemoryStorage, conformance};
//!
//! struct InMemory(MemoryStorage);
//!
//! impl conformance::Disk for InMemory {
//!     type Storage = MemoryStorage;
//!
//!     async fn open(&mut self) -> MemoryStorage {
//!         self.0.clone()
//!     }
//! }
//!
//! # #[tokio::main(flavor = "current_thread")]
//! # async fn main() {
//! conformance::check_all(async || InMemory(MemoryStorage::default())).await;
//! # }
//! ```

mod identity;
mod log;
pub(super) mod promise;
mod snapshots;

use std::future::Future;
use std::time::Duration;

use bytes::Bytes;

pub use self::identity::{
    a_bound_disk_stays_bound, an_identity_stays_with_its_disk,
    boots_of_other_servers_are_remembered, each_start_has_a_later_boot_and_another_nonce,
    each_start_tells_of_those_before_it, two_blank_disks_are_two_servers,
};
pub use self::log::{
    a_compacted_entry_is_not_read, a_log_that_is_outlined_tells_the_same,
    any_range_of_the_log_is_read, the_log_is_read_as_it_became_by_truncation,
    the_log_is_read_while_writes_are_made,
};
use self::promise::{each_is_kept, is_kept};
pub use self::snapshots::{
    a_snapshot_in_force_stays_until_another_is, a_snapshot_is_stored_while_writes_are_made,
    a_snapshot_of_another_length_or_digest_is_not_finished,
    a_snapshot_that_no_write_names_is_gone_after_a_restart,
    a_write_that_names_an_unfinished_snapshot_is_refused,
    the_state_of_a_snapshot_is_read_in_any_ranges,
};
use super::{Snapshot, SnapshotLane, SnapshotName, Storage, Write};
use crate::boots::Boots;
use crate::configuration::Configuration;
use crate::consensus::{HardState, Recovered, WriteId};
use crate::entry::{Entry, Payload};
use crate::ids::{Boot, Index, LogPosition, ServerId, Term};
use crate::message::SnapshotMetadata;
use crate::time::ClusterTime;
use crate::wire::NUMBER_END;

/// What a storage stores on, and outlives it.
pub trait Disk {
    /// The storage that is checked.
    type Storage: Storage;

    /// Opens it as after a restart. The storage that was opened before has been dropped.
    fn open(&mut self) -> impl Future<Output = Self::Storage>;
}

/// Makes all checks, each on a disk of its own that `blank` makes.
///
/// # Panics
/// When a promise is broken.
pub async fn check_all<D: Disk>(blank: impl AsyncFn() -> D) {
    each_is_kept! {
        blank;
        a_blank_disk_recovers_nothing
        what_was_written_is_recovered
        parts_that_a_write_leaves_out_stay
        writes_made_together_are_made_in_order
        a_truncated_tail_is_gone_and_what_replaces_it_stays
        compaction_drops_what_the_snapshot_covers
        a_snapshot_of_a_leader_replaces_the_whole_log
        a_later_snapshot_replaces_an_earlier_one
        an_emptied_log_goes_on_where_it_ends
        a_snapshot_and_the_log_behind_it_may_come_in_one_go
        nothing_changes_while_nothing_is_written
        an_empty_write_changes_nothing
        every_payload_survives_byte_for_byte
        what_was_written_is_recovered_without_a_restart
        an_identity_stays_with_its_disk
        each_start_has_a_later_boot_and_another_nonce
        each_start_tells_of_those_before_it
        a_bound_disk_stays_bound
        boots_of_other_servers_are_remembered
        the_state_of_a_snapshot_is_read_in_any_ranges
        a_snapshot_that_no_write_names_is_gone_after_a_restart
        a_snapshot_of_another_length_or_digest_is_not_finished
        a_snapshot_in_force_stays_until_another_is
        a_write_that_names_an_unfinished_snapshot_is_refused
        a_snapshot_is_stored_while_writes_are_made
        any_range_of_the_log_is_read
        the_log_is_read_as_it_became_by_truncation
        a_compacted_entry_is_not_read
        the_log_is_read_while_writes_are_made
        a_log_that_is_outlined_tells_the_same
        a_closed_storage_recovers_what_was_written
    }
    let two = two_blank_disks_are_two_servers(blank().await, blank().await);
    is_kept("two_blank_disks_are_two_servers", two).await;
}

/// A disk that nothing was written to gives back the default.
///
/// # Panics
/// When the promise is broken, as all checks do.
pub async fn a_blank_disk_recovers_nothing(mut disk: impl Disk) {
    assert_eq!(recovered(&mut disk).await, Found::default());
}

/// The whole hard state, the snapshot and the log come back after a restart.
///
/// # Panics
/// When the promise is broken.
pub async fn what_was_written_is_recovered(mut disk: impl Disk) {
    let write = Draft {
        hard_state: Some(hard_state(3, Some(7))),
        peer_boots: Some(boots([(8, 2), (9, 5)])),
        snapshot: Some(snapshot(2, 1, "state")),
        entries: vec![entry(3, 1, "c"), entry(4, 3, "d")],
        ..Draft::default()
    };

    write_to(&mut disk, vec![write]).await;

    assert_eq!(
        recovered(&mut disk).await,
        Found {
            hard_state: hard_state(3, Some(7)),
            peer_boots: boots([(8, 2), (9, 5)]),
            snapshot: Some(snapshot(2, 1, "state")),
            entries: vec![entry(3, 1, "c"), entry(4, 3, "d")],
        }
    );
}

/// A write without a hard state, or without entries, leaves those that are stored.
///
/// # Panics
/// When the promise is broken.
pub async fn parts_that_a_write_leaves_out_stay(mut disk: impl Disk) {
    write_to(&mut disk, vec![of_entries(vec![entry(1, 1, "a")])]).await;
    write_to(
        &mut disk,
        vec![Draft {
            hard_state: Some(hard_state(2, None)),
            ..Draft::default()
        }],
    )
    .await;
    write_to(&mut disk, vec![of_entries(vec![entry(2, 2, "b")])]).await;

    let recovered = recovered(&mut disk).await;

    assert_eq!(recovered.hard_state, hard_state(2, None));
    assert_eq!(recovered.entries, [entry(1, 1, "a"), entry(2, 2, "b")]);
}

/// Several writes given at once are made one after the other.
///
/// # Panics
/// When the promise is broken.
pub async fn writes_made_together_are_made_in_order(mut disk: impl Disk) {
    let writes = vec![
        Draft {
            id: WriteId(1),
            ..of_entries(vec![entry(1, 1, "a"), entry(2, 1, "b")])
        },
        Draft {
            id: WriteId(2),
            hard_state: Some(hard_state(2, Some(1))),
            truncate: Some(Index(2)),
            entries: vec![entry(2, 2, "B")],
            ..Draft::default()
        },
        Draft {
            id: WriteId(3),
            hard_state: Some(hard_state(3, None)),
            ..Draft::default()
        },
    ];

    write_to(&mut disk, writes).await;

    let recovered = recovered(&mut disk).await;
    assert_eq!(recovered.hard_state, hard_state(3, None));
    assert_eq!(recovered.entries, [entry(1, 1, "a"), entry(2, 2, "B")]);
}

/// A truncated tail does not come back, and shorter logs than before are possible.
///
/// # Panics
/// When the promise is broken.
pub async fn a_truncated_tail_is_gone_and_what_replaces_it_stays(mut disk: impl Disk) {
    let log = vec![
        entry(1, 1, "a"),
        entry(2, 1, "b"),
        entry(3, 1, "c"),
        entry(4, 1, "d"),
    ];
    write_to(&mut disk, vec![of_entries(log)]).await;

    write_to(
        &mut disk,
        vec![Draft {
            truncate: Some(Index(4)),
            ..Draft::default()
        }],
    )
    .await;
    let replaced = Draft {
        truncate: Some(Index(2)),
        ..of_entries(vec![entry(2, 2, "B")])
    };
    write_to(&mut disk, vec![replaced]).await;

    assert_eq!(
        recovered(&mut disk).await.entries,
        [entry(1, 1, "a"), entry(2, 2, "B")]
    );
}

/// Entries up to the compacted index go, the others stay, and the log goes on behind them.
///
/// # Panics
/// When the promise is broken.
pub async fn compaction_drops_what_the_snapshot_covers(mut disk: impl Disk) {
    let log = vec![entry(1, 1, "a"), entry(2, 1, "b"), entry(3, 1, "c")];
    write_to(&mut disk, vec![of_entries(log)]).await;

    let compacted = Draft {
        snapshot: Some(snapshot(2, 1, "ab")),
        entries: vec![entry(4, 1, "d")],
        compact: Some(Index(1)),
        ..Draft::default()
    };
    write_to(&mut disk, vec![compacted]).await;
    write_to(
        &mut disk,
        vec![Draft {
            compact: Some(Index(2)),
            ..Draft::default()
        }],
    )
    .await;
    write_to(&mut disk, vec![of_entries(vec![entry(5, 1, "e")])]).await;

    let recovered = recovered(&mut disk).await;
    assert_eq!(recovered.snapshot, Some(snapshot(2, 1, "ab")));
    assert_eq!(
        recovered.entries,
        [entry(3, 1, "c"), entry(4, 1, "d"), entry(5, 1, "e")]
    );
}

/// A snapshot that conflicts with the log, or lies beyond it, takes its place (§5.2), and the log begins just after.
///
/// # Panics
/// When the promise is broken.
pub async fn a_snapshot_of_a_leader_replaces_the_whole_log(mut disk: impl Disk) {
    write_to(
        &mut disk,
        vec![of_entries(vec![entry(1, 1, "a"), entry(2, 1, "b")])],
    )
    .await;

    let installed = Draft {
        snapshot: Some(snapshot(9, 4, "state")),
        truncate: Some(Index(1)),
        entries: vec![entry(10, 4, "j")],
        ..Draft::default()
    };
    write_to(&mut disk, vec![installed]).await;

    let recovered = recovered(&mut disk).await;
    assert_eq!(recovered.snapshot, Some(snapshot(9, 4, "state")));
    assert_eq!(recovered.entries, [entry(10, 4, "j")]);
}

/// The newest snapshot is the one that comes back, and the log behind it goes on.
///
/// # Panics
/// When the promise is broken.
pub async fn a_later_snapshot_replaces_an_earlier_one(mut disk: impl Disk) {
    let log = vec![entry(1, 1, "a"), entry(2, 1, "b"), entry(3, 1, "c")];
    write_to(&mut disk, vec![of_entries(log)]).await;

    for write in [
        of_snapshot(snapshot(1, 1, "a")),
        of_snapshot(snapshot(2, 1, "ab")),
        of_entries(vec![entry(4, 1, "d")]),
        of_snapshot(snapshot(3, 1, "abc")),
    ] {
        write_to(&mut disk, vec![write]).await;
    }

    let recovered = recovered(&mut disk).await;
    assert_eq!(recovered.snapshot, Some(snapshot(3, 1, "abc")));
    assert_eq!(recovered.entries.last(), Some(&entry(4, 1, "d")));
}

/// A log all of which was dropped, or compacted, is empty, and entries may follow it.
///
/// # Panics
/// When the promise is broken.
pub async fn an_emptied_log_goes_on_where_it_ends(mut disk: impl Disk) {
    write_to(&mut disk, vec![of_entries(vec![entry(1, 1, "a")])]).await;
    let dropped = Draft {
        truncate: Some(Index(1)),
        ..Draft::default()
    };
    write_to(&mut disk, vec![dropped]).await;
    assert_eq!(recovered(&mut disk).await.entries, []);

    let again = vec![entry(1, 2, "A"), entry(2, 2, "b")];
    write_to(&mut disk, vec![of_entries(again)]).await;
    let compacted = Draft {
        compact: Some(Index(2)),
        ..of_snapshot(snapshot(2, 2, "Ab"))
    };
    write_to(&mut disk, vec![compacted]).await;
    assert_eq!(recovered(&mut disk).await.entries, []);
    write_to(&mut disk, vec![of_entries(vec![entry(3, 2, "c")])]).await;

    let recovered = recovered(&mut disk).await;
    assert_eq!(recovered.snapshot, Some(snapshot(2, 2, "Ab")));
    assert_eq!(recovered.entries, [entry(3, 2, "c")]);
}

/// Writes given at once may bring several snapshots, and entries between them.
///
/// # Panics
/// When the promise is broken.
pub async fn a_snapshot_and_the_log_behind_it_may_come_in_one_go(mut disk: impl Disk) {
    write_to(&mut disk, vec![of_entries(vec![entry(1, 1, "a")])]).await;

    let writes = vec![
        Draft {
            truncate: Some(Index(1)),
            entries: vec![entry(6, 3, "f"), entry(7, 3, "g")],
            ..of_snapshot(snapshot(5, 2, "a-e"))
        },
        Draft {
            entries: vec![entry(8, 3, "h")],
            compact: Some(Index(6)),
            ..of_snapshot(snapshot(6, 3, "a-f"))
        },
    ];
    write_to(&mut disk, writes).await;

    let recovered = recovered(&mut disk).await;
    assert_eq!(recovered.snapshot, Some(snapshot(6, 3, "a-f")));
    assert_eq!(recovered.entries, [entry(7, 3, "g"), entry(8, 3, "h")]);
}

/// A member that starts and stops without a write, again and again, finds the same each time.
///
/// # Panics
/// When the promise is broken.
pub async fn nothing_changes_while_nothing_is_written(mut disk: impl Disk) {
    let write = Draft {
        hard_state: Some(hard_state(2, Some(3))),
        entries: vec![entry(3, 2, "c")],
        ..of_snapshot(snapshot(2, 1, "ab"))
    };
    write_to(&mut disk, vec![write]).await;
    let first = recovered(&mut disk).await;

    for _ in 0..3 {
        assert_eq!(recovered(&mut disk).await, first);
    }
    assert_eq!(first.entries, [entry(3, 2, "c")]);
}

/// No writes, and a write of nothing, are made without harm.
///
/// # Panics
/// When the promise is broken.
pub async fn an_empty_write_changes_nothing(mut disk: impl Disk) {
    write_to(&mut disk, vec![of_entries(vec![entry(1, 1, "a")])]).await;

    write_to(&mut disk, vec![]).await;
    write_to(&mut disk, vec![Draft::default()]).await;

    assert_eq!(recovered(&mut disk).await.entries, [entry(1, 1, "a")]);
}

/// Commands of any bytes and length, configurations and no-ops come back as they were.
///
/// # Panics
/// When the promise is broken.
pub async fn every_payload_survives_byte_for_byte(mut disk: impl Disk) {
    let joint = Configuration::of_voters([ServerId(1), ServerId(u128::MAX)])
        .joined_with(&Configuration::of_voters([ServerId(2)]));
    let all_bytes: Vec<u8> = (0..=u8::MAX).cycle().take(300_000).collect();
    let log = vec![
        Entry {
            payload: Payload::Noop,
            ..entry(1, 1, "")
        },
        Entry {
            payload: Payload::Configuration(joint.into()),
            ..entry(2, 1, "")
        },
        Entry {
            payload: Payload::Command(Bytes::from(all_bytes)),
            ..entry(3, 1, "")
        },
        Entry {
            stamp: ClusterTime(NUMBER_END - 1),
            ..entry(4, NUMBER_END - 1, "")
        },
    ];

    write_to(&mut disk, vec![of_entries(log.clone())]).await;

    assert_eq!(recovered(&mut disk).await.entries, log);
}

/// What was written since the storage was opened is recovered from it, as after founding a cluster.
///
/// # Panics
/// When the promise is broken.
pub async fn what_was_written_is_recovered_without_a_restart(mut disk: impl Disk) {
    let mut storage = disk.open().await;
    let blank = storage
        .recover(u64::MAX)
        .await
        .expect("a blank disk can be read");
    let boot = storage.identity().boot();
    let log = vec![entry(1, 1, "a"), entry(2, 1, "b")];
    let write = Write {
        hard_state: Some(hard_state(1, None)),
        entries: log.clone(),
        ..Write::default()
    };
    let written = storage.write(vec![write]).await;
    written.expect("it begins the log");

    let recovered = storage
        .recover(u64::MAX)
        .await
        .expect("it was just written");

    assert_eq!(blank, Recovered::default());
    assert_eq!(recovered.hard_state, hard_state(1, None));
    assert_eq!(recovered.entries, log);
    assert!(storage.identity().boot() >= boot);
}

/// A storage that was closed in order holds what was written.
///
/// # Panics
/// When the promise is broken.
pub async fn a_closed_storage_recovers_what_was_written(mut disk: impl Disk) {
    let mut storage = disk.open().await;
    storage.recover(u64::MAX).await.expect("it is blank");
    let write = Write {
        entries: vec![entry(1, 1, "a")],
        ..Write::default()
    };
    storage.write(vec![write]).await.expect("it is in order");

    storage.close().await.expect("it can be closed");
    drop(storage);

    assert_eq!(recovered(&mut disk).await.entries, [entry(1, 1, "a")]);
}

/// A snapshot, with its state.
#[derive(Clone, Debug, PartialEq, Eq)]
struct Sample {
    metadata: SnapshotMetadata,
    data: Bytes,
}

/// A write whose snapshot has yet to go the lane.
#[derive(Clone, Debug, Default)]
struct Draft {
    id: WriteId,
    hard_state: Option<HardState>,
    peer_boots: Option<Boots>,
    snapshot: Option<Sample>,
    truncate: Option<Index>,
    entries: Vec<Entry>,
    compact: Option<Index>,
}

/// What is stored, with the state of the snapshot.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
struct Found {
    hard_state: HardState,
    peer_boots: Boots,
    snapshot: Option<Sample>,
    entries: Vec<Entry>,
}

async fn recovered(disk: &mut impl Disk) -> Found {
    let mut storage = disk.open().await;
    let recovered = storage
        .recover(u64::MAX)
        .await
        .expect("an undamaged disk can be read");
    let mut snapshot = None;
    if let Some(Snapshot { name, metadata }) = recovered.snapshot {
        let data = read(&*storage.snapshots(), name).await;
        let data = data.expect("the one in force is there");
        snapshot = Some(Sample { metadata, data });
    }
    Found {
        hard_state: recovered.hard_state,
        peer_boots: recovered.peer_boots,
        snapshot,
        entries: recovered.entries,
    }
}

/// Writes as a member does that starts, reads what is stored, stores the snapshots, writes and stops.
async fn write_to(disk: &mut impl Disk, drafts: Vec<Draft>) {
    let mut storage = disk.open().await;
    storage
        .recover(u64::MAX)
        .await
        .expect("an undamaged disk can be read");
    let lane = storage.snapshots();
    let mut writes = Vec::new();
    for draft in drafts {
        let mut snapshot = None;
        if let Some(Sample { metadata, data }) = draft.snapshot {
            snapshot = put(&*lane, metadata, [data]).await;
        }
        writes.push(Write {
            id: draft.id,
            hard_state: draft.hard_state,
            peer_boots: draft.peer_boots,
            snapshot,
            truncate: draft.truncate,
            entries: draft.entries,
            compact: draft.compact,
        });
    }
    storage
        .write(writes)
        .await
        .expect("these writes are in order");
}

/// Stores a snapshot whose state comes in these pieces. `None` if that is not what it says.
pub(super) async fn put(
    lane: &dyn SnapshotLane,
    metadata: SnapshotMetadata,
    pieces: impl IntoIterator<Item = Bytes>,
) -> Option<Snapshot> {
    let name = lane.begin().await.expect("a snapshot can be begun");
    for piece in pieces {
        lane.append(name, piece).await.expect("it was begun");
    }
    let finished = lane.finish(name, metadata.length, metadata.digest).await;
    finished
        .expect("it can be finished")
        .then_some(Snapshot { name, metadata })
}

/// The whole state of a snapshot, if it is there.
async fn read(lane: &dyn SnapshotLane, name: SnapshotName) -> Option<Bytes> {
    let read = lane.read(name, 0, usize::MAX).await;
    read.expect("what is there can be read")
}

fn of_entries(entries: Vec<Entry>) -> Draft {
    Draft {
        entries,
        ..Draft::default()
    }
}

fn of_snapshot(snapshot: Sample) -> Draft {
    Draft {
        snapshot: Some(snapshot),
        ..Draft::default()
    }
}

/// Boots of servers, by id and number.
pub(super) fn boots<const COUNT: usize>(seen: [(u128, u64); COUNT]) -> Boots {
    let boot = |number| Boot {
        number,
        nonce: u64::MAX - number,
    };
    let seen = seen.into_iter();
    seen.map(|(id, number)| (ServerId(id), boot(number)))
        .collect()
}

/// Every part of it differs from those of another term.
pub(super) const fn hard_state(term: u64, voted_for: Option<u128>) -> HardState {
    let voted_for = match voted_for {
        Some(id) => Some(ServerId(id)),
        None => None,
    };
    HardState {
        term: Term(term),
        voted_for,
        commit: Index(term),
        promise: Duration::from_nanos(1_000_000_000 + term),
    }
}

pub(super) fn entry(index: u64, term: u64, command: &'static str) -> Entry {
    Entry {
        index: Index(index),
        term: Term(term),
        stamp: ClusterTime(10 * index),
        payload: Payload::Command(Bytes::from_static(command.as_bytes())),
    }
}

fn snapshot(index: u64, term: u64, state: &'static str) -> Sample {
    Sample {
        metadata: metadata(index, term, state.as_bytes()),
        data: Bytes::from_static(state.as_bytes()),
    }
}

pub(super) fn metadata(index: u64, term: u64, state: &[u8]) -> SnapshotMetadata {
    SnapshotMetadata {
        last: LogPosition::new(Term(term), Index(index)),
        stamp: ClusterTime(10 * index),
        configuration: Configuration::of_voters([ServerId(1), ServerId(2)]).into(),
        configuration_index: Index(1),
        length: state.len() as u64,
        digest: crc32fast::hash(state),
    }
}
