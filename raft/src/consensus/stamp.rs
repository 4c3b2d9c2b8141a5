//! The leader's side of cluster time (§6.3).

use core::time::Duration;

use super::planted::{Bug, is_planted};
use crate::time::{ClusterTime, Instant};

/// The most that cluster time moves between two entries of one leader: a clock that leaps cannot expire everything.
pub const STAMP_ADVANCE_MAX: Duration = Duration::from_secs(60);

/// Continues cluster time from the last logged stamp by the time led since.
#[derive(Debug)]
pub(super) struct StampClock {
    last: ClusterTime,
    at: Instant,
}

impl StampClock {
    pub(super) fn continuing(last: ClusterTime, now: Instant) -> Self {
        Self { last, at: now }
    }

    /// The stamp of an entry appended now, where leadership is certain up to `led_until`: a leader that slept does not
    /// count its sleep.
    pub(super) fn stamp(&mut self, now: Instant, led_until: Instant) -> ClusterTime {
        let led = self.led(now, led_until);
        self.last = self.time(now, led_until);
        self.at = self.at + led;
        self.last
    }

    /// The stamp that an entry would have that was appended now.
    pub(super) fn time(&self, now: Instant, led_until: Instant) -> ClusterTime {
        let led = self.led(now, led_until);
        let advance = if is_planted(Bug::StampsTooFast) {
            led * 3
        } else {
            led
        };
        self.last + advance.min(STAMP_ADVANCE_MAX)
    }

    /// How long it is until the stamp of an entry comes to `target`, or as near to it as one entry can.
    pub(super) fn mark_in(
        &self,
        target: ClusterTime,
        now: Instant,
        led_until: Instant,
    ) -> Duration {
        let target = target.min(self.last + STAMP_ADVANCE_MAX);
        target.since(self.last + self.led(now, led_until))
    }

    /// The time from `led_until` to now is never counted: leadership was not certain then, though it proves to go on.
    pub(super) fn skip(&mut self, led_until: Instant, now: Instant) {
        if is_planted(Bug::StampsCountSleep) {
            return;
        }
        self.at = self.at + now.since(led_until.max(self.at));
    }

    /// Whole milliseconds only: what is left over counts next time.
    fn led(&self, now: Instant, led_until: Instant) -> Duration {
        let until = if is_planted(Bug::StampsCountSleep) {
            now
        } else {
            now.min(led_until)
        };
        let led = until.since(self.at);
        Duration::from_millis(u64::try_from(led.as_millis()).unwrap_or(u64::MAX))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(ms: u64) -> Instant {
        Instant::from_origin(Duration::from_millis(ms))
    }

    #[test]
    fn fractions_of_a_millisecond_are_not_lost() {
        let mut clock = StampClock::continuing(ClusterTime(7), Instant::ORIGIN);

        let stamps: alloc::vec::Vec<_> = (1..=4)
            .map(|i| {
                let now = Instant::from_origin(Duration::from_micros(i * 500));
                clock.stamp(now, now)
            })
            .collect();

        assert_eq!(stamps, [7, 8, 8, 9].map(ClusterTime));
    }

    #[test]
    fn a_leap_of_the_clock_moves_cluster_time_by_a_minute_at_most() {
        let mut clock = StampClock::continuing(ClusterTime(0), at(0));

        let leapt = clock.stamp(at(86_400_000), at(86_400_000));

        assert_eq!(leapt, ClusterTime(60_000));
        assert_eq!(
            clock.stamp(at(86_400_010), at(86_400_010)),
            ClusterTime(60_010)
        );
    }

    #[test]
    fn sleep_is_not_counted_when_leadership_goes_on_after_it() {
        let mut clock = StampClock::continuing(ClusterTime(0), at(0));

        clock.skip(at(1_000), at(500));
        clock.skip(at(1_000), at(3_600_000));

        assert_eq!(
            clock.stamp(at(3_600_020), at(3_601_000)),
            ClusterTime(1_020)
        );
    }

    #[test]
    fn a_time_is_marked_when_it_is_reached_a_distant_one_each_minute_and_none_while_time_stands_still()
     {
        let clock = StampClock::continuing(ClusterTime(5), at(0));
        let mark_in =
            |target, now, led_until| clock.mark_in(ClusterTime(target), at(now), at(led_until));

        let waits = [
            mark_in(25, 10, 90_000),
            mark_in(25, 20, 90_000),
            mark_in(500_000, 59_000, 90_000),
            mark_in(500_000, 60_000, 90_000),
            mark_in(25, 5_000, 15),
        ];

        assert_eq!(waits, [10, 0, 1_000, 0, 5].map(Duration::from_millis));
    }

    #[test]
    fn cluster_time_stands_still_when_leadership_is_not_certain() {
        let mut clock = StampClock::continuing(ClusterTime(0), at(0));

        assert_eq!(clock.stamp(at(5_000), at(1_000)), ClusterTime(1_000));
        assert_eq!(clock.stamp(at(9_000), at(1_000)), ClusterTime(1_000));
    }
}
