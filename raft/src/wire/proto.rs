//! The messages on the wire, in the terms of Protocol Buffers.
//!
//! An `Option` is a field that must be there, zero or not, unless its comment says what its absence means: what safety
//! rests on never takes a default. The others are advisory: absent is zero, and a peer of another version may leave
//! them out or add more of them. Numbers are never used again for another purpose.

mod client;

use alloc::vec::Vec;

use bytes::Bytes;
use prost::Message;

pub(super) use self::client::{
    ClientQuery, ClientReply, ClientRequest, ClientView, CommandOutcome, LinkReport, PeerReport,
    QueryAnswer, Report, Reported, Seen,
};

/// The kinds of frames: what [`Envelope::body`] holds.
pub(super) mod kind {
    use crate::admission::Kind;

    pub(in crate::wire) const REQUEST_VOTE: u32 = 1;
    pub(in crate::wire) const REQUEST_VOTE_REPLY: u32 = 2;
    pub(in crate::wire) const APPEND_ENTRIES: u32 = 3;
    pub(in crate::wire) const APPEND_ENTRIES_REPLY: u32 = 4;
    pub(in crate::wire) const INSTALL_SNAPSHOT: u32 = 5;
    pub(in crate::wire) const INSTALL_SNAPSHOT_REPLY: u32 = 6;
    pub(in crate::wire) const TIMEOUT_NOW: u32 = 7;
    pub(in crate::wire) const READ_INDEX: u32 = 8;
    pub(in crate::wire) const READ_INDEX_REPLY: u32 = 9;
    pub(in crate::wire) const PROPOSE: u32 = 16;
    pub(in crate::wire) const PROPOSE_REPLY: u32 = 17;
    pub(in crate::wire) const CHANGE: u32 = 18;
    pub(in crate::wire) const CHANGE_REPLY: u32 = 19;
    pub(in crate::wire) const TRANSFER: u32 = 20;
    pub(in crate::wire) const TRANSFER_REPLY: u32 = 21;
    pub(in crate::wire) const JOIN: u32 = 32;
    pub(in crate::wire) const JOIN_REPLY: u32 = 33;
    pub(in crate::wire) const FOREIGN: u32 = 34;
    pub(in crate::wire) const CLIENT_REQUEST: u32 = 48;
    pub(in crate::wire) const CLIENT_REPLY: u32 = 49;

    /// Returns the kind of frame that has this number; `None` if this version knows none.
    pub(in crate::wire) const fn known(number: u32) -> Option<Kind> {
        Some(match number {
            REQUEST_VOTE => Kind::RequestVote,
            REQUEST_VOTE_REPLY => Kind::RequestVoteReply,
            APPEND_ENTRIES => Kind::AppendEntries,
            APPEND_ENTRIES_REPLY => Kind::AppendEntriesReply,
            INSTALL_SNAPSHOT => Kind::InstallSnapshot,
            INSTALL_SNAPSHOT_REPLY => Kind::InstallSnapshotReply,
            TIMEOUT_NOW => Kind::TimeoutNow,
            READ_INDEX => Kind::ReadIndex,
            READ_INDEX_REPLY => Kind::ReadIndexReply,
            PROPOSE => Kind::Propose,
            PROPOSE_REPLY => Kind::ProposeReply,
            CHANGE => Kind::Change,
            CHANGE_REPLY => Kind::ChangeReply,
            TRANSFER => Kind::Transfer,
            TRANSFER_REPLY => Kind::TransferReply,
            JOIN => Kind::Join,
            JOIN_REPLY => Kind::JoinReply,
            FOREIGN => Kind::Foreign,
            CLIENT_REQUEST => Kind::ClientRequest,
            CLIENT_REPLY => Kind::ClientReply,
            _ => return None,
        })
    }
}

/// A frame. What differs by receiver comes first, as its head: where it goes, and the token. The rest is the content,
/// whose bytes are the same whoever they are sent to.
#[derive(Clone, PartialEq, Message)]
pub(super) struct Envelope {
    #[prost(bytes = "bytes", optional, tag = "1")]
    pub(super) cluster: Option<Bytes>,
    #[prost(bytes = "bytes", optional, tag = "2")]
    pub(super) to: Option<Bytes>,
    #[prost(uint32, optional, tag = "3")]
    pub(super) kind: Option<u32>,
    /// Any number: that of the receiver's last answer, with an AppendEntries; zero for none.
    #[prost(fixed64, tag = "6")]
    pub(super) token: u64,
    /// Any number: the name of the founding of the sender's cluster. Absent from one that is not known to take part in
    /// any.
    #[prost(fixed64, optional, tag = "7")]
    pub(super) history: Option<u64>,
    /// Only messages have a term, requests between drivers have none.
    #[prost(uint64, optional, tag = "4")]
    pub(super) term: Option<u64>,
    /// The last field, so that its key and length can be written before a body is encoded in place.
    #[prost(bytes = "bytes", optional, tag = "5")]
    pub(super) body: Option<Bytes>,
}

#[derive(Clone, PartialEq, Message)]
pub(super) struct RequestVote {
    #[prost(bool, optional, tag = "1")]
    pub(super) pre_vote: Option<bool>,
    #[prost(uint64, optional, tag = "2")]
    pub(super) campaign: Option<u64>,
    #[prost(uint64, optional, tag = "3")]
    pub(super) last_term: Option<u64>,
    #[prost(uint64, optional, tag = "4")]
    pub(super) last_index: Option<u64>,
    #[prost(bool, tag = "5")]
    pub(super) leadership_transfer: bool,
}

#[derive(Clone, PartialEq, Message)]
pub(super) struct RequestVoteReply {
    #[prost(bool, optional, tag = "1")]
    pub(super) pre_vote: Option<bool>,
    #[prost(uint64, optional, tag = "2")]
    pub(super) campaign: Option<u64>,
    #[prost(bool, optional, tag = "3")]
    pub(super) granted: Option<bool>,
}

#[derive(Clone, PartialEq, Message)]
pub(super) struct AppendEntries {
    #[prost(uint64, optional, tag = "1")]
    pub(super) round: Option<u64>,
    #[prost(uint64, optional, tag = "2")]
    pub(super) prev_term: Option<u64>,
    #[prost(uint64, optional, tag = "3")]
    pub(super) prev_index: Option<u64>,
    #[prost(uint64, optional, tag = "4")]
    pub(super) commit: Option<u64>,
    #[prost(uint32, tag = "5")]
    pub(super) reply: u32,
    /// The index of each follows from `prev_index` and its place.
    #[prost(message, repeated, tag = "6")]
    pub(super) entries: Vec<Entry>,
    /// A leader that does not tell leaves the ages of its followers unknown.
    #[prost(uint64, tag = "7")]
    pub(super) confirmed: u64,
}

impl AppendEntries {
    pub(super) const ENTRIES: u64 = 6;

    pub(super) const NO_REPLY: u32 = 0;
    pub(super) const REPLY_WHEN_DURABLE: u32 = 1;
    pub(super) const REPLY_AT_ONCE: u32 = 2;
}

/// An entry. It has no advisory fields: each server stores what it understood of an entry and hands that on, so that
/// whatever comes to be said in entries is said by a kind of its own.
#[derive(Clone, PartialEq, Message)]
pub(super) struct Entry {
    #[prost(uint64, optional, tag = "1")]
    pub(super) term: Option<u64>,
    #[prost(uint64, optional, tag = "2")]
    pub(super) stamp: Option<u64>,
    #[prost(uint32, optional, tag = "3")]
    pub(super) kind: Option<u32>,
    /// A no-op has none.
    #[prost(bytes = "bytes", optional, tag = "4")]
    pub(super) body: Option<Bytes>,
}

impl Entry {
    pub(super) const NOOP: u32 = 1;
    pub(super) const COMMAND: u32 = 2;
    pub(super) const CONFIGURATION: u32 = 3;
}

#[derive(Clone, PartialEq, Message)]
pub(super) struct AppendEntriesReply {
    #[prost(uint64, optional, tag = "1")]
    pub(super) round: Option<u64>,
    #[prost(uint64, optional, tag = "2")]
    pub(super) match_index: Option<u64>,
    #[prost(uint64, optional, tag = "3")]
    pub(super) received: Option<u64>,
    #[prost(uint64, tag = "4")]
    pub(super) commit: u64,
    #[prost(uint64, tag = "5")]
    pub(super) applied: u64,
    /// Absent if there was no conflict.
    #[prost(message, optional, tag = "6")]
    pub(super) conflict: Option<Conflict>,
    /// In nanoseconds. A server that knows of no promises makes none.
    #[prost(uint64, tag = "7")]
    pub(super) promise: u64,
    /// Any number; zero for none.
    #[prost(fixed64, tag = "8")]
    pub(super) token: u64,
    #[prost(uint64, optional, tag = "9")]
    pub(super) last: Option<u64>,
}

#[derive(Clone, PartialEq, Message)]
pub(super) struct Conflict {
    #[prost(uint64, optional, tag = "1")]
    pub(super) prev: Option<u64>,
    #[prost(uint64, optional, tag = "2")]
    pub(super) hint_term: Option<u64>,
    #[prost(uint64, optional, tag = "3")]
    pub(super) hint_index: Option<u64>,
}

#[derive(Clone, PartialEq, Message)]
pub(super) struct InstallSnapshot {
    #[prost(uint64, optional, tag = "1")]
    pub(super) round: Option<u64>,
    #[prost(uint64, optional, tag = "2")]
    pub(super) transfer: Option<u64>,
    /// Absent once the receiver has said that it knows them.
    #[prost(message, optional, tag = "3")]
    pub(super) metadata: Option<SnapshotMetadata>,
    #[prost(uint64, optional, tag = "4")]
    pub(super) offset: Option<u64>,
    #[prost(bytes = "bytes", optional, tag = "5")]
    pub(super) data: Option<Bytes>,
}

#[derive(Clone, PartialEq, Message)]
pub(super) struct SnapshotMetadata {
    #[prost(uint64, optional, tag = "1")]
    pub(super) last_term: Option<u64>,
    #[prost(uint64, optional, tag = "2")]
    pub(super) last_index: Option<u64>,
    #[prost(uint64, optional, tag = "3")]
    pub(super) stamp: Option<u64>,
    /// A [`Configuration`].
    #[prost(bytes = "bytes", optional, tag = "4")]
    pub(super) configuration: Option<Bytes>,
    #[prost(uint64, optional, tag = "5")]
    pub(super) configuration_index: Option<u64>,
    #[prost(uint64, optional, tag = "6")]
    pub(super) length: Option<u64>,
    #[prost(fixed32, optional, tag = "7")]
    pub(super) digest: Option<u32>,
}

#[derive(Clone, PartialEq, Message)]
pub(super) struct InstallSnapshotReply {
    #[prost(uint64, optional, tag = "1")]
    pub(super) round: Option<u64>,
    #[prost(uint64, optional, tag = "2")]
    pub(super) transfer: Option<u64>,
    #[prost(uint64, optional, tag = "3")]
    pub(super) next_offset: Option<u64>,
    #[prost(uint64, optional, tag = "4")]
    pub(super) match_index: Option<u64>,
    #[prost(uint64, optional, tag = "5")]
    pub(super) last: Option<u64>,
    #[prost(bool, optional, tag = "6")]
    pub(super) known: Option<bool>,
    #[prost(uint64, optional, tag = "7")]
    pub(super) received: Option<u64>,
}

#[derive(Clone, PartialEq, Message)]
pub(super) struct TimeoutNow {}

#[derive(Clone, PartialEq, Message)]
pub(super) struct ReadIndex {
    #[prost(uint64, optional, tag = "1")]
    pub(super) id: Option<u64>,
}

#[derive(Clone, PartialEq, Message)]
pub(super) struct ReadIndexReply {
    #[prost(uint64, optional, tag = "1")]
    pub(super) id: Option<u64>,
    /// Absent if the answerer does not lead.
    #[prost(uint64, optional, tag = "2")]
    pub(super) index: Option<u64>,
}

/// A configuration. It has no advisory fields either: whatever comes to be said in one gets another `format`.
#[derive(Clone, PartialEq, Message)]
pub(super) struct Configuration {
    #[prost(uint32, optional, tag = "1")]
    pub(super) format: Option<u32>,
    /// By ascending id.
    #[prost(message, repeated, tag = "2")]
    pub(super) members: Vec<Member>,
    /// The oldest dismissal first.
    #[prost(message, repeated, tag = "3")]
    pub(super) dismissed: Vec<Dismissed>,
    #[prost(uint64, optional, tag = "4")]
    pub(super) entry_bytes_max: Option<u64>,
    /// Any number; absent if the founders gave their cluster no name.
    #[prost(fixed64, optional, tag = "5")]
    pub(super) history: Option<u64>,
    #[prost(uint32, optional, tag = "6")]
    pub(super) version: Option<u32>,
    #[prost(bool, optional, tag = "7")]
    pub(super) is_open: Option<bool>,
    /// By ascending key.
    #[prost(message, repeated, tag = "8")]
    pub(super) tokens: Vec<AccessToken>,
    /// Ids, the oldest eviction first.
    #[prost(bytes = "bytes", repeated, tag = "9")]
    pub(super) evicted: Vec<Bytes>,
    /// By ascending key.
    #[prost(message, repeated, tag = "10")]
    pub(super) past_vouchers: Vec<PastVoucher>,
}

impl Configuration {
    /// Format 1 had a public key of any length in each member, and none of the fields from 6 on.
    pub(super) const FORMAT: u32 = 2;
    pub(super) const MEMBERS: u64 = 2;
    pub(super) const DISMISSED: u64 = 3;
    pub(super) const TOKENS: u64 = 8;
    pub(super) const EVICTED: u64 = 9;
    pub(super) const PAST_VOUCHERS: u64 = 10;
}

#[derive(Clone, PartialEq, Message)]
pub(super) struct Member {
    #[prost(bytes = "bytes", optional, tag = "1")]
    pub(super) id: Option<Bytes>,
    #[prost(uint32, optional, tag = "2")]
    pub(super) suffrage: Option<u32>,
    #[prost(bool, optional, tag = "3")]
    pub(super) outgoing_voter: Option<bool>,
    /// A [`Description`].
    #[prost(bytes = "bytes", optional, tag = "5")]
    pub(super) description: Option<Bytes>,
    /// Absent from one that was let in without it.
    #[prost(message, optional, tag = "6")]
    pub(super) voucher: Option<Voucher>,
}

impl Member {
    pub(super) const LEAVES: u32 = 0;
    pub(super) const VOTER: u32 = 1;
    pub(super) const LEARNER: u32 = 2;
}

#[derive(Clone, PartialEq, Message)]
pub(super) struct Description {
    /// Absent where identities are not authenticated.
    #[prost(bytes = "bytes", optional, tag = "1")]
    pub(super) public_key: Option<Bytes>,
    #[prost(bytes = "bytes", tag = "2")]
    pub(super) label: Bytes,
    #[prost(bytes = "bytes", repeated, tag = "3")]
    pub(super) addresses: Vec<Bytes>,
    #[prost(uint32, optional, tag = "4")]
    pub(super) version_min: Option<u32>,
    #[prost(uint32, optional, tag = "5")]
    pub(super) version_max: Option<u32>,
}

impl Description {
    pub(super) const ADDRESSES: u64 = 3;
}

#[derive(Clone, PartialEq, Message)]
pub(super) struct Voucher {
    #[prost(bytes = "bytes", optional, tag = "1")]
    pub(super) by: Option<Bytes>,
    #[prost(bytes = "bytes", optional, tag = "2")]
    pub(super) signature: Option<Bytes>,
}

/// The voucher of a server that has left.
#[derive(Clone, PartialEq, Message)]
pub(super) struct PastVoucher {
    /// The server's key.
    #[prost(bytes = "bytes", optional, tag = "1")]
    pub(super) subject: Option<Bytes>,
    #[prost(message, optional, tag = "2")]
    pub(super) voucher: Option<Voucher>,
}

#[derive(Clone, PartialEq, Message)]
pub(super) struct AccessToken {
    #[prost(bytes = "bytes", optional, tag = "1")]
    pub(super) key: Option<Bytes>,
    #[prost(uint32, optional, tag = "2")]
    pub(super) grants: Option<u32>,
    /// Any number.
    #[prost(uint64, optional, tag = "3")]
    pub(super) expires_at: Option<u64>,
    #[prost(uint32, optional, tag = "4")]
    pub(super) uses_left: Option<u32>,
    /// A [`Scope`]; absent if it is everything.
    #[prost(bytes = "bytes", optional, tag = "5")]
    pub(super) scope: Option<Bytes>,
}

impl AccessToken {
    pub(super) const MEMBERSHIP: u32 = 1;
    pub(super) const READING: u32 = 2;
    pub(super) const WRITING: u32 = 3;
    pub(super) const OPERATING: u32 = 4;
}

/// Which keys an access token is for.
#[derive(Clone, PartialEq, Message)]
pub(super) struct Scope {
    #[prost(bytes = "bytes", repeated, tag = "1")]
    pub(super) prefixes: Vec<Bytes>,
}

impl Scope {
    pub(super) const PREFIXES: u64 = 1;
}

#[derive(Clone, PartialEq, Message)]
pub(super) struct Dismissed {
    #[prost(bytes = "bytes", optional, tag = "1")]
    pub(super) id: Option<Bytes>,
    #[prost(uint32, optional, tag = "2")]
    pub(super) why: Option<u32>,
}

impl Dismissed {
    pub(super) const REMOVED: u32 = 1;
    pub(super) const FORGOT: u32 = 2;
}

#[derive(Clone, PartialEq, Message)]
pub(super) struct Propose {
    #[prost(uint64, optional, tag = "1")]
    pub(super) request: Option<u64>,
    #[prost(bytes = "bytes", repeated, tag = "2")]
    pub(super) commands: Vec<Bytes>,
}

impl Propose {
    pub(super) const COMMANDS: u64 = 2;
}

#[derive(Clone, PartialEq, Message)]
pub(super) struct ProposeReply {
    #[prost(uint64, optional, tag = "1")]
    pub(super) request: Option<u64>,
    #[prost(uint32, optional, tag = "2")]
    pub(super) answer: Option<u32>,
    /// Absent if no leader is known, or the answer is about none.
    #[prost(bytes = "bytes", optional, tag = "3")]
    pub(super) leader: Option<Bytes>,
}

impl ProposeReply {
    pub(super) const APPENDED: u32 = 1;
    pub(super) const NOT_LEADER: u32 = 2;
    pub(super) const BUSY: u32 = 3;
    pub(super) const TOO_LARGE: u32 = 4;
    pub(super) const TRANSFERRING: u32 = 5;
    pub(super) const NOT_MEMBER: u32 = 6;
}

#[derive(Clone, PartialEq, Message)]
pub(super) struct Change {
    #[prost(uint64, optional, tag = "1")]
    pub(super) request: Option<u64>,
    #[prost(message, repeated, tag = "2")]
    pub(super) steps: Vec<Step>,
    #[prost(uint64, optional, tag = "3")]
    pub(super) term: Option<u64>,
}

impl Change {
    pub(super) const STEPS: u64 = 2;
}

#[derive(Clone, PartialEq, Message)]
pub(super) struct Step {
    #[prost(uint32, optional, tag = "1")]
    pub(super) kind: Option<u32>,
    /// Absent from a step that is about no server.
    #[prost(bytes = "bytes", optional, tag = "2")]
    pub(super) id: Option<Bytes>,
    /// A [`Description`]; absent from an addition that says nothing of the server, and from most other steps.
    #[prost(bytes = "bytes", optional, tag = "4")]
    pub(super) description: Option<Bytes>,
    /// Absent from an addition for which nobody vouches anew, and from all other steps.
    #[prost(message, optional, tag = "5")]
    pub(super) voucher: Option<Voucher>,
    /// The key of the access token that an addition uses, if it does, or that is revoked.
    #[prost(bytes = "bytes", optional, tag = "6")]
    pub(super) token: Option<Bytes>,
    /// Only in a step that issues it.
    #[prost(message, optional, tag = "7")]
    pub(super) issued: Option<AccessToken>,
    /// Only in a step that raises it.
    #[prost(uint32, optional, tag = "8")]
    pub(super) version: Option<u32>,
}

impl Step {
    pub(super) const ADD_VOTER: u32 = 1;
    pub(super) const ADD_LEARNER: u32 = 2;
    pub(super) const REMOVE: u32 = 3;
    pub(super) const EVICT: u32 = 4;
    pub(super) const RETIRE: u32 = 5;
    pub(super) const DESCRIBE: u32 = 6;
    pub(super) const ISSUE: u32 = 7;
    pub(super) const REVOKE: u32 = 8;
    pub(super) const RAISE_VERSION: u32 = 9;
}

#[derive(Clone, PartialEq, Message)]
pub(super) struct ChangeReply {
    #[prost(uint64, optional, tag = "1")]
    pub(super) request: Option<u64>,
    /// Absent if the change was not made, or it is not known.
    #[prost(uint64, optional, tag = "2")]
    pub(super) index: Option<u64>,
    /// Absent if the change was made.
    #[prost(uint32, optional, tag = "3")]
    pub(super) error: Option<u32>,
    /// The server that the error is about, if it is about one.
    #[prost(bytes = "bytes", optional, tag = "4")]
    pub(super) server: Option<Bytes>,
    /// How many bytes it takes, absent unless that is too many.
    #[prost(uint64, optional, tag = "5")]
    pub(super) bytes: Option<u64>,
    /// How many are allowed, absent unless it takes more.
    #[prost(uint64, optional, tag = "6")]
    pub(super) bytes_max: Option<u64>,
    /// The key of the access token that the error is about, if it is about one.
    #[prost(bytes = "bytes", optional, tag = "7")]
    pub(super) token: Option<Bytes>,
    /// The version that the error is about, if it is about one.
    #[prost(uint32, optional, tag = "8")]
    pub(super) version: Option<u32>,
}

impl ChangeReply {
    pub(super) const NOT_LEADER: u32 = 1;
    pub(super) const PENDING: u32 = 2;
    pub(super) const ALREADY_MEMBER: u32 = 3;
    pub(super) const NOT_MEMBER: u32 = 4;
    pub(super) const NO_STEPS: u32 = 5;
    pub(super) const NO_VOTERS: u32 = 6;
    pub(super) const NAMED_TWICE: u32 = 7;
    pub(super) const UNREACHABLE: u32 = 8;
    pub(super) const TOO_SLOW: u32 = 9;
    pub(super) const UNKNOWN: u32 = 10;
    pub(super) const TOO_MANY_SERVERS: u32 = 11;
    pub(super) const FORGOT: u32 = 12;
    pub(super) const ASKER_NOT_MEMBER: u32 = 13;
    pub(super) const TOO_LARGE: u32 = 14;
    pub(super) const WRONG_CLUSTER: u32 = 16;
    pub(super) const ANOTHER_HISTORY: u32 = 17;
    pub(super) const WRONG_KEY: u32 = 18;
    pub(super) const ISSUED_BEFORE: u32 = 19;
    pub(super) const TOO_MANY_TOKENS: u32 = 20;
    pub(super) const VERSION_NOT_RAISED: u32 = 21;
    pub(super) const VERSION_NOT_SPOKEN: u32 = 22;
    pub(super) const TOKEN_UNKNOWN: u32 = 23;
    pub(super) const TOKEN_USED_UP: u32 = 24;
    pub(super) const TOKEN_EXPIRED: u32 = 25;
    pub(super) const TOKEN_GRANTS_OTHER: u32 = 26;
    pub(super) const NOT_LINKED: u32 = 27;
}

#[derive(Clone, PartialEq, Message)]
pub(super) struct Transfer {
    #[prost(uint64, optional, tag = "1")]
    pub(super) request: Option<u64>,
    /// Absent if any voter will do.
    #[prost(bytes = "bytes", optional, tag = "2")]
    pub(super) to: Option<Bytes>,
    #[prost(uint64, optional, tag = "3")]
    pub(super) term: Option<u64>,
}

#[derive(Clone, PartialEq, Message)]
pub(super) struct TransferReply {
    #[prost(uint64, optional, tag = "1")]
    pub(super) request: Option<u64>,
    /// The server that leadership was handed to, or that the error is about.
    #[prost(bytes = "bytes", optional, tag = "2")]
    pub(super) server: Option<Bytes>,
    /// Absent if leadership was handed over.
    #[prost(uint32, optional, tag = "3")]
    pub(super) error: Option<u32>,
}

impl TransferReply {
    pub(super) const NOT_LEADER: u32 = 1;
    pub(super) const NOT_VOTER: u32 = 2;
    pub(super) const NO_CANDIDATE: u32 = 3;
    pub(super) const PENDING: u32 = 4;
    pub(super) const TIMED_OUT: u32 = 5;
    pub(super) const BUSY: u32 = 6;
    pub(super) const ASKER_NOT_MEMBER: u32 = 7;
}

#[derive(Clone, PartialEq, Message)]
pub(super) struct Join {
    /// A [`Description`].
    #[prost(bytes = "bytes", optional, tag = "2")]
    pub(super) description: Option<Bytes>,
    /// The key of the access token that it holds; absent from one without an invitation.
    #[prost(bytes = "bytes", optional, tag = "3")]
    pub(super) token: Option<Bytes>,
}

#[derive(Clone, PartialEq, Message)]
pub(super) struct JoinReply {
    #[prost(uint32, optional, tag = "1")]
    pub(super) answer: Option<u32>,
    /// Absent if no leader is known, or the answer is about none.
    #[prost(bytes = "bytes", optional, tag = "2")]
    pub(super) leader: Option<Bytes>,
    /// Absent if nothing is known of the leader but its id.
    #[prost(bytes = "bytes", optional, tag = "3")]
    pub(super) description: Option<Bytes>,
}

impl JoinReply {
    pub(super) const ACCEPTED: u32 = 1;
    pub(super) const MEMBER: u32 = 2;
    pub(super) const NOT_LEADER: u32 = 3;
    pub(super) const BUSY: u32 = 4;
    pub(super) const DISMISSED: u32 = 5;
    pub(super) const MANUAL: u32 = 6;
    pub(super) const FORGOT: u32 = 7;
    pub(super) const NOT_INVITED: u32 = 8;
    pub(super) const TOKEN_UNKNOWN: u32 = 9;
    pub(super) const TOKEN_USED_UP: u32 = 10;
    pub(super) const TOKEN_EXPIRED: u32 = 11;
    pub(super) const TOKEN_GRANTS_OTHER: u32 = 12;
    pub(super) const OTHER_VERSION: u32 = 13;
}

#[derive(Clone, PartialEq, Message)]
pub(super) struct Foreign {
    #[prost(uint32, optional, tag = "1")]
    pub(super) why: Option<u32>,
}

impl Foreign {
    pub(super) const CLUSTER: u32 = 1;
    pub(super) const HISTORY: u32 = 2;
}
