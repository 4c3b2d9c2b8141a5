//! Cluster time as a state machine learns of it, in clusters where nobody commands anything.

use std::time::Duration;

use liferaft_node::driver::{Founding, Handle, Member};
use liferaft_raft::config::Config;
use liferaft_raft::configuration::Configuration;
use liferaft_raft::ids::Index;
use liferaft_raft::state_machine::{ApplyContext, Capture, RestoreError, StateMachine};
use liferaft_raft::time::ClusterTime;
use liferaft_transport::memory::MemoryNetwork;
use tokio::time::Instant;

use crate::cluster::{CLUSTER, ELECTION_TIMEOUT, disk, server};

/// An alarm clock: commands set it to ring so many milliseconds of cluster time later.
#[derive(Default)]
struct AlarmClock {
    rings_at: Option<ClusterTime>,
    rang: Vec<(Index, ClusterTime)>,
}

impl StateMachine for AlarmClock {
    type Command = u64;
    type Reply = Milliseconds;
    type Query = ();
    type Answer = Vec<(Index, ClusterTime)>;

    fn apply(&mut self, at: ApplyContext, ms: u64) -> Milliseconds {
        self.rings_at = Some(at.time + Duration::from_millis(ms));
        at.time.0 + ms
    }

    fn advance(&mut self, at: ApplyContext) {
        if self
            .rings_at
            .take_if(|rings_at| *rings_at <= at.time)
            .is_some()
        {
            self.rang.push((at.index, at.time));
        }
    }

    fn wakes_at(&self) -> Option<ClusterTime> {
        self.rings_at
    }

    fn query(&self, (): ()) -> Vec<(Index, ClusterTime)> {
        self.rang.clone()
    }

    fn snapshot(&self) -> impl Capture {
        Vec::new
    }

    fn restore(&mut self, _: &[u8]) -> Result<(), RestoreError> {
        Ok(())
    }
}

/// Milliseconds of cluster time.
type Milliseconds = u64;

struct Clocks {
    network: MemoryNetwork,
    members: Vec<Handle<AlarmClock>>,
}

impl Clocks {
    async fn of(count: u128) -> Self {
        let network = MemoryNetwork::new(1);
        let voters = Configuration::of_voters((1..=count).map(server));
        let founding = Founding::of(CLUSTER, voters);
        let config = Config::builder().election_timeout(ELECTION_TIMEOUT).build();
        let config = config.expect("it makes sense");
        let mut members = Vec::new();
        for id in 1..=count {
            let transport = network.attach(server(id)).expect("the id is free");
            let mut disk = disk(id);
            founding.found(&mut disk).await.expect("it is blank");
            let member = Member::builder(AlarmClock::default(), transport, disk)
                .config(config.clone())
                .seed(u64::try_from(id).unwrap());
            members.push(member.start().await.expect("the member starts"));
        }
        Self { network, members }
    }

    async fn rang(&self, on: usize) -> Vec<(Index, ClusterTime)> {
        let local = self.members[on].read_local(()).await;
        local.expect("a running member answers").answer
    }

    /// Waits until the alarm has rung on a member.
    async fn ring(&self, on: usize) {
        while self.rang(on).await.is_empty() {
            tokio::time::sleep(Duration::from_millis(1)).await;
        }
    }

    fn leader(&self) -> usize {
        let leads = |member: &Handle<AlarmClock>| member.status().borrow().is_leader();
        self.members.iter().position(leads).expect("one leads")
    }
}

#[tokio::test(start_paused = true)]
async fn an_idle_cluster_rings_on_time_at_the_same_entry_everywhere() {
    let clocks = Clocks::of(3).await;
    let due = clocks.members[0]
        .propose(2_000)
        .await
        .expect("a quorum is there");
    let set = Instant::now();

    for member in 0..3 {
        clocks.ring(member).await;
    }

    let took = set.elapsed();
    assert!(took >= Duration::from_millis(1_990), "{took:?}");
    assert!(took <= Duration::from_millis(2_100), "{took:?}");
    let rang = [
        clocks.rang(0).await,
        clocks.rang(1).await,
        clocks.rang(2).await,
    ];
    assert_eq!((&rang[0], &rang[0]), (&rang[1], &rang[2]));
    assert!(rang[0][0].1 >= ClusterTime(due));
}

#[tokio::test(start_paused = true)]
async fn an_alarm_beyond_what_one_entry_can_move_the_time_rings_on_time_too() {
    let clocks = Clocks::of(3).await;
    clocks.members[0]
        .propose(300_000)
        .await
        .expect("a quorum is there");
    let local = clocks.members[0].read_local(()).await;
    let applied = local.expect("a running member answers").applied;
    let set = Instant::now();

    tokio::time::sleep(Duration::from_secs(299)).await;
    let early = clocks.rang(0).await;
    clocks.ring(0).await;

    assert!(early.is_empty());
    assert!(
        set.elapsed() <= Duration::from_millis(301_000),
        "{:?}",
        set.elapsed()
    );
    let entries = clocks.rang(0).await[0].0.distance_from(applied);
    assert!(entries <= 6, "one a minute and no more: {entries}");
}

#[tokio::test(start_paused = true)]
async fn while_there_is_no_quorum_no_alarm_rings_and_a_successor_continues_the_time() {
    let clocks = Clocks::of(3).await;
    clocks.members[0]
        .propose(2_000)
        .await
        .expect("a quorum is there");
    let leader = clocks.leader();
    let cut_off = clocks.members[leader].id();

    clocks
        .network
        .partition(&[&[server(1)], &[server(2)], &[server(3)]]);
    tokio::time::sleep(Duration::from_secs(60)).await;
    let during = [
        clocks.rang(0).await,
        clocks.rang(1).await,
        clocks.rang(2).await,
    ];
    clocks.network.heal_all();
    let healed = Instant::now();
    clocks.ring(0).await;

    assert!(during.iter().all(Vec::is_empty), "{cut_off}: {during:?}");
    // Some of the two seconds had passed before: at most those that the leader was sure of.
    assert!(healed.elapsed() >= Duration::from_secs(2) - 3 * ELECTION_TIMEOUT);
}
