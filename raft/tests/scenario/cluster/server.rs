//! One server: its core, its disk, its state machine.

use liferaft_raft::consensus::{Input, Raft, Recovered};
use liferaft_raft::ids::ServerId;
use liferaft_raft::time::Instant;

use super::disk::Disk;
use super::machine::Machine;

pub(super) struct Server {
    pub(super) id: ServerId,
    /// `None` while it is crashed.
    pub(super) raft: Option<Raft>,
    pub(super) disk: Disk,
    pub(super) machine: Machine,
    /// Counts its lives: what a former life began does not finish in the next.
    pub(super) boot: u64,
    /// What waits for it while it sleeps; `None` while it is awake.
    pub(super) inbox: Option<Vec<Input>>,
}

impl Server {
    pub(super) fn new(id: ServerId, recovered: Recovered) -> Self {
        Self {
            id,
            raft: None,
            disk: Disk::with(recovered),
            machine: Machine::default(),
            boot: 0,
            inbox: None,
        }
    }

    pub(super) fn deadline(&self) -> Option<Instant> {
        let awake = self.inbox.is_none();
        self.raft.as_ref().filter(|_| awake)?.deadline()
    }

    /// Loses all that is not on its disk.
    pub(super) fn crash(&mut self) {
        self.raft = None;
        self.inbox = None;
        self.disk.lose_writes();
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
