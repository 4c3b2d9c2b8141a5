//! The memory network's members: who comes, who leaves, who dies.

use bytes::Bytes;
use liferaft_transport::memory::{
    AttachError, MemoryNetwork, MemoryTransport, PEER_EVENTS_MAX, QUEUE_BYTES_MAX, QUEUE_FRAMES_MAX,
};
use liferaft_transport::{Event, SendError, ServerId, Transport};

use crate::ends::*;

#[test]
fn a_member_that_leaves_is_seen_to_leave() {
    let network = MemoryNetwork::new(1);
    let (mut a, b) = a_and_b(&network);

    drop(b);

    assert_eq!(events(&mut a), [Event::PeerDown(B)]);
    assert_eq!(try_send(&mut a, B, 1), Err(SendError::NoLink(B)));
}

#[test]
fn what_was_sent_before_leaving_is_read_before_the_leave() {
    let network = MemoryNetwork::new(1);
    let (mut a, mut b) = a_and_b(&network);

    send(&mut b, A, DATAGRAM, [7]);
    drop(b);

    assert_eq!(
        events(&mut a),
        [arrival(B, DATAGRAM, 7), Event::PeerDown(B)]
    );
}

#[test]
fn a_peer_is_attached_once_at_a_time() {
    let network = MemoryNetwork::new(1);
    let a = network.attach(A).expect("nobody is attached");

    assert_eq!(network.attach(A).err(), Some(AttachError::InUse(A)));

    drop(a);
    assert!(network.attach(A).is_ok());
}

#[test]
fn a_killed_member_falls_silent_without_an_event() {
    let network = MemoryNetwork::new(1);
    let (mut a, mut b, mut c) = a_b_and_c(&network);

    assert!(network.kill(B));
    send(&mut a, B, DATAGRAM, [1]);
    send(&mut b, A, DATAGRAM, [2]);

    assert_eq!(events(&mut a), []);
    assert_eq!(events(&mut b), []);
    assert_eq!(events(&mut c), []);
    assert!(!is_closed(&mut b));
    assert_eq!(network.counters().cut, 2);
}

#[tokio::test(start_paused = true)]
async fn a_killed_member_does_not_hear_what_had_arrived() {
    let network = MemoryNetwork::new(1);
    let (mut a, mut b) = a_and_b(&network);
    send(&mut a, B, DATAGRAM, [1, 2]);
    assert_eq!(next_event(&mut b).await, Some(arrival(A, DATAGRAM, 1)));

    network.kill(B);

    assert_eq!(events(&mut b), []);
}

#[test]
fn a_killed_member_that_is_dropped_tells_nobody() {
    let network = MemoryNetwork::new(1);
    let (mut a, b) = a_and_b(&network);

    network.kill(B);
    drop(b);

    assert_eq!(events(&mut a), []);
    assert_eq!(try_send(&mut a, B, 1), Ok(()));
    assert_eq!(network.counters().cut, 1);
}

#[test]
fn a_revived_member_goes_on_where_it_stopped() {
    let network = MemoryNetwork::new(1);
    let (mut a, mut b) = a_and_b(&network);
    send(&mut a, B, DATAGRAM, [1]);
    network.kill(B);
    send(&mut a, B, DATAGRAM, [2]);

    assert!(network.revive(B));

    send(&mut a, B, DATAGRAM, [3]);
    assert_eq!(numbers(&mut b), [1, 3]);
    assert_eq!(events(&mut a), []);
}

#[tokio::test(start_paused = true)]
async fn a_revived_member_that_waits_is_woken() {
    let network = MemoryNetwork::new(1);
    let (mut a, mut b) = a_and_b(&network);
    send(&mut a, B, DATAGRAM, [1]);
    network.kill(B);
    let waiting = tokio::spawn(async move { next_event(&mut b).await });
    tokio::task::yield_now().await;

    network.revive(B);

    assert_eq!(
        waiting.await.expect("the task ends"),
        Some(arrival(A, DATAGRAM, 1))
    );
}

#[test]
fn a_killed_member_that_was_dropped_leaves_when_it_is_revived() {
    let network = MemoryNetwork::new(1);
    let (mut a, b) = a_and_b(&network);
    network.kill(B);
    drop(b);

    assert!(!network.revive(B));

    assert_eq!(events(&mut a), [Event::PeerDown(B)]);
}

#[test]
fn a_killed_member_that_is_attached_again_replaces_its_old_end() {
    let network = MemoryNetwork::new(1);
    let (mut a, mut old) = a_and_b(&network);
    network.kill(B);

    let mut again = network.attach(B).expect("the dead give way");

    assert_eq!(events(&mut a), [Event::PeerDown(B), Event::PeerUp(B)]);
    assert_eq!(events(&mut again), [Event::PeerUp(A)]);
    assert!(is_closed(&mut old));
    assert_eq!(try_send(&mut old, A, 1), Err(SendError::Closed));
    drop(old);
    send(&mut a, B, DATAGRAM, [2]);
    assert_eq!(numbers(&mut again), [2]);
    assert_eq!(events(&mut a), []);
}

#[test]
fn a_member_that_is_not_there_is_neither_killed_nor_revived() {
    let network = MemoryNetwork::new(1);

    assert!(!network.kill(A));
    assert!(!network.revive(A));
}

#[test]
fn a_member_that_does_not_read_is_full_of_frames() {
    let network = MemoryNetwork::new(1);
    let (mut a, mut b) = a_and_b(&network);
    let frames = u32::try_from(QUEUE_FRAMES_MAX).expect("the bound is small");
    send(&mut a, B, DATAGRAM, 0..frames);

    assert_eq!(try_send(&mut a, B, frames), Err(SendError::QueueFull(B)));

    assert_eq!(numbers(&mut b).len(), QUEUE_FRAMES_MAX);
    assert_eq!(try_send(&mut a, B, frames), Ok(()));
    assert_eq!(network.counters().queue_full, 1);
}

#[test]
fn a_member_that_does_not_read_is_full_of_bytes() {
    let network = MemoryNetwork::new(1);
    let (mut a, _b) = a_and_b(&network);
    let megabyte = Bytes::from(vec![0; 1024 * 1024]);
    for _ in 0..QUEUE_BYTES_MAX / megabyte.len() {
        a.send(B, STREAM, megabyte.clone().into())
            .expect("the queue has room");
    }

    assert_eq!(
        a.send(B, STREAM, megabyte.into()),
        Err(SendError::QueueFull(B))
    );
}

#[test]
fn a_member_that_lets_peer_events_pile_up_is_closed() {
    let network = MemoryNetwork::new(1);
    let (mut a, mut unreading, mut c) = a_b_and_c(&network);

    for _ in 0..=PEER_EVENTS_MAX / 2 {
        drop(network.attach(ServerId(9)).expect("nine has left before"));
        events(&mut a);
        events(&mut c);
    }

    assert_eq!(events(&mut unreading).len(), PEER_EVENTS_MAX);
    assert!(is_closed(&mut unreading));
    assert_eq!(try_send(&mut a, B, 1), Err(SendError::NoLink(B)));
    assert_eq!(try_send(&mut a, C, 1), Ok(()));
}

#[test]
fn counters_are_kept_for_each_sender_and_for_those_who_left() {
    let network = MemoryNetwork::new(1);
    let (mut a, mut b) = a_and_b(&network);
    send(&mut a, B, DATAGRAM, 0..3);
    send(&mut b, A, DATAGRAM, 0..5);

    let of_a = network.counters_of(A).expect("a is attached");
    drop(b);

    assert_eq!((of_a.sent, of_a.delivered, of_a.bytes), (3, 3, 12));
    assert_eq!(network.counters_of(B), None);
    let all = network.counters();
    assert_eq!((all.sent, all.delivered, all.bytes), (8, 8, 32));
}

#[test]
fn a_mesh_of_a_hundred_and_one_delivers_every_frame() {
    let network = MemoryNetwork::new(1);
    let mut ends: Vec<_> = (0..101)
        .map(|id| {
            network
                .attach(ServerId(id))
                .expect("each id is attached once")
        })
        .collect();
    for end in &mut ends {
        assert_eq!(events(end).len(), 100);
    }

    for end in &mut ends {
        let local = end.local();
        let others = (0..101).map(ServerId).filter(|peer| *peer != local);
        others.for_each(|peer| send(end, peer, DATAGRAM, 0..10));
    }

    for end in &mut ends {
        assert_eq!(numbers(end).len(), 1_000);
    }
    assert_eq!(network.counters().delivered, 101_000);
}

#[test]
fn a_receiver_that_waits_on_another_thread_hears_all_in_each_senders_order() {
    const FRAMES: u32 = 20_000;
    let network = MemoryNetwork::new(1);
    let (a, b, mut c) = a_b_and_c(&network);
    let keep_sending = |mut end: MemoryTransport| {
        std::thread::spawn(move || {
            for number in 0..FRAMES {
                while try_send(&mut end, C, number) == Err(SendError::QueueFull(C)) {
                    std::thread::yield_now();
                }
            }
            end
        })
    };

    let senders = [a, b].map(keep_sending);
    let runtime = tokio::runtime::Builder::new_current_thread().build();
    let arrived: Vec<Event> = runtime.expect("a runtime can be built").block_on(async {
        let mut arrived = Vec::new();
        for _ in 0..2 * FRAMES {
            arrived.extend(next_event(&mut c).await);
        }
        arrived
    });

    for (sender, peer) in senders.into_iter().zip([A, B]) {
        sender.join().expect("the sender ends");
        let of_sender = arrived
            .iter()
            .filter(|event| matches!(event, Event::Frame { from, .. } if *from == peer));
        assert!(
            of_sender.map(number).eq(0..FRAMES),
            "all of {peer} arrive in order"
        );
    }
}
