//! Whom a member listens to.

use std::time::Duration;

use bytes::Bytes;
use futures::FutureExt;
use futures::future::poll_fn;
use liferaft_node::driver::MemberError;
use liferaft_raft::configuration::Description;
use liferaft_raft::consensus::{ChangeError, MembershipChange, Refusal, TransferError};
use liferaft_raft::ids::{Index, Term};
use liferaft_raft::wire::{Content, Frame, JoinReply, ProposeAnswer};
use liferaft_transport::memory::MemoryTransport;
use liferaft_transport::{DeliveryClass, Event, Transport};

use crate::cluster::{CLUSTER, Cluster, ELECTION_TIMEOUT, server, wait_for};

/// A server that says nothing of itself and has no invitation asks to be taken in.
fn wish_to_join() -> Content {
    Content::Join {
        description: Description::default(),
        token: None,
    }
}

fn send(end: &mut MemoryTransport, to: u128, content: Content) {
    let frame = Frame {
        cluster: CLUSTER,
        to: server(to),
        content,
    };
    end.send(server(to), DeliveryClass::Datagram, frame.encode().into())
        .expect("the link works");
}

/// What has been said to this end so far, apart from messages of the protocol.
fn received(end: &mut MemoryTransport) -> Vec<Content> {
    let mut contents = Vec::new();
    while let Some(Some(event)) = poll_fn(|context| end.poll_event(context)).now_or_never() {
        if let Event::Frame { frame, .. } = event {
            contents.push(
                Frame::decode(frame.into_bytes())
                    .expect("a member sent it")
                    .content,
            );
        }
    }
    contents.retain(|content| !matches!(content, Content::Message(_)));
    contents
}

/// What it was told of changes and transfers.
fn operations_answered(end: &mut MemoryTransport) -> Vec<Content> {
    let mut answers = received(end);
    answers.retain(|content| !matches!(content, Content::ProposeReply { .. }));
    answers
}

/// Waits for what should happen soon.
async fn soon<T>(what: impl Future<Output = T>) -> T {
    let waited = tokio::time::timeout(20 * ELECTION_TIMEOUT, what).await;
    waited.expect("it happens within 20 election timeouts")
}

/// The registration of a session.
fn command() -> Bytes {
    let nonce = [&[1][..], &7_u128.to_be_bytes()].concat();
    Bytes::from(nonce)
}

fn requests(term: Term, transfer_to: u128, remove: u128) -> [Content; 3] {
    [
        Content::Propose {
            request: 1,
            commands: vec![command()],
        },
        Content::Change {
            request: 2,
            term,
            change: MembershipChange::remove(server(remove)),
        },
        Content::Transfer {
            request: 3,
            term,
            to: Some(server(transfer_to)),
        },
    ]
}

#[tokio::test(start_paused = true)]
async fn a_stranger_commands_nothing_and_hears_nothing() {
    let cluster = Cluster::of(3).await;
    let leader = cluster.leader().await;
    let others = cluster.others(&[leader]);
    let member = cluster.member(leader);
    member.propose(1).await.unwrap();
    let settled = soon(wait_for(&member, |status| status.applied() >= Index(4))).await;
    let last = settled.raft.last;
    let mut stranger = cluster.network.attach(server(66)).unwrap();

    for content in requests(settled.raft.term, others[0], others[1]) {
        send(&mut stranger, leader, content);
    }
    for result in [Ok(Index(9)), Err(ChangeError::Pending)] {
        let answer = Content::ChangeReply { request: 1, result };
        send(&mut stranger, leader, answer);
    }

    let status = soon(wait_for(&member, |status| {
        status.counters.frames_not_admitted == 5
    }))
    .await;
    let (from, reason) = (server(66), Refusal::NotAPeer);
    let told = status.last_error.map(|last| last.error);
    assert_eq!(told, Some(MemberError::Refused { from, reason }));
    tokio::time::sleep(2 * ELECTION_TIMEOUT).await;
    let status = member.status().borrow().clone();
    assert!(status.is_leader() && status.raft.configuration.contains(server(others[1])));
    assert_eq!(status.raft.last, last);
    assert_eq!(received(&mut stranger), []);
}

/// It is told to ask again, which it may do as a member.
#[tokio::test(start_paused = true)]
async fn a_server_that_waits_to_join_is_put_off() {
    let cluster = Cluster::of(3).await;
    let leader = cluster.leader().await;
    let others = cluster.others(&[leader]);
    let mut joiner = cluster.network.attach(server(4)).unwrap();

    let member = cluster.member(leader);
    let term = member.status().borrow().raft.term;
    send(&mut joiner, leader, wish_to_join());
    for content in requests(term, others[0], others[1]) {
        send(&mut joiner, leader, content);
    }
    soon(wait_for(&member, |status| {
        status.raft.configuration.contains(server(4))
    }))
    .await;

    let answer = ProposeAnswer::NotMember;
    let expected = [
        Content::JoinReply(JoinReply::Accepted),
        Content::ProposeReply { request: 1, answer },
        Content::ChangeReply {
            request: 2,
            result: Err(ChangeError::AskerNotMember),
        },
        Content::TransferReply {
            request: 3,
            result: Err(TransferError::AskerNotMember),
        },
    ];
    assert_eq!(received(&mut joiner), expected);
    assert!(member.status().borrow().is_leader());
}

/// It was asked of the leader of an earlier term. What it asks may have been done then, and undone since: to say that
/// it was not done would be as wrong as to do it.
#[tokio::test(start_paused = true)]
async fn a_late_copy_of_a_change_or_transfer_does_nothing_and_hears_nothing() {
    let mut cluster = Cluster::of(3).await;
    let leader = cluster.leader().await;
    let others = cluster.others(&[leader]);
    let member = cluster.member(leader);
    let term = member.status().borrow().raft.term;
    cluster.kill(others[0]);
    let mut peer = cluster.network.attach(server(others[0])).unwrap();

    for content in requests(Term(term.0 - 1), others[1], others[1]) {
        send(&mut peer, leader, content);
    }
    tokio::time::sleep(2 * ELECTION_TIMEOUT).await;

    let status = member.status().borrow().clone();
    assert!(status.is_leader() && status.raft.configuration.contains(server(others[1])));
    assert_eq!(operations_answered(&mut peer), []);
}

/// Its earlier run may have begun what it was asked, and has told nobody.
#[tokio::test(start_paused = true)]
async fn a_leader_that_restarted_denies_nothing_that_it_was_asked_before() {
    let mut cluster = Cluster::founded([1]).await;
    let member = cluster.start(1, |member| member).await;
    cluster.start(2, |member| member).await;
    member.add_learner(server(2)).await.unwrap();
    let term = member.status().borrow().raft.term;
    cluster.kill(2);
    let mut peer = cluster.network.attach(server(2)).unwrap();

    member.stop().await;
    let member = cluster.start(1, |member| member).await;
    for content in requests(term, 1, 2) {
        send(&mut peer, 1, content);
    }
    let leads = soon(wait_for(&member, |status| status.is_leader())).await;
    for content in requests(term, 1, 2) {
        send(&mut peer, 1, content);
    }
    tokio::time::sleep(ELECTION_TIMEOUT).await;

    assert!(leads.raft.term > term);
    assert!(
        member
            .status()
            .borrow()
            .raft
            .configuration
            .contains(server(2))
    );
    assert_eq!(operations_answered(&mut peer), []);
}

/// It would never be sent again, as long as the same server leads.
#[tokio::test(start_paused = true)]
async fn nobody_but_the_leader_says_that_it_has_a_command() {
    let mut cluster = Cluster::of(5).await;
    let leader = cluster.leader().await;
    let others = cluster.others(&[leader]);
    let (asker, killed) = (others[0], others[1]);
    cluster.kill(killed);
    let mut other = cluster.network.attach(server(killed)).unwrap();
    cluster.network.cut(server(asker), server(leader));
    let member = cluster.member(asker).within(Duration::from_secs(60));

    let caller = tokio::spawn(async move { member.propose(1).await });
    for _ in 0..10 {
        tokio::time::sleep(ELECTION_TIMEOUT / 20).await;
        for request in 1..20 {
            let answer = ProposeAnswer::Appended;
            send(&mut other, asker, Content::ProposeReply { request, answer });
        }
    }
    cluster.network.heal(server(asker), server(leader));

    let done = tokio::time::timeout(4 * ELECTION_TIMEOUT, caller).await;
    assert_eq!(done.expect("it is sent again").unwrap(), Ok(1));
    assert_eq!(cluster.leader().await, leader);
}

#[tokio::test(start_paused = true)]
async fn a_newcomer_follows_only_the_hints_of_those_it_asked() {
    let mut cluster = Cluster::empty();
    let mut known = cluster.network.attach(server(9)).unwrap();
    let mut stranger = cluster.network.attach(server(66)).unwrap();
    let mut hinted = cluster.network.attach(server(77)).unwrap();
    cluster
        .start(1, |member| member.join(CLUSTER, server(9)))
        .await;
    let hint = || {
        Content::JoinReply(JoinReply::NotLeader {
            leader: Some(server(77)),
            description: None,
        })
    };
    tokio::time::sleep(2 * ELECTION_TIMEOUT).await;
    send(&mut stranger, 1, hint());
    tokio::time::sleep(2 * ELECTION_TIMEOUT).await;
    let after_stranger = received(&mut hinted);
    send(&mut known, 1, hint());
    tokio::time::sleep(2 * ELECTION_TIMEOUT).await;

    assert_eq!(after_stranger, []);
    let is_wish = |content: &Content| matches!(content, Content::Join { .. });
    assert!(received(&mut hinted).iter().any(is_wish));
}

#[tokio::test(start_paused = true)]
async fn a_member_that_was_evicted_loses_no_command() {
    let cluster = Cluster::of(4).await;
    let leader = cluster.leader().await;
    let evicted = cluster.others(&[leader])[0];
    cluster.isolate(evicted);
    let member = cluster.member(evicted).within(Duration::from_secs(120));
    let before = member.clone();
    let caller = tokio::spawn(async move { before.propose(1).await });
    wait_for(&cluster.member(leader), |status| {
        !status.raft.configuration.contains(server(evicted))
    })
    .await;

    cluster.network.heal_all();
    let after = member.propose(2).await;

    assert!(caller.await.unwrap().is_ok() && after.is_ok());
    let mut numbers = cluster.settled().await;
    numbers.sort_unstable();
    assert_eq!(numbers, [1, 2]);
}

#[tokio::test(start_paused = true)]
async fn a_member_comes_back_after_all_others_were_replaced() {
    let mut cluster = Cluster::of(3).await;
    let leader = cluster.leader().await;
    let [asleep, other] = cluster.others(&[leader])[..] else {
        panic!("there are three")
    };
    cluster.isolate(asleep);
    for id in [4, 5] {
        cluster.start(id, |member| member).await;
        cluster.network.cut(server(id), server(asleep));
        cluster.network.cut(server(asleep), server(id));
    }
    let swap = MembershipChange::add_voter(server(4))
        .and(MembershipChange::add_voter(server(5)))
        .and(MembershipChange::remove(server(leader)))
        .and(MembershipChange::remove(server(other)));
    let swapped = cluster.member(leader).change_membership(swap).await;
    cluster.kill(leader);
    cluster.kill(other);

    cluster.network.heal_all();
    let reply = cluster
        .member(asleep)
        .within(Duration::from_secs(60))
        .propose(1)
        .await;

    assert_eq!((swapped, reply), (Ok(()), Ok(1)));
}
