//! The replicated log behind the snapshot.
//!
//! All of its end is in memory, and of what was evicted from there an [`Outline`]: terms and weights are known of the
//! whole log, and entries that storage alone has are asked for when they are needed. Compaction bounds the whole: the
//! driver takes a snapshot when [`Log::bytes`] grows past what it allows.

mod outline;

use alloc::collections::VecDeque;
use alloc::vec::Vec;

pub use outline::Outline;

use crate::entry::{self, Entry};
use crate::ids::{Index, LogPosition, Term};
use crate::message::ENTRIES_MAX;
use crate::time::ClusterTime;

#[derive(Debug)]
pub(super) struct Log {
    /// The entries that were evicted.
    outline: Outline,
    /// The entries in memory.
    ///
    /// Invariant: contiguous from the end of the outline, terms and stamps never decrease.
    entries: VecDeque<Entry>,
    /// What the entries in memory weigh.
    bytes: u64,
}

impl Log {
    pub(super) fn starting_after(base: LogPosition, base_stamp: ClusterTime) -> Self {
        Self::continuing(Outline::starting_after(base, base_stamp))
    }

    /// A log of which storage has these entries.
    pub(super) fn continuing(outline: Outline) -> Self {
        Self {
            outline: outline.without_configurations(),
            entries: VecDeque::new(),
            bytes: 0,
        }
    }

    /// The position before the first entry: zero, or the last one compacted away.
    pub(super) fn base(&self) -> LogPosition {
        self.outline.base()
    }

    /// Up to here entries are not in memory.
    pub(super) fn evicted_to(&self) -> Index {
        self.outline.last().index
    }

    pub(super) fn last_index(&self) -> Index {
        Index(self.evicted_to().0 + self.entries.len() as u64)
    }

    pub(super) fn last(&self) -> LogPosition {
        let evicted = self.outline.last();
        self.entries.back().map_or(evicted, Entry::position)
    }

    pub(super) fn last_stamp(&self) -> ClusterTime {
        let evicted = self.outline.last_stamp();
        self.entries.back().map_or(evicted, |entry| entry.stamp)
    }

    /// What all of it weighs, in memory or not; rounded up as [`Outline::weight`] is.
    pub(super) fn bytes(&self) -> u64 {
        self.outline.weight() + self.bytes
    }

    /// The entry there, if it is in memory.
    pub(super) fn entry(&self, index: Index) -> Option<&Entry> {
        self.offset(index)
            .and_then(|offset| self.entries.get(offset))
    }

    /// The term of the entry there, in memory or not, also at the base; `None` where nothing is known.
    pub(super) fn term_at(&self, index: Index) -> Option<Term> {
        match self.entry(index) {
            Some(entry) => Some(entry.term),
            None => self.outline.term_at(index),
        }
    }

    pub(super) fn matches(&self, position: LogPosition) -> bool {
        self.term_at(position.index) == Some(position.term)
    }

    /// Whether the entry before `next` is here, and neither its term nor its stamp is later than that of `next`. What
    /// was evicted is committed, so that nothing else follows an entry within it.
    pub(super) fn may_be_followed_by(&self, next: &Entry) -> bool {
        let before = next.index.previous();
        if before == self.evicted_to() {
            return self.outline.last().term <= next.term
                && self.outline.last_stamp() <= next.stamp;
        }
        self.entry(before)
            .is_some_and(|entry| entry.term <= next.term && entry.stamp <= next.stamp)
    }

    /// The entries in memory from `from` on; all of them, if some before them are not.
    pub(super) fn entries_from(&self, from: Index) -> impl Iterator<Item = &Entry> {
        let offset = self.offset(from).unwrap_or(0);
        self.entries.range(offset.min(self.entries.len())..)
    }

    /// The entries from `from` on, as many as fit into `bytes_max` and one message, but at least one if there is one;
    /// none if that one is not in memory.
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
        entry::push(&mut self.entries, entry);
    }

    /// Appends entries that follow the log, none of which is in memory, and takes them with their room.
    pub(super) fn adopt(&mut self, entries: Vec<Entry>) {
        debug_assert!(self.entries.is_empty(), "what is in memory would be lost");
        self.bytes = entries.iter().map(Entry::weight).sum();
        self.entries = entries.into();
        entry::shrink(&mut self.entries);
    }

    /// Drops the entries from `index` on.
    pub(super) fn truncate_from(&mut self, index: Index) {
        let keep = self
            .offset(index)
            .expect("what was evicted or compacted away is never truncated");
        while self.entries.len() > keep {
            let dropped = self.entries.pop_back().expect("the loop's condition");
            self.bytes -= dropped.weight();
        }
        entry::shrink(&mut self.entries);
    }

    /// Drops entries from memory that are in storage, none after `through`, until those left take no more than
    /// `bytes_max` of it.
    pub(super) fn evict(&mut self, through: Index, bytes_max: u64) {
        while entry::memory(self.bytes, self.entries.len()) > bytes_max
            && let Some(first) = self.entries.front()
            && first.index <= through
        {
            self.bytes -= first.weight();
            self.outline.note(first);
            self.entries.pop_front();
        }
        entry::shrink(&mut self.entries);
    }

    /// Drops the entries up to `index`.
    pub(super) fn compact_to(&mut self, index: Index) {
        self.outline.compact_to(index);
        let mut last = None;
        while let Some(first) = self.entries.front()
            && first.index <= index
        {
            self.bytes -= first.weight();
            last = Some((first.position(), first.stamp));
            self.entries.pop_front();
        }
        entry::shrink(&mut self.entries);
        if let Some((base, stamp)) = last {
            self.outline = Outline::starting_after(base, stamp);
        }
    }

    /// The lowest index such that what follows it, up to `through`, weighs no more than `bytes_max`; a higher one among
    /// what was evicted, as [`Outline::tail_start`] tells.
    pub(super) fn tail_start(&self, through: Index, bytes_max: u64) -> Index {
        let evicted = self.evicted_to();
        if through <= evicted {
            return self.outline.tail_start(through, bytes_max);
        }
        let count = usize::try_from(through.distance_from(evicted)).unwrap_or(usize::MAX);
        let mut room = bytes_max;
        let mut start = through;
        for entry in self.entries.range(..count.min(self.entries.len())).rev() {
            match room.checked_sub(entry.weight()) {
                Some(rest) => room = rest,
                None => return start,
            }
            start = entry.index.previous();
        }
        self.outline.tail_start(start, room)
    }

    /// The last position at or before `index` whose term is not later than `term`: where two logs may still agree.
    ///
    /// Both sides of a replication use it, so that the search skips whole terms of either log (§3.5).
    pub(super) fn last_position_within(&self, index: Index, term: Term) -> LogPosition {
        let by_index = self
            .offset(index.min(self.last_index()).next())
            .unwrap_or(0);
        let by_term = self.entries.partition_point(|entry| entry.term <= term);
        by_index.min(by_term).checked_sub(1).map_or_else(
            || self.outline.last_position_within(index, term),
            |last| self.entries[last].position(),
        )
    }

    /// Where an entry would be among those in memory.
    fn offset(&self, index: Index) -> Option<usize> {
        index
            .0
            .checked_sub(self.evicted_to().0 + 1)
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
