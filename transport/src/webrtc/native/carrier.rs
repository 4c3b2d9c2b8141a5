//! Carries the packets of links over connections that share a few sockets.

mod negotiating;

use std::collections::VecDeque;
use std::future::Future;
use std::net::SocketAddr;
use std::pin::Pin;
use std::task::{Context, Poll, Waker};
use std::time::{Duration, Instant};

use bytes::Bytes;
use futures::StreamExt;
use futures::stream::FuturesUnordered;
use liferaft_platform::now as platform_now;
use tokio::time::{Sleep, sleep_until};

use super::super::address::{Dialed, SCHEME, SIGNALED_SCHEMES, Target, address_of};
use super::super::by_hand::ByHand;
use super::super::config::WebRtcConfig;
use super::super::credentials::Credentials;
use super::super::flow::UNACKNOWLEDGED_BYTES_MAX;
use super::super::ice_servers::IceTransportPolicy;
use super::super::limits::PACKET_BYTES_MAX;
use super::super::meter::WebRtcMeter;
use super::super::reached::SignalingMeter;
use super::super::switchboard::{Guest, Switchboard, Wish};
use super::connection::{Connection, Delivery, Ending, Fate, Maker, Turn};
use super::gathering::{Outlets, Place};
use super::interfaces::source_towards;
use super::resolving::{Resolving, resolve};
use super::socket::{Purpose, Socket};
use super::table::{ADDRESSES_MAX, Addressee, Pair, Side, Table};
use crate::ServerId;
use crate::carrier::{
    Address, Carrier, CarrierEvent, CarryError, Channel, DialError, Packet, Path, Reach,
};
use crate::hosts::Fingerprint;
use crate::signaling::Signaling;

/// The most datagrams that are read, and connections that are told the time, before others of this thread have their
/// turn.
const BATCH: usize = 256;

/// The most sockets that dial. There is more than one when a listener is dialed again shortly after a connection to it
/// was closed.
const DIALING_SOCKETS_MAX: usize = 16;

/// How long the carrier sleeps at most, which no connection does.
const SLEEP_MAX: Duration = Duration::from_secs(60);

/// A carrier over the data channels of WebRTC. All that it does it does when it is polled or given something, so it is
/// made and polled inside a tokio runtime, with its I/O and timers enabled.
///
/// It dials listeners by `rtc://host:port#sha256=FINGERPRINT`, and servers by their ids: `rtc:ID`, and
/// `rtc+ws://host:port/ROOM/ID` of those that are registered at a signaling server. Signals to these go through links
/// too, so that whoever has a link with a server, or with one that has, needs no signaling server. Dropping the carrier
/// closes all connections.
pub struct WebRtcCarrier {
    maker: Maker,
    table: Table,
    sockets: Vec<Socket>,
    is_on_this_machine: bool,
    switchboard: Switchboard,
    outlets: Outlets,
    resolving: FuturesUnordered<Resolving>,
    events: VecDeque<CarrierEvent>,
    turn: Turn,
    /// The socket that is read first.
    reads_next: usize,
    alarm: Option<Pin<Box<Sleep>>>,
    /// When the alarm rings.
    rings_at: Option<Instant>,
    waker: Option<Waker>,
}

impl WebRtcCarrier {
    /// Makes a carrier that dials and does not listen.
    #[must_use]
    pub fn dial_only(config: WebRtcConfig) -> Self {
        Self::over(config, WebRtcMeter::default(), Vec::new())
    }

    pub(super) fn over(config: WebRtcConfig, meter: WebRtcMeter, sockets: Vec<Socket>) -> Self {
        let limits = config.limits;
        let is_kept = config.host.identity.is_some();
        let identity = config
            .host
            .identity
            .unwrap_or_else(super::WebRtcIdentity::generate);
        let own = Credentials::of_listener(&identity.fingerprint());
        let token_source = identity.token_source(is_kept);
        let is_on_this_machine = config.host.is_on_this_machine;
        let policy = config.ice_transport_policy;
        Self {
            outlets: Outlets::new(
                config.ice_servers,
                policy,
                is_on_this_machine,
                meter.clone(),
            ),
            table: Table::new(limits, meter.clone(), own),
            maker: Maker {
                identity,
                limits,
                delivery: Delivery::from(config.datagram_mode),
                meter,
                policy,
            },
            sockets,
            is_on_this_machine,
            switchboard: Switchboard::new(limits, config.servers, token_source),
            resolving: FuturesUnordered::new(),
            events: VecDeque::new(),
            turn: Turn::default(),
            reads_next: 0,
            alarm: None,
            rings_at: None,
            waker: None,
        }
    }

    /// Sends and takes signals by one more way than links and signaling servers. Returns false if there are eight ways
    /// already.
    pub fn add_signaling(&mut self, signaling: impl Signaling) -> bool {
        self.switchboard.add(Box::new(signaling), None)
    }

    /// Returns what connects this carrier to others by texts that people carry.
    #[must_use]
    pub fn by_hand(&self) -> ByHand {
        self.switchboard.by_hand()
    }

    /// Returns what tells which signaling servers this carrier reaches.
    #[must_use]
    pub fn signaling(&self) -> SignalingMeter {
        self.switchboard.signaling()
    }

    /// Returns what reads the counters of this carrier, as long as one likes.
    #[must_use]
    pub fn meter(&self) -> WebRtcMeter {
        self.maker.meter.clone()
    }

    /// Returns the fingerprint of the certificate that it shows.
    #[must_use]
    pub fn fingerprint(&self) -> Fingerprint {
        self.maker.identity.fingerprint()
    }

    /// Returns the socket address that it listens on; `None` if it does not listen.
    #[must_use]
    pub fn socket_address(&self) -> Option<SocketAddr> {
        let listening = self
            .sockets
            .iter()
            .find(|socket| socket.purpose == Purpose::Listening);
        listening.map(|socket| socket.bound)
    }

    /// Lets something happen to a connection, and does what comes of it.
    fn with<T>(
        &mut self,
        number: u64,
        change: impl FnOnce(&mut Connection, &mut Turn) -> T,
    ) -> Option<T> {
        let seat = self.table.seat(number)?;
        let socket = seat.socket;
        let connection = seat.connection.as_mut()?;
        let done = change(connection, &mut self.turn);
        let socket = &mut self.sockets[socket];
        for (relay, to, datagram) in self.turn.datagrams.drain(..) {
            match relay {
                None => socket.send(to, datagram),
                Some(relay) => self.outlets.send(relay, to, &datagram, now()),
            }
        }
        for event in self.turn.events.drain(..) {
            if let CarrierEvent::Opened { path, .. } = &event {
                self.table.on_open(path, platform_now());
            }
            self.events.push_back(event);
        }
        for event in self.turn.medium.drain(..) {
            self.switchboard.on_medium(number, event);
        }
        match self.turn.ending.take() {
            Some(ending) => self.end(number, &ending),
            None => self.table.settle(number),
        }
        Some(done)
    }

    /// Gives up a connection that has ended, and tells it if it was told of.
    fn end(&mut self, number: u64, ending: &Ending) {
        let Some(seat) = self.table.seat(number) else {
            return self.switchboard.remove(number);
        };
        let path = seat.path;
        let is_open = seat.connection.as_ref().is_some_and(Connection::is_open);
        let is_dialed = seat.side == Side::Dialed;
        self.part(number);
        tracing::debug!(?path, %ending, is_open, "a connection has ended");
        let tally = self.maker.meter.tally();
        match ending {
            Ending::Refused => tally.visitors_refused.add_one(),
            _ if !is_open => tally.unopened.add_one(),
            Ending::NoPacket(_) => tally.broken.add_one(),
            Ending::Silent => tally.silent.add_one(),
            _ => {}
        }
        match (is_open, is_dialed) {
            (true, _) => self.events.push_back(CarrierEvent::Closed { path }),
            (false, true) => {
                let why = ending.into();
                self.events.push_back(CarrierEvent::Unopened { path, why });
            }
            // Of another's connection nobody knows before it is open.
            (false, false) => {}
        }
    }

    /// Takes away a connection, whose other end is told.
    fn part(&mut self, number: u64) {
        let Some(seat) = self.table.seat(number) else {
            return;
        };
        let socket = seat.socket;
        let connection = self.table.remove(number, now());
        self.say_goodbye(socket, connection);
        self.switchboard.remove(number);
    }

    fn say_goodbye(&mut self, socket: usize, connection: Option<Connection>) {
        if let Some(mut connection) = connection {
            if connection.is_restarting() {
                self.maker.meter.tally().restarts_lost.add_one();
            }
            let mut turn = Turn::default();
            connection.close(&mut turn);
            for (relay, to, datagram) in turn.datagrams {
                match relay {
                    None => self.sockets[socket].send(to, datagram),
                    Some(relay) => self.outlets.send(relay, to, &datagram, now()),
                }
            }
        }
    }

    /// Returns the path of an open connection with the server that is dialed, if one was made by hand.
    fn claim(&mut self, dialed: &Dialed) -> Option<Path> {
        let Dialed::Server(peer, _) = dialed else {
            return None;
        };
        let number = self.switchboard.claim(*peer)?;
        self.table.seat(number).map(|seat| seat.path)
    }

    /// Finds out where a listener is.
    fn dial_listener(&mut self, number: u64, target: Target) {
        match target.host.parse() {
            Ok(ip) => {
                let address = SocketAddr::new(ip, target.port);
                self.connect(number, &target.fingerprint, vec![address]);
            }
            Err(_) => {
                let time = self.maker.limits.opening_time_max;
                self.resolving.push(Box::pin(resolve(number, target, time)));
            }
        }
    }

    /// Begins to connect to a listener at these addresses.
    fn connect(&mut self, number: u64, listener: &Fingerprint, addresses: Vec<SocketAddr>) {
        let now = now();
        let mut addresses = addresses;
        addresses.retain(|address| !self.is_on_this_machine || address.ip().is_loopback());
        addresses.truncate(ADDRESSES_MAX);
        let connected = self.socket_to(&mut addresses, now).and_then(|socket| {
            let seat = self.table.seat(number);
            let path = seat.ok_or(Ending::TooLong)?.path;
            let connection = self.maker.dial(path, listener, &addresses, now)?;
            for address in &addresses {
                self.table
                    .add_pair(number, (Place::Shared(socket), *address));
            }
            self.table.place(number, connection);
            Ok(())
        });
        if let Err(ending) = connected {
            return self.end(number, &ending);
        }
        self.with(number, |connection, turn| connection.on_time(now, turn));
    }

    /// Returns a socket that dials and reaches some of these addresses, of which it keeps those, and by which none of
    /// them has a connection.
    fn socket_to(
        &mut self,
        addresses: &mut Vec<SocketAddr>,
        now: Instant,
    ) -> Result<usize, Ending> {
        let is_free = |table: &mut Table, place: usize| {
            let mut addresses = addresses.iter();
            !addresses.any(|address| table.is_taken((Place::Shared(place), *address), now))
        };
        let places = 0..self.sockets.len();
        let is_dialing = |place: &usize| self.sockets[*place].purpose == Purpose::Dialing;
        let dialing: Vec<_> = places.filter(is_dialing).collect();
        let mut places = dialing.iter();
        let free = places.find(|place| is_free(&mut self.table, **place));
        let place = match free {
            Some(place) => *place,
            None if dialing.len() >= DIALING_SOCKETS_MAX => {
                return Err(Ending::Failed("it was dialed too often".into()));
            }
            None => {
                let socket = Socket::of_any_port(Purpose::Dialing, &self.maker.meter);
                let socket = socket.map_err(|error| Ending::Failed(error.to_string()))?;
                self.sockets.push(socket);
                // It has not been polled, and is to be.
                self.rings_at = None;
                self.sockets.len() - 1
            }
        };
        let socket = &self.sockets[place];
        addresses.retain(|address| socket.reaches(address.ip()));
        if addresses.is_empty() {
            return Err(Ending::Failed("it has no address that is dialed".into()));
        }
        Ok(place)
    }

    /// Reads a datagram from one of the sockets, or from each of the relays. Returns false if there is none.
    fn read(&mut self, context: &mut Context<'_>) -> bool {
        for _ in 0..=self.sockets.len() {
            self.reads_next = (self.reads_next + 1) % (self.sockets.len() + 1);
            let place = self.reads_next;
            let Some(socket) = self.sockets.get_mut(place) else {
                if self.outlets.read(context, now()) {
                    return true;
                }
                continue;
            };
            let listens = socket.purpose == Purpose::Listening;
            let Poll::Ready((from, datagram)) = socket.poll_receive(context) else {
                continue;
            };
            // Copied, as the connection answers by the same socket.
            let datagram = datagram.to_vec();
            if self.outlets.on_datagram(place, from, &datagram, now()) {
                return true;
            }
            self.on_datagram((Place::Shared(place), from), &datagram, listens);
            return true;
        }
        false
    }

    /// Gives a datagram to whomever it is for.
    fn on_datagram(&mut self, from: Pair, datagram: &[u8], listens: bool) {
        let number = match self.table.addressee(from, datagram, listens) {
            Addressee::Connection(number) => Some(number),
            Addressee::Claimed(numbers) => self.claimant(&numbers, from, datagram),
            Addressee::Stranger(ufrag) => self.accept(from, &ufrag),
            Addressee::Nobody => None,
        };
        let tally = self.maker.meter.tally();
        let Some(number) = number else {
            tally.udp_ignored.add_one();
            return;
        };
        tally.udp_received.add_one();
        let now = now();
        self.with(number, |connection, turn| {
            connection.on_datagram(from, datagram, now, turn);
        });
    }

    /// Returns the connection that takes a datagram of ICE, to which all that comes from there belongs then.
    fn claimant(&mut self, numbers: &[u64], from: Pair, datagram: &[u8]) -> Option<u64> {
        let now = now();
        let mut numbers = numbers.iter().copied();
        let taker = numbers.find(|number| {
            let connection = self
                .table
                .seat(*number)
                .and_then(|seat| seat.connection.as_ref());
            connection.is_some_and(|connection| connection.accepts(from, datagram, now))
        });
        taker.filter(|number| self.table.claim(*number, from))
    }

    /// Makes the end of a connection that a stranger asks for.
    fn accept(&mut self, from: Pair, ufrag: &str) -> Option<u64> {
        let number = self.table.accept(from, ufrag, platform_now())?;
        self.evict();
        let path = self.table.seat(number)?.path;
        match self.maker.accept(path, ufrag, now()) {
            Ok(connection) => self.table.place(number, connection),
            Err(ending) => {
                self.end(number, &ending);
                return None;
            }
        }
        Some(number)
    }

    /// Closes the connections that have lost their places to others.
    fn evict(&mut self) {
        while let Some(number) = self.table.next_displaced() {
            self.end(number, &Ending::Displaced);
        }
    }

    /// Returns when a connection is due, or a server.
    fn deadline(&self) -> Option<Instant> {
        let deadlines = [self.table.deadline(), self.outlets.deadline()];
        deadlines.into_iter().flatten().min()
    }

    /// Waits for the next connection or server that is due. Returns false if one is due.
    fn sleep(&mut self, context: &mut Context<'_>) -> bool {
        let Some(deadline) = self.deadline() else {
            self.rings_at = None;
            return true;
        };
        let deadline = deadline.min(now() + SLEEP_MAX);
        let alarm = self
            .alarm
            .get_or_insert_with(|| Box::pin(sleep_until(deadline.into())));
        // One that rings early does no harm.
        if self
            .rings_at
            .is_none_or(|rings_at| rings_at > deadline || rings_at <= now())
        {
            alarm.as_mut().reset(deadline.into());
            self.rings_at = Some(deadline);
        }
        let is_pending = alarm.as_mut().poll(context).is_pending();
        if !is_pending {
            self.rings_at = None;
        }
        is_pending
    }

    /// Asks to be polled, after it was given something outside of [`poll`](Carrier::poll), if there is a reason.
    fn wake(&self) {
        let is_early = match (self.deadline(), self.rings_at) {
            (Some(deadline), Some(rings_at)) => deadline < rings_at,
            (Some(_), None) => true,
            (None, _) => false,
        };
        let has_unsent = self.sockets.iter().any(Socket::has_unsent);
        let has_more = !self.events.is_empty()
            || !self.resolving.is_empty()
            || self.switchboard.is_awake()
            || self.outlets.is_awake();
        if let Some(waker) = &self.waker
            && (is_early || has_unsent || has_more)
        {
            waker.wake_by_ref();
        }
    }
}

impl Carrier for WebRtcCarrier {
    fn scheme(&self) -> &str {
        SCHEME
    }

    fn other_schemes(&self) -> &[&'static str] {
        &SIGNALED_SCHEMES
    }

    fn packet_bytes_max(&self) -> usize {
        PACKET_BYTES_MAX
    }

    fn reach(&self) -> Reach {
        if self.is_on_this_machine {
            Reach::Machine
        } else {
            Reach::Anywhere
        }
    }

    fn stream_bytes_max(&self) -> usize {
        UNACKNOWLEDGED_BYTES_MAX
    }

    fn address_of(&self, server: ServerId) -> Option<Address> {
        Some(address_of(server))
    }

    fn introduce(&mut self, local: ServerId) {
        self.switchboard.introduce(local);
    }

    fn on_signal(&mut self, from: ServerId, by: ServerId, signal: Bytes) {
        let table = &mut self.table;
        let admit = |claim| table.admit(claim, platform_now());
        self.switchboard.on_signal((from, by), &signal, admit);
        self.evict();
        self.wake();
    }

    fn look_around(&mut self) {
        self.switchboard.look_around();
        // What a server is asked it is asked when it is polled.
        if let Some(waker) = &self.waker {
            waker.wake_by_ref();
        }
    }

    fn on_linked(&mut self, path: &Path) {
        self.table.on_linked(path);
    }

    fn describe(&self, path: &Path) -> Option<String> {
        let number = self.table.number_of(path)?;
        let (socket, connection) = self.table.connection(number)?;
        let (relay, to, kind) = connection.selected()?;
        let from = match relay {
            Some(relay) => format!("relay {relay}"),
            None => source_towards(to, self.sockets[socket].bound)?.to_string(),
        };
        Some(format!("{from} to {to} ({})", kind.name()))
    }

    fn dial(&mut self, address: &Address) -> Result<Path, DialError> {
        let dialed = Dialed::read(address);
        let dialed = dialed.ok_or_else(|| DialError::BadAddress(address.clone()))?;
        if let Some(path) = self.claim(&dialed) {
            return Ok(path);
        }
        let (number, path) = self.table.dial().ok_or_else(|| DialError::TooMany {
            address: address.clone(),
            connections_max: self.maker.limits.dialed_max,
        })?;
        match dialed {
            Dialed::Listener(target) => self.dial_listener(number, target),
            Dialed::Server(peer, place) => {
                if !self.switchboard.dial(number, peer, place) {
                    let why = "this end is that server, or does not know which one it is";
                    self.end(number, &Ending::Failed(why.into()));
                }
            }
        }
        self.wake();
        Ok(path)
    }

    fn send(&mut self, path: &Path, channel: Channel, packet: Packet) -> Result<(), CarryError> {
        let number = self.table.number_of(path).ok_or(CarryError::Closed)?;
        let now = now();
        let sent = self.with(number, |connection, turn| {
            connection.send(channel, packet, now, turn)
        });
        self.wake();
        let tally = self.maker.meter.tally();
        // Its name is being resolved.
        match sent.unwrap_or(Err(CarryError::Full)) {
            Ok(Fate::Sent) => Ok(()),
            Ok(Fate::Dropped) => {
                tally.datagrams_dropped.add_one();
                Ok(())
            }
            Err(error) => {
                if (error, channel) == (CarryError::Full, Channel::Ordered) {
                    tally.ordered_refused.add_one();
                }
                Err(error)
            }
        }
    }

    fn close(&mut self, path: &Path) {
        let Some(number) = self.table.number_of(path) else {
            return;
        };
        self.part(number);
        // Nobody is to be told of it any more.
        self.events.retain(|event| event.path() != Some(path));
    }

    fn poll(&mut self, context: &mut Context<'_>) -> Poll<Option<CarrierEvent>> {
        if self
            .waker
            .as_ref()
            .is_none_or(|waker| !waker.will_wake(context.waker()))
        {
            self.waker = Some(context.waker().clone());
        }
        for _ in 0..BATCH {
            if let Some(event) = self.events.pop_front() {
                return Poll::Ready(Some(event));
            }
            if let Poll::Ready(Some((number, fingerprint, resolved))) =
                self.resolving.poll_next_unpin(context)
            {
                match resolved {
                    Ok(addresses) => self.connect(number, &fingerprint, addresses),
                    Err(error) => self.end(number, &Ending::Unresolved(error.to_string())),
                }
                continue;
            }
            let (table, policy) = (&mut self.table, self.maker.policy);
            let admit = |guest| match guest {
                Guest::Server(claim) => table.admit(claim, platform_now()),
                // Relays are for members.
                Guest::Visitor if policy == IceTransportPolicy::Relay => None,
                Guest::Visitor => Some(table.accept_visitor()),
            };
            let wish = self.switchboard.poll(context, admit);
            self.evict();
            let mut has_done = wish.is_ready() || !self.events.is_empty();
            match wish {
                Poll::Ready(Wish::Do { number, action }) => self.act(number, action),
                Poll::Ready(Wish::Receive {
                    number,
                    offer,
                    serialization,
                }) => self.receive(number, &offer, serialization),
                Poll::Ready(Wish::Signal { to, signal }) => {
                    return Poll::Ready(Some(CarrierEvent::Signal { to, signal }));
                }
                Poll::Ready(Wish::Present(servers)) => {
                    return Poll::Ready(Some(CarrierEvent::Present { servers }));
                }
                Poll::Ready(Wish::Dial) => return Poll::Ready(Some(CarrierEvent::Ready)),
                Poll::Pending => {}
            }
            // Of all that may never end, each has its turn: signals, times, and what comes to each socket.
            let now = now();
            while let Some(found) = self.outlets.next_found() {
                self.on_found(found);
                has_done = true;
            }
            let is_awaited = || self.switchboard.is_waiting_by_hand();
            has_done |= self.outlets.poll(context, now, is_awaited);
            if let Some(number) = self.table.due(now) {
                self.with(number, |connection, turn| connection.on_time(now, turn));
                has_done = true;
            }
            if self.read(context) || has_done {
                continue;
            }
            for socket in &mut self.sockets {
                socket.poll_unsent(context);
            }
            if self.sleep(context) {
                return Poll::Pending;
            }
        }
        context.waker().wake_by_ref();
        Poll::Pending
    }
}

/// Returns the time as str0m wants it, by tokio's clock.
fn now() -> Instant {
    tokio::time::Instant::now().into_std()
}

/// Peers are told goodbye.
impl Drop for WebRtcCarrier {
    fn drop(&mut self) {
        for number in self.table.numbers() {
            self.part(number);
        }
        self.outlets.close(now());
    }
}

impl std::fmt::Debug for WebRtcCarrier {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("WebRtcCarrier")
            .field("fingerprint", &self.fingerprint())
            .field("socket_address", &self.socket_address())
            .finish_non_exhaustive()
    }
}
