//! What must survive: the term and vote, the log, the snapshot.
//!
//! [`Storage`] is the seam; [`DiskStorage`] keeps what is stored in a folder, [`MemoryStorage`] as long as its process
//! lives, and [`conformance`] is the promise of a storage as tests that every implementation passes.

pub mod conformance;
mod disk;
mod memory;
pub mod outbox;

use async_trait::async_trait;
use thiserror::Error;

pub use disk::{
    Backup, DiskStorage, EntryKind, EntryOutline, FileFlaw, FoundedAnew, HeaderOutline, Inspection,
    OutboxOutline, Repair, Verdict, back_up, found_anew, inspect, set_aside,
};
pub use memory::MemoryStorage;

use crate::consensus::{Recovered, Write};

/// A member's disk. The driver makes one write at a time and in order, and merges what has gathered meanwhile: that is
/// group commit.
///
/// A server's id belongs to its storage. Storage that was wiped, set back to an earlier state or copied is never used
/// under the id again: the server has forgotten votes and entries that others count on. It comes back under another id,
/// with empty storage. Some of this is found while it runs: blank members give no votes, and a leader whose member has
/// less than it acknowledged in the leader's own term stops counting it and has it stop (`StopReason::Forgot`). A
/// leader that was elected after the loss cannot know of it.
#[async_trait]
pub trait Storage: Send + 'static {
    /// Reads what is stored; the default value if nothing is. Called once, before anything else.
    async fn recover(&mut self) -> Result<Recovered, StorageError>;

    /// Makes these writes durable, in order. Once it resolves, none of them can be lost; if it fails, or is dropped
    /// before, any prefix of them may be.
    async fn write(&mut self, writes: Vec<Write>) -> Result<(), StorageError>;

    /// Returns true while there is no room on the disk but a reserve, which is being used up.
    ///
    /// A leader then takes no commands ([`ProposeError::NoRoom`](crate::driver::ProposeError::NoRoom)) and hands
    /// leadership over; all else goes on. Default false.
    fn is_low(&self) -> bool {
        false
    }

    /// Returns what the length of a write on the disk is a multiple of, in bytes. Default 1.
    ///
    /// A member compacts its log by what it takes on the disk: a write of one short entry takes a page.
    fn page_bytes(&self) -> u64 {
        1
    }
}

/// Why storage could not read or write. The member stops: what a disk holds after a failed write is not known. What was
/// acknowledged is still there when it is started again, unless it says that it is [damaged](Self::Damaged).
#[derive(Debug, Error)]
#[non_exhaustive]
pub enum StorageError {
    /// The operating system refused.
    #[error("cannot {action}: {source}")]
    Io {
        /// What was tried.
        action: &'static str,
        /// Why it failed.
        source: std::io::Error,
    },
    /// There is no room on the disk, and no reserve is left.
    #[error("cannot {action}: the disk is full; make room on it and start the member again")]
    Full {
        /// What was tried.
        action: &'static str,
    },
    /// What is stored contradicts itself.
    #[error(
        "the stored {what} is damaged: {reason}; `liferaft rebuild` sets it aside, so that the member can join anew"
    )]
    Damaged {
        /// What.
        what: &'static str,
        /// How that shows.
        reason: String,
    },
    /// What is stored was written by a version that knows more.
    #[error("the stored {what} is of format {format}, which this version does not support")]
    Unsupported {
        /// What.
        what: &'static str,
        /// The number of its format.
        format: u64,
    },
    /// Another storage has it open, in this process or another.
    #[error("{folder} is in use already, by this process or another")]
    InUse {
        /// The folder, or the file of an outbox in it.
        folder: String,
    },
    /// There is no store that was ever part of a cluster.
    #[error("there is no store of a cluster in {folder}")]
    Blank {
        /// The folder.
        folder: String,
    },
    /// The store is in order, and nothing is to be set aside.
    #[error("the store in {folder} is in order: its member can be started from it")]
    Sound {
        /// The folder.
        folder: String,
    },
    /// No outbox can have this name.
    #[error(
        "no outbox can be called {name:?}: a name has 1 to 64 characters, a to z, 0 to 9, - and _"
    )]
    Unnameable {
        /// The name.
        name: String,
    },
    /// It belongs to another cluster, or to another founding of this one.
    #[error("the store belongs to {found}, not to {wanted}")]
    Foreign {
        /// What it belongs to.
        found: String,
        /// What it should belong to.
        wanted: String,
    },
    /// An earlier write failed. Nothing is tried again: after a failed sync the system may take for written what is
    /// not.
    #[error(
        "nothing more is written, since an earlier write failed ({reason}); restart the member"
    )]
    Stopped {
        /// Why that failed.
        reason: String,
    },
}
