//! What must survive: the term and vote, the log, the snapshot.
//!
//! [`Storage`] is the seam; [`MemoryStorage`] keeps what is stored as long as its process lives, and [`conformance`] is
//! the promise of a storage as tests that every implementation passes.

pub mod conformance;
mod memory;
pub mod outbox;

use async_trait::async_trait;
use thiserror::Error;

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
}

/// Why storage could not read or write. The member stops: what a disk holds after a failed write is not known.
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
    /// What is stored contradicts itself.
    #[error("the stored {what} is damaged: {reason}")]
    Damaged {
        /// What.
        what: &'static str,
        /// How that shows.
        reason: String,
    },
}
