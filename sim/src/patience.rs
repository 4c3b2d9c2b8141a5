//! Bounds how long a cluster is waited for: for as long as it gets on.
//!
//! With a tiny window a long log or a large snapshot takes long. What is not forgiven is standing still, and going in
//! circles.

use std::collections::BTreeMap;

use liferaft_raft::ids::Index;
use liferaft_raft::message::InstallSnapshot;

use crate::clock::{Nanos, SECOND};
use crate::world::World;

/// The longest that anything may take, even if it gets on.
const MOST: Nanos = 1_200 * SECOND;

/// How long a cluster may stand still, in election timeouts.
const STANDING_STILL_ELECTION_TIMEOUTS: Nanos = 60;

/// Waits for something.
#[derive(Clone, Copy, Debug)]
pub struct Patience {
    reached: u64,
    deadline: Nanos,
    last_moment: Nanos,
}

impl Patience {
    /// From here on.
    #[must_use]
    pub fn new(world: &World) -> Self {
        Self {
            reached: progress(world),
            deadline: world.now + standing_still_max(world),
            last_moment: world.now + MOST,
        }
    }

    /// Whether the cluster has stood still for too long.
    pub fn is_over(&mut self, world: &World) -> bool {
        let progress = progress(world);
        if progress > self.reached {
            self.reached = progress;
            self.deadline = (world.now + standing_still_max(world)).min(self.last_moment);
        }
        world.now >= self.deadline
    }
}

/// The election timeout of a run.
#[must_use]
pub fn election_timeout(world: &World) -> Nanos {
    let timeout = world.timing.election_timeout();
    Nanos::try_from(timeout.as_nanos()).unwrap_or(SECOND)
}

fn standing_still_max(world: &World) -> Nanos {
    election_timeout(world) * STANDING_STILL_ELECTION_TIMEOUTS + 2 * SECOND
}

/// How far all members have got, taken together.
fn progress(world: &World) -> u64 {
    let reached = world.members.iter().map(|member| {
        let positions = member.view.positions;
        positions.persisted.0 + positions.commit.0 + positions.applied.0
    });
    reached.sum::<u64>() + world.snapshots_under_way.progress
}

/// How far snapshots have got on their way.
#[derive(Debug, Default)]
pub struct SnapshotsUnderWay {
    /// For each member, the newest snapshot that it is sent, and how much of it has arrived without a gap.
    furthest: BTreeMap<usize, (Index, u64)>,
    progress: u64,
}

impl SnapshotsUnderWay {
    /// A chunk arrives at a member.
    pub fn arrived(&mut self, at: usize, chunk: &InstallSnapshot) {
        // Those that do not say what they are part of belong to what an earlier one has said.
        let Some(metadata) = &chunk.metadata else {
            return;
        };
        let newest = metadata.last.index;
        let (index, furthest) = self.furthest.entry(at).or_default();
        if newest > *index {
            (*index, *furthest) = (newest, 0);
        }
    }

    /// A member says how much it has without a gap: to begin again is no progress, nor to say it twice.
    pub fn acknowledged(&mut self, by: usize, next_offset: u64) {
        let (_, furthest) = self.furthest.entry(by).or_default();
        self.progress += next_offset.saturating_sub(*furthest);
        *furthest = next_offset.max(*furthest);
    }
}

#[cfg(test)]
mod tests {
    use bytes::Bytes;
    use liferaft_raft::ids::{LogPosition, Round, Term};
    use liferaft_raft::message::SnapshotMetadata;

    use super::*;

    fn chunk(last: u64) -> InstallSnapshot {
        InstallSnapshot {
            round: Round(1),
            transfer: 1,
            metadata: Some(SnapshotMetadata {
                last: LogPosition::new(Term(1), Index(last)),
                stamp: Default::default(),
                configuration: Default::default(),
                configuration_index: Index(1),
                length: 1000,
                digest: 0,
            }),
            offset: 0,
            data: Bytes::new(),
        }
    }

    #[test]
    fn only_what_had_not_arrived_is_progress() {
        let mut snapshots = SnapshotsUnderWay::default();
        snapshots.arrived(1, &chunk(5));
        snapshots.acknowledged(1, 20);
        snapshots.acknowledged(1, 0);
        snapshots.acknowledged(1, 20);

        snapshots.arrived(1, &chunk(6));
        snapshots.acknowledged(1, 10);

        assert_eq!(snapshots.progress, 30);
    }
}
