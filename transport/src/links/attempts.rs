//! Tries to reach the peers that are wanted, and lets others try: everything before a link is there.

use std::collections::VecDeque;
use std::time::Duration;

use bytes::Bytes;
use liferaft_platform::Address;
use liferaft_platform::SortedMap;

use super::event::{Cargo, LinkError, LinkOutput, RELAY, Route};
use super::handshakes::{Due, Handshakes, Side, Target};
use super::limits::UNWANTED_LINKS_MAX;
use super::local::LocalEnd;
use super::table::Table;
use super::wants::{DueWay, Wanted, Wants};
use crate::ServerId;
use crate::access::Authorizer;
use crate::carrier::{Channel, DialError, Path};
use crate::handshake::{Addressee, Established, HandshakeError, Heading, Output};
use crate::signing::SIGNATURE_BYTES;

/// The attempts under way, whoever makes them.
#[derive(Debug, Default)]
pub(super) struct Attempts {
    pub(super) wants: Wants,
    handshakes: Handshakes,
    /// The addresses that are being dialed, by their attempts.
    dials: SortedMap<u64, Target>,
    outcomes: VecDeque<Outcome>,
}

/// What comes of attempts.
#[derive(Debug)]
pub(super) enum Outcome {
    /// Something is to be done.
    Do(LinkOutput),
    /// Both ends have proven who they are.
    Established {
        route: Route,
        /// Whom this end has looked for, if it began the handshake.
        target: Option<Target>,
        established: Box<Established>,
    },
    Failed(Target, LinkError),
    /// A path is not needed for an attempt any more.
    Leave(Route),
}

impl Attempts {
    pub(super) fn next_outcome(&mut self) -> Option<Outcome> {
        self.outcomes.pop_front()
    }

    /// Returns the number of handshakes under way, and of those that were done a moment ago.
    pub(super) fn handshakes(&self) -> usize {
        self.handshakes.len()
    }

    /// Returns true if a handshake is under way on a path.
    pub(super) fn uses(&self, route: Route) -> bool {
        self.handshakes.uses(route)
    }

    /// Returns true if there is no room for a link to a peer that is not wanted.
    pub(super) fn is_crowded(&self, peer: ServerId, table: &Table) -> bool {
        let is_unwanted = |peer: &ServerId| !self.wants.contains(*peer);
        is_unwanted(&peer)
            && !table.has(peer)
            && table.peers().filter(is_unwanted).count() >= UNWANTED_LINKS_MAX
    }

    /// Replaces the peers that are wanted. Returns those that are not any more.
    pub(super) fn want(
        &mut self,
        wanted: &[Wanted],
        local: &LocalEnd,
        now: Duration,
    ) -> Vec<ServerId> {
        let carrier_for = |address: &Address| local.carrier_for(address);
        let (dropped, cancelled) = self.wants.replace(wanted, local.id, carrier_for, now);
        cancelled
            .into_iter()
            .for_each(|attempt| self.cancel(attempt));
        dropped
    }

    /// A link to a peer is up: no attempt to get one that is not better is needed. It may have
    /// replaced a better one that has lived for some time, as the peer's preference has `outweighed` this end's.
    pub(super) fn on_up(
        &mut self,
        (peer, carrier): (ServerId, usize),
        outweighed: Option<Duration>,
        local: &mut LocalEnd,
        now: Duration,
    ) {
        let superfluous = self.wants.on_up(peer, carrier, now, &mut local.random);
        superfluous
            .into_iter()
            .for_each(|attempt| self.cancel(attempt));
        if let Some(lived) = outweighed {
            let random = &mut local.random;
            self.wants.on_outweighed(peer, carrier, lived, now, random);
        }
    }

    /// Returns the paths of handshakes.
    pub(super) fn routes(&self) -> impl Iterator<Item = Route> {
        self.handshakes.routes()
    }

    pub(super) fn on_dialed(
        &mut self,
        attempt: u64,
        answer: Result<Path, DialError>,
        local: &mut LocalEnd,
        now: Duration,
    ) {
        let Some(target) = self.dials.remove(&attempt) else {
            return;
        };
        let carrier = target.carrier.expect("a carrier has dialed it");
        match answer {
            Ok(path) => self.begin(attempt, Route { carrier, path }, target, local, now),
            Err(error) => self.fail(target, error.into(), local, now),
        }
    }

    /// Takes a packet that may be a message of a handshake, and lets strangers begin one if `is_open`. Returns true if
    /// a handshake may be over sooner by it.
    pub(super) fn on_message(
        &mut self,
        route: Route,
        message: &[u8],
        (authorizer, is_open): (&dyn Authorizer, bool),
        local: &mut LocalEnd,
        now: Duration,
    ) -> bool {
        let Some(Heading { index, addressee }) = Heading::read(message) else {
            return false;
        };
        let side = match addressee {
            Addressee::Initiator => Side::Initiator,
            Addressee::Responder | Addressee::NewResponder => Side::Responder,
        };
        let number = match self.handshakes.find(route, index, side) {
            Some(number) => number,
            None if addressee == Addressee::NewResponder && is_open => {
                let responder = local.responder(route);
                let accepted = self.handshakes.accept((route, index), responder, now);
                let Some((number, evicted)) = accepted else {
                    return false;
                };
                let evicted = evicted.map(|evicted| Outcome::Leave(evicted.route));
                self.outcomes.extend(evicted);
                number
            }
            None => return false,
        };
        let output = self.handshakes.on_message(number, message, authorizer);
        let is_hinted = self.handshakes.note_hint(number, now);
        self.apply(number, output, local, now);
        is_hinted
    }

    /// Takes a signature, or `None` if this end cannot sign.
    pub(super) fn on_signed(
        &mut self,
        attempt: u64,
        signature: Option<&[u8; SIGNATURE_BYTES]>,
        local: &mut LocalEnd,
        now: Duration,
    ) {
        if let Some(signature) = signature {
            let output = self.handshakes.on_signed(attempt, signature, now);
            self.apply(attempt, output, local, now);
        } else {
            self.give_up(attempt, LinkError::NotSigned, local, now);
        }
    }

    /// A connection is up: what waited for it goes on. If the medium has encrypted it the handshake begins anew, bound
    /// to it.
    pub(super) fn on_opened(
        &mut self,
        route: Route,
        is_bound: bool,
        local: &mut LocalEnd,
        now: Duration,
    ) {
        for number in self.handshakes.on_route(route) {
            let attempt = self.handshakes.get(number);
            let Some(target) = attempt.and_then(|attempt| attempt.target().cloned()) else {
                continue;
            };
            if is_bound {
                self.handshakes.remove(number);
                self.begin(number, route, target, local, now);
            } else {
                let unanswered = attempt.and_then(|attempt| attempt.unanswered());
                self.send(route, unanswered);
            }
        }
    }

    /// A path is closed, or was never open. Whoever closes it after a hint has said why by that.
    pub(super) fn on_closed(
        &mut self,
        route: Route,
        why: &LinkError,
        local: &mut LocalEnd,
        now: Duration,
    ) {
        for number in self.handshakes.on_route(route) {
            let error = match self.handshakes.time_out_hinted(number) {
                Some(Output::Failed { error, .. }) => error.into(),
                _ => why.clone(),
            };
            self.give_up(number, error, local, now);
        }
    }

    /// Returns when something is due.
    pub(super) fn deadline(&self, table: &Table) -> Option<Duration> {
        let deadlines = [self.handshakes.deadline(), self.wants.deadline(table)];
        deadlines.into_iter().flatten().min()
    }

    /// Does what is due at `now`. The way to a peer through a third server is `relay_to` it.
    pub(super) fn on_time(
        &mut self,
        table: &Table,
        mut relay_to: impl FnMut(ServerId) -> Option<Route>,
        local: &mut LocalEnd,
        now: Duration,
    ) {
        while let Some(due) = self.handshakes.next_due(now) {
            match due {
                Due::Repeat(route, message) => self.send(route, message),
                Due::Over(mut attempt) => {
                    let target = attempt.target().cloned();
                    if let (Output::Failed { error, .. }, Some(target)) =
                        (attempt.time_out(), target)
                    {
                        self.fail(target, error.into(), local, now);
                    }
                    self.outcomes.push_back(Outcome::Leave(attempt.route));
                }
            }
        }
        while let Some(due) = self.wants.next_due(now, table) {
            let DueWay {
                peer,
                carrier,
                address,
            } = due;
            let address = address.unwrap_or_else(|| relayed_address(peer));
            let target = Target {
                peer,
                carrier,
                address,
            };
            match carrier {
                Some(RELAY) => match relay_to(peer) {
                    Some(route) => {
                        let attempt = self.handshakes.number();
                        self.wants.on_begun(attempt, &target, now);
                        self.begin(attempt, route, target, local, now);
                    }
                    None => self.fail(target, LinkError::PathClosed, local, now),
                },
                Some(carrier) => self.dial(carrier, target, now),
                None => {
                    let error = LinkError::NoCarrier(target.address.clone());
                    self.fail(target, error, local, now);
                }
            }
        }
    }

    fn dial(&mut self, carrier: usize, target: Target, now: Duration) {
        let attempt = self.handshakes.number();
        self.wants.on_begun(attempt, &target, now);
        let address = target.address.clone();
        self.dials.insert(attempt, target);
        self.outcomes.push_back(Outcome::Do(LinkOutput::Dial {
            attempt,
            carrier,
            address,
        }));
    }

    fn begin(
        &mut self,
        number: u64,
        route: Route,
        target: Target,
        local: &mut LocalEnd,
        now: Duration,
    ) {
        let Some(keys) = self.wants.keys_of(target.peer) else {
            self.outcomes.push_back(Outcome::Leave(route));
            return;
        };
        let expected = match keys {
            [] => vec![target.peer],
            keys => keys.iter().map(|key| key.server_id()).collect(),
        };
        let initiator = local.initiator(route, expected);
        let opening = self
            .handshakes
            .begin((number, route), initiator, target, now);
        self.send(route, opening);
    }

    /// Does what a handshake wants.
    fn apply(&mut self, number: u64, output: Output, local: &mut LocalEnd, now: Duration) {
        let Some(attempt) = self.handshakes.get(number) else {
            return;
        };
        let (route, target) = (attempt.route, attempt.target().cloned());
        match output {
            Output::Wait => {}
            Output::Send(message) => self.send(route, Some(message)),
            Output::Sign(bytes) => {
                let attempt = number;
                let sign = LinkOutput::Sign { attempt, bytes };
                self.outcomes.push_back(Outcome::Do(sign));
            }
            Output::Done { last, established } => {
                self.send(route, last);
                // A responder stays for a while, to repeat its last message should that be lost.
                if let Some(target) = &target {
                    self.handshakes.remove(number);
                    self.wants.on_answered(target);
                }
                self.outcomes.push_back(Outcome::Established {
                    route,
                    target,
                    established,
                });
            }
            Output::Failed { last, error } => {
                self.send(route, last);
                match error {
                    // It stays for a while too: the verdict may be lost.
                    HandshakeError::Refused { peer, refusal } if target.is_none() => {
                        tracing::info!(peer = %peer.server_id(), %refusal, "refused a link");
                    }
                    error => self.give_up(number, error.into(), local, now),
                }
            }
        }
    }

    /// Gives up an attempt that has come to nothing.
    fn give_up(&mut self, number: u64, error: LinkError, local: &mut LocalEnd, now: Duration) {
        let Some(attempt) = self.handshakes.remove(number) else {
            return;
        };
        match attempt.target() {
            Some(target) => self.fail(target.clone(), error, local, now),
            None => tracing::debug!(%error, "the handshake of another has failed"),
        }
        self.outcomes.push_back(Outcome::Leave(attempt.route));
    }

    fn fail(&mut self, target: Target, error: LinkError, local: &mut LocalEnd, now: Duration) {
        tracing::debug!(peer = %target.peer, %error, "an attempt has come to nothing");
        let random = &mut local.random;
        let is_refused = matches!(
            &error,
            LinkError::Handshake(HandshakeError::Rejected { .. })
        );
        self.wants.on_failed(&target, is_refused, now, random);
        // Why there is no link is told of the addresses. That third servers have none either is no news.
        let is_verdict = matches!(&error, LinkError::Handshake(error) if !matches!(error, HandshakeError::TimedOut { .. }));
        if is_verdict || target.carrier != Some(RELAY) {
            self.outcomes.push_back(Outcome::Failed(target, error));
        }
    }

    /// Gives up an attempt that is not needed any more.
    fn cancel(&mut self, number: u64) {
        self.dials.remove(&number);
        if let Some(attempt) = self.handshakes.remove(number) {
            self.outcomes.push_back(Outcome::Leave(attempt.route));
        }
    }

    fn send(&mut self, route: Route, message: Option<Bytes>) {
        let send = message.map(|message| LinkOutput::Send {
            route,
            channel: Channel::Ordered,
            packet: message.into(),
            cargo: Cargo::HANDSHAKE,
        });
        self.outcomes.extend(send.map(Outcome::Do));
    }
}

/// Returns what stands for the address of a server that is reached through another.
fn relayed_address(peer: ServerId) -> Address {
    let address = format!("relay:{peer:?}");
    address.parse().expect("an id is printable and short")
}
