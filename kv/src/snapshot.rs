//! The bytes of a snapshot.
//!
//! ```text
//! snapshot = version (1 byte) · sequences made · applied index · cluster time · leases · history · keys
//! leases   = number · { name · time to live in ms · end }                     in ascending order of the names
//! history  = compacted revision · number · { revision · number · { change } } in ascending order of the revisions
//! change   = key · 0 · value · created · version · lease · before             set
//!          | key · 1 · value · incarnation · number of values · before        appended
//!          | key · 2 · lease · before                                         deleted
//!          | key · 3 · first · incarnation · number of values · before        trimmed
//! before   = 0                                                                there was nothing
//!          | 1 · meta · value
//!          | 2 · meta · incarnation · number of values                        of a sequence
//! keys     = number · { key · meta · content }                                in ascending order
//! content  = 0 · value
//!          | 1 · incarnation · number of values · first · { value }           a sequence, from the first that is left
//! meta     = created · modified - created · version · lease
//! lease    = name, or 0 for none
//! key      = length · bytes
//! value    = length · bytes
//! ```
//!
//! Numbers are unsigned LEB128 in their shortest form, so that equal states have equal bytes. What is read comes from
//! a disk or another member and is not believed: nothing is allocated for a length or a number before the bytes it
//! stands for are there, and the store built from it has passed the same limits as one built by commands. It is written
//! and read in pieces.

mod decoding;
mod input;

use core::num::NonZeroU64;

use bytes::Bytes;
pub(crate) use decoding::Decoding;
use input::Input;
use liferaft_raft::state_machine::RestoreError;

use crate::count::Count;
use crate::entry::{LeaseId, Meta};
use crate::history::{Batch, Change, ChangeKind, Past, PastContent};
use crate::leases::millis;
use crate::limits::{StoreLimits, check_key};
use crate::revision::Revision;
use crate::sequence::Sequence;
use crate::store::{Held, Record, Store};

const VERSION: u8 = 3;
/// More than a log ever has of anything: from here on, counting cannot overflow.
const NUMBER_MAX: u64 = u64::MAX / 2;

const VALUE: u8 = 0;
const SEQUENCE: u8 = 1;

const SET: u8 = 0;
const APPENDED: u8 = 1;
const DELETED: u8 = 2;
const TRIMMED: u8 = 3;

/// How many numbers a `meta` is.
const META_NUMBERS: usize = 4;

const NOTHING: u8 = 0;
const A_VALUE: u8 = 1;
const A_SEQUENCE: u8 = 2;

/// The least that is encoded at a time, in bytes, as far as there is as much: some tens of microseconds of work.
const PIECE_BYTES: usize = 32 << 10;

/// A store on its way to bytes, piece by piece.
pub(crate) struct Encoding {
    store: Store,
    next: Next,
}

/// What is to be encoded next.
enum Next {
    Head,
    /// The history, after so many parts of it.
    History(usize),
    /// The keys after this one.
    Keys(Option<Bytes>),
}

impl Encoding {
    pub(crate) const fn of(store: Store) -> Self {
        Self {
            store,
            next: Next::Head,
        }
    }

    /// Appends what is next, as much as makes a piece or somewhat more. Returns false if there is nothing left.
    fn put_next(&mut self, out: &mut Vec<u8>) -> bool {
        let store = &self.store;
        match &mut self.next {
            Next::Head => {
                put_head(out, store);
                self.next = Next::History(0);
            }
            Next::History(done) => {
                if store.history().put_part(out, *done) {
                    *done += 1;
                } else {
                    put_number(out, store.len() as u64);
                    self.next = Next::Keys(None);
                }
            }
            Next::Keys(after) => {
                let mut last = None;
                for (key, record) in store.iter_after(after.as_ref()) {
                    put_record(out, key, record);
                    last = Some(key);
                    if out.len() >= PIECE_BYTES {
                        break;
                    }
                }
                let Some(last) = last else { return false };
                *after = Some(last.clone());
            }
        }
        true
    }
}

impl Iterator for Encoding {
    type Item = Vec<u8>;

    fn next(&mut self) -> Option<Vec<u8>> {
        let mut out = Vec::with_capacity(2 * PIECE_BYTES);
        while out.len() < PIECE_BYTES && self.put_next(&mut out) {}
        (!out.is_empty()).then_some(out)
    }
}

fn put_head(out: &mut Vec<u8>, store: &Store) {
    let place = store.place();
    out.push(VERSION);
    put_number(out, store.sequences_made());
    put_number(out, place.applied.0);
    put_number(out, place.time.0);
    put_number(out, store.leases().len() as u64);
    for (id, lease) in store.leases().iter() {
        put_number(out, id.0.get());
        put_number(out, millis(lease.ttl));
        put_number(out, lease.ends_at.0);
    }
    put_number(out, store.history().compacted().0);
    put_number(out, store.history().len() as u64);
}

fn put_record(out: &mut Vec<u8>, key: &[u8], record: &Record) {
    put_bytes(out, key);
    put_meta(out, record.meta);
    match &record.held {
        Held::Value(value) => {
            out.push(VALUE);
            put_bytes(out, value);
        }
        Held::Sequence(sequence) => {
            out.push(SEQUENCE);
            put_count(out, sequence.count());
            put_number(out, sequence.first());
            sequence.values().for_each(|value| put_bytes(out, value));
        }
    }
}

/// Appends one revision of the history.
pub(crate) fn put_batch(out: &mut Vec<u8>, batch: &Batch) {
    put_number(out, batch.revision.0);
    put_number(out, batch.changes.len() as u64);
    batch
        .changes
        .iter()
        .for_each(|change| put_change(out, change));
}

fn put_change(out: &mut Vec<u8>, change: &Change) {
    put_bytes(out, &change.key);
    match &change.kind {
        ChangeKind::Set { value, meta } => {
            out.push(SET);
            put_bytes(out, value);
            put_number(out, meta.created.0);
            put_number(out, meta.version);
            put_lease(out, meta.lease);
        }
        ChangeKind::Appended { value, count } => {
            out.push(APPENDED);
            put_bytes(out, value);
            put_count(out, *count);
        }
        ChangeKind::Trimmed { first, count } => {
            out.push(TRIMMED);
            put_number(out, *first);
            put_count(out, *count);
        }
        ChangeKind::Deleted { ended } => {
            out.push(DELETED);
            put_lease(out, *ended);
        }
    }
    match &change.before {
        None => out.push(NOTHING),
        Some(Past { content, meta }) => match content {
            PastContent::Value(value) => {
                out.push(A_VALUE);
                put_meta(out, *meta);
                put_bytes(out, value);
            }
            PastContent::Sequence(count) => {
                out.push(A_SEQUENCE);
                put_meta(out, *meta);
                put_count(out, *count);
            }
        },
    }
}

fn put_meta(out: &mut Vec<u8>, meta: Meta) {
    put_number(out, meta.created.0);
    put_number(out, meta.modified.0 - meta.created.0);
    put_number(out, meta.version);
    put_lease(out, meta.lease);
}

fn put_lease(out: &mut Vec<u8>, lease: Option<LeaseId>) {
    put_number(out, lease.map_or(0, |lease| lease.0.get()));
}

fn put_count(out: &mut Vec<u8>, count: Count) {
    put_number(out, count.incarnation());
    put_number(out, count.len());
}

fn put_number(out: &mut Vec<u8>, mut number: u64) {
    while number >= 0x80 {
        out.push(number.to_le_bytes()[0] | 0x80);
        number >>= 7;
    }
    out.push(number.to_le_bytes()[0]);
}

fn put_bytes(out: &mut Vec<u8>, bytes: &[u8]) {
    put_number(out, bytes.len() as u64);
    out.extend_from_slice(bytes);
}

/// The revision that [`put_batch`] has put into these bytes.
pub(crate) fn unpack_batch(packed: &[u8]) -> Batch {
    let mut reader = Reader {
        input: Input::of(packed),
        limits: StoreLimits::default(),
        sequences_made: u64::MAX,
        applied: Revision(u64::MAX),
    };
    reader.batch().expect(PACKED)
}

/// Whether a key is wanted of the revision that [`put_batch`] has put into these bytes. Copies nothing.
pub(crate) fn has_key(packed: &[u8], is_wanted: impl Fn(&[u8]) -> bool) -> bool {
    let mut input = Input::of(packed);
    let mut find = || {
        input.number()?;
        for _ in 0..input.number()? {
            if is_wanted(input.bytes()?) {
                return Ok(true);
            }
            input.skip_rest_of_change()?;
        }
        Ok::<_, RestoreError>(false)
    };
    find().expect(PACKED)
}

/// Why what the history holds can be read.
const PACKED: &str = "the history holds what was put into it";

/// Reads the parts of a snapshot, each held to what is known before it.
struct Reader<'a> {
    input: Input<'a>,
    limits: StoreLimits,
    sequences_made: u64,
    applied: Revision,
}

impl Input<'_> {
    /// Skips what follows the key of a change.
    fn skip_rest_of_change(&mut self) -> Result<(), RestoreError> {
        let numbers = match self.byte()? {
            SET => {
                self.bytes()?;
                3
            }
            APPENDED => {
                self.bytes()?;
                2
            }
            DELETED => 1,
            TRIMMED => 3,
            tag => return Err(RestoreError::new(format_args!("a change of kind {tag}"))),
        };
        self.skip_numbers(numbers)?;
        match self.byte()? {
            NOTHING => Ok(()),
            A_VALUE => {
                self.skip_numbers(META_NUMBERS)?;
                self.bytes().map(drop)
            }
            A_SEQUENCE => self.skip_numbers(META_NUMBERS + 2),
            tag => Err(RestoreError::new(format_args!("a past of kind {tag}"))),
        }
    }

    fn skip_numbers(&mut self, count: usize) -> Result<(), RestoreError> {
        for _ in 0..count {
            self.number()?;
        }
        Ok(())
    }
}

impl Reader<'_> {
    /// A revision, whatever was before it.
    fn batch(&mut self) -> Result<Batch, RestoreError> {
        let revision = self.revision()?;
        let changes = (0..self.input.number()?).map(|_| self.change(revision));
        let changes = changes.collect::<Result<_, _>>()?;
        Ok(Batch { revision, changes })
    }

    fn change(&mut self, revision: Revision) -> Result<Change, RestoreError> {
        let key = self.key()?;
        let kind = match self.input.byte()? {
            SET => ChangeKind::Set {
                value: self.input.value()?,
                meta: Meta {
                    created: self.revision()?,
                    modified: revision,
                    version: self.version()?,
                    lease: self.lease()?,
                },
            },
            APPENDED => ChangeKind::Appended {
                value: self.input.value()?,
                count: self.count()?,
            },
            DELETED => ChangeKind::Deleted {
                ended: self.lease()?,
            },
            TRIMMED => {
                let first = self.input.number()?;
                let count = self.count()?;
                check_first(first, count)?;
                ChangeKind::Trimmed { first, count }
            }
            tag => return Err(RestoreError::new(format_args!("a change of kind {tag}"))),
        };
        let before = match self.input.byte()? {
            NOTHING => None,
            A_VALUE => {
                let meta = self.meta()?;
                let content = PastContent::Value(self.input.value()?);
                Some(Past { content, meta })
            }
            A_SEQUENCE => {
                let meta = self.meta()?;
                let content = PastContent::Sequence(self.count()?);
                Some(Past { content, meta })
            }
            tag => return Err(RestoreError::new(format_args!("a past of kind {tag}"))),
        };
        Ok(Change { key, kind, before })
    }

    fn sequence(&mut self) -> Result<Sequence, RestoreError> {
        let count = self.count()?;
        let first = self.input.number()?;
        check_first(first, count)?;
        let held = count.len() - first;
        if held > self.limits.sequence_values_max {
            return Err(RestoreError::new(format_args!(
                "a sequence of {held} values"
            )));
        }
        let mut sequence = Sequence::trimmed(count.incarnation(), first);
        for _ in 0..held {
            sequence.push(self.input.value()?);
            if sequence.weight() > self.limits.sequence_bytes_max {
                return Err(RestoreError::new("a sequence that weighs too much"));
            }
        }
        Ok(sequence)
    }

    fn key(&mut self) -> Result<Bytes, RestoreError> {
        let key = Bytes::copy_from_slice(self.input.bytes()?);
        check_key(&key).map_err(RestoreError::new)?;
        Ok(key)
    }

    fn meta(&mut self) -> Result<Meta, RestoreError> {
        let created = self.revision()?;
        let modified = created.0.saturating_add(self.input.number()?);
        if modified > self.applied.0 {
            return Err(RestoreError::new("a key that changed in the future"));
        }
        Ok(Meta {
            created,
            modified: Revision(modified),
            version: self.version()?,
            lease: self.lease()?,
        })
    }

    fn revision(&mut self) -> Result<Revision, RestoreError> {
        let revision = Revision(self.input.number()?);
        if revision > self.applied {
            return Err(RestoreError::new(format_args!(
                "revision {revision} after {} entries",
                self.applied
            )));
        }
        Ok(revision)
    }

    fn version(&mut self) -> Result<u64, RestoreError> {
        match self.input.number()? {
            version @ 1..=NUMBER_MAX => Ok(version),
            version => Err(RestoreError::new(format_args!(
                "version {version} of a key"
            ))),
        }
    }

    fn lease(&mut self) -> Result<Option<LeaseId>, RestoreError> {
        Ok(NonZeroU64::new(self.revision()?.0).map(LeaseId))
    }

    fn count(&mut self) -> Result<Count, RestoreError> {
        let incarnation = self.input.number()?;
        let len = self.input.number()?;
        if !(1..=self.sequences_made).contains(&incarnation) || len == 0 {
            return Err(RestoreError::new("a sequence that nothing made"));
        }
        if len > NUMBER_MAX {
            return Err(RestoreError::new(format_args!(
                "a sequence of {len} values"
            )));
        }
        Ok(Count::new(incarnation, len))
    }
}

/// Checks the place of the first value that is left in a sequence.
fn check_first(first: u64, count: Count) -> Result<(), RestoreError> {
    if first <= count.len() {
        return Ok(());
    }
    Err(RestoreError::new(format_args!(
        "{first} of {} values trimmed",
        count.len()
    )))
}

#[cfg(test)]
mod tests;
