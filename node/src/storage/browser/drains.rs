//! Remembers which drain has which entries of the log, and from which drain on the log needs them.

use std::collections::VecDeque;
use std::ops::RangeInclusive;

use crate::ids::Index;
use crate::storage::records::change::{Change, Shape};

/// The drains of a log that have entries of it.
///
/// Entries are only ever dropped at the ends of a log: those of a drain follow each other, and so do the drains.
#[derive(Debug)]
pub(super) struct Drains {
    /// By index, and by number.
    places: VecDeque<Place>,
    shape: Shape,
    /// The last drain, and what the log was before it; the first that will be if there is none.
    last: (u64, Shape),
    /// The number of the next drain.
    next: u64,
}

/// A drain that has entries of the log.
#[derive(Clone, Copy, Debug)]
struct Place {
    /// The first of them.
    first: Index,
    drain: u64,
    /// How long the drain is, in bytes.
    bytes: u64,
    /// What the log was before it.
    before: Shape,
}

/// The most drains with entries that are read at a time.
const STRETCH_MAX: usize = 64;

impl Drains {
    /// None yet, of a log that has this shape before the drain of this number.
    pub(super) const fn starting_with(first: u64, shape: Shape) -> Self {
        Self {
            places: VecDeque::new(),
            shape,
            last: (first, shape),
            next: first,
        }
    }

    /// The number of the next drain.
    pub(super) const fn next(&self) -> u64 {
        self.next
    }

    /// The shape of the log after the last drain.
    #[cfg(test)]
    const fn shape(&self) -> &Shape {
        &self.shape
    }

    /// Adds the next drain, of so many bytes, which makes these changes.
    ///
    /// # Errors
    /// When they leave a gap in the log. Nothing has changed then.
    pub(super) fn add(&mut self, bytes: usize, changes: &[Change]) -> Result<(), String> {
        let before = self.shape;
        let mut shape = before;
        for change in changes {
            shape.apply(change)?;
        }
        let drain = self.next;
        for change in changes {
            match change {
                Change::Entry(entry) => {
                    self.truncate(entry.index);
                    if self.places.back().is_none_or(|last| last.drain != drain) {
                        self.places.push_back(Place {
                            first: entry.index,
                            drain,
                            bytes: bytes as u64,
                            before,
                        });
                    }
                }
                Change::Truncate(from) => self.truncate(*from),
                Change::Snapshot(_) | Change::Compact(_) | Change::PeerBoots(_) => {}
            }
        }
        if shape.first == shape.next {
            self.places.clear();
        }
        while let Some(next) = self.places.get(1)
            && next.first <= shape.first
        {
            self.places.pop_front();
        }
        (self.shape, self.last, self.next) = (shape, (drain, before), drain + 1);
        Ok(())
    }

    /// Forgets the entries from here on.
    fn truncate(&mut self, from: Index) {
        while self.places.back().is_some_and(|last| last.first >= from) {
            self.places.pop_back();
        }
    }

    /// Returns the number of the first drain that the log needs, and what the log was before it.
    pub(super) fn first_needed(&self) -> (u64, Shape) {
        let front = self.places.front();
        front.map_or(self.last, |front| (front.drain, front.before))
    }

    /// Returns the number of the drain that has the entry at this index, if it is in the log.
    pub(super) fn find(&self, index: Index) -> Option<u64> {
        self.place(index).map(|place| self.places[place].drain)
    }

    /// Returns the numbers of the drains that have the entries from here on: as many as are not much longer than
    /// `bytes_max` together, and some that have none between them. `None` if the first entry is not in the log.
    pub(super) fn stretch(
        &self,
        from: Index,
        through: Index,
        bytes_max: u64,
    ) -> Option<RangeInclusive<u64>> {
        let begin = self.place(from)?;
        let first = self.places[begin].drain;
        let (mut last, mut bytes) = (first, 0);
        for place in self.places.range(begin..).take(STRETCH_MAX) {
            if place.first > through || (place.drain > first && bytes >= bytes_max) {
                break;
            }
            last = place.drain;
            bytes += place.bytes;
        }
        Some(first..=last)
    }

    /// Where the place of the drain is that has the entry at this index.
    fn place(&self, index: Index) -> Option<usize> {
        if index < self.shape.first || index >= self.shape.next {
            return None;
        }
        let after = self.places.partition_point(|place| place.first <= index);
        after.checked_sub(1)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::storage::conformance::{entry, metadata};
    use crate::storage::{Snapshot, SnapshotName};

    fn entries(indices: std::ops::RangeInclusive<u64>) -> Vec<Change> {
        indices
            .map(|index| Change::Entry(entry(index, 1, "x")))
            .collect()
    }

    fn snapshot(index: u64) -> Change {
        Change::Snapshot(Snapshot {
            name: SnapshotName(1),
            metadata: metadata(index, 1, b"state"),
        })
    }

    fn after(drains: &[Vec<Change>]) -> Drains {
        let mut known = Drains::starting_with(1, Shape::default());
        for changes in drains {
            known.add(100, changes).unwrap();
        }
        known
    }

    /// The drains of the entries at these indices; 0 for one that is not in the log.
    fn found<const COUNT: usize>(drains: &Drains, indices: [u64; COUNT]) -> [u64; COUNT] {
        indices.map(|index| drains.find(Index(index)).unwrap_or(0))
    }

    #[test]
    fn each_entry_is_found_in_its_drain() {
        let drains = after(&[entries(1..=3), vec![], entries(4..=4)]);

        assert_eq!(found(&drains, [0, 1, 3, 4, 5]), [0, 1, 1, 3, 0]);
    }

    #[test]
    fn as_many_drains_are_read_as_are_wanted() {
        let drains = after(&[entries(1..=1), vec![], entries(2..=2), entries(3..=3)]);
        let stretch = |from, through, bytes| drains.stretch(Index(from), Index(through), bytes);

        assert_eq!(stretch(1, 3, 1_000), Some(1..=4));
        assert_eq!(stretch(1, 2, 1_000), Some(1..=3));
        assert_eq!(stretch(2, 3, 100), Some(3..=3));
        assert_eq!(stretch(3, 9, 0), Some(4..=4));
        assert_eq!(stretch(4, 9, 1_000), None);
    }

    #[test]
    fn an_entry_that_was_replaced_is_found_in_the_later_drain() {
        let mut replacing = vec![Change::Truncate(Index(2))];
        replacing.extend(entries(2..=2));

        let drains = after(&[entries(1..=3), replacing]);

        assert_eq!(found(&drains, [1, 2, 3]), [1, 2, 0]);
    }

    #[test]
    fn drains_before_the_first_entry_of_the_log_are_not_needed() {
        let compacting = vec![snapshot(4), Change::Compact(Index(4))];

        let drains = after(&[entries(1..=3), entries(4..=5), compacting]);

        let (first, before) = drains.first_needed();
        assert_eq!((first, before.next), (2, Index(4)));
        assert_eq!(found(&drains, [4, 5]), [0, 2]);
    }

    #[test]
    fn of_an_empty_log_no_drain_but_the_last_is_needed() {
        let compacting = vec![snapshot(3), Change::Compact(Index(3))];

        let drains = after(&[entries(1..=3), compacting]);

        let (first, before) = drains.first_needed();
        assert_eq!((first, before.first, before.next), (2, Index(1), Index(4)));
    }

    #[test]
    fn a_drain_that_leaves_a_gap_changes_nothing() {
        let mut drains = after(&[entries(1..=3)]);

        let refused = drains.add(100, &entries(5..=5));

        assert!(refused.is_err());
        assert_eq!((drains.next(), drains.shape().next), (2, Index(4)));
        assert_eq!(found(&drains, [3, 5]), [1, 0]);
    }
}
