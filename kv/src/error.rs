//! Defines how an operation fails: the state machine refuses it, or the cluster does not answer.

use core::fmt;

use bytes::Bytes;
use liferaft_node::driver::{ProposeError, ReadError};
use serde::{Deserialize, Serialize};
use thiserror::Error;

use crate::entry::LeaseId;
use crate::limits::{
    DELETE_BYTES_MAX, DELETE_KEYS_MAX, KEY_BYTES_MAX, LEASE_TTL_MAX, LEASE_TTL_MIN, LEASES_MAX,
    SEQUENCE_BYTES_MAX, SEQUENCE_VALUES_MAX, STEPS_BYTES_MAX, STEPS_MAX, STEPS_READ_BYTES_MAX,
    STORE_BYTES_MAX, VALUE_BYTES_MAX, WATCHES_MAX,
};
use crate::revision::Revision;

/// Why an operation on a [`KvHandle`](crate::KvHandle) has no result.
#[derive(Clone, Debug, PartialEq, Eq, Error)]
#[non_exhaustive]
pub enum KvError {
    /// The operation is not possible; nothing was changed by it.
    #[error("not done: {0}")]
    Refused(Refused),
    /// The write was not confirmed. The error tells whether it is certain not to happen, or unknown.
    #[error(transparent)]
    Propose(#[from] ProposeError),
    /// The read could not be served.
    #[error(transparent)]
    Read(#[from] ReadError),
    /// The reply belongs to another operation: the member that answered runs another program. What that did is not
    /// known.
    #[error("unknown: a reply to {got} came in reply to {asked}")]
    Mismatch {
        /// The operation that was asked for.
        asked: &'static str,
        /// The operation that the reply belongs to.
        got: &'static str,
    },
}

impl From<Refused> for KvError {
    fn from(refused: Refused) -> Self {
        Self::Refused(refused)
    }
}

impl KvError {
    /// Returns true if the operation certainly changed nothing, and never will. Otherwise nothing is known.
    ///
    /// ```
    /// # mod liferaft { pub use liferaft_kv as kv; }
    /// use liferaft::kv::{KvError, Refused};
    ///
    /// assert!(KvError::from(Refused::KeyEmpty).is_definite());
    /// ```
    #[must_use]
    pub const fn is_definite(&self) -> bool {
        match self {
            Self::Refused(_) => true,
            Self::Propose(error) => error.is_definite(),
            Self::Read(error) => error.is_definite(),
            Self::Mismatch { .. } => false,
        }
    }
}

/// A definite no from the state machine: the operation changed nothing, on any member. Its text follows an outcome, as
/// in that of [`KvError`].
///
/// Its variants are encoded by their position, so they are only ever added at the end.
#[derive(Clone, Debug, PartialEq, Eq, Error, Serialize, Deserialize)]
#[non_exhaustive]
pub enum Refused {
    /// The key holds a sequence where the operation wants a value, or the other way round.
    #[error("the key \"{}\" holds a {is}", Shown(key))]
    WrongKind {
        /// The key.
        key: Bytes,
        /// What it holds.
        is: Kind,
    },
    /// The key has no bytes.
    #[error("the key is empty, 1 to {KEY_BYTES_MAX} bytes are allowed")]
    KeyEmpty,
    /// The key is longer than [`KEY_BYTES_MAX`].
    #[error("the key has {bytes} bytes, 1 to {KEY_BYTES_MAX} are allowed")]
    KeyTooLong {
        /// Its length.
        bytes: u64,
    },
    /// The value is longer than [`VALUE_BYTES_MAX`].
    #[error("the value has {bytes} bytes, {VALUE_BYTES_MAX} are allowed")]
    ValueTooLong {
        /// Its length.
        bytes: u64,
    },
    /// The sequence would exceed [`SEQUENCE_VALUES_MAX`] or [`SEQUENCE_BYTES_MAX`]: it has to be trimmed.
    #[error(
        "the sequence \"{}\" is full: it holds at most {SEQUENCE_VALUES_MAX} values and {SEQUENCE_BYTES_MAX} bytes",
        Shown(key)
    )]
    SequenceFull {
        /// Its key.
        key: Bytes,
    },
    /// The store would exceed [`STORE_BYTES_MAX`].
    #[error("the store is full: it holds at most {STORE_BYTES_MAX} bytes")]
    StoreFull,
    /// A transaction or batch exceeds [`STEPS_MAX`] or [`STEPS_BYTES_MAX`].
    #[error(
        "there are {steps} conditions and steps of {bytes} bytes, {STEPS_MAX} of {STEPS_BYTES_MAX} bytes are allowed"
    )]
    TooMuchAtOnce {
        /// The conditions and steps.
        steps: u64,
        /// The bytes of their keys and values.
        bytes: u64,
    },
    /// The steps of a transaction or batch read more than [`STEPS_READ_BYTES_MAX`].
    #[error("the steps read more than {STEPS_READ_BYTES_MAX} bytes")]
    TooMuchRead,
    /// The history does not reach back so far: the changes up to a revision are gone.
    #[error("the changes up to revision {through} are compacted")]
    Compacted {
        /// The last revision whose changes are gone. The state right after it can be read, and changes after it
        /// watched.
        through: Revision,
    },
    /// The revision is in the future of the member that was asked.
    #[error("revision {wanted} is ahead of {applied}, which is applied")]
    RevisionAhead {
        /// The revision asked for.
        wanted: Revision,
        /// The last entry that the member has applied.
        applied: Revision,
    },
    /// The lease has ended, was revoked, or was never granted.
    #[error("lease {lease} has ended")]
    LeaseEnded {
        /// The lease.
        lease: LeaseId,
    },
    /// The time to live is not between [`LEASE_TTL_MIN`] and [`LEASE_TTL_MAX`].
    #[error(
        "a lease lives between {} and {} ms, not {ttl_ms} ms",
        LEASE_TTL_MIN.as_millis(),
        LEASE_TTL_MAX.as_millis()
    )]
    LeaseTtl {
        /// The time to live, in whole milliseconds.
        ttl_ms: u64,
    },
    /// There are [`LEASES_MAX`] leases.
    #[error("there are {LEASES_MAX} leases, no more are allowed")]
    TooManyLeases,
    /// The member has [`WATCHES_MAX`] watches.
    #[error("the member has {WATCHES_MAX} watches, no more are allowed")]
    TooManyWatches,
    /// The steps of a transaction or batch would delete more than [`DELETE_KEYS_MAX`] keys or [`DELETE_BYTES_MAX`] by
    /// prefix or range.
    #[error(
        "the steps delete more than {DELETE_KEYS_MAX} keys or {DELETE_BYTES_MAX} bytes by prefix or range"
    )]
    TooMuchDeleted,
}

/// What a key can hold.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub enum Kind {
    /// Bytes, replaced as a whole by `set` and `compare_and_set`.
    Value,
    /// Values in a row, extended by `append` and `seq_append`.
    Sequence,
}

impl fmt::Display for Kind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Value => "value",
            Self::Sequence => "sequence",
        })
    }
}

/// Shows a key: printable ASCII as it is, other bytes escaped, and no more of it than fits a line.
pub(crate) struct Shown<'a>(pub(crate) &'a [u8]);

impl Shown<'_> {
    const BYTES_MAX: usize = 64;
}

impl fmt::Display for Shown<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.0.split_at_checked(Self::BYTES_MAX) {
            Some((head, [_, ..])) => write!(f, "{}…", head.escape_ascii()),
            Some((_, [])) | None => write!(f, "{}", self.0.escape_ascii()),
        }
    }
}

/// Shows of a value how long it is: the rest is nobody's business in a log.
pub(crate) struct Length<'a>(pub(crate) &'a Option<Bytes>);

impl fmt::Display for Length<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.0 {
            Some(value) => write!(f, "{} bytes", value.len()),
            None => f.write_str("none"),
        }
    }
}
