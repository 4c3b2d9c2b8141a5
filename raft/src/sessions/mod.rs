//! Sessions: each command takes effect exactly once, around any state machine (§6.3).
//!
//! A member proposes under a session, numbers its commands there, and may send each as often as it likes: the first
//! copy in the log is applied, and its reply is kept until the member has acknowledged it. The table is part of the
//! replicated state. It changes by entries of the log alone, and expires by the stamps on them, never by a local clock.
//!
//! The name of a session is the index of the entry that registered it. It is never given twice, so a command of a
//! session that is gone can never take effect later: *expired* always means *not done by this copy*.
//!
//! There are two kinds. The commands of a plain session take effect in whatever order they reach the log. Those of an
//! ordered one take effect in the order of their numbers: a copy that comes before its turn has no effect and is sent
//! again, so that many may be under way at once and a lost or overtaken frame costs time, never the order.

mod envelope;
mod joined;
mod snapshot;

use std::collections::{BTreeMap, VecDeque};
use std::sync::Arc;
use std::time::Duration;

pub use envelope::{
    CommandHeader, Envelope, EnvelopeError, HEADER_BYTES, ordered_registration, registration,
};
pub use joined::{Joined, Joining, SnapshotError, join_snapshot, split_snapshot};
pub use snapshot::SessionsError;

use crate::ids::Index;
use crate::state_machine::ApplyContext;
use crate::time::ClusterTime;

/// The most sessions that a cluster keeps. One more evicts the one that was used least lately.
pub const SESSIONS_MAX: usize = 4096;

/// How far a session's commands may run ahead of the first that is not acknowledged. One beyond is refused.
pub const OUTSTANDING_MAX: u64 = 1 << 15;

/// The cluster time after which a plain session that was not used is gone.
///
/// It is a constant because all members must agree on it at every entry: one that differed would apply what others
/// refuse.
pub const SESSION_EXPIRY: Duration = Duration::from_secs(3600);

/// The cluster time after which an ordered session that was not used is gone: what waits in an outbox may wait for a
/// partition of hours to heal. A constant for the same reason.
pub const ORDERED_SESSION_EXPIRY: Duration = Duration::from_secs(24 * 3600);

/// The highest number of a command. It leaves room to count beyond it without overflow.
const SEQUENCE_MAX: u64 = u64::MAX - 2 * OUTSTANDING_MAX;

/// The sessions of a cluster, with the replies that their members may not have seen yet.
#[derive(Clone, Debug)]
pub struct Sessions<R> {
    /// Shared with the captures of it until either changes: capturing the table must not take long.
    sessions: BTreeMap<Index, Arc<Session<R>>>,
    // A registration that was sent twice must not leave two sessions.
    by_nonce: BTreeMap<u128, Index>,
    look: Look,
}

/// What a look through all sessions has found, so that a flood of registrations does not cost a look each. It follows
/// from the table and is no part of it.
#[derive(Clone, Debug, Default)]
struct Look {
    /// No session was used before this moment.
    active_since: ClusterTime,
    /// Sessions by their last use, as it was then. Those that were not used since come before all others.
    idlest: VecDeque<(Index, Index)>,
}

#[derive(Clone, Debug)]
struct Session<R> {
    nonce: u128,
    kind: Kind,
    /// The cluster time of the entry that used it last: what it expires by.
    last_active: ClusterTime,
    /// The index of that entry: what it is evicted by.
    last_used: Index,
    /// Every command up to here has been answered or given up: none of them is applied from here on.
    acknowledged_through: u64,
    /// The replies after that, in order of their numbers; `None` where a later command came first, as in an ordered
    /// session none does.
    replies: VecDeque<Option<R>>,
}

/// In which order the commands of a session take effect, and how long it lasts.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Kind {
    Plain,
    Ordered,
}

/// What became of one copy of a command.
#[derive(Debug, PartialEq, Eq)]
pub enum Outcome<'a, R> {
    /// It has taken effect, by this copy or an earlier one, with this reply.
    Done(&'a R),
    /// Its member has said that it no longer waits for it. This copy had no effect.
    Acknowledged,
    /// Its session is gone, or never was. This copy had no effect and no other can have one.
    Expired,
    /// It is too far ahead of the first command that is not acknowledged. This copy had no effect.
    TooFarAhead,
    /// Its session is ordered and the command before it has not taken effect. This copy had no effect.
    Early,
}

impl<R> Default for Sessions<R> {
    fn default() -> Self {
        Self {
            sessions: BTreeMap::new(),
            by_nonce: BTreeMap::new(),
            look: Look::default(),
        }
    }
}

impl<R: Clone> Sessions<R> {
    /// How many there are, those included that have expired and that no entry has removed yet.
    #[must_use]
    pub fn len(&self) -> usize {
        self.sessions.len()
    }

    /// Whether there are none.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.sessions.is_empty()
    }

    /// Opens the plain session of this nonce, or finds it open, and returns its name.
    ///
    /// The expired leave first, then, if [`SESSIONS_MAX`] are open still, the one that was used least lately.
    pub fn register(&mut self, at: ApplyContext, nonce: u128) -> Index {
        self.register_kind(at, nonce, Kind::Plain)
    }

    /// Opens the ordered session of this nonce, or finds it open, and returns its name, as [`register`](Self::register)
    /// does.
    pub fn register_ordered(&mut self, at: ApplyContext, nonce: u128) -> Index {
        self.register_kind(at, nonce, Kind::Ordered)
    }

    fn register_kind(&mut self, at: ApplyContext, nonce: u128, kind: Kind) -> Index {
        self.remove_expired(at.time);
        if let Some(name) = self.by_nonce.get(&nonce) {
            let session = self
                .sessions
                .get_mut(name)
                .expect("a nonce leads to an open session");
            let session = Arc::make_mut(session);
            session.last_active = at.time;
            session.last_used = at.index;
            return *name;
        }
        if self.sessions.len() >= SESSIONS_MAX {
            self.evict_least_recently_used();
        }
        self.by_nonce.insert(nonce, at.index);
        self.sessions.insert(
            at.index,
            Arc::new(Session {
                nonce,
                kind,
                last_active: at.time,
                last_used: at.index,
                acknowledged_through: 0,
                replies: VecDeque::new(),
            }),
        );
        at.index
    }

    /// Applies a command, unless an earlier copy was applied or no copy may be.
    ///
    /// # Errors
    /// Those of `apply`. The table is then as if the command had not been there, but for its session being used.
    pub fn execute<E>(
        &mut self,
        at: ApplyContext,
        command: &CommandHeader,
        apply: impl FnOnce() -> Result<R, E>,
    ) -> Result<Outcome<'_, R>, E> {
        if self.has_expired(command.session, at.time) {
            self.remove(command.session);
        }
        let Some(session) = self.sessions.get_mut(&command.session) else {
            return Ok(Outcome::Expired);
        };
        let session = Arc::make_mut(session);
        session.last_active = at.time;
        session.last_used = at.index;
        if command.sequence > SEQUENCE_MAX {
            return Ok(Outcome::TooFarAhead);
        }
        session.acknowledge(command.acknowledged_through);
        session.execute(command.sequence, apply)
    }

    /// The open session of the highest nonce in this range, with that nonce. A member that counts its registrations up
    /// finds its latest, although a copy of an earlier registration may have opened a session after it.
    #[must_use]
    pub fn find(&self, nonces: std::ops::RangeInclusive<u128>) -> Option<(u128, Index)> {
        let latest = self.by_nonce.range(nonces).next_back();
        latest.map(|(nonce, name)| (*nonce, *name))
    }

    /// The replies that a session keeps, with the numbers of their commands.
    pub fn replies(&self, session: Index) -> impl Iterator<Item = (u64, &R)> {
        self.sessions.get(&session).into_iter().flat_map(|session| {
            (session.acknowledged_through + 1..)
                .zip(&session.replies)
                .filter_map(|(sequence, reply)| Some((sequence, reply.as_ref()?)))
        })
    }

    fn has_expired(&self, session: Index, time: ClusterTime) -> bool {
        self.sessions
            .get(&session)
            .is_some_and(|session| session.has_expired(time))
    }

    fn remove_expired(&mut self, time: ClusterTime) {
        if time.since(self.look.active_since) <= SESSION_EXPIRY.min(ORDERED_SESSION_EXPIRY) {
            return;
        }
        let by_nonce = &mut self.by_nonce;
        self.sessions.retain(|_, session| {
            let expired = session.has_expired(time);
            if expired {
                by_nonce.remove(&session.nonce);
            }
            !expired
        });
        let actives = self.sessions.values().map(|session| session.last_active);
        self.look.active_since = actives.min().unwrap_or(time);
    }

    fn evict_least_recently_used(&mut self) {
        loop {
            while let Some((last_used, name)) = self.look.idlest.pop_front() {
                let session = self.sessions.get(&name);
                if session.is_some_and(|session| session.last_used == last_used) {
                    return self.remove(name);
                }
            }
            if self.sessions.is_empty() {
                return;
            }
            let uses = self.sessions.iter();
            let mut idlest: Vec<_> = uses
                .map(|(name, session)| (session.last_used, *name))
                .collect();
            idlest.sort_unstable();
            self.look.idlest = idlest.into();
        }
    }

    fn remove(&mut self, name: Index) {
        if let Some(session) = self.sessions.remove(&name) {
            self.by_nonce.remove(&session.nonce);
        }
    }
}

impl<R> Session<R> {
    fn has_expired(&self, time: ClusterTime) -> bool {
        let expiry = match self.kind {
            Kind::Plain => SESSION_EXPIRY,
            Kind::Ordered => ORDERED_SESSION_EXPIRY,
        };
        time.since(self.last_active) > expiry
    }

    fn acknowledge(&mut self, through: u64) {
        let count = through.saturating_sub(self.acknowledged_through);
        let kept = self.replies.len();
        self.replies
            .drain(..usize::try_from(count).unwrap_or(usize::MAX).min(kept));
        self.acknowledged_through = self.acknowledged_through.max(through);
    }

    fn execute<E>(
        &mut self,
        sequence: u64,
        apply: impl FnOnce() -> Result<R, E>,
    ) -> Result<Outcome<'_, R>, E> {
        let Some(place) = sequence.checked_sub(self.acknowledged_through + 1) else {
            return Ok(Outcome::Acknowledged);
        };
        let Some(place) = usize::try_from(place)
            .ok()
            .filter(|_| place < OUTSTANDING_MAX)
        else {
            return Ok(Outcome::TooFarAhead);
        };
        if self.kind == Kind::Ordered && place > self.replies.len() {
            return Ok(Outcome::Early);
        }
        if self.replies.get(place).is_none_or(Option::is_none) {
            let reply = apply()?;
            if place >= self.replies.len() {
                self.replies.resize_with(place + 1, || None);
            }
            self.replies[place] = Some(reply);
        }
        let reply = self.replies[place]
            .as_ref()
            .expect("the reply was there or has just been put there");
        Ok(Outcome::Done(reply))
    }
}

#[cfg(test)]
mod tests;
