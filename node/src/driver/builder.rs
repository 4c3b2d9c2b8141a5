//! Builds and starts a member.

use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use liferaft_platform as platform;
use liferaft_transport::Transport;
use liferaft_transport::carrier::Reach;
use liferaft_transport::invitation::Invitation;
use serde::Serialize;
use serde::de::DeserializeOwned;
use tokio::sync::mpsc;
use tracing::Instrument;

use super::applier::{ApplierTask, Ends, restored};
use super::bounds::QUERIES_MAX;
use super::bounds::QUEUE_MAX;
use super::budget::{Budget, CommandBytes};
use super::disk::Disk;
use super::error::{FoundError, StartError};
use super::events::Announcer;
use super::founding::{Founding, drop_unfinished, is_blank};
use super::handle::{Handle, Shared};
use super::joining::{Joining, Roster};
use super::links::{FRAME_OVERHEAD_BYTES, Links};
use super::log_reads::LogReads;
use super::membership::Membership;
use super::meters::Meters;
use super::peers::Peers;
use super::serving::ClientCodec;
use super::snapshots::{Snapshots, TimedLane};
use super::status::StatusBoard;
use super::task::{Driver, Observer, Parts};
use super::work::{self, JOBS_MAX, REPORTS_MAX, Work};
use crate::applier::Applier;
use crate::config::Config;
use crate::configuration::{
    Address, Description, LABEL_BYTES_MAX, Label, PROTOCOL_VERSIONS, Versions,
};
use crate::consensus::{Event, Raft, Recovered};
use crate::ids::{ClusterId, Index};
use crate::policy::{MembershipPolicy, Steward};
use crate::state_machine::StateMachine;
use crate::storage::{Storage, StorageError};
use crate::time::Instant;
use crate::wire;

/// The most characters of a member's label that are kept.
pub const LABEL_CHARACTERS_MAX: usize = 64;

/// Founds clusters ([`Member::found`]) and builds members ([`Member::builder`]).
///
/// The storage is opened first, and says which server it is. Then the transport is made for that server, and then the
/// member:
///
/// ```
/// # mod liferaft { pub use {liferaft_node::*, liferaft_raft::*, liferaft_transport as transport}; }
/// # use liferaft::driver::{Handle, Member};
/// # use liferaft::state_machine::StateMachine;
/// # use liferaft::storage::{MemoryStorage, Storage};
/// # use liferaft::transport::memory::MemoryNetwork;
/// # type Started<S> = Result<Handle<S>, Box<dyn std::error::Error>>;
/// # async fn begin<S: StateMachine>(machine: S, network: MemoryNetwork) -> Started<S> {
/// let mut storage = MemoryStorage::default();
/// Member::found(&mut storage).await?;
///
/// let transport = network.attach(storage.identity().id())?;
/// let member = Member::builder(machine, transport, storage).start().await?;
/// # Ok(member)
/// # }
/// ```
#[derive(Clone, Copy, Debug)]
pub enum Member {}

impl Member {
    /// Builds a member that applies commands to this state machine, which is as before the first of them, and keeps
    /// what it must not forget in this storage.
    ///
    /// The [storage](Storage::identity) says which server it is, and the transport must be that server's.
    pub fn builder<S: StateMachine>(
        machine: S,
        transport: impl Transport,
        storage: impl Storage,
    ) -> MemberBuilder<S> {
        MemberBuilder {
            machine,
            transport: Box::new(transport),
            storage: Box::new(storage),
            cluster: None,
            label: None,
            addresses: Vec::new(),
            invitation: None,
            is_open: false,
            versions: PROTOCOL_VERSIONS,
            config: Config::default(),
            membership: Some(MembershipPolicy::default()),
            client_codec: None,
            roster: None,
            snapshot_after_log_bytes: 4 << 20,
            storage_stalls_after: None,
            snapshot_after_log_entries: u64::MAX,
            request_timeout: Duration::from_secs(10),
            observer: None,
            seed: None,
        }
    }

    /// Founds a cluster with the server of this blank storage as its only voter. Draws the cluster's id and returns it.
    /// All others [join](MemberBuilder::join) it, or are added. This is done once, before the first start: the storage
    /// remembers it.
    ///
    /// Entries of the cluster are at most [`ENTRY_BYTES_MAX`](crate::configuration::ENTRY_BYTES_MAX) long, and all
    /// members' transports must carry them: where frames are shorter, a [`Founding`] is made
    /// [within](Founding::within_frames) those.
    ///
    /// # Errors
    /// See [`FoundError`]. Storage that belongs to a cluster, or holds anything else, founds none.
    pub async fn found<S: Storage + ?Sized>(storage: &mut S) -> Result<ClusterId, FoundError> {
        let founding = Founding::by(storage.identity());
        founding.found(storage).await?;
        Ok(founding.cluster())
    }
}

/// Makes a member; see [`Member::builder`].
#[must_use = "a member runs once it is started"]
pub struct MemberBuilder<S: StateMachine> {
    machine: S,
    transport: Box<dyn Transport>,
    storage: Box<dyn Storage>,
    cluster: Option<ClusterId>,
    label: Option<String>,
    addresses: Vec<Address>,
    invitation: Option<Invitation>,
    is_open: bool,
    versions: Versions,
    config: Config,
    membership: Option<MembershipPolicy>,
    client_codec: Option<ClientCodec<S>>,
    roster: Option<Roster>,
    snapshot_after_log_bytes: u64,
    storage_stalls_after: Option<Duration>,
    snapshot_after_log_entries: u64,
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

    /// What people call it, as in `van-2`: shown in its [status](super::MemberStatus::label) and in the log. Its first
    /// [`LABEL_CHARACTERS_MAX`] characters are kept. Default the [first digits](crate::ids::ServerId::short) of its id.
    pub fn label(mut self, label: impl Into<String>) -> Self {
        self.label = Some(label.into());
        self
    }

    /// The cluster that it belongs to. Blank storage is bound to it for good, and the member waits until an operator
    /// adds it. Storage that is bound already knows its cluster; storage of another cluster is refused.
    pub fn cluster(mut self, cluster: ClusterId) -> Self {
        self.cluster = Some(cluster);
        self
    }

    /// Asks these to be taken into this [cluster](Self::cluster), as long as it is not a member: one of them must be,
    /// or know who is. It is taken in by a leader that has a [`membership`](Self::membership) policy, first as a
    /// learner and then, if the policy wants it to vote, as a voter. [`Handle::joined`] waits until it is.
    ///
    /// A member that is started again needs to name neither: its storage knows its cluster, and those who were in it.
    ///
    /// ```
    /// # mod liferaft { pub use {liferaft_node::*, liferaft_raft::*}; }
    /// # use liferaft::driver::{Handle, MemberBuilder};
    /// # use liferaft::state_machine::StateMachine;
    /// # fn newcomer<S: StateMachine>(bob: MemberBuilder<S>, ada: &Handle<S>) -> MemberBuilder<S> {
    /// bob.join(ada.cluster(), ada.id())
    /// # }
    /// ```
    pub fn join(mut self, cluster: ClusterId, roster: impl Into<Roster>) -> Self {
        self.cluster = Some(cluster);
        self.roster = Some(roster.into());
        self
    }

    /// Joins the cluster that this invitation is to, as [`join`](Self::join) does: by the inviting members, or whoever
    /// is there in their place. It is let in by the invitation's token, if there is one, or because the cluster is
    /// open.
    ///
    /// A member that is started again needs the invitation no more: what it knows of its cluster counts then. One that
    /// [reaches nobody](super::Exclusion::NoPeer) whom it knows comes back by a new invitation.
    pub fn invited(mut self, invitation: Invitation) -> Self {
        self.cluster = Some(invitation.cluster());
        self.roster = Some(Peers::inviters(&invitation).into());
        self.invitation = Some(invitation);
        self
    }

    /// Takes part in an [open](crate::configuration::Configuration::is_open) cluster although others reach this
    /// machine: whatever runs on it may join, read and write. Only for trying out, and only over a transport that stays
    /// on the machine; over one that stays in the process nothing needs to be said.
    pub fn open(mut self) -> Self {
        self.is_open = true;
        self
    }

    /// Where others reach it: the first [`ADDRESSES_MAX`](crate::configuration::ADDRESSES_MAX) are told to all members
    /// when it joins, and after a start with others than before. Default none, as over the memory network, where
    /// members find each other.
    pub fn addresses(mut self, addresses: impl IntoIterator<Item = Address>) -> Self {
        self.addresses = addresses.into_iter().collect();
        self
    }

    /// Says that it speaks these versions of the protocol, as another build would. For tests of what a cluster of
    /// several builds does.
    #[doc(hidden)]
    pub const fn versions(mut self, versions: Versions) -> Self {
        self.versions = versions;
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
    /// come back by itself once removed. A member that hears no leader asks others who leads all the same.
    pub fn manual_membership(mut self) -> Self {
        self.membership = None;
        self
    }

    /// Serves [clients](super::Client), which are not members: those that hold an invitation which lets them
    /// [read](super::Terms::reading) or [write](super::Terms::writing), or, in an open cluster, whoever comes. Each
    /// member that may lead has to serve them. Default none are served.
    ///
    /// Queries and answers travel in the encoding of commands and replies: see [`codec`](crate::codec).
    pub fn serve_clients(mut self) -> Self
    where
        S::Query: DeserializeOwned,
        S::Answer: Serialize,
    {
        self.client_codec = Some(ClientCodec::new());
        self
    }

    /// After so many bytes of applied entries a snapshot takes their place, or after as many as the last snapshot has,
    /// if those are more: writing snapshots never costs more than writing the log. Storage that writes whole pages
    /// ([`Storage::page_bytes`]) counts them: one short entry at a time takes 4 KiB each. Up to half as many are added
    /// by chance, so that members do not all take theirs at the same time. Default 4 MiB.
    pub fn snapshot_after_log_bytes(mut self, bytes: u64) -> Self {
        self.snapshot_after_log_bytes = bytes;
        self
    }

    /// After so long in which nothing became durable although something was to be written, the storage counts as
    /// stalled ([`MemberStatus::storage`](super::MemberStatus::storage)), and a leader hands leadership over. What
    /// waits has its bound ([`uncommitted_bytes_max`](crate::config::Limits::uncommitted_bytes_max)) at any time.
    /// Default four election timeouts.
    pub fn storage_stalls_after(mut self, stalled: Duration) -> Self {
        self.storage_stalls_after = Some(stalled);
        self
    }

    /// After so many applied entries a snapshot takes their place as well, however little they weigh and however much
    /// the snapshot does: a bound on how long a restart takes. Up to half as many are added by chance. Default none.
    pub fn snapshot_after_log_entries(mut self, entries: u64) -> Self {
        self.snapshot_after_log_entries = entries;
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
    /// A blank member takes part once it [joined](Self::join) or was added. A founder, and a member that was started
    /// before, goes on from what is stored.
    ///
    /// # Errors
    /// See [`StartError`].
    ///
    /// # Panics
    /// Natively, outside of a tokio runtime.
    pub async fn start(mut self) -> Result<Handle<S>, StartError> {
        let id = self.storage.identity().id();
        if self.transport.local() != id {
            return Err(StartError::WrongServer {
                transport: self.transport.local(),
                storage: id,
            });
        }
        let command_bytes_max = Arc::new(CommandBytes::at_most(self.command_bytes_max()));
        if self.config.read_lease().is_some() {
            let uncounted_max = platform::suspension_uncounted_max();
            let uncounted_max = uncounted_max.ok_or(StartError::ClockStopsInSuspension)?;
            self.config.set_uncounted_max(uncounted_max);
        }
        let log_memory_bytes_max = self.config.limits().log_memory_bytes_max;
        let mut recovered = self.storage.recover(log_memory_bytes_max).await?;
        let cluster = self.bind(&mut recovered).await?;
        let lane = Arc::new(TimedLane::new(self.storage.snapshots()));
        let log = self.storage.log();
        let seed = self.seed.unwrap_or_else(platform::entropy_u64);
        // Never from the seed: a run that named its sessions like an earlier one would be given its replies.
        let boot = platform::entropy_u64();
        let mut applier = Applier::new(self.machine, boot);
        if let Some(stored) = &recovered.snapshot {
            applier = restored(applier, &*lane, stored).await?;
        }
        let last_snapshot_bytes = recovered.snapshot.as_ref().map(|of| of.metadata.length);
        let applied = applier.applied();
        let now = Instant::from_origin(platform::now());
        let mut config = self.config.clone();
        config.lift_command_bytes_max();
        let boots = std::mem::take(&mut recovered.peer_boots);
        let raft = Raft::new(id, config, recovered, now, seed)?;
        let (_, configuration) = raft.configuration();
        let trusts_anybody = if configuration.is_empty() {
            self.invitation.is_none()
        } else {
            configuration.is_open()
        };
        match self.transport.reach() {
            Reach::Anywhere if trusts_anybody => return Err(StartError::OpenToAll),
            Reach::Machine if trusts_anybody && !self.is_open => {
                return Err(StartError::OpenToMachine);
            }
            Reach::Process | Reach::Machine | Reach::Anywhere => {}
        }
        let identity = self.storage.identity().clone();
        let public_key = identity.public_key();
        let description = Description::of(public_key)
            .with_label(shortened(self.label.as_deref().unwrap_or_default()))
            .with_addresses(self.addresses)
            .with_versions(self.versions);
        let addresses = description.addresses().to_vec();
        let is_exposed = match self.transport.reach() {
            Reach::Process => false,
            Reach::Machine => !self.is_open,
            Reach::Anywhere => true,
        };
        let peers = Peers::new((identity, cluster), description, self.invitation, boots);
        let peers = peers.exposed(is_exposed);
        let links = Links::new(self.transport, cluster);
        let (_, configuration) = raft.configuration();
        if !configuration.is_empty() {
            links.check_room(configuration.entry_bytes_max()).map_err(
                |(frame_bytes_max, bytes)| StartError::FramesTooShort {
                    frame_bytes_max,
                    bytes,
                },
            )?;
        }
        if let Some(history) = configuration.history() {
            self.storage.bind(cluster, Some(history)).await?;
        }
        let voters_wanted = self
            .membership
            .as_ref()
            .map(MembershipPolicy::voters_wanted);
        let rejoins = self.membership.is_some();
        // Founders that start for the first time have to elect a leader, and hold the first configuration alone.
        let returns = raft.positions().last.index > Index::ZERO.next();
        let joining = Joining::new(id, self.roster, rejoins, now, seed)
            .returning(returns)
            .seeking_leader(links.authenticates());

        let budget = Arc::new(Budget::default());
        let (requests, request_queue) = mpsc::channel(QUEUE_MAX);
        let (jobs, job_queue) = mpsc::channel(JOBS_MAX);
        let (queries, query_queue) = mpsc::channel(QUERIES_MAX);
        let (reports, report_queue) = mpsc::channel(REPORTS_MAX);
        let repairs = self.storage.repairs().into();
        let label: Arc<str> = match self.label {
            Some(label) => label
                .chars()
                .take(LABEL_CHARACTERS_MAX)
                .collect::<String>()
                .into(),
            None => id.to_string().into(),
        };
        let (board, status) = StatusBoard::new(Arc::clone(&label), raft.status(), repairs);
        let announcer = Announcer::new();
        let events = announcer.entrance();
        let driver = Driver::new(Parts {
            id,
            cluster,
            boot,
            config: self.config,
            raft,
            links,
            peers,
            disk: Disk::new(self.storage),
            snapshots: Snapshots::new(Arc::clone(&lane)),
            log_reads: LogReads::new(log),
            storage_stalls_after: self.storage_stalls_after,
            requests: request_queue,
            work: Work::new(
                jobs,
                queries,
                report_queue,
                applied,
                work::Snapshots::after(
                    self.snapshot_after_log_bytes,
                    self.snapshot_after_log_entries,
                    last_snapshot_bytes,
                    seed,
                ),
            ),
            membership: Membership::new(self.membership.map(Steward::new), joining),
            client_codec: self.client_codec,
            budget: Arc::clone(&budget),
            command_bytes_max: Arc::clone(&command_bytes_max),
            board,
            announcer,
            meters: Meters::new(cluster, id),
            observer: self.observer,
        });
        let span = tracing::info_span!("member", %label, cluster = %cluster.short(), server = %id);
        let applying = ApplierTask(applier).run(Ends {
            jobs: job_queue,
            queries: query_queue,
            reports,
            lane,
        });
        platform::spawn(applying.instrument(span.clone()));
        platform::spawn(driver.run().instrument(span));

        let shared = Shared {
            id,
            public_key,
            addresses,
            label,
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

    /// Binds the storage to the cluster that was named, if one was. Returns the cluster that the storage is bound to.
    async fn bind(&mut self, recovered: &mut Recovered) -> Result<ClusterId, StartError> {
        let Some(wanted) = self.cluster else {
            return self.storage.cluster().ok_or(StartError::NoCluster);
        };
        if self.storage.cluster().is_none() {
            if !is_blank(recovered) {
                return Err(StartError::Storage(StorageError::Damaged {
                    what: "cluster",
                    reason: "there is a log, and no cluster that it is of".to_owned(),
                }));
            }
            let unfinished = drop_unfinished(recovered);
            if !unfinished.is_empty() {
                self.storage.write(unfinished).await?;
                recovered.entries.clear();
            }
        }
        self.storage.bind(wanted, None).await?;
        Ok(wanted)
    }

    /// The longest frame that the transport carries and others understand.
    fn frame_bytes_max(&self) -> usize {
        self.transport.frame_bytes_max().min(wire::FRAME_BYTES_MAX)
    }

    /// The longest command that every frame can carry.
    fn command_bytes_max(&self) -> usize {
        let room = self.frame_bytes_max().saturating_sub(FRAME_OVERHEAD_BYTES);
        let bytes_max = usize::try_from(self.config.limits().command_bytes_max);
        bytes_max.unwrap_or(usize::MAX).min(room)
    }
}

/// Returns as much of a text as others are told as a label: its printable characters, up to [`LABEL_BYTES_MAX`].
fn shortened(label: &str) -> Label {
    let printable = label.chars().filter(|character| !character.is_control());
    let fits = printable.scan(0, |bytes, character| {
        *bytes += character.len_utf8();
        (*bytes <= LABEL_BYTES_MAX).then_some(character)
    });
    let label: String = fits.collect();
    label.parse().expect("it is printable and short enough")
}

impl<S: StateMachine> fmt::Debug for MemberBuilder<S> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("MemberBuilder")
            .field("server", &self.storage.identity().id())
            .field("label", &self.label)
            .field("cluster", &self.cluster)
            .field("config", &self.config)
            .field("membership", &self.membership)
            .field("roster", &self.roster)
            .field("snapshot_after_log_bytes", &self.snapshot_after_log_bytes)
            .field(
                "snapshot_after_log_entries",
                &self.snapshot_after_log_entries,
            )
            .field("request_timeout", &self.request_timeout)
            .field("seed", &self.seed)
            .finish_non_exhaustive()
    }
}
