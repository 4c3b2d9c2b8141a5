//! Measures how long answers take, and says when what was not answered is sent again.

use core::time::Duration;

use crate::ids::Round;
use crate::time::Instant;

/// The most that the resend timeout doubles.
const BACKOFF_MAX: u32 = 6;

/// The smoothed round trip to a peer, as in RFC 6298, measured by one round at a time.
#[derive(Debug, Default)]
pub(super) struct RoundTrip {
    measuring: Option<(Round, Instant)>,
    smoothed: Option<(Duration, Duration)>,
}

impl RoundTrip {
    pub(super) fn sent(&mut self, round: Round, now: Instant) {
        if self.measuring.is_none() {
            self.measuring = Some((round, now));
        }
    }

    pub(super) fn echoed(&mut self, round: Round, now: Instant) {
        let Some((measured, sent_at)) = self.measuring else {
            return;
        };
        if round < measured {
            return;
        }
        self.measuring = None;
        // An answer to a later round says nothing of how long the measured one took.
        if round > measured {
            return;
        }
        self.measured(now.since(sent_at));
    }

    /// Takes the time that one round trip took.
    pub(super) fn measured(&mut self, sample: Duration) {
        self.smoothed = Some(match self.smoothed {
            None => (sample, sample / 2),
            Some((mean, deviation)) => (
                (mean * 7 + sample) / 8,
                (deviation * 3 + mean.abs_diff(sample)) / 4,
            ),
        });
    }

    pub(super) fn smoothed(&self) -> Option<Duration> {
        self.smoothed.map(|(mean, _)| mean)
    }

    /// How long to wait for an answer before sending again.
    pub(super) fn timeout(&self, heartbeat: Duration) -> Duration {
        match self.smoothed {
            None => heartbeat,
            Some((mean, deviation)) => (mean + deviation * 4).max(heartbeat / 10),
        }
    }
}

/// When to send again what is not confirmed.
#[derive(Debug, Default)]
pub(super) struct Retry {
    at: Option<Instant>,
    doublings: u32,
}

impl Retry {
    pub(super) fn at(&self) -> Option<Instant> {
        self.at
    }

    /// Waits for what was just sent.
    pub(super) fn arm(&mut self, now: Instant, timeout: Duration, timeout_max: Duration) {
        self.at = Some(now + (timeout * (1 << self.doublings)).min(timeout_max));
    }

    /// There was progress: the next wait begins anew.
    pub(super) fn reset(&mut self) {
        self.at = None;
        self.doublings = 0;
    }

    pub(super) fn disarm(&mut self) {
        self.at = None;
    }

    /// Whether one wait after another has ended without progress.
    pub(super) fn is_repeated(&self) -> bool {
        self.doublings > 1
    }

    /// Tells whether the wait is over, and doubles the next.
    pub(super) fn is_over(&mut self, now: Instant) -> bool {
        let over = self.at.is_some_and(|at| at <= now);
        if over {
            self.at = None;
            self.doublings = (self.doublings + 1).min(BACKOFF_MAX);
        }
        over
    }
}

/// How soon a server answers what it is asked.
#[derive(Debug, Default)]
pub(super) struct Promptness {
    round_trip: RoundTrip,
    /// The last answer was to one of several repeats, and came no later than this after the first.
    within: Option<Duration>,
}

impl Promptness {
    /// How long to wait for an answer before asking again; `None` if nothing was measured.
    pub(super) fn timeout(&self, heartbeat: Duration) -> Option<Duration> {
        match self.within {
            // Half more, since the next may take a little longer.
            Some(within) => Some(within * 3 / 2),
            None if self.round_trip.smoothed().is_none() => None,
            None => Some(self.round_trip.timeout(heartbeat)),
        }
    }

    pub(super) fn answered(&mut self, after: Duration, is_repeated: bool) {
        if is_repeated {
            self.within = Some(after);
        } else {
            self.within = None;
            self.round_trip.measured(after);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_round_trip_is_measured_by_the_round_that_was_timed() {
        let ms = Duration::from_millis;
        let at = |n| Instant::from_origin(ms(n));
        let mut trip = RoundTrip::default();

        trip.sent(Round(4), at(10));
        trip.sent(Round(5), at(20));
        trip.echoed(Round(3), at(25));
        trip.echoed(Round(4), at(30));

        assert_eq!(trip.smoothed(), Some(ms(20)));
        assert_eq!(trip.timeout(ms(200)), ms(60));
    }

    #[test]
    fn an_answer_to_a_later_round_says_nothing_of_the_timed_one() {
        let at = |n| Instant::from_origin(Duration::from_millis(n));
        let mut trip = RoundTrip::default();

        trip.sent(Round(4), at(10));
        trip.echoed(Round(5), at(90));

        assert_eq!(trip.smoothed(), None);
    }

    #[test]
    fn the_round_trip_is_smoothed_as_in_rfc_6298() {
        let ms = Duration::from_millis;
        let at = |n| Instant::from_origin(ms(n));
        let mut trip = RoundTrip::default();

        trip.sent(Round(1), at(0));
        trip.echoed(Round(1), at(80));
        trip.sent(Round(2), at(100));
        trip.echoed(Round(2), at(260));

        assert_eq!(trip.smoothed(), Some(ms(90)));
        // The deviation is (3 · 40 + 80) / 4.
        assert_eq!(trip.timeout(ms(200)), ms(90 + 4 * 50));
    }

    #[test]
    fn waits_without_progress_double_until_they_are_as_long_as_allowed() {
        let ms = Duration::from_millis;
        let at = |n| Instant::from_origin(ms(n));
        let mut retry = Retry::default();

        retry.arm(at(0), ms(10), ms(30));
        assert!(!retry.is_over(at(9)) && retry.is_over(at(10)));
        assert!(!retry.is_repeated());
        retry.arm(at(10), ms(10), ms(30));
        assert_eq!(retry.at(), Some(at(30)));
        assert!(retry.is_over(at(30)) && retry.is_repeated());
        retry.arm(at(30), ms(10), ms(30));

        assert_eq!(retry.at(), Some(at(60)));
    }
}
