//! Connections between two ends in memory, over a network that does what it is told to.

mod bulk;
mod lifetimes;
mod visiting;

use std::net::SocketAddr;
use std::time::{Duration, Instant};

use bytes::Bytes;

use super::certificate::WebRtcIdentity;
use super::connection::{Connection, Ending, Fate, Maker, Turn};
use super::gathering::Place;
use super::table::{Addressee, Table};
use crate::carrier::{Binding, CarrierEvent, Channel, Packet, Path};
use crate::hosts::Fingerprint;
use crate::webrtc::channels::{DATAGRAM_LIFETIME_MS, DatagramMode};
use crate::webrtc::credentials::Credentials;
use crate::webrtc::ice_servers::IceTransportPolicy;
use crate::webrtc::limits::{PACKET_BYTES_MAX, WebRtcLimits};
use crate::webrtc::meter::WebRtcMeter;

const UFRAG: &str = "whoever";

/// How long the way from one end to the other is.
const WAY: Duration = Duration::from_millis(1);

/// The steps after which nothing more is expected to happen.
const STEPS_MAX: usize = 20_000;

struct End {
    connection: Connection,
    address: SocketAddr,
    identity: WebRtcIdentity,
    /// What arrives next.
    inbox: Vec<Vec<u8>>,
    events: Vec<CarrierEvent>,
    ending: Option<Ending>,
}

/// Two ends: the first dials the second.
struct Network {
    ends: [End; 2],
    now: Instant,
    /// All datagrams that went from the first end to the second.
    record: Vec<Vec<u8>>,
    /// One datagram in so many is lost.
    lost_of: Option<usize>,
    sent: usize,
}

impl Network {
    fn new() -> Self {
        Self::in_mode(DatagramMode::default())
    }

    fn in_mode(mode: DatagramMode) -> Self {
        let listener = WebRtcIdentity::generate();
        Self::to(&listener.fingerprint(), listener, mode)
    }

    fn to(expected: &Fingerprint, listener: WebRtcIdentity, datagram_mode: DatagramMode) -> Self {
        let now = Instant::now();
        let maker = |identity: &WebRtcIdentity| Maker {
            identity: identity.clone(),
            limits: WebRtcLimits::default(),
            delivery: datagram_mode.into(),
            meter: WebRtcMeter::default(),
            policy: IceTransportPolicy::All,
        };
        let dialer = WebRtcIdentity::generate();
        let path = |number: u8| Path::new(&[number], &[]);
        let addresses = ["192.0.2.1:1000", "192.0.2.2:2000"];
        let addresses = addresses.map(|text| text.parse::<SocketAddr>().expect("an address"));
        let mut dialing = maker(&dialer)
            .dial(path(1), expected, &addresses[1..], now)
            .expect("it can be dialed");
        // The listener knows a name before it has a connection.
        let mut turn = Turn::default();
        dialing.on_time(now, &mut turn);
        let ufrag = turn
            .datagrams
            .first()
            .map(|(_, _, datagram)| asker_of(datagram));
        let listening = maker(&listener)
            .accept(path(2), ufrag.as_deref().unwrap_or(UFRAG), now)
            .expect("it can be accepted");
        let end = |connection, address, identity| End {
            connection,
            address,
            identity,
            inbox: Vec::new(),
            events: Vec::new(),
            ending: None,
        };
        let mut network = Self {
            ends: [
                end(dialing, addresses[0], dialer),
                end(listening, addresses[1], listener),
            ],
            now,
            record: Vec::new(),
            lost_of: None,
            sent: 0,
        };
        network.take(0, turn);
        network
    }

    fn open() -> Self {
        Self::new().opened().linked()
    }

    fn opened(mut self) -> Self {
        self.run_until(|network| {
            let mut ends = network.ends.iter();
            ends.all(|end| end.connection.is_open())
        });
        self
    }

    /// A link has come up.
    fn linked(mut self) -> Self {
        for end in &mut self.ends {
            end.connection.on_linked();
        }
        self
    }

    /// Takes what has come of something at an end.
    fn take(&mut self, end: usize, turn: Turn) {
        let Turn {
            datagrams,
            events,
            ending,
            ..
        } = turn;
        for (_, to, datagram) in datagrams {
            assert_eq!(to, self.ends[1 - end].address);
            self.sent += 1;
            if end == 0 {
                self.record.push(datagram.clone());
            }
            if self.lost_of.is_none_or(|of| !self.sent.is_multiple_of(of)) {
                self.ends[1 - end].inbox.push(datagram);
            }
        }
        if ending.is_some() {
            self.ends[end].ending = ending;
        }
        self.ends[end].events.extend(events);
    }

    fn give(&mut self, end: usize, datagram: &[u8]) {
        let from = self.ends[1 - end].address;
        let mut turn = Turn::default();
        let connection = &mut self.ends[end].connection;
        let from = (Place::Shared(0), from);
        connection.on_datagram(from, datagram, self.now, &mut turn);
        self.take(end, turn);
    }

    fn send(&mut self, end: usize, channel: Channel, packet: Packet) -> Fate {
        let mut turn = Turn::default();
        let connection = &mut self.ends[end].connection;
        let sent = connection.send(channel, packet, self.now, &mut turn);
        self.take(end, turn);
        sent.expect("it is open")
    }

    /// Lets one thing after another happen until something has.
    fn run_until(&mut self, is_done: impl Fn(&Self) -> bool) {
        for _ in 0..STEPS_MAX {
            if is_done(self) {
                return;
            }
            self.step();
        }
        panic!("it never happens");
    }

    fn step(&mut self) {
        let is_quiet = self.ends.iter().all(|end| end.inbox.is_empty());
        let deadlines = self.ends.iter().map(|end| end.connection.deadline());
        let due = deadlines.min().expect("there are two");
        self.now = if is_quiet {
            // Timers ring late.
            due.max(self.now) + WAY
        } else {
            self.now + WAY
        };
        let inboxes = [0, 1].map(|end| std::mem::take(&mut self.ends[end].inbox));
        for (end, inbox) in inboxes.into_iter().enumerate() {
            for datagram in inbox {
                self.give(end, &datagram);
            }
            if self.ends[end].connection.deadline() <= self.now {
                let mut turn = Turn::default();
                self.ends[end].connection.on_time(self.now, &mut turn);
                self.take(end, turn);
            }
        }
    }

    /// Asserts that packets pass both ways.
    fn assert_open(&mut self) {
        for end in [0, 1] {
            let before = self.packets(1 - end).len();
            self.send(end, Channel::Ordered, packet(b"still there"));
            self.run_until(|network| network.packets(1 - end).len() > before);
        }
        assert!(self.ends.iter().all(|end| end.ending.is_none()));
    }

    /// The packets that have come to an end.
    fn packets(&self, end: usize) -> Vec<Bytes> {
        let events = self.ends[end].events.iter();
        let packets = events.filter_map(|event| match event {
            CarrierEvent::Packet { packet, .. } => Some(packet.clone().into_bytes()),
            _ => None,
        });
        packets.collect()
    }
}

/// Returns the name of whoever sends a binding request.
fn asker_of(request: &[u8]) -> String {
    let message = str0m::ice::StunMessage::parse(request).expect("it is one");
    let (_, asker) = message.split_username().expect("it has a name");
    asker.to_owned()
}

fn packet(bytes: &[u8]) -> Packet {
    Bytes::copy_from_slice(bytes).into()
}

#[test]
fn both_ends_learn_which_certificate_the_other_has() {
    let network = Network::open();

    let [dialer, listener] = &network.ends;
    let [of_dialer, of_listener] = [dialer, listener].map(|end| end.identity.fingerprint().0);
    let expected = [(of_dialer, of_listener), (of_listener, of_dialer)];
    for (end, (own, peer)) in network.ends.iter().zip(expected) {
        let path = end.connection.path;
        let binding = Some(Binding { own, peer });
        assert_eq!(end.events, [CarrierEvent::Opened { path, binding }]);
    }
}

/// Whoever answers knows the name and password that ICE wants, as anybody does, and has another certificate.
#[test]
fn another_certificate_is_no_connection() {
    let expected = WebRtcIdentity::generate().fingerprint();
    let mut network = Network::to(
        &expected,
        WebRtcIdentity::generate(),
        DatagramMode::default(),
    );

    network.run_until(|network| network.ends[0].ending.is_some());

    assert!(!network.ends[0].connection.is_open());
    assert_eq!(network.ends[0].events, []);
}

/// Anybody can send from the address of another, before a link has come up too.
#[test]
fn garbage_from_the_address_of_the_peer_changes_nothing() {
    for mut network in [Network::new().opened(), Network::open()] {
        for end in [0, 1] {
            for first in 0..=u8::MAX {
                for length in [1, 13, 20, 100, 1_999] {
                    network.give(end, &vec![first; length]);
                }
            }
        }

        network.assert_open();
    }
}

/// Those records are whole but for what authenticates them.
#[test]
fn forged_records_of_dtls_end_no_connection() {
    for mut network in [Network::new().opened(), Network::open()] {
        for kind in 20..=24 {
            for epoch in 0..=2 {
                for number in 0..100 {
                    let mut record = vec![kind, 0xFE, 0xFD, 0, epoch, 0, 0, 0, 0, 0, number, 0, 80];
                    record.resize(13 + 80, number);
                    for end in [0, 1] {
                        network.give(end, &record);
                    }
                }
            }
        }

        network.assert_open();
    }
}

#[test]
fn parts_of_what_was_sent_change_nothing() {
    let mut network = Network::open();
    network.assert_open();

    for datagram in network.record.clone() {
        for length in (0..datagram.len()).step_by(7) {
            network.give(1, &datagram[..length]);
            let mut damaged = datagram.clone();
            damaged[length] ^= 0x55;
            network.give(1, &damaged);
        }
    }

    network.assert_open();
}

#[test]
fn what_was_sent_before_arrives_once() {
    let mut network = Network::open();
    network.assert_open();
    let arrived = network.packets(1).len();

    for datagram in network.record.clone() {
        network.give(1, &datagram);
    }

    assert_eq!(network.packets(1).len(), arrived);
    network.assert_open();
}

#[test]
fn a_datagram_overtakes_bulk_that_waits() {
    let mut network = Network::open();

    for _ in 0..8 {
        network.send(0, Channel::Ordered, packet(&[7; PACKET_BYTES_MAX]));
    }
    network.send(0, Channel::Datagram, packet(b"heartbeat"));
    network.run_until(|network| network.packets(1).len() == 9);

    let arrived = network.packets(1);
    let place = arrived.iter().position(|packet| packet == "heartbeat");
    assert!(place.is_some_and(|place| place <= 4), "{place:?}");
}

/// One datagram in five is lost. Returns the numbers of those that arrive, in their order.
fn datagrams_of(is_ordered: bool, is_reliable: bool) -> Vec<u8> {
    let mode = DatagramMode {
        is_ordered,
        is_reliable,
    };
    let mut network = Network::in_mode(mode).opened().linked();
    network.lost_of = Some(5);
    for number in 0..40 {
        network.send(0, Channel::Datagram, packet(&[number]));
        network.step();
    }
    let until = network.now + WebRtcLimits::default().idle_time_max / 2;
    network.run_until(|network| network.now > until);
    let packets = network.packets(1);
    packets.iter().map(|packet| packet[0]).collect()
}

#[test]
fn datagrams_are_overtaken_as_their_mode_says() {
    let sent: Vec<_> = (0..40).collect();
    for is_ordered in [false, true] {
        for is_reliable in [false, true] {
            let arrived = datagrams_of(is_ordered, is_reliable);

            assert_eq!(arrived.is_sorted(), is_ordered, "{arrived:?}");
            assert!(arrived.len() == sent.len() || !is_reliable, "{arrived:?}");
            let mut once = arrived.clone();
            once.sort_unstable();
            once.dedup();
            assert_eq!(once.len(), arrived.len());
        }
    }
}

#[test]
fn a_datagram_that_is_lost_for_long_arrives_if_its_mode_says_so() {
    for is_reliable in [false, true] {
        let mode = DatagramMode {
            is_ordered: false,
            is_reliable,
        };
        let mut network = Network::in_mode(mode).opened();

        network.lost_of = Some(1);
        network.send(0, Channel::Datagram, packet(b"lost"));
        let until = network.now + 2 * Duration::from_millis(DATAGRAM_LIFETIME_MS.into());
        network.run_until(|network| network.now > until);
        network.lost_of = None;
        let until = network.now + WebRtcLimits::default().idle_time_max / 2;
        network.run_until(|network| network.now > until);

        assert_eq!(network.packets(1).contains(&"lost".into()), is_reliable);
    }
}

#[test]
fn datagrams_without_room_are_dropped() {
    let mut network = Network::open();
    let long = packet(&[7; PACKET_BYTES_MAX]);

    let fates = [(); 17].map(|()| network.send(0, Channel::Datagram, long.clone()));

    assert_eq!(fates[..16], [Fate::Sent; 16]);
    assert_eq!(fates[16], Fate::Dropped);
}

/// Sends bulk to the second end until that has ended the connection, or some bytes have arrived. Returns how many have.
fn pour(mut network: Network, bytes: usize) -> (usize, Option<Ending>) {
    let arrived = |network: &Network| network.packets(1).iter().map(Bytes::len).sum::<usize>();
    while arrived(&network) < bytes && network.ends[1].ending.is_none() {
        let before = arrived(&network);
        network.send(0, Channel::Ordered, packet(&[7; 1_000]));
        network.run_until(|network| arrived(network) > before || network.ends[1].ending.is_some());
    }
    (arrived(&network), network.ends[1].ending.take())
}

/// SCTP works the longer on each datagram the more streams the other end has invented.
#[test]
fn whoever_proves_nothing_is_heard_for_a_handshake_and_no_longer() {
    let bytes = 128 * 1_024;

    let (unproven, ended) = pour(Network::new().opened(), bytes);
    let (proven, goes_on) = pour(Network::new().opened().linked(), bytes);

    assert!((20 * 1_024..48 * 1_024).contains(&unproven), "{unproven}");
    assert!(matches!(ended, Some(Ending::NoPacket(_))), "{ended:?}");
    assert!(proven >= bytes && goes_on.is_none(), "{goes_on:?}");
}

#[test]
fn a_connection_that_nobody_uses_is_closed() {
    let mut network = Network::open();

    network.run_until(|network| network.ends[0].ending.is_some());

    assert!(matches!(network.ends[0].ending, Some(Ending::Silent)));
}

#[test]
fn who_closes_tells_the_other_end() {
    let mut network = Network::open();
    let mut turn = Turn::default();

    network.ends[0].connection.close(&mut turn);
    turn.ending = None;
    network.take(0, turn);
    network.run_until(|network| network.ends[1].ending.is_some());

    assert!(matches!(network.ends[1].ending, Some(Ending::ByPeer)));
}

/// Whoever has its password may send checks from wherever it likes.
#[test]
fn a_connection_is_reached_from_few_addresses() {
    let limits = WebRtcLimits::default();
    let own = Credentials::of_listener(&Fingerprint([0; 32]));
    let mut table = Table::new(limits, WebRtcMeter::default(), own);
    let (number, _) = table.dial().expect("there is room");
    let from = |port| (Place::Shared(0), SocketAddr::from(([192, 0, 2, 1], port)));

    for port in 1..=1_000 {
        assert!(table.claim(number, from(port)));
    }

    let known = (1..=1_000).filter(|port| {
        let dtls = table.addressee(from(*port), &[22], false);
        dtls == Addressee::Connection(number)
    });
    let known: Vec<_> = known.collect();
    assert_eq!((known.len(), known.last()), (32, Some(&1_000)));
}
