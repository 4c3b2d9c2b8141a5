//! Bounds what one peer can make a member hold, or do.

use bytes::Bytes;
use liferaft_raft::wire::{Content, Frame};
use liferaft_transport::{DeliveryClass, Transport};

use crate::cluster::{CLUSTER, Cluster, ELECTION_TIMEOUT, server, wait_for};

/// While leadership is handed over nobody's commands are taken.
#[tokio::test(start_paused = true)]
async fn a_peer_that_restarts_over_and_over_has_one_transfer_waiting() {
    let mut cluster = Cluster::of(3).await;
    let leader = cluster.leader().await;
    let other = cluster.others(&[leader])[0];
    cluster.kill(other);
    let mut peer = cluster.network.attach(server(other)).unwrap();

    for run in 1..=200 {
        let content = Content::Transfer {
            request: run << 32 | 1,
            term: cluster.member(leader).status().borrow().raft.term,
            to: Some(server(other)),
        };
        let (cluster, to) = (CLUSTER, server(leader));
        let frame = Frame {
            cluster,
            to,
            content,
        };
        peer.send(
            server(leader),
            DeliveryClass::Datagram,
            frame.encode().into(),
        )
        .unwrap();
    }
    let member = cluster.member(leader).within(6 * ELECTION_TIMEOUT);
    wait_for(&member, |status| status.counters.frames_received >= 200).await;

    assert_eq!(member.propose(1).await, Ok(1));
}

#[tokio::test(start_paused = true)]
async fn long_frames_are_not_taken_in_all_at_once() {
    const MIB: usize = 1 << 20;
    let mut cluster = Cluster::empty();
    let member = cluster.start_first(1, |member| member).await;
    let mut stranger = cluster.network.attach(server(66)).unwrap();
    member.propose(1).await.unwrap();

    for _ in 0..20 {
        let frame = Bytes::from(vec![0xff; MIB]);
        stranger
            .send(server(1), DeliveryClass::Datagram, frame.into())
            .unwrap();
    }

    let mut at_once = 0;
    wait_for(&member, |status| {
        at_once = at_once.max(status.queues.frames);
        status.counters.frames_received == 20
    })
    .await;
    assert_eq!(at_once, 8);
}
