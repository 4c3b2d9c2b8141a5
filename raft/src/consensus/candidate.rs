//! Campaigns: asking for votes, and asking whether to ask (§3.4, §9.6).

use alloc::vec::Vec;
use core::time::Duration;

use super::asking::Question;
use super::common::Common;
use super::planted::{Bug, is_planted};
use super::quorum::{self, Tally};
use super::transition::Transition;
use crate::ids::{ServerId, Term};
use crate::message::{Body, RequestVote, RequestVoteReply};
use crate::sorted::SortedMap;
use crate::time::Instant;

#[derive(Debug)]
pub(super) struct Campaign {
    pre_vote: bool,
    /// Whether the leader asked for it, so that voters need not wait for that leader to fall silent.
    transfer: bool,
    /// The term campaigned for.
    term: Term,
    votes: SortedMap<ServerId, bool>,
    /// The votes of the current term, if this server campaigned in it and gave up: those of slow disks may still come.
    late_votes: SortedMap<ServerId, bool>,
    /// How long this attempt may take.
    patience: Duration,
    /// When to give this attempt up; unknown until the candidate's own vote is durable. Until then no voter is asked,
    /// and another term would not be stored any sooner.
    deadline: Option<Instant>,
    /// Those who have not answered: requests and answers may be lost.
    questions: SortedMap<ServerId, Question>,
}

impl Campaign {
    /// Asks whether an election in the next term could be won. Nobody's state changes by it. The `late_votes` are those
    /// of an election in the current term that was given up.
    pub(super) fn pre_vote(
        common: &mut Common,
        late_votes: SortedMap<ServerId, bool>,
    ) -> (Self, Transition) {
        let mut campaign = Self::new(common, true, false, common.current_term.next());
        campaign.late_votes = late_votes;
        campaign.votes.insert(common.id, true);
        campaign.begin(common);
        let transition = campaign.decide(common);
        (campaign, transition)
    }

    /// Campaigns in the current term. The candidate's own vote counts once it is durable, like any other.
    pub(super) fn election(common: &mut Common, transfer: bool) -> Self {
        common.vote_for(common.id);
        let mut campaign = Self::new(common, false, transfer, common.current_term);
        if is_planted(Bug::CampaignBeforeVoteIsDurable) {
            campaign.begin(common);
        }
        campaign
    }

    /// The votes of the current term that may still be completed by late ones.
    pub(super) fn into_late_votes(self) -> SortedMap<ServerId, bool> {
        if self.pre_vote {
            self.late_votes
        } else {
            self.votes
        }
    }

    fn new(common: &mut Common, pre_vote: bool, transfer: bool, term: Term) -> Self {
        let patience = common.draw(common.config.election_timeout(), 8, 16);
        Self {
            pre_vote,
            transfer,
            term,
            votes: SortedMap::new(),
            late_votes: SortedMap::new(),
            patience,
            deadline: None,
            questions: SortedMap::new(),
        }
    }

    fn begin(&mut self, common: &mut Common) {
        self.deadline = Some(common.now + self.patience);
        self.ask(common);
    }

    pub(super) fn deadline(&self) -> Option<Instant> {
        let again = self.questions.values().filter_map(Question::again_at);
        again.chain(self.deadline).min()
    }

    pub(super) fn on_timer(&mut self, common: &mut Common) -> Transition {
        if self.deadline.is_some_and(|deadline| common.now >= deadline) {
            return Transition::PreCampaign;
        }
        self.ask_again(common);
        Transition::Stay
    }

    pub(super) fn on_reply(
        &mut self,
        common: &mut Common,
        from: ServerId,
        reply: &RequestVoteReply,
    ) -> Transition {
        if reply.pre_vote != self.pre_vote || reply.campaign != self.term {
            return self.on_late_reply(common, from, reply);
        }
        if let Some(question) = self.questions.remove(&from) {
            question.answered(common);
        }
        note(&mut self.votes, from, reply);
        self.decide(common)
    }

    /// A vote of the election that was given up: as long as this server is in its term it is as good as any.
    fn on_late_reply(
        &mut self,
        common: &Common,
        from: ServerId,
        reply: &RequestVoteReply,
    ) -> Transition {
        let is_late = self.pre_vote && !reply.pre_vote && reply.campaign == common.current_term;
        if !is_late || self.late_votes.is_empty() {
            return Transition::Stay;
        }
        note(&mut self.late_votes, from, reply);
        match tally(common, &self.late_votes) {
            Tally::Won => Transition::Lead,
            Tally::Lost | Tally::Pending => Transition::Stay,
        }
    }

    /// The term and vote are durable: the candidate's own vote counts, and the others may be asked for theirs.
    pub(super) fn on_hard_state_durable(&mut self, common: &mut Common) -> Transition {
        self.votes.insert(common.id, true);
        if self.deadline.is_none() {
            self.begin(common);
        }
        self.decide(common)
    }

    /// Whether a server that asks should give way to another's pre-vote: of several that ask at the same time, only one
    /// goes on, so that they do not split the vote.
    pub(super) fn yields_to(common: &Common, rival: ServerId, request: &RequestVote) -> bool {
        (request.last, rival) > (common.log.last(), common.id)
    }

    fn decide(&self, common: &Common) -> Transition {
        match tally(common, &self.votes) {
            Tally::Won if self.pre_vote => Transition::Campaign { transfer: false },
            Tally::Won => Transition::Lead,
            Tally::Lost => Transition::Follow { retry_soon: true },
            Tally::Pending => Transition::Stay,
        }
    }

    /// Asks all voters but this server.
    fn ask(&mut self, common: &mut Common) {
        let voters: Vec<ServerId> = common
            .configuration()
            .members()
            .filter(|(id, member)| member.votes() && *id != common.id)
            .map(|(id, _)| id)
            .collect();
        let at_least = common.least_answer_time();
        for voter in voters {
            self.send_request(common, voter);
            self.questions
                .insert(voter, Question::asked(common, voter, at_least));
        }
    }

    fn ask_again(&mut self, common: &mut Common) {
        let mut due = Vec::new();
        for (voter, question) in &mut self.questions {
            if question.is_due(common) {
                due.push(*voter);
            }
        }
        for voter in due {
            self.send_request(common, voter);
        }
    }

    fn send_request(&self, common: &mut Common, voter: ServerId) {
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

/// The first answer counts: a refusal that was overtaken by a grant must not take it back.
fn note(votes: &mut SortedMap<ServerId, bool>, from: ServerId, reply: &RequestVoteReply) {
    let vote = votes.entry(from).or_insert(reply.granted);
    *vote |= reply.granted;
}

fn tally(common: &Common, votes: &SortedMap<ServerId, bool>) -> Tally {
    quorum::tally(common.configuration(), |voter| votes.get(&voter).copied())
}
