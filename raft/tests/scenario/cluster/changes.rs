//! Changes of membership of one step, by a server's name in a story.

use liferaft_raft::consensus::MembershipChange;
use liferaft_raft::ids::ServerId;

use super::Id;

pub(crate) fn add_voter(id: Id) -> MembershipChange {
    MembershipChange::add_voter(ServerId(id))
}

pub(crate) fn add_learner(id: Id) -> MembershipChange {
    MembershipChange::add_learner(ServerId(id))
}

pub(crate) fn remove(id: Id) -> MembershipChange {
    MembershipChange::remove(ServerId(id))
}
