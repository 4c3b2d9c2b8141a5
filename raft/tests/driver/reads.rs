use std::time::Duration;

use liferaft_raft::driver::ReadError;

use crate::cluster::{Cluster, ELECTION_TIMEOUT};

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
