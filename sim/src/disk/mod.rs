//! A disk: writes take time, in order; a crash keeps some of what was under way; and now and then it fails.

mod durable;
mod part;
mod survival;

use std::collections::VecDeque;

use liferaft_raft::consensus::{EntriesRead, Shelf, SnapshotStep, Write, WriteId};

pub use durable::Durable;
use part::parts;
pub use survival::{LeftOut, Survival};

use crate::clock::{Nanos, SECOND};
use crate::flaw::Flaw;

/// The longest that a sync takes, however slow the disk.
const SYNC_MAX: Nanos = SECOND;

/// What is durable, and what is on its way there.
#[derive(Clone, Debug, Default)]
pub struct Disk {
    durable: Durable,
    /// The states of snapshots, finished or not. Those that are not in force are lost with a crash.
    pub shelf: Shelf,
    /// What is to be done with them.
    pub lane: VecDeque<SnapshotStep>,
    /// Whether a step of the lane was to be done while it hung.
    pub lane_withheld: bool,
    under_way: VecDeque<Write>,
    /// When the sync that is being made ends.
    sync_ends: Nanos,
    /// When the one after it ends, which makes all writes durable that come in the meantime; the same if none waits.
    next_sync_ends: Nanos,
    /// What was to be read of the log while it hung.
    pub reads_withheld: Vec<EntriesRead>,
    /// When all ends, or ended, that was begun of writes and of the lane.
    busy_until: Nanos,
    /// Writes take this many times longer.
    pub slowness: u64,
    /// Since when it hangs, while it does.
    pub hangs_since: Option<Nanos>,
    /// How many writes were to be done since then.
    pub withheld: u32,
    /// How it fails next, if it does, and what then survives of the writes under way.
    pub failure: Option<(Failure, Survival)>,
}

/// How a disk fails.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Failure {
    /// The next sync reports an error: what it should have made durable may be there or not, and trying again would not
    /// tell.
    Sync,
    /// There is no room: every write reports an error.
    Full,
}

impl Disk {
    /// What is durable.
    #[must_use]
    pub fn durable(&self) -> &Durable {
        &self.durable
    }

    /// Returns true if a write or a step of the lane was under way, or the disk hung, within this time.
    #[must_use]
    pub fn was_busy(&self, now: Nanos, within: Nanos) -> bool {
        self.hangs_since.is_some() || now < self.busy_until.saturating_add(within)
    }

    /// Notes that it does something until then.
    pub fn works_until(&mut self, ends: Nanos) {
        self.busy_until = self.busy_until.max(ends);
    }

    /// Notes that a hang ends: what was withheld is written at this moment.
    pub fn goes_on(&mut self, now: Nanos) {
        self.next_sync_ends = self.next_sync_ends.max(now);
        self.works_until(now);
    }

    /// Begins a write. Tells when it will be done.
    pub fn begin(&mut self, now: Nanos, write: Write, takes: Nanos) -> Nanos {
        let takes = (takes * self.slowness.max(1)).min(SYNC_MAX);
        self.under_way.push_back(write);
        if now >= self.next_sync_ends {
            self.sync_ends = now + takes;
            self.next_sync_ends = self.sync_ends;
        } else if now >= self.sync_ends {
            self.sync_ends = self.next_sync_ends;
            self.next_sync_ends += takes;
        } else if self.next_sync_ends == self.sync_ends {
            self.next_sync_ends += takes;
        }
        self.works_until(self.next_sync_ends);
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

    /// Takes what is under way for done, as a driver would that tries a failed sync again: by then the system has
    /// forgotten what was to be written.
    pub fn finish_in_vain(&mut self) -> Option<WriteId> {
        self.under_way.pop_front().map(|write| write.id)
    }

    /// Loses what is under way, but for what survives.
    ///
    /// # Errors
    /// When what survives does not follow what is stored.
    pub fn crash(&mut self, survival: Survival, flaw: Option<Flaw>) -> Result<LeftOut, String> {
        let writes = core::mem::take(&mut self.under_way);
        self.withheld = 0;
        self.lane_withheld = false;
        self.lane.clear();
        self.reads_withheld.clear();
        self.sync_ends = 0;
        self.next_sync_ends = 0;
        let parts = writes.into_iter().flat_map(parts).collect();
        let checks = flaw != Some(Flaw::ChecksumsSkipped);
        let left_out = survival::store_survivors(&mut self.durable, parts, survival, checks);
        self.shelf.restart(self.durable.snapshot_name());
        left_out
    }

    /// A record that was durable rots. Tells whether there was one.
    pub fn rot(&mut self, drawn: u64) -> bool {
        self.durable.rot(drawn, &mut self.shelf)
    }

    /// All that was durable is gone. Gives back what that was.
    pub fn wipe(&mut self) -> Durable {
        self.under_way.clear();
        self.lane.clear();
        self.reads_withheld.clear();
        self.shelf.restart(None);
        self.failure = None;
        core::mem::take(&mut self.durable)
    }

    /// The failure of a sync that is due, if one is; it fails once.
    pub fn failed_sync(&mut self) -> Option<Survival> {
        let failure = self
            .failure
            .take_if(|(failure, _)| *failure == Failure::Sync);
        failure.map(|(_, survival)| survival)
    }
}
