//! Taking apart what comes back: its revision, and what was asked for, if that is what came.

use bytes::Bytes;

use crate::error::{KvError, Refused};
use crate::reply::{Answer, Done, Found, Reply, SequencePart};
use crate::revision::{Revised, Revision};
use crate::scan::Page;

/// An outcome as one operation has it, or why it has none.
pub(crate) trait Outcome {
    type Done;

    fn split(self) -> (Revision, Result<Self::Done, Refused>);
}

impl Outcome for Reply {
    type Done = Done;

    fn split(self) -> (Revision, Result<Done, Refused>) {
        (self.revision, self.outcome)
    }
}

impl Outcome for Answer {
    type Done = Found;

    fn split(self) -> (Revision, Result<Found, Refused>) {
        (self.revision, self.outcome)
    }
}

pub(crate) fn revised<O: Outcome, T>(
    outcome: O,
    convert: impl FnOnce(O::Done) -> Result<T, KvError>,
) -> Result<Revised<T>, KvError> {
    let (revision, done) = outcome.split();
    Ok(Revised {
        value: convert(done?)?,
        revision,
    })
}

pub(crate) fn value(found: Found) -> Result<Option<Bytes>, KvError> {
    match found {
        Found::Value(value) => Ok(value),
        other => Err(mismatched("get", &other)),
    }
}

pub(crate) fn part(found: Found) -> Result<SequencePart, KvError> {
    match found {
        Found::Sequence(part) => Ok(part),
        other => Err(mismatched("read_sequence", &other)),
    }
}

pub(crate) fn page(found: Found) -> Result<Page, KvError> {
    match found {
        Found::Page(page) => Ok(page),
        other => Err(mismatched("scan", &other)),
    }
}

/// A reply comes over the network and may be anything.
pub(crate) const fn mismatch(asked: &'static str, done: &Done) -> KvError {
    let got = match done {
        Done::Set => "set",
        Done::Delete(_) => "delete",
        Done::CompareAndSet(_) => "compare_and_set",
        Done::SeqAppend(_) => "seq_append",
        Done::Append(_) => "append",
        Done::Txn(_) => "txn",
        Done::Batch(_) => "batch",
        Done::GrantLease(_) => "grant_lease",
        Done::KeepAlive => "keep_alive",
        Done::RevokeLease(_) => "revoke_lease",
        Done::TrimBefore(_) => "trim_before",
        Done::DeleteKeys(_) => "delete_keys",
    };
    KvError::Mismatch { asked, got }
}

pub(crate) const fn mismatched(asked: &'static str, found: &Found) -> KvError {
    let got = match found {
        Found::Value(_) => "get",
        Found::Sequence(_) => "read_sequence",
        Found::Entry(_) => "entry",
        Found::Page(_) => "scan",
        Found::Lease(_) => "lease",
        Found::Revision => "revision",
        Found::Watching(_) | Found::Changes(_) => "watch",
        Found::Progress => "progress",
    };
    KvError::Mismatch { asked, got }
}
