//! Says what is wrong with what storage gave back.

use core::time::Duration;

use thiserror::Error;

use crate::config::ELECTION_TIMEOUT_MAX;
use crate::ids::{Index, Term};

/// Why a server cannot go on from what its storage gave back. What is stored is damaged: the server must not take part,
/// since it may have forgotten what it promised.
#[derive(Clone, Debug, PartialEq, Eq, Error)]
#[non_exhaustive]
pub enum RecoveryError {
    /// Entries are missing.
    #[error("the stored log goes from index {after} to {found}")]
    Gap {
        /// The last index before the gap.
        after: Index,
        /// The first index after it.
        found: Index,
    },
    /// Terms decrease along the log, or one is later than the stored term.
    #[error("the stored entry at index {index} has the impossible term {term}")]
    ImpossibleTerm {
        /// The entry's index.
        index: Index,
        /// Its term.
        term: Term,
    },
    /// Entries are missing that were durable, and known to be committed.
    #[error("the stored log ends at index {last}, and was committed up to {commit}")]
    CommittedMissing {
        /// Up to here it was committed.
        commit: Index,
        /// Where it ends.
        last: Index,
    },
    /// No server promises a leader to wait for so long.
    #[error("the stored promise of {promise:?} is above {ELECTION_TIMEOUT_MAX:?}")]
    ImpossiblePromise {
        /// The promise that is stored.
        promise: Duration,
    },
}
