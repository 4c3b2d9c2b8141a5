//! Says how much may be on its way to a peer: as much as its link carries in the time that a heartbeat may wait behind
//! it.
//!
//! A window that is right for one link drowns another: four megabytes are nothing on a cable and minutes on a radio,
//! where heartbeats would queue behind them until the peer campaigns. So the window is found, not set. Something sent
//! is timed until it is acknowledged; if that took longer than the way itself and the queue that is allowed, so much
//! less is sent, and if it took less, more, at most doubling or halving each time. That the link is busy shows in time,
//! before anything is lost, and a loss alone says nothing: radios lose without being busy.

use core::time::Duration;

use crate::time::Instant;

/// The least window, in bytes. On a link that takes longer than a heartbeat for this, Raft is out of place.
pub(super) const WINDOW_MIN: u64 = 1 << 10;

/// The window of a link of which nothing is known, in bytes.
const WINDOW_FIRST: u64 = 16 << 10;

/// The window towards one peer, for entries and snapshots alike: the link is the same.
#[derive(Debug)]
pub(super) struct Pace {
    window: u64,
    /// The least that an acknowledgement took: the way itself, without a queue.
    least: Option<Duration>,
    /// The last time that one took.
    latest: Option<Duration>,
    timed: Option<Timed>,
}

/// What is being timed.
#[derive(Debug)]
struct Timed {
    /// It is acknowledged when the peer has everything up to here: an index, or an offset.
    end: u64,
    sent_at: Instant,
    /// What was in flight with it.
    bytes: u64,
}

impl Default for Pace {
    fn default() -> Self {
        Self {
            window: WINDOW_FIRST,
            least: None,
            latest: None,
            timed: None,
        }
    }
}

impl Pace {
    /// How many bytes may be in flight.
    pub(super) const fn window(&self) -> u64 {
        self.window
    }

    /// Something was sent, up to `end`, and `bytes` are in flight with it. It is timed, unless something is already.
    pub(super) fn sent(&mut self, end: u64, bytes: u64, now: Instant) {
        if self.timed.is_none() {
            self.timed = Some(Timed {
                end,
                sent_at: now,
                bytes,
            });
        }
    }

    /// The peer has everything up to `through`. `queue` is how long things may wait on the link for each other.
    pub(super) fn arrived(&mut self, through: u64, now: Instant, queue: Duration, window_max: u64) {
        let Some(timed) = self.timed.take_if(|timed| timed.end <= through) else {
            return;
        };
        let took = now.since(timed.sent_at);
        self.latest = Some(took);
        // The least window makes no queue to speak of: what it takes is the way itself, which may have grown longer.
        let way_is_known = self.window > WINDOW_MIN;
        let least = match self.least {
            Some(least) if way_is_known => least.min(took),
            Some(_) | None => took,
        };
        self.least = Some(least);
        self.window = self.fitting(&timed, took, least, queue);
        self.window = self.window.min(window_max).max(WINDOW_MIN);
    }

    /// Again and again nothing is heard: what is sent once more must not make it worse.
    pub(super) fn ease(&mut self) {
        self.window = (self.window / 2).max(WINDOW_MIN);
    }

    /// What was sent beyond `end` has not left: it is timed no more.
    pub(super) fn take_back(&mut self, end: u64) {
        self.timed.take_if(|timed| timed.end > end);
    }

    /// Something else is sent from here on, counted in another way.
    pub(super) fn forget_timed(&mut self) {
        self.timed = None;
    }

    /// After how long without an acknowledgement something is amiss, by the last one; zero if there was none.
    pub(super) fn patience(&self) -> Duration {
        self.latest.unwrap_or_default() * 2
    }

    /// The window by what was in flight, how long it took and how long it might have taken.
    fn fitting(&self, timed: &Timed, took: Duration, least: Duration, queue: Duration) -> u64 {
        let window = self.window;
        let fits = u128::from(timed.bytes) * (least + queue).as_nanos() / took.as_nanos().max(1);
        let fits = u64::try_from(fits).unwrap_or(u64::MAX);
        if took > least + queue {
            return fits.clamp(window / 2, window);
        }
        // Little in flight cannot show how much more would have fitted in time.
        if timed.bytes < window / 2 {
            return window;
        }
        // A long way makes the share of the queue small: as long as there is hardly any, more fits whatever its share.
        let grown = if took <= least + queue / 2 {
            window + window / 2
        } else {
            window
        };
        fits.max(grown).min(window * 2)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const MAX: u64 = 4 << 20;
    const QUEUE: Duration = Duration::from_millis(100);

    /// Keeps a link full for so many round trips, over a way of this length, as a sender does: the first thing to be
    /// timed has the link for itself.
    fn window_on(bytes_per_second: u64, way: Duration, round_trips: u64) -> u64 {
        let mut pace = Pace::default();
        let mut now = Instant::ORIGIN;
        for end in 1..=round_trips {
            let bytes = if end == 1 { 4096 } else { pace.window() };
            pace.sent(end, bytes, now);
            now = now + way + Duration::from_millis(bytes * 1000 / bytes_per_second);
            pace.arrived(end, now, QUEUE, MAX);
        }
        pace.window()
    }

    #[test]
    fn on_a_slow_link_no_more_is_in_flight_than_it_carries_in_the_time_that_may_be_waited() {
        let way = Duration::from_millis(50);

        let window = window_on(100_000, way, 20);

        // 5 kB on the way, and a queue of 10 kB behind the 4 kB that were timed first.
        assert!((10_000..=20_000).contains(&window), "{window}");
    }

    #[test]
    fn on_a_fast_link_the_window_opens_to_its_bound() {
        assert_eq!(window_on(1 << 40, Duration::from_millis(1), 10), MAX);
    }

    #[test]
    fn a_window_that_was_not_used_does_not_grow() {
        let mut pace = Pace::default();

        pace.sent(1, 100, Instant::ORIGIN);
        pace.arrived(1, Instant::ORIGIN, QUEUE, MAX);

        assert_eq!(pace.window(), WINDOW_FIRST);
    }

    #[test]
    fn a_way_that_grew_longer_is_learned() {
        let mut pace = Pace::default();
        let mut now = Instant::ORIGIN;
        for end in 1..50 {
            let way = Duration::from_millis(if end < 5 { 1 } else { 800 });
            pace.sent(end, pace.window(), now);
            now = now + way;
            pace.arrived(end, now, QUEUE, MAX);
        }

        assert_eq!(pace.window(), MAX);
    }

    #[test]
    fn silence_closes_the_window_to_its_least() {
        let mut pace = Pace::default();

        pace.ease();
        assert_eq!(pace.window(), WINDOW_FIRST / 2);
        (0..20).for_each(|_| pace.ease());

        assert_eq!(pace.window(), WINDOW_MIN);
    }

    #[test]
    fn what_took_hardly_longer_than_the_way_opens_the_window_by_half() {
        let mut pace = Pace::default();
        let way = Duration::from_secs(10);
        let now = Instant::ORIGIN + way;

        pace.sent(1, pace.window(), Instant::ORIGIN);
        pace.arrived(1, now, QUEUE, MAX);

        assert_eq!(pace.window(), WINDOW_FIRST + WINDOW_FIRST / 2);
    }

    #[test]
    fn after_something_else_is_sent_the_old_is_timed_no_more() {
        let mut pace = Pace::default();

        pace.sent(1, pace.window(), Instant::ORIGIN);
        pace.forget_timed();
        pace.arrived(1, Instant::ORIGIN + 20 * QUEUE, QUEUE, MAX);

        assert_eq!(pace.window(), WINDOW_FIRST);
        assert_eq!(pace.patience(), Duration::ZERO);
    }
}
