//! Bulk that delays nothing, and receivers and carriers that take no more.

use bytes::Bytes;
use liferaft_transport::SendError;
use liferaft_transport::links::{CREDIT_BYTES_INITIAL, LinkEvent, LinkLimits};

use crate::world::*;

const MEBIBYTE: usize = 1024 * 1024;

/// Beside it, heartbeats are sent every 50 ms. Without anything else they take 5 ms.
#[test]
fn heartbeats_never_wait_behind_16_mb_on_a_slow_link() {
    let mut world = World::linked(Medium {
        bytes_per_second: Some(1_000_000),
        ..INSIDE
    });
    let chunk = Bytes::from(vec![7; MEBIBYTE]);
    let began = world.now;
    let (mut sent, mut latest) = (0, ms(0));

    while world.frames_longer_than(1, 4) < 16 {
        while sent < 16 && world.send(0, 1, STREAM, &chunk).is_ok() {
            sent += 1;
        }
        let beat_at = world.now;
        let beats = world.frames_longer_than(1, 0) - world.frames_longer_than(1, 4);
        world.send(0, 1, DATAGRAM, &frame("beat")).unwrap();
        while world.frames_longer_than(1, 0) - world.frames_longer_than(1, 4) == beats {
            world.run_for(ms(1));
        }
        latest = latest.max(world.now - beat_at);
        world.run_for(ms(50));
        assert!(world.now - began < ms(20_000), "{sent} MiB took too long");
    }

    assert!(latest <= ms(60), "a heartbeat took {latest:?}");
}

#[test]
fn bulk_uses_a_fast_link_with_a_long_way() {
    let medium = Medium {
        bytes_per_second: Some(10_000_000),
        delay: ms(25),
        ..INSIDE
    };
    let mut world = World::linked(medium);
    for _ in 0..3 {
        world
            .send(0, 1, STREAM, &Bytes::from(vec![7; MEBIBYTE]))
            .unwrap();
    }

    world.run_for(ms(1_500));

    assert_eq!(world.frames(1).len(), 3);
}

#[test]
fn a_receiver_that_does_not_read_stops_the_sender() {
    let mut world = World::linked(INSIDE);
    world.end(1).is_reading = false;
    let chunk = Bytes::from(vec![7; 10_000]);
    while world.send(0, 1, STREAM, &chunk).is_ok() {}

    let sent_before = world.seen.len();
    world.run_for(ms(10_000));
    let bytes: usize = world.seen[sent_before..]
        .iter()
        .map(|flight| flight.bytes.len())
        .sum();
    assert!(bytes < 2 * CREDIT_BYTES_INITIAL, "{bytes} bytes were sent");
    while world.send(0, 1, STREAM, &chunk).is_ok() {}
    world.run_for(ms(10_000));
    assert_eq!(
        world.send(0, 1, STREAM, &chunk),
        Err(SendError::QueueFull(id_of(1)))
    );
    assert!(
        !world
            .end(0)
            .events
            .contains(&LinkEvent::Writable { peer: id_of(1) })
    );

    world.end(1).is_reading = true;
    world.run_for(ms(10_000));
    assert!(
        world
            .end(0)
            .events
            .contains(&LinkEvent::Writable { peer: id_of(1) })
    );
    assert!(world.send(0, 1, STREAM, &chunk).is_ok());
    assert_eq!(world.ups_and_downs(0), (0, vec![]));
}

#[test]
fn datagram_frames_that_nobody_reads_are_bounded() {
    let mut limits = LinkLimits::default();
    limits.unread_bytes_max = 100_000;
    let mut world = World::with_limits(2, SEALED, limits);
    world.want(0, &[1]);
    world.run_for(ms(200));
    world.end(1).is_reading = false;

    for _ in 0..1_000 {
        world
            .send(0, 1, DATAGRAM, &Bytes::from(vec![7; 1_000]))
            .unwrap();
    }
    world.run_for(ms(100));
    world.end(1).is_reading = true;
    world.run_for(ms(100));

    let bytes: usize = world.frames(1).iter().map(Bytes::len).sum();
    assert!(
        (90_000..=100_000).contains(&bytes),
        "{bytes} bytes were kept"
    );
    let dropped = usize::try_from(world.end(1).links.dropped(id_of(0))).unwrap();
    assert_eq!(world.frames(1).len() + dropped, 1_000);
}

#[test]
fn a_frame_beyond_its_limit_is_refused() {
    let mut limits = LinkLimits::default();
    (
        limits.datagram_frame_bytes_max,
        limits.stream_frame_bytes_max,
    ) = (100, 200);
    let mut world = World::with_limits(2, SEALED, limits);
    world.want(0, &[1]);
    world.run_for(ms(200));

    let refused = [(DATAGRAM, 101, 100), (STREAM, 201, 200)];
    for (class, bytes, bytes_max) in refused {
        let sent = world.send(0, 1, class, &Bytes::from(vec![7; bytes]));
        assert_eq!(sent, Err(SendError::TooLarge { bytes, bytes_max }));
    }
    assert_eq!(world.end(0).links.room(id_of(1), DATAGRAM), 100);
}

#[test]
fn a_full_carrier_refuses_until_it_is_writable() {
    let mut world = World::linked(SEALED);
    world
        .send(0, 1, STREAM, &Bytes::from(vec![7; 50_000]))
        .unwrap();
    world.set_full(0, true);
    world.run_for(ms(1));

    let refused = world.send(0, 1, DATAGRAM, &frame("hello"));
    assert_eq!(refused, Err(SendError::QueueFull(id_of(1))));
    assert_eq!(world.end(0).links.room(id_of(1), DATAGRAM), 0);
    world.run_for(ms(500));

    world.set_full(0, false);
    world.run_for(ms(1_000));
    assert!(
        world
            .end(0)
            .events
            .contains(&LinkEvent::Writable { peer: id_of(1) })
    );
    assert_eq!(world.frames(1).len(), 1);
}
