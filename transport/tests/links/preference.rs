//! Several ways to one peer: the better one is taken, and come back to.

use liferaft_transport::links::{DownReason, LinkLimits, UPGRADE_BACK_OFF_MAX, WAY_DELAY};

use crate::world::*;

const BETTER: Medium = Medium {
    scheme: "better",
    ..SEALED
};

/// Ends with a carrier that is preferred and another.
fn mixed(ends: u8) -> World {
    World::over(ends, &[BETTER, SEALED], LinkLimits::default())
}

/// The same whose packets are not sealed: hours take seconds.
fn mixed_inside(ends: u8) -> World {
    let better = Medium {
        scheme: "better",
        ..INSIDE
    };
    World::over(ends, &[better, INSIDE], LinkLimits::default())
}

fn black_hole(carrier: usize) -> Adversary {
    Box::new(move |flight| {
        if flight.carrier == carrier {
            vec![]
        } else {
            vec![flight]
        }
    })
}

fn want_each_other(world: &mut World) {
    world.want_at(0, 1, &["test:1", "better:1"]);
    world.want_at(1, 0, &["test:0", "better:0"]);
}

/// Returns the carriers by which frames travel from the first end to the second.
fn carriers(world: &mut World) -> Vec<usize> {
    world.seen.clear();
    world.send(0, 1, DATAGRAM, &vec![7; 900].into()).unwrap();
    world.run_for(ms(20));
    let frames = world
        .seen
        .iter()
        .filter(|flight| flight.from == 0 && flight.bytes.len() > 900);
    frames.map(|flight| flight.carrier).collect()
}

#[test]
fn the_carrier_that_was_given_first_is_dialed_first() {
    let mut world = mixed(2);

    world.want_at(0, 1, &["test:1", "better:1"]);
    world.run_for(ms(300));

    assert_eq!(carriers(&mut world), [0]);
    assert!(world.seen.iter().all(|flight| flight.carrier == 0));
}

#[test]
fn a_worse_way_is_tried_soon_where_nothing_comes_of_a_better() {
    let mut world = mixed(2);
    world.adversary = black_hole(0);

    world.want_at(0, 1, &["test:1", "better:1"]);
    world.run_for(WAY_DELAY + ms(100));

    assert_eq!(carriers(&mut world), [1]);
}

#[test]
fn an_attempt_for_a_better_link_that_fails_changes_nothing() {
    let mut world = mixed(2);
    world.adversary = black_hole(0);
    want_each_other(&mut world);
    world.run_for(ms(2_000));
    let generation = world.generation(0, 1);
    world.take_events();

    world.run_for(ms(300_000));

    assert_eq!(world.generation(0, 1), generation);
    assert_eq!(world.ups_and_downs(0), (0, vec![]));
    assert_eq!(world.ups_and_downs(1), (0, vec![]));
}

#[test]
fn attempts_for_better_links_that_fail_cost_little() {
    let mut world = mixed_inside(11);
    world.adversary = black_hole(0);
    for end in 0..11 {
        let others: Vec<_> = (0..11).filter(|other| *other != end).collect();
        world.want_by_all(end, &others);
    }
    world.run_for(ms(120_000));
    world.seen.clear();

    world.run_for(ms(300_000));

    let in_vain = world.seen.iter().filter(|flight| flight.carrier == 0);
    let (in_vain, all) = (in_vain.count(), world.seen.len());
    assert!(in_vain > 0, "they go on");
    assert!(in_vain * 5 < all, "{in_vain} of {all} packets");
}

#[test]
fn dials_of_many_that_are_gone_do_not_keep_from_better_links() {
    let mut world = mixed(23);
    world.adversary = black_hole(0);
    (2..23).for_each(|gone| world.end(gone).is_dead = true);
    world.want_by_all(0, &(1..23).collect::<Vec<_>>());
    world.run_for(ms(30_000));
    assert_eq!(carriers(&mut world), [1]);

    world.adversary = nobody();
    world.run_for(2 * UPGRADE_BACK_OFF_MAX);

    assert_eq!(carriers(&mut world), [0]);
}

#[test]
fn a_better_way_that_opens_is_taken_once() {
    let mut world = mixed(2);
    world.adversary = black_hole(0);
    want_each_other(&mut world);
    world.run_for(ms(20_000));
    world.take_events();

    world.adversary = nobody();
    world.run_for(UPGRADE_BACK_OFF_MAX);
    let (at_0, at_1) = (world.ups_and_downs(0), world.ups_and_downs(1));
    world.take_events();
    world.run_for(ms(300_000));

    assert_eq!(at_0, (1, vec![DownReason::Replaced]));
    assert_eq!(at_1, (1, vec![DownReason::Replaced]));
    assert_eq!(carriers(&mut world), [0]);
    assert_eq!(world.ups_and_downs(0), (0, vec![]), "it does not flap");
    assert_eq!(world.generation(0, 1), world.generation(1, 0));
}

#[test]
fn ends_that_both_take_the_better_way_at_once_have_one_link() {
    for late in 0..20 {
        let mut world = mixed(2);
        world.want_at(0, 1, &["test:1"]);
        world.want_at(1, 0, &["test:0"]);
        world.run_for(ms(3_000));

        world.want_at(0, 1, &["test:1", "better:1"]);
        world.run_for(ms(late));
        world.want_at(1, 0, &["test:0", "better:0"]);
        world.run_for(ms(3_000));

        assert_eq!(
            world.generation(0, 1),
            world.generation(1, 0),
            "{late} ms later"
        );
        assert_eq!(carriers(&mut world), [0], "{late} ms later");
    }
}

#[test]
fn a_link_whose_better_way_dies_falls_back_at_once() {
    let mut world = mixed(2);
    want_each_other(&mut world);
    world.run_for(ms(10_000));
    assert_eq!(carriers(&mut world), [0]);

    world.adversary = black_hole(0);
    world.run_for(ms(6_500));
    assert_eq!(carriers(&mut world), [1]);
    world.adversary = nobody();
    world.run_for(UPGRADE_BACK_OFF_MAX);

    assert_eq!(carriers(&mut world), [0]);
}

#[test]
fn a_stream_that_a_better_link_ends_is_told_to_be_down() {
    let mut world = mixed(2);
    world.want_at(0, 1, &["test:1"]);
    world.run_for(ms(300));
    world.take_events();

    world
        .send(0, 1, STREAM, &vec![7; 900 * 1024].into())
        .unwrap();
    world.want_at(0, 1, &["test:1", "better:1"]);
    world.run_for(ms(3_000));

    // Either the frame has arrived, or both ends know that it has not.
    let is_whole = world.frames(1).len() == 1;
    let (ups, downs) = world.ups_and_downs(0);
    assert_eq!((ups, downs), (1, vec![DownReason::Replaced]));
    assert!(is_whole || world.ups_and_downs(1).1 == [DownReason::Replaced]);
}

#[test]
fn ends_that_prefer_different_carriers_come_to_rest() {
    for contrary in [0, 1] {
        let mut world = mixed_inside(2);
        world.turn_preference(contrary);
        want_each_other(&mut world);
        world.run_for(ms(3_600_000));
        let (ups, _) = world.ups_and_downs(0);
        world.take_events();
        world.run_for(ms(3 * 3_600_000));

        // They change about every second at first, and ever more seldom.
        assert!(ups <= 12, "{ups} links in the first hour");
        let (ups, downs) = world.ups_and_downs(0);
        assert!(ups <= 4, "{ups} links in three more hours");
        assert!(downs.iter().all(|why| *why == DownReason::Replaced));
        assert_eq!(world.generation(0, 1), world.generation(1, 0));
    }
}

#[test]
fn ends_that_prefer_different_carriers_are_linked_at_once() {
    for late in 0..40 {
        let mut world = mixed(2);
        world.turn_preference(1);

        world.want_at(0, 1, &["test:1", "better:1"]);
        world.run_for(ms(late));
        world.want_at(1, 0, &["test:0", "better:0"]);
        world.run_for(ms(450));

        let generation = world.generation(0, 1);
        assert!(generation.is_some(), "{late} ms later");
        assert_eq!(generation, world.generation(1, 0), "{late} ms later");
    }
}

#[test]
fn ends_of_which_one_lost_a_link_come_back_to_it_soon() {
    // Nothing reaches the second end by the better carrier for a while, of which the first knows nothing.
    for deaf in [0, 1] {
        let mut world = mixed(2);
        want_each_other(&mut world);
        world.run_for(ms(10_000));
        world.adversary = Box::new(move |flight| {
            let is_lost = flight.carrier == 0 && flight.to == deaf;
            if is_lost { vec![] } else { vec![flight] }
        });
        world.run_for(ms(20_000));
        assert_eq!(carriers(&mut world), [1]);

        world.adversary = nobody();
        world.run_for(2 * UPGRADE_BACK_OFF_MAX);

        assert_eq!(carriers(&mut world), [0]);
    }
}

#[test]
fn an_end_that_knows_no_better_address_keeps_the_better_link() {
    let mut world = mixed(2);
    world.want_at(0, 1, &["better:1"]);
    world.want_at(1, 0, &["test:0"]);

    world.run_for(ms(120_000));

    assert!(world.ups_and_downs(0).0 <= 2);
    assert_eq!(carriers(&mut world), [0]);
}
