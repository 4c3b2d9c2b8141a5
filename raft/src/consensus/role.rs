//! The roles, and the moves between them. A role only proposes a move; `Raft` makes it, in one place.

use super::candidate::Campaign;
use super::follower::Follower;
use super::leader::Leader;
use super::planted::{Bug, is_planted};
use super::transition::Transition;
use super::{Event, Raft, RoleKind};
use crate::ids::{ServerId, Term};
use crate::message::Body;
use crate::sorted::SortedMap;

/// What a server does, with the data that only this role has (§3.3).
#[derive(Debug)]
pub(super) enum Role {
    Follower(Follower),
    /// Asks whether it would be elected, before it disturbs anyone with a term (§9.6).
    PreCandidate(Campaign),
    Candidate(Campaign),
    Leader(Leader),
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

impl Raft {
    /// Enters a later term as a follower.
    pub(super) fn follow_term(&mut self, term: Term, leader: Option<ServerId>) {
        self.common.enter_term(term);
        self.become_follower(leader, false);
    }

    /// Makes the move that a role proposes. The only place, with `become_follower`, where the role changes.
    pub(super) fn make(&mut self, transition: Transition) {
        if transition != Transition::Stay {
            self.change_role(transition);
        }
    }

    fn change_role(&mut self, transition: Transition) {
        let mut next = transition;
        loop {
            next = match next {
                Transition::Stay => return,
                Transition::Follow { retry_soon } => {
                    self.become_follower(None, retry_soon);
                    Transition::Stay
                }
                Transition::PreCampaign if is_planted(Bug::NoPreVote) => {
                    Transition::Campaign { transfer: false }
                }
                Transition::PreCampaign => {
                    let late_votes = self.leave_role(None);
                    let (campaign, then) = Campaign::pre_vote(&mut self.common, late_votes);
                    self.enter_role(Role::PreCandidate(campaign), None);
                    then
                }
                Transition::Campaign { transfer } => {
                    self.leave_role(None);
                    let term = self.common.current_term.next();
                    self.common.enter_term(term);
                    let campaign = Campaign::election(&mut self.common, transfer);
                    self.enter_role(Role::Candidate(campaign), None);
                    Transition::Stay
                }
                Transition::Lead => {
                    let leader = Leader::new(&mut self.common);
                    self.enter_role(Role::Leader(leader), Some(self.common.id));
                    Transition::Stay
                }
                Transition::Resign { successor } => {
                    if let Some(successor) = successor {
                        self.common.send(successor, Body::TimeoutNow);
                    }
                    self.become_follower(None, false);
                    Transition::Stay
                }
            }
        }
    }

    pub(super) fn become_follower(&mut self, leader: Option<ServerId>, retry_soon: bool) {
        self.leave_role(leader);
        let follower = Follower::new(&mut self.common, leader, retry_soon);
        self.enter_role(Role::Follower(follower), leader);
    }

    /// Answers what the role that ends has promised. Returns the votes that a campaign has gathered in this term.
    fn leave_role(&mut self, leader: Option<ServerId>) -> SortedMap<ServerId, bool> {
        let placeholder = Role::Follower(Follower::new(&mut self.common, None, false));
        let known = self.leader();
        let mut late_votes = SortedMap::new();
        match core::mem::replace(&mut self.role, placeholder) {
            Role::Follower(follower) => follower.dissolve(&mut self.common, leader),
            Role::Leader(role) => role.dissolve(&mut self.common, leader),
            Role::PreCandidate(campaign) | Role::Candidate(campaign) => {
                late_votes = campaign.into_late_votes();
            }
        }
        if known.is_some() && known != leader {
            let term = self.common.current_term;
            self.common
                .out
                .events
                .push(Event::LeaderChanged { leader: None, term });
        }
        late_votes
    }

    fn enter_role(&mut self, role: Role, leader: Option<ServerId>) {
        let term = self.common.current_term;
        self.common.out.events.push(Event::RoleChanged {
            role: role.kind(),
            term,
        });
        if leader.is_some() {
            self.common
                .out
                .events
                .push(Event::LeaderChanged { leader, term });
        }
        self.role = role;
    }
}
