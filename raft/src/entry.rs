//! Log entries: what is replicated.

use alloc::sync::Arc;

use bytes::Bytes;

use crate::configuration::Configuration;
use crate::ids::{Index, LogPosition, Term};
use crate::time::ClusterTime;

/// What each entry is taken to weigh beside its payload, in bytes, so that bounds in bytes also bound counts.
pub const ENTRY_OVERHEAD_BYTES: u64 = 48;

/// One entry of the replicated log (§3.5).
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Entry {
    /// Its place in the log.
    pub index: Index,
    /// The term of the leader that appended it.
    pub term: Term,
    /// The cluster time at which that leader appended it; never smaller than that of the entry before.
    pub stamp: ClusterTime,
    /// What it says.
    pub payload: Payload,
}

/// What an entry says.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Payload {
    /// Nothing: appended by each new leader, so that it can commit the entries of earlier terms (§3.6.2, §6.4).
    Noop,
    /// A command: bytes that the core carries verbatim and never reads.
    Command(Bytes),
    /// A configuration, in force on each server from the moment it is appended there (§4.1).
    Configuration(Arc<Configuration>),
}

impl Entry {
    /// Its position: index and term.
    #[must_use]
    pub const fn position(&self) -> LogPosition {
        LogPosition::new(self.term, self.index)
    }

    /// What it counts against bounds in bytes: its payload and [`ENTRY_OVERHEAD_BYTES`].
    #[must_use]
    pub fn weight(&self) -> u64 {
        ENTRY_OVERHEAD_BYTES
            + match &self.payload {
                Payload::Noop => 0,
                Payload::Command(command) => command.len() as u64,
                Payload::Configuration(configuration) => configuration.weight(),
            }
    }
}
