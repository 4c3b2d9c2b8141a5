//! What strikes the cluster, spelled out: members and links are named, so that a list of actions can be kept, replayed and
//! shrunk.

use liferaft_raft::consensus::MembershipChange;

use crate::clients::Request;
use crate::clock::Nanos;
use crate::disk::Survival;
use crate::member::Doom;

/// One thing that happens to the cluster from outside. A member is named by its place, from 0.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Action {
    /// A member crashes.
    Crash(usize, Survival),
    /// A member crashes in its next turn.
    CrashInTurn(usize, Doom),
    /// A member starts again from what its disk holds.
    Restart(usize),
    /// A member does nothing until it is resumed.
    Pause(usize),
    /// A paused member goes on.
    Resume(usize),
    /// Messages between these members are lost, in this direction.
    Cut(usize, usize),
    /// A cut is taken back.
    Mend(usize, usize),
    /// All messages on their way are lost.
    DropInFlight,
    /// A member's disk takes so many times longer.
    SlowDisk(usize, u64),
    /// A member's clock leaps forward.
    ClockForward(usize, Nanos),
    /// A member's clock leaps back.
    ClockBack(usize, Nanos),
    /// A member's clock shows this much for a million nanoseconds.
    ClockRate(usize, u64),
    /// Clients change keys, through a member at first.
    Propose(usize, Vec<Request>),
    /// A key is read through a member.
    Read(usize, u8),
    /// A member is told to change the membership.
    Change(usize, MembershipChange),
    /// A member is told to hand leadership over, to a certain member or to any.
    Transfer(usize, Option<usize>),
    /// A member's state machine is captured.
    Capture(usize),
}
