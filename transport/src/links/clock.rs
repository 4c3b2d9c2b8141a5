//! Keeps the time as it was told, and when it is wanted next.

use std::time::Duration;

/// What is known of time.
#[derive(Debug)]
pub(super) struct Clock {
    pub(super) now: Duration,
    /// Nothing is due before.
    pub(super) wake_at: Option<Duration>,
}

impl Clock {
    /// Has the time told no later than this.
    pub(super) fn schedule(&mut self, at: Duration) {
        self.wake_at = Some(self.wake_at.map_or(at, |wake_at| wake_at.min(at)));
    }
}
