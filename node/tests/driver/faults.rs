use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use liferaft_node::driver::{Happening, MemberError};
use liferaft_raft::config::Config;
use liferaft_raft::ids::{ClusterId, Term};
use liferaft_raft::wire::{Content, Frame};
use liferaft_transport::memory::{Delay, Faults, Probability};
use liferaft_transport::{DeliveryClass, Transport};

use crate::cluster::{CLUSTER, Cluster, ELECTION_TIMEOUT, server, wait_for};
use crate::events::next;
use crate::hampered::Hampered;
use crate::machine::{Brake, Journal};

#[tokio::test(start_paused = true)]
async fn a_lossy_network_that_repeats_itself_applies_every_command_once() {
    let cluster = Cluster::of(3).await;
    let faults = Faults::none()
        .with_loss(Probability::percent(20))
        .with_duplication(Probability::percent(20))
        .with_reordering(Probability::percent(20))
        .with_delay(Delay::uniform(
            Duration::from_millis(1)..=Duration::from_millis(10),
        ));
    cluster.network.set_faults(faults);

    let callers = (1..=3).map(|id| {
        let member = cluster.member(id).within(Duration::from_secs(600));
        async move {
            for number in 0..50 {
                member
                    .propose(u64::try_from(id).unwrap() * 1000 + number)
                    .await
                    .unwrap();
            }
        }
    });
    futures::future::join_all(callers).await;

    let mut numbers = cluster.settled().await;
    numbers.sort_unstable();
    let expected = [1000..1050, 2000..2050, 3000..3050].into_iter().flatten();
    assert_eq!(numbers, expected.collect::<Vec<_>>());
}

#[tokio::test(start_paused = true)]
async fn commands_survive_the_death_of_the_leader_they_were_sent_to_exactly_once() {
    let mut cluster = Cluster::of(5).await;
    let leader = cluster.leader().await;
    let member = cluster
        .member(cluster.others(&[leader])[0])
        .within(Duration::from_secs(60));
    member.propose(0).await.unwrap();

    let callers = (1..=200).map(|number| {
        let member = member.clone();
        tokio::spawn(async move { member.propose(number).await })
    });
    let callers: Vec<_> = callers.collect();
    tokio::task::yield_now().await;
    cluster.kill(leader);

    for caller in callers {
        caller.await.unwrap().unwrap();
    }
    let mut numbers = cluster.settled().await;
    numbers.sort_unstable();
    assert_eq!(numbers, (0..=200).collect::<Vec<_>>());
}

/// Real threads, as a state machine that does not return blocks one; and an election timeout that no slow machine
/// reaches, so that nothing happens but what is waited for.
#[tokio::test(flavor = "multi_thread", worker_threads = 3)]
async fn a_state_machine_that_does_not_return_holds_up_no_heartbeat() {
    let mut cluster = Cluster::founded([1]).await;
    let patient = Config::builder()
        .election_timeout(Duration::from_secs(600))
        .heartbeat_interval(Duration::from_millis(1))
        .build()
        .unwrap();
    let brake = Brake::default();
    let leader = cluster
        .start_with(1, Journal::with_brake(&brake), |member| {
            member.config(patient.clone())
        })
        .await;
    cluster.start(2, |member| member.config(patient)).await;
    leader.add_server(server(2)).await.unwrap();

    brake.set();
    let caller = tokio::spawn({
        let leader = leader.clone();
        async move { leader.propose(1).await }
    });
    let answered = wait_for(&leader, |_| brake.holds()).await.counters;
    let heartbeats_answered = answered.frames_received + 50;
    wait_for(&leader, |status| {
        status.counters.frames_received >= heartbeats_answered
    })
    .await;
    brake.release();

    assert_eq!(caller.await.unwrap(), Ok(1));
}

#[tokio::test(start_paused = true)]
async fn a_disk_that_hangs_is_named_in_the_status_until_it_goes_on() {
    let mut cluster = Cluster::founded([1]).await;
    let storage = Hampered::over(cluster.disk(1));
    let gate = Arc::clone(&storage.gate);
    let transport = cluster.network.attach(server(1)).unwrap();
    let member = cluster
        .start_on(1, Journal::default(), transport, storage, |member| member)
        .await;
    assert_eq!(member.propose(1).await, Ok(1));
    let mut events = member.events();

    let shut = gate.acquire().await.expect("it is never closed");
    let patient = member.within(60 * ELECTION_TIMEOUT);
    let caller = tokio::spawn(async move { patient.propose(2).await });
    let stalled = wait_for(&member, |status| status.storage.stalled_for.is_some()).await;
    drop(shut);
    let goes_on = wait_for(&member, |status| status.storage.stalled_for.is_none()).await;

    assert!(stalled.storage.stalled_for >= Some(4 * ELECTION_TIMEOUT));
    assert!(stalled.storage.waiting_bytes > 0);
    let error = stalled.last_error.expect("it was noted").error;
    assert!(matches!(error, MemberError::StorageStalled { .. }));
    assert_eq!(goes_on.storage.waiting_bytes, 0);
    assert_eq!(caller.await.expect("it does not panic"), Ok(2));
    let stalls =
        |what: &Happening| matches!(what, Happening::StorageStalled { waiting_bytes: 1.. });
    next(&mut events, stalls).await;
    next(&mut events, |what| *what == Happening::StorageGoesOn).await;
}

#[tokio::test(start_paused = true)]
async fn one_slow_disk_holds_up_nobody() {
    let mut cluster = Cluster::founded(1..=3).await;
    cluster.start(1, |member| member).await;
    cluster.start(2, |member| member).await;
    let transport = cluster.network.attach(server(3)).unwrap();
    let slow = Hampered::over(cluster.disk(3)).slow(4 * ELECTION_TIMEOUT);
    cluster
        .start_on(3, Journal::default(), transport, slow, |member| member)
        .await;
    let leader = cluster.member(cluster.leader().await);
    let started = tokio::time::Instant::now();

    let replies = futures::future::join_all((0..100).map(|number| leader.propose(number))).await;

    assert!(replies.iter().all(Result::is_ok));
    assert!(started.elapsed() < ELECTION_TIMEOUT);
}

#[tokio::test(start_paused = true)]
async fn frames_that_are_not_for_this_member_are_counted_and_dropped() {
    let mut cluster = Cluster::empty();
    let member = cluster.start_first(1, |member| member).await;
    let mut stranger = cluster.network.attach(server(66)).unwrap();
    let content = Content::Transfer {
        request: 1,
        term: Term(1),
        to: None,
    };
    let frame = |cluster, to| {
        Frame {
            cluster,
            to,
            content: content.clone(),
        }
        .encode()
    };
    let frames = [
        frame(ClusterId(0xbad), server(1)),
        frame(CLUSTER, server(2)),
        Bytes::from_static(b"nonsense"),
    ];

    for frame in frames {
        stranger
            .send(server(1), DeliveryClass::Datagram, frame.into())
            .unwrap();
    }

    let counters = wait_for(&member, |status| status.counters.frames_received == 3)
        .await
        .counters;
    assert_eq!(counters.frames_of_another_cluster, 1);
    assert_eq!(counters.frames_for_another_server, 1);
    assert_eq!(counters.frames_undecodable, 1);
    assert_eq!(member.propose(1).await, Ok(1));
}

#[tokio::test(start_paused = true)]
async fn a_forwarded_command_that_is_none_stops_nobody() {
    let mut cluster = Cluster::of(3).await;
    let leader = cluster.leader().await;
    let member = cluster.member(leader);
    let broken = cluster.others(&[leader])[0];
    cluster.kill(broken);
    let mut other = cluster.network.attach(server(broken)).unwrap();
    let commands = vec![Bytes::from_static(&[9, 9, 9])];
    let content = Content::Propose {
        request: 1,
        commands,
    };
    let frame = Frame {
        cluster: CLUSTER,
        to: server(leader),
        content,
    }
    .encode();

    other
        .send(server(leader), DeliveryClass::Datagram, frame.into())
        .unwrap();

    wait_for(&member, |status| status.counters.commands_malformed == 1).await;
    assert_eq!(member.propose(1).await, Ok(1));
}
