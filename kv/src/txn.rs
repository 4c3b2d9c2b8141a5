//! Transactions: conditions on several keys, and what is done if they hold and if they do not.

use core::cmp::Ordering;

use bytes::Bytes;
use serde::{Deserialize, Serialize};

use crate::count::Count;
use crate::entry::Entry;
use crate::error::Refused;
use crate::into_bytes::IntoBytes;
use crate::limits::{STEPS_BYTES_MAX, STEPS_MAX, check_key, check_value};
use crate::revision::Revision;
use crate::step::{Step, StepDone, StepPage};

/// Steps over several keys that happen together or not at all, at one revision.
///
/// All of the conditions must hold for the first branch, otherwise the other one is taken; either may be empty. Steps
/// see what the steps before them did. A step that is refused, because a key is of the other kind for example, refuses
/// the whole transaction, which then has changed nothing.
///
/// ```
/// # mod liferaft { pub use liferaft_kv as kv; }
/// use liferaft::kv::{Compare, Step, Txn};
///
/// let hand_over = Txn::when([Compare::value("radio", "ada"), Compare::exists("bob")])
///     .then([Step::set("radio", "bob"), Step::append("log", "ada gives the radio to bob")])
///     .otherwise([Step::get("radio")]);
///
/// assert_eq!(hand_over.check(), Ok(()));
/// ```
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Txn {
    pub(crate) compare: Vec<Compare>,
    pub(crate) then: Vec<Step>,
    pub(crate) otherwise: Vec<Step>,
}

/// A condition on one key.
///
/// A key that does not exist has revision and version 0, no value, and [`Count::ZERO`].
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Compare {
    pub(crate) key: Bytes,
    pub(crate) condition: Condition,
}

/// Encoded by position: only ever added at the end.
#[derive(Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) enum Condition {
    Value(Bytes),
    Exists,
    Absent,
    Modified(Order, Revision),
    Created(Order, Revision),
    Version(Order, u64),
    Count(Count),
}

/// How two numbers compare.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum Order {
    /// Less than the given one.
    Less,
    /// Equal to it.
    Equal,
    /// Greater than it.
    Greater,
}

/// What became of a transaction.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[must_use = "which branch was taken is only known from the outcome"]
pub struct TxnDone {
    /// Whether all conditions held, so that the first branch was taken.
    pub succeeded: bool,
    /// What each step of that branch did, in order.
    pub steps: Vec<StepDone>,
}

impl Txn {
    /// A transaction that takes its first branch if all of these hold.
    #[must_use]
    pub fn when(conditions: impl IntoIterator<Item = Compare>) -> Self {
        Self {
            compare: conditions.into_iter().collect(),
            ..Self::default()
        }
    }

    /// A transaction that always takes its first branch.
    #[must_use]
    pub fn always() -> Self {
        Self::default()
    }

    /// One more condition.
    #[must_use]
    pub fn and(mut self, condition: Compare) -> Self {
        self.compare.push(condition);
        self
    }

    /// What is done if the conditions hold, after what was said before.
    #[must_use]
    pub fn then(mut self, steps: impl IntoIterator<Item = Step>) -> Self {
        self.then.extend(steps);
        self
    }

    /// What is done if one does not hold, after what was said before.
    #[must_use]
    pub fn otherwise(mut self, steps: impl IntoIterator<Item = Step>) -> Self {
        self.otherwise.extend(steps);
        self
    }

    /// The keys that its steps name, in either branch: those that it may change, and those that it gets. What a step
    /// scans or deletes by prefix or range is not among them.
    pub fn keys(&self) -> impl Iterator<Item = &Bytes> {
        let steps = self.then.iter().chain(&self.otherwise);
        steps.filter_map(Step::key)
    }

    /// Checks lengths and numbers.
    ///
    /// # Errors
    /// When a key, a value, the number of conditions and steps or their bytes exceed the [`limits`](crate::limits).
    pub fn check(&self) -> Result<(), Refused> {
        let steps = || self.then.iter().chain(&self.otherwise);
        let conditions = self.compare.iter().map(Compare::bytes);
        check_steps(
            self.compare.len() + self.then.len() + self.otherwise.len(),
            conditions.chain(steps().map(Step::bytes)),
        )?;
        self.compare.iter().try_for_each(Compare::check)?;
        steps().try_for_each(Step::check)
    }
}

/// Checks how many conditions and steps one command has, and their bytes.
pub(crate) fn check_steps(count: usize, bytes: impl Iterator<Item = usize>) -> Result<(), Refused> {
    let bytes: usize = bytes.sum();
    if count <= STEPS_MAX && bytes <= STEPS_BYTES_MAX {
        return Ok(());
    }
    Err(Refused::TooMuchAtOnce {
        steps: count as u64,
        bytes: bytes as u64,
    })
}

impl Compare {
    const fn new(key: Bytes, condition: Condition) -> Self {
        Self { key, condition }
    }

    /// The key holds this value.
    pub fn value(key: impl IntoBytes, value: impl IntoBytes) -> Self {
        Self::new(key.into_bytes(), Condition::Value(value.into_bytes()))
    }

    /// The key exists, with a value or a sequence.
    pub fn exists(key: impl IntoBytes) -> Self {
        Self::new(key.into_bytes(), Condition::Exists)
    }

    /// The key does not exist.
    pub fn absent(key: impl IntoBytes) -> Self {
        Self::new(key.into_bytes(), Condition::Absent)
    }

    /// The revision of the key's last change is before, at or after this one.
    pub fn modified(key: impl IntoBytes, order: Order, revision: Revision) -> Self {
        Self::new(key.into_bytes(), Condition::Modified(order, revision))
    }

    /// The key has not changed since it was read: its last change was at this revision.
    pub fn unchanged(entry: &Entry) -> Self {
        Self::modified(entry.key.clone(), Order::Equal, entry.meta.modified)
    }

    /// The revision at which the key was made is before, at or after this one.
    pub fn created(key: impl IntoBytes, order: Order, revision: Revision) -> Self {
        Self::new(key.into_bytes(), Condition::Created(order, revision))
    }

    /// The key was changed less than, exactly or more than so often since it was made.
    pub fn version(key: impl IntoBytes, order: Order, version: u64) -> Self {
        Self::new(key.into_bytes(), Condition::Version(order, version))
    }

    /// The counter of the key's sequence is this one; [`Count::ZERO`]: the key does not exist.
    pub fn count(key: impl IntoBytes, count: Count) -> Self {
        Self::new(key.into_bytes(), Condition::Count(count))
    }

    fn check(&self) -> Result<(), Refused> {
        check_key(&self.key)?;
        match &self.condition {
            Condition::Value(value) => check_value(value),
            Condition::Exists
            | Condition::Absent
            | Condition::Modified(..)
            | Condition::Created(..)
            | Condition::Version(..)
            | Condition::Count(_) => Ok(()),
        }
    }

    fn bytes(&self) -> usize {
        let value = match &self.condition {
            Condition::Value(value) => value.len(),
            Condition::Exists
            | Condition::Absent
            | Condition::Modified(..)
            | Condition::Created(..)
            | Condition::Version(..)
            | Condition::Count(_) => 0,
        };
        self.key.len() + value
    }
}

impl Order {
    /// Whether numbers in this order are what is asked for.
    pub(crate) const fn is(self, ordering: Ordering) -> bool {
        matches!(
            (self, ordering),
            (Self::Less, Ordering::Less)
                | (Self::Equal, Ordering::Equal)
                | (Self::Greater, Ordering::Greater)
        )
    }
}

impl TxnDone {
    /// The entry that the step at this place, a [`Step::Get`], found.
    #[must_use]
    pub fn entry(&self, step: usize) -> Option<&Entry> {
        self.steps.get(step)?.entry()
    }

    /// The page that the step at this place, a [`Step::Scan`], read.
    #[must_use]
    pub fn page(&self, step: usize) -> Option<&StepPage> {
        self.steps.get(step)?.page()
    }
}

/// The length of a value, never the value.
impl core::fmt::Debug for Condition {
    fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        match self {
            Self::Value(value) => write!(f, "value of {} bytes", value.len()),
            Self::Exists => f.write_str("exists"),
            Self::Absent => f.write_str("absent"),
            Self::Modified(order, revision) => write!(f, "modified {order:?} {revision}"),
            Self::Created(order, revision) => write!(f, "created {order:?} {revision}"),
            Self::Version(order, version) => write!(f, "version {order:?} {version}"),
            Self::Count(count) => write!(f, "count {count}"),
        }
    }
}
