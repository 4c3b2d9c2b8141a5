//! Finished revisions as bytes: the changes of one after the other, as a snapshot has them.
//!
//! A change that is kept as values in memory is five allocations, and what frees them thousands of entries later finds
//! none of them in a cache. As bytes it is copied once, while it is hot; a snapshot copies chunks, not changes; and
//! what is compacted is freed a chunk at a time. Reading the past costs a copy of what is read, and is rare
//! (`docs/decisions/0002-kv-history.md`).

use std::sync::Arc;

use super::Batch;
use crate::revision::Revision;
use crate::snapshot;

/// A chunk of so many bytes takes no further revision: some microseconds of copying.
const CHUNK_BYTES: usize = 32 << 10;

/// Some revisions, oldest first.
#[derive(Clone, Default)]
pub(super) struct Chunk {
    packed: Vec<u8>,
    places: Vec<Place>,
}

/// Where a revision is in its chunk, and what it counts for.
#[derive(Clone, Copy)]
pub(super) struct Place {
    pub(super) revision: Revision,
    /// Where its bytes end. They begin where those of the one before end.
    end: usize,
    pub(super) changes: usize,
    pub(super) weight: u64,
}

impl Chunk {
    /// Returns true if it takes no further revision.
    pub(super) fn is_full(&self) -> bool {
        self.packed.len() >= CHUNK_BYTES
    }

    pub(super) fn push(&mut self, batch: &Batch) {
        if self.packed.capacity() == 0 {
            // The last revision goes beyond it.
            self.packed.reserve_exact(CHUNK_BYTES + CHUNK_BYTES / 8);
        }
        snapshot::put_batch(&mut self.packed, batch);
        self.places.push(Place {
            revision: batch.revision,
            end: self.packed.len(),
            changes: batch.changes.len(),
            weight: batch.weight(),
        });
    }

    pub(super) fn len(&self) -> usize {
        self.places.len()
    }

    pub(super) fn place(&self, number: usize) -> Option<Place> {
        self.places.get(number).copied()
    }

    /// The last revision in it.
    pub(super) fn last(&self) -> Option<Revision> {
        self.places.last().map(|place| place.revision)
    }

    /// The bytes of its revisions but the first `skipped`.
    pub(super) fn packed_from(&self, skipped: usize) -> &[u8] {
        &self.packed[self.begin(skipped)..]
    }

    /// The revisions from this one on of which a key is wanted.
    pub(super) fn since(
        &self,
        from: Revision,
        is_wanted: impl Fn(&[u8]) -> bool,
    ) -> impl Iterator<Item = Arc<Batch>> {
        let first = self.places.partition_point(|place| place.revision < from);
        (first..self.places.len())
            .map(|number| &self.packed[self.begin(number)..self.places[number].end])
            .filter(move |packed| snapshot::has_key(packed, &is_wanted))
            .map(|packed| Arc::new(snapshot::unpack_batch(packed)))
    }

    fn begin(&self, number: usize) -> usize {
        number
            .checked_sub(1)
            .map_or(0, |before| self.places[before].end)
    }
}
