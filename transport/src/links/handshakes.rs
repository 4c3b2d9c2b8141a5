//! Keeps the handshakes that are not done, and bounds what those of unknown peers cost.

use std::collections::BTreeMap;
use std::time::Duration;

use bytes::Bytes;
use liferaft_platform::Address;

use super::event::Route;
use super::limits::{HALF_OPEN_MAX, HALF_OPEN_PER_ORIGIN_MAX, HANDSHAKE_TIME_MAX};
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
    attempts: BTreeMap<u64, Attempt>,
    numbers: BTreeMap<(Route, Index, Side), u64>,
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
    /// A responder has seen that its peer reads what is sent to it, and waits for a signature.
    is_signing: bool,
    over_at: Duration,
    /// When it is over because of a hint, unless an answer comes before.
    hinted_over_at: Option<Duration>,
    repeat: Option<Repeat>,
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
                is_signing: false,
                over_at: now.saturating_add(HANDSHAKE_TIME_MAX),
                hinted_over_at: None,
                repeat: Some(repeat),
            },
        );
        opening
    }

    /// Takes up the handshake of an unknown peer. Returns its number, and the handshake that had to give way to it.
    pub(super) fn accept(
        &mut self,
        (route, index): (Route, Index),
        responder: Responder,
        now: Duration,
    ) -> (u64, Option<Box<Attempt>>) {
        let evicted = self.eviction(&route).and_then(|number| self.remove(number));
        let number = self.number();
        self.insert(
            number,
            Attempt {
                route,
                end: End::Responder(Box::new(responder)),
                index,
                is_signing: false,
                over_at: now.saturating_add(HANDSHAKE_TIME_MAX),
                hinted_over_at: None,
                repeat: None,
            },
        );
        (number, evicted.map(Box::new))
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
            attempt.is_signing = true;
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
        attempt.is_signing = false;
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

    /// Returns the responder that gives way to another from this path, if there are too many: of those that have shown
    /// nothing yet, else of all, the oldest from the same path, else the oldest. Through a third server come many.
    fn eviction(&self, route: &Route) -> Option<u64> {
        let is_near = |attempt: &Attempt| {
            attempt.route.carrier == route.carrier
                && attempt.route.path.origin() == route.path.origin()
        };
        let all = || {
            self.attempts
                .iter()
                .filter(|(_, attempt)| attempt.side() == Side::Responder)
        };
        let near = || all().filter(|(_, attempt)| is_near(attempt));
        let oldest_first = |(number, attempt): &(&u64, &Attempt)| {
            (attempt.is_signing, attempt.route != *route, **number)
        };
        let evicted = if near().count() >= HALF_OPEN_PER_ORIGIN_MAX {
            near().min_by_key(oldest_first)
        } else if all().count() >= HALF_OPEN_MAX {
            all().min_by_key(oldest_first)
        } else {
            None
        };
        evicted.map(|(number, _)| *number)
    }
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
