//! Everything that the ends of a network share, behind one lock: who is attached, what is wrong, what is under way.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::time::Duration;

use super::counters::{Counters, Tally};
use super::faults::Faults;
use super::flights::{Flight, Flights};
use super::inbox::{Arrival as Arrived, Inbox, Refusal};
use super::link::{Arrival, Fate, Link};
use super::topology::Topology;
use super::{AttachError, ENDS_MAX};
use crate::{DeliveryClass, SendError, ServerId};

#[derive(Debug)]
pub(super) struct Hub {
    seed: u64,
    pub(super) faults: Faults,
    pub(super) link_faults: BTreeMap<(ServerId, ServerId), Faults>,
    pub(super) topology: Topology,
    ends: BTreeMap<ServerId, End>,
    /// The links on which a frame met a fault. A link without an entry is as good as new.
    links: BTreeMap<(ServerId, ServerId), Link>,
    /// Pairs between which a stream frame vanished, the lesser peer first. Their streams, in both directions, carry
    /// nothing until both ends have been told that the link went down.
    ///
    /// Invariant: the two cannot reach each other both ways, or are about to be told.
    broken_streams: BTreeSet<(ServerId, ServerId)>,
    pub(super) flights: Flights,
    /// What became of the frames of those who left.
    departed: Counters,
    attachments: u64,
    /// Changes with whatever decides how frames travel.
    pub(super) version: u64,
    /// How many ends have left: a peer that returns meets other dice than in its former life.
    departures: u64,
}

/// One attachment of a peer.
#[derive(Clone, Debug)]
pub(super) struct End {
    /// Tells this attachment from earlier ones of the same peer.
    pub(super) attachment: u64,
    pub(super) inbox: Arc<Inbox>,
    pub(super) tally: Arc<Tally>,
    killed: bool,
    /// Whether a killed end was dropped, of which the others know nothing.
    dropped: bool,
}

impl Hub {
    pub(super) fn new(seed: u64) -> Self {
        Self {
            seed,
            faults: Faults::none(),
            link_faults: BTreeMap::new(),
            topology: Topology::default(),
            ends: BTreeMap::new(),
            links: BTreeMap::new(),
            broken_streams: BTreeSet::new(),
            flights: Flights::default(),
            departed: Counters::default(),
            attachments: 0,
            version: 0,
            departures: 0,
        }
    }

    pub(super) fn attach(&mut self, peer: ServerId) -> Result<End, AttachError> {
        match self.ends.get(&peer) {
            Some(end) if end.killed => self.remove(peer),
            Some(_) => return Err(AttachError::InUse(peer)),
            None if self.ends.len() >= ENDS_MAX => return Err(AttachError::NetworkFull),
            None => {}
        }
        self.attachments += 1;
        let end = End {
            attachment: self.attachments,
            inbox: Arc::default(),
            tally: Arc::default(),
            killed: false,
            dropped: false,
        };
        for other in self.ends.keys() {
            let up = end.inbox.push_peer_event(Arrived::PeerUp(*other));
            up.expect("an inbox has room for the events of as many peers as may be attached");
        }
        let unreading = self.announce(&Arrived::PeerUp(peer));
        self.ends.insert(peer, end.clone());
        tracing::debug!(%peer, "attached");
        for peer in unreading {
            self.remove(peer);
        }
        Ok(end)
    }

    /// The end was dropped: a clean leave, unless it was killed, when nobody hears of it.
    pub(super) fn on_dropped(&mut self, peer: ServerId, attachment: u64) {
        let Some(end) = self
            .ends
            .get_mut(&peer)
            .filter(|end| end.attachment == attachment)
        else {
            return;
        };
        if end.killed {
            end.dropped = true;
        } else {
            self.remove(peer);
        }
    }

    pub(super) fn kill(&mut self, peer: ServerId) -> bool {
        let Some(end) = self.ends.get_mut(&peer) else {
            return false;
        };
        end.killed = true;
        end.inbox.set_silenced(true);
        tracing::debug!(%peer, "killed");
        true
    }

    pub(super) fn revive(&mut self, peer: ServerId) -> bool {
        let Some(end) = self.ends.get_mut(&peer).filter(|end| end.killed) else {
            return false;
        };
        if end.dropped {
            self.remove(peer);
            return false;
        }
        end.killed = false;
        end.inbox.set_silenced(false);
        tracing::debug!(%peer, "revived");
        self.restart_streams();
        true
    }

    /// Whether anyone is left to hear what arrives.
    pub(super) fn is_deserted(&self) -> bool {
        self.ends.values().all(|end| end.dropped)
    }

    pub(super) fn counters(&self) -> Counters {
        let mut all = self.departed;
        for end in self.ends.values() {
            all += end.tally.read();
        }
        all
    }

    pub(super) fn counters_of(&self, peer: ServerId) -> Option<Counters> {
        self.ends.get(&peer).map(|end| end.tally.read())
    }

    /// Sends a frame. Returns the queue of its receiver if all that follow may be put there as well, until something
    /// changes.
    pub(super) fn send(
        &mut self,
        attachment: u64,
        flight: Flight,
    ) -> Result<Option<Arc<Inbox>>, SendError> {
        let Flight {
            from, to, class, ..
        } = flight;
        let sender = self
            .ends
            .get(&from)
            .filter(|end| end.attachment == attachment);
        let tally = Arc::clone(&sender.ok_or(SendError::Closed)?.tally);
        let Some(receiver) = self.ends.get(&to).filter(|_| from != to) else {
            return Err(SendError::NoLink(to));
        };
        if !self.carries(from, to, class) {
            tally.on_sent(flight.packet.len());
            self.on_vanished(&flight);
            return Ok(None);
        }
        let faults = *self.link_faults.get(&(from, to)).unwrap_or(&self.faults);
        let stream_under_way = self
            .links
            .get(&(from, to))
            .is_some_and(Link::has_stream_under_way);
        if !faults.is_none() || stream_under_way {
            self.send_with(&faults, &tally, flight)?;
            return Ok(None);
        }
        let inbox = Arc::clone(&receiver.inbox);
        tally.deliver_sent(&inbox, (from, to), class, flight.packet)?;
        Ok((!self.broken_streams.contains(&pair(from, to))).then_some(inbox))
    }

    /// Returns true if half of the link's and of the receiver's room is free, or if there is no receiver.
    pub(super) fn has_room(&self, from: ServerId, to: ServerId) -> bool {
        let link = self.links.get(&(from, to));
        link.is_none_or(Link::is_half_empty)
            && self
                .ends
                .get(&to)
                .is_none_or(|end| end.inbox.is_half_empty())
    }

    /// Delivers what has arrived by `now`.
    pub(super) fn deliver_arrived(&mut self, now: Duration) {
        while let Some(flight) = self.flights.pop_arrived(now) {
            self.on_arrived(&flight);
        }
    }

    /// Tells both ends of each broken stream that their link went down and up, once they reach each other again.
    pub(super) fn restart_streams(&mut self) {
        let restarting: Vec<_> = self
            .broken_streams
            .iter()
            .copied()
            .filter(|&(a, b)| self.reaches(a, b) && self.reaches(b, a))
            .collect();
        for (a, b) in restarting {
            self.broken_streams.remove(&(a, b));
            self.tell(a, [Arrived::PeerDown(b), Arrived::PeerUp(b)]);
            self.tell(b, [Arrived::PeerDown(a), Arrived::PeerUp(a)]);
        }
    }

    fn send_with(
        &mut self,
        faults: &Faults,
        tally: &Tally,
        flight: Flight,
    ) -> Result<(), SendError> {
        let Flight {
            from, to, class, ..
        } = flight;
        let bytes = flight.packet.len();
        let now = liferaft_platform::now();
        let (seed, departures) = (self.seed, self.departures);
        let link = self
            .links
            .entry((from, to))
            .or_insert_with(|| Link::new(seed, departures, from, to));
        if link.is_full(bytes) {
            tally.queue_full.add(1);
            return Err(SendError::QueueFull(to));
        }
        match link.draw_fate(faults, class, bytes, now) {
            Fate::Lost => {
                tally.on_sent(bytes);
                tally.lost.add(1);
                self.on_stream_frame_lost(&flight);
            }
            Fate::Arrives { at, again } => {
                let copy = again.map(|again| (again, flight.clone()));
                if self.depart(at, now, tally, flight).is_err() {
                    tally.queue_full.add(1);
                    return Err(SendError::QueueFull(to));
                }
                tally.on_sent(bytes);
                if let Some((again, copy)) = copy {
                    tally.duplicated.add(1);
                    if self.depart(again, now, tally, copy).is_err() {
                        tally.overflowed.add(1);
                    }
                }
            }
        }
        Ok(())
    }

    /// Delivers a frame that arrives at once, and sends another on its way.
    fn depart(
        &mut self,
        arrival: Arrival,
        now: Duration,
        tally: &Tally,
        flight: Flight,
    ) -> Result<(), Refusal> {
        let Flight {
            from, to, class, ..
        } = flight;
        let link = self
            .links
            .get_mut(&(from, to))
            .expect("frames depart on links that exist");
        let waits = class == DeliveryClass::Stream && link.has_stream_under_way();
        if arrival.at > now || waits {
            let bytes = flight.packet.len();
            if link.is_full(bytes) {
                return Err(Refusal::Full);
            }
            link.on_departure(class, bytes);
            self.flights.push(arrival.at, flight);
        } else {
            self.ends[&to]
                .inbox
                .push_frame(from, class, flight.packet)?;
            tally.delivered.add(1);
        }
        tally.reordered.add(u64::from(arrival.held_back));
        Ok(())
    }

    fn on_arrived(&mut self, flight: &Flight) {
        let &Flight {
            from, to, class, ..
        } = flight;
        self.on_landed(flight);
        if !self.carries(from, to, class) {
            self.on_vanished(flight);
            return;
        }
        let tally = &self.ends[&from].tally;
        // The queue keeps a reference to the frame's bytes, so this copies none of them.
        if self.ends[&to]
            .inbox
            .push_frame(from, class, flight.packet.clone())
            .is_ok()
        {
            tally.delivered.add(1);
        } else {
            tally.overflowed.add(1);
            self.on_stream_frame_lost(flight);
        }
    }

    /// A frame is no longer under way.
    fn on_landed(&mut self, flight: &Flight) {
        let link = self.links.get_mut(&(flight.from, flight.to));
        let link = link.expect("the link of a frame under way exists");
        link.on_arrival(flight.class, flight.packet.len());
    }

    /// A frame met a cut, a partition or a killed member.
    fn on_vanished(&mut self, flight: &Flight) {
        self.ends[&flight.from].tally.cut.add(1);
        self.break_stream_of(flight);
    }

    /// A frame was lost between two members who may well reach each other. For a datagram frame that is all.
    fn on_stream_frame_lost(&mut self, flight: &Flight) {
        self.break_stream_of(flight);
        self.restart_streams();
    }

    /// The rest of a broken stream vanishes with its lost frame, in both directions: a stream is a conversation.
    fn break_stream_of(&mut self, flight: &Flight) {
        let pair = pair(flight.from, flight.to);
        if flight.class == DeliveryClass::Datagram || !self.broken_streams.insert(pair) {
            return;
        }
        self.version += 1;
        for vanished in self.flights.take(|flight| flight.is_of_stream(pair)) {
            self.on_landed(&vanished);
            self.ends[&vanished.from].tally.cut.add(1);
        }
    }

    fn carries(&self, from: ServerId, to: ServerId, class: DeliveryClass) -> bool {
        let broken = || self.broken_streams.contains(&pair(from, to));
        self.reaches(from, to) && !(class == DeliveryClass::Stream && broken())
    }

    fn reaches(&self, from: ServerId, to: ServerId) -> bool {
        let lives = |peer| self.ends.get(peer).is_some_and(|end| !end.killed);
        lives(&from) && lives(&to) && self.topology.connects(from, to)
    }

    /// Removes an end, and those who will not hear of it because they have not read for too long.
    fn remove(&mut self, peer: ServerId) {
        let mut leaving = vec![peer];
        while let Some(peer) = leaving.pop() {
            // What is under way is counted while its sender is still there.
            for vanished in self
                .flights
                .take(|flight| flight.from == peer || flight.to == peer)
            {
                self.ends[&vanished.from].tally.cut.add(1);
            }
            let Some(end) = self.ends.remove(&peer) else {
                continue;
            };
            tracing::debug!(%peer, "left");
            end.inbox.close();
            self.departed += end.tally.read();
            self.departures += 1;
            self.links
                .retain(|&(from, to), _| from != peer && to != peer);
            self.broken_streams.retain(|&(a, b)| a != peer && b != peer);
            leaving.extend(self.announce(&Arrived::PeerDown(peer)));
        }
    }

    /// Tells all that are attached. Returns those who have not read for too long.
    fn announce(&self, event: &Arrived) -> Vec<ServerId> {
        let is_full = |end: &End| end.inbox.push_peer_event(event.clone()) == Err(Refusal::Full);
        let full = self.ends.iter().filter(|(_, end)| is_full(end));
        full.map(|(peer, _)| *peer)
            .inspect(warn_of_unread_events)
            .collect()
    }

    /// Tells one peer. One that has not read for too long is removed.
    fn tell(&mut self, peer: ServerId, events: [Arrived; 2]) {
        let Some(end) = self.ends.get(&peer) else {
            return;
        };
        if events
            .into_iter()
            .any(|event| end.inbox.push_peer_event(event) == Err(Refusal::Full))
        {
            warn_of_unread_events(&peer);
            self.remove(peer);
        }
    }
}

fn warn_of_unread_events(peer: &ServerId) {
    tracing::warn!(%peer, "closed, because it does not read what it is told of its peers");
}

/// The two ends of a link, whichever way it is looked at.
fn pair(a: ServerId, b: ServerId) -> (ServerId, ServerId) {
    (a.min(b), a.max(b))
}
