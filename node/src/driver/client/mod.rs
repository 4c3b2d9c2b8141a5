//! Lets a process that is no member use what a cluster replicates (§6).
//!
//! A [`Client`] has no log, no state and no vote. It links to the members that it knows, follows to the leader, and has
//! its commands applied under a session of its own, so that each takes effect once however often links and leaders
//! change. What it decides is in values: whom to ask ([`route`]), which commands wait ([`proposals`](super::proposals),
//! the table that members use as well), which queries ([`questions`]). One task runs them ([`task`]).

mod builder;
mod operating;
mod questions;
mod reports;
mod route;
mod task;
mod unreached;

use std::collections::BTreeMap;
use std::fmt;
use std::marker::PhantomData;
use std::sync::Arc;
use std::time::Duration;

use liferaft_platform as platform;
use liferaft_transport::access::Permit;
use serde::Serialize;
use serde::de::DeserializeOwned;
use tokio::sync::mpsc::error::TrySendError;
use tokio::sync::{mpsc, oneshot, watch};

pub use self::builder::ClientBuilder;
use self::task::Call;
pub use self::unreached::{Tried, Unreached, UnreachedCause};
use super::budget::{Budget, CommandBytes};
use super::error::{Busy, ProposeError, ReadError, StopReason, UnknownCause, WaitError};
use super::status::wait_until;
use crate::codec;
use crate::configuration::Description;
use crate::ids::{ClusterId, Index, ServerId, Term};
use crate::sessions::OWNED_HEADER_BYTES;
use crate::state_machine::StateMachine;
use crate::time::Instant;

/// A client of a cluster: it has commands applied and asks queries, and takes no part. Clones are handles of the same
/// client, which stops when the last one is dropped.
///
/// It holds an invitation, by which members [let it in](super::Terms::writing); or, in an open cluster, one [without a
/// token](super::Handle::contact). Members have to be [built to serve it](super::MemberBuilder::serve_clients). All
/// calls share one link to the leader.
///
/// ```
/// # mod liferaft { pub use {liferaft_node::*, liferaft_raft::*, liferaft_transport as transport, serde}; }
/// # use liferaft::driver::{Client, Handle, Terms};
/// # use liferaft::identity::Identity;
/// # use liferaft::state_machine::StateMachine;
/// # use liferaft::transport::memory::MemoryNetwork;
/// # use liferaft::serde::{Serialize, de::DeserializeOwned};
/// # async fn begin<S: StateMachine>(ada: Handle<S>, network: MemoryNetwork, command: S::Command)
/// #     -> Result<(), Box<dyn std::error::Error>>
/// # where S::Query: Serialize, S::Answer: DeserializeOwned {
/// let invitation = ada.invite(Terms::writing()).await?;
///
/// let identity = Identity::draw();
/// let transport = network.connect(identity.clone())?;
/// let client: Client<S> = Client::builder(identity, transport, invitation).start()?;
/// client.propose(command).await?;
/// # Ok(())
/// # }
/// ```
pub struct Client<S: StateMachine> {
    shared: Arc<Shared>,
    timeout: Duration,
    machine: PhantomData<fn() -> S>,
}

struct Shared {
    id: ServerId,
    cluster: ClusterId,
    calls: mpsc::Sender<Call>,
    status: watch::Receiver<ClientStatus>,
    budget: Arc<Budget>,
    command_bytes_max: Arc<CommandBytes>,
}

/// What a client knows of its cluster.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct ClientStatus {
    /// The leader, if a member has told.
    pub leader: Option<ServerId>,
    /// The term of that.
    pub term: Term,
    /// Whether there is a link to the leader.
    pub is_connected: bool,
    /// What it may do, as the leader says. `None` without a link to the leader.
    pub permit: Option<Permit>,
    /// How many members there is a link to.
    pub links: usize,
    /// The members, with what they say of themselves, as the leader told last: at most
    /// [`VIEW_MEMBERS_MAX`](crate::wire::VIEW_MEMBERS_MAX), voters rather than others.
    pub members: Arc<BTreeMap<ServerId, Description>>,
    /// Why there is no link to the leader; `None` as long as there is one.
    pub unreached: Option<Arc<Unreached>>,
}

impl<S: StateMachine> Clone for Client<S> {
    fn clone(&self) -> Self {
        Self {
            shared: Arc::clone(&self.shared),
            timeout: self.timeout,
            machine: PhantomData,
        }
    }
}

impl<S: StateMachine> fmt::Debug for Client<S> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Client")
            .field("cluster", &self.shared.cluster)
            .field("id", &self.shared.id)
            .field("timeout", &self.timeout)
            .finish_non_exhaustive()
    }
}

impl<S: StateMachine> Client<S> {
    /// Who the client is to members: the digest of its key.
    #[must_use]
    pub fn id(&self) -> ServerId {
        self.shared.id
    }

    /// Its cluster.
    #[must_use]
    pub fn cluster(&self) -> ClusterId {
        self.shared.cluster
    }

    /// The same client with another deadline for each call: this long after it is made.
    #[must_use]
    pub fn within(&self, timeout: Duration) -> Self {
        Self {
            timeout,
            ..self.clone()
        }
    }

    /// What the client knows of its cluster, to look at or to wait for a change of. The channel closes when the client
    /// has stopped.
    #[must_use]
    pub fn status(&self) -> watch::Receiver<ClientStatus> {
        self.shared.status.clone()
    }

    /// Waits until the client's status is as wanted, and returns it: at once if it is. Calls wait by themselves for a
    /// leader.
    ///
    /// # Errors
    /// [`WaitError::TimedOut`] at the deadline of this handle, [`WaitError::Stopped`] if the client stops before.
    pub async fn wait_for(
        &self,
        wanted: impl FnMut(&ClientStatus) -> bool,
    ) -> Result<ClientStatus, WaitError> {
        let stopped = || StopReason::TransportClosed;
        wait_until(self.deadline(), self.status(), wanted, stopped).await
    }

    /// Has a command applied, exactly once, and returns its reply.
    ///
    /// # Errors
    /// [`ProposeError::Unknown`] when the command may or may not be done, and [`ProposeError::ReplyUnreadable`] when it
    /// is done; all others mean that it was not done and never will be. Proposing again after an unknown outcome may do
    /// the command twice.
    pub async fn propose(&self, command: S::Command) -> Result<S::Reply, ProposeError> {
        let command = codec::encode_checked(vec![0; OWNED_HEADER_BYTES], &command)
            .map_err(|error| ProposeError::Unserialisable(error.to_string()))?;
        let (bytes, bytes_max) = (command.len(), self.shared.command_bytes_max.max());
        if bytes > bytes_max {
            return Err(ProposeError::TooLarge { bytes, bytes_max });
        }
        if !self.shared.budget.take(bytes) {
            return Err(ProposeError::Busy(Busy::COMMAND_BYTES));
        }
        let (caller, outcome) = oneshot::channel();
        let call = Call::Propose {
            command,
            deadline: self.deadline(),
            caller,
        };
        if let Err(refused) = self.shared.calls.try_send(call) {
            self.shared.budget.release(bytes);
            return Err(match refused {
                TrySendError::Full(_) => ProposeError::Busy(Busy::REQUESTS),
                TrySendError::Closed(_) => ProposeError::Stopped,
            });
        }
        // Only a task that ended with its runtime leaves its callers without a word.
        let unheard = Err(ProposeError::Unknown(UnknownCause::MemberStopped));
        let reply = outcome.await.unwrap_or(unheard);
        let reply = reply.map_err(|error| match (error, self.unreached()) {
            (ProposeError::TimedOut, Some(why)) => ProposeError::Unreached(why),
            (ProposeError::Unknown(UnknownCause::NoReply), Some(why)) => {
                ProposeError::Unknown(UnknownCause::Unreached(why))
            }
            (error, _) => error,
        })?;
        codec::decode(&reply).map_err(|_| ProposeError::ReplyUnreadable)
    }

    /// Asks the state machine, linearizably: the answer reflects every command that was done, anywhere in the cluster,
    /// before the read was asked.
    ///
    /// # Errors
    /// See [`ReadError`]. A read changes nothing and can be repeated.
    pub async fn read(&self, query: S::Query) -> Result<S::Answer, ReadError>
    where
        S::Query: Serialize,
        S::Answer: DeserializeOwned,
    {
        self.read_after(query, Index::ZERO).await
    }

    /// Asks the state machine, linearizably, once the entry at this index is applied: so whoever has seen the state at
    /// one index is told of what comes behind it without asking again and again.
    ///
    /// # Errors
    /// See [`ReadError`]. [`ReadError::TimedOut`] may mean that there is no such entry yet.
    pub async fn read_after(&self, query: S::Query, index: Index) -> Result<S::Answer, ReadError>
    where
        S::Query: Serialize,
        S::Answer: DeserializeOwned,
    {
        let query = codec::encode(&query).map_err(|_| ReadError::Unserialisable)?;
        let (bytes, bytes_max) = (query.len(), self.shared.command_bytes_max.max());
        if bytes > bytes_max {
            let [bytes, bytes_max] = [bytes, bytes_max].map(|bytes| bytes as u64);
            return Err(ReadError::TooLarge { bytes, bytes_max });
        }
        if !self.shared.budget.take(bytes) {
            return Err(ReadError::Busy(Busy::COMMAND_BYTES));
        }
        let (caller, answer) = oneshot::channel();
        let call = Call::Read {
            query: query.into(),
            not_before: index,
            deadline: self.deadline(),
            caller,
        };
        if let Err(refused) = self.shared.calls.try_send(call) {
            self.shared.budget.release(bytes);
            return Err(match refused {
                TrySendError::Full(_) => ReadError::Busy(Busy::REQUESTS),
                TrySendError::Closed(_) => ReadError::Stopped,
            });
        }
        let answer = answer.await.unwrap_or(Err(ReadError::Stopped));
        let answer = answer.map_err(|error| self.with_cause(error))?;
        codec::decode(&answer).map_err(|_| ReadError::Unserialisable)
    }

    /// Why there is no link to the leader.
    fn unreached(&self) -> Option<Arc<Unreached>> {
        self.shared.status.borrow().unreached.clone()
    }

    /// Says why no leader was reached until the deadline.
    fn with_cause(&self, error: ReadError) -> ReadError {
        match (error, self.unreached()) {
            (ReadError::TimedOut, Some(why)) => ReadError::Unreached(why),
            (error, _) => error,
        }
    }

    fn deadline(&self) -> Instant {
        Instant::from_origin(platform::now()) + self.timeout
    }
}
