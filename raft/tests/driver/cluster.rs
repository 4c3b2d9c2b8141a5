//! A cluster in one process, as a story needs it.

use std::collections::BTreeMap;
use std::time::Duration;

use futures::future::select_all;
use liferaft_raft::config::Config;
use liferaft_raft::configuration::Configuration;
use liferaft_raft::driver::{Handle, Member, MemberBuilder, MemberStatus};
use liferaft_raft::ids::{ClusterId, Index, ServerId};
use liferaft_raft::storage::MemoryStorage;
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
}

impl Cluster {
    /// No members yet.
    pub(crate) fn empty() -> Self {
        Self {
            network: MemoryNetwork::new(1),
            members: BTreeMap::new(),
            disks: BTreeMap::new(),
        }
    }

    /// Members 1 to `count`, who have a leader.
    pub(crate) async fn of(count: u128) -> Self {
        let mut cluster = Self::empty();
        for id in 1..=count {
            let voters = Configuration::of_voters((1..=count).map(ServerId));
            cluster.start(id, |member| member.bootstrap(voters)).await;
        }
        cluster.leader().await;
        cluster
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
        let transport = self.network.attach(ServerId(id)).expect("the id is free");
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
        let disk = self.disks.entry(id).or_default().clone();
        let member = Member::builder(CLUSTER, machine, transport)
            .config(config())
            .storage(disk)
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
                    .filter(|other| other.status().borrow().leader() == Some(ServerId(**id)));
                member.status().borrow().is_leader() && followers.count() * 2 > self.members.len()
            });
            leading.map(|(id, _)| *id)
        })
        .await
    }

    /// Silences a member for good, without a word to the others.
    pub(crate) fn kill(&mut self, id: u128) {
        self.network.kill(ServerId(id));
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
            self.network.cut(ServerId(id), ServerId(other));
            self.network.cut(ServerId(other), ServerId(id));
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
