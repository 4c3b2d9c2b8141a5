use liferaft_raft::ids::{Index, ServerId};

use crate::cluster::{Cluster, wait_for, wait_for_applied};

#[tokio::test(start_paused = true)]
async fn a_late_joiner_gets_the_snapshot_with_its_sessions_and_the_rest() {
    let mut cluster = Cluster::empty();
    let config = liferaft_raft::config::Config::builder()
        .election_timeout(crate::cluster::ELECTION_TIMEOUT)
        .limits(|limits| limits.trailing_entries = 10)
        .build()
        .unwrap();
    let first = cluster
        .start(1, |member| {
            member
                .first_server()
                .config(config)
                .snapshot_after_log_bytes(10_000)
        })
        .await;
    for number in 0..500 {
        first.propose(number).await.unwrap();
    }
    wait_for(&first, |status| status.raft.snapshot > Index::ZERO).await;

    let joiner = cluster.start(2, |member| member).await;
    first.add_server(ServerId(2)).await.unwrap();
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
        .start(1, |member| {
            member.first_server().snapshot_after_log_bytes(1000)
        })
        .await;
    for number in 0..100 {
        member.propose(number).await.unwrap();
    }
    wait_for(&member, |status| status.raft.snapshot > Index::ZERO).await;

    member.shutdown().await;
    cluster.kill(1);
    let member = cluster.start(1, |member| member).await;

    assert_eq!(member.read(()).await, Ok((0..100).collect()));
    assert_eq!(member.propose(100).await, Ok(101));
}
