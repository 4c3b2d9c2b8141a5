//! Entries and configurations that this version does not know, and who may stop a member with them.

use std::sync::Arc;

use bytes::Bytes;
use liferaft_node::driver::{MemberError, StopReason};
use liferaft_raft::configuration::Configuration;
use liferaft_raft::entry::{Entry, Payload};
use liferaft_raft::ids::{ClusterId, Index, LogPosition, Round, Term};
use liferaft_raft::message::{
    AppendEntries, Body, InstallSnapshot, Message, ReplyWanted, SnapshotMetadata, Token,
};
use liferaft_raft::time::ClusterTime;
use liferaft_raft::wire::{Content, Frame};
use liferaft_transport::memory::MemoryTransport;
use liferaft_transport::{DeliveryClass, Transport};

use crate::cluster::{CLUSTER, Cluster, server, wait_for};

const OTHER_CLUSTER: ClusterId = ClusterId(0xbad);

/// Replaces the only place where `from` occurs.
fn patched(frame: &Bytes, from: &[u8], to: &[u8]) -> Bytes {
    let places: Vec<_> = (0..=frame.len() - from.len())
        .filter(|at| frame[*at..].starts_with(from))
        .collect();
    assert_eq!(places.len(), 1, "{from:?} occurs once");
    let mut bytes = frame.to_vec();
    bytes[places[0]..places[0] + to.len()].copy_from_slice(to);
    bytes.into()
}

fn frame(cluster: ClusterId, to: u128, term: u64, body: Body) -> Bytes {
    let term = Term(term);
    Frame {
        cluster,
        to: server(to),
        content: Content::Message(Message { term, body }),
    }
    .encode()
}

/// An AppendEntries of this term whose only entry is of kind 99.
fn unknown_entry(cluster: ClusterId, to: u128, term: u64) -> Bytes {
    let entry = Entry {
        index: Index(1),
        term: Term(77),
        stamp: ClusterTime(0),
        payload: Payload::Noop,
    };
    let append = AppendEntries {
        round: Round(1),
        prev: LogPosition::ZERO,
        commit: Index::ZERO,
        reply: ReplyWanted::AtOnce,
        confirmed: Round::ZERO,
        token: Token::NONE,
        entries: vec![entry].into(),
    };
    let known = frame(cluster, to, term, Body::AppendEntries(append));
    patched(
        &known,
        &[0x08, 77, 0x10, 0, 0x18, 1],
        &[0x08, 77, 0x10, 0, 0x18, 99],
    )
}

/// A chunk of a snapshot of this term whose configuration is of format 3.
fn unknown_configuration(to: u128, term: u64) -> Bytes {
    let chunk = InstallSnapshot {
        round: Round(1),
        transfer: 1,
        metadata: Some(SnapshotMetadata {
            last: LogPosition::new(Term(1), Index(1)),
            stamp: ClusterTime(0),
            configuration: Arc::new(Configuration::of_voters([server(1)])),
            configuration_index: Index(1),
            length: 0,
            digest: 0,
        }),
        offset: 0,
        data: Bytes::new(),
    };
    let known = frame(CLUSTER, to, term, Body::InstallSnapshot(Box::new(chunk)));
    patched(&known, &[0x08, 2, 0x12], &[0x08, 3, 0x12])
}

fn send(end: &mut MemoryTransport, to: u128, frame: Bytes) {
    end.send(server(to), DeliveryClass::Datagram, frame.into())
        .expect("the link works");
}

#[tokio::test(start_paused = true)]
async fn a_learner_stops_nobody_with_an_unknown_entry() {
    let cluster = Cluster::of(3).await;
    let mut learner = cluster.network.attach(server(4)).unwrap();
    let added = cluster.member(1).add_learner(server(4)).await;
    let term = cluster.member(1).status().borrow().term().0;

    for member in 1..=3 {
        send(&mut learner, member, unknown_entry(OTHER_CLUSTER, 9, 0));
        send(&mut learner, member, unknown_entry(CLUSTER, 9, term));
        send(
            &mut learner,
            member,
            unknown_entry(OTHER_CLUSTER, member, term),
        );
        send(&mut learner, member, unknown_entry(CLUSTER, member, 0));
        send(&mut learner, member, unknown_entry(CLUSTER, member, term));
        send(
            &mut learner,
            member,
            unknown_entry(CLUSTER, member, term + 1),
        );
        send(&mut learner, member, unknown_configuration(member, term));
    }

    assert_eq!(added, Ok(()));
    for member in 1..=3 {
        let status = wait_for(&cluster.member(member), |status| {
            status.counters.frames_undecodable == 4 || status.stopped.is_some()
        })
        .await;
        assert_eq!(status.stopped, None);
        assert_eq!(status.counters.frames_of_another_cluster, 2);
        assert_eq!(status.counters.frames_for_another_server, 1);
        let told = status.last_error.map(|last| last.error);
        assert!(
            matches!(
                told,
                Some(MemberError::NotUnderstood {
                    from,
                    ref error
                }) if from == server(4) && error.is_unsupported()
            ),
            "{told:?}"
        );
    }
    assert_eq!(cluster.member(2).propose(1).await, Ok(1));
}

#[tokio::test(start_paused = true)]
async fn a_voter_that_does_not_lead_stops_nobody() {
    let mut cluster = Cluster::of(3).await;
    let leader = cluster.leader().await;
    let other = cluster.others(&[leader])[0];
    let term = cluster.member(leader).status().borrow().term().0;
    cluster.kill(other);
    let mut voter = cluster.network.attach(server(other)).unwrap();

    for member in cluster.others(&[other]) {
        send(&mut voter, member, unknown_entry(CLUSTER, member, term));
        send(&mut voter, member, unknown_entry(CLUSTER, member, term - 1));
        send(&mut voter, member, unknown_entry(CLUSTER, member, 1 << 61));
    }

    for member in cluster.others(&[other]) {
        let status = wait_for(&cluster.member(member), |status| {
            status.counters.frames_undecodable == 3 || status.stopped.is_some()
        })
        .await;
        assert_eq!(status.stopped, None);
    }
    assert_eq!(cluster.member(leader).propose(1).await, Ok(1));
}

#[tokio::test(start_paused = true)]
async fn a_leader_of_a_later_term_stops_a_member_that_is_too_old() {
    let mut cluster = Cluster::of(5).await;
    let leader = cluster.leader().await;
    let others = cluster.others(&[leader]);
    let term = cluster.member(leader).status().borrow().term().0;
    let (by_entry, by_snapshot) = (cluster.member(others[1]), cluster.member(others[2]));
    cluster.kill(others[0]);
    let mut successor = cluster.network.attach(server(others[0])).unwrap();

    send(
        &mut successor,
        others[1],
        unknown_entry(CLUSTER, others[1], term + 1),
    );
    send(
        &mut successor,
        others[2],
        unknown_configuration(others[2], term + 1),
    );

    for stopped in [by_entry, by_snapshot] {
        let status = wait_for(&stopped, |status| status.stopped.is_some()).await;
        assert!(
            matches!(
                status.stopped,
                Some(StopReason::Unsupported { from, .. }) if from == server(others[0])
            ),
            "{:?}",
            status.stopped
        );
    }
}
