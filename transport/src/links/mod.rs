//! Makes links to authenticated peers over plain carriers: everything that carriers share, as a value.
//!
//! [`Links`] has no clock, no socket and no key: what carriers tell, signatures, frames and the time go in;
//! [`LinkOutput`]s and [`LinkEvent`]s come out, and one deadline. The same inputs give the same outputs. It dials the
//! peers that are [`Wanted`], answers those that dial, lets a [handshake](crate::handshake) prove who is there, and runs
//! the link: datagram frames each in a packet of its own, everything longer and all stream frames in order over whatever
//! the carrier loses. `docs/links.md` has the layout of packets, the rules and all bounds; [`Endpoint`] is the shell
//! that gives this value carriers, time and a key.
//!
//! # One link for each peer
//!
//! The initiator of a handshake takes the link for up when it is done; the responder when the first packet has come by
//! it, as only then is it certain that both have it. A link that comes up replaces an earlier one, whose packets count
//! for nothing from then on: each carries the generation of its link. When both ends dial at once, two handshakes are
//! done at about the same time; the initiator with the greater id then gives up its own.
//!
//! [`Endpoint`]: crate::endpoint::Endpoint

mod dialing;
mod event;
mod handshakes;
mod limits;
mod link;
mod packet;
mod stream;
mod table;
mod unread;
mod wants;

use std::collections::{BTreeMap, VecDeque};
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use liferaft_platform::{Address, Boot, ClusterId, PublicKey, Versions};
use rand_chacha::ChaCha20Rng;
use rand_core::{Rng, SeedableRng};

pub use self::dialing::{BACK_OFF_MAX, BACK_OFF_MIN};
pub use self::event::{
    Cargo, CloseReason, DownReason, Link, LinkError, LinkEvent, LinkOutput, Route,
};
pub use self::limits::{
    HALF_OPEN_MAX, HALF_OPEN_PER_ORIGIN_MAX, HANDSHAKE_TIME_MAX, LinkLimits, UNREAD_EVENTS_MAX,
    UNWANTED_LINKS_MAX, WANTED_MAX,
};
pub use self::stream::{
    CREDIT_BYTES_INITIAL, CREDIT_BYTES_MAX, EARLY_SEGMENTS_MAX, SEGMENT_BYTES_MAX, StreamError,
};
pub use self::wants::{DIALS_MAX, Wanted};

use self::handshakes::{Due, Handshakes, Side, Target};
use self::link::{ActiveLink, ChannelSecrets, Medium};
use self::packet::{Content, Incoming};
use self::table::Table;
use self::unread::UnreadEvents;
use self::wants::Wants;
use crate::access::{Authorizer, Role};
use crate::carrier::{
    Binding, Carrier, CarrierEvent, CarryError, Channel, DialError, PACKET_BYTES_MIN, Packet, Path,
};
use crate::frame::Frame;
use crate::handshake::{
    Addressee, Established, HandshakeError, Heading, Initiator, Intent, Local, Output, Protection,
    Responder,
};
use crate::signing::SIGNATURE_BYTES;
use crate::token::TokenSecret;
use crate::voucher::Voucher;
use crate::{DeliveryClass, SendError, ServerId};

/// The most bindings of connections that are kept for handshakes to come, for each carrier.
const BINDINGS_MAX: usize = 1_024;

/// What this end shows of itself, and wants to be taken for.
#[derive(Clone, Debug)]
pub struct Credentials {
    /// The cluster.
    pub cluster: ClusterId,
    /// The key that it signs with.
    pub key: PublicKey,
    /// The protocol versions that it speaks.
    pub versions: Versions,
    /// Which start of its storage this is.
    pub boot: Boot,
    /// Who vouches for its key, nearest first.
    pub vouchers: Arc<[Voucher]>,
    /// The role that it claims.
    pub role: Role,
    /// The token of its invitation, if it has one to use.
    pub token: Option<TokenSecret>,
}

/// What links need to know of a carrier.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct CarrierTraits {
    scheme: String,
    packet_bytes_max: usize,
    is_inside_process: bool,
    is_reliable: bool,
}

impl<C: Carrier + ?Sized> From<&C> for CarrierTraits {
    fn from(carrier: &C) -> Self {
        Self {
            scheme: carrier.scheme().to_owned(),
            packet_bytes_max: carrier.packet_bytes_max(),
            is_inside_process: carrier.is_inside_process(),
            is_reliable: carrier.is_reliable(),
        }
    }
}

/// The links of one end to its peers.
#[derive(Debug)]
pub struct Links {
    credentials: Credentials,
    limits: LinkLimits,
    carriers: Vec<Medial>,
    clock: Clock,
    random: ChaCha20Rng,
    wants: Wants,
    handshakes: Handshakes,
    /// The addresses that are being dialed, by their attempts.
    dials: BTreeMap<u64, (usize, Target)>,
    table: Table,
    outputs: VecDeque<LinkOutput>,
    unread: UnreadEvents,
}

/// A carrier, and what it has told of its connections.
#[derive(Debug)]
struct Medial {
    traits: CarrierTraits,
    bindings: BTreeMap<Path, Binding>,
}

/// What is known of time.
#[derive(Debug)]
struct Clock {
    now: Duration,
    /// Nothing is due before.
    wake_at: Option<Duration>,
}

impl Clock {
    fn schedule(&mut self, at: Duration) {
        self.wake_at = Some(self.wake_at.map_or(at, |wake_at| wake_at.min(at)));
    }
}

impl Links {
    /// Makes links over these carriers, which outputs and inputs name by their place in the list.
    ///
    /// The seed is for what nobody may guess, so it must be 32 bytes of entropy that serve for nothing else.
    ///
    /// # Panics
    /// When a carrier carries no packets of [`PACKET_BYTES_MIN`].
    #[must_use]
    pub fn new(
        credentials: Credentials,
        limits: LinkLimits,
        carriers: Vec<CarrierTraits>,
        seed: [u8; 32],
        now: Duration,
    ) -> Self {
        let is_able = |traits: &CarrierTraits| traits.packet_bytes_max >= PACKET_BYTES_MIN;
        assert!(
            carriers.iter().all(is_able),
            "carriers carry packets of {PACKET_BYTES_MIN} bytes"
        );
        let medial = |traits| Medial {
            traits,
            bindings: BTreeMap::new(),
        };
        Self {
            credentials,
            limits,
            carriers: carriers.into_iter().map(medial).collect(),
            clock: Clock { now, wake_at: None },
            random: ChaCha20Rng::from_seed(seed),
            wants: Wants::default(),
            handshakes: Handshakes::default(),
            dials: BTreeMap::new(),
            table: Table::default(),
            outputs: VecDeque::new(),
            unread: UnreadEvents::default(),
        }
    }

    /// Returns the id of this end.
    #[must_use]
    pub fn local(&self) -> ServerId {
        self.credentials.key.server_id()
    }

    /// Returns the bounds of its links.
    #[must_use]
    pub fn limits(&self) -> &LinkLimits {
        &self.limits
    }

    /// Changes what is shown in handshakes from now on. Links that are up stay as they are.
    pub fn set_credentials(&mut self, credentials: Credentials) {
        self.credentials = credentials;
    }

    /// Replaces the peers that links are wanted to, of which [`WANTED_MAX`] count.
    ///
    /// New ones are dialed at once. Of those that are not wanted any more, the links that this end has dialed are closed.
    pub fn want(&mut self, wanted: &[Wanted]) {
        let own = self.local();
        for (peer, attempt) in self.wants.replace(wanted, own, self.clock.now) {
            if let Some(attempt) = attempt {
                self.cancel(attempt);
            }
            if self
                .table
                .active(peer)
                .is_some_and(|link| link.is_initiator)
            {
                self.close(peer, CloseReason::Unwanted);
            }
        }
        self.clock.schedule(self.clock.now);
        self.dial_due();
    }

    /// Sends a frame to a peer. `Ok` promises nothing.
    ///
    /// # Errors
    /// When it certainly was not sent. After [`SendError::QueueFull`] there is [`LinkEvent::Writable`] once there is room.
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

    /// Returns the link to a peer, if it is up.
    #[must_use]
    pub fn link(&self, peer: ServerId) -> Option<&Link> {
        self.table.active(peer).map(|link| &link.about)
    }

    /// Returns how many datagram frames of the link to a peer were dropped, because too many waited unread.
    #[must_use]
    pub fn dropped(&self, peer: ServerId) -> u64 {
        self.table.active(peer).map_or(0, ActiveLink::dropped)
    }

    /// Returns the number of handshakes under way, and of those that were done a moment ago.
    #[must_use]
    pub fn handshakes(&self) -> usize {
        self.handshakes.len()
    }

    /// Closes the link to a peer, which is told the reason. A wanted peer is dialed again.
    pub fn close(&mut self, peer: ServerId, reason: CloseReason) {
        if let Some(link) = self.table.active_mut(peer) {
            link.say_goodbye(reason, self.clock.now, &mut self.outputs);
            self.down(peer, DownReason::Closed(reason));
        }
    }

    /// Closes all links and dials no more.
    pub fn close_all(&mut self, reason: CloseReason) {
        let peers: Vec<ServerId> = self.table.peers().collect();
        peers.into_iter().for_each(|peer| self.close(peer, reason));
        self.want(&[]);
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
                self.on_opened(Route { carrier, path }, binding);
            }
            CarrierEvent::Closed { path } => self.on_closed(Route { carrier, path }),
            CarrierEvent::Writable { path } => self.on_writable(Route { carrier, path }),
        }
    }

    /// Takes the answer to [`LinkOutput::Dial`].
    pub fn on_dialed(&mut self, attempt: u64, answer: Result<Path, DialError>) {
        let Some((carrier, target)) = self.dials.remove(&attempt) else {
            return;
        };
        match answer {
            Ok(path) => self.begin(attempt, Route { carrier, path }, target),
            Err(error) => self.on_failed(&target, error.into()),
        }
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
            CarryError::Closed => self.on_closed(route),
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
        let Some(signature) = signature else {
            if let Some(attempt) = self.handshakes.remove(attempt) {
                if let Some(target) = attempt.target() {
                    self.on_failed(&target.clone(), LinkError::NotSigned);
                }
                self.leave(attempt.route);
            }
            return;
        };
        let output = self
            .handshakes
            .on_signed(attempt, signature, self.clock.now);
        self.apply(attempt, output);
    }

    /// Takes the time, for what happens next. An earlier time than the last counts as that.
    pub fn set_time(&mut self, now: Duration) {
        self.clock.now = self.clock.now.max(now);
    }

    /// Takes the time, and does what is due. Whatever has arrived by then is to be told before, so that nobody is given
    /// up whose packets were only not read in time.
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
        self.time_handshakes();
        self.dial_due();
        self.flush();
        self.clock.wake_at = self.next_deadline();
    }

    /// Returns when [`on_time`](Self::on_time) is to be called at the latest.
    #[must_use]
    pub fn deadline(&self) -> Option<Duration> {
        self.clock.wake_at
    }

    /// Returns the next thing to do. It is to be asked until there is none, after all that has happened was told.
    pub fn next_output(&mut self) -> Option<LinkOutput> {
        if self.outputs.is_empty() {
            self.flush();
        }
        self.outputs.pop_front()
    }

    /// Returns the next event for the member. Frames that it takes give their sender credit for more.
    pub fn next_event(&mut self) -> Option<LinkEvent> {
        let (event, taken) = self.unread.pop()?;
        if let Some(taken) = taken
            && let Some((link, _)) = self.table.by_generation(taken.generation)
        {
            link.on_taken(taken.bytes, taken.is_of_stream);
            if link.is_waiting() {
                let peer = link.about.peer;
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
                self.on_content(route, (channel, generation), content);
            }
            Some(Incoming::Handshake(message)) => self.on_handshake(route, &message, authorizer),
            None => {}
        }
    }

    /// Takes a packet that claims to be of a link. Whatever is not from its peer, by its path, is dropped.
    fn on_content(
        &mut self,
        route: Route,
        (channel, generation): (Channel, u64),
        content: Content,
    ) {
        let now = self.clock.now;
        let Some((link, is_active)) = self.table.by_generation(generation) else {
            return;
        };
        if link.route != route {
            return;
        }
        let about = link.about;
        if is_active {
            let unread = &mut self.unread;
            let result = link.on_content(channel, content, now, &mut |delivered| {
                unread.push_frame(&about, delivered);
            });
            let is_waiting = link.is_waiting();
            self.after_content(&about, result.map(|_| is_waiting));
            return;
        }
        let mut delivered = Vec::new();
        let result = link.on_content(channel, content, now, &mut |frame| delivered.push(frame));
        if result == Ok(false) {
            return;
        }
        if let Some(link) = self.table.promote(about.peer) {
            self.up(link);
            delivered
                .into_iter()
                .for_each(|frame| self.unread.push_frame(&about, frame));
            self.after_content(&about, result);
        }
    }

    fn after_content(&mut self, about: &Link, result: Result<bool, DownReason>) {
        match result {
            Ok(true) => {
                self.table.dirty.insert(about.peer);
            }
            Ok(false) => {}
            Err(why @ DownReason::RuleBroken(_)) => {
                tracing::warn!(peer = %about.peer, %why, "closed a link");
                if let Some(link) = self.table.active_mut(about.peer) {
                    link.say_goodbye(CloseReason::RuleBroken, self.clock.now, &mut self.outputs);
                }
                self.down(about.peer, why);
            }
            Err(why) => self.down(about.peer, why),
        }
    }

    fn on_handshake(&mut self, route: Route, message: &[u8], authorizer: &dyn Authorizer) {
        let Some(Heading { index, addressee }) = Heading::read(message) else {
            return;
        };
        let side = match addressee {
            Addressee::Initiator => Side::Initiator,
            Addressee::Responder | Addressee::NewResponder => Side::Responder,
        };
        let number = match self.handshakes.find(route, index, side) {
            Some(number) => number,
            None if addressee == Addressee::NewResponder && !self.unread.is_full() => {
                let responder = Responder::new(self.local_on(route), self.entropy());
                let (number, evicted) =
                    self.handshakes
                        .accept((route, index), responder, self.clock.now);
                if let Some(evicted) = evicted {
                    self.leave(evicted.route);
                }
                self.clock
                    .schedule(self.clock.now.saturating_add(HANDSHAKE_TIME_MAX));
                number
            }
            None => return,
        };
        let output = self.handshakes.on_message(number, message, authorizer);
        self.apply(number, output);
    }

    /// Does what a handshake wants.
    fn apply(&mut self, number: u64, output: Output) {
        let Some(route) = self.handshakes.get(number).map(|attempt| attempt.route) else {
            return;
        };
        match output {
            Output::Wait => {}
            Output::Send(message) => self.send_message(route, message),
            Output::Sign(bytes) => {
                self.outputs.push_back(LinkOutput::Sign {
                    attempt: number,
                    bytes,
                });
            }
            Output::Done { last, established } => {
                last.into_iter()
                    .for_each(|last| self.send_message(route, last));
                self.on_established(number, route, *established);
            }
            Output::Failed { last, error } => {
                last.into_iter()
                    .for_each(|last| self.send_message(route, last));
                self.on_handshake_failed(number, error);
            }
        }
    }

    fn on_handshake_failed(&mut self, number: u64, error: HandshakeError) {
        let target = self
            .handshakes
            .get(number)
            .and_then(|attempt| attempt.target().cloned());
        match (target, error) {
            (Some(target), error) => {
                self.drop_attempt(number);
                self.on_failed(&target, error.into());
            }
            // It is kept for a while, to repeat its verdict should that be lost.
            (None, HandshakeError::Refused { peer, refusal }) => {
                tracing::info!(peer = %peer.server_id(), %refusal, "refused a link");
            }
            (None, error) => {
                tracing::debug!(%error, "a handshake has failed");
                self.drop_attempt(number);
            }
        }
    }

    fn on_established(&mut self, number: u64, route: Route, established: Established) {
        let target = self
            .handshakes
            .get(number)
            .and_then(|attempt| attempt.target().cloned());
        let peer = established.peer.server_id();
        let generation = established.generation;
        let is_old = self
            .table
            .active(peer)
            .is_some_and(|link| !established.boot.may_follow(&link.about.boot));
        let is_refused = is_old || self.is_crowded(peer) || self.table.has_generation(generation);
        let mut link = self.active_link(route, target.is_some(), established);
        if is_refused {
            link.say_goodbye(CloseReason::Forbidden, self.clock.now, &mut self.outputs);
        }
        let Some(Target { peer: wanted, .. }) = target else {
            // The attempt stays for a while, to repeat its last message should that be lost.
            if !is_refused {
                self.table.set_pending(link, self.clock.now);
                self.clock
                    .schedule(self.clock.now.saturating_add(HANDSHAKE_TIME_MAX));
            }
            return;
        };
        self.handshakes.remove(number);
        let is_same_start = |pending: &ActiveLink| pending.about.boot == link.about.boot;
        let gives_way = peer < self.local() && self.table.pending(peer).is_some_and(is_same_start);
        if is_refused {
            self.wants
                .on_failed(wanted, self.clock.now, &mut self.random);
            self.leave(route);
        } else {
            self.wants.on_answered(wanted, generation);
            if gives_way {
                self.leave(route);
            } else {
                self.up(link);
            }
        }
    }

    /// Returns true if there is no room for a link to a peer that is not wanted.
    fn is_crowded(&self, peer: ServerId) -> bool {
        let is_unwanted = |peer: &ServerId| !self.wants.contains(*peer);
        is_unwanted(&peer)
            && !self.table.has(peer)
            && self.table.peers().filter(is_unwanted).count() >= UNWANTED_LINKS_MAX
    }

    fn active_link(
        &self,
        route: Route,
        is_initiator: bool,
        established: Established,
    ) -> Box<ActiveLink> {
        let about = Link {
            peer: established.peer.server_id(),
            key: established.peer,
            role: established.role,
            role_granted: established.own_role,
            token: established.token,
            boot: established.boot,
            version: established.version,
            generation: established.generation,
        };
        let traits = &self.carriers[route.carrier].traits;
        let medium = Medium {
            packet_bytes_max: traits.packet_bytes_max,
            is_reliable: traits.is_reliable,
        };
        let secrets = (!traits.is_inside_process).then_some(ChannelSecrets {
            datagram: established.datagrams,
            ordered: established.ordered,
        });
        let limits = self.limits;
        let now = self.clock.now;
        Box::new(ActiveLink::new(
            about,
            (route, medium),
            is_initiator,
            secrets,
            limits,
            now,
        ))
    }

    /// Puts a link up, in place of the peer's earlier one.
    fn up(&mut self, link: Box<ActiveLink>) {
        let about = link.about;
        let peer = about.peer;
        self.down(peer, DownReason::Replaced);
        self.table.drop_pending(peer);
        self.unread.forget_frames_of(peer);
        if let Some(attempt) = self.wants.on_up(peer) {
            self.cancel(attempt);
        }
        tracing::debug!(%peer, role = %about.role, generation = about.generation, "a link is up");
        self.table.set_active(link);
        self.unread.push(LinkEvent::Up(about));
        // The peer takes the link for up by what is sent first.
        let now = self.clock.now;
        if let Some(link) = self.table.active_mut(peer)
            && let Err(why) = link.greet(now, &mut self.outputs)
        {
            self.down(peer, why);
        }
        self.clock.schedule(now);
    }

    fn down(&mut self, peer: ServerId, why: DownReason) {
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
        self.wants
            .on_down(peer, lived, self.clock.now, &mut self.random);
        self.clock.schedule(self.clock.now);
        self.leave(link.route);
    }

    fn on_failed(&mut self, target: &Target, error: LinkError) {
        let Target { peer, address } = target.clone();
        self.wants.on_failed(peer, self.clock.now, &mut self.random);
        self.clock.schedule(self.clock.now);
        if !self.unread.is_full() {
            self.unread.push(LinkEvent::Failed {
                peer,
                address,
                error,
            });
        }
    }

    /// A connection is up: what waited for it goes on, bound to it if the medium has encrypted it.
    fn on_opened(&mut self, route: Route, binding: Option<Binding>) {
        let bindings = &mut self.carriers[route.carrier].bindings;
        if let Some(binding) = binding
            && bindings.len() < BINDINGS_MAX
        {
            bindings.insert(route.path, binding);
        }
        for number in self.handshakes.on_route(route) {
            let Some(attempt) = self.handshakes.get(number) else {
                continue;
            };
            let (target, unanswered) = (attempt.target().cloned(), attempt.unanswered());
            match (target, unanswered) {
                (Some(target), _) if binding.is_some() => {
                    self.handshakes.remove(number);
                    self.begin(number, route, target);
                }
                (Some(_), Some(message)) => self.send_message(route, message),
                _ => {}
            }
        }
    }

    fn on_closed(&mut self, route: Route) {
        self.carriers[route.carrier].bindings.remove(&route.path);
        for number in self.handshakes.on_route(route) {
            let attempt = self.handshakes.remove(number);
            if let Some(target) = attempt.as_ref().and_then(|attempt| attempt.target()) {
                self.on_failed(target, LinkError::PathClosed);
            }
        }
        let (active, pending) = self.table.on_route(route);
        pending
            .into_iter()
            .for_each(|peer| self.table.drop_pending(peer));
        active
            .into_iter()
            .for_each(|peer| self.down(peer, DownReason::PathClosed));
    }

    fn on_writable(&mut self, route: Route) {
        let (active, _) = self.table.on_route(route);
        for peer in active {
            if let Some(link) = self.table.active_mut(peer) {
                link.on_writable();
                self.table.dirty.insert(peer);
            }
        }
    }

    fn time_links(&mut self) {
        let now = self.clock.now;
        for peer in self.table.due(now) {
            if let Some(route) = self.table.drop_expired(peer, now) {
                self.leave(route);
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

    fn time_handshakes(&mut self) {
        while let Some((number, due)) = self.handshakes.next_due(self.clock.now) {
            match due {
                Due::Repeat(route, message) if !message.is_empty() => {
                    self.send_message(route, message);
                }
                Due::Repeat(..) => {}
                Due::Over(mut attempt) => {
                    let target = attempt.target().cloned();
                    if let (Output::Failed { error, .. }, Some(target)) =
                        (attempt.time_out(), target)
                    {
                        tracing::debug!(number, %error, "an attempt has come to nothing");
                        self.on_failed(&target, error.into());
                    }
                    self.leave(attempt.route);
                }
            }
        }
    }

    fn dial_due(&mut self) {
        let (wants, table) = (&mut self.wants, &self.table);
        let is_idle = |peer, stand_in: Option<u64>| {
            !table.has(peer) && !stand_in.is_some_and(|generation| table.has_generation(generation))
        };
        let mut failed = Vec::new();
        while let Some((peer, address)) = wants.next_due(self.clock.now, is_idle) {
            let target = Target { peer, address };
            let Some(carrier) = carrier_of(&self.carriers, &target.address) else {
                wants.on_failed(peer, self.clock.now, &mut self.random);
                failed.push(target);
                continue;
            };
            let attempt = self.handshakes.number();
            wants.on_begun(peer, attempt);
            let address = target.address.clone();
            self.dials.insert(attempt, (carrier, target));
            self.outputs.push_back(LinkOutput::Dial {
                attempt,
                carrier,
                address,
            });
        }
        for Target { peer, address } in failed {
            if !self.unread.is_full() {
                self.unread.push(LinkEvent::Failed {
                    peer,
                    address,
                    error: LinkError::NoCarrier,
                });
            }
        }
    }

    fn begin(&mut self, number: u64, route: Route, target: Target) {
        let Some(keys) = self.wants.keys_of(target.peer) else {
            return self.leave(route);
        };
        let intent = Intent {
            role: self.credentials.role,
            token: self.credentials.token.clone(),
            expected: keys.to_vec(),
        };
        let initiator = Initiator::new(self.local_on(route), intent, self.entropy());
        let opening = self
            .handshakes
            .begin((number, route), initiator, target, self.clock.now);
        opening
            .into_iter()
            .for_each(|opening| self.send_message(route, opening));
        self.clock.schedule(self.clock.now);
    }

    /// Gives up an attempt that is not needed any more.
    fn cancel(&mut self, number: u64) {
        self.dials.remove(&number);
        self.drop_attempt(number);
    }

    fn drop_attempt(&mut self, number: u64) {
        if let Some(attempt) = self.handshakes.remove(number) {
            self.leave(attempt.route);
        }
    }

    /// Closes a path that nothing uses any more.
    fn leave(&mut self, route: Route) {
        if !self.table.uses(route) && !self.handshakes.uses(route) {
            self.outputs.push_back(LinkOutput::Close(route));
        }
    }

    fn send_message(&mut self, route: Route, message: Bytes) {
        let (channel, packet, cargo) = (Channel::Ordered, Packet::from(message), Cargo::HANDSHAKE);
        self.outputs.push_back(LinkOutput::Send {
            route,
            channel,
            packet,
            cargo,
        });
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

    fn next_deadline(&self) -> Option<Duration> {
        let is_idle = |peer, stand_in: Option<u64>| {
            !self.table.has(peer)
                && !stand_in.is_some_and(|generation| self.table.has_generation(generation))
        };
        let deadlines = [
            self.table.deadline(),
            self.handshakes.deadline(),
            self.wants.deadline(is_idle),
        ];
        deadlines.into_iter().flatten().min()
    }

    fn local_on(&self, route: Route) -> Local {
        let Credentials {
            cluster,
            key,
            versions,
            boot,
            vouchers,
            ..
        } = &self.credentials;
        let Medial { traits, bindings } = &self.carriers[route.carrier];
        let protection = match bindings.get(&route.path) {
            _ if traits.is_inside_process => Protection::Inside,
            Some(Binding { own, peer }) => Protection::Bound {
                own: *own,
                peer: *peer,
            },
            None => Protection::Sealed,
        };
        Local {
            cluster: *cluster,
            key: *key,
            versions: *versions,
            boot: *boot,
            vouchers: Arc::clone(vouchers),
            protection,
        }
    }

    /// Draws 32 secret bytes. What is drawn later tells nothing of what was drawn before.
    fn entropy(&mut self) -> [u8; 32] {
        let (mut drawn, mut seed) = ([0; 32], [0; 32]);
        self.random.fill_bytes(&mut drawn);
        self.random.fill_bytes(&mut seed);
        self.random = ChaCha20Rng::from_seed(seed);
        drawn
    }
}

fn carrier_of(carriers: &[Medial], address: &Address) -> Option<usize> {
    carriers
        .iter()
        .position(|carrier| carrier.traits.scheme == address.scheme())
}
