//! Bounds the bytes of a stream that are under way, so that nothing waits long behind them.
//!
//! A packet that is sent while a slow link has much to carry waits for all of it, a heartbeat too. So the window is
//! steered by delay, as in LEDBAT (RFC 6817): it doubles in each round trip while these take hardly longer than the
//! shortest, and shrinks in proportion once they take [`DELAY_TARGET`] longer. Losses shrink it too.

use std::time::Duration;

/// How much longer than the shortest a round trip may take: the wait for a heartbeat that a stream may cause.
const DELAY_TARGET: Duration = Duration::from_millis(25);

/// The window in the beginning, in bytes: ten packets, as TCP's (RFC 6928).
const WINDOW_INITIAL: usize = 12_000;

/// The smallest window, in bytes.
const WINDOW_MIN: usize = 4_800;

/// The largest window, in bytes: no receiver gives more credit.
const WINDOW_MAX: usize = super::CREDIT_BYTES_MAX;

/// By how many bytes the window grows in a round trip when that takes about as long as it may.
const STEP: usize = 1_200;

/// How long the shortest round trip is believed. Then the stream pauses for a moment, so that it is measured without
/// what the stream itself causes.
const SHORTEST_BELIEVED: Duration = Duration::from_secs(30);

/// How many bytes a stream may have under way.
#[derive(Clone, Debug)]
pub(super) struct Window {
    bytes: usize,
    bytes_max: usize,
    /// The shortest round trip, and since when that is measured.
    shortest: Option<(Duration, Duration)>,
    /// By how much longer than the shortest the last one took.
    delay: Duration,
    /// The window does not shrink again until the bytes before this offset are acknowledged.
    shrunk_until: u64,
}

impl Window {
    pub(super) fn new() -> Self {
        Self {
            bytes: WINDOW_INITIAL,
            bytes_max: WINDOW_MAX,
            shortest: None,
            delay: Duration::ZERO,
            shrunk_until: 0,
        }
    }

    /// Bounds its growth by `bytes_max`, within what any window has.
    pub(super) fn within(mut self, bytes_max: usize) -> Self {
        self.bytes_max = bytes_max.clamp(WINDOW_INITIAL, WINDOW_MAX);
        self
    }

    /// Returns the size of the window, in bytes.
    pub(super) fn bytes(&self) -> usize {
        self.bytes
    }

    /// Takes up a round trip that was measured at `now`, when the bytes before `acknowledged` were acknowledged and
    /// those before `sent` under way.
    pub(super) fn on_sample(
        &mut self,
        sample: Duration,
        now: Duration,
        acknowledged: u64,
        sent: u64,
    ) {
        let shortest = match self.shortest {
            Some((_, since)) if now.saturating_sub(since) > SHORTEST_BELIEVED => {
                self.bytes = WINDOW_MIN;
                self.shrunk_until = sent;
                self.shortest = Some((sample, now));
                sample
            }
            Some((shortest, since)) => {
                self.shortest = Some((shortest.min(sample), since));
                shortest.min(sample)
            }
            None => {
                self.shortest = Some((sample, now));
                sample
            }
        };
        self.delay = sample - shortest;
        if self.delay > DELAY_TARGET && acknowledged >= self.shrunk_until {
            let allowed = micros(shortest + DELAY_TARGET);
            let scaled = self.bytes.saturating_mul(allowed) / micros(sample).max(1);
            self.shrink_to(scaled.max(self.bytes / 2), sent);
        }
    }

    /// `bytes` more are acknowledged, before which `under_way` were under way: the window grows if it was used.
    pub(super) fn on_progress(&mut self, bytes: usize, under_way: usize) {
        let is_used = 2 * under_way >= self.bytes && under_way <= self.bytes + STEP;
        if !is_used || self.delay > DELAY_TARGET {
            return;
        }
        let growth = if self.delay < DELAY_TARGET / 2 {
            bytes
        } else {
            STEP * bytes / self.bytes
        };
        self.bytes = (self.bytes + growth).min(self.bytes_max);
    }

    /// Bytes were lost, while those before `acknowledged` were acknowledged and those before `sent` under way.
    pub(super) fn on_loss(&mut self, acknowledged: u64, sent: u64) {
        if acknowledged >= self.shrunk_until {
            self.shrink_to(self.bytes / 10 * 7, sent);
        }
    }

    /// Nothing was acknowledged for long.
    pub(super) fn on_timeout(&mut self, sent: u64) {
        self.shrink_to(WINDOW_MIN, sent);
    }

    fn shrink_to(&mut self, bytes: usize, sent: u64) {
        self.bytes = bytes.max(WINDOW_MIN);
        self.shrunk_until = sent;
    }
}

fn micros(duration: Duration) -> usize {
    usize::try_from(duration.as_micros()).unwrap_or(usize::MAX)
}

#[cfg(test)]
mod tests {
    use super::*;

    const fn ms(milliseconds: u64) -> Duration {
        Duration::from_millis(milliseconds)
    }

    #[test]
    fn the_window_doubles_in_a_round_trip_without_delay() {
        let mut window = Window::new();

        window.on_sample(ms(10), ms(0), 0, 12_000);
        window.on_progress(WINDOW_INITIAL, WINDOW_INITIAL);

        assert_eq!(window.bytes(), 2 * WINDOW_INITIAL);
    }

    #[test]
    fn the_window_does_not_grow_beyond_what_the_medium_takes() {
        let mut window = Window::new().within(20_000);

        window.on_sample(ms(10), ms(0), 0, 12_000);
        window.on_progress(WINDOW_INITIAL, WINDOW_INITIAL);

        assert_eq!(window.bytes(), 20_000);
    }

    #[test]
    fn a_window_that_is_not_used_does_not_grow() {
        let mut window = Window::new();

        window.on_sample(ms(10), ms(0), 0, 100);
        window.on_progress(100, 100);

        assert_eq!(window.bytes(), WINDOW_INITIAL);
    }

    #[test]
    fn a_late_round_trip_shrinks_the_window_once() {
        let mut window = Window::new();
        window.on_sample(ms(25), ms(0), 0, 0);

        window.on_sample(ms(75), ms(1), 1, 12_000);
        assert_eq!(window.bytes(), WINDOW_INITIAL * 50 / 75);
        window.on_sample(ms(75), ms(2), 2, 12_000);
        assert_eq!(window.bytes(), WINDOW_INITIAL * 50 / 75);
    }

    #[test]
    fn the_window_keeps_a_least_size() {
        let mut window = Window::new();

        for offset in 0..100 {
            window.on_loss(offset, offset);
        }
        window.on_timeout(0);

        assert_eq!(window.bytes(), WINDOW_MIN);
    }

    #[test]
    fn a_longer_path_is_believed_after_a_while() {
        let mut window = Window::new();
        window.on_sample(ms(10), ms(0), 0, 0);
        window.on_sample(ms(100), SHORTEST_BELIEVED + ms(1), 0, 0);

        window.on_sample(ms(100), SHORTEST_BELIEVED + ms(2), 0, 0);

        assert_eq!(window.delay, Duration::ZERO);
    }
}
