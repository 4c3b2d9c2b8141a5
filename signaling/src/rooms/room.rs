//! Holds what a room has: its peers by id, what waits for those that are not there, and whether it was founded.

use std::collections::BTreeMap;
use std::time::Duration;

use super::ConnectionId;
use crate::hosts::Host;
use crate::names::{Key, PeerId, Token};

/// A place where peers meet.
#[derive(Debug)]
pub(super) struct Room {
    pub(super) founding: Founding,
    /// Whom it counts for. The common place counts for nobody.
    pub(super) opener: Option<Host>,
    pub(super) peers: BTreeMap<PeerId, Peer>,
    /// By destination, then source.
    pub(super) waiting: BTreeMap<PeerId, BTreeMap<PeerId, Waiting>>,
    /// When it is forgotten: only an empty one is.
    pub(super) forget_at: Option<Duration>,
}

/// Who may found a cluster in a room.
#[derive(Debug)]
pub(super) enum Founding {
    /// Whoever claims it first.
    Open,
    /// The visit that claimed it, by its nonce.
    Claimed(Token),
    /// Nobody: this server did not make the room, so that it may have been founded before this server was started.
    Barred,
}

/// An id that belongs to somebody.
#[derive(Debug)]
pub(super) struct Peer {
    pub(super) token: Token,
    /// Whom the id counts for: whoever came with it first.
    pub(super) host: Host,
    /// None while it is cut off: its token gets it again.
    pub(super) connection: Option<ConnectionId>,
    pub(super) heard_at: Duration,
    /// Its entry among the timers.
    pub(super) timer_at: Duration,
}

/// What one peer sent to another that is not there.
#[derive(Debug)]
pub(super) struct Waiting {
    pub(super) messages: Vec<String>,
    /// Of the messages, and what it costs to keep them.
    pub(super) bytes: usize,
    /// Whom these bytes count for.
    pub(super) host: Host,
    /// Its entry among the timers.
    pub(super) expires_at: Duration,
}

/// What happens in a room at a moment.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Timer {
    /// A peer may have been silent for too long.
    Silence(Key, PeerId),
    /// What waits for the first from the second is given up.
    Expiry(Key, PeerId, PeerId),
    /// A room is forgotten.
    Forgetting(Key),
}

impl Room {
    pub(super) const fn new(founding: Founding, opener: Option<Host>) -> Self {
        Self {
            founding,
            opener,
            peers: BTreeMap::new(),
            waiting: BTreeMap::new(),
            forget_at: None,
        }
    }

    /// Returns the connection of a peer that is there.
    pub(super) fn connection_of(&self, id: &PeerId) -> Option<ConnectionId> {
        self.peers.get(id)?.connection
    }

    /// Returns who sent what waits for a peer.
    pub(super) fn sources_waiting_for(&self, destination: &PeerId) -> Vec<PeerId> {
        let of_destination = self.waiting.get(destination).into_iter();
        of_destination.flat_map(BTreeMap::keys).cloned().collect()
    }

    /// Returns the destination and the source of all that waits.
    pub(super) fn waiting_pairs(&self) -> Vec<(PeerId, PeerId)> {
        let pairs = self.waiting.iter().flat_map(|(destination, sources)| {
            let pair = |source: &PeerId| (destination.clone(), source.clone());
            sources.keys().map(pair)
        });
        pairs.collect()
    }

    /// Removes what one peer sent to another.
    pub(super) fn remove_waiting(
        &mut self,
        destination: &PeerId,
        source: &PeerId,
    ) -> Option<Waiting> {
        let of_destination = self.waiting.get_mut(destination)?;
        let waiting = of_destination.remove(source);
        if of_destination.is_empty() {
            self.waiting.remove(destination);
        }
        waiting
    }
}
