//! How long the machine was suspended, which the system's monotonic clock does not count.
//!
//! A laptop that was closed for an hour must not believe that it heard its leader a moment ago. Linux tells the
//! suspended time as the distance between two clocks; elsewhere nobody does.

use std::sync::OnceLock;
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

/// The time suspended since this was first asked. It never shrinks. `awake` is what the caller's clock has counted
/// since an origin, the same for all callers.
///
/// Clocks are read for each message, so one is read here and not two: as long as it runs in step with the caller's,
/// nothing was suspended. A caller's clock that is paused for a test runs in step with nothing, which costs it the
/// second reading.
pub(crate) fn total(awake: Duration) -> Duration {
    static COUNTED: Counted = Counted::new();
    static FIRST: OnceLock<i128> = OnceLock::new();
    let first = *FIRST.get_or_init(|| {
        // One that was interrupted is too small, and all that followed it would seem suspended.
        let readings = std::iter::repeat_with(host::since_boot).take(FIRST_READINGS);
        COUNTED.observe(readings.max().unwrap_or_default());
        lead(host::boottime(), awake)
    });
    let counted = COUNTED.total();
    if is_in_step(lead(host::boottime(), awake) - first, counted) {
        counted
    } else {
        COUNTED.observe(host::since_boot())
    }
}

/// How far the clock that counts suspended time is ahead of the caller's, in nanoseconds.
fn lead(boottime: Duration, awake: Duration) -> i128 {
    signed_nanos(boottime) - signed_nanos(awake)
}

/// Returns true if the lead has grown by no more than the suspended time that is counted already.
fn is_in_step(growth: i128, counted: Duration) -> bool {
    growth < signed_nanos(counted) + signed_nanos(STEP)
}

fn signed_nanos(duration: Duration) -> i128 {
    i128::try_from(duration.as_nanos()).unwrap_or(i128::MAX)
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

    fn total(&self) -> Duration {
        Duration::from_nanos(self.beyond.load(Ordering::Relaxed))
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
    fn clocks_are_in_step_until_one_counts_a_suspension() {
        let headroom = Duration::from_secs(1 << 25);
        let first = lead(BOOT, headroom);
        let later = |awake, suspended| {
            let boottime = BOOT + Duration::from_millis(awake + suspended);
            let awake = headroom + Duration::from_millis(awake);
            lead(boottime, awake) - first
        };
        let night = Duration::from_millis(30_000);

        assert!(is_in_step(later(90_000, 9), Duration::ZERO));
        assert!(!is_in_step(later(90_000, 10), Duration::ZERO));
        assert!(is_in_step(later(90_000, 30_009), night));
        assert!(!is_in_step(later(90_000, 30_010), night));
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
