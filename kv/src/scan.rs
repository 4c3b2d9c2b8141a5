//! Reading many keys, page by page.

use bytes::Bytes;
use serde::{Deserialize, Serialize};

use crate::entry::Entry;
use crate::error::Refused;
use crate::into_bytes::IntoBytes;
use crate::keys::Keys;
use crate::revision::Revision;

/// The most entries on a page, and how many there are on one unless a scan says less.
pub const PAGE_ENTRIES_MAX: u32 = 1 << 10;

/// The most keys that one page counts.
pub const PAGE_COUNT_MAX: u32 = 1 << 16;

/// The most that a page weighs, in bytes. It holds one entry at least.
pub const PAGE_BYTES_MAX: u64 = 1 << 20;

/// What is to be read: keys in their order, at one revision, a page at a time.
///
/// ```
/// # mod liferaft { pub use liferaft_kv as kv; }
/// use liferaft::kv::{Keys, Revision, Scan};
///
/// let last_week = Scan::of(Keys::prefix("tents/")).limit(50).at(Revision(4711));
/// let names = Scan::of(Keys::all()).keys_only();
/// # let _ = (last_week, names);
/// ```
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Scan {
    pub(crate) keys: Keys,
    pub(crate) after: Option<Bytes>,
    pub(crate) limit: Option<u32>,
    pub(crate) revision: Option<Revision>,
    pub(crate) wanted: Wanted,
}

/// What a scan wants to know of each key.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) enum Wanted {
    Entries,
    Keys,
    Count,
}

/// A page of a scan.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Page {
    /// The entries, in the order of their keys.
    pub entries: Vec<Entry>,
    /// How many keys the page covers: the number of its entries, or what was counted instead.
    pub count: u64,
    /// The revision at which it was read: that which was asked for, or else that of the store.
    pub revision: Revision,
    /// The scan that reads on, at the same revision; `None` if this page is the last.
    pub next: Option<Scan>,
}

impl Scan {
    /// All of these keys, as they are.
    #[must_use]
    pub const fn of(keys: Keys) -> Self {
        Self {
            keys,
            after: None,
            limit: None,
            revision: None,
            wanted: Wanted::Entries,
        }
    }

    /// No more than so many on a page. What exceeds [`PAGE_ENTRIES_MAX`], or [`PAGE_COUNT_MAX`] where keys are only
    /// counted, counts as that, and 0 as 1.
    #[must_use]
    pub const fn limit(mut self, entries: u32) -> Self {
        self.limit = Some(entries);
        self
    }

    /// As the state was at this revision, if the history still reaches back to it.
    #[must_use]
    pub const fn at(mut self, revision: Revision) -> Self {
        self.revision = Some(revision);
        self
    }

    /// Without the values: only their lengths.
    #[must_use]
    pub const fn keys_only(mut self) -> Self {
        self.wanted = Wanted::Keys;
        self
    }

    /// Without the entries: only how many there are.
    #[must_use]
    pub const fn count_only(mut self) -> Self {
        self.wanted = Wanted::Count;
        self
    }

    /// Only what comes after this key.
    #[must_use]
    pub fn after(mut self, key: impl IntoBytes) -> Self {
        self.after = Some(key.into_bytes());
        self
    }

    /// Checks the lengths of the keys in it.
    ///
    /// # Errors
    /// When they exceed the [`limits`](crate::limits).
    pub fn check(&self) -> Result<(), Refused> {
        self.keys.check()?;
        self.after
            .iter()
            .try_for_each(|key| crate::limits::check_key(key))
    }

    pub(crate) fn entries_max(&self) -> u32 {
        let max = match self.wanted {
            Wanted::Entries | Wanted::Keys => PAGE_ENTRIES_MAX,
            Wanted::Count => PAGE_COUNT_MAX,
        };
        self.limit.map_or(max, |limit| limit.clamp(1, max))
    }

    pub(crate) fn bytes(&self) -> usize {
        self.keys.bytes() + self.after.as_ref().map_or(0, Bytes::len)
    }
}

impl From<Keys> for Scan {
    fn from(keys: Keys) -> Self {
        Self::of(keys)
    }
}
