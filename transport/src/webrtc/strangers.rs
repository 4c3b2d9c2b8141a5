//! Bounds how often others are answered who ask by a signaling server, and whom this end has not dialed: a server takes
//! so many messages a second from each end, and those to whoever means to connect are among them.

use std::collections::VecDeque;
use std::time::Duration;

use crate::ServerId;

/// Each is answered once within this time, what it asks first and its offer apart: less often than whoever waits for an
/// answer asks again.
const ANSWERED_EACH: Duration = Duration::from_millis(200);

/// All together are answered this often, once for each of this time: half as often as our server reads. Of more,
/// whoever comes just then is answered, so that some of what one that asks seldom repeats gets through.
const ANSWERED_IN_ALL_EACH: Duration = Duration::from_millis(40);

/// So many are answered at once after a rest: all members of a large cluster that starts.
const ANSWERED_AT_ONCE_MAX: u32 = 256;

/// Who was answered lately.
#[derive(Debug, Default)]
pub(crate) struct Strangers {
    /// The earliest first: whom, and whether it was an offer.
    lately: VecDeque<(Duration, ServerId, bool)>,
    /// When all that were answered are paid for, at one for each [`ANSWERED_IN_ALL_EACH`].
    paid_at: Duration,
}

impl Strangers {
    /// Returns true if one is answered that asks, or offers, now.
    pub(crate) fn may_be_answered(&mut self, who: ServerId, offers: bool, now: Duration) -> bool {
        let is_over = |at: Duration| now >= at.saturating_add(ANSWERED_EACH);
        while self.lately.front().is_some_and(|(at, ..)| is_over(*at)) {
            self.lately.pop_front();
        }
        let is_same = |(_, other, what): &(_, ServerId, bool)| (*other, *what) == (who, offers);
        if self.lately.iter().any(is_same) {
            return false;
        }
        let paid_at = self.paid_at.max(now).saturating_add(ANSWERED_IN_ALL_EACH);
        let at_once = ANSWERED_IN_ALL_EACH.saturating_mul(ANSWERED_AT_ONCE_MAX);
        if paid_at > now.saturating_add(at_once) {
            return false;
        }
        self.paid_at = paid_at;
        self.lately.push_back((now, who, offers));
        true
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const NOW: Duration = Duration::from_secs(100);

    fn id(number: u32) -> ServerId {
        ServerId::from(u128::from(number))
    }

    #[test]
    fn one_that_asks_without_end_is_answered_now_and_then() {
        let mut strangers = Strangers::default();
        let asked = (0..100).map(|number| NOW + Duration::from_millis(10 * number));

        let answered = asked.filter(|at| strangers.may_be_answered(id(1), false, *at));

        assert_eq!(answered.count(), 5);
        let at = NOW + Duration::from_secs(1);
        assert!(strangers.may_be_answered(id(1), true, at));
        assert!(!strangers.may_be_answered(id(1), true, at));
    }

    #[test]
    fn crowds_are_answered_at_once_and_then_at_a_rate() {
        let mut strangers = Strangers::default();
        let mut count = |at: Duration, ids: std::ops::Range<u32>| {
            ids.filter(|number| strangers.may_be_answered(id(*number), false, at))
                .count()
        };

        let first = count(NOW, 0..1_000);
        let later = count(NOW + Duration::from_secs(2), 1_000..2_000);

        assert_eq!((first, later), (256, 50));
    }
}
