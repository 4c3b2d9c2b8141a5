//! One server: its core, its disk, its state machine.

use std::time::Duration;

use liferaft_raft::config::Config;
use liferaft_raft::consensus::{EntriesRead, Input, Raft, Recovered, Shelf, SnapshotStep};
use liferaft_raft::ids::ServerId;
use liferaft_raft::time::Instant;

use super::disk::Disk;
use super::machine::Machine;

pub(super) struct Server {
    pub(super) id: ServerId,
    /// `None` while it is crashed.
    pub(super) raft: Option<Raft>,
    pub(super) disk: Disk,
    pub(super) shelf: Shelf,
    /// What is to be done with the states of snapshots, while that is held.
    pub(super) lane: Option<Vec<SnapshotStep>>,
    /// What is to be read of its log, while that is held.
    pub(super) reads: Option<Vec<EntriesRead>>,
    pub(super) machine: Machine,
    /// Counts its lives: what a former life began does not finish in the next.
    pub(super) boot: u64,
    /// What waits for it while it sleeps; `None` while it is awake.
    pub(super) inbox: Option<Vec<Input>>,
    pub(super) clock: Clock,
    /// The settings that it starts with; those of the cluster if there are none.
    pub(super) config: Option<Config>,
}

/// What a server's own clock makes of the time.
pub(super) struct Clock {
    /// So many millionths of a second pass for it in a second.
    pace: u64,
    pub(super) behind: Duration,
}

impl Default for Clock {
    fn default() -> Self {
        Self {
            pace: MILLION,
            behind: Duration::ZERO,
        }
    }
}

impl Clock {
    /// A clock that gains so many millionths, or loses them.
    pub(super) fn gaining(ppm: i64) -> Self {
        let pace = MILLION.checked_add_signed(ppm);
        Self {
            pace: pace.expect("clocks go forward"),
            ..Self::default()
        }
    }

    pub(super) fn shows(&self, now: Instant) -> Instant {
        Instant::from_origin(scaled(now.since_origin(), self.pace, MILLION)) - self.behind
    }

    /// When it shows this, or just after.
    fn when(&self, shows: Instant) -> Instant {
        let ahead = (shows + self.behind).since_origin();
        let rounded_down = Instant::from_origin(scaled(ahead, MILLION, self.pace));
        if self.shows(rounded_down) < shows {
            rounded_down + Duration::from_micros(1)
        } else {
            rounded_down
        }
    }
}

const MILLION: u64 = 1_000_000;

fn scaled(span: Duration, by: u64, of: u64) -> Duration {
    let nanoseconds = span.as_nanos() * u128::from(by) / u128::from(of);
    Duration::from_nanos(u64::try_from(nanoseconds).unwrap_or(u64::MAX))
}

impl Server {
    pub(super) fn new(id: ServerId, recovered: Recovered) -> Self {
        Self {
            id,
            raft: None,
            disk: Disk::with(recovered),
            shelf: Shelf::default(),
            lane: None,
            reads: None,
            machine: Machine::default(),
            boot: 0,
            inbox: None,
            clock: Clock::default(),
            config: None,
        }
    }

    pub(super) fn deadline(&self) -> Option<Instant> {
        let awake = self.inbox.is_none();
        let local = self.raft.as_ref().filter(|_| awake)?.deadline()?;
        Some(self.clock.when(local))
    }

    /// Does what is to be done with the states of snapshots, unless that is held. Returns what the core is told.
    pub(super) fn take_steps(&mut self, steps: Vec<SnapshotStep>) -> Vec<Input> {
        if let Some(held) = &mut self.lane {
            held.extend(steps);
            return Vec::new();
        }
        let steps = steps.into_iter();
        steps.filter_map(|step| self.shelf.step(step)).collect()
    }

    /// Loses all that is not on its disk.
    pub(super) fn crash(&mut self) {
        self.raft = None;
        self.inbox = None;
        self.disk.lose_writes();
        self.lane = None;
        self.reads = None;
        let in_force = self.disk.stored().snapshot.as_ref();
        self.shelf.restart(in_force.map(|snapshot| snapshot.name));
        self.machine = Machine::default();
        self.boot += 1;
    }
}

impl std::fmt::Debug for Server {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let Some(raft) = &self.raft else {
            return write!(f, "  {}: crashed, {:?}", self.id, self.disk);
        };
        let status = raft.status();
        write!(
            f,
            "  {}: {:?} of term {}, leader {:?}, log to {}, persisted {}, committed {}, applied {}, {:?}",
            self.id,
            status.role,
            status.term,
            status.leader,
            status.last,
            status.persisted,
            status.commit,
            status.applied,
            self.disk,
        )
    }
}
