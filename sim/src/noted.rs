//! What an entry changed, found by looking at the state before and after it: neither the history nor the watches of the
//! key-value state are asked.

use std::collections::BTreeMap;

use bytes::Bytes;
use liferaft_kv::{Count, Entry, Found, Kv, Query, SequencePart};
use liferaft_raft::entry::{Entry as LogEntry, Payload};
use liferaft_raft::ids::Index;
use liferaft_raft::sessions::Envelope;
use liferaft_raft::state_machine::StateMachine;
use liferaft_raft::time::ClusterTime;

use crate::leasing::{self, LeaseAct};
use crate::machine::COPY_BYTES;
use crate::operation;

/// What an entry did, as far as it was to be noted.
#[derive(Clone, Debug, Default)]
pub struct Noted {
    /// The entry.
    pub index: Index,
    /// The published cluster time of the entry.
    pub time: ClusterTime,
    /// The keys that it changed.
    pub changes: BTreeMap<Bytes, What>,
    /// What it did to leases.
    pub lease: Option<LeaseAct>,
    keys: Vec<Bytes>,
}

/// What happened to a key.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum What {
    /// It got this value.
    Set(Bytes),
    /// Its sequence got this value, and is so long then.
    Appended(Bytes, u64),
    /// Its sequence lost what came before this place, and is as long as it was.
    Trimmed(u64, u64),
    /// It was deleted.
    Deleted,
}

impl Noted {
    /// An entry is about to be applied, which carries this time.
    #[must_use]
    pub fn begin(entry: &LogEntry, time: ClusterTime) -> Self {
        let mut keys: Vec<_> = leasing::KEYS.map(Bytes::from_static).into();
        if let Payload::Command(command) = &entry.payload
            && let Ok(Envelope::Command { body, .. }) = Envelope::decode(command)
            && let Some((body, _)) = body.split_last_chunk::<COPY_BYTES>()
            && let Ok((command, _)) = postcard::take_from_bytes(body)
        {
            keys.extend(operation::keys_of(&command));
        }
        Self {
            index: entry.index,
            time,
            keys,
            ..Self::default()
        }
    }

    /// What the keys that the entry may change hold.
    #[must_use]
    pub fn look(&self, kv: &Kv) -> Vec<Option<Entry>> {
        self.keys.iter().map(|key| entry(kv, key)).collect()
    }

    /// Notes what has changed since.
    pub fn note(&mut self, before: &[Option<Entry>], kv: &Kv) {
        for (key, before) in self.keys.iter().zip(before) {
            let after = entry(kv, key);
            let modified = |entry: &Option<Entry>| entry.as_ref().map(|entry| entry.meta);
            if modified(before) == modified(&after) {
                continue;
            }
            let what = match after.as_ref().map(|after| (after.value(), after.count())) {
                Some((Some(value), _)) => What::Set(value.clone()),
                Some((None, Some(count))) if count_of(before) == Some(count) => {
                    What::Trimmed(read(kv, key, 0).map_or(0, |part| part.from), count.len())
                }
                Some((None, Some(count))) => {
                    let last = read(kv, key, count.len() - 1);
                    let last = last.and_then(|part| part.values.into_iter().next());
                    What::Appended(last.unwrap_or_default(), count.len())
                }
                Some((None, None)) | None => What::Deleted,
            };
            self.changes.insert(key.clone(), what);
        }
    }
}

fn entry(kv: &Kv, key: &Bytes) -> Option<Entry> {
    match kv.query(Query::Entry { key: key.clone() }).outcome {
        Ok(Found::Entry(entry)) => entry,
        Ok(_) | Err(_) => None,
    }
}

fn count_of(entry: &Option<Entry>) -> Option<Count> {
    entry.as_ref().and_then(Entry::count)
}

/// A value of a sequence, from this place on.
fn read(kv: &Kv, key: &Bytes, from: u64) -> Option<SequencePart> {
    let query = Query::ReadSequence {
        key: key.clone(),
        from,
        limit: 1,
    };
    match kv.query(query).outcome {
        Ok(Found::Sequence(part)) => Some(part),
        Ok(_) | Err(_) => None,
    }
}
