//! A cluster of three, on one thread under a paused clock.

#[path = "patience.rs"]
pub(crate) mod patience;

use std::future::Future;

use liferaft_kv::{Kv, KvHandle};
use liferaft_node::driver::{Founding, Member};
use liferaft_node::storage::{MemoryStorage, Storage};
use liferaft_raft::configuration::Configuration;
use liferaft_raft::ids::{ClusterId, Index, ServerId};
use liferaft_transport::memory::MemoryNetwork;

use self::patience::{Watchdog, soon};

/// Three members over a network without faults.
#[allow(dead_code, reason = "each test uses its part")]
pub(crate) struct Cluster {
    pub(crate) network: MemoryNetwork,
    pub(crate) leader: ServerId,
    pub(crate) members: [KvHandle; 3],
    _watchdog: Watchdog,
}

#[allow(dead_code, reason = "each test uses its part")]
impl Cluster {
    /// One that has a leader, and in which nothing is under way.
    pub(crate) async fn settled() -> Self {
        Self::compacting_after(u64::MAX).await
    }

    /// The same, whose members take a snapshot after so many bytes of log.
    pub(crate) async fn compacting_after(log_bytes: u64) -> Self {
        let watchdog = Watchdog::begin();
        let network = MemoryNetwork::new(1);
        let mut members = Vec::new();
        for (seed, disk) in (1..).zip(founders().await) {
            let transport = network.attach(disk.identity().id());
            let transport = transport.expect("it is attached once");
            let member = Member::builder(Kv::new(), transport, disk)
                .snapshot_after_log_bytes(log_bytes)
                .seed(seed)
                .start()
                .await
                .expect("a founder starts");
            members.push(KvHandle::new(member));
        }
        for member in &members {
            // What a linearizable read sees is applied.
            member.get("anything").await.expect("a leader is elected");
        }
        let leader = members[0].raft().status().borrow().leader();
        Self {
            network,
            leader: leader.expect("it confirmed a read"),
            members: members.try_into().expect("there are three"),
            _watchdog: watchdog,
        }
    }

    /// The one that leads.
    pub(crate) fn leader(&self) -> &KvHandle {
        let mut members = self.members.iter();
        let leader = members.find(|member| member.raft().id() == self.leader);
        leader.expect("one of three leads")
    }

    /// Has a follower make a call whose first reply is lost, and the reply to its repetition.
    ///
    /// The proposal reaches the leader, and nothing comes back. The link is mended when the other follower has come to
    /// what was asked for, and to its repetition.
    pub(crate) async fn without_the_first_reply<T: Send + 'static>(
        &self,
        caller: &KvHandle,
        witness: &KvHandle,
        call: impl Future<Output = T> + Send + 'static,
    ) -> T {
        self.network.cut(self.leader, caller.raft().id());
        let call = tokio::spawn(call);
        for _ in ["the proposal", "its repetition"] {
            let before = applied(witness);
            let mut status = witness.raft().status();
            let later = soon(status.wait_for(|status| status.applied() > before)).await;
            later.expect("the witness runs");
        }
        assert!(
            !call.is_finished(),
            "the caller's member cannot know of the success"
        );
        self.network.heal_all();
        soon(call).await.expect("the call does not panic")
    }

    /// The two that do not lead.
    pub(crate) fn followers(&self) -> [&KvHandle; 2] {
        let followers: Vec<_> = self
            .members
            .iter()
            .filter(|member| member.raft().id() != self.leader)
            .collect();
        followers.try_into().expect("one of three leads")
    }
}

/// Three disks whose servers have founded a cluster together.
async fn founders() -> [MemoryStorage; 3] {
    let mut disks = [1, 2, 3].map(MemoryStorage::from_seed);
    let voters = disks.each_ref().map(|disk| disk.identity().id());
    let founding = Founding::of(ClusterId(1), Configuration::of_voters(voters));
    for disk in &mut disks {
        founding.found(disk).await.expect("the disk is blank");
    }
    disks
}

#[allow(dead_code, reason = "each test uses its part")]
pub(crate) fn applied(member: &KvHandle) -> Index {
    member.raft().status().borrow().applied()
}
