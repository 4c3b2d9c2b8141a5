//! From what storage gave back to a server that may go on.

use alloc::sync::Arc;

use thiserror::Error;

use super::log::Log;
use super::membership::ConfigurationLog;
use super::output::{HardState, Recovered, Snapshot};
use crate::entry::Payload;
use crate::ids::{Index, LogPosition, Term};
use crate::time::ClusterTime;

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
    /// The snapshot does not have the length or the digest that it says it has.
    #[error("the stored snapshot of {last} is damaged")]
    DamagedSnapshot {
        /// The last entry that it covers.
        last: LogPosition,
    },
}

#[derive(Debug)]
pub(super) struct Restored {
    pub(super) hard_state: HardState,
    pub(super) snapshot: Option<Snapshot>,
    pub(super) log: Log,
    pub(super) configurations: ConfigurationLog,
    /// What is stored from here on contradicts the snapshot, and must be dropped before anything follows it.
    pub(super) stale_from: Option<Index>,
}

impl Restored {
    pub(super) fn from_stored(recovered: Recovered) -> Result<Self, RecoveryError> {
        let Recovered {
            hard_state,
            snapshot,
            entries,
        } = recovered;
        let (covered, stamp, configuration_index, configuration) = match &snapshot {
            None => (
                LogPosition::ZERO,
                ClusterTime::ZERO,
                Index::ZERO,
                Arc::default(),
            ),
            Some(Snapshot { metadata, data }) => {
                let last = metadata.last;
                if metadata.length != data.len() as u64 || metadata.digest != crc32fast::hash(data)
                {
                    return Err(RecoveryError::DamagedSnapshot { last });
                }
                if last.term > hard_state.term {
                    return Err(RecoveryError::ImpossibleTerm {
                        index: last.index,
                        term: last.term,
                    });
                }
                let configuration = Arc::clone(&metadata.configuration);
                (
                    last,
                    metadata.stamp,
                    metadata.configuration_index,
                    configuration,
                )
            }
        };
        // What ends before the snapshot does, or contradicts it, is of no use, and the entries that come next would not
        // follow it.
        let first = entries.first().map(|first| first.index);
        let ends_before = entries
            .last()
            .is_some_and(|last| last.index < covered.index);
        let mut stale_from = first.filter(|_| ends_before);
        let mut log = Log::starting_after(covered, stamp);
        let mut configurations =
            ConfigurationLog::starting_with(configuration_index, configuration);
        for entry in entries {
            if entry.index <= covered.index {
                // The snapshot covers it. If it contradicts the snapshot, so does all that follows it.
                if entry.index == covered.index && entry.term != covered.term {
                    stale_from = first;
                    break;
                }
                continue;
            }
            let last = log.last();
            if entry.index != last.index.next() {
                return Err(RecoveryError::Gap {
                    after: last.index,
                    found: entry.index,
                });
            }
            if entry.term < last.term || entry.term > hard_state.term {
                return Err(RecoveryError::ImpossibleTerm {
                    index: entry.index,
                    term: entry.term,
                });
            }
            if let Payload::Configuration(configuration) = &entry.payload {
                configurations.append(entry.index, configuration.clone());
            }
            log.append(entry);
        }
        Ok(Self {
            hard_state,
            snapshot,
            log,
            configurations,
            stale_from,
        })
    }
}
