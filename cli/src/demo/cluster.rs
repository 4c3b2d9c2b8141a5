//! The members, and the network between them: how they are made, killed and brought back.

use std::time::Duration;

use anyhow::Context as _;
use bytes::Bytes;
use liferaft::MembershipPolicy;
use liferaft::config::Config;
use liferaft::driver::{Handle, Member, MemberStatus};
use liferaft::ids::{ClusterId, Index, ServerId};
use liferaft::kv::{Command, Done, KvError};
use liferaft::storage::{MemoryStorage, Storage};
use liferaft::time::Instant;
use liferaft::transport::memory::{Faults, MemoryNetwork, Probability};
use tokio::sync::watch;

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
    forger: Option<usize>,
    chronicle: Chronicle,
    seats: Vec<Seat>,
}

/// A server: a disk, and whoever runs on it.
struct Seat {
    disk: MemoryStorage,
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
    pub(super) async fn start(options: &Options, seed: u64) -> anyhow::Result<Self> {
        let network = MemoryNetwork::new(seed);
        network.set_faults(Faults::none().with_loss(Probability::percent(options.loss)));
        let config = Config::builder()
            .election_timeout(options.election_timeout())
            .build()
            .context("the election timeout makes no sense")?;
        let mut disks: Vec<_> = (0..options.nodes)
            .map(|_| MemoryStorage::default())
            .collect();
        let founder = disks.first_mut().context("there are no members")?;
        let id = Member::found(founder).await?;
        let mut cluster = Self {
            servers: disks.iter().map(|disk| disk.identity().id()).collect(),
            cluster: id,
            network,
            config,
            patience: options.patience(),
            seed,
            policy: options.policy(),
            forger: options.forger,
            chronicle: Chronicle::new(),
            seats: Vec::with_capacity(options.nodes),
        };
        for (member, disk) in disks.into_iter().enumerate() {
            let life = cluster.start_member(member, 0, disk.clone()).await?;
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
        let (disk, lives) = (seat.disk.clone(), seat.lives);
        let life = self.start_member(member, lives, disk).await?;
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
        disk: MemoryStorage,
    ) -> anyhow::Result<Life> {
        let (mut recorder, record) = Recorder::new();
        if self.forger == Some(member) {
            recorder = recorder.forging();
        }
        let transport = self.network.attach(disk.identity().id())?;
        let chronicle = self.chronicle.clone();
        // Apart for all members and all their lives: those who share a seed campaign at the same moments.
        let life_number = lives * self.seats.capacity() as u64 + member as u64;
        let mut builder = Member::builder(recorder, transport, disk)
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

impl Life {
    /// Waits until it is over.
    async fn ended(&mut self) {
        // A closed channel says the same.
        drop(
            self.status
                .wait_for(|status| status.stopped.is_some())
                .await,
        );
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
