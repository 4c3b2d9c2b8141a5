//! Decides whom a server listens to: one table of what a frame says and who sent it.
//!
//! A message is judged by its sender before its term is believed, so that whoever has no business to say it deposes
//! nobody. Answers count only from servers that were asked. But a server that this one does not know may be newer than
//! it (§4.1): a member that slept while all others were replaced knows none of them. So the words of leaders and
//! candidates are taken from whoever is vouched for as well: by a chain of members' words that ends in a key which this
//! server knows. In an open cluster, where nothing but an id tells a server, that is everybody.
//!
//! ```
//! # use liferaft_raft as liferaft;
//! use liferaft::admission::{Admission, Kind, Sender, admission};
//!
//! assert_eq!(admission(Kind::AppendEntries, Sender::Vouched), Admission::Take);
//! assert_eq!(admission(Kind::AppendEntries, Sender::Stranger), Admission::Refuse);
//! ```

use Admission::{Ignore, PutOff, Refuse, Take};

use crate::message::Body;

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
    /// Commands that are passed on to the leader.
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
    /// A server's word that it belongs to another cluster, or to another history of this one.
    Foreign,
    /// What a client asks of a member.
    ClientRequest,
    /// The answer to it. No member asks anything so.
    ClientReply,
}

/// What the sender of a frame is to its receiver.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
#[non_exhaustive]
pub enum Sender {
    /// This server has asked it for what the frame answers, or follows it as its leader.
    Asked,
    /// The configuration in force names it, or one of the log since the commit index does.
    Member,
    /// No such configuration names it, but those whom this server knows vouch for it; or the cluster is open.
    Vouched,
    /// No such configuration names it, but a leader brings it up to date: it is about to be added, or was just removed;
    /// or it waits to be taken in.
    Joiner,
    /// It takes no part in the protocol and has been let in to use what the cluster replicates.
    Client,
    /// A client that has been let in to operate the cluster too.
    Operator,
    /// Anybody else.
    Stranger,
}

/// What becomes of a frame.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Admission {
    /// It is taken for what it says.
    Take,
    /// It is dropped and not counted: an answer that comes late, or a second time, from a server that was asked once.
    Ignore,
    /// It is dropped, and its sender is told that it may ask again once it is a member.
    PutOff,
    /// It is dropped and counted. Its sender gets no answer.
    Refuse,
}

/// Returns what becomes of a frame of this kind from this sender.
#[must_use]
pub const fn admission(kind: Kind, sender: Sender) -> Admission {
    TABLE[kind as usize].1[sender as usize]
}

/// One row for each kind, in their order; in it one cell for each sender: asked, member, vouched, joiner,
/// client, operator, stranger.
const TABLE: [(Kind, [Admission; 7]); 20] = [
    (
        Kind::RequestVote,
        [Take, Take, Take, Take, Refuse, Refuse, Refuse],
    ),
    (
        Kind::RequestVoteReply,
        [Take, Ignore, Refuse, Refuse, Refuse, Refuse, Refuse],
    ),
    (
        Kind::AppendEntries,
        [Take, Take, Take, Take, Refuse, Refuse, Refuse],
    ),
    (
        Kind::AppendEntriesReply,
        [Take, Ignore, Refuse, Refuse, Refuse, Refuse, Refuse],
    ),
    (
        Kind::InstallSnapshot,
        [Take, Take, Take, Take, Refuse, Refuse, Refuse],
    ),
    (
        Kind::InstallSnapshotReply,
        [Take, Ignore, Refuse, Refuse, Refuse, Refuse, Refuse],
    ),
    (
        Kind::TimeoutNow,
        [Take, Ignore, Refuse, Refuse, Refuse, Refuse, Refuse],
    ),
    (
        Kind::ReadIndex,
        [Refuse, Take, Refuse, Take, Refuse, Refuse, Refuse],
    ),
    (
        Kind::ReadIndexReply,
        [Take, Ignore, Refuse, Refuse, Refuse, Refuse, Refuse],
    ),
    (
        Kind::Propose,
        [Refuse, Take, Refuse, PutOff, Refuse, Refuse, Refuse],
    ),
    (
        Kind::ProposeReply,
        [Take, Ignore, Refuse, Refuse, Refuse, Refuse, Refuse],
    ),
    (
        Kind::Change,
        [Refuse, Take, Refuse, PutOff, Refuse, Take, Refuse],
    ),
    (
        Kind::ChangeReply,
        [Take, Ignore, Refuse, Refuse, Refuse, Refuse, Refuse],
    ),
    (
        Kind::Transfer,
        [Refuse, Take, Refuse, PutOff, Refuse, Take, Refuse],
    ),
    (
        Kind::TransferReply,
        [Take, Ignore, Refuse, Refuse, Refuse, Refuse, Refuse],
    ),
    (Kind::Join, [Take, Take, Take, Take, Refuse, Refuse, Take]),
    (
        Kind::JoinReply,
        [Take, Ignore, Refuse, Refuse, Refuse, Refuse, Refuse],
    ),
    (
        Kind::Foreign,
        [Take, Take, Refuse, Take, Refuse, Refuse, Refuse],
    ),
    (
        Kind::ClientRequest,
        [Refuse, Refuse, Refuse, Refuse, Take, Take, Refuse],
    ),
    (
        Kind::ClientReply,
        [Refuse, Refuse, Refuse, Refuse, Refuse, Refuse, Refuse],
    ),
];

// A kind finds its row by its place.
const _: () = {
    let mut place = 0;
    while place < TABLE.len() {
        assert!(TABLE[place].0 as usize == place);
        place += 1;
    }
};

impl Kind {
    /// Returns true for what only a leader sends to replicate its log.
    #[must_use]
    pub const fn replicates(self) -> bool {
        matches!(self, Self::AppendEntries | Self::InstallSnapshot)
    }
}

impl From<&Body> for Kind {
    fn from(body: &Body) -> Self {
        match body {
            Body::RequestVote(_) => Self::RequestVote,
            Body::RequestVoteReply(_) => Self::RequestVoteReply,
            Body::AppendEntries(_) => Self::AppendEntries,
            Body::AppendEntriesReply(_) => Self::AppendEntriesReply,
            Body::InstallSnapshot(_) => Self::InstallSnapshot,
            Body::InstallSnapshotReply(_) => Self::InstallSnapshotReply,
            Body::TimeoutNow => Self::TimeoutNow,
            Body::ReadIndex(_) => Self::ReadIndex,
            Body::ReadIndexReply(_) => Self::ReadIndexReply,
        }
    }
}

#[cfg(test)]
mod tests {
    /// Makes a test of each cell of a row, named after the kind and the sender.
    macro_rules! rows {
        ($($row:ident: $kind:ident, [$asked:ident, $member:ident, $vouched:ident, $joiner:ident, $client:ident, $operator:ident, $stranger:ident];)+) => {
            $(mod $row {
                use crate::admission::{Admission, Kind, Sender, admission};

                rows!(cell asked: $kind, Asked, $asked);
                rows!(cell member: $kind, Member, $member);
                rows!(cell vouched: $kind, Vouched, $vouched);
                rows!(cell joiner: $kind, Joiner, $joiner);
                rows!(cell client: $kind, Client, $client);
                rows!(cell operator: $kind, Operator, $operator);
                rows!(cell stranger: $kind, Stranger, $stranger);
            })+
        };
        (cell $name:ident: $kind:ident, $sender:ident, $expected:ident) => {
            #[test]
            fn $name() {
                assert_eq!(admission(Kind::$kind, Sender::$sender), Admission::$expected);
            }
        };
    }

    rows! {
        request_vote: RequestVote, [Take, Take, Take, Take, Refuse, Refuse, Refuse];
        request_vote_reply: RequestVoteReply, [Take, Ignore, Refuse, Refuse, Refuse, Refuse, Refuse];
        append_entries: AppendEntries, [Take, Take, Take, Take, Refuse, Refuse, Refuse];
        append_entries_reply: AppendEntriesReply, [Take, Ignore, Refuse, Refuse, Refuse, Refuse, Refuse];
        install_snapshot: InstallSnapshot, [Take, Take, Take, Take, Refuse, Refuse, Refuse];
        install_snapshot_reply: InstallSnapshotReply, [Take, Ignore, Refuse, Refuse, Refuse, Refuse, Refuse];
        timeout_now: TimeoutNow, [Take, Ignore, Refuse, Refuse, Refuse, Refuse, Refuse];
        read_index: ReadIndex, [Refuse, Take, Refuse, Take, Refuse, Refuse, Refuse];
        read_index_reply: ReadIndexReply, [Take, Ignore, Refuse, Refuse, Refuse, Refuse, Refuse];
        propose: Propose, [Refuse, Take, Refuse, PutOff, Refuse, Refuse, Refuse];
        propose_reply: ProposeReply, [Take, Ignore, Refuse, Refuse, Refuse, Refuse, Refuse];
        change: Change, [Refuse, Take, Refuse, PutOff, Refuse, Take, Refuse];
        change_reply: ChangeReply, [Take, Ignore, Refuse, Refuse, Refuse, Refuse, Refuse];
        transfer: Transfer, [Refuse, Take, Refuse, PutOff, Refuse, Take, Refuse];
        transfer_reply: TransferReply, [Take, Ignore, Refuse, Refuse, Refuse, Refuse, Refuse];
        join: Join, [Take, Take, Take, Take, Refuse, Refuse, Take];
        join_reply: JoinReply, [Take, Ignore, Refuse, Refuse, Refuse, Refuse, Refuse];
        foreign: Foreign, [Take, Take, Refuse, Take, Refuse, Refuse, Refuse];
        client_request: ClientRequest, [Refuse, Refuse, Refuse, Refuse, Take, Take, Refuse];
        client_reply: ClientReply, [Refuse, Refuse, Refuse, Refuse, Refuse, Refuse, Refuse];
    }
}
