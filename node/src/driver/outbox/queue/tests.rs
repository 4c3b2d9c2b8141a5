use std::sync::Arc;

use tokio::sync::Semaphore;

use super::*;
use crate::driver::outbox::status::{OutboxState, PendingState};
use crate::sessions::Envelope;

const NONCE: u128 = 99;
const SESSION: Index = Index(7);

type Store = RecoveredOutbox;

fn at(seconds: u64) -> Instant {
    Instant::from_origin(Duration::from_secs(seconds))
}

fn room() -> Room {
    let one = || {
        Arc::new(Semaphore::new(1))
            .try_acquire_owned()
            .expect("there is one")
    };
    Room {
        _command: one(),
        _bytes: one(),
    }
}

fn queue(recovered: Store, on_expiry: OnExpiry) -> Queue<u64> {
    Queue::new(recovered, NONCE, on_expiry, at(0), |_| None)
}

fn push(queue: &mut Queue<u64>, body: &'static str) -> oneshot::Receiver<Outcome<u64>> {
    let number = queue.accept(Bytes::from_static(body.as_bytes()), room(), at(0));
    queue.wait_for(number).expect("it is pending")
}

/// Makes the next write; whether there was one.
fn write(queue: &mut Queue<u64>, store: &mut Store) -> bool {
    let Some(write) = queue.next_write(true, at(0)) else {
        return false;
    };
    apply(store, write);
    queue.written();
    true
}

fn apply(store: &mut Store, write: OutboxWrite) {
    store.position = write.position.or(store.position);
    if let Some(through) = write.remove_through {
        store.commands.retain(|command| command.number > through);
    }
    store.commands.extend(write.append);
}

fn order(queue: &mut Queue<u64>) -> Option<Order> {
    queue.next_order(true, at(0))
}

/// The headers of what is sent.
fn headers(order: Option<Order>) -> Vec<CommandHeader> {
    let Some(Order::Send { commands, .. }) = order else {
        panic!("nothing is sent: {order:?}");
    };
    let header = |command: &Bytes| match Envelope::decode(command) {
        Ok(Envelope::Command { header, .. }) => header,
        other => panic!("not a command: {other:?}"),
    };
    commands.iter().map(header).collect()
}

fn sequences(order: Option<Order>) -> Vec<u64> {
    let sequences = headers(order).into_iter().map(|header| header.sequence);
    sequences.collect()
}

/// Stores what waits, opens the session, stores that, and gives what is sent.
fn open(queue: &mut Queue<u64>, store: &mut Store, session: Index) -> Option<Order> {
    write(queue, store);
    assert_eq!(order(queue), Some(Order::Register));
    queue.on_lane_event(LaneEvent::Registered { session });
    write(queue, store);
    order(queue)
}

fn done(queue: &mut Queue<u64>, sequence: u64) {
    let reply = Some(sequence * 10);
    queue.on_lane_event(LaneEvent::Done { sequence, reply });
}

const EXPIRED: OutboxCause = OutboxCause::SessionExpired;

#[test]
fn nothing_is_sent_before_it_is_stored_that_it_may_have_been() {
    let (mut queue, mut store) = (queue(Store::default(), OnExpiry::Stop), Store::default());
    drop(push(&mut queue, "a"));
    write(&mut queue, &mut store);
    assert_eq!(order(&mut queue), Some(Order::Register));
    queue.on_lane_event(LaneEvent::Registered { session: SESSION });

    let before = order(&mut queue);
    let sent_through = store.position.map(|position| position.sent_through);
    write(&mut queue, &mut store);
    let after = order(&mut queue);

    assert_eq!((before, sent_through), (None, Some(0)));
    assert_eq!(
        store.position.map(|p| (p.session, p.sent_through)),
        Some((Some(SESSION), 1))
    );
    assert_eq!(sequences(after), [1]);
}

#[test]
fn what_is_done_is_acknowledged_once_its_removal_is_stored() {
    let (mut queue, mut store) = (queue(Store::default(), OnExpiry::Stop), Store::default());
    let mut first = push(&mut queue, "a");
    open(&mut queue, &mut store, SESSION);
    done(&mut queue, 1);

    drop(push(&mut queue, "b"));
    assert_eq!(order(&mut queue), None);
    write(&mut queue, &mut store);
    let sent = headers(order(&mut queue));

    assert_eq!(first.try_recv(), Ok(Ok(10)));
    assert_eq!(store.commands.len(), 1);
    assert_eq!((sent[0].sequence, sent[0].acknowledged_through), (2, 1));
}

#[test]
fn after_a_restart_what_was_sent_keeps_its_number_where_the_session_lives() {
    let (mut first, mut store) = (queue(Store::default(), OnExpiry::Stop), Store::default());
    drop(push(&mut first, "a"));
    drop(push(&mut first, "b"));
    open(&mut first, &mut store, SESSION);
    done(&mut first, 1);
    write(&mut first, &mut store);

    let mut second = queue(store.clone(), OnExpiry::Stop);
    let sent = open(&mut second, &mut store, SESSION);

    assert_eq!(second.nonce(), NONCE);
    assert_eq!(sequences(sent), [2]);
}

#[test]
fn after_a_restart_what_was_sent_under_a_session_that_is_gone_is_unknown_and_the_rest_takes_another()
 {
    let (mut first, mut store) = (
        queue(Store::default(), OnExpiry::Continue),
        Store::default(),
    );
    drop(push(&mut first, "a"));
    open(&mut first, &mut store, SESSION);
    drop(push(&mut first, "b"));
    apply(
        &mut store,
        first.next_write(false, at(0)).expect("it is to be stored"),
    );

    let mut second = queue(store.clone(), OnExpiry::Continue);
    let mut sent = second.wait_for(1).unwrap();
    let mut unsent = second.wait_for(2).unwrap();
    let again = open(&mut second, &mut store, Index(90));
    let headers = headers(again);
    done(&mut second, 1);

    assert_eq!(sent.try_recv(), Ok(Err(OutboxError::Unknown(EXPIRED))));
    assert_eq!((headers[0].session, headers[0].sequence), (Index(90), 1));
    assert_eq!(unsent.try_recv(), Ok(Ok(10)));
}

#[test]
fn a_session_that_is_seen_to_expire_takes_only_what_had_left_with_it() {
    let (mut queue, mut store) = (
        queue(Store::default(), OnExpiry::Continue),
        Store::default(),
    );
    let mut left = push(&mut queue, "a");
    let mut stayed = push(&mut queue, "b");
    open(&mut queue, &mut store, SESSION);

    queue.on_lane_event(LaneEvent::Expired {
        sent_through: 1,
        proven: true,
    });
    write(&mut queue, &mut store);
    let again = open(&mut queue, &mut store, Index(90));
    let sequences = sequences(again);
    done(&mut queue, 1);

    assert_eq!(left.try_recv(), Ok(Err(OutboxError::NotDone(EXPIRED))));
    assert_eq!(sequences, [1]);
    assert_eq!(stayed.try_recv(), Ok(Ok(10)));
}

#[test]
fn an_outbox_that_halted_sends_nothing_and_removes_what_it_reported_when_it_is_resumed() {
    let (mut queue, mut store) = (queue(Store::default(), OnExpiry::Stop), Store::default());
    drop(push(&mut queue, "a"));
    open(&mut queue, &mut store, SESSION);
    queue.on_lane_event(LaneEvent::Expired {
        sent_through: 1,
        proven: false,
    });
    drop(push(&mut queue, "b"));
    write(&mut queue, &mut store);

    let while_halted = order(&mut queue);
    let kept = store.commands.len();
    assert!(queue.resume());
    let sent = open(&mut queue, &mut store, Index(90));

    assert_eq!((while_halted, kept), (None, 2));
    assert_eq!(sequences(sent), [1]);
    assert_eq!(store.commands[0].number, 2);
    assert!(!queue.resume());
}

#[test]
fn an_outbox_that_halted_is_halted_after_a_restart() {
    let (mut first, mut store) = (queue(Store::default(), OnExpiry::Stop), Store::default());
    drop(push(&mut first, "a"));
    open(&mut first, &mut store, SESSION);
    first.on_lane_event(LaneEvent::Expired {
        sent_through: 1,
        proven: false,
    });
    write(&mut first, &mut store);

    let mut second = queue(store, OnExpiry::Stop);

    assert_eq!(second.status().state, OutboxState::Halted);
    assert_eq!(second.pending(at(0))[0].state, PendingState::Reported);
    let mut told = second.wait_for(1).unwrap();
    assert_eq!(told.try_recv(), Ok(Err(OutboxError::Unknown(EXPIRED))));
}

#[test]
fn the_lane_is_given_no_more_than_its_window() {
    let (mut queue, mut store) = (queue(Store::default(), OnExpiry::Stop), Store::default());
    for _ in 0..LANE_COMMANDS_MAX + 5 {
        drop(push(&mut queue, "a"));
    }

    let first = sequences(open(&mut queue, &mut store, SESSION));
    let full = order(&mut queue);
    done(&mut queue, 1);
    done(&mut queue, 2);
    write(&mut queue, &mut store);
    let next = sequences(order(&mut queue));

    assert_eq!(first.len(), LANE_COMMANDS_MAX);
    assert_eq!(full, None);
    assert_eq!(
        next,
        [LANE_COMMANDS_MAX as u64 + 1, LANE_COMMANDS_MAX as u64 + 2]
    );
}

#[test]
fn while_no_leader_is_known_nothing_is_marked_as_sent() {
    let (mut queue, mut store) = (queue(Store::default(), OnExpiry::Stop), Store::default());
    drop(push(&mut queue, "a"));
    open(&mut queue, &mut store, SESSION);
    done(&mut queue, 1);
    drop(push(&mut queue, "b"));

    apply(
        &mut store,
        queue.next_write(false, at(0)).expect("b is to be stored"),
    );
    queue.written();

    assert_eq!(
        store.position.map(|position| position.sent_through),
        Some(1)
    );
    assert_eq!(queue.next_order(false, at(0)), None);
    assert!(write(&mut queue, &mut store));
    assert_eq!(sequences(order(&mut queue)), [2]);
}

#[test]
fn after_a_time_without_a_leader_what_is_under_way_comes_first() {
    let (mut queue, mut store) = (queue(Store::default(), OnExpiry::Stop), Store::default());
    drop(push(&mut queue, "a"));
    open(&mut queue, &mut store, SESSION);
    drop(push(&mut queue, "b"));
    apply(
        &mut store,
        queue.next_write(false, at(0)).expect("b is to be stored"),
    );
    queue.written();

    let held_back = write(&mut queue, &mut store);
    done(&mut queue, 1);
    write(&mut queue, &mut store);

    assert!(!held_back);
    assert_eq!(sequences(order(&mut queue)), [2]);
}

#[test]
fn a_session_that_was_idle_for_long_is_confirmed_before_more_is_sent() {
    let (mut queue, mut store) = (queue(Store::default(), OnExpiry::Stop), Store::default());
    drop(push(&mut queue, "a"));
    open(&mut queue, &mut store, SESSION);
    done(&mut queue, 1);
    drop(push(&mut queue, "b"));
    let later = at(CONFIRM_AFTER.as_secs());

    let sent_through = queue
        .next_write(true, later)
        .and_then(|w| w.position)
        .map(|p| p.sent_through);
    queue.written();
    let confirmed = queue.next_order(true, later);

    assert_eq!(sent_through, None);
    assert_eq!(confirmed, Some(Order::Register));
}

#[test]
fn closing_tells_each_what_is_known_of_it() {
    let (mut durable, mut store) = (queue(Store::default(), OnExpiry::Stop), Store::default());
    let mut stored = push(&mut durable, "a");
    open(&mut durable, &mut store, SESSION);
    let mut accepted = push(&mut durable, "b");
    let mut volatile = queue(Store::default(), OnExpiry::Stop);
    let mut sent = push(&mut volatile, "a");
    open(&mut volatile, &mut Store::default(), SESSION);
    let mut unsent = push(&mut volatile, "b");

    durable.close(OutboxCause::Closed, true);
    volatile.close(OutboxCause::Closed, false);

    let closed = OutboxCause::Closed;
    assert_eq!(
        stored.try_recv(),
        Ok(Err(OutboxError::Interrupted(closed.clone())))
    );
    assert_eq!(
        accepted.try_recv(),
        Ok(Err(OutboxError::NotDone(closed.clone())))
    );
    assert_eq!(
        sent.try_recv(),
        Ok(Err(OutboxError::Unknown(closed.clone())))
    );
    assert_eq!(unsent.try_recv(), Ok(Err(OutboxError::NotDone(closed))));
}

#[test]
fn numbers_are_never_given_twice_over_one_store() {
    let (mut first, mut store) = (queue(Store::default(), OnExpiry::Stop), Store::default());
    drop(push(&mut first, "a"));
    open(&mut first, &mut store, SESSION);
    done(&mut first, 1);
    write(&mut first, &mut store);

    let mut second = queue(store, OnExpiry::Stop);

    assert_eq!(second.accept(Bytes::new(), room(), at(0)), 2);
}
