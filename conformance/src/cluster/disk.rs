//! A disk that keeps what is written, and remembers each log that it held.

use std::collections::BTreeMap;

use liferaft_raft::consensus::Write;
use liferaft_raft::entry::Entry;

#[derive(Debug, Default)]
pub(crate) struct Disk {
    entries: BTreeMap<u64, Entry>,
    /// The logs that it held, in order, the present one last: where writes are asynchronous, a script looks at some of
    /// them, and which ones is its schedule.
    history: Vec<Vec<Entry>>,
    /// Up to here a script has seen the history.
    seen: usize,
}

impl Disk {
    /// Makes a write durable, its parts in order.
    pub(crate) fn write(&mut self, write: &Write) {
        if let Some(from) = write.truncate {
            self.entries.split_off(&from.0);
        }
        for entry in &write.entries {
            self.entries.insert(entry.index.0, entry.clone());
        }
        if let Some(through) = write.compact {
            self.entries = self.entries.split_off(&through.0.saturating_add(1));
        }
        if self.history.is_empty() {
            self.history.push(Vec::new());
        }
        let present = self.entries.values().cloned().collect();
        if self.history.last() != Some(&present) {
            self.history.push(present);
        }
    }

    pub(crate) fn entries(&self) -> impl Iterator<Item = &Entry> {
        self.entries.values()
    }

    /// Moves on to the first log, not before the one seen last, that `fits`. Tells whether there is one.
    pub(crate) fn look_for(&mut self, fits: impl Fn(&[Entry]) -> bool) -> bool {
        let ahead = self.history.iter().skip(self.seen);
        match ahead.into_iter().position(|log| fits(log)) {
            Some(offset) => {
                self.seen += offset;
                true
            }
            None => false,
        }
    }
}
