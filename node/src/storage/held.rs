//! Holds the end of a log in memory, as entries, and an outline of what is before.

use std::collections::VecDeque;

use bytes::{Bytes, BytesMut};

use super::{Outline, Recovered, StorageError};
use crate::consensus::RecoveryError;
use crate::entry::{self, Entry, Payload};
use crate::ids::Index;

/// A log of which the last entries are held.
#[derive(Debug)]
pub(super) struct Held {
    /// Those that are not held. `None` when it is not known, since one of them was dropped.
    outline: Option<Outline>,
    entries: VecDeque<Entry>,
    /// What they weigh.
    bytes: u64,
    /// Where the next short command goes.
    pack: BytesMut,
}

/// Commands of so few bytes share their allocations.
const PACKED_BYTES: usize = 1 << 10;

/// How long such an allocation is, in bytes. As long as one of its commands is held, so is all of it.
const PACK_BYTES: usize = 64 << 10;

impl Default for Held {
    fn default() -> Self {
        Self {
            outline: Some(Outline::default()),
            entries: VecDeque::new(),
            bytes: 0,
            pack: BytesMut::new(),
        }
    }
}

impl Held {
    /// How many entries are held.
    pub(super) fn len(&self) -> usize {
        self.entries.len()
    }

    /// Appends an entry, which follows the others.
    pub(super) fn push(&mut self, mut entry: Entry) {
        if let Payload::Command(command) = &mut entry.payload
            && command.len() <= PACKED_BYTES
        {
            *command = self.pack(command);
        }
        self.bytes += entry.weight();
        entry::push(&mut self.entries, entry);
    }

    /// Copies a command to where others are: an allocation of its own takes as much again as a short one has.
    fn pack(&mut self, command: &[u8]) -> Bytes {
        if self.pack.capacity() < command.len() {
            self.pack = BytesMut::with_capacity(PACK_BYTES);
        }
        self.pack.extend_from_slice(command);
        self.pack.split().freeze()
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

    /// Holds no entry up to `committed` that would have those held take more than `bytes_max` of memory.
    ///
    /// # Errors
    /// When a term is earlier than the one before.
    pub(super) fn evict(&mut self, bytes_max: u64, committed: Index) -> Result<(), RecoveryError> {
        while entry::memory(self.bytes, self.entries.len()) > bytes_max
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

/// Moves entries to the outline that are committed, until the rest takes no more than `bytes_max` of memory.
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
