//! Which messages a story means.

use std::rc::Rc;

use liferaft_raft::ids::{ServerId, Term};
use liferaft_raft::message::{Body, Message, ReplyWanted};

use super::Id;

/// A kind of message, on all links or on some.
#[derive(Clone)]
pub(crate) struct Filter {
    from: Option<ServerId>,
    to: Option<ServerId>,
    says: Rc<dyn Fn(&Message) -> bool>,
}

impl Filter {
    fn new(says: impl Fn(&Message) -> bool + 'static) -> Self {
        Self {
            from: None,
            to: None,
            says: Rc::new(says),
        }
    }

    /// Only what this server sends.
    pub(crate) fn from(mut self, id: Id) -> Self {
        self.from = Some(ServerId(id));
        self
    }

    /// Only what this server is sent.
    pub(crate) fn to(mut self, id: Id) -> Self {
        self.to = Some(ServerId(id));
        self
    }

    pub(super) fn means(&self, from: ServerId, to: ServerId, message: &Message) -> bool {
        self.from.is_none_or(|id| id == from)
            && self.to.is_none_or(|id| id == to)
            && (self.says)(message)
    }
}

/// Every message.
pub(crate) fn everything() -> Filter {
    Filter::new(|_| true)
}

/// Requests for votes, real and pre-votes.
pub(crate) fn vote_requests() -> Filter {
    Filter::new(|message| matches!(message.body, Body::RequestVote(_)))
}

/// Requests for real votes.
pub(crate) fn real_vote_requests() -> Filter {
    Filter::new(|message| matches!(&message.body, Body::RequestVote(request) if !request.pre_vote))
}

/// Answers to requests for real votes.
pub(crate) fn votes() -> Filter {
    Filter::new(|message| matches!(&message.body, Body::RequestVoteReply(reply) if !reply.pre_vote))
}

/// AppendEntries, with entries or without.
pub(crate) fn appends() -> Filter {
    Filter::new(|message| matches!(message.body, Body::AppendEntries(_)))
}

/// AppendEntries with entries.
pub(crate) fn entries() -> Filter {
    Filter::new(
        |message| matches!(&message.body, Body::AppendEntries(append) if !append.entries.is_empty()),
    )
}

/// AppendEntries with an entry of this term.
pub(crate) fn entries_of_term(term: u64) -> Filter {
    Filter::new(move |message| match &message.body {
        Body::AppendEntries(append) => append.entries.iter().any(|entry| entry.term == Term(term)),
        _ => false,
    })
}

/// AppendEntries that only tell of the commit index.
pub(crate) fn commit_notices() -> Filter {
    Filter::new(
        |message| matches!(&message.body, Body::AppendEntries(append) if append.reply == ReplyWanted::No),
    )
}

/// Answers to AppendEntries.
pub(crate) fn append_replies() -> Filter {
    Filter::new(|message| matches!(message.body, Body::AppendEntriesReply(_)))
}

/// Answers to AppendEntries that could not be appended.
pub(crate) fn conflicts() -> Filter {
    Filter::new(
        |message| matches!(&message.body, Body::AppendEntriesReply(reply) if reply.conflict.is_some()),
    )
}

/// Chunks of snapshots.
pub(crate) fn chunks() -> Filter {
    Filter::new(|message| matches!(message.body, Body::InstallSnapshot(_)))
}

/// Chunks of snapshots that are more than a question how far the receiver is.
pub(crate) fn chunks_with_data() -> Filter {
    Filter::new(
        |message| matches!(&message.body, Body::InstallSnapshot(chunk) if !chunk.data.is_empty()),
    )
}

/// Chunks of snapshots that begin here.
pub(crate) fn chunks_at(offset: u64) -> Filter {
    Filter::new(move |message| {
        matches!(&message.body, Body::InstallSnapshot(chunk)
            if chunk.offset == offset && !chunk.data.is_empty())
    })
}

/// Answers to chunks of snapshots.
pub(crate) fn chunk_replies() -> Filter {
    Filter::new(|message| matches!(message.body, Body::InstallSnapshotReply(_)))
}

/// Orders to start an election.
pub(crate) fn timeout_now() -> Filter {
    Filter::new(|message| matches!(message.body, Body::TimeoutNow))
}

/// Questions of followers for the index at which they may read.
pub(crate) fn read_questions() -> Filter {
    Filter::new(|message| matches!(message.body, Body::ReadIndex(_)))
}

/// Answers to those that no read may be served.
pub(crate) fn read_refusals() -> Filter {
    Filter::new(
        |message| matches!(&message.body, Body::ReadIndexReply(reply) if reply.index.is_none()),
    )
}

/// The word that a vote would be given.
pub(crate) fn pre_votes() -> Filter {
    Filter::new(
        |message| matches!(&message.body, Body::RequestVoteReply(reply) if reply.pre_vote && reply.granted),
    )
}
