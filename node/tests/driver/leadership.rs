use liferaft_node::driver::TransferLeadershipError;
use liferaft_raft::config::Timing;
use liferaft_raft::consensus::TransferError;

use crate::cluster::{Cluster, ELECTION_TIMEOUT, server, wait_for};

#[tokio::test(start_paused = true)]
async fn three_members_elect_one_leader_and_replicate() {
    let cluster = Cluster::of(3).await;

    let reply = cluster.member(cluster.leader().await).propose(7).await;

    assert_eq!(reply, Ok(1));
    assert_eq!(cluster.settled().await, [7]);
}

#[tokio::test(start_paused = true)]
async fn a_killed_leader_is_replaced_and_nothing_is_lost() {
    let mut cluster = Cluster::of(3).await;
    let leader = cluster.leader().await;
    cluster.member(leader).propose(1).await.unwrap();

    cluster.kill(leader);
    let next = cluster.leader().await;
    cluster.member(next).propose(2).await.unwrap();

    assert_ne!(next, leader);
    assert_eq!(cluster.settled().await, [1, 2]);
}

#[tokio::test(start_paused = true)]
async fn leadership_is_handed_to_the_server_that_is_named_whoever_is_asked() {
    let cluster = Cluster::of(3).await;
    let leader = cluster.leader().await;
    let [asked, next] = cluster.others(&[leader])[..] else {
        panic!("there are three")
    };

    let outcome = cluster
        .member(asked)
        .transfer_leadership(Some(server(next)))
        .await;

    assert_eq!(outcome, Ok(server(next)));
    wait_for(&cluster.member(next), |status| status.is_leader()).await;
}

#[tokio::test(start_paused = true)]
async fn leadership_is_not_handed_to_a_stranger() {
    let cluster = Cluster::of(3).await;
    let leader = cluster.leader().await;

    let outcome = cluster
        .member(leader)
        .transfer_leadership(Some(server(99)))
        .await;

    let refused = TransferError::NotVoter(server(99));
    assert_eq!(outcome, Err(TransferLeadershipError::Transfer(refused)));
}

#[tokio::test(start_paused = true)]
async fn a_member_that_restarts_over_its_disk_has_what_it_had() {
    let mut cluster = Cluster::of(3).await;
    let leader = cluster.leader().await;
    cluster.member(leader).propose(1).await.unwrap();
    cluster.settled().await;
    let restarted = cluster.others(&[leader])[0];

    cluster.kill(restarted);
    cluster.member(leader).propose(2).await.unwrap();
    let member = cluster.start(restarted, |member| member).await;
    member.propose(3).await.unwrap();

    assert_eq!(cluster.settled().await, [1, 2, 3]);
}

#[tokio::test(start_paused = true)]
async fn members_whose_timing_was_changed_elect_by_the_new_one() {
    let mut cluster = Cluster::of(3).await;
    let leader = cluster.leader().await;
    let slower = Timing::new(20 * ELECTION_TIMEOUT, ELECTION_TIMEOUT).unwrap();
    for id in 1..=3 {
        cluster.member(id).set_timing(slower).await;
    }
    cluster.member(leader).propose(1).await.unwrap();
    tokio::time::sleep(4 * ELECTION_TIMEOUT).await;
    let killed = tokio::time::Instant::now();

    cluster.kill(leader);
    wait_for(&cluster.member(cluster.others(&[])[0]), |status| {
        status.leader().is_some_and(|next| next != server(leader))
    })
    .await;

    assert!(killed.elapsed() > 10 * ELECTION_TIMEOUT);
}
