//! Snapshots in memory, for drivers without a disk and for tests.

use alloc::vec::Vec;

use bytes::Bytes;

use super::input::Input;
use super::names::{Reception, SnapshotName};
use super::output::{SnapshotRead, SnapshotStep};
use crate::ids::Index;
use crate::sorted::SortedMap;
use crate::time::ClusterTime;

/// Keeps the states of snapshots in memory, and does at once what the core wants of them.
///
/// ```
/// # use liferaft_raft as liferaft;
/// use liferaft::consensus::{Input, Shelf};
/// use liferaft::ids::Index;
/// use liferaft::time::ClusterTime;
///
/// let mut shelf = Shelf::default();
///
/// let Input::SnapshotTaken { name, length, .. } = shelf.taken(Index(7), ClusterTime(9), "state".into()) else {
///     panic!("it is one");
/// };
///
/// assert_eq!((shelf.state(name).map(|state| &state[..]), length), (Some(&b"state"[..]), 5));
/// ```
#[derive(Clone, Debug, Default)]
pub struct Shelf {
    finished: SortedMap<SnapshotName, Bytes>,
    receiving: Option<(Reception, Vec<u8>)>,
    last_name: u64,
}

impl Shelf {
    /// Keeps a state, under a name that no other has.
    pub fn put(&mut self, state: Bytes) -> SnapshotName {
        let name = SnapshotName(self.last_name + 1);
        self.insert(name, state);
        name
    }

    /// Keeps a state under this name, in place of any that is there.
    pub fn insert(&mut self, name: SnapshotName, state: Bytes) {
        self.last_name = self.last_name.max(name.0);
        self.finished.insert(name, state);
    }

    /// Keeps the state of a state machine as of `through`, the entry with this stamp. Returns the input that tells the
    /// core.
    pub fn taken(&mut self, through: Index, stamp: ClusterTime, state: Bytes) -> Input {
        let (length, digest) = (state.len() as u64, crc32fast::hash(&state));
        Input::SnapshotTaken {
            through,
            stamp,
            length,
            digest,
            name: self.put(state),
        }
    }

    /// Returns the state of a snapshot; `None` if there is none of this name.
    #[must_use]
    pub fn state(&self, name: SnapshotName) -> Option<&Bytes> {
        self.finished.get(&name)
    }

    /// Returns the names of all finished snapshots.
    pub fn names(&self) -> impl Iterator<Item = SnapshotName> {
        self.finished.keys().copied()
    }

    /// Does what the core wants. Returns the input that answers it, if it has an answer.
    ///
    /// # Panics
    /// When a part is to be read of a snapshot that is not there.
    pub fn step(&mut self, step: SnapshotStep) -> Option<Input> {
        match step {
            SnapshotStep::Append { reception, piece } => {
                let begun = self.receiving.take_if(|(of, _)| *of == reception);
                let (_, mut state) = begun.unwrap_or((reception, Vec::new()));
                state.extend_from_slice(&piece);
                let length = state.len() as u64;
                self.receiving = Some((reception, state));
                Some(Input::SnapshotAppended { reception, length })
            }
            SnapshotStep::Finish {
                reception,
                length,
                digest,
            } => {
                let begun = self.receiving.take_if(|(of, _)| *of == reception);
                let state = begun.map(|(_, state)| state).unwrap_or_default();
                let is_whole = state.len() as u64 == length && crc32fast::hash(&state) == digest;
                let name = is_whole.then(|| self.put(state.into()));
                Some(Input::SnapshotReceived { reception, name })
            }
            SnapshotStep::Read(read) => {
                let data = self.read(&read).expect("what is sent is not removed");
                Some(Input::SnapshotRead { read, data })
            }
            SnapshotStep::Remove(name) => {
                self.finished.remove(&name);
                None
            }
        }
    }

    /// Drops all but one, as a restart does: only the one in force is there again.
    pub fn restart(&mut self, in_force: Option<SnapshotName>) {
        self.receiving = None;
        self.finished.retain(|name, _| Some(*name) == in_force);
    }

    fn read(&self, read: &SnapshotRead) -> Option<Bytes> {
        let begin = usize::try_from(read.offset).ok()?;
        let state = self.state(read.name)?;
        let end = begin.checked_add(read.bytes)?;
        (end <= state.len()).then(|| state.slice(begin..end))
    }
}
