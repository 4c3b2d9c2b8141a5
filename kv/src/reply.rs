//! What comes back: from a command ([`Done`]) and from a query ([`Found`]).

use bytes::Bytes;
use serde::{Deserialize, Serialize};

use crate::count::Count;
use crate::error::Refused;

/// What a [`Command`](crate::Command) answers.
pub type Reply = Result<Done, Refused>;

/// What a [`Query`](crate::Query) answers.
pub type Answer = Result<Found, Refused>;

/// What a command did. There is one variant for each command, encoded by its position: they are only ever added at the
/// end.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[non_exhaustive]
pub enum Done {
    /// The value is set.
    Set,
    /// The key does not exist; whether it did before.
    Delete(bool),
    /// What became of a `compare_and_set`.
    CompareAndSet(CompareAndSet),
    /// What became of a `seq_append`.
    SeqAppend(SeqAppend),
    /// The value is appended, at this place; the first of a sequence has place 0.
    Append(u64),
}

/// What became of a `compare_and_set`.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[must_use = "whether the value was set is only known from the outcome"]
pub enum CompareAndSet {
    /// The key held what was expected, and holds what is new.
    Set,
    /// The key held something else, and was not changed.
    Different {
        /// What it holds; `None` if it does not exist.
        current: Option<Bytes>,
    },
}

impl CompareAndSet {
    /// Whether the value was set.
    #[must_use]
    pub const fn is_set(&self) -> bool {
        matches!(self, Self::Set)
    }
}

/// What became of a `seq_append`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[must_use = "whether the value was appended is only known from the outcome"]
pub struct SeqAppend {
    /// Whether the counter was the given one and the value was appended. If not, nothing was changed.
    pub succeeded: bool,
    /// The counter as it is, either way: what to give to the next `seq_append`.
    pub count: Count,
}

/// What a query found.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Found {
    /// The value of the key; `None` if it does not exist.
    Value(Option<Bytes>),
    /// A part of the sequence.
    Sequence(SequencePart),
}

/// A part of a sequence, and how much there is in all.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SequencePart {
    /// The values, in order: fewer than asked for, or none, where the sequence ends.
    pub values: Vec<Bytes>,
    /// The counter of the whole sequence; [`Count::ZERO`] if the key does not exist.
    pub count: Count,
}
