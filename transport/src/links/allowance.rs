//! Bounds how much of something a link may bring in a time.

use std::time::Duration;

/// How fast an [`Allowance`] fills.
#[derive(Clone, Copy, Debug)]
pub(super) struct Rate {
    /// So much comes in a second.
    pub(super) per_second: u32,
    /// No more than this is there at once.
    pub(super) at_once_max: u32,
}

/// What may still be taken: a bucket that fills with time, and is full at first.
#[derive(Clone, Copy, Debug)]
pub(super) struct Allowance {
    rate: Rate,
    /// What is there, in millionths.
    left: u64,
    filled_at: Duration,
}

const MILLIONTHS: u64 = 1_000_000;

impl Allowance {
    pub(super) fn new(rate: Rate, now: Duration) -> Self {
        Self {
            rate,
            left: u64::from(rate.at_once_max) * MILLIONTHS,
            filled_at: now,
        }
    }

    /// Takes so much, if it is there.
    pub(super) fn take(&mut self, count: usize, now: Duration) -> bool {
        let elapsed = now.saturating_sub(self.filled_at).as_micros();
        let elapsed = u64::try_from(elapsed).unwrap_or(u64::MAX);
        self.filled_at = self.filled_at.max(now);
        let more = elapsed.saturating_mul(self.rate.per_second.into());
        let full = u64::from(self.rate.at_once_max) * MILLIONTHS;
        self.left = self.left.saturating_add(more).min(full);
        let cost = u64::try_from(count)
            .ok()
            .and_then(|count| count.checked_mul(MILLIONTHS));
        let rest = cost.and_then(|cost| self.left.checked_sub(cost));
        self.left = rest.unwrap_or(self.left);
        rest.is_some()
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
    fn an_earlier_time_gives_nothing() {
        let mut allowance = Allowance::new(RATE, Duration::from_secs(5));
        assert!(allowance.take(2, Duration::from_secs(5)));

        assert!(!allowance.take(1, Duration::from_secs(4)));
        assert!(!allowance.take(1, Duration::from_secs(5)));
    }
}
