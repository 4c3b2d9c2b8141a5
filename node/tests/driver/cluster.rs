//! A cluster in one process, as a story needs it.

use std::collections::BTreeMap;
use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use futures::future::select_all;
use liferaft_node::driver::{Founding, Handle, Member, MemberBuilder, MemberStatus};
use liferaft_node::storage::{MemoryStorage, Storage};
use liferaft_raft::config::Config;
use liferaft_raft::configuration::{Configuration, History};
use liferaft_raft::ids::{ClusterId, Index, ServerId};
use liferaft_transport::Transport;
use liferaft_transport::memory::MemoryNetwork;

use crate::machine::Journal;

pub(crate) const CLUSTER: ClusterId = ClusterId(0xc1);
pub(crate) const ELECTION_TIMEOUT: Duration = Duration::from_millis(500);

/// Members in one network. A member that is killed falls silent and keeps its disk.
pub(crate) struct Cluster {
    pub(crate) network: MemoryNetwork,
    members: BTreeMap<u128, Handle<Journal>>,
    disks: BTreeMap<u128, MemoryStorage>,
    foundings: u64,
}

impl Cluster {
    /// No members yet.
    pub(crate) fn empty() -> Self {
        Self {
            network: MemoryNetwork::new(1),
            members: BTreeMap::new(),
            disks: BTreeMap::new(),
            foundings: 0,
        }
    }

    /// Members 1 to `count`, who have a leader.
    pub(crate) async fn of(count: u128) -> Self {
        let mut cluster = Self::founded(1..=count).await;
        for id in 1..=count {
            cluster.start(id, |member| member).await;
        }
        cluster.leader().await;
        cluster
    }

    /// No members yet, and disks of those who found the cluster together.
    pub(crate) async fn founded(voters: impl IntoIterator<Item = u128>) -> Self {
        let mut cluster = Self::empty();
        cluster.found(voters, |founding| founding).await;
        cluster
    }

    /// Founds the cluster with these voters, on their disks, each time as another history of it.
    pub(crate) async fn found(
        &mut self,
        voters: impl IntoIterator<Item = u128>,
        tune: impl FnOnce(Configuration) -> Configuration,
    ) {
        self.foundings += 1;
        let voters: Vec<_> = voters.into_iter().collect();
        let configuration = tune(Configuration::of_voters(voters.iter().copied().map(server)));
        let history = History(self.foundings);
        let founding = Founding::of(CLUSTER, configuration.with_history(history));
        for id in voters {
            let founded = founding.found(self.disk_of(id)).await;
            founded.expect("the disk is blank");
        }
    }

    /// Starts a member that has founded the cluster alone, or does so first if its disk is blank.
    pub(crate) async fn start_first(
        &mut self,
        id: u128,
        prepare: impl FnOnce(MemberBuilder<Journal>) -> MemberBuilder<Journal>,
    ) -> Handle<Journal> {
        if self.disk_of(id).cluster().is_none() {
            self.found([id], |founding| founding).await;
        }
        self.start(id, prepare).await
    }

    /// Starts a member, over its disk if it has one.
    pub(crate) async fn start(
        &mut self,
        id: u128,
        prepare: impl FnOnce(MemberBuilder<Journal>) -> MemberBuilder<Journal>,
    ) -> Handle<Journal> {
        self.start_with(id, Journal::default(), prepare).await
    }

    /// Starts a member with a state machine of its own.
    pub(crate) async fn start_with(
        &mut self,
        id: u128,
        machine: Journal,
        prepare: impl FnOnce(MemberBuilder<Journal>) -> MemberBuilder<Journal>,
    ) -> Handle<Journal> {
        let transport = self.network.attach(server(id)).expect("the id is free");
        self.start_over(id, machine, transport, prepare).await
    }

    /// Starts a member with a transport of its own.
    pub(crate) async fn start_over(
        &mut self,
        id: u128,
        machine: Journal,
        transport: impl Transport,
        prepare: impl FnOnce(MemberBuilder<Journal>) -> MemberBuilder<Journal>,
    ) -> Handle<Journal> {
        let disk = self.disk_of(id).clone();
        self.start_on(id, machine, transport, disk, prepare).await
    }

    /// Starts a member with a transport and a disk of its own.
    pub(crate) async fn start_on(
        &mut self,
        id: u128,
        machine: Journal,
        transport: impl Transport,
        disk: impl Storage,
        prepare: impl FnOnce(MemberBuilder<Journal>) -> MemberBuilder<Journal>,
    ) -> Handle<Journal> {
        let member = Member::builder(machine, transport, disk)
            .cluster(CLUSTER)
            .config(config())
            .seed(u64::try_from(id).unwrap());
        let handle = prepare(member).start().await.expect("the member starts");
        self.members.insert(id, handle.clone());
        handle
    }

    pub(crate) fn member(&self, id: u128) -> Handle<Journal> {
        self.members[&id].clone()
    }

    /// The disk of a member, also after its death.
    pub(crate) fn disk(&self, id: u128) -> MemoryStorage {
        self.disks[&id].clone()
    }

    fn disk_of(&mut self, id: u128) -> &mut MemoryStorage {
        self.disks.entry(id).or_insert_with(|| disk(id))
    }

    /// The ids of all members but these.
    pub(crate) fn others(&self, but: &[u128]) -> Vec<u128> {
        self.members
            .keys()
            .copied()
            .filter(|id| !but.contains(id))
            .collect()
    }

    /// Waits until a majority of the living agree on a living leader, and names it.
    pub(crate) async fn leader(&self) -> u128 {
        found(self.members.values(), || {
            let leading = self.members.iter().find(|(id, member)| {
                let followers = self
                    .members
                    .values()
                    .filter(|other| other.status().borrow().leader() == Some(server(**id)));
                member.status().borrow().is_leader() && followers.count() * 2 > self.members.len()
            });
            leading.map(|(id, _)| *id)
        })
        .await
    }

    /// Silences a member for good, without a word to the others.
    pub(crate) fn kill(&mut self, id: u128) {
        self.network.kill(server(id));
        self.members.remove(&id);
    }

    /// Stops a member and takes its disk away. It may be started again, with an empty one.
    pub(crate) async fn wipe(&mut self, id: u128) {
        self.member(id).stop().await;
        self.members.remove(&id);
        self.disks.remove(&id);
    }

    /// Cuts a member off from all others, both ways.
    pub(crate) fn isolate(&self, id: u128) {
        for other in self.others(&[id]) {
            self.network.cut(server(id), server(other));
            self.network.cut(server(other), server(id));
        }
    }

    /// Waits until all members have applied the same, and tells what.
    pub(crate) async fn settled(&self) -> Vec<u64> {
        loop {
            let mut states = Vec::new();
            for member in self.members.values() {
                let local = member
                    .read_local(())
                    .await
                    .expect("a running member answers");
                states.push((local.applied, local.answer));
            }
            if states.windows(2).all(|pair| pair[0] == pair[1]) {
                return states.swap_remove(0).1;
            }
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
    }
}

/// A blank disk of the server with this number.
pub(crate) fn disk(number: u128) -> MemoryStorage {
    MemoryStorage::from_seed(u64::try_from(number).expect("stories count in small numbers"))
}

/// The disk of server 1, which has founded a cluster of its own.
pub(crate) async fn founder() -> MemoryStorage {
    let mut disk = disk(1);
    Member::found(&mut disk).await.expect("the disk is blank");
    disk
}

/// The server with this number. It is derived once.
pub(crate) fn server(number: u128) -> ServerId {
    static SERVERS: Mutex<BTreeMap<u128, ServerId>> = Mutex::new(BTreeMap::new());
    let mut servers = SERVERS.lock().unwrap_or_else(PoisonError::into_inner);
    let derive = || disk(number).identity().id();
    *servers.entry(number).or_insert_with(derive)
}

pub(crate) fn config() -> Config {
    Config::builder()
        .election_timeout(ELECTION_TIMEOUT)
        .build()
        .expect("it makes sense")
}

/// Looks for something in the statuses of these members, and again whenever one of them changes, until it is found.
pub(crate) async fn found<'a, T>(
    members: impl Iterator<Item = &'a Handle<Journal>>,
    find: impl Fn() -> Option<T>,
) -> T {
    let mut statuses: Vec<_> = members.map(Handle::status).collect();
    loop {
        for status in &mut statuses {
            status.mark_unchanged();
        }
        if let Some(found) = find() {
            return found;
        }
        let changes = statuses.iter_mut().map(|status| {
            Box::pin(async {
                if status.changed().await.is_err() {
                    // The member is gone, and changes no more.
                    std::future::pending::<()>().await;
                }
            })
        });
        select_all(changes).await;
    }
}

/// Waits until a member's status is as wanted.
pub(crate) async fn wait_for(
    member: &Handle<Journal>,
    wanted: impl FnMut(&MemberStatus) -> bool,
) -> MemberStatus {
    member
        .status()
        .wait_for(wanted)
        .await
        .expect("the member runs")
        .clone()
}

/// Waits until a member has applied this index.
pub(crate) async fn wait_for_applied(member: &Handle<Journal>, index: Index) {
    wait_for(member, |status| status.applied() >= index).await;
}
