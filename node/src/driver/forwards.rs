//! The batches of commands that were forwarded to the leader, and how long it usually takes to answer one.

use std::ops::Range;
use std::time::Duration;

use crate::sorted::SortedMap;
use crate::time::Instant;

/// The most forwarded batches whose answers are waited for. Beyond that the oldest is taken to be lost.
const FORWARDS_MAX: usize = 1024;

#[derive(Debug, Default)]
pub(super) struct Forwards {
    /// The sequence numbers that each carries and when it was sent, by the number of the request.
    open: SortedMap<u64, (Range<u64>, Instant)>,
    /// How long the leader takes, smoothed. It answers when it has appended a batch, before that is committed.
    answer_time: Option<Duration>,
}

impl Forwards {
    /// A batch is sent.
    pub(super) fn begin(&mut self, request: u64, range: Range<u64>, now: Instant) {
        if self.open.len() >= FORWARDS_MAX {
            self.open.pop_first();
        }
        self.open.insert(request, (range, now));
    }

    /// The sequence numbers that a batch carries; none if it is not waited for.
    pub(super) fn range(&self, request: u64) -> Range<u64> {
        self.open
            .get(&request)
            .map_or(0..0, |(range, _)| range.clone())
    }

    /// A batch did not leave.
    pub(super) fn withdraw(&mut self, request: u64) {
        self.open.remove(&request);
    }

    /// The leader has answered a batch. The sequence numbers that it carries, if it is waited for.
    pub(super) fn answered(&mut self, request: u64, now: Instant) -> Option<Range<u64>> {
        let (range, sent_at) = self.open.remove(&request)?;
        let took = now.since(sent_at);
        self.answer_time = Some(self.answer_time.map_or(took, |mean| (mean * 7 + took) / 8));
        Some(range)
    }

    /// How long to wait for an answer before a batch is sent again: several times as long as one usually takes, a tenth
    /// of `longest` at least.
    pub(super) fn patience(&self, longest: Duration) -> Duration {
        self.answer_time
            .map_or(longest, |mean| (mean * 4).clamp(longest / 10, longest))
    }

    /// Nothing is waited for any more.
    pub(super) fn clear(&mut self) {
        self.open.clear();
    }
}

/// What a command of a batch takes in its frame beside its bytes, at most.
pub(super) const COMMAND_OVERHEAD_BYTES: usize = 16;

/// How many bytes the next command of a batch may have behind those it holds. The first may have any: it was found to
/// fit when it was taken in.
pub(super) const fn room_behind(bytes: usize, bytes_max: usize) -> usize {
    if bytes == 0 {
        usize::MAX
    } else {
        bytes_max.saturating_sub(bytes)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const LONGEST: Duration = Duration::from_millis(200);

    fn at(ms: u64) -> Instant {
        Instant::from_origin(Duration::from_millis(ms))
    }

    #[test]
    fn patience_follows_the_time_that_answers_take() {
        let mut forwards = Forwards::default();
        assert_eq!(forwards.patience(LONGEST), LONGEST, "nothing is known yet");

        forwards.begin(1, 5..7, at(0));
        assert_eq!(forwards.answered(1, at(10)), Some(5..7));

        assert_eq!(forwards.patience(LONGEST), Duration::from_millis(40));
    }

    #[test]
    fn patience_is_bounded_both_ways() {
        let mut forwards = Forwards::default();

        forwards.begin(1, 0..1, at(0));
        forwards.answered(1, at(0));
        assert_eq!(forwards.patience(LONGEST), LONGEST / 10);
        forwards.begin(2, 1..2, at(0));
        forwards.answered(2, at(60_000));

        assert_eq!(forwards.patience(LONGEST), LONGEST);
    }

    #[test]
    fn an_answer_counts_once() {
        let mut forwards = Forwards::default();
        forwards.begin(1, 0..1, at(0));

        assert_eq!(forwards.answered(1, at(1)), Some(0..1));
        assert_eq!(forwards.answered(1, at(2)), None);
    }
}
