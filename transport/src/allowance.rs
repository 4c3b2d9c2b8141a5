//! Bounds how much of something a link or a server may bring in a time.

use std::time::Duration;

/// How fast an [`Allowance`] fills.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Rate {
    /// So much comes in a second.
    pub(crate) per_second: u32,
    /// No more than this is there at once.
    pub(crate) at_once_max: u32,
}

/// What may still be taken: a bucket that fills with time, and is full at first.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Allowance {
    rate: Rate,
    /// What is there, in millionths.
    left: u64,
    filled_at: Duration,
}

const MILLIONTHS: u64 = 1_000_000;

impl Allowance {
    pub(crate) fn new(rate: Rate, now: Duration) -> Self {
        Self {
            rate,
            left: u64::from(rate.at_once_max) * MILLIONTHS,
            filled_at: now,
        }
    }

    /// Takes so much, if it is there.
    pub(crate) fn take(&mut self, count: usize, now: Duration) -> bool {
        self.fill(now);
        let cost = u64::try_from(count)
            .ok()
            .and_then(|count| count.checked_mul(MILLIONTHS));
        let rest = cost.and_then(|cost| self.left.checked_sub(cost));
        self.left = rest.unwrap_or(self.left);
        rest.is_some()
    }

    /// Returns when something was last taken, or was to be.
    pub(crate) fn asked_at(&self) -> Duration {
        self.filled_at
    }

    /// Returns when so much is there, if nothing is taken until then. It is never more than there is at once.
    #[allow(dead_code, reason = "links drop what is not there")]
    pub(crate) fn has_at(&mut self, count: usize, now: Duration) -> Duration {
        self.fill(now);
        let count = u64::try_from(count).unwrap_or(u64::MAX);
        let cost = count.min(self.rate.at_once_max.into()) * MILLIONTHS;
        let missing = cost.saturating_sub(self.left);
        let micros = missing.div_ceil(u64::from(self.rate.per_second).max(1));
        now.saturating_add(Duration::from_micros(micros))
    }

    fn fill(&mut self, now: Duration) {
        let elapsed = now.saturating_sub(self.filled_at).as_micros();
        let elapsed = u64::try_from(elapsed).unwrap_or(u64::MAX);
        self.filled_at = self.filled_at.max(now);
        let more = elapsed.saturating_mul(self.rate.per_second.into());
        let full = u64::from(self.rate.at_once_max) * MILLIONTHS;
        self.left = self.left.saturating_add(more).min(full);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const RATE: Rate = Rate {
        per_second: 10,
        at_once_max: 2,
    };

    #[test]
    fn no_more_is_taken_at_once_than_allowed() {
        let mut allowance = Allowance::new(RATE, Duration::ZERO);

        let taken = [1, 1, 1].map(|count| allowance.take(count, Duration::ZERO));

        assert_eq!(taken, [true, true, false]);
    }

    #[test]
    fn time_gives_back_what_the_rate_allows_and_no_more() {
        let mut allowance = Allowance::new(RATE, Duration::ZERO);
        assert!(allowance.take(2, Duration::ZERO));

        assert!(!allowance.take(1, Duration::from_millis(99)));
        assert!(allowance.take(1, Duration::from_millis(100)));
        assert!(!allowance.take(3, Duration::from_secs(1_000)));
        assert!(allowance.take(2, Duration::from_secs(1_000)));
    }

    #[test]
    fn what_is_missing_is_there_at_the_time_that_is_told() {
        let mut allowance = Allowance::new(RATE, Duration::ZERO);
        assert!(allowance.take(2, Duration::ZERO));

        let at = allowance.has_at(2, Duration::ZERO);

        assert_eq!(at, Duration::from_millis(200));
        assert!(!allowance.take(2, at - Duration::from_micros(1)));
        assert!(allowance.take(2, at));
    }

    #[test]
    fn an_earlier_time_gives_nothing() {
        let mut allowance = Allowance::new(RATE, Duration::from_secs(5));
        assert!(allowance.take(2, Duration::from_secs(5)));

        assert!(!allowance.take(1, Duration::from_secs(4)));
        assert!(!allowance.take(1, Duration::from_secs(5)));
    }
}
