//! The messages of the protocol.

use alloc::boxed::Box;
use alloc::sync::Arc;
use alloc::vec::Vec;
use core::time::Duration;

use bytes::Bytes;

use super::field::{self, List, index, number, position, required, round, stamp, term};
use super::proto::{self, kind};
use super::{DecodeError, ENTRIES_MAX, Head, configuration, entry, seal};
use crate::message::{
    AppendEntries, AppendEntriesReply, Body, Conflict, InstallSnapshot, InstallSnapshotReply,
    Message, ReadIndex, ReadIndexReply, ReplyWanted, RequestVote, RequestVoteReply,
    SnapshotMetadata, Token,
};

pub(super) fn encode(head: Option<&Head>, message: &Message) -> Bytes {
    let term = Some(message.term);
    match &message.body {
        Body::RequestVote(of) => seal(
            head,
            kind::REQUEST_VOTE,
            term,
            &proto::RequestVote::from(of),
        ),
        Body::RequestVoteReply(of) => seal(
            head,
            kind::REQUEST_VOTE_REPLY,
            term,
            &proto::RequestVoteReply::from(of),
        ),
        Body::AppendEntries(of) => seal(
            head,
            kind::APPEND_ENTRIES,
            term,
            &proto::AppendEntries::from(of),
        ),
        Body::AppendEntriesReply(of) => seal(
            head,
            kind::APPEND_ENTRIES_REPLY,
            term,
            &proto::AppendEntriesReply::from(of),
        ),
        Body::InstallSnapshot(of) => seal(
            head,
            kind::INSTALL_SNAPSHOT,
            term,
            &proto::InstallSnapshot::from(&**of),
        ),
        Body::InstallSnapshotReply(of) => {
            let body = proto::InstallSnapshotReply::from(of);
            seal(head, kind::INSTALL_SNAPSHOT_REPLY, term, &body)
        }
        Body::TimeoutNow => seal(head, kind::TIMEOUT_NOW, term, &proto::TimeoutNow {}),
        Body::ReadIndex(of) => seal(
            head,
            kind::READ_INDEX,
            term,
            &proto::ReadIndex { id: Some(of.id) },
        ),
        Body::ReadIndexReply(of) => {
            let body = proto::ReadIndexReply {
                id: Some(of.id),
                index: of.index.map(|i| i.0),
            };
            seal(head, kind::READ_INDEX_REPLY, term, &body)
        }
    }
}

pub(super) fn decode(
    kind: u32,
    sent: Option<u64>,
    token: u64,
    body: Bytes,
) -> Result<Message, DecodeError> {
    let term = term(sent, "term")?;
    let body = match kind {
        kind::REQUEST_VOTE => Body::RequestVote(request_vote(body)?),
        kind::REQUEST_VOTE_REPLY => Body::RequestVoteReply(request_vote_reply(body)?),
        kind::APPEND_ENTRIES => Body::AppendEntries(append_entries(Token(token), body)?),
        kind::APPEND_ENTRIES_REPLY => Body::AppendEntriesReply(append_entries_reply(body)?),
        kind::INSTALL_SNAPSHOT => Body::InstallSnapshot(Box::new(install_snapshot(body)?)),
        kind::INSTALL_SNAPSHOT_REPLY => Body::InstallSnapshotReply(install_snapshot_reply(body)?),
        kind::TIMEOUT_NOW => {
            let proto::TimeoutNow {} = field::decode(body, "timeout now")?;
            Body::TimeoutNow
        }
        kind::READ_INDEX => Body::ReadIndex(read_index(body)?),
        kind::READ_INDEX_REPLY => Body::ReadIndexReply(read_index_reply(body)?),
        number => {
            return Err(DecodeError::UnknownKind {
                part: "frame",
                number,
            });
        }
    };
    Ok(Message { term, body })
}

impl From<&RequestVote> for proto::RequestVote {
    fn from(of: &RequestVote) -> Self {
        Self {
            pre_vote: Some(of.pre_vote),
            campaign: Some(of.campaign.0),
            last_term: Some(of.last.term.0),
            last_index: Some(of.last.index.0),
            leadership_transfer: of.leadership_transfer,
        }
    }
}

fn request_vote(body: Bytes) -> Result<RequestVote, DecodeError> {
    let read: proto::RequestVote = field::decode(body, "request for a vote")?;
    Ok(RequestVote {
        pre_vote: required(read.pre_vote, "pre-vote")?,
        campaign: term(read.campaign, "campaign")?,
        last: position(
            (read.last_term, "last term"),
            (read.last_index, "last index"),
        )?,
        leadership_transfer: read.leadership_transfer,
    })
}

impl From<&RequestVoteReply> for proto::RequestVoteReply {
    fn from(of: &RequestVoteReply) -> Self {
        Self {
            pre_vote: Some(of.pre_vote),
            campaign: Some(of.campaign.0),
            granted: Some(of.granted),
        }
    }
}

fn request_vote_reply(body: Bytes) -> Result<RequestVoteReply, DecodeError> {
    let read: proto::RequestVoteReply = field::decode(body, "reply to a request for a vote")?;
    Ok(RequestVoteReply {
        pre_vote: required(read.pre_vote, "pre-vote")?,
        campaign: term(read.campaign, "campaign")?,
        granted: required(read.granted, "granted")?,
    })
}

impl From<&AppendEntries> for proto::AppendEntries {
    fn from(of: &AppendEntries) -> Self {
        Self {
            round: Some(of.round.0),
            prev_term: Some(of.prev.term.0),
            prev_index: Some(of.prev.index.0),
            commit: Some(of.commit.0),
            reply: match of.reply {
                ReplyWanted::No => Self::NO_REPLY,
                ReplyWanted::WhenDurable => Self::REPLY_WHEN_DURABLE,
                ReplyWanted::AtOnce => Self::REPLY_AT_ONCE,
            },
            entries: of.entries.iter().map(proto::Entry::from).collect(),
            confirmed: of.confirmed.0,
        }
    }
}

fn append_entries(token: Token, body: Bytes) -> Result<AppendEntries, DecodeError> {
    let list = List {
        items: "entries",
        field: proto::AppendEntries::ENTRIES,
        count_max: ENTRIES_MAX,
    };
    let read: proto::AppendEntries = field::decode_list(body, "append entries", &list)?;
    let prev = position(
        (read.prev_term, "term of the previous entry"),
        (read.prev_index, "index of the previous entry"),
    )?;
    let indices = core::iter::successors(Some(prev.index.next()), |index| Some(index.next()));
    Ok(AppendEntries {
        round: round(read.round)?,
        prev,
        commit: index(read.commit, "commit index")?,
        reply: match read.reply {
            proto::AppendEntries::NO_REPLY => ReplyWanted::No,
            proto::AppendEntries::REPLY_WHEN_DURABLE => ReplyWanted::WhenDurable,
            proto::AppendEntries::REPLY_AT_ONCE => ReplyWanted::AtOnce,
            number => {
                return Err(DecodeError::UnknownKind {
                    part: "reply wanted",
                    number,
                });
            }
        },
        entries: indices
            .zip(read.entries)
            .map(|(index, entry)| entry::decode(index, entry))
            .collect::<Result<Vec<_>, _>>()?
            .into(),
        confirmed: round(Some(read.confirmed))?,
        token,
    })
}

impl From<&AppendEntriesReply> for proto::AppendEntriesReply {
    fn from(of: &AppendEntriesReply) -> Self {
        Self {
            round: Some(of.round.0),
            match_index: Some(of.match_index.0),
            received: Some(of.received.0),
            commit: of.commit.0,
            applied: of.applied.0,
            conflict: of.conflict.as_ref().map(|conflict| proto::Conflict {
                prev: Some(conflict.prev.0),
                hint_term: Some(conflict.hint.term.0),
                hint_index: Some(conflict.hint.index.0),
            }),
            promise: u64::try_from(of.promise.as_nanos()).unwrap_or(u64::MAX),
            token: of.token.0,
            last: Some(of.last.0),
        }
    }
}

fn append_entries_reply(body: Bytes) -> Result<AppendEntriesReply, DecodeError> {
    let read: proto::AppendEntriesReply = field::decode(body, "reply to append entries")?;
    Ok(AppendEntriesReply {
        round: round(read.round)?,
        match_index: index(read.match_index, "match index")?,
        received: index(read.received, "received index")?,
        commit: index(Some(read.commit), "commit index")?,
        applied: index(Some(read.applied), "applied index")?,
        conflict: read.conflict.as_ref().map(conflict).transpose()?,
        promise: Duration::from_nanos(read.promise),
        token: Token(read.token),
        last: index(read.last, "end of the log")?,
    })
}

fn conflict(read: &proto::Conflict) -> Result<Conflict, DecodeError> {
    Ok(Conflict {
        prev: index(read.prev, "index of the conflict")?,
        hint: position(
            (read.hint_term, "term of the hint"),
            (read.hint_index, "index of the hint"),
        )?,
    })
}

impl From<&InstallSnapshot> for proto::InstallSnapshot {
    fn from(of: &InstallSnapshot) -> Self {
        Self {
            round: Some(of.round.0),
            transfer: Some(of.transfer),
            metadata: of.metadata.as_ref().map(Into::into),
            offset: Some(of.offset),
            data: Some(of.data.clone()),
        }
    }
}

fn install_snapshot(body: Bytes) -> Result<InstallSnapshot, DecodeError> {
    let read: proto::InstallSnapshot = field::decode(body, "install snapshot")?;
    Ok(InstallSnapshot {
        round: round(read.round)?,
        transfer: required(read.transfer, "transfer")?,
        metadata: read.metadata.map(snapshot_metadata).transpose()?,
        offset: number(read.offset, "offset")?,
        data: required(read.data, "data")?,
    })
}

impl From<&SnapshotMetadata> for proto::SnapshotMetadata {
    fn from(of: &SnapshotMetadata) -> Self {
        Self {
            last_term: Some(of.last.term.0),
            last_index: Some(of.last.index.0),
            stamp: Some(of.stamp.0),
            configuration: Some(configuration::encode(&of.configuration)),
            configuration_index: Some(of.configuration_index.0),
            length: Some(of.length),
            digest: Some(of.digest),
        }
    }
}

pub(super) fn snapshot_metadata(
    read: proto::SnapshotMetadata,
) -> Result<SnapshotMetadata, DecodeError> {
    let configuration = required(read.configuration, "configuration")?;
    Ok(SnapshotMetadata {
        last: position(
            (read.last_term, "last term"),
            (read.last_index, "last index"),
        )?,
        stamp: stamp(read.stamp)?,
        configuration: Arc::new(configuration::decode(&configuration)?),
        configuration_index: index(read.configuration_index, "index of the configuration")?,
        length: number(read.length, "length of the snapshot")?,
        digest: required(read.digest, "digest of the snapshot")?,
    })
}

impl From<&InstallSnapshotReply> for proto::InstallSnapshotReply {
    fn from(of: &InstallSnapshotReply) -> Self {
        Self {
            round: Some(of.round.0),
            transfer: Some(of.transfer),
            next_offset: Some(of.next_offset),
            received: Some(of.received),
            known: Some(of.known),
            match_index: Some(of.match_index.0),
            last: Some(of.last.0),
        }
    }
}

fn install_snapshot_reply(body: Bytes) -> Result<InstallSnapshotReply, DecodeError> {
    let read: proto::InstallSnapshotReply = field::decode(body, "reply to install snapshot")?;
    Ok(InstallSnapshotReply {
        round: round(read.round)?,
        transfer: required(read.transfer, "transfer")?,
        next_offset: number(read.next_offset, "next offset")?,
        received: number(read.received, "received bytes")?,
        known: required(read.known, "known")?,
        match_index: index(read.match_index, "match index")?,
        last: index(read.last, "end of the log")?,
    })
}

fn read_index(body: Bytes) -> Result<ReadIndex, DecodeError> {
    let read: proto::ReadIndex = field::decode(body, "read index")?;
    Ok(ReadIndex {
        id: required(read.id, "id of the read")?,
    })
}

fn read_index_reply(body: Bytes) -> Result<ReadIndexReply, DecodeError> {
    let read: proto::ReadIndexReply = field::decode(body, "reply to read index")?;
    Ok(ReadIndexReply {
        id: required(read.id, "id of the read")?,
        index: read
            .index
            .map(|value| index(Some(value), "read index"))
            .transpose()?,
    })
}
