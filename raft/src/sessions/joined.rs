//! A member's snapshot: the session table and the state machine's state, side by side.
//!
//! Layout: a version byte, the length of the table in 8 bytes, the table, the state.

use alloc::collections::BTreeMap;
use alloc::sync::Arc;
use alloc::vec::Vec;

use bytes::Bytes;
use serde::Serialize;
use thiserror::Error;

use super::session::Session;
use super::{Sessions, snapshot};
use crate::ids::Index;
use crate::state_machine::Capture;

const VERSION: u8 = 1;

/// The length of what comes before the table, in bytes.
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
    /// Its bytes are not those that were stored.
    #[error("the snapshot is not what was stored: its digest is {found:#010x}, not {wanted:#010x}")]
    Damaged {
        /// The CRC-32 of its bytes.
        found: u32,
        /// The CRC-32 of what was stored.
        wanted: u32,
    },
}

/// Why a snapshot cannot be made.
#[derive(Clone, Debug, PartialEq, Eq, Error)]
pub enum JoinError {
    /// It is longer than allowed.
    #[error("the snapshot has {bytes} bytes, {bytes_max} are allowed")]
    TooLarge {
        /// Its length.
        bytes: u64,
        /// The longest allowed.
        bytes_max: u64,
    },
}

/// A member's snapshot in the making, one step at a time.
#[derive(Debug)]
pub struct Joining<R, I> {
    /// The table, until the first step has encoded it.
    sessions: Option<BTreeMap<Index, Arc<Session<R>>>>,
    pieces: I,
    bytes: Vec<u8>,
    digest: crc32fast::Hasher,
    length: u64,
    bytes_max: u64,
}

/// The bytes of a snapshot, with their CRC-32.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Joined {
    /// The bytes.
    pub data: Bytes,
    /// The CRC-32 of them.
    pub digest: u32,
}

impl<R: Serialize, I: Iterator<Item = Vec<u8>>> Joining<R, I> {
    /// Of this table as it is now, and of a state whose encoding comes in these pieces, of any length.
    ///
    /// It shares the sessions with the table, and leaves out what follows from them: capturing must not take long.
    pub fn new(sessions: &Sessions<R>, pieces: I) -> Self {
        Self {
            sessions: Some(sessions.sessions.clone()),
            pieces,
            bytes: Vec::new(),
            digest: crc32fast::Hasher::new(),
            length: 0,
            bytes_max: u64::MAX,
        }
    }

    /// Refuses a snapshot of more bytes than this. What is beyond is counted and not held in memory.
    #[must_use]
    pub fn at_most(mut self, bytes_max: u64) -> Self {
        self.bytes_max = bytes_max;
        self
    }

    /// Takes the next step: the table, then one piece of the state at a time. Returns the snapshot once it is complete;
    /// after that, an empty one.
    ///
    /// # Errors
    /// See [`JoinError`].
    pub fn step(&mut self) -> Option<Result<Joined, JoinError>> {
        if let Some(sessions) = self.sessions.take() {
            let table = snapshot::encode(&sessions);
            self.append(&[VERSION]);
            self.append(&(table.len() as u64).to_be_bytes());
            self.append(&table);
            return None;
        }
        if let Some(piece) = self.pieces.next() {
            self.append(&piece);
            return None;
        }
        let bytes = core::mem::take(&mut self.length);
        if bytes > self.bytes_max {
            let bytes_max = self.bytes_max;
            return Some(Err(JoinError::TooLarge { bytes, bytes_max }));
        }
        let digest = core::mem::take(&mut self.digest).finalize();
        let mut bytes = core::mem::take(&mut self.bytes);
        bytes.shrink_to_fit();
        let data = Bytes::from(bytes);
        Some(Ok(Joined { data, digest }))
    }

    /// How many bytes were made and not [taken](Self::take_piece).
    #[must_use]
    pub fn bytes_held(&self) -> usize {
        self.bytes.len()
    }

    /// Takes the bytes that were made since they were taken last. The [`Joined`] at the end has the rest of them.
    pub fn take_piece(&mut self) -> Bytes {
        core::mem::take(&mut self.bytes).into()
    }

    fn append(&mut self, bytes: &[u8]) {
        self.length += bytes.len() as u64;
        if self.length > self.bytes_max {
            self.bytes = Vec::new();
            return;
        }
        self.digest.update(bytes);
        self.bytes.extend_from_slice(bytes);
    }
}

/// A member's snapshot: the table, and the state as its capture encodes it.
///
/// # Errors
/// None: it may have any length.
pub fn join_snapshot<R: Serialize>(
    sessions: &Sessions<R>,
    state: impl Capture,
) -> Result<Vec<u8>, JoinError> {
    let mut joining = Joining::new(sessions, state.into_pieces());
    loop {
        if let Some(joined) = joining.step() {
            return joined.map(|joined| joined.data.into());
        }
    }
}

/// The session table and the state in a member's snapshot, both encoded.
///
/// # Errors
/// See [`SnapshotError`].
pub fn split_snapshot(bytes: &[u8]) -> Result<(&[u8], &[u8]), SnapshotError> {
    let mut splitting = Splitting::default();
    let state = splitting.take(bytes)?;
    let table = bytes.len() - state.len();
    splitting.sessions()?;
    Ok((&bytes[PREFIX_BYTES..table], state))
}

/// Takes a member's snapshot apart as it comes: gathers the session table, and passes on the state.
#[derive(Debug, Default)]
pub struct Splitting {
    /// What has come of the prefix and the table.
    head: Vec<u8>,
    digest: crc32fast::Hasher,
}

impl Splitting {
    /// Takes the bytes that come next, of any length. Returns those of them that are of the state.
    ///
    /// # Errors
    /// [`SnapshotError::UnknownVersion`].
    pub fn take<'a>(&mut self, mut bytes: &'a [u8]) -> Result<&'a [u8], SnapshotError> {
        self.digest.update(bytes);
        while !bytes.is_empty() {
            let lacking = self.lacking()?;
            if lacking == 0 {
                break;
            }
            let (head, rest) = bytes.split_at(lacking.min(bytes.len()));
            self.head.extend_from_slice(head);
            bytes = rest;
        }
        Ok(bytes)
    }

    /// Returns the session table, encoded.
    ///
    /// # Errors
    /// When it has not come as a whole.
    pub fn sessions(&self) -> Result<&[u8], SnapshotError> {
        match self.lacking()? {
            0 => Ok(&self.head[PREFIX_BYTES..]),
            _ => Err(SnapshotError::CutOff),
        }
    }

    /// Checks that all that was taken has this CRC-32.
    ///
    /// # Errors
    /// [`SnapshotError::Damaged`] if it has another.
    pub fn check(&self, wanted: u32) -> Result<(), SnapshotError> {
        let found = self.digest.clone().finalize();
        if found == wanted {
            return Ok(());
        }
        Err(SnapshotError::Damaged { found, wanted })
    }

    /// How many bytes are lacking to the end of the table, or to know where that is.
    fn lacking(&self) -> Result<usize, SnapshotError> {
        match self.head.first() {
            None | Some(&VERSION) => {}
            Some(&version) => return Err(SnapshotError::UnknownVersion(version)),
        }
        let Some(prefix) = self.head.first_chunk::<PREFIX_BYTES>() else {
            return Ok(PREFIX_BYTES - self.head.len());
        };
        let [_, length @ ..] = *prefix;
        let length = usize::try_from(u64::from_be_bytes(length)).ok();
        let end = length.and_then(|length| length.checked_add(PREFIX_BYTES));
        let lacking = end.map(|end| end - self.head.len());
        lacking.ok_or(SnapshotError::CutOff)
    }
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
            Ok((&sessions.encode()[..], &[1, 2, 3][..]))
        );
    }

    #[test]
    fn a_state_in_pieces_makes_the_same_snapshot_as_one_at_once() {
        let sessions = Sessions::<u32>::default();
        let whole = join_snapshot(&sessions, || vec![1, 2, 3]).unwrap();
        let mut joining = Joining::new(&sessions, [vec![1], vec![2, 3]].into_iter());

        let steps = [joining.step(), joining.step(), joining.step()];
        let joined = joining.step();

        assert_eq!(steps, [None, None, None]);
        let digest = crc32fast::hash(&whole);
        let data = Bytes::from(whole);
        assert_eq!(joined, Some(Ok(Joined { data, digest })));
    }

    #[test]
    fn a_snapshot_too_long_is_counted_to_its_end_and_not_held() {
        let sessions = Sessions::<u32>::default();
        let whole = join_snapshot(&sessions, || vec![1, 2, 3]).unwrap().len() as u64;
        let pieces = || [vec![1], vec![2, 3]].into_iter();
        let joined = |bytes_max| {
            let mut joining = Joining::new(&sessions, pieces()).at_most(bytes_max);
            let steps = [joining.step(), joining.step(), joining.step()];
            assert_eq!(steps, [None, None, None]);
            (joining.bytes.capacity(), joining.step().unwrap())
        };

        let (held, refused) = joined(whole - 1);

        let (bytes, bytes_max) = (whole, whole - 1);
        assert_eq!(
            (held, refused),
            (0, Err(JoinError::TooLarge { bytes, bytes_max }))
        );
        assert!(joined(whole).1.is_ok());
    }

    #[test]
    fn a_snapshot_is_split_wherever_its_pieces_are_cut() {
        let sessions = Sessions::<u32>::default();
        let bytes = join_snapshot(&sessions, || vec![1, 2, 3]).unwrap();

        for cut in 0..=bytes.len() {
            let mut splitting = Splitting::default();
            let (first, second) = bytes.split_at(cut);
            let state = [first, second].map(|piece| splitting.take(piece).unwrap());

            assert_eq!(state.concat(), [1, 2, 3]);
            assert_eq!(splitting.sessions(), Ok(&sessions.encode()[..]));
        }
    }

    #[test]
    fn a_snapshot_of_another_digest_is_found() {
        let bytes = join_snapshot(&Sessions::<u32>::default(), || vec![1, 2, 3]).unwrap();
        let wanted = crc32fast::hash(&bytes);
        let mut damaged = bytes.clone();
        damaged[bytes.len() - 1] ^= 1;
        let check = |bytes: &[u8]| {
            let mut splitting = Splitting::default();
            splitting.take(bytes).unwrap();
            splitting.check(wanted)
        };

        let found = crc32fast::hash(&damaged);
        assert_eq!(check(&bytes), Ok(()));
        assert_eq!(
            check(&damaged),
            Err(SnapshotError::Damaged { found, wanted })
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
