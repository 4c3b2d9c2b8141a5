//! Remembers where the entries of the log are: a sparse index, with one place for about 64 KiB of a segment.

use std::collections::VecDeque;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use super::pages::PAGE_BYTES;
use super::segment::Layout;
use crate::ids::Index;
use crate::storage::records::change::{Change, Shape};

/// How far apart two places in a segment are, in bytes, or one record further.
pub(super) const SPACING_BYTES: u64 = 64 << 10;

/// Where the record of an entry is. Entries that follow it are found by reading on from there.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Place {
    /// The index of the entry.
    pub(super) index: Index,
    /// The number of its segment.
    pub(super) segment: u64,
    /// The salt of that segment.
    pub(super) salt: u64,
    /// Where its record begins in the segment.
    pub(super) offset: u64,
    /// From there on, the records of its batch have this length.
    pub(super) records: u64,
}

/// A batch that is durable, and where it is.
#[derive(Clone, Copy, Debug)]
pub(super) struct Placed<'a> {
    /// The number of its segment.
    pub(super) segment: u64,
    /// The salt of that segment.
    pub(super) salt: u64,
    /// Where it begins in the segment.
    pub(super) at: u64,
    pub(super) layout: &'a Layout,
}

/// A place, and how far one reads on from there.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Stretch {
    pub(super) place: Place,
    /// The index after the last entry that is found there.
    pub(super) end: Index,
    /// About as many bytes have its entries.
    pub(super) bytes: u64,
}

/// Where the entries of the log are.
///
/// From one place to the index of the next, entries follow each other in their segment, with nothing that was dropped
/// between them: a place begins with each segment, and where the log was cut.
#[derive(Debug, Default)]
pub(super) struct Places {
    /// The first index of the log; `next` if it is empty.
    first: Index,
    /// The index after its last entry.
    next: Index,
    /// By index.
    places: VecDeque<Place>,
    /// True if the next entry does not follow the last one in its segment.
    is_cut: bool,
}

impl Places {
    /// Takes note of what a batch changes. Then the places are [settled](Self::settle).
    pub(super) fn add(&mut self, batch: Placed<'_>, changes: &[Change]) {
        for (start, change) in batch.layout.starts.iter().zip(changes) {
            match change {
                Change::Entry(entry) => self.append(Place {
                    index: entry.index,
                    segment: batch.segment,
                    salt: batch.salt,
                    offset: batch.at + start,
                    records: batch.layout.end - start,
                }),
                Change::Truncate(from) => self.truncate(*from),
                Change::Snapshot(_) | Change::Compact(_) | Change::PeerBoots(_) => {}
            }
        }
    }

    /// Forgets what is not in the log, which has this shape.
    pub(super) fn settle(&mut self, shape: &Shape) {
        (self.first, self.next) = (shape.first, shape.next);
        if self.first == self.next {
            self.places.clear();
        }
        // The first entry is read from the last place at or before it.
        while self
            .places
            .get(1)
            .is_some_and(|next| next.index <= self.first)
        {
            self.places.pop_front();
        }
    }

    fn append(&mut self, place: Place) {
        // A batch that the last process left unmarked is there once more, in another segment.
        self.truncate(place.index);
        let is_near = self.places.back().is_some_and(|last| {
            last.segment == place.segment && place.offset - last.offset < SPACING_BYTES
        });
        if self.is_cut || self.next != place.index || !is_near {
            self.places.push_back(place);
        }
        (self.is_cut, self.next) = (false, place.index.next());
    }

    fn truncate(&mut self, from: Index) {
        if from < self.next {
            (self.is_cut, self.next) = (true, from);
        }
        while self.places.back().is_some_and(|last| last.index >= from) {
            self.places.pop_back();
        }
    }

    /// Returns where an entry is found; `None` if the log does not have it.
    pub(super) fn find(&self, index: Index) -> Option<Stretch> {
        if index < self.first || index >= self.next {
            return None;
        }
        let after = self.places.partition_point(|place| place.index <= index);
        let place = *self.places.get(after.checked_sub(1)?)?;
        let next = self.places.get(after);
        let until = next.filter(|next| next.segment == place.segment && next.offset > place.offset);
        Some(Stretch {
            place,
            end: next.map_or(self.next, |next| next.index),
            bytes: until.map_or(SPACING_BYTES + PAGE_BYTES as u64, |next| {
                next.offset - place.offset
            }),
        })
    }
}

/// Places that a store keeps, and others look up. Clones are the same.
#[derive(Clone, Debug, Default)]
pub(super) struct SharedPlaces(Arc<Mutex<Places>>);

impl SharedPlaces {
    pub(super) fn new(places: Places) -> Self {
        Self(Arc::new(Mutex::new(places)))
    }

    /// Takes note of what a batch changes, after which the log has this shape.
    pub(super) fn add(&self, batch: Placed<'_>, changes: &[Change], after: &Shape) {
        let mut places = self.places();
        places.add(batch, changes);
        places.settle(after);
    }

    /// Returns where an entry is found; `None` if the log does not have it.
    pub(super) fn find(&self, index: Index) -> Option<Stretch> {
        self.places().find(index)
    }

    fn places(&self) -> MutexGuard<'_, Places> {
        // A panic in the midst of a change ends the thread of the store, and with it the member.
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
