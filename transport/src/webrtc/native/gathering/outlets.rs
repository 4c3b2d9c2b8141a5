//! Gives a [`Gatherer`] what it has not itself: the answers of whoever runs this end, and a socket for each relay.

use std::collections::{BTreeMap, VecDeque};
use std::future::Future;
use std::net::{IpAddr, SocketAddr};
use std::pin::Pin;
use std::task::{Context, Poll};
use std::time::Instant;

use super::asking::{Servers, ask};
use super::{Gathered, Gatherer, Place, RelayId};
use crate::webrtc::ice_servers::{IceServers, IceTransportPolicy};
use crate::webrtc::meter::WebRtcMeter;
use crate::webrtc::native::socket::{Purpose, Socket};

/// What the carrier is to do, or to know.
#[derive(Debug, PartialEq, Eq)]
pub(in super::super) enum Found {
    /// Send this by a shared socket.
    Send {
        socket: usize,
        to: SocketAddr,
        datagram: Vec<u8>,
    },
    /// Others reach this shared socket by this address. It may be told again.
    Reflexive { socket: usize, address: SocketAddr },
    /// Others reach this end by this relay. It may be told again.
    Relayed { relay: RelayId, address: SocketAddr },
    /// A peer has sent this to a relay.
    Received {
        relay: RelayId,
        from: SocketAddr,
        datagram: Vec<u8>,
    },
}

/// What a carrier gathers addresses with.
pub(in super::super) struct Outlets {
    gatherer: Gatherer,
    /// Whom to ask for the servers; nobody where there are none.
    servers: Option<IceServers>,
    asking: Option<Pin<Box<dyn Future<Output = Servers> + Send>>>,
    relays: BTreeMap<RelayId, Socket>,
    is_on_this_machine: bool,
    meter: WebRtcMeter,
    out: Vec<Gathered>,
    found: VecDeque<Found>,
    is_touched: bool,
}

impl Outlets {
    pub(in super::super) fn new(
        servers: Option<IceServers>,
        policy: IceTransportPolicy,
        is_on_this_machine: bool,
        meter: WebRtcMeter,
    ) -> Self {
        Self {
            gatherer: Gatherer::new(policy, meter.clone()),
            servers,
            asking: None,
            relays: BTreeMap::new(),
            is_on_this_machine,
            meter,
            out: Vec::new(),
            found: VecDeque::new(),
            is_touched: false,
        }
    }

    /// Gathers addresses for a shared socket, for a connection that begins. Returns false if there are none to come.
    pub(in super::super) fn gather(&mut self, socket: usize, now: Instant) -> bool {
        let has_servers = self.servers.is_some();
        if has_servers {
            self.gatherer.gather(socket, now, &mut self.out);
            self.carry_out();
        }
        has_servers
    }

    /// Asks a relay to let datagrams of a host through, so that the first is not lost.
    pub(in super::super) fn permit(&mut self, relay: RelayId, host: IpAddr, now: Instant) {
        self.gatherer.permit(relay, host, now, &mut self.out);
        self.carry_out();
    }

    /// Sends a datagram to a peer through a relay.
    pub(in super::super) fn send(
        &mut self,
        relay: RelayId,
        to: SocketAddr,
        datagram: &[u8],
        now: Instant,
    ) {
        self.gatherer.send(relay, to, datagram, now, &mut self.out);
        self.carry_out();
    }

    /// Takes a datagram that came by a shared socket. Returns false if it is not of a server.
    pub(in super::super) fn on_datagram(
        &mut self,
        socket: usize,
        from: SocketAddr,
        datagram: &[u8],
        now: Instant,
    ) -> bool {
        let place = Place::Shared(socket);
        let is_of_server = self
            .gatherer
            .on_datagram(place, from, datagram, now, &mut self.out);
        self.carry_out();
        is_of_server
    }

    /// Returns the next thing that the carrier is to do.
    pub(in super::super) fn next_found(&mut self) -> Option<Found> {
        self.found.pop_front()
    }

    /// Returns when it is to be polled though nothing has come.
    pub(in super::super) fn deadline(&self) -> Option<Instant> {
        self.gatherer.deadline()
    }

    /// Returns true if it is to be polled, after it was given something.
    pub(in super::super) fn is_awake(&self) -> bool {
        self.is_touched || !self.found.is_empty() || self.relays.values().any(Socket::has_unsent)
    }

    /// Takes an answer, or does what is due. Returns false if there is nothing to do for now. `is_awaited`
    /// says that somebody may come however late; it is asked when something is due, and not for each datagram.
    pub(in super::super) fn poll(
        &mut self,
        context: &mut Context<'_>,
        now: Instant,
        is_awaited: impl FnOnce() -> bool,
    ) -> bool {
        self.is_touched = false;
        if let Some(asking) = &mut self.asking
            && let Poll::Ready(servers) = asking.as_mut().poll(context)
        {
            self.asking = None;
            self.gatherer.on_servers(servers, now, &mut self.out);
            self.carry_out();
            return true;
        }
        if self.deadline().is_some_and(|deadline| deadline <= now) {
            self.gatherer.on_time(now, is_awaited(), &mut self.out);
            self.carry_out();
            return true;
        }
        for socket in self.relays.values_mut() {
            socket.poll_unsent(context);
        }
        false
    }

    /// Takes a datagram from each relay. Returns false if there is none.
    pub(in super::super) fn read(&mut self, context: &mut Context<'_>, now: Instant) -> bool {
        let mut has_read = false;
        for (relay, socket) in &mut self.relays {
            let Poll::Ready((from, datagram)) = socket.poll_receive(context) else {
                continue;
            };
            let place = Place::Relay(*relay);
            let is_of_server = self
                .gatherer
                .on_datagram(place, from, datagram, now, &mut self.out);
            if !is_of_server {
                self.meter.tally().udp_ignored.add_one();
            }
            has_read = true;
        }
        self.carry_out();
        has_read
    }

    /// Gives all allocations back.
    pub(in super::super) fn close(&mut self, now: Instant) {
        self.gatherer.close(now, &mut self.out);
        self.carry_out();
    }

    fn carry_out(&mut self) {
        for gathered in std::mem::take(&mut self.out) {
            match gathered {
                Gathered::Ask => self.ask(),
                Gathered::Open(relay) => self.open(relay),
                Gathered::Close(relay) => {
                    self.relays.remove(&relay);
                }
                Gathered::Send { by, to, datagram } => match by {
                    Place::Shared(socket) => self.found.push_back(Found::Send {
                        socket,
                        to,
                        datagram,
                    }),
                    Place::Relay(relay) => {
                        if let Some(socket) = self.relays.get_mut(&relay) {
                            socket.send(to, datagram);
                        }
                    }
                },
                Gathered::Reflexive { socket, address } => {
                    self.found.push_back(Found::Reflexive { socket, address });
                }
                Gathered::Relayed { relay, address } => {
                    self.found.push_back(Found::Relayed { relay, address });
                }
                Gathered::Received {
                    relay,
                    from,
                    datagram,
                } => self.found.push_back(Found::Received {
                    relay,
                    from,
                    datagram,
                }),
                // ICE finds out, as with any other way that is no more.
                Gathered::Lost { .. } => {}
            }
        }
    }

    fn ask(&mut self) {
        if let Some(servers) = &self.servers {
            let asking = ask(servers.clone(), self.is_on_this_machine);
            self.asking = Some(Box::pin(asking));
            self.is_touched = true;
        }
    }

    /// Makes a socket. Without one the server seems not to answer.
    fn open(&mut self, relay: RelayId) {
        let socket = if self.is_on_this_machine {
            Socket::of_this_machine(Purpose::Relayed, &self.meter)
        } else {
            Socket::of_any_port(Purpose::Relayed, &self.meter)
        };
        match socket {
            Ok(socket) => {
                self.relays.insert(relay, socket);
                self.is_touched = true;
            }
            Err(error) => tracing::warn!(%error, "there is no socket for a relay"),
        }
    }
}
