//! Members that come back with an empty disk under the id that belonged to what was on it.

use liferaft_node::driver::{Happening, MemberBuilder, MemberError, MembershipError, StopReason};
use liferaft_raft::configuration::Dismissal;
use liferaft_raft::consensus::ReplicationState;
use liferaft_raft::ids::Index;
use liferaft_raft::policy::MembershipPolicy;
use liferaft_raft::wire::{Content, Frame, JoinReply};
use liferaft_transport::{DeliveryClass, Transport};
use tokio::time::Instant;

use crate::cluster::{CLUSTER, Cluster, ELECTION_TIMEOUT, server, wait_for};
use crate::events::next;
use crate::machine::Journal;

/// Members 1 to `count` with a leader, who have all acknowledged a command. Tells the leader and a follower.
async fn cluster_of(
    count: u128,
    prepare: fn(MemberBuilder<Journal>) -> MemberBuilder<Journal>,
) -> (Cluster, u128, u128) {
    let mut cluster = Cluster::founded(1..=count).await;
    for id in 1..=count {
        cluster.start(id, prepare).await;
    }
    let leader = cluster.leader().await;
    cluster.member(leader).propose(7).await.unwrap();
    tokio::time::sleep(ELECTION_TIMEOUT).await;
    let follower = cluster.others(&[leader])[0];
    (cluster, leader, follower)
}

fn managed(member: MemberBuilder<Journal>) -> MemberBuilder<Journal> {
    member.membership(MembershipPolicy::default())
}

fn manual(member: MemberBuilder<Journal>) -> MemberBuilder<Journal> {
    member.manual_membership()
}

#[tokio::test(start_paused = true)]
async fn a_member_that_was_wiped_stops_and_its_id_is_retired() {
    let (mut cluster, leader, wiped) = cluster_of(4, managed).await;
    let operator = cluster.member(leader);
    cluster.wipe(wiped).await;
    let began = Instant::now();

    let member = cluster
        .start(wiped, |member| {
            managed(member).join(CLUSTER, server(leader))
        })
        .await;
    let stopped = wait_for(&member, |status| status.stopped.is_some()).await;
    let retired = wait_for(&operator, |status| {
        !status.raft.configuration.contains(server(wiped))
    })
    .await;
    let added = operator.add_server(server(wiped)).await;

    assert_eq!(stopped.stopped, Some(StopReason::Forgot));
    let dismissal = retired.raft.configuration.dismissal(server(wiped));
    assert_eq!(dismissal, Some(Dismissal::Forgot));
    assert!(began.elapsed() < MembershipPolicy::default().evict_after());
    assert_eq!(added, Err(MembershipError::Forgot(server(wiped))));
}

#[tokio::test(start_paused = true)]
async fn a_retired_id_that_asks_to_join_is_told_to_stop() {
    let (mut cluster, leader, wiped) = cluster_of(4, managed).await;
    let operator = cluster.member(leader);
    cluster.wipe(wiped).await;
    let joins = |member| managed(member).join(CLUSTER, server(leader));
    let first = cluster.start(wiped, joins).await;
    wait_for(&first, |status| status.stopped.is_some()).await;
    wait_for(&operator, |status| {
        !status.raft.configuration.contains(server(wiped)) && status.raft.peers.len() == 2
    })
    .await;
    cluster.wipe(wiped).await;

    let again = cluster.start(wiped, joins).await;
    let stopped = wait_for(&again, |status| status.stopped.is_some()).await;

    assert_eq!(stopped.stopped, Some(StopReason::Forgot));
}

/// With the least number of voters it stays in the configuration, and another takes its place.
#[tokio::test(start_paused = true)]
async fn a_member_that_was_wiped_comes_back_under_another_id() {
    let (mut cluster, leader, wiped) = cluster_of(3, managed).await;
    cluster.wipe(wiped).await;
    let joins = |member| managed(member).join(CLUSTER, server(leader));
    let member = cluster.start(wiped, joins).await;
    wait_for(&member, |status| status.stopped.is_some()).await;

    let newcomer = cluster.start(9, joins).await;
    let joined = wait_for(&newcomer, |status| {
        let configuration = &status.raft.configuration;
        configuration.is_voter(server(9)) && !configuration.contains(server(wiped))
    })
    .await;

    assert_eq!(joined.raft.configuration.voters().len(), 3);
    let dismissal = joined.raft.configuration.dismissal(server(wiped));
    assert_eq!(dismissal, Some(Dismissal::Forgot));
}

#[tokio::test(start_paused = true)]
async fn with_manual_membership_a_wiped_member_is_told_of_and_stops() {
    let (mut cluster, leader, wiped) = cluster_of(3, manual).await;
    let operator = cluster.member(leader);
    let mut events = operator.events();
    cluster.wipe(wiped).await;

    let member = cluster.start(wiped, manual).await;
    let stopped = wait_for(&member, |status| status.stopped.is_some()).await;
    let event = next(&mut events, |what| {
        matches!(what, Happening::PeerForgot { .. })
    })
    .await;
    let status = wait_for(&operator, |status| status.counters.peers_forgot > 0).await;

    assert_eq!(stopped.stopped, Some(StopReason::Forgot));
    let (peer, last) = (server(wiped), Index::ZERO);
    let Happening::PeerForgot { acknowledged, .. } = event.what else {
        panic!("it was waited for");
    };
    let forgot = MemberError::PeerForgot {
        peer,
        acknowledged,
        last,
    };
    assert_eq!(status.last_error.map(|last| last.error), Some(forgot));
    let of_peer = status.raft.peers.iter().find(|of| of.id == peer).unwrap();
    assert_eq!(of_peer.state, ReplicationState::Forgot);
    assert!(of_peer.lag_entries > 0);
    assert_eq!(status.counters.peers_forgot, 1);
}

#[tokio::test(start_paused = true)]
async fn whom_an_operator_removes_because_it_forgot_is_not_added_again() {
    let (mut cluster, leader, wiped) = cluster_of(3, manual).await;
    let operator = cluster.member(leader);
    cluster.wipe(wiped).await;
    let member = cluster.start(wiped, manual).await;
    wait_for(&member, |status| status.stopped.is_some()).await;

    let as_learner = operator.add_learner(server(wiped)).await;
    operator.remove_server(server(wiped)).await.unwrap();
    let added = operator.add_server(server(wiped)).await;

    let forgot = Err(MembershipError::Forgot(server(wiped)));
    assert_eq!([as_learner, added], [forgot.clone(), forgot]);
}

#[tokio::test(start_paused = true)]
async fn a_stranger_that_says_so_stops_nobody() {
    let (cluster, leader, follower) = cluster_of(3, managed).await;
    let mut stranger = cluster.network.attach(server(66)).unwrap();
    let say = |to: u128| Frame {
        cluster: CLUSTER,
        to: server(to),
        content: Content::JoinReply(JoinReply::Forgot),
    };

    for to in [leader, follower] {
        let frame = say(to).encode();
        stranger
            .send(server(to), DeliveryClass::Datagram, frame.into())
            .unwrap();
    }
    tokio::time::sleep(2 * ELECTION_TIMEOUT).await;

    for id in [leader, follower] {
        assert_eq!(cluster.member(id).status().borrow().stopped, None);
    }
}
