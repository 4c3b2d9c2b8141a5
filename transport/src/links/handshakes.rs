//! Keeps the handshakes that are not done, and bounds what those of unknown peers cost.

use std::cmp::Reverse;
use std::time::Duration;

use bytes::Bytes;
use liferaft_platform::{Address, SortedMap};

use super::event::Route;
use super::limits::{
    HALF_OPEN_MAX, HALF_OPEN_PER_GATE_MAX, HALF_OPEN_PER_ORIGIN_MAX, HALF_OPEN_TIME_MIN,
    HANDSHAKE_TIME_MAX,
};
use crate::ServerId;
use crate::access::Authorizer;
use crate::handshake::{Index, Initiator, Output, Responder};
use crate::signing::SIGNATURE_BYTES;

/// How long an initiator waits for an answer before it repeats its message. It doubles each time.
const REPEAT_AFTER: Duration = Duration::from_millis(250);

/// How long a handshake waits for an answer after a hint why none may come.
const HINTED_TIME_MAX: Duration = Duration::from_secs(1);

/// The handshakes under way, and those that were done a moment ago.
#[derive(Debug, Default)]
pub(super) struct Handshakes {
    attempts: SortedMap<u64, Attempt>,
    numbers: SortedMap<(Route, Index, Side), u64>,
    /// The number of the next one: later ones have higher numbers.
    next: u64,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Side {
    Initiator,
    Responder,
}

/// A handshake.
#[derive(Debug)]
pub(super) struct Attempt {
    pub(super) route: Route,
    end: End,
    index: Index,
    stage: Stage,
    begun_at: Duration,
    over_at: Duration,
    /// When it is over because of a hint, unless an answer comes before.
    hinted_over_at: Option<Duration>,
    repeat: Option<Repeat>,
}

/// How far a handshake is. Whoever is further gives way later, but for those that need nothing more.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
enum Stage {
    /// It is signed: what is left is to say so again.
    Signed,
    Begun,
    /// A responder has seen that its peer reads what is sent to it, and waits for a signature.
    Signing,
}

#[derive(Debug)]
struct Repeat {
    at: Duration,
    after: Duration,
}

#[derive(Debug)]
enum End {
    Initiator(Box<Initiator>, Target),
    Responder(Box<Responder>),
}

/// Whom an initiator looks for.
#[derive(Clone, Debug)]
pub(super) struct Target {
    pub(super) peer: ServerId,
    /// The carrier that dials it; `None` if none does.
    pub(super) carrier: Option<usize>,
    pub(super) address: Address,
}

/// What is due for a handshake.
#[derive(Debug)]
pub(super) enum Due {
    /// Send this again.
    Repeat(Route, Option<Bytes>),
    /// Its time is over: it was removed.
    Over(Box<Attempt>),
}

impl Handshakes {
    /// Returns a number for a handshake that is about to begin.
    pub(super) fn number(&mut self) -> u64 {
        self.next += 1;
        self.next
    }

    /// Takes up the handshake of this end to a target. Returns the first message.
    pub(super) fn begin(
        &mut self,
        (number, route): (u64, Route),
        initiator: Initiator,
        target: Target,
        now: Duration,
    ) -> Option<Bytes> {
        let index = initiator.index();
        let opening = initiator.unanswered();
        let repeat = Repeat {
            at: now.saturating_add(REPEAT_AFTER),
            after: REPEAT_AFTER,
        };
        self.insert(
            number,
            Attempt {
                route,
                end: End::Initiator(Box::new(initiator), target),
                index,
                stage: Stage::Begun,
                begun_at: now,
                over_at: now.saturating_add(HANDSHAKE_TIME_MAX),
                hinted_over_at: None,
                repeat: Some(repeat),
            },
        );
        opening
    }

    /// Takes up the handshake of an unknown peer. Returns its number, and the handshake that had to give way to it;
    /// `None` if there is no room, and none gives way yet.
    pub(super) fn accept(
        &mut self,
        (route, index): (Route, Index),
        responder: Responder,
        now: Duration,
    ) -> Option<(u64, Option<Box<Attempt>>)> {
        let evicted = match self.crowd(&route) {
            None => None,
            Some(crowd) => Some(Self::eviction(&route, &crowd, now)?),
        };
        let evicted = evicted.and_then(|number| self.remove(number));
        let number = self.number();
        self.insert(
            number,
            Attempt {
                route,
                end: End::Responder(Box::new(responder)),
                index,
                stage: Stage::Begun,
                begun_at: now,
                over_at: now.saturating_add(HANDSHAKE_TIME_MAX),
                hinted_over_at: None,
                repeat: None,
            },
        );
        Some((number, evicted.map(Box::new)))
    }

    /// Returns the number of the handshake that a message belongs to.
    pub(super) fn find(&self, route: Route, index: Index, side: Side) -> Option<u64> {
        self.numbers.get(&(route, index, side)).copied()
    }

    /// Gives a message to a handshake.
    pub(super) fn on_message(
        &mut self,
        number: u64,
        message: &[u8],
        authorizer: &dyn Authorizer,
    ) -> Output {
        let output = match self
            .attempts
            .get_mut(&number)
            .map(|attempt| &mut attempt.end)
        {
            Some(End::Initiator(initiator, _)) => initiator.on_message(message, authorizer),
            Some(End::Responder(responder)) => responder.on_message(message, authorizer),
            None => Output::Wait,
        };
        if let (Output::Sign(_), Some(attempt)) = (&output, self.attempts.get_mut(&number)) {
            attempt.stage = Stage::Signing;
        }
        output
    }

    /// Ends a handshake soon to which somebody has given a hint in place of an answer. Returns true for the first hint.
    ///
    /// An answer that comes after it still counts, since anybody may have made the hint up: it takes nothing but time.
    pub(super) fn note_hint(&mut self, number: u64, now: Duration) -> bool {
        let attempt = self.attempts.get_mut(&number);
        let Some(attempt) = attempt.filter(|attempt| attempt.is_hinted()) else {
            return false;
        };
        let is_first = attempt.hinted_over_at.is_none();
        attempt
            .hinted_over_at
            .get_or_insert(now.saturating_add(HINTED_TIME_MAX));
        is_first
    }

    /// Ends a handshake to which nothing came but a hint.
    pub(super) fn time_out_hinted(&mut self, number: u64) -> Option<Output> {
        let attempt = self.attempts.get_mut(&number);
        let hinted = attempt.filter(|attempt| attempt.is_hinted());
        hinted.map(Attempt::time_out)
    }

    /// Gives a signature to a handshake.
    pub(super) fn on_signed(
        &mut self,
        number: u64,
        signature: &[u8; SIGNATURE_BYTES],
        now: Duration,
    ) -> Output {
        let Some(attempt) = self.attempts.get_mut(&number) else {
            return Output::Wait;
        };
        if let Some(repeat) = &mut attempt.repeat {
            *repeat = Repeat {
                at: now.saturating_add(REPEAT_AFTER),
                after: REPEAT_AFTER,
            };
        }
        attempt.stage = Stage::Signed;
        match &mut attempt.end {
            End::Initiator(initiator, _) => initiator.on_signed(signature),
            End::Responder(responder) => responder.on_signed(signature),
        }
    }

    pub(super) fn len(&self) -> usize {
        self.attempts.len()
    }

    pub(super) fn get(&self, number: u64) -> Option<&Attempt> {
        self.attempts.get(&number)
    }

    pub(super) fn remove(&mut self, number: u64) -> Option<Attempt> {
        let attempt = self.attempts.remove(&number)?;
        self.numbers
            .remove(&(attempt.route, attempt.index, attempt.side()));
        Some(attempt)
    }

    /// Returns the handshakes on a path.
    pub(super) fn on_route(&self, route: Route) -> Vec<u64> {
        let on_route = self
            .attempts
            .iter()
            .filter(|(_, attempt)| attempt.route == route);
        on_route.map(|(number, _)| *number).collect()
    }

    /// Returns the paths of handshakes.
    pub(super) fn routes(&self) -> impl Iterator<Item = Route> {
        self.attempts.values().map(|attempt| attempt.route)
    }

    /// Returns true if a handshake is under way on a path.
    pub(super) fn uses(&self, route: Route) -> bool {
        self.attempts.values().any(|attempt| attempt.route == route)
    }

    /// Returns when something is due.
    pub(super) fn deadline(&self) -> Option<Duration> {
        self.attempts.values().map(Attempt::deadline).min()
    }

    /// Returns something that is due at `now`.
    pub(super) fn next_due(&mut self, now: Duration) -> Option<Due> {
        let due = self
            .attempts
            .iter()
            .find(|(_, attempt)| attempt.deadline() <= now);
        let number = *due?.0;
        let attempt = self.attempts.get_mut(&number)?;
        if attempt.over_at() <= now {
            return Some(Due::Over(Box::new(self.remove(number)?)));
        }
        let repeat = attempt.repeat.as_mut()?;
        repeat.after *= 2;
        repeat.at = now.saturating_add(repeat.after);
        Some(Due::Repeat(attempt.route, attempt.unanswered()))
    }

    fn insert(&mut self, number: u64, attempt: Attempt) {
        self.numbers
            .insert((attempt.route, attempt.index, attempt.side()), number);
        self.attempts.insert(number, attempt);
    }

    /// Returns the responders of which one has to give way to another from this path; `None` if there is room.
    fn crowd(&self, route: &Route) -> Option<Vec<(u64, &Attempt)>> {
        let bounds: [(IsNear, usize); 3] = [
            (
                |one, other| origin(one) == origin(other),
                HALF_OPEN_PER_ORIGIN_MAX,
            ),
            (
                |one, other| gate(one) == gate(other),
                HALF_OPEN_PER_GATE_MAX,
            ),
            (|_, _| true, HALF_OPEN_MAX),
        ];
        bounds.iter().find_map(|(is_near, max)| {
            let near = self.attempts.iter().filter(|(_, attempt)| {
                attempt.side() == Side::Responder && is_near(&attempt.route, route)
            });
            let near: Vec<_> = near.map(|(number, attempt)| (*number, attempt)).collect();
            (near.len() >= *max).then_some(near)
        })
    }

    /// Returns the one of a crowd that gives way to another from this path: of those that have had their time, the
    /// oldest of the origin with most by the gate with most.
    fn eviction(route: &Route, crowd: &[(u64, &Attempt)], now: Duration) -> Option<u64> {
        let leaves = |attempt: &Attempt| {
            attempt.stage == Stage::Signed
                || now >= attempt.begun_at.saturating_add(HALF_OPEN_TIME_MIN)
        };
        if !crowd.iter().any(|(_, attempt)| leaves(attempt)) {
            return None;
        }
        let (mut of_gates, mut of_origins) = (SortedMap::new(), SortedMap::new());
        for (_, attempt) in crowd {
            *of_gates.entry(gate(&attempt.route)).or_insert(0_usize) += 1;
            *of_origins.entry(origin(&attempt.route)).or_insert(0_usize) += 1;
        }
        let leaving = crowd.iter().filter(|(_, attempt)| leaves(attempt));
        let evicted = leaving.min_by_key(|(number, attempt)| {
            let of_gate = of_gates.get(&gate(&attempt.route));
            let of_origin = of_origins.get(&origin(&attempt.route));
            // Through a third server come many: whoever begins anew gives way to itself first.
            let is_of_another = attempt.route != *route;
            (
                Reverse((of_gate, of_origin)),
                attempt.stage,
                is_of_another,
                *number,
            )
        });
        evicted.map(|(number, _)| *number)
    }
}

/// Returns true if two paths share a bound of handshakes.
type IsNear = fn(&Route, &Route) -> bool;

/// Returns what shares a bound of handshakes: whatever comes from one host, or in one server's name by one gate.
fn origin(route: &Route) -> (usize, &[u8]) {
    (route.carrier, route.path.origin())
}

/// Returns by which of a carrier's gates a path comes, as far as its origin tells: the kind of it, and what stands
/// before a server's id. That is the gate of what comes by signals. Of addresses of hosts it is the first byte, the
/// widest network.
fn gate(route: &Route) -> (usize, usize, &[u8]) {
    let origin = route.path.origin();
    let before_id = origin.len().saturating_sub(size_of::<ServerId>());
    let bytes = before_id.max(1).min(origin.len());
    (route.carrier, origin.len(), &origin[..bytes])
}

impl Attempt {
    /// Returns whom this end looks for, if it began the handshake.
    pub(super) fn target(&self) -> Option<&Target> {
        match &self.end {
            End::Initiator(_, target) => Some(target),
            End::Responder(_) => None,
        }
    }

    /// Ends the handshake.
    pub(super) fn time_out(&mut self) -> Output {
        match &mut self.end {
            End::Initiator(initiator, _) => initiator.time_out(),
            End::Responder(responder) => responder.time_out(),
        }
    }

    /// Returns the message to repeat when the path has come up.
    pub(super) fn unanswered(&self) -> Option<Bytes> {
        match &self.end {
            End::Initiator(initiator, _) => initiator.unanswered(),
            End::Responder(_) => None,
        }
    }

    fn side(&self) -> Side {
        match self.end {
            End::Initiator(..) => Side::Initiator,
            End::Responder(_) => Side::Responder,
        }
    }

    /// Returns true if a hint came in place of an answer.
    fn is_hinted(&self) -> bool {
        matches!(&self.end, End::Initiator(initiator, _) if initiator.is_hinted())
    }

    fn over_at(&self) -> Duration {
        let hinted = self.hinted_over_at.filter(|_| self.is_hinted());
        hinted.map_or(self.over_at, |hinted| hinted.min(self.over_at))
    }

    fn deadline(&self) -> Duration {
        let over_at = self.over_at();
        self.repeat
            .as_ref()
            .map_or(over_at, |repeat| repeat.at.min(over_at))
    }
}
