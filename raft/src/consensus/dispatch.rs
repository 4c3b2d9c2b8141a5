//! Taking a message: first who sent it, then what its term says (§3.3), then what it says itself.

use core::time::Duration;

use super::planted::{Bug, is_planted};
use super::role::Role;
use super::transition::Transition;
use super::{Raft, Refusal, read};
use crate::admission::{Admission, Kind, Sender, admission};
use crate::ids::{Index, Round, ServerId, Term};
use crate::message::{AppendEntriesReply, Body, InstallSnapshotReply, Message, Token};

impl Raft {
    /// Returns true if `server` may be the leader of `term`, as far as this server knows: a term that is not over and
    /// that elections explain, in which no other server is known to lead, and a voter of the configuration in force or
    /// of one that may yet be.
    ///
    /// A server that is behind may not know the leader's configuration yet: for it the answer is no.
    #[must_use]
    pub fn may_lead(&self, server: ServerId, term: Term) -> bool {
        let common = &self.common;
        let is_open = term >= common.current_term && !common.is_beyond_reach(term);
        let has_rival =
            term == common.current_term && self.leader().is_some_and(|leader| leader != server);
        is_open
            && !has_rival
            && common
                .configurations
                .since(common.commit_index)
                .any(|configuration| configuration.is_voter(server))
    }

    /// Returns what a server is to this one, apart from what this one has asked it. Its link knows whether it is
    /// vouched for. That this one's configuration has it dismissed says nothing against a voucher: an operator may have
    /// added it again while this one was away.
    #[must_use]
    pub fn sender(&self, server: ServerId, vouched: bool) -> Sender {
        let mut configurations = self.common.configurations.since(self.common.commit_index);
        if configurations.any(|configuration| configuration.contains(server)) {
            return Sender::Member;
        }
        match &self.role {
            Role::Leader(leader) if leader.peers.get(server).is_some() => return Sender::Joiner,
            Role::Leader(_) | Role::Follower(_) | Role::PreCandidate(_) | Role::Candidate(_) => {}
        }
        let vouched = vouched && !is_planted(Bug::VouchersIgnored);
        let is_open = self.common.configuration().is_open();
        if vouched || is_open || is_planted(Bug::StrangerBelieved) {
            Sender::Vouched
        } else {
            Sender::Stranger
        }
    }

    /// Returns true if this server waits for messages of this kind from `server`.
    fn has_asked(&self, server: ServerId, kind: Kind) -> bool {
        match (&self.role, kind) {
            (Role::Leader(leader), Kind::AppendEntriesReply | Kind::InstallSnapshotReply) => {
                leader.peers.get(server).is_some()
            }
            (Role::PreCandidate(_) | Role::Candidate(_), Kind::RequestVoteReply) => {
                self.common.configuration().is_voter(server)
            }
            (Role::Follower(follower), Kind::ReadIndexReply | Kind::TimeoutNow) => {
                follower.leader() == Some(server)
            }
            // It may have led in this term, and what it sent then is still answered: with the term that deposes it.
            (
                Role::Follower(_) | Role::PreCandidate(_),
                Kind::AppendEntriesReply | Kind::InstallSnapshotReply,
            ) => {
                self.common.voted_for == Some(self.common.id)
                    && self.sender(server, false) == Sender::Member
            }
            (_, _) => false,
        }
    }

    /// Returns true if a message may be believed. What nobody has any business to say is refused before its term
    /// counts.
    fn admits(&mut self, from: ServerId, vouched: bool, kind: Kind) -> bool {
        let sender = if self.has_asked(from, kind) {
            Sender::Asked
        } else {
            self.sender(from, vouched)
        };
        match admission(kind, sender) {
            Admission::Take => true,
            Admission::Ignore => is_planted(Bug::BelievesUnasked),
            Admission::PutOff | Admission::Refuse => {
                self.common.refuse(from, Refusal::NotAPeer);
                is_planted(Bug::BelievesUnasked)
            }
        }
    }

    /// Takes a message: first who sent it, then what its term says (§3.3), then what it says itself.
    pub(super) fn on_message(&mut self, from: ServerId, vouched: bool, message: Message) {
        let Message { term, body } = message;
        let is_suspect = !is_planted(Bug::ImpostorBelieved) || term > self.common.current_term;
        if !self.admits(from, vouched, Kind::from(&body)) && is_suspect {
            return;
        }
        if self.common.is_beyond_reach(term) {
            self.common.refuse(from, Refusal::TermJump);
            return;
        }
        if let Body::RequestVote(request) = body {
            // A later term alone does not move a server that hears its leader: see `vote`.
            return self.on_request_vote(from, term, &request);
        }
        if term > self.common.current_term {
            let leads = matches!(body, Body::AppendEntries(_) | Body::InstallSnapshot(_));
            self.follow_term(term, leads.then_some(from));
        }
        let transition = if term < self.common.current_term {
            self.on_old_message(from, body)
        } else {
            self.on_current_message(from, body)
        };
        self.make(transition);
    }

    /// A message of an earlier term: only a leader that was deposed needs an answer, so that it learns of it; and a
    /// pre-vote may come from a server that is behind.
    fn on_old_message(&mut self, from: ServerId, body: Body) -> Transition {
        match body {
            Body::AppendEntries(_) => {
                let answer = AppendEntriesReply {
                    round: Round::ZERO,
                    match_index: Index::ZERO,
                    received: Index::ZERO,
                    commit: Index::ZERO,
                    applied: Index::ZERO,
                    conflict: None,
                    promise: Duration::ZERO,
                    token: Token::NONE,
                    last: self.common.log.last_index(),
                };
                self.common.promise(from, Body::AppendEntriesReply(answer));
            }
            Body::InstallSnapshot(chunk) => {
                let answer = InstallSnapshotReply {
                    round: Round::ZERO,
                    transfer: chunk.transfer,
                    next_offset: 0,
                    received: 0,
                    known: false,
                    match_index: Index::ZERO,
                    last: self.common.log.last_index(),
                };
                self.common
                    .promise(from, Body::InstallSnapshotReply(answer));
            }
            Body::RequestVoteReply(reply) => return self.on_vote_reply(from, &reply),
            Body::ReadIndex(request) => read::refuse_peer(&mut self.common, from, request.id),
            Body::AppendEntriesReply(_) if is_planted(Bug::StaleAcknowledgement) => {
                return self.on_current_message(from, body);
            }
            Body::RequestVote(_)
            | Body::AppendEntriesReply(_)
            | Body::InstallSnapshotReply(_)
            | Body::TimeoutNow
            | Body::ReadIndexReply(_) => {}
        }
        Transition::Stay
    }

    fn on_current_message(&mut self, from: ServerId, body: Body) -> Transition {
        let is_leaders = matches!(body, Body::AppendEntries(_) | Body::InstallSnapshot(_));
        if is_leaders && matches!(self.role, Role::PreCandidate(_) | Role::Candidate(_)) {
            self.become_follower(Some(from), false);
        }
        let common = &mut self.common;
        match (&mut self.role, body) {
            (Role::Follower(follower), Body::AppendEntries(append)) => {
                follower.on_append(common, from, append);
            }
            (Role::Follower(follower), Body::InstallSnapshot(chunk)) => {
                follower.on_snapshot(common, from, *chunk);
            }
            (Role::Follower(follower), Body::ReadIndexReply(reply)) => {
                follower.on_read_reply(common, &reply);
            }
            (Role::Follower(follower), Body::TimeoutNow)
                if follower.leader() == Some(from) && common.may_campaign() =>
            {
                return Transition::Campaign { transfer: true };
            }
            (Role::Leader(leader), Body::AppendEntriesReply(reply)) => {
                leader.on_append_reply(common, from, &reply);
            }
            (Role::Leader(leader), Body::InstallSnapshotReply(reply)) => {
                leader.on_snapshot_reply(common, from, &reply);
            }
            (Role::Leader(leader), Body::ReadIndex(request)) => {
                leader.on_read_index(common, from, request.id);
            }
            (Role::Leader(_), Body::AppendEntries(_) | Body::InstallSnapshot(_)) => {
                common.refuse(from, Refusal::SecondLeader);
            }
            (_, Body::ReadIndex(request)) => read::refuse_peer(common, from, request.id),
            (_, Body::RequestVoteReply(reply)) => return self.on_vote_reply(from, &reply),
            // Answers and requests for a role that this server does not play any more.
            (
                Role::Follower(_) | Role::PreCandidate(_) | Role::Candidate(_) | Role::Leader(_),
                Body::RequestVote(_)
                | Body::AppendEntries(_)
                | Body::AppendEntriesReply(_)
                | Body::InstallSnapshot(_)
                | Body::InstallSnapshotReply(_)
                | Body::TimeoutNow
                | Body::ReadIndexReply(_),
            ) => {}
        }
        Transition::Stay
    }
}
