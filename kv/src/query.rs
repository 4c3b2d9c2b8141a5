//! Defines what a member can be asked to tell.

use bytes::Bytes;
use serde::{Deserialize, Serialize};

use crate::entry::LeaseId;
use crate::error::Refused;
use crate::keys::Keys;
use crate::limits::check_key;
use crate::revision::Revision;
use crate::scan::Scan;
use crate::watch::Subscription;

/// A question, answered from the state of the member that asks, or of the leader.
///
/// A client's query travels to the leader, encoded by the position of its variant: those are only ever added, and
/// before those that stay with their member, which come last.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
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
        #[serde(with = "crate::query::limit")]
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
    /// What has changed? Made by a [`ClientWatch`](crate::ClientWatch).
    Changes {
        /// Of these keys.
        keys: Keys,
        /// From this revision on; `None`: from here on.
        from: Option<Revision>,
    },
    /// What has changed since, and what changes from here on? Made by a [`Watcher`](crate::Watcher).
    #[serde(skip)]
    Watch(Subscription),
    /// How far has the member come? The watch itself is told.
    #[serde(skip)]
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
            Self::Changes { keys, .. } => keys.check(),
            Self::Watch(subscription) => subscription.keys.check(),
            Self::Lease { .. } | Self::Revision | Self::Progress(_) => Ok(()),
        }
    }
}

/// A limit that is the same on machines of all widths: what exceeds one counts as no limit there.
mod limit {
    use serde::{Deserialize, Deserializer, Serialize, Serializer};

    #[expect(clippy::trivially_copy_pass_by_ref, reason = "serde's signature")]
    pub(super) fn serialize<S: Serializer>(
        limit: &usize,
        serializer: S,
    ) -> Result<S::Ok, S::Error> {
        u64::try_from(*limit)
            .unwrap_or(u64::MAX)
            .serialize(serializer)
    }

    pub(super) fn deserialize<'de, D: Deserializer<'de>>(
        deserializer: D,
    ) -> Result<usize, D::Error> {
        let limit = u64::deserialize(deserializer)?;
        Ok(usize::try_from(limit).unwrap_or(usize::MAX))
    }
}
