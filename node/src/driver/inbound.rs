//! Takes frames of other members: each becomes an input, an answer to a request, or a number on a counter.

use bytes::Bytes;
use liferaft_transport::access::{Permit, Role};
use liferaft_transport::handshake::HandshakeError;
use liferaft_transport::links::LinkError;
use liferaft_transport::{Event as TransportEvent, Frame};

use super::asker::Asker;
use super::error::StopReason;
use super::events::Happening;
use super::served::{Answer, Begin};
use super::status::MemberError;
use super::task::Driver;
use crate::admission::{Admission, Kind, Sender, admission};
use crate::codec;
use crate::configuration::Foreign;
use crate::consensus::{ChangeError, Input, MembershipChange, Refusal, TransferError};
use crate::ids::{ServerId, Term};
use crate::message::Body;
use crate::sessions::Envelope;
use crate::state_machine::StateMachine;
use crate::time::Instant;
use crate::wire::{Content, DecodeError, JoinReply, ProposeAnswer, RawFrame};

/// Commands that another member has forwarded, and what became of them.
#[derive(Debug)]
pub(super) struct ForwardedBatch {
    pub(super) from: ServerId,
    pub(super) request: u64,
    pub(super) commands: Vec<Bytes>,
    pub(super) answer: ProposeAnswer,
}

impl<S: StateMachine> Driver<S> {
    pub(super) fn take_event(
        &mut self,
        event: TransportEvent,
        now: Instant,
    ) -> Result<(), StopReason> {
        match event {
            TransportEvent::Frame { from, frame, .. } => self.take_frame(from, frame, now),
            // Hints: whether a server is there shows when it answers.
            TransportEvent::PeerUp(peer) => {
                self.take_peer_up(peer, now);
                Ok(())
            }
            TransportEvent::PeerDown(peer) => {
                tracing::debug!(term = %self.raft.term(), %peer, "link down");
                self.peers.on_down(peer);
                self.vouching.on_down(peer);
                self.serving.on_down(peer);
                self.announce(now, || Happening::PeerDown { peer });
                Ok(())
            }
            TransportEvent::Writable(peer) => {
                self.inputs.push(Input::Writable(peer));
                Ok(())
            }
            TransportEvent::NotLinked { peer, error, .. } => {
                self.take_not_linked(peer, error, now);
                Ok(())
            }
            // What it carries may be a user's, so it is not logged.
            _ => {
                tracing::debug!(term = %self.raft.term(), "unknown event of the transport ignored");
                Ok(())
            }
        }
    }

    /// There is a link to a peer, which is who it says where the transport proves that.
    fn take_peer_up(&mut self, peer: ServerId, now: Instant) {
        let (_, configuration) = self.raft.configuration();
        let link = self.links.link(peer);
        let is_proven = link.is_some();
        if !is_proven && self.links.authenticates() {
            return tracing::debug!(term = %self.raft.term(), %peer, "link gone before it was looked at");
        }
        if is_proven && self.peers.is_dismissed(peer) {
            tracing::info!(term = %self.raft.term(), %peer, "link of a removed server closed");
            return self.links.close(peer);
        }
        match self.peers.on_up(peer, link, configuration) {
            Ok(Some(boots)) => self.disk.enqueue_boots(boots, now),
            Ok(None) => {}
            Err(error) => {
                tracing::warn!(term = %self.raft.term(), %peer, %error, "link refused");
                self.note_error(MemberError::OldBoot(error));
                return self.links.close(peer);
            }
        }
        tracing::debug!(term = %self.raft.term(), %peer, "link up");
        self.announce(now, || Happening::PeerUp { peer });
        if let Some(link) = self.links.link(peer).filter(|_| self.is_client(peer)) {
            return self.serving.on_up(peer, link.generation);
        }
        self.inputs.push(Input::PeerUp(peer));
        if is_proven {
            self.found_peer(peer, now);
        }
    }

    /// No link to a peer came about.
    fn take_not_linked(&mut self, peer: ServerId, error: LinkError, now: Instant) {
        tracing::debug!(term = %self.raft.term(), %peer, %error, "no link");
        // Whoever is refused by somebody unproven has something to say only where nobody else does.
        let unproven = match error {
            LinkError::Handshake(HandshakeError::Rejected { refusal, by: None }) => Some(refusal),
            LinkError::Handshake(HandshakeError::Rejected { refusal, .. }) => {
                self.take_refusal(refusal, now);
                None
            }
            _ => None,
        };
        self.peers.on_not_linked(peer, unproven);
        self.note_error(MemberError::NotLinked { peer, error });
    }

    /// What the transport has proven that a peer may be; `None` where it proves nothing.
    fn role(&self, peer: ServerId) -> Option<Role> {
        self.links.link(peer).map(|link| link.role)
    }

    /// Whether a peer was let in to use what the cluster replicates, and takes no part.
    fn is_client(&self, peer: ServerId) -> bool {
        matches!(self.role(peer), Some(Role::Client(_)))
    }

    /// Whether a client may change who is a member, who leads and who is invited.
    fn is_operator(&self, peer: ServerId) -> bool {
        let link = self.links.link(peer);
        link.is_some_and(|link| {
            link.role == Role::Client(Permit::Operate) && !self.is_token_over(link.token)
        })
    }

    /// Whether the configuration names a peer: then nothing else matters.
    fn is_member(&self, peer: ServerId) -> bool {
        let (_, configuration) = self.raft.configuration();
        configuration.contains(peer)
    }

    /// Whether those whom this server knows vouch for a peer, or did when its link came up.
    pub(super) fn is_vouched(&self, peer: ServerId) -> bool {
        matches!(self.role(peer), Some(Role::Member | Role::Vouched))
    }

    /// Judges the envelope before the body: what is not for this server in this cluster is not even decoded.
    fn take_frame(&mut self, from: ServerId, frame: Frame, now: Instant) -> Result<(), StopReason> {
        self.counters.frames_received += 1;
        let raw = match RawFrame::decode_parts(frame.head, frame.body) {
            Ok(raw) => raw,
            Err(error) => {
                self.drop_undecodable(from, error);
                return Ok(());
            }
        };
        if raw.cluster() != self.cluster {
            self.counters.frames_of_another_cluster += 1;
            tracing::debug!(term = %self.raft.term(), %from, cluster = %raw.cluster(), "frame of another cluster");
            self.answer_foreign(from, &raw, Foreign::Cluster);
            return Ok(());
        }
        if raw.to() != self.id {
            self.counters.frames_for_another_server += 1;
            tracing::debug!(term = %self.raft.term(), %from, to = %raw.to(), "frame for another server");
            return Ok(());
        }
        // Before anything is believed: two foundings of one cluster agree on nothing, and their terms and indices still
        // match.
        let own = self.links.history();
        if own.is_some() && raw.history().is_some() && raw.history() != own {
            self.counters.frames_of_another_history += 1;
            tracing::debug!(term = %self.raft.term(), %from, "frame of another history");
            self.answer_foreign(from, &raw, Foreign::History);
            return Ok(());
        }
        let replicates = raw.kind().is_some_and(Kind::replicates);
        let leader_term = raw.term().filter(|_| replicates);
        match raw.decode_content() {
            Ok(content) => self.take_content(from, content, now),
            Err(error) => {
                // What the leader replicates in a version that is not known here all others act upon: this member stops
                // rather than fall behind without a word. Nobody else may stop it.
                let unsupported = error.is_unsupported();
                let is_leaders = leader_term.is_some_and(|term| self.raft.may_lead(from, term));
                let what = error.to_string();
                self.drop_undecodable(from, error);
                if unsupported && is_leaders {
                    return Err(StopReason::Unsupported { from, what });
                }
            }
        }
        Ok(())
    }

    /// Tells a server that asks to join here, or replicates to this one, that it asks the wrong one: a hint, which
    /// changes nothing here. What it sends otherwise needs no answer, and an answer never gets one.
    fn answer_foreign(&mut self, from: ServerId, raw: &RawFrame, why: Foreign) {
        let kind = raw.kind();
        let asks = kind.is_some_and(|kind| kind == Kind::Join || kind.replicates());
        if asks && raw.to() == self.id {
            self.links
                .send_foreign(from, raw.cluster(), why, &mut self.counters);
        }
    }

    fn drop_undecodable(&mut self, from: ServerId, error: DecodeError) {
        self.counters.frames_undecodable += 1;
        tracing::debug!(term = %self.raft.term(), %from, %error, "frame not understood");
        self.note_error(MemberError::NotUnderstood { from, error });
    }

    /// Takes what the sender has any business to say. The core judges messages of the protocol itself.
    fn take_content(&mut self, from: ServerId, content: Content, now: Instant) {
        if let Content::Message(message) = &content {
            self.counters.messages_received.add(message);
        }
        let is_member = self.is_member(from);
        // What a peer may be goes with its link. Of a transport that proves nothing there is none to go by.
        let asks_to_join = matches!(content, Content::Join { .. });
        let counts_by_link = !is_member || asks_to_join;
        if counts_by_link && self.links.authenticates() && self.links.link(from).is_none() {
            self.counters.frames_not_admitted += 1;
            return tracing::debug!(term = %self.raft.term(), %from, kind = ?content.kind(), "frame of a link that is gone");
        }
        let is_of_server = || !self.is_client(from);
        if matches!(content, Content::Message(_)) && (is_member || is_of_server()) {
            return self.take_from_peer(from, content, now);
        }
        match admission(content.kind(), self.sender(from, &content)) {
            Admission::Take => self.take_from_peer(from, content, now),
            Admission::Ignore => {}
            Admission::PutOff => self.put_off(from, &content),
            Admission::Refuse => {
                self.counters.frames_not_admitted += 1;
                let reason = Refusal::NotAPeer;
                self.note_error(MemberError::Refused { from, reason });
                self.announcer.refused(from, reason);
                tracing::debug!(term = %self.raft.term(), %from, kind = ?content.kind(), "frame not admitted");
            }
        }
    }

    /// Returns what the sender of a request or an answer is to this member.
    fn sender(&self, from: ServerId, content: &Content) -> Sender {
        let asked = match content {
            Content::ProposeReply { .. } => self.forwarded_to == Some(from),
            Content::ChangeReply { request, .. } | Content::TransferReply { request, .. } => {
                self.operations.asked(*request) == Some(from)
            }
            // A voter that is asked for its vote says so, and only whoever has no leader asks.
            Content::JoinReply(JoinReply::Dismissed) if self.raft.leader().is_none() => {
                self.membership.has_asked(from) || self.raft.sender(from, false) == Sender::Member
            }
            // A leader that finds out that this server forgot says so unasked.
            Content::JoinReply(JoinReply::Forgot) if self.raft.leader() == Some(from) => true,
            Content::JoinReply(_) | Content::Foreign(_) => self.membership.has_asked(from),
            Content::Message(_)
            | Content::Propose { .. }
            | Content::Change { .. }
            | Content::Transfer { .. }
            | Content::Join { .. }
            | Content::ClientRequest { .. }
            | Content::ClientReply { .. } => false,
        };
        match self.raft.sender(from, self.is_vouched(from)) {
            _ if self.is_operator(from) => Sender::Operator,
            _ if self.is_client(from) => Sender::Client,
            _ if asked => Sender::Asked,
            Sender::Vouched | Sender::Stranger if self.membership.expects(from) => Sender::Joiner,
            sender => sender,
        }
    }

    /// Tells a server that is about to be a member, or was one until just now, that it may ask again.
    fn put_off(&mut self, from: ServerId, content: &Content) {
        let answer = match content {
            Content::Propose { request, .. } => Content::ProposeReply {
                request: *request,
                answer: ProposeAnswer::NotMember,
            },
            Content::Change { request, .. } => Content::ChangeReply {
                request: *request,
                result: Err(ChangeError::AskerNotMember),
            },
            Content::Transfer { request, .. } => Content::TransferReply {
                request: *request,
                result: Err(TransferError::AskerNotMember),
            },
            Content::Message(_)
            | Content::ProposeReply { .. }
            | Content::ChangeReply { .. }
            | Content::TransferReply { .. }
            | Content::Join { .. }
            | Content::JoinReply(_)
            | Content::Foreign(_)
            | Content::ClientRequest { .. }
            | Content::ClientReply { .. } => return,
        };
        self.links.send(from, &answer, &mut self.counters);
    }

    fn take_from_peer(&mut self, from: ServerId, content: Content, now: Instant) {
        match content {
            Content::Message(message) => {
                if matches!(message.body, Body::RequestVote(_)) {
                    self.tell_removed(from);
                }
                self.inputs
                    .push(if !self.is_member(from) && self.is_vouched(from) {
                        let message = Box::new(message);
                        Input::VouchedMessage { from, message }
                    } else {
                        Input::Message { from, message }
                    });
            }
            Content::Propose { request, commands } => self.take_forwarded(from, request, commands),
            Content::ProposeReply { request, answer } => {
                let taken = answer == ProposeAnswer::Appended;
                if !self.lanes.on_forward_answer(request, taken, now) {
                    self.proposals.on_forward_answer(request, taken, now);
                }
            }
            // What it was asked as the leader of another term, or by an earlier run of it, may have been done. Of that
            // it tells what it still knows, and otherwise nothing: to say that it does not lead would be taken for a
            // no.
            Content::Change { request, term, .. } | Content::Transfer { request, term, .. }
                if !self.may_begin_in(term) =>
            {
                if let Some(answer) = self.served.answer(from, request) {
                    self.answer_peer(from, request, answer);
                }
            }
            Content::Change {
                request, change, ..
            } => self.take_change(from, request, change, now),
            Content::ChangeReply { request, result } => {
                self.answer_own_change(request, result, now);
            }
            Content::Transfer { request, to, .. } => self.take_transfer(from, request, to),
            Content::TransferReply { request, result } => {
                self.operations
                    .on_transfer_answer(request, result, self.leader, now);
            }
            Content::Join { description, token } => self.take_join(from, description, token, now),
            Content::JoinReply(reply) => self.take_join_reply(from, &reply, now),
            Content::Foreign(why) => self.take_foreign(from, why, now),
            Content::ClientRequest { request, ask } => {
                self.take_client_request(from, request, ask, now);
            }
            // A member asks nothing so, and admits no answer.
            Content::ClientReply { .. } => {}
        }
    }

    /// Whether a request to the leader of this term may be begun here: this run knows all that was asked in the term.
    fn may_begin_in(&self, term: Term) -> bool {
        term == self.raft.term() && term > self.began_in
    }

    fn take_forwarded(&mut self, from: ServerId, request: u64, commands: Vec<Bytes>) {
        if !commands.iter().all(|command| is_command::<S>(command)) {
            // Appended, it would stop every member.
            self.counters.commands_malformed += 1;
            tracing::debug!(term = %self.raft.term(), %from, "forwarded command not understood");
            return;
        }
        let has_no_room = self.leads() && self.disk.is_low();
        let (commands, answer) = if self.stopping.is_some() || has_no_room {
            (Vec::new(), ProposeAnswer::Busy)
        } else {
            (commands, ProposeAnswer::Appended)
        };
        self.forwarded.push(ForwardedBatch {
            from,
            request,
            commands,
            answer,
        });
    }

    fn take_change(
        &mut self,
        from: ServerId,
        request: u64,
        change: MembershipChange,
        now: Instant,
    ) {
        match self.served.begin(from, request) {
            Begin::First => match self.as_asked(from, change, now) {
                Ok(change) => self.ask_change(Asker::Peer(from, request), change),
                Err(error) => self.finish_for_peer(from, request, Answer::Change(Err(error))),
            },
            Begin::Answered(answer) => self.answer_peer(from, request, answer),
            Begin::Ignore => {}
        }
    }

    fn take_transfer(&mut self, from: ServerId, request: u64, to: Option<ServerId>) {
        match self.served.begin(from, request) {
            Begin::First if self.transfers.ask_for_peer(from, request, to) => {}
            Begin::First => {
                self.counters.requests_refused += 1;
                let answer = Answer::Transfer(Err(TransferError::Busy));
                self.finish_for_peer(from, request, answer);
            }
            Begin::Answered(answer) => self.answer_peer(from, request, answer),
            Begin::Ignore => {}
        }
    }

    /// Answers a member's request, and keeps the answer for whenever it is repeated.
    pub(super) fn finish_for_peer(&mut self, from: ServerId, request: u64, answer: Answer) {
        self.served.finish(from, request, &answer);
        self.answer_peer(from, request, answer);
    }

    fn answer_peer(&mut self, to: ServerId, request: u64, answer: Answer) {
        self.links
            .send(to, &answer.into_content(request), &mut self.counters);
    }
}

/// Whether the bytes are a command of this state machine in a session's envelope.
fn is_command<S: StateMachine>(bytes: &[u8]) -> bool {
    match Envelope::decode(bytes) {
        Ok(Envelope::Register { .. } | Envelope::RegisterOrdered { .. }) => true,
        Ok(Envelope::Command { body, .. }) => codec::check::<S::Command>(body).is_ok(),
        Err(_) => false,
    }
}
