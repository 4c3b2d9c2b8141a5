//! Defines what servers say to one another.
//!
//! Every message stands alone: the network may lose, duplicate, delay and reorder them all. A message's sender is the
//! peer of the link on which it came, never a field of it, so that a forged sender cannot be said.

use alloc::boxed::Box;
use alloc::sync::Arc;
use alloc::vec::Vec;
use core::time::Duration;

use bytes::Bytes;

use crate::configuration::Configuration;
use crate::entry::Entry;
use crate::ids::{Index, LogPosition, Round, Term};
use crate::time::ClusterTime;

/// The most entries in one [`AppendEntries`]: what has more is refused unread.
pub const ENTRIES_MAX: usize = 1 << 16;

/// A message between two servers of one cluster.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Message {
    /// The sender's current term when it spoke.
    pub term: Term,
    /// What it says.
    pub body: Body,
}

impl Message {
    /// What only the receiver is told: [`AppendEntries::token`], or none in any other message.
    #[must_use]
    pub const fn token(&self) -> Token {
        match &self.body {
            Body::AppendEntries(append) => append.token,
            Body::RequestVote(_)
            | Body::RequestVoteReply(_)
            | Body::AppendEntriesReply(_)
            | Body::InstallSnapshot(_)
            | Body::InstallSnapshotReply(_)
            | Body::TimeoutNow
            | Body::ReadIndex(_)
            | Body::ReadIndexReply(_) => Token::NONE,
        }
    }

    /// Takes out what only the receiver is told. What is left of a broadcast is the same for all who are sent it.
    pub const fn take_token(&mut self) -> Token {
        let token = self.token();
        if let Body::AppendEntries(append) = &mut self.body {
            append.token = Token::NONE;
        }
        token
    }
}

/// What a message says.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Body {
    /// A candidate asks for a vote (§3.4), or whether it would get one (§9.6).
    RequestVote(RequestVote),
    /// The answer to [`RequestVote`].
    RequestVoteReply(RequestVoteReply),
    /// A leader replicates entries, or only makes itself heard (§3.5).
    AppendEntries(AppendEntries),
    /// The answer to [`AppendEntries`].
    AppendEntriesReply(AppendEntriesReply),
    /// A leader sends one chunk of its snapshot (§5.2).
    InstallSnapshot(Box<InstallSnapshot>),
    /// The answer to [`InstallSnapshot`].
    InstallSnapshotReply(InstallSnapshotReply),
    /// A leader hands its leadership over: the receiver starts an election at once (§3.10).
    TimeoutNow,
    /// A follower asks for an index at which it may read (§6.4).
    ReadIndex(ReadIndex),
    /// The answer to [`ReadIndex`].
    ReadIndexReply(ReadIndexReply),
}

/// A candidate asks for a vote.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RequestVote {
    /// Whether this only asks if a vote would be given; nobody's state changes by it.
    pub pre_vote: bool,
    /// The term campaigned for: that of the message, or for a pre-vote the one after it.
    pub campaign: Term,
    /// The last position in the candidate's log.
    pub last: LogPosition,
    /// Whether the leader itself asked for this election, so that having heard it lately is no reason to refuse.
    pub leadership_transfer: bool,
}

/// The answer to a [`RequestVote`].
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RequestVoteReply {
    /// Whether it answers a pre-vote.
    pub pre_vote: bool,
    /// The term campaigned for, as in the request: an answer to an earlier campaign counts for nothing.
    pub campaign: Term,
    /// Whether the vote is given.
    pub granted: bool,
}

/// A leader replicates entries. Without entries it is a heartbeat, a probe or a notice of commitment.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct AppendEntries {
    /// The leader's broadcast that this belongs to.
    pub round: Round,
    /// The position just before the entries.
    pub prev: LogPosition,
    /// The leader's commit index. The receiver takes no more of it than it knows to match the leader's log.
    pub commit: Index,
    /// Whether and when an answer is wanted.
    pub reply: ReplyWanted,
    /// The highest round that a quorum is known to have echoed, at most `round`; zero if there is none.
    pub confirmed: Round,
    /// The receiver's own token, of the last of its answers in this term that the leader has; or none.
    pub token: Token,
    /// The entries after `prev`, their indices contiguous; at most [`ENTRIES_MAX`]. Peers that have got equally far are
    /// sent the same ones.
    pub entries: Arc<Vec<Entry>>,
}

/// The moment at which a server gave an answer, in a form that only it can read, and only until it starts again.
///
/// A leader repeats it in what it sends to that server, which then knows of a moment by its own clock before which that
/// was not sent. Nothing is served that would not be without tokens: they tell the age of local reads.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Token(pub u64);

impl Token {
    /// No token.
    pub const NONE: Self = Self(0);
}

/// Whether and when an [`AppendEntries`] is answered.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ReplyWanted {
    /// Not at all: a bare notice of commitment.
    No,
    /// Once its entries are durable; at once if they cannot be appended.
    WhenDurable,
    /// At once, with the match that is durable so far: for heartbeats, probes and read rounds, which must not wait for
    /// a slow disk.
    AtOnce,
}

/// The answer to an [`AppendEntries`]. Its message's term is that of the leader under which the log was accepted.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct AppendEntriesReply {
    /// The highest round heard in this term.
    pub round: Round,
    /// Up to here this server's log is on its disk and the same as the leader's.
    pub match_index: Index,
    /// Up to here it is the same, on disk or not yet: the difference is the lag of this server's disk.
    pub received: Index,
    /// Up to here entries are committed, as far as this server knows.
    pub commit: Index,
    /// Up to here entries are applied to the state machine.
    pub applied: Index,
    /// Set when the log did not have the position before the entries.
    pub conflict: Option<Conflict>,
    /// For so long after it heard `round`, by its own clock, this server helps nobody else to lead (§6.4.1); zero if it
    /// promises nothing.
    pub promise: Duration,
    /// When it is given, for the leader to repeat.
    pub token: Token,
    /// The end of this server's log, durable or not. A server that keeps its disk never has less than it has
    /// acknowledged.
    pub last: Index,
}

/// Why entries could not be appended, with what the leader needs to find the place where the logs part.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Conflict {
    /// The index of the position that the log did not have.
    pub prev: Index,
    /// The last position in the answerer's log that may be shared: at or before `prev`, with no later a term.
    pub hint: LogPosition,
}

/// One chunk of a snapshot.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct InstallSnapshot {
    /// The leader's broadcast that this belongs to.
    pub round: Round,
    /// Tells this transfer from all others of the same leader and term: chunks of two are never mixed.
    pub transfer: u64,
    /// What the snapshot is, the same in each chunk that says it; `None` once the receiver has answered that it knows.
    pub metadata: Option<SnapshotMetadata>,
    /// Where in the snapshot the data belongs, in bytes.
    pub offset: u64,
    /// The data of this chunk; empty to ask how far the receiver has got.
    pub data: Bytes,
}

/// What a snapshot holds, apart from the state itself.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SnapshotMetadata {
    /// The last entry that the snapshot covers.
    pub last: LogPosition,
    /// The cluster time of that entry.
    pub stamp: ClusterTime,
    /// The configuration as of that entry, joint if it was (§5.1).
    pub configuration: Arc<Configuration>,
    /// The index of that configuration's entry.
    pub configuration_index: Index,
    /// The length of the state, in bytes.
    pub length: u64,
    /// The CRC-32 of the state.
    pub digest: u32,
}

/// The answer to an [`InstallSnapshot`].
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct InstallSnapshotReply {
    /// The highest round heard in this term.
    pub round: Round,
    /// The transfer that it answers.
    pub transfer: u64,
    /// How many bytes of it the receiver's storage has without a gap; its whole length once it is installed and
    /// durable.
    pub next_offset: u64,
    /// How many bytes of it have arrived without a gap, whether its storage has them or not: at least `next_offset`.
    pub received: u64,
    /// Whether the receiver knows what the transfer is. If not, as after a restart, the chunks must say it again.
    pub known: bool,
    /// As in [`AppendEntriesReply`]: at least the snapshot's last index once that is durable, or not needed.
    pub match_index: Index,
    /// As in [`AppendEntriesReply`]: the snapshot's last index once it has taken the log's place.
    pub last: Index,
}

/// A follower asks for an index at which it may read.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ReadIndex {
    /// The asker's name for this request.
    pub id: u64,
}

/// The answer to a [`ReadIndex`].
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ReadIndexReply {
    /// The asker's name for the request.
    pub id: u64,
    /// The index that must be applied before the read; `None` if the receiver does not lead.
    pub index: Option<Index>,
}
