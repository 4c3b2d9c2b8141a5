//! What clients ask and hear, and the model that their histories are judged by.
//!
//! Keys of even number hold values, those of odd number hold sequences.

use bytes::Bytes;
use liferaft_kv::{
    Command, Compare, CompareAndSet, Done, Found, Reply, Step, StepDone, Txn, TxnDone,
};
use serde::{Deserialize, Serialize};

use crate::digest::Digest;
use crate::linearizability::Model;

/// What a client asks of a key. Values are never 0.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Question {
    /// Its value.
    Get,
    /// Its sequence.
    List,
    /// To change it.
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
}

/// What a client hears.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Answer {
    /// The value; 0 if there is none.
    Value(u64),
    /// How many values the sequence has, and their digest.
    List(u64, Digest),
    /// It is set, or compared and set.
    Set,
    /// It was not set: it holds this, 0 if it does not exist.
    Different(u64),
    /// Whether there was anything to delete.
    Deleted(bool),
    /// It has this place in the sequence.
    Place(u64),
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
const fn is_batched(key: u8) -> bool {
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
        | Command::Append { key, .. } => vec![key.clone()],
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
                let expected = match from {
                    0 => Compare::absent(key.clone()),
                    from => Compare::value(key.clone(), value_bytes(from)),
                };
                let otherwise = Step::get(key.clone());
                Command::Txn(Txn::when([expected]).then(set(to)).otherwise([otherwise]))
            }
            Self::Delete if is_mirrored(number) => {
                Command::Txn(Txn::always().then([Step::delete(key), Step::delete(mirror)]))
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
            Self::Delete => Command::Delete { key },
            Self::Append(value) => Command::Append {
                key,
                value: value_bytes(value),
            },
        }
    }
}

impl Answer {
    /// What a command's reply says.
    ///
    /// # Errors
    /// When no reply of a simulated client's command can say so.
    pub fn of_reply(reply: &Reply) -> Result<Self, String> {
        Ok(match reply.outcome.as_ref().map_err(ToString::to_string)? {
            Done::Set | Done::CompareAndSet(CompareAndSet::Set) => Self::Set,
            Done::CompareAndSet(CompareAndSet::Different { current }) => {
                Self::Different(value_or_none(current.as_ref())?)
            }
            Done::Delete(existed) => Self::Deleted(*existed),
            Done::Append(place) => Self::Place(*place),
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
            [StepDone::Set, StepDone::Set] if done.succeeded => Self::Set,
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
            Found::Sequence(part) => {
                let mut digest = Digest::default();
                for value in &part.values {
                    digest = digest.with(value_of(value)?);
                }
                Self::List(part.count.len(), digest)
            }
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
            Self::List(count, digest) => before.with(2).with(count).with(digest.0),
            Self::Set => before.with(3),
            Self::Different(value) => before.with(4).with(value),
            Self::Deleted(existed) => before.with(5).with(u64::from(existed)),
            Self::Place(place) => before.with(6).with(place),
        }
    }
}

/// One key of the key-value state.
#[derive(Clone, Copy, Debug)]
pub struct KeyModel;

/// What a key holds: a value, 0 for none, or a sequence as its length and digest.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub struct KeyState {
    value: u64,
    count: u64,
    digest: u64,
}

impl Model for KeyModel {
    type State = KeyState;
    type Input = Question;
    type Output = Answer;

    fn step(state: &KeyState, question: &Question, answer: Option<&Answer>) -> Option<KeyState> {
        let list = if state.count == 0 {
            Digest::default()
        } else {
            Digest(state.digest)
        };
        let with_value = |value| KeyState { value, ..*state };
        let (next, expected) = match *question {
            Question::Get => (*state, Answer::Value(state.value)),
            Question::List => (*state, Answer::List(state.count, list)),
            Question::Change(Change::Set(value)) => (with_value(value), Answer::Set),
            Question::Change(Change::CompareAndSet(from, to)) if from == state.value => {
                (with_value(to), Answer::Set)
            }
            Question::Change(Change::CompareAndSet(..)) => (*state, Answer::Different(state.value)),
            Question::Change(Change::Delete) => (with_value(0), Answer::Deleted(state.value > 0)),
            Question::Change(Change::Append(value)) => {
                let longer = KeyState {
                    count: state.count + 1,
                    digest: list.with(value).0,
                    ..*state
                };
                (longer, Answer::Place(state.count))
            }
        };
        answer
            .is_none_or(|answer| *answer == expected)
            .then_some(next)
    }
}
