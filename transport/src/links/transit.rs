//! Passes on what is not for the two ends of a link alone: signals of carriers, and packets of links.
//!
//! A server that has links with two others passes on what one sends for the other, over one link and no more, and says
//! whose it is: nobody can say it of itself. So whoever has a link with any server of a cluster can deal with all of
//! those to which that one has links. Packets are sealed between their ends: who passes them on can lose them, and no
//! more. What is passed on is bounded, so that it does not push out what a server has to send itself.

use std::collections::VecDeque;
use std::time::Duration;

use bytes::Bytes;
use liferaft_platform::SortedMap;

use super::event::{LinkOutput, Route};
use super::limits::{
    RELAYED_BYTES_AT_ONCE_MAX, RELAYED_BYTES_PER_SECOND_TOTAL_MAX, SIGNAL_FORWARDERS_MAX,
    WANTED_MAX,
};
use super::local::LocalEnd;
use super::packet::{CarrierSignal, Passed, RELAYED_PACKET_BYTES_MAX, Transit};
use super::table::Table;
use crate::ServerId;
use crate::allowance::{Allowance, Rate};
use crate::carrier::Packet;

/// How many bytes of packets are passed on for all peers together.
const RELAY_RATE: Rate = Rate {
    per_second: RELAYED_BYTES_PER_SECOND_TOTAL_MAX,
    at_once_max: RELAYED_BYTES_AT_ONCE_MAX,
};

/// What a packet that is passed on counts for at least, in bytes: short ones cost as much to pass on.
const RELAYED_COST_BYTES_MIN: usize = 256;

/// For so long after a packet was passed on, or came that way, the time is told for each packet that arrives: what is
/// passed on is bounded by the second, and round trips are measured.
const TIMED_FOR: Duration = Duration::from_secs(1);

/// What has passed through links that is not for their two ends alone, since they were made.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct TransitCounters {
    /// Signals of carriers here that were sent, to their server or to those who pass them on.
    pub signals_sent: u64,
    /// Signals that were given to carriers here.
    pub signals_received: u64,
    /// Signals of other servers that were passed on.
    pub signals_passed: u64,
    /// Signals that were dropped: there were too many, there was no way, no such carrier, or their sender may not.
    pub signals_dropped: u64,
    /// Packets of others that were passed on.
    pub packets_passed: u64,
    /// Packets of others that were dropped: there were too many, there was no way, or their sender may not.
    pub packets_dropped: u64,
}

/// What is known of the ways through other servers.
#[derive(Debug)]
pub(super) struct Ways {
    pub(super) counters: TransitCounters,
    relayed: Allowance,
    /// When a packet was last passed on, or came or went through a third server.
    relayed_at: Option<Duration>,
    /// Who has passed on the last signal of a server: whoever has a link with both.
    back: SortedMap<ServerId, ServerId>,
    /// Whose turn it is, of those who may pass something on.
    turn: usize,
}

/// The links over which something passes.
pub(super) struct Crossing<'a> {
    pub(super) local: &'a LocalEnd,
    pub(super) table: &'a mut Table,
    pub(super) outputs: &'a mut VecDeque<LinkOutput>,
    pub(super) now: Duration,
}

/// What has come through a third server for this end.
#[derive(Debug)]
pub(super) enum Onward {
    /// A packet, as if it had come from there.
    Packet(Route, Bytes),
    /// Nothing goes there any more.
    Closed(Route),
}

impl Ways {
    pub(super) fn new(now: Duration) -> Self {
        Self {
            counters: TransitCounters::default(),
            relayed: Allowance::new(RELAY_RATE, now),
            relayed_at: None,
            back: SortedMap::new(),
            turn: 0,
        }
    }

    /// Returns true if packets have been passed on a moment ago.
    pub(super) fn is_relaying(&self, now: Duration) -> bool {
        self.relayed_at
            .is_some_and(|at| now.saturating_sub(at) < TIMED_FOR)
    }

    /// Returns the route to a server through another whose turn it is; `None` if nobody passes anything on.
    pub(super) fn relay_to(&mut self, to: ServerId, table: &Table) -> Option<Route> {
        let relays: Vec<_> = table.relays().map(|link| link.about.generation).collect();
        self.turn = self.turn.wrapping_add(1);
        let generation = relays.get(self.turn.checked_rem(relays.len())?)?;
        Some(Route::relayed(*generation, to))
    }

    /// Sends a packet through a third server. Returns false if the link with that takes none for now.
    pub(super) fn send_relayed(
        &mut self,
        crossing: &mut Crossing<'_>,
        route: Route,
        packet: Packet,
    ) -> bool {
        self.relayed_at = Some(crossing.now);
        let Some((generation, to)) = route.relay() else {
            return true;
        };
        let Some((link, _)) = crossing.table.by_generation(generation) else {
            return true;
        };
        let passed = Passed::Packet(packet.into_bytes());
        link.carry(
            Transit::Forward { to, passed },
            crossing.now,
            crossing.outputs,
        )
    }

    /// Sends a signal of a carrier here, by the link to its server or through those who pass it on.
    pub(super) fn send_signal(
        &mut self,
        crossing: &mut Crossing<'_>,
        carrier: usize,
        to: ServerId,
        signal: &[u8],
    ) {
        let scheme = crossing.local.scheme(carrier);
        let is_sent = match CarrierSignal::new(scheme, signal) {
            None => {
                tracing::error!(scheme, bytes = signal.len(), "a signal is too long");
                false
            }
            Some(signal) => {
                let link = crossing.table.active(to);
                let is_heard = link.is_some_and(|link| link.is_heard_lately(crossing.now));
                let mut is_sent = crossing.carry(to, Transit::Signal(signal.clone()));
                // A link that has fallen silent may be what the signal is to replace.
                let forwarders = match is_sent && is_heard {
                    true => Vec::new(),
                    false => self.forwarders_to(to, crossing.table),
                };
                for forwarder in forwarders {
                    let passed = Passed::Signal(signal.clone());
                    is_sent |= crossing.carry(forwarder, Transit::Forward { to, passed });
                }
                is_sent
            }
        };
        self.counters.signals_sent += u64::from(is_sent);
        self.counters.signals_dropped += u64::from(!is_sent);
    }

    /// Takes what a peer has sent that is not for the link with it alone.
    pub(super) fn on_transit(
        &mut self,
        crossing: &mut Crossing<'_>,
        peer: ServerId,
        transit: Transit,
    ) -> Option<Onward> {
        let is_taken = match transit {
            Transit::Signal(signal) => self.take_signal(crossing, peer, peer, &signal),
            Transit::Forwarded {
                from,
                passed: Passed::Signal(signal),
            } => self.take_signal(crossing, from, peer, &signal),
            Transit::Forward {
                to,
                passed: Passed::Signal(signal),
            } => self.pass_signal(crossing, peer, to, signal),
            Transit::Forward {
                to,
                passed: Passed::Packet(packet),
            } => {
                let is_passed = self.pass_packet(crossing, peer, to, packet);
                self.counters.packets_passed += u64::from(is_passed);
                self.counters.packets_dropped += u64::from(!is_passed);
                return None;
            }
            Transit::Forwarded {
                from,
                passed: Passed::Packet(packet),
            } => {
                self.relayed_at = Some(crossing.now);
                let link = crossing
                    .table
                    .active(peer)
                    .filter(|link| link.passes_on())?;
                let route = Route::relayed(link.about.generation, from);
                let is_one = from != crossing.local.id && packet.len() <= RELAYED_PACKET_BYTES_MAX;
                return is_one.then_some(Onward::Packet(route, packet));
            }
            Transit::Unreachable(to) => {
                let generation = crossing.table.active(peer)?.about.generation;
                return Some(Onward::Closed(Route::relayed(generation, to)));
            }
        };
        self.counters.signals_dropped += u64::from(is_taken.is_none());
        None
    }

    /// Passes a packet on, or tells its sender that there is no way. Returns false if it was dropped.
    fn pass_packet(
        &mut self,
        crossing: &mut Crossing<'_>,
        from: ServerId,
        to: ServerId,
        packet: Bytes,
    ) -> bool {
        let now = crossing.now;
        self.relayed_at = Some(now);
        let Some(link) = crossing.table.active_mut(from) else {
            return false;
        };
        let cost = packet.len().max(RELAYED_COST_BYTES_MIN);
        if cost > RELAYED_PACKET_BYTES_MAX
            || !link.may_pass()
            || !link.relays(cost, now)
            || !self.relayed.take(cost, now)
        {
            return false;
        }
        let receiver = crossing.table.active(to);
        if !receiver.is_some_and(|link| link.may_pass()) {
            crossing.carry(from, Transit::Unreachable(to));
            return false;
        }
        let passed = Passed::Packet(packet);
        crossing.carry(to, Transit::Forwarded { from, passed })
    }

    /// Gives a signal to the carrier that it is for.
    fn take_signal(
        &mut self,
        crossing: &mut Crossing<'_>,
        from: ServerId,
        by: ServerId,
        signal: &CarrierSignal,
    ) -> Option<()> {
        let link = crossing.table.active_mut(by)?;
        let is_believed = from == by || from != crossing.local.id && link.passes_on();
        if !is_believed || !link.takes_signal(from, crossing.now) {
            return None;
        }
        let (scheme, signal) = signal.parts()?;
        let carrier = crossing.local.carrier_of(scheme)?;
        if from != by {
            self.remember(from, by);
        }
        self.counters.signals_received += 1;
        crossing.outputs.push_back(LinkOutput::Signal {
            carrier,
            from,
            by,
            signal,
        });
        Some(())
    }

    /// Passes a signal on. Whose it is tells the link by which it came.
    fn pass_signal(
        &mut self,
        crossing: &mut Crossing<'_>,
        from: ServerId,
        to: ServerId,
        signal: CarrierSignal,
    ) -> Option<()> {
        let link = crossing.table.active_mut(from)?;
        // One that is too long for its receiver may be too long for the link to it.
        if !link.may_pass() || !link.takes_signal(from, crossing.now) || signal.parts().is_none() {
            return None;
        }
        let receiver = crossing.table.active(to)?;
        let passed = Passed::Signal(signal);
        let is_sent =
            receiver.may_pass() && crossing.carry(to, Transit::Forwarded { from, passed });
        self.counters.signals_passed += u64::from(is_sent);
        is_sent.then_some(())
    }

    /// Returns the servers through which a signal is sent: the one through which the last has come, and others in turn.
    fn forwarders_to(&mut self, to: ServerId, table: &Table) -> Vec<ServerId> {
        let peers = table.relays().map(|link| link.about.peer);
        let known: Vec<_> = peers.filter(|peer| *peer != to).collect();
        let back = self.back.get(&to).filter(|peer| known.contains(peer));
        let mut chosen: Vec<_> = back.copied().into_iter().collect();
        for _ in 0..known.len().min(SIGNAL_FORWARDERS_MAX) {
            let peer = known[self.turn % known.len()];
            if chosen.len() < SIGNAL_FORWARDERS_MAX && !chosen.contains(&peer) {
                chosen.push(peer);
            }
            self.turn = self.turn.wrapping_add(1);
        }
        chosen
    }

    fn remember(&mut self, from: ServerId, by: ServerId) {
        if self.back.len() >= WANTED_MAX && !self.back.contains_key(&from) {
            self.back.pop_first();
        }
        self.back.insert(from, by);
    }
}

impl Crossing<'_> {
    /// Sends something over the link to a peer. Returns false if it was dropped.
    fn carry(&mut self, peer: ServerId, transit: Transit) -> bool {
        let link = self.table.active_mut(peer);
        link.is_some_and(|link| link.carry(transit, self.now, self.outputs))
    }
}
