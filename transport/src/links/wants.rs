//! Keeps whom the member wants links to, and how far dialing them has come.

use std::collections::BTreeMap;
use std::time::Duration;

use liferaft_platform::{ADDRESSES_MAX, Address, PublicKey};
use rand_chacha::ChaCha20Rng;

use super::dialing::Dialing;
use super::limits::WANTED_MAX;
use crate::ServerId;

/// The most peers that are dialed at a time. The others wait for their turn: a browser that opens many connections at
/// once runs out of sockets.
pub const DIALS_MAX: usize = 16;

/// A link that lived for less counts as an attempt that came to nothing: a peer that hangs up at once is not dialed
/// without a pause.
const LIVED_MIN: Duration = Duration::from_secs(5);

/// A peer that a link is wanted to.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Wanted {
    /// The peer.
    pub peer: ServerId,
    /// The keys of which whoever answers must have one, or be vouched for by one: the peer's own, or all that an
    /// invitation names. Empty: the peer's own, of which its id is the digest.
    pub keys: Vec<PublicKey>,
    /// Where to reach it: the first [`ADDRESSES_MAX`] are tried in turn. Without any it is waited for.
    pub addresses: Vec<Address>,
}

/// The peers that are wanted.
#[derive(Debug, Default)]
pub(super) struct Wants {
    wants: BTreeMap<ServerId, Want>,
}

#[derive(Debug)]
struct Want {
    keys: Vec<PublicKey>,
    dialing: Dialing,
    /// The attempt that is under way.
    attempt: Option<u64>,
}

impl Wants {
    /// Replaces what is wanted. Returns the peers that are not wanted any more, and their attempts.
    pub(super) fn replace(
        &mut self,
        wanted: &[Wanted],
        own: ServerId,
        now: Duration,
    ) -> Vec<(ServerId, Option<u64>)> {
        let mut earlier = std::mem::take(&mut self.wants);
        for Wanted {
            peer,
            keys,
            addresses,
        } in wanted.iter().take(WANTED_MAX)
        {
            if *peer == own {
                continue;
            }
            let addresses = &addresses[..addresses.len().min(ADDRESSES_MAX)];
            let mut want = earlier.remove(peer).unwrap_or_else(|| Want {
                keys: Vec::new(),
                dialing: Dialing::new(addresses, now),
                attempt: None,
            });
            want.keys.clone_from(keys);
            want.dialing.set_addresses(addresses, now);
            self.wants.insert(*peer, want);
        }
        earlier
            .into_iter()
            .map(|(peer, want)| (peer, want.attempt))
            .collect()
    }

    pub(super) fn contains(&self, peer: ServerId) -> bool {
        self.wants.contains_key(&peer)
    }

    /// Returns the keys that whoever answers for a peer may have.
    pub(super) fn keys_of(&self, peer: ServerId) -> Option<&[PublicKey]> {
        self.wants.get(&peer).map(|want| &want.keys[..])
    }

    /// Returns when the next attempt is due, of the peers that are `idle`: those without a link.
    pub(super) fn deadline(&self, is_idle: impl Fn(ServerId) -> bool) -> Option<Duration> {
        if self.dials() >= DIALS_MAX {
            return None;
        }
        self.idle(is_idle)
            .filter_map(|(_, want)| want.dialing.deadline())
            .min()
    }

    /// Returns a peer and the address to dial at `now`, if an attempt is due.
    pub(super) fn next_due(
        &mut self,
        now: Duration,
        is_idle: impl Fn(ServerId) -> bool,
    ) -> Option<(ServerId, Address)> {
        if self.dials() >= DIALS_MAX {
            return None;
        }
        // Whoever waits for the longest time comes first: peers that are gone keep nobody else from their turn.
        let deadlines = self
            .idle(is_idle)
            .filter_map(|(peer, want)| Some((want.dialing.deadline()?, peer)));
        let (_, peer) = deadlines.min().filter(|(deadline, _)| *deadline <= now)?;
        let address = self.wants.get_mut(&peer)?.dialing.next(now)?;
        Some((peer, address))
    }

    /// An attempt has begun.
    pub(super) fn on_begun(&mut self, peer: ServerId, attempt: u64) {
        if let Some(want) = self.wants.get_mut(&peer) {
            want.attempt = Some(attempt);
        }
    }

    /// An attempt came to nothing.
    pub(super) fn on_failed(&mut self, peer: ServerId, now: Duration, random: &mut ChaCha20Rng) {
        if let Some(want) = self.wants.get_mut(&peer) {
            want.attempt = None;
            want.dialing.on_failure(now, random);
        }
    }

    /// A link to a peer is up, or about to be. Returns the attempt that it makes superfluous.
    pub(super) fn on_up(&mut self, peer: ServerId) -> Option<u64> {
        let want = self.wants.get_mut(&peer)?;
        want.dialing.on_up();
        want.attempt.take()
    }

    /// The attempt to reach a peer is done: it has answered, or another that is as good.
    pub(super) fn on_answered(&mut self, peer: ServerId) {
        if let Some(want) = self.wants.get_mut(&peer) {
            want.attempt = None;
        }
    }

    /// A link that `lived` for some time is down.
    pub(super) fn on_down(
        &mut self,
        peer: ServerId,
        lived: Duration,
        now: Duration,
        random: &mut ChaCha20Rng,
    ) {
        if let Some(want) = self.wants.get_mut(&peer)
            && want.attempt.is_none()
        {
            if lived >= LIVED_MIN {
                want.dialing.forget_failures();
            }
            want.dialing.on_failure(now, random);
        }
    }

    fn dials(&self) -> usize {
        self.wants
            .values()
            .filter(|want| want.attempt.is_some())
            .count()
    }

    fn idle(&self, is_idle: impl Fn(ServerId) -> bool) -> impl Iterator<Item = (ServerId, &Want)> {
        let all = self.wants.iter().map(|(peer, want)| (*peer, want));
        all.filter(move |(peer, want)| want.attempt.is_none() && is_idle(*peer))
    }
}
