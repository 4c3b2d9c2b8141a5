//! A disk that keeps what was written to the end, and nothing else.

use std::collections::VecDeque;
use std::time::Duration;

use liferaft_raft::consensus::{EntriesRead, Recovered, Write, WriteId};
use liferaft_raft::entry::Entry;
use liferaft_raft::ids::Index;

use super::DISK_LATENCY;
use super::checker::Checker;

/// A write has so many parts, done one after another.
pub(super) const WRITE_PARTS: usize = 5;

pub(super) struct Disk {
    stored: Recovered,
    /// Begun and not finished, in order.
    writes: VecDeque<Write>,
    busy: bool,
    held: bool,
    /// How long a write takes.
    pub(super) latency: Duration,
}

impl Disk {
    pub(super) fn with(stored: Recovered) -> Self {
        Self {
            stored,
            writes: VecDeque::new(),
            busy: false,
            held: false,
            latency: DISK_LATENCY,
        }
    }

    pub(super) fn stored(&self) -> &Recovered {
        &self.stored
    }

    /// Reads entries of what is stored.
    pub(super) fn read(&self, read: &EntriesRead) -> Vec<Entry> {
        read.select(&self.stored.entries)
    }

    /// From now on no write finishes.
    pub(super) fn hold(&mut self) {
        self.held = true;
    }

    pub(super) fn release(&mut self) {
        self.held = false;
    }

    pub(super) fn begin(&mut self, write: Write, checker: &mut Checker) {
        if let Some(last) = self.writes.back() {
            assert!(last.id < write.id, "writes are numbered in order");
        }
        checker.check_write(&write);
        self.writes.push_back(write);
    }

    /// Starts on the next write, if it can. Tells whether it did.
    pub(super) fn start(&mut self) -> bool {
        let starts = !self.busy && !self.held && !self.writes.is_empty();
        self.busy |= starts;
        starts
    }

    /// Finishes the write that it was busy with, unless it is held.
    pub(super) fn finish_write(&mut self) -> Option<WriteId> {
        self.busy = false;
        if self.held {
            return None;
        }
        let write = self
            .writes
            .pop_front()
            .expect("a disk is busy with a write");
        let id = write.id;
        self.store(write);
        Some(id)
    }

    pub(super) fn lose_writes(&mut self) {
        self.writes.clear();
        self.busy = false;
        self.held = false;
    }

    /// Does so many parts of the next write, as a crash in the middle of it may leave them.
    pub(super) fn tear(&mut self, parts: usize) {
        if let Some(write) = self.writes.pop_front() {
            self.store_parts(write, parts);
        }
    }

    fn store(&mut self, write: Write) {
        self.store_parts(write, WRITE_PARTS);
        self.check_contiguous();
    }

    fn store_parts(&mut self, write: Write, parts: usize) {
        let stored = &mut self.stored;
        if let Some(hard_state) = write.hard_state.filter(|_| parts >= 1) {
            assert!(
                hard_state.term >= stored.hard_state.term,
                "a stored term only grows"
            );
            assert!(
                hard_state.commit >= stored.hard_state.commit,
                "a stored commit index only grows"
            );
            let covered = stored.snapshot.as_ref();
            let covered = covered.map(|snapshot| snapshot.metadata.last.index);
            let durable = stored.entries.last().map(|entry| entry.index).max(covered);
            assert!(
                Some(hard_state.commit) <= durable || hard_state.commit == Index::ZERO,
                "a stored commit index names entries that are not stored"
            );
            stored.hard_state = hard_state;
        }
        if let Some(snapshot) = write.snapshot.filter(|_| parts >= 2) {
            stored.snapshot = Some(snapshot);
        }
        if let Some(from) = write.truncate.filter(|_| parts >= 3) {
            stored.entries.retain(|entry| entry.index < from);
        }
        if parts >= 4 {
            stored.entries.extend(write.entries);
        }
        if let Some(through) = write.compact.filter(|_| parts >= 5) {
            stored.entries.retain(|entry| entry.index > through);
        }
    }

    fn check_contiguous(&self) {
        let Recovered {
            snapshot, entries, ..
        } = &self.stored;
        let covered = snapshot
            .as_ref()
            .map_or(Index::ZERO, |snapshot| snapshot.metadata.last.index);
        if let Some(first) = entries.first() {
            assert!(
                first.index <= covered.next(),
                "the stored log leaves a gap after the snapshot"
            );
        }
        for pair in entries.windows(2) {
            assert_eq!(
                pair[0].index.next(),
                pair[1].index,
                "the stored log has a gap"
            );
        }
    }
}

impl std::fmt::Debug for Disk {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let terms: Vec<_> = self.stored.entries.iter().map(|entry| entry.term).collect();
        write!(
            f,
            "{} writes wait, stored terms {terms:?}",
            self.writes.len()
        )
    }
}
