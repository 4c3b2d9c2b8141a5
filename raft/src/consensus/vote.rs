//! Giving and counting votes (§3.4, §3.6.1, §4.2.3, §9.6).

use super::candidate::Campaign;
use super::planted::{Bug, is_planted};
use super::role::Role;
use super::transition::Transition;
use super::{Raft, Refusal};
use crate::ids::{ServerId, Term};
use crate::message::{Body, RequestVote, RequestVoteReply};

impl Raft {
    pub(super) fn on_request_vote(&mut self, from: ServerId, term: Term, request: &RequestVote) {
        let expected = if request.pre_vote {
            term.0.saturating_add(1)
        } else {
            term.0
        };
        if request.campaign.0 != expected || request.last.term > term {
            self.common.refuse(from, Refusal::MalformedVote);
            return;
        }
        if request.pre_vote {
            return self.on_pre_vote(from, request);
        }
        // A server that hears its leader does not help to depose it, whatever the candidate's term, unless that leader
        // asked for it: which it does of nobody but a voter. Nor does it tell a candidate of the same or a later term,
        // which would learn nothing by it.
        let is_loyal = self.is_loyal() && !(request.leadership_transfer && self.may_be_voter(from));
        if is_loyal && term >= self.common.current_term {
            return;
        }
        if term > self.common.current_term {
            self.follow_term(term, None);
        }
        let granted = term == self.common.current_term
            && self.may_vote()
            && self
                .common
                .voted_for
                .is_none_or(|voted_for| voted_for == from || is_planted(Bug::VoteTwice))
            && self.is_up_to_date(request);
        if granted {
            self.common.vote_for(from);
            match &mut self.role {
                Role::Follower(follower) => follower.wait_for_leader(&mut self.common),
                // Whoever has voted waits for what comes of it.
                Role::PreCandidate(_) => self.make(Transition::Follow { retry_soon: false }),
                Role::Candidate(_) | Role::Leader(_) => {}
            }
        }
        if let Role::Follower(follower) = &mut self.role
            && is_planted(Bug::TimerResetByRefusedVotes)
        {
            follower.wait_for_leader(&mut self.common);
        }
        self.answer_vote(from, request, granted);
    }

    /// Would this server vote for the candidate? Nothing changes by the answer, but that of several servers which ask
    /// at the same time only one goes on.
    fn on_pre_vote(&mut self, from: ServerId, request: &RequestVote) {
        let mut granted = request.campaign > self.common.current_term
            && self.may_vote()
            && self.is_up_to_date(request)
            && !self.is_loyal();
        if matches!(self.role, Role::PreCandidate(_)) && granted {
            granted = Campaign::yields_to(&self.common, from, request);
            if granted {
                self.make(Transition::Follow { retry_soon: false });
            }
        }
        self.answer_vote(from, request, granted);
    }

    /// Returns true unless this server is blank. A configuration that names a server as a voter is appended only when
    /// the server has caught up, so a blank one that is asked for its vote has lost what it had: a log that may reach
    /// beyond the candidate's, and perhaps a vote of this term. Founders that have not begun yet are asked again.
    fn may_vote(&self) -> bool {
        !self.common.configurations.current().is_empty() || is_planted(Bug::BlankVotes)
    }

    /// Whether the candidate's log is at least as up to date as this server's (§3.6.1).
    fn is_up_to_date(&self, request: &RequestVote) -> bool {
        let last = self.common.log.last();
        if is_planted(Bug::IndexBeforeTerm) {
            return (request.last.index, request.last.term) >= (last.index, last.term);
        }
        request.last >= last || is_planted(Bug::VoteForOldLog)
    }

    fn answer_vote(&mut self, to: ServerId, request: &RequestVote, granted: bool) {
        let is_dismissed = self
            .common
            .configuration()
            .dismissal(self.common.id)
            .is_some();
        if let Role::Follower(follower) = &mut self.role
            && !is_dismissed
            && request.last < self.common.log.last()
        {
            follower.on_vote_denied(&self.common);
        }
        let RequestVote {
            pre_vote, campaign, ..
        } = *request;
        let reply = Body::RequestVoteReply(RequestVoteReply {
            pre_vote,
            campaign,
            granted,
        });
        if is_planted(Bug::VoteBeforeSync) {
            return self.common.send(to, reply);
        }
        self.common.promise(to, reply);
    }

    pub(super) fn on_vote_reply(&mut self, from: ServerId, reply: &RequestVoteReply) -> Transition {
        match &mut self.role {
            Role::PreCandidate(campaign) | Role::Candidate(campaign) => {
                campaign.on_reply(&mut self.common, from, reply)
            }
            Role::Follower(_) | Role::Leader(_) => Transition::Stay,
        }
    }

    /// Whether a configuration that may be in force has this server as a voter.
    fn may_be_voter(&self, server: ServerId) -> bool {
        let mut configurations = self.common.configurations.since(self.common.commit_index);
        configurations.any(|configuration| configuration.is_voter(server))
    }

    /// Whether this server leads, has heard its leader within the least election timeout, or has promised one to wait.
    fn is_loyal(&self) -> bool {
        if is_planted(Bug::LoyaltyForgotten) {
            return false;
        }
        let has_promised = self.common.now < self.common.promised_until;
        if has_promised && !is_planted(Bug::VotesInSpiteOfPromise) {
            return true;
        }
        match &self.role {
            Role::Leader(_) => true,
            Role::Follower(follower) => follower.is_loyal(&self.common),
            Role::PreCandidate(_) | Role::Candidate(_) => false,
        }
    }
}
