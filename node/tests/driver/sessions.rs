//! Sessions that end while their members go on, as callers see it.

use bytes::Bytes;
use liferaft_node::driver::{Happening, Member};
use liferaft_node::storage::{MemoryStorage, Storage};
use liferaft_raft::config::Config;
use liferaft_raft::entry::Payload;
use liferaft_raft::ids::Index;
use liferaft_raft::sessions::{
    CommandHeader, Envelope, HEADER_BYTES, SESSION_EXPIRY, registration,
};
use liferaft_raft::state_machine::{ApplyContext, Capture, RestoreError, StateMachine};
use liferaft_raft::wire::{Content, Frame};
use liferaft_transport::memory::{MemoryNetwork, MemoryTransport};
use liferaft_transport::{DeliveryClass, Transport};
use serde::{Deserialize, Deserializer, Serialize, Serializer};

use crate::cluster::{CLUSTER, Cluster, founder, server, wait_for};
use crate::events::next;
use crate::outbox::{NEVER, UNHURRIED_ELECTION_TIMEOUT, expire_all_sessions, unhurried_cluster};

/// The registrations of plain sessions in the log on a disk, as they were sent.
async fn registrations(mut disk: MemoryStorage) -> Vec<Bytes> {
    let recovered = disk.recover(u64::MAX).await.expect("the disk is there");
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

/// Adds a learner that only says what a test has it say, since only members may pass commands on.
async fn puppet(cluster: &Cluster, leader: u128) -> MemoryTransport {
    let puppet = cluster.network.attach(server(67)).expect("the id is free");
    let added = cluster.member(leader).add_learner(server(67)).await;
    added.expect("it is added");
    puppet
}

/// Passes these commands on to the leader and waits until it has applied them.
async fn send_from(
    puppet: &mut MemoryTransport,
    cluster: &Cluster,
    leader: u128,
    commands: Vec<Bytes>,
) {
    let member = cluster.member(leader);
    let through = member.status().borrow().applied().0 + commands.len() as u64;
    let content = Content::Propose {
        request: 1,
        commands,
    };
    let frame = Frame {
        cluster: CLUSTER,
        to: server(leader),
        content,
    };
    puppet
        .send(server(leader), DeliveryClass::Stream, frame.encode().into())
        .expect("the network takes it");
    wait_for(&member, |status| status.applied().0 >= through).await;
}

#[tokio::test(start_paused = true)]
async fn a_late_copy_of_an_old_registration_silences_nobody() {
    let cluster = unhurried_cluster(NEVER).await;
    let leader = cluster.leader().await;
    let follower = cluster.member(cluster.others(&[leader])[0]);
    follower.propose(1).await.expect("it is done");
    let registration = registrations(cluster.disk(leader)).await.remove(0);
    expire_all_sessions(&cluster, &[1, 2, 3], 1).await;
    follower
        .propose(2)
        .await
        .expect("it is done in another session");

    let mut puppet = puppet(&cluster, leader).await;
    send_from(&mut puppet, &cluster, leader, vec![registration]).await;

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

    assert_eq!(registrations(cluster.disk(leader)).await.len(), 2);
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
        .start_first(1, |member| {
            let member = member.config(config);
            member.snapshot_after_log_bytes(10_000)
        })
        .await;
    let mut puppet = puppet(&cluster, 1).await;
    member.propose(0).await.expect("it is done");
    let local = member.read_local(()).await.expect("the member runs");
    let session = local.applied.next();

    let mut events = member.events();

    // The state takes 8 bytes for each command, and the reply that is kept about as many.
    send_from(&mut puppet, &cluster, 1, unacknowledged(session, 500)).await;
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

/// Counts its commands. Each reply is serialised to a mebibyte and takes no memory here.
#[derive(Default)]
struct Counter(u64);

#[derive(Clone, Debug, PartialEq, Eq)]
struct Mebibyte(u64);

/// What makes it so heavy.
struct Ballast;

impl Serialize for Ballast {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        static ZEROS: [u8; 1 << 20] = [0; 1 << 20];
        serializer.serialize_bytes(&ZEROS)
    }
}

impl Serialize for Mebibyte {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        (self.0, Ballast).serialize(serializer)
    }
}

impl<'de> Deserialize<'de> for Mebibyte {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        <(u64, &[u8])>::deserialize(deserializer).map(|(count, _)| Self(count))
    }
}

impl StateMachine for Counter {
    type Command = ();
    type Reply = Mebibyte;
    type Query = ();
    type Answer = u64;

    fn apply(&mut self, _: ApplyContext, (): ()) -> Mebibyte {
        self.0 += 1;
        Mebibyte(self.0)
    }

    fn query(&self, (): ()) -> u64 {
        self.0
    }

    fn snapshot(&self) -> impl Capture {
        Vec::new
    }

    fn restore(&mut self, _: &[u8]) -> Result<(), RestoreError> {
        Ok(())
    }
}

// Nothing of a session that ends for its replies is lost: what came before has its reply, and what came after had no
// effect and takes another session.
#[tokio::test(start_paused = true)]
async fn callers_whose_replies_are_too_heavy_are_answered_once_each() {
    let network = MemoryNetwork::new(1);
    let transport = network.attach(server(1)).expect("the id is free");
    let disk = founder().await;
    let member = Member::builder(Counter::default(), transport, disk.clone());
    let member = member.start().await.expect("the member starts");

    let asked = (0..200).map(|_| member.propose(()));
    let replies = futures::future::join_all(asked).await;

    let mut counts: Vec<_> = replies
        .into_iter()
        .map(|reply| reply.expect("it is done").0)
        .collect();
    counts.sort_unstable();
    assert_eq!(counts, (1..=200).collect::<Vec<_>>());
    assert_eq!(member.read(()).await, Ok(200));
    let opened = registrations(disk).await.len();
    assert_eq!(opened, 4, "a session keeps 63 replies of a mebibyte");
}
