//! The parts that a write consists of.

use bytes::Bytes;
use liferaft_raft::consensus::{HardState, Snapshot, Write};
use liferaft_raft::entry::{Entry, Payload};
use liferaft_raft::ids::Index;

/// A part of a write that is stored wholly or not at all.
#[derive(Debug)]
pub(super) enum Part {
    HardState(HardState),
    Snapshot(Snapshot),
    Truncate(Index),
    Entry(Entry),
    Compact(Index),
}

/// The parts of a write, in the order in which they become durable.
pub(super) fn parts(write: Write) -> impl Iterator<Item = Part> {
    let Write {
        id: _,
        hard_state,
        // The core makes none.
        peer_boots: _,
        snapshot,
        truncate,
        entries,
        compact,
    } = write;
    hard_state
        .map(Part::HardState)
        .into_iter()
        .chain(snapshot.map(Part::Snapshot))
        .chain(truncate.map(Part::Truncate))
        .chain(entries.into_iter().map(Part::Entry))
        .chain(compact.map(Part::Compact))
}

impl Part {
    /// It with something else in it.
    pub(super) fn damaged(self) -> Self {
        match self {
            Self::Entry(entry) => Self::Entry(damaged(entry)),
            Self::HardState(_) | Self::Snapshot(_) | Self::Truncate(_) | Self::Compact(_) => self,
        }
    }
}

/// An entry with something else in it.
pub(super) fn damaged(mut entry: Entry) -> Entry {
    match &mut entry.payload {
        Payload::Command(command) => *command = with_flipped_end(command),
        Payload::Noop | Payload::Configuration(_) => entry.stamp.0 ^= 1,
    }
    entry
}

/// Bytes of which one differs.
pub(super) fn with_flipped_end(bytes: &[u8]) -> Bytes {
    let mut bytes = bytes.to_vec();
    if let Some(last) = bytes.last_mut() {
        *last ^= 1;
    }
    bytes.into()
}
