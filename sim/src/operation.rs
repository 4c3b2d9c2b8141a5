//! What clients ask and hear. The model that their histories are judged by is in [`model`](crate::model).
//!
//! Keys of even number hold values, those of odd number hold sequences.

use bytes::Bytes;
use liferaft_kv::{
    Command, Compare, CompareAndSet, Count, DeleteKeys, Done, Found, Keys, Refused, Reply,
    SeqAppend, SequencePart, Step, StepDone, TrimBefore, Txn, TxnDone,
};
use serde::{Deserialize, Serialize};

use crate::digest::Digest;
use crate::model::digest_of_value;

/// What a client asks of a key. Values are never 0.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Question {
    /// Its value.
    Get,
    /// Its sequence.
    List,
    /// To change it.
    #[serde(untagged)]
    Change(Change),
}

/// A change to a key.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Change {
    /// It takes this value.
    Set(u64),
    /// It takes the second value if it has the first; 0: if it does not exist.
    CompareAndSet(u64, u64),
    /// It ceases to exist.
    Delete,
    /// Its sequence gets this value at its end.
    Append(u64),
    /// It ceases to exist if it has this value; 0: if it does not exist.
    CompareAndDelete(u64),
    /// Its sequence gets this value at its end if it has this counter.
    SeqAppend(Count, u64),
    /// The values that this counter counts are dropped from its sequence.
    TrimBefore(Count),
    /// It and its mirror cease to exist: with it this many keys.
    DeleteKeys(u64),
    /// A transaction gives it this value, and has a step that is refused: it is undone.
    Undone(u64),
}

/// What a client hears.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Answer {
    /// The value; 0 if there is none.
    Value(u64),
    /// What the sequence holds.
    List(Listed),
    /// It is set, or compared and set.
    Set,
    /// It was not set: it holds this, 0 if it does not exist.
    Different(u64),
    /// Whether there was anything to delete.
    Deleted(bool),
    /// It has this place in the sequence.
    Place(u64),
    /// Whether it was appended, and the counter of the sequence after that.
    Counted(bool, Count),
    /// How many values were dropped, the place of the first that is left, and the counter of the sequence.
    Trimmed(u64, u64, Count),
    /// How many keys were deleted.
    Removed(u64),
    /// It was refused, as a whole.
    Refused,
}

/// What a sequence holds.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Listed {
    /// Its counter; [`Count::ZERO`] if it does not exist.
    pub count: Count,
    /// The place of its first value.
    pub first: u64,
    /// The digest of the values that it holds: the sum of those of each at its place.
    pub digest: Digest,
}

impl Listed {
    /// What was read of a whole sequence.
    ///
    /// # Errors
    /// When there is a value that nobody wrote.
    pub fn of(part: &SequencePart) -> Result<Self, String> {
        let mut digest: u64 = 0;
        for (place, value) in (part.from..).zip(&part.values) {
            digest = digest.wrapping_add(digest_of_value(place, value_of(value)?));
        }
        Ok(Self {
            count: part.count,
            first: part.from,
            digest: Digest(digest),
        })
    }
}

/// Whether a key holds a sequence.
#[must_use]
pub const fn is_sequence(key: u8) -> bool {
    key % 2 == 1
}

/// Whether a key is changed by transactions only, together with its mirror, and read with it.
#[must_use]
pub const fn is_mirrored(key: u8) -> bool {
    key.is_multiple_of(4)
}

/// Whether a sequence is appended to by batches, which set its mirror to the value as well.
#[must_use]
pub const fn is_batched(key: u8) -> bool {
    key % 4 == 1
}

/// The key that a transaction or batch changes together with this one.
#[must_use]
pub fn mirror_bytes(key: u8) -> Bytes {
    Bytes::copy_from_slice(&[key, b'm'])
}

/// The keys that a command of a client may change.
#[must_use]
pub fn keys_of(command: &Command) -> Vec<Bytes> {
    match command {
        Command::Set { key, .. }
        | Command::Delete { key }
        | Command::CompareAndSet { key, .. }
        | Command::SeqAppend { key, .. }
        | Command::TrimBefore { key, .. }
        | Command::Append { key, .. } => vec![key.clone()],
        // That of a key: there are no others than this and its mirror.
        Command::DeleteKeys(Keys::Prefix(key)) => {
            let mirror = key.first().map(|key| mirror_bytes(*key));
            [key.clone()].into_iter().chain(mirror).collect()
        }
        Command::Txn(txn) => txn.keys().cloned().collect(),
        Command::Batch(steps) => steps
            .iter()
            .filter_map(|step| step.key().cloned())
            .collect(),
        _ => Vec::new(),
    }
}

/// The key as the state machine knows it.
#[must_use]
pub fn key_bytes(key: u8) -> Bytes {
    static KEYS: [u8; 256] = {
        let mut keys = [0; 256];
        let mut key: u8 = 255;
        while key > 0 {
            keys[key as usize] = key;
            key -= 1;
        }
        keys
    };
    let at = usize::from(key);
    Bytes::from_static(&KEYS[at..=at])
}

fn value_bytes(value: u64) -> Bytes {
    Bytes::copy_from_slice(&value.to_le_bytes())
}

fn value_of(bytes: &[u8]) -> Result<u64, String> {
    let word = bytes.try_into().map_err(|_| "a value that nobody wrote")?;
    Ok(u64::from_le_bytes(word))
}

fn value_or_none(bytes: Option<&Bytes>) -> Result<u64, String> {
    bytes.map_or(Ok(0), |bytes| value_of(bytes))
}

impl Change {
    /// The command for it.
    #[must_use]
    pub fn command(self, number: u8) -> Command {
        let (key, mirror) = (key_bytes(number), mirror_bytes(number));
        let set = |value: u64| {
            let value = value_bytes(value);
            [
                Step::set(key.clone(), value.clone()),
                Step::set(mirror.clone(), value),
            ]
        };
        match self {
            Self::Set(value) if is_mirrored(number) => Command::Txn(Txn::always().then(set(value))),
            Self::CompareAndSet(from, to) if is_mirrored(number) => {
                Command::Txn(if_holds(&key, from).then(set(to)))
            }
            Self::CompareAndDelete(from) if is_mirrored(number) => {
                let expected = (from > 0).then(|| value_bytes(from));
                let txn = if_holds(&key, from);
                let compared = Step::compare_and_set(key, expected, None::<Bytes>);
                Command::Txn(txn.then([compared, Step::delete(mirror)]))
            }
            Self::Delete if is_mirrored(number) => {
                Command::Txn(Txn::always().then([Step::delete(key), Step::delete(mirror)]))
            }
            // What is refused is of the other kind than the key.
            Self::Undone(value) if is_sequence(number) => Command::Txn(Txn::always().then([
                Step::append(key.clone(), value_bytes(value)),
                Step::set(key, value_bytes(value)),
            ])),
            Self::Undone(value) => {
                let refused = Step::append(key.clone(), value_bytes(value));
                let steps = set(value).into_iter().take(width(number));
                Command::Txn(Txn::always().then(steps.chain([refused])))
            }
            Self::Append(value) if is_batched(number) => Command::Batch(vec![
                Step::append(key, value_bytes(value)),
                Step::set(mirror, value_bytes(value)),
            ]),
            Self::Set(value) => Command::Set {
                key,
                value: value_bytes(value),
            },
            Self::CompareAndSet(from, to) => Command::CompareAndSet {
                key,
                expected: (from > 0).then(|| value_bytes(from)),
                new: Some(value_bytes(to)),
            },
            Self::CompareAndDelete(from) => Command::CompareAndSet {
                key,
                expected: (from > 0).then(|| value_bytes(from)),
                new: None,
            },
            Self::Delete => Command::Delete { key },
            Self::DeleteKeys(_) => Command::DeleteKeys(Keys::prefix(key)),
            Self::Append(value) => Command::Append {
                key,
                value: value_bytes(value),
            },
            Self::SeqAppend(count, value) => Command::SeqAppend {
                key,
                count,
                value: value_bytes(value),
            },
            Self::TrimBefore(count) => Command::TrimBefore { key, count },
        }
    }

    /// The value that the key has after it, if it was done; 0 for none.
    #[must_use]
    pub const fn value(self) -> Option<u64> {
        match self {
            Self::Set(value) | Self::CompareAndSet(_, value) => Some(value),
            Self::Delete | Self::CompareAndDelete(_) | Self::DeleteKeys(_) => Some(0),
            Self::Append(_) | Self::SeqAppend(..) | Self::TrimBefore(_) | Self::Undone(_) => None,
        }
    }
}

/// A transaction that reads the key if it does not hold this; 0 for nothing.
fn if_holds(key: &Bytes, value: u64) -> Txn {
    let expected = match value {
        0 => Compare::absent(key.clone()),
        value => Compare::value(key.clone(), value_bytes(value)),
    };
    Txn::when([expected]).otherwise([Step::get(key.clone())])
}

/// How many keys there are of this number, with its mirror.
#[must_use]
pub const fn width(number: u8) -> usize {
    if is_mirrored(number) || is_batched(number) {
        2
    } else {
        1
    }
}

/// The counter of so many values of a sequence.
///
/// # Panics
/// Never: a counter has a text.
#[must_use]
pub fn counter(incarnation: u64, len: u64) -> Count {
    if len == 0 || incarnation == 0 {
        return Count::ZERO;
    }
    let text = format!("{len}@{incarnation}");
    text.parse().expect("it is what a counter is shown as")
}

impl Answer {
    /// What a command's reply says.
    ///
    /// # Errors
    /// When no reply of a simulated client's command can say so.
    pub fn of_reply(reply: &Reply) -> Result<Self, String> {
        let done = match &reply.outcome {
            Ok(done) => done,
            Err(Refused::WrongKind { .. }) => return Ok(Self::Refused),
            Err(refused) => return Err(refused.to_string()),
        };
        Ok(match done {
            Done::Set | Done::CompareAndSet(CompareAndSet::Set) => Self::Set,
            Done::CompareAndSet(CompareAndSet::Different { current }) => {
                Self::Different(value_or_none(current.as_ref())?)
            }
            Done::Delete(existed) => Self::Deleted(*existed),
            Done::Append(place) => Self::Place(*place),
            Done::SeqAppend(SeqAppend { succeeded, count }) => Self::Counted(*succeeded, *count),
            Done::TrimBefore(TrimBefore {
                trimmed,
                first,
                count,
            }) => Self::Trimmed(*trimmed, *first, *count),
            Done::DeleteKeys(DeleteKeys {
                deleted,
                more: false,
            }) => Self::Removed(*deleted),
            Done::Txn(done) => Self::of_txn(done)?,
            Done::Batch(steps) => match &steps[..] {
                [Ok(StepDone::Appended(count)), Ok(StepDone::Set)] => Self::Place(count.len() - 1),
                other => return Err(format!("a batch was answered {other:?}")),
            },
            other => return Err(format!("nobody asked for {other:?}")),
        })
    }

    fn of_txn(done: &TxnDone) -> Result<Self, String> {
        Ok(match &done.steps[..] {
            [StepDone::Set, StepDone::Set]
            | [
                StepDone::CompareAndSet(CompareAndSet::Set),
                StepDone::Deleted(_),
            ] if done.succeeded => Self::Set,
            [StepDone::Got(entry)] if !done.succeeded => {
                let value = entry.as_ref().and_then(|entry| entry.value());
                Self::Different(value_or_none(value)?)
            }
            [StepDone::Deleted(existed), StepDone::Deleted(mirror)] if existed == mirror => {
                Self::Deleted(*existed)
            }
            other => return Err(format!("a transaction was answered {other:?}")),
        })
    }

    /// What a query found.
    ///
    /// # Errors
    /// When no query of a simulated client can find it.
    pub fn of_found(found: &Found) -> Result<Self, String> {
        Ok(match found {
            Found::Value(value) => Self::Value(value_or_none(value.as_ref())?),
            Found::Sequence(part) => Self::List(Listed::of(part)?),
            Found::Page(page) => {
                let entry = page.entries.first();
                Self::Value(value_or_none(entry.and_then(|entry| entry.value()))?)
            }
            other => return Err(format!("nobody asked for {other:?}")),
        })
    }

    /// The digest of this answer after others.
    #[must_use]
    pub fn digest(self, before: Digest) -> Digest {
        match self {
            Self::Value(value) => before.with(1).with(value),
            Self::List(listed) => {
                let before = digest_of_counter(before.with(2), listed.count);
                before.with(listed.first).with(listed.digest.0)
            }
            Self::Set => before.with(3),
            Self::Different(value) => before.with(4).with(value),
            Self::Deleted(existed) => before.with(5).with(u64::from(existed)),
            Self::Place(place) => before.with(6).with(place),
            Self::Counted(appended, count) => {
                digest_of_counter(before.with(7).with(u64::from(appended)), count)
            }
            Self::Trimmed(trimmed, first, count) => {
                digest_of_counter(before.with(8).with(trimmed).with(first), count)
            }
            Self::Removed(keys) => before.with(9).with(keys),
            Self::Refused => before.with(10),
        }
    }
}

fn digest_of_counter(before: Digest, count: Count) -> Digest {
    before.with(count.incarnation()).with(count.len())
}
