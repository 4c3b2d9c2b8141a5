//! Several addresses of one peer: one where nobody answers holds up none of the others.

use liferaft_transport::links::{ADDRESS_DELAY, BACK_OFF_MAX, FURTHER_DIALS_MAX, Wanted};

use crate::world::*;

/// An address that nobody has.
const NOBODY: &str = "test:9";

#[test]
fn the_next_address_is_dialed_while_the_first_is_silent() {
    let mut world = World::of(2, SEALED);

    world.want_at(0, 1, &[NOBODY, "test:1"]);
    world.run_for(ADDRESS_DELAY - ms(1));
    let was_up = world.is_up(0, 1);
    world.run_for(ms(100));

    assert!(!was_up);
    assert!(world.is_up(0, 1));
    assert_eq!(world.generation(0, 1), world.generation(1, 0));
}

#[test]
fn the_address_that_worked_is_dialed_first_after_a_loss() {
    let mut world = World::of(2, SEALED);
    world.want_at(0, 1, &[NOBODY, "test:1"]);
    world.run_for(ms(10_000));

    world.restart(1, 2);
    world.run_for(ms(5_000));
    world.seen.clear();
    world.run_for(ms(1_500));

    assert!(world.is_up(0, 1));
    assert!(world.seen.iter().all(|flight| flight.to != 9));
}

#[test]
fn each_address_is_dialed_by_one_attempt_at_a_time() {
    let mut world = World::of(1, SEALED);

    world.want_at(0, 1, &["test:8", NOBODY, NOBODY]);
    world.run_for(4 * ADDRESS_DELAY);

    assert_eq!(world.ends[0].links.handshakes(), 2);
}

#[test]
fn whoever_refuses_is_asked_again_while_other_addresses_are_silent() {
    let mut world = World::of(2, SEALED);
    world.dismiss(0);
    world.want_at(0, 1, &["test:1", NOBODY]);
    world.run_for(ms(600));

    let openings = world
        .seen
        .iter()
        .filter(|flight| (flight.from, flight.to) == (0, 1));
    let asked = openings.count();

    // Each time with an opening and a claim: at once, and then after at most 100, 200 and 400 ms.
    assert!(asked >= 2 * 3, "{asked}");
}

#[test]
fn few_peers_are_dialed_at_further_addresses_at_a_time() {
    let mut world = World::of(1, SEALED);
    let addresses =
        [NOBODY, "test:8", "test:7"].map(|text| text.parse().expect("it is an address"));
    let wanted: Vec<Wanted> = (1..=6)
        .map(|peer| Wanted {
            addresses: addresses.to_vec(),
            ..wanted(peer)
        })
        .collect();

    let now = world.now;
    let links = &mut world.end(0).links;
    links.set_time(now);
    links.want(&wanted);
    world.run_for(3 * ADDRESS_DELAY);

    // Three addresses each: all first ones, and of the others as many as there may be.
    let handshakes = world.ends[0].links.handshakes();
    assert_eq!(handshakes, 6 + FURTHER_DIALS_MAX);
}

#[test]
fn a_carrier_that_reaches_others_again_is_used_at_once() {
    let mut world = World::of(2, SEALED);
    world.adversary = Box::new(|_| Vec::new());
    world.want_at(0, 1, &["test:1"]);
    world.run_for(ms(60_000));
    // One attempt ends, and the next is made after half of the longest wait or more.
    for is_under_way in [true, false] {
        while (world.ends[0].links.handshakes() > 0) != is_under_way {
            world.run_for(ms(10));
        }
    }
    let deadline = world.ends[0].links.deadline().expect("there is one");
    assert!(deadline > world.now + BACK_OFF_MAX / 4);

    world.adversary = nobody();
    world.ready(0);
    world.run_for(ms(50));

    assert!(world.is_up(0, 1));
}
