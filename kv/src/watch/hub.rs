//! Knows who watches what on this member, and gives each change to those whom it concerns.
//!
//! Watches are found by the keys of a change: those of one key and those of a prefix by look-ups, however many there
//! are; only ranges are compared one by one. A watch that a change does not concern costs it nothing.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::{Arc, Weak};

use bytes::Bytes;

use super::mailbox::{Asked, Mailbox};
use super::watcher::Subscription;
use crate::history::Batch;
use crate::keys::Keys;
use crate::limits::WATCHES_MAX;
use crate::revision::Revision;

/// After so many entries every watcher is told how far the member has come, whether anything has changed for it or not.
pub(crate) const ENTRIES_BETWEEN_MARKS: u64 = 4096;

/// The watches of one member.
#[derive(Debug, Default)]
pub(crate) struct Hub {
    watches: BTreeMap<u64, Watched>,
    made: u64,
    ones: BTreeMap<Bytes, BTreeSet<u64>>,
    prefixes: BTreeMap<Bytes, BTreeSet<u64>>,
    /// How many prefixes there are of each length.
    prefix_lengths: BTreeMap<usize, usize>,
    ranges: BTreeMap<(Bytes, Option<Bytes>), BTreeSet<u64>>,
    /// Those that begin in the future, by the last revision before.
    later: BTreeSet<(Revision, u64)>,
    /// The entry after which watchers were last told how far the member has come.
    marked_at: Revision,
}

#[derive(Debug)]
struct Watched {
    keys: Keys,
    from: Revision,
    mailbox: Weak<Mailbox>,
    asked: Asked,
}

impl Hub {
    /// Returns true if one more watch is too many. Those that are over leave first.
    pub(crate) fn is_full(&mut self) -> bool {
        if self.watches.len() >= WATCHES_MAX {
            self.remove_where(|watched| watched.is_over());
        }
        self.watches.len() >= WATCHES_MAX
    }

    /// Gives the changes of a watch's keys from `from` on to its mailbox, into which everything up to `through` was
    /// put.
    pub(crate) fn add(&mut self, subscription: Subscription, from: Revision, through: Revision) {
        let Subscription {
            keys,
            mailbox,
            asked,
            ..
        } = subscription;
        if !mailbox.open(asked, from, through) {
            return;
        }
        let id = self.made;
        self.made += 1;
        if from > through.next() {
            self.later.insert((from.previous(), id));
        }
        match keys.clone() {
            Keys::One(key) => {
                self.ones.entry(key).or_default().insert(id);
            }
            Keys::Prefix(prefix) => {
                let length = prefix.len();
                let watches = self.prefixes.entry(prefix).or_default();
                if watches.is_empty() {
                    *self.prefix_lengths.entry(length).or_default() += 1;
                }
                watches.insert(id);
            }
            Keys::Range(from, to) => {
                self.ranges.entry((from, to)).or_default().insert(id);
            }
        }
        let watched = Watched {
            keys,
            from,
            mailbox: Arc::downgrade(&mailbox),
            asked,
        };
        self.watches.insert(id, watched);
    }

    /// Whether there are watches.
    pub(crate) fn is_watched(&self) -> bool {
        !self.watches.is_empty()
    }

    /// Gives a batch to all whom it concerns, once to each.
    pub(crate) fn publish(&mut self, batch: &Arc<Batch>) {
        let mut concerned = Vec::new();
        for change in &batch.changes {
            self.find(&change.key, &mut concerned);
        }
        concerned.sort_unstable();
        concerned.dedup();
        for id in concerned {
            let Some(watched) = self.watches.get(&id) else {
                continue;
            };
            let goes_on = watched.from > batch.revision || watched.put(batch);
            if !goes_on {
                self.remove(id);
            }
        }
    }

    /// The member has applied an entry: whoever begins behind it is told, and now and then everybody is.
    pub(crate) fn applied(&mut self, through: Revision) {
        while let Some((last_before, id)) = self.later.first().copied()
            && last_before <= through
        {
            self.later.pop_first();
            if let Some(watched) = self.watches.get(&id) {
                watched.mark(through);
            }
        }
        if through.0 < self.marked_at.0.saturating_add(ENTRIES_BETWEEN_MARKS) {
            return;
        }
        self.marked_at = through;
        self.remove_where(|watched| watched.is_over());
        for watched in self.watches.values() {
            watched.mark(through);
        }
    }

    /// The state was replaced: whatever is missing now can only be in the history.
    pub(crate) fn close_all(&mut self) {
        for (_, watched) in core::mem::take(&mut self.watches) {
            if let Some(mailbox) = watched.mailbox.upgrade() {
                mailbox.close(watched.asked);
            }
        }
        self.later.clear();
        self.ones.clear();
        self.prefixes.clear();
        self.prefix_lengths.clear();
        self.ranges.clear();
    }

    fn find(&self, key: &[u8], found: &mut Vec<u64>) {
        found.extend(self.ones.get(key).into_iter().flatten());
        for length in self.prefix_lengths.keys() {
            let Some(prefix) = key.get(..*length) else {
                break;
            };
            found.extend(self.prefixes.get(prefix).into_iter().flatten());
        }
        // A range that begins at or before the key.
        for ((_, to), watches) in self
            .ranges
            .iter()
            .take_while(|((from, _), _)| key >= &from[..])
        {
            if to.as_ref().is_none_or(|to| key < &to[..]) {
                found.extend(watches);
            }
        }
    }

    fn remove_where(&mut self, is_over: impl Fn(&Watched) -> bool) {
        let over = self.watches.iter().filter(|(_, watched)| is_over(watched));
        for id in over.map(|(id, _)| *id).collect::<Vec<_>>() {
            self.remove(id);
        }
    }

    fn remove(&mut self, id: u64) {
        let Some(watched) = self.watches.remove(&id) else {
            return;
        };
        self.later.remove(&(watched.from.previous(), id));
        match watched.keys {
            Keys::One(key) => {
                remove_from(&mut self.ones, &key, id);
            }
            Keys::Prefix(prefix) => {
                let length = prefix.len();
                if remove_from(&mut self.prefixes, &prefix, id)
                    && let Some(count) = self.prefix_lengths.get_mut(&length)
                {
                    *count -= 1;
                    if *count == 0 {
                        self.prefix_lengths.remove(&length);
                    }
                }
            }
            Keys::Range(from, to) => {
                remove_from(&mut self.ranges, &(from, to), id);
            }
        }
    }
}

/// The state machine is gone, and whoever waits for it learns so.
impl Drop for Hub {
    fn drop(&mut self) {
        self.close_all();
    }
}

impl Watched {
    /// Returns true if the watch is dropped, or has asked anew.
    fn is_over(&self) -> bool {
        let mailbox = self.mailbox.upgrade();
        mailbox.is_none_or(|mailbox| mailbox.asked() != self.asked)
    }

    /// Returns whether the watch goes on.
    fn put(&self, batch: &Arc<Batch>) -> bool {
        let mailbox = self.mailbox.upgrade();
        mailbox.is_some_and(|mailbox| mailbox.put(self.asked, batch))
    }

    fn mark(&self, through: Revision) {
        if let Some(mailbox) = self.mailbox.upgrade() {
            mailbox.mark(self.asked, through);
        }
    }
}

/// Removes a watch; whether it was the last of its group.
fn remove_from<K: Ord>(groups: &mut BTreeMap<K, BTreeSet<u64>>, key: &K, id: u64) -> bool {
    let Some(group) = groups.get_mut(key) else {
        return false;
    };
    group.remove(&id);
    let is_empty = group.is_empty();
    if is_empty {
        groups.remove(key);
    }
    is_empty
}
