//! The roles, and the moves between them. A role only proposes a move; `Raft` makes it, in one place.

use super::candidate::Campaign;
use super::follower::Follower;
use super::leader::Leader;
use super::output::RoleKind;
use crate::ids::ServerId;

/// What a server does, with the data that only this role has (§3.3).
#[derive(Debug)]
pub(super) enum Role {
    Follower(Follower),
    /// Asks whether it would be elected, before it disturbs anyone with a term (§9.6).
    PreCandidate(Campaign),
    Candidate(Campaign),
    Leader(Leader),
}

/// A move to another role, within the current term unless it says otherwise.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[must_use]
pub(super) enum Transition {
    Stay,
    /// Follow, and wait for a leader.
    Follow {
        retry_soon: bool,
    },
    /// Ask whether an election could be won.
    PreCampaign,
    /// Campaign in the next term; with `transfer`, because the leader asked for it.
    Campaign {
        transfer: bool,
    },
    /// Lead.
    Lead,
    /// Give leadership up for good, after asking this voter to take it.
    Resign {
        successor: Option<ServerId>,
    },
}

impl Role {
    pub(super) fn kind(&self) -> RoleKind {
        match self {
            Self::Follower(_) => RoleKind::Follower,
            Self::PreCandidate(_) => RoleKind::PreCandidate,
            Self::Candidate(_) => RoleKind::Candidate,
            Self::Leader(_) => RoleKind::Leader,
        }
    }
}
