//! The faults that strike members and links, and how often each does.

use serde::{Deserialize, Serialize};

use crate::clock::Nanos;
use crate::dice::{Dice, PerMillion};

/// Which faults strike, how often, and for how long.
#[derive(Clone, Copy, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct FaultPlan {
    /// The mean time between two faults of any kind.
    pub every: Nanos,
    /// Weights of the kinds; zero for one that this run does not have.
    #[serde(with = "fault_weights")]
    pub weights: [u32; FaultKind::ALL.len()],
    /// How long a fault lasts in the mean.
    pub lasts: Nanos,
    /// How long a pause lasts in the mean.
    pub pause_lasts: Nanos,
    /// How many of a hundred strikes are aimed at the leader.
    pub at_leader: PerMillion,
}

/// The kinds of faults that strike.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum FaultKind {
    /// A member crashes, and what it had not made durable is lost, wholly or from some point on.
    Crash,
    /// A member crashes in the middle of its next turn, when part of what it was about to do is done.
    CrashInTurn,
    /// All members crash at once.
    Blackout,
    /// A member does nothing for a while, then all that it missed at once.
    Pause,
    /// The members are parted into two groups.
    Partition,
    /// One member hears nobody and is heard by nobody.
    Isolate,
    /// One direction of one link fails.
    CutOneWay,
    /// Both directions of one link fail.
    CutBothWays,
    /// All that is on its way is lost.
    DropInFlight,
    /// A member's disk is very slow for a while.
    SlowDisk,
    /// A member's clock leaps forward.
    ClockForward,
    /// A member's clock leaps back.
    ClockBack,
    /// A member's clock runs at another rate.
    ClockRate,
    /// The leader hands leadership over, and from some moment on hears nobody: it does not learn that it was deposed.
    DeposeUnheard,
    /// A member crashes, and any subset of its unsynced writes is on its disk, some of them torn.
    TornWrites,
    /// A sync fails, and with it the member.
    FailedSync,
    /// A member's disk is full for a while: it stops at its next write.
    FullDisk,
    /// A member's disk is wiped: its server is gone, and a blank one comes in its place.
    WipedDisk,
    /// Something that a member had acknowledged rots on its disk, which is as good as gone.
    RottenDisk,
    /// A leader and one follower lose each other until that one asks for votes; then nobody hears the leader any more,
    /// and the others crash and are back at once: what they had promised the leader still binds them.
    RestartLoyal,
    /// A leader that puts others in the places of its voters is parted from those as soon as the joint configuration is
    /// in its log, together with the others. Its clock runs slow meanwhile and all others fast: it leads on while
    /// another does.
    PartWhenJoint,
    /// A leader is left alone with entries that nobody else has, and crashes when it installs the snapshot of those who
    /// went on without it: when that is stored, and what is stored of its log is not cut yet.
    CrashInInstall,
    /// A member's disk hangs for longer than an election timeout: nothing becomes durable, then all at once.
    HungDisk,
    /// A member's state machine stalls for longer than an election timeout.
    StalledMachine,
    /// A server that is no member answers what nobody asked it, in later terms.
    Stranger,
    /// A disk is wiped, and its server comes back under its id until it is found out.
    BlankDisk,
    /// A server that is no member says what a member has said, in that one's terms, and that it is the only voter.
    Impostor,
    /// A server's storage is copied, and the copy shows itself under its id when others have met the server since.
    Clone,
    /// A member is cut off while others take the places of those whom it knows, and lead.
    Replaced,
}

impl FaultPlan {
    /// Draws whether a run has each of the kinds that were not drawn together with the first ones.
    pub(super) fn draw_later_kinds(&mut self, seed: u64, members: usize) {
        let later = FaultKind::ALL.into_iter().skip(FaultKind::DRAWN_TOGETHER);
        for (kind, stream) in later.zip(LATER_KINDS_STREAM..) {
            let drawn = Dice::new(seed, stream).falls(HAS_KIND);
            // Only promises have those who are loyal wait.
            let is_tried =
                drawn && members >= kind.members_min() && kind != FaultKind::RestartLoyal;
            self.weights[kind.place()] = if is_tried { kind.weight() } else { 0 };
        }
    }

    /// Operators leave the membership to the members: nobody removes voters for the sake of a test.
    pub(super) fn leave_membership(&mut self) {
        for kind in [FaultKind::PartWhenJoint, FaultKind::Replaced] {
            self.weights[kind.place()] = 0;
        }
    }

    /// Reads by lease are put to the test: clocks keep to what leases rest on, they neither leap forward nor change
    /// their rate, and leaders have a hard time of it.
    pub(super) fn try_leases(&mut self, members: usize) {
        self.at_leader = PerMillion::percent(80);
        for (kind, weight) in FaultKind::ALL.into_iter().zip(&mut self.weights) {
            if kind.breaks_clocks() {
                *weight = 0;
            } else if kind.tries_leases() && members >= kind.members_min() {
                *weight = kind.weight();
            }
        }
    }

    /// Members pause, for so long in the mean.
    pub(super) fn pause_for(&mut self, lasts: Nanos) {
        self.pause_lasts = lasts;
        self.weights[FaultKind::Pause.place()] = FaultKind::Pause.weight();
    }
}

impl FaultKind {
    /// All of them.
    pub const ALL: [Self; 29] = [
        Self::Crash,
        Self::CrashInTurn,
        Self::Blackout,
        Self::Pause,
        Self::Partition,
        Self::Isolate,
        Self::CutOneWay,
        Self::CutBothWays,
        Self::DropInFlight,
        Self::SlowDisk,
        Self::ClockForward,
        Self::ClockBack,
        Self::ClockRate,
        Self::DeposeUnheard,
        Self::TornWrites,
        Self::FailedSync,
        Self::FullDisk,
        Self::WipedDisk,
        Self::RottenDisk,
        Self::RestartLoyal,
        Self::PartWhenJoint,
        Self::CrashInInstall,
        Self::HungDisk,
        Self::StalledMachine,
        Self::Stranger,
        Self::BlankDisk,
        Self::Impostor,
        Self::Clone,
        Self::Replaced,
    ];

    /// Those that were drawn from the beginning on. Each later one has dice of its own, so that what a seed expands to
    /// stays the same in all else.
    const DRAWN_TOGETHER: usize = 19;

    /// Whether a clock does what reads by lease rest on it not doing. One that goes back is seen by its member, which
    /// no longer trusts it.
    const fn breaks_clocks(self) -> bool {
        matches!(
            self,
            Self::ClockForward | Self::ClockRate | Self::PartWhenJoint
        )
    }

    /// How many members it takes.
    const fn members_min(self) -> usize {
        match self {
            Self::Partition
            | Self::Isolate
            | Self::CutOneWay
            | Self::CutBothWays
            | Self::DropInFlight
            | Self::DeposeUnheard
            | Self::WipedDisk
            | Self::RottenDisk
            | Self::BlankDisk
            | Self::Clone
            | Self::CrashInInstall => 2,
            Self::RestartLoyal | Self::PartWhenJoint | Self::Replaced => 3,
            Self::Crash
            | Self::CrashInTurn
            | Self::Blackout
            | Self::Pause
            | Self::SlowDisk
            | Self::ClockForward
            | Self::ClockBack
            | Self::ClockRate
            | Self::TornWrites
            | Self::FailedSync
            | Self::FullDisk
            | Self::HungDisk
            | Self::StalledMachine
            | Self::Stranger
            | Self::Impostor => 1,
        }
    }

    /// Whether it makes a leader go on for a while that others have given up.
    const fn tries_leases(self) -> bool {
        matches!(
            self,
            Self::Pause | Self::Isolate | Self::DeposeUnheard | Self::RestartLoyal
        )
    }

    /// Whether runs have it.
    #[must_use]
    pub const fn is_on(self) -> bool {
        self.weight() > 0
    }

    /// Its place among all.
    #[must_use]
    pub const fn place(self) -> usize {
        self as usize
    }

    /// How likely a fault of this kind is, compared with the others, where a run has it.
    const fn weight(self) -> u32 {
        match self {
            Self::Blackout => 1,
            Self::ClockForward | Self::ClockBack | Self::ClockRate | Self::DropInFlight => 3,
            Self::WipedDisk | Self::RottenDisk | Self::FullDisk => 3,
            Self::PartWhenJoint | Self::CrashInInstall | Self::HungDisk => 3,
            Self::StalledMachine | Self::Stranger | Self::BlankDisk => 3,
            Self::Impostor | Self::Clone | Self::Replaced => 3,
            Self::RestartLoyal => 5,
            Self::DeposeUnheard
            | Self::Pause
            | Self::SlowDisk
            | Self::CutBothWays
            | Self::TornWrites
            | Self::FailedSync => 5,
            Self::Partition | Self::Isolate | Self::CutOneWay => 8,
            Self::Crash | Self::CrashInTurn => 10,
        }
    }
}

/// Runs that have a kind of fault.
const HAS_KIND: PerMillion = PerMillion::percent(45);

/// The dice of the kinds that are drawn apart: this stream of a seed's, and those after it.
const LATER_KINDS_STREAM: u64 = 32;

pub(super) fn draw_faults(dice: &mut Dice, members: usize, election_timeout: Nanos) -> FaultPlan {
    let mut weights = FaultKind::ALL.map(|kind| {
        let is_later = kind.place() >= FaultKind::DRAWN_TOGETHER;
        let drawn = !is_later && dice.falls(HAS_KIND);
        if drawn && members >= kind.members_min() {
            kind.weight()
        } else {
            0
        }
    });
    if weights.iter().all(|weight| *weight == 0) {
        // A run without faults would prove little.
        weights[0] = FaultKind::ALL[0].weight();
    }
    let lasts = dice.between(1, 40) * election_timeout / 8;
    FaultPlan {
        every: dice.between(1, 16) * election_timeout / 4,
        weights,
        lasts,
        pause_lasts: lasts,
        at_leader: PerMillion::percent(dice.weighted(&[(1, 0), (1, 30), (1, 80)])),
    }
}

/// The weights of faults in a file: an object of those that are not zero.
mod fault_weights {
    use serde::{Deserializer, Serializer};

    use super::FaultKind;
    use crate::spelled;

    type Weights = [u32; FaultKind::ALL.len()];

    pub(super) fn serialize<S: Serializer>(of: &Weights, serializer: S) -> Result<S::Ok, S::Error> {
        spelled::weigh(&FaultKind::ALL, of, serializer)
    }

    pub(super) fn deserialize<'de, D: Deserializer<'de>>(from: D) -> Result<Weights, D::Error> {
        spelled::weighed(&FaultKind::ALL, from)
    }
}
