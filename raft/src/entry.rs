//! Log entries: what is replicated.

use alloc::sync::Arc;

use alloc::collections::VecDeque;

use bytes::Bytes;

use crate::configuration::Configuration;
use crate::ids::{Index, LogPosition, Term};
use crate::time::ClusterTime;

/// What each entry is taken to weigh beside its payload on a disk or on its way, in bytes, so that bounds in bytes also
/// bound counts.
pub const ENTRY_OVERHEAD_BYTES: u64 = 48;

/// What each entry takes in memory beside its payload, in bytes: at most, but for an allocator that is more wasteful
/// than most.
///
/// That is the [`Entry`] itself, the room for others that its log keeps beside it, and what an allocation takes of a
/// command that has one of its own: its rounding, and the counter of those who share it.
pub const ENTRY_MEMORY_BYTES: u64 = 136;

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

    /// What it takes in memory, in bytes: its payload and [`ENTRY_MEMORY_BYTES`].
    #[must_use]
    pub fn memory(&self) -> u64 {
        memory(self.weight(), 1)
    }
}

/// Returns what so many entries take in memory that have this weight.
pub const fn memory(weight: u64, count: usize) -> u64 {
    weight + count as u64 * (ENTRY_MEMORY_BYTES - ENTRY_OVERHEAD_BYTES)
}

/// Appends an entry. The room that is reserved for others is no more than a quarter of what the entries take.
pub fn push(entries: &mut VecDeque<Entry>, entry: Entry) {
    if entries.len() == entries.capacity() {
        entries.reserve_exact((entries.len() / ROOM).max(FEW));
    }
    entries.push_back(entry);
}

/// Gives room back, once entries were dropped, that has become more than those left take, and more than is worth
/// keeping: a log that is compacted again and again needs its room again.
pub(crate) fn shrink(entries: &mut VecDeque<Entry>) {
    let len = entries.len();
    if entries.capacity() - len > len.max(KEPT) {
        entries.shrink_to((len + len / ROOM).max(FEW));
    }
}

/// One part in so many of the room for entries is reserved for others.
const ROOM: usize = 4;

/// Room is reserved for so many entries at least.
const FEW: usize = 64;

/// Room for so many entries, about 1 MiB, is not given back.
const KEPT: usize = 16 << 10;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_entry_takes_no_more_memory_than_it_counts_for() {
        let itself = size_of::<Entry>();
        // A pointer, a capacity and a count, and what allocations of two pointers' granularity take for each of two.
        let (counter, rounding) = (3 * size_of::<usize>(), 3 * size_of::<usize>() - 1);

        let taken = itself + itself / ROOM + counter + size_of::<usize>() + rounding;

        assert!(taken as u64 <= ENTRY_MEMORY_BYTES, "{taken}");
    }

    #[test]
    fn entries_reserve_little_room_and_give_it_back() {
        let mut entries = VecDeque::new();
        for index in 1..=100_000 {
            push(
                &mut entries,
                Entry {
                    index: Index(index),
                    term: Term(1),
                    stamp: ClusterTime::ZERO,
                    payload: Payload::Noop,
                },
            );
        }
        let grown = entries.capacity();
        entries.drain(100..);
        shrink(&mut entries);

        assert!(grown <= 100_000 * 5 / 4, "{grown}");
        assert!(entries.capacity() <= 125, "{}", entries.capacity());
    }
}
