//! Does what negotiations want of connections, and tells them what comes of it.

use std::net::{IpAddr, SocketAddr};
use std::time::Instant;

use super::super::super::description::{CandidateHost, CandidateKind, Description, IceCandidate};
use super::super::super::ice_servers::IceTransportPolicy;
use super::super::super::negotiation::{Action, MediumEvent};
use super::super::connection::Ending;
use super::super::gathering::{Found, Place, RelayId};
use super::super::interfaces::host_candidates;
use super::super::socket::{Purpose, Socket};
use super::super::table::Usage;
use super::{WebRtcCarrier, now};
use crate::ServerId;
use crate::signaling::Serialization;

/// The most sockets by which connections run that are found by signaling, beside the one that listens. There is more
/// than one when a peer is connected to again shortly after a connection with it was closed.
const SIGNALED_SOCKETS_MAX: usize = 16;

impl WebRtcCarrier {
    /// Does what a negotiation wants of a connection.
    pub(super) fn act(&mut self, number: u64, action: Action) {
        let acted = match action {
            Action::MakeOffer => self.describe(number, None),
            Action::TakeOffer(offer) => self.describe(number, Some(&offer)),
            Action::TakeAnswer(answer) => {
                self.recognize(number);
                let taken = self.with(number, |connection, _| connection.on_answer(&answer));
                self.add_candidates(number, answer.candidates());
                taken.unwrap_or(Ok(()))
            }
            Action::MakeRestart => {
                self.restart(number, None);
                Ok(())
            }
            Action::TakeRestart(offer) => {
                self.restart(number, Some(&offer));
                Ok(())
            }
            Action::AddCandidate(candidate) => {
                self.add_candidates(number, &[candidate]);
                Ok(())
            }
            Action::Close(why) => Err(Ending::Unreached(self.switchboard.failure(number, why))),
        };
        if let Err(ending) = acted {
            return self.end(number, &ending);
        }
        let now = now();
        self.with(number, |connection, turn| connection.on_time(now, turn));
    }

    /// Makes this end of a connection, in place of the one that there may be, and describes it.
    fn describe(&mut self, number: u64, offer: Option<&Description>) -> Result<(), Ending> {
        let now = now();
        let gone = || Ending::Failed("its place is gone".into());
        let peer = self.switchboard.peer(number).ok_or_else(gone)?;
        let seat = self.table.seat(number).ok_or_else(gone)?;
        let (path, earlier) = (seat.path, seat.socket);
        let replaced = self.table.vacate(number, now);
        self.say_goodbye(earlier, replaced);
        let socket = self.signaled_socket(Some(peer), now)?;
        let (connection, mut own) = match offer {
            None => self.maker.offer(path, now),
            Some(offer) => self.maker.answer(path, offer, now)?,
        };
        self.add_hosts(socket, &mut own);
        self.table
            .on_described(number, Some(peer), socket, &own.credentials.ufrag);
        self.table.place(number, connection);
        if let Some(offer) = offer {
            self.add_candidates(number, offer.candidates());
        }
        self.switchboard
            .on_medium(number, MediumEvent::Described(own));
        // What is known already is told at once, and the rest as it comes.
        if !self.outlets.gather(socket, now) {
            self.switchboard.on_medium(number, MediumEvent::Gathered);
        }
        Ok(())
    }

    /// Answers a visitor's offer. It is told the addresses of this host alone, and no server is asked for others.
    pub(super) fn receive(
        &mut self,
        number: u64,
        offer: &Description,
        serialization: Serialization,
    ) {
        if let Err(ending) = self.answer_visitor(number, offer, serialization) {
            return self.end(number, &ending);
        }
        let now = now();
        self.with(number, |connection, turn| connection.on_time(now, turn));
    }

    fn answer_visitor(
        &mut self,
        number: u64,
        offer: &Description,
        serialization: Serialization,
    ) -> Result<(), Ending> {
        let now = now();
        let gone = || Ending::Failed("its place is gone".into());
        let path = self.table.seat(number).ok_or_else(gone)?.path;
        let socket = self.signaled_socket(None, now)?;
        let (connection, mut own) = self.maker.receive(path, offer, serialization, now)?;
        self.add_hosts(socket, &mut own);
        self.table
            .on_described(number, None, socket, &own.credentials.ufrag);
        self.table.place(number, connection);
        self.add_candidates(number, offer.candidates());
        self.switchboard.answer_visitor(number, own);
        Ok(())
    }

    /// Takes up who is at the other end of a connection, of which an offer by hand knows nothing.
    fn recognize(&mut self, number: u64) {
        if let Some(seat) = self.table.seat(number) {
            seat.peer = self.switchboard.peer(number);
        }
    }

    /// Describes the addresses of this host, unless nobody is to know them.
    fn add_hosts(&self, socket: usize, own: &mut Description) {
        if self.maker.policy == IceTransportPolicy::Relay {
            return;
        }
        for candidate in host_candidates(self.sockets[socket].bound) {
            own.add(candidate);
        }
    }

    /// Does what gathering addresses has brought.
    pub(super) fn on_found(&mut self, found: Found) {
        match found {
            Found::Send {
                socket,
                to,
                datagram,
            } => self.sockets[socket].send(to, datagram),
            Found::Reflexive { socket, address } => {
                for number in self.table.signaled(Some(socket)) {
                    self.tell(number, CandidateKind::ServerReflexive, address);
                }
            }
            Found::Relayed { relay, address } => {
                for number in self.table.signaled(None) {
                    self.add_relay(number, relay, address);
                }
            }
            Found::Received {
                relay,
                from,
                datagram,
            } => self.on_datagram((Place::Relay(relay), from), &datagram, false),
        }
    }

    /// Tells the other end of a connection one more address of this one.
    fn tell(&mut self, number: u64, kind: CandidateKind, address: SocketAddr) {
        let candidate = IceCandidate::new(kind, address.ip(), address.port(), u16::MAX);
        self.switchboard
            .on_medium(number, MediumEvent::Candidate(candidate));
    }

    /// Lets a connection go through a relay.
    fn add_relay(&mut self, number: u64, relay: RelayId, address: SocketAddr) {
        let added = self.with(number, |connection, _| connection.add_relay(relay, address));
        if added == Some(true) {
            let now = now();
            for host in self.table.add_relay(number, relay) {
                self.outlets.permit(relay, host, now);
            }
            self.with(number, |connection, turn| connection.on_time(now, turn));
        }
        self.tell(number, CandidateKind::Relayed, address);
    }

    /// Begins ICE anew, by the socket that there is: offers it, or answers this offer.
    fn restart(&mut self, number: u64, offer: Option<&Description>) {
        let own = self.with(number, |connection, _| match offer {
            None => connection.offer_restart(),
            Some(offer) => connection.answer_restart(offer),
        });
        let peer = self.switchboard.peer(number);
        let (Some(mut own), Some(peer), Some(seat)) = (own, peer, self.table.seat(number)) else {
            return;
        };
        let socket = seat.socket;
        self.add_hosts(socket, &mut own);
        self.table
            .on_described(number, Some(peer), socket, &own.credentials.ufrag);
        if let Some(offer) = offer {
            self.add_candidates(number, offer.candidates());
        }
        self.switchboard
            .on_medium(number, MediumEvent::Described(own));
        self.outlets.gather(socket, now());
    }

    /// Tries addresses of the other end. Names that browsers make up are found by the checks that they send.
    fn add_candidates(&mut self, number: u64, candidates: &[IceCandidate]) {
        let Some(socket) = self.table.seat(number).map(|seat| seat.socket) else {
            return;
        };
        for candidate in candidates {
            let CandidateHost::Ip(ip) = candidate.host else {
                continue;
            };
            let is_near = !self.is_on_this_machine || ip.is_loopback();
            if is_near && self.sockets[socket].reaches(ip) {
                let address = SocketAddr::new(ip, candidate.port);
                self.table.add_candidate(number, address);
                self.permit(number, ip);
                self.with(number, |connection, _| {
                    connection.add_candidate(address, candidate);
                });
            }
        }
    }

    /// Has the relays of a connection let a host of its other end through.
    fn permit(&mut self, number: u64, host: IpAddr) {
        let Some(seat) = self.table.seat(number) else {
            return;
        };
        for relay in &seat.relays {
            self.outlets.permit(*relay, host, now());
        }
    }

    /// Returns a socket for a connection with a peer, by which there is no other with it if that can be: whoever is
    /// there has one socket for all, and datagrams tell connections apart by both ends' sockets alone. A visitor, which
    /// is no peer, has a socket for each connection.
    fn signaled_socket(&mut self, peer: Option<ServerId>, now: Instant) -> Result<usize, Ending> {
        let places = 0..self.sockets.len();
        let of_signaled = places.filter(|place| self.sockets[*place].purpose != Purpose::Dialing);
        let usage = |place| peer.map_or(Usage::Free, |peer| self.table.usage(peer, place, now));
        let least = of_signaled.map(|place| (usage(place), place)).min();
        if let Some((Usage::Free, place)) = least {
            return Ok(place);
        }
        let sockets = self.sockets.iter();
        let signaled = sockets.filter(|socket| socket.purpose == Purpose::Signaled);
        let is_full = signaled.count() >= SIGNALED_SOCKETS_MAX;
        if let Some((_, place)) = least.filter(|_| is_full) {
            return Ok(place);
        }
        let socket = if self.is_on_this_machine {
            Socket::of_this_machine(Purpose::Signaled, &self.maker.meter)
        } else {
            Socket::of_any_port(Purpose::Signaled, &self.maker.meter)
        };
        match (socket, least) {
            (Ok(socket), _) => {
                self.sockets.push(socket);
                // It has not been polled, and is to be.
                self.rings_at = None;
                Ok(self.sockets.len() - 1)
            }
            (Err(_), Some((_, place))) => Ok(place),
            (Err(error), None) => Err(Ending::Failed(error.to_string())),
        }
    }
}
