//! Keeps a carrier's connections: who may have one, to which a datagram belongs, and which is due next.

use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::net::{IpAddr, SocketAddr};
use std::time::{Duration, Instant};

use str0m::ice::StunMessage;

use super::super::credentials::Credentials;
use super::super::limits::WebRtcLimits;
use super::super::meter::WebRtcMeter;
use super::super::places::{Claim, Places};
use super::connection::Connection;
use super::crypto::hmac_sha1;
use super::gathering::{Place, RelayId};
use crate::ServerId;
use crate::carrier::Path;
use crate::hosts::origin_of;

/// The most addresses of a listener that are tried.
pub(super) const ADDRESSES_MAX: usize = 8;

/// For how long no other connection is made between the two sockets of one that was closed: what is under way of it, or
/// what a listener that has not noticed sends, would be taken for the new one's.
const TIME_WAIT: Duration = Duration::from_secs(15);

/// The most pairs of sockets that are remembered for that. The oldest is forgotten first.
const WAITING_MAX: usize = 1_024;

/// The longest name in ICE (RFC 8445, section 5.3), in bytes.
const UFRAG_BYTES_MAX: usize = 256;

/// The most names in ICE that a connection has at once: the one of a restart counts when the other end has answered.
const OWN_UFRAGS_MAX: usize = 2;

/// The most addresses from which a connection is reached. Checks of its other end may come from anywhere; the address
/// that has been there longest is forgotten, until a check comes from there again.
const PAIRS_MAX: usize = 32;

/// A socket of the carrier, by its place, and an address that it is reached from.
pub(super) type Pair = (Place, SocketAddr);

/// The connections of a carrier.
#[derive(Debug)]
pub(super) struct Table {
    limits: WebRtcLimits,
    meter: WebRtcMeter,
    /// What strangers have to know.
    own: Credentials,
    places: Places,
    /// Connections that have lost their places.
    displaced: Vec<u64>,
    /// By the numbers that end their paths. Places are taken before the connections are there.
    seats: BTreeMap<u64, Seat>,
    pairs: BTreeMap<Pair, u64>,
    /// Connections of others, by their names in ICE.
    ufrags: BTreeMap<String, u64>,
    /// Connections that are found by signaling, by our names in ICE.
    own_ufrags: BTreeMap<String, u64>,
    /// Connections that are found by signaling, by the candidates of their other ends.
    candidates: BTreeMap<Pair, BTreeSet<u64>>,
    deadlines: BTreeSet<(Instant, u64)>,
    /// Pairs of connections that were closed, and when they may be used again.
    waiting: VecDeque<(Instant, Pair)>,
    /// Sockets by which connections with a peer ran that were closed, and when they may be used again for it.
    resting: VecDeque<(Instant, ServerId, usize)>,
    next: u64,
}

/// A place among the connections.
#[derive(Debug)]
pub(super) struct Seat {
    pub(super) path: Path,
    pub(super) side: Side,
    /// `None` while a name is being resolved.
    pub(super) connection: Option<Connection>,
    /// The socket that it sends by.
    pub(super) socket: usize,
    pairs: VecDeque<Pair>,
    ufrag: Option<String>,
    /// Who was found by signaling.
    pub(super) peer: Option<ServerId>,
    /// The name that it has now, and the one that it had before ICE was restarted.
    own_ufrags: VecDeque<String>,
    candidates: Vec<Pair>,
    pub(super) relays: Vec<RelayId>,
    deadline: Option<Instant>,
    /// A link has come up by it.
    is_proven: bool,
}

/// Who has dialed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Side {
    Dialed,
    Accepted,
    /// A visitor, who takes no place of others.
    Visiting,
}

/// How much a socket is used for connections with a peer: the one that is used least, or was longest ago, serves the
/// next one. Whoever is there may be somebody else, with other sockets, so that one that is used serves as well, if
/// there is no other.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Usage {
    Free,
    /// A connection was closed, whose datagrams may still come until then.
    Resting(Instant),
    /// By a connection of this number, the greatest of those that are unproven.
    Unproven(u64),
    /// By a link.
    Proven,
}

/// What a datagram is for.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Addressee {
    Connection(u64),
    /// The first of these that takes it.
    Claimed(Vec<u64>),
    /// A stranger asks for a connection, by this name in ICE.
    Stranger(String),
    Nobody,
}

impl Table {
    pub(super) fn new(limits: WebRtcLimits, meter: WebRtcMeter, own: Credentials) -> Self {
        Self {
            limits,
            meter,
            own,
            places: Places::new(limits),
            displaced: Vec::new(),
            seats: BTreeMap::new(),
            pairs: BTreeMap::new(),
            ufrags: BTreeMap::new(),
            own_ufrags: BTreeMap::new(),
            candidates: BTreeMap::new(),
            deadlines: BTreeSet::new(),
            waiting: VecDeque::new(),
            resting: VecDeque::new(),
            next: 0,
        }
    }

    pub(super) fn seat(&mut self, number: u64) -> Option<&mut Seat> {
        self.seats.get_mut(&number)
    }

    /// Returns a connection, and the socket that it sends by.
    pub(super) fn connection(&self, number: u64) -> Option<(usize, &Connection)> {
        let seat = self.seats.get(&number)?;
        Some((seat.socket, seat.connection.as_ref()?))
    }

    pub(super) fn numbers(&self) -> Vec<u64> {
        self.seats.keys().copied().collect()
    }

    /// Returns the number of the connection along a path.
    pub(super) fn number_of(&self, path: &Path) -> Option<u64> {
        let number = u64::from_be_bytes(*path.as_bytes().last_chunk()?);
        let seat = self.seats.get(&number)?;
        (seat.path == *path).then_some(number)
    }

    /// Takes a place for a connection that is being dialed, which is an origin of its own. Returns `None` if there are
    /// too many.
    pub(super) fn dial(&mut self) -> Option<(u64, Path)> {
        let dialed = self.seats.values().filter(|seat| seat.side == Side::Dialed);
        if dialed.count() >= self.limits.dialed_max {
            return None;
        }
        let path = Path::new(&self.next.to_be_bytes(), &[]);
        Some((self.sit(path, Side::Dialed), path))
    }

    /// Takes a place for a connection that another dials by an address. Returns `None`, and counts it, if there is
    /// none.
    pub(super) fn accept(&mut self, from: Pair, ufrag: &str, now: Duration) -> Option<u64> {
        let claim = Claim::of_host(&origin_of(from.1.ip()));
        let number = self.admit(claim, now)?;
        self.ufrags.insert(ufrag.to_owned(), number);
        let seat = self.seats.get_mut(&number).expect("it has just sat down");
        seat.ufrag = Some(ufrag.to_owned());
        self.add_pair(number, from);
        Some(number)
    }

    /// Takes a place for a connection that another end dials. Returns `None`, and counts it, if there is none.
    pub(super) fn admit(&mut self, claim: Claim, now: Duration) -> Option<u64> {
        let taken = self.places.take(self.next, claim, now);
        if taken != Ok(None) {
            self.meter.tally().refused.add_one();
        }
        self.displaced.extend(taken.ok()?);
        self.meter.tally().accepted.add_one();
        let path = Path::new(&claim.origin(), &self.next.to_be_bytes());
        Some(self.sit(path, Side::Accepted))
    }

    /// Returns a connection that has lost its place to another, and is to be closed.
    pub(super) fn next_displaced(&mut self) -> Option<u64> {
        self.displaced.pop()
    }

    /// A connection is open.
    pub(super) fn on_open(&mut self, path: &Path, now: Duration) {
        if let Some(number) = self.number_of(path) {
            self.places.on_open(number, now);
        }
    }

    /// A link has come up by a connection.
    pub(super) fn on_linked(&mut self, path: &Path) {
        if let Some(number) = self.number_of(path)
            && let Some(seat) = self.seats.get_mut(&number)
        {
            seat.is_proven = true;
            if let Some(connection) = &mut seat.connection {
                connection.on_linked();
            }
            self.places.on_proven(number);
        }
    }

    /// Takes a place for a visitor. Its bound is that of [`Visitors`](super::super::visitors::Visitors).
    pub(super) fn accept_visitor(&mut self) -> u64 {
        let path = Path::new(&[], &self.next.to_be_bytes());
        self.sit(path, Side::Visiting)
    }

    /// Lets a connection that is found by signaling run by a socket, by the name that this end has in ICE. A visitor is
    /// no peer.
    pub(super) fn on_described(
        &mut self,
        number: u64,
        peer: Option<ServerId>,
        socket: usize,
        ufrag: &str,
    ) {
        let Some(seat) = self.seats.get_mut(&number) else {
            return;
        };
        seat.own_ufrags.push_back(ufrag.to_owned());
        if seat.own_ufrags.len() > OWN_UFRAGS_MAX
            && let Some(earliest) = seat.own_ufrags.pop_front()
        {
            self.own_ufrags.remove(&earliest);
        }
        self.own_ufrags.insert(ufrag.to_owned(), number);
        seat.peer = peer;
        seat.socket = socket;
    }

    /// Lets answers to checks come from a candidate of the other end.
    pub(super) fn add_candidate(&mut self, number: u64, candidate: SocketAddr) {
        if let Some(seat) = self.seats.get_mut(&number) {
            let relays = seat.relays.iter().copied().map(Place::Relay);
            for place in relays.chain([Place::Shared(seat.socket)]) {
                let pair = (place, candidate);
                if self.candidates.entry(pair).or_default().insert(number) {
                    seat.candidates.push(pair);
                }
            }
        }
    }

    /// Lets answers to checks come through a relay too. Returns the hosts that it is to let through.
    pub(super) fn add_relay(&mut self, number: u64, relay: RelayId) -> BTreeSet<IpAddr> {
        let Some(seat) = self.seats.get_mut(&number) else {
            return BTreeSet::new();
        };
        seat.relays.push(relay);
        let candidates = seat.candidates.iter().map(|(_, candidate)| *candidate);
        let candidates: BTreeSet<_> = candidates.collect();
        for candidate in &candidates {
            let pair = (Place::Relay(relay), *candidate);
            seat.candidates.push(pair);
            self.candidates.entry(pair).or_default().insert(number);
        }
        candidates.iter().map(SocketAddr::ip).collect()
    }

    /// Returns the connections with peers that are found by signaling, by whichever socket or by this one.
    pub(super) fn signaled(&self, socket: Option<usize>) -> Vec<u64> {
        let seats = self.seats.iter().filter(|(_, seat)| seat.peer.is_some());
        seats
            .filter(|(_, seat)| socket.is_none_or(|socket| socket == seat.socket))
            .map(|(number, _)| *number)
            .collect()
    }

    /// Gives a pair of sockets to a connection that has taken a check there. Returns false if it is another's: it is
    /// not taken away.
    pub(super) fn claim(&mut self, number: u64, pair: Pair) -> bool {
        match self.pairs.get(&pair) {
            Some(owner) => *owner == number,
            None => {
                self.add_pair(number, pair);
                true
            }
        }
    }

    /// Returns how much a socket is used for connections with a peer.
    pub(super) fn usage(&self, peer: ServerId, socket: usize, now: Instant) -> Usage {
        let seats = self.seats.iter();
        let seats = seats.filter(|(_, seat)| (seat.peer, seat.socket) == (Some(peer), socket));
        let in_use = seats.map(|(number, seat)| match seat.is_proven {
            true => Usage::Proven,
            false => Usage::Unproven(*number),
        });
        let resting = self.resting.iter();
        let resting = resting
            .filter(|(until, other, used)| *until > now && (*other, *used) == (peer, socket));
        let resting = resting.map(|(until, ..)| Usage::Resting(*until));
        in_use.chain(resting).max().unwrap_or(Usage::Free)
    }

    /// Takes a connection from its place, which stays taken.
    pub(super) fn vacate(&mut self, number: u64, now: Instant) -> Option<Connection> {
        let mut seat = self.seats.remove(&number)?;
        let connection = self.clear(number, &mut seat, now);
        self.seats.insert(number, seat);
        connection
    }

    /// Puts a connection on its place.
    pub(super) fn place(&mut self, number: u64, connection: Connection) {
        if let Some(seat) = self.seats.get_mut(&number) {
            seat.connection = Some(connection);
        }
        self.settle(number);
    }

    /// Takes away a connection, and returns it.
    pub(super) fn remove(&mut self, number: u64, now: Instant) -> Option<Connection> {
        let mut seat = self.seats.remove(&number)?;
        self.places.give_back(number);
        self.clear(number, &mut seat, now)
    }

    /// Forgets by what the connection of a place is found.
    fn clear(&mut self, number: u64, seat: &mut Seat, now: Instant) -> Option<Connection> {
        for pair in seat.pairs.drain(..) {
            self.pairs.remove(&pair);
            if seat.side == Side::Dialed {
                self.waiting.push_back((now + TIME_WAIT, pair));
            }
        }
        while self.waiting.len() > WAITING_MAX {
            self.waiting.pop_front();
        }
        for pair in seat.candidates.drain(..) {
            if let Some(numbers) = self.candidates.get_mut(&pair) {
                numbers.remove(&number);
                if numbers.is_empty() {
                    self.candidates.remove(&pair);
                }
            }
        }
        seat.relays.clear();
        if let Some(peer) = seat.peer.take() {
            self.resting.push_back((now + TIME_WAIT, peer, seat.socket));
            if self.resting.len() > WAITING_MAX {
                self.resting.pop_front();
            }
        }
        if let Some(ufrag) = seat.ufrag.take() {
            self.ufrags.remove(&ufrag);
        }
        for ufrag in seat.own_ufrags.drain(..) {
            self.own_ufrags.remove(&ufrag);
        }
        if let Some(deadline) = seat.deadline.take() {
            self.deadlines.remove(&(deadline, number));
        }
        seat.connection.take()
    }

    /// Takes up when a connection is due next.
    pub(super) fn settle(&mut self, number: u64) {
        let Some(seat) = self.seats.get_mut(&number) else {
            return;
        };
        let deadline = seat.connection.as_ref().map(Connection::deadline);
        if deadline != seat.deadline {
            if let Some(earlier) = seat.deadline {
                self.deadlines.remove(&(earlier, number));
            }
            self.deadlines.extend(deadline.map(|at| (at, number)));
            seat.deadline = deadline;
        }
    }

    /// Returns when the next connection is due.
    pub(super) fn deadline(&self) -> Option<Instant> {
        self.deadlines.first().map(|(at, _)| *at)
    }

    /// Returns a connection that is due.
    pub(super) fn due(&self, now: Instant) -> Option<u64> {
        let (at, number) = self.deadlines.first()?;
        (*at <= now).then_some(*number)
    }

    /// Returns true if a connection by this pair of sockets would be taken for another.
    pub(super) fn is_taken(&mut self, pair: Pair, now: Instant) -> bool {
        while self.waiting.front().is_some_and(|(until, _)| *until <= now) {
            self.waiting.pop_front();
        }
        let mut waiting = self.waiting.iter();
        self.pairs.contains_key(&pair) || waiting.any(|(_, waits)| *waits == pair)
    }

    /// Lets a connection be reached from one more address.
    pub(super) fn add_pair(&mut self, number: u64, pair: Pair) {
        let Some(seat) = self.seats.get_mut(&number) else {
            return;
        };
        if let Place::Shared(socket) = pair.0 {
            seat.socket = socket;
        }
        seat.pairs.push_back(pair);
        self.pairs.insert(pair, number);
        if seat.pairs.len() > PAIRS_MAX
            && let Some(earliest) = seat.pairs.pop_front()
        {
            self.pairs.remove(&earliest);
        }
    }

    /// Finds out for whom a datagram is that has come to a socket.
    pub(super) fn addressee(&self, from: Pair, datagram: &[u8], listens: bool) -> Addressee {
        let known = self.pairs.get(&from).copied();
        let of_pair = known.map_or(Addressee::Nobody, Addressee::Connection);
        match datagram.first() {
            // STUN, as RFC 7983 tells it from others.
            Some(0..=3) => {
                let Ok(message) = StunMessage::parse(datagram) else {
                    return Addressee::Nobody;
                };
                if message.is_binding_request() {
                    let ours = message.split_username().map(|(ours, _)| ours);
                    match ours.and_then(|ours| self.own_ufrags.get(ours)) {
                        Some(number) => Addressee::Claimed(vec![*number]),
                        None if listens => self.asker(&message, known),
                        None => of_pair,
                    }
                } else {
                    match self.candidates.get(&from) {
                        Some(numbers) => {
                            Addressee::Claimed(numbers.iter().copied().chain(known).collect())
                        }
                        None => of_pair,
                    }
                }
            }
            // DTLS.
            Some(20..=63) => of_pair,
            _ => Addressee::Nobody,
        }
    }

    /// Finds out who asks a listener. Whoever has dialed has chosen a name, and is known by it at one address alone,
    /// lest a connection be led away by who has seen that name.
    fn asker(&self, message: &StunMessage<'_>, known: Option<u64>) -> Addressee {
        let Some((ours, theirs)) = message.split_username() else {
            return Addressee::Nobody;
        };
        if ours != self.own.ufrag || theirs.is_empty() || theirs.len() > UFRAG_BYTES_MAX {
            return Addressee::Nobody;
        }
        match (known, self.ufrags.get(theirs)) {
            (Some(known), Some(of_name)) if known == *of_name => Addressee::Connection(known),
            (None, None) if message.verify(self.own.password.as_bytes(), hmac_sha1) => {
                Addressee::Stranger(theirs.to_owned())
            }
            _ => Addressee::Nobody,
        }
    }

    fn sit(&mut self, path: Path, side: Side) -> u64 {
        let number = self.next;
        self.next += 1;
        let seat = Seat {
            path,
            side,
            connection: None,
            socket: 0,
            pairs: VecDeque::new(),
            ufrag: None,
            peer: None,
            own_ufrags: VecDeque::new(),
            candidates: Vec::new(),
            relays: Vec::new(),
            deadline: None,
            is_proven: false,
        };
        self.seats.insert(number, seat);
        number
    }
}
