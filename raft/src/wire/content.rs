//! Defines what a frame says.

use alloc::vec::Vec;

use bytes::Bytes;

use crate::admission::Kind;
use crate::configuration::{Description, Foreign, TokenFault, TokenKey};
use crate::consensus::{ChangeError, MembershipChange, TransferError};
use crate::ids::{Index, ServerId, Term};
use crate::message::Message;

/// What a frame says: a message of the protocol, or a request that one driver passes on to another.
///
/// A `request` is the asker's number for its request; the answer repeats it. Requests travel as messages do: they may
/// be lost, repeated and reordered.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Content {
    /// A message of the protocol.
    Message(Message),
    /// A member passes commands on to the leader.
    Propose {
        /// The asker's number for it.
        request: u64,
        /// The commands, at most [`COMMANDS_MAX`](super::COMMANDS_MAX).
        commands: Vec<Bytes>,
    },
    /// The answer to [`Propose`](Self::Propose), for all of its commands.
    ProposeReply {
        /// The asker's number for it.
        request: u64,
        /// What became of the commands.
        answer: ProposeAnswer,
    },
    /// A member passes a membership change on to the leader.
    Change {
        /// The asker's number for it.
        request: u64,
        /// The term in which the receiver leads, by what the asker knows: in no other is it made.
        term: Term,
        /// The change, of at most [`SERVERS_MAX`](crate::configuration::SERVERS_MAX) steps.
        change: MembershipChange,
    },
    /// The answer to [`Change`](Self::Change).
    ChangeReply {
        /// The asker's number for it.
        request: u64,
        /// The index of the committed configuration.
        result: Result<Index, ChangeError>,
    },
    /// A member passes a leadership transfer on to the leader.
    Transfer {
        /// The asker's number for it.
        request: u64,
        /// The term in which the receiver leads, by what the asker knows: in no other is it made.
        term: Term,
        /// The voter that is to lead, or the best one.
        to: Option<ServerId>,
    },
    /// The answer to [`Transfer`](Self::Transfer).
    TransferReply {
        /// The asker's number for it.
        request: u64,
        /// The server that leadership was handed to.
        result: Result<ServerId, TransferError>,
    },
    /// A server asks to become a member. It repeats this until it is one, and nothing is kept of it that would need a
    /// number.
    Join {
        /// What it says of itself.
        description: Description,
        /// The key of the access token in its invitation, if it has one. That it holds the secret half is for the link
        /// to prove.
        token: Option<TokenKey>,
    },
    /// The answer to [`Join`](Self::Join).
    JoinReply(JoinReply),
    /// The answer to [`Join`](Self::Join), or to a leader that replicates, from a server that belongs elsewhere. It is
    /// sent in the asker's cluster and names no history, so that the asker takes it.
    Foreign(Foreign),
}

impl Content {
    /// Returns what kind of content it is.
    #[must_use]
    pub fn kind(&self) -> Kind {
        match self {
            Self::Message(message) => Kind::from(&message.body),
            Self::Propose { .. } => Kind::Propose,
            Self::ProposeReply { .. } => Kind::ProposeReply,
            Self::Change { .. } => Kind::Change,
            Self::ChangeReply { .. } => Kind::ChangeReply,
            Self::Transfer { .. } => Kind::Transfer,
            Self::TransferReply { .. } => Kind::TransferReply,
            Self::Join { .. } => Kind::Join,
            Self::JoinReply(_) => Kind::JoinReply,
            Self::Foreign(_) => Kind::Foreign,
        }
    }
}

/// What a member answers to a server that asks to join.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum JoinReply {
    /// The receiver leads, and takes it in if it repeats its wish from time to time until then.
    Accepted,
    /// It is a member already.
    Member,
    /// The receiver does not lead. The leader is to be asked.
    NotLeader {
        /// The leader, if one is known.
        leader: Option<ServerId>,
        /// What the configuration says of it: by this a newcomer finds and believes a leader of which it knows nothing.
        description: Option<Description>,
    },
    /// Too many wait to join: the same may succeed later.
    Busy,
    /// An operator has removed it, and an operator must add it again.
    Dismissed,
    /// The leader takes nobody in: its membership is in the hands of operators.
    Manual,
    /// Its storage has lost what it had acknowledged, and its id is never taken in again. A leader tells its member so
    /// unasked, too, when it finds that.
    Forgot,
    /// The cluster is closed: it takes an invitation to join.
    NotInvited,
    /// The access token of its invitation lets nobody in.
    Token(TokenFault),
    /// It does not speak the version of the protocol that the cluster speaks.
    OtherVersion,
}

/// What became of commands that were passed on to the leader.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ProposeAnswer {
    /// They were appended to the leader's log. That is not yet a promise: they are committed once they are applied.
    Appended,
    /// The receiver does not lead. None was appended.
    NotLeader {
        /// The leader, if one is known.
        leader: Option<ServerId>,
    },
    /// Too much is on its way already: none was appended, and the same may succeed later.
    Busy,
    /// A command is longer than the leader allows: none was appended.
    TooLarge,
    /// Leadership is being handed over: none was appended, and the next leader may be asked.
    Transferring,
    /// The asker is no member yet, or no longer: none of this copy was appended. It may ask again once it is one.
    NotMember,
}
