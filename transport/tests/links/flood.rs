//! Strangers who open handshakes and never finish them, or send what means nothing.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::task::{Context, Poll, Wake, Waker};

use bytes::Bytes;
use liferaft_platform::Address;
use liferaft_transport::carrier::{
    Carrier, CarrierEvent, CarryError, Channel, DialError, PACKET_BYTES_MIN, Packet, Path,
};
use liferaft_transport::links::HALF_OPEN_MAX;

use crate::memory::endpoint;
use crate::world::*;

/// Returns openings of handshakes, each of another index, that nobody will go on with.
pub(crate) fn openings(count: usize) -> Vec<Bytes> {
    let mut world = World::of(2, SEALED);
    let mut openings = Vec::new();
    world.end(1).is_dead = true;
    while openings.len() < count {
        world.want(0, &[1]);
        world.run_for(ms(1));
        openings.append(&mut world.seen);
        world.want(0, &[]);
    }
    openings.into_iter().map(|flight| flight.bytes).collect()
}

#[test]
fn half_open_handshakes_are_bounded_and_forgotten() {
    let mut world = World::of(2, SEALED);
    let openings = openings(2_000);

    for (number, bytes) in openings.into_iter().enumerate() {
        let from = 10 + u8::try_from(number % 200).unwrap();
        world.inject(Flight {
            carrier: 0,
            from,
            to: 1,
            bytes,
        });
    }
    world.run_for(ms(1));

    assert_eq!(world.end(1).links.handshakes(), HALF_OPEN_MAX);
    world.run_for(ms(6_000));
    assert_eq!(world.end(1).links.handshakes(), 0);
}

#[test]
fn a_flood_of_openings_takes_no_link_down() {
    let mut world = World::linked(SEALED);

    for (number, bytes) in openings(2_000).into_iter().enumerate() {
        let from = u8::try_from(number % 250).unwrap();
        world.inject(Flight {
            carrier: 0,
            from,
            to: 1,
            bytes,
        });
        world.run_for(ms(1));
    }
    world.send(0, 1, DATAGRAM, &frame("hello")).unwrap();
    world.run_for(ms(100));

    assert_eq!(world.ups_and_downs(1), (0, vec![]));
    assert_eq!(world.frames(1), ["hello"]);
}

#[test]
fn a_flood_from_one_origin_does_not_keep_others_out() {
    let mut world = World::of(2, SEALED);
    let mut flood = openings(2_000).into_iter();

    world.want(0, &[1]);
    for bytes in flood.by_ref().take(1_000) {
        world.inject(Flight {
            carrier: 0,
            from: 9,
            to: 1,
            bytes,
        });
        world.run_for(ms(1));
    }

    assert!(world.is_up(0, 1) && world.is_up(1, 0));
    assert!(world.end(1).links.handshakes() <= 9);
}

/// Has strangers of 200 origins open handshakes without end. Returns after how many milliseconds a server on a way of
/// 25 ms, which dials meanwhile, has its link.
fn linked_after(openings: &[Bytes], each_ms: usize) -> Option<u64> {
    let mut world = World::of(
        2,
        Medium {
            delay: ms(25),
            ..SEALED
        },
    );
    let mut flood = openings.iter().cycle().enumerate();
    world.want(0, &[1]);
    (0..10_000).find(|_| {
        for (number, bytes) in flood.by_ref().take(each_ms) {
            world.inject(Flight {
                carrier: 0,
                from: 10 + u8::try_from(number % 200).unwrap(),
                to: 1,
                bytes: bytes.clone(),
            });
        }
        world.run_for(ms(1));
        world.is_up(0, 1) && world.is_up(1, 0)
    })
}

#[test]
fn a_flood_from_many_origins_does_not_keep_others_out() {
    let openings = openings(2_000);

    let after = [1, 2, 4].map(|each_ms| linked_after(&openings, each_ms));

    assert!(after[0].is_some_and(|after| after <= 200), "{after:?} ms");
    assert!(after[1].is_some_and(|after| after <= 200), "{after:?} ms");
    assert!(after[2].is_some_and(|after| after <= 6_000), "{after:?} ms");
}

#[test]
fn openings_seen_once_and_sent_again_keep_nobody_out() {
    let after = linked_after(&openings(7), 4);

    assert!(after.is_some_and(|after| after <= 6_000), "{after:?} ms");
}

#[test]
fn an_opening_is_answered_by_no_more_bytes_than_it_has() {
    let mut world = World::of(2, SEALED);
    let opening = openings(1).remove(0);
    let bytes = opening.len();

    world.inject(Flight {
        carrier: 0,
        from: 9,
        to: 1,
        bytes: opening,
    });
    world.run_for(ms(6_000));

    let answered: usize = world.seen.iter().map(|flight| flight.bytes.len()).sum();
    assert!(answered <= bytes, "{answered} bytes for {bytes}");
}

/// A medium on which packets that mean nothing arrive without end.
struct Torrent;

impl Carrier for Torrent {
    fn scheme(&self) -> &str {
        "torrent"
    }

    fn packet_bytes_max(&self) -> usize {
        PACKET_BYTES_MIN
    }

    fn dial(&mut self, address: &Address) -> Result<Path, DialError> {
        Err(DialError::BadAddress(address.clone()))
    }

    fn send(&mut self, _: &Path, _: Channel, _: Packet) -> Result<(), CarryError> {
        Ok(())
    }

    fn poll(&mut self, _: &mut Context<'_>) -> Poll<Option<CarrierEvent>> {
        Poll::Ready(Some(CarrierEvent::Packet {
            path: Path::new(&[1], &[2]),
            channel: Channel::Datagram,
            packet: Bytes::from_static(&[0xff; 100]).into(),
        }))
    }
}

#[tokio::test(start_paused = true)]
async fn a_torrent_of_packets_leaves_time_for_other_things() {
    let mut end = endpoint(1, Torrent);
    let woken = Arc::new(Woken::default());
    let waker = Waker::from(Arc::clone(&woken));

    let polled = end.poll_link_event(&mut Context::from_waker(&waker));

    assert_eq!(polled, Poll::Pending);
    assert!(woken.0.load(Ordering::Relaxed), "it goes on afterwards");
}

#[derive(Default)]
struct Woken(AtomicBool);

impl Wake for Woken {
    fn wake(self: Arc<Self>) {
        self.0.store(true, Ordering::Relaxed);
    }
}
