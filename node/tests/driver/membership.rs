use std::time::Duration;

use liferaft_node::driver::MembershipError;
use liferaft_raft::consensus::MembershipChange;

use crate::cluster::{Cluster, server, wait_for};

#[tokio::test(start_paused = true)]
async fn a_server_that_is_added_has_caught_up_and_votes() {
    let mut cluster = Cluster::of(1).await;
    cluster.member(1).propose(7).await.unwrap();
    let joiner = cluster.start(2, |member| member).await;

    let added = cluster.member(1).add_server(server(2)).await;

    assert_eq!(added, Ok(()));
    wait_for(&joiner, |status| {
        status.raft.configuration.is_voter(server(2))
    })
    .await;
    assert_eq!(cluster.settled().await, [7]);
}

#[tokio::test(start_paused = true)]
async fn a_change_is_made_whichever_member_is_asked() {
    let mut cluster = Cluster::of(3).await;
    let follower = cluster.others(&[cluster.leader().await])[0];
    cluster.start(4, |member| member).await;

    let added = cluster.member(follower).add_server(server(4)).await;
    let removed = cluster.member(follower).remove_server(server(4)).await;

    assert_eq!((added, removed), (Ok(()), Ok(())));
}

#[tokio::test(start_paused = true)]
async fn a_member_is_not_added_twice_and_a_stranger_not_removed() {
    let cluster = Cluster::of(3).await;

    let added = cluster.member(1).add_server(server(2)).await;
    let removed = cluster.member(2).remove_server(server(99)).await;

    assert_eq!(added, Err(MembershipError::AlreadyMember(server(2))));
    assert_eq!(removed, Err(MembershipError::NotMember(server(99))));
}

#[tokio::test(start_paused = true)]
async fn a_server_that_does_not_answer_is_not_added() {
    let cluster = Cluster::of(1).await;

    let added = cluster.member(1).add_server(server(99)).await;

    assert_eq!(added, Err(MembershipError::Unreachable(server(99))));
}

#[tokio::test(start_paused = true)]
async fn one_change_at_a_time() {
    let mut cluster = Cluster::of(3).await;
    cluster.start(4, |member| member).await;
    let leader = cluster.member(cluster.leader().await);

    let (first, second) = futures::join!(
        leader.add_server(server(4)),
        leader.remove_server(server(3))
    );

    assert_eq!((first, second), (Ok(()), Err(MembershipError::Pending)));
}

#[tokio::test(start_paused = true)]
async fn without_a_leader_nothing_is_changed() {
    let mut cluster = Cluster::empty();
    let blank = cluster.start(1, |member| member).await;

    let added = blank
        .within(Duration::from_secs(2))
        .add_server(server(2))
        .await;

    assert_eq!(added, Err(MembershipError::NotLeader { leader: None }));
}

#[tokio::test(start_paused = true)]
async fn a_change_without_steps_makes_no_sense() {
    let cluster = Cluster::of(1).await;

    let changed = cluster
        .member(1)
        .change_membership(MembershipChange::default())
        .await;

    assert!(matches!(changed, Err(MembershipError::Invalid(_))));
}

#[tokio::test(start_paused = true)]
async fn a_removed_leader_steps_down_and_the_others_go_on() {
    let cluster = Cluster::of(3).await;
    let leader = cluster.leader().await;

    let removed = cluster.member(leader).remove_server(server(leader)).await;
    let other = cluster.member(cluster.others(&[leader])[0]);
    let reply = other.propose(1).await;

    assert_eq!((removed, reply), (Ok(()), Ok(1)));
    wait_for(&cluster.member(leader), |status| !status.is_leader()).await;
}

#[tokio::test(start_paused = true)]
async fn several_changes_are_made_as_one() {
    let mut cluster = Cluster::of(3).await;
    cluster.start(4, |member| member).await;
    cluster.start(5, |member| member).await;
    let leader = cluster.leader().await;
    let leaving = cluster.others(&[leader, 4, 5])[0];
    let change = MembershipChange::add_voter(server(4))
        .and(MembershipChange::add_learner(server(5)))
        .and(MembershipChange::remove(server(leaving)));

    let changed = cluster.member(leader).change_membership(change).await;

    assert_eq!(changed, Ok(()));
    let status = wait_for(&cluster.member(leader), |status| {
        !status.raft.configuration.is_joint() && status.raft.configuration.is_voter(server(4))
    })
    .await;
    assert!(status.raft.configuration.is_learner(server(5)));
    assert!(!status.raft.configuration.contains(server(leaving)));
}
