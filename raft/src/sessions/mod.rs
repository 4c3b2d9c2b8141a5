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
//!
//! A member's sessions are its own word. A client, which is no member, owns the sessions that it registers: they are
//! named by the key that its link has proven, no other client's commands count under them, and each client has a quota
//! of its own. So has each token that lets clients in, as whoever holds one may draw keys at will: a token within its
//! share of all sessions loses none to another. Sessions of clients and of members have separate bounds, so that
//! neither evict the other's.
//!
//! The replies that are kept have a bound, for a session and over all. Where a reply exceeds it, the session with the
//! heaviest replies ends, at the same entry on every member; of clients, a session of the token whose replies weigh
//! most. Commands of it that come later have no effect, so a member that has seen the entry sends them again in another
//! session; one that was sent a snapshot in its place tells its callers that the outcome is unknown.

mod clients;
mod envelope;
mod joined;
mod limits;
mod order;
mod session;
mod snapshot;

use alloc::borrow::Cow;
use alloc::collections::BTreeMap;
use alloc::sync::Arc;
use core::cmp::Reverse;

use serde::Serialize;

use self::clients::ClientSessions;
use self::order::Order;
use self::session::{Kind, Place, Reply, Session, weight};

pub use envelope::{
    CommandHeader, Envelope, EnvelopeError, HEADER_BYTES, OWNED_HEADER_BYTES, ordered_registration,
    owned_registration, registration,
};
pub use joined::{
    JoinError, Joined, Joining, SnapshotError, Splitting, join_snapshot, split_snapshot,
};
pub use limits::{
    CLIENT_SESSIONS_MAX, ORDERED_SESSION_EXPIRY, OUTSTANDING_MAX, OWNER_SESSIONS_MAX,
    REPLY_BYTES_MAX, REPLY_OVERHEAD_BYTES, SESSION_EXPIRY, SESSION_REPLY_BYTES_MAX, SESSIONS_MAX,
    TOKEN_SESSIONS_MAX,
};
pub use session::Owner;
pub use snapshot::SessionsError;

use crate::consensus::planted::{Bug, is_planted};
use crate::ids::{Index, ServerId};
use crate::sorted::SortedMap;
use crate::state_machine::ApplyContext;
use crate::time::ClusterTime;

/// The most that replies may weigh, of one session and of all.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ReplyBounds {
    /// Those of one session, in bytes.
    pub session_bytes_max: u64,
    /// Those of all sessions, in bytes.
    pub bytes_max: u64,
}

impl Default for ReplyBounds {
    /// [`SESSION_REPLY_BYTES_MAX`] and [`REPLY_BYTES_MAX`].
    fn default() -> Self {
        Self {
            session_bytes_max: SESSION_REPLY_BYTES_MAX,
            bytes_max: REPLY_BYTES_MAX,
        }
    }
}

/// The highest number of a command. It leaves room to count beyond it without overflow.
const SEQUENCE_MAX: u64 = u64::MAX - 2 * OUTSTANDING_MAX;

/// The sessions of a cluster, with the replies that their members may not have seen yet.
#[derive(Clone, Debug)]
pub struct Sessions<R> {
    /// Shared with the captures of it until either changes: capturing the table must not take long.
    sessions: BTreeMap<Index, Arc<Session<R>>>,
    // A registration that was sent twice must not leave two sessions.
    by_nonce: BTreeMap<(Option<ServerId>, u128), Index>,
    /// What all replies weigh.
    reply_bytes: u64,
    bounds: ReplyBounds,
    /// When sessions expire. Like those below, it follows from the table.
    expiries: Order,
    /// Those of members by their last use: a flood of registrations must not cost a look through all of them each.
    of_members: Order,
    of_clients: ClientSessions,
}

/// What became of one copy of a command.
#[derive(Debug, PartialEq, Eq)]
pub enum Outcome<'a, R: Clone> {
    /// It has taken effect, by this copy or an earlier one, with this reply. The reply is owned where it was too heavy
    /// to be kept, so that its session has ended.
    Done(Cow<'a, R>),
    /// It has taken effect by an earlier copy, and its reply came with a snapshot and is none of this version.
    Unreadable,
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
            reply_bytes: 0,
            bounds: ReplyBounds::default(),
            expiries: Order::default(),
            of_members: Order::default(),
            of_clients: ClientSessions::default(),
        }
    }
}

impl<R> Sessions<R> {
    /// The sessions of a client.
    fn of_owner(&self, owner: ServerId) -> impl Iterator<Item = Index> {
        let nonces = (Some(owner), 0)..=(Some(owner), u128::MAX);
        self.by_nonce.range(nonces).map(|(_, name)| *name)
    }

    /// Takes in a session whose nonce is known already.
    fn list(&mut self, name: Index, session: Session<R>) {
        self.expiries.insert(name, session.expires_at().0);
        match session.owner {
            Some(owner) => self.of_clients.insert(owner.token, name, session.last_used),
            None => self.of_members.insert(name, session.last_used.0),
        }
        self.reply_bytes += session.reply_bytes();
        self.sessions.insert(name, Arc::new(session));
    }
}

impl<R: Clone> Sessions<R> {
    /// How many there are.
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
        self.register_kind(at, (None, nonce), Kind::Plain)
    }

    /// Opens the ordered session of this nonce, or finds it open, and returns its name, as [`register`](Self::register)
    /// does.
    pub fn register_ordered(&mut self, at: ApplyContext, nonce: u128) -> Index {
        self.register_kind(at, (None, nonce), Kind::Ordered)
    }

    /// Opens the plain session of this client's nonce, or finds it open, and returns its name. One that is open counts
    /// against the token that it was opened by.
    ///
    /// The expired leave first, then, if there are still [`OWNER_SESSIONS_MAX`] of this client, [`TOKEN_SESSIONS_MAX`]
    /// of its token, or [`CLIENT_SESSIONS_MAX`] of all, one that these name.
    pub fn register_owned(&mut self, at: ApplyContext, owner: Owner, nonce: u128) -> Index {
        self.register_kind(at, (Some(owner), nonce), Kind::Plain)
    }

    fn register_kind(
        &mut self,
        at: ApplyContext,
        (owner, nonce): (Option<Owner>, u128),
        kind: Kind,
    ) -> Index {
        self.advance(at.time);
        let key = (owner.map(|owner| owner.id), nonce);
        if let Some(name) = self.by_nonce.get(&key) {
            let session = self
                .sessions
                .get_mut(name)
                .expect("a nonce leads to an open session");
            Arc::make_mut(session).used(at);
            return *name;
        }
        match owner {
            Some(owner) => self.make_room_for_client(owner),
            None => self.make_room_for_member(),
        }
        self.by_nonce.insert(key, at.index);
        self.list(at.index, Session::opened(at, (owner, nonce), kind));
        at.index
    }

    /// Applies a member's command, unless an earlier copy was applied or no copy may be.
    ///
    /// # Errors
    /// Those of `apply`. The table is then as if the command had not been there, but for its session being used.
    pub fn execute<E>(
        &mut self,
        at: ApplyContext,
        command: &CommandHeader,
        apply: impl FnOnce() -> Result<R, E>,
    ) -> Result<Outcome<'_, R>, E>
    where
        R: Serialize,
    {
        self.execute_for(None, at, command, apply)
    }

    /// Applies a command of a client, or of a member for `None`, as [`execute`](Self::execute) does. A session of
    /// another owner is none.
    ///
    /// # Errors
    /// Those of `apply`.
    pub fn execute_for<E>(
        &mut self,
        owner: Option<ServerId>,
        at: ApplyContext,
        command: &CommandHeader,
        apply: impl FnOnce() -> Result<R, E>,
    ) -> Result<Outcome<'_, R>, E>
    where
        R: Serialize,
    {
        self.advance(at.time);
        let (name, sequence) = (command.session, command.sequence);
        let found = self.sessions.get_mut(&name);
        let Some(session) = found.filter(|session| session.owner_id() == owner) else {
            return Ok(Outcome::Expired);
        };
        let session = Arc::make_mut(session);
        session.used(at);
        if sequence > SEQUENCE_MAX {
            return Ok(Outcome::TooFarAhead);
        }
        self.reply_bytes -= session.acknowledge(command.acknowledged_through);
        let place = match session.place(sequence) {
            Place::Kept(place) => place,
            Place::Open(place) => {
                let reply = apply()?;
                let bytes = weight(&reply);
                session.keep(place, sequence, Reply::Value(reply), bytes);
                self.reply_bytes += bytes;
                let is_beyond = session.reply_bytes() > self.bounds.session_bytes_max
                    || self.reply_bytes > self.bounds.bytes_max;
                let ends = is_beyond && !is_planted(Bug::RepliesUnbounded);
                if ends && let Some(ended) = self.end_beyond_bounds(name) {
                    let reply = ended.reply(place).value().cloned();
                    return Ok(reply.map_or(Outcome::Unreadable, |reply| {
                        Outcome::Done(Cow::Owned(reply))
                    }));
                }
                place
            }
            Place::Acknowledged => return Ok(Outcome::Acknowledged),
            Place::TooFarAhead => return Ok(Outcome::TooFarAhead),
            Place::Early => return Ok(Outcome::Early),
        };
        let session = self.sessions.get(&name).expect("it is open still");
        let reply = session.reply(place).value();
        Ok(reply.map_or(Outcome::Unreadable, |reply| {
            Outcome::Done(Cow::Borrowed(reply))
        }))
    }

    /// Removes the sessions that have expired. To be called with the time of each entry, of whatever kind: a command or
    /// a registration does so by itself.
    pub fn advance(&mut self, time: ClusterTime) {
        let due = |expiries: &mut Order, sessions: &BTreeMap<Index, Arc<Session<R>>>| {
            expiries.due(time.0, |name| sessions[&name].expires_at().0)
        };
        while let Some(name) = due(&mut self.expiries, &self.sessions) {
            self.remove(name);
        }
    }

    /// When the first session expires unless it is used. For this an entry is to be appended if none comes by itself.
    pub fn expires_at(&mut self) -> Option<ClusterTime> {
        let sessions = &self.sessions;
        let first = self.expiries.first(|name| sessions[&name].expires_at().0);
        first.map(|(time, _)| ClusterTime(time))
    }

    /// Bounds the replies otherwise than by the constants, from here on: for simulators, whose runs are too short for
    /// those. All members must agree on it at every entry.
    pub const fn bound_replies(&mut self, bounds: ReplyBounds) {
        self.bounds = bounds;
    }

    /// What the replies of all sessions weigh, in bytes: at most [`REPLY_BYTES_MAX`].
    #[must_use]
    pub const fn reply_bytes(&self) -> u64 {
        self.reply_bytes
    }

    /// The open session of the highest nonce in this range, with that nonce. A member that counts its registrations up
    /// finds its latest, although a copy of an earlier registration may have opened a session after it.
    #[must_use]
    pub fn find(&self, nonces: core::ops::RangeInclusive<u128>) -> Option<(u128, Index)> {
        let nonces = (None, *nonces.start())..=(None, *nonces.end());
        let latest = self.by_nonce.range(nonces).next_back();
        latest.map(|((_, nonce), name)| (*nonce, *name))
    }

    /// The replies that a session keeps, with the numbers of their commands: `None` for one that came with a snapshot
    /// and is none of this version.
    pub fn replies(&self, session: Index) -> impl Iterator<Item = (u64, Option<&R>)> {
        let session = self.sessions.get(&session).into_iter();
        let replies = session.flat_map(|session| session.replies());
        replies.map(|(sequence, reply)| (sequence, reply.value()))
    }

    /// Ends sessions until the replies are within their bounds, and returns the session `grown`, whose replies have
    /// become heavier, if it is one of them. Sessions of members end for those of members, and of clients for clients':
    /// those of the token whose replies weigh most.
    fn end_beyond_bounds(&mut self, grown: Index) -> Option<Arc<Session<R>>> {
        let of_grown = self.sessions.get(&grown)?;
        let (of_session, is_owned) = (of_grown.reply_bytes(), of_grown.owner.is_some());
        let mut ended = None;
        if of_session > self.bounds.session_bytes_max {
            ended = self.remove(grown);
        }
        // Each round frees at least the average of the sessions of one token, so it is rare.
        while self.reply_bytes > self.bounds.bytes_max {
            let heaviest = self.heaviest(is_owned);
            // What the others keep was within bounds before this one grew, and it is gone.
            let Some(heaviest) = heaviest else { break };
            let removed = self.remove(heaviest);
            if heaviest == grown {
                ended = removed;
            }
        }
        ended
    }

    /// Returns the session of a member, or of a client, whose replies weigh most among those of one token: the token
    /// whose replies weigh most. Of equals, the lowest.
    fn heaviest(&self, is_owned: bool) -> Option<Index> {
        let token_of = |session: &Session<R>| session.owner.map(|owner| owner.token);
        let sessions = self.sessions.iter();
        let sessions = sessions.filter(|(_, session)| session.owner.is_some() == is_owned);
        let mut weights = SortedMap::new();
        for (_, session) in sessions.clone() {
            *weights.entry(token_of(session)).or_insert(0) += session.reply_bytes();
        }
        let (token, _) = weights
            .into_iter()
            .max_by_key(|(token, weight)| (*weight, Reverse(*token)))?;
        sessions
            .filter(|(_, session)| token_of(session) == token)
            .max_by_key(|(name, session)| (session.reply_bytes(), Reverse(**name)))
            .map(|(name, _)| *name)
    }

    /// Evicts a session for one more of this client, if one has to leave.
    fn make_room_for_client(&mut self, owner: Owner) {
        if self.of_owner(owner.id).count() >= OWNER_SESSIONS_MAX {
            let idlest = self
                .of_owner(owner.id)
                .min_by_key(|name| self.sessions[name].last_used);
            idlest.and_then(|name| self.remove(name));
        }
        let sessions = &self.sessions;
        let last_used = |name| sessions[&name].last_used;
        if let Some(name) = self.of_clients.gives_way(owner.token, last_used) {
            self.remove(name);
        }
    }

    /// Evicts a session for one more of a member, if one has to leave.
    fn make_room_for_member(&mut self) {
        if self.of_members.len() >= SESSIONS_MAX {
            let sessions = &self.sessions;
            let idlest = self.of_members.first(|name| sessions[&name].last_used.0);
            idlest.and_then(|(_, name)| self.remove(name));
        }
    }

    fn remove(&mut self, name: Index) -> Option<Arc<Session<R>>> {
        let session = self.sessions.remove(&name)?;
        self.by_nonce.remove(&(session.owner_id(), session.nonce));
        match session.owner {
            Some(owner) => self.of_clients.remove(owner.token, name),
            None => self.of_members.remove(name),
        }
        self.expiries.remove(name);
        self.reply_bytes -= session.reply_bytes();
        Some(session)
    }
}

#[cfg(test)]
mod tests;
