//! Defines what callers ask of the member's task, and how much of it may wait.

use std::sync::atomic::{AtomicUsize, Ordering};

use tokio::sync::oneshot;

use super::error::{MembershipError, ReadError, ShutdownError, TransferLeadershipError};
use super::lanes::LaneRequest;
use super::local::{Local, LocalCaller, LocalRead, Unread};
use super::proposals::Caller;
use super::serving::ClientReader;
use crate::config::Timing;
use crate::consensus::MembershipChange;
use crate::ids::{Index, ServerId};
use crate::state_machine::StateMachine;
use crate::time::Instant;

/// The most requests that wait to be taken up by the member's task.
pub(super) const QUEUE_MAX: usize = 1 << 13;

/// The most bytes of commands that callers wait for, in the queue or pending.
pub(super) const COMMAND_BYTES_PENDING_MAX: usize = 64 << 20;

/// What a caller asks.
pub(super) enum Request<S: StateMachine> {
    /// A command, serialised behind room for its header.
    Propose {
        command: Vec<u8>,
        deadline: Instant,
        caller: Caller<S::Reply>,
    },
    /// A linearizable read.
    Read(Read<S>),
    /// A read of what this member has.
    ReadLocal(LocalRead<S>),
    /// A membership change.
    Change {
        change: MembershipChange,
        deadline: Instant,
        caller: oneshot::Sender<Result<(), MembershipError>>,
    },
    /// A transfer of leadership.
    Transfer {
        to: Option<ServerId>,
        deadline: Instant,
        caller: oneshot::Sender<Result<ServerId, TransferLeadershipError>>,
    },
    /// What an outbox asks of its ordered session.
    Lane(LaneRequest<S::Reply>),
    /// Other times for elections and heartbeats.
    SetTiming(Timing),
    /// The member is to leave its cluster: it does not ask to be taken in any more.
    Leave(oneshot::Sender<()>),
    /// The member is to hand over and stop. As the only voter it refuses, if there is somebody to tell.
    Shutdown(Option<oneshot::Sender<ShutdownError>>),
}

/// A read that a leader has to confirm.
pub(super) struct Read<S: StateMachine> {
    pub(super) query: S::Query,
    /// It is answered once the entry at this index is applied, or as soon as it is confirmed.
    pub(super) not_before: Index,
    pub(super) deadline: Instant,
    pub(super) caller: ReadCaller<S>,
}

/// Who waits for a read that a leader has to confirm.
pub(super) enum ReadCaller<S: StateMachine> {
    Linearizable(oneshot::Sender<Result<S::Answer, ReadError>>),
    /// A local read that wants a younger state. Once it is confirmed, the state is the newest as of when the leader was
    /// last asked.
    Local {
        as_of: Instant,
        caller: LocalCaller<S>,
    },
    /// A client, which is not in this process.
    Client(ClientReader<S>),
}

impl<S: StateMachine> ReadCaller<S> {
    /// Tells the state machine's answer at a moment, and what it reflects.
    pub(super) fn answer(self, answer: S::Answer, now: Instant, applied: Index) {
        match self {
            Self::Linearizable(caller) => drop(caller.send(Ok(answer))),
            Self::Local { as_of, caller } => {
                let age = Some(now.since(as_of));
                drop(caller.send(Ok(Local {
                    answer,
                    age,
                    applied,
                })));
            }
            Self::Client(reader) => reader.answer(&answer),
        }
    }

    /// The leader is asked at this moment.
    pub(super) fn asked(&mut self, now: Instant) {
        match self {
            Self::Linearizable(_) | Self::Client(_) => {}
            Self::Local { as_of, .. } => *as_of = now,
        }
    }

    pub(super) fn refuse(self, error: ReadError) {
        match self {
            Self::Linearizable(caller) => drop(caller.send(Err(error))),
            Self::Local { caller, .. } => drop(caller.send(Err(Unread::Error(error)))),
            Self::Client(reader) => reader.refuse(&error),
        }
    }

    /// Whether nobody waits any more.
    pub(super) fn is_closed(&self) -> bool {
        match self {
            Self::Linearizable(caller) => caller.is_closed(),
            Self::Local { caller, .. } => caller.is_closed(),
            Self::Client(reader) => reader.is_closed(),
        }
    }
}

/// Bounds the length of a command of this member's callers, across the handles and the task.
#[derive(Debug)]
pub(super) struct CommandBytes {
    max: AtomicUsize,
}

impl CommandBytes {
    pub(super) const fn at_most(bytes: usize) -> Self {
        Self {
            max: AtomicUsize::new(bytes),
        }
    }

    /// Returns the longest command that is taken, in bytes and with its header.
    pub(super) fn max(&self) -> usize {
        self.max.load(Ordering::Relaxed)
    }

    /// Takes no longer ones any more.
    pub(super) fn lower_to(&self, bytes: u64) {
        let bytes = usize::try_from(bytes).unwrap_or(usize::MAX);
        self.max.fetch_min(bytes, Ordering::Relaxed);
    }
}

/// Counts the bytes of commands that callers wait for, across the handles and the task.
#[derive(Debug, Default)]
pub(super) struct Budget {
    used: AtomicUsize,
}

impl Budget {
    /// Takes so many bytes, if they are left. One command is always allowed when nothing is pending.
    pub(super) fn take(&self, bytes: usize) -> bool {
        let before = self.used.fetch_add(bytes, Ordering::Relaxed);
        let fits = before == 0 || before.saturating_add(bytes) <= COMMAND_BYTES_PENDING_MAX;
        if !fits {
            self.release(bytes);
        }
        fits
    }

    /// How many are taken.
    pub(super) fn used(&self) -> usize {
        self.used.load(Ordering::Relaxed)
    }

    /// Gives them back.
    pub(super) fn release(&self, bytes: usize) {
        self.used.fetch_sub(bytes, Ordering::Relaxed);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn bytes_are_refused_beyond_the_bound_until_some_are_given_back() {
        let budget = Budget::default();

        let all = budget.take(COMMAND_BYTES_PENDING_MAX);
        let one_more = budget.take(1);
        budget.release(10);
        let ten = budget.take(10);

        assert_eq!((all, one_more, ten), (true, false, true));
    }
}
