use std::time::Duration;

use liferaft_node::driver::ReadError;
use liferaft_raft::config::{Config, ReadLease};

use crate::cluster::{Cluster, ELECTION_TIMEOUT, config};

#[tokio::test(start_paused = true)]
async fn a_read_on_any_member_sees_what_was_done_before() {
    let cluster = Cluster::of(3).await;
    cluster.member(1).propose(7).await.unwrap();

    let first = cluster.member(1).read(()).await;
    let second = cluster.member(2).read(()).await;
    let third = cluster.member(3).read(()).await;

    assert_eq!(
        [first, second, third],
        [Ok(vec![7]), Ok(vec![7]), Ok(vec![7])]
    );
}

#[tokio::test(start_paused = true)]
async fn a_leader_that_is_cut_off_answers_no_linearizable_read() {
    let cluster = Cluster::of(3).await;
    let leader = cluster.leader().await;

    cluster.isolate(leader);
    let answer = cluster
        .member(leader)
        .within(4 * ELECTION_TIMEOUT)
        .read(())
        .await;

    assert_eq!(answer, Err(ReadError::TimedOut));
}

#[tokio::test(start_paused = true)]
async fn a_read_outlives_the_leader_it_was_asked_of() {
    let mut cluster = Cluster::of(3).await;
    let leader = cluster.leader().await;
    cluster.member(leader).propose(1).await.unwrap();
    let follower = cluster.others(&[leader])[0];

    cluster.kill(leader);
    let answer = cluster.member(follower).read(()).await;

    assert_eq!(answer, Ok(vec![1]));
}

#[tokio::test(start_paused = true)]
async fn a_local_read_says_how_old_its_state_may_be() {
    let cluster = Cluster::of(3).await;
    let leader = cluster.leader().await;
    let follower = cluster.others(&[leader])[0];
    cluster.member(follower).propose(1).await.unwrap();
    tokio::time::sleep(Duration::from_secs(1)).await;

    let fresh = cluster.member(follower).read_local(()).await.unwrap();
    cluster.isolate(follower);
    cluster.member(leader).propose(2).await.unwrap();
    tokio::time::sleep(Duration::from_secs(10)).await;
    let stale = cluster.member(follower).read_local(()).await.unwrap();

    assert!(fresh.age.unwrap() <= ELECTION_TIMEOUT);
    assert_eq!(stale.answer, [1]);
    assert!(stale.age.unwrap() >= Duration::from_secs(10));
}

#[tokio::test(start_paused = true)]
async fn a_blank_members_state_has_no_age() {
    let mut cluster = Cluster::empty();
    let blank = cluster.start(1, |member| member).await;

    let local = blank.read_local(()).await.unwrap();

    assert_eq!((local.answer, local.age), (vec![], None));
}

#[tokio::test(start_paused = true)]
async fn a_followers_reads_are_answered_by_its_own_state_after_one_question_to_the_leader() {
    let cluster = Cluster::of(3).await;
    let leader = cluster.leader().await;
    let member = cluster.member(cluster.others(&[leader])[0]);
    member.propose(7).await.unwrap();
    let asked_before = frames_received(&cluster, leader).await;

    let answers = futures::future::join_all((0..1000).map(|_| member.read(()))).await;

    assert!(answers.into_iter().all(|answer| answer == Ok(vec![7])));
    let asked = frames_received(&cluster, leader).await - asked_before;
    assert!(
        asked < 40,
        "{asked} frames for 1000 reads, heartbeats among them"
    );
}

/// The frames that a member has received, as it tells a heartbeat later.
async fn frames_received(cluster: &Cluster, id: u128) -> u64 {
    tokio::time::sleep(ELECTION_TIMEOUT).await;
    let status = cluster.member(id).status();
    let counters = status.borrow().counters;
    counters.frames_received
}

#[tokio::test(start_paused = true)]
async fn a_member_that_starts_again_reads_without_waiting_for_a_heartbeat() {
    let mut cluster = Cluster::of(3).await;
    let leader = cluster.leader().await;
    let follower = cluster.others(&[leader])[0];
    cluster.member(leader).propose(7).await.unwrap();
    cluster.kill(follower);
    tokio::time::sleep(ELECTION_TIMEOUT / 2).await;

    let started = tokio::time::Instant::now();
    let member = cluster.start(follower, |member| member).await;
    let answer = member.read(()).await;

    assert_eq!(answer, Ok(vec![7]));
    let took = started.elapsed();
    assert!(took < config().heartbeat_interval() / 4, "{took:?}");
}

#[tokio::test(start_paused = true)]
async fn a_local_read_with_a_bound_asks_nobody_while_the_state_is_young() {
    let cluster = Cluster::of(3).await;
    let leader = cluster.leader().await;
    let follower = cluster.others(&[leader])[0];
    cluster.member(follower).propose(1).await.unwrap();
    tokio::time::sleep(Duration::from_secs(1)).await;
    cluster.isolate(follower);

    let age_max = 4 * config().heartbeat_interval();
    let local = cluster
        .member(follower)
        .read_local_within((), age_max)
        .await;

    let local = local.unwrap();
    assert_eq!(local.answer, [1]);
    assert!(local.age.unwrap() <= age_max);
}

#[tokio::test(start_paused = true)]
async fn a_local_read_with_a_bound_makes_an_older_state_young() {
    let cluster = Cluster::of(3).await;
    let leader = cluster.leader().await;
    let follower = cluster.others(&[leader])[0];
    cluster.member(leader).propose(1).await.unwrap();

    let local = cluster
        .member(follower)
        .read_local_within((), Duration::ZERO)
        .await;

    assert_eq!(local.unwrap().answer, [1]);
}

#[tokio::test(start_paused = true)]
async fn a_local_read_that_cannot_be_young_enough_is_not_answered() {
    let cluster = Cluster::of(3).await;
    let leader = cluster.leader().await;
    let follower = cluster.others(&[leader])[0];
    cluster.member(follower).propose(1).await.unwrap();
    cluster.isolate(follower);
    tokio::time::sleep(Duration::from_secs(10)).await;
    let member = cluster.member(follower).within(Duration::from_secs(2));

    let young = member.read_local_within((), Duration::from_secs(1)).await;
    let old = member.read_local_within((), Duration::from_secs(60)).await;

    assert_eq!(young, Err(ReadError::TimedOut));
    assert_eq!(old.unwrap().answer, [1]);
}

#[tokio::test(start_paused = true)]
async fn a_local_read_waits_until_the_state_is_young_enough() {
    let cluster = Cluster::of(3).await;
    let leader = cluster.leader().await;
    let follower = cluster.others(&[leader])[0];
    cluster.isolate(follower);
    cluster.member(leader).propose(1).await.unwrap();
    tokio::time::sleep(Duration::from_secs(10)).await;
    let age_max = Duration::from_secs(1);
    let member = cluster.member(follower);

    let (local, ()) = tokio::join!(member.read_local_within((), age_max), async {
        tokio::time::sleep(Duration::from_secs(3)).await;
        cluster.network.heal_all();
    });

    let local = local.unwrap();
    assert_eq!(local.answer, [1]);
    assert!(local.age.unwrap() <= age_max);
}

#[tokio::test(start_paused = true)]
async fn a_leader_with_a_lease_answers_while_nobody_can_hear_it() {
    let lease = ReadLease::with_drift_bound_ppm(1_000).unwrap();
    let config = Config::builder()
        .election_timeout(ELECTION_TIMEOUT)
        .read_lease(lease)
        .build()
        .unwrap();
    let mut cluster = Cluster::founded(1..=3).await;
    for id in 1..=3 {
        let config = config.clone();
        cluster.start(id, |member| member.config(config)).await;
    }
    let leader = cluster.leader().await;
    cluster.member(leader).propose(7).await.unwrap();
    cluster.isolate(leader);

    let early = cluster.member(leader).read(()).await;
    tokio::time::sleep(ELECTION_TIMEOUT).await;
    let late = cluster
        .member(leader)
        .within(ELECTION_TIMEOUT)
        .read(())
        .await;

    assert_eq!(early, Ok(vec![7]));
    assert_eq!(late, Err(ReadError::TimedOut));
}
