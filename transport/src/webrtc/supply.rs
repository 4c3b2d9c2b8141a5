//! Bounds how many connections a browser makes that come to nothing.
//!
//! A page has about 500 of the browser's connections, and those that are closed count until the browser collects its
//! garbage, which takes it many minutes: with Chromium 156, 593 were made in four minutes, and then none. Whoever
//! answers or offers and does not connect, or an address where nobody is, must not use them all up. One by which a link
//! has come up is given back: whoever opens a connection and says nothing costs as much as who does not open it.

use std::time::Duration;

/// The most connections in a row that come to nothing.
const SUPPLY_MAX: u32 = 64;

/// After so long there is one more.
const SUPPLIED_AFTER: Duration = Duration::from_secs(30);

/// What a connection is made for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Purpose {
    /// To answer an offer that a signaling server has brought, of whomever.
    Stranger,
    /// To dial the address of a listener, whether anybody listens there or not.
    Listener,
    /// To answer whoever has a link with a member, or people know, or to reach a peer that has said that it is there.
    Peer,
}

impl Purpose {
    /// Returns how many are kept for others.
    const fn kept(self) -> u32 {
        match self {
            Self::Stranger => 48,
            Self::Listener => 32,
            Self::Peer => 0,
        }
    }
}

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

    /// Returns true if there is one.
    pub(super) fn has(&mut self, purpose: Purpose, now: Duration) -> bool {
        while self.left < SUPPLY_MAX && self.supplied_at <= now {
            self.left += 1;
            self.supplied_at = self.supplied_at.saturating_add(SUPPLIED_AFTER);
        }
        // Time in which there was no room for more brings nothing.
        if self.left >= SUPPLY_MAX {
            self.supplied_at = now.saturating_add(SUPPLIED_AFTER);
        }
        self.left > purpose.kept()
    }

    /// Takes one. Returns false if there is none.
    pub(super) fn take(&mut self, purpose: Purpose, now: Duration) -> bool {
        let is_taken = self.has(purpose, now);
        self.left -= u32::from(is_taken);
        is_taken
    }

    /// A link has come up by one that was taken.
    pub(super) fn give_back(&mut self) {
        self.left = (self.left + 1).min(SUPPLY_MAX);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const NOW: Duration = Duration::from_secs(1_000);

    fn taken(supply: &mut Supply, purpose: Purpose, now: Duration) -> u32 {
        let mut taken = 0;
        while supply.take(purpose, now) {
            taken += 1;
        }
        taken
    }

    #[test]
    fn addresses_where_nobody_is_leave_enough_for_others() {
        let mut supply = Supply::new(NOW);

        assert_eq!(taken(&mut supply, Purpose::Listener, NOW), 32);
        assert_eq!(taken(&mut supply, Purpose::Peer, NOW), 32);
    }

    /// They were given back when they opened, so that whoever opened one after the other used up all 500.
    #[test]
    fn strangers_who_open_connections_without_end_get_few() {
        let mut supply = Supply::new(NOW);

        assert_eq!(taken(&mut supply, Purpose::Stranger, NOW), 16);
        let an_hour_later = NOW + 120 * SUPPLIED_AFTER;
        let a_minute_after_that = an_hour_later + 2 * SUPPLIED_AFTER;
        assert_eq!(taken(&mut supply, Purpose::Stranger, an_hour_later), 16);
        assert_eq!(
            taken(&mut supply, Purpose::Stranger, a_minute_after_that),
            2
        );
        assert_eq!(taken(&mut supply, Purpose::Listener, NOW), 16);
        assert_eq!(taken(&mut supply, Purpose::Peer, NOW), 32);
    }

    #[test]
    fn there_is_one_more_each_half_minute_up_to_a_bound() {
        let mut supply = Supply::new(NOW);
        taken(&mut supply, Purpose::Peer, NOW);

        assert_eq!(
            taken(&mut supply, Purpose::Peer, NOW + 3 * SUPPLIED_AFTER),
            3
        );
        assert_eq!(
            taken(&mut supply, Purpose::Peer, NOW + 1_000 * SUPPLIED_AFTER),
            64
        );
    }

    #[test]
    fn connections_that_links_come_up_by_cost_nothing() {
        let mut supply = Supply::new(NOW);

        for _ in 0..1_000 {
            assert!(supply.take(Purpose::Stranger, NOW));
            supply.give_back();
        }

        assert_eq!(taken(&mut supply, Purpose::Peer, NOW), 64);
    }
}
