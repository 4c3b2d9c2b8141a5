//! Links of three ends whose packets an adversary delivers, changes and makes up. One link is up, and one handshake is
//! half done.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::task::{Context, Poll};
use std::time::Duration;

use bytes::Bytes;
use ed25519_dalek::Signer;
use liferaft_platform::{Address, Boot, ClusterId, PublicKey, ServerId, Versions};
use liferaft_transport::DeliveryClass;
use liferaft_transport::access::{AccessTable, Role};
use liferaft_transport::carrier::{
    Carrier, CarrierEvent, CarryError, Channel, DialError, PACKET_BYTES_MIN, Packet, Path,
};
use liferaft_transport::links::{
    CarrierTraits, CloseReason, Credentials, HALF_OPEN_MAX, LinkEvent, LinkLimits, LinkOutput,
    Links, Wanted,
};

use crate::handshake::{KEYS, take};

/// The ends. The first is the one under attack; the second has a link to it, and the third begins one.
const ENDS: usize = 3;

/// The most packets that the adversary keeps: the last ones.
const KEPT_MAX: usize = 256;

/// The most that one step may lead to. What an end sends at once is bounded by its window.
const OUTPUTS_MAX: usize = 4_096;

/// Does what the data says, step by step: see [`World::step`].
///
/// # Panics
/// When a frame arrives twice, by another link than it was sent on, or from nobody, or when a stranger costs too much.
pub(crate) fn run(mut data: &[u8]) {
    let mut world = World::new();
    while let Some(step) = take(&mut data) {
        world.step(step, &mut data);
        world.check();
    }
}

struct World {
    now: Duration,
    access: AccessTable,
    ends: Vec<End>,
    /// The packets that were sent, each with the end that sent it.
    sent: Vec<(usize, Bytes)>,
    /// How the carrier refuses what is sent now, if it does.
    refusal: Option<CarryError>,
    frames_sent: u64,
    /// The frames that have arrived, by their numbers.
    arrived: BTreeSet<u64>,
}

struct End {
    links: Links,
    boot: u64,
    /// The generations of the links that are up, as this end was told.
    up: BTreeMap<ServerId, u64>,
}

impl World {
    fn new() -> Self {
        let now = Duration::from_secs(1_000);
        let mut world = Self {
            now,
            access: AccessTable {
                members: (0..ENDS).map(id_of).collect(),
                ..AccessTable::default()
            },
            ends: (0..ENDS).map(|end| End::start(end, 1, now)).collect(),
            sent: Vec::new(),
            refusal: None,
            frames_sent: 0,
            arrived: BTreeSet::new(),
        };
        world.want(1);
        let mut delivered = 0;
        while let Some((from, bytes)) = world.sent.get(delivered).cloned() {
            delivered += 1;
            world.deliver(1 - from, from, bytes);
        }
        world.want(2);
        let (_, opening) = world.sent.last().cloned().expect("it opens a handshake");
        world.deliver(0, 2, opening);
        assert!(world.ends[0].up.contains_key(&id_of(1)), "a link is up");
        assert!(world.ends[0].links.handshakes() > 0, "another is begun");
        world
    }

    /// Does one step, whose lowest three bits say what: deliver a packet that was sent, the same changed, or bytes from
    /// the data; let time pass; tell of the carrier or have it refuse; send a frame; end a link; or restart an end.
    fn step(&mut self, step: u8, data: &mut &[u8]) {
        let choice = usize::from(take(data).unwrap_or(0));
        let (end, other) = (usize::from(step >> 3) % ENDS, usize::from(step >> 5) % ENDS);
        match step & 7 {
            kind @ (0 | 1) => {
                let (from, bytes) = self.sent[choice % self.sent.len()].clone();
                let mut bytes = bytes.to_vec();
                if kind == 1 && !bytes.is_empty() {
                    let at = usize::from(take(data).unwrap_or(0)) * 7 % (8 * bytes.len());
                    bytes[at / 8] ^= 1 << (at % 8);
                }
                let from = if step >> 7 == 0 { from } else { other };
                self.deliver(end, from, bytes.into());
            }
            2 => {
                let (bytes, rest) = data.split_at(choice.min(data.len()));
                *data = rest;
                self.deliver(end, other, Bytes::copy_from_slice(bytes));
            }
            3 => {
                self.now += Duration::from_millis(1 << (choice % 14));
                for end in 0..ENDS {
                    self.ends[end].links.on_time(self.now);
                    self.settle(end);
                }
            }
            4 => {
                self.refusal = match choice % 4 {
                    0 => Some(CarryError::Full),
                    1 => Some(CarryError::Closed),
                    _ => None,
                };
                let path = path_to(other);
                let event = match choice / 4 % 3 {
                    0 => CarrierEvent::Writable { path },
                    1 => CarrierEvent::Closed { path },
                    _ => CarrierEvent::Opened {
                        path,
                        binding: None,
                    },
                };
                self.tell(end, event);
            }
            5 if choice % 8 == 7 => {
                let (to, signal) = (id_of(other), Bytes::copy_from_slice(&[7; 16]));
                self.tell(end, CarrierEvent::Signal { to, signal });
            }
            5 => self.send(end, other, choice),
            6 => {
                self.ends[end]
                    .links
                    .close(id_of(other), CloseReason::Unwanted);
                self.settle(end);
            }
            _ if choice % 8 == 0 => {
                let boot = self.ends[end].boot + 1;
                self.ends[end] = End::start(end, boot, self.now);
                self.want(end);
            }
            _ => self.want(end),
        }
    }

    /// Has an end want links to the one under attack; that one to both others.
    fn want(&mut self, end: usize) {
        let others = if end == 0 { 1..ENDS } else { 0..1 };
        let wanted = others.map(|other| Wanted {
            peer: id_of(other),
            keys: vec![key_of(other)],
            addresses: vec![format!("test:{other}").parse().expect("it is an address")],
        });
        let wanted: Vec<_> = wanted.collect();
        self.ends[end].links.want(&wanted);
        self.settle(end);
    }

    /// Sends a frame that says by which link it goes, and is the only one of its number.
    fn send(&mut self, from: usize, to: usize, choice: usize) {
        let Some(link) = self.ends[from].links.link(id_of(to)) else {
            return;
        };
        let (class, length) = match choice % 2 {
            0 => (DeliveryClass::Datagram, 16 * choice),
            _ => (DeliveryClass::Stream, 256 * choice),
        };
        let number = self.frames_sent.to_be_bytes();
        let frame = [
            &link.generation.to_be_bytes()[..],
            &number,
            &vec![7; length],
        ]
        .concat();
        self.frames_sent += 1;
        let _refused = self.ends[from]
            .links
            .send(id_of(to), class, Bytes::from(frame).into());
        self.settle(from);
    }

    fn deliver(&mut self, to: usize, from: usize, bytes: Bytes) {
        let (path, channel) = (path_to(from), Channel::Datagram);
        let packet = bytes.into();
        let event = CarrierEvent::Packet {
            path,
            channel,
            packet,
        };
        self.tell(to, event);
    }

    fn tell(&mut self, end: usize, event: CarrierEvent) {
        let links = &mut self.ends[end].links;
        links.on_carrier_event(0, event, &self.access);
        self.settle(end);
    }

    /// Does what an end wants done, and reads what it tells.
    fn settle(&mut self, end: usize) {
        let links = &mut self.ends[end].links;
        let mut outputs = 0;
        while let Some(output) = links.next_output() {
            outputs += 1;
            assert!(outputs <= OUTPUTS_MAX, "one step leads to too much");
            match output {
                LinkOutput::Dial {
                    attempt, address, ..
                } => {
                    let number = address.rest().parse().expect("only such are wanted");
                    links.on_dialed(attempt, Ok(path_to(number)));
                }
                LinkOutput::Send {
                    route,
                    packet,
                    cargo,
                    ..
                } => match self.refusal {
                    Some(refusal) => links.on_refused(route, cargo, refusal),
                    None => self.sent.push((end, packet.into_bytes())),
                },
                LinkOutput::Signal { from, .. } => {
                    assert_ne!(from, id_of(end), "a signal of its own");
                }
                LinkOutput::Sign { attempt, bytes } => {
                    let signature = KEYS[end].sign(&bytes).to_bytes();
                    links.on_signed(attempt, Some(&signature));
                }
                _ => {}
            }
        }
        let excess = self.sent.len().saturating_sub(KEPT_MAX);
        self.sent.drain(..excess);
        while let Some(event) = self.ends[end].links.next_event() {
            self.read(end, event);
        }
    }

    fn read(&mut self, end: usize, event: LinkEvent) {
        let up = &mut self.ends[end].up;
        match event {
            LinkEvent::Up(link) => {
                let earlier = up.insert(link.peer, link.generation);
                assert_eq!(earlier, None, "an earlier link is still up");
            }
            LinkEvent::Down {
                peer, generation, ..
            } => {
                let ended = up.remove(&peer);
                assert_eq!(ended, Some(generation), "another link went down");
            }
            LinkEvent::Frame {
                from,
                generation,
                frame,
                ..
            } => {
                let now = up.get(&from);
                assert_eq!(now, Some(&generation), "a frame of no link that is up");
                let bytes = frame.into_bytes();
                let (sent_by, rest) = bytes.split_first_chunk().expect("all frames have it");
                let sent_by = u64::from_be_bytes(*sent_by);
                assert_eq!(sent_by, generation, "a frame of an earlier link");
                let (number, _) = rest.split_first_chunk().expect("all frames have it");
                let is_first = self.arrived.insert(u64::from_be_bytes(*number));
                assert!(is_first, "a frame arrived twice");
            }
            _ => {}
        }
    }

    fn check(&self) {
        for end in &self.ends {
            // Beside those of others there are its own: to each peer that it wants one by its address, and one through
            // the third end.
            let handshakes = end.links.handshakes();
            assert!(
                handshakes <= HALF_OPEN_MAX + 2 * ENDS,
                "too many handshakes"
            );
        }
    }
}

impl End {
    fn start(end: usize, boot: u64, now: Duration) -> Self {
        let credentials = Credentials {
            cluster: ClusterId(7),
            key: key_of(end),
            versions: Versions::only(1),
            starts: Boot {
                number: boot,
                nonce: boot,
            }
            .into(),
            vouchers: Arc::default(),
            role: Role::Member,
            token: None,
        };
        let mut seed = [u8::try_from(end).expect("there are three"); 32];
        seed[..8].copy_from_slice(&boot.to_be_bytes());
        let traits = vec![CarrierTraits::from(&Medium)];
        Self {
            links: Links::new(credentials, LinkLimits::default(), traits, seed, now),
            boot,
            up: BTreeMap::new(),
        }
    }
}

fn key_of(end: usize) -> PublicKey {
    PublicKey(KEYS[end].verifying_key().to_bytes())
}

fn id_of(end: usize) -> ServerId {
    key_of(end).server_id()
}

fn path_to(end: usize) -> Path {
    Path::new(&[u8::try_from(end).expect("there are three")], &[])
}

/// What links are told of the medium. It carries nothing: the adversary does.
struct Medium;

impl Carrier for Medium {
    fn scheme(&self) -> &str {
        "test"
    }

    fn packet_bytes_max(&self) -> usize {
        PACKET_BYTES_MIN
    }

    fn dial(&mut self, address: &Address) -> Result<Path, DialError> {
        Err(DialError::BadAddress(address.clone()))
    }

    fn send(&mut self, _: &Path, _: Channel, _: Packet) -> Result<(), CarryError> {
        Err(CarryError::Closed)
    }

    fn poll(&mut self, _: &mut Context<'_>) -> Poll<Option<CarrierEvent>> {
        Poll::Pending
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn frames_arrive_also_by_a_link_that_replaced_another() {
        let mut world = World::new();
        let deliver_all = |world: &mut World| {
            for (from, bytes) in world.sent.clone() {
                (0..ENDS).for_each(|to| world.deliver(to, from, bytes.clone()));
            }
        };

        world.send(1, 0, 2);
        deliver_all(&mut world);
        assert_eq!(world.arrived.len(), 1);
        // The second end is restarted, and makes another link.
        world.step(0b1111, &mut &[0][..]);
        (0..4).for_each(|_| deliver_all(&mut world));
        world.send(1, 0, 2);
        deliver_all(&mut world);

        assert_eq!(world.arrived.len(), 2);
    }
}
