//! A disk that keeps what is written, and remembers each log that it held.

use std::collections::BTreeMap;

use liferaft_raft::consensus::Write;
use liferaft_raft::entry::Entry;

#[derive(Debug, Default)]
pub(crate) struct Disk {
    entries: BTreeMap<u64, Entry>,
    /// The terms that it has held, each with the vote, 0 for none, in order.
    hard_states: Vec<(u64, u128)>,
    /// Up to here a script has seen them.
    hard_states_seen: usize,
    /// The logs that it held, in order, the present one last: where writes are asynchronous, a script looks at some of
    /// them, and which ones is its schedule.
    history: Vec<Vec<Entry>>,
    /// Up to here a script has seen the history.
    seen: usize,
}

impl Disk {
    /// Makes a write durable, its parts in order.
    pub(crate) fn write(&mut self, write: &Write) {
        if let Some(state) = write.hard_state {
            let vote = state.voted_for.map_or(0, |id| id.0);
            self.hard_states.push((state.term.0, vote));
        }
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

    /// Moves on to the first term and vote, not before the ones seen last, that are these. Tells whether it has held
    /// them.
    pub(crate) fn look_for_vote(&mut self, term: u64, vote: u64) -> bool {
        if (term, vote) == (0, 0) && self.hard_states_seen == 0 {
            return true;
        }
        let mut ahead = self.hard_states.iter().skip(self.hard_states_seen);
        match ahead.position(|held| *held == (term, u128::from(vote))) {
            Some(offset) => {
                self.hard_states_seen += offset;
                true
            }
            None => false,
        }
    }

    /// The last vote that it has held in a term, 0 for none; `None` if it has not held the term.
    pub(crate) fn vote_in(&self, term: u64) -> Option<u64> {
        let mut held = self.hard_states.iter().rev();
        let (_, vote) = held.find(|(held, _)| *held == term)?;
        u64::try_from(*vote).ok()
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
