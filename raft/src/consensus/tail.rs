//! Bounds how much a leader has taken up that is not safe yet: so a slow cluster, or its own slow disk, slows those who
//! propose.

use super::log::Log;
use super::planted::{Bug, is_planted};
use crate::entry::{Entry, Payload};
use crate::ids::Index;

/// The commands of a leader's log that are uncommitted, or committed by the others and not on its own disk. Entries
/// without a command are never refused, so they do not count.
#[derive(Debug)]
pub(super) struct Tail {
    /// What they weigh.
    bytes: u64,
    /// Up to here all is committed and on this server's disk. It only grows: a leader's log is not cut.
    settled: Index,
}

impl Tail {
    /// What a leader takes over of a log that is settled up to here.
    pub(super) fn of(log: &Log, settled: Index) -> Self {
        let bytes = command_bytes(log.entries_from(settled.next()));
        Self { bytes, settled }
    }

    pub(super) fn bytes(&self) -> u64 {
        self.bytes
    }

    /// Takes a command of this weight, if there is room. One is always taken when there is no other.
    pub(super) fn take(&mut self, weight: u64, bytes_max: u64) -> bool {
        let fits = self.bytes == 0 || self.bytes + weight <= bytes_max;
        if fits {
            self.bytes += weight;
        }
        fits
    }

    /// Learns up to where the log is committed and on this server's disk. Each entry is looked at once.
    pub(super) fn settle(&mut self, log: &Log, committed: Index, persisted: Index) {
        let settled = if is_planted(Bug::TailForgetsOwnDisk) {
            committed
        } else {
            committed.min(persisted)
        };
        if settled <= self.settled {
            return;
        }
        debug_assert!(
            log.evicted_to() <= self.settled,
            "what is not settled is neither compacted away nor evicted"
        );
        let count = usize::try_from(settled.distance_from(self.settled)).unwrap_or(usize::MAX);
        let entries = log.entries_from(self.settled.next()).take(count);
        self.bytes -= command_bytes(entries);
        self.settled = settled;
    }
}

/// What the commands among these entries weigh.
fn command_bytes<'a>(entries: impl Iterator<Item = &'a Entry>) -> u64 {
    entries
        .filter(|entry| matches!(entry.payload, Payload::Command(_)))
        .map(Entry::weight)
        .sum()
}
