//! A member's snapshot: the session table and the state machine's state, side by side.
//!
//! Layout: a version byte, the length of the table in 8 bytes, the table, the state.

use serde::Serialize;
use thiserror::Error;

use super::{Sessions, SessionsError};

const VERSION: u8 = 1;
const PREFIX_BYTES: usize = 9;

/// Why bytes are not a snapshot.
#[derive(Clone, Debug, PartialEq, Eq, Error)]
#[non_exhaustive]
pub enum SnapshotError {
    /// It is of a version that this one does not know.
    #[error("the snapshot has version {0}, which this version does not know")]
    UnknownVersion(u8),
    /// It ends too early.
    #[error("the snapshot is cut off")]
    CutOff,
}

/// A member's snapshot: the table, and the state as `state` encodes it.
///
/// # Errors
/// When a reply in the table cannot be serialised.
pub fn join_snapshot<R: Serialize>(
    sessions: &Sessions<R>,
    state: impl FnOnce() -> Vec<u8>,
) -> Result<Vec<u8>, SessionsError> {
    let sessions = sessions.encode()?;
    let state = state();
    let mut bytes = Vec::with_capacity(PREFIX_BYTES + sessions.len() + state.len());
    bytes.push(VERSION);
    bytes.extend_from_slice(&(sessions.len() as u64).to_be_bytes());
    bytes.extend_from_slice(&sessions);
    bytes.extend_from_slice(&state);
    Ok(bytes)
}

/// The session table and the state in a member's snapshot, both encoded.
///
/// # Errors
/// See [`SnapshotError`].
pub fn split_snapshot(bytes: &[u8]) -> Result<(&[u8], &[u8]), SnapshotError> {
    let (&version, rest) = bytes.split_first().ok_or(SnapshotError::CutOff)?;
    if version != VERSION {
        return Err(SnapshotError::UnknownVersion(version));
    }
    let (length, rest) = rest.split_first_chunk().ok_or(SnapshotError::CutOff)?;
    let length = usize::try_from(u64::from_be_bytes(*length)).map_err(|_| SnapshotError::CutOff)?;
    rest.split_at_checked(length).ok_or(SnapshotError::CutOff)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_was_joined_is_split() {
        let sessions = Sessions::<u32>::default();

        let bytes = join_snapshot(&sessions, || vec![1, 2, 3]).unwrap();

        assert_eq!(
            split_snapshot(&bytes),
            Ok((&sessions.encode().unwrap()[..], &[1, 2, 3][..]))
        );
    }

    #[test]
    fn a_snapshot_that_lies_about_its_parts_is_refused() {
        let bytes = join_snapshot(&Sessions::<u32>::default(), Vec::new).unwrap();
        let mut lying = bytes.clone();
        lying[1..PREFIX_BYTES].copy_from_slice(&u64::MAX.to_be_bytes());

        assert_eq!(split_snapshot(&lying), Err(SnapshotError::CutOff));
        assert_eq!(
            split_snapshot(&bytes[..bytes.len() - 1]),
            Err(SnapshotError::CutOff)
        );
        assert_eq!(split_snapshot(&[]), Err(SnapshotError::CutOff));
        assert_eq!(
            split_snapshot(&[2, 0, 0]),
            Err(SnapshotError::UnknownVersion(2))
        );
    }
}
