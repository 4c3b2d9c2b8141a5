//! Runs one connection: ICE, DTLS and SCTP by str0m, and what waits to be sent on its channel for bulk.
//!
//! It has no socket and no clock. Datagrams, packets and the time go in; what comes of them is in a [`Turn`]. After
//! each thing that str0m is given, all that it wants in return is taken.

mod maker;
mod visiting;

use std::fmt;
use std::net::{Ipv4Addr, Ipv6Addr, SocketAddr};
use std::time::{Duration, Instant};

use bytes::Bytes;
use str0m::channel::{ChannelData, ChannelId};
use str0m::net::{Protocol, Receive};
use str0m::{Candidate, Event, Input, Output, Rtc};

pub(super) use self::maker::{Delivery, Maker};
use self::maker::{ice, in_str0m};
use self::visiting::Reception;
use super::super::credentials::Credentials;
use super::super::description::{CandidateKind, Description, IceCandidate, Setup};
use super::super::flow::Outgoing;
use super::super::limits::{PACKET_BYTES_MAX, WebRtcLimits};
use super::super::meter::WebRtcMeter;
use super::super::negotiation::MediumEvent;
use super::crypto::metered;
use super::gathering::{Place, RelayId};
use super::table::Pair;
use crate::carrier::{Binding, CarrierEvent, CarryError, Channel, OpenFailure, Packet, Path};
use crate::hosts::Fingerprint;

/// How far str0m's time may be behind when it is given a packet to send.
const STALE_TIME_MAX: Duration = Duration::from_millis(1);

/// How long str0m waits at least until it is told the time again: it asks for times in the past too.
const DUE_AFTER_MIN: Duration = Duration::from_millis(1);

/// How late this end may look whether something has come. If it is later, it was itself stopped.
const LATE_MAX: Duration = Duration::from_millis(500);

/// The most bytes that SCTP takes before a link has come up by the connection, as [`metered`] counts them. What DTLS
/// has not authenticated never gets there: anybody may send it, and it counts for nothing. The handshake of a link
/// takes some 20 KiB with all repeats, and more may overtake the packet that ends it. SCTP keeps something for each
/// stream that the other end invents and looks at all of it for each datagram: it is to know none that it may do so at
/// length. To tell a visitor what it takes to join takes some 2 KiB.
pub(super) const UNPROVEN_BYTES_MAX: usize = 48 * 1024;

/// The most relays that a connection may go through.
const RELAYS_MAX: usize = 4;

/// The addresses that ICE takes for ours. Which of ours a datagram came to does not matter: all are one socket.
const OURS: [SocketAddr; 2] = [
    SocketAddr::new(std::net::IpAddr::V4(Ipv4Addr::LOCALHOST), 1),
    SocketAddr::new(std::net::IpAddr::V6(Ipv6Addr::LOCALHOST), 1),
];

/// One connection.
pub(super) struct Connection {
    pub(super) path: Path,
    stage: Stage,
    rtc: Box<Rtc>,
    own: Fingerprint,
    used_for: Use,
    /// How many bytes it still takes before a link comes up by it; `None` once one has.
    unproven_bytes: Option<usize>,
    outgoing: Outgoing,
    /// The last time that str0m was told.
    told: Instant,
    /// When str0m wants to be told the time.
    due: Instant,
    /// When the time for opening it is over, or the next look at whether it is idle.
    look_at: Instant,
    /// How long opening it may take its negotiation knows.
    is_negotiated: bool,
    is_heard: bool,
    is_used: bool,
    /// When the last datagram came.
    heard_at: Instant,
    /// None has come for too long.
    is_disconnected: bool,
    restart: Restart,
    limits: WebRtcLimits,
    meter: WebRtcMeter,
    /// The candidates of the other end that were told by signals.
    candidates: Vec<(SocketAddr, CandidateKind)>,
    /// The relays that it may go through, and their addresses.
    relays: Vec<(RelayId, SocketAddr)>,
    /// The candidates of this end.
    ours: Vec<Candidate>,
    /// Where the last datagram of the connection itself went, and through which relay, ICE's checks aside.
    sent_to: Option<(Option<RelayId>, SocketAddr)>,
}

/// What a connection is for.
#[derive(Debug)]
enum Use {
    /// A link, whose two channels are agreed upon beforehand.
    Link {
        datagrams: ChannelId,
        bulk: ChannelId,
    },
    /// A visitor, who makes a channel of its own. It is never open to the carrier's user.
    Visit(Reception),
}

/// How far a restart of ICE has come.
#[derive(Debug)]
enum Restart {
    None,
    /// It is offered by this name and password, which count when it is answered: until then the other end uses those
    /// that it knows, if it can.
    Offered(Credentials),
    /// Both ends have taken part, and nothing has come since then.
    Begun,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Stage {
    /// The other end is not known: it has not answered the offer.
    Offered,
    Opening,
    Open,
}

/// What comes of giving a connection something.
#[derive(Debug, Default)]
pub(super) struct Turn {
    /// Each with the relay that it goes through, if it does not go by the connection's socket.
    pub(super) datagrams: Vec<(Option<RelayId>, SocketAddr, Vec<u8>)>,
    pub(super) events: Vec<CarrierEvent>,
    /// What negotiations are told.
    pub(super) medium: Vec<MediumEvent>,
    /// Why the connection has ended, if it has.
    pub(super) ending: Option<Ending>,
}

/// Why a connection ended.
#[derive(Debug)]
pub(super) enum Ending {
    ByPeer,
    Silent,
    TooLong,
    /// The name of the host has no address.
    Unresolved(String),
    /// Signals have brought about nothing.
    Unreached(OpenFailure),
    /// What came is no packet.
    NoPacket(String),
    /// A visitor was told what it takes to join.
    Refused,
    /// Others need its place, and nobody has proven to be at its other end.
    Displaced,
    Failed(String),
}

/// What became of a packet that was taken.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Fate {
    Sent,
    Dropped,
}

impl Connection {
    /// Connects to whoever has answered the offer.
    pub(super) fn on_answer(&mut self, answer: &Description) -> Result<(), Ending> {
        if let Restart::Offered(own) = std::mem::replace(&mut self.restart, Restart::None) {
            self.begin_restart(own, answer);
            return Ok(());
        }
        self.stage = Stage::Opening;
        self.connect(answer, answer.setup == Setup::Passive)
    }

    /// Offers to begin ICE anew, and returns what the other end is told, without candidates.
    pub(super) fn offer_restart(&mut self) -> Description {
        self.meter.tally().restarts.add_one();
        let own = Credentials::random();
        self.restart = Restart::Offered(own.clone());
        Description::new(own, self.own, Setup::ActivePassive)
    }

    /// Begins ICE anew as the other end offers, and returns the answer, without candidates.
    pub(super) fn answer_restart(&mut self, offer: &Description) -> Description {
        self.meter.tally().restarts.add_one();
        let own = Credentials::random();
        self.begin_restart(own.clone(), offer);
        let mut answer = Description::new(own, self.own, Setup::Active);
        answer.mid = offer.mid.clone();
        answer
    }

    fn begin_restart(&mut self, own: Credentials, theirs: &Description) {
        let mut api = self.rtc.direct_api();
        api.set_local_ice_credentials(ice(own));
        api.set_remote_ice_credentials(ice(theirs.credentials.clone()));
        // Taking away this end's candidates takes away all pairs: those that were found before would be kept for their
        // time, and be preferred to what is found now.
        for candidate in &self.ours {
            api.invalidate_candidate(candidate);
        }
        for candidate in &self.ours {
            self.rtc.add_local_candidate(candidate.clone());
        }
        self.restart = Restart::Begun;
    }

    /// Returns true if ICE was restarted, and nothing has come since then.
    pub(super) fn is_restarting(&self) -> bool {
        !matches!(self.restart, Restart::None)
    }

    /// Lets it be reached at one more address of this end.
    fn add_own(&mut self, candidate: Candidate) {
        self.ours.push(candidate.clone());
        self.rtc.add_local_candidate(candidate);
        self.be_due();
    }

    /// Has str0m told the time as soon as it can be: it checks new addresses then, and asks for no earlier time by
    /// itself.
    fn be_due(&mut self) {
        self.due = self.told;
    }

    fn connect(&mut self, theirs: &Description, is_active: bool) -> Result<(), Ending> {
        let mut api = self.rtc.direct_api();
        api.set_remote_ice_credentials(ice(theirs.credentials.clone()));
        api.set_remote_fingerprint(in_str0m(&theirs.fingerprint));
        api.start_dtls(is_active).map_err(failed)?;
        api.start_sctp(is_active);
        Ok(())
    }

    /// Tries one more address of the other end.
    pub(super) fn add_candidate(&mut self, address: SocketAddr, candidate: &IceCandidate) {
        match Candidate::from_sdp_string(&candidate.to_sdp()) {
            Ok(in_str0m) => {
                if !self.candidates.contains(&(address, candidate.kind)) {
                    self.candidates.push((address, candidate.kind));
                }
                self.rtc.add_remote_candidate(in_str0m);
                self.be_due();
            }
            Err(error) => tracing::debug!(path = ?self.path, %error, "a candidate is not tried"),
        }
    }

    /// Lets it go through a relay too. Returns false if it may already, or goes through as many as it may.
    pub(super) fn add_relay(&mut self, relay: RelayId, address: SocketAddr) -> bool {
        let is_known = self.relays.iter().any(|(known, _)| *known == relay);
        if is_known || self.relays.len() >= RELAYS_MAX {
            return false;
        }
        let ours = OURS[usize::from(address.is_ipv6())];
        let Ok(candidate) = Candidate::relayed(address, ours, Protocol::Udp) else {
            return false;
        };
        self.relays.push((relay, address));
        self.add_own(candidate);
        true
    }

    /// Returns the address that ICE takes for that of a place; `None` of a relay that is not the connection's.
    fn ours(&self, (place, from): Pair) -> Option<SocketAddr> {
        match place {
            Place::Shared(_) => Some(OURS[usize::from(from.is_ipv6())]),
            Place::Relay(relay) => {
                let mut relays = self.relays.iter();
                let of_relay = relays.find(|(known, _)| *known == relay);
                of_relay.map(|(_, address)| *address)
            }
        }
    }

    /// Returns true if a datagram of STUN is of this connection, by its password.
    pub(super) fn accepts(&self, from: Pair, datagram: &[u8], now: Instant) -> bool {
        let Some(ours) = self.ours(from) else {
            return false;
        };
        let (_, from) = from;
        let received = Receive::new(Protocol::Udp, from, ours, datagram);
        // Before the other end is known nothing is checked.
        self.stage != Stage::Offered
            && received.is_ok_and(|received| self.rtc.accepts(&Input::Receive(now, received)))
    }

    /// Returns the address of the relay that it goes through, if it does, where its other end is, and how that is
    /// known.
    pub(super) fn selected(&self) -> Option<(Option<SocketAddr>, SocketAddr, CandidateKind)> {
        let (relay, to) = self.sent_to.filter(|_| self.is_open())?;
        let relay = relay.and_then(|relay| {
            let mut relays = self.relays.iter();
            relays.find(|(known, _)| *known == relay)
        });
        let mut told = self.candidates.iter();
        let kind = told
            .find(|(address, _)| *address == to)
            .map(|(_, kind)| *kind);
        let kind = kind.unwrap_or(CandidateKind::PeerReflexive);
        Some((relay.map(|(_, address)| *address), to, kind))
    }

    pub(super) fn is_open(&self) -> bool {
        self.stage == Stage::Open
    }

    /// Returns when [`on_time`](Self::on_time) has something to do.
    pub(super) fn deadline(&self) -> Instant {
        let at = self.due.min(self.look_at);
        self.disconnected_at().map_or(at, |then| at.min(then))
    }

    /// Returns when nothing has come for too long.
    fn disconnected_at(&self) -> Option<Instant> {
        let is_awaited = self.stage == Stage::Open && !self.is_disconnected;
        is_awaited.then(|| self.heard_at + self.limits.disconnected_after)
    }

    /// Something has come, or it is as if it had.
    fn hear(&mut self, now: Instant, turn: &mut Turn) {
        self.heard_at = now;
        if matches!(self.restart, Restart::Begun) {
            self.restart = Restart::None;
            self.meter.tally().restarts_recovered.add_one();
        }
        if std::mem::take(&mut self.is_disconnected) {
            turn.medium.push(MediumEvent::Connected);
        }
    }

    /// Does what is due.
    pub(super) fn on_time(&mut self, now: Instant, turn: &mut Turn) {
        if self.look_at <= now {
            if self.stage != Stage::Open && !self.is_negotiated {
                return turn.end(Ending::TooLong);
            }
            // Links answer whoever means them, and keep those alive that are up: a peer that gets nothing has said
            // nothing that means anything, and is not to keep a place by that.
            let is_idle = !std::mem::take(&mut self.is_heard) || !std::mem::take(&mut self.is_used);
            if is_idle && self.stage == Stage::Open {
                return turn.end(Ending::Silent);
            }
            self.look_at = now + self.limits.idle_time_max;
        }
        if let Some(at) = self.disconnected_at().filter(|at| *at <= now) {
            // An end that was itself stopped has not read what came meanwhile.
            if now > at + LATE_MAX {
                self.heard_at = now;
            } else {
                self.is_disconnected = true;
                turn.medium.push(MediumEvent::Disconnected);
            }
        }
        if self.due <= now {
            self.tell(now, turn);
        }
    }

    /// Takes a datagram. What is not of this connection changes nothing.
    pub(super) fn on_datagram(
        &mut self,
        from: Pair,
        datagram: &[u8],
        now: Instant,
        turn: &mut Turn,
    ) {
        let Some(ours) = self.ours(from) else {
            return;
        };
        let (_, from) = from;
        let Ok(received) = Receive::new(Protocol::Udp, from, ours, datagram) else {
            return;
        };
        self.told = now;
        if let Err(error) = self.rtc.handle_input(Input::Receive(now, received)) {
            // Anybody can send it.
            tracing::debug!(path = ?self.path, %error, "a datagram means nothing");
        }
        self.hear(now, turn);
        self.drain(turn);
    }

    /// A link has come up by it: it takes as much as comes from now on.
    pub(super) fn on_linked(&mut self) {
        self.unproven_bytes = None;
    }

    /// Counts what SCTP has taken, until a link has come up; of a visitor, none ever does.
    fn count_unproven(&mut self, bytes: usize, turn: &mut Turn) {
        let Some(left) = &mut self.unproven_bytes else {
            return;
        };
        let rest = left.checked_sub(bytes);
        *left = rest.unwrap_or(0);
        if rest.is_none() {
            let why = "more than is taken of whoever proves nothing";
            turn.end(Ending::NoPacket(why.into()));
        }
    }

    /// Sends a packet, or queues it. Datagrams without room are dropped.
    pub(super) fn send(
        &mut self,
        channel: Channel,
        packet: Packet,
        now: Instant,
        turn: &mut Turn,
    ) -> Result<Fate, CarryError> {
        if packet.len() > PACKET_BYTES_MAX {
            return Err(CarryError::TooLarge);
        }
        if self.stage != Stage::Open {
            return Err(CarryError::Full);
        }
        self.is_used = true;
        if now > self.told + STALE_TIME_MAX {
            self.tell(now, turn);
        }
        if turn.ending.is_some() {
            return Err(CarryError::Closed);
        }
        match channel {
            Channel::Datagram => Ok(self.send_datagram(packet, turn)),
            Channel::Ordered if self.outgoing.push(packet) => {
                if self.send_bulk(turn) {
                    self.drain(turn);
                }
                Ok(Fate::Sent)
            }
            Channel::Ordered => Err(CarryError::Full),
        }
    }

    /// Tells the other end that the connection is closed.
    pub(super) fn close(&mut self, turn: &mut Turn) {
        if let Err(error) = self.rtc.close() {
            tracing::debug!(path = ?self.path, %error, "a connection is closed without a word");
        }
        self.drain(turn);
    }

    fn tell(&mut self, now: Instant, turn: &mut Turn) {
        self.told = now;
        match self.rtc.handle_input(Input::Timeout(now)) {
            Ok(()) => self.drain(turn),
            Err(error) => turn.end(failed(error)),
        }
    }

    fn send_datagram(&mut self, packet: Packet, turn: &mut Turn) -> Fate {
        let bytes_max = self.limits.datagram_bytes_max;
        let Some(mut channel) = self.channel(Channel::Datagram) else {
            return Fate::Dropped;
        };
        if channel.buffered_amount() + packet.len() > bytes_max {
            return Fate::Dropped;
        }
        match channel.write(true, &packet.into_bytes()) {
            Ok(true) => {
                self.drain(turn);
                Fate::Sent
            }
            Ok(false) => Fate::Dropped,
            Err(error) => {
                turn.end(failed(error));
                Fate::Dropped
            }
        }
    }

    /// Gives the next packet of bulk to SCTP, if there is one that may be sent. Returns true if it did.
    fn send_bulk(&mut self, turn: &mut Turn) -> bool {
        if self.outgoing.is_empty() || self.stage != Stage::Open {
            return false;
        }
        let Use::Link { bulk, .. } = self.used_for else {
            return false;
        };
        let Some(mut channel) = self.rtc.channel(bulk) else {
            return false;
        };
        let under_way = channel.buffered_amount();
        let Some(packet) = self.outgoing.next(under_way) else {
            return false;
        };
        let peak = &self.meter.tally().ordered_unacknowledged_peak;
        peak.raise_to(under_way + packet.len());
        match channel.write(true, &packet.into_bytes()) {
            Ok(true) => {}
            Ok(false) => turn.end(Ending::Failed("there is no room for a packet".into())),
            Err(error) => turn.end(failed(error)),
        }
        if self.outgoing.take_writable() {
            let path = self.path;
            turn.events.push(CarrierEvent::Writable { path });
        }
        true
    }

    /// Takes all that str0m wants, and gives it what may be sent now.
    fn drain(&mut self, turn: &mut Turn) {
        while turn.ending.is_none() {
            let (output, authentic_bytes) = metered(|| self.rtc.poll_output());
            self.count_unproven(authentic_bytes, turn);
            match output {
                Ok(Output::Transmit(datagram)) => {
                    let to = datagram.destination;
                    let mut relays = self.relays.iter();
                    let relay = relays.find(|(_, address)| *address == datagram.source);
                    let relay = relay.map(|(relay, _)| *relay);
                    // Checks of ICE, which begin with 0 or 1, go to all candidates (RFC 7983).
                    if datagram.contents.first().is_some_and(|first| *first > 3) {
                        self.sent_to = Some((relay, to));
                    }
                    turn.datagrams.push((relay, to, datagram.contents.into()));
                }
                Ok(Output::Event(event)) => self.on_event(event, turn),
                Ok(Output::Timeout(due)) => {
                    self.due = due.max(self.told + DUE_AFTER_MIN);
                    if !self.send_bulk(turn) {
                        return self.see_off(turn);
                    }
                }
                Err(error) => turn.end(failed(error)),
            }
        }
    }

    /// Returns one of the channels of a link, if it is open.
    fn channel(&mut self, channel: Channel) -> Option<str0m::channel::Channel<'_>> {
        let Use::Link { datagrams, bulk } = self.used_for else {
            return None;
        };
        self.rtc.channel(match channel {
            Channel::Datagram => datagrams,
            Channel::Ordered => bulk,
        })
    }

    fn on_event(&mut self, event: Event, turn: &mut Turn) {
        let Use::Link { datagrams, bulk } = self.used_for else {
            return self.on_event_of_visitor(&event, turn);
        };
        match event {
            Event::ChannelOpen(id, _) if id == datagrams || id == bulk => {
                self.on_open(turn);
            }
            Event::ChannelOpen(..) => {
                turn.end(Ending::NoPacket("a channel of its own".into()));
            }
            Event::ChannelData(data) => self.on_data(data, turn),
            Event::ChannelClose(_) | Event::Closed => turn.end(Ending::ByPeer),
            // Whether anybody is there, links find out themselves.
            _ => {}
        }
    }

    /// Both channels open at once. The first event tells.
    fn on_open(&mut self, turn: &mut Turn) {
        if self.stage == Stage::Open {
            return;
        }
        let api = self.rtc.direct_api();
        let peer = api.remote_dtls_fingerprint();
        let Some(peer) = peer.and_then(|peer| <[u8; 32]>::try_from(&*peer.bytes).ok()) else {
            return turn.end(Ending::Failed("it has shown no certificate".into()));
        };
        self.stage = Stage::Open;
        self.heard_at = self.told;
        self.look_at = self.told + self.limits.idle_time_max;
        self.meter.tally().opened.add_one();
        turn.medium.push(MediumEvent::Open);
        turn.events.push(CarrierEvent::Opened {
            path: self.path,
            binding: Some(Binding {
                own: self.own.0,
                peer,
            }),
        });
    }

    fn on_data(&mut self, data: ChannelData, turn: &mut Turn) {
        let ChannelData { id, binary, data } = data;
        let Use::Link { datagrams, bulk } = self.used_for else {
            return;
        };
        let channel = match (id, binary) {
            (id, true) if id == datagrams => Channel::Datagram,
            (id, true) if id == bulk => Channel::Ordered,
            _ => return turn.end(Ending::NoPacket("a text, or what is on no channel".into())),
        };
        if data.len() > PACKET_BYTES_MAX {
            return turn.end(Ending::NoPacket(format!("{} bytes", data.len())));
        }
        self.is_heard = true;
        self.meter.tally().packets_received.add_one();
        turn.events.push(CarrierEvent::Packet {
            path: self.path,
            channel,
            packet: Bytes::from(data).into(),
        });
    }
}

impl Turn {
    /// The first reason counts.
    fn end(&mut self, ending: Ending) {
        self.ending.get_or_insert(ending);
    }
}

fn failed(error: impl fmt::Display) -> Ending {
    Ending::Failed(error.to_string())
}

/// Why a connection that was dialed is not opened.
impl From<&Ending> for OpenFailure {
    fn from(ending: &Ending) -> Self {
        match ending {
            Ending::TooLong => Self::TimedOut,
            Ending::Unresolved(why) => Self::NameNotResolved(why.clone()),
            Ending::Unreached(why) => why.clone(),
            Ending::NoPacket(_) => Self::OtherProtocol(ending.to_string()),
            Ending::ByPeer
            | Ending::Silent
            | Ending::Refused
            | Ending::Displaced
            | Ending::Failed(_) => Self::NotConnected(ending.to_string()),
        }
    }
}

impl fmt::Display for Ending {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::ByPeer => f.write_str("closed by the other end"),
            Self::Silent => f.write_str("no packet came, or none was to be sent, for too long"),
            Self::TooLong => f.write_str("it took too long"),
            Self::NoPacket(what) => write!(f, "what came is no packet: {what}"),
            Self::Refused => f.write_str("a visitor was told what it takes to join"),
            Self::Displaced => f.write_str("others need its place"),
            Self::Unreached(why) => why.fmt(f),
            Self::Unresolved(why) | Self::Failed(why) => f.write_str(why),
        }
    }
}

impl fmt::Debug for Connection {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Connection")
            .field("path", &self.path)
            .field("stage", &self.stage)
            .finish_non_exhaustive()
    }
}
