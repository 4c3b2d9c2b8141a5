//! Keeps the links that there are: for each peer the one that is up, and one that is about to replace it.

use std::time::Duration;

use liferaft_platform::{SortedMap, SortedSet};

use super::event::Route;
use super::limits::HANDSHAKE_TIME_MAX;
use super::link::ActiveLink;
use crate::ServerId;
use crate::invitation::INVITERS_MAX;

/// The most links with one peer that wait for it. It may look here for each server that an invitation names.
const PENDING_MAX: usize = 2 * INVITERS_MAX;

/// All links of an end.
#[derive(Debug, Default)]
pub(super) struct Table {
    slots: SortedMap<ServerId, Slot>,
    /// Whose link has this generation, up or pending.
    generations: SortedMap<u64, ServerId>,
    /// The peers whose links may have something to send.
    pub(super) dirty: SortedSet<ServerId>,
}

#[derive(Debug, Default)]
struct Slot {
    active: Option<Box<ActiveLink>>,
    /// Links that this end has accepted, the oldest first. One is up when the peer has sent anything on it, as only
    /// then is it certain that the peer has it too; and that is until then. A peer that looks for several servers where
    /// this one is dials more than once, and keeps the link that it had first.
    pending: Vec<(Box<ActiveLink>, Duration)>,
}

impl Table {
    pub(super) fn active(&self, peer: ServerId) -> Option<&ActiveLink> {
        self.slots.get(&peer)?.active.as_deref()
    }

    pub(super) fn active_mut(&mut self, peer: ServerId) -> Option<&mut ActiveLink> {
        self.slots.get_mut(&peer)?.active.as_deref_mut()
    }

    pub(super) fn pending(&self, peer: ServerId) -> impl Iterator<Item = &ActiveLink> {
        let slot = self.slots.get(&peer).into_iter();
        slot.flat_map(|slot| slot.pending.iter().map(|(link, _)| &**link))
    }

    /// Returns true if a peer has a link that is up or pending.
    pub(super) fn has(&self, peer: ServerId) -> bool {
        self.slots.contains_key(&peer)
    }

    pub(super) fn has_generation(&self, generation: u64) -> bool {
        self.generations.contains_key(&generation)
    }

    /// Returns whose link has a generation.
    pub(super) fn peer_of(&self, generation: u64) -> Option<ServerId> {
        self.generations.get(&generation).copied()
    }

    /// Returns the link of a generation, and whether it is up.
    pub(super) fn by_generation(&mut self, generation: u64) -> Option<(&mut ActiveLink, bool)> {
        let peer = self.generations.get(&generation)?;
        let Slot { active, pending } = self.slots.get_mut(peer)?;
        if let Some(link) = active.as_deref_mut()
            && link.about.generation == generation
        {
            return Some((link, true));
        }
        let mut pending = pending.iter_mut().map(|(link, _)| &mut **link);
        let found = pending.find(|link| link.about.generation == generation);
        found.map(|link| (link, false))
    }

    /// Puts a link where it waits for its peer. Of too many the oldest is dropped.
    pub(super) fn set_pending(&mut self, link: Box<ActiveLink>, now: Duration) {
        let peer = link.about.peer;
        self.generations.insert(link.about.generation, peer);
        let until = now.saturating_add(HANDSHAKE_TIME_MAX);
        let pending = &mut self.slots.entry(peer).or_default().pending;
        pending.push((link, until));
        if pending.len() > PENDING_MAX {
            let (oldest, _) = pending.remove(0);
            self.generations.remove(&oldest.about.generation);
        }
    }

    /// Takes out those links that wait for their peer, each until some time, and are meant.
    pub(super) fn take_pending(
        &mut self,
        peer: ServerId,
        is_meant: impl Fn(&ActiveLink, Duration) -> bool,
    ) -> Vec<(Box<ActiveLink>, Duration)> {
        let Some(slot) = self.slots.get_mut(&peer) else {
            return Vec::new();
        };
        let taken = slot
            .pending
            .extract_if(.., |(link, until)| is_meant(link, *until));
        let taken: Vec<_> = taken.collect();
        for (link, _) in &taken {
            self.generations.remove(&link.about.generation);
        }
        self.tidy(peer);
        taken
    }

    /// Puts a link up. There must be none that is.
    pub(super) fn set_active(&mut self, link: Box<ActiveLink>) {
        let peer = link.about.peer;
        self.generations.insert(link.about.generation, peer);
        self.dirty.insert(peer);
        self.slots.entry(peer).or_default().active = Some(link);
    }

    /// Takes out the link that is up.
    pub(super) fn take_active(&mut self, peer: ServerId) -> Option<Box<ActiveLink>> {
        let link = self.slots.get_mut(&peer)?.active.take()?;
        self.generations.remove(&link.about.generation);
        self.tidy(peer);
        Some(link)
    }

    /// Returns the peers whose links are on a path: of those that are up, and of those that are pending.
    pub(super) fn on_route(&self, route: Route) -> (Vec<ServerId>, Vec<ServerId>) {
        let of = |is_on: &dyn Fn(&Slot) -> bool| {
            let slots = self.slots.iter().filter(|(_, slot)| is_on(slot));
            slots.map(|(peer, _)| *peer).collect()
        };
        (
            of(&|slot| slot.active.as_ref().is_some_and(|link| link.route == route)),
            of(&|slot| slot.pending.iter().any(|(link, _)| link.route == route)),
        )
    }

    /// Returns true if a link is on a path.
    pub(super) fn uses(&self, route: Route) -> bool {
        self.slots
            .values()
            .flat_map(Slot::links)
            .any(|link| link.route == route)
    }

    /// Returns the links that are up to servers that pass things on.
    pub(super) fn relays(&self) -> impl Iterator<Item = &ActiveLink> {
        let active = self.slots.values();
        let active = active.filter_map(|slot| slot.active.as_deref());
        active.filter(|link| link.passes_on())
    }

    /// Returns the place of the best carrier by which there is a link to a peer, up or pending.
    pub(super) fn carrier_to(&self, peer: ServerId) -> Option<usize> {
        let links = self.slots.get(&peer)?.links();
        links.map(|link| link.route.carrier).min()
    }

    /// Returns the paths of links.
    pub(super) fn routes(&self) -> impl Iterator<Item = Route> {
        let links = self.slots.values().flat_map(Slot::links);
        links.map(|link| link.route)
    }

    /// Returns the peers that have a link.
    pub(super) fn peers(&self) -> impl Iterator<Item = ServerId> {
        self.slots.keys().copied()
    }

    /// Returns when something is due for a link.
    pub(super) fn deadline(&self) -> Option<Duration> {
        self.slots.values().filter_map(Slot::deadline).min()
    }

    /// Returns the peers for whose links something is due at `now`.
    pub(super) fn due(&self, now: Duration) -> Vec<ServerId> {
        let is_due = |slot: &Slot| slot.deadline().is_some_and(|deadline| deadline <= now);
        let due = self.slots.iter().filter(|(_, slot)| is_due(slot));
        due.map(|(peer, _)| *peer).collect()
    }

    fn tidy(&mut self, peer: ServerId) {
        if self
            .slots
            .get(&peer)
            .is_some_and(|slot| slot.links().next().is_none())
        {
            self.slots.remove(&peer);
            self.dirty.remove(&peer);
        }
    }
}

impl Slot {
    fn links(&self) -> impl Iterator<Item = &ActiveLink> {
        self.active
            .as_deref()
            .into_iter()
            .chain(self.pending.iter().map(|(link, _)| &**link))
    }

    fn deadline(&self) -> Option<Duration> {
        let active = self.active.as_ref().map(|link| link.deadline());
        active
            .into_iter()
            .chain(self.pending.iter().map(|(_, until)| *until))
            .min()
    }
}
