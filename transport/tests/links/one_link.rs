//! One link for each peer, whoever dials, and who comes back.

use liferaft_transport::links::{CloseReason, DownReason, LinkEvent};

use crate::world::*;

#[test]
fn both_ends_that_dial_at_once_get_one_link() {
    for medium in [SEALED, INSIDE] {
        let mut world = World::of(2, medium);

        world.want(0, &[1]);
        world.want(1, &[0]);
        world.run_for(ms(3_000));

        assert_eq!(world.ups_and_downs(0), (1, vec![]));
        assert_eq!(world.ups_and_downs(1), (1, vec![]));
        assert_eq!(world.generation(0, 1), world.generation(1, 0));
    }
}

#[test]
fn both_ends_that_dial_at_almost_the_same_time_get_one_link() {
    for late in 0..30 {
        let mut world = World::of(2, SEALED);

        world.want(0, &[1]);
        world.run_for(ms(late));
        world.want(1, &[0]);
        world.run_for(ms(3_000));

        assert_eq!(
            world.generation(0, 1),
            world.generation(1, 0),
            "{late} ms later"
        );
        assert!(world.is_up(0, 1), "{late} ms later");
        assert!(
            world.ups_and_downs(0).0 <= 2 && world.ups_and_downs(1).0 <= 2,
            "{late} ms later"
        );
    }
}

#[test]
fn a_link_says_who_is_there() {
    let mut world = World::of(2, SEALED);

    world.want(0, &[1]);
    world.run_for(ms(200));

    let link = world
        .end(1)
        .links
        .link(id_of(0))
        .copied()
        .expect("the link is up");
    assert_eq!(
        (link.peer, link.key, link.version),
        (id_of(0), key_of(0), 1)
    );
    assert_eq!(world.end(1).events, [LinkEvent::Up(Box::new(link))]);
}

#[test]
fn a_restarted_peer_replaces_its_link_at_once() {
    let mut world = World::linked(SEALED);
    let earlier = world.generation(1, 0);

    world.restart(0, 2);
    world.want(0, &[1]);
    world.run_for(ms(200));

    assert_eq!(world.ups_and_downs(1), (1, vec![DownReason::Replaced]));
    assert_ne!(world.generation(1, 0), earlier);
    assert_eq!(world.generation(1, 0), world.generation(0, 1));
}

#[test]
fn a_peer_that_lost_its_link_replaces_it_at_once() {
    let mut world = World::linked(SEALED);

    world.restart(0, 1);
    world.want(0, &[1]);
    world.run_for(ms(200));

    assert_eq!(world.ups_and_downs(1), (1, vec![DownReason::Replaced]));
    assert_eq!(world.generation(1, 0), world.generation(0, 1));
}

#[test]
fn an_earlier_start_of_a_peer_does_not_replace_a_later_one() {
    let mut world = World::of(2, SEALED);
    world.restart(0, 5);
    world.want(0, &[1]);
    world.run_for(ms(200));
    let later = world.generation(1, 0);

    world.restart(0, 4);
    world.want(0, &[1]);
    world.run_for(ms(200));

    assert_eq!(world.generation(1, 0), later);
}

#[test]
fn a_copy_that_was_started_more_often_replaces_no_link() {
    let mut world = World::of(2, SEALED);
    let parted = started(5);
    world.restart_as(0, parted.next(1));
    world.want(0, &[1]);
    world.run_for(ms(200));
    let original = world.generation(1, 0);

    world.restart_as(0, parted.next(2).next(3));
    world.want(0, &[1]);
    world.run_for(ms(200));

    assert_eq!(world.generation(1, 0), original);
    assert!(original.is_some());
}

#[test]
fn links_that_are_not_wanted_any_more_are_closed_by_who_dialed() {
    let mut world = World::linked(SEALED);

    world.want(1, &[]);
    world.run_for(ms(200));
    assert!(world.is_up(0, 1));

    world.want(0, &[]);
    world.run_for(ms(200));
    let closed = DownReason::ClosedByPeer(CloseReason::Unwanted);
    assert_eq!(world.ups_and_downs(1), (0, vec![closed]));
}

#[test]
fn another_server_at_the_address_gets_no_link() {
    let mut world = World::of(3, SEALED);
    let mut other = wanted(1);
    other.addresses = vec![address_of(2)];

    world.end(0).links.want(&[other]);
    world.run_for(ms(1_000));

    assert!(!world.is_up(0, 1) && !world.is_up(0, 2));
    let failed =
        |event: &LinkEvent| matches!(event, LinkEvent::Failed { peer, .. } if *peer == id_of(1));
    assert!(world.end(0).events.iter().any(failed));
}

#[test]
fn nothing_is_sent_to_oneself_or_without_a_link() {
    let mut world = World::linked(SEALED);

    assert!(world.send(0, 0, DATAGRAM, &frame("hello")).is_err());
    assert!(world.send(1, 2, STREAM, &frame("hello")).is_err());
    assert_eq!(world.end(0).links.room(id_of(2), DATAGRAM), 0);
}

#[test]
fn frames_of_both_classes_arrive_whatever_their_length() {
    for medium in [SEALED, INSIDE] {
        let mut world = World::linked(medium);
        let frames = [0, 1, 1_150, 1_200, 70_000, 1_000_000].map(|bytes| frame(&"x".repeat(bytes)));

        for class in [DATAGRAM, STREAM] {
            for frame in &frames {
                world.send(0, 1, class, frame).expect("there is room");
                world.run_for(ms(2_000));
            }
        }

        assert_eq!(world.frames(1), [frames.clone(), frames].concat());
    }
}

#[test]
fn a_closed_link_is_not_replaced_by_one_that_was_agreed_upon_before() {
    let mut world = World::linked(SEALED);
    // The peer dials again, and nothing that it sends on a link gets through.
    world.adversary = Box::new(|flight| {
        let is_of_link = flight.from == 0 && matches!(flight.bytes[0], 1 | 2);
        if is_of_link { vec![] } else { vec![flight] }
    });
    let now = world.now;
    let dialer = &mut world.end(0).links;
    dialer.set_time(now);
    dialer.close(id_of(1), CloseReason::RuleBroken);
    world.run_for(ms(1_000));
    assert!(world.is_up(0, 1));

    world.dismiss(0);
    let now = world.now;
    let links = &mut world.end(1).links;
    links.set_time(now);
    links.close(id_of(0), CloseReason::Forbidden);
    world.adversary = nobody();
    world.run_for(ms(10_000));

    assert!(!world.is_up(1, 0));
    assert_eq!(world.ups_and_downs(1).0, 0);
}
