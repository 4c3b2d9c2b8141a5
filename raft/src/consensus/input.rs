//! Defines what goes into the core.

use alloc::boxed::Box;
use alloc::vec::Vec;
use core::time::Duration;

use bytes::Bytes;

use super::names::{ChangeId, ProposalId, ReadId, Reception, SnapshotName, WriteId};
use super::output::{EntriesRead, SnapshotRead};
use crate::config::Timing;
use crate::configuration::{
    AccessToken, Configuration, Description, Foreign, Grants, Scope, TokenKey, Voucher,
};
use crate::entry::Entry;
use crate::ids::{Index, ServerId};
use crate::message::Message;
use crate::time::ClusterTime;

/// One input. It owns its data, so that a run is a log of inputs that can be kept, replayed and shrunk.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Input {
    /// The moment of [`deadline`](super::Raft::deadline) has come. Early or superfluous ones do no harm.
    Timer,
    /// A message has arrived on the link from `from`.
    Message {
        /// The peer of the link.
        from: ServerId,
        /// What it said.
        message: Message,
    },
    /// A message has arrived on the link from `from`, and those whom this server knows vouch for that peer, as the
    /// link has found: if the peer is no member, a closed cluster believes it as a leader or candidate. From members it
    /// means what [`Message`](Self::Message) does.
    ///
    /// That comes with each message because it belongs to the link: the core would have to bound a table of such peers,
    /// and to forget each of them with its link.
    VouchedMessage {
        /// The peer of the link.
        from: ServerId,
        /// What it said. In a box, so that the inputs of each turn stay small.
        message: Box<Message>,
    },
    /// Clients want these commands appended. All of them go into one append and one broadcast.
    Propose(Vec<Proposal>),
    /// State machines are to learn what time it is: a leader appends an entry that carries nothing but its stamp.
    MarkTime,
    /// A client wants to read: answered in [`Output::reads`](super::Output::reads).
    Read(ReadId),
    /// An operator, or a policy, wants another configuration: answered in [`Output::changes`](super::Output::changes).
    Change(ChangeId, MembershipChange),
    /// Every peer of a leader is to be asked at once whether it is there: a round begins, which
    /// [`Oversight`](super::Oversight) tells the echoes of. Other roles ignore it.
    Ask,
    /// Leadership is to move to this voter, or to the best one: answered in
    /// [`Output::transfers`](super::Output::transfers).
    Transfer(Option<ServerId>),
    /// This write and all before it are durable.
    Persisted(WriteId),
    /// All entries up to here have been applied to the state machine.
    Applied(Index),
    /// The state machine was captured as of `through`, which has been applied: the log before it may go (§5).
    SnapshotTaken {
        /// The last entry that the state reflects.
        through: Index,
        /// Its stamp.
        stamp: ClusterTime,
        /// The length of the state, in bytes.
        length: u64,
        /// Its CRC-32.
        digest: u32,
        /// The name under which storage has it: it is durable.
        name: SnapshotName,
    },
    /// Of the snapshot that is being received under this number, so many bytes were given to storage.
    SnapshotAppended {
        /// Which.
        reception: Reception,
        /// How many, from its beginning on.
        length: u64,
    },
    /// All of the snapshot that was received under this number is durable, under this name; `None` if it was not what
    /// it should be.
    SnapshotReceived {
        /// Which.
        reception: Reception,
        /// Its name.
        name: Option<SnapshotName>,
    },
    /// Storage has no room for the snapshot that is being received under this number, and nothing of it is left there.
    /// The leader sends it again, at the pace of what is lost on the way.
    SnapshotNotStored {
        /// Which.
        reception: Reception,
    },
    /// A part of a snapshot was read.
    SnapshotRead {
        /// Which part, and for whom.
        read: SnapshotRead,
        /// Its bytes.
        data: Bytes,
    },
    /// Entries of the stored log were read.
    EntriesRead {
        /// What was asked for.
        read: EntriesRead,
        /// The entries: from the first one on without a gap, as many as were asked for; none if they are not stored any
        /// more.
        entries: Vec<Entry>,
    },
    /// This server is the first of a new cluster, or one of several that start with the same configuration. Ignored
    /// unless its log is empty and it has voted for nobody else.
    Bootstrap(Box<Configuration>),
    /// The link to this server works, or works again: a leader speaks at once, and does not leave a server that has
    /// just started without a leader until the next heartbeat. Superfluous ones cost a message.
    PeerUp(ServerId),
    /// The link to this server did not take this message, because too much waits there already: what it carried is not
    /// on its way. A leader sends no more entries and no more of a snapshot on the link until it is
    /// [`Writable`](Self::Writable), or the time has passed after which it sends again what is lost. Messages that
    /// carry neither, as heartbeats, need not be told of.
    Unsent {
        /// The peer of the link.
        to: ServerId,
        /// What it did not take. In a box, so that the inputs of each turn stay small.
        message: Box<Message>,
    },
    /// The link to this server takes messages again. Superfluous ones do no harm.
    Writable(ServerId),
    /// This server says that it belongs to another cluster or history: a leader waits no longer for it to catch up.
    Foreign(ServerId, Foreign),
    /// The two times change.
    SetTiming(Timing),
}

/// A command to append, with the name under which its fate is told.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Proposal {
    /// The driver's name for it.
    pub id: ProposalId,
    /// The command.
    pub command: Bytes,
}

/// A membership change: its steps take effect together, in their order, through a joint configuration if more than one
/// voter changes.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct MembershipChange {
    /// The steps.
    pub steps: Vec<MembershipStep>,
}

/// One step of a membership change.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum MembershipStep {
    /// This server becomes a voter, once its log has caught up. A learner is promoted.
    AddVoter(Addition),
    /// This server becomes a learner. A voter is demoted.
    AddLearner(Addition),
    /// This server leaves, as an operator wishes: it is dismissed, and not taken in again when it asks to join, until a
    /// change adds it.
    Remove(ServerId),
    /// This server leaves, because it is silent: it is taken in again when it comes back and asks to join.
    Evict(ServerId),
    /// This server leaves, because its storage has lost what it had acknowledged: no change ever adds its id again. A
    /// leader takes the removal or eviction of a server that it has found so for this.
    Retire(ServerId),
    /// This member is described anew. One without a key keeps the key that the configuration has for it.
    Describe(ServerId, Description),
    /// This access token may be used from now on. Its key is in no token that the configuration remembers.
    Issue(NewToken),
    /// This access token is taken no more, and forgotten.
    Revoke(TokenKey),
    /// The cluster speaks this version of the protocol, a later one than before, which all of its members speak.
    RaiseVersion(u32),
}

/// An access token that is to be issued.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct NewToken {
    /// Its key, which names it.
    pub key: TokenKey,
    /// What it grants.
    pub grants: Grants,
    /// For how long it is taken, in cluster time from the entry on that issues it. Whole milliseconds count.
    pub valid_for: Duration,
    /// How often it may be used.
    pub uses: u32,
    /// Which keys of the state it is for, where it grants reading or writing.
    pub scope: Scope,
}

impl NewToken {
    /// Returns the token that is issued at this cluster time.
    #[must_use]
    pub fn issued_at(&self, now: ClusterTime) -> AccessToken {
        AccessToken {
            key: self.key,
            grants: self.grants,
            expires_at: now + self.valid_for,
            uses_left: self.uses,
            scope: self.scope.clone(),
        }
    }
}

/// A server that becomes a voter or a learner.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Addition {
    /// The server.
    pub id: ServerId,
    /// What it says of itself; `None` keeps what the configuration has for it, if it names the server. One without a
    /// key keeps the key.
    pub description: Option<Description>,
    /// The word of the member that lets it in; `None` keeps the one that the configuration has for it.
    pub voucher: Option<Voucher>,
    /// The access token that it uses, one use of which is taken; `None` if it is let in without.
    pub token: Option<TokenKey>,
}

impl Addition {
    /// Returns the addition of a server of which nothing is said.
    #[must_use]
    pub const fn of(id: ServerId) -> Self {
        Self {
            id,
            description: None,
            voucher: None,
            token: None,
        }
    }
}

impl MembershipStep {
    /// Returns the server that it is about; `None` if it is about none.
    #[must_use]
    pub const fn server(&self) -> Option<ServerId> {
        match self {
            Self::AddVoter(addition) | Self::AddLearner(addition) => Some(addition.id),
            Self::Remove(id) | Self::Evict(id) | Self::Retire(id) | Self::Describe(id, _) => {
                Some(*id)
            }
            Self::Issue(_) | Self::Revoke(_) | Self::RaiseVersion(_) => None,
        }
    }
}

/// A change of this one step.
impl From<MembershipStep> for MembershipChange {
    fn from(step: MembershipStep) -> Self {
        Self {
            steps: alloc::vec![step],
        }
    }
}

impl MembershipChange {
    /// A change of one step: this server becomes a voter.
    #[must_use]
    pub fn add_voter(id: ServerId) -> Self {
        MembershipStep::AddVoter(Addition::of(id)).into()
    }

    /// A change of one step: this server becomes a learner.
    #[must_use]
    pub fn add_learner(id: ServerId) -> Self {
        MembershipStep::AddLearner(Addition::of(id)).into()
    }

    /// A change of one step: this server leaves, and stays away until it is added again.
    #[must_use]
    pub fn remove(id: ServerId) -> Self {
        MembershipStep::Remove(id).into()
    }

    /// A change of one step: this server leaves, and may come back when it asks to join.
    #[must_use]
    pub fn evict(id: ServerId) -> Self {
        MembershipStep::Evict(id).into()
    }

    /// A change of one step: this server leaves, and its id is never added again.
    #[must_use]
    pub fn retire(id: ServerId) -> Self {
        MembershipStep::Retire(id).into()
    }

    /// A change of one step: this member is described anew, at another address for example.
    #[must_use]
    pub fn describe(id: ServerId, description: Description) -> Self {
        MembershipStep::Describe(id, description).into()
    }

    /// A change of one step: this access token may be used from now on.
    #[must_use]
    pub fn issue(token: NewToken) -> Self {
        MembershipStep::Issue(token).into()
    }

    /// A change of one step: this access token is taken no more.
    #[must_use]
    pub fn revoke(token: TokenKey) -> Self {
        MembershipStep::Revoke(token).into()
    }

    /// A change of one step: the cluster speaks this version of the protocol.
    #[must_use]
    pub fn raise_version(version: u32) -> Self {
        MembershipStep::RaiseVersion(version).into()
    }

    /// This change with the steps of another after its own.
    #[must_use]
    pub fn and(mut self, other: Self) -> Self {
        self.steps.extend(other.steps);
        self
    }
}
