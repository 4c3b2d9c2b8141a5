//! The replicated log behind the snapshot: what this server holds in memory of it.
//!
//! Everything since the last compaction is here, so that followers a little behind are served without reading a disk.
//! Compaction bounds it: the driver takes a snapshot when [`Log::bytes`] grows past what it allows.

use alloc::collections::VecDeque;
use alloc::vec::Vec;

use crate::entry::Entry;
use crate::ids::{Index, LogPosition, Term};
use crate::message::ENTRIES_MAX;
use crate::time::ClusterTime;

#[derive(Debug)]
pub(super) struct Log {
    /// The position before the first entry held: zero, or the last one compacted away.
    base: LogPosition,
    /// The cluster time at `base`.
    base_stamp: ClusterTime,
    /// Invariant: contiguous from `base`, terms and stamps never decrease.
    entries: VecDeque<Entry>,
    bytes: u64,
}

impl Log {
    pub(super) fn starting_after(base: LogPosition, base_stamp: ClusterTime) -> Self {
        Self {
            base,
            base_stamp,
            entries: VecDeque::new(),
            bytes: 0,
        }
    }

    pub(super) fn base(&self) -> LogPosition {
        self.base
    }

    pub(super) fn last_index(&self) -> Index {
        Index(self.base.index.0 + self.entries.len() as u64)
    }

    pub(super) fn last(&self) -> LogPosition {
        self.entries.back().map_or(self.base, Entry::position)
    }

    pub(super) fn last_stamp(&self) -> ClusterTime {
        self.entries
            .back()
            .map_or(self.base_stamp, |entry| entry.stamp)
    }

    /// What the entries held weigh.
    pub(super) fn bytes(&self) -> u64 {
        self.bytes
    }

    pub(super) fn entry(&self, index: Index) -> Option<&Entry> {
        self.offset(index)
            .and_then(|offset| self.entries.get(offset))
    }

    /// The term of the entry there, also at the base; `None` where nothing is known.
    pub(super) fn term_at(&self, index: Index) -> Option<Term> {
        if index == self.base.index {
            Some(self.base.term)
        } else {
            self.entry(index).map(|entry| entry.term)
        }
    }

    pub(super) fn matches(&self, position: LogPosition) -> bool {
        self.term_at(position.index) == Some(position.term)
    }

    /// Whether the entry before `next` is here, and neither its term nor its stamp is later than that of `next`.
    pub(super) fn may_be_followed_by(&self, next: &Entry) -> bool {
        let before = next.index.previous();
        if before == self.base.index {
            return self.base.term <= next.term && self.base_stamp <= next.stamp;
        }
        self.entry(before)
            .is_some_and(|entry| entry.term <= next.term && entry.stamp <= next.stamp)
    }

    /// The entries from `from` on; all that are held, if some before them are not.
    pub(super) fn entries_from(&self, from: Index) -> impl Iterator<Item = &Entry> {
        let offset = self.offset(from).unwrap_or(0);
        self.entries.range(offset.min(self.entries.len())..)
    }

    /// The entries from `from` on, as many as fit into `bytes_max` and one message, but at least one if there is one.
    pub(super) fn slice(&self, from: Index, bytes_max: u64) -> (Vec<Entry>, u64) {
        let Some(offset) = self.offset(from) else {
            return (Vec::new(), 0);
        };
        let mut bytes = 0;
        let mut count = 0;
        let held = self.entries.range(offset.min(self.entries.len())..);
        for entry in held.take(ENTRIES_MAX) {
            let weight = entry.weight();
            if count > 0 && bytes + weight > bytes_max {
                break;
            }
            bytes += weight;
            count += 1;
        }
        (
            self.entries
                .range(offset..offset + count)
                .cloned()
                .collect(),
            bytes,
        )
    }

    /// # Panics
    /// When the entry does not follow the log: all callers have checked that it does.
    pub(super) fn append(&mut self, entry: Entry) {
        assert!(
            entry.index == self.last_index().next(),
            "an entry is appended just after the last"
        );
        debug_assert!(
            entry.term >= self.last().term,
            "terms in a log never decrease"
        );
        debug_assert!(
            entry.stamp >= self.last_stamp(),
            "stamps in a log never decrease"
        );
        self.bytes += entry.weight();
        self.entries.push_back(entry);
    }

    /// Drops the entries from `index` on.
    pub(super) fn truncate_from(&mut self, index: Index) {
        let keep = self
            .offset(index)
            .expect("what lies at or before the base is never truncated");
        while self.entries.len() > keep {
            let dropped = self.entries.pop_back().expect("the loop's condition");
            self.bytes -= dropped.weight();
        }
    }

    /// Drops the entries up to `index`.
    pub(super) fn compact_to(&mut self, index: Index) {
        while self.base.index < index {
            let Some(dropped) = self.entries.pop_front() else {
                return;
            };
            self.bytes -= dropped.weight();
            self.base_stamp = dropped.stamp;
            self.base = dropped.position();
        }
    }

    /// The lowest index such that what follows it, up to `through`, weighs no more than `bytes_max`.
    pub(super) fn tail_start(&self, through: Index, bytes_max: u64) -> Index {
        let count = usize::try_from(through.distance_from(self.base.index)).unwrap_or(usize::MAX);
        let mut room = bytes_max;
        let mut start = through;
        for entry in self.entries.range(..count.min(self.entries.len())).rev() {
            match room.checked_sub(entry.weight()) {
                Some(rest) => room = rest,
                None => break,
            }
            start = entry.index.previous();
        }
        start
    }

    /// The last position at or before `index` whose term is not later than `term`: where two logs may still agree.
    ///
    /// Both sides of a replication use it, so that the search skips whole terms of either log (§3.5).
    pub(super) fn last_position_within(&self, index: Index, term: Term) -> LogPosition {
        let by_index = self
            .offset(index.min(self.last_index()).next())
            .unwrap_or(0);
        let by_term = self.entries.partition_point(|entry| entry.term <= term);
        by_index
            .min(by_term)
            .checked_sub(1)
            .map_or(self.base, |last| self.entries[last].position())
    }

    fn offset(&self, index: Index) -> Option<usize> {
        index
            .0
            .checked_sub(self.base.index.0 + 1)
            .and_then(|offset| usize::try_from(offset).ok())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::entry::Payload;

    fn log_of(terms: &[u64]) -> Log {
        let mut log = Log::starting_after(LogPosition::ZERO, ClusterTime::ZERO);
        for term in terms {
            let index = log.last_index().next();
            log.append(Entry {
                index,
                term: Term(*term),
                stamp: ClusterTime::ZERO,
                payload: Payload::Noop,
            });
        }
        log
    }

    fn at(term: u64, index: u64) -> LogPosition {
        LogPosition::new(Term(term), Index(index))
    }

    #[test]
    fn the_search_for_agreement_skips_later_terms() {
        let log = log_of(&[1, 1, 2, 5, 5, 5]);

        assert_eq!(log.last_position_within(Index(6), Term(4)), at(2, 3));
        assert_eq!(log.last_position_within(Index(6), Term(5)), at(5, 6));
        assert_eq!(log.last_position_within(Index(9), Term(5)), at(5, 6));
        assert_eq!(log.last_position_within(Index(u64::MAX), Term(5)), at(5, 6));
        assert_eq!(log.last_position_within(Index(2), Term(5)), at(1, 2));
        assert_eq!(
            log.last_position_within(Index(6), Term(0)),
            LogPosition::ZERO
        );
    }

    #[test]
    fn compaction_keeps_the_term_of_what_it_dropped_last() {
        let mut log = log_of(&[1, 1, 2, 3]);

        log.compact_to(Index(3));

        assert_eq!(log.base(), at(2, 3));
        assert_eq!(log.term_at(Index(3)), Some(Term(2)));
        assert_eq!(log.term_at(Index(2)), None);
        assert_eq!(log.last_position_within(Index(4), Term(2)), at(2, 3));
        assert_eq!(log.bytes(), crate::entry::ENTRY_OVERHEAD_BYTES);
    }

    #[test]
    fn a_tail_is_as_long_as_its_weight_allows() {
        let mut log = log_of(&[1, 1, 1, 1, 1]);
        log.compact_to(Index(1));
        let weight = crate::entry::ENTRY_OVERHEAD_BYTES;

        assert_eq!(log.tail_start(Index(4), 0), Index(4));
        assert_eq!(log.tail_start(Index(4), 2 * weight), Index(2));
        assert_eq!(log.tail_start(Index(4), 3 * weight - 1), Index(2));
        assert_eq!(log.tail_start(Index(4), u64::MAX), Index(1));
    }

    #[test]
    fn a_slice_holds_at_least_one_entry_however_heavy() {
        let log = log_of(&[1, 1, 1]);

        let (entries, bytes) = log.slice(Index(2), 1);

        assert_eq!(entries.len(), 1);
        assert_eq!(entries[0].index, Index(2));
        assert_eq!(bytes, crate::entry::ENTRY_OVERHEAD_BYTES);
    }

    #[test]
    fn a_slice_holds_as_many_entries_as_weigh_what_is_allowed() {
        let log = log_of(&[1, 1, 1, 1]);
        let weight = crate::entry::ENTRY_OVERHEAD_BYTES;

        assert_eq!(log.slice(Index(1), 3 * weight).0.len(), 3);
        assert_eq!(log.slice(Index(1), 3 * weight - 1).0.len(), 2);
        assert_eq!(log.slice(Index(1), 100 * weight).0.len(), 4);
    }

    #[test]
    fn a_slice_holds_no_more_entries_than_a_message_may() {
        let log = log_of(&[1; ENTRIES_MAX + 1]);

        let (entries, bytes) = log.slice(Index(1), u64::MAX);

        assert_eq!(entries.len(), ENTRIES_MAX);
        let most = ENTRIES_MAX as u64;
        assert_eq!(bytes, most * crate::entry::ENTRY_OVERHEAD_BYTES);
        assert_eq!(log.slice(Index(most + 1), u64::MAX).0.len(), 1);
    }

    #[test]
    fn what_is_truncated_weighs_nothing_any_more() {
        let mut log = log_of(&[1, 1, 1]);

        log.truncate_from(Index(2));

        assert_eq!(log.last(), at(1, 1));
        assert_eq!(log.bytes(), crate::entry::ENTRY_OVERHEAD_BYTES);
    }
}
