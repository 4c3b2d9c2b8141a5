//! Waiting for a member to be as wanted.

use std::time::Duration;

use liferaft_node::driver::{NotJoined, StopReason, WaitError};
use liferaft_raft::configuration::Suffrage;
use liferaft_raft::policy::{MembershipPolicy, Target};

use crate::cluster::{CLUSTER, Cluster, ELECTION_TIMEOUT, server};

// The first program of the README acknowledged a write with one voter: whoever killed that ended the cluster.
#[tokio::test(start_paused = true)]
async fn what_is_written_once_all_have_joined_survives_the_first_server() {
    let mut cluster = Cluster::empty();
    let first = cluster.start_first(1, |member| member).await;
    for id in [2, 3] {
        cluster
            .start(id, |member| member.join(CLUSTER, server(1)))
            .await;
    }

    let joined = [first.joined().await, cluster.member(2).joined().await];
    let third = cluster.member(3).joined().await;
    let written = cluster.member(2).propose(7).await;
    cluster.kill(1);

    assert_eq!(joined, [Ok(Suffrage::Voter), Ok(Suffrage::Voter)]);
    assert_eq!((third, written), (Ok(Suffrage::Voter), Ok(1)));
    assert_eq!(cluster.member(3).read(()).await, Ok(vec![7]));
    assert_eq!(cluster.member(2).propose(8).await, Ok(2));
}

#[tokio::test(start_paused = true)]
async fn a_learner_has_joined_where_enough_others_vote() {
    let policy = MembershipPolicy::default().with_voters(Target::Count(3));
    let mut cluster = Cluster::empty();
    cluster
        .start_first(1, |member| member.membership(policy))
        .await;

    let mut joined = Vec::new();
    for id in 2..=4 {
        let member = cluster
            .start(id, |member| {
                member.membership(policy).join(CLUSTER, server(1))
            })
            .await;
        joined.push(member.joined().await);
    }

    let (voter, learner) = (Ok(Suffrage::Voter), Ok(Suffrage::Learner));
    assert_eq!(joined, [voter.clone(), voter, learner]);
}

#[tokio::test(start_paused = true)]
async fn under_manual_membership_a_member_joins_as_what_it_was_added() {
    let mut cluster = Cluster::of(1).await;
    let member = cluster.start(2, |member| member.manual_membership()).await;
    let within = member.within(2 * ELECTION_TIMEOUT);

    let before = within.joined().await;
    cluster.member(1).add_learner(server(2)).await.unwrap();
    let after = member.joined().await;

    assert_eq!(before, Err(WaitError::NotJoined(NotJoined::NoLeader)));
    assert_eq!(after, Ok(Suffrage::Learner));
}

#[tokio::test(start_paused = true)]
async fn waiting_ends_at_the_deadline_and_with_the_member() {
    let cluster = Cluster::of(1).await;
    let member = cluster.member(1);
    let began = tokio::time::Instant::now();

    let late = member.within(Duration::from_secs(3));
    let late = late.wait_for(|status| !status.is_leader()).await;
    let waited = began.elapsed();
    let waiting = tokio::spawn({
        let member = member.clone();
        async move { member.wait_for(|status| !status.is_leader()).await }
    });
    tokio::time::sleep(ELECTION_TIMEOUT).await;
    member.stop().await;
    let stopped = waiting.await.unwrap();

    assert_eq!(late, Err(WaitError::TimedOut));
    assert!(waited >= Duration::from_secs(3) && waited < Duration::from_secs(4));
    assert!(stopped.is_ok() || stopped == Err(WaitError::Stopped(StopReason::Shutdown)));
}
