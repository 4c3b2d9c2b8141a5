//! Signals of carriers: over the link to their server, and through others that have links with both.

use std::sync::{Arc, Mutex};
use std::task::{Context, Poll};

use bytes::Bytes;
use liferaft_platform::ServerId;
use liferaft_transport::access::{Permit, Role};
use liferaft_transport::carrier::{
    Address, Carrier, CarrierEvent, CarryError, Channel, DialError, Packet, Path, SIGNAL_BYTES_MAX,
};
use liferaft_transport::links::{SIGNALS_AT_ONCE_MAX, SIGNALS_PER_SECOND_MAX, Wanted};
use liferaft_transport::memory::{MemoryCarrier, MemoryNetwork};
use tokio::time::timeout;

use crate::memory::{connect, endpoint, id, key, next};
use crate::world::*;

/// The codes of contents: `docs/links.md`.
const SIGNAL: u8 = 5;
const FORWARD: u8 = 6;
const FORWARDED: u8 = 7;

/// Where the code of a content is, in a packet that is not sealed.
const CODE_AT: usize = 9;

/// Ends of which the first ones have links with the last, and none with each other.
fn star(ends: u8, medium: Medium) -> World {
    let mut world = World::of(ends, medium);
    link_star(&mut world);
    world
}

fn link_star(world: &mut World) {
    let hub = u8::try_from(world.ends.len() - 1).expect("there are few ends");
    (0..hub).for_each(|end| world.want(end, &[hub]));
    world.run_for(ms(500));
    assert!(
        (0..hub).all(|end| world.is_up(hub, end)),
        "the links are up"
    );
}

#[test]
fn a_signal_takes_the_link_to_its_server() {
    let mut world = World::linked(SEALED);

    world.signal(0, 1, "offer");
    world.signal(1, 0, "answer");
    world.run_for(ms(50));

    assert_eq!(world.signals(1), [(id_of(0), frame("offer"))]);
    assert_eq!(world.signals(0), [(id_of(1), frame("answer"))]);
}

#[test]
fn signals_leave_a_link_that_has_fallen_silent_for_other_ways() {
    let mut world = World::of(3, SEALED);
    world.want(0, &[1, 2]);
    world.want(1, &[2]);
    world.run_for(ms(1_500));
    world.adversary = Box::new(|flight| {
        let is_between = flight.from.max(flight.to) == 1;
        if is_between { vec![] } else { vec![flight] }
    });

    world.run_for(ms(4_000));
    assert!(world.is_up(0, 1), "it is not taken for dead yet");
    world.signal(0, 1, "offer");
    world.run_for(ms(50));

    assert_eq!(world.signals(1), [(id_of(0), frame("offer"))]);
}

#[test]
fn signals_that_are_too_long_are_not_passed_on() {
    let mut world = star(3, INSIDE);
    let generation = world.generation(0, 2).expect("a link is up");
    let (generation, to) = (generation.to_be_bytes(), id_of(1).0.to_be_bytes());
    let long = [7; 8_000];
    let head = [
        &[1],
        &generation[..],
        &[FORWARD],
        &to,
        &[SIGNAL, 4],
        b"test",
    ]
    .concat();
    world.seen.clear();

    world.inject(Flight {
        carrier: 0,
        from: 0,
        to: 2,
        bytes: [&head[..], &long].concat().into(),
    });
    world.run_for(ms(50));

    assert!(world.seen.iter().all(|flight| flight.bytes.len() <= 1_200));
    assert_eq!(world.end(2).links.transit().signals_dropped, 1);
}

#[test]
fn a_signal_reaches_its_addressee_alone_through_a_third_server() {
    let mut world = star(5, SEALED);

    world.signal(0, 2, "offer");
    world.run_for(ms(50));

    assert_eq!(world.signals(2), [(id_of(0), frame("offer"))]);
    assert!(
        [0, 1, 3, 4]
            .into_iter()
            .all(|end| world.signals(end).is_empty())
    );
    assert_eq!(world.end(4).links.transit().signals_passed, 1);
}

#[test]
fn an_answer_takes_the_way_by_which_the_offer_has_come() {
    // End 1 has links with many, of whom the last alone has one with end 0.
    let mut world = World::of(12, SEALED);
    world.want(0, &[11]);
    world.want(1, &(2..12).collect::<Vec<_>>());
    world.run_for(ms(500));

    world.signal(0, 1, "offer");
    world.run_for(ms(50));
    assert_eq!(world.signals(1), [(id_of(0), frame("offer"))]);
    (0..20).for_each(|_| world.signal(1, 0, "answer"));
    world.run_for(ms(50));

    assert_eq!(world.signals(0).len(), 20);
}

#[test]
fn repeated_signals_find_the_one_server_that_passes_them_on() {
    let mut world = World::of(12, SEALED);
    world.want(0, &[11]);
    world.want(1, &(2..12).collect::<Vec<_>>());
    world.run_for(ms(500));

    (0..4).for_each(|_| world.signal(1, 0, "offer"));
    world.run_for(ms(50));

    let signals = world.signals(0);
    assert!(
        (1..=4).contains(&signals.len()),
        "{} have come",
        signals.len()
    );
}

#[test]
fn nothing_is_passed_on_for_clients_nor_to_them() {
    let mut world = World::of(3, SEALED);
    world.cast(0, Role::Client(Permit::Operate));
    link_star(&mut world);

    world.signal(0, 1, "from a client");
    world.signal(1, 0, "to a client");
    world.run_for(ms(50));

    assert_eq!(world.signals(0), []);
    assert_eq!(world.signals(1), []);
    assert_eq!(world.end(2).links.transit().signals_passed, 0);
}

#[test]
fn joiners_have_their_signals_passed_on() {
    let mut world = World::of(3, SEALED);
    world.cast(0, Role::Joiner);
    link_star(&mut world);

    world.signal(0, 1, "offer");
    world.run_for(ms(50));
    world.signal(1, 0, "answer");
    world.run_for(ms(50));

    assert_eq!(world.signals(1), [(id_of(0), frame("offer"))]);
    assert_eq!(world.signals(0), [(id_of(1), frame("answer"))]);
}

#[test]
fn a_client_is_not_believed_whose_signal_it_passes_on() {
    // The client says that what it sends to end 1 comes from end 2, in place of itself.
    let mut world = World::of(2, INSIDE);
    world.cast(0, Role::Client(Permit::Operate));
    link_star(&mut world);
    world.adversary = Box::new(|flight| {
        let (head, signal) = flight.bytes.split_at(CODE_AT);
        let forged_sender = id_of(2).0.to_be_bytes();
        let bytes = match signal[0] {
            SIGNAL => [head, &[FORWARDED], &forged_sender, signal].concat().into(),
            _ => flight.bytes.clone(),
        };
        vec![Flight { bytes, ..flight }]
    });

    world.signal(0, 1, "forged");
    world.run_for(ms(50));

    assert_eq!(world.signals(1), []);
    assert_eq!(world.end(1).links.transit().signals_dropped, 1);
}

#[test]
fn the_name_of_the_sender_is_that_of_its_link() {
    // What end 0 writes in place of the addressee is no sender, whatever it is.
    let mut world = star(4, INSIDE);
    world.adversary = Box::new(|flight| {
        let mut bytes = flight.bytes.to_vec();
        if flight.from == 0 && bytes[CODE_AT] == FORWARD {
            bytes[CODE_AT + 1..][..16].copy_from_slice(&id_of(1).0.to_be_bytes());
        }
        let bytes = bytes.into();
        vec![Flight { bytes, ..flight }]
    });

    world.signal(0, 2, "offer");
    world.run_for(ms(50));

    assert_eq!(world.signals(1), [(id_of(0), frame("offer"))]);
    assert_eq!(world.signals(2), []);
}

#[test]
fn a_content_of_an_unknown_kind_is_dropped_and_the_link_stays() {
    let mut world = World::linked(INSIDE);
    let generation = world.generation(0, 1);
    world.adversary = Box::new(|flight| {
        let mut bytes = flight.bytes.to_vec();
        bytes[CODE_AT] = 99;
        let bytes = bytes.into();
        vec![Flight { bytes, ..flight }]
    });

    world.signal(0, 1, "of a later version");
    world.run_for(ms(20));
    world.adversary = nobody();
    world.send(0, 1, DATAGRAM, &frame("known")).unwrap();
    world.run_for(ms(20));

    assert_eq!(world.signals(1), []);
    assert_eq!(world.frames(1), [frame("known")]);
    assert_eq!(world.generation(1, 0), generation);
}

#[test]
fn a_flood_of_signals_is_dropped_beyond_its_bound() {
    let mut world = star(3, SEALED);
    let burst = usize::try_from(SIGNALS_AT_ONCE_MAX).unwrap();
    let rate = usize::try_from(SIGNALS_PER_SECOND_MAX).unwrap();

    (0..2 * burst).for_each(|_| world.signal(0, 1, "flood"));
    world.run_for(ms(100));
    let at_once = world.signals(1).len();
    world.run_for(ms(1_000));
    (0..2 * burst).for_each(|_| world.signal(0, 1, "flood"));
    world.run_for(ms(100));
    let later = world.signals(1).len();

    assert!(
        (burst..burst + rate).contains(&at_once),
        "{at_once} at once"
    );
    assert!((rate..2 * rate).contains(&later), "{later} a second later");
    assert!(world.is_up(0, 2) && world.is_up(2, 1), "the links stay");
}

/// What was taken from a link was bounded for all together whose signals came by it.
#[test]
fn a_flood_of_one_sender_leaves_others_their_signals() {
    let mut world = star(4, SEALED);
    let burst = usize::try_from(SIGNALS_AT_ONCE_MAX).unwrap();

    (0..2 * burst).for_each(|_| world.signal(0, 1, "flood"));
    world.run_for(ms(100));
    for _ in 0..50 {
        (0..5).for_each(|_| world.signal(0, 1, "flood"));
        world.signal(2, 1, "offer");
        world.run_for(ms(10));
    }

    let signals = world.signals(1);
    let of_other = signals.iter().filter(|(from, _)| *from == id_of(2));
    assert_eq!(of_other.count(), 50);
}

#[test]
fn a_signal_that_is_too_long_is_dropped_and_counted() {
    let mut world = World::linked(SEALED);

    world.signal(0, 1, &"x".repeat(SIGNAL_BYTES_MAX + 1));
    world.signal(0, 1, &"y".repeat(SIGNAL_BYTES_MAX));
    world.run_for(ms(50));

    let signals: Vec<_> = world
        .signals(1)
        .iter()
        .map(|(_, signal)| signal[0])
        .collect();
    assert_eq!(signals, *b"y");
    assert_eq!(world.end(0).links.transit().signals_dropped, 1);
}

#[test]
fn a_signal_without_a_way_is_dropped_and_counted() {
    let mut world = World::of(2, SEALED);

    world.signal(0, 1, "offer");
    world.run_for(ms(50));

    assert_eq!(world.signals(1), []);
    assert_eq!(world.end(0).links.transit().signals_dropped, 1);
}

/// A carrier that sends the signals that are put here, and puts those there that it is given.
struct Signaling {
    carrier: MemoryCarrier,
    post: Arc<Mutex<Post>>,
}

#[derive(Default)]
struct Post {
    to_send: Vec<(ServerId, Bytes)>,
    received: Vec<(ServerId, Bytes)>,
}

impl Carrier for Signaling {
    fn scheme(&self) -> &str {
        self.carrier.scheme()
    }

    fn packet_bytes_max(&self) -> usize {
        self.carrier.packet_bytes_max()
    }

    fn address_of(&self, server: ServerId) -> Option<Address> {
        self.carrier.address_of(server)
    }

    fn on_signal(&mut self, from: ServerId, _by: ServerId, signal: Bytes) {
        self.post.lock().unwrap().received.push((from, signal));
    }

    fn describe(&self, _: &Path) -> Option<String> {
        Some(format!(
            "{} signals",
            self.post.lock().unwrap().received.len()
        ))
    }

    fn dial(&mut self, address: &Address) -> Result<Path, DialError> {
        self.carrier.dial(address)
    }

    fn send(&mut self, path: &Path, channel: Channel, packet: Packet) -> Result<(), CarryError> {
        self.carrier.send(path, channel, packet)
    }

    fn poll(&mut self, context: &mut Context<'_>) -> Poll<Option<CarrierEvent>> {
        let signal = self.post.lock().unwrap().to_send.pop();
        signal.map_or_else(
            || self.carrier.poll(context),
            |(to, signal)| Poll::Ready(Some(CarrierEvent::Signal { to, signal })),
        )
    }
}

#[tokio::test(start_paused = true)]
async fn endpoints_give_signals_to_their_carriers() {
    let network = MemoryNetwork::new(1);
    let attach = |number| {
        let post = Arc::new(Mutex::new(Post::default()));
        let carrier = network.attach_carrier(id(number)).expect("it is free");
        let signaling = Signaling {
            carrier,
            post: Arc::clone(&post),
        };
        (endpoint(number, signaling), post)
    };
    let ((mut a, post_of_a), (mut b, post_of_b)) = (attach(1), attach(2));
    a.want(&[Wanted {
        peer: id(2),
        keys: vec![key(2)],
        addresses: Vec::new(),
    }]);
    connect(&mut a, &mut b).await;

    let offer = (id(2), frame("offer"));
    post_of_a.lock().unwrap().to_send.push(offer);
    let events = async {
        tokio::select! { _ = next(&mut a) => {}, _ = next(&mut b) => {} }
    };
    let _no_event = timeout(ms(5_000), events).await;

    assert_eq!(
        post_of_b.lock().unwrap().received,
        [(id(1), frame("offer"))]
    );
    let path = b.link_path(id(1)).expect("the link is up");
    assert_eq!(path.to_string(), "memory (1 signals)");
}
