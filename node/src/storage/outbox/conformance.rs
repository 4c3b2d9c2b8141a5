//! Checks what an [`OutboxStore`] promises, in tests that every implementation passes, those of applications included.
//!
//! A check panics with what went wrong, as a test does. [`check_all`] makes them all, each on a blank disk, and names
//! the one that fails:
//!
//! ```
//! # mod liferaft { pub use {liferaft_node::*, liferaft_raft::*}; }
//! use liferaft::storage::outbox::{MemoryOutboxStore, conformance};
//!
//! struct InMemory(MemoryOutboxStore);
//!
//! impl conformance::Disk for InMemory {
//!     type Store = MemoryOutboxStore;
//!
//!     async fn open(&mut self) -> MemoryOutboxStore {
//!         self.0.clone()
//!     }
//! }
//!
//! # #[tokio::main(flavor = "current_thread")]
//! # async fn main() {
//! conformance::check_all(async || InMemory(MemoryOutboxStore::default())).await;
//! # }
//! ```
//!
//! That a write is atomic under a crash is for each store to show by itself: only it knows where it can be cut.

use std::future::Future;

use bytes::Bytes;

use super::{OutboxPosition, OutboxStore, OutboxWrite, RecoveredOutbox, StoredCommand};
use crate::ids::Index;
use crate::storage::conformance::promise::each_is_kept;

/// What a store stores on, and outlives it.
pub trait Disk {
    /// The store that is checked.
    type Store: OutboxStore;

    /// Opens it as after a restart. The store that was opened before has been dropped.
    fn open(&mut self) -> impl Future<Output = Self::Store>;
}

/// Makes all checks, each on a disk of its own that `blank` makes.
///
/// # Panics
/// When a promise is broken.
pub async fn check_all<D: Disk>(blank: impl AsyncFn() -> D) {
    each_is_kept! {
        blank;
        a_blank_disk_recovers_nothing
        commands_and_position_written_together_are_recovered_together
        parts_that_a_write_leaves_out_stay
        removed_commands_are_gone_and_the_others_stay
        commands_are_appended_behind_those_that_are_removed_in_the_same_write
        an_empty_write_changes_nothing
        any_bytes_survive
    }
}

/// A disk that nothing was written to gives back the default.
///
/// # Panics
/// When the promise is broken, as all checks do.
pub async fn a_blank_disk_recovers_nothing(mut disk: impl Disk) {
    assert_eq!(recovered(&mut disk).await, RecoveredOutbox::default());
}

/// Both parts of a write come back after a restart.
///
/// # Panics
/// When the promise is broken.
pub async fn commands_and_position_written_together_are_recovered_together(mut disk: impl Disk) {
    let write = OutboxWrite {
        position: Some(position(2)),
        append: vec![command(1, b"a"), command(2, b"b")],
        remove_through: None,
    };

    write_to(&mut disk, vec![write]).await;

    assert_eq!(
        recovered(&mut disk).await,
        RecoveredOutbox {
            position: Some(position(2)),
            commands: vec![command(1, b"a"), command(2, b"b")],
        }
    );
}

/// A write without a position, or without commands, leaves those that are stored.
///
/// # Panics
/// When the promise is broken.
pub async fn parts_that_a_write_leaves_out_stay(mut disk: impl Disk) {
    write_to(&mut disk, vec![of_commands(vec![command(1, b"a")])]).await;
    write_to(&mut disk, vec![of_position(position(1))]).await;
    write_to(&mut disk, vec![of_commands(vec![command(2, b"b")])]).await;

    let recovered = recovered(&mut disk).await;

    assert_eq!(recovered.position, Some(position(1)));
    assert_eq!(recovered.commands, [command(1, b"a"), command(2, b"b")]);
}

/// Removal takes a prefix, also one that ends before the first command or behind the last.
///
/// # Panics
/// When the promise is broken.
pub async fn removed_commands_are_gone_and_the_others_stay(mut disk: impl Disk) {
    let commands = (1..=4).map(|number| command(number, b"x")).collect();
    write_to(
        &mut disk,
        vec![of_commands(commands), removal(2), removal(1)],
    )
    .await;

    let some = recovered(&mut disk).await;
    write_to(&mut disk, vec![removal(9)]).await;
    let none = recovered(&mut disk).await;

    assert_eq!(some.commands, [command(3, b"x"), command(4, b"x")]);
    assert_eq!(none.commands, []);
}

/// A write that removes and appends does both.
///
/// # Panics
/// When the promise is broken.
pub async fn commands_are_appended_behind_those_that_are_removed_in_the_same_write(
    mut disk: impl Disk,
) {
    write_to(&mut disk, vec![of_commands(vec![command(1, b"a")])]).await;
    let write = OutboxWrite {
        position: Some(position(1)),
        remove_through: Some(1),
        append: vec![command(2, b"b")],
    };

    write_to(&mut disk, vec![write]).await;

    assert_eq!(recovered(&mut disk).await.commands, [command(2, b"b")]);
}

/// A write of nothing is one.
///
/// # Panics
/// When the promise is broken.
pub async fn an_empty_write_changes_nothing(mut disk: impl Disk) {
    write_to(&mut disk, vec![of_commands(vec![command(1, b"a")])]).await;
    let before = recovered(&mut disk).await;

    write_to(&mut disk, vec![OutboxWrite::default()]).await;

    assert_eq!(recovered(&mut disk).await, before);
}

/// Commands and positions are kept byte for byte, whatever they are.
///
/// # Panics
/// When the promise is broken.
pub async fn any_bytes_survive(mut disk: impl Disk) {
    let all = StoredCommand {
        number: u64::MAX - 1,
        command: (0..=u8::MAX).collect(),
    };
    let empty = StoredCommand {
        number: u64::MAX,
        command: Bytes::new(),
    };
    let extreme = OutboxPosition {
        nonce: u128::MAX,
        session: None,
        first: u64::MAX,
        sent_through: u64::MAX,
    };
    let write = OutboxWrite {
        position: Some(extreme),
        append: vec![all.clone(), empty.clone()],
        remove_through: None,
    };

    write_to(&mut disk, vec![write]).await;

    assert_eq!(
        recovered(&mut disk).await,
        RecoveredOutbox {
            position: Some(extreme),
            commands: vec![all, empty],
        }
    );
}

async fn recovered(disk: &mut impl Disk) -> RecoveredOutbox {
    let mut store = disk.open().await;
    store
        .recover()
        .await
        .expect("an undamaged store can be read")
}

/// Opens the disk, reads what is stored, writes and stops.
async fn write_to(disk: &mut impl Disk, writes: Vec<OutboxWrite>) {
    let mut store = disk.open().await;
    store
        .recover()
        .await
        .expect("an undamaged store can be read");
    for write in writes {
        store.write(write).await.expect("these writes are in order");
    }
}

fn of_commands(append: Vec<StoredCommand>) -> OutboxWrite {
    OutboxWrite {
        append,
        ..OutboxWrite::default()
    }
}

fn of_position(position: OutboxPosition) -> OutboxWrite {
    OutboxWrite {
        position: Some(position),
        ..OutboxWrite::default()
    }
}

fn removal(through: u64) -> OutboxWrite {
    OutboxWrite {
        remove_through: Some(through),
        ..OutboxWrite::default()
    }
}

fn position(sent_through: u64) -> OutboxPosition {
    OutboxPosition {
        nonce: 7,
        session: Some(Index(5)),
        first: 1,
        sent_through,
    }
}

fn command(number: u64, bytes: &'static [u8]) -> StoredCommand {
    StoredCommand {
        number,
        command: Bytes::from_static(bytes),
    }
}
