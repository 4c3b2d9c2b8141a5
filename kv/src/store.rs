//! The state: an ordered map of keys, with the operations on it.
//!
//! Every operation first finds out whether it is possible and only then changes anything: what is refused leaves no trace.

use core::fmt;
use std::sync::Arc;

use bytes::Bytes;
use imbl::OrdMap;

use crate::count::Count;
use crate::error::{Kind, Refused};
use crate::limits::{KEY_OVERHEAD_BYTES, StoreLimits};
use crate::reply::{CompareAndSet, SeqAppend, SequencePart};
use crate::sequence::Sequence;

/// All keys and what they hold. A clone is made in constant time and shares everything (`docs/decisions/0001-kv-map.md`).
#[derive(Clone, PartialEq, Eq)]
pub(crate) struct Store {
    entries: OrdMap<Bytes, Entry>,
    sequences_made: u64,
    budget: Budget,
    limits: StoreLimits,
}

/// What a key holds.
#[derive(Clone, PartialEq, Eq)]
pub(crate) enum Entry {
    Value(Bytes),
    Sequence(Arc<Sequence>),
}

impl Store {
    /// A store without keys that has made this many sequences before.
    pub(crate) fn new(limits: StoreLimits, sequences_made: u64) -> Self {
        let budget = Budget {
            used: 0,
            max: limits.store_bytes_max,
        };
        Self {
            entries: OrdMap::new(),
            sequences_made,
            budget,
            limits,
        }
    }

    /// The number of keys.
    pub(crate) fn len(&self) -> usize {
        self.entries.len()
    }

    /// What all keys and their content weigh.
    pub(crate) const fn weight(&self) -> u64 {
        self.budget.used
    }

    /// How many sequences were ever made: the incarnation of the latest.
    pub(crate) const fn sequences_made(&self) -> u64 {
        self.sequences_made
    }

    pub(crate) const fn limits(&self) -> StoreLimits {
        self.limits
    }

    /// All keys and what they hold, in the order of the keys.
    pub(crate) fn iter(&self) -> impl Iterator<Item = (&Bytes, &Entry)> {
        self.entries.iter()
    }

    pub(crate) fn get(&self, key: Bytes) -> Result<Option<Bytes>, Refused> {
        match self.entries.get(&key[..]) {
            Some(Entry::Value(value)) => Ok(Some(value.clone())),
            Some(Entry::Sequence(_)) => Err(Refused::WrongKind {
                key,
                is: Kind::Sequence,
            }),
            None => Ok(None),
        }
    }

    pub(crate) fn set(&mut self, key: Bytes, value: Bytes) -> Result<(), Refused> {
        match self.entries.get_mut(&key[..]) {
            Some(Entry::Value(held)) => {
                self.budget
                    .exchange(held.len() as u64, value.len() as u64)?;
                *held = value;
                Ok(())
            }
            Some(Entry::Sequence(_)) => Err(Refused::WrongKind {
                key,
                is: Kind::Sequence,
            }),
            None => self.insert(key, Entry::Value(value)),
        }
    }

    /// Removes a key, if it exists: tells whether it did.
    pub(crate) fn delete(&mut self, key: &Bytes) -> bool {
        match self.entries.remove(&key[..]) {
            Some(entry) => {
                self.budget.release(weight(key, &entry));
                true
            }
            None => false,
        }
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
            Some(value) => self.set(key, value)?,
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
        let succeeds = |count: Count| expected.is_none_or(|expected| expected == count);
        let failed = |count: Count| {
            Ok(SeqAppend {
                succeeded: false,
                count,
            })
        };
        let limits = self.limits;
        match self.entries.get_mut(&key[..]) {
            Some(Entry::Sequence(sequence)) => {
                if !succeeds(sequence.count()) {
                    return failed(sequence.count());
                }
                check_room(sequence, &limits, &key, &value)?;
                self.budget.exchange(0, Sequence::weight_of(&value))?;
                let sequence = Arc::make_mut(sequence);
                sequence.push(value);
                Ok(SeqAppend {
                    succeeded: true,
                    count: sequence.count(),
                })
            }
            Some(Entry::Value(_)) => Err(Refused::WrongKind {
                key,
                is: Kind::Value,
            }),
            None => {
                if !succeeds(Count::ZERO) {
                    return failed(Count::ZERO);
                }
                let mut sequence = Sequence::new(self.sequences_made + 1);
                check_room(&sequence, &limits, &key, &value)?;
                sequence.push(value);
                let count = sequence.count();
                self.insert(key, Entry::Sequence(Arc::new(sequence)))?;
                self.sequences_made += 1;
                Ok(SeqAppend {
                    succeeded: true,
                    count,
                })
            }
        }
    }

    pub(crate) fn read_sequence(
        &self,
        key: Bytes,
        from: u64,
        limit: usize,
    ) -> Result<SequencePart, Refused> {
        match self.entries.get(&key[..]) {
            Some(Entry::Sequence(sequence)) => Ok(SequencePart {
                values: sequence.part(from, limit),
                count: sequence.count(),
            }),
            Some(Entry::Value(_)) => Err(Refused::WrongKind {
                key,
                is: Kind::Value,
            }),
            None => Ok(SequencePart {
                values: Vec::new(),
                count: Count::ZERO,
            }),
        }
    }

    /// Adds a key that does not exist.
    pub(crate) fn insert(&mut self, key: Bytes, entry: Entry) -> Result<(), Refused> {
        self.budget.exchange(0, weight(&key, &entry))?;
        let before = self.entries.insert(key, entry);
        assert!(
            before.is_none(),
            "only a key that does not exist is inserted"
        );
        Ok(())
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
            .finish_non_exhaustive()
    }
}

fn weight(key: &Bytes, entry: &Entry) -> u64 {
    let content = match entry {
        Entry::Value(value) => value.len() as u64,
        Entry::Sequence(sequence) => sequence.weight(),
    };
    key.len() as u64 + KEY_OVERHEAD_BYTES + content
}

fn check_room(
    sequence: &Sequence,
    limits: &StoreLimits,
    key: &Bytes,
    value: &Bytes,
) -> Result<(), Refused> {
    let fits = sequence.count().len() < limits.sequence_values_max
        && sequence.weight() + Sequence::weight_of(value) <= limits.sequence_bytes_max;
    if fits {
        Ok(())
    } else {
        Err(Refused::SequenceFull { key: key.clone() })
    }
}

/// What may be used, and what is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Budget {
    used: u64,
    max: u64,
}

impl Budget {
    /// Takes back `released` bytes and uses `taken` others. What does not grow always fits.
    fn exchange(&mut self, released: u64, taken: u64) -> Result<(), Refused> {
        let used = self.used - released + taken;
        if used > self.max && taken > released {
            return Err(Refused::StoreFull);
        }
        self.used = used;
        Ok(())
    }

    const fn release(&mut self, bytes: u64) {
        self.used -= bytes;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const SMALL: StoreLimits = StoreLimits {
        sequence_values_max: 3,
        sequence_bytes_max: 100,
        store_bytes_max: 200,
    };

    fn small() -> Store {
        Store::new(SMALL, 0)
    }

    fn with_sequence(values: [&'static str; 3]) -> Store {
        let mut store = small();
        let appended = values.map(|value| store.append("s".into(), None, value.into()));
        assert!(appended.iter().all(Result::is_ok), "there is room");
        store
    }

    fn bytes(len: usize) -> Bytes {
        Bytes::from(vec![b'x'; len])
    }

    #[test]
    fn a_sequence_with_the_most_values_is_full_and_stays_as_it_is() {
        let mut store = with_sequence(["a", "b", "c"]);
        let before = store.clone();

        let refused = store.append("s".into(), None, "d".into());

        assert_eq!(refused, Err(Refused::SequenceFull { key: "s".into() }));
        assert_eq!(store, before);
    }

    #[test]
    fn a_sequence_with_the_most_bytes_is_full_and_stays_as_it_is() {
        let mut store = small();
        let first = store.append("s".into(), None, bytes(60));
        let before = store.clone();

        let refused = store.append("s".into(), None, bytes(9));

        assert!(first.is_ok());
        assert_eq!(refused, Err(Refused::SequenceFull { key: "s".into() }));
        assert_eq!(store, before);
    }

    #[test]
    fn a_first_value_is_held_to_the_bound_of_a_sequence_too() {
        let mut store = small();

        let refused = store.append("s".into(), None, bytes(85));

        assert_eq!(refused, Err(Refused::SequenceFull { key: "s".into() }));
        assert_eq!(store, small());
    }

    #[test]
    fn a_stale_count_fails_on_a_full_sequence_too() {
        let mut store = with_sequence(["a", "b", "c"]);

        let failed = store.append("s".into(), Some(Count::ZERO), "d".into());

        assert_eq!(
            failed,
            Ok(SeqAppend {
                succeeded: false,
                count: Count::new(1, 3)
            })
        );
    }

    #[test]
    fn a_full_store_refuses_what_grows_and_takes_what_shrinks() {
        let mut store = small();
        store.set("a".into(), bytes(160)).expect("193 of 200 bytes");
        let before = store.clone();

        assert_eq!(store.set("a".into(), bytes(168)), Err(Refused::StoreFull));
        assert_eq!(store.set("b".into(), Bytes::new()), Err(Refused::StoreFull));
        assert_eq!(
            store.append("b".into(), None, Bytes::new()),
            Err(Refused::StoreFull)
        );
        assert_eq!(store, before);

        assert_eq!(store.set("a".into(), bytes(1)), Ok(()));
        assert_eq!(store.set("b".into(), bytes(1)), Ok(()));
    }

    #[test]
    fn what_is_deleted_is_given_back() {
        let mut store = with_sequence(["a", "b", "c"]);
        store.set("a".into(), bytes(7)).expect("there is room");

        assert!(store.delete(&"a".into()));
        assert!(store.delete(&"s".into()));

        assert_eq!(store.weight(), 0);
        assert_eq!(store, Store::new(SMALL, 1));
    }
}
