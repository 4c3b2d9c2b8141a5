//! What one entry of the log can do to one key or read of several: the steps of transactions and batches.

use core::fmt;

use bytes::Bytes;
use serde::{Deserialize, Serialize};

use crate::count::Count;
use crate::entry::{Entry, LeaseId};
use crate::error::{Length, Refused, Shown};
use crate::limits::{check_key, check_key_and_values};
use crate::reply::{CompareAndSet, SeqAppend};
use crate::scan::{Page, Scan};

/// One step of a [`Txn`](crate::Txn) or a batch.
///
/// Its variants are encoded by their position and the fields in their order, so they are only ever added at the end.
#[derive(Clone, PartialEq, Eq, Serialize, Deserialize)]
#[non_exhaustive]
pub enum Step {
    /// Tells what the key holds.
    Get {
        /// The key.
        key: Bytes,
    },
    /// Makes the key hold the value.
    Set {
        /// The key.
        key: Bytes,
        /// Its value from then on.
        value: Bytes,
        /// The lease that the key ends with; `None`: it does not end by itself.
        lease: Option<LeaseId>,
    },
    /// Removes the key and what it holds.
    Delete {
        /// The key.
        key: Bytes,
    },
    /// Replaces the value if it is the expected one.
    CompareAndSet {
        /// The key.
        key: Bytes,
        /// What the key must hold; `None`: it must not exist.
        expected: Option<Bytes>,
        /// What it holds then; `None`: it is removed.
        new: Option<Bytes>,
    },
    /// Appends to the sequence if its counter is the given one.
    SeqAppend {
        /// The key of the sequence.
        key: Bytes,
        /// What its counter must be.
        count: Count,
        /// The value to append.
        value: Bytes,
    },
    /// Appends to the sequence, whatever its counter.
    Append {
        /// The key of the sequence.
        key: Bytes,
        /// The value to append.
        value: Bytes,
    },
    /// Reads a page of keys.
    Scan(Scan),
}

/// What a step did. There is one variant for each, encoded by its position: they are only ever added at the end.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[non_exhaustive]
pub enum StepDone {
    /// What the key holds; `None` if it does not exist.
    Got(Option<Entry>),
    /// The value is set.
    Set,
    /// The key does not exist; whether it did before.
    Deleted(bool),
    /// What became of a `compare_and_set`.
    CompareAndSet(CompareAndSet),
    /// What became of a `seq_append`.
    SeqAppend(SeqAppend),
    /// The value is appended; the counter of the sequence after it.
    Appended(Count),
    /// The page.
    Scanned(Page),
}

impl Step {
    /// Tells what a key holds.
    pub fn get(key: impl Into<Bytes>) -> Self {
        Self::Get { key: key.into() }
    }

    /// Makes a key hold a value.
    pub fn set(key: impl Into<Bytes>, value: impl Into<Bytes>) -> Self {
        Self::Set {
            key: key.into(),
            value: value.into(),
            lease: None,
        }
    }

    /// Makes a key hold a value until a lease ends.
    pub fn set_with_lease(key: impl Into<Bytes>, value: impl Into<Bytes>, lease: LeaseId) -> Self {
        Self::Set {
            key: key.into(),
            value: value.into(),
            lease: Some(lease),
        }
    }

    /// Removes a key.
    pub fn delete(key: impl Into<Bytes>) -> Self {
        Self::Delete { key: key.into() }
    }

    /// Appends a value to a sequence.
    pub fn append(key: impl Into<Bytes>, value: impl Into<Bytes>) -> Self {
        Self::Append {
            key: key.into(),
            value: value.into(),
        }
    }

    /// Reads a page of keys.
    pub fn scan(scan: impl Into<Scan>) -> Self {
        Self::Scan(scan.into())
    }

    /// The key that it is about; `None` if it scans.
    #[must_use]
    pub const fn key(&self) -> Option<&Bytes> {
        match self {
            Self::Get { key }
            | Self::Set { key, .. }
            | Self::Delete { key }
            | Self::CompareAndSet { key, .. }
            | Self::SeqAppend { key, .. }
            | Self::Append { key, .. } => Some(key),
            Self::Scan(_) => None,
        }
    }

    /// Checks the lengths of keys and values.
    ///
    /// # Errors
    /// When they exceed the [`limits`](crate::limits).
    pub fn check(&self) -> Result<(), Refused> {
        match self {
            Self::Set { key, value, .. }
            | Self::SeqAppend { key, value, .. }
            | Self::Append { key, value } => check_key_and_values(key, [value]),
            Self::Get { key } | Self::Delete { key } => check_key(key),
            Self::CompareAndSet { key, expected, new } => {
                check_key_and_values(key, expected.iter().chain(new))
            }
            Self::Scan(scan) => scan.check(),
        }
    }

    /// The bytes of its keys and values.
    pub(crate) fn bytes(&self) -> usize {
        match self {
            Self::Set { key, value, .. }
            | Self::SeqAppend { key, value, .. }
            | Self::Append { key, value } => key.len() + value.len(),
            Self::Get { key } | Self::Delete { key } => key.len(),
            Self::CompareAndSet { key, expected, new } => {
                let values = expected.iter().chain(new).map(Bytes::len);
                key.len() + values.sum::<usize>()
            }
            Self::Scan(scan) => scan.bytes(),
        }
    }
}

impl StepDone {
    /// The entry that a [`Step::Get`] found.
    #[must_use]
    pub const fn entry(&self) -> Option<&Entry> {
        match self {
            Self::Got(entry) => entry.as_ref(),
            Self::Set
            | Self::Deleted(_)
            | Self::CompareAndSet(_)
            | Self::SeqAppend(_)
            | Self::Appended(_)
            | Self::Scanned(_) => None,
        }
    }

    /// The page that a [`Step::Scan`] read.
    #[must_use]
    pub const fn page(&self) -> Option<&Page> {
        match self {
            Self::Scanned(page) => Some(page),
            Self::Got(_)
            | Self::Set
            | Self::Deleted(_)
            | Self::CompareAndSet(_)
            | Self::SeqAppend(_)
            | Self::Appended(_) => None,
        }
    }

    /// What it adds to a reply, in bytes, beside what every step does.
    pub(crate) fn reply_bytes(&self) -> u64 {
        match self {
            Self::Got(entry) => entry.as_ref().map_or(0, Entry::reply_bytes),
            Self::Scanned(page) => page.entries.iter().map(Entry::reply_bytes).sum(),
            Self::CompareAndSet(CompareAndSet::Different { current }) => {
                current.as_ref().map_or(0, |value| value.len() as u64)
            }
            Self::CompareAndSet(CompareAndSet::Set)
            | Self::Set
            | Self::Deleted(_)
            | Self::SeqAppend(_)
            | Self::Appended(_) => 0,
        }
    }
}

/// Names the step and its key, and only tells how long the values are.
impl fmt::Debug for Step {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Get { key } => write!(f, "get({})", Shown(key)),
            Self::Set { key, value, lease } => {
                write!(f, "set({}, {} bytes", Shown(key), value.len())?;
                lease
                    .iter()
                    .try_for_each(|lease| write!(f, ", lease {lease}"))?;
                f.write_str(")")
            }
            Self::Delete { key } => write!(f, "delete({})", Shown(key)),
            Self::CompareAndSet { key, expected, new } => {
                let (expected, new) = (Length(expected), Length(new));
                write!(f, "compare_and_set({}, {expected}, {new})", Shown(key))
            }
            Self::SeqAppend { key, count, value } => {
                let (key, bytes) = (Shown(key), value.len());
                write!(f, "seq_append({key}, {count}, {bytes} bytes)")
            }
            Self::Append { key, value } => {
                write!(f, "append({}, {} bytes)", Shown(key), value.len())
            }
            Self::Scan(scan) => write!(f, "scan({})", scan.keys),
        }
    }
}
