//! Members that run, crash and start again on their disks, and what is between them.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, MutexGuard};
use std::time::Duration;

use liferaft_kv::{Kv, KvHandle};
use liferaft_node::driver::{Exclusion, Founding, Member, MemberStatus, StopReason};
use liferaft_node::identity::Identity;
use liferaft_node::storage::{MemoryStorage, Storage};
use liferaft_raft::configuration::Configuration;
use liferaft_raft::ids::{ClusterId, ServerId};
use liferaft_sim::dice::Dice;
use liferaft_transport::memory::{Delay, Faults, MemoryNetwork};
use tokio::sync::{Notify, watch};
use tokio::time::Instant;

use crate::disk::Disk;
use crate::history::in_time;
use crate::outboxes::Store;
use crate::plan::Plan;

const CLUSTER: ClusterId = ClusterId(0xc1);

/// All servers of a run.
pub(crate) struct Cluster {
    pub(crate) plan: Plan,
    pub(crate) network: MemoryNetwork,
    disks: BTreeMap<u64, Disk>,
    /// What the outboxes of servers are kept in.
    stores: BTreeMap<u64, Store>,
    state: Mutex<State>,
}

struct State {
    running: BTreeMap<u64, Running>,
    /// Members that were stopped or let go.
    departed: Vec<(u64, watch::Receiver<MemberStatus>)>,
    seeds: Dice,
    alarms: Vec<String>,
    copies: Copies,
}

/// Copies of disks.
#[derive(Default)]
struct Copies {
    /// The last one of each server's disk.
    made: BTreeMap<u64, MemoryStorage>,
    /// Members that run on one.
    running: BTreeMap<u64, KvHandle>,
    /// How many have run on one in vain.
    refused: usize,
}

/// A member that runs.
#[derive(Clone)]
pub(crate) struct Running {
    pub(crate) kv: KvHandle,
    /// Told when its process ends, and with it all that was asked of it.
    gone: Arc<Notify>,
}

impl Running {
    /// Waits for an answer, unless the process ends before.
    pub(crate) async fn ask<T>(&self, answer: impl Future<Output = T>) -> Option<T> {
        let gone = self.gone.notified();
        tokio::select! {
            biased;
            answer = answer => Some(answer),
            () = gone => None,
        }
    }

    /// Whether this is the same run of the same member.
    pub(crate) fn is(&self, other: &Self) -> bool {
        Arc::ptr_eq(&self.gone, &other.gone)
    }

    pub(crate) fn status(&self) -> MemberStatus {
        self.kv.raft().status().borrow().clone()
    }
}

impl Cluster {
    /// Starts all servers: the voters found the cluster, the others wait until they are added.
    pub(crate) async fn start(plan: &Plan, forgetful: bool) -> Self {
        let network = MemoryNetwork::new(plan.seed);
        network.set_faults(plan.links);
        let voters = Configuration::of_voters((1..=plan.voters).map(server));
        let founding = Founding::of(CLUSTER, voters);
        let mut disks = BTreeMap::new();
        for id in 1..=plan.servers {
            let dice = Dice::new(plan.seed, 1_000 + id);
            let mut stored = MemoryStorage::from_seed(id);
            if id <= plan.voters {
                let founded = founding.found(&mut stored).await;
                founded.expect("blank memory can be founded");
            }
            let disk = Disk::new(stored, dice, plan.disk_latency, forgetful);
            disks.insert(id, disk);
        }
        let store = |id| {
            let dice = Dice::new(plan.seed, 2_000 + id);
            (id, Store::new(dice, plan.disk_latency.1))
        };
        let cluster = Self {
            plan: plan.clone(),
            network,
            stores: (1..=plan.servers).map(store).collect(),
            disks,
            state: Mutex::new(State {
                running: BTreeMap::new(),
                departed: Vec::new(),
                seeds: Dice::new(plan.seed, 2),
                alarms: Vec::new(),
                copies: Copies::default(),
            }),
        };
        for id in 1..=plan.servers {
            cluster.start_member(id).await;
        }
        cluster
    }

    /// Starts a server over its disk, if it does not run.
    pub(crate) async fn start_member(&self, id: u64) {
        if self.state().running.contains_key(&id) {
            return;
        }
        // What is left of an earlier process, such as one that was handing over before it stopped, loses the network.
        self.network.kill(server(id));
        let disk = self.disks[&id].open().await;
        if let Some(kv) = self.start_on(id, disk).await {
            let running = Running {
                kv,
                gone: Arc::new(Notify::new()),
            };
            self.state().running.insert(id, running);
        }
    }

    /// Starts a server on this storage, of which nothing is on the network.
    async fn start_on(&self, id: u64, storage: impl Storage + 'static) -> Option<KvHandle> {
        let seed = self.state().seeds.number();
        let builder = if self.plan.proven {
            let end = self.network.connect(storage.identity().clone());
            end.map(|end| Member::builder(Kv::new(), end, storage))
        } else {
            let end = self.network.attach(server(id));
            end.map(|end| Member::builder(Kv::new(), end, storage))
        };
        let member = match builder {
            Ok(builder) => builder,
            Err(error) => {
                self.alarm(format!("server {id} does not start: {error}"));
                return None;
            }
        };
        let member = member
            .cluster(CLUSTER)
            .config(self.plan.config.clone())
            .snapshot_after_log_bytes(self.plan.snapshot_after_log_bytes)
            .request_timeout(self.plan.request_timeout)
            // Whatever changes is the operator's doing, and can be held against the answers.
            .manual_membership()
            .seed(seed);
        match member.start().await {
            Ok(handle) => Some(KvHandle::new(handle)),
            Err(error) => {
                self.alarm(format!("server {id} does not start: {error}"));
                None
            }
        }
    }

    /// A server's disk is copied as it is.
    pub(crate) fn copy_disk(&self, id: u64) {
        let copy = self.disks[&id].copied();
        self.state().copies.made.insert(id, copy);
    }

    /// A server stops, and the copy of its disk is started in its place, if all others know by their disks that the
    /// server has started since: whoever did not could not tell the copy from it.
    pub(crate) async fn start_copy(&self, id: u64) {
        let Some(copy) = self.state().copies.made.remove(&id) else {
            return;
        };
        let mut first = copy.copied();
        let counted = first.recover(0).await;
        counted.expect("memory holds what was written");
        let number = first.identity().starts().newest().number;
        for (_, disk) in self.disks.iter().filter(|(other, _)| **other != id) {
            let known = disk.newest_start(server(id)).await;
            if known.is_none_or(|known| known < number) {
                return;
            }
        }
        self.crash(id, true).await;
        self.network.kill(server(id));
        if let Some(kv) = self.start_on(id, copy).await {
            self.state().copies.running.insert(id, kv);
        }
    }

    /// The copy of a server's disk runs no longer, and must have followed nobody. Tells whether there was one.
    pub(crate) fn stop_copy(&self, id: u64) -> bool {
        let Some(kv) = self.state().copies.running.remove(&id) else {
            return false;
        };
        let status = kv.raft().status().borrow().clone();
        if let Some(leader) = status.leader() {
            self.alarm(format!(
                "a copy of the disk of server {id} follows {leader}"
            ));
        }
        if status.exclusion == Some(Exclusion::OldBoot) {
            self.state().copies.refused += 1;
        }
        true
    }

    /// How many copies of disks were refused.
    pub(crate) fn copies_refused(&self) -> usize {
        self.state().copies.refused
    }

    /// A member's process ends. Whether others notice at once.
    pub(crate) async fn crash(&self, id: u64, noticed: bool) {
        let Some(running) = self.let_go(id) else {
            return;
        };
        if !noticed {
            self.network.kill(server(id));
        }
        self.disks[&id].crash().await;
        self.stores[&id].crash().await;
        running.gone.notify_waiters();
    }

    /// Asks a member to stop, and waits until it has.
    pub(crate) async fn shut_down(&self, id: u64) {
        let Some(running) = self.running(id) else {
            return;
        };
        let called = Instant::now();
        let answered = running.ask(running.kv.raft().stop()).await;
        if answered.is_some() {
            let within = 2 * self.plan.config.election_timeout();
            self.check(in_time("a shutdown", called, within));
            if self.running(id).is_some_and(|now| now.is(&running)) {
                self.let_go(id);
            }
        }
    }

    /// The member behind an id, if it runs.
    pub(crate) fn running(&self, id: u64) -> Option<Running> {
        self.state().running.get(&id).cloned()
    }

    /// All that run.
    pub(crate) fn all_running(&self) -> Vec<(u64, Running)> {
        let state = self.state();
        let running = state.running.iter();
        running
            .map(|(id, running)| (*id, running.clone()))
            .collect()
    }

    /// The leader of the latest term that a member knows to be its own.
    pub(crate) fn leader(&self) -> Option<u64> {
        let running = self.all_running();
        let leading = running.iter().filter_map(|(id, running)| {
            let status = running.status();
            status.is_leader().then(|| (status.term(), *id))
        });
        leading.max().map(|(_, id)| id)
    }

    pub(crate) fn disk(&self, id: u64) -> &Disk {
        &self.disks[&id]
    }

    /// Nothing passes between these servers and the others, in either direction.
    pub(crate) fn partition(&self, group: &[u64]) {
        let group: Vec<ServerId> = group.iter().copied().map(server).collect();
        self.network.partition(&[&group]);
    }

    /// A member that was silenced sends and hears again. One that crashed meanwhile does not.
    pub(crate) fn revive(&self, id: u64) {
        if self.running(id).is_some() {
            self.network.revive(server(id));
        }
    }

    pub(crate) fn store(&self, id: u64) -> &Store {
        &self.stores[&id]
    }

    /// From here on nothing goes wrong, and all run.
    pub(crate) async fn stop_faults(&self) {
        let delay = Delay::fixed(Duration::from_millis(1));
        self.network.set_faults(Faults::none().with_delay(delay));
        self.network.heal_all();
        for (id, disk) in &self.disks {
            self.stop_copy(*id);
            self.revive(*id);
            disk.recover_from_faults();
            if self
                .running(*id)
                .is_some_and(|member| member.status().stopped.is_some())
            {
                self.let_go(*id);
            }
            self.start_member(*id).await;
        }
    }

    /// Something that must not be.
    pub(crate) fn alarm(&self, alarm: String) {
        self.state().alarms.push(alarm);
    }

    pub(crate) fn check(&self, result: Result<(), String>) {
        if let Err(alarm) = result {
            self.alarm(alarm);
        }
    }

    /// The first thing that must not be, members that stopped for no reason or panicked among them.
    pub(crate) fn first_alarm(&self) -> Option<String> {
        let state = self.state();
        let running = state.running.iter();
        let mut running = running.map(|(id, running)| (*id, running.kv.raft().status()));
        let of_running = running
            .find_map(|(id, status)| Some(format!("server {id} {}", wrong_end(&status, false)?)));
        let mut departed = state.departed.iter();
        let of_departed = departed
            .find_map(|(id, status)| Some(format!("server {id} {}", wrong_end(status, true)?)));
        state.alarms.first().cloned().or(of_running).or(of_departed)
    }

    /// No longer talks to a member, which therefore stops.
    fn let_go(&self, id: u64) -> Option<Running> {
        let mut state = self.state();
        let running = state.running.remove(&id)?;
        state.departed.push((id, running.kv.raft().status()));
        Some(running)
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().expect("nothing panics under this lock")
    }
}

/// What is wrong with the end of a member, if it has ended; one that departed may have lost its network.
fn wrong_end(status: &watch::Receiver<MemberStatus>, departed: bool) -> Option<String> {
    let stopped = status.borrow().stopped.clone();
    match stopped {
        Some(StopReason::Shutdown | StopReason::Dropped | StopReason::Storage(_)) => None,
        Some(StopReason::TransportClosed) if departed => None,
        Some(reason) => Some(format!("stopped: {reason}")),
        None if status.has_changed().is_err() => Some("panicked".to_owned()),
        None => None,
    }
}

/// The server that a number stands for. It is derived once.
pub(crate) fn server(number: u64) -> ServerId {
    static SERVERS: Mutex<BTreeMap<u64, ServerId>> = Mutex::new(BTreeMap::new());
    let mut servers = SERVERS.lock().expect("nothing panics under this lock");
    let derive = || Identity::from_seed(number).id();
    *servers.entry(number).or_insert_with(derive)
}
