//! Judges whether a peer gets on: what it makes durable, and since when nothing that reached it has become so.
//!
//! A server may echo every round while its disk hangs or while nothing but heartbeats reaches it. Rounds say that it is
//! there; only its persisted position, or the bytes of a snapshot that its storage has, say that it gets on.

use core::time::Duration;

use super::common::Common;
use super::progress::{Flow, Progress};
use crate::ids::Index;
use crate::time::Instant;

/// A peer is stuck if it makes no headway for so many election timeouts. One entry, or one chunk of a snapshot, is all
/// that it takes: a server that needs longer for that could not follow as a voter.
const STUCK_ELECTION_TIMEOUTS: u32 = 5;

/// A snapshot that is complete may take a second for each so many bytes to be installed, beyond the time in which any
/// peer makes headway. Its bytes cannot be seen on their way to the disk. 1 MiB/s is less than worn flash cards and
/// browsers' stores write.
const INSTALLED_BYTES_PER_SECOND: u64 = 1 << 20;

/// The headway of a peer.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Headway {
    /// When more of the log became durable there, or its storage had more of a snapshot.
    made_at: Option<Instant>,
    /// The furthest that the transfer of a snapshot has come: its number, and the bytes that storage has there.
    furthest: (u64, u64),
    /// When it last answered a round that it had not answered before.
    heard_at: Option<Instant>,
    /// Since when something that has arrived there is not durable, by those answers.
    unpersisted_since: Option<Instant>,
}

impl Headway {
    /// When more of the log became durable there, or its storage had more of a snapshot; `None` if neither ever was.
    pub(super) fn made_at(&self) -> Option<Instant> {
        self.made_at
    }

    /// How long, by its own answers, something that has arrived there has not become durable; `None` if all has. Its
    /// silence counts for nothing here: whoever sleeps writes nothing either.
    pub(super) fn disk_stalled_for(&self) -> Option<Duration> {
        let (heard_at, since) = (self.heard_at?, self.unpersisted_since?);
        Some(heard_at.since(since))
    }

    fn note(&mut self, answer: Answer, now: Instant, lull: Duration) {
        if answer.grew {
            self.made_at = Some(now);
        }
        let was_silent = self.heard_at.is_some_and(|at| now.since(at) >= lull);
        if answer.is_news {
            self.heard_at = Some(now);
        }
        self.unpersisted_since = match self.unpersisted_since {
            Some(since) if answer.has_unpersisted && !answer.grew && !was_silent => Some(since),
            Some(_) | None => answer.has_unpersisted.then_some(now),
        };
    }
}

/// What an answer shows.
#[derive(Clone, Copy, Debug)]
struct Answer {
    /// Whether it echoes a round that was not echoed before.
    is_news: bool,
    /// Whether more is durable, or storage has more of a snapshot, than before.
    grew: bool,
    /// Whether something that has arrived is not durable.
    has_unpersisted: bool,
}

impl Progress {
    /// Takes note of what an answer showed. `matched` is what was known to match before it.
    pub(super) fn note_headway(&mut self, common: &Common, matched: Index, is_news: bool) {
        let (stored, waits) = match &self.flow {
            Flow::Snapshot(sending) if sending.received > 0 => (
                (sending.transfer, sending.acked),
                sending.received > sending.acked || self.is_installing(),
            ),
            Flow::Snapshot(_) | Flow::Probe { .. } | Flow::Replicate(_) | Flow::Forgot { .. } => {
                ((0, 0), false)
            }
        };
        let answer = Answer {
            is_news,
            grew: self.match_index > matched || stored > self.headway.furthest,
            has_unpersisted: self.received > self.match_index || waits,
        };
        self.headway.furthest = self.headway.furthest.max(stored);
        let lull = common.config.election_timeout();
        self.headway.note(answer, common.now, lull);
    }

    /// Within which time the peer makes headway, as it stands now, unless it is stuck.
    pub(super) fn headway_within(&self, common: &Common) -> Duration {
        let within = common.config.election_timeout() * STUCK_ELECTION_TIMEOUTS;
        match &self.flow {
            Flow::Snapshot(sending) if self.is_installing() => {
                let length = sending.snapshot.metadata.length;
                within + Duration::from_secs(length / INSTALLED_BYTES_PER_SECOND)
            }
            _ => within,
        }
    }

    /// Returns true if a snapshot has arrived there as a whole, and is not known to be durable.
    fn is_installing(&self) -> bool {
        match &self.flow {
            Flow::Snapshot(sending) => {
                let length = sending.snapshot.metadata.length;
                length > 0 && sending.received >= length
            }
            Flow::Probe { .. } | Flow::Replicate(_) | Flow::Forgot { .. } => false,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const LULL: Duration = Duration::from_secs(1);

    fn at(ms: u64) -> Instant {
        Instant::from_origin(Duration::from_millis(ms))
    }

    fn answer(grew: bool, has_unpersisted: bool) -> Answer {
        Answer {
            is_news: true,
            grew,
            has_unpersisted,
        }
    }

    fn stalled_after(answers: &[(u64, Answer)]) -> Option<Duration> {
        let mut headway = Headway::default();
        for (ms, answer) in answers {
            headway.note(*answer, at(*ms), LULL);
        }
        headway.disk_stalled_for()
    }

    #[test]
    fn a_disk_stalls_from_the_first_answer_that_lacks_something() {
        let hangs = answer(false, true);

        let stalled = stalled_after(&[(0, answer(true, false)), (5000, hangs), (5700, hangs)]);

        // The silence before the first of them is nobody's stall.
        assert_eq!(stalled, Some(Duration::from_millis(700)));
    }

    #[test]
    fn a_disk_that_finishes_one_write_after_another_does_not_stall() {
        let (hangs, grows) = (answer(false, true), answer(true, true));

        let stalled = stalled_after(&[(0, hangs), (900, grows), (1800, grows), (1900, hangs)]);

        assert_eq!(stalled, Some(Duration::from_millis(100)));
    }

    #[test]
    fn a_server_that_was_silent_begins_anew() {
        let hangs = answer(false, true);

        let stalled = stalled_after(&[(0, hangs), (900, hangs), (1900, hangs), (2000, hangs)]);

        assert_eq!(stalled, Some(Duration::from_millis(100)));
    }

    #[test]
    fn a_server_that_has_written_all_does_not_stall() {
        let stalled = stalled_after(&[(0, answer(false, true)), (500, answer(true, false))]);

        assert_eq!(stalled, None);
    }
}
