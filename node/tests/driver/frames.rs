//! Shows what fits into the frames of every member's transport.

use std::task::{Context, Poll};

use liferaft_node::driver::{
    BootstrapFault, FoundError, Founding, Handle, Member, MembershipError, StartError, StopReason,
};
use liferaft_node::storage::{MemoryStorage, Storage};
use liferaft_raft::config::Config;
use liferaft_raft::configuration::{
    self, Configuration, Description, ENTRY_BYTES_MAX, PublicKey, SERVERS_MAX, Versions,
};
use liferaft_raft::consensus::{Addition, InvalidChange, MembershipChange, MembershipStep};
use liferaft_raft::ids::ServerId;
use liferaft_transport::memory::{MemoryNetwork, MemoryTransport};
use liferaft_transport::{DeliveryClass, Event, Frame, SendError, Transport};

use crate::cluster::{CLUSTER, Cluster, ELECTION_TIMEOUT, disk, founder, server, wait_for};
use crate::machine::Journal;

const FRAME_BYTES: usize = 16 << 10;
const ENTRY_BYTES: u64 = 12 << 10;

/// A transport that carries frames of so many bytes, both ways.
struct Short(MemoryTransport, usize);

impl Transport for Short {
    fn local(&self) -> ServerId {
        self.0.local()
    }

    fn frame_bytes_max(&self) -> usize {
        self.1
    }

    fn send(&mut self, to: ServerId, class: DeliveryClass, frame: Frame) -> Result<(), SendError> {
        let (bytes, bytes_max) = (frame.len(), self.1);
        if bytes > bytes_max {
            return Err(SendError::TooLarge { bytes, bytes_max });
        }
        self.0.send(to, class, frame)
    }

    fn poll_event(&mut self, context: &mut Context<'_>) -> Poll<Option<Event>> {
        loop {
            match self.0.poll_event(context) {
                Poll::Ready(Some(Event::Frame { frame, .. })) if frame.len() > self.1 => {}
                event => return event,
            }
        }
    }
}

fn config() -> Config {
    Config::builder()
        .election_timeout(ELECTION_TIMEOUT)
        .limits(|limits| {
            limits.append_bytes_max = 4 << 10;
            limits.snapshot_chunk_bytes = 4 << 10;
            limits.trailing_entries = 0;
            limits.catch_up_bytes_max = 0;
        })
        .build()
        .expect("it makes sense")
}

async fn start(cluster: &mut Cluster, id: u128, frame_bytes: usize) -> Handle<Journal> {
    let transport = cluster.network.attach(server(id)).expect("the id is free");
    let transport = Short(transport, frame_bytes);
    cluster
        .start_over(id, Journal::default(), transport, |member| {
            member
                .config(config())
                .manual_membership()
                .snapshot_after_log_bytes(1)
        })
        .await
}

/// Three servers have founded it, for entries of this length.
async fn founded() -> Cluster {
    let mut cluster = Cluster::empty();
    let tune = |founding: Configuration| founding.with_entry_bytes_max(ENTRY_BYTES);
    cluster.found(1..=3, tune).await;
    cluster
}

/// Members 1 to 3, over frames of 16 KiB: the leader and a follower.
async fn three() -> (Cluster, Handle<Journal>, Handle<Journal>) {
    let mut cluster = founded().await;
    for id in 1..=3 {
        start(&mut cluster, id, FRAME_BYTES).await;
    }
    let leader = cluster.leader().await;
    let follower = cluster.others(&[leader])[0];
    let (leader, follower) = (cluster.member(leader), cluster.member(follower));
    (cluster, leader, follower)
}

/// Members 1 to 3, of whom the third follows and sends frames that the others do not carry, unless it keeps from it.
async fn one_with_longer_frames() -> (Cluster, Handle<Journal>) {
    let mut cluster = founded().await;
    for (id, frame_bytes) in [(1, FRAME_BYTES), (2, FRAME_BYTES), (3, 1 << 20)] {
        start(&mut cluster, id, frame_bytes).await;
    }
    let member = cluster.member(3);
    if cluster.leader().await == 3 {
        let told = member.transfer_leadership(Some(server(1))).await;
        told.expect("server 1 takes over");
        cluster.leader().await;
    }
    (cluster, member)
}

/// A change that adds so many learners, from server 100 on, with their keys.
fn learners(count: u128) -> MembershipChange {
    let steps = (100..100 + count).map(|number| {
        let disk = disk(number);
        MembershipStep::AddLearner(Addition {
            description: Some(Description::of(disk.identity().public_key())),
            ..Addition::of(disk.identity().id())
        })
    });
    MembershipChange {
        steps: steps.collect(),
    }
}

#[tokio::test(start_paused = true)]
async fn a_change_that_fits_no_entry_is_refused_and_halts_nothing() {
    let (cluster, leader, follower) = three().await;

    let at_leader = leader.change_membership(learners(300)).await;
    let too_long_for_an_entry = follower.change_membership(learners(200)).await;
    let too_long_for_a_frame = follower.change_membership(learners(300)).await;

    let too_large = |bytes, bytes_max| Err(MembershipError::TooLarge { bytes, bytes_max });
    assert_eq!(at_leader, too_large(19_922, ENTRY_BYTES));
    assert_eq!(too_long_for_an_entry, too_large(13_322, ENTRY_BYTES));
    assert_eq!(too_long_for_a_frame, too_large(18_663, ENTRY_BYTES + 1024));
    assert_eq!(leader.propose(1).await, Ok(1));
    assert_eq!(follower.propose(2).await, Ok(2));
    assert_eq!(cluster.settled().await, [1, 2]);
}

/// Whoever is sent a snapshot is sent the configuration too.
#[tokio::test(start_paused = true)]
async fn the_largest_change_that_fits_is_made_and_reaches_its_learners() {
    let (mut cluster, leader, follower) = three().await;

    let over = leader.change_membership(learners(185)).await;
    let most = follower.change_membership(learners(184)).await;
    for number in 0..20 {
        leader.propose(number).await.unwrap();
    }
    let learner = start(&mut cluster, 100, FRAME_BYTES).await;

    assert!(
        matches!(over, Err(MembershipError::TooLarge { .. })),
        "{over:?}"
    );
    assert_eq!(most, Ok(()));
    let status = wait_for(&learner, |status| {
        status.applied() >= leader.status().borrow().raft.commit && status.applied().0 > 20
    })
    .await;
    assert_eq!(status.raft.configuration.members().len(), 187);
    assert!(status.raft.snapshot.0 > 1, "it was sent a snapshot");
}

#[tokio::test(start_paused = true)]
async fn a_member_with_frames_too_short_for_its_cluster_does_not_start() {
    let cluster = Cluster::empty();
    let transport = cluster.network.attach(server(1)).expect("the id is free");
    let short = Short(transport, FRAME_BYTES);
    let started = Member::builder(Journal::default(), short, founder().await)
        .config(config())
        .start()
        .await;

    let told = matches!(
        started,
        Err(StartError::FramesTooShort {
            frame_bytes_max: FRAME_BYTES,
            bytes: 1_049_600
        })
    );
    assert!(told);
}

/// The longest entry of the cluster that a server founds for these frames.
async fn entry_bytes_of_founder(frame_bytes: usize) -> u64 {
    let network = MemoryNetwork::new(1);
    let transport = Short(network.attach(server(1)).unwrap(), frame_bytes);
    let disk = founder_within(transport.frame_bytes_max()).await;
    let member = Member::builder(Journal::default(), transport, disk)
        .config(config())
        .start()
        .await
        .expect("its transport carries that");
    let status = member.status().borrow().clone();
    status.raft.configuration.entry_bytes_max()
}

/// The disk of server 1, which has founded a cluster for these frames.
async fn founder_within(frame_bytes: usize) -> MemoryStorage {
    let voters = Configuration::of_voters([server(1)]);
    let founding = Founding::of(CLUSTER, voters).within_frames(frame_bytes);
    let mut disk = disk(1);
    founding.found(&mut disk).await.expect("the disk is blank");
    disk
}

#[tokio::test(start_paused = true)]
async fn a_server_founds_for_what_its_transport_carries() {
    let short = entry_bytes_of_founder(FRAME_BYTES).await;
    let long = entry_bytes_of_founder(8 << 20).await;

    assert_eq!(short, FRAME_BYTES as u64 - 1024);
    assert_eq!(long, ENTRY_BYTES_MAX);
}

/// The default lengths of an append and of a chunk are longer than these frames.
#[tokio::test(start_paused = true)]
async fn default_settings_do_over_short_frames() {
    let network = MemoryNetwork::new(1);
    let member = |disk: MemoryStorage| {
        let transport = network.attach(disk.identity().id()).unwrap();
        Member::builder(Journal::default(), Short(transport, FRAME_BYTES), disk)
    };
    let first = member(founder_within(FRAME_BYTES).await);
    let first = first.start().await.unwrap();
    let entries = (0..2_000).map(|number| first.propose(number));
    futures::future::join_all(entries).await;

    let joiner = member(disk(2)).join(CLUSTER, server(1));
    let joiner = joiner.start().await.unwrap();

    joiner.joined().await.unwrap();
    assert_eq!(joiner.read(()).await.unwrap().len(), 2_000);
    assert_eq!(joiner.status().borrow().counters.frames_not_sent, 0);
    assert_eq!(first.status().borrow().counters.frames_not_sent, 0);
}

#[tokio::test(start_paused = true)]
async fn a_joiner_with_frames_too_short_for_the_cluster_stops() {
    let (mut cluster, leader, _) = three().await;
    let joiner = start(&mut cluster, 4, 8 << 10).await;

    let added = leader.add_learner(server(4)).await;

    assert_eq!(added, Ok(()));
    let status = wait_for(&joiner, |status| status.stopped.is_some()).await;
    let reason = StopReason::FramesTooShort {
        frame_bytes_max: 8 << 10,
        bytes: ENTRY_BYTES + 1024,
    };
    assert_eq!(status.stopped, Some(reason));
}

#[tokio::test(start_paused = true)]
async fn entries_too_short_for_the_configuration_begin_no_cluster() {
    let voters = Configuration::of_voters([server(1)]).with_entry_bytes_max(40);

    let founded = Founding::new(voters).found(&mut disk(1)).await;

    let fault = BootstrapFault::TooLarge {
        bytes: 58,
        bytes_max: 40,
    };
    assert!(matches!(founded, Err(FoundError::Bootstrap(found)) if found == fault));
}

#[tokio::test(start_paused = true)]
async fn a_configuration_that_no_member_reads_begins_no_cluster() {
    let voter = |description| [(server(1), configuration::Member::voter(description))];
    let misnamed = voter(Description::of(PublicKey([7; 32])));
    let mute = voter(Description::default().with_versions(Versions::only(9)));
    let many = Configuration::of_voters((1..=SERVERS_MAX as u128 + 1).map(ServerId));
    for (configuration, fault) in [
        (
            Configuration::from_members(misnamed),
            BootstrapFault::WrongKey(server(1)),
        ),
        (
            Configuration::from_members(mute),
            BootstrapFault::VersionNotSpoken {
                server: server(1),
                version: 1,
            },
        ),
        (many, BootstrapFault::TooManyServers),
    ] {
        let founded = Founding::new(configuration).found(&mut disk(1)).await;

        assert!(matches!(founded, Err(FoundError::Bootstrap(found)) if found == fault));
    }
}

/// What a leader appended with another server's key no follower could read: the cluster committed nothing any more.
#[tokio::test(start_paused = true)]
async fn a_key_that_is_not_the_servers_is_refused_and_halts_nothing() {
    let (cluster, leader, follower) = three().await;
    let key = PublicKey([7; 32]);
    let keyed = |id| {
        MembershipChange::from(MembershipStep::AddLearner(Addition {
            description: Some(Description::of(key)),
            ..Addition::of(id)
        }))
    };

    let at_leader = leader.change_membership(keyed(server(100))).await;
    let at_follower = follower.change_membership(keyed(server(100))).await;
    let own = follower.change_membership(keyed(key.server_id())).await;

    let refused = Err(MembershipError::Invalid(InvalidChange::WrongKey(server(
        100,
    ))));
    assert_eq!([at_leader, at_follower], [refused.clone(), refused]);
    assert_eq!(own, Ok(()));
    assert_eq!(leader.propose(1).await, Ok(1));
    assert_eq!(cluster.settled().await, [1]);
}

/// A frame that the leader's transport does not carry was sent again and again.
#[tokio::test(start_paused = true)]
async fn commands_of_a_member_with_longer_frames_reach_the_leader() {
    let (_cluster, member) = one_with_longer_frames().await;
    member.propose(0).await.expect("its session begins");

    let many = (1..=800).map(|number| member.propose(number));
    let done = futures::future::join_all(many).await;

    assert!(done.iter().all(Result::is_ok), "{:?}", done[0]);
}

/// The change itself takes more than the configuration that it leads to.
#[tokio::test(start_paused = true)]
async fn a_change_longer_than_others_frames_is_refused_where_it_is_asked() {
    let (_cluster, member) = one_with_longer_frames().await;

    let refused = member.change_membership(learners(300)).await;

    // The number of the request, which chance begins, takes a byte less now and then.
    let Err(MembershipError::TooLarge { bytes, bytes_max }) = refused else {
        panic!("{refused:?} is no refusal for its length");
    };
    assert_eq!(bytes_max, ENTRY_BYTES + 1024);
    assert!((18_655..=18_663).contains(&bytes), "{bytes}");
}
