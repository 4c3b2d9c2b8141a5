//! Bounds how many connections a browser makes that come to nothing.
//!
//! A page has about 500 of the browser's connections, and those that are closed count until the browser collects its
//! garbage, which takes it many minutes: with Chromium 156, 593 were made in four minutes, and then none. Whoever
//! answers without connecting, or an address where nobody is, must not use them all up. A connection that opens is
//! given back.

use std::time::Duration;

/// The most connections in a row that come to nothing.
const SUPPLY_MAX: u32 = 64;

/// How many of them are kept for those of whom it is known that somebody is there: addresses of listeners are dialed
/// whether anybody listens or not.
const KEPT_FOR_ANSWERED: u32 = 32;

/// After so long there is one more.
const SUPPLIED_AFTER: Duration = Duration::from_secs(30);

/// The connections that may still be made.
#[derive(Clone, Copy, Debug)]
pub(super) struct Supply {
    left: u32,
    /// When there is one more.
    supplied_at: Duration,
}

impl Supply {
    pub(super) fn new(now: Duration) -> Self {
        Self {
            left: SUPPLY_MAX,
            supplied_at: now.saturating_add(SUPPLIED_AFTER),
        }
    }

    /// Takes one, for a peer that has answered or not. Returns false if there is none.
    pub(super) fn take(&mut self, is_answered: bool, now: Duration) -> bool {
        while self.left < SUPPLY_MAX && self.supplied_at <= now {
            self.left += 1;
            self.supplied_at = self.supplied_at.saturating_add(SUPPLIED_AFTER);
        }
        // Time in which there was no room for more brings nothing.
        if self.left >= SUPPLY_MAX {
            self.supplied_at = now.saturating_add(SUPPLIED_AFTER);
        }
        let kept = if is_answered { 0 } else { KEPT_FOR_ANSWERED };
        let is_taken = self.left > kept;
        self.left -= u32::from(is_taken);
        is_taken
    }

    /// One that was taken has opened.
    pub(super) fn give_back(&mut self) {
        self.left = (self.left + 1).min(SUPPLY_MAX);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const NOW: Duration = Duration::from_secs(1_000);

    fn taken(supply: &mut Supply, is_answered: bool, now: Duration) -> u32 {
        let mut taken = 0;
        while supply.take(is_answered, now) {
            taken += 1;
        }
        taken
    }

    #[test]
    fn addresses_where_nobody_is_leave_enough_for_others() {
        let mut supply = Supply::new(NOW);

        assert_eq!(taken(&mut supply, false, NOW), 32);
        assert_eq!(taken(&mut supply, true, NOW), 32);
    }

    #[test]
    fn there_is_one_more_each_half_minute_up_to_a_bound() {
        let mut supply = Supply::new(NOW);
        taken(&mut supply, true, NOW);

        assert_eq!(taken(&mut supply, true, NOW + 3 * SUPPLIED_AFTER), 3);
        assert_eq!(taken(&mut supply, true, NOW + 1_000 * SUPPLIED_AFTER), 64);
    }

    #[test]
    fn connections_that_open_cost_nothing() {
        let mut supply = Supply::new(NOW);

        for _ in 0..1_000 {
            assert!(supply.take(true, NOW));
            supply.give_back();
        }

        assert_eq!(taken(&mut supply, true, NOW), 64);
    }
}
