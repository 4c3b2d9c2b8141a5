//! Defines how a request can end without a result, and why a member does not start or stops.
//!
//! The text of an error begins with the outcome: `not done:`, or a word like `not started:`, if `is_definite` returns
//! true; `unknown:`, `pending:` or `done:` otherwise. A cause has no outcome of its own: its text follows one. As the
//! text has the cause, `source` has not: who prints both would say it twice.

use std::sync::Arc;

use thiserror::Error;

pub use super::stop_reason::StopReason;

use super::applier::Unrestored;
use super::bounds::{
    COMMAND_BYTES_PENDING_MAX, COMMANDS_PENDING_MAX, OPERATIONS_PENDING_MAX, QUERIES_MAX,
    QUEUE_MAX, READS_HANDED_OUT_MAX,
};
use super::client::Unreached;
use super::joining::Exclusion;
use crate::configuration::{Configuration, Foreign, SERVERS_MAX, TokenFault, TokenKey};
use crate::consensus::{ChangeError, InvalidChange, RecoveryError, TransferError};
use crate::ids::{ClusterId, Hint, Index, ServerId};
use crate::state_machine::RestoreError;
use crate::storage::StorageError;

/// What became of a command that has no reply.
#[derive(Clone, Debug, PartialEq, Eq, Error)]
#[non_exhaustive]
pub enum ProposeError {
    /// A queue is full. The command was not done and may be proposed again, later.
    #[error("not done: {0}")]
    Busy(Busy),
    /// The leader's disk has no room left but a reserve. The command was not done, and may be proposed again once
    /// another leads, or there is room.
    #[error("not done: the disk of the leader is full but for a reserve; make room on it")]
    NoRoom,
    /// The command is too long, and always will be. It was not done.
    #[error("not done: the command has {bytes} bytes, {bytes_max} are allowed")]
    TooLarge {
        /// Its length, serialised and with its header.
        bytes: usize,
        /// The longest allowed.
        bytes_max: usize,
    },
    /// The command cannot be serialised, or not read back: see [`codec`](crate::codec). It was not done.
    #[error("not done: the command cannot be serialised and read back: {0}")]
    Unserialisable(String),
    /// The deadline passed before any leader was sent the command. It was not done and never will be.
    #[error("not done: no leader could be asked before the deadline")]
    TimedOut,
    /// No leader could be asked before the deadline, because the member takes no part. The command was not done and
    /// never will be.
    #[error("not done: {0}")]
    Excluded(Exclusion),
    /// The cluster does not do what this [client](super::Client) asks. The command was not done and never will be.
    #[error("not done: {0}")]
    Refused(ClientRefused),
    /// This [client](super::Client) reaches no leader: until the deadline, or for a reason that lasts. The command was
    /// not done and never will be.
    #[error("not done: {0}")]
    Unreached(Arc<Unreached>),
    /// The member has stopped, or the client. The command was not done.
    #[error("not done: the member has stopped")]
    Stopped,
    /// The command was done, once. Its reply came to this member with a snapshot, and is none of this version or of a
    /// type that does not decode: see [`codec`](crate::codec).
    #[error("done: its reply cannot be read")]
    ReplyUnreadable,
    /// Whether the command was done is not known: it may be done already, done later, or never.
    #[error("unknown: {0}")]
    Unknown(UnknownCause),
}

/// Why it is not known whether a command was done.
#[derive(Clone, Debug, PartialEq, Eq, Error)]
#[non_exhaustive]
pub enum UnknownCause {
    /// The deadline passed after the command was sent.
    #[error("the command was sent, and no reply came before the deadline")]
    NoReply,
    /// This [client](super::Client) reaches no leader any more: until the deadline, or for a reason that lasts.
    #[error("the command was sent, and no reply came: {0}")]
    Unreached(Arc<Unreached>),
    /// A snapshot took the place of the part of the log where the command may have been, and its session is gone from
    /// there: it expired, or ended because its replies were too heavy. Or a client sent it more than once, and its
    /// session is gone by now.
    #[error("the session of the command ended while this member did not hear of it")]
    SessionExpired,
    /// The member stopped after the command was sent.
    #[error("the command was sent, and the member stopped")]
    MemberStopped,
}

impl ProposeError {
    /// Returns true if the command was certainly not done, and never will be. Otherwise it was, or nothing is known.
    #[must_use]
    pub const fn is_definite(&self) -> bool {
        !matches!(self, Self::Unknown(_) | Self::ReplyUnreadable)
    }
}

/// The bound that a request met: as many wait as may. It may be asked again, later.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Error)]
#[error("{max} {what} wait already, and no more may")]
pub struct Busy {
    /// How many may wait.
    pub max: u64,
    /// What waits, in the plural: `reads`, `bytes of commands`.
    pub what: &'static str,
}

impl Busy {
    pub(super) const REQUESTS: Self = Self::of(QUEUE_MAX, "requests");
    pub(super) const COMMANDS: Self = Self::of(COMMANDS_PENDING_MAX, "commands");
    pub(super) const COMMAND_BYTES: Self = Self::of(COMMAND_BYTES_PENDING_MAX, "bytes of commands");
    pub(super) const OPERATIONS: Self = Self::of(
        OPERATIONS_PENDING_MAX,
        "membership changes and leadership transfers",
    );
    pub(super) const QUERIES: Self = Self::of(QUERIES_MAX, "queries");
    pub(super) const READS_HANDED_OUT: Self = Self::of(READS_HANDED_OUT_MAX, "confirmed reads");

    pub(super) const fn of(max: usize, what: &'static str) -> Self {
        let max = max as u64;
        Self { max, what }
    }
}

/// Why a read has no answer. It can always be asked again.
#[derive(Clone, Debug, PartialEq, Eq, Error)]
#[non_exhaustive]
pub enum ReadError {
    /// Too many reads wait already.
    #[error("not done: {0}")]
    Busy(Busy),
    /// No leader confirmed the read before the deadline.
    #[error("not done: no leader confirmed the read before the deadline")]
    TimedOut,
    /// The state machine panicked over the query, which fails this read alone. The member's log has the message.
    #[error("not done: the state machine panicked over the query")]
    Panicked,
    /// No leader could be asked before the deadline, because the member takes no part.
    #[error("not done: {0}")]
    Excluded(Exclusion),
    /// The cluster does not answer what this [client](super::Client) asks.
    #[error("not done: {0}")]
    Refused(ClientRefused),
    /// This [client](super::Client) reaches no leader: until the deadline, or for a reason that lasts.
    #[error("not done: {0}")]
    Unreached(Arc<Unreached>),
    /// A client's query, or the answer to it, is too long for a frame between it and the leader.
    #[error("not done: the query or its answer has {bytes} bytes, {bytes_max} are allowed")]
    TooLarge {
        /// Its length.
        bytes: u64,
        /// The longest allowed.
        bytes_max: u64,
    },
    /// A client's query, or the answer to it, cannot be serialised and read back: see [`codec`](crate::codec).
    #[error("not done: the query or its answer cannot be serialised and read back")]
    Unserialisable,
    /// The member has stopped, or the client.
    #[error("not done: the member has stopped")]
    Stopped,
}

/// Why a cluster does not do what a client asks.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Error)]
#[non_exhaustive]
pub enum ClientRefused {
    /// It may only read.
    #[error("the client may only read")]
    ReadOnly,
    /// It may not operate the cluster: its invitation grants less.
    #[error("the client may not operate the cluster")]
    NotOperator,
    /// The leader serves no clients: it was built without
    /// [`serve_clients`](super::MemberBuilder::serve_clients).
    #[error("the leader serves no clients")]
    NotServed,
    /// The leader does not understand it: its state machine is another, or of another version.
    #[error(
        "the leader does not understand it: its state machine is another, or of another version"
    )]
    NotUnderstood,
    /// Its invitation has expired, or was revoked.
    #[error("the client's invitation has expired, or was revoked")]
    TokenOver,
    /// It touches what the client's invitation [is not for](super::Terms::within_prefixes).
    #[error("the client's invitation is for other keys")]
    OutOfScope,
}

impl ReadError {
    /// Returns true: a read changes nothing, and can be asked again.
    #[must_use]
    pub const fn is_definite(&self) -> bool {
        match self {
            Self::Busy(_)
            | Self::TimedOut
            | Self::Panicked
            | Self::Excluded(_)
            | Self::Refused(_)
            | Self::Unreached(_)
            | Self::TooLarge { .. }
            | Self::Unserialisable
            | Self::Stopped => true,
        }
    }
}

/// What became of a membership change that was not made, or is not known to have been.
#[derive(Clone, Debug, PartialEq, Eq, Error)]
#[non_exhaustive]
pub enum MembershipError {
    /// No leader took up the change before the deadline. Nothing was changed.
    #[error("not done: no leader took up the change before the deadline{}", Hint(.leader))]
    NotLeader {
        /// The leader that this member knows of.
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
    /// The storage of this server has lost what it had acknowledged: it must come back under another id. Nothing was
    /// changed.
    #[error("not done: the storage of server {0} has lost what it acknowledged")]
    Forgot(ServerId),
    /// The change cannot be made at all. Nothing was changed.
    #[error("not done: the change cannot be made: {0}")]
    Invalid(InvalidChange),
    /// The change takes more bytes than an entry of this cluster may have, or than a frame of it.
    /// Nothing was changed. Two smaller changes may do.
    #[error("not done: the change takes {bytes} bytes, {bytes_max} are allowed")]
    TooLarge {
        /// How many it takes.
        bytes: u64,
        /// How many are allowed.
        bytes_max: u64,
    },
    /// The access token lets nobody in, or cannot be issued or revoked. Nothing was changed.
    #[error("not done: token {0} {1}")]
    Token(TokenKey, TokenFault),
    /// The server does not answer, or had no link to the leader before the deadline, where links prove who is there.
    /// Nothing was changed. One that was removed dials only now and then: for it the deadline should be further away
    /// than [`BACK_OFF_MAX`](liferaft_transport::links::BACK_OFF_MAX).
    #[error("not done: server {0} does not answer")]
    Unreachable(ServerId),
    /// The server answers but could not catch up. Nothing was changed.
    #[error("not done: server {0} is too slow to catch up")]
    TooSlow(ServerId),
    /// The server belongs to another cluster, as it says. Nothing was changed.
    #[error("not done: server {0} belongs to another cluster")]
    WrongCluster(ServerId),
    /// The server has the cluster's id and belongs to another history of it, as it says: the cluster was founded twice.
    /// Nothing was changed. It can join with empty storage, under another id.
    #[error(
        "not done: server {0} belongs to another history of this cluster, which was founded twice"
    )]
    AnotherHistory(ServerId),
    /// This member takes no part, so that no leader can be asked. Nothing was changed.
    #[error("not done: {0}")]
    Excluded(Exclusion),
    /// The cluster does not do what this client asks. Nothing was changed.
    #[error("not done: {0}")]
    Refused(ClientRefused),
    /// This client reaches no leader: until the deadline, or for a reason that lasts. Nothing was changed.
    #[error("not done: {0}")]
    Unreached(Arc<Unreached>),
    /// Too many changes wait already. Nothing was changed.
    #[error("not done: {0}")]
    Busy(Busy),
    /// The member has stopped. Nothing was changed.
    #[error("not done: the member has stopped")]
    Stopped,
    /// Whether the change was made is not known: it may be made already, later, or never. The configuration in
    /// [`MemberStatus`](super::MemberStatus) shows it once it is.
    #[error("unknown: the change may be made already, later, or never{}", Hint(.leader))]
    Unknown {
        /// The leader that this member knows of.
        leader: Option<ServerId>,
    },
}

impl MembershipError {
    /// Returns true if the change was certainly not made, and never will be. Otherwise nothing is known.
    #[must_use]
    pub const fn is_definite(&self) -> bool {
        !matches!(self, Self::Unknown { .. })
    }
}

impl From<ChangeError> for MembershipError {
    fn from(error: ChangeError) -> Self {
        match error {
            ChangeError::NotLeader { leader } => Self::NotLeader { leader },
            // Whoever is told so asks again, and hears this when its time is over.
            ChangeError::AskerNotMember => Self::NotLeader { leader: None },
            ChangeError::Pending => Self::Pending,
            ChangeError::AlreadyMember(id) => Self::AlreadyMember(id),
            ChangeError::NotMember(id) => Self::NotMember(id),
            ChangeError::Invalid(InvalidChange::Forgot(id)) => Self::Forgot(id),
            ChangeError::Invalid(InvalidChange::TooLarge { bytes, bytes_max }) => {
                Self::TooLarge { bytes, bytes_max }
            }
            ChangeError::Invalid(invalid) => Self::Invalid(invalid),
            ChangeError::Token(key, fault) => Self::Token(key, fault),
            ChangeError::NotLinked(id) | ChangeError::Unreachable(id) => Self::Unreachable(id),
            ChangeError::TooSlow(id) => Self::TooSlow(id),
            ChangeError::Foreign(id, Foreign::Cluster) => Self::WrongCluster(id),
            ChangeError::Foreign(id, Foreign::History) => Self::AnotherHistory(id),
            ChangeError::Unknown { leader } => Self::Unknown { leader },
        }
    }
}

/// Why what was waited for did not come.
#[derive(Clone, Debug, PartialEq, Eq, Error)]
#[non_exhaustive]
pub enum WaitError {
    /// The deadline passed.
    #[error("not met: the deadline passed")]
    TimedOut,
    /// The deadline passed, and the member takes no part.
    #[error("not met: {0}")]
    Excluded(Exclusion),
    /// The deadline passed before the member had [joined](super::Handle::joined). It goes on joining.
    #[error("not met: the deadline passed before it had joined: {0}")]
    NotJoined(NotJoined),
    /// The member has stopped.
    #[error("not met: the member has stopped: {0}")]
    Stopped(StopReason),
}

impl WaitError {
    /// Returns true: waiting changes nothing, so there is nothing that could be done or not.
    #[must_use]
    pub const fn is_definite(&self) -> bool {
        match self {
            Self::TimedOut | Self::Excluded(_) | Self::NotJoined(_) | Self::Stopped(_) => true,
        }
    }
}

/// What a member waits for that has not joined yet.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Error)]
#[non_exhaustive]
pub enum NotJoined {
    /// A leader that it hears: nobody whom it can reach leads, or knows who does.
    #[error("it knows no leader")]
    NoLeader,
    /// A leader that takes it in.
    #[error("no leader has taken it in, as far as it knows")]
    NotNamed,
    /// The commit of the configuration that takes it in.
    #[error("the change that takes it in is not committed, as far as it knows")]
    NotCommitted,
    /// A vote: it is a learner, and is to be a voter.
    #[error(
        "it is a learner until its log has caught up and all voters answer: one that is silent holds it up until that \
         is evicted"
    )]
    Learner,
}

/// The member is the only voter of its cluster: nobody else can lead, and no other voter has the state.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Error)]
#[error(
    "it is the only voter: without it the state up to index {commit} is lost, unless its storage keeps it, \
     and {others} other members stand still"
)]
pub struct OnlyVoter {
    /// Up to here the log is committed.
    pub commit: Index,
    /// How many other members could not go on.
    pub others: usize,
}

impl OnlyVoter {
    /// Says what would be lost with this server, if it alone votes, in one half of a joint configuration or in a simple
    /// one.
    pub(super) fn of(
        server: ServerId,
        configuration: &Configuration,
        commit: Index,
    ) -> Option<Self> {
        let is_alone = [configuration.voters(), configuration.outgoing()].contains(&&[server][..]);
        is_alone.then(|| Self {
            commit,
            others: configuration.members().len() - 1,
        })
    }
}

/// Why a member was not shut down. It goes on as before.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Error)]
#[non_exhaustive]
pub enum ShutdownError {
    /// Nobody could take over. [`Handle::stop`](super::Handle::stop) stops it all the same.
    #[error("not stopped: {0}")]
    OnlyVoter(OnlyVoter),
}

impl ShutdownError {
    /// Returns true: a member that answers so has not stopped.
    #[must_use]
    pub const fn is_definite(&self) -> bool {
        match self {
            Self::OnlyVoter(_) => true,
        }
    }
}

/// Why a member did not leave its cluster, or is not known to have. It runs on.
#[derive(Clone, Debug, PartialEq, Eq, Error)]
#[non_exhaustive]
pub enum LeaveError {
    /// Nobody could take its vote over. [`Handle::stop`](super::Handle::stop) stops it all the same.
    #[error("not left: {0}")]
    OnlyVoter(OnlyVoter),
    /// What the leader answered last to the change that takes the member out, or what became of it at the deadline.
    #[error(transparent)]
    Change(#[from] MembershipError),
}

impl LeaveError {
    /// Returns true if the member has certainly not left. Otherwise nothing is known.
    #[must_use]
    pub const fn is_definite(&self) -> bool {
        match self {
            Self::OnlyVoter(_) => true,
            Self::Change(error) => error.is_definite(),
        }
    }
}

/// Why leadership was not handed over, or is not known to have been.
#[derive(Clone, Debug, PartialEq, Eq, Error)]
#[non_exhaustive]
pub enum TransferLeadershipError {
    /// The leader refused, or the server did not take over in time. The error tells whether it still may.
    #[error(transparent)]
    Transfer(#[from] TransferError),
    /// This member takes no part, so that no leader can be asked. Leadership stays where it is.
    #[error("not done: {0}")]
    Excluded(Exclusion),
    /// The cluster does not do what this client asks. Leadership stays where it is.
    #[error("not done: {0}")]
    Refused(ClientRefused),
    /// This client reaches no leader: until the deadline, or for a reason that lasts. Leadership stays where it is.
    #[error("not done: {0}")]
    Unreached(Arc<Unreached>),
    /// Too many requests wait already.
    #[error("not done: {0}")]
    Busy(Busy),
    /// The member has stopped.
    #[error("not done: the member has stopped")]
    Stopped,
    /// The deadline passed after a leader was asked: leadership may be handed over or not.
    #[error("unknown: a leader was asked, and did not answer before the deadline{}", Hint(.leader))]
    Unknown {
        /// The leader that this member knows of.
        leader: Option<ServerId>,
    },
}

impl TransferLeadershipError {
    /// Returns true if leadership was certainly not handed over. Otherwise nothing is known.
    #[must_use]
    pub const fn is_definite(&self) -> bool {
        match self {
            Self::Transfer(error) => error.is_definite(),
            Self::Excluded(_)
            | Self::Refused(_)
            | Self::Unreached(_)
            | Self::Busy(_)
            | Self::Stopped => true,
            Self::Unknown { .. } => false,
        }
    }
}

/// Why a member did not start.
#[derive(Debug, Error)]
#[non_exhaustive]
pub enum StartError {
    /// Reads by lease were asked for, and the clock here does not count the time that the machine is suspended: a lease
    /// would seem to last for ever.
    #[error(
        "not started: reads by lease need a clock that counts suspended time, and there is none here"
    )]
    ClockStopsInSuspension,
    /// The transport does not prove who is at the other end of a link. Members serve only clients whose links do.
    #[error("not started: the transport proves to no member who this client is")]
    NothingProven,
    /// What is stored cannot be read, or belongs to another cluster than the one that was named.
    #[error("not started: {0}")]
    Storage(StorageError),
    /// What is stored is no log.
    #[error("not started: cannot go on from what is stored: {0}")]
    Recovery(RecoveryError),
    /// The stored snapshot cannot be restored.
    #[error("not started: cannot restore the stored snapshot: {0}")]
    Restore(RestoreError),
    /// The transport does not carry the longest entry of the cluster.
    #[error(
        "not started: the transport carries frames of {frame_bytes_max} bytes, {bytes} may be needed"
    )]
    FramesTooShort {
        /// The longest frame that it carries.
        frame_bytes_max: usize,
        /// What one entry may take.
        bytes: u64,
    },
    /// The storage belongs to no cluster, and none was named. A server whose storage was lost
    /// [joins](super::MemberBuilder::join) the cluster that it was of, also if it was the founder: to
    /// [found](super::Member::found) again makes a second cluster, an empty one.
    #[error(
        "not started: the storage belongs to no cluster: name the one to join, also if the storage was lost; only the \
         first server of a new cluster founds, once: to found again makes a second cluster, an empty one"
    )]
    NoCluster,
    /// The transport reaches other machines, and the cluster is [open](crate::configuration::Configuration::is_open),
    /// or this server has no invitation: anybody could join, read and write. A cluster for a network is
    /// [closed](super::Founding::closed), and a server comes to it by an [invitation](super::MemberBuilder::invited).
    #[error(
        "not started: the transport reaches other machines, and whoever reaches this one would be let in: found a \
         closed cluster on blank storage, and join it by an invitation"
    )]
    OpenToAll,
    /// The transport reaches other processes of this machine, and the cluster is open, or this server has no
    /// invitation. If that is meant, [`open`](super::MemberBuilder::open) says so.
    #[error(
        "not started: every process of this machine would be let in: found a closed cluster, and join it by an \
         invitation, or allow it to be `open`"
    )]
    OpenToMachine,
    /// The transport is that of another server than the storage. It is made for the
    /// [identity](crate::storage::Storage::identity) of the storage, which is opened first.
    #[error(
        "not started: the transport is that of server {transport}, and the storage that of server {storage}"
    )]
    WrongServer {
        /// Whom others take this end of the transport for.
        transport: ServerId,
        /// Whose the storage is.
        storage: ServerId,
    },
}

impl StartError {
    /// Returns true: no member runs.
    #[must_use]
    pub const fn is_definite(&self) -> bool {
        true
    }
}

/// Why a server did not become a founder, or is not known to be one.
#[derive(Debug, Error)]
#[non_exhaustive]
pub enum FoundError {
    /// Its storage belongs to a cluster already, and the member can be started from it.
    #[error("not founded: the storage belongs to cluster {0} already: start the member")]
    Belongs(ClusterId),
    /// Its storage holds a log that belongs to no cluster.
    #[error("not founded: the storage is not empty")]
    NotEmpty,
    /// A cluster cannot begin with this configuration.
    #[error("not founded: no cluster begins with this configuration: {0}")]
    Bootstrap(BootstrapFault),
    /// Its storage failed. Whether it is founded shows when it is opened again.
    #[error("unknown: whether it is founded shows when the storage is opened again: {0}")]
    Unknown(StorageError),
}

impl FoundError {
    /// Returns true if the storage is certainly not founded by it. Otherwise nothing is known.
    #[must_use]
    pub const fn is_definite(&self) -> bool {
        match self {
            Self::Belongs(_) | Self::NotEmpty | Self::Bootstrap(_) => true,
            Self::Unknown(_) => false,
        }
    }
}

impl From<Unrestored> for StartError {
    fn from(unrestored: Unrestored) -> Self {
        match unrestored {
            Unrestored::Unread(error) => error.into(),
            Unrestored::Refused(error) => error.into(),
        }
    }
}

impl From<StorageError> for StartError {
    fn from(error: StorageError) -> Self {
        Self::Storage(error)
    }
}

impl From<RecoveryError> for StartError {
    fn from(error: RecoveryError) -> Self {
        Self::Recovery(error)
    }
}

impl From<RestoreError> for StartError {
    fn from(error: RestoreError) -> Self {
        Self::Restore(error)
    }
}

/// Why a cluster cannot begin with a configuration.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Error)]
#[non_exhaustive]
pub enum BootstrapFault {
    /// It has no voters, so that nobody could ever be elected.
    #[error("it has no voters")]
    NoVoters,
    /// It is joint: there is no earlier one that it could lead away from.
    #[error("it is joint")]
    Joint,
    /// It does not fit into the entries that it allows.
    #[error("it takes {bytes} bytes, and allows entries of {bytes_max} bytes")]
    TooLarge {
        /// How many it takes.
        bytes: u64,
        /// How many it allows.
        bytes_max: u64,
    },
    /// The public key that it gives this server is another server's: the id is the digest of the key.
    #[error("the key that it gives server {0} is another server's")]
    WrongKey(ServerId),
    /// This server does not speak the version of the protocol that the cluster would begin with.
    #[error("server {server} does not speak version {version} of the protocol")]
    VersionNotSpoken {
        /// The server.
        server: ServerId,
        /// The version.
        version: u32,
    },
    /// It names more servers than [`SERVERS_MAX`](crate::configuration::SERVERS_MAX).
    #[error("it names more than {SERVERS_MAX} servers")]
    TooManyServers,
    /// This server does not take part in it: it should start blank and be added.
    #[error("server {0} does not take part in it")]
    NotAMember(ServerId),
}
