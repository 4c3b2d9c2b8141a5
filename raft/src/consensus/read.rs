//! Linearizable reads without the log: ReadIndex by rounds (§6.4).
//!
//! A read takes the leader's commit index and waits until a quorum has echoed a round that was begun after the read
//! came in. Rounds are monotone within a term, so an answer that the network delayed or doubled confirms nothing later.

use alloc::collections::VecDeque;
use alloc::vec::Vec;
use core::time::Duration;

use super::asking::Question;
use super::common::Common;
use super::names::ReadId;
use super::output::ReadRefused;
use super::round_trip::Retry;
use crate::ids::{Index, Round, ServerId};
use crate::message::{Body, ReadIndex, ReadIndexReply};
use crate::sorted::SortedSet;
use crate::time::Instant;

/// Who waits for a read.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Reader {
    Local(ReadId),
    Peer { server: ServerId, id: u64 },
}

impl Reader {
    /// Tells it the index at which it may read.
    pub(super) fn grant(self, common: &mut Common, index: Index) {
        match self {
            Self::Local(id) => common.out.reads.push((id, Ok(index))),
            Self::Peer { server, id } => {
                let index = Some(index);
                common.send(server, Body::ReadIndexReply(ReadIndexReply { id, index }));
            }
        }
    }
}

/// The reads that a leader has to confirm.
#[derive(Debug, Default)]
pub(super) struct LeaderReads {
    /// Came in since the last round was begun, or before this term has committed anything (§6.4, step 1).
    arrived: Vec<Reader>,
    /// Wait for a quorum to echo the round.
    confirming: VecDeque<(Round, Index, Reader)>,
    /// The requests of peers among them.
    asked: SortedSet<(ServerId, u64)>,
    /// When to begin another round, because a quorum should have echoed the last one.
    pub(super) retry: Retry,
}

impl LeaderReads {
    pub(super) fn push(&mut self, common: &mut Common, reader: Reader) {
        // A request that is asked again, or was doubled on the way, is answered once.
        if let Reader::Peer { server, id } = reader
            && !self.asked.insert((server, id))
        {
            return;
        }
        let waiting = self.arrived.len() + self.confirming.len();
        if waiting < common.config.limits().reads_max {
            self.arrived.push(reader);
            return;
        }
        match reader {
            Reader::Local(id) => common
                .out
                .reads
                .push((id, Err(ReadRefused::Busy { waiting }))),
            // It asks again.
            Reader::Peer { server, id } => {
                self.asked.remove(&(server, id));
            }
        }
    }

    pub(super) fn has_arrived(&self) -> bool {
        !self.arrived.is_empty()
    }

    pub(super) fn is_confirming(&self) -> bool {
        !self.confirming.is_empty()
    }

    /// The reads that have arrived are confirmed by this round, which is only now begun.
    pub(super) fn begin_round(&mut self, round: Round, commit_index: Index) {
        self.confirming.extend(
            self.arrived
                .drain(..)
                .map(|reader| (round, commit_index, reader)),
        );
    }

    /// A quorum has echoed this round.
    pub(super) fn confirm(&mut self, common: &mut Common, echoed: Round) {
        while let Some((round, index, reader)) = self.confirming.front().copied()
            && round <= echoed
        {
            self.confirming.pop_front();
            if let Reader::Peer { server, id } = reader {
                self.asked.remove(&(server, id));
            }
            reader.grant(common, index);
        }
    }

    /// Leadership is lost: nothing can be confirmed any more. Peers learn it from the next leader.
    pub(super) fn refuse_all(self, common: &mut Common, leader: Option<ServerId>) {
        let confirming = self.confirming.into_iter().map(|(_, _, reader)| reader);
        for reader in self.arrived.into_iter().chain(confirming) {
            if let Reader::Local(id) = reader {
                common
                    .out
                    .reads
                    .push((id, Err(ReadRefused::NotLeader { leader })));
            }
        }
    }
}

/// The reads for which a follower asks its leader.
///
/// Only the newest request is asked again: its index is taken after all the reads that wait came in, so its answer is
/// one to all requests before it.
#[derive(Debug)]
pub(super) struct FollowerReads {
    /// Came in since the last request was sent.
    arrived: Vec<ReadId>,
    /// Asked for: the reads of each request that is not answered, the oldest first.
    asked: VecDeque<Vec<ReadId>>,
    waiting: usize,
    /// The name of the next request. They count up, so the newest that is asked has the name before it.
    next_request: u64,
    /// The newest request, until it is answered.
    question: Option<Question>,
    /// The leader's messages tell that a round trip to it takes at least this long.
    round_trip_min: Duration,
}

impl FollowerReads {
    /// Requests are named from `first_request` on, drawn at random: an answer from before a restart must not be taken
    /// for one to a later request.
    pub(super) fn naming_from(first_request: u64) -> Self {
        Self {
            arrived: Vec::new(),
            asked: VecDeque::new(),
            waiting: 0,
            next_request: first_request,
            question: None,
            round_trip_min: Duration::ZERO,
        }
    }

    /// The leader has repeated a token of this age (see `currency`). It had the answer with that token for a heartbeat
    /// interval at most.
    pub(super) fn note_echo(&mut self, age: Duration, heartbeat: Duration) {
        self.round_trip_min = age.saturating_sub(heartbeat);
    }

    pub(super) fn push(&mut self, common: &mut Common, id: ReadId) {
        if self.waiting < common.config.limits().reads_max {
            self.waiting += 1;
            self.arrived.push(id);
        } else {
            let refused = ReadRefused::Busy {
                waiting: self.waiting,
            };
            common.out.reads.push((id, Err(refused)));
        }
    }

    pub(super) fn deadline(&self) -> Option<Instant> {
        self.question.as_ref().and_then(Question::again_at)
    }

    /// Asks for what has arrived, in one request, or again for what was not answered.
    pub(super) fn flush(&mut self, common: &mut Common, leader: ServerId) {
        if !self.arrived.is_empty() {
            self.asked.push_back(core::mem::take(&mut self.arrived));
            self.next_request = self.next_request.wrapping_add(1);
            self.question = Some(Question::asked(common, leader, self.round_trip_min));
        } else if !self
            .question
            .as_mut()
            .is_some_and(|question| question.is_due(common))
        {
            return;
        }
        let id = self.next_request.wrapping_sub(1);
        common.send(leader, Body::ReadIndex(ReadIndex { id }));
    }

    pub(super) fn on_reply(
        &mut self,
        common: &mut Common,
        leader: Option<ServerId>,
        reply: &ReadIndexReply,
    ) {
        // How many requests were sent after this one.
        let after = self.next_request.wrapping_sub(1).wrapping_sub(reply.id);
        let Some(answered) = usize::try_from(after)
            .ok()
            .and_then(|after| self.asked.len().checked_sub(after))
            .filter(|answered| *answered > 0)
        else {
            return;
        };
        if answered == self.asked.len()
            && let Some(question) = self.question.take()
        {
            question.answered(common);
        }
        let result = reply.index.ok_or(ReadRefused::NotLeader { leader });
        for read in self.asked.drain(..answered).flatten() {
            self.waiting -= 1;
            common.out.reads.push((read, result.clone()));
        }
    }

    pub(super) fn refuse_all(&mut self, common: &mut Common, leader: Option<ServerId>) {
        self.waiting = 0;
        self.question = None;
        let asked = self.asked.drain(..).flatten();
        let refused = ReadRefused::NotLeader { leader };
        common.out.reads.extend(
            asked
                .chain(self.arrived.drain(..))
                .map(|read| (read, Err(refused.clone()))),
        );
    }
}

/// Tells a peer that its read cannot be confirmed here.
pub(super) fn refuse_peer(common: &mut Common, server: ServerId, id: u64) {
    common.send(
        server,
        Body::ReadIndexReply(ReadIndexReply { id, index: None }),
    );
}
