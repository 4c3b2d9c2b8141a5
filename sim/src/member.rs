//! A member: the core, and the driver's part of the work around it.

use std::collections::{BTreeSet, VecDeque};

use liferaft_raft::config::Timing;
use liferaft_raft::consensus::{Apply, EntriesReader, Input, Positions, Raft, ReadId, RoleKind};
use liferaft_raft::ids::{Index, ServerId, Term};
use serde::{Deserialize, Serialize};

use crate::clock::{LocalClock, Nanos};
use crate::disk::{Disk, Survival};
use crate::machine::Machine;
use crate::shadow::ShadowLog;

/// One member of the simulated cluster.
#[derive(Debug)]
pub struct Member {
    /// Its name in the protocol.
    pub id: ServerId,
    /// The core; `None` while it is down.
    pub raft: Option<Raft>,
    /// How often it was started. What was under way in an earlier life comes to nothing.
    pub life: u32,
    /// Its disk.
    pub disk: Disk,
    /// Its state machine.
    pub machine: Machine,
    /// Its log, as its writes tell it.
    pub log: ShadowLog,
    /// What it said of itself after its last turn.
    pub view: View,
    /// Its clock.
    pub clock: LocalClock,
    /// What it has not been told yet.
    pub inbox: Vec<Input>,
    /// When it takes its next turn.
    pub wake_at: Nanos,
    /// How many reasons there are for it to do nothing.
    pub pauses: u32,
    /// Who waits for entries of its log.
    pub reading: BTreeSet<EntriesReader>,
    /// What its state machine has to do.
    pub applying: VecDeque<Apply>,
    /// The reads that were granted and wait for the state machine to reach their index.
    pub granted: Vec<(Index, ReadId)>,
    /// Whether its state machine is being captured.
    pub capturing: bool,
    /// It crashes in its next turn.
    pub doomed: Option<Doom>,
    /// The next joint configuration that it enters parts it for so long from the voters that it replaces.
    pub parts_when_joint: Option<Nanos>,
    /// It crashes when another server's snapshot takes the place of its log.
    pub crashes_in_install: bool,
    /// Whether its state machine stalls.
    pub is_stalled: bool,
    /// Whether a stalled state machine would have finished its oldest work.
    pub work_is_due: bool,
    /// Whether its disk was wiped and it goes on under its id.
    pub is_blank: bool,
    /// Whether it is one of those that found the cluster.
    pub is_founder: bool,
    /// The times that operators have set for it. It starts with those of its settings, and is told again.
    pub timing: Timing,
}

/// How a member crashes in the middle of a turn.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Doom {
    /// What of its writes survives.
    pub survival: Survival,
    /// Whether the messages of that turn still leave.
    pub speaks: bool,
}

/// What a member says of itself.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct View {
    /// What it does.
    pub role: RoleKind,
    /// Its term.
    pub term: Term,
    /// Where its log stands.
    pub positions: Positions,
}

impl View {
    /// What a core says of itself.
    #[must_use]
    pub fn of(raft: &Raft) -> Self {
        Self {
            role: raft.role(),
            term: raft.term(),
            positions: raft.positions(),
        }
    }

    /// Whether it leads.
    #[must_use]
    pub fn leads(&self) -> bool {
        self.role == RoleKind::Leader
    }
}

impl Member {
    /// A member with a blank disk.
    #[must_use]
    pub fn new(id: ServerId, raft: Raft, clock: LocalClock, timing: Timing) -> Self {
        Self {
            id,
            view: View::of(&raft),
            raft: Some(raft),
            life: 0,
            disk: Disk::default(),
            machine: Machine::default(),
            log: ShadowLog::default(),
            clock,
            inbox: Vec::new(),
            wake_at: Nanos::MAX,
            pauses: 0,
            reading: BTreeSet::new(),
            applying: VecDeque::new(),
            granted: Vec::new(),
            capturing: false,
            doomed: None,
            parts_when_joint: None,
            crashes_in_install: false,
            is_stalled: false,
            work_is_due: false,
            is_blank: false,
            is_founder: false,
            timing,
        }
    }

    /// Whether it runs, paused or not.
    #[must_use]
    pub fn is_up(&self) -> bool {
        self.raft.is_some()
    }

    /// Whether it runs and leads.
    #[must_use]
    pub fn leads(&self) -> bool {
        self.is_up() && self.view.leads()
    }
}
