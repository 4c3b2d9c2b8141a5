//! The members, and the network between them: how they are made, killed and brought back.

use std::path::{Path, PathBuf};
use std::time::Duration;

use anyhow::Context as _;
use bytes::Bytes;
use liferaft::MembershipPolicy;
use liferaft::config::Config;
use liferaft::driver::{Handle, Member, MemberBuilder, MemberStatus};
use liferaft::ids::{ClusterId, Index, ServerId};
use liferaft::kv::{Command, Done, KvError};
use liferaft::storage::{DiskStorage, MemoryStorage, Storage, StorageError};
use liferaft::time::Instant;
use liferaft::transport::memory::{AttachError, Faults, MemoryNetwork, Probability};
use tokio::sync::watch;
use tokio::time::sleep;

use super::chronicle::Chronicle;
use super::options::Options;
use super::recorder::{CHAT, Record, Recorder, lines_of, now, whole_chat};
use super::verify::Outcome;

/// A cluster in this process.
pub(super) struct Cluster {
    /// The storages' servers, by member.
    servers: Vec<ServerId>,
    cluster: ClusterId,
    network: MemoryNetwork,
    config: Config,
    patience: Duration,
    seed: u64,
    policy: MembershipPolicy,
    /// Whether links prove nothing.
    unproven: bool,
    forger: Option<usize>,
    chronicle: Chronicle,
    seats: Vec<Seat>,
}

/// How often it is looked whether a killed member has let go of its folder.
const POLL: Duration = Duration::from_millis(1);

/// What a member keeps its state in.
#[derive(Clone)]
#[expect(clippy::large_enum_variant, reason = "there is one for each member")]
enum Disk {
    Folder(PathBuf),
    Memory(MemoryStorage),
}

/// A disk that is open.
#[expect(clippy::large_enum_variant, reason = "there is one for each member")]
enum Opened {
    Folder(DiskStorage),
    Memory(MemoryStorage),
}

/// A server: a disk, and whoever runs on it.
struct Seat {
    disk: Disk,
    /// How often it was started.
    lives: u64,
    life: Life,
}

struct Life {
    /// `None` once it is killed.
    handle: Option<Handle<Recorder>>,
    killed: watch::Sender<bool>,
    status: watch::Receiver<MemberStatus>,
    record: Record,
}

/// A member as one who writes uses it.
pub(super) struct Writer {
    handle: Handle<Recorder>,
    killed: watch::Receiver<bool>,
}

impl Cluster {
    /// One server that has founded it, and the others blank.
    ///
    /// Its members keep their state in folders of `root`, or in memory.
    pub(super) async fn start(
        options: &Options,
        seed: u64,
        root: Option<&Path>,
    ) -> anyhow::Result<Self> {
        let network = MemoryNetwork::new(seed);
        network.set_faults(Faults::none().with_loss(Probability::percent(options.loss)));
        let config = Config::builder()
            .election_timeout(options.election_timeout())
            .build()
            .context("the election timeout makes no sense")?;
        let mut disks = Vec::with_capacity(options.nodes);
        for member in 0..options.nodes {
            let disk = Disk::new(root, member);
            let storage = disk.open().await?;
            disks.push((disk, storage));
        }
        let (_, founder) = disks.first_mut().context("there are no members")?;
        let id = match founder {
            Opened::Folder(storage) => Member::found(storage).await?,
            Opened::Memory(storage) => Member::found(storage).await?,
        };
        let mut cluster = Self {
            servers: disks.iter().map(|(_, storage)| storage.id()).collect(),
            cluster: id,
            network,
            config,
            patience: options.patience(),
            seed,
            policy: options.policy(),
            unproven: options.unproven,
            forger: options.forger,
            chronicle: Chronicle::new(),
            seats: Vec::with_capacity(options.nodes),
        };
        for (member, (disk, storage)) in disks.into_iter().enumerate() {
            let life = cluster.start_member(member, 0, storage).await?;
            let lives = 1;
            cluster.seats.push(Seat { disk, lives, life });
        }
        Ok(cluster)
    }

    /// What its members did so far.
    pub(super) const fn chronicle(&self) -> &Chronicle {
        &self.chronicle
    }

    /// The members that are not killed, counted from 0.
    pub(super) fn living(&self) -> Vec<usize> {
        (0..self.seats.len())
            .filter(|member| self.seats[*member].life.handle.is_some())
            .collect()
    }

    /// Waits until these members, and no others, are the voters, and each of them knows that this is committed. Returns
    /// when the last one learnt it.
    pub(super) async fn settled(&self, members: &[usize]) -> anyhow::Result<Instant> {
        let mut voters: Vec<ServerId> =
            members.iter().map(|member| self.servers[*member]).collect();
        voters.sort_unstable();
        let settled = |status: &MemberStatus| {
            let configuration = &status.raft.configuration;
            !configuration.is_joint()
                && configuration.voters() == voters
                && status.raft.commit >= status.raft.configuration_index
        };
        let mut index = Index::ZERO;
        for member in members {
            let mut status = self.seats[*member].life.status.clone();
            let status = status.wait_for(settled).await;
            let status = status.context("a member has stopped")?;
            index = index.max(status.raft.configuration_index);
        }
        Ok(self.chronicle.committed_by(members, index).await)
    }

    /// Whether a policy that keeps a least number of voters lets so few be all of them.
    pub(super) const fn may_shrink_to(&self, members: usize) -> bool {
        members >= self.policy.voters_min()
    }

    /// One who writes through a living member.
    pub(super) fn writer(&self, member: usize) -> anyhow::Result<Writer> {
        Ok(Writer {
            handle: self.handle(member)?.clone(),
            killed: self.seats[member].life.killed.subscribe(),
        })
    }

    /// What a member has applied in its present life.
    pub(super) fn record(&self, member: usize) -> Record {
        self.seats[member].life.record.clone()
    }

    /// Reads the whole chat through a member, linearizably.
    pub(super) async fn read(&self, member: usize) -> anyhow::Result<Vec<Bytes>> {
        let answer = self.handle(member)?.read(whole_chat()).await;
        let answer = answer.with_context(|| format!("member {} cannot read", member + 1))?;
        lines_of(answer).context("the chat is not a sequence")
    }

    /// Kills members, all at once, as a power cut would: first nothing that they say gets out any more, then they are
    /// gone. Their disks remain. Returns the moment.
    pub(super) fn kill(&mut self, members: &[usize]) -> Instant {
        let at = now();
        for member in members {
            self.network.kill(self.servers[*member]);
        }
        for member in members {
            let life = &mut self.seats[*member].life;
            // Whoever writes through it holds a handle too, and lets go of it now.
            life.killed.send_replace(true);
            life.handle = None;
        }
        at
    }

    /// Starts a killed member again, from its disk.
    pub(super) async fn restart(&mut self, member: usize) -> anyhow::Result<()> {
        let seat = &mut self.seats[member];
        // Its former self must have let go of the disk.
        seat.life.ended().await;
        let (storage, lives) = (seat.disk.open().await?, seat.lives);
        let life = self.start_member(member, lives, storage).await?;
        let seat = &mut self.seats[member];
        seat.lives += 1;
        seat.life = life;
        Ok(())
    }

    /// Stops all members, and returns when they have stopped: whoever is cut off by the end of the runtime takes it for
    /// a fault.
    pub(super) async fn stop(&mut self) {
        for seat in &mut self.seats {
            seat.life.killed.send_replace(true);
            seat.life.handle = None;
        }
        for seat in &mut self.seats {
            seat.life.ended().await;
        }
    }

    async fn start_member(
        &self,
        member: usize,
        lives: u64,
        storage: Opened,
    ) -> anyhow::Result<Life> {
        let (mut recorder, record) = Recorder::new();
        if self.forger == Some(member) {
            recorder = recorder.forging();
        }
        let chronicle = self.chronicle.clone();
        // Apart for all members and all their lives: those who share a seed campaign at the same moments.
        let life_number = lives * self.seats.capacity() as u64 + member as u64;
        let mut builder = match storage {
            Opened::Folder(storage) => self.builder(recorder, storage)?,
            Opened::Memory(storage) => self.builder(recorder, storage)?,
        };
        builder = builder
            .label(format!("member {}", member + 1))
            .config(self.config.clone())
            .membership(self.policy)
            .request_timeout(self.patience)
            .seed(self.seed.wrapping_add(life_number))
            .observe(move |at, event| chronicle.note(member, at, event));
        if member > 0 || lives > 0 {
            builder = builder.join(self.cluster, self.servers[self.acquaintance(member)]);
        }
        let handle = builder
            .start()
            .await
            .with_context(|| format!("member {} does not start", member + 1))?;
        Ok(Life {
            status: handle.status(),
            handle: Some(handle),
            killed: watch::Sender::new(false),
            record,
        })
    }

    /// A member whose links prove who is at their other end, unless they are not to.
    fn builder(
        &self,
        recorder: Recorder,
        storage: impl Storage,
    ) -> Result<MemberBuilder<Recorder>, AttachError> {
        let identity = storage.identity().clone();
        Ok(if self.unproven {
            let transport = self.network.attach(identity.id())?;
            Member::builder(recorder, transport, storage)
        } else {
            let transport = self.network.connect(identity)?;
            Member::builder(recorder, transport, storage)
        })
    }

    /// The member whose address another one knows: any of those that were made before it, which may be a newcomer
    /// itself.
    fn acquaintance(&self, member: usize) -> usize {
        let random = self
            .seed
            .wrapping_add(member as u64)
            .wrapping_mul(0x9e37_79b9_7f4a_7c15)
            >> 33;
        usize::try_from(random).unwrap_or_default() % member.max(1)
    }

    fn handle(&self, member: usize) -> anyhow::Result<&Handle<Recorder>> {
        let handle = self.seats[member].life.handle.as_ref();
        handle.with_context(|| format!("member {} was killed", member + 1))
    }
}

impl Disk {
    /// A blank one: in a folder of this one, or in memory.
    fn new(root: Option<&Path>, member: usize) -> Self {
        match root {
            Some(root) => Self::Folder(root.join(format!("member-{}", member + 1))),
            None => Self::Memory(MemoryStorage::default()),
        }
    }

    /// Opens it, once whoever had it open before has let go of it.
    async fn open(&self) -> anyhow::Result<Opened> {
        let folder: &Path = match self {
            Self::Folder(folder) => folder,
            Self::Memory(storage) => return Ok(Opened::Memory(storage.clone())),
        };
        loop {
            match DiskStorage::open(folder).await {
                Err(StorageError::InUse { .. }) => sleep(POLL).await,
                opened => return Ok(Opened::Folder(opened?)),
            }
        }
    }
}

impl Opened {
    /// Whose it is.
    fn id(&self) -> ServerId {
        match self {
            Self::Folder(storage) => storage.identity().id(),
            Self::Memory(storage) => storage.identity().id(),
        }
    }
}

impl Life {
    /// Waits until it is over, and its storage is closed.
    async fn ended(&mut self) {
        while self.status.changed().await.is_ok() {}
    }
}

impl Writer {
    /// Whether the member that it writes through was killed.
    pub(super) fn is_killed(&self) -> bool {
        *self.killed.borrow()
    }

    /// Appends a line, once: what is lost on the way is sent again by the member, under one name.
    pub(super) async fn append(&mut self, line: Bytes) -> Outcome {
        let command = Command::Append {
            key: CHAT,
            value: line,
        };
        tokio::select! {
            // What was answered before the kill counts.
            biased;
            reply = self.handle.propose(command) => match reply.map(|reply| reply.outcome) {
                Ok(Ok(Done::Append(place))) => Outcome::Done(place),
                Ok(Ok(_)) => Outcome::Unknown,
                Ok(Err(refused)) => Outcome::NotDone(KvError::from(refused).to_string()),
                Err(error) if error.is_definite() => Outcome::NotDone(error.to_string()),
                Err(_) => Outcome::Unknown,
            },
            _ = self.killed.wait_for(|killed| *killed) => Outcome::Unknown,
        }
    }
}
