//! How far the sending of one request has got: shared by commands, registrations and operations.

use std::time::Duration;

use crate::time::Instant;

/// A moment that never comes.
pub(super) const NEVER: Instant = Instant::MAX;

/// Resending slows down to this many doublings of its first interval.
const DOUBLINGS_MAX: u32 = 5;

/// How far the sending of one request has got.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Attempt {
    pub(super) stage: Stage,
    /// Whether some leader may have taken it up: then its fate is unknown until it is known.
    pub(super) maybe_taken: bool,
    count: u32,
    again_at: Instant,
}

/// Where a request is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Stage {
    /// To be sent as soon as a leader is known.
    Unsent,
    /// Put off: the leader cannot take it at this time.
    PutOff,
    /// Given to this server's own core, which leads.
    Own,
    /// Sent to the leader under this number, and not answered yet.
    Sent(u64),
    /// In the leader's log, or under way there: nothing to do as long as it leads.
    Taken,
}

impl Attempt {
    pub(super) const fn unsent() -> Self {
        Self {
            stage: Stage::Unsent,
            maybe_taken: false,
            count: 0,
            again_at: NEVER,
        }
    }

    /// Given to this server's own core.
    pub(super) fn own(&mut self) {
        self.stage = Stage::Own;
        self.again_at = NEVER;
    }

    /// Sent to the leader, to be sent again unless it answers: at first after `interval`, then after twice that.
    pub(super) fn sent(&mut self, request: u64, now: Instant, interval: Duration) {
        self.stage = Stage::Sent(request);
        self.again_at = now + interval * (1 << self.count.min(DOUBLINGS_MAX));
        self.count += 1;
    }

    /// To be sent again after `interval`.
    pub(super) fn put_off(&mut self, now: Instant, interval: Duration) {
        self.stage = Stage::PutOff;
        self.again_at = now + interval;
    }

    /// The leader has it.
    pub(super) fn taken(&mut self) {
        self.stage = Stage::Taken;
        self.maybe_taken = true;
        self.again_at = NEVER;
    }

    /// The leader has said whether it took it; if not, it is to be sent again after `interval`.
    pub(super) fn answered(&mut self, taken: bool, now: Instant, interval: Duration) {
        if taken {
            self.taken();
        } else {
            self.put_off(now, interval);
        }
    }

    /// To be sent anew, since another leader, or another term of it, may not have it.
    pub(super) fn reroute(&mut self) {
        self.stage = Stage::Unsent;
        self.count = 0;
        self.again_at = NEVER;
    }

    /// Makes it unsent if its time to be sent again has come.
    pub(super) fn wake(&mut self, now: Instant) {
        if now >= self.again_at {
            self.stage = Stage::Unsent;
            self.again_at = NEVER;
        }
    }

    /// When it is to be sent again.
    pub(super) const fn again_at(&self) -> Instant {
        self.again_at
    }

    pub(super) fn is_unsent(&self) -> bool {
        self.stage == Stage::Unsent
    }
}

/// When a table must be looked through next, at the latest: cheaper than a timer for each request, since a table is
/// looked through about once in the time that its requests live.
#[derive(Clone, Copy, Debug)]
pub(super) struct Due(Instant);

/// Tables are not looked through more often than this.
const GRANULARITY: Duration = Duration::from_millis(1);

impl Due {
    pub(super) const fn never() -> Self {
        Self(NEVER)
    }

    pub(super) const fn at(self) -> Instant {
        self.0
    }

    /// Looks no later than at `moment`.
    pub(super) fn no_later_than(&mut self, moment: Instant) {
        self.0 = self.0.min(moment);
    }

    /// Whether to look through the table; if so, it is as if nothing were due until the look says otherwise.
    pub(super) fn begin(&mut self, now: Instant) -> bool {
        let due = now >= self.0;
        if due {
            self.0 = NEVER;
        }
        due
    }

    /// Looks at one attempt: wakes it if its time has come, and is due again by the time that it has then.
    pub(super) fn look_at(&mut self, attempt: &mut Attempt, now: Instant) {
        attempt.wake(now);
        self.no_later_than(attempt.again_at());
    }

    /// Ends a look through the table.
    pub(super) fn end(&mut self, now: Instant) {
        self.0 = self.0.max(now + GRANULARITY);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const SECOND: Duration = Duration::from_secs(1);

    fn at(seconds: u64) -> Instant {
        Instant::ORIGIN + SECOND * u32::try_from(seconds).unwrap()
    }

    #[test]
    fn each_resend_waits_twice_as_long() {
        let mut attempt = Attempt::unsent();

        attempt.sent(1, at(0), SECOND);
        let first = attempt.again_at();
        attempt.wake(at(1));
        attempt.sent(2, at(1), SECOND);

        assert_eq!((first, attempt.again_at()), (at(1), at(3)));
    }

    #[test]
    fn what_the_leader_has_is_not_sent_again() {
        let mut attempt = Attempt::unsent();
        attempt.sent(1, at(0), SECOND);

        attempt.taken();
        attempt.wake(at(1000));

        assert_eq!(attempt.stage, Stage::Taken);
        assert!(attempt.maybe_taken);
    }

    #[test]
    fn a_table_is_looked_through_at_its_earliest_moment_and_then_not_at_once_again() {
        let mut due = Due::never();
        due.no_later_than(at(5));
        due.no_later_than(at(3));

        let early = due.begin(at(2));
        let in_time = due.begin(at(3));
        due.no_later_than(at(3));
        due.end(at(3));

        assert!(!early && in_time);
        assert_eq!(due.at(), at(3) + GRANULARITY);
    }
}
