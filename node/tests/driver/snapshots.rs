use std::num::NonZeroU32;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::Duration;

use liferaft_node::driver::Handle;
use liferaft_raft::config::Config;
use liferaft_raft::consensus::Event;
use liferaft_raft::ids::Index;
use liferaft_transport::memory::{Delay, Faults};

use crate::cluster::{Cluster, ELECTION_TIMEOUT, server, wait_for, wait_for_applied};
use crate::machine::{Brake, Journal};

#[tokio::test(start_paused = true)]
async fn a_late_joiner_gets_the_snapshot_with_its_sessions_and_the_rest() {
    let mut cluster = Cluster::empty();
    let config = liferaft_raft::config::Config::builder()
        .election_timeout(crate::cluster::ELECTION_TIMEOUT)
        .limits(|limits| limits.trailing_entries = 10)
        .build()
        .unwrap();
    let first = cluster
        .start_first(1, |member| {
            member.config(config).snapshot_after_log_bytes(10_000)
        })
        .await;
    for number in 0..500 {
        first.propose(number).await.unwrap();
    }
    wait_for(&first, |status| status.raft.snapshot > Index::ZERO).await;

    let joiner = cluster.start(2, |member| member).await;
    first.add_server(server(2)).await.unwrap();
    let through = first.status().borrow().applied();
    wait_for_applied(&joiner, through).await;
    let reply = joiner.propose(500).await;

    assert_eq!(reply, Ok(501));
    assert!(joiner.status().borrow().raft.snapshot > Index::ZERO);
    assert_eq!(cluster.settled().await, (0..=500).collect::<Vec<_>>());
}

#[tokio::test(start_paused = true)]
async fn a_member_restarts_from_its_snapshot() {
    let mut cluster = Cluster::empty();
    let member = cluster
        .start_first(1, |member| member.snapshot_after_log_bytes(1000))
        .await;
    for number in 0..100 {
        member.propose(number).await.unwrap();
    }
    wait_for(&member, |status| status.raft.snapshot > Index::ZERO).await;

    member.stop().await;
    cluster.kill(1);
    let member = cluster.start(1, |member| member).await;

    assert_eq!(member.read(()).await, Ok((0..100).collect()));
    assert_eq!(member.propose(100).await, Ok(101));
}

/// Waits, on a clock that runs, until something is so.
async fn until(mut is_so: impl FnMut() -> bool) {
    while !is_so() {
        tokio::task::yield_now().await;
    }
}

#[tokio::test]
async fn commands_are_applied_and_read_while_a_snapshot_is_encoded() {
    let mut cluster = Cluster::founded([1]).await;
    let brake = Brake::default();
    brake.set();
    let member = cluster
        .start_with(1, Journal::with_snapshot_brake(&brake), |member| {
            member.snapshot_after_log_bytes(1000)
        })
        .await;
    for number in 0..50 {
        member.propose(number).await.unwrap();
    }
    until(|| brake.holds()).await;

    let reply = member.propose(50).await;

    assert_eq!(reply, Ok(51));
    assert_eq!(member.read(()).await, Ok((0..=50).collect()));
    assert_eq!(member.status().borrow().raft.snapshot, Index::ZERO);
    brake.release();
    wait_for(&member, |status| status.raft.snapshot > Index::ZERO).await;
}

#[tokio::test]
async fn a_member_hears_its_leader_while_a_snapshot_is_restored() {
    let mut cluster = Cluster::empty();
    let first = cluster
        .start_first(1, |member| {
            let config = few_entries_trail();
            member.config(config).snapshot_after_log_bytes(1000)
        })
        .await;
    for number in 0..50 {
        first.propose(number).await.unwrap();
    }
    wait_for(&first, |status| status.raft.snapshot > Index::ZERO).await;
    let brake = Brake::default();
    brake.set();
    let joiner = cluster
        .start_with(2, Journal::with_snapshot_brake(&brake), |member| member)
        .await;
    first.add_learner(server(2)).await.unwrap();
    until(|| brake.holds()).await;

    // All on this one thread: were it held up, nobody could take the command.
    let reply = first.propose(50).await;
    let position = first.status().borrow().applied();
    wait_for(&joiner, |status| status.raft.commit >= position).await;

    assert_eq!(reply, Ok(51));
    assert_eq!(joiner.status().borrow().applied(), Index::ZERO);
    brake.release();
    wait_for_applied(&joiner, position).await;
}

fn few_entries_trail() -> Config {
    Config::builder()
        .election_timeout(ELECTION_TIMEOUT)
        .limits(|limits| limits.trailing_entries = 10)
        .build()
        .unwrap()
}

/// Callers who each send a command as soon as the last is answered, until they are told to stop.
struct Writers {
    stop: Arc<AtomicBool>,
    written: Arc<AtomicU64>,
}

impl Writers {
    fn begin(count: u64, through: &Handle<Journal>) -> Self {
        let stop = Arc::new(AtomicBool::new(false));
        let written = Arc::new(AtomicU64::new(0));
        for _ in 0..count {
            let (stop, written) = (Arc::clone(&stop), Arc::clone(&written));
            let through = through.clone();
            tokio::spawn(async move {
                while !stop.load(Ordering::Relaxed) {
                    let number = written.fetch_add(1, Ordering::Relaxed);
                    through.propose(number).await.unwrap();
                }
            });
        }
        Self { stop, written }
    }

    fn written(&self) -> u64 {
        self.written.load(Ordering::Relaxed)
    }
}

#[tokio::test(start_paused = true)]
async fn a_blank_member_behind_a_slow_link_becomes_a_voter_while_sixty_four_callers_write() {
    let mut cluster = Cluster::founded(1..=3).await;
    let travel = Faults::none().with_delay(Delay::fixed(Duration::from_millis(5)));
    cluster.network.set_faults(travel);
    let snapshots_sent = Arc::new(AtomicU64::new(0));
    for id in 1..=3 {
        let sent = Arc::clone(&snapshots_sent);
        cluster
            .start(id, |member| {
                member
                    .config(few_entries_trail())
                    .snapshot_after_log_bytes(100_000)
                    .observe(move |_, event| {
                        let is_sent = matches!(event, Event::SnapshotStarted { .. });
                        sent.fetch_add(u64::from(is_sent), Ordering::Relaxed);
                    })
            })
            .await;
    }
    let leader_id = cluster.leader().await;
    let leader = cluster.member(leader_id);
    let term = leader.status().borrow().term();
    let writers = Writers::begin(64, &leader);
    let mut status = leader.status();
    status
        .wait_for(|status| status.applied() >= Index(10_000))
        .await
        .unwrap();

    // About three times what is written.
    let slow = travel.with_bytes_per_second(NonZeroU32::new(1_000_000).unwrap());
    cluster
        .network
        .set_link_faults(server(leader_id), server(4), slow);
    let joiner = cluster
        .start(4, |member| member.config(few_entries_trail()))
        .await;
    let began = tokio::time::Instant::now();
    let written = writers.written();
    leader
        .within(Duration::from_secs(20))
        .add_server(server(4))
        .await
        .unwrap();

    let took = began.elapsed();
    assert!(took < Duration::from_secs(5), "{took:?}");
    assert!(writers.written() > written + 1000, "writes went on");
    assert_eq!(leader.status().borrow().term(), term);
    wait_for(&joiner, |status| status.raft.snapshot > Index::ZERO).await;
    assert_eq!(snapshots_sent.load(Ordering::Relaxed), 1);
    writers.stop.store(true, Ordering::Relaxed);
}
