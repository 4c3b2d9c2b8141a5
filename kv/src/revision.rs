//! When something changed, as a place in the replicated history.

use core::fmt;

use liferaft_raft::ids::Index;
use serde::{Deserialize, Serialize};

/// A place in the replicated history: the index of a log entry.
///
/// The revision *of the store* is the index of the last entry that changed a key. All that one entry does, a whole
/// transaction or a whole batch, happens at one revision, so revisions of changes grow, with gaps. Revisions are the
/// same on every member, and any index names the state as it was right after that entry: scans read at one, watches
/// begin at one.
///
/// ```
/// # mod liferaft { pub use liferaft_kv as kv; }
/// use liferaft::kv::Revision;
///
/// let seen = Revision(41);
/// assert_eq!(seen.next(), Revision(42));
/// assert!(Revision::ZERO < seen);
/// ```
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Default, Serialize, Deserialize)]
pub struct Revision(pub u64);

impl Revision {
    /// The empty store, before the first entry. Also when a key that does not exist was made and changed.
    pub const ZERO: Self = Self(0);

    /// The place after this one: where a watch begins that has seen everything up to here.
    #[must_use]
    pub const fn next(self) -> Self {
        Self(self.0.saturating_add(1))
    }

    /// The place before this one; that before [`Revision::ZERO`] is itself.
    #[must_use]
    pub const fn previous(self) -> Self {
        Self(self.0.saturating_sub(1))
    }
}

impl From<Index> for Revision {
    fn from(index: Index) -> Self {
        Self(index.0)
    }
}

impl fmt::Display for Revision {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(&self.0, f)
    }
}

impl fmt::Debug for Revision {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(&self.0, f)
    }
}

/// An answer, and the revision of the store when it was given.
///
/// What a write returns is as of right after it: its own revision if it changed anything, otherwise that of the last
/// change before it. It can be used as the answer itself, to which it dereferences.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Revised<T> {
    /// The answer.
    pub value: T,
    /// The revision of the store, on the member that answered.
    pub revision: Revision,
}

impl<T> Revised<T> {
    /// The answer alone.
    #[must_use]
    pub fn into_value(self) -> T {
        self.value
    }
}

impl<T> core::ops::Deref for Revised<T> {
    type Target = T;

    fn deref(&self) -> &T {
        &self.value
    }
}

impl<T: PartialEq> PartialEq<T> for Revised<T> {
    fn eq(&self, value: &T) -> bool {
        self.value == *value
    }
}
