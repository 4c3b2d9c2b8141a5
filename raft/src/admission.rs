//! Names what a frame may say, apart from how it says it.
//!
//! A frame's kind is known before its body is decoded, so that a frame can be judged by it.

/// What a frame says: a message of the protocol, or a request between drivers.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
#[non_exhaustive]
pub enum Kind {
    /// A candidate's request for a vote or a pre-vote.
    RequestVote,
    /// The answer to it.
    RequestVoteReply,
    /// A leader's entries or heartbeat.
    AppendEntries,
    /// The answer to it.
    AppendEntriesReply,
    /// A chunk of a leader's snapshot.
    InstallSnapshot,
    /// The answer to it.
    InstallSnapshotReply,
    /// A leader's word to campaign at once.
    TimeoutNow,
    /// A follower's request for an index at which it may read.
    ReadIndex,
    /// The answer to it.
    ReadIndexReply,
    /// Commands that a member passes on to the leader.
    Propose,
    /// The answer to them.
    ProposeReply,
    /// A membership change that a member passes on to the leader.
    Change,
    /// The answer to it.
    ChangeReply,
    /// A leadership transfer that a member passes on to the leader.
    Transfer,
    /// The answer to it.
    TransferReply,
    /// A server's request to become a member.
    Join,
    /// The answer to it.
    JoinReply,
}

impl Kind {
    /// Returns true for what only a leader sends to replicate its log.
    #[must_use]
    pub const fn replicates(self) -> bool {
        matches!(self, Self::AppendEntries | Self::InstallSnapshot)
    }
}
