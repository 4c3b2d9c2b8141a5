//! Keeps the links that there are: for each peer the one that is up, and one that is about to replace it.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use super::event::Route;
use super::limits::HANDSHAKE_TIME_MAX;
use super::link::ActiveLink;
use crate::ServerId;

/// All links of an end.
#[derive(Debug, Default)]
pub(super) struct Table {
    slots: BTreeMap<ServerId, Slot>,
    /// Whose link has this generation, up or pending.
    generations: BTreeMap<u64, ServerId>,
    /// The peers whose links may have something to send.
    pub(super) dirty: BTreeSet<ServerId>,
}

#[derive(Debug, Default)]
struct Slot {
    active: Option<Box<ActiveLink>>,
    /// A link that this end has accepted. It is up when the peer has sent anything on it, as only then is it certain
    /// that the peer has it too; and that is until then.
    pending: Option<(Box<ActiveLink>, Duration)>,
}

impl Table {
    pub(super) fn active(&self, peer: ServerId) -> Option<&ActiveLink> {
        self.slots.get(&peer)?.active.as_deref()
    }

    pub(super) fn active_mut(&mut self, peer: ServerId) -> Option<&mut ActiveLink> {
        self.slots.get_mut(&peer)?.active.as_deref_mut()
    }

    pub(super) fn pending(&self, peer: ServerId) -> Option<&ActiveLink> {
        self.slots
            .get(&peer)?
            .pending
            .as_ref()
            .map(|(link, _)| &**link)
    }

    /// Returns true if a peer has a link that is up or pending.
    pub(super) fn has(&self, peer: ServerId) -> bool {
        self.slots.contains_key(&peer)
    }

    pub(super) fn has_generation(&self, generation: u64) -> bool {
        self.generations.contains_key(&generation)
    }

    /// Returns true if a peer has no link, nor has the one that answered in its place, by the link of a generation.
    pub(super) fn is_idle(&self, peer: ServerId, stand_in: Option<u64>) -> bool {
        !self.has(peer) && !stand_in.is_some_and(|generation| self.has_generation(generation))
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
        pending.as_mut().map(|(link, _)| (&mut **link, false))
    }

    /// Puts a link where it waits for its peer, in place of another one.
    pub(super) fn set_pending(&mut self, link: Box<ActiveLink>, now: Duration) {
        let peer = link.about.peer;
        self.drop_pending(peer);
        self.generations.insert(link.about.generation, peer);
        let until = now.saturating_add(HANDSHAKE_TIME_MAX);
        self.slots.entry(peer).or_default().pending = Some((link, until));
    }

    /// Drops a link that waits for its peer.
    pub(super) fn drop_pending(&mut self, peer: ServerId) {
        self.take_pending(peer);
        self.tidy(peer);
    }

    fn take_pending(&mut self, peer: ServerId) -> Option<Box<ActiveLink>> {
        let (link, _) = self.slots.get_mut(&peer)?.pending.take()?;
        self.generations.remove(&link.about.generation);
        Some(link)
    }

    /// Takes the pending link to put it [up](Self::set_active).
    pub(super) fn promote(&mut self, peer: ServerId) -> Option<Box<ActiveLink>> {
        self.take_pending(peer)
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
            of(&|slot| {
                slot.pending
                    .as_ref()
                    .is_some_and(|(link, _)| link.route == route)
            }),
        )
    }

    /// Returns true if a link is on a path.
    pub(super) fn uses(&self, route: Route) -> bool {
        self.slots
            .values()
            .flat_map(Slot::links)
            .any(|link| link.route == route)
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

    /// Drops a pending link whose peer has sent nothing for too long. Returns its path.
    pub(super) fn drop_expired(&mut self, peer: ServerId, now: Duration) -> Option<Route> {
        let (link, until) = self.slots.get(&peer)?.pending.as_ref()?;
        let route = (*until <= now).then_some(link.route)?;
        self.drop_pending(peer);
        Some(route)
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
            .chain(self.pending.as_ref().map(|(link, _)| &**link))
    }

    fn deadline(&self) -> Option<Duration> {
        let active = self.active.as_ref().map(|link| link.deadline());
        active
            .into_iter()
            .chain(self.pending.as_ref().map(|(_, until)| *until))
            .min()
    }
}
