//! Holds the end of a log in memory, as entries, and an outline of what is before.

use std::collections::VecDeque;

use super::{Outline, Recovered, StorageError};
use crate::consensus::RecoveryError;
use crate::entry::Entry;
use crate::ids::Index;

/// A log of which the last entries are held.
#[derive(Debug)]
pub(super) struct Held {
    /// Those that are not held. `None` when it is not known, since one of them was dropped.
    outline: Option<Outline>,
    entries: VecDeque<Entry>,
    /// What they weigh.
    bytes: u64,
}

impl Default for Held {
    fn default() -> Self {
        Self {
            outline: Some(Outline::default()),
            entries: VecDeque::new(),
            bytes: 0,
        }
    }
}

impl Held {
    /// How many entries are held.
    pub(super) fn len(&self) -> usize {
        self.entries.len()
    }

    /// Appends an entry, which follows the others.
    pub(super) fn push(&mut self, entry: Entry) {
        self.bytes += entry.weight();
        self.entries.push_back(entry);
    }

    /// Drops the entries from this index on.
    pub(super) fn truncate(&mut self, from: Index) {
        let kept = self.place(from);
        self.bytes -= self
            .entries
            .drain(kept..)
            .map(|entry| entry.weight())
            .sum::<u64>();
        let outlined = self.outline.as_ref().map(|outline| outline.last().index);
        if outlined >= Some(from) {
            self.outline = None;
        }
    }

    /// Drops the entries before this index.
    pub(super) fn compact(&mut self, first: Index) {
        let dropped = self.place(first);
        self.bytes -= self
            .entries
            .drain(..dropped)
            .map(|entry| entry.weight())
            .sum::<u64>();
        if let Some(outline) = &mut self.outline
            && !outline.is_empty()
        {
            outline.compact_to(first.previous());
        }
    }

    /// There are no entries but those held.
    pub(super) fn has_all(&mut self) {
        self.outline = Some(Outline::default());
    }

    /// Holds no entry up to `committed` that would have those held weigh more than `bytes_max`.
    ///
    /// # Errors
    /// When a term is earlier than the one before.
    pub(super) fn evict(&mut self, bytes_max: u64, committed: Index) -> Result<(), RecoveryError> {
        while self.bytes > bytes_max
            && self
                .entries
                .front()
                .is_some_and(|front| front.index <= committed)
            && let Some(evicted) = self.entries.pop_front()
        {
            self.bytes -= evicted.weight();
            if let Some(outline) = &mut self.outline {
                outline.push_stored(&evicted)?;
            }
        }
        Ok(())
    }

    /// Returns the outline, unless it is not known, and the entries.
    pub(super) fn into_parts(self) -> (Option<Outline>, Vec<Entry>) {
        (self.outline, self.entries.into())
    }

    fn place(&self, index: Index) -> usize {
        self.entries.partition_point(|entry| entry.index < index)
    }
}

/// Moves entries to the outline that are committed, until the rest weighs no more than `bytes_max`.
///
/// # Errors
/// When they are no log.
pub(super) fn bound(recovered: Recovered, bytes_max: u64) -> Result<Recovered, StorageError> {
    recovered
        .outlined(bytes_max)
        .map_err(|error| StorageError::Damaged {
            what: "log",
            reason: error.to_string(),
        })
}
