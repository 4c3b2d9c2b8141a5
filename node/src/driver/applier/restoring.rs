//! Restores a state machine and the session table from a snapshot, while that is read from storage piece by piece.

use liferaft_platform as platform;

use super::Report;
use crate::applier::{self, Applier, MachineFault};
use crate::consensus::Snapshot;
use crate::driver::snapshots::read_part;
use crate::ids::Index;
use crate::state_machine::{RestoreError, StateMachine};
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

impl From<applier::Unrestored> for Unrestored {
    fn from(error: applier::Unrestored) -> Self {
        match error {
            applier::Unrestored::Refused(error) => Self::Refused(error),
            applier::Unrestored::Damaged(error) => Self::Unread(StorageError::Damaged {
                what: "snapshot",
                reason: error.to_string(),
            }),
        }
    }
}

/// Replaces an applier's state by that of a snapshot, unless the state is as recent. It holds up no other task:
/// heartbeats go on.
pub(in crate::driver) async fn restored<S: StateMachine>(
    applier: Applier<S>,
    lane: &dyn SnapshotLane,
    snapshot: &Snapshot,
) -> Result<Applier<S>, Unrestored> {
    let metadata = &snapshot.metadata;
    if metadata.last.index <= applier.applied() {
        return Ok(applier);
    }
    let mut restoring = applier.restoring();
    let mut at = 0;
    while at < metadata.length {
        let bytes = (metadata.length - at).min(PIECE_BYTES);
        let bytes = usize::try_from(bytes).expect("a piece fits into memory");
        let piece = read_part(lane, snapshot.name, at, bytes).await?;
        at += piece.len() as u64;
        restoring = elsewhere(move || restoring.and(&piece)).await;
    }
    let metadata = metadata.clone();
    Ok(elsewhere(move || restoring.finish(&metadata)).await?)
}

/// Does work that may take long, where it holds up no other task.
async fn elsewhere<T: Send + 'static>(work: impl FnOnce() -> T + Send + 'static) -> T {
    let mut work = Some(work);
    platform::compute(move || work.take().map(|work| work())).await
}

#[cfg(test)]
mod tests {
    use bytes::Bytes;

    use super::*;
    use crate::configuration::Configuration;
    use crate::driver::testing::Log;
    use crate::entry::{Entry, Payload};
    use crate::ids::{LogPosition, Term};
    use crate::message::SnapshotMetadata;
    use crate::sessions::{Sessions, join_snapshot};
    use crate::storage::{MemoryStorage, Storage};
    use crate::time::ClusterTime;

    /// Stores a snapshot that ends at an index, and has it restored.
    async fn stored_and_restored(
        applier: Applier<Log>,
        log: &Log,
        through: u64,
        damage: u32,
    ) -> Result<Applier<Log>, Unrestored> {
        let state = join_snapshot(&Sessions::<u64>::default(), log.snapshot()).unwrap();
        let (length, digest) = (state.len() as u64, crc32fast::hash(&state));
        let lane = MemoryStorage::default().snapshots();
        let name = lane.begin().await.unwrap();
        lane.append(name, Bytes::from(state)).await.unwrap();
        assert!(lane.finish(name, length, digest).await.unwrap());
        let metadata = SnapshotMetadata {
            last: LogPosition::new(Term(1), Index(through)),
            stamp: ClusterTime(0),
            configuration: Configuration::default().into(),
            configuration_index: Index(0),
            length,
            digest: digest ^ damage,
        };
        restored(applier, &*lane, &Snapshot { metadata, name }).await
    }

    #[tokio::test]
    async fn an_older_snapshot_than_the_state_is_passed_over() {
        let mut applier = Applier::new(Log(vec![10, 20]), 7);
        let noop = |index| Entry {
            index: Index(index),
            term: Term(1),
            stamp: ClusterTime(0),
            payload: Payload::Noop,
        };
        let applied = [1, 2, 3].map(|index| applier.apply(&noop(index), false, &mut Vec::new()));
        assert_eq!(applied, [Ok(()), Ok(()), Ok(())]);

        let restored = stored_and_restored(applier, &Log(vec![10]), 2, 0).await;

        let restored = restored.unwrap();
        assert_eq!(
            (restored.applied(), &restored.machine().0[..]),
            (Index(3), &[10, 20][..])
        );
    }

    #[tokio::test]
    async fn a_snapshot_that_is_read_in_several_pieces_is_restored_whole() {
        let log = Log((0..300_000).collect());

        let restored = stored_and_restored(Applier::new(Log::default(), 7), &log, 300_000, 0).await;

        let restored = restored.unwrap();
        assert!(restored.machine().0 == log.0, "another state");
    }

    #[tokio::test]
    async fn a_damaged_snapshot_is_the_storages_fault() {
        let restored =
            stored_and_restored(Applier::new(Log::default(), 7), &Log::default(), 1, 1).await;

        let is_damaged = matches!(
            restored,
            Err(Unrestored::Unread(StorageError::Damaged { .. }))
        );
        assert!(is_damaged, "{restored:?}");
    }
}
