//! Defines what the core returns: all of it may be done at once, since what must wait is still inside.

use alloc::vec::Vec;
use core::time::Duration;

use bytes::Bytes;
use thiserror::Error;

use super::log::Outline;
use super::names::{ChangeId, ProposalId, ReadId, Reception, SnapshotName, WriteId};
use crate::boots::Boots;
use crate::configuration::{Foreign, SERVERS_MAX, TOKENS_MAX, TokenFault, TokenKey};
use crate::entry::Entry;
use crate::ids::{Hint, Index, LogPosition, ServerId, Term};
use crate::message::{Message, SnapshotMetadata};

/// The effects of one or more inputs. The caller takes them out and uses the same buffer again.
///
/// - [`messages`](Self::messages) may leave in any order.
/// - [`writes`](Self::writes) are made in order and answered by [`Input::Persisted`](super::Input::Persisted).
/// - [`snapshots`](Self::snapshots) is done in order, and answered as each step says.
/// - [`entries`](Self::entries) are read in any order, and answered by
///   [`Input::EntriesRead`](super::Input::EntriesRead).
/// - [`apply`](Self::apply) is done in order and answered by [`Input::Applied`](super::Input::Applied).
/// - A read in [`reads`](Self::reads) is served once its index is applied.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct Output {
    /// Messages to send.
    pub messages: Vec<(ServerId, Message)>,
    /// Writes to make durable, in order.
    pub writes: Vec<Write>,
    /// What is to be done with the states of snapshots, in order. Neither it nor the writes wait for the other.
    pub snapshots: Vec<SnapshotStep>,
    /// Entries of the log to read from storage. Neither the writes nor what is done with snapshots wait for it.
    pub entries: Vec<EntriesRead>,
    /// What the state machine is to do, in order.
    pub apply: Vec<Apply>,
    /// Reads that may be served once their index is applied, and those that may not.
    pub reads: Vec<(ReadId, Result<Index, ReadRefused>)>,
    /// What became of proposals: where they were appended, or why they were not.
    pub proposals: Vec<(ProposalId, Result<LogPosition, ProposeRefused>)>,
    /// What became of membership changes: the index of the committed configuration.
    pub changes: Vec<(ChangeId, Result<Index, ChangeError>)>,
    /// What became of leadership transfers: the server that leadership was handed to.
    pub transfers: Vec<Result<ServerId, TransferError>>,
    /// What an observer may want to know.
    pub events: Vec<Event>,
}

impl Output {
    /// Whether there is nothing to do.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        *self == Self::default()
    }

    /// Moves the effects of another output behind those of this one.
    pub fn append(&mut self, other: &mut Self) {
        append(&mut self.messages, &mut other.messages);
        append(&mut self.writes, &mut other.writes);
        append(&mut self.snapshots, &mut other.snapshots);
        append(&mut self.entries, &mut other.entries);
        append(&mut self.apply, &mut other.apply);
        append(&mut self.reads, &mut other.reads);
        append(&mut self.proposals, &mut other.proposals);
        append(&mut self.changes, &mut other.changes);
        append(&mut self.transfers, &mut other.transfers);
        append(&mut self.events, &mut other.events);
    }

    /// Empties it and keeps its memory.
    pub fn clear(&mut self) {
        self.messages.clear();
        self.writes.clear();
        self.snapshots.clear();
        self.entries.clear();
        self.apply.clear();
        self.reads.clear();
        self.proposals.clear();
        self.changes.clear();
        self.transfers.clear();
        self.events.clear();
    }
}

/// Moves what is in one list behind what is in another. Of ten lists most are empty after an input.
fn append<T>(to: &mut Vec<T>, from: &mut Vec<T>) {
    if from.is_empty() {
        return;
    }
    if to.is_empty() {
        core::mem::swap(to, from);
    } else {
        to.append(from);
    }
}

/// What must reach the disk. Its parts are made durable in the order of the fields; a crash may leave any prefix.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Write {
    /// Its number.
    pub id: WriteId,
    /// Replaces the stored hard state, all of it at once.
    pub hard_state: Option<HardState>,
    /// Replaces the stored boots of other servers, all of them at once. The protocol has no part in them: it leaves
    /// this empty, and whoever authorizes links adds it.
    pub peer_boots: Option<Boots>,
    /// Replaces the stored snapshot by this one, which is finished: durable, and of no effect until now.
    pub snapshot: Option<Snapshot>,
    /// Drops all stored entries from this index on.
    pub truncate: Option<Index>,
    /// Follow the stored log without a gap, or begin it just after the snapshot.
    pub entries: Vec<Entry>,
    /// Drops all stored entries up to this index, which the stored snapshot covers.
    pub compact: Option<Index>,
}

/// What a server must remember of its elections (§3.8). One that has stored nothing has promised nothing.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct HardState {
    /// The latest term it has seen.
    pub term: Term,
    /// Whom it voted for in that term.
    pub voted_for: Option<ServerId>,
    /// Up to here entries are committed, as it knew when this was handed out, and were durable here before: a crash in
    /// the middle of the write that carries it leaves no commit index beyond the log. It may be behind: it is stored
    /// when a configuration is committed, when nothing has been for a heartbeat interval, and after each 8 MiB of log:
    /// after a restart a server need not hold what is known to be committed.
    pub commit: Index,
    /// How long it waits after a restart before it votes or campaigns, since it may have promised that to a leader that
    /// reads by lease (see [`lease`](super::lease)): in nanoseconds, at most
    /// [`ELECTION_TIMEOUT_MAX`](crate::config::ELECTION_TIMEOUT_MAX).
    pub promise: Duration,
}

/// A snapshot: the state machine as of an entry (§5). Its state is in storage, under its name.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Snapshot {
    /// What it is.
    pub metadata: SnapshotMetadata,
    /// The name by which its state is read.
    pub name: SnapshotName,
}

/// What is to be done with the states of snapshots, beside the writes, which do not wait for it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum SnapshotStep {
    /// Appends this piece to the snapshot that is being received; with its first piece it begins. Answered by
    /// [`Input::SnapshotAppended`](super::Input::SnapshotAppended), or, if there is no room, by
    /// [`Input::SnapshotNotStored`](super::Input::SnapshotNotStored).
    Append {
        /// Which.
        reception: Reception,
        /// The piece.
        piece: Bytes,
    },
    /// Makes that snapshot durable if it has this length and this CRC-32, and else drops it. Answered by
    /// [`Input::SnapshotReceived`](super::Input::SnapshotReceived), or, if there is no room, by
    /// [`Input::SnapshotNotStored`](super::Input::SnapshotNotStored).
    Finish {
        /// Which.
        reception: Reception,
        /// Its length, in bytes.
        length: u64,
        /// Its CRC-32.
        digest: u32,
    },
    /// Reads a part of a snapshot that a peer is sent. Answered by
    /// [`Input::SnapshotRead`](super::Input::SnapshotRead).
    Read(SnapshotRead),
    /// Removes a finished snapshot, which nothing needs any more.
    Remove(SnapshotName),
}

/// A part of a snapshot to read, for a peer.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct SnapshotRead {
    /// The peer.
    pub to: ServerId,
    /// The name of its transfer.
    pub transfer: u64,
    /// The snapshot.
    pub name: SnapshotName,
    /// Where the part begins.
    pub offset: u64,
    /// How many bytes it has: all of them are there.
    pub bytes: usize,
}

/// Entries of the stored log to read, which are not in memory: committed, and durable here.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct EntriesRead {
    /// Who needs them. No reader waits for two reads at a time.
    pub whose: EntriesReader,
    /// Of an earlier generation an answer may come too late: it is dropped.
    pub generation: u64,
    /// The first one.
    pub from: Index,
    /// The last one that may be read.
    pub through: Index,
    /// The most bytes of them, counted as [`Entry::weight`]. The first one is read however much it weighs.
    pub bytes_max: u64,
}

impl EntriesRead {
    /// Returns what answers it, where these are the entries of the stored log, in order.
    #[must_use]
    pub fn select<'a>(&self, stored: impl IntoIterator<Item = &'a Entry>) -> Vec<Entry> {
        select(stored, self.from, self.through, self.bytes_max)
    }
}

/// Returns the entry at `from`, and those after it up to `through`, as many as weigh no more than `bytes_max` together;
/// the first one however much it weighs, and none if it is not among these.
pub fn select<'a>(
    stored: impl IntoIterator<Item = &'a Entry>,
    from: Index,
    through: Index,
    bytes_max: u64,
) -> Vec<Entry> {
    let mut bytes = 0;
    let mut entries: Vec<Entry> = Vec::new();
    let wanted = stored.into_iter().skip_while(|entry| entry.index < from);
    for entry in wanted.take_while(|entry| entry.index <= through) {
        bytes += entry.weight();
        let next = entries.last().map_or(from, |last| last.index.next());
        if entry.index != next || bytes > bytes_max && !entries.is_empty() {
            break;
        }
        entries.push(entry.clone());
    }
    entries
}

/// Who needs entries that are not in memory.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum EntriesReader {
    /// The state machine, which has yet to apply them.
    Apply,
    /// A server that this leader replicates to, which is behind.
    Peer(ServerId),
}

/// What storage gives back after a restart.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Recovered {
    /// The last hard state.
    pub hard_state: HardState,
    /// The last snapshot.
    pub snapshot: Option<Snapshot>,
    /// The beginning of the log; it may begin before the snapshot's end but not leave a gap after it. Storage that
    /// gives the whole log as entries leaves it empty.
    pub outline: Outline,
    /// The log from there on, contiguous; without an outline it begins as the outline would.
    pub entries: Vec<Entry>,
    /// The boots of other servers that were stored last, for whoever authorizes links.
    pub peer_boots: Boots,
}

/// One thing for the state machine to do.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Apply {
    /// Apply these committed entries.
    Entries(Vec<Entry>),
    /// Replace its state by this snapshot's, which stays in storage until that is done.
    Restore(Snapshot),
}

/// What an observer may want to know.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Event {
    /// This server plays another role, or the same one in another term.
    RoleChanged {
        /// The role.
        role: RoleKind,
        /// The term.
        term: Term,
    },
    /// Another server leads, or none that is known.
    LeaderChanged {
        /// The leader, if one is known.
        leader: Option<ServerId>,
        /// The term.
        term: Term,
    },
    /// Another configuration is in force.
    ConfigurationChanged {
        /// The index of its entry.
        index: Index,
    },
    /// The configuration in force is committed.
    ConfigurationCommitted {
        /// The index of its entry.
        index: Index,
    },
    /// A message was refused, and why.
    Refused {
        /// The peer that sent it.
        from: ServerId,
        /// Why.
        reason: Refusal,
    },
    /// A server that joins, or a follower, is being sent a snapshot.
    SnapshotStarted {
        /// The receiver.
        to: ServerId,
    },
    /// That server has the snapshot, or what it covers from elsewhere.
    SnapshotFinished {
        /// The receiver.
        to: ServerId,
    },
    /// The clock leapt over an election timeout, as after a sleep: one election was deferred.
    ElectionDeferred,
    /// A peer of this leader has lost some of what it had acknowledged, as a server does whose disk was wiped or set
    /// back. For the rest of this leader's term it counts towards no quorum, and nothing is replicated to it.
    PeerForgot {
        /// The peer.
        peer: ServerId,
        /// Up to here it had acknowledged the log.
        acknowledged: Index,
        /// Here its log ends.
        last: Index,
    },
}

/// The roles of §3.3, and that of a server which asks whether it would be elected (§9.6).
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum RoleKind {
    /// Follows a leader, or waits for one.
    Follower,
    /// Asks whether it would be elected.
    PreCandidate,
    /// Campaigns.
    Candidate,
    /// Leads.
    Leader,
}

/// Why a message was refused. Each refusal is counted.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
#[non_exhaustive]
pub enum Refusal {
    /// Its term is so far ahead that no elections can explain it.
    TermJump,
    /// Its entries are not contiguous, or their terms or stamps decrease, or an index is out of range.
    MalformedEntries,
    /// It would have overwritten entries that are known to be committed.
    ConflictWithCommitted,
    /// It acknowledges what was never sent, or tells of a round as echoed that has not begun.
    ImpossibleAcknowledgement,
    /// It answers what its sender was not asked, or asks for what only members may ask: see
    /// [`admission`](crate::admission).
    NotAPeer,
    /// A second server claims to lead in the same term.
    SecondLeader,
    /// Its snapshot lies about its length, its digest or its chunks.
    BadSnapshot,
    /// Its snapshot is larger than this server accepts.
    SnapshotTooLarge,
    /// Its configuration has no voters.
    NoVoters,
    /// As many bytes of entries wait for this server's storage already as may. They are sent again.
    StorageBusy,
    /// It asks for a vote in a term that its own does not lead to, or with a log from the future.
    MalformedVote,
}

/// Why a proposal was not appended.
#[derive(Clone, Debug, PartialEq, Eq, Error)]
pub enum ProposeRefused {
    /// This server does not lead.
    #[error("not done: this server does not lead{}", Hint(.leader))]
    NotLeader {
        /// The leader, if one is known.
        leader: Option<ServerId>,
    },
    /// Too many bytes are appended and uncommitted, or not on the leader's own disk: try again later.
    #[error(
        "not done: {pending_bytes} bytes are uncommitted or unwritten already, {pending_bytes_max} may be"
    )]
    Busy {
        /// How many there are.
        pending_bytes: u64,
        /// How many there may be.
        pending_bytes_max: u64,
    },
    /// The command is too long, and always will be.
    #[error("not done: the command has {bytes} bytes, {bytes_max} are allowed")]
    TooLarge {
        /// Its length.
        bytes: u64,
        /// The longest allowed.
        bytes_max: u64,
    },
    /// Leadership is being handed over: try again with the next leader.
    #[error("not done: leadership is being handed to server {to}")]
    Transferring {
        /// The server that is to lead.
        to: ServerId,
    },
}

/// Why a read may not be served. It can be asked again.
#[derive(Clone, Debug, PartialEq, Eq, Error)]
pub enum ReadRefused {
    /// No leader could confirm it.
    #[error("not done: no leader confirmed the read{}", Hint(.leader))]
    NotLeader {
        /// The leader, if one is known.
        leader: Option<ServerId>,
    },
    /// Too many reads wait already.
    #[error("not done: {waiting} reads wait already, and no more may")]
    Busy {
        /// How many.
        waiting: usize,
    },
}

/// Why a membership change was not made, or what is not known of it.
#[derive(Clone, Debug, PartialEq, Eq, Error)]
pub enum ChangeError {
    /// This server does not lead. Nothing was changed.
    #[error("not done: this server does not lead{}", Hint(.leader))]
    NotLeader {
        /// The leader, if one is known.
        leader: Option<ServerId>,
    },
    /// Another change is on its way. Nothing was changed.
    #[error("not done: another membership change is pending")]
    Pending,
    /// The server already is what it should become. Nothing was changed.
    #[error("not done: server {0} is that already")]
    AlreadyMember(ServerId),
    /// The server does not take part. Nothing was changed.
    #[error("not done: server {0} is not a member")]
    NotMember(ServerId),
    /// The server that asked for it is no member yet, or no longer. Nothing came of this copy of the request; it may
    /// ask again once it is one.
    #[error("not done: only members may ask for it")]
    AskerNotMember,
    /// The leader has no link yet to the server that is to be added, and sees to it that there will be one. Nothing
    /// came of this copy of the request; it may be asked again.
    #[error("not done: there is no link to server {0} yet")]
    NotLinked(ServerId),
    /// The change cannot be made at all. Nothing was changed.
    #[error("not done: the change cannot be made: {0}")]
    Invalid(InvalidChange),
    /// The server did not catch up: nothing was heard of it for an election timeout. Nothing was changed.
    #[error("not done: server {0} does not answer")]
    Unreachable(ServerId),
    /// The server answers but could not catch up in the rounds that it has, or made no headway in one: nothing became
    /// durable there, and nothing of a snapshot arrived. Nothing was changed.
    #[error("not done: server {0} is too slow to catch up")]
    TooSlow(ServerId),
    /// The server cannot take part: it says that it belongs elsewhere. Nothing was changed.
    #[error("not done: server {0} belongs to {1}")]
    Foreign(ServerId, Foreign),
    /// The access token lets nobody in, or cannot be issued or revoked. Nothing was changed.
    #[error("not done: token {0} {1}")]
    Token(TokenKey, TokenFault),
    /// Leadership was lost after the change was appended: it may yet be made, or not.
    #[error("unknown: leadership was lost, and the change may still be made{}", Hint(.leader))]
    Unknown {
        /// The leader, if one is known.
        leader: Option<ServerId>,
    },
}

/// Why a membership change cannot be made at all.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Error)]
#[non_exhaustive]
pub enum InvalidChange {
    /// It has no steps.
    #[error("it has no steps")]
    NoSteps,
    /// No voter would remain.
    #[error("no voter would remain")]
    NoVoters,
    /// Two steps name this server.
    #[error("server {0} is named twice")]
    NamedTwice(ServerId),
    /// The configurations that it leads through would be longer than any entry may be, or the change itself is longer
    /// than what the transports of the cluster carry. Two smaller changes may do.
    #[error("it takes {bytes} bytes, {bytes_max} are allowed")]
    TooLarge {
        /// How many it takes.
        bytes: u64,
        /// How many are allowed: see
        /// [`Configuration::entry_bytes_max`](crate::configuration::Configuration::entry_bytes_max).
        bytes_max: u64,
    },
    /// The public key that it gives this server is another server's: the id is the digest of the key.
    #[error("the key that it gives server {0} is another server's")]
    WrongKey(ServerId),
    /// A token with this key was issued already.
    #[error("token {0} was issued already")]
    IssuedBefore(TokenKey),
    /// There are [`TOKENS_MAX`](crate::configuration::TOKENS_MAX) tokens, all of which are good. One may be revoked.
    #[error("there are {TOKENS_MAX} tokens, and all of them are good")]
    TooManyTokens,
    /// The cluster speaks this version of the protocol, or a later one.
    #[error("the cluster speaks version {0} of the protocol already, or a later one")]
    VersionNotRaised(u32),
    /// This server does not speak the version of the protocol that the cluster speaks, or would speak.
    #[error("server {server} does not speak version {version} of the protocol")]
    VersionNotSpoken {
        /// The server.
        server: ServerId,
        /// The version.
        version: u32,
    },
    /// There would be more servers than [`SERVERS_MAX`](crate::configuration::SERVERS_MAX), counting those who leave as
    /// long as a joint configuration names them.
    #[error("there would be more than {SERVERS_MAX} servers")]
    TooManyServers,
    /// This server has lost what it had acknowledged, or an earlier one of this id had: it comes back under another id.
    #[error("the storage of server {0} has lost what it acknowledged")]
    Forgot(ServerId),
}

/// The most other members for each of which a leader's driver keeps a transfer waiting. Its own are bounded by what its
/// callers may ask.
pub const TRANSFERS_WAITING_MAX: usize = 64;

/// Why leadership was not handed over.
#[derive(Clone, Debug, PartialEq, Eq, Error)]
#[non_exhaustive]
pub enum TransferError {
    /// This server does not lead.
    #[error("not done: this server does not lead{}", Hint(.leader))]
    NotLeader {
        /// The leader, if one is known.
        leader: Option<ServerId>,
    },
    /// The server is not a voter, or has lost what it had acknowledged, so that its vote counts for nothing.
    #[error("not done: server {0} is not a voter")]
    NotVoter(ServerId),
    /// There is no other voter.
    #[error("not done: there is no other voter")]
    NoCandidate,
    /// Another transfer is on its way.
    #[error("not done: leadership is being handed to server {to} already")]
    Pending {
        /// The server that is to lead.
        to: ServerId,
    },
    /// The server that asked for it is no member yet, or no longer. Nothing came of this copy of the request; it may
    /// ask again once it is one.
    #[error("not done: only members may ask for it")]
    AskerNotMember,
    /// Too many transfers wait for this one's turn already: try again later.
    #[error(
        "not done: 1 leadership transfer of this member or {TRANSFERS_WAITING_MAX} of others wait already, \
         and no more may"
    )]
    Busy,
    /// The server did not take over within an election timeout. This one leads on, unless the other's late campaign
    /// succeeds.
    #[error("unknown: server {0} did not take over within an election timeout, and may still")]
    NoTakeover(ServerId),
}

impl ProposeRefused {
    /// Returns true: the proposal was not appended.
    #[must_use]
    pub const fn is_definite(&self) -> bool {
        true
    }
}

impl ReadRefused {
    /// Returns true: a read changes nothing, and can be asked again.
    #[must_use]
    pub const fn is_definite(&self) -> bool {
        true
    }
}

impl ChangeError {
    /// Returns true if the change was certainly not made, and never will be. Otherwise nothing is known.
    #[must_use]
    pub const fn is_definite(&self) -> bool {
        !matches!(self, Self::Unknown { .. })
    }
}

impl TransferError {
    /// Returns true if leadership was certainly not handed over. Otherwise nothing is known.
    #[must_use]
    pub const fn is_definite(&self) -> bool {
        !matches!(self, Self::NoTakeover(_))
    }
}

#[cfg(test)]
mod tests {
    use alloc::string::ToString;

    use super::*;

    /// An output with one effect of each kind.
    fn one_of_each() -> Output {
        let leader = None;
        let vote = crate::message::Body::TimeoutNow;
        let message = Message {
            term: Term(1),
            body: vote,
        };
        Output {
            messages: alloc::vec![(ServerId(2), message)],
            writes: alloc::vec![Write::default()],
            snapshots: alloc::vec![SnapshotStep::Remove(SnapshotName(1))],
            entries: alloc::vec![EntriesRead {
                whose: EntriesReader::Apply,
                generation: 0,
                from: Index(1),
                through: Index(1),
                bytes_max: 1,
            }],
            apply: alloc::vec![Apply::Entries(Vec::new())],
            reads: alloc::vec![(ReadId(1), Ok(Index(1)))],
            proposals: alloc::vec![(ProposalId(1), Err(ProposeRefused::NotLeader { leader }))],
            changes: alloc::vec![(ChangeId(1), Ok(Index(1)))],
            transfers: alloc::vec![Ok(ServerId(2))],
            events: alloc::vec![Event::ElectionDeferred],
        }
    }

    #[test]
    fn an_output_is_empty_when_there_is_nothing_of_any_kind() {
        let event = Output {
            events: one_of_each().events,
            ..Output::default()
        };

        assert!(Output::default().is_empty());
        assert!(!event.is_empty());
        assert!(!one_of_each().is_empty());
    }

    #[test]
    fn effects_of_every_kind_move_behind_those_of_another_output() {
        let (mut one, mut other) = (one_of_each(), one_of_each());

        one.append(&mut other);

        assert!(other.is_empty());
        assert_eq!(one.messages.len(), 2);
        assert_eq!(one.events.len(), 2);
    }

    #[test]
    fn a_cleared_output_has_effects_of_no_kind() {
        let mut output = one_of_each();

        output.clear();

        assert_eq!(output, Output::default());
    }

    #[test]
    fn a_refusal_names_the_leader_if_one_is_known() {
        let leader = Some(ServerId(7));

        let lost = ReadRefused::NotLeader { leader: None }.to_string();
        let known = ReadRefused::NotLeader { leader }.to_string();

        assert!(known.starts_with(&lost) && known.contains(&ServerId(7).to_string()));
        assert_ne!(known, lost);
    }
}
