//! Counts the bytes of commands that callers wait for, and bounds the length of each.

use std::sync::atomic::{AtomicUsize, Ordering};

use super::bounds::COMMAND_BYTES_PENDING_MAX;

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
