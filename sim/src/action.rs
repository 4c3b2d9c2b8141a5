//! What strikes the cluster, spelled out: members and links are named, so that a list of actions can be kept, replayed
//! and shrunk.

use core::time::Duration;

use liferaft_raft::config::Timing;
use liferaft_raft::consensus::MembershipChange;
use serde::{Deserialize, Serialize};

use crate::clients::Request;
use crate::clock::Nanos;
use crate::disk::Survival;
use crate::member::Doom;
use crate::plan::FaultKind;
use crate::spelled::{self, place, place_if_any};
use crate::strangers::Saying;

/// One thing that happens to the cluster from outside. A member is named by its place, from 0; in files by its id,
/// which is one more.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Action {
    /// A member crashes.
    Crash(#[serde(with = "place")] usize, Survival),
    /// A member crashes in its next turn.
    CrashInTurn(#[serde(with = "place")] usize, Doom),
    /// A member starts again from what its disk holds.
    Restart(#[serde(with = "place")] usize),
    /// A member does nothing until it is resumed.
    Pause(#[serde(with = "place")] usize),
    /// A paused member goes on.
    Resume(#[serde(with = "place")] usize),
    /// Messages between these members are lost, in this direction.
    Cut(
        #[serde(with = "place")] usize,
        #[serde(with = "place")] usize,
    ),
    /// A cut is taken back.
    Mend(
        #[serde(with = "place")] usize,
        #[serde(with = "place")] usize,
    ),
    /// All messages on their way are lost.
    DropInFlight,
    /// A member's disk takes so many times longer.
    SlowDisk(#[serde(with = "place")] usize, u64),
    /// A member's clock leaps forward.
    ClockForward(#[serde(with = "place")] usize, Nanos),
    /// A member's clock leaps back.
    ClockBack(#[serde(with = "place")] usize, Nanos),
    /// A member's clock shows this much for a million nanoseconds.
    ClockRate(#[serde(with = "place")] usize, u64),
    /// Clients change keys, through a member at first.
    Propose(#[serde(with = "place")] usize, Vec<Request>),
    /// A key is read through a member.
    Read(#[serde(with = "place")] usize, u8),
    /// A member is told to change the membership.
    Change(
        #[serde(with = "place")] usize,
        #[serde(with = "spelled::change")] MembershipChange,
    ),
    /// A member is told to hand leadership over, to a certain member or to any.
    Transfer(
        #[serde(with = "place")] usize,
        #[serde(with = "place_if_any")] Option<usize>,
    ),
    /// A member's state machine is captured.
    Capture(#[serde(with = "place")] usize),
    /// A member gets another election timeout and heartbeat interval.
    SetTiming(#[serde(with = "place")] usize, Times),
    /// The next sync of a member's disk fails, and this survives of what was to be synced.
    FailSync(#[serde(with = "place")] usize, Survival),
    /// A member's disk is full. When it stops for that, this survives of the writes under way.
    FillDisk(#[serde(with = "place")] usize, Survival),
    /// There is room on a member's disk again.
    FreeDisk(#[serde(with = "place")] usize),
    /// A member's disk is wiped.
    Wipe(#[serde(with = "place")] usize),
    /// Something that a member's disk holds rots: what, this number draws.
    Rot(#[serde(with = "place")] usize, u64),
    /// The leader is told to put those that came with blank disks in the places of those whose disks are gone.
    ReplaceLost,
    /// The next joint configuration that a member enters as leader parts it for so long from the voters that it
    /// replaces, together with those that it has in their places.
    PartWhenJoint(#[serde(with = "place")] usize, Nanos),
    /// A member crashes when it next puts another server's snapshot in the place of its log: what is stored of that log
    /// has not been cut by then.
    CrashInInstall(#[serde(with = "place")] usize),
    /// A leader appends so many entries for the sake of cluster time.
    MarkTime(#[serde(with = "place")] usize, u32),
    /// A member's disk hangs.
    HangDisk(#[serde(with = "place")] usize),
    /// A disk that hung goes on.
    ResumeDisk(#[serde(with = "place")] usize),
    /// A member's state machine stalls.
    StallMachine(#[serde(with = "place")] usize),
    /// A state machine that stalled goes on.
    ResumeMachine(#[serde(with = "place")] usize),
    /// A server that is no member says something to a member.
    Stranger(#[serde(with = "place")] usize, Saying),
    /// A member's disk is wiped, and it goes on under its id.
    Blank(#[serde(with = "place")] usize),
    /// A member that went on with a blank disk gets an id of its own.
    Retire(#[serde(with = "place")] usize),
    /// A server that is no member says something to a member as if it were one.
    Impostor(#[serde(with = "place")] usize, Saying),
    /// A member's storage is copied.
    CopyDisk(#[serde(with = "place")] usize),
    /// The copy of a member's storage is started once more, and shows itself to all others under the member's id.
    ShowCopy(#[serde(with = "place")] usize),
}

/// The two times of the protocol.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Times {
    /// The election timeout.
    pub election_timeout: Nanos,
    /// The heartbeat interval.
    pub heartbeat_interval: Nanos,
}

impl Times {
    /// Them as the core takes them; `None` if they make no sense.
    #[must_use]
    pub fn timing(self) -> Option<Timing> {
        let election_timeout = Duration::from_nanos(self.election_timeout);
        Timing::new(
            election_timeout,
            Duration::from_nanos(self.heartbeat_interval),
        )
        .ok()
    }
}

impl Action {
    /// The kind of fault that it belongs to, for the counts of a replay; `None` if it only ends one, or is none.
    #[must_use]
    pub const fn fault(&self) -> Option<FaultKind> {
        match self {
            Self::Crash(..) => Some(FaultKind::Crash),
            Self::CrashInTurn(..) => Some(FaultKind::CrashInTurn),
            Self::Pause(_) => Some(FaultKind::Pause),
            Self::Cut(..) => Some(FaultKind::CutOneWay),
            Self::DropInFlight => Some(FaultKind::DropInFlight),
            Self::SlowDisk(..) => Some(FaultKind::SlowDisk),
            Self::ClockForward(..) => Some(FaultKind::ClockForward),
            Self::ClockBack(..) => Some(FaultKind::ClockBack),
            Self::ClockRate(..) => Some(FaultKind::ClockRate),
            Self::FailSync(..) => Some(FaultKind::FailedSync),
            Self::FillDisk(..) => Some(FaultKind::FullDisk),
            Self::Wipe(_) => Some(FaultKind::WipedDisk),
            Self::Rot(..) => Some(FaultKind::RottenDisk),
            Self::PartWhenJoint(..) => Some(FaultKind::PartWhenJoint),
            Self::CrashInInstall(_) => Some(FaultKind::CrashInInstall),
            Self::HangDisk(_) => Some(FaultKind::HungDisk),
            Self::StallMachine(_) => Some(FaultKind::StalledMachine),
            Self::Stranger(..) => Some(FaultKind::Stranger),
            Self::Blank(_) => Some(FaultKind::BlankDisk),
            Self::Impostor(..) => Some(FaultKind::Impostor),
            Self::CopyDisk(_) => Some(FaultKind::Clone),
            Self::Restart(_)
            | Self::Resume(_)
            | Self::Mend(..)
            | Self::Propose(..)
            | Self::Read(..)
            | Self::Change(..)
            | Self::Transfer(..)
            | Self::Capture(_)
            | Self::SetTiming(..)
            | Self::FreeDisk(_)
            | Self::ReplaceLost
            | Self::MarkTime(..)
            | Self::ResumeDisk(_)
            | Self::ResumeMachine(_)
            | Self::Retire(_)
            | Self::ShowCopy(_) => None,
        }
    }
}
