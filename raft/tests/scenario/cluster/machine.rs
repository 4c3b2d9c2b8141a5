//! A state machine that remembers every command.

use std::collections::VecDeque;

use bytes::Bytes;
use liferaft_raft::consensus::{Apply, Shelf};
use liferaft_raft::entry::Payload;
use liferaft_raft::ids::Index;
use liferaft_raft::time::ClusterTime;

use super::checker::Checker;

/// Its state is the list of the commands; a snapshot of it is that list, a command a line.
#[derive(Default)]
pub(super) struct Machine {
    applied: Index,
    stamp: ClusterTime,
    commands: Vec<String>,
    waiting: VecDeque<Apply>,
    busy: bool,
    held: bool,
}

impl Machine {
    pub(super) fn applied(&self) -> Index {
        self.applied
    }

    /// The last entry that it has applied, and its stamp.
    pub(super) fn applied_at(&self) -> (Index, ClusterTime) {
        (self.applied, self.stamp)
    }

    /// How many entries it has been handed and not applied.
    pub(super) fn waiting(&self) -> usize {
        let entries = self.waiting.iter().map(|work| match work {
            Apply::Entries(entries) => entries.len(),
            Apply::Restore(_) => 0,
        });
        entries.sum()
    }

    /// How many snapshots it has been handed and not restored.
    pub(super) fn snapshots_waiting(&self) -> usize {
        let snapshots = self.waiting.iter();
        snapshots
            .filter(|work| matches!(work, Apply::Restore(_)))
            .count()
    }

    pub(super) fn commands(&self) -> &[String] {
        &self.commands
    }

    pub(super) fn snapshot(&self) -> Bytes {
        Bytes::from(self.commands.join("\n"))
    }

    pub(super) fn hold(&mut self) {
        self.held = true;
    }

    pub(super) fn release(&mut self) {
        self.held = false;
    }

    pub(super) fn begin(&mut self, work: Vec<Apply>) {
        let is_idle = |work: &Apply| matches!(work, Apply::Entries(entries) if entries.is_empty());
        assert!(!work.iter().any(is_idle), "it is woken for nothing");
        self.waiting.extend(work);
    }

    /// Starts on the next piece of work, if it can. Tells whether it did.
    pub(super) fn start(&mut self) -> bool {
        let starts = !self.busy && !self.held && !self.waiting.is_empty();
        self.busy |= starts;
        starts
    }

    /// Finishes the work that it was busy with, unless it is held. Tells up to where it has applied.
    pub(super) fn finish(&mut self, shelf: &Shelf, checker: &mut Checker) -> Option<Index> {
        self.busy = false;
        if self.held {
            return None;
        }
        match self
            .waiting
            .pop_front()
            .expect("a state machine is busy with something")
        {
            Apply::Entries(entries) => {
                for entry in entries {
                    assert_eq!(
                        entry.index,
                        self.applied.next(),
                        "entries are applied in order"
                    );
                    checker.check_applied(&entry);
                    (self.applied, self.stamp) = (entry.index, entry.stamp);
                    match entry.payload {
                        Payload::Noop | Payload::Configuration(_) => {}
                        Payload::Command(command) => {
                            self.commands
                                .push(String::from_utf8_lossy(&command).into_owned());
                        }
                    }
                }
            }
            Apply::Restore(snapshot) => {
                let last = snapshot.metadata.last.index;
                assert!(
                    last >= self.applied,
                    "a snapshot never takes the state back"
                );
                (self.applied, self.stamp) = (last, snapshot.metadata.stamp);
                let state = shelf.state(snapshot.name);
                let state = state.expect("a snapshot stays until it is restored");
                let text = String::from_utf8_lossy(state).into_owned();
                self.commands = text.lines().map(str::to_owned).collect();
                checker.check_restored(last, &self.commands);
            }
        }
        Some(self.applied)
    }
}
