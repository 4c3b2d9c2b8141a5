//! Servers that are no members and speak to members nevertheless: of another cluster, or long since forgotten.
//!
//! What they say some member has said to another in this run: only the sender and the term are another's. They answer,
//! and ask to read. In an open cluster they do not ask for votes, and they do not lead: a server that is no member as
//! far as its hearer knows may be newer than that (§4.1), and must be heard then. In a closed one they do that as well,
//! and nobody vouches for them.
//!
//! Impostors go further: they say it in their hearer's term, answer as if they had been asked, and what leaders say
//! makes them the only voter.

use std::sync::Arc;

use liferaft_raft::configuration::Configuration;
use liferaft_raft::entry::{Entry, Payload};
use liferaft_raft::ids::{Index, LogPosition, ServerId, Term};
use liferaft_raft::message::{Body, Message, ReplyWanted};
use serde::{Deserialize, Serialize};

use crate::member::View;

/// The ids of strangers begin here: no member ever has one of them.
const FIRST_STRANGER: u64 = 1 << 48;

/// The least that a stranger's term is ahead of its hearer's: no campaign of the hearer's own comes as far.
pub const LATER_MIN: u64 = 2;

/// Something that a stranger says, or an impostor.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Saying {
    /// Which stranger, from 0. Of impostors: which of those that the hearer does not know, and are there or were.
    pub by: u8,
    /// What.
    pub what: What,
    /// By how much its term is ahead of its hearer's.
    pub later: u64,
}

/// What a stranger says.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum What {
    /// It answers entries or a heartbeat.
    AppendReply,
    /// It answers a chunk of a snapshot.
    SnapshotReply,
    /// It answers a request for a vote.
    VoteReply,
    /// It asks to read.
    Read,
    /// It answers that.
    ReadReply,
    /// It asks for a vote.
    VoteRequest,
    /// It replicates, as a leader.
    Append,
    /// It sends a part of a snapshot, as a leader.
    Chunk,
}

impl What {
    /// All of it.
    pub const ALL: [Self; 8] = [
        Self::AppendReply,
        Self::SnapshotReply,
        Self::VoteReply,
        Self::Read,
        Self::ReadReply,
        Self::VoteRequest,
        Self::Append,
        Self::Chunk,
    ];

    /// What is refused even by servers that believe whoever leads or campaigns.
    pub const EVER_REFUSED: [Self; 5] = [
        Self::AppendReply,
        Self::SnapshotReply,
        Self::VoteReply,
        Self::Read,
        Self::ReadReply,
    ];

    /// Whether a server may have to believe it of one that it does not know.
    #[must_use]
    pub fn may_be_newer(self) -> bool {
        !Self::EVER_REFUSED.contains(&self)
    }

    fn of(body: &Body) -> Option<Self> {
        match body {
            Body::AppendEntriesReply(_) => Some(Self::AppendReply),
            Body::InstallSnapshotReply(_) => Some(Self::SnapshotReply),
            Body::RequestVoteReply(_) => Some(Self::VoteReply),
            Body::ReadIndex(_) => Some(Self::Read),
            Body::ReadIndexReply(_) => Some(Self::ReadReply),
            Body::RequestVote(_) => Some(Self::VoteRequest),
            Body::AppendEntries(_) => Some(Self::Append),
            Body::InstallSnapshot(_) => Some(Self::Chunk),
            Body::TimeoutNow => None,
        }
    }
}

/// Whether a server is none of the cluster's.
#[must_use]
pub fn is_stranger(id: ServerId) -> bool {
    id.0 >= u128::from(FIRST_STRANGER)
}

/// What members have said last, of each kind that strangers repeat.
#[derive(Debug, Default)]
pub struct Overheard([Option<Message>; What::ALL.len()]);

impl Overheard {
    /// A member says something.
    pub fn listen(&mut self, message: &Message) {
        if let Some(what) = What::of(&message.body) {
            self.0[what as usize] = Some(message.clone());
        }
    }

    /// What a stranger says to a server in this term, and which stranger it is; `None` if no member has said the like.
    #[must_use]
    pub fn say(&self, saying: Saying, to: Term) -> Option<(ServerId, Message)> {
        let said = self.0[saying.what as usize].clone()?;
        let later = saying.later.max(LATER_MIN);
        let message = Message {
            term: Term(to.0.saturating_add(later)),
            body: said.body,
        };
        Some((stranger(saying.by), message))
    }

    /// What an impostor says to a server with this term and log; `None` if no member has said the like.
    #[must_use]
    pub fn pretend(&self, saying: Saying, by: ServerId, hearer: &View) -> Option<Message> {
        let mut message = self.0[saying.what as usize].clone()?;
        let term = Term(hearer.term.0.saturating_add(saying.later));
        let last = hearer.positions.last;
        let alone = || Arc::new(Configuration::of_voters([by]));
        message.term = term;
        match &mut message.body {
            Body::AppendEntries(append) => {
                append.prev = last;
                append.reply = ReplyWanted::AtOnce;
                append.commit = last.index;
                let stamp = append.entries.last().map(|entry| entry.stamp);
                append.entries = Arc::new(vec![Entry {
                    index: last.index.next(),
                    term,
                    stamp: stamp.unwrap_or_default(),
                    payload: Payload::Configuration(alone()),
                }]);
            }
            Body::InstallSnapshot(chunk) => {
                if let Some(metadata) = &mut chunk.metadata {
                    metadata.last = LogPosition::new(term, last.index.next());
                    metadata.configuration = alone();
                    metadata.configuration_index = last.index.next();
                }
            }
            Body::RequestVote(request) => {
                request.pre_vote = false;
                request.leadership_transfer = true;
                request.campaign = term;
                request.last = LogPosition::new(term, Index(last.index.0.saturating_add(1)));
            }
            Body::RequestVoteReply(reply) => {
                reply.campaign = term;
                reply.granted = true;
            }
            Body::AppendEntriesReply(reply) => {
                reply.match_index = last.index;
                reply.received = last.index;
                reply.conflict = None;
            }
            Body::InstallSnapshotReply(reply) => reply.match_index = last.index,
            Body::TimeoutNow | Body::ReadIndex(_) | Body::ReadIndexReply(_) => {}
        }
        Some(message)
    }
}

/// The id of a stranger.
#[must_use]
pub fn stranger(by: u8) -> ServerId {
    ServerId(u128::from(FIRST_STRANGER + u64::from(by)))
}
