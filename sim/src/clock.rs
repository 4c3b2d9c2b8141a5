//! Time: one true clock for the world, and a crooked one for each member.

use core::time::Duration;

use liferaft_raft::time::Instant;

/// True time since the beginning of the run, or a span of it, in nanoseconds.
pub type Nanos = u64;

/// A microsecond.
pub const MICRO: Nanos = 1_000;
/// A millisecond.
pub const MILLI: Nanos = 1_000_000;
/// A second.
pub const SECOND: Nanos = 1_000_000_000;

const MILLION: u64 = 1_000_000;

/// A clock is never further behind what it has shown before. For a member it stands still until then, and it is to go
/// on before patience with it ends.
const BEHIND_MAX: Nanos = SECOND;

/// A member's own clock: it runs too fast or too slow and leaps.
#[derive(Clone, Copy, Debug)]
pub struct LocalClock {
    /// What it shows at `since`.
    shows: Nanos,
    /// The most that it has shown until then.
    latest: Nanos,
    /// How much time it has measured until then.
    measured: Nanos,
    since: Nanos,
    /// How much it shows for a million nanoseconds of true time.
    rate: u64,
}

impl LocalClock {
    /// A clock that shows `shows` at the beginning and gains `rate` on each million.
    #[must_use]
    pub const fn new(shows: Nanos, rate: u64) -> Self {
        Self {
            shows,
            latest: shows,
            measured: 0,
            since: 0,
            rate,
        }
    }

    fn passed(&self, now: Nanos) -> Nanos {
        let passed = u128::from(now - self.since) * u128::from(self.rate) / u128::from(MILLION);
        Nanos::try_from(passed).expect("runs are shorter than centuries")
    }

    /// What it shows then, from which it goes on.
    fn go_on(&mut self, now: Nanos) {
        let passed = self.passed(now);
        self.shows += passed;
        self.latest = self.latest.max(self.shows);
        self.measured += passed;
        self.since = now;
    }

    /// What it shows.
    #[must_use]
    pub fn at(&self, now: Nanos) -> Instant {
        Instant::from_origin(Duration::from_nanos(self.shows + self.passed(now)))
    }

    /// How much time it has measured: what it would show if it had never leapt.
    #[must_use]
    pub fn measured(&self, now: Nanos) -> Duration {
        Duration::from_nanos(self.measured + self.passed(now))
    }

    /// The true time at which it will show this, from `now` on.
    #[must_use]
    pub fn when(&self, now: Nanos, shows: Instant) -> Nanos {
        let target = Nanos::try_from(shows.since_origin().as_nanos()).unwrap_or(Nanos::MAX);
        let ahead = u128::from(target.saturating_sub(self.shows)) * u128::from(MILLION);
        // Rounded up, so that the moment has come when it is said to.
        let passed = ahead.div_ceil(u128::from(self.rate));
        let at = u128::from(self.since) + passed;
        Nanos::try_from(at).unwrap_or(Nanos::MAX).max(now)
    }

    /// Leaps forward.
    pub fn leap_forward(&mut self, now: Nanos, by: Nanos) {
        self.go_on(now);
        self.shows += by;
        self.latest = self.latest.max(self.shows);
    }

    /// Leaps back, but not before its beginning, and not further behind what it has shown than it may be.
    pub fn leap_back(&mut self, now: Nanos, by: Nanos) {
        self.go_on(now);
        let least = self.latest.saturating_sub(BEHIND_MAX);
        self.shows = self.shows.saturating_sub(by).max(least);
    }

    /// Runs at another rate from now on.
    pub fn set_rate(&mut self, now: Nanos, rate: u64) {
        self.go_on(now);
        self.rate = rate;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_deadline_has_come_when_the_clock_says_so_at_any_rate() {
        for rate in [500_000, 999_983, 1_000_000, 1_700_001] {
            let mut clock = LocalClock::new(7, rate);
            clock.leap_forward(1_000, 13);
            let deadline = Instant::from_origin(Duration::from_nanos(1_000_003));

            let when = clock.when(1_000, deadline);

            assert!(clock.at(when) >= deadline);
            assert!(clock.at(when - 2) < deadline);
        }
    }

    #[test]
    fn a_clock_that_leaps_back_again_and_again_is_not_far_behind() {
        let mut clock = LocalClock::new(100 * SECOND, 1_000_000);

        for turn in 1..=9 {
            clock.leap_back(turn * MILLI, SECOND / 3);
        }

        assert_eq!(
            clock.at(9 * MILLI + BEHIND_MAX),
            clock_at(100 * SECOND + MILLI)
        );
    }

    fn clock_at(shows: Nanos) -> Instant {
        Instant::from_origin(Duration::from_nanos(shows))
    }

    #[test]
    fn a_clock_that_leaps_measures_the_same_time() {
        let mut clock = LocalClock::new(7, 2_000_000);
        clock.leap_forward(1_000, 500);
        clock.leap_back(2_000, 900);
        clock.set_rate(3_000, 1_000_000);

        assert_eq!(clock.measured(4_000), Duration::from_nanos(7_000));
    }
}
