//! The state: an ordered map of keys, with the operations on it.
//!
//! Every operation first finds out whether it is possible and only then changes anything: what is refused leaves no
//! trace. Whatever is changed is written into the history, at the revision of the entry that is being applied.

mod deleting;
mod reading;
mod steps;

use core::fmt;
use core::mem::replace;
use core::ops::Bound;
use core::time::Duration;
use std::sync::Arc;

use bytes::Bytes;
use imbl::OrdMap;
use liferaft_raft::consensus::planted::{Bug, is_planted};
use liferaft_raft::state_machine::ApplyContext;
use liferaft_raft::time::ClusterTime;

use crate::budget::Budget;
use crate::count::Count;
use crate::entry::{LeaseId, Meta};
use crate::error::{Kind, Refused};
use crate::history::{Change, ChangeKind, History, Past, PastContent};
use crate::leases::Leases;
use crate::limits::{KEY_OVERHEAD_BYTES, StoreLimits};
use crate::reply::{CompareAndSet, SeqAppend, TrimBefore};
use crate::revision::Revision;
use crate::sequence::Sequence;

/// All keys and what they hold. A clone is made in constant time and shares everything
/// (`docs/decisions/0001-kv-map.md`).
#[derive(Clone, PartialEq, Eq)]
pub(crate) struct Store {
    records: OrdMap<Bytes, Record>,
    sequences_made: u64,
    leases: Leases,
    history: History,
    /// The entry that is being applied, or was last.
    applied: Revision,
    /// Its stamp.
    time: ClusterTime,
    /// The last entry that changed anything.
    revision: Revision,
    budget: Budget,
    limits: StoreLimits,
}

/// A key's content and story.
#[derive(Clone, PartialEq, Eq)]
pub(crate) struct Record {
    pub(crate) held: Held,
    pub(crate) meta: Meta,
}

/// What a key holds.
#[derive(Clone, PartialEq, Eq)]
pub(crate) enum Held {
    Value(Bytes),
    Sequence(Arc<Sequence>),
}

/// Where a store stands in the log.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Place {
    pub(crate) applied: Revision,
    pub(crate) time: ClusterTime,
    pub(crate) revision: Revision,
}

impl Store {
    /// A store without keys that has made this many sequences before.
    pub(crate) fn new(limits: StoreLimits, sequences_made: u64) -> Self {
        Self {
            records: OrdMap::new(),
            sequences_made,
            leases: Leases::default(),
            history: History::default(),
            applied: Revision::ZERO,
            time: ClusterTime::ZERO,
            revision: Revision::ZERO,
            budget: Budget::of(limits.store_bytes_max),
            limits,
        }
    }

    /// The number of keys.
    pub(crate) fn len(&self) -> usize {
        self.records.len()
    }

    /// What all keys and their content weigh.
    pub(crate) const fn weight(&self) -> u64 {
        self.budget.used()
    }

    /// How many sequences were ever made: the incarnation of the latest.
    pub(crate) const fn sequences_made(&self) -> u64 {
        self.sequences_made
    }

    pub(crate) const fn limits(&self) -> StoreLimits {
        self.limits
    }

    pub(crate) const fn place(&self) -> Place {
        Place {
            applied: self.applied,
            time: self.time,
            revision: self.revision,
        }
    }

    /// Puts the store where a snapshot says that it is.
    pub(crate) fn set_place(&mut self, place: Place, history: History) {
        self.applied = place.applied;
        self.time = place.time;
        self.revision = place.revision;
        self.history = history;
    }

    pub(crate) const fn revision(&self) -> Revision {
        self.revision
    }

    pub(crate) const fn history(&self) -> &History {
        &self.history
    }

    pub(crate) const fn leases(&self) -> &Leases {
        &self.leases
    }

    /// All keys after this one, or all there are, and what they hold, in the order of the keys.
    pub(crate) fn iter_after(
        &self,
        after: Option<&Bytes>,
    ) -> impl Iterator<Item = (&Bytes, &Record)> {
        let after = after.map_or(Bound::Unbounded, Bound::Excluded);
        self.records.range::<_, Bytes>((after, Bound::Unbounded))
    }

    /// An entry is being applied: leases end that are over by its stamp.
    pub(crate) fn begin(&mut self, at: ApplyContext) {
        self.applied = at.index.into();
        self.time = self.time.max(at.time);
        while let Some(ended) = self.leases.next_ended(self.time) {
            self.end_lease(ended, Some(ended));
        }
    }

    /// Brings the history within its bounds.
    pub(crate) fn trim(&mut self) {
        self.history.trim(&self.limits);
    }

    pub(crate) fn set(
        &mut self,
        key: Bytes,
        value: Bytes,
        lease: Option<LeaseId>,
    ) -> Result<(), Refused> {
        self.leases.check(lease)?;
        let at = self.applied;
        let Some(record) = self.records.get_mut(&key[..]) else {
            let record = Record {
                held: Held::Value(value),
                meta: Meta {
                    created: at,
                    modified: at,
                    version: 1,
                    lease,
                },
            };
            return self.make(key, record, None);
        };
        let Held::Value(held) = &mut record.held else {
            return Err(wrong_kind(key, Kind::Sequence));
        };
        let meta = record.meta.changed_at(at, lease);
        self.budget.exchange(
            held.len() as u64 + lease_weight(record.meta.lease, &key),
            value.len() as u64 + lease_weight(lease, &key),
        )?;
        let before = Past {
            content: PastContent::Value(replace(held, value.clone())),
            meta: replace(&mut record.meta, meta),
        };
        if before.meta.lease != lease {
            self.leases.detach(before.meta.lease, &key);
            self.leases.attach(lease, &key);
        }
        self.record(Change {
            key,
            kind: ChangeKind::Set { value, meta },
            before: Some(before),
        });
        Ok(())
    }

    /// Removes a key, if it exists: tells whether it did.
    pub(crate) fn delete(&mut self, key: &Bytes) -> bool {
        self.remove(key, None)
    }

    fn remove(&mut self, key: &Bytes, ended: Option<LeaseId>) -> bool {
        let Some(record) = self.records.remove(&key[..]) else {
            return false;
        };
        self.budget.release(weight(key, &record));
        self.leases.detach(record.meta.lease, key);
        self.record(Change {
            key: key.clone(),
            kind: ChangeKind::Deleted { ended },
            before: Some(record.into_past()),
        });
        true
    }

    pub(crate) fn compare_and_set(
        &mut self,
        key: Bytes,
        expected: Option<&Bytes>,
        new: Option<Bytes>,
    ) -> Result<CompareAndSet, Refused> {
        let current = self.get(key.clone())?;
        if current.as_ref() != expected {
            return Ok(CompareAndSet::Different { current });
        }
        match new {
            Some(value) => self.set(key, value, None)?,
            None if is_planted(Bug::CompareAndDeleteKeeps) => {}
            None => {
                self.delete(&key);
            }
        }
        Ok(CompareAndSet::Set)
    }

    /// Appends to a sequence if its counter is the `expected` one, or whatever it is if none is given. A sequence that
    /// does not exist is made.
    pub(crate) fn append(
        &mut self,
        key: Bytes,
        expected: Option<Count>,
        value: Bytes,
    ) -> Result<SeqAppend, Refused> {
        let is_it = |expected: Count, count: Count| {
            expected == count
                || (is_planted(Bug::AppendsPastIncarnation) && expected.len() == count.len())
        };
        let succeeds = |count: Count| expected.is_none_or(|expected| is_it(expected, count));
        let outcome = |succeeded, count| Ok(SeqAppend { succeeded, count });
        let (limits, at) = (self.limits, self.applied);
        let Some(record) = self.records.get_mut(&key[..]) else {
            if !succeeds(Count::ZERO) {
                return outcome(false, Count::ZERO);
            }
            let mut sequence = Sequence::new(self.sequences_made + 1);
            check_room(&sequence, &limits, &key, &value)?;
            sequence.push(value.clone());
            let count = sequence.count();
            let record = Record {
                held: Held::Sequence(Arc::new(sequence)),
                meta: Meta {
                    created: at,
                    modified: at,
                    version: 1,
                    lease: None,
                },
            };
            self.make(key, record, Some(value))?;
            self.sequences_made += 1;
            return outcome(true, count);
        };
        let Held::Sequence(sequence) = &mut record.held else {
            return Err(wrong_kind(key, Kind::Value));
        };
        let count = sequence.count();
        if !succeeds(count) {
            return outcome(false, count);
        }
        check_room(sequence, &limits, &key, &value)?;
        self.budget.exchange(0, Sequence::weight_of(&value))?;
        let sequence = Arc::make_mut(sequence);
        sequence.push(value.clone());
        let before = Past {
            content: PastContent::Sequence(count),
            meta: record.meta,
        };
        record.meta = record.meta.changed_at(at, None);
        let count = sequence.count();
        self.record(Change {
            key,
            kind: ChangeKind::Appended { value, count },
            before: Some(before),
        });
        outcome(true, count)
    }

    /// Drops the values of a sequence that `count` counts: none if that is of another sequence, or ahead of this one.
    pub(crate) fn trim_before(&mut self, key: Bytes, before: Count) -> Result<TrimBefore, Refused> {
        let at = self.applied;
        let Some(record) = self.records.get_mut(&key[..]) else {
            return Ok(TrimBefore {
                trimmed: 0,
                first: 0,
                count: Count::ZERO,
            });
        };
        let Held::Sequence(sequence) = &mut record.held else {
            return Err(wrong_kind(key, Kind::Value));
        };
        let (count, first) = (sequence.count(), sequence.first());
        let is_of_it = (before.incarnation() == count.incarnation()
            || is_planted(Bug::TrimsPastIncarnation))
            && before.len() <= count.len();
        if !is_of_it || before.len() <= first {
            return Ok(TrimBefore {
                trimmed: 0,
                first,
                count,
            });
        }
        let released = Arc::make_mut(sequence).trim_before(before.len());
        self.budget.release(released);
        let past = Past {
            content: PastContent::Sequence(count),
            meta: record.meta,
        };
        record.meta = record.meta.changed_at(at, None);
        self.record(Change {
            key,
            kind: ChangeKind::Trimmed {
                first: before.len(),
                count,
            },
            before: Some(past),
        });
        Ok(TrimBefore {
            trimmed: before.len() - first,
            first: before.len(),
            count,
        })
    }

    pub(crate) fn grant_lease(&mut self, ttl: Duration) -> Result<LeaseId, Refused> {
        self.leases.grant(self.applied, ttl, self.time)
    }

    pub(crate) fn keep_alive(&mut self, lease: LeaseId) -> Result<(), Refused> {
        self.leases.keep_alive(lease, self.time)
    }

    /// Ends a lease on demand; how many keys went with it.
    pub(crate) fn revoke_lease(&mut self, lease: LeaseId) -> Result<u64, Refused> {
        self.leases.check(Some(lease))?;
        Ok(self.end_lease(lease, None))
    }

    fn end_lease(&mut self, lease: LeaseId, ended: Option<LeaseId>) -> u64 {
        let Some(granted) = self.leases.remove(lease) else {
            return 0;
        };
        let keeps_keys = ended.is_none() && is_planted(Bug::RevokeKeepsKeys);
        for key in granted.keys.iter().filter(|_| !keeps_keys) {
            self.remove(key, ended);
        }
        granted.keys.len() as u64
    }

    /// Adds a key that does not exist, by a command. `appended` is the one value of a sequence.
    fn make(&mut self, key: Bytes, record: Record, appended: Option<Bytes>) -> Result<(), Refused> {
        let kind = match (&record.held, appended) {
            (Held::Value(value), _) => ChangeKind::Set {
                value: value.clone(),
                meta: record.meta,
            },
            (Held::Sequence(sequence), appended) => ChangeKind::Appended {
                value: appended.unwrap_or_default(),
                count: sequence.count(),
            },
        };
        self.insert(key.clone(), record)?;
        self.record(Change {
            key,
            kind,
            before: None,
        });
        Ok(())
    }

    /// Adds a key that does not exist, without a word in the history.
    pub(crate) fn insert(&mut self, key: Bytes, record: Record) -> Result<(), Refused> {
        self.budget.exchange(0, weight(&key, &record))?;
        self.leases.attach(record.meta.lease, &key);
        let before = self.records.insert(key, record);
        assert!(
            before.is_none(),
            "only a key that does not exist is inserted"
        );
        Ok(())
    }

    /// Adds a lease, by a snapshot.
    pub(crate) fn insert_lease(&mut self, lease: LeaseId, ttl: Duration, ends_at: ClusterTime) {
        self.leases.insert(lease, ttl, ends_at);
    }

    fn record(&mut self, change: Change) {
        self.revision = self.applied;
        self.history.record(self.applied, change);
    }
}

impl Default for Store {
    fn default() -> Self {
        Self::new(StoreLimits::default(), 0)
    }
}

/// The size, never the content.
impl fmt::Debug for Store {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Store")
            .field("keys", &self.len())
            .field("weight", &self.weight())
            .field("revision", &self.revision)
            .finish_non_exhaustive()
    }
}

impl Meta {
    const fn changed_at(self, at: Revision, lease: Option<LeaseId>) -> Self {
        Self {
            created: self.created,
            modified: at,
            version: self.version.saturating_add(1),
            lease,
        }
    }
}

impl Record {
    fn into_past(self) -> Past {
        let content = match self.held {
            Held::Value(value) => PastContent::Value(value),
            Held::Sequence(sequence) => PastContent::Sequence(sequence.count()),
        };
        Past {
            content,
            meta: self.meta,
        }
    }
}

fn wrong_kind(key: Bytes, is: Kind) -> Refused {
    Refused::WrongKind { key, is }
}

fn weight(key: &Bytes, record: &Record) -> u64 {
    let content = match &record.held {
        Held::Value(value) => value.len() as u64,
        Held::Sequence(sequence) => sequence.weight(),
    };
    key.len() as u64 + KEY_OVERHEAD_BYTES + content + lease_weight(record.meta.lease, key)
}

/// What a key weighs that a lease has to remember.
fn lease_weight(lease: Option<LeaseId>, key: &Bytes) -> u64 {
    lease.map_or(0, |_| key.len() as u64 + KEY_OVERHEAD_BYTES)
}

fn check_room(
    sequence: &Sequence,
    limits: &StoreLimits,
    key: &Bytes,
    value: &Bytes,
) -> Result<(), Refused> {
    let fits = sequence.held() < limits.sequence_values_max
        && sequence.weight() + Sequence::weight_of(value) <= limits.sequence_bytes_max;
    if fits {
        Ok(())
    } else {
        Err(Refused::SequenceFull { key: key.clone() })
    }
}

#[cfg(test)]
mod tests;
