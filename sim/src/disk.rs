//! A disk: writes take time, in order, and a crash keeps a prefix of what was under way.

use std::collections::VecDeque;

use liferaft_raft::consensus::{HardState, Recovered, Snapshot, Write, WriteId};
use liferaft_raft::entry::Entry;
use liferaft_raft::ids::{Index, Term};
use serde::{Deserialize, Serialize};

use crate::clock::{Nanos, SECOND};

/// The longest that a sync takes, however slow the disk.
const SYNC_MAX: Nanos = SECOND;

/// What is durable, and what is on its way there.
#[derive(Debug, Default)]
pub struct Disk {
    durable: Durable,
    under_way: VecDeque<Write>,
    /// When the sync that is being made ends.
    sync_ends: Nanos,
    /// When the one after it ends, which makes all writes durable that come in the meantime; the same if none waits.
    next_sync_ends: Nanos,
    /// Writes take this many times longer.
    pub slowness: u64,
}

/// What a crash leaves.
#[derive(Debug, Default)]
pub struct Durable {
    hard_state: HardState,
    snapshot: Option<Snapshot>,
    entries: VecDeque<Entry>,
}

/// How much of the writes under way a crash keeps.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Survival {
    /// Nothing.
    Nothing,
    /// So many thousandths of their parts, from the first on.
    Prefix(u64),
}

impl Disk {
    /// What is durable.
    #[must_use]
    pub fn durable(&self) -> &Durable {
        &self.durable
    }

    /// Begins a write. Tells when it will be done.
    pub fn begin(&mut self, now: Nanos, write: Write, takes: Nanos) -> Nanos {
        let takes = (takes * self.slowness.max(1)).min(SYNC_MAX);
        self.under_way.push_back(write);
        if now >= self.next_sync_ends {
            self.sync_ends = now + takes;
            self.next_sync_ends = self.sync_ends;
            return self.sync_ends;
        }
        if now >= self.sync_ends {
            self.sync_ends = self.next_sync_ends;
        }
        if self.next_sync_ends == self.sync_ends {
            self.next_sync_ends = self.sync_ends + takes;
        }
        self.next_sync_ends
    }

    /// Finishes the oldest write under way.
    ///
    /// # Errors
    /// When it does not follow what is stored.
    ///
    /// # Panics
    /// When there is none.
    pub fn finish(&mut self) -> Result<WriteId, String> {
        let write = self.under_way.pop_front().expect("a write is under way");
        let id = write.id;
        for part in parts(write) {
            self.durable.store(part)?;
        }
        Ok(id)
    }

    /// Loses what is under way, but for what survives.
    ///
    /// # Errors
    /// When what survives does not follow what is stored.
    pub fn crash(&mut self, survival: Survival) -> Result<(), String> {
        let writes = core::mem::take(&mut self.under_way);
        self.sync_ends = 0;
        self.next_sync_ends = 0;
        let Survival::Prefix(thousandths) = survival else {
            return Ok(());
        };
        let parts: Vec<Part> = writes.into_iter().flat_map(parts).collect();
        let kept = parts.len() as u64 * thousandths / 1000;
        for part in parts
            .into_iter()
            .take(usize::try_from(kept).unwrap_or(usize::MAX))
        {
            self.durable.store(part)?;
        }
        Ok(())
    }
}

/// A part of a write that is stored wholly or not at all.
#[derive(Debug)]
enum Part {
    HardState(HardState),
    Snapshot(Snapshot),
    Truncate(Index),
    Entry(Entry),
    Compact(Index),
}

/// The parts of a write, in the order in which they become durable.
fn parts(write: Write) -> impl Iterator<Item = Part> {
    let Write {
        id: _,
        hard_state,
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

impl Durable {
    /// The durable term and vote.
    #[must_use]
    pub fn hard_state(&self) -> HardState {
        self.hard_state
    }

    /// What storage gives back.
    #[must_use]
    pub fn recover(&self) -> Recovered {
        Recovered {
            hard_state: self.hard_state,
            snapshot: self.snapshot.clone(),
            entries: self.entries.iter().cloned().collect(),
        }
    }

    /// Up to here the durable snapshot reaches.
    #[must_use]
    pub fn snapshot_index(&self) -> Index {
        self.snapshot
            .as_ref()
            .map_or(Index::ZERO, |snapshot| snapshot.metadata.last.index)
    }

    /// The durable entry at an index.
    #[must_use]
    pub fn entry(&self, index: Index) -> Option<&Entry> {
        let first = self.entries.front()?.index;
        let offset = index.0.checked_sub(first.0)?;
        self.entries.get(usize::try_from(offset).ok()?)
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

    fn store(&mut self, part: Part) -> Result<(), String> {
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
