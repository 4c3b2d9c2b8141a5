//! Sessions that end while their members go on, as callers see it.

use bytes::Bytes;
use liferaft_raft::entry::Payload;
use liferaft_raft::ids::ServerId;
use liferaft_raft::sessions::Envelope;
use liferaft_raft::storage::Storage;
use liferaft_raft::wire::{Content, Frame};
use liferaft_transport::{DeliveryClass, PeerId, Transport};

use crate::cluster::{CLUSTER, Cluster, wait_for};
use crate::outbox::{NEVER, expire_all_sessions, unhurried_cluster};

/// The first registration of a plain session in a member's log, as it was sent.
async fn first_registration(cluster: &Cluster, id: u128) -> Bytes {
    let recovered = cluster.disk(id).recover().await.expect("the disk is there");
    let commands = recovered
        .entries
        .into_iter()
        .filter_map(|entry| match entry.payload {
            Payload::Command(command) => Some(command),
            Payload::Noop | Payload::Configuration(_) => None,
        });
    let mut registrations = commands
        .filter(|command| matches!(Envelope::decode(command), Ok(Envelope::Register { .. })));
    registrations.next().expect("a session was opened")
}

/// Has the leader append a command that the network kept until now.
async fn deliver_late(cluster: &Cluster, leader: u128, command: Bytes) {
    let mut late = cluster.network.attach(PeerId(67)).expect("the id is free");
    let member = cluster.member(leader);
    let before = member.status().borrow().applied();
    let content = Content::Propose {
        request: 1,
        commands: vec![command],
    };
    let frame = Frame {
        cluster: CLUSTER,
        to: ServerId(leader),
        content,
    };
    late.send(PeerId(leader), DeliveryClass::Stream, frame.encode())
        .expect("the network takes it");
    wait_for(&member, |status| status.applied() > before).await;
}

#[tokio::test(start_paused = true)]
async fn a_late_copy_of_an_old_registration_silences_nobody() {
    let cluster = unhurried_cluster(NEVER).await;
    let leader = cluster.leader().await;
    let follower = cluster.member(cluster.others(&[leader])[0]);
    follower.propose(1).await.expect("it is done");
    let registration = first_registration(&cluster, leader).await;
    expire_all_sessions(&cluster, &[1, 2, 3], 1).await;
    follower
        .propose(2)
        .await
        .expect("it is done in another session");

    deliver_late(&cluster, leader, registration).await;

    assert_eq!(follower.propose(3).await, Ok(3));
    assert_eq!(cluster.settled().await, [1, 2, 3]);
}
