//! What must survive: the term and vote, the log, the snapshot.
//!
//! [`Storage`] is the seam; [`DiskStorage`] keeps what is stored in a folder, [`MemoryStorage`] as long as its process
//! lives, and [`conformance`] is the promise of a storage as tests that every implementation passes.

pub mod conformance;
mod disk;
mod memory;
pub mod outbox;

use std::fmt;

use async_trait::async_trait;
use thiserror::Error;

pub use disk::{DiskStorage, Repair};
pub use memory::MemoryStorage;

use crate::configuration::History;
use crate::consensus::{Recovered, Write};
use crate::identity::Identity;
use crate::ids::ClusterId;

/// A member's disk. The driver makes one write at a time and in order, and merges what has gathered meanwhile: that is
/// group commit.
///
/// A server's id is made with its storage, which keeps the key that the id is the digest of. Storage that was wiped has
/// lost the key, and is another server's. Storage that was set back to an earlier state or copied must not be used
/// again: the server has forgotten votes and entries that others count on. Some of this is found while it runs: blank
/// members give no votes, and a leader whose member has less than it acknowledged in the leader's own term stops
/// counting it and has it stop (`StopReason::Forgot`). A leader that was elected after the loss cannot know of it.
///
/// Storage that is bound to no cluster has never taken part in one: what it holds counts for nothing.
#[async_trait]
pub trait Storage: Send + 'static {
    /// Returns whose storage it is: drawn when the storage was made, the same ever since but for the number of the
    /// start. That number is counted up, durably, before [`recover`](Self::recover) returns for the first time.
    fn identity(&self) -> &Identity;

    /// Returns the cluster that the storage is bound to; `None` as long as it is bound to none.
    fn cluster(&self) -> Option<ClusterId>;

    /// Returns the founding of its cluster that the storage is bound to; `None` as long as that is not known.
    fn history(&self) -> Option<History>;

    /// Binds the storage to a cluster, and to one founding of it if that is known, durably. Once bound it stays bound.
    ///
    /// # Errors
    /// [`StorageError::Foreign`] if it is bound to another cluster or founding, whereupon nothing has changed; any other
    /// if it cannot be written.
    async fn bind(
        &mut self,
        cluster: ClusterId,
        history: Option<History>,
    ) -> Result<(), StorageError>;

    /// Reads what is stored; the default value if nothing is. Called when a member starts, before it writes, and when a
    /// cluster is founded.
    async fn recover(&mut self) -> Result<Recovered, StorageError>;

    /// Makes these writes durable, in order. Once it resolves, none of them can be lost; if it fails, or is dropped
    /// before, any prefix of them may be.
    async fn write(&mut self, writes: Vec<Write>) -> Result<(), StorageError>;
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
    /// What is stored contradicts itself.
    #[error("the stored {what} is damaged: {reason}")]
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
    #[error("the folder {folder} is in use by another member")]
    InUse {
        /// The folder.
        folder: String,
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

/// Which cluster a storage belongs to, and which founding of it.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
struct Bound {
    cluster: Option<ClusterId>,
    history: Option<History>,
}

impl Bound {
    /// Returns what it is once it is bound to this as well.
    fn to(self, cluster: ClusterId, history: Option<History>) -> Result<Self, StorageError> {
        let wanted = Self {
            cluster: Some(cluster),
            history,
        };
        let is_other = self.cluster.is_some_and(|found| found != cluster)
            || self
                .history
                .is_some_and(|found| history.is_some_and(|own| own != found));
        if is_other {
            return Err(StorageError::Foreign {
                found: self.to_string(),
                wanted: wanted.to_string(),
            });
        }
        Ok(Self {
            history: self.history.or(history),
            ..wanted
        })
    }
}

impl fmt::Display for Bound {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match (self.cluster, self.history) {
            (Some(cluster), Some(History(history))) => {
                write!(f, "history {history:#x} of cluster {cluster}")
            }
            (Some(cluster), None) => write!(f, "cluster {cluster}"),
            (None, _) => f.write_str("no cluster"),
        }
    }
}
