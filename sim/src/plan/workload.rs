//! What clients and operators do, and how often.

use liferaft_raft::sessions::ReplyBounds;
use serde::{Deserialize, Serialize};

use crate::clock::{MILLI, Nanos};
use crate::dice::{Dice, PerMillion};

/// What clients and operators do.
#[derive(Clone, Copy, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct WorkloadPlan {
    /// The mean time between two acts.
    pub every: Nanos,
    /// Weights of the kinds; zero for one that this run does not have.
    #[serde(with = "act_weights")]
    pub weights: [u32; ActKind::ALL.len()],
    /// The longest command, in bytes.
    pub command_bytes_max: usize,
    /// The most commands proposed at once.
    pub batch_max: u64,
    /// Commands that have a byte more than may be.
    #[serde(skip_serializing_if = "is_zero")]
    pub too_long: PerMillion,
    /// How many keys clients write and read.
    pub keys: u8,
    /// How many of a hundred acts are aimed at the leader.
    pub at_leader: PerMillion,
}

/// What clients and operators do.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum ActKind {
    /// Proposes commands.
    Propose,
    /// Reads.
    Read,
    /// Changes the membership.
    Change,
    /// Hands leadership over.
    Transfer,
    /// Captures a state machine, whatever its log weighs.
    Capture,
    /// Sets other times on all members, one after the other.
    SetTiming,
    /// Adds many learners that are nowhere to be found, or removes them.
    Crowd,
}

/// The longest commands that clients draw, in bytes.
const LONG_COMMAND_BYTES: usize = 1_000;

/// What a command has beside its padding: the name of its copy.
const COPY_BYTES: u64 = 8;

/// How many runs keep few replies.
const LIGHT_SESSIONS: PerMillion = PerMillion::percent(25);

/// Commands that are longer than may be, in runs whose longest are as long as may be.
const TOO_LONG: PerMillion = PerMillion::percent(5);

impl WorkloadPlan {
    /// Little is written, and much is read.
    pub(super) fn read_mostly(&mut self) {
        self.weights[ActKind::Propose.place()] = 4;
        self.weights[ActKind::Read.place()] = 60;
    }

    pub(super) fn has_long_commands(&self) -> bool {
        self.command_bytes_max >= LONG_COMMAND_BYTES
    }

    /// Some commands are too long. Returns the most bytes that a command may have for the others to be short enough.
    pub(super) fn come_near_limit(&mut self) -> u64 {
        self.too_long = TOO_LONG;
        self.command_bytes_max as u64 + COPY_BYTES
    }

    pub(super) fn changes_membership(&self) -> bool {
        self.weights[ActKind::Change.place()] > 0
    }

    /// Changes of membership may be large.
    pub(super) fn crowd(&mut self) {
        self.weights[ActKind::Crowd.place()] = 1;
    }
}

impl ActKind {
    /// All of them.
    pub const ALL: [Self; 7] = [
        Self::Propose,
        Self::Read,
        Self::Change,
        Self::Transfer,
        Self::Capture,
        Self::SetTiming,
        Self::Crowd,
    ];

    const fn place(self) -> usize {
        self as usize
    }
}

/// What clients are like.
#[derive(Clone, Copy, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct ClientPlan {
    /// How many there are.
    pub count: usize,
    /// How long one waits for an answer before it tries another member.
    pub patience: Nanos,
    /// How often one tries before it gives up.
    pub tries_max: u32,
    /// How many times faster sessions grow old than the clocks.
    pub session_hurry: u64,
    /// What the replies of a session may weigh, in bytes; 0 for as much as is usual.
    #[serde(skip_serializing_if = "is_none")]
    pub session_reply_bytes_max: u64,
}

impl ClientPlan {
    /// What replies may weigh.
    #[must_use]
    pub fn reply_bounds(&self) -> ReplyBounds {
        match self.session_reply_bytes_max {
            0 => ReplyBounds::default(),
            session_bytes_max => ReplyBounds {
                session_bytes_max,
                bytes_max: 2 * session_bytes_max,
            },
        }
    }

    /// In some of the runs so few replies are kept that sessions end for their weight.
    pub(super) fn bound_replies(&mut self, dice: &mut Dice) {
        if dice.falls(LIGHT_SESSIONS) {
            self.session_reply_bytes_max = dice.between(100, 400);
        }
    }
}

pub(super) fn draw_workload(dice: &mut Dice) -> WorkloadPlan {
    let weights = ActKind::ALL.map(|kind| match kind {
        ActKind::Propose => 60,
        ActKind::Read => dice.weighted(&[(1, 10), (1, 60)]),
        ActKind::Change => dice.weighted(&[(1, 0), (1, 2), (1, 10)]),
        ActKind::Transfer => dice.weighted(&[(2, 0), (1, 1), (1, 4)]),
        ActKind::Capture => dice.weighted(&[(2, 0), (1, 2)]),
        ActKind::SetTiming => dice.weighted(&[(3, 0), (1, 1)]),
        ActKind::Crowd => 0,
    });
    WorkloadPlan {
        every: dice.between(1, 60) * MILLI,
        weights,
        command_bytes_max: dice.weighted(&[(2, 17), (2, 100), (1, LONG_COMMAND_BYTES)]),
        too_long: PerMillion(0),
        batch_max: dice.weighted(&[(2, 1), (1, 8)]),
        keys: dice.weighted(&[(1, 2), (2, 5), (1, 16)]),
        at_leader: PerMillion::percent(dice.weighted(&[(1, 50), (2, 90)])),
    }
}

pub(super) fn draw_clients(dice: &mut Dice, election_timeout: Nanos) -> ClientPlan {
    let tries = dice.weighted(&[(1, 1), (2, 3), (2, 8)]);
    ClientPlan {
        count: dice.weighted(&[(1, 1), (2, 3), (2, 8)]),
        patience: dice.between(2, 16) * election_timeout / 4,
        tries_max: tries,
        session_hurry: dice.weighted(&[(4, 1), (1, 1_000), (1, 10_000)]),
        session_reply_bytes_max: 0,
    }
}

fn is_none(bytes: &u64) -> bool {
    *bytes == 0
}

fn is_zero(frequency: &PerMillion) -> bool {
    frequency.0 == 0
}

/// The weights of acts in a file: an object of those that are not zero.
mod act_weights {
    use serde::{Deserializer, Serializer};

    use super::ActKind;
    use crate::spelled;

    type Weights = [u32; ActKind::ALL.len()];

    pub(super) fn serialize<S: Serializer>(of: &Weights, serializer: S) -> Result<S::Ok, S::Error> {
        spelled::weigh(&ActKind::ALL, of, serializer)
    }

    pub(super) fn deserialize<'de, D: Deserializer<'de>>(from: D) -> Result<Weights, D::Error> {
        spelled::weighed(&ActKind::ALL, from)
    }
}
