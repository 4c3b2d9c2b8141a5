//! Says what it means for a store that the system refuses something.

use std::io::{self, ErrorKind};

use crate::storage::StorageError;

/// Takes for removed what is not there.
pub(super) fn absent(error: io::Error) -> io::Result<()> {
    match error.kind() {
        ErrorKind::NotFound => Ok(()),
        _ => Err(error),
    }
}

pub(super) fn io(action: &'static str) -> impl FnOnce(io::Error) -> StorageError {
    move |error| match error.kind() {
        ErrorKind::StorageFull | ErrorKind::QuotaExceeded => StorageError::Full { action },
        _ => StorageError::Io { action, error },
    }
}

pub(super) fn ended() -> StorageError {
    StorageError::Stopped {
        reason: "the thread of the storage has ended".to_owned(),
    }
}
