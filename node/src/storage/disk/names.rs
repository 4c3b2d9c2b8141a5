//! Names the files of a store.

/// How the name of a segment begins; its number follows.
pub(super) const SEGMENT_PREFIX: &str = "log-";

/// How the name of a snapshot's file begins; its number follows.
pub(super) const SNAPSHOT_PREFIX: &str = "snapshot-";

/// What a file is called until it is whole and durable.
pub(super) const UNFINISHED: &str = ".new";

/// The name of the reserve.
pub(super) const RESERVE: &str = "reserve";

pub(super) fn segment_name(number: u64) -> String {
    format!("{}{number:016x}", SEGMENT_PREFIX)
}

pub(super) fn snapshot_name(file: u64) -> String {
    format!("{}{file:016x}", SNAPSHOT_PREFIX)
}
