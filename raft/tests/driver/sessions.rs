//! Sessions that end while their members go on, as callers see it.

use bytes::Bytes;
use liferaft_raft::config::Config;
use liferaft_raft::driver::Happening;
use liferaft_raft::entry::Payload;
use liferaft_raft::ids::{Index, ServerId};
use liferaft_raft::sessions::{
    CommandHeader, Envelope, HEADER_BYTES, SESSION_EXPIRY, registration,
};
use liferaft_raft::storage::Storage;
use liferaft_raft::wire::{Content, Frame};
use liferaft_transport::{DeliveryClass, PeerId, Transport};

use crate::cluster::{CLUSTER, Cluster, wait_for};
use crate::events::next;
use crate::outbox::{NEVER, UNHURRIED_ELECTION_TIMEOUT, expire_all_sessions, unhurried_cluster};

/// The registrations of plain sessions in a member's log, as they were sent.
async fn registrations(cluster: &Cluster, id: u128) -> Vec<Bytes> {
    let recovered = cluster.disk(id).recover().await.expect("the disk is there");
    let commands = recovered
        .entries
        .into_iter()
        .filter_map(|entry| match entry.payload {
            Payload::Command(command) => Some(command),
            Payload::Noop | Payload::Configuration(_) => None,
        });
    commands
        .filter(|command| matches!(Envelope::decode(command), Ok(Envelope::Register { .. })))
        .collect()
}

/// Has the leader append commands of a client that is none of the members.
async fn send_as_stranger(cluster: &Cluster, leader: u128, commands: Vec<Bytes>) {
    let mut stranger = cluster.network.attach(PeerId(67)).expect("the id is free");
    let member = cluster.member(leader);
    let through = member.status().borrow().applied().0 + commands.len() as u64;
    let content = Content::Propose {
        request: 1,
        commands,
    };
    let frame = Frame {
        cluster: CLUSTER,
        to: ServerId(leader),
        content,
    };
    stranger
        .send(PeerId(leader), DeliveryClass::Stream, frame.encode())
        .expect("the network takes it");
    wait_for(&member, |status| status.applied().0 >= through).await;
}

#[tokio::test(start_paused = true)]
async fn a_late_copy_of_an_old_registration_silences_nobody() {
    let cluster = unhurried_cluster(NEVER).await;
    let leader = cluster.leader().await;
    let follower = cluster.member(cluster.others(&[leader])[0]);
    follower.propose(1).await.expect("it is done");
    let registration = registrations(&cluster, leader).await.remove(0);
    expire_all_sessions(&cluster, &[1, 2, 3], 1).await;
    follower
        .propose(2)
        .await
        .expect("it is done in another session");

    send_as_stranger(&cluster, leader, vec![registration]).await;

    assert_eq!(follower.propose(3).await, Ok(3));
    assert_eq!(cluster.settled().await, [1, 2, 3]);
}

#[tokio::test(start_paused = true)]
async fn an_idle_cluster_ends_a_session_when_its_time_has_come() {
    let cluster = unhurried_cluster(NEVER).await;
    let leader = cluster.leader().await;
    let member = cluster.member(leader);
    member.propose(1).await.expect("it is done");

    tokio::time::sleep(SESSION_EXPIRY + UNHURRIED_ELECTION_TIMEOUT).await;
    let applied = member.status().borrow().applied();
    tokio::time::sleep(SESSION_EXPIRY).await;
    let applied_later = member.status().borrow().applied();
    member
        .propose(2)
        .await
        .expect("it is done in another session");

    assert_eq!(registrations(&cluster, leader).await.len(), 2);
    assert_eq!(applied, applied_later, "nothing more waits for the time");
}

/// A client that never acknowledges: its session, and commands of it whose replies are all kept.
fn unacknowledged(first_index: Index, count: u64) -> Vec<Bytes> {
    let commands = (1..=count).map(|sequence| {
        let mut bytes = vec![0; HEADER_BYTES];
        let header = CommandHeader {
            session: first_index,
            sequence,
            acknowledged_through: 0,
        };
        header.write_to(&mut bytes);
        Bytes::from(postcard::to_extend(&sequence, bytes).expect("a number is serialised"))
    });
    std::iter::once(Bytes::from(registration(77)))
        .chain(commands)
        .collect()
}

#[tokio::test(start_paused = true)]
async fn a_refused_snapshot_is_told_and_taken_once_the_replies_are_gone() {
    let config = Config::builder()
        .election_timeout(UNHURRIED_ELECTION_TIMEOUT)
        .limits(|limits| limits.snapshot_bytes_max = 5000)
        .build()
        .expect("it makes sense");
    let mut cluster = Cluster::empty();
    let member = cluster
        .start(1, |member| {
            let member = member.first_server().config(config);
            member.snapshot_after_log_bytes(10_000)
        })
        .await;
    member.propose(0).await.expect("it is done");
    let local = member.read_local(()).await.expect("the member runs");
    let session = local.applied.next();

    let mut events = member.events();

    // The state takes 8 bytes for each command, and the reply that is kept about as many.
    send_as_stranger(&cluster, 1, unacknowledged(session, 500)).await;
    let refused = next(&mut events, |what| {
        matches!(
            what,
            Happening::SnapshotRefused {
                bytes: 5001..,
                bytes_max: 5000,
                ..
            }
        )
    });
    let refused = tokio::time::timeout(UNHURRIED_ELECTION_TIMEOUT, refused).await;
    let taken = wait_for(&member, |status| status.raft.snapshot > Index::ZERO);
    let taken = tokio::time::timeout(2 * SESSION_EXPIRY, taken).await;

    refused.expect("it is told that a snapshot was refused");
    let status = taken.expect("a snapshot is taken when the session has expired");
    assert_eq!(status.counters.snapshots_refused, 1);
}
