//! Shows what who drops, repeats, changes and redirects packets on the way can do to links: nothing but cut them.

use bytes::Bytes;
use liferaft_transport::links::DownReason;
use proptest::prelude::*;

use crate::world::*;

/// Returns the packet with one bit of the byte at `at`, counted round, flipped.
fn flipped(bytes: &Bytes, at: usize) -> Bytes {
    let mut bytes = bytes.to_vec();
    let at = at % bytes.len();
    bytes[at] ^= 1;
    bytes.into()
}

#[test]
fn packets_that_arrive_again_are_delivered_once() {
    let mut world = World::linked(SEALED);
    world.adversary = Box::new(|flight| vec![flight.clone(), flight.clone(), flight]);

    world.send(0, 1, DATAGRAM, &frame("datagram")).unwrap();
    world.send(0, 1, STREAM, &frame("stream")).unwrap();
    world.run_for(ms(1_000));

    assert_eq!(world.frames(1), ["datagram", "stream"]);
}

#[test]
fn a_packet_with_any_bit_flipped_is_not_delivered() {
    let mut world = World::linked(SEALED);
    let mut at = 0;
    world.adversary = Box::new(move |mut flight| {
        at += 1;
        flight.bytes = flipped(&flight.bytes, at);
        vec![flight]
    });

    for _ in 0..100 {
        world.send(0, 1, DATAGRAM, &frame("to be changed")).unwrap();
        world.run_for(ms(1));
    }
    world.run_for(ms(100));

    assert_eq!(world.frames(1), Vec::<Bytes>::new());
    assert_eq!(world.ups_and_downs(1), (0, vec![]));
}

#[test]
fn a_truncated_packet_is_not_delivered() {
    let mut world = World::linked(SEALED);
    let mut left = 0;
    world.adversary = Box::new(move |mut flight| {
        left += 1;
        flight.bytes.truncate(left % flight.bytes.len());
        vec![flight]
    });

    for _ in 0..100 {
        world.send(0, 1, DATAGRAM, &frame("to be cut")).unwrap();
        world.run_for(ms(1));
    }
    world.run_for(ms(100));

    assert_eq!(world.frames(1), Vec::<Bytes>::new());
}

#[test]
fn nothing_of_an_earlier_link_is_delivered() {
    for medium in [SEALED, INSIDE] {
        let mut world = World::linked(medium);
        world.send(0, 1, DATAGRAM, &frame("earlier")).unwrap();
        world.send(0, 1, STREAM, &frame("earlier")).unwrap();
        world.run_for(ms(100));
        world.restart(0, 2);
        world.want(0, &[1]);
        world.run_for(ms(100));
        world.take_events();

        let earlier = std::mem::take(&mut world.seen);
        earlier.into_iter().for_each(|flight| world.inject(flight));
        world.run_for(ms(1_000));

        assert_eq!(world.frames(1), Vec::<Bytes>::new());
        assert!(world.is_up(0, 1) && world.is_up(1, 0));
    }
}

#[test]
fn a_replayed_handshake_replaces_no_link() {
    let mut world = World::of(2, SEALED);
    world.want(0, &[1]);
    world.run_for(ms(200));
    let generation = world.generation(1, 0);

    let seen = std::mem::take(&mut world.seen);
    seen.into_iter().for_each(|flight| world.inject(flight));
    world.run_for(ms(10_000));

    assert_eq!(world.generation(1, 0), generation);
    assert_eq!(world.ups_and_downs(1), (1, vec![]));
}

#[test]
fn packets_sent_back_to_their_sender_are_not_delivered() {
    for medium in [SEALED, INSIDE] {
        let mut world = World::linked(medium);
        world.adversary = Box::new(|flight| {
            let mut back = flight.clone();
            (back.from, back.to) = (flight.to, flight.from);
            vec![flight, back]
        });

        world.send(0, 1, DATAGRAM, &frame("there")).unwrap();
        world.run_for(ms(100));

        if !medium.is_inside_process {
            assert_eq!(world.frames(0), Vec::<Bytes>::new());
        }
        assert_eq!(world.frames(1)[0], "there");
    }
}

#[test]
fn packets_of_one_link_are_not_delivered_by_another() {
    for medium in [SEALED, INSIDE] {
        let mut world = World::of(3, medium);
        world.want(0, &[1, 2]);
        world.run_for(ms(200));
        world.take_events();
        world.adversary = Box::new(|mut flight| {
            if flight.to != 0 {
                flight.to = 3 - flight.to;
            }
            vec![flight]
        });

        world.send(0, 1, DATAGRAM, &frame("for one")).unwrap();
        world.send(0, 2, STREAM, &frame("for the other")).unwrap();
        world.run_for(ms(1_000));

        assert_eq!(world.frames(1), Vec::<Bytes>::new());
        assert_eq!(world.frames(2), Vec::<Bytes>::new());
    }
}

#[test]
fn packets_from_another_path_are_not_delivered() {
    for medium in [SEALED, INSIDE] {
        let mut world = World::linked(medium);
        world.adversary = Box::new(|mut flight| {
            flight.from = 9;
            vec![flight]
        });

        world.send(0, 1, DATAGRAM, &frame("redirected")).unwrap();
        world.run_for(ms(100));

        assert_eq!(world.frames(1), Vec::<Bytes>::new());
    }
}

#[test]
fn who_drops_everything_only_cuts_the_link() {
    let mut world = World::linked(SEALED);
    world.adversary = Box::new(|_| vec![]);

    world.run_for(ms(6_000));

    assert_eq!(world.ups_and_downs(0), (0, vec![DownReason::Silent]));
    world.adversary = nobody();
    world.run_for(ms(31_000));
    assert!(world.is_up(0, 1));
}

#[test]
fn a_handshake_with_any_bit_flipped_comes_up_nonetheless() {
    for at in (0..150).step_by(7) {
        let mut world = World::of(2, SEALED);
        let mut sent = 0;
        world.adversary = Box::new(move |mut flight| {
            sent += 1;
            if sent <= 4 {
                flight.bytes = flipped(&flight.bytes, at);
            }
            vec![flight]
        });

        world.want(0, &[1]);
        world.run_for(ms(20_000));

        assert!(world.is_up(0, 1) && world.is_up(1, 0), "byte {at}");
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(12))]

    #[test]
    fn stream_frames_arrive_once_and_in_order(
        chances in proptest::collection::vec(0_u8..100, 64..65),
        lengths in proptest::collection::vec(0_usize..5_000, 1..20),
    ) {
        let mut world = World::linked(SEALED);
        let mut chance = chances.into_iter().cycle();
        let mut held_back = Vec::new();
        world.adversary = Box::new(move |flight| {
            let mut arriving = std::mem::take(&mut held_back);
            match chance.next().unwrap_or_default() {
                0..10 => {}
                10..20 => arriving.extend([flight.clone(), flight]),
                20..40 => held_back.push(flight),
                _ => arriving.push(flight),
            }
            arriving
        });
        let sent: Vec<Bytes> = lengths.into_iter().map(|bytes| frame(&"x".repeat(bytes))).collect();

        for frame in &sent {
            world.send(0, 1, STREAM, frame).unwrap();
        }
        world.run_for(ms(120_000));

        prop_assert_eq!(world.frames(1), sent);
    }

    #[test]
    fn packets_made_up_by_strangers_change_nothing(
        packets in proptest::collection::vec(proptest::collection::vec(any::<u8>(), 0..100), 0..50),
        kind in 0_u8..3,
    ) {
        let mut world = World::linked(SEALED);
        let generation = world.generation(1, 0).unwrap().to_be_bytes();

        for packet in packets {
            let bytes = [&[kind][..], &generation, &packet].concat().into();
            world.inject(Flight { carrier: 0, from: 0, to: 1, bytes });
        }
        world.run_for(ms(3_000));

        prop_assert_eq!(world.ups_and_downs(1), (0, vec![]));
        prop_assert_eq!(world.frames(1), Vec::<Bytes>::new());
    }
}
