//! Gathers addresses at which other ends may reach this one, beside its own: those that servers of STUN see, and those
//! that servers of TURN lend.
//!
//! A [`Gatherer`] has no socket and no clock: datagrams, answers and the time go in, and what the carrier is to do
//! comes out. A server that is not there costs a candidate, and nothing waits for it.

mod asking;
mod binding;
mod outlets;
mod relay;
#[cfg(test)]
mod tests;

use std::collections::{BTreeMap, BTreeSet};
use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::time::{Duration, Instant};

pub(super) use self::outlets::{Found, Outlets};

use self::asking::Servers;
use self::binding::Binding;
use self::relay::{Loss, Relay, Step};
use crate::webrtc::ice_servers::{IceTransportPolicy, User};
use crate::webrtc::meter::WebRtcMeter;

/// The most servers at a time, those that are no longer named and still relay included. Further ones are not used.
const SERVERS_MAX: usize = 32;

/// The most sockets of the carrier that addresses are gathered for.
const SOCKETS_MAX: usize = 32;

/// Servers that were named so recently are not asked for again: many connections begin at once.
const NAMED_FOR: Duration = Duration::from_secs(1);

/// How long after the last gathering addresses are kept, and servers tried again, if nobody waits for them.
const WANTED_FOR: Duration = Duration::from_secs(60);

/// After so long a server is asked again under which address it sees a socket, which keeps what NATs know of it.
const BOUND_FOR: Duration = Duration::from_secs(15);

/// How long a server of TURN is left alone after it has refused or forgotten first; then twice as long, and so on.
const RETRY_AFTER_MIN: Duration = Duration::from_millis(250);

/// How long a server of TURN is left alone at most.
const RETRY_AFTER_MAX: Duration = Duration::from_secs(60);

/// A request to a server is sent again after so long, and then after twice as long (RFC 8489, section 6.2.1).
const REQUEST_WAIT: Duration = Duration::from_millis(500);

/// The longest time between two requests.
const REQUEST_WAIT_MAX: Duration = Duration::from_secs(2);

/// How often a request is sent, all together.
const REQUESTS_MAX: u32 = 4;

/// How long the last of them may be without an answer.
const REQUEST_WAIT_LAST: Duration = Duration::from_secs(2);

/// What the protocols take for the address of our sockets. They send to servers only, and do not need another.
const OURS: SocketAddr = SocketAddr::new(IpAddr::V4(Ipv4Addr::LOCALHOST), 1);

/// Names a relay and the socket that it has to itself.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(super) struct RelayId(u32);

/// A socket of the carrier.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(super) enum Place {
    /// One that connections share, by its number.
    Shared(usize),
    Relay(RelayId),
}

/// What the carrier is to do, or to know.
#[derive(Debug, PartialEq, Eq)]
enum Gathered {
    /// Ask for the servers, and give the answer to [`Gatherer::on_servers`].
    Ask,
    Send {
        by: Place,
        to: SocketAddr,
        datagram: Vec<u8>,
    },
    /// Make a socket for this relay.
    Open(RelayId),
    /// Close its socket. What it had was told as lost.
    Close(RelayId),
    /// Others reach this shared socket by this address. It may be told again.
    Reflexive { socket: usize, address: SocketAddr },
    /// Others reach this end by this relay. It may be told again.
    Relayed { relay: RelayId, address: SocketAddr },
    /// They do no longer.
    Lost { relay: RelayId },
    /// A peer has sent this to a relay.
    Received {
        relay: RelayId,
        from: SocketAddr,
        datagram: Vec<u8>,
    },
}

/// Speaks to the servers.
struct Gatherer {
    policy: IceTransportPolicy,
    meter: WebRtcMeter,
    servers: Vec<Server>,
    sockets: BTreeSet<usize>,
    /// When addresses were last wanted.
    wanted: Option<Instant>,
    is_asking: bool,
    /// When the servers were last named.
    named: Option<Instant>,
    relays: u32,
}

struct Server {
    address: SocketAddr,
    /// Who uses TURN there.
    user: Option<User>,
    /// Whether the last answer named it.
    is_named: bool,
    bindings: BTreeMap<usize, Binding>,
    relay: Option<(RelayId, Relay)>,
    retry_after: Duration,
    not_before: Instant,
}

impl Gatherer {
    pub(super) fn new(policy: IceTransportPolicy, meter: WebRtcMeter) -> Self {
        Self {
            policy,
            meter,
            servers: Vec::new(),
            sockets: BTreeSet::new(),
            wanted: None,
            is_asking: false,
            named: None,
            relays: 0,
        }
    }

    /// Gathers addresses for a shared socket, for a connection that begins.
    pub(super) fn gather(&mut self, socket: usize, now: Instant, out: &mut Vec<Gathered>) {
        self.wanted = Some(now);
        if self.sockets.len() < SOCKETS_MAX {
            self.sockets.insert(socket);
        }
        match self.named {
            Some(named) if now < named + NAMED_FOR => self.serve(now, out),
            _ => self.ask(out),
        }
    }

    fn ask(&mut self, out: &mut Vec<Gathered>) {
        if !self.is_asking {
            self.is_asking = true;
            out.push(Gathered::Ask);
        }
    }

    /// Takes the servers that there are.
    pub(super) fn on_servers(&mut self, servers: Servers, now: Instant, out: &mut Vec<Gathered>) {
        self.is_asking = false;
        self.named = Some(now);
        for server in &mut self.servers {
            server.is_named = false;
            server.user = None;
        }
        for (address, user) in servers {
            let mut known = self.servers.iter();
            match known.position(|server| server.address == address) {
                Some(place) => {
                    let server = &mut self.servers[place];
                    server.is_named = true;
                    server.user = user.or(server.user.take());
                }
                None if self.servers.len() < SERVERS_MAX => {
                    self.servers.push(Server::new(address, user, now));
                }
                None => tracing::warn!(%address, SERVERS_MAX, "too many ICE servers"),
            }
        }
        // What relays stays until it is idle.
        self.servers
            .retain(|server| server.is_named || server.relay.is_some());
        self.serve(now, out);
    }

    /// Tells what is known, and asks the servers for the rest.
    fn serve(&mut self, now: Instant, out: &mut Vec<Gathered>) {
        for server in self.servers.iter_mut().filter(|server| server.is_named) {
            if self.policy == IceTransportPolicy::All {
                for socket in &self.sockets {
                    server.bind(*socket, now, out);
                }
            }
            server.relay(&mut self.relays, &self.meter, now, out);
        }
    }

    /// Asks a relay to let datagrams of a host through, so that the first is not lost.
    pub(super) fn permit(
        &mut self,
        relay: RelayId,
        host: IpAddr,
        now: Instant,
        out: &mut Vec<Gathered>,
    ) {
        self.with(relay, now, out, |relay, steps| {
            relay.permit(host, now, steps);
        });
    }

    /// Sends a datagram to a peer through a relay.
    pub(super) fn send(
        &mut self,
        relay: RelayId,
        to: SocketAddr,
        datagram: &[u8],
        now: Instant,
        out: &mut Vec<Gathered>,
    ) {
        self.with(relay, now, out, |relay, steps| {
            relay.send(to, datagram, now, steps);
        });
    }

    /// Takes a datagram. Returns false if it is not of a server.
    pub(super) fn on_datagram(
        &mut self,
        by: Place,
        from: SocketAddr,
        datagram: &[u8],
        now: Instant,
        out: &mut Vec<Gathered>,
    ) -> bool {
        let mut servers = self.servers.iter_mut();
        let Some(server) = servers.find(|server| server.address == from && server.has(by)) else {
            return false;
        };
        match by {
            Place::Shared(socket) => server.bindings.get_mut(&socket).is_some_and(|binding| {
                let is_answer = binding.on_datagram(datagram, now);
                if is_answer && let Some(address) = binding.address() {
                    out.push(Gathered::Reflexive { socket, address });
                }
                is_answer
            }),
            Place::Relay(relay) => {
                self.with(relay, now, out, |relay, steps| {
                    relay.on_datagram(datagram, now, steps);
                });
                true
            }
        }
    }

    /// Returns when [`on_time`](Self::on_time) has something to do.
    pub(super) fn deadline(&self) -> Option<Instant> {
        let until = self.wanted.map(|wanted| wanted + WANTED_FOR);
        let servers = self.servers.iter();
        let servers = servers.filter_map(|server| server.deadline(until));
        servers.chain(self.retry_at()).min()
    }

    /// Returns when servers are to be asked for, because one does not relay: not while they are.
    fn retry_at(&self) -> Option<Instant> {
        if self.is_asking {
            return None;
        }
        let until = self.wanted? + WANTED_FOR;
        let servers = self.servers.iter();
        servers.filter_map(|server| server.retry_at(until)).min()
    }

    /// Does what is due. `is_awaited` says that somebody may come to the addresses that were gathered however late, as
    /// to those in a text that people carry.
    pub(super) fn on_time(&mut self, now: Instant, is_awaited: bool, out: &mut Vec<Gathered>) {
        if is_awaited {
            self.wanted = Some(now);
        }
        let until = self.wanted.map(|wanted| wanted + WANTED_FOR);
        let is_wanted = until.is_some_and(|until| now < until);
        let mut has_used = false;
        for server in &mut self.servers {
            server.rebind(is_wanted, now, out);
            if server.idle_at(until).is_some_and(|idle_at| idle_at <= now) {
                server.release(now, out);
            }
            let mut steps = Vec::new();
            if let Some((_, relay)) = &mut server.relay {
                relay.on_time(now, &mut steps);
            }
            has_used |= server.settle(steps, &self.meter, now, out);
        }
        if has_used {
            self.wanted = Some(now);
        }
        if self.retry_at().is_some_and(|retry_at| retry_at <= now) {
            self.ask(out);
        }
    }

    /// Gives all allocations back.
    pub(super) fn close(&mut self, now: Instant, out: &mut Vec<Gathered>) {
        for server in &mut self.servers {
            server.release(now, out);
        }
        self.servers.clear();
    }

    /// Lets something happen to a relay, and tells what comes of it.
    fn with(
        &mut self,
        id: RelayId,
        now: Instant,
        out: &mut Vec<Gathered>,
        change: impl FnOnce(&mut Relay, &mut Vec<Step>),
    ) {
        let mut servers = self.servers.iter_mut();
        let Some(server) = servers.find(|server| server.has(Place::Relay(id))) else {
            return;
        };
        let mut steps = Vec::new();
        if let Some((_, relay)) = &mut server.relay {
            change(relay, &mut steps);
        }
        if server.settle(steps, &self.meter, now, out) {
            self.wanted = Some(now);
        }
    }
}

impl Server {
    fn new(address: SocketAddr, user: Option<User>, now: Instant) -> Self {
        Self {
            address,
            user,
            is_named: true,
            bindings: BTreeMap::new(),
            relay: None,
            retry_after: RETRY_AFTER_MIN,
            not_before: now,
        }
    }

    fn has(&self, place: Place) -> bool {
        match place {
            Place::Shared(socket) => self.bindings.contains_key(&socket),
            Place::Relay(id) => self.relay.as_ref().is_some_and(|(own, _)| *own == id),
        }
    }

    /// Tells under which address the server sees a socket, or asks it.
    fn bind(&mut self, socket: usize, now: Instant, out: &mut Vec<Gathered>) {
        let address = self.address;
        let binding = self.bindings.entry(socket);
        let binding = binding.or_insert_with(|| Binding::new(address, now));
        match binding.address() {
            Some(address) if now < binding.asked() + BOUND_FOR => {
                out.push(Gathered::Reflexive { socket, address });
            }
            _ => out.extend(binding.ask(now).map(|request| Gathered::Send {
                by: Place::Shared(socket),
                to: self.address,
                datagram: request,
            })),
        }
    }

    /// Tells the address at the server, or asks it for one if it is time.
    fn relay(
        &mut self,
        relays: &mut u32,
        meter: &WebRtcMeter,
        now: Instant,
        out: &mut Vec<Gathered>,
    ) {
        let Some(user) = &self.user else {
            return;
        };
        if let Some((id, relay)) = &self.relay {
            let relay_id = *id;
            match relay.address() {
                None => return,
                Some(address) if relay.is_proven(now) => {
                    return out.push(Gathered::Relayed {
                        relay: relay_id,
                        address,
                    });
                }
                Some(_) => {}
            }
            tracing::debug!(server = %self.address, why = %Loss::Unproven, "a relay is replaced");
        } else if now < self.not_before {
            return;
        }
        let new = Relay::new(self.address, user, now);
        self.release(now, out);
        // Numbers are not used again while anybody remembers them.
        *relays = relays.wrapping_add(1);
        let id = RelayId(*relays);
        self.relay = Some((id, new));
        out.push(Gathered::Open(id));
        let mut steps = Vec::new();
        if let Some((_, relay)) = &mut self.relay {
            relay.on_time(now, &mut steps);
        }
        self.settle(steps, meter, now, out);
    }

    /// Asks again for what is asked, and for what was known for a while if it is still wanted.
    fn rebind(&mut self, is_wanted: bool, now: Instant, out: &mut Vec<Gathered>) {
        for (socket, binding) in &mut self.bindings {
            let is_old = binding.address().is_some() && binding.asked() + BOUND_FOR <= now;
            let request = match is_old && is_wanted && self.is_named {
                true => binding.ask(now),
                false => binding.on_time(now),
            };
            out.extend(request.map(|request| Gathered::Send {
                by: Place::Shared(*socket),
                to: self.address,
                datagram: request,
            }));
        }
    }

    fn deadline(&self, wanted_until: Option<Instant>) -> Option<Instant> {
        let bindings = self.bindings.values().filter_map(|binding| {
            let again = binding.asked() + BOUND_FOR;
            let is_wanted = self.is_named && wanted_until.is_some_and(|until| again < until);
            let again = binding.address().filter(|_| is_wanted).map(|_| again);
            binding.deadline().or(again)
        });
        let relay = self.relay.as_ref();
        let relay = relay.and_then(|(_, relay)| relay.deadline());
        let idle = self.idle_at(wanted_until);
        bindings.chain(relay).chain(idle).min()
    }

    /// Returns when the relay has been idle for long enough.
    fn idle_at(&self, wanted_until: Option<Instant>) -> Option<Instant> {
        let (_, relay) = self.relay.as_ref()?;
        let used_until = relay.used() + WANTED_FOR;
        Some(wanted_until.map_or(used_until, |wanted_until| used_until.max(wanted_until)))
    }

    /// Returns when the server is to be asked again for an address, if it is.
    fn retry_at(&self, wanted_until: Instant) -> Option<Instant> {
        let is_wanted = self.not_before < wanted_until;
        let lacks_relay = self.is_named && self.user.is_some() && self.relay.is_none();
        (is_wanted && lacks_relay).then_some(self.not_before)
    }

    /// Tells what has come of giving the relay something. Returns true if one was lost that was in use.
    fn settle(
        &mut self,
        steps: Vec<Step>,
        meter: &WebRtcMeter,
        now: Instant,
        out: &mut Vec<Gathered>,
    ) -> bool {
        let Some((id, used)) = self.relay.as_ref().map(|(id, relay)| (*id, relay.used())) else {
            return false;
        };
        let mut has_lost = false;
        for step in steps {
            match step {
                Step::Send(datagram) => out.push(Gathered::Send {
                    by: Place::Relay(id),
                    to: self.address,
                    datagram,
                }),
                Step::Allocated(address) => {
                    tracing::debug!(server = %self.address, %address, "a server of TURN relays");
                    meter.tally().relays_allocated.add_one();
                    self.retry_after = RETRY_AFTER_MIN;
                    out.push(Gathered::Relayed { relay: id, address });
                }
                Step::Received(from, datagram) => out.push(Gathered::Received {
                    relay: id,
                    from,
                    datagram,
                }),
                Step::Lost(loss) => {
                    tracing::warn!(server = %self.address, why = %loss, "a server of TURN does not relay");
                    meter.tally().relays_lost.add_one();
                    has_lost = true;
                }
            }
        }
        if has_lost {
            self.relay = None;
            self.not_before = now + self.retry_after;
            self.retry_after = (self.retry_after * 2).min(RETRY_AFTER_MAX);
            out.extend([Gathered::Lost { relay: id }, Gathered::Close(id)]);
        }
        has_lost && now < used + WANTED_FOR
    }

    /// Gives the allocation back, if there is one.
    fn release(&mut self, now: Instant, out: &mut Vec<Gathered>) {
        let Some((id, mut relay)) = self.relay.take() else {
            return;
        };
        let mut steps = Vec::new();
        relay.delete(now, &mut steps);
        out.extend(steps.into_iter().filter_map(|step| match step {
            Step::Send(datagram) => Some(Gathered::Send {
                by: Place::Relay(id),
                to: self.address,
                datagram,
            }),
            _ => None,
        }));
        out.extend([Gathered::Lost { relay: id }, Gathered::Close(id)]);
    }
}

/// When the protocols' time began.
#[derive(Clone, Copy, Debug)]
struct Epoch(Instant);

impl Epoch {
    /// The least that the protocols wait, whatever they say.
    const WAIT_MIN: Duration = Duration::from_millis(5);

    /// Returns a moment as the protocols take it.
    fn at(self, moment: Instant) -> stun_proto::Instant {
        let since = moment.saturating_duration_since(self.0).as_nanos();
        // A century of nanoseconds leaves them room to add to it.
        let century = i64::MAX / 3;
        stun_proto::Instant::from_nanos(i64::try_from(since).unwrap_or(century).min(century))
    }

    /// Returns a moment of the protocols that is to come.
    fn after(self, moment: stun_proto::Instant, now: Instant) -> Instant {
        let wait = moment.duration_since(self.at(now));
        now + wait.clamp(Self::WAIT_MIN, RETRY_AFTER_MAX)
    }
}
