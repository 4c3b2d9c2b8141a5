//! Defines what passes between the driver and the applier.

use std::sync::Arc;

use tokio::sync::{OwnedSemaphorePermit, mpsc};

use crate::applier::{Known, MachineFault, Own};
use crate::consensus::Apply;
use crate::driver::local::LocalRead;
use crate::driver::request::Read;
use crate::ids::Index;
use crate::sessions::JoinError;
use crate::state_machine::StateMachine;
use crate::storage::{SnapshotLane, SnapshotName, StorageError};
use crate::time::{ClusterTime, Instant};

/// What the driver gives to the applier, in order.
pub(in crate::driver) enum Job {
    /// Committed entries, or a snapshot. What becomes of the commands at these indices is to be told, in ascending
    /// order.
    Apply(Apply, Vec<Index>),
    /// The state is to be captured as it is then, as a snapshot of at most this many bytes.
    Capture { bytes_max: u64 },
    /// What becomes of the ordered session of this nonce and of its commands is to be reported.
    Watch { nonce: u128 },
    /// It need not be any more.
    Unwatch { nonce: u128 },
}

/// A question to the state machine, which has reached the index that the question needs.
pub(in crate::driver) enum Query<S: StateMachine> {
    /// Linearizable reads.
    Reads(Vec<Read<S>>),
    /// A read of whatever is there, known to be current as of a moment.
    Local {
        read: LocalRead<S>,
        as_of: Option<Instant>,
    },
}

/// A question, and the room that it takes up until it is answered.
pub(in crate::driver) struct Asked<S: StateMachine> {
    pub(in crate::driver) query: Query<S>,
    pub(in crate::driver) room: OwnedSemaphorePermit,
}

/// What the applier tells the driver, in order.
#[derive(Debug)]
pub(in crate::driver) enum Report<R> {
    /// Entries are applied up to here, with what that means for this member's own session, when something is to happen
    /// by cluster time alone, and what the replies kept for all sessions weigh.
    Applied {
        through: Index,
        own: Vec<Own<R>>,
        wakes_at: Option<ClusterTime>,
        reply_bytes: u64,
    },
    /// The state of a snapshot has taken the place of the old one, with what it knows of this member's sessions.
    Restored {
        through: Index,
        known: Known<R>,
        wakes_at: Option<ClusterTime>,
        reply_bytes: u64,
    },
    /// The state as of an entry with this index and stamp, encoded, and stored under a name. The replies in it weigh
    /// `reply_bytes`.
    Captured {
        through: Index,
        stamp: ClusterTime,
        reply_bytes: u64,
        snapshot: Result<Captured, NotCaptured>,
    },
    /// The lane of the storage could not store or read a snapshot.
    LaneFailed(StorageError),
    /// The ordered session of a nonce is watched from here on, or not any more.
    Watched,
    /// The state machine cannot go on.
    Failed(MachineFault),
}

/// A captured state, which is durable.
#[derive(Clone, Copy, Debug)]
pub(in crate::driver) struct Captured {
    pub(in crate::driver) name: SnapshotName,
    pub(in crate::driver) length: u64,
    pub(in crate::driver) digest: u32,
}

/// Why there is no snapshot of a captured state.
#[derive(Clone, Debug)]
pub(in crate::driver) enum NotCaptured {
    /// None may be made of it.
    Refused(JoinError),
    /// There is no room for it on the disk.
    NoRoom,
}

/// The applier's ends of its channels.
pub(in crate::driver) struct Ends<S: StateMachine> {
    pub(in crate::driver) jobs: mpsc::Receiver<Job>,
    pub(in crate::driver) queries: mpsc::Receiver<Asked<S>>,
    pub(in crate::driver) reports: mpsc::Sender<Report<S::Reply>>,
    /// Where snapshots are stored.
    pub(in crate::driver) lane: Arc<dyn SnapshotLane>,
}
