//! What callers ask of the member's task, and how much of it may wait.

use std::sync::atomic::{AtomicUsize, Ordering};

use tokio::sync::oneshot;

use super::error::{MembershipError, ReadError, TransferLeadershipError};
use super::handle::Local;
use super::proposals::Caller;
use crate::config::Timing;
use crate::consensus::MembershipChange;
use crate::ids::ServerId;
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
    ReadLocal {
        query: S::Query,
        caller: oneshot::Sender<Result<Local<S::Answer>, ReadError>>,
    },
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
    /// Other times for elections and heartbeats.
    SetTiming(Timing),
    /// The member is to hand over and stop.
    Shutdown,
}

/// A linearizable read.
pub(super) struct Read<S: StateMachine> {
    pub(super) query: S::Query,
    pub(super) deadline: Instant,
    pub(super) caller: oneshot::Sender<Result<S::Answer, ReadError>>,
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
