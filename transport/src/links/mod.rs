//! Makes links to authenticated peers over plain carriers: everything that carriers share, as a value.
//!
//! [`Links`] has no clock, no socket and no key: what carriers tell, signatures, frames and the time go in;
//! [`LinkOutput`]s and [`LinkEvent`]s come out, and one deadline. The same inputs give the same outputs. It dials the
//! peers that are [`Wanted`], answers those that dial, lets a [handshake](crate::handshake) prove who is there, and
//! runs the link: datagram frames each in a packet of its own, everything longer and all stream frames in order over
//! whatever the carrier loses. `docs/links.md` has the layout of packets, the rules and all bounds; [`Endpoint`] is the
//! shell that gives this value carriers, time and a key.
//!
//! # One link for each peer
//!
//! The initiator of a handshake takes the link for up when it is done; the responder when the first packet has come by
//! it, as only then is it certain that both have it. A link that comes up replaces an earlier one, whose packets count
//! for nothing from then on: each carries the generation of its link. When both ends dial at once, two handshakes are
//! done at about the same time; the initiator with the greater id then gives up its own.
//!
//! [`Endpoint`]: crate::endpoint::Endpoint

mod agreement;
mod attempts;
mod clock;
mod dialing;
mod event;
mod handshakes;
mod limits;
mod link;
mod local;
mod packet;
mod stream;
mod table;
mod transit;
mod unread;
mod wants;

use std::collections::VecDeque;
use std::time::Duration;

use liferaft_platform::SortedSet;

pub use self::dialing::{BACK_OFF_MAX, BACK_OFF_MIN, UPGRADE_BACK_OFF_MAX, UPGRADE_BACK_OFF_MIN};
pub use self::event::{
    Cargo, CloseReason, DownReason, Link, LinkError, LinkEvent, LinkOutput, LinkPath, Route,
};
pub use self::limits::{
    HALF_OPEN_MAX, HALF_OPEN_PER_GATE_MAX, HALF_OPEN_PER_ORIGIN_MAX, HALF_OPEN_TIME_MIN,
    HANDSHAKE_TIME_MAX, LinkLimits, OPENING_TIME_MAX, RELAYED_BYTES_AT_ONCE_MAX,
    RELAYED_BYTES_PER_SECOND_MAX, RELAYED_BYTES_PER_SECOND_TOTAL_MAX, SIGNAL_FORWARDERS_MAX,
    SIGNALS_AT_ONCE_MAX, SIGNALS_AT_ONCE_TOTAL_MAX, SIGNALS_PER_SECOND_MAX,
    SIGNALS_PER_SECOND_TOTAL_MAX, UNREAD_EVENTS_MAX, UNWANTED_LINKS_MAX, WANTED_MAX,
};
pub use self::local::{CarrierTraits, Credentials};
pub use self::stream::{
    CREDIT_BYTES_INITIAL, CREDIT_BYTES_MAX, EARLY_SEGMENTS_MAX, SEGMENT_BYTES_MAX, StreamError,
};
pub use self::transit::TransitCounters;
pub use self::wants::{
    ADDRESS_DELAY, DIALS_MAX, FURTHER_DIALS_MAX, RELAYED_DIALS_MAX, UPGRADES_MAX, WAY_DELAY, Wanted,
};

use self::agreement::Fate;
use self::attempts::{Attempts, Outcome};
use self::clock::Clock;
use self::handshakes::Target;
use self::link::{ActiveLink, Arrival};
use self::local::LocalEnd;
use self::packet::{Content, Incoming};
use self::table::Table;
use self::transit::{Crossing, Onward, Ways};
use self::unread::UnreadEvents;
use crate::access::Authorizer;
use crate::carrier::{CarrierEvent, CarryError, Channel, DialError, Packet, Path};
use crate::frame::Frame;
use crate::handshake::Established;
use crate::signing::SIGNATURE_BYTES;
use crate::{DeliveryClass, SendError, ServerId};

/// The links of one end to its peers.
#[derive(Debug)]
pub struct Links {
    local: LocalEnd,
    limits: LinkLimits,
    clock: Clock,
    attempts: Attempts,
    table: Table,
    ways: Ways,
    outputs: VecDeque<LinkOutput>,
    unread: UnreadEvents,
}

impl Links {
    /// Makes links over these carriers, which outputs and inputs name by their place in the list.
    ///
    /// The seed is for what nobody may guess, so it must be 32 bytes of entropy that serve for nothing else.
    ///
    /// # Panics
    /// When a carrier carries no packets of [`PACKET_BYTES_MIN`](crate::carrier::PACKET_BYTES_MIN).
    #[must_use]
    pub fn new(
        credentials: Credentials,
        limits: LinkLimits,
        carriers: Vec<CarrierTraits>,
        seed: [u8; 32],
        now: Duration,
    ) -> Self {
        Self {
            local: LocalEnd::new(credentials, carriers, seed),
            limits,
            clock: Clock { now, wake_at: None },
            attempts: Attempts::default(),
            table: Table::default(),
            ways: Ways::new(now),
            outputs: VecDeque::new(),
            unread: UnreadEvents::default(),
        }
    }

    /// Returns the id of this end.
    #[must_use]
    pub fn local(&self) -> ServerId {
        self.local.id
    }

    /// Returns the bounds of its links.
    #[must_use]
    pub fn limits(&self) -> &LinkLimits {
        &self.limits
    }

    /// Changes what is shown in handshakes from now on. Links that are up stay as they are.
    pub fn set_credentials(&mut self, credentials: Credentials) {
        self.local.set_credentials(credentials);
    }

    /// Replaces the peers that links are wanted to, of which [`WANTED_MAX`] count.
    ///
    /// New ones are dialed at once. Links that this end has dialed to those that are not wanted any more are closed.
    pub fn want(&mut self, wanted: &[Wanted]) {
        for peer in self.attempts.want(wanted, &self.local, self.clock.now) {
            let link = self.table.active(peer);
            if link.is_some_and(|link| link.is_initiator) {
                self.close(peer, CloseReason::Unwanted);
            }
        }
        self.clock.schedule(self.clock.now);
        self.try_wanted();
    }

    /// Sends a frame to a peer. `Ok` promises nothing.
    ///
    /// # Errors
    /// When it certainly was not sent. After [`SendError::QueueFull`] there is [`LinkEvent::Writable`] once there is
    /// room.
    pub fn send(
        &mut self,
        peer: ServerId,
        class: DeliveryClass,
        frame: Frame,
    ) -> Result<(), SendError> {
        let link = self.table.active_mut(peer).ok_or(SendError::NoLink(peer))?;
        let sent = link.send(class, frame, self.clock.now, &mut self.outputs);
        if link.is_waiting() {
            self.table.dirty.insert(peer);
        }
        sent
    }

    /// Returns the length of the longest frame that a link would take: 0 if there is none.
    #[must_use]
    pub fn room(&self, peer: ServerId, class: DeliveryClass) -> usize {
        self.table.active(peer).map_or(0, |link| link.room(class))
    }

    /// Returns true if a link is up, to whomever.
    #[must_use]
    pub fn has_links(&self) -> bool {
        self.table.peers().next().is_some()
    }

    /// Returns the link to a peer, if it is up.
    #[must_use]
    pub fn link(&self, peer: ServerId) -> Option<&Link> {
        self.table.active(peer).map(|link| &link.about)
    }

    /// Returns the route of the link to a peer, if it is up.
    #[must_use]
    pub fn route(&self, peer: ServerId) -> Option<Route> {
        self.table.active(peer).map(|link| link.route)
    }

    /// Returns the server that passes on the packets of a route, if one does.
    #[must_use]
    pub fn relay_of(&self, route: &Route) -> Option<ServerId> {
        self.table.peer_of(route.relay()?.0)
    }

    /// Returns how many datagram frames of the link to a peer were dropped, because too many waited unread.
    #[must_use]
    pub fn dropped(&self, peer: ServerId) -> u64 {
        self.table.active(peer).map_or(0, ActiveLink::dropped)
    }

    /// Returns what has passed that is not for the ends of a link alone.
    #[must_use]
    pub fn transit(&self) -> TransitCounters {
        self.ways.counters
    }

    /// Returns the number of handshakes under way, and of those that were done a moment ago.
    #[must_use]
    pub fn handshakes(&self) -> usize {
        self.attempts.handshakes()
    }

    /// Closes the link to a peer, which is told the reason. A wanted peer is dialed again.
    pub fn close(&mut self, peer: ServerId, reason: CloseReason) {
        if let Some(link) = self.table.active_mut(peer) {
            link.say_goodbye(reason, self.clock.now, &mut self.outputs);
            self.down(peer, DownReason::Closed(reason));
        }
        // Nor is one to come up that was agreed upon before.
        for (mut link, _) in self.table.take_pending(peer, |_, _| true) {
            link.say_goodbye(reason, self.clock.now, &mut self.outputs);
            self.leave(link.route);
        }
    }

    /// Closes all links and dials no more.
    pub fn close_all(&mut self, reason: CloseReason) {
        let peers: Vec<ServerId> = self.table.peers().collect();
        peers.into_iter().for_each(|peer| self.close(peer, reason));
        self.want(&[]);
    }

    /// Returns true if the time must be told before this event is. For datagrams the last time is good enough: it is at
    /// most [`keep_alive_after`](LinkLimits::keep_alive_after) ago, and they only show that their sender is there.
    #[must_use]
    pub fn needs_time(&self, event: &CarrierEvent) -> bool {
        !matches!(event, CarrierEvent::Packet { packet, .. } if packet::is_datagram(packet))
            || self.ways.is_relaying(self.clock.now)
    }

    /// Takes what a carrier tells.
    pub fn on_carrier_event(
        &mut self,
        carrier: usize,
        event: CarrierEvent,
        authorizer: &dyn Authorizer,
    ) {
        match event {
            CarrierEvent::Packet { path, packet, .. } => {
                self.on_packet(Route { carrier, path }, packet, authorizer);
            }
            CarrierEvent::Opened { path, binding } => {
                let route = Route { carrier, path };
                self.local.on_opened(route, binding);
                let (local, now) = (&mut self.local, self.clock.now);
                self.attempts
                    .on_opened(route, binding.is_some(), local, now);
                self.settle();
            }
            CarrierEvent::Closed { path } => {
                self.on_closed(Route { carrier, path }, &LinkError::PathClosed);
            }
            CarrierEvent::Unopened { path, why } => {
                self.on_closed(Route { carrier, path }, &why.into());
            }
            CarrierEvent::Writable { path } => self.on_writable(Route { carrier, path }),
            CarrierEvent::Ready => {
                let now = self.clock.now;
                self.attempts.wants.on_ready(carrier, &self.table, now);
                self.clock.schedule(now);
            }
            // Whoever runs links wants them, or not.
            CarrierEvent::Present { .. } => {}
            CarrierEvent::Signal { to, signal } => {
                let (ways, mut crossing) = self.crossing();
                ways.send_signal(&mut crossing, carrier, to, &signal);
            }
        }
    }

    /// Takes the answer to [`LinkOutput::Dial`].
    pub fn on_dialed(&mut self, attempt: u64, answer: Result<Path, DialError>) {
        let (local, now) = (&mut self.local, self.clock.now);
        self.attempts.on_dialed(attempt, answer, local, now);
        self.settle();
    }

    /// Takes the refusal of a packet by its carrier.
    pub fn on_refused(&mut self, route: Route, cargo: Cargo, error: CarryError) {
        match error {
            CarryError::Full => {
                let link = cargo
                    .generation
                    .and_then(|generation| self.table.by_generation(generation));
                if let Some((link, _)) = link {
                    link.on_refused(cargo.offset);
                }
            }
            CarryError::Closed => self.on_closed(route, &LinkError::PathClosed),
            CarryError::TooLarge => {
                tracing::error!(
                    ?route,
                    "a carrier refuses a packet that is not longer than it says it carries"
                );
            }
        }
    }

    /// Takes the answer to [`LinkOutput::Sign`]: a signature, or `None` if this end cannot sign.
    pub fn on_signed(&mut self, attempt: u64, signature: Option<&[u8; SIGNATURE_BYTES]>) {
        let (local, now) = (&mut self.local, self.clock.now);
        self.attempts.on_signed(attempt, signature, local, now);
        self.settle();
    }

    /// Takes the time, for what happens next. An earlier time than the last counts as that.
    pub fn set_time(&mut self, now: Duration) {
        self.clock.now = self.clock.now.max(now);
    }

    /// Returns true if there is an event for the member.
    #[must_use]
    pub fn has_event(&self) -> bool {
        !self.unread.is_empty()
    }

    /// Returns the last time that it was told.
    #[must_use]
    pub const fn time(&self) -> Duration {
        self.clock.now
    }

    /// Takes the time, and does what is due. What has arrived by then is told before, lest its sender be given up.
    pub fn on_time(&mut self, now: Duration) {
        self.set_time(now);
        if self
            .clock
            .wake_at
            .is_none_or(|wake_at| wake_at > self.clock.now)
        {
            return;
        }
        self.time_links();
        self.try_wanted();
        self.flush();
        let deadlines = [self.table.deadline(), self.attempts.deadline(&self.table)];
        self.clock.wake_at = deadlines.into_iter().flatten().min();
    }

    /// Returns when [`on_time`](Self::on_time) is to be called at the latest.
    #[must_use]
    pub fn deadline(&self) -> Option<Duration> {
        self.clock.wake_at
    }

    /// Returns the next thing to do. It is to be asked until there is none, after all that has happened was told.
    pub fn next_output(&mut self) -> Option<LinkOutput> {
        loop {
            if self.outputs.is_empty() {
                self.flush();
            }
            match self.outputs.pop_front()? {
                LinkOutput::Send {
                    route,
                    packet,
                    cargo,
                    ..
                } if route.is_relayed() => {
                    let (ways, mut crossing) = self.crossing();
                    if !ways.send_relayed(&mut crossing, route, packet) {
                        self.on_refused(route, cargo, CarryError::Full);
                    }
                }
                output => return Some(output),
            }
        }
    }

    /// Returns the next event for the member. Frames that it takes give their sender credit for more.
    pub fn next_event(&mut self) -> Option<LinkEvent> {
        let (event, taken) = self.unread.pop()?;
        if let Some(taken) = taken
            && let Some((link, _)) = self.table.by_generation(taken.generation)
        {
            let peer = link.about.peer;
            let deliver = |held| self.unread.push_frame(peer, taken.generation, held);
            link.on_taken(taken, deliver);
            if link.is_waiting() {
                self.table.dirty.insert(peer);
            }
        }
        Some(event)
    }

    fn on_packet(&mut self, route: Route, packet: Packet, authorizer: &dyn Authorizer) {
        match packet::read(packet) {
            Some(Incoming::Link {
                channel,
                generation,
                content,
            }) => {
                match self.on_content(route, (channel, generation), content) {
                    // What comes through a third server goes no further, so this goes no deeper.
                    Some(Onward::Packet(route, packet)) => {
                        self.on_packet(route, packet.into(), authorizer);
                    }
                    Some(Onward::Closed(route)) => self.on_closed(route, &LinkError::PathClosed),
                    None => {}
                }
            }
            Some(Incoming::Handshake(message)) => {
                let trust = (authorizer, !self.unread.is_full());
                let (local, now) = (&mut self.local, self.clock.now);
                if self.attempts.on_message(route, &message, trust, local, now) {
                    self.clock.schedule(now);
                }
                self.settle();
            }
            None => {}
        }
    }

    /// Takes a packet that claims to be of a link. Whatever is not from its peer, by its path, is dropped. Returns what
    /// it has brought of a third server.
    fn on_content(
        &mut self,
        route: Route,
        (channel, generation): (Channel, u64),
        content: Content,
    ) -> Option<Onward> {
        let now = self.clock.now;
        let (link, is_active) = self.table.by_generation(generation)?;
        if link.route != route {
            return None;
        }
        let peer = link.about.peer;
        if is_active {
            let unread = &mut self.unread;
            let result = link.on_content(channel, content, now, &mut |delivered| {
                unread.push_frame(peer, generation, delivered);
            });
            let is_waiting = link.is_waiting();
            self.clock.schedule(link.deadline());
            return self.after_content(peer, result, is_waiting);
        }
        let mut delivered = Vec::new();
        let result = link.on_content(channel, content, now, &mut |frame| delivered.push(frame));
        if result == Ok(Arrival::Nothing) {
            return None;
        }
        let is_it = |link: &ActiveLink, _| link.about.generation == generation;
        let (link, _) = self.table.take_pending(peer, is_it).pop()?;
        self.up(link);
        delivered
            .into_iter()
            .for_each(|frame| self.unread.push_frame(peer, generation, frame));
        self.after_content(peer, result, true)
    }

    fn after_content(
        &mut self,
        peer: ServerId,
        result: Result<Arrival, DownReason>,
        is_waiting: bool,
    ) -> Option<Onward> {
        if is_waiting && result.is_ok() {
            self.table.dirty.insert(peer);
        }
        match result {
            Ok(Arrival::Transit(transit)) => {
                let (ways, mut crossing) = self.crossing();
                return ways.on_transit(&mut crossing, peer, transit);
            }
            Ok(Arrival::Own | Arrival::Nothing) => {}
            Err(why @ DownReason::RuleBroken(_)) => {
                tracing::warn!(%peer, %why, "closed a link");
                if let Some(link) = self.table.active_mut(peer) {
                    link.say_goodbye(CloseReason::RuleBroken, self.clock.now, &mut self.outputs);
                }
                self.down(peer, why);
            }
            Err(why) => self.down(peer, why),
        }
        None
    }

    fn crossing(&mut self) -> (&mut Ways, Crossing<'_>) {
        let crossing = Crossing {
            local: &self.local,
            table: &mut self.table,
            outputs: &mut self.outputs,
            now: self.clock.now,
        };
        (&mut self.ways, crossing)
    }

    /// Does what has come of attempts.
    fn settle(&mut self) {
        while let Some(outcome) = self.attempts.next_outcome() {
            self.clock.schedule(self.clock.now);
            match outcome {
                Outcome::Do(output) => self.outputs.push_back(output),
                Outcome::Established {
                    route,
                    target,
                    established,
                } => self.on_established(route, target, *established),
                Outcome::Failed(Target { peer, address, .. }, error) if !self.unread.is_full() => {
                    self.unread.push(LinkEvent::Failed {
                        peer,
                        address,
                        error,
                    });
                }
                Outcome::Failed(..) => {}
                Outcome::Leave(route) => self.leave(route),
            }
        }
    }

    fn on_established(&mut self, route: Route, target: Option<Target>, established: Established) {
        let peer = established.peer.server_id();
        let looked_for = target.as_ref().map(|target| target.peer);
        let is_crowded = self.attempts.is_crowded(peer, &self.table);
        let own = (self.local.id, is_crowded);
        let fate = Fate::of(&established, (route, looked_for), own, &self.table);
        let is_answer = looked_for.is_none_or(|looked_for| looked_for == peer);
        let now = self.clock.now;
        if let Some(target) = target
            && (!is_answer || fate == Fate::Refused)
        {
            let random = &mut self.local.random;
            let wants = &mut self.attempts.wants;
            wants.on_failed(&target, false, now, random);
        }
        if fate == Fate::Superfluous {
            return self.leave(route);
        }
        let medium = self.local.medium(route.carrier);
        let is_initiator = looked_for.is_some();
        let link = ActiveLink::new(established, (route, medium), is_initiator, self.limits, now);
        let mut link = Box::new(link);
        match fate {
            Fate::Waits => self.table.set_pending(link, now),
            Fate::ComesUp => self.up(link),
            Fate::Refused => {
                link.say_goodbye(CloseReason::Forbidden, now, &mut self.outputs);
                // A responder stays for a while, and leaves then.
                if is_initiator {
                    self.leave(route);
                }
            }
            Fate::Superfluous | Fate::GivesWay => self.leave(route),
        }
    }

    /// Puts a link up, in place of the peer's earlier one.
    fn up(&mut self, link: Box<ActiveLink>) {
        let about = link.about;
        let (peer, route) = (about.peer, link.route);
        let outweighed = agreement::outweighed(&link, self.local.id, &self.table, self.clock.now);
        self.end(peer, DownReason::Replaced, Some(route.carrier));
        self.table.take_pending(peer, |_, _| true);
        self.unread.forget_frames_of(peer);
        let (local, now) = (&mut self.local, self.clock.now);
        let to = (peer, route.carrier);
        self.attempts.on_up(to, outweighed, local, now);
        tracing::debug!(%peer, role = %about.role, generation = about.generation, "a link is up");
        self.table.set_active(link);
        let linked = Some(LinkOutput::Linked(route));
        self.outputs.extend(linked.filter(|_| !route.is_relayed()));
        self.unread.push(LinkEvent::Up(Box::new(about)));
        // The peer takes the link for up by what is sent first.
        if let Some(link) = self.table.active_mut(peer)
            && let Err(why) = link.greet(now, &mut self.outputs)
        {
            self.down(peer, why);
        }
        self.settle();
        self.clock.schedule(now);
    }

    fn down(&mut self, peer: ServerId, why: DownReason) {
        self.end(peer, why, None);
    }

    /// Ends the link to a peer. One by another carrier may have taken its place.
    fn end(&mut self, peer: ServerId, why: DownReason, taken_by: Option<usize>) {
        let Some(link) = self.table.take_active(peer) else {
            return;
        };
        let generation = link.about.generation;
        tracing::debug!(%peer, generation, %why, "a link is down");
        self.unread.push(LinkEvent::Down {
            peer,
            generation,
            why,
        });
        let lived = self.clock.now.saturating_sub(link.up_at());
        let (random, now) = (&mut self.local.random, self.clock.now);
        let carriers = (link.route.carrier, taken_by);
        self.attempts
            .wants
            .on_down(peer, carriers, lived, now, random);
        self.clock.schedule(self.clock.now);
        self.leave(link.route);
        // What went through it has lost its way.
        for route in self.routes_through(generation) {
            self.on_closed(route, &LinkError::PathClosed);
        }
    }

    /// Returns the routes that lead through the peer of the link of this generation.
    fn routes_through(&self, generation: u64) -> SortedSet<Route> {
        let routes = self.table.routes().chain(self.attempts.routes());
        let leads = |route: &Route| route.relay().is_some_and(|(by, _)| by == generation);
        routes.filter(leads).collect()
    }

    fn on_closed(&mut self, route: Route, why: &LinkError) {
        self.local.on_closed(route);
        let (local, now) = (&mut self.local, self.clock.now);
        self.attempts.on_closed(route, why, local, now);
        let (active, pending) = self.table.on_route(route);
        for peer in pending {
            self.table.take_pending(peer, |link, _| link.route == route);
        }
        active
            .into_iter()
            .for_each(|peer| self.down(peer, DownReason::PathClosed));
        self.settle();
    }

    fn on_writable(&mut self, route: Route) {
        let (active, _) = self.table.on_route(route);
        for peer in active {
            let Some(link) = self.table.active_mut(peer) else {
                continue;
            };
            link.on_writable();
            let generation = link.about.generation;
            self.table.dirty.insert(peer);
            // There is room again for what goes through it, too.
            for route in self.routes_through(generation) {
                self.on_writable(route);
            }
        }
    }

    fn time_links(&mut self) {
        let now = self.clock.now;
        for peer in self.table.due(now) {
            for (link, _) in self.table.take_pending(peer, |_, until| until <= now) {
                self.leave(link.route);
            }
            let Some(link) = self.table.active_mut(peer) else {
                continue;
            };
            match link.on_deadline(now, &mut self.outputs) {
                Ok(()) => {
                    self.table.dirty.insert(peer);
                }
                Err(why) => self.down(peer, why),
            }
        }
    }

    /// Does what is due for attempts.
    fn try_wanted(&mut self) {
        let (table, ways) = (&self.table, &mut self.ways);
        let relay_to = |peer| ways.relay_to(peer, table);
        let (local, now) = (&mut self.local, self.clock.now);
        self.attempts.on_time(table, relay_to, local, now);
        self.settle();
    }

    /// Closes a path that nothing uses any more.
    fn leave(&mut self, route: Route) {
        if !route.is_relayed() && !self.table.uses(route) && !self.attempts.uses(route) {
            self.outputs.push_back(LinkOutput::Close(route));
        }
    }

    fn flush(&mut self) {
        while let Some(peer) = self.table.dirty.pop_first() {
            let Some(link) = self.table.active_mut(peer) else {
                continue;
            };
            let result = link.flush(self.clock.now, &mut self.outputs);
            self.clock.schedule(link.deadline());
            match result {
                Ok(true) => self.unread.push(LinkEvent::Writable { peer }),
                Ok(false) => {}
                Err(why) => self.down(peer, why),
            }
        }
    }
}
