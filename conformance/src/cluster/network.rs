//! What is on its way between servers, in the order in which it was sent.

use std::sync::Arc;

use bytes::Bytes;
use liferaft_raft::entry::{Entry, Payload};
use liferaft_raft::ids::{Index, ServerId};
use liferaft_raft::message::{Body, Message, ReplyWanted};

use crate::expected::Step;

#[derive(Debug, Default)]
pub(super) struct Network {
    queue: Vec<Envelope>,
    /// Messages with the end of a joint configuration that the script keeps open.
    pub(super) held: Vec<Envelope>,
}

#[derive(Debug)]
pub(super) struct Envelope {
    pub(super) from: ServerId,
    pub(super) to: ServerId,
    pub(super) parcel: Parcel,
}

/// etcd's followers forward proposals as messages; with us the driver does, so the scripts' network does here.
#[derive(Debug)]
pub(super) enum Parcel {
    Message(Message),
    Proposal(Bytes),
    Change {
        steps: Vec<Step>,
        kind: ChangeKind,
    },
    /// The leader is to hand over to this server.
    Transfer(ServerId),
}

/// How a script wants a change to be made.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct ChangeKind {
    /// A joint phase lasts until the script ends it.
    pub(crate) explicit: bool,
    /// A joint phase is wanted even where one is not needed.
    pub(crate) joint: bool,
}

/// The kinds by which scripts choose among messages.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Kind {
    Append,
    AppendReply,
    Heartbeat,
    HeartbeatReply,
    Vote,
    VoteReply,
    PreVote,
    PreVoteReply,
    Snapshot,
    TimeoutNow,
    ReadIndex,
    ReadIndexReply,
    Proposal,
    Transfer,
    /// Kinds of etcd's that no message of ours corresponds to.
    None,
}

impl Kind {
    /// etcd's name for it. `None` for what is no name of a kind.
    pub(crate) fn named(name: &str) -> Option<Self> {
        Some(match name {
            "MsgApp" => Self::Append,
            "MsgAppResp" => Self::AppendReply,
            "MsgHeartbeat" => Self::Heartbeat,
            "MsgHeartbeatResp" => Self::HeartbeatReply,
            "MsgVote" => Self::Vote,
            "MsgVoteResp" => Self::VoteReply,
            "MsgPreVote" => Self::PreVote,
            "MsgPreVoteResp" => Self::PreVoteReply,
            "MsgSnap" => Self::Snapshot,
            "MsgTimeoutNow" => Self::TimeoutNow,
            "MsgReadIndex" => Self::ReadIndex,
            "MsgReadIndexResp" => Self::ReadIndexReply,
            "MsgProp" => Self::Proposal,
            "MsgTransferLeader" => Self::Transfer,
            "MsgHup"
            | "MsgBeat"
            | "MsgUnreachable"
            | "MsgSnapStatus"
            | "MsgCheckQuorum"
            | "MsgStorageAppend"
            | "MsgStorageAppendResp"
            | "MsgStorageApply"
            | "MsgStorageApplyResp"
            | "MsgForgetLeader" => Self::None,
            _ => return None,
        })
    }

    fn covers(self, parcel: &Parcel) -> bool {
        let message = match parcel {
            Parcel::Message(message) => message,
            Parcel::Proposal(_) | Parcel::Change { .. } => return self == Self::Proposal,
            Parcel::Transfer(_) => return self == Self::Transfer,
        };
        match &message.body {
            Body::AppendEntries(append) => {
                let beats = append.entries.is_empty() && append.reply == ReplyWanted::AtOnce;
                self == if beats { Self::Heartbeat } else { Self::Append }
            }
            // One answer does for both of etcd's.
            Body::AppendEntriesReply(_) => {
                matches!(self, Self::AppendReply | Self::HeartbeatReply)
            }
            Body::RequestVote(request) if request.pre_vote => self == Self::PreVote,
            Body::RequestVote(_) => self == Self::Vote,
            Body::RequestVoteReply(reply) if reply.pre_vote => self == Self::PreVoteReply,
            Body::RequestVoteReply(_) => self == Self::VoteReply,
            Body::InstallSnapshot(_) => self == Self::Snapshot,
            Body::InstallSnapshotReply(_) => self == Self::AppendReply,
            Body::TimeoutNow => self == Self::TimeoutNow,
            Body::ReadIndex(_) => self == Self::ReadIndex,
            Body::ReadIndexReply(_) => self == Self::ReadIndexReply,
        }
    }
}

impl Network {
    pub(super) fn send(&mut self, from: ServerId, to: ServerId, parcel: Parcel) {
        self.queue.push(Envelope { from, to, parcel });
    }

    /// Takes out what is for this server, of one kind or of all.
    pub(super) fn take(&mut self, to: ServerId, kind: Option<Kind>) -> Vec<Envelope> {
        self.queue
            .extract_if(.., |envelope| {
                envelope.to == to && kind.is_none_or(|kind| kind.covers(&envelope.parcel))
            })
            .collect()
    }

    /// What was held may go on.
    pub(super) fn release(&mut self) {
        self.queue.append(&mut self.held);
    }
}

/// Whether an entry leaves a joint configuration that was begun after `base`.
pub(super) fn is_leave(entry: &Entry, base: Index) -> bool {
    entry.index > base
        && matches!(&entry.payload, Payload::Configuration(configuration) if !configuration.is_joint())
}

/// Whether the message carries the entry that leaves a joint configuration begun after `base`.
pub(super) fn leaves_joint(message: &Message, base: Index) -> bool {
    let Body::AppendEntries(append) = &message.body else {
        return false;
    };
    append.entries.iter().any(|entry| is_leave(entry, base))
}

/// The message without that entry and all after it.
pub(super) fn without_leave(message: &Message, base: Index) -> Message {
    let mut message = message.clone();
    if let Body::AppendEntries(append) = &mut message.body
        && let Some(at) = append
            .entries
            .iter()
            .position(|entry| is_leave(entry, base))
    {
        Arc::make_mut(&mut append.entries).truncate(at);
    }
    message
}
