//! Estimates how long an acknowledgement takes, and so when to send again (RFC 6298).

use std::time::Duration;

/// The timeout before a round trip was measured (RFC 6298, 2.1).
const TIMEOUT_INITIAL: Duration = Duration::from_secs(1);

/// By how much the timeout exceeds the round trip at least. RFC 6298 says a timeout is a second at least; peers here
/// acknowledge without delay, and this is what Linux adds.
const MARGIN_MIN: Duration = Duration::from_millis(200);

/// The longest timeout, also after it was doubled: shorter than a link lives in silence.
const TIMEOUT_MAX: Duration = Duration::from_secs(4);

/// The measured round trips of a stream.
#[derive(Clone, Debug, Default)]
pub(super) struct RoundTrip {
    /// The smoothed round trip and its variation.
    smoothed: Option<(Duration, Duration)>,
    /// How often the timeout was doubled since something new was acknowledged.
    doublings: u32,
}

impl RoundTrip {
    /// Takes up a measured round trip, of bytes that were sent once (RFC 6298, 3: Karn's algorithm).
    pub(super) fn on_sample(&mut self, sample: Duration) {
        self.smoothed = Some(match self.smoothed {
            None => (sample, sample / 2),
            Some((smoothed, variation)) => (
                (7 * smoothed + sample) / 8,
                (3 * variation + smoothed.abs_diff(sample)) / 4,
            ),
        });
    }

    /// Something new was acknowledged: the path works.
    pub(super) fn on_progress(&mut self) {
        self.doublings = 0;
    }

    /// Doubles the timeout, because it was reached (RFC 6298, 5.5).
    pub(super) fn on_timeout(&mut self) {
        self.doublings = self.doublings.saturating_add(1);
    }

    /// Returns how long to wait for an acknowledgement before sending again.
    pub(super) fn timeout(&self) -> Duration {
        let timeout = match self.smoothed {
            None => TIMEOUT_INITIAL,
            Some((smoothed, variation)) => smoothed + (4 * variation).max(MARGIN_MIN),
        };
        let factor = 1_u32
            .checked_shl(self.doublings.min(16))
            .unwrap_or(u32::MAX);
        timeout.saturating_mul(factor).min(TIMEOUT_MAX)
    }

    /// Returns how long after sending again it is worth doing so once more while acknowledgements keep arriving.
    pub(super) fn patience(&self) -> Duration {
        let smoothed = self
            .smoothed
            .map_or(TIMEOUT_INITIAL, |(smoothed, _)| smoothed);
        (smoothed * 3 / 2).max(Duration::from_millis(10))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const fn ms(milliseconds: u64) -> Duration {
        Duration::from_millis(milliseconds)
    }

    #[test]
    fn the_timeout_follows_the_round_trip_and_its_variation() {
        let mut round_trip = RoundTrip::default();
        assert_eq!(round_trip.timeout(), ms(1_000));

        round_trip.on_sample(ms(100));
        assert_eq!(round_trip.timeout(), ms(300));

        round_trip.on_sample(ms(180));
        assert_eq!(round_trip.timeout(), ms(110) + 4 * (ms(3 * 50 + 80) / 4));
    }

    #[test]
    fn the_timeout_doubles_up_to_its_bound_until_there_is_progress() {
        let mut round_trip = RoundTrip::default();
        round_trip.on_sample(ms(1));

        round_trip.on_timeout();
        assert_eq!(round_trip.timeout(), 2 * (ms(1) + MARGIN_MIN));
        (0..100).for_each(|_| round_trip.on_timeout());
        assert_eq!(round_trip.timeout(), TIMEOUT_MAX);

        round_trip.on_progress();
        assert_eq!(round_trip.timeout(), ms(1) + MARGIN_MIN);
    }
}
