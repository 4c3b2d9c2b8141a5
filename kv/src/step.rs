//! What one entry of the log can do to one key or read of several: the steps of transactions and batches.

use core::fmt;

use bytes::Bytes;
use serde::{Deserialize, Serialize};

use crate::count::Count;
use crate::entry::{Entry, LeaseId};
use crate::error::{Length, Refused, Shown};
use crate::into_bytes::{IntoBytes, IntoOptionalBytes};
use crate::keys::Keys;
use crate::limits::{check_key, check_key_and_values};
use crate::reply::{CompareAndSet, SeqAppend, TrimBefore};
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
    /// Drops the first values of a sequence.
    TrimBefore {
        /// The key of the sequence.
        key: Bytes,
        /// The values that it counts are dropped.
        count: Count,
    },
    /// Removes keys and what they hold: all of them, or the step is refused.
    DeleteKeys(Keys),
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
    Scanned(StepPage),
    /// What became of a `trim_before`.
    TrimBefore(TrimBefore),
    /// The keys do not exist; how many did before.
    DeletedKeys(u64),
}

/// What a step of a [`Txn`](crate::Txn) or a batch reads of many keys: as they are after the steps before it and before
/// those behind it.
///
/// Unlike a [`Page`] it has no revision and cannot be read on: no revision names the state in the middle of an entry. A
/// scan [`after`](Scan::after) the last key of it, later, reads what the whole entry has left.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct StepPage {
    /// The entries, in the order of their keys.
    pub entries: Vec<Entry>,
    /// How many keys the page covers: the number of its entries, or what was counted instead.
    pub count: u64,
    /// The last key that the page covers, if there were more behind it; `None` if it covers all.
    pub more_after: Option<Bytes>,
}

impl Step {
    /// Tells what a key holds.
    pub fn get(key: impl IntoBytes) -> Self {
        Self::Get {
            key: key.into_bytes(),
        }
    }

    /// Makes a key hold a value.
    pub fn set(key: impl IntoBytes, value: impl IntoBytes) -> Self {
        Self::Set {
            key: key.into_bytes(),
            value: value.into_bytes(),
            lease: None,
        }
    }

    /// Makes a key hold a value until a lease ends.
    pub fn set_with_lease(key: impl IntoBytes, value: impl IntoBytes, lease: LeaseId) -> Self {
        Self::Set {
            key: key.into_bytes(),
            value: value.into_bytes(),
            lease: Some(lease),
        }
    }

    /// Removes a key.
    pub fn delete(key: impl IntoBytes) -> Self {
        Self::Delete {
            key: key.into_bytes(),
        }
    }

    /// Replaces a value by another if it is the expected one, as
    /// [`KvHandle::compare_and_set`](crate::KvHandle::compare_and_set) does.
    pub fn compare_and_set(
        key: impl IntoBytes,
        expected: impl IntoOptionalBytes,
        new: impl IntoOptionalBytes,
    ) -> Self {
        Self::CompareAndSet {
            key: key.into_bytes(),
            expected: expected.into_optional_bytes(),
            new: new.into_optional_bytes(),
        }
    }

    /// Appends a value to a sequence if its counter is `count`, as
    /// [`KvHandle::seq_append`](crate::KvHandle::seq_append) does.
    pub fn seq_append(key: impl IntoBytes, count: Count, value: impl IntoBytes) -> Self {
        Self::SeqAppend {
            key: key.into_bytes(),
            count,
            value: value.into_bytes(),
        }
    }

    /// Appends a value to a sequence.
    pub fn append(key: impl IntoBytes, value: impl IntoBytes) -> Self {
        Self::Append {
            key: key.into_bytes(),
            value: value.into_bytes(),
        }
    }

    /// Reads a page of keys, as a [`StepPage`]. It is refused at the revision that the entry is about to make, or at a
    /// later one: only what is done has a revision.
    pub fn scan(scan: impl Into<Scan>) -> Self {
        Self::Scan(scan.into())
    }

    /// Drops the values of a sequence that `count` counts, as [`KvHandle::trim_before`](crate::KvHandle::trim_before)
    /// does.
    pub fn trim_before(key: impl IntoBytes, count: Count) -> Self {
        Self::TrimBefore {
            key: key.into_bytes(),
            count,
        }
    }

    /// Removes a prefix or a range of keys: all of them, or the step is refused with [`Refused::TooMuchDeleted`] since
    /// such steps of one command would delete more than [`DELETE_KEYS_MAX`](crate::limits::DELETE_KEYS_MAX) keys or
    /// [`DELETE_BYTES_MAX`](crate::limits::DELETE_BYTES_MAX).
    #[must_use]
    pub const fn delete_keys(keys: Keys) -> Self {
        Self::DeleteKeys(keys)
    }

    /// The key that it is about; `None` if it scans or deletes many.
    #[must_use]
    pub const fn key(&self) -> Option<&Bytes> {
        match self {
            Self::Get { key }
            | Self::Set { key, .. }
            | Self::Delete { key }
            | Self::CompareAndSet { key, .. }
            | Self::SeqAppend { key, .. }
            | Self::Append { key, .. }
            | Self::TrimBefore { key, .. } => Some(key),
            Self::Scan(_) | Self::DeleteKeys(_) => None,
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
            Self::Get { key } | Self::Delete { key } | Self::TrimBefore { key, .. } => {
                check_key(key)
            }
            Self::CompareAndSet { key, expected, new } => {
                check_key_and_values(key, expected.iter().chain(new))
            }
            Self::Scan(scan) => scan.check(),
            Self::DeleteKeys(keys) => keys.check(),
        }
    }

    /// The bytes of its keys and values.
    pub(crate) fn bytes(&self) -> usize {
        match self {
            Self::Set { key, value, .. }
            | Self::SeqAppend { key, value, .. }
            | Self::Append { key, value } => key.len() + value.len(),
            Self::Get { key } | Self::Delete { key } | Self::TrimBefore { key, .. } => key.len(),
            Self::CompareAndSet { key, expected, new } => {
                let values = expected.iter().chain(new).map(Bytes::len);
                key.len() + values.sum::<usize>()
            }
            Self::Scan(scan) => scan.bytes(),
            Self::DeleteKeys(keys) => keys.bytes(),
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
            | Self::Scanned(_)
            | Self::TrimBefore(_)
            | Self::DeletedKeys(_) => None,
        }
    }

    /// The page that a [`Step::Scan`] read.
    #[must_use]
    pub const fn page(&self) -> Option<&StepPage> {
        match self {
            Self::Scanned(page) => Some(page),
            Self::Got(_)
            | Self::Set
            | Self::Deleted(_)
            | Self::CompareAndSet(_)
            | Self::SeqAppend(_)
            | Self::Appended(_)
            | Self::TrimBefore(_)
            | Self::DeletedKeys(_) => None,
        }
    }

    /// What it adds to a reply, in bytes, beside what every step does.
    pub(crate) fn reply_bytes(&self) -> u64 {
        match self {
            Self::Got(entry) => entry.as_ref().map_or(0, Entry::reply_bytes),
            Self::Scanned(page) => {
                let last = page.more_after.as_ref().map_or(0, Bytes::len) as u64;
                page.entries.iter().map(Entry::reply_bytes).sum::<u64>() + last
            }
            Self::CompareAndSet(CompareAndSet::Different { current }) => {
                current.as_ref().map_or(0, |value| value.len() as u64)
            }
            Self::CompareAndSet(CompareAndSet::Set)
            | Self::Set
            | Self::Deleted(_)
            | Self::SeqAppend(_)
            | Self::Appended(_)
            | Self::TrimBefore(_)
            | Self::DeletedKeys(_) => 0,
        }
    }
}

impl From<Page> for StepPage {
    fn from(page: Page) -> Self {
        Self {
            entries: page.entries,
            count: page.count,
            more_after: page.next.and_then(|next| next.after),
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
            Self::TrimBefore { key, count } => write!(f, "trim_before({}, {count})", Shown(key)),
            Self::DeleteKeys(keys) => write!(f, "delete_keys({keys})"),
        }
    }
}
