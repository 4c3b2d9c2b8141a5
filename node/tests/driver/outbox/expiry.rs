use std::time::Duration;

use liferaft_node::driver::{
    FlushError, OnExpiry, Outbox, OutboxCause, OutboxConfig, OutboxError, OutboxEvent, OutboxState,
    PendingState, Ticket,
};

use super::{NEVER, expire_all_sessions, unhurried_cluster};
use crate::cluster::{Cluster, server, wait_for};
use crate::machine::Journal;

const NOT_DONE: OutboxError = OutboxError::NotDone(OutboxCause::SessionExpired);
const UNKNOWN: OutboxError = OutboxError::Unknown(OutboxCause::SessionExpired);

/// A follower, and its outbox, whose first command is done.
async fn follower_with_outbox(cluster: &Cluster, config: OutboxConfig) -> (u128, Outbox<Journal>) {
    let follower = cluster.others(&[cluster.leader().await])[0];
    let outbox = cluster.member(follower).outbox(config).await;
    let outbox = outbox.expect("the member runs");
    let ticket = outbox.push(&1).expect("there is room");
    ticket.await.expect("it is done");
    (follower, outbox)
}

/// Cuts a member off, has it send the command 2 in vain while it believes in its leader still, and accept the command 3
/// when it does not any more. All sessions expire meanwhile.
async fn cut_off_and_expired(
    cluster: &Cluster,
    id: u128,
    outbox: &Outbox<Journal>,
) -> [Ticket<u64>; 2] {
    cluster.isolate(id);
    let sent = outbox.push(&2).expect("there is room");
    let mut status = outbox.status();
    let is_sent = status.wait_for(|status| status.sent == 1).await;
    is_sent.expect("the outbox is open");
    wait_for(&cluster.member(id), |status| status.leader().is_none()).await;
    let unsent = outbox.push(&3).expect("there is room");
    expire_all_sessions(cluster, &cluster.others(&[id]), 1).await;
    [sent, unsent]
}

#[tokio::test(start_paused = true)]
async fn what_was_sent_under_a_session_that_expired_is_told_and_the_rest_waits_for_the_application()
{
    let cluster = unhurried_cluster(NEVER).await;
    let (follower, outbox) = follower_with_outbox(&cluster, OutboxConfig::default()).await;
    let mut events = outbox.events();
    let [sent, unsent] = cut_off_and_expired(&cluster, follower, &outbox).await;

    cluster.network.heal_all();
    let told = sent.await;
    let flushed = outbox.flush().await;

    assert_eq!(told, Err(NOT_DONE), "this member has seen the whole log");
    assert_eq!(flushed, Err(FlushError::Halted));
    assert_eq!(outbox.status().borrow().state, OutboxState::Halted);
    let pending: Vec<_> = outbox
        .pending()
        .iter()
        .map(|p| (p.number, p.state))
        .collect();
    assert_eq!(
        pending,
        [(2, PendingState::Reported), (3, PendingState::Queued)]
    );
    assert_eq!(outbox.ticket(2).unwrap().await, Err(NOT_DONE));
    let given_up = OutboxEvent::GivenUp {
        number: 2,
        error: NOT_DONE,
    };
    assert_eq!(events.recv().await, Ok(given_up));
    assert_eq!(events.recv().await, Ok(OutboxEvent::Halted));

    assert!(outbox.resume());
    assert_eq!(unsent.await, Ok(2));
    assert_eq!(cluster.settled().await, [1, 3]);
}

#[tokio::test(start_paused = true)]
async fn an_outbox_that_may_go_on_does_so_with_what_was_never_sent() {
    let cluster = unhurried_cluster(NEVER).await;
    let config = OutboxConfig::default().on_expiry(OnExpiry::Continue);
    let (follower, outbox) = follower_with_outbox(&cluster, config).await;
    let [sent, unsent] = cut_off_and_expired(&cluster, follower, &outbox).await;

    cluster.network.heal_all();

    assert_eq!(sent.await, Err(NOT_DONE));
    assert_eq!(unsent.await, Ok(2));
    assert_eq!(outbox.flush().await, Ok(()));
    assert_eq!(cluster.settled().await, [1, 3]);
}

#[tokio::test(start_paused = true)]
async fn where_a_snapshot_hides_what_happened_the_outcome_is_unknown_and_the_command_not_sent_again()
 {
    // The first snapshot is due after all of the registrations that end the session.
    let cluster = unhurried_cluster(400_000).await;
    let leader = cluster.leader().await;
    let (follower, outbox) = follower_with_outbox(&cluster, OutboxConfig::default()).await;
    for other in cluster.others(&[follower]) {
        cluster.network.cut(server(other), server(follower));
    }
    let sent = outbox.push(&2).unwrap();
    let others = cluster.member(leader);
    wait_for(&others, |status| {
        status.applied() > cluster.member(follower).status().borrow().applied()
    })
    .await;
    cluster.isolate(follower);
    expire_all_sessions(&cluster, &cluster.others(&[follower]), 1).await;
    let expired = others.status().borrow().applied();
    for number in 100..6100 {
        others.propose(number).await.unwrap();
    }
    wait_for(&others, |status| status.raft.snapshot >= expired).await;

    cluster.network.heal_all();

    assert_eq!(sent.await, Err(UNKNOWN));
    assert!(outbox.resume());
    assert!(outbox.push(&3).unwrap().await.is_ok());
    let all = cluster.settled().await;
    let own: Vec<_> = all.into_iter().filter(|number| *number < 100).collect();
    assert_eq!(own, [1, 2, 3], "it was done, unseen, and once");
}

#[tokio::test(start_paused = true)]
async fn an_outbox_that_was_idle_for_long_confirms_its_session_before_it_sends() {
    let cluster = unhurried_cluster(NEVER).await;
    let (_, outbox) = follower_with_outbox(&cluster, OutboxConfig::default()).await;

    tokio::time::sleep(Duration::from_secs(7 * 3600)).await;
    expire_all_sessions(&cluster, &[1, 2, 3], 1).await;
    let after = outbox.push(&2).unwrap();

    assert_eq!(after.await, Ok(2));
    assert_eq!(cluster.settled().await, [1, 2]);
}

#[tokio::test(start_paused = true)]
async fn a_session_expires_after_a_day_of_the_clusters_time() {
    let cluster = unhurried_cluster(NEVER).await;
    let (follower, outbox) = follower_with_outbox(&cluster, OutboxConfig::default()).await;
    cluster.isolate(follower);
    let sent = outbox.push(&2).unwrap();
    let others = cluster.member(cluster.others(&[follower])[0]);
    for minute in 0..24 * 60 + 2 {
        tokio::time::sleep(Duration::from_secs(60)).await;
        others.propose(100 + minute).await.unwrap();
    }

    cluster.network.heal_all();

    assert_eq!(sent.await, Err(NOT_DONE));
}
