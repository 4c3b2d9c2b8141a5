//! Says why a member has stopped.

use thiserror::Error;

use crate::applier::MachineFault;
use crate::ids::ServerId;
use crate::storage::StorageError;

/// Why a member has stopped.
#[derive(Clone, Debug, PartialEq, Eq, Error)]
#[non_exhaustive]
pub enum StopReason {
    /// It was asked to.
    #[error("it was shut down")]
    Shutdown,
    /// The last of its handles was dropped.
    #[error("its last handle was dropped")]
    Dropped,
    /// Its storage failed: what the disk holds is not known, so nothing more may be promised.
    #[error("its storage failed: {0}")]
    Storage(String),
    /// Its storage has no room. What it acknowledged is there: with room it goes on from that.
    #[error("its storage failed: {0}")]
    StorageFull(String),
    /// What was stored was removed while it ran. Its id belongs to what is lost: it comes back as a new server.
    #[error("its storage failed: {0}")]
    StorageLost(String),
    /// Its state machine could not go on.
    #[error("its state machine failed: {0}")]
    StateMachine(MachineFault),
    /// Another member speaks a version that this one does not know.
    #[error("server {from} uses what this version does not know: {what}: upgrade this member")]
    Unsupported {
        /// The member.
        from: ServerId,
        /// What is not known.
        what: String,
    },
    /// Its storage has lost what it had acknowledged, as its leader found: it was wiped, set back or exchanged. Its id
    /// belongs to what was lost. It comes back under another id, with empty storage, and joins as a new server does.
    #[error("its storage has lost what it acknowledged: it must come back under another id")]
    Forgot,
    /// Its transport does not carry the longest entry of the cluster that it was added to.
    #[error("the transport carries frames of {frame_bytes_max} bytes, {bytes} may be needed")]
    FramesTooShort {
        /// The longest frame that it carries.
        frame_bytes_max: usize,
        /// What one entry may take.
        bytes: u64,
    },
    /// Its transport is closed for good.
    #[error("its transport was closed")]
    TransportClosed,
    /// The runtime that it ran on ended, and dropped its tasks one by one.
    #[error("its runtime ended")]
    RuntimeEnded,
}

impl StopReason {
    /// Why a member stops whose storage has failed so.
    pub(super) fn storage(error: &StorageError) -> Self {
        let reason = match error {
            StorageError::Full { .. } => Self::StorageFull,
            StorageError::Lost { .. } => Self::StorageLost,
            _ => Self::Storage,
        };
        reason(error.to_string())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_full_or_lost_storage_is_told_from_one_that_failed() {
        let full = StorageError::Full { action: "write" };
        let lost = StorageError::Lost {
            store: "it".to_owned(),
        };
        let other = StorageError::Stopped {
            reason: "it failed".to_owned(),
        };

        let reasons = [full, lost, other].map(|error| StopReason::storage(&error));

        assert!(matches!(
            reasons,
            [
                StopReason::StorageFull(_),
                StopReason::StorageLost(_),
                StopReason::Storage(_)
            ]
        ));
    }
}
