//! Stores what must survive of an outbox: the commands that wait, and how far the sending has got.
//!
//! [`OutboxStore`] is the seam; [`DiskOutboxStore`] keeps what is stored in a folder, [`BrowserOutboxStore`] in a
//! browser, [`MemoryOutboxStore`] as long as its process lives, and [`conformance`] is the promise of a store as tests
//! that every implementation passes.

pub mod conformance;
pub(super) mod memory;

use async_trait::async_trait;
use bytes::Bytes;

pub use memory::MemoryOutboxStore;

pub use super::browser::BrowserOutboxStore;
pub use super::disk::DiskOutboxStore;

use super::StorageError;
use crate::ids::Index;

/// Where an outbox keeps what must survive a restart. It belongs to one outbox at a time, and to one cluster.
///
/// Each write is atomic: after a crash it is there whole or not at all. That is what keeps a command from being doubled
/// or lost: the commands and the [`OutboxPosition`] under which they are sent are never seen apart. A store must not be
/// rolled back, as by restoring a copy: it would give numbers that the cluster has seen to other commands.
#[async_trait]
pub trait OutboxStore: Send + 'static {
    /// Reads what is stored; the default value if nothing is. Called once, before anything else.
    ///
    /// # Errors
    /// When what is stored cannot be read. The outbox is then not opened.
    async fn recover(&mut self) -> Result<RecoveredOutbox, StorageError>;

    /// Makes this write durable, whole or not at all. Once it resolves, it cannot be lost; if it fails, or is dropped
    /// before, it may be there or not.
    ///
    /// # Errors
    /// When it cannot be written. The outbox then closes.
    async fn write(&mut self, write: OutboxWrite) -> Result<(), StorageError>;
}

/// What a store gives back after a restart.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct RecoveredOutbox {
    /// The position that was written last.
    pub position: Option<OutboxPosition>,
    /// The commands that were appended and not removed, by their numbers, without a gap.
    pub commands: Vec<StoredCommand>,
}

/// A change to what is stored, of which any part may be left out.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct OutboxWrite {
    /// The position from here on.
    pub position: Option<OutboxPosition>,
    /// Commands up to this number are removed.
    pub remove_through: Option<u64>,
    /// Commands to add behind those that are stored, and behind those that were.
    pub append: Vec<StoredCommand>,
}

/// A command that waits.
#[derive(Clone, PartialEq, Eq)]
pub struct StoredCommand {
    /// Its number in the outbox, from 1, never given twice.
    pub number: u64,
    /// The command, opaque here.
    pub command: Bytes,
}

/// How far the sending of an outbox has got.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct OutboxPosition {
    /// What names the outbox where it opens its sessions.
    pub nonce: u128,
    /// The session under which commands are sent; `None` if there is none.
    pub session: Option<Index>,
    /// The number of the first command of that session.
    pub first: u64,
    /// Commands up to this number may have been sent; none after it has.
    pub sent_through: u64,
}

/// Tells how long the command is, and not what it says.
impl std::fmt::Debug for StoredCommand {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "command {} ({} bytes)", self.number, self.command.len())
    }
}
