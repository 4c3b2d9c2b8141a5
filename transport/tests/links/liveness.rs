//! Links that fall silent, and what is done when messages are lost.

use liferaft_transport::links::{CloseReason, DownReason, Wanted};

use crate::world::*;

#[test]
fn an_idle_link_stays_up() {
    let mut world = World::linked(SEALED);

    world.run_for(ms(60_000));

    assert_eq!(world.ups_and_downs(0), (0, vec![]));
    assert!(world.seen.len() < 200, "{} packets", world.seen.len());
}

#[test]
fn a_silent_link_is_down_after_a_while() {
    let mut world = World::linked(SEALED);

    world.end(1).is_dead = true;
    world.run_for(ms(4_000));
    assert!(world.is_up(0, 1));
    world.run_for(ms(2_000));

    assert_eq!(world.ups_and_downs(0), (0, vec![DownReason::Silent]));
}

#[test]
fn a_silent_peer_is_dialed_until_it_is_back() {
    let mut world = World::linked(SEALED);
    world.end(1).is_dead = true;
    world.run_for(ms(20_000));

    world.restart(1, 2);
    world.run_for(ms(31_000));

    assert!(world.is_up(0, 1) && world.is_up(1, 0));
}

#[test]
fn every_message_of_a_handshake_may_be_lost() {
    for lost in 0..5 {
        let mut world = World::of(2, SEALED);
        let mut sent = 0;
        world.adversary = Box::new(move |flight| {
            sent += 1;
            if sent == lost + 1 {
                vec![]
            } else {
                vec![flight]
            }
        });

        world.want(0, &[1]);
        world.run_for(ms(1_500));

        assert!(
            world.is_up(0, 1) && world.is_up(1, 0),
            "packet {lost} was lost"
        );
        assert_eq!(
            world.ups_and_downs(0),
            (1, vec![]),
            "packet {lost} was lost"
        );
    }
}

#[test]
fn a_goodbye_takes_the_link_down_at_once() {
    let mut world = World::linked(SEALED);

    world.end(0).links.close_all(CloseReason::Leaving);
    world.run_for(ms(10));

    assert_eq!(
        world.ups_and_downs(0),
        (0, vec![DownReason::Closed(CloseReason::Leaving)])
    );
    assert_eq!(
        world.ups_and_downs(1),
        (0, vec![DownReason::ClosedByPeer(CloseReason::Leaving)])
    );
}

#[test]
fn a_peer_that_nobody_answers_for_is_dialed_less_and_less() {
    let mut world = World::of(2, SEALED);
    world.end(1).is_dead = true;

    world.want(0, &[1]);
    world.run_for(ms(600_000));

    // An attempt of five seconds sends five packets, and as long a wait follows.
    assert!(
        world.seen.len() < 400,
        "{} packets in ten minutes",
        world.seen.len()
    );
}

#[test]
fn peers_that_are_gone_keep_no_other_from_its_turn() {
    let mut world = World::of(51, SEALED);
    let mut others: Vec<u8> = (1..51).collect();
    others.sort_by_key(|end| id_of(*end));
    let (last, gone) = others.split_last().expect("there are some");
    for end in gone {
        world.end(*end).is_dead = true;
    }

    world.want(0, &others);
    world.run_for(ms(30_000));

    assert!(world.is_up(0, *last));
}

#[test]
fn who_answers_for_several_gets_one_link() {
    let mut world = World::of(2, SEALED);
    let keys = vec![key_of(1), key_of(5), key_of(6)];
    let wanted = [1, 5, 6].map(|end| Wanted {
        peer: id_of(end),
        keys: keys.clone(),
        addresses: vec![address_of(1)],
    });
    let now = world.now;
    let links = &mut world.end(0).links;
    links.set_time(now);

    links.want(&wanted);
    world.run_for(ms(60_000));

    assert!(world.is_up(0, 1));
    assert_eq!(world.ups_and_downs(0), (1, vec![]));
    let dials = world.seen.len();
    assert!(dials < 1_000, "{dials} packets");
}
