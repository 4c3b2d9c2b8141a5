//! Defines what a frame says.

use alloc::boxed::Box;
use alloc::vec::Vec;

use bytes::Bytes;

use crate::admission::Kind;
use crate::configuration::{Description, Foreign, TokenFault, TokenKey};
use crate::consensus::{ChangeError, MembershipChange, TransferError};
use crate::ids::{Index, ServerId, Term};
use crate::message::Message;
use crate::wire::Report;

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
    /// A client, which is no member, asks something of a member.
    ClientRequest {
        /// The client's number for it.
        request: u64,
        /// What it asks.
        ask: ClientAsk,
    },
    /// The answer to [`ClientRequest`](Self::ClientRequest), or a part of it.
    ClientReply {
        /// The client's number for what it asked.
        request: u64,
        /// The answer.
        answer: ClientAnswer,
    },
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
            Self::ClientRequest { .. } => Kind::ClientRequest,
            Self::ClientReply { .. } => Kind::ClientReply,
        }
    }
}

/// What a client asks.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum ClientAsk {
    /// Who leads, and where members are reached.
    View,
    /// Where the member stands.
    Report,
    /// Commands of the client's sessions, and registrations of these: at least one, at most
    /// [`COMMANDS_MAX`](super::COMMANDS_MAX).
    Commands(Vec<Bytes>),
    /// Queries: at least one, at most [`QUERIES_MAX`](super::QUERIES_MAX).
    Queries(Vec<ClientQuery>),
}

/// A query of a client.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ClientQuery {
    /// The client's number for it.
    pub number: u64,
    /// It is answered once the entry at this index is applied.
    pub not_before: Index,
    /// The query.
    pub query: Bytes,
}

/// What a client is answered.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum ClientAnswer {
    /// Who leads. To commands and queries it means that the receiver does not, and did nothing.
    View(View),
    /// Where the member stands.
    Report(Box<Report>),
    /// None of the commands or queries was taken.
    Declined(Decline),
    /// What became of commands: at least one, at most [`COMMANDS_MAX`](super::COMMANDS_MAX).
    Outcomes(Vec<CommandOutcome>),
    /// What queries came to, by their numbers: at least one, at most [`QUERIES_MAX`](super::QUERIES_MAX).
    Answers(Vec<(u64, QueryOutcome)>),
}

/// What a member knows of the cluster, as far as it matters to clients.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct View {
    /// Its term: the view of a later one is the newer.
    pub term: Term,
    /// Who leads in that term, if it knows.
    pub leader: Option<ServerId>,
    /// The longest command that is taken, in bytes and with its header; zero if that is not said.
    pub command_bytes_max: u64,
    /// Members, with what they say of themselves: at most [`VIEW_MEMBERS_MAX`](super::VIEW_MEMBERS_MAX).
    pub members: Vec<(ServerId, Description)>,
}

/// Why a client's request is not taken.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Decline {
    /// Too much is on its way already: the same may succeed later.
    Busy,
    /// A command is longer than the leader allows.
    TooLarge,
    /// The client may only read.
    ReadOnly,
    /// The member serves no clients.
    NotServed,
    /// A command is none of the cluster's state machine, or not under a session of this client's.
    NotUnderstood,
    /// The client's access token has expired, or was revoked.
    TokenOver,
}

/// What became of a client's command.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum CommandOutcome {
    /// Its session is open.
    Registered {
        /// The nonce of the registration.
        nonce: u128,
        /// The name of the session.
        session: Index,
    },
    /// The command is done.
    Done {
        /// Its session.
        session: Index,
        /// Its number there.
        sequence: u64,
        /// Its reply; `None` if there is none that can be sent.
        reply: Option<Bytes>,
    },
    /// This copy of the command had no effect, since its session is gone.
    Expired {
        /// Its session.
        session: Index,
        /// Its number there.
        sequence: u64,
    },
    /// This copy of the command is in no log: it is outside of the [scope](crate::configuration::Scope) of the client's
    /// access token.
    OutOfScope {
        /// Its session.
        session: Index,
        /// Its number there.
        sequence: u64,
    },
}

/// What a client's query came to.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum QueryOutcome {
    /// The answer of the state machine.
    Answer(Bytes),
    /// Too many are asked already: the same may succeed later.
    Busy,
    /// The state machine panicked over it.
    Panicked,
    /// It is no query of the cluster's state machine.
    NotUnderstood,
    /// The answer is too long for a frame.
    TooLarge {
        /// Its length.
        bytes: u64,
        /// The longest allowed.
        bytes_max: u64,
    },
    /// It is outside of the [scope](crate::configuration::Scope) of the client's access token.
    OutOfScope,
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
