//! Says what is stored as records: the changes of a log, checksummed, and what the log is after them.
//!
//! Every storage that keeps bytes shares them: files of a folder and values of a browser's database hold the same
//! records.

pub(super) mod change;
pub(super) mod outbox;
pub(super) mod peer_boots;
pub(super) mod record;
pub(super) mod starts;

use self::record::{Flaw, Record};
use super::StorageError;

/// One of the changes that a batch makes: a record.
pub(in crate::storage) trait BatchRecord: Sized {
    /// Appends its record.
    fn put(&self, buffer: &mut Vec<u8>);

    /// Decodes a record.
    fn decode(record: &Record<'_>) -> Result<Self, Flaw>;

    /// Says which one it is, as in "entry 7"; `None` for one that has no number.
    fn name(&self) -> Option<String>;
}

/// What is wrong with what is always whole, and is called by this name.
pub(in crate::storage) fn fault(what: &'static str, name: &str, flaw: &Flaw) -> StorageError {
    match flaw {
        Flaw::Unsupported(format) => {
            let format = *format;
            StorageError::Unsupported { what, format }
        }
        Flaw::Broken(reason) | Flaw::Contradictory(reason) => {
            damaged(what, format!("{name}: {reason}"))
        }
    }
}

pub(in crate::storage) fn damaged(what: &'static str, reason: impl Into<String>) -> StorageError {
    let reason = reason.into();
    StorageError::Damaged { what, reason }
}
