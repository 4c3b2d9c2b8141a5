//! Defines what comes back: from a command ([`Done`]) and from a query ([`Found`]).

use core::time::Duration;

use bytes::Bytes;
use serde::{Deserialize, Serialize};

use crate::count::Count;
use crate::entry::{Entry, LeaseId};
use crate::error::Refused;
use crate::history::Batch;
use crate::revision::Revision;
use crate::scan::Page;
use crate::step::StepDone;
use crate::txn::TxnDone;
use crate::watch::Backlog;

/// What a [`Command`](crate::Command) answers.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Reply {
    /// The revision of the store right after the command: its own if it changed anything.
    pub revision: Revision,
    /// What it did, or why it was refused.
    pub outcome: Result<Done, Refused>,
}

/// What a [`Query`](crate::Query) answers.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Answer {
    /// The revision of the store that was asked.
    pub revision: Revision,
    /// What was found, or why it was refused.
    pub outcome: Result<Found, Refused>,
}

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
    /// What became of a transaction.
    Txn(TxnDone),
    /// What became of each step of a batch, in order.
    Batch(Vec<Result<StepDone, Refused>>),
    /// The lease is granted.
    GrantLease(LeaseId),
    /// The lease lives on.
    KeepAlive,
    /// The lease has ended; how many keys went with it.
    RevokeLease(u64),
    /// What became of a `trim_before`.
    TrimBefore(TrimBefore),
    /// What became of a `delete_keys`.
    DeleteKeys(DeleteKeys),
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

/// What became of a `trim_before`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct TrimBefore {
    /// How many values were dropped by it.
    pub trimmed: u64,
    /// The place of the first value that is left; that of the next one if none is.
    pub first: u64,
    /// The counter of the sequence, which trimming leaves as it is; [`Count::ZERO`] if the key does not exist.
    pub count: Count,
}

/// What became of a `delete_keys`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[must_use = "whether there are more keys is only known from the outcome"]
pub struct DeleteKeys {
    /// How many keys were deleted.
    pub deleted: u64,
    /// Whether there are more, which another call would delete.
    pub more: bool,
}

/// What a query found.
///
/// It is encoded by the position of its variant: those are only ever added, and before those that stay with their
/// member, which come last.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[non_exhaustive]
pub enum Found {
    /// The value of the key; `None` if it does not exist.
    Value(Option<Bytes>),
    /// A part of the sequence.
    Sequence(SequencePart),
    /// What the key holds, and since when; `None` if it does not exist.
    Entry(Option<Entry>),
    /// A page of a scan.
    Page(Page),
    /// The lease; `None` if it has ended.
    Lease(Option<LeaseStatus>),
    /// Nothing but the revision.
    Revision,
    /// What has changed.
    Changes(ChangesPage),
    /// What a watch has missed.
    #[serde(skip)]
    Watching(Backlog),
    /// The watch is told.
    #[serde(skip)]
    Progress,
}

/// What has changed since a revision, as far as the history knows and one answer holds.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct ChangesPage {
    pub(crate) batches: Vec<Batch>,
    /// Everything up to here is among the batches.
    pub(crate) through: Revision,
}

/// How a lease stands, at the cluster time of the last applied entry.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct LeaseStatus {
    /// How long it lives without being kept alive.
    pub ttl: Duration,
    /// How long it lives still unless it is kept alive. It has ended, if nobody keeps it alive, when so much cluster
    /// time has passed; while nobody leads, none passes.
    pub remaining: Duration,
    /// How many keys end with it.
    pub keys: u64,
}

/// A part of a sequence, and how much there is in all.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct SequencePart {
    /// The values, in order: fewer than asked for, or none, where the sequence ends.
    pub values: Vec<Bytes>,
    /// The place of the first of these values: the one asked for, or that of the first value that is left, if values
    /// from the one asked for on are trimmed.
    pub from: u64,
    /// The counter of the whole sequence; [`Count::ZERO`] if the key does not exist.
    pub count: Count,
}
