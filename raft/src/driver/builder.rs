//! Builds and starts a member.

use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use liferaft_platform as platform;
use liferaft_transport::Transport;
use tokio::sync::mpsc;
use tracing::Instrument;

use super::applier::{Applier, Ends};
use super::disk::Disk;
use super::error::{BootstrapFault, StartError};
use super::events::Announcer;
use super::handle::{Handle, Shared};
use super::joining::{Joining, Roster};
use super::links::{FRAME_OVERHEAD_BYTES, Links};
use super::membership::Membership;
use super::meters::Meters;
use super::request::{Budget, CommandBytes, QUEUE_MAX};
use super::snapshots::Snapshots;
use super::status::StatusBoard;
use super::task::{Driver, Observer, Parts};
use super::work::{self, JOBS_MAX, QUERIES_MAX, REPORTS_MAX, Work};
use crate::config::Config;
use crate::configuration::{
    Configuration, ENTRY_BYTES_MAX, History, PUBLIC_KEY_BYTES_MAX, SERVERS_MAX,
};
use crate::consensus::{Event, Raft};
use crate::ids::{ClusterId, Index, ServerId};
use crate::policy::{MembershipPolicy, Steward};
use crate::state_machine::StateMachine;
use crate::storage::{MemoryStorage, Storage};
use crate::time::Instant;
use crate::wire;

/// Where a member begins: [`Member::builder`].
#[derive(Clone, Copy, Debug)]
pub enum Member {}

impl Member {
    /// A member of this cluster that applies commands to this state machine, which is as before the first of them.
    ///
    /// Its server is the one that the transport is to others.
    pub fn builder<S: StateMachine>(
        cluster: ClusterId,
        machine: S,
        transport: impl Transport,
    ) -> MemberBuilder<S> {
        MemberBuilder {
            cluster,
            machine,
            transport: Box::new(transport),
            config: Config::default(),
            storage: Box::new(MemoryStorage::default()),
            founding: None,
            membership: Some(MembershipPolicy::default()),
            roster: None,
            snapshot_after_log_bytes: 4 << 20,
            storage_stalls_after: None,
            request_timeout: Duration::from_secs(10),
            observer: None,
            seed: None,
        }
    }
}

/// How a member begins a cluster.
#[derive(Debug)]
enum Founding {
    /// Alone, with itself as the only voter.
    Alone,
    /// Together with others, or with settings of its own.
    With(Configuration),
}

/// Makes a member; see [`Member::builder`].
#[must_use = "a member runs once it is started"]
pub struct MemberBuilder<S> {
    cluster: ClusterId,
    machine: S,
    transport: Box<dyn Transport>,
    config: Config,
    storage: Box<dyn Storage>,
    founding: Option<Founding>,
    membership: Option<MembershipPolicy>,
    roster: Option<Roster>,
    snapshot_after_log_bytes: u64,
    storage_stalls_after: Option<Duration>,
    request_timeout: Duration,
    observer: Option<Observer>,
    seed: Option<u64>,
}

impl<S: StateMachine> MemberBuilder<S> {
    /// Its timing and bounds. Default [`Config::default`].
    pub fn config(mut self, config: Config) -> Self {
        self.config = config;
        self
    }

    /// Where its term, vote, log and snapshot are kept. Default [`MemoryStorage`], which forgets them with the process:
    /// the server's id must then never be used again.
    pub fn storage(mut self, storage: impl Storage) -> Self {
        self.storage = Box::new(storage);
        self
    }

    /// Makes it the first server of its cluster, unless its storage holds a log. All others start blank, and
    /// [ask to be taken in](Self::join) or wait until they are added.
    ///
    /// The longest entry of the cluster ([`Configuration::with_entry_bytes_max`]) is what this member's transport
    /// carries, at most [`ENTRY_BYTES_MAX`]. Where other members' transports carry less, [`bootstrap`](Self::bootstrap)
    /// names it.
    ///
    /// A first server whose storage was lost must not be started so again: it would begin another cluster.
    pub fn first_server(mut self) -> Self {
        self.founding = Some(Founding::Alone);
        self
    }

    /// Makes it one of several servers that start their cluster together, each with this same configuration. Ignored if
    /// its storage holds a log.
    ///
    /// A founder whose storage was lost must not be started so again. A blank server gives no vote, but one that founds
    /// again is not blank: until a leader that knows what it had acknowledged has found it out, its vote may elect one
    /// that lacks what was committed. It comes back under another id, and is [taken in](Self::join).
    ///
    /// The configuration also says how long an entry of the cluster may ever be
    /// ([`Configuration::with_entry_bytes_max`]): no member's transport may carry less.
    pub fn bootstrap(mut self, configuration: Configuration) -> Self {
        self.founding = Some(Founding::With(configuration));
        self
    }

    /// Asks these to be taken in, as long as it is not a member: one of them must be, or know who is. It is taken in by
    /// a leader that has a [`membership`](Self::membership) policy, first as a learner and then, if the policy wants it
    /// to vote, as a voter. [`Handle::joined`] waits until it is.
    ///
    /// Whoever joins a cluster does not found one: with [`first_server`](Self::first_server) it does not start.
    ///
    /// ```
    /// # use liferaft_raft as liferaft;
    /// # use liferaft::driver::MemberBuilder;
    /// # use liferaft::ids::ServerId;
    /// # use liferaft::state_machine::StateMachine;
    /// # fn newcomer<S: StateMachine>(member: MemberBuilder<S>) -> MemberBuilder<S> {
    /// member.join([ServerId(1), ServerId(2)])
    /// # }
    /// ```
    pub fn join(mut self, roster: impl Into<Roster>) -> Self {
        self.roster = Some(roster.into());
        self
    }

    /// How it manages the membership whenever it leads. Default [`MembershipPolicy::default`].
    ///
    /// The policy has the last word: a learner that an operator adds is promoted if the policy wants more voters, and
    /// who falls silent is evicted, whoever added it. But whom an operator *removes* it does not take in again, until
    /// an operator adds it: the configuration remembers the last [`DISMISSED_MAX`](crate::configuration::DISMISSED_MAX)
    /// whom operators removed, in the log and in snapshots.
    ///
    /// A member that has one also comes back by itself when it was evicted while it was away, under its own id, as long
    /// as its storage is intact: it asks those whom it knew as members, and its [roster](Self::join).
    pub fn membership(mut self, policy: MembershipPolicy) -> Self {
        self.membership = Some(policy);
        self
    }

    /// Leaves the membership to operators whenever it leads: nobody is taken in or evicted by itself, and it does not
    /// come back by itself once removed.
    pub fn manual_membership(mut self) -> Self {
        self.membership = None;
        self
    }

    /// After so many bytes of applied entries a snapshot takes their place, or after as many as the last snapshot has,
    /// if those are more: writing snapshots never costs more than writing the log. Up to half as many are added by
    /// chance, so that members do not all take theirs at the same time. Default 4 MiB.
    pub fn snapshot_after_log_bytes(mut self, bytes: u64) -> Self {
        self.snapshot_after_log_bytes = bytes;
        self
    }

    /// After so long in which nothing became durable although something was to be written, the storage counts as stalled
    /// ([`MemberStatus::storage`](super::MemberStatus::storage)). Nothing else comes of it: what waits has its bound
    /// ([`uncommitted_bytes_max`](crate::config::Limits::uncommitted_bytes_max)) at any time. Default four election
    /// timeouts.
    pub fn storage_stalls_after(mut self, stalled: Duration) -> Self {
        self.storage_stalls_after = Some(stalled);
        self
    }

    /// How long a call on the handle may take, unless [`Handle::within`] says otherwise. Default 10 s.
    pub fn request_timeout(mut self, timeout: Duration) -> Self {
        self.request_timeout = timeout;
        self
    }

    /// Tells this function what happens in the protocol, with the moment on [`liferaft_platform::now`]'s clock. It is
    /// called by the member's own task and must return at once.
    pub fn observe(mut self, observer: impl FnMut(Instant, &Event) + Send + 'static) -> Self {
        self.observer = Some(Box::new(observer));
        self
    }

    /// The seed of its election timeouts. Default drawn from the system. Members must not share one: they would
    /// campaign at the same moments.
    pub fn seed(mut self, seed: u64) -> Self {
        self.seed = Some(seed);
        self
    }

    /// Reads what is stored and starts the member's tasks.
    ///
    /// # Errors
    /// See [`StartError`].
    ///
    /// # Panics
    /// Natively, outside of a tokio runtime.
    pub async fn start(mut self) -> Result<Handle<S>, StartError> {
        let id = self.id();
        let command_bytes_max = Arc::new(CommandBytes::at_most(self.command_bytes_max()));
        if self.config.read_lease().is_some() {
            let uncounted_max = platform::suspension_uncounted_max();
            let uncounted_max = uncounted_max.ok_or(StartError::ClockStopsInSuspension)?;
            self.config.set_uncounted_max(uncounted_max);
        }
        let bootstrap = self.take_bootstrap()?;
        let recovered = self.storage.recover().await?;
        let lane = self.storage.snapshots();
        let seed = self.seed.unwrap_or_else(platform::entropy_u64);
        // Never from the seed: a run that named its sessions like an earlier one would be given its replies.
        let boot = platform::entropy_u64();
        let mut applier = Applier::new(self.machine, boot);
        if let Some(stored) = &recovered.snapshot {
            applier = applier.restore(&*lane, stored).await?;
        }
        let applied = applier.applied();
        let now = Instant::from_origin(platform::now());
        let mut config = self.config.clone();
        config.lift_command_bytes_max();
        let raft = Raft::new(id, config, recovered, now, seed)?;
        let links = Links::new(self.transport, self.cluster);
        let (_, stored) = raft.configuration();
        let known = Some(stored).filter(|stored| !stored.is_empty());
        if let Some(configuration) = known.or(bootstrap.as_ref()) {
            links.check_room(configuration.entry_bytes_max()).map_err(
                |(frame_bytes_max, bytes)| StartError::FramesTooShort {
                    frame_bytes_max,
                    bytes,
                },
            )?;
        }
        let voters_wanted = self
            .membership
            .as_ref()
            .map(MembershipPolicy::voters_wanted);
        let rejoins = self.membership.is_some();
        let returns = raft.positions().last.index > Index::ZERO;
        let joining = Joining::new(id, self.roster, rejoins, now, seed).returning(returns);

        let budget = Arc::new(Budget::default());
        let (requests, request_queue) = mpsc::channel(QUEUE_MAX);
        let (jobs, job_queue) = mpsc::channel(JOBS_MAX);
        let (queries, query_queue) = mpsc::channel(QUERIES_MAX);
        let (reports, report_queue) = mpsc::channel(REPORTS_MAX);
        let (board, status) = StatusBoard::new(raft.status());
        let announcer = Announcer::new();
        let events = announcer.entrance();
        let driver = Driver::new(Parts {
            id,
            cluster: self.cluster,
            boot,
            config: self.config,
            raft,
            bootstrap,
            links,
            disk: Disk::new(self.storage),
            snapshots: Snapshots::new(Arc::clone(&lane)),
            storage_stalls_after: self.storage_stalls_after,
            requests: request_queue,
            work: Work::new(
                jobs,
                queries,
                report_queue,
                applied,
                work::Snapshots::after(self.snapshot_after_log_bytes, seed),
            ),
            membership: Membership::new(self.membership.map(Steward::new), joining),
            budget: Arc::clone(&budget),
            command_bytes_max: Arc::clone(&command_bytes_max),
            board,
            announcer,
            meters: Meters::new(self.cluster, id),
            observer: self.observer,
        });
        let cluster = self.cluster;
        let span = tracing::info_span!("member", %cluster, server = %id);
        let applying = applier.run(Ends {
            jobs: job_queue,
            queries: query_queue,
            reports,
            lane,
        });
        platform::spawn(applying.instrument(span.clone()));
        platform::spawn(driver.run().instrument(span));

        let shared = Shared {
            id,
            cluster,
            requests,
            status,
            events,
            budget,
            command_bytes_max,
            voters_wanted,
        };
        Ok(Handle::new(shared, self.request_timeout))
    }

    fn id(&self) -> ServerId {
        self.transport.local()
    }

    /// The longest frame that the transport carries and others understand.
    fn frame_bytes_max(&self) -> usize {
        self.transport.frame_bytes_max().min(wire::FRAME_BYTES_MAX)
    }

    /// The configuration with which this member begins a cluster, if it does.
    fn take_bootstrap(&mut self) -> Result<Option<Configuration>, StartError> {
        let configuration = match self.founding.take() {
            None => return Ok(None),
            Some(Founding::Alone) if self.roster.is_some() => {
                return Err(StartError::FoundsAndJoins);
            }
            Some(Founding::Alone) => {
                let room = self.frame_bytes_max().saturating_sub(FRAME_OVERHEAD_BYTES) as u64;
                // Drawn, so that a founder that lost its storage and founds again is told apart from itself.
                Configuration::of_voters([self.id()])
                    .with_entry_bytes_max(ENTRY_BYTES_MAX.min(room))
                    .with_history(History(platform::entropy_u64()))
            }
            Some(Founding::With(configuration)) if configuration.history().is_none() => {
                let history = configuration.founding();
                configuration.with_history(history)
            }
            Some(Founding::With(configuration)) => configuration,
        };
        self.check_bootstrap(&configuration)
            .map_err(StartError::Bootstrap)?;
        Ok(Some(configuration))
    }

    fn check_bootstrap(&self, configuration: &Configuration) -> Result<(), BootstrapFault> {
        let mut members = configuration.members();
        let long_key = members.find(|(_, member)| member.public_key.len() > PUBLIC_KEY_BYTES_MAX);
        if let Some((id, _)) = long_key {
            Err(BootstrapFault::KeyTooLong(id))
        } else if configuration.members().len() > SERVERS_MAX {
            Err(BootstrapFault::TooManyServers)
        } else if configuration.voters().is_empty() {
            Err(BootstrapFault::NoVoters)
        } else if configuration.is_joint() {
            Err(BootstrapFault::Joint)
        } else if configuration.weight() > configuration.entry_bytes_max() {
            Err(BootstrapFault::TooLarge {
                bytes: configuration.weight(),
                bytes_max: configuration.entry_bytes_max(),
            })
        } else if !configuration.contains(self.id()) {
            Err(BootstrapFault::NotAMember(self.id()))
        } else {
            Ok(())
        }
    }

    /// The longest command that every frame can carry.
    fn command_bytes_max(&self) -> usize {
        let room = self.frame_bytes_max().saturating_sub(FRAME_OVERHEAD_BYTES);
        let bytes_max = usize::try_from(self.config.limits().command_bytes_max);
        bytes_max.unwrap_or(usize::MAX).min(room)
    }
}

impl<S> fmt::Debug for MemberBuilder<S> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("MemberBuilder")
            .field("cluster", &self.cluster)
            .field("config", &self.config)
            .field("founding", &self.founding)
            .field("membership", &self.membership)
            .field("roster", &self.roster)
            .field("snapshot_after_log_bytes", &self.snapshot_after_log_bytes)
            .field("request_timeout", &self.request_timeout)
            .field("seed", &self.seed)
            .finish_non_exhaustive()
    }
}
