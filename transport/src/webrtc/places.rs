//! Decides who has one of a carrier's places for connections that others dial.
//!
//! Whoever dials is nobody until a link has proven who it is, and names cost nothing. So what is unproven is counted by
//! what nobody can choose freely: the [`Gate`] by which it comes, and its host or name there. Where there is no room,
//! the oldest of whoever holds most gives way, and never one that is proven: whoever comes by one gate crowds out those
//! of that gate alone.

use std::cmp::Reverse;
use std::time::Duration;

use liferaft_platform::SortedMap;

use super::limits::WebRtcLimits;
use crate::ServerId;

/// The most unproven connections of a peer by one gate.
const UNPROVEN_OF_PEER_MAX: usize = 2;

/// How long a connection by an address keeps its place at least in each stage, however many others come: enough for the
/// few round trips that it takes.
const STAGE_TIME_MIN: Duration = Duration::from_millis(500);

/// The same of a connection by signals, which go a longer way.
const SIGNALED_STAGE_TIME_MIN: Duration = Duration::from_secs(2);

/// By which way a connection comes.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Gate {
    /// By an address of this end, without signals.
    Address,
    /// By signals through a server, by its number.
    Server(usize),
    /// By signals over the link with this server.
    Mesh(ServerId),
    /// By people, who let few wait and give none away.
    Hand,
}

/// Who wants a place.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Claim {
    /// A host, by the bytes of its address that it cannot choose, and how many they are.
    Host([u8; 8], u8),
    /// Whoever comes in the name of a server by a gate.
    Peer(ServerId, Gate),
}

/// The places of a carrier.
#[derive(Debug)]
pub(crate) struct Places {
    limits: WebRtcLimits,
    /// By the numbers of their connections.
    holders: SortedMap<u64, Holder>,
}

#[derive(Clone, Copy, Debug)]
struct Holder {
    claim: Claim,
    stage: Stage,
    /// When its stage began.
    since: Duration,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Stage {
    Opening,
    Open,
    Proven,
}

/// There is no room, and nobody gives way yet.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Full;

impl Claim {
    /// Returns the claim of a host, by the [origin](crate::carrier::Path::origin) of its address.
    pub(crate) fn of_host(origin: &[u8]) -> Self {
        let mut bytes = [0; 8];
        let length = origin.len().min(bytes.len());
        bytes[..length].copy_from_slice(&origin[..length]);
        Self::Host(bytes, u8::try_from(length).expect("it is short"))
    }

    /// Returns the origin of the paths of its connections, by which links bound handshakes.
    pub(crate) fn origin(&self) -> Vec<u8> {
        match self {
            Self::Host(bytes, length) => bytes[..usize::from(*length)].to_vec(),
            Self::Peer(peer, gate) => {
                // Servers are numbered one by one, each new one some seconds after another: numbers never get so high.
                let gate = match gate {
                    Gate::Server(number) => u32::try_from(*number).unwrap_or_default(),
                    Gate::Hand => u32::MAX - 1,
                    Gate::Mesh(_) | Gate::Address => u32::MAX,
                };
                [&gate.to_be_bytes()[..], &peer.0.to_be_bytes()].concat()
            }
        }
    }

    fn gate(&self) -> Gate {
        match self {
            Self::Host(..) => Gate::Address,
            Self::Peer(_, gate) => *gate,
        }
    }
}

impl Places {
    pub(crate) fn new(limits: WebRtcLimits) -> Self {
        Self {
            limits,
            holders: SortedMap::new(),
        }
    }

    /// Gives a place to the connection of a number that is to be opened. Returns the number of the one that gives way
    /// to it, if one has to: it is to be closed.
    pub(crate) fn take(
        &mut self,
        number: u64,
        claim: Claim,
        now: Duration,
    ) -> Result<Option<u64>, Full> {
        let displaced = match self.crowd(&claim) {
            None => None,
            Some(crowd) => Some(self.displaced(&crowd, now).ok_or(Full)?),
        };
        if let Some(displaced) = displaced {
            self.holders.remove(&displaced);
        }
        let stage = Stage::Opening;
        let since = now;
        self.holders.insert(
            number,
            Holder {
                claim,
                stage,
                since,
            },
        );
        Ok(displaced)
    }

    /// A connection is open.
    pub(crate) fn on_open(&mut self, number: u64, now: Duration) {
        if let Some(holder) = self.holders.get_mut(&number)
            && holder.stage == Stage::Opening
        {
            holder.stage = Stage::Open;
            holder.since = now;
        }
    }

    /// A link has proven who is at the other end: the place is its own until the connection is closed.
    pub(crate) fn on_proven(&mut self, number: u64) {
        if let Some(holder) = self.holders.get_mut(&number) {
            holder.stage = Stage::Proven;
        }
    }

    /// Takes back the place of a connection that is closed.
    pub(crate) fn give_back(&mut self, number: u64) {
        self.holders.remove(&number);
    }

    /// Returns those of whom one has to give way to a claim; `None` if there is room.
    fn crowd(&self, claim: &Claim) -> Option<Vec<(u64, Holder)>> {
        let gate = claim.gate();
        let of_claim = |holder: &Holder| holder.claim == *claim;
        let of_gate = |holder: &Holder| holder.claim.gate() == gate;
        let (of_claim_max, of_gate_max) = match claim {
            Claim::Host(..) => (self.limits.opening_per_origin_max, self.limits.opening_max),
            Claim::Peer(_, Gate::Hand) => (usize::MAX, usize::MAX),
            Claim::Peer(..) => (UNPROVEN_OF_PEER_MAX, self.limits.opening_max),
        };
        let pending_of_claim = self.all(|holder| of_claim(holder) && holder.is_pending());
        if pending_of_claim.len() >= of_claim_max {
            return Some(pending_of_claim);
        }
        let pending_of_gate = self.all(|holder| of_gate(holder) && holder.is_pending());
        if pending_of_gate.len() >= of_gate_max {
            return Some(pending_of_gate);
        }
        let is_host = matches!(claim, Claim::Host(..));
        if is_host && self.all(of_claim).len() >= self.limits.accepted_per_origin_max {
            return Some(self.all(|holder| of_claim(holder) && holder.gives_way()));
        }
        let is_full = self.holders.len() >= self.limits.accepted_max;
        is_full.then(|| self.all(Holder::gives_way))
    }

    /// Returns the one that gives way: the oldest of whoever holds most by the gate that holds most, if it has had its
    /// time.
    fn displaced(&self, crowd: &[(u64, Holder)], now: Duration) -> Option<u64> {
        let (mut of_gates, mut of_claims) = (SortedMap::new(), SortedMap::new());
        for (_, holder) in crowd {
            *of_gates.entry(holder.claim.gate()).or_insert(0_usize) += 1;
            *of_claims.entry(holder.claim).or_insert(0_usize) += 1;
        }
        let (number, holder) = crowd.iter().min_by_key(|(number, holder)| {
            let of_gate = of_gates.get(&holder.claim.gate());
            let of_claim = of_claims.get(&holder.claim);
            (
                Reverse((of_gate, holder.claim.gate(), of_claim)),
                holder.since,
                *number,
            )
        })?;
        holder.has_had_its_time(now).then_some(*number)
    }

    fn all(&self, is_meant: impl Fn(&Holder) -> bool) -> Vec<(u64, Holder)> {
        let meant = self.holders.iter().filter(|(_, holder)| is_meant(holder));
        meant.map(|(number, holder)| (*number, *holder)).collect()
    }
}

impl Holder {
    /// Returns true if it counts towards what is unproven of its claim and gate. Of those that have come by an address
    /// only those that are being opened do: hosts cost something, and have a bound for all of their connections.
    fn is_pending(&self) -> bool {
        match self.claim {
            Claim::Host(..) => self.stage == Stage::Opening,
            Claim::Peer(..) => self.stage != Stage::Proven,
        }
    }

    fn gives_way(&self) -> bool {
        self.stage != Stage::Proven && self.claim.gate() != Gate::Hand
    }

    fn has_had_its_time(&self, now: Duration) -> bool {
        let time_min = match self.claim {
            Claim::Host(..) => STAGE_TIME_MIN,
            Claim::Peer(..) => SIGNALED_STAGE_TIME_MIN,
        };
        now >= self.since.saturating_add(time_min)
    }
}

#[cfg(test)]
mod tests {
    use std::collections::{BTreeSet, VecDeque};

    use super::*;

    const NOW: Duration = Duration::from_secs(100);
    const LATER: Duration = Duration::from_secs(102);

    fn places(accepted_max: usize) -> Places {
        Places::new(WebRtcLimits {
            accepted_max,
            ..WebRtcLimits::default()
        })
    }

    fn peer(number: u64, gate: Gate) -> Claim {
        Claim::Peer(ServerId::from(u128::from(number)), gate)
    }

    const HOSTILE: Gate = Gate::Server(0);
    const HOST: Claim = Claim::Host([192, 0, 2, 1, 0, 0, 0, 0], 4);

    /// Has made-up ids take all that they get by a gate, and open it. Returns how many.
    fn crowd(places: &mut Places, gate: Gate, now: Duration) -> usize {
        let takes = |number: &u64| {
            let taken = places.take(*number, peer(*number, gate), now);
            places.on_open(*number, now);
            taken == Ok(None)
        };
        (0..2_000).filter(takes).count()
    }

    #[test]
    fn strangers_of_a_server_hold_few_places_whatever_their_names() {
        let mut places = places(1_024);

        let held = crowd(&mut places, HOSTILE, NOW);

        assert_eq!(held, WebRtcLimits::default().opening_max);
        let member = peer(1, Gate::Mesh(ServerId::from(9)));
        assert_eq!(places.take(5_000, member, NOW), Ok(None));
        assert_eq!(places.take(5_001, HOST, NOW), Ok(None));
    }

    #[test]
    fn two_of_a_peer_by_one_way_leave_it_all_others() {
        let mut places = places(1_024);
        let impostor = peer(1, HOSTILE);

        let taken = [1, 2, 3].map(|number| places.take(number, impostor, NOW));

        assert_eq!(taken, [Ok(None), Ok(None), Err(Full)]);
        assert_eq!(places.take(4, peer(1, Gate::Server(1)), NOW), Ok(None));
    }

    #[test]
    fn the_oldest_of_the_fullest_gate_gives_way_to_another() {
        let mut places = places(40);
        places.take(7_000, HOST, NOW).expect("there is room");
        assert_eq!(crowd(&mut places, HOSTILE, NOW), 39);

        let member = peer(1, Gate::Mesh(ServerId::from(9)));
        assert_eq!(places.take(5_000, member, NOW), Err(Full), "it is too soon");

        assert_eq!(places.take(5_000, member, LATER), Ok(Some(0)));
        assert_eq!(places.take(5_001, HOST, LATER), Ok(Some(1)));
    }

    #[test]
    fn a_gate_that_is_full_takes_no_place_of_others() {
        let mut places = places(40);
        places.take(7_000, HOST, NOW).expect("there is room");
        crowd(&mut places, HOSTILE, NOW);

        for number in 5_000..9_000 {
            let displaced = places.take(number, peer(number, HOSTILE), LATER);
            assert_ne!(displaced, Ok(Some(7_000)));
        }
    }

    /// Has strangers ask for places by a gate 100 times a second, and hold each for as long as they can. Returns at
    /// which of its own requests each of some newcomers, one after the other, has a place by the same gate.
    fn requests_at_a_flooded_gate(newcomers: usize) -> Vec<usize> {
        const TICK: Duration = Duration::from_millis(10);
        let mut places = places(1_024);
        let mut opening = VecDeque::new();
        let (mut random, mut asks_at) = (1_u64, Duration::from_secs(5));
        let (mut requests, mut taken) = (0, Vec::new());
        for number in 0_u64.. {
            let now = TICK * u32::try_from(number).expect("it ends before");
            if now >= asks_at {
                requests += 1;
                if places.take(u64::MAX, peer(u64::MAX, HOSTILE), now).is_ok() {
                    places.give_back(u64::MAX);
                    taken.push(std::mem::take(&mut requests));
                }
                random ^= random << 13;
                random ^= random >> 7;
                random ^= random << 17;
                asks_at = now + Duration::from_millis(750 + random % 500);
            }
            if taken.len() == newcomers {
                break;
            }
            if places.take(number, peer(number, HOSTILE), now).is_ok() {
                // Whoever is open by then keeps its place for as long again.
                opening.push_back((now + SIGNALED_STAGE_TIME_MIN - TICK, number));
            }
            while let Some((at, number)) = opening.front().copied().filter(|(at, _)| *at <= now) {
                opening.pop_front();
                places.on_open(number, at);
            }
        }
        taken
    }

    /// A place is held for 4 s, so that 16 of 64 are free in a second. `--nocapture` shows the figures.
    #[test]
    fn a_flooded_gate_lets_others_in_once_in_a_while() {
        let mut requests = requests_at_a_flooded_gate(31);

        requests.sort_unstable();
        println!("31 newcomers have a place at these of their requests: {requests:?}");
        assert!(requests[15] <= 8 && requests[30] <= 64, "{requests:?}");
    }

    #[test]
    fn no_two_servers_are_one_origin() {
        let origins = (0..1_000).map(|number| peer(1, Gate::Server(number)).origin());

        assert_eq!(origins.collect::<BTreeSet<_>>().len(), 1_000);
    }

    #[test]
    fn what_is_proven_gives_way_to_nobody() {
        let mut places = places(40);
        crowd(&mut places, HOSTILE, NOW);
        (0..40).for_each(|number| places.on_proven(number));

        assert_eq!(places.take(5_000, HOST, LATER), Err(Full));

        places.give_back(7);
        assert_eq!(places.take(5_000, HOST, LATER), Ok(None));
    }

    #[test]
    fn one_that_has_opened_has_its_time_for_the_handshake() {
        let mut places = places(1_024);
        let claim = peer(1, HOSTILE);
        places.take(1, claim, NOW).expect("there is room");
        places.take(2, claim, NOW).expect("there is room");
        places.on_open(1, LATER);

        assert_eq!(places.take(3, claim, LATER), Ok(Some(2)));
        assert_eq!(places.take(4, claim, LATER), Err(Full));
    }

    #[test]
    fn texts_that_people_carry_keep_their_places() {
        let mut places = places(4);
        for number in 0..4 {
            let claim = peer(number, Gate::Hand);
            places.take(number, claim, NOW).expect("there is room");
        }

        assert_eq!(places.take(9, HOST, LATER), Err(Full));
    }
}
