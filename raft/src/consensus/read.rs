//! Linearizable reads without the log: ReadIndex by rounds (§6.4).
//!
//! A read takes the leader's commit index and waits until a quorum has echoed a round that was begun after the read
//! came in. Rounds are monotone within a term, so an answer that the network delayed or doubled confirms nothing later.

use alloc::collections::{BTreeMap, BTreeSet, VecDeque};
use alloc::vec::Vec;

use super::common::Common;
use super::input::ReadId;
use super::output::ReadRefused;
use super::progress::Retry;
use crate::ids::{Index, Round, ServerId};
use crate::message::{Body, ReadIndex, ReadIndexReply};
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
    asked: BTreeSet<(ServerId, u64)>,
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
#[derive(Debug)]
pub(super) struct FollowerReads {
    /// Came in since the last request was sent.
    arrived: Vec<ReadId>,
    /// Asked for, by the name of the request.
    asked: BTreeMap<u64, Vec<ReadId>>,
    waiting: usize,
    next_request: u64,
    ask_again_at: Option<Instant>,
}

impl FollowerReads {
    /// Requests are named from `first_request` on, drawn at random: an answer from before a restart must not be taken
    /// for one to a later request.
    pub(super) fn naming_from(first_request: u64) -> Self {
        Self {
            arrived: Vec::new(),
            asked: BTreeMap::new(),
            waiting: 0,
            next_request: first_request,
            ask_again_at: None,
        }
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
        self.ask_again_at
    }

    /// Asks for what has arrived, in one request, and again for what was not answered.
    pub(super) fn flush(&mut self, common: &mut Common, leader: ServerId) {
        if self.waiting == 0 {
            return;
        }
        if !self.arrived.is_empty() {
            let id = self.next_request;
            self.next_request = self.next_request.wrapping_add(1);
            self.asked.insert(id, core::mem::take(&mut self.arrived));
            common.send(leader, Body::ReadIndex(ReadIndex { id }));
        }
        match self.ask_again_at {
            None => self.ask_again_at = Some(common.now + common.ask_again_interval()),
            Some(at) if at <= common.now => {
                // The same name again: whichever answer comes, its index was taken after the read came in.
                for id in self.asked.keys() {
                    common.send(leader, Body::ReadIndex(ReadIndex { id: *id }));
                }
                self.ask_again_at = Some(common.now + common.ask_again_interval());
            }
            Some(_) => {}
        }
    }

    pub(super) fn on_reply(
        &mut self,
        common: &mut Common,
        leader: Option<ServerId>,
        reply: &ReadIndexReply,
    ) {
        let Some(reads) = self.asked.remove(&reply.id) else {
            return;
        };
        self.waiting -= reads.len();
        if self.asked.is_empty() {
            self.ask_again_at = None;
        }
        let result = reply.index.ok_or(ReadRefused::NotLeader { leader });
        common
            .out
            .reads
            .extend(reads.into_iter().map(|read| (read, result.clone())));
    }

    pub(super) fn refuse_all(&mut self, common: &mut Common, leader: Option<ServerId>) {
        self.waiting = 0;
        self.ask_again_at = None;
        let asked = core::mem::take(&mut self.asked).into_values().flatten();
        let refused = ReadRefused::NotLeader { leader };
        common.out.reads.extend(
            self.arrived
                .drain(..)
                .chain(asked)
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
