//! Bounds how often something happens, by one moment for each bound: when all that has happened is paid for.

use std::time::Duration;

/// How often something may happen.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Rate {
    /// How much is allowed in a second, for as long as it goes on. At least 1.
    pub per_second: u32,
    /// How much is allowed at once, after a pause.
    pub burst: u32,
}

/// What of a rate is used. It is full at first.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Bucket {
    /// When all that was taken is paid for, at the rate.
    paid_at: Duration,
}

impl Rate {
    /// The time in which the rate allows `amount`.
    fn time_for(self, amount: usize) -> Duration {
        let amount = u32::try_from(amount).unwrap_or(u32::MAX);
        Duration::from_secs(1) * amount / self.per_second.max(1)
    }

    fn burst_time(self) -> Duration {
        self.time_for(usize::try_from(self.burst).unwrap_or(usize::MAX))
    }
}

impl Bucket {
    /// Takes `amount`, or returns false and takes nothing.
    pub(crate) fn take(&mut self, now: Duration, rate: Rate, amount: usize) -> bool {
        let paid_at = self.paid_at.max(now) + rate.time_for(amount);
        let is_allowed = paid_at <= now + rate.burst_time();
        if is_allowed {
            self.paid_at = paid_at;
        }
        is_allowed
    }

    /// Takes `amount` in any case, and returns how long to wait before the next.
    pub(crate) fn charge(&mut self, now: Duration, rate: Rate, amount: usize) -> Duration {
        self.paid_at = self.paid_at.max(now) + rate.time_for(amount);
        self.paid_at.saturating_sub(now + rate.burst_time())
    }

    /// Returns true if nothing would change by forgetting it.
    pub(crate) fn is_full(self, now: Duration) -> bool {
        self.paid_at <= now
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const RATE: Rate = Rate {
        per_second: 2,
        burst: 3,
    };
    const NOW: Duration = Duration::from_secs(100);

    #[test]
    fn a_burst_is_allowed_and_then_the_rate() {
        let mut bucket = Bucket::default();

        assert!(bucket.take(NOW, RATE, 3));
        assert!(!bucket.take(NOW, RATE, 1));
        assert!(bucket.take(NOW + Duration::from_millis(500), RATE, 1));
        assert!(!bucket.take(NOW + Duration::from_millis(500), RATE, 1));
    }

    #[test]
    fn what_is_charged_beyond_the_burst_is_waited_for() {
        let mut bucket = Bucket::default();

        assert_eq!(bucket.charge(NOW, RATE, 3), Duration::ZERO);
        assert_eq!(bucket.charge(NOW, RATE, 2), Duration::from_secs(1));
        assert_eq!(
            bucket.charge(NOW + Duration::from_secs(1), RATE, 1),
            Duration::from_millis(500)
        );
    }

    #[test]
    fn a_bucket_fills_by_time_alone() {
        let mut bucket = Bucket::default();
        bucket.charge(NOW, RATE, 4);

        assert!(!bucket.is_full(NOW + Duration::from_millis(1999)));
        assert!(bucket.is_full(NOW + Duration::from_secs(2)));
    }
}
