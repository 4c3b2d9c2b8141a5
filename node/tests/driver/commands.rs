use std::time::Duration;

use liferaft_node::driver::{ProposeError, UnknownCause};

use crate::cluster::Cluster;

#[tokio::test(start_paused = true)]
async fn every_member_takes_commands_and_forwards_them_to_the_leader() {
    let cluster = Cluster::of(3).await;

    cluster.member(1).propose(1).await.unwrap();
    cluster.member(2).propose(2).await.unwrap();
    let third = cluster.member(3).propose(3).await;

    assert_eq!(third, Ok(3));
    assert_eq!(cluster.settled().await, [1, 2, 3]);
}

#[tokio::test(start_paused = true)]
async fn many_callers_of_one_member_are_each_served_once() {
    let cluster = Cluster::of(3).await;
    let follower = cluster.others(&[cluster.leader().await])[0];
    let member = cluster.member(follower);

    let replies = futures::future::join_all((0..500).map(|number| member.propose(number))).await;

    let mut replies = replies.into_iter().collect::<Result<Vec<_>, _>>().unwrap();
    replies.sort_unstable();
    assert_eq!(replies, (1..=500).collect::<Vec<_>>());
    assert_eq!(cluster.settled().await.len(), 500);
}

#[tokio::test(start_paused = true)]
async fn a_command_that_found_no_leader_was_not_done() {
    let mut cluster = Cluster::empty();
    let blank = cluster.start(1, |member| member).await;

    let outcome = blank.within(Duration::from_secs(3)).propose(1).await;

    assert_eq!(outcome, Err(ProposeError::TimedOut));
}

#[tokio::test(start_paused = true)]
async fn a_command_that_a_leader_without_a_quorum_took_is_unknown() {
    let cluster = Cluster::of(3).await;
    let leader = cluster.leader().await;
    cluster.member(leader).propose(1).await.unwrap();

    cluster.isolate(leader);
    let outcome = cluster
        .member(leader)
        .within(Duration::from_millis(200))
        .propose(2)
        .await;

    assert_eq!(outcome, Err(ProposeError::Unknown(UnknownCause::NoReply)));
}

#[tokio::test(start_paused = true)]
async fn a_command_taken_by_a_leader_that_was_cut_off_is_done_once_it_is_back() {
    let cluster = Cluster::of(3).await;
    let leader = cluster.leader().await;
    cluster.member(leader).propose(1).await.unwrap();
    cluster.isolate(leader);

    let member = cluster.member(leader).within(Duration::from_secs(60));
    let caller = tokio::spawn(async move { member.propose(2).await });
    tokio::time::sleep(Duration::from_secs(5)).await;
    cluster.network.heal_all();

    assert_eq!(caller.await.unwrap(), Ok(2));
    assert_eq!(cluster.settled().await, [1, 2]);
}

#[tokio::test(start_paused = true)]
async fn a_command_too_large_is_refused_at_once() {
    let mut cluster = Cluster::empty();
    let config = liferaft_raft::config::Config::builder()
        .limits(|limits| limits.command_bytes_max = 22)
        .build()
        .unwrap();
    let member = cluster.start_first(1, |member| member.config(config)).await;

    let small = member.propose(1).await;
    let large = member.propose(u64::MAX).await;

    assert_eq!(small, Ok(1));
    assert_eq!(
        large,
        Err(ProposeError::TooLarge {
            bytes: 31,
            bytes_max: 22
        })
    );
}

#[tokio::test(start_paused = true)]
async fn more_commands_than_may_wait_are_busy_and_the_others_are_done() {
    let cluster = Cluster::of(1).await;
    let member = cluster.member(1);
    let count = 20_000;

    let outcomes = futures::future::join_all((0..count).map(|number| member.propose(number))).await;

    let done = outcomes.iter().filter(|outcome| outcome.is_ok()).count();
    let busy = outcomes
        .iter()
        .filter(|outcome| matches!(outcome, Err(ProposeError::Busy(_))))
        .count();
    assert!(done > 0 && busy > 0);
    assert_eq!(done + busy, outcomes.len());
    assert_eq!(cluster.settled().await.len(), done);
}
