//! Passes on what is not for the two ends of a link alone: signals of carriers.
//!
//! A server that has links with two others passes on what one sends for the other, over one link and no more, and says
//! whose it is: nobody can say it of itself. So whoever has a link with any server of a cluster can deal with all of
//! those to which that one has links.

use std::collections::{BTreeMap, VecDeque};
use std::time::Duration;

use super::event::{Link, LinkOutput};
use super::limits::{SIGNAL_FORWARDERS_MAX, WANTED_MAX};
use super::local::LocalEnd;
use super::packet::{CarrierSignal, Passed, Transit};
use super::table::Table;
use crate::ServerId;
use crate::access::Role;

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
}

/// What is known of the ways through other servers.
#[derive(Debug, Default)]
pub(super) struct Ways {
    pub(super) counters: TransitCounters,
    /// Who has passed on the last signal of a server: whoever has a link with both.
    back: BTreeMap<ServerId, ServerId>,
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

impl Ways {
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
            Some(signal) if crossing.table.active(to).is_some() => {
                crossing.carry(to, Transit::Signal(signal))
            }
            Some(signal) => {
                let mut is_sent = false;
                for forwarder in self.forwarders_to(to, crossing.table) {
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
    ) {
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
            // No packets are passed on.
            _ => return,
        };
        self.counters.signals_dropped += u64::from(is_taken.is_none());
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
        let is_believed = from == by || from != crossing.local.id && passes_on(&link.about);
        if !is_believed || !link.takes_signal(crossing.now) {
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
        if !may_pass(link.about.role) || !link.takes_signal(crossing.now) {
            return None;
        }
        let receiver = crossing.table.active(to)?;
        let passed = Passed::Signal(signal);
        let is_sent = may_pass(receiver.about.role)
            && crossing.carry(to, Transit::Forwarded { from, passed });
        self.counters.signals_passed += u64::from(is_sent);
        is_sent.then_some(())
    }

    /// Returns the servers through which a signal is sent: the one through which the last has come, and others in turn.
    fn forwarders_to(&mut self, to: ServerId, table: &Table) -> Vec<ServerId> {
        let links = table.links().filter(|link| passes_on(link));
        let known: Vec<_> = links.map(|link| link.peer).collect();
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

/// Returns true if the peer of a link passes on what this end sends, and is believed whose it is what it passes on: a
/// server of the cluster, to which this end is no client.
fn passes_on(link: &Link) -> bool {
    matches!(link.role, Role::Member | Role::Vouched) && may_pass(link.role_granted)
}

/// Returns true if what a peer of this role sends is passed on to others, and what others send to it. Clients and
/// strangers deal with nobody but those who have let them in.
const fn may_pass(role: Role) -> bool {
    matches!(role, Role::Member | Role::Vouched | Role::Joiner)
}
