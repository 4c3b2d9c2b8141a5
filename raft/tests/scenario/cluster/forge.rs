//! Messages that no honest server sends, or that come at a bad moment.

use std::time::Duration;

use bytes::Bytes;
use liferaft_raft::configuration::Configuration;
use liferaft_raft::entry::{Entry, Payload};
use liferaft_raft::ids::{Index, LogPosition, Round, ServerId, Term};
use liferaft_raft::message::{
    AppendEntries, AppendEntriesReply, Body, InstallSnapshot, InstallSnapshotReply, Message,
    ReadIndex, ReadIndexReply, ReplyWanted, RequestVote, RequestVoteReply, SnapshotMetadata, Token,
};
use liferaft_raft::time::ClusterTime;

pub(crate) fn position(term: u64, index: u64) -> LogPosition {
    LogPosition::new(Term(term), Index(index))
}

/// A candidate's request, with the end of its log.
pub(crate) fn vote_request(term: u64, last: LogPosition) -> Message {
    let campaign = Term(term);
    let request = RequestVote {
        pre_vote: false,
        campaign,
        last,
        leadership_transfer: false,
    };
    Message {
        term: campaign,
        body: Body::RequestVote(request),
    }
}

/// A server that asks in a term whether it would be elected in the next, with the end of its log.
pub(crate) fn pre_vote_request(term: u64, last: LogPosition) -> Message {
    let request = RequestVote {
        pre_vote: true,
        campaign: Term(term + 1),
        last,
        leadership_transfer: false,
    };
    Message {
        term: Term(term),
        body: Body::RequestVote(request),
    }
}

/// A vote for the campaign of a term, given in a term.
pub(crate) fn vote(term: u64, campaign: u64) -> Message {
    vote_reply(term, campaign, false, true)
}

/// The refusal of a vote for the campaign of a term.
pub(crate) fn refusal(term: u64, campaign: u64) -> Message {
    vote_reply(term, campaign, false, false)
}

/// The word that a vote would be given for the campaign of a term.
pub(crate) fn pre_vote(term: u64, campaign: u64) -> Message {
    vote_reply(term, campaign, true, true)
}

fn vote_reply(term: u64, campaign: u64, pre_vote: bool, granted: bool) -> Message {
    let campaign = Term(campaign);
    let reply = RequestVoteReply {
        pre_vote,
        campaign,
        granted,
    };
    Message {
        term: Term(term),
        body: Body::RequestVoteReply(reply),
    }
}

/// A leader's entries after `prev`, none of them committed.
pub(crate) fn append(term: u64, round: u64, prev: LogPosition, entries: Vec<Entry>) -> Message {
    append_with_commit(term, round, prev, entries, Index::ZERO)
}

/// A leader's entries after `prev`, all of them committed.
pub(crate) fn append_committed(
    term: u64,
    round: u64,
    prev: LogPosition,
    entries: Vec<Entry>,
) -> Message {
    let commit = prev.index.plus(entries.len() as u64);
    append_with_commit(term, round, prev, entries, commit)
}

fn append_with_commit(
    term: u64,
    round: u64,
    prev: LogPosition,
    entries: Vec<Entry>,
    commit: Index,
) -> Message {
    let append = AppendEntries {
        round: Round(round),
        prev,
        commit,
        reply: ReplyWanted::AtOnce,
        confirmed: Round::ZERO,
        token: Token::NONE,
        entries: entries.into(),
    };
    Message {
        term: Term(term),
        body: Body::AppendEntries(append),
    }
}

pub(crate) fn command(index: u64, term: u64, text: &'static str) -> Entry {
    Entry {
        index: Index(index),
        term: Term(term),
        stamp: ClusterTime::ZERO,
        payload: Payload::Command(Bytes::from_static(text.as_bytes())),
    }
}

/// A follower's answer: all up to `match_index` is on its disk.
pub(crate) fn append_reply(term: u64, round: u64, match_index: u64) -> Message {
    let reply = AppendEntriesReply {
        round: Round(round),
        match_index: Index(match_index),
        received: Index(match_index),
        commit: Index::ZERO,
        applied: Index::ZERO,
        conflict: None,
        promise: Duration::ZERO,
        token: Token::NONE,
        last: Index(match_index),
    };
    Message {
        term: Term(term),
        body: Body::AppendEntriesReply(reply),
    }
}

/// A snapshot as a whole, of one chunk, in a cluster of these voters.
pub(crate) fn snapshot<const N: usize>(
    term: u64,
    last: LogPosition,
    voters: [u128; N],
    text: &'static str,
) -> InstallSnapshot {
    let data = Bytes::from_static(text.as_bytes());
    let metadata = SnapshotMetadata {
        last,
        stamp: ClusterTime::ZERO,
        configuration: Configuration::of_voters(voters.map(ServerId)).into(),
        configuration_index: Index(1),
        length: data.len() as u64,
        digest: crc32fast::hash(&data),
    };
    InstallSnapshot {
        round: Round(term),
        transfer: 1,
        metadata: Some(metadata),
        offset: 0,
        data,
    }
}

pub(crate) fn chunk(term: u64, chunk: InstallSnapshot) -> Message {
    Message {
        term: Term(term),
        body: Body::InstallSnapshot(Box::new(chunk)),
    }
}

/// The word to campaign at once.
pub(crate) fn timeout_now(term: u64) -> Message {
    Message {
        term: Term(term),
        body: Body::TimeoutNow,
    }
}

/// A follower that asks for the index at which it may read.
pub(crate) fn read_index(term: u64, id: u64) -> Message {
    Message {
        term: Term(term),
        body: Body::ReadIndex(ReadIndex { id }),
    }
}

/// The answer to a follower that asked where it may read.
pub(crate) fn read_reply(term: u64, id: u64, index: u64) -> Message {
    let index = Some(Index(index));
    Message {
        term: Term(term),
        body: Body::ReadIndexReply(ReadIndexReply { id, index }),
    }
}

/// A receiver's word that so much of the leader's first snapshot is there, and all of the log up to `match_index`.
pub(crate) fn chunk_reply(term: u64, next_offset: u64, match_index: u64) -> Message {
    let reply = InstallSnapshotReply {
        round: Round(1),
        transfer: 1,
        next_offset,
        received: next_offset,
        known: true,
        match_index: Index(match_index),
        last: Index(match_index),
    };
    Message {
        term: Term(term),
        body: Body::InstallSnapshotReply(reply),
    }
}
