//! Restores a state machine and the session table from a snapshot, while that is read from storage piece by piece.

use bytes::Bytes;
use liferaft_platform as platform;
use liferaft_platform::caught;

use super::{Applier, Report};
use crate::consensus::Snapshot;
use crate::driver::fault::MachineFault;
use crate::driver::snapshots::read_part;
use crate::ids::Index;
use crate::sessions::{Sessions, SnapshotError, Splitting};
use crate::state_machine::{RestoreError, Restoring, StateMachine};
use crate::storage::{SnapshotLane, StorageError};

/// So many bytes are read at a time, and taken without a break: some milliseconds of work.
const PIECE_BYTES: u64 = 256 << 10;

/// Why a snapshot was not restored.
#[derive(Debug)]
pub(in crate::driver) enum Unrestored {
    /// It could not be read.
    Unread(StorageError),
    /// What was read is not a snapshot of the state machine.
    Refused(RestoreError),
}

impl Unrestored {
    /// Returns what the driver is told of the snapshot that ends at `through`.
    pub(super) fn report<R>(self, through: Index) -> Report<R> {
        match self {
            Self::Unread(error) => Report::LaneFailed(error),
            Self::Refused(error) => Report::Failed(MachineFault::Restore {
                through,
                reason: error.to_string(),
            }),
        }
    }
}

impl From<StorageError> for Unrestored {
    fn from(error: StorageError) -> Self {
        Self::Unread(error)
    }
}

impl From<RestoreError> for Unrestored {
    fn from(error: RestoreError) -> Self {
        Self::Refused(error)
    }
}

impl<S: StateMachine> Applier<S> {
    /// Replaces the state by that of a snapshot, unless the state is as recent. It holds up no other task: heartbeats
    /// go on.
    pub(in crate::driver) async fn restore(
        self,
        lane: &dyn SnapshotLane,
        snapshot: &Snapshot,
    ) -> Result<Self, Unrestored> {
        let metadata = &snapshot.metadata;
        let through = metadata.last.index;
        if through <= self.applied {
            return Ok(self);
        }
        let Self {
            machine,
            nonces,
            mut ordered,
            ..
        } = self;
        let mut taking = Taking {
            splitting: Splitting::default(),
            restoring: tried(|| Ok(machine.restoring())),
        };
        let mut at = 0;
        while at < metadata.length {
            let bytes = (metadata.length - at).min(PIECE_BYTES);
            let bytes = usize::try_from(bytes).expect("a piece fits into memory");
            let piece = read_part(lane, snapshot.name, at, bytes).await?;
            at += piece.len() as u64;
            taking = elsewhere(move || Ok(taking.and(&piece))).await?;
        }
        let Taking {
            splitting,
            restoring,
        } = taking;
        // What is damaged is no state, whatever it was taken for.
        splitting
            .check(metadata.digest)
            .map_err(|error| damaged(&error))?;
        let restoring = restoring?;
        let (machine, sessions) = elsewhere(move || {
            let sessions = splitting.sessions().map_err(RestoreError::new)?;
            let sessions = Sessions::decode(sessions, through).map_err(RestoreError::new)?;
            Ok((restoring.finish()?, sessions))
        })
        .await?;
        for (nonce, session) in &mut ordered {
            *session = sessions.find(*nonce..=*nonce).map(|(_, name)| name);
        }
        Ok(Self {
            machine,
            applied: through,
            term: metadata.last.term,
            stamp: metadata.stamp,
            own: sessions.find(nonces.clone()),
            sessions,
            nonces,
            ordered,
        })
    }
}

/// A snapshot of which some has been read.
struct Taking<R> {
    splitting: Splitting,
    /// Why what has come is no snapshot, if it is none. The rest is read all the same: it may be damaged.
    restoring: Result<R, RestoreError>,
}

impl<R> Taking<R> {
    /// Takes the next piece.
    fn and<S>(mut self, piece: &Bytes) -> Self
    where
        R: Restoring<S>,
    {
        let state = self.splitting.take(piece).map_err(RestoreError::new);
        self.restoring = self.restoring.and_then(|mut restoring| {
            restoring.take(state?)?;
            Ok(restoring)
        });
        self
    }
}

fn damaged(error: &SnapshotError) -> StorageError {
    StorageError::Damaged {
        what: "snapshot",
        reason: error.to_string(),
    }
}

/// Does work that may take long, where it holds up no other task.
async fn elsewhere<T: Send + 'static>(
    work: impl FnOnce() -> Result<T, RestoreError> + Send + 'static,
) -> Result<T, RestoreError> {
    let mut work = Some(work);
    platform::compute(move || work.take().map(tried)).await
}

/// Calls a state machine that may panic over it.
fn tried<T>(work: impl FnOnce() -> Result<T, RestoreError>) -> Result<T, RestoreError> {
    caught(work).unwrap_or_else(|message| Err(RestoreError::new(format!("it panicked: {message}"))))
}
