//! Members whose disks fill up.

use std::sync::atomic::Ordering;

use liferaft_raft::driver::{OutboxConfig, ProposeError};

use crate::cluster::{Cluster, ELECTION_TIMEOUT, server, wait_for};
use crate::hampered::Hampered;
use crate::machine::Journal;

/// Members 1 to `count`, who have a leader, and their disks.
async fn cluster_of(count: u128) -> (Cluster, Vec<Hampered>) {
    let mut cluster = Cluster::founded(1..=count).await;
    let mut disks = Vec::new();
    for id in 1..=count {
        let disk = Hampered::over(cluster.disk(id));
        let transport = cluster.network.attach(server(id)).unwrap();
        let journal = Journal::default();
        cluster
            .start_on(id, journal, transport, disk.clone(), |member| member)
            .await;
        disks.push(disk);
    }
    cluster.leader().await;
    (cluster, disks)
}

#[tokio::test(start_paused = true)]
async fn a_leader_without_room_refuses_commands_and_hands_leadership_over() {
    let (cluster, disks) = cluster_of(3).await;
    let leader = cluster.leader().await;
    let member = cluster.member(leader);

    disks[usize::try_from(leader).unwrap() - 1]
        .is_low
        .store(true, Ordering::Relaxed);
    let refused = member.propose(1).await;
    let other = server(leader);
    wait_for(&member, |status| {
        status.leader().is_some_and(|leads| leads != other)
    })
    .await;
    let done = member.propose(2).await;

    assert_eq!(refused, Err(ProposeError::NoRoom));
    assert_eq!(done, Ok(1));
    assert_eq!(cluster.settled().await, [2]);
}

#[tokio::test(start_paused = true)]
async fn commands_of_others_wait_for_a_leader_with_room() {
    let (cluster, disks) = cluster_of(3).await;
    let leader = cluster.leader().await;
    let follower = cluster.member(cluster.others(&[leader])[0]);

    disks[usize::try_from(leader).unwrap() - 1]
        .is_low
        .store(true, Ordering::Relaxed);

    assert_eq!(follower.propose(1).await, Ok(1));
    assert!(!cluster.member(leader).status().borrow().is_leader());
}

#[tokio::test(start_paused = true)]
async fn the_only_voter_takes_commands_again_when_there_is_room() {
    let (cluster, disks) = cluster_of(1).await;
    let member = cluster.member(1);
    let outbox = member.outbox(OutboxConfig::default()).await.unwrap();
    outbox.push(&1).unwrap().await.unwrap();

    disks[0].is_low.store(true, Ordering::Relaxed);
    drop(outbox.push(&2).unwrap());
    let refused = [member.propose(3).await, member.propose(4).await];
    tokio::time::sleep(4 * ELECTION_TIMEOUT).await;
    let waiting = outbox.pending().len();
    let low = member.status().borrow().storage.is_low;
    disks[0].is_low.store(false, Ordering::Relaxed);

    assert_eq!(
        refused,
        [Err(ProposeError::NoRoom), Err(ProposeError::NoRoom)]
    );
    assert_eq!(waiting, 1);
    assert!(low);
    assert_eq!(outbox.flush().await, Ok(()));
    assert_eq!(member.propose(5).await, Ok(3));
}
