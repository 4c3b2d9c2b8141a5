//! The changes of late, so that the past can be read and watches can resume.
//!
//! The history is part of the replicated state: every member keeps the same changes, drops the oldest at the same
//! entry, and hands them on in its snapshots. What it still holds decides whether a revision can be read or watched
//! from.
//!
//! The revision that is being made is kept as it is, for those who watch. Those before it are bytes ([`chunk`]).

mod chunk;

use core::fmt;
use core::iter::once;
use std::collections::{BTreeMap, VecDeque};
use std::sync::Arc;

use bytes::Bytes;
use serde::{Deserialize, Serialize};

use self::chunk::Chunk;
use crate::count::Count;
use crate::entry::{Content, LeaseId, Meta};
use crate::error::Refused;
use crate::limits::{CHANGE_OVERHEAD_BYTES, StoreLimits};
use crate::revision::Revision;
use crate::snapshot;

/// The changes of late, oldest first. A clone shares everything.
#[derive(Clone, Default)]
pub(crate) struct History {
    /// Those that are full. A change copies the list if a clone shares it: a pointer for each chunk.
    full: Arc<VecDeque<Arc<Chunk>>>,
    tail: Arc<Chunk>,
    /// The revision that may still grow.
    last: Option<Arc<Batch>>,
    /// How many revisions of the first chunk are gone.
    skipped: usize,
    /// Changes up to here are gone. The state right after this revision can still be told, nothing before it.
    compacted: Revision,
    revisions: usize,
    changes: usize,
    bytes: u64,
}

/// All that one entry changed. Watchers share it.
#[derive(Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Batch {
    pub(crate) revision: Revision,
    pub(crate) changes: Vec<Change>,
}

/// One change of a key.
#[derive(Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Change {
    pub(crate) key: Bytes,
    pub(crate) kind: ChangeKind,
    /// What the key held before; `None` if it did not exist.
    pub(crate) before: Option<Past>,
}

/// What happened to a key.
///
/// Its variants are encoded by their position, so they are only ever added at the end.
#[derive(Clone, PartialEq, Eq, Serialize, Deserialize)]
#[non_exhaustive]
pub enum ChangeKind {
    /// It was set to a value.
    Set {
        /// The value.
        value: Bytes,
        /// Its story from then on.
        meta: Meta,
    },
    /// A value was appended to its sequence.
    Appended {
        /// The value alone, not the whole sequence.
        value: Bytes,
        /// The counter of the sequence after it: the value's place is [`Count::len`] less one.
        count: Count,
    },
    /// The first values of its sequence were dropped.
    Trimmed {
        /// The place of the first value that is left; that of the next one if none is.
        first: u64,
        /// The counter of the sequence, which is as it was.
        count: Count,
    },
    /// It was deleted.
    Deleted {
        /// The lease with whose end it went, if it was not deleted by a command.
        ended: Option<LeaseId>,
    },
}

/// What a key held.
#[derive(Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Past {
    pub(crate) content: PastContent,
    pub(crate) meta: Meta,
}

#[derive(Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) enum PastContent {
    Value(Bytes),
    Sequence(Count),
}

impl Change {
    /// The key.
    #[must_use]
    pub const fn key(&self) -> &Bytes {
        &self.key
    }

    /// What happened to it.
    #[must_use]
    pub const fn kind(&self) -> &ChangeKind {
        &self.kind
    }

    /// The value that it held before; `None` if it did not exist or held a sequence.
    #[must_use]
    pub const fn value_before(&self) -> Option<&Bytes> {
        match &self.before {
            Some(Past {
                content: PastContent::Value(value),
                ..
            }) => Some(value),
            Some(_) | None => None,
        }
    }

    pub(crate) fn weight(&self) -> u64 {
        let value = match &self.kind {
            ChangeKind::Set { value, .. } | ChangeKind::Appended { value, .. } => value.len(),
            ChangeKind::Trimmed { .. } | ChangeKind::Deleted { .. } => 0,
        };
        let before = self.value_before().map_or(0, Bytes::len);
        (self.key.len() + value + before) as u64 + CHANGE_OVERHEAD_BYTES
    }
}

impl Batch {
    pub(crate) fn weight(&self) -> u64 {
        self.changes.iter().map(Change::weight).sum()
    }
}

impl History {
    /// A history of which everything up to `compacted` is gone.
    pub(crate) fn compacted_to(compacted: Revision) -> Self {
        Self {
            compacted,
            ..Self::default()
        }
    }

    pub(crate) fn record(&mut self, revision: Revision, change: Change) {
        self.changes += 1;
        self.bytes += change.weight();
        if let Some(last) = &mut self.last
            && last.revision == revision
        {
            Arc::make_mut(last).changes.push(change);
            return;
        }
        self.revisions += 1;
        if let Some(mut last) = self.last.take() {
            self.pack(&last);
            // Where nobody watches, its memory serves the next one.
            if let Some(batch) = Arc::get_mut(&mut last) {
                batch.revision = revision;
                batch.changes.clear();
                batch.changes.push(change);
                self.last = Some(last);
                return;
            }
        }
        let changes = vec![change];
        self.last = Some(Arc::new(Batch { revision, changes }));
    }

    fn pack(&mut self, finished: &Batch) {
        if self.tail.is_full() {
            let full = core::mem::take(&mut self.tail);
            Arc::make_mut(&mut self.full).push_back(full);
        }
        Arc::make_mut(&mut self.tail).push(finished);
    }

    /// Drops the oldest revisions until what is left is within its bounds.
    pub(crate) fn trim(&mut self, limits: &StoreLimits) {
        while self.exceeds(limits) {
            self.drop_oldest();
        }
    }

    fn drop_oldest(&mut self) {
        let front = self.full.front().unwrap_or(&self.tail);
        let (revision, changes, weight) = match front.place(self.skipped) {
            Some(oldest) => {
                self.skipped += 1;
                if self.skipped == front.len() {
                    self.skipped = 0;
                    if self.full.is_empty() {
                        self.tail = Arc::default();
                    } else {
                        Arc::make_mut(&mut self.full).pop_front();
                    }
                }
                (oldest.revision, oldest.changes, oldest.weight)
            }
            None => {
                let last = self.last.take();
                let last = last.expect("an empty history is within its bounds");
                (last.revision, last.changes.len(), last.weight())
            }
        };
        self.revisions -= 1;
        self.changes -= changes;
        self.bytes -= weight;
        self.compacted = revision;
    }

    pub(crate) const fn exceeds(&self, limits: &StoreLimits) -> bool {
        self.changes > limits.history_changes_max || self.bytes > limits.history_bytes_max
    }

    /// The revision of the last change.
    pub(crate) fn revision(&self) -> Revision {
        let last = self.last.as_ref().map(|last| last.revision);
        last.unwrap_or(self.compacted)
    }

    pub(crate) const fn compacted(&self) -> Revision {
        self.compacted
    }

    #[cfg(test)]
    pub(crate) const fn bytes(&self) -> u64 {
        self.bytes
    }

    /// How many revisions there are.
    pub(crate) const fn len(&self) -> usize {
        self.revisions
    }

    /// Appends a part of what there is to a snapshot: the one after `done` others. Returns false if there is none.
    pub(crate) fn put_part(&self, out: &mut Vec<u8>, done: usize) -> bool {
        let skipped = if done == 0 { self.skipped } else { 0 };
        match self.full.get(done) {
            Some(chunk) => out.extend_from_slice(chunk.packed_from(skipped)),
            None if done == self.full.len() => {
                out.extend_from_slice(self.tail.packed_from(skipped));
                if let Some(last) = &self.last {
                    snapshot::put_batch(out, last);
                }
            }
            None => return false,
        }
        true
    }

    /// The revisions from this one on, oldest first. Costs as much as there are, not as there are in all.
    pub(crate) fn since(&self, from: Revision) -> impl Iterator<Item = Arc<Batch>> {
        self.since_where(from, |_| true)
    }

    /// The revisions from this one on of which a key is wanted, oldest first.
    pub(crate) fn since_where(
        &self,
        from: Revision,
        is_wanted: impl Fn(&[u8]) -> bool + Copy,
    ) -> impl Iterator<Item = Arc<Batch>> {
        let from = from.max(self.compacted.next());
        // Counted from the end: after each entry the newest is looked for, and a history is long. The tail is empty
        // only if all else is.
        let newest_first = once(&self.tail).chain(self.full.iter().rev());
        let wanted = newest_first
            .take_while(|chunk| chunk.last().is_some_and(|last| last >= from))
            .count();
        let end = self.full.len();
        let full = self.full.range(end - wanted.saturating_sub(1)..end);
        let last = self.last.iter().filter(move |last| {
            last.revision >= from && last.changes.iter().any(|change| is_wanted(&change.key))
        });
        full.chain(once(&self.tail))
            .flat_map(move |chunk| chunk.since(from, is_wanted))
            .chain(last.cloned())
    }

    /// What the keys that have changed since this revision held at it.
    ///
    /// # Errors
    /// When the history does not reach back to it.
    pub(crate) fn before_changes_since(
        &self,
        revision: Revision,
        is_wanted: impl Fn(&[u8]) -> bool,
    ) -> Result<BTreeMap<Bytes, Option<Past>>, Refused> {
        self.check(revision)?;
        let mut past = BTreeMap::new();
        for batch in self.since_where(revision.next(), &is_wanted) {
            let changes = Arc::unwrap_or_clone(batch).changes.into_iter();
            for change in changes.filter(|change| is_wanted(&change.key)) {
                past.entry(change.key).or_insert(change.before);
            }
        }
        Ok(past)
    }

    /// Whether the state at a revision can still be told.
    pub(crate) const fn check(&self, revision: Revision) -> Result<(), Refused> {
        if revision.0 < self.compacted.0 {
            return Err(Refused::Compacted {
                through: self.compacted,
            });
        }
        Ok(())
    }
}

/// The same changes, however they are cut into chunks.
impl PartialEq for History {
    fn eq(&self, other: &Self) -> bool {
        self.compacted == other.compacted
            && self.len() == other.len()
            && self.since(Revision::ZERO).eq(other.since(Revision::ZERO))
    }
}

impl Eq for History {}

impl Past {
    pub(crate) fn content(&self, keys_only: bool) -> Content {
        match &self.content {
            PastContent::Value(value) if keys_only => Content::ValueOf {
                bytes: value.len() as u64,
            },
            PastContent::Value(value) => Content::Value(value.clone()),
            PastContent::Sequence(count) => Content::Sequence(*count),
        }
    }
}

/// Names the key, and only tells how long the value is.
impl fmt::Debug for Change {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let key = crate::error::Shown(&self.key);
        match &self.kind {
            ChangeKind::Set { value, .. } => write!(f, "set({key}, {} bytes)", value.len()),
            ChangeKind::Appended { value, count } => {
                write!(f, "append({key}, {} bytes, {count})", value.len())
            }
            ChangeKind::Trimmed { first, count } => {
                write!(f, "trim({key}, before {first}, {count})")
            }
            ChangeKind::Deleted { ended: None } => write!(f, "delete({key})"),
            ChangeKind::Deleted { ended: Some(lease) } => write!(f, "end({key}, lease {lease})"),
        }
    }
}

/// Only tells how long the value is.
impl fmt::Debug for ChangeKind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Set { value, .. } => write!(f, "set({} bytes)", value.len()),
            Self::Appended { value, count } => {
                write!(f, "appended({} bytes, {count})", value.len())
            }
            Self::Trimmed { first, count } => write!(f, "trimmed(before {first}, {count})"),
            Self::Deleted { ended: None } => f.write_str("deleted"),
            Self::Deleted { ended: Some(lease) } => write!(f, "ended(lease {lease})"),
        }
    }
}

impl fmt::Debug for Batch {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: {:?}", self.revision, self.changes)
    }
}

#[cfg(test)]
mod tests;
