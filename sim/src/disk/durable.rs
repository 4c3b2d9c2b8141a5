//! Keeps what is durable on a disk, and tells what a storage makes of it after a crash.

use std::collections::VecDeque;

use liferaft_raft::consensus::{EntriesRead, HardState, Recovered, Shelf, Snapshot, SnapshotName};
use liferaft_raft::entry::Entry;
use liferaft_raft::ids::{Index, Term};

use super::part::{Part, damaged, with_flipped_end};
use crate::shadow::ShadowLog;

/// What a crash leaves.
#[derive(Clone, Debug, Default)]
pub struct Durable {
    hard_state: HardState,
    snapshot: Option<Snapshot>,
    entries: VecDeque<Entry>,
    /// Something of it is not as it was written.
    is_rotten: bool,
}

impl Durable {
    /// The durable term and vote.
    #[must_use]
    pub fn hard_state(&self) -> HardState {
        self.hard_state
    }

    /// What storage gives back. It checks what it reads, and how much it has once acknowledged: what is damaged there
    /// must not be taken for a torn end.
    ///
    /// # Errors
    /// When something is damaged. The server has forgotten part of what it promised, and must not go on under its name.
    pub fn recover(&self, checks: bool) -> Result<Recovered, String> {
        if self.is_rotten && checks {
            return Err("what is stored is damaged".to_owned());
        }
        Ok(self.as_recovered())
    }

    /// The log of it, damaged or not.
    #[must_use]
    pub fn log(&self) -> ShadowLog {
        ShadowLog::of_recovered(&self.as_recovered())
    }

    fn as_recovered(&self) -> Recovered {
        Recovered {
            hard_state: self.hard_state,
            snapshot: self.snapshot.clone(),
            entries: self.entries.iter().cloned().collect(),
            ..Recovered::default()
        }
    }

    /// Whether something of it is damaged.
    #[must_use]
    pub fn is_rotten(&self) -> bool {
        self.is_rotten
    }

    /// An entry rots, or the snapshot if there is none. Tells whether there was something.
    pub(super) fn rot(&mut self, drawn: u64, shelf: &mut Shelf) -> bool {
        let count = self.entries.len() as u64;
        let at = drawn.checked_rem(count).map(usize::try_from);
        if let Some(entry) = at.and_then(|at| self.entries.get_mut(at.ok()?)) {
            *entry = damaged(entry.clone());
        } else if let Some(name) = self.snapshot_name()
            && let Some(state) = shelf.state(name)
        {
            let rotten = with_flipped_end(state);
            shelf.insert(name, rotten);
        } else {
            return false;
        }
        self.is_rotten = true;
        true
    }

    /// Up to here the durable snapshot reaches.
    #[must_use]
    pub fn snapshot_index(&self) -> Index {
        self.snapshot
            .as_ref()
            .map_or(Index::ZERO, |snapshot| snapshot.metadata.last.index)
    }

    /// The name of the durable snapshot.
    pub(super) fn snapshot_name(&self) -> Option<SnapshotName> {
        self.snapshot.as_ref().map(|snapshot| snapshot.name)
    }

    /// How many bytes the durable snapshot has.
    #[must_use]
    pub fn snapshot_bytes(&self) -> u64 {
        self.snapshot
            .as_ref()
            .map_or(0, |snapshot| snapshot.metadata.length)
    }

    /// The durable entry at an index.
    #[must_use]
    pub fn entry(&self, index: Index) -> Option<&Entry> {
        let first = self.entries.front()?.index;
        let offset = index.0.checked_sub(first.0)?;
        self.entries.get(usize::try_from(offset).ok()?)
    }

    /// The durable entries that were asked for.
    #[must_use]
    pub fn read(&self, read: &EntriesRead) -> Vec<Entry> {
        read.select(&self.entries)
    }

    /// Whether the log with this entry is durable, as an entry or within the snapshot.
    #[must_use]
    pub fn holds(&self, index: Index, term: Term) -> bool {
        index <= self.snapshot_index() || self.entry(index).is_some_and(|entry| entry.term == term)
    }

    fn last_index(&self) -> Index {
        self.entries
            .back()
            .map_or(self.snapshot_index(), |entry| entry.index)
    }

    pub(super) fn store(&mut self, part: Part) -> Result<(), String> {
        match part {
            Part::HardState(hard_state) => self.hard_state = hard_state,
            Part::Snapshot(snapshot) => self.snapshot = Some(snapshot),
            Part::Truncate(from) => {
                while self.entries.back().is_some_and(|entry| entry.index >= from) {
                    self.entries.pop_back();
                }
            }
            Part::Entry(entry) => {
                let last = self.last_index();
                let covered = self.snapshot_index();
                if entry.index == covered.next() && last <= covered {
                    // The log begins just after the snapshot.
                    if last < covered {
                        self.entries.clear();
                    }
                } else if entry.index != last.next() {
                    return Err(format!(
                        "entry {} is written behind {last}",
                        entry.position()
                    ));
                }
                self.entries.push_back(entry);
            }
            Part::Compact(through) => {
                if through > self.snapshot_index() {
                    return Err(format!("compacted to {through}, past the snapshot"));
                }
                while self
                    .entries
                    .front()
                    .is_some_and(|entry| entry.index <= through)
                {
                    self.entries.pop_front();
                }
            }
        }
        Ok(())
    }
}
