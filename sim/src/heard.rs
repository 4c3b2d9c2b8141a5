//! What a member is told in a turn, as far as the checks of elections need it.

use core::time::Duration;

use liferaft_raft::config::Timing;
use liferaft_raft::consensus::Input;
use liferaft_raft::ids::{Round, ServerId, Term};
use liferaft_raft::message::Body;

use crate::strangers::is_stranger;

/// What a turn's inputs say.
#[derive(Clone, Debug, Default)]
pub struct Heard {
    /// The highest term of a leader's word.
    pub leader: Option<Term>,
    /// The latest term of all that members say.
    pub term: Option<Term>,
    /// The highest round of the latest leader's word, with its term.
    pub round: Option<(Term, Round)>,
    /// Whom a leader told to campaign, and who asked for a vote for that reason.
    pub calls: Vec<(ServerId, Term)>,
    /// Who answered a leader, of which term.
    pub answers: Vec<(ServerId, Term)>,
    /// Who would give its vote, in which campaign.
    pub grants: Vec<(ServerId, Term)>,
    /// Who asked for a vote, in which term.
    pub votes_asked: Vec<(Term, Option<ServerId>)>,
    /// Who asked whether it would get a vote.
    pub pre_votes_asked: Vec<ServerId>,
    /// The leader asked it to campaign.
    pub is_called: bool,
    /// Times were set: these are the last.
    pub timing: Option<Timing>,
    /// The longest election timeout that was set.
    pub election_timeout_max: Duration,
    /// Candidates asked for votes, on their own account.
    pub is_courted: bool,
    /// A write is done: what waited for it leaves.
    pub is_written: bool,
    /// There was something besides that and news of its own disk and state machine.
    pub is_told_more: bool,
}

impl Heard {
    /// Takes in what a turn begins with, in place of what an earlier one did.
    pub fn take(&mut self, inputs: &[Input]) {
        self.leader = None;
        self.term = None;
        self.round = None;
        self.calls.clear();
        self.answers.clear();
        self.grants.clear();
        self.votes_asked.clear();
        self.pre_votes_asked.clear();
        self.is_called = false;
        self.timing = None;
        self.election_timeout_max = Duration::ZERO;
        self.is_courted = false;
        self.is_written = false;
        self.is_told_more = false;
        for input in inputs {
            match input {
                Input::Message { from, message } => self.hear(*from, message.term, &message.body),
                Input::VouchedMessage { from, message } => {
                    self.hear(*from, message.term, &message.body);
                }
                Input::SetTiming(timing) => {
                    self.timing = Some(*timing);
                    self.election_timeout_max =
                        self.election_timeout_max.max(timing.election_timeout());
                    self.is_told_more = true;
                }
                Input::Persisted(_) => self.is_written = true,
                Input::Timer | Input::Applied(_) => {}
                _ => self.is_told_more = true,
            }
        }
    }

    fn hear(&mut self, from: ServerId, term: Term, body: &Body) {
        if is_stranger(from) {
            // Nobody believes what it says.
            self.is_told_more = true;
            return;
        }
        self.term = self.term.max(Some(term));
        if let Body::RequestVote(request) = body
            && !request.pre_vote
        {
            self.votes_asked.push((term, Some(from)));
            if request.leadership_transfer {
                self.calls.push((from, term));
            }
        }
        match body {
            Body::AppendEntries(append) => {
                self.leader = self.leader.max(Some(term));
                self.round = self.round.max(Some((term, append.round)));
            }
            Body::InstallSnapshot(chunk) => {
                self.leader = self.leader.max(Some(term));
                self.round = self.round.max(Some((term, chunk.round)));
            }
            Body::AppendEntriesReply(_) | Body::InstallSnapshotReply(_) => {
                self.answers.push((from, term));
            }
            Body::RequestVoteReply(reply) if reply.granted && reply.pre_vote => {
                self.grants.push((from, reply.campaign));
            }
            Body::RequestVote(request) if !request.leadership_transfer => {
                if request.pre_vote {
                    self.pre_votes_asked.push(from);
                }
                self.is_courted = true;
                return;
            }
            Body::TimeoutNow => self.is_called = true,
            Body::RequestVote(_)
            | Body::RequestVoteReply(_)
            | Body::ReadIndex(_)
            | Body::ReadIndexReply(_) => {}
        }
        self.is_told_more = true;
    }
}
