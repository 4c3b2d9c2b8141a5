//! Reads of what a member has itself, whether or not it may be old.
//!
//! A read that bounds the age is answered from the member's own state if that is known to be young enough. Otherwise it
//! goes the way of a linearizable read, which makes the state as young as the call.

use std::time::Duration;

use tokio::sync::oneshot;

use super::applier::Query;
use super::error::ReadError;
use super::request::{Read, ReadCaller};
use super::task::Driver;
use crate::ids::Index;
use crate::state_machine::StateMachine;
use crate::time::Instant;

/// The answer to a local read.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Local<A> {
    /// What the member's own state says.
    pub answer: A,
    /// How long ago, at most, when the state machine was asked, that state was the newest in the cluster: it reflects
    /// every command that was done, anywhere, before then. `None` if it is not known ever to have been, as on a member
    /// that has just started.
    ///
    /// It is true whatever messages take and whoever believes to lead, since it counts by this member's clock alone
    /// from before its leader spoke, and counts only what a quorum has since confirmed. It relies on that clock to
    /// count all time that passes. In a quiet cluster it lies between two and three heartbeat intervals on a follower,
    /// and below one on a leader, plus the time that messages take; where commands are done it is lower.
    pub age: Option<Duration>,
    /// The last entry that the state reflects.
    pub applied: Index,
}

impl<A> Local<A> {
    /// The same with another answer, which this one is turned into.
    ///
    /// # Errors
    /// That of `into`.
    pub fn try_map<B, E>(self, into: impl FnOnce(A) -> Result<B, E>) -> Result<Local<B>, E> {
        Ok(Local {
            answer: into(self.answer)?,
            age: self.age,
            applied: self.applied,
        })
    }
}

/// A local read.
pub(super) struct LocalRead<S: StateMachine> {
    pub(super) query: S::Query,
    /// How old the state may be; `None` for any age.
    pub(super) bound: Option<Bound>,
    pub(super) caller: LocalCaller<S>,
}

/// How old the state of a local read may be.
#[derive(Clone, Copy, Debug)]
pub(super) struct Bound {
    pub(super) age_max: Duration,
    /// Until when to wait for a younger one.
    pub(super) deadline: Instant,
    /// Whether not to rely on what is known, because it grew too old on the way.
    pub(super) anew: bool,
}

pub(super) type LocalCaller<S> =
    oneshot::Sender<Result<Local<<S as StateMachine>::Answer>, Unread<<S as StateMachine>::Query>>>;

/// Why a local read has no answer.
#[derive(Debug)]
pub(super) enum Unread<Q> {
    Error(ReadError),
    /// The state has grown older than the bound before it was asked.
    TooOld(Q),
}

impl<S: StateMachine> Driver<S> {
    /// Takes a caller's local read. Whether it did: too many are busy.
    pub(super) fn take_local_read(&mut self, read: LocalRead<S>, now: Instant) -> bool {
        let as_of = self.freshness.as_of();
        match read.bound {
            Some(bound) if bound.anew || !bound.allows(as_of, now) => self.reads.admit(Read {
                query: read.query,
                not_before: Index::ZERO,
                deadline: bound.deadline,
                caller: ReadCaller::Local {
                    as_of: now,
                    caller: read.caller,
                },
            }),
            Some(_) | None => self.work.query(Query::Local { read, as_of }),
        }
    }
}

impl Bound {
    /// Whether a state that was the newest as of a moment is young enough.
    pub(super) fn allows(self, as_of: Option<Instant>, now: Instant) -> bool {
        as_of.is_some_and(|as_of| now.since(as_of) <= self.age_max)
    }
}
