//! Campaigns: asking for votes, and asking whether to ask (§3.4, §9.6).

use alloc::collections::BTreeMap;
use alloc::vec::Vec;

use super::common::Common;
use super::quorum::{self, Tally};
use super::role::Transition;
use crate::ids::{ServerId, Term};
use crate::message::{Body, RequestVote, RequestVoteReply};
use crate::time::Instant;

#[derive(Debug)]
pub(super) struct Campaign {
    pre_vote: bool,
    /// Whether the leader asked for it, so that voters need not wait for that leader to fall silent.
    transfer: bool,
    /// The term campaigned for.
    term: Term,
    votes: BTreeMap<ServerId, bool>,
    /// When to give this attempt up.
    deadline: Instant,
    /// When to ask those again who have not answered: requests and answers may be lost.
    ask_again_at: Instant,
}

impl Campaign {
    /// Asks whether an election in the next term could be won. Nobody's state changes by it.
    pub(super) fn pre_vote(common: &mut Common) -> (Self, Transition) {
        let mut campaign = Self::new(common, true, false, common.current_term.next());
        campaign.votes.insert(common.id, true);
        campaign.ask(common);
        let transition = campaign.decide(common);
        (campaign, transition)
    }

    /// Campaigns in the current term. The candidate's own vote counts once it is durable, like any other.
    pub(super) fn election(common: &mut Common, transfer: bool) -> Self {
        common.vote_for(common.id);
        let campaign = Self::new(common, false, transfer, common.current_term);
        campaign.ask(common);
        campaign
    }

    fn new(common: &mut Common, pre_vote: bool, transfer: bool, term: Term) -> Self {
        let deadline = common.now + common.draw(common.config.election_timeout(), 8, 16);
        let ask_again_at = common.now + common.ask_again_interval();
        Self {
            pre_vote,
            transfer,
            term,
            votes: BTreeMap::new(),
            deadline,
            ask_again_at,
        }
    }

    pub(super) fn deadline(&self) -> Instant {
        self.deadline.min(self.ask_again_at)
    }

    pub(super) fn on_timer(&mut self, common: &mut Common) -> Transition {
        if common.now >= self.deadline {
            return Transition::PreCampaign;
        }
        if common.now >= self.ask_again_at {
            self.ask_again_at = common.now + common.ask_again_interval();
            self.ask(common);
        }
        Transition::Stay
    }

    pub(super) fn on_reply(
        &mut self,
        common: &mut Common,
        from: ServerId,
        reply: &RequestVoteReply,
    ) -> Transition {
        if reply.pre_vote != self.pre_vote || reply.campaign != self.term {
            return Transition::Stay;
        }
        // The first answer counts: a refusal that was overtaken by a grant must not take it back.
        let vote = self.votes.entry(from).or_insert(reply.granted);
        *vote |= reply.granted;
        self.decide(common)
    }

    /// The term and vote are durable: the candidate's own vote counts.
    pub(super) fn on_hard_state_durable(&mut self, common: &mut Common) -> Transition {
        self.votes.insert(common.id, true);
        self.decide(common)
    }

    /// Whether a server that asks should give way to another's pre-vote: of several that ask at the same time, only one
    /// goes on, so that they do not split the vote.
    pub(super) fn yields_to(common: &Common, rival: ServerId, request: &RequestVote) -> bool {
        (request.last, rival) > (common.log.last(), common.id)
    }

    fn decide(&self, common: &Common) -> Transition {
        match quorum::tally(common.configuration(), |voter| {
            self.votes.get(&voter).copied()
        }) {
            Tally::Won if self.pre_vote => Transition::Campaign { transfer: false },
            Tally::Won => Transition::Lead,
            Tally::Lost => Transition::Follow { retry_soon: true },
            Tally::Pending => Transition::Stay,
        }
    }

    fn ask(&self, common: &mut Common) {
        let silent: Vec<ServerId> = common
            .configuration()
            .members()
            .filter(|(id, member)| {
                member.votes() && *id != common.id && !self.votes.contains_key(id)
            })
            .map(|(id, _)| id)
            .collect();
        for voter in silent {
            let request = Body::RequestVote(RequestVote {
                pre_vote: self.pre_vote,
                campaign: self.term,
                last: common.log.last(),
                leadership_transfer: self.transfer,
            });
            if self.pre_vote {
                common.send(voter, request);
            } else {
                common.promise(voter, request);
            }
        }
    }
}
