//! When a leader's rounds were sent: what an echoed round proves about the past.

use alloc::collections::VecDeque;
use core::time::Duration;

use crate::ids::Round;
use crate::time::Instant;

/// Remembers when rounds were sent, as coarsely as the decisions made from it allow.
///
/// The memory is bounded whatever the load: at most one mark each [`GRAIN`](Self::GRAIN)th of a heartbeat is kept, for
/// as long as an election timeout. Between marks it errs towards the past, which is the safe side.
#[derive(Debug)]
pub(super) struct RoundClock {
    latest: Round,
    began: Instant,
    marks: VecDeque<(Round, Instant)>,
}

impl RoundClock {
    /// How many marks are kept for each heartbeat interval.
    const GRAIN: u32 = 8;

    /// Round zero counts as sent at `now`.
    pub(super) fn starting_at(now: Instant) -> Self {
        Self {
            latest: Round::ZERO,
            began: now,
            marks: VecDeque::from([(Round::ZERO, now)]),
        }
    }

    pub(super) fn latest(&self) -> Round {
        self.latest
    }

    /// Begins the next round.
    pub(super) fn advance(&mut self, now: Instant, heartbeat: Duration, keep: Duration) -> Round {
        self.latest = self.latest.next();
        let (_, newest) = *self.marks.back().expect("there is always a mark");
        if now.since(newest) >= heartbeat / Self::GRAIN {
            self.marks.push_back((self.latest, now));
            let is_old = |(_, sent): &(Round, Instant)| now.since(*sent) > keep;
            while self.marks.get(1).is_some_and(is_old) {
                self.marks.pop_front();
            }
        }
        self.latest
    }

    /// A moment at or before which this round was not yet sent: the time of the last mark up to it.
    pub(super) fn sent_after(&self, round: Round) -> Instant {
        let after = self.marks.partition_point(|(marked, _)| *marked <= round);
        // Of a round before all marks that are kept nobody knows more than that.
        after
            .checked_sub(1)
            .map_or(self.began, |last| self.marks[last].1)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const HEARTBEAT: Duration = Duration::from_millis(80);
    const KEEP: Duration = Duration::from_secs(1);

    fn at(ms: u64) -> Instant {
        Instant::from_origin(Duration::from_millis(ms))
    }

    #[test]
    fn a_round_is_never_taken_to_be_later_than_it_was_sent() {
        let mut clock = RoundClock::starting_at(at(0));

        for ms in [3, 12, 13, 14, 40] {
            clock.advance(at(ms), HEARTBEAT, KEEP);
        }

        assert_eq!(clock.sent_after(Round(1)), at(0));
        assert_eq!(clock.sent_after(Round(2)), at(12));
        assert_eq!(clock.sent_after(Round(4)), at(12));
        assert_eq!(clock.sent_after(Round(5)), at(40));
    }

    #[test]
    fn a_round_that_is_forgotten_is_not_taken_for_one_that_is_remembered() {
        let mut clock = RoundClock::starting_at(at(0));

        for ms in [100, 2000, 4000] {
            clock.advance(at(ms), HEARTBEAT, KEEP);
        }

        assert_eq!(clock.sent_after(Round(1)), at(0));
        assert_eq!(clock.sent_after(Round(3)), at(4000));
    }

    #[test]
    fn marks_are_bounded_under_any_number_of_rounds() {
        let mut clock = RoundClock::starting_at(at(0));

        for ms in 0..100_000 {
            clock.advance(at(ms), HEARTBEAT, KEEP);
        }

        assert!(clock.marks.len() <= 102);
    }
}
