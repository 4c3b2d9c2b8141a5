use std::time::Duration;

use futures::StreamExt;
use liferaft_node::driver::{Events, Happening, MemberError, MemberEvent, StopReason};
use liferaft_platform::WallTime;
use liferaft_raft::consensus::{Refusal, RoleKind};
use liferaft_raft::ids::Term;
use liferaft_raft::message::{AppendEntriesReply, Body, Message, Token};
use liferaft_raft::wire::{Content, Frame};
use liferaft_transport::{DeliveryClass, Transport};

use crate::cluster::{CLUSTER, Cluster, ELECTION_TIMEOUT, server, wait_for};

/// The next event that is meant.
pub(crate) async fn next(
    events: &mut Events,
    is_meant: impl Fn(&Happening) -> bool,
) -> MemberEvent {
    loop {
        let event = events.next().await.expect("the member runs");
        let event = event.expect("no event is missed");
        if is_meant(&event.what) {
            return event;
        }
    }
}

#[tokio::test(start_paused = true)]
async fn a_member_tells_that_it_leads_with_its_term() {
    let mut cluster = Cluster::empty();
    let member = cluster.start_first(1, |member| member).await;
    let mut events = member.events();

    let event = next(&mut events, |what| {
        *what
            == Happening::RoleChanged {
                role: RoleKind::Leader,
            }
    })
    .await;

    assert_eq!(event.term, member.status().borrow().term());
    assert!(event.at.since_origin() <= liferaft_platform::now());
}

#[tokio::test(start_paused = true)]
async fn the_others_tell_that_their_leader_is_gone_and_who_follows_it() {
    let mut cluster = Cluster::of(3).await;
    let leader = cluster.leader().await;
    let survivor = cluster.member(cluster.others(&[leader])[0]);
    let mut events = survivor.events();

    cluster.kill(leader);
    next(&mut events, |what| {
        *what == Happening::LeaderChanged { leader: None }
    })
    .await;
    let event = next(&mut events, |what| {
        matches!(what, Happening::LeaderChanged { leader: Some(_) })
    })
    .await;

    let follows = survivor.status().borrow().leader();
    assert_eq!(event.what, Happening::LeaderChanged { leader: follows });
}

#[tokio::test(start_paused = true)]
async fn a_member_tells_of_members_and_links_that_come() {
    let mut cluster = Cluster::of(3).await;
    let member = cluster.member(cluster.leader().await);
    let mut events = member.events();

    cluster.start(4, |member| member).await;
    next(&mut events, |what| {
        *what == Happening::PeerUp { peer: server(4) }
    })
    .await;
    member.add_server(server(4)).await.unwrap();

    next(&mut events, |what| {
        matches!(what, Happening::MembershipChanged { .. })
    })
    .await;
    next(&mut events, |what| {
        matches!(what, Happening::MembershipCommitted { .. })
    })
    .await;
}

#[tokio::test(start_paused = true)]
async fn a_snapshot_is_told_of_by_who_takes_sends_and_installs_it() {
    let mut cluster = Cluster::empty();
    let config = liferaft_raft::config::Config::builder()
        .election_timeout(ELECTION_TIMEOUT)
        .limits(|limits| limits.trailing_entries = 10)
        .build()
        .unwrap();
    let first = cluster
        .start_first(1, |member| {
            let member = member.config(config);
            member.snapshot_after_log_bytes(10_000)
        })
        .await;
    let mut told = first.events();
    let joiner = cluster.start(2, |member| member).await;
    let mut told_by_joiner = joiner.events();

    for number in 0..500 {
        first.propose(number).await.unwrap();
    }
    next(&mut told, |what| *what == Happening::SnapshotBegun).await;
    next(&mut told, |what| {
        matches!(what, Happening::SnapshotTaken { bytes: 1.., .. })
    })
    .await;
    first.add_server(server(2)).await.unwrap();

    let to = server(2);
    next(&mut told, |what| *what == Happening::SnapshotSending { to }).await;
    next(&mut told, |what| *what == Happening::SnapshotSent { to }).await;
    next(&mut told_by_joiner, |what| {
        matches!(what, Happening::SnapshotInstalled { .. })
    })
    .await;
}

#[tokio::test(start_paused = true)]
async fn the_last_event_says_why_a_member_stopped() {
    let mut cluster = Cluster::empty();
    let member = cluster.start_first(1, |member| member).await;
    let events = member.events();

    member.stop().await;
    let events: Vec<_> = events.collect().await;

    let last = events.last().unwrap().clone().unwrap().what;
    let reason = StopReason::Shutdown;
    assert_eq!(last, Happening::Stopped { reason });
    assert_eq!(member.events().count().await, 0);
}

#[tokio::test(start_paused = true)]
async fn refused_messages_are_told_together_and_the_last_stays_in_the_status() {
    let mut cluster = Cluster::empty();
    let member = cluster.start_first(1, |member| member).await;
    wait_for(&member, |status| status.is_leader()).await;
    let term = member.status().borrow().term();
    let mut stranger = cluster.network.attach(server(66)).unwrap();
    let mut events = member.events();

    for _ in 0..100 {
        let frame = acknowledgement(term).encode();
        stranger
            .send(server(1), DeliveryClass::Datagram, frame.into())
            .unwrap();
    }
    let mut count = 0;
    let mut times = 0;
    while count < 100 {
        let event = next(&mut events, |what| {
            matches!(what, Happening::MessagesRefused { .. })
        });
        if let Happening::MessagesRefused { count: more, .. } = event.await.what {
            count += more;
            times += 1;
        }
    }

    assert_eq!(count, 100);
    assert!(times <= 2, "told {times} times");
    let from = server(66);
    let reason = Refusal::NotAPeer;
    let status = member.status();
    let last = status.borrow().last_error.clone().expect("it was noted");
    assert_eq!(last.error, MemberError::Refused { from, reason });
    let (at, what) = (last.at, "was refused: NotAPeer");
    assert_eq!(
        last.to_string(),
        format!("{at}: a message of server {from} {what}")
    );
    assert!(at <= WallTime::now());
}

/// What a server says that is no peer of the leader.
fn acknowledgement(term: Term) -> Frame {
    let body = Body::AppendEntriesReply(AppendEntriesReply {
        round: Default::default(),
        match_index: Default::default(),
        received: Default::default(),
        commit: Default::default(),
        applied: Default::default(),
        conflict: None,
        promise: Duration::ZERO,
        token: Token::NONE,
        last: Default::default(),
    });
    Frame {
        cluster: CLUSTER,
        to: server(1),
        content: Content::Message(Message { term, body }),
    }
}

#[tokio::test(start_paused = true)]
async fn a_leaders_status_tells_how_far_behind_each_peer_is() {
    let cluster = Cluster::of(3).await;
    let leader = cluster.leader().await;
    let [cut_off, follower] = cluster.others(&[leader])[..] else {
        panic!("of three, two follow");
    };
    let member = cluster.member(leader);
    member.propose(0).await.unwrap();
    tokio::time::sleep(ELECTION_TIMEOUT).await;
    cluster.isolate(cut_off);

    for number in 1..=10 {
        member.propose(number).await.unwrap();
    }
    let status = wait_for(&member, |status| {
        let lag = |id| status.raft.peers.iter().find(|peer| peer.id == server(id));
        lag(cut_off).is_some_and(|peer| peer.lag_entries >= 10)
            && lag(follower).is_some_and(|peer| peer.lag_entries == 0)
    })
    .await;

    let peer = |id| status.raft.peers.iter().find(|peer| peer.id == server(id));
    assert!(peer(follower).unwrap().round_trip.is_some());
    assert!(peer(cut_off).unwrap().inflight_bytes > 0);
}

#[tokio::test(start_paused = true)]
async fn a_status_tells_what_waits() {
    let cluster = Cluster::of(3).await;
    let leader = cluster.leader().await;
    let member = cluster.member(leader);
    cluster.isolate(leader);

    let commands = futures::future::join_all((0..7).map(|number| member.propose(number)));
    let reads = futures::future::join_all((0..5).map(|_| member.read(())));
    let waiting = wait_for(&member, |status| {
        status.queues.commands == 7 && status.queues.reads == 5
    });

    let status = tokio::select! {
        status = waiting => status,
        _ = futures::future::join(commands, reads) => panic!("nobody answers"),
    };
    assert!(status.queues.command_bytes > 0);
}

#[tokio::test(start_paused = true)]
async fn a_cluster_of_one_configuration_has_no_peers_to_tell_of() {
    let mut cluster = Cluster::empty();
    let member = cluster.start_first(1, |member| member).await;

    let status = wait_for(&member, |status| status.is_leader()).await;

    assert_eq!(status.raft.peers, []);
    assert_eq!(status.last_error, None);
}
