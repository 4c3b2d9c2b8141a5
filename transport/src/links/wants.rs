//! Keeps whom the member wants links to, and how far dialing them has come.
//!
//! A peer is dialed in several ways: by each carrier that dials one of its addresses, and through a third server. Ways
//! are preferred in the order of the carriers; the last is the third server. A peer without a link is dialed in all of
//! them, one after another until a link is up; one that has a link in the ways that are better than that.
//!
//! The addresses of a way are dialed one after another too, of a peer without a link each a moment after the one before
//! it, if nothing has come of that: an address where nobody answers keeps it from the others for that moment alone.

use std::collections::BTreeMap;
use std::time::Duration;

use liferaft_platform::{ADDRESSES_MAX, Address, PublicKey, SortedMap};
use rand_chacha::ChaCha20Rng;

use super::dialing::{Dialing, UPGRADE_BACK_OFF_MAX, UPGRADE_BACK_OFF_MIN};
use super::event::RELAY;
use super::handshakes::Target;
use super::limits::WANTED_MAX;
use super::table::Table;
use crate::ServerId;

/// The most dials at a time, of peers without a link by their addresses. The others wait for their turn: a browser that
/// opens many connections at once runs out of sockets.
pub const DIALS_MAX: usize = 16;

/// The most dials at a time through third servers.
pub const RELAYED_DIALS_MAX: usize = 16;

/// The most dials at a time to peers that have a worse link, beside those of [`DIALS_MAX`]: peers that are gone are
/// dialed all the time, and keep no others from a better link.
pub const UPGRADES_MAX: usize = 4;

/// The most dials at a time, of all [`DIALS_MAX`], to peers that are being dialed at another address by the same
/// carrier: where all are slow, dialing each twice makes none faster.
pub const FURTHER_DIALS_MAX: usize = 8;

/// How much later than the way before it a way is tried, of a peer that had no link yet, if nothing has come of that
/// before. A peer whose link was lost is dialed in all ways at once.
pub const WAY_DELAY: Duration = Duration::from_millis(500);

/// How much later than the address before it an address is dialed in the same way, of a peer that has no link, if
/// nothing has come of that before.
pub const ADDRESS_DELAY: Duration = Duration::from_secs(1);

/// A link that lived for less counts as an attempt that came to nothing: a peer that hangs up at once is not dialed
/// without a pause.
const LIVED_MIN: Duration = Duration::from_secs(5);

/// A better link that has lived for so long is none that the peer, which prefers another, was about to replace.
const AGREED_AFTER: Duration = UPGRADE_BACK_OFF_MAX.saturating_mul(10);

/// How often the wait for a link that the peer holds for worse is made four times as long: up to 17 hours.
const OUTWEIGHED_MAX: u32 = 5;

/// The most addresses of a peer that are dialed: those that are known, and one more for each of as many carriers that
/// find servers by their ids.
const DIALED_ADDRESSES_MAX: usize = 2 * ADDRESSES_MAX;

/// A peer that a link is wanted to.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Wanted {
    /// The peer.
    pub peer: ServerId,
    /// The keys of which whoever answers must have one, or be vouched for by one: the peer's own, or all that an
    /// invitation names. Empty: the peer's own, of which its id is the digest.
    pub keys: Vec<PublicKey>,
    /// Where to reach it: at most twice [`ADDRESSES_MAX`] are tried, those of each carrier in turn. Without any it is
    /// waited for, and looked for through other servers.
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
    /// The best first.
    ways: Vec<Way>,
    /// Since when the peer is wanted, if it has had no link since.
    new_since: Option<Duration>,
    /// How often the peer has replaced a better link by one that it prefers.
    outweighed: u32,
}

/// One way to reach a peer.
#[derive(Debug)]
struct Way {
    carrier: Option<usize>,
    dialing: Dialing,
    /// Those that are under way, the first one in front: one for each address at most.
    attempts: Vec<Attempt>,
    /// The peer has answered at an address, and no link is up as yet.
    has_answered: bool,
    /// Where this end was refused last: somebody is there, who may think better of it. The silence of other addresses
    /// keeps it from being dialed again no longer than its own back-off does.
    refuses_at: Option<Address>,
}

/// An attempt that is under way.
#[derive(Debug)]
struct Attempt {
    number: u64,
    address: Address,
    begun_at: Duration,
}

/// A way that is to be tried.
#[derive(Debug)]
pub(super) struct DueWay {
    pub(super) peer: ServerId,
    /// The carrier that dials; `None` if no carrier dials the address.
    pub(super) carrier: Option<usize>,
    /// The address; `None` if the way leads through a third server.
    pub(super) address: Option<Address>,
}

/// A way that may be tried, in the order in which they are if several are due.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
struct Turn {
    is_upgrade: bool,
    /// Another address of the peer is being dialed in this way.
    is_further: bool,
    deadline: Duration,
    peer: ServerId,
    carrier: Option<usize>,
}

/// How many attempts are under way.
#[derive(Clone, Copy, Debug, Default)]
struct Dials {
    /// To peers without a link, by their addresses.
    by_address: usize,
    relayed: usize,
    /// To peers that have a worse link.
    upgrades: usize,
    further: usize,
}

impl Wants {
    /// Replaces what is wanted. Returns the peers that are not wanted any more, and the attempts that are not.
    pub(super) fn replace(
        &mut self,
        wanted: &[Wanted],
        own: ServerId,
        carrier_for: impl Fn(&Address) -> Option<usize>,
        now: Duration,
    ) -> (Vec<ServerId>, Vec<u64>) {
        let mut earlier = std::mem::take(&mut self.wants);
        let mut cancelled = Vec::new();
        for Wanted {
            peer,
            keys,
            addresses,
        } in wanted.iter().take(WANTED_MAX)
        {
            if *peer == own {
                continue;
            }
            let mut want = earlier.remove(peer).unwrap_or_else(|| Want {
                keys: Vec::new(),
                ways: Vec::new(),
                new_since: Some(now),
                outweighed: 0,
            });
            want.keys.clone_from(keys);
            let addresses = addresses.iter().take(DIALED_ADDRESSES_MAX);
            let addresses = addresses.map(|address| (carrier_for(address), address.clone()));
            cancelled.extend(want.set_addresses(addresses, now));
            self.wants.insert(*peer, want);
        }
        let ways = earlier.values().flat_map(|want| &want.ways);
        let attempts = ways.flat_map(|way| &way.attempts);
        cancelled.extend(attempts.map(|attempt| attempt.number));
        (earlier.into_keys().collect(), cancelled)
    }

    pub(super) fn contains(&self, peer: ServerId) -> bool {
        self.wants.contains_key(&peer)
    }

    /// Returns the keys that whoever answers for a peer may have.
    pub(super) fn keys_of(&self, peer: ServerId) -> Option<&[PublicKey]> {
        self.wants.get(&peer).map(|want| &want.keys[..])
    }

    /// Returns when the next attempt is due.
    pub(super) fn deadline(&self, table: &Table) -> Option<Duration> {
        self.turns(table).map(|turn| turn.deadline).min()
    }

    /// Returns a way to be tried at `now`, if one is due: first one to a peer that has no link, and of those the one
    /// that is due for the longest time, so that peers that are gone keep nobody else from their turn.
    pub(super) fn next_due(&mut self, now: Duration, table: &Table) -> Option<DueWay> {
        let due = self.turns(table).filter(|turn| turn.deadline <= now);
        let Turn { peer, carrier, .. } = due.min()?;
        let way = self.way_mut(peer, carrier)?;
        let attempts = &way.attempts;
        let is_dialed = |address: &Address| attempts.iter().any(|it| it.address == *address);
        let refusing = way.refuses_at.clone().filter(|_| !attempts.is_empty());
        let refusing = refusing.filter(|address| !is_dialed(address));
        let address = refusing.or_else(|| way.dialing.next(is_dialed));
        Some(DueWay {
            peer,
            carrier,
            address,
        })
    }

    /// An attempt has begun.
    pub(super) fn on_begun(&mut self, number: u64, target: &Target, now: Duration) {
        if let Some(way) = self.way_mut(target.peer, target.carrier) {
            way.attempts.push(Attempt {
                number,
                address: target.address.clone(),
                begun_at: now,
            });
        }
    }

    /// An attempt came to nothing, perhaps as whoever is there has refused it.
    pub(super) fn on_failed(
        &mut self,
        target: &Target,
        is_refused: bool,
        now: Duration,
        random: &mut ChaCha20Rng,
    ) {
        if let Some(way) = self.way_mut(target.peer, target.carrier) {
            way.forget(&target.address);
            way.has_answered = false;
            if is_refused {
                way.refuses_at = Some(target.address.clone());
            } else if way.refuses_at.as_ref() == Some(&target.address) {
                way.refuses_at = None;
            }
            way.dialing.on_failure(now, random);
        }
    }

    /// A link to a peer is up, or about to be. Returns the attempts that it makes superfluous: those to get one that is
    /// not better.
    pub(super) fn on_up(
        &mut self,
        peer: ServerId,
        carrier: usize,
        now: Duration,
        random: &mut ChaCha20Rng,
    ) -> Vec<u64> {
        let Some(want) = self.wants.get_mut(&peer) else {
            return Vec::new();
        };
        want.new_since = None;
        let mut superfluous = Vec::new();
        for way in &mut want.ways {
            if way.is_better_than(carrier) {
                way.dialing.on_worse_up(UPGRADE_BACK_OFF_MIN, now, random);
                continue;
            }
            if way.carrier == Some(carrier) && !std::mem::take(&mut way.has_answered) {
                way.dialing.begin_anew();
            }
            superfluous.extend(way.attempts.drain(..).map(|attempt| attempt.number));
        }
        superfluous
    }

    /// A peer has replaced a better link, which `lived` for some time, by one that it prefers, and its word counts for
    /// more. Better ones are tried ever more seldom, in case that it only had lost that link.
    pub(super) fn on_outweighed(
        &mut self,
        peer: ServerId,
        carrier: usize,
        lived: Duration,
        now: Duration,
        random: &mut ChaCha20Rng,
    ) {
        let Some(want) = self.wants.get_mut(&peer) else {
            return;
        };
        if lived >= AGREED_AFTER {
            want.outweighed = 0;
        }
        let wait = UPGRADE_BACK_OFF_MAX.saturating_mul(4_u32.pow(want.outweighed));
        want.outweighed = (want.outweighed + 1).min(OUTWEIGHED_MAX);
        for way in &mut want.ways {
            if way.is_better_than(carrier) {
                way.dialing.on_worse_up(wait, now, random);
            }
        }
    }

    /// The attempt to reach a peer is done: it has answered, or another that is as good. The address that worked is
    /// dialed first when the link is lost.
    pub(super) fn on_answered(&mut self, target: &Target) {
        if let Some(way) = self.way_mut(target.peer, target.carrier) {
            way.forget(&target.address);
            way.has_answered = true;
            way.dialing.prefer(&target.address);
        }
    }

    /// A carrier reaches others by a way that it did not have. Peers without a link are dialed by it at once.
    pub(super) fn on_ready(&mut self, carrier: usize, table: &Table, now: Duration) {
        let wants = self.wants.iter_mut();
        let unlinked = wants.filter(|(peer, _)| table.carrier_to(**peer).is_none());
        for (_, want) in unlinked {
            if let Some(way) = want.way_mut(Some(carrier)) {
                way.dialing.hurry(now);
            }
        }
    }

    /// A link that `lived` for some time is down, and perhaps one by another carrier has taken its place.
    pub(super) fn on_down(
        &mut self,
        peer: ServerId,
        (carrier, taken_by): (usize, Option<usize>),
        lived: Duration,
        now: Duration,
        random: &mut ChaCha20Rng,
    ) {
        // A link that gives way to one that is as good has not come to nothing.
        if taken_by.is_some_and(|taken_by| taken_by <= carrier) {
            return;
        }
        let Some(want) = self.wants.get_mut(&peer) else {
            return;
        };
        // Whoever came by a way that this end does not dial is not dialed without a pause either.
        let is_dialed = want.way_mut(Some(carrier)).is_some();
        for way in &mut want.ways {
            if way.attempts.is_empty() && (!is_dialed || way.carrier == Some(carrier)) {
                if lived >= LIVED_MIN {
                    way.dialing.forget_failures();
                }
                way.dialing.on_failure(now, random);
            }
        }
    }

    fn way_mut(&mut self, peer: ServerId, carrier: Option<usize>) -> Option<&mut Way> {
        self.wants.get_mut(&peer)?.way_mut(carrier)
    }

    /// Returns all ways that may be tried, whenever they are due.
    fn turns(&self, table: &Table) -> impl Iterator<Item = Turn> {
        let dials = self.dials(table);
        let has_relays = table.relays().next().is_some();
        self.wants.iter().flat_map(move |(peer, want)| {
            let linked = table.carrier_to(*peer);
            let turn = move |(place, way): (usize, &Way)| Turn {
                is_upgrade: linked.is_some(),
                is_further: !way.attempts.is_empty(),
                deadline: match linked {
                    None => want.deadline(place),
                    Some(_) => way.dialing.upgrade_deadline(),
                },
                peer: *peer,
                carrier: way.carrier,
            };
            let is_possible = move |(_, way): &(usize, &Way)| {
                let is_wanted = linked.is_none_or(|carrier| way.is_better_than(carrier));
                let has_room = match way.carrier {
                    Some(RELAY) => has_relays && dials.relayed < RELAYED_DIALS_MAX,
                    _ if linked.is_some() => dials.upgrades < UPGRADES_MAX,
                    _ if !way.attempts.is_empty() && dials.further >= FURTHER_DIALS_MAX => false,
                    _ => dials.by_address < DIALS_MAX,
                };
                // Whoever has a link is dialed for a better one at one address at a time.
                let is_free = match linked {
                    None => way.attempts.len() < way.dialing.attempts_max(),
                    Some(_) => way.attempts.is_empty(),
                };
                is_free && is_wanted && has_room
            };
            want.ways.iter().enumerate().filter(is_possible).map(turn)
        })
    }

    fn dials(&self, table: &Table) -> Dials {
        let mut dials = Dials::default();
        for (peer, want) in &self.wants {
            let attempts = want.ways.iter().map(|way| way.attempts.len());
            let relays = want.ways.iter().filter(|way| way.carrier == Some(RELAY));
            let relayed: usize = relays.map(|way| way.attempts.len()).sum();
            let all: usize = attempts.sum();
            let further = want.ways.iter().map(|way| way.attempts.len());
            dials.further += further.map(|count| count.saturating_sub(1)).sum::<usize>();
            dials.relayed += relayed;
            match table.carrier_to(*peer) {
                Some(_) => dials.upgrades += all - relayed,
                None => dials.by_address += all - relayed,
            }
        }
        dials
    }
}

impl Want {
    /// Replaces the addresses, each with the carrier that dials it. Returns the attempts in ways that there are not any
    /// more.
    fn set_addresses(
        &mut self,
        addresses: impl Iterator<Item = (Option<usize>, Address)>,
        now: Duration,
    ) -> impl Iterator<Item = u64> {
        // Addresses that no carrier dials come first: they come to nothing at once, and are told of.
        let mut by_carrier: SortedMap<Option<usize>, Vec<Address>> = SortedMap::new();
        for (carrier, address) in addresses {
            let addresses = by_carrier.entry(carrier).or_default();
            if !addresses.contains(&address) {
                addresses.push(address);
            }
        }
        by_carrier.insert(Some(RELAY), Vec::new());
        let mut earlier = std::mem::take(&mut self.ways);
        for (carrier, addresses) in by_carrier {
            let known = earlier.iter().position(|way| way.carrier == carrier);
            let mut way = known.map_or_else(
                || Way {
                    carrier,
                    dialing: Dialing::new(&addresses, now),
                    attempts: Vec::new(),
                    has_answered: false,
                    refuses_at: None,
                },
                |known| earlier.swap_remove(known),
            );
            way.dialing.set_addresses(&addresses, now);
            way.refuses_at
                .take_if(|address| !addresses.contains(address));
            self.ways.push(way);
        }
        let attempts = earlier.into_iter().flat_map(|way| way.attempts);
        attempts.map(|attempt| attempt.number)
    }

    fn way_mut(&mut self, carrier: Option<usize>) -> Option<&mut Way> {
        self.ways.iter_mut().find(|way| way.carrier == carrier)
    }

    /// Returns when a way is to be tried while there is no link.
    fn deadline(&self, place: usize) -> Duration {
        let own = self.ways[place].deadline();
        let mut before = self.ways[..place].iter();
        let all_failed = before.all(|way| way.attempts.is_empty() && way.dialing.has_failed());
        match self.new_since {
            Some(since) if !all_failed => {
                let places = u32::try_from(place).unwrap_or(u32::MAX);
                own.max(since.saturating_add(WAY_DELAY.saturating_mul(places)))
            }
            _ => own,
        }
    }
}

impl Way {
    /// Returns when one more address is to be dialed.
    fn deadline(&self) -> Duration {
        let own = self.dialing.deadline();
        let is_dialed = |address: &Address| self.attempts.iter().any(|it| it.address == *address);
        let refuses = self.refuses_at.as_ref();
        match self.attempts.last() {
            Some(last) if refuses.is_none_or(is_dialed) => {
                own.max(last.begun_at.saturating_add(ADDRESS_DELAY))
            }
            _ => own,
        }
    }

    fn forget(&mut self, address: &Address) {
        self.attempts.retain(|attempt| attempt.address != *address);
    }

    fn is_better_than(&self, carrier: usize) -> bool {
        self.carrier.is_some_and(|own| own < carrier)
    }
}
