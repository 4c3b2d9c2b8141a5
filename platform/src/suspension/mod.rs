//! How long the machine was suspended, which the system's monotonic clock does not count.
//!
//! A laptop that was closed for an hour must not believe that it heard its leader a moment ago. Linux tells the
//! suspended time as the distance between two clocks; elsewhere nobody does.

use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

#[cfg(any(target_os = "linux", target_os = "android"))]
#[path = "linux.rs"]
mod host;
#[cfg(not(any(target_os = "linux", target_os = "android")))]
#[path = "unknown.rs"]
mod host;

/// The smallest suspension that counts.
///
/// The two clocks cannot be read at one instant, so their distance flickers by the time between the readings. Far
/// below this step it is ignored, so that the sum stands still while the machine is awake: virtual time depends on it.
const STEP: Duration = Duration::from_millis(10);

/// How many readings the first one is chosen from.
const FIRST_READINGS: usize = 8;

/// The time suspended since this was first asked. It never shrinks.
pub(crate) fn total() -> Duration {
    static COUNTED: Counted = Counted::new();
    if !COUNTED.has_begun() {
        // One that was interrupted is too small, and all that followed it would seem suspended.
        let readings = std::iter::repeat_with(host::since_boot).take(FIRST_READINGS);
        COUNTED.observe(readings.max().unwrap_or_default());
    }
    COUNTED.observe(host::since_boot())
}

/// How much suspended time [`total`] may miss; `None` if it may miss any.
pub(crate) const fn uncounted_max() -> Option<Duration> {
    if host::COUNTS { Some(STEP) } else { None }
}

/// A distance between clocks that only grows, and only by [`STEP`] or more.
struct Counted {
    /// Nanoseconds, one more than the first observation; 0 before it.
    first: AtomicU64,
    /// Nanoseconds counted beyond the first observation.
    beyond: AtomicU64,
}

impl Counted {
    const fn new() -> Self {
        Self {
            first: AtomicU64::new(0),
            beyond: AtomicU64::new(0),
        }
    }

    fn has_begun(&self) -> bool {
        self.first.load(Ordering::Relaxed) != 0
    }

    fn observe(&self, since_boot: Duration) -> Duration {
        let observed = u64::try_from(since_boot.as_nanos()).unwrap_or(u64::MAX - 1);
        let first =
            match self
                .first
                .compare_exchange(0, observed + 1, Ordering::Relaxed, Ordering::Relaxed)
            {
                Ok(_) => observed,
                Err(stored) => stored - 1,
            };
        let beyond = observed.saturating_sub(first);
        let counted = self.beyond.load(Ordering::Relaxed);
        if Duration::from_nanos(beyond.saturating_sub(counted)) < STEP {
            return Duration::from_nanos(counted);
        }
        // Two threads may wake at once: the greater wins, and neither returns less than it stored.
        Duration::from_nanos(self.beyond.fetch_max(beyond, Ordering::Relaxed).max(beyond))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const BOOT: Duration = Duration::from_secs(5_000);

    #[test]
    fn what_was_slept_before_the_first_question_does_not_count() {
        let counted = Counted::new();

        assert_eq!(counted.observe(BOOT), Duration::ZERO);
    }

    #[test]
    fn a_distance_that_flickers_stands_still() {
        let counted = Counted::new();
        counted.observe(BOOT);

        assert_eq!(
            counted.observe(BOOT + Duration::from_millis(3)),
            Duration::ZERO
        );
        assert_eq!(
            counted.observe(BOOT - Duration::from_millis(3)),
            Duration::ZERO
        );
    }

    #[test]
    fn a_suspension_counts_whole_and_never_shrinks() {
        let counted = Counted::new();
        let night = Duration::from_secs(30_000);
        counted.observe(BOOT);

        assert_eq!(counted.observe(BOOT + night), night);
        assert_eq!(
            counted.observe(BOOT + night - Duration::from_micros(9)),
            night
        );
        assert_eq!(counted.observe(BOOT), night);
    }
}
