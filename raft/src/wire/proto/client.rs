//! Puts what clients and members say to one another into the terms of Protocol Buffers.

use alloc::vec::Vec;

use bytes::Bytes;
use prost::Message;

/// What a client asks: commands, or queries, or, with neither, who is there.
#[derive(Clone, PartialEq, Message)]
pub(in crate::wire) struct ClientRequest {
    #[prost(uint64, optional, tag = "1")]
    pub(in crate::wire) request: Option<u64>,
    #[prost(bytes = "bytes", repeated, tag = "2")]
    pub(in crate::wire) commands: Vec<Bytes>,
    #[prost(message, repeated, tag = "3")]
    pub(in crate::wire) queries: Vec<ClientQuery>,
    /// It asks where the member stands, and has no commands and no queries.
    #[prost(bool, tag = "15")]
    pub(in crate::wire) report: bool,
}

impl ClientRequest {
    pub(in crate::wire) const COMMANDS: u64 = 2;
    pub(in crate::wire) const QUERIES: u64 = 3;
}

#[derive(Clone, PartialEq, Message)]
pub(in crate::wire) struct ClientQuery {
    /// Any number.
    #[prost(uint64, optional, tag = "1")]
    pub(in crate::wire) number: Option<u64>,
    #[prost(bytes = "bytes", optional, tag = "2")]
    pub(in crate::wire) query: Option<Bytes>,
    /// Zero if the query waits for no entry.
    #[prost(uint64, tag = "3")]
    pub(in crate::wire) not_before: u64,
}

/// One of the fields from 2 on is there.
#[derive(Clone, PartialEq, Message)]
pub(in crate::wire) struct ClientReply {
    #[prost(uint64, optional, tag = "1")]
    pub(in crate::wire) request: Option<u64>,
    /// A [`ClientView`].
    #[prost(bytes = "bytes", optional, tag = "2")]
    pub(in crate::wire) view: Option<Bytes>,
    #[prost(uint32, optional, tag = "3")]
    pub(in crate::wire) declined: Option<u32>,
    #[prost(message, repeated, tag = "4")]
    pub(in crate::wire) outcomes: Vec<CommandOutcome>,
    #[prost(message, repeated, tag = "5")]
    pub(in crate::wire) answers: Vec<QueryAnswer>,
    /// A [`Report`].
    #[prost(bytes = "bytes", optional, tag = "15")]
    pub(in crate::wire) report: Option<Bytes>,
}

impl ClientReply {
    pub(in crate::wire) const OUTCOMES: u64 = 4;
    pub(in crate::wire) const ANSWERS: u64 = 5;

    pub(in crate::wire) const BUSY: u32 = 1;
    pub(in crate::wire) const TOO_LARGE: u32 = 2;
    pub(in crate::wire) const READ_ONLY: u32 = 3;
    pub(in crate::wire) const NOT_SERVED: u32 = 4;
    pub(in crate::wire) const NOT_UNDERSTOOD: u32 = 5;
    pub(in crate::wire) const TOKEN_OVER: u32 = 6;
}

#[derive(Clone, PartialEq, Message)]
pub(in crate::wire) struct ClientView {
    #[prost(uint64, optional, tag = "1")]
    pub(in crate::wire) term: Option<u64>,
    /// Absent if no leader is known.
    #[prost(bytes = "bytes", optional, tag = "2")]
    pub(in crate::wire) leader: Option<Bytes>,
    #[prost(message, repeated, tag = "3")]
    pub(in crate::wire) members: Vec<Seen>,
    #[prost(uint64, tag = "4")]
    pub(in crate::wire) command_bytes_max: u64,
}

impl ClientView {
    pub(in crate::wire) const MEMBERS: u64 = 3;
}

/// A member, as a client is told of it.
#[derive(Clone, PartialEq, Message)]
pub(in crate::wire) struct Seen {
    #[prost(bytes = "bytes", optional, tag = "1")]
    pub(in crate::wire) id: Option<Bytes>,
    /// A [`Description`].
    #[prost(bytes = "bytes", optional, tag = "2")]
    pub(in crate::wire) description: Option<Bytes>,
}

/// Where a member stands, as a client is told.
#[derive(Clone, PartialEq, Message)]
pub(in crate::wire) struct Report {
    #[prost(uint32, optional, tag = "1")]
    pub(in crate::wire) role: Option<u32>,
    #[prost(uint64, optional, tag = "2")]
    pub(in crate::wire) term: Option<u64>,
    /// Absent if no leader is known.
    #[prost(bytes = "bytes", optional, tag = "3")]
    pub(in crate::wire) leader: Option<Bytes>,
    #[prost(uint64, tag = "4")]
    pub(in crate::wire) last: u64,
    #[prost(uint64, tag = "5")]
    pub(in crate::wire) commit: u64,
    #[prost(uint64, tag = "6")]
    pub(in crate::wire) applied: u64,
    #[prost(uint64, tag = "7")]
    pub(in crate::wire) snapshot: u64,
    #[prost(uint64, tag = "8")]
    pub(in crate::wire) log_bytes: u64,
    #[prost(uint32, tag = "9")]
    pub(in crate::wire) links: u32,
    #[prost(message, repeated, tag = "10")]
    pub(in crate::wire) members: Vec<Reported>,
    #[prost(message, repeated, tag = "11")]
    pub(in crate::wire) peers: Vec<PeerReport>,
    /// Only for clients that may operate.
    #[prost(message, repeated, tag = "12")]
    pub(in crate::wire) tokens: Vec<super::AccessToken>,
    #[prost(uint64, tag = "13")]
    pub(in crate::wire) time: u64,
    #[prost(message, repeated, tag = "14")]
    pub(in crate::wire) paths: Vec<LinkReport>,
}

impl Report {
    pub(in crate::wire) const MEMBERS: u64 = 10;
    pub(in crate::wire) const PEERS: u64 = 11;
    pub(in crate::wire) const TOKENS: u64 = 12;
    pub(in crate::wire) const PATHS: u64 = 14;

    pub(in crate::wire) const FOLLOWER: u32 = 1;
    pub(in crate::wire) const PRE_CANDIDATE: u32 = 2;
    pub(in crate::wire) const CANDIDATE: u32 = 3;
    pub(in crate::wire) const LEADER: u32 = 4;
}

/// A member of the configuration that is reported.
#[derive(Clone, PartialEq, Message)]
pub(in crate::wire) struct Reported {
    #[prost(bytes = "bytes", optional, tag = "1")]
    pub(in crate::wire) id: Option<Bytes>,
    #[prost(bool, tag = "2")]
    pub(in crate::wire) is_voter: bool,
    /// A [`Description`].
    #[prost(bytes = "bytes", optional, tag = "3")]
    pub(in crate::wire) description: Option<Bytes>,
}

/// What a leader reports of a server that it replicates to.
#[derive(Clone, PartialEq, Message)]
pub(in crate::wire) struct PeerReport {
    #[prost(bytes = "bytes", optional, tag = "1")]
    pub(in crate::wire) id: Option<Bytes>,
    #[prost(uint64, tag = "2")]
    pub(in crate::wire) lag_entries: u64,
    /// In microseconds; absent before one was measured.
    #[prost(uint64, optional, tag = "3")]
    pub(in crate::wire) round_trip: Option<u64>,
    /// In microseconds; absent before the first answer.
    #[prost(uint64, optional, tag = "4")]
    pub(in crate::wire) silent_for: Option<u64>,
}

/// Where a link to a server runs.
#[derive(Clone, PartialEq, Message)]
pub(in crate::wire) struct LinkReport {
    #[prost(bytes = "bytes", optional, tag = "1")]
    pub(in crate::wire) peer: Option<Bytes>,
    /// In UTF-8, as is the description.
    #[prost(bytes = "bytes", tag = "2")]
    pub(in crate::wire) carrier: Bytes,
    /// Absent if no server passes on its packets.
    #[prost(bytes = "bytes", optional, tag = "3")]
    pub(in crate::wire) relay: Option<Bytes>,
    /// Empty if the carrier says nothing of the path.
    #[prost(bytes = "bytes", tag = "4")]
    pub(in crate::wire) description: Bytes,
}

#[derive(Clone, PartialEq, Message)]
pub(in crate::wire) struct CommandOutcome {
    #[prost(uint32, optional, tag = "1")]
    pub(in crate::wire) kind: Option<u32>,
    #[prost(uint64, optional, tag = "2")]
    pub(in crate::wire) session: Option<u64>,
    /// Absent from a registration.
    #[prost(uint64, optional, tag = "3")]
    pub(in crate::wire) sequence: Option<u64>,
    /// Absent if the command has none, or none that can be sent.
    #[prost(bytes = "bytes", optional, tag = "4")]
    pub(in crate::wire) reply: Option<Bytes>,
    /// Only of a registration.
    #[prost(bytes = "bytes", optional, tag = "5")]
    pub(in crate::wire) nonce: Option<Bytes>,
}

impl CommandOutcome {
    pub(in crate::wire) const REGISTERED: u32 = 1;
    pub(in crate::wire) const DONE: u32 = 2;
    pub(in crate::wire) const EXPIRED: u32 = 3;
    pub(in crate::wire) const OUT_OF_SCOPE: u32 = 4;
}

#[derive(Clone, PartialEq, Message)]
pub(in crate::wire) struct QueryAnswer {
    /// Any number.
    #[prost(uint64, optional, tag = "1")]
    pub(in crate::wire) number: Option<u64>,
    /// Absent if the query was refused.
    #[prost(bytes = "bytes", optional, tag = "2")]
    pub(in crate::wire) answer: Option<Bytes>,
    /// Absent if there is an answer.
    #[prost(uint32, optional, tag = "3")]
    pub(in crate::wire) refused: Option<u32>,
    /// The length of an answer that is too long.
    #[prost(uint64, tag = "4")]
    pub(in crate::wire) bytes: u64,
    /// The longest allowed.
    #[prost(uint64, tag = "5")]
    pub(in crate::wire) bytes_max: u64,
}

impl QueryAnswer {
    pub(in crate::wire) const BUSY: u32 = 1;
    pub(in crate::wire) const PANICKED: u32 = 2;
    pub(in crate::wire) const NOT_UNDERSTOOD: u32 = 3;
    pub(in crate::wire) const TOO_LARGE: u32 = 4;
    pub(in crate::wire) const OUT_OF_SCOPE: u32 = 5;
}
