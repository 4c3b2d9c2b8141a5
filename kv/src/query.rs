//! What a member is asked to tell.

use bytes::Bytes;

use crate::entry::LeaseId;
use crate::error::Refused;
use crate::limits::check_key;
use crate::scan::Scan;
use crate::watch::Subscription;

/// A question, answered from the state of the member that asks.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Query {
    /// What is the key's value?
    Get {
        /// The key.
        key: Bytes,
    },
    /// What is in this part of the sequence?
    ReadSequence {
        /// The key of the sequence.
        key: Bytes,
        /// The place of the first value wanted; the first of all has place 0.
        from: u64,
        /// The most values wanted.
        limit: usize,
    },
    /// What does the key hold, and since when?
    Entry {
        /// The key.
        key: Bytes,
    },
    /// What do these keys hold?
    Scan(Scan),
    /// How long does the lease live?
    Lease {
        /// The lease.
        lease: LeaseId,
    },
    /// What is the revision of the store?
    Revision,
    /// What has changed since, and what changes from here on? Made by a [`Watcher`](crate::Watcher).
    Watch(Subscription),
    /// How far has the member come? The watch itself is told.
    Progress(Subscription),
}

impl Query {
    /// Checks the lengths of keys.
    ///
    /// # Errors
    /// When they exceed the [`limits`](crate::limits).
    pub fn check(&self) -> Result<(), Refused> {
        match self {
            Self::Get { key } | Self::ReadSequence { key, .. } | Self::Entry { key } => {
                check_key(key)
            }
            Self::Scan(scan) => scan.check(),
            Self::Watch(subscription) => subscription.keys.check(),
            Self::Lease { .. } | Self::Revision | Self::Progress(_) => Ok(()),
        }
    }
}
