//! Names the moves between roles: a role only proposes one.

use crate::ids::ServerId;

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
