use std::time::Duration;

use liferaft_node::driver::{
    FlushError, OutboxCause, OutboxConfig, OutboxError, OutboxState, PendingState, PushError,
};
use liferaft_transport::memory::{Delay, Faults, Probability};

use super::{NEVER, UNHURRIED_ELECTION_TIMEOUT, outbox, unhurried_cluster};
use crate::cluster::{Cluster, server, wait_for};

const HOUR: Duration = Duration::from_secs(3600);

#[tokio::test(start_paused = true)]
async fn commands_are_done_in_the_order_in_which_they_were_pushed() {
    let cluster = Cluster::of(3).await;
    let follower = cluster.others(&[cluster.leader().await])[0];
    let outbox = outbox(&cluster.member(follower)).await;

    let tickets: Vec<_> = (1..=500).map(|n| outbox.push(&n).unwrap()).collect();

    for (ticket, place) in tickets.into_iter().zip(1..) {
        assert_eq!(ticket.await, Ok(place));
    }
    assert_eq!(cluster.settled().await, (1..=500).collect::<Vec<_>>());
    assert_eq!(outbox.status().borrow().pending, 0);
}

#[tokio::test(start_paused = true)]
async fn an_outbox_on_the_leader_needs_no_network_for_its_order() {
    let cluster = Cluster::of(3).await;
    let outbox = outbox(&cluster.member(cluster.leader().await)).await;

    for number in 1..=100 {
        drop(outbox.push(&number).unwrap());
    }

    assert_eq!(outbox.flush().await, Ok(()));
    assert_eq!(cluster.settled().await, (1..=100).collect::<Vec<_>>());
}

#[tokio::test(start_paused = true)]
async fn a_network_that_loses_repeats_and_reorders_frames_changes_neither_order_nor_number() {
    let cluster = Cluster::of(3).await;
    let follower = cluster.others(&[cluster.leader().await])[0];
    let outbox = outbox(&cluster.member(follower)).await;
    cluster.network.set_faults(
        Faults::none()
            .with_loss(Probability::percent(20))
            .with_duplication(Probability::percent(20))
            .with_reordering(Probability::percent(30))
            .with_delay(Delay::uniform(
                Duration::from_millis(1)..=Duration::from_millis(20),
            )),
    );

    for number in 1..=400 {
        drop(outbox.push(&number).unwrap());
        tokio::time::sleep(Duration::from_millis(1)).await;
    }

    assert_eq!(outbox.flush().await, Ok(()));
    assert_eq!(cluster.settled().await, (1..=400).collect::<Vec<_>>());
}

#[tokio::test(start_paused = true)]
async fn what_is_pushed_during_a_partition_of_an_hour_is_done_after_it_and_so_is_what_was_under_way()
 {
    let cluster = unhurried_cluster(NEVER).await;
    let lonely = cluster.others(&[cluster.leader().await])[0];
    let outbox = outbox(&cluster.member(lonely)).await;
    outbox.push(&1).unwrap().await.unwrap();

    drop(outbox.push(&2).unwrap());
    tokio::task::yield_now().await;
    cluster.isolate(lonely);
    let others = cluster.member(cluster.others(&[lonely])[0]);
    for minute in 0..70 {
        others.within(HOUR).propose(1000 + minute).await.unwrap();
        drop(outbox.push(&(3 + minute)).unwrap());
        tokio::time::sleep(Duration::from_secs(60)).await;
    }
    assert!(outbox.status().borrow().pending >= 70);
    cluster.network.heal_all();

    assert_eq!(outbox.flush().await, Ok(()));
    let own: Vec<_> = cluster.settled().await;
    let own: Vec<_> = own.into_iter().filter(|number| *number < 1000).collect();
    assert_eq!(own, (1..=72).collect::<Vec<_>>());
}

#[tokio::test(start_paused = true)]
async fn nothing_is_sent_while_no_leader_is_known() {
    let cluster = unhurried_cluster(NEVER).await;
    let lonely = cluster.others(&[cluster.leader().await])[0];
    let outbox = outbox(&cluster.member(lonely)).await;
    outbox.push(&1).unwrap().await.unwrap();
    cluster.isolate(lonely);
    wait_for(&cluster.member(lonely), |status| status.leader().is_none()).await;

    drop(outbox.push(&2).unwrap());
    tokio::time::sleep(HOUR).await;

    let pending = outbox.pending();
    assert_eq!(pending.len(), 1);
    assert_eq!(pending[0].state, PendingState::Queued);
    assert_eq!((pending[0].number, pending[0].age), (2, HOUR));
    assert_eq!(outbox.command(2), Some(2));
}

#[tokio::test(start_paused = true)]
async fn commands_survive_the_deaths_of_leaders_in_turn() {
    let mut cluster = Cluster::of(5).await;
    let member = 1;
    let outbox = outbox(&cluster.member(member)).await;

    for number in 1..=600 {
        drop(outbox.push(&number).unwrap());
        if number == 200 || number == 400 {
            tokio::task::yield_now().await;
            let leader = cluster.leader().await;
            let to_kill = if leader == member {
                cluster.others(&[member])[0]
            } else {
                leader
            };
            cluster.kill(to_kill);
        }
    }

    assert_eq!(outbox.flush().await, Ok(()));
    assert_eq!(cluster.settled().await, (1..=600).collect::<Vec<_>>());
}

#[tokio::test(start_paused = true)]
async fn an_outbox_outlives_the_removal_of_its_member_until_it_is_added_again() {
    let cluster = unhurried_cluster(NEVER).await;
    let leader = cluster.member(cluster.leader().await);
    let removed = cluster.others(&[cluster.leader().await])[0];
    let outbox = outbox(&cluster.member(removed)).await;
    outbox.push(&1).unwrap().await.unwrap();

    leader.remove_server(server(removed)).await.unwrap();
    tokio::time::sleep(4 * UNHURRIED_ELECTION_TIMEOUT).await;
    let tickets: Vec<_> = (2..=50).map(|n| outbox.push(&n).unwrap()).collect();
    tokio::time::sleep(HOUR).await;
    assert_eq!(outbox.status().borrow().settled_through, 1);
    leader.add_server(server(removed)).await.unwrap();

    for (ticket, place) in tickets.into_iter().zip(2..) {
        assert_eq!(ticket.await, Ok(place));
    }
    assert_eq!(cluster.settled().await, (1..=50).collect::<Vec<_>>());
}

#[tokio::test(start_paused = true)]
async fn a_full_outbox_says_how_full_it_is_and_those_who_wait_get_room_in_turn() {
    let cluster = Cluster::of(3).await;
    let lonely = cluster.others(&[cluster.leader().await])[0];
    cluster.isolate(lonely);
    let config = OutboxConfig::default().commands_max(2);
    let outbox = cluster.member(lonely).outbox(config).await.unwrap();
    drop(outbox.push(&1).unwrap());
    drop(outbox.push(&2).unwrap());

    let refused = outbox.push(&99);
    let third = outbox.push_when_free(&3);
    let fourth = outbox.push_when_free(&4);
    let healed = async {
        tokio::task::yield_now().await;
        cluster.network.heal_all();
    };
    let (third, fourth, ()) = tokio::join!(third, fourth, healed);

    assert!(matches!(
        refused,
        Err(PushError::Full {
            pending: 2,
            commands_max: 2,
            bytes: 2,
            bytes_max: _
        })
    ));
    assert_eq!(third.unwrap().await, Ok(3));
    assert_eq!(fourth.unwrap().await, Ok(4));
}

#[tokio::test(start_paused = true)]
async fn an_outbox_is_bounded_by_bytes_too() {
    let cluster = Cluster::of(3).await;
    let lonely = cluster.others(&[cluster.leader().await])[0];
    cluster.isolate(lonely);
    let config = OutboxConfig::default().bytes_max(4);
    let outbox = cluster.member(lonely).outbox(config).await.unwrap();

    let small = outbox.push(&1);
    let second = outbox.push(&(1 << 40));
    let never = outbox.push(&u64::MAX);

    assert!(small.is_ok());
    assert!(matches!(second, Err(PushError::TooLarge { .. })));
    assert!(matches!(never, Err(PushError::TooLarge { .. })));
    assert!(outbox.push(&2).is_ok() && outbox.push(&300).is_ok());
    assert!(matches!(
        outbox.push(&3),
        Err(PushError::Full { bytes: 4, .. })
    ));
}

#[tokio::test(start_paused = true)]
async fn what_is_pending_when_an_outbox_closes_is_told() {
    let cluster = Cluster::of(3).await;
    let lonely = cluster.others(&[cluster.leader().await])[0];
    let outbox = outbox(&cluster.member(lonely)).await;
    outbox.push(&1).unwrap().await.unwrap();
    cluster.isolate(lonely);
    let sent = outbox.push(&2).unwrap();
    tokio::time::sleep(Duration::from_millis(1)).await;
    wait_for(&cluster.member(lonely), |status| status.leader().is_none()).await;
    let unsent = outbox.push(&3).unwrap();

    let pending = outbox.close().await;

    let states: Vec<_> = pending
        .iter()
        .map(|pending| (pending.number, pending.state))
        .collect();
    assert_eq!(states, [(2, PendingState::Sent), (3, PendingState::Queued)]);
    assert_eq!(sent.await, Err(OutboxError::Unknown(OutboxCause::Closed)));
    assert_eq!(unsent.await, Err(OutboxError::NotDone(OutboxCause::Closed)));
    assert!(matches!(
        outbox.push(&4),
        Err(PushError::Closed(OutboxCause::Closed))
    ));
}

#[tokio::test(start_paused = true)]
async fn an_outbox_closes_with_its_member() {
    let cluster = Cluster::of(3).await;
    let lonely = cluster.others(&[cluster.leader().await])[0];
    let outbox = outbox(&cluster.member(lonely)).await;
    cluster.isolate(lonely);
    wait_for(&cluster.member(lonely), |status| status.leader().is_none()).await;
    let ticket = outbox.push(&1).unwrap();

    cluster.member(lonely).stop().await;

    let stopped = OutboxCause::MemberStopped;
    assert_eq!(ticket.await, Err(OutboxError::NotDone(stopped.clone())));
    assert_eq!(
        outbox.status().borrow().state,
        OutboxState::Closed(stopped.clone())
    );
    assert!(matches!(outbox.push(&2), Err(PushError::Closed(cause)) if cause == stopped));
    assert!(
        cluster
            .member(lonely)
            .outbox(OutboxConfig::default())
            .await
            .is_err()
    );
}

/// What an outbox says right after its member was shut down, when its caller is polled after so many other tasks.
async fn said_after_shutdown() -> (Result<(), PushError>, Result<(), FlushError>, OutboxError) {
    let mut cluster = Cluster::empty();
    // It belongs to no cluster, so that what is pushed stays pending.
    let member = cluster.start(1, |member| member).await;
    let outbox = outbox(&member).await;
    let ticket = outbox.push(&1).unwrap();

    member.stop().await;
    let pushed = outbox.push(&2).map(drop);
    let flushed = outbox.flush().await;

    (pushed, flushed, ticket.await.unwrap_err())
}

// The outbox learnt of it when its task came to it: until then it accepted commands that nobody would ever send.
#[test]
fn an_outbox_is_closed_once_its_member_has_stopped_on_any_schedule() {
    for other_tasks_between_polls in 1..=16 {
        let runtime = tokio::runtime::Builder::new_current_thread()
            .enable_time()
            .start_paused(true)
            .event_interval(other_tasks_between_polls)
            .build()
            .unwrap();

        let (pushed, flushed, told) = runtime.block_on(said_after_shutdown());

        let stopped = OutboxCause::MemberStopped;
        assert_eq!(pushed, Err(PushError::Closed(stopped.clone())));
        assert_eq!(flushed, Err(FlushError::OutboxClosed(stopped.clone())));
        assert_eq!(told, OutboxError::NotDone(stopped));
    }
}

#[tokio::test(start_paused = true)]
async fn an_outbox_that_has_begun_to_close_accepts_nothing() {
    let cluster = Cluster::of(1).await;
    let outbox = outbox(&cluster.member(1)).await;

    let mut closing = std::pin::pin!(outbox.close());
    let closed_at_once = futures::poll!(&mut closing).is_ready();
    let pushed = outbox.push(&1).map(drop);

    assert!(!closed_at_once, "its task has not come to it");
    assert_eq!(pushed, Err(PushError::Closed(OutboxCause::Closed)));
    assert!(closing.await.is_empty());
}

#[tokio::test(start_paused = true)]
async fn two_outboxes_of_one_member_and_its_callers_do_not_hold_each_other_up() {
    let cluster = Cluster::of(3).await;
    let member = cluster.member(cluster.others(&[cluster.leader().await])[0]);
    let (one, other) = (outbox(&member).await, outbox(&member).await);

    for number in 0..100 {
        drop(one.push(&(1000 + number)).unwrap());
        drop(other.push(&(2000 + number)).unwrap());
    }
    let proposed = futures::future::join_all((3000..3100).map(|number| member.propose(number)));
    let (proposed, first, second) = tokio::join!(proposed, one.flush(), other.flush());

    assert!(proposed.iter().all(Result::is_ok));
    assert_eq!((first, second), (Ok(()), Ok(())));
    let all = cluster.settled().await;
    let of = |range: std::ops::Range<u64>| {
        let of: Vec<_> = all
            .iter()
            .copied()
            .filter(|number| range.contains(number))
            .collect();
        of
    };
    assert_eq!(of(1000..2000), (1000..1100).collect::<Vec<_>>());
    assert_eq!(of(2000..3000), (2000..2100).collect::<Vec<_>>());
    assert_eq!(of(3000..4000).len(), 100);
}
