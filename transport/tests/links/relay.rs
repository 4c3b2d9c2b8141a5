//! Links through a third server, between ends that do not reach each other.

use std::cell::Cell;
use std::rc::Rc;

use liferaft_transport::SendError;
use liferaft_transport::access::{Permit, Role};
use liferaft_transport::links::{CloseReason, DownReason, RELAYED_BYTES_AT_ONCE_MAX, WAY_DELAY};

use crate::flood::openings;
use crate::world::*;

/// The code of the content that asks to pass something on, and where it is in a packet that is not sealed.
const FORWARD: u8 = 6;
const FORWARDED: u8 = 7;
const CODE_AT: usize = 9;

/// Ends of which the first two do not reach each other.
fn parted(ends: u8, medium: Medium) -> World {
    let mut world = World::of(ends, medium);
    world.adversary = Box::new(part);
    world
}

fn part(flight: Flight) -> Vec<Flight> {
    let is_between = flight.from.max(flight.to) == 1;
    if is_between { vec![] } else { vec![flight] }
}

/// The first two want links to each other and to all others, over which they have one then.
fn relayed(ends: u8, medium: Medium) -> World {
    let mut world = parted(ends, medium);
    link_all(&mut world);
    world
}

fn link_all(world: &mut World) {
    let ends = u8::try_from(world.ends.len()).expect("there are few");
    for end in [0, 1] {
        let others: Vec<u8> = (0..ends).filter(|other| *other != end).collect();
        world.want(end, &others);
    }
    world.run_for(ms(1_000));
    assert!(world.is_up(0, 1) && world.is_up(1, 0), "a link is up");
    world.take_events();
}

#[test]
fn ends_that_do_not_reach_each_other_are_linked_through_a_third() {
    for medium in [SEALED, INSIDE] {
        let mut world = relayed(3, medium);

        world.send(0, 1, DATAGRAM, &frame("datagram")).unwrap();
        world.send(1, 0, STREAM, &frame("stream")).unwrap();
        world.run_for(ms(100));

        assert_eq!(world.generation(0, 1), world.generation(1, 0));
        assert_eq!(world.frames(1), [frame("datagram")]);
        assert_eq!(world.frames(0), [frame("stream")]);
        assert!(world.frames(2).is_empty());
    }
}

#[test]
fn a_relay_comes_up_long_before_the_attempts_to_do_without_are_over() {
    let mut world = parted(3, SEALED);

    world.want(0, &[1, 2]);
    world.want(1, &[0, 2]);
    world.run_for(WAY_DELAY + ms(200));

    assert!(world.is_up(0, 1));
}

#[test]
fn long_streams_travel_through_a_third_server() {
    let mut world = relayed(3, SEALED);
    let long = vec![7; 512 * 1024].into();

    world.send(0, 1, STREAM, &long).unwrap();
    world.run_for(ms(20_000));

    assert_eq!(world.frames(1), [long]);
    assert_eq!(world.ups_and_downs(1), (0, vec![]));
}

#[test]
fn who_passes_packets_on_cannot_read_them() {
    let mut world = relayed(3, INSIDE);
    world.seen.clear();

    world
        .send(0, 1, DATAGRAM, &frame("a secret frame"))
        .unwrap();
    world.run_for(ms(100));

    let is_read = |flight: &Flight| {
        flight
            .bytes
            .windows(14)
            .any(|bytes| bytes == b"a secret frame")
    };
    assert_eq!(world.frames(1), [frame("a secret frame")]);
    assert!(!world.seen.iter().any(is_read));
}

#[test]
fn ends_that_reach_each_other_again_do_without_the_third() {
    let mut world = relayed(3, SEALED);
    let relayed = world.generation(0, 1);

    world.adversary = nobody();
    world.run_for(ms(61_000));
    world.seen.clear();
    world.send(0, 1, DATAGRAM, &frame("direct")).unwrap();
    world.run_for(ms(10));

    assert_ne!(world.generation(0, 1), relayed);
    assert_eq!(world.ups_and_downs(0), (1, vec![DownReason::Replaced]));
    assert_eq!(world.ups_and_downs(1), (1, vec![DownReason::Replaced]));
    assert_eq!(world.frames(1), [frame("direct")]);
}

#[test]
fn ends_that_lose_each_other_are_linked_through_a_third_at_once() {
    let mut world = World::of(3, SEALED);
    link_all(&mut world);
    let direct = world.generation(0, 1);

    world.adversary = Box::new(part);
    world.run_for(ms(5_900));
    let relayed = world.generation(0, 1);
    world.run_for(ms(20_000));

    assert!(relayed.is_some() && relayed != direct, "{relayed:?}");
    assert_eq!(
        world.generation(0, 1),
        relayed,
        "one that fails to be direct changes nothing"
    );
    assert_eq!(world.generation(1, 0), relayed);
}

#[test]
fn another_server_takes_the_place_of_one_that_is_killed() {
    let mut world = relayed(4, SEALED);
    let used = |world: &World, end: u8| {
        world
            .seen
            .iter()
            .filter(|flight| flight.from == end && flight.bytes.len() > 1_000)
            .count()
    };
    world.seen.clear();
    world
        .send(0, 1, STREAM, &vec![7; 32 * 1024].into())
        .unwrap();
    world.run_for(ms(500));
    let relay = if used(&world, 2) > used(&world, 3) {
        2
    } else {
        3
    };
    world.take_events();

    world.end(relay).is_dead = true;
    world.run_for(ms(12_000));
    world
        .send(0, 1, STREAM, &frame("through the other"))
        .unwrap();
    world.run_for(ms(500));

    assert_eq!(world.frames(1), [frame("through the other")]);
    assert_eq!(world.generation(0, 1), world.generation(1, 0));
}

#[test]
fn a_server_that_has_no_link_with_the_other_end_says_so_at_once() {
    let mut world = parted(3, SEALED);

    world.want(0, &[1, 2]);
    world.run_for(ms(4_000));
    assert_eq!(world.generation(0, 1), None);
    let packets_dropped = world.end(2).links.transit().packets_dropped;
    world.want(1, &[2]);
    world.run_for(ms(3_000));

    // Each attempt costs one packet: none is repeated until its time is over.
    assert!((1..=12).contains(&packets_dropped), "{packets_dropped}");
    assert!(world.is_up(0, 1) && world.is_up(1, 0));
}

#[test]
fn a_link_through_a_third_server_goes_with_the_link_to_that() {
    let mut world = relayed(3, SEALED);

    world.end(2).links.close(id_of(1), CloseReason::Forbidden);
    world.run_for(ms(10));

    assert_eq!(world.ups_and_downs(1).1.len(), 2);
    assert!(world.ups_and_downs(1).1.contains(&DownReason::PathClosed));
}

#[test]
fn nothing_is_passed_on_between_clients_and_members() {
    for (client, other) in [(0, 1), (1, 0)] {
        let mut world = parted(3, SEALED);
        world.cast(client, Role::Client(Permit::Operate));

        world.want(client, &[other, 2]);
        world.want(other, &[client, 2]);
        world.run_for(ms(10_000));

        assert_eq!(world.generation(client, other), None);
        assert!(world.is_up(client, 2), "it has a link of its own");
        assert_eq!(world.end(2).links.transit().packets_passed, 0);
    }
}

#[test]
fn joiners_reach_members_through_others() {
    let mut world = parted(3, SEALED);
    world.cast(0, Role::Joiner);

    world.want(0, &[1, 2]);
    world.want(1, &[2]);
    world.run_for(ms(2_000));

    let link = world.end(1).links.link(id_of(0)).expect("a link is up");
    assert_eq!(link.role, Role::Joiner);
}

#[test]
fn nothing_is_passed_on_twice() {
    // Ends 0 and 1 are linked through 2. Nobody reaches 3 but 1, which would have to pass on what was passed on.
    let mut world = World::of(4, SEALED);
    world.adversary = Box::new(|flight| {
        let (low, high) = (flight.from.min(flight.to), flight.from.max(flight.to));
        let reaches = [(0, 2), (1, 2), (1, 3)].contains(&(low, high));
        if reaches { vec![flight] } else { vec![] }
    });
    world.want(0, &[1, 2, 3]);
    world.want(1, &[0, 2, 3]);

    world.run_for(ms(10_000));

    assert!(world.is_up(0, 1) && world.is_up(1, 3));
    assert_eq!(world.generation(0, 3), None);
    assert_eq!(world.end(1).links.transit().packets_passed, 0);
}

#[test]
fn a_member_cannot_be_passed_off_as_another() {
    // End 2 says of what comes from end 0 that it comes from end 3.
    let mut world = World::of(4, INSIDE);
    world.adversary = Box::new(|flight| {
        let mut bytes = flight.bytes.to_vec();
        if flight.from == 2 && flight.to == 1 && bytes[CODE_AT] == FORWARDED {
            bytes[CODE_AT + 1..][..16].copy_from_slice(&id_of(3).0.to_be_bytes());
        }
        if flight.from == 1 && flight.to == 2 && bytes[CODE_AT] == FORWARD {
            bytes[CODE_AT + 1..][..16].copy_from_slice(&id_of(0).0.to_be_bytes());
        }
        let bytes = bytes.into();
        part(Flight { bytes, ..flight })
    });
    world.want(0, &[1, 2]);
    world.want(1, &[2]);

    world.run_for(ms(10_000));

    assert_eq!(world.generation(1, 3), None);
    assert_eq!(
        world.generation(1, 0),
        None,
        "the name of the route is not its own"
    );
}

#[test]
fn no_more_is_passed_on_at_once_than_allowed() {
    let mut world = relayed(3, SEALED);
    let body = vec![7; 1_000].into();
    world.seen.clear();

    (0..2_000).for_each(|_| world.send(0, 1, DATAGRAM, &body).unwrap());
    world.run_for(ms(20));

    let passed = world
        .seen
        .iter()
        .filter(|flight| flight.from == 2 && flight.to == 1);
    let bytes: usize = passed.map(|flight| flight.bytes.len()).sum();
    let at_once = usize::try_from(RELAYED_BYTES_AT_ONCE_MAX).unwrap();
    assert!(bytes > at_once / 2 && bytes < 2 * at_once, "{bytes} bytes");
    assert!(world.end(2).links.transit().packets_dropped > 1_000);
    assert!(world.is_up(0, 1) && world.is_up(0, 2), "the links stay");
}

#[test]
fn a_link_through_a_server_whose_carrier_is_full_waits_for_room() {
    let mut world = relayed(3, SEALED);

    world.set_full(0, true);
    world.send(0, 2, STREAM, &frame("fills it")).unwrap();
    world.run_for(ms(10));
    world.send(0, 1, STREAM, &frame("waits")).unwrap();
    world.run_for(ms(10));
    let refused = world.send(0, 1, DATAGRAM, &frame("refused"));
    world.set_full(0, false);
    world.run_for(ms(100));

    assert_eq!(refused, Err(SendError::QueueFull(id_of(1))));
    assert_eq!(world.frames(1), [frame("waits")]);
}

#[test]
fn a_relay_that_loses_much_still_carries_a_stream() {
    let mut world = relayed(3, SEALED);
    let count = Rc::new(Cell::new(0_u32));
    world.adversary = Box::new(move |flight| {
        count.set(count.get() + 1);
        if count.get().is_multiple_of(10) {
            vec![]
        } else {
            part(flight)
        }
    });
    let long = vec![7; 64 * 1024].into();

    world.send(0, 1, STREAM, &long).unwrap();
    world.run_for(ms(60_000));

    assert_eq!(world.frames(1), [long]);
}

/// Returns the packet by which an end asks another to pass something on to a third, over a link that is not sealed.
fn forward(world: &World, (from, by, to): (u8, u8, u8), passed: &[u8]) -> Flight {
    let generation = world.generation(from, by).expect("a link is up");
    let generation = generation.to_be_bytes();
    let to = id_of(to).0.to_be_bytes();
    Flight {
        carrier: 0,
        from,
        to: by,
        bytes: [&[1], &generation[..], &[FORWARD], &to, passed]
            .concat()
            .into(),
    }
}

#[test]
fn packets_without_bytes_are_not_passed_on_without_end() {
    let mut world = relayed(3, INSIDE);
    let empty = forward(&world, (0, 2, 1), &[]);
    world.seen.clear();

    (0..20_000).for_each(|_| world.inject(empty.clone()));
    world.run_for(ms(20));

    let passed = world.seen.iter().filter(|flight| flight.from == 2).count();
    assert!(passed < 2_000, "{passed} packets");
}

#[test]
fn openings_through_a_third_server_do_not_keep_others_from_that_way() {
    // End 3, which has joined, floods end 1 by the way that ends 0 and 1 have to each other.
    let mut world = World::of(4, INSIDE);
    world.adversary = Box::new(|flight| {
        let is_direct = [0, 3].contains(&flight.from) && flight.to == 1
            || [0, 3].contains(&flight.to) && flight.from == 1;
        if is_direct { vec![] } else { vec![flight] }
    });
    world.cast(3, Role::Joiner);
    [0, 1, 3].into_iter().for_each(|end| world.want(end, &[2]));
    world.run_for(ms(500));

    world.want(0, &[1, 2]);
    for opening in openings(3_000) {
        let flight = forward(&world, (3, 2, 1), &opening);
        world.inject(flight);
        world.run_for(ms(1));
    }

    assert!(world.is_up(0, 1) && world.is_up(1, 0));
}
