//! Builds and starts a client.

use std::fmt;
use std::marker::PhantomData;
use std::sync::Arc;
use std::time::Duration;

use liferaft_platform as platform;
use liferaft_transport::Transport;
use liferaft_transport::access::{Permit, Role};
use liferaft_transport::invitation::Invitation;
use liferaft_transport::links::Credentials;
use tokio::sync::{mpsc, watch};
use tracing::Instrument;

use super::questions::Questions;
use super::reports::Reports;
use super::route::Route;
use super::task::{RESEND_AFTER, Task};
use super::{Client, ClientStatus, Shared};
use crate::configuration::PROTOCOL_VERSIONS;
use crate::driver::bounds::QUEUE_MAX;
use crate::driver::budget::{Budget, CommandBytes};
use crate::driver::error::StartError;
use crate::driver::links::Links;
use crate::driver::operations::Operations;
use crate::driver::proposals::Proposals;
use crate::identity::Identity;
use crate::state_machine::StateMachine;

/// Makes a client; see [`Client::builder`].
#[must_use = "a client runs once it is started"]
pub struct ClientBuilder<S> {
    identity: Identity,
    transport: Box<dyn Transport>,
    invitation: Invitation,
    permit: Permit,
    request_timeout: Duration,
    machine: PhantomData<fn() -> S>,
}

impl<S: StateMachine> Client<S> {
    /// Builds a client that proves itself by this identity, which is drawn anew for each run or kept somewhere, and is
    /// that of no storage. The transport must be that identity's, and prove who is at the other end, as an
    /// [`Endpoint`](liferaft_transport::endpoint::Endpoint) does.
    ///
    /// The invitation says which cluster it is, whom to believe and where to reach them, and has the token that lets
    /// the client in. Later on the client knows the members by what they say.
    pub fn builder(
        identity: Identity,
        transport: impl Transport,
        invitation: Invitation,
    ) -> ClientBuilder<S> {
        ClientBuilder {
            identity,
            transport: Box::new(transport),
            invitation,
            permit: Permit::Operate,
            request_timeout: Duration::from_secs(10),
            machine: PhantomData,
        }
    }
}

impl<S: StateMachine> ClientBuilder<S> {
    /// Asks for no more than to read, whatever the invitation grants.
    pub const fn read_only(mut self) -> Self {
        self.permit = Permit::Read;
        self
    }

    /// How long a call may take, unless [`Client::within`] says otherwise. Default 10 s.
    pub const fn request_timeout(mut self, timeout: Duration) -> Self {
        self.request_timeout = timeout;
        self
    }

    /// Starts the client's task, which looks for the leader by itself.
    ///
    /// # Errors
    /// [`StartError::WrongServer`] or [`StartError::NothingProven`], of the transport.
    ///
    /// # Panics
    /// Natively, outside of a tokio runtime; and when the system has no source of randomness.
    pub fn start(self) -> Result<Client<S>, StartError> {
        let (id, cluster) = (self.identity.id(), self.invitation.cluster());
        if self.transport.local() != id {
            return Err(StartError::WrongServer {
                transport: self.transport.local(),
                storage: id,
            });
        }
        if !self.transport.authenticates() {
            return Err(StartError::NothingProven);
        }
        let credentials = Credentials {
            cluster,
            key: self.identity.public_key(),
            versions: PROTOCOL_VERSIONS,
            starts: *self.identity.starts(),
            vouchers: Arc::new([]),
            role: Role::Client(self.permit),
            token: self.invitation.token().cloned(),
        };
        let links = Links::new(self.transport, cluster);
        let command_bytes_max = Arc::new(CommandBytes::at_most(links.room_in_frames()));
        let budget = Arc::new(Budget::default());
        let (calls, call_queue) = mpsc::channel(QUEUE_MAX);
        let (board, status) = watch::channel(ClientStatus::default());
        // Never the same in two runs: one that named its sessions like an earlier one would be given its replies.
        let run = platform::entropy_u64();
        let task = Task {
            id,
            cluster,
            credentials,
            access: Arc::default(),
            links,
            route: Route::new(self.invitation),
            proposals: Proposals::new(run, RESEND_AFTER, Arc::clone(&budget)).of_client(id),
            questions: Questions::new(RESEND_AFTER, Arc::clone(&budget)),
            operations: Operations::new(run << 32, RESEND_AFTER),
            reports: Reports::default(),
            calls: call_queue,
            board,
            budget: Arc::clone(&budget),
            command_bytes_max: Arc::clone(&command_bytes_max),
            clock: Default::default(),
            alarm: Default::default(),
            target: None,
            is_blocked: false,
            failures: Default::default(),
            wanted: Vec::new(),
            unreached: None,
            arrived: Vec::new(),
            counters: Default::default(),
        };
        let span = tracing::info_span!("client", cluster = %cluster.short(), client = %id);
        platform::spawn(task.run().instrument(span));
        let shared = Shared {
            id,
            cluster,
            calls,
            status,
            budget,
            command_bytes_max,
        };
        Ok(Client {
            shared: Arc::new(shared),
            timeout: self.request_timeout,
            machine: PhantomData,
        })
    }
}

impl<S> fmt::Debug for ClientBuilder<S> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("ClientBuilder")
            .field("client", &self.identity.id())
            .field("cluster", &self.invitation.cluster())
            .field("permit", &self.permit)
            .field("request_timeout", &self.request_timeout)
            .finish_non_exhaustive()
    }
}
