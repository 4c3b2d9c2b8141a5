//! Storage that lives as long as its process: for tests, simulations, and members that may forget.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use async_trait::async_trait;
use bytes::{Bytes, BytesMut};
use liferaft_platform as platform;
use liferaft_platform::SortedMap;

use super::{
    Bound, LogReader, Recovered, SnapshotLane, SnapshotName, Storage, StorageError, Write, held,
};
use crate::configuration::History;
use crate::consensus::select;
use crate::entry::Entry;
use crate::identity::Identity;
use crate::ids::{ClusterId, Index, Starts};

/// A disk in memory. Every write is durable at once, as long as any clone of it lives.
///
/// Clones share what is stored, and are the same server: a member that is stopped and made again over a clone has
/// restarted with its disk intact. A start is counted when [`recover`](Storage::recover) is called.
///
/// ```
/// # mod liferaft { pub use {liferaft_node::*, liferaft_raft::*}; }
/// use liferaft::storage::{MemoryStorage, Storage};
/// # #[tokio::main(flavor = "current_thread")]
/// # async fn main() -> Result<(), liferaft::storage::StorageError> {
/// let disk = MemoryStorage::default();
///
/// let recovered = disk.clone().recover(u64::MAX).await?;
///
/// assert!(recovered.entries.is_empty());
/// # Ok(())
/// # }
/// ```
#[derive(Clone, Debug)]
pub struct MemoryStorage {
    identity: Identity,
    shelf: Arc<Shelf>,
}

/// What all clones share.
#[derive(Debug, Default)]
struct Shelf(Mutex<Contents>);

#[derive(Clone, Debug, Default)]
struct Contents {
    stored: Recovered,
    bound: Bound,
    starts: Starts,
    finished: SortedMap<SnapshotName, Bytes>,
    begun: SortedMap<SnapshotName, BytesMut>,
    last_name: u64,
}

/// Blank, and of a server that there was never before.
impl Default for MemoryStorage {
    fn default() -> Self {
        Self::of(Identity::draw())
    }
}

impl MemoryStorage {
    /// Blank storage of the server that this number stands for: the same for the same number. For tests and
    /// simulations, which compare one run with another: nobody else may forget what a server promised and use its id
    /// again.
    #[must_use]
    pub fn from_seed(seed: u64) -> Self {
        Self::of(Identity::from_seed(seed))
    }

    /// Returns a copy of what is stored at this moment: another disk of the same server, as an image of a disk is. No
    /// two of them may be used; this is for tests of what becomes of that.
    #[must_use]
    pub fn copied(&self) -> Self {
        let contents = self.shelf.contents().clone();
        Self {
            identity: self.identity.clone(),
            shelf: Arc::new(Shelf(Mutex::new(contents))),
        }
    }

    /// Blank storage of this server, whose key is new as well.
    #[must_use]
    pub fn of(identity: Identity) -> Self {
        Self {
            identity,
            shelf: Arc::default(),
        }
    }
}

impl Shelf {
    fn contents(&self) -> MutexGuard<'_, Contents> {
        // Nothing here panics between two steps of a write, so a poisoned lock guards whole writes too.
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[async_trait]
impl Storage for MemoryStorage {
    fn identity(&self) -> &Identity {
        &self.identity
    }

    fn cluster(&self) -> Option<ClusterId> {
        self.shelf.contents().bound.cluster
    }

    fn history(&self) -> Option<History> {
        self.shelf.contents().bound.history
    }

    async fn bind(
        &mut self,
        cluster: ClusterId,
        history: Option<History>,
    ) -> Result<(), StorageError> {
        let mut contents = self.shelf.contents();
        contents.bound = contents.bound.to(cluster, history)?;
        Ok(())
    }

    async fn recover(&mut self, log_memory_bytes_max: u64) -> Result<Recovered, StorageError> {
        let mut contents = self.shelf.contents();
        let in_force = contents.in_force();
        contents.begun.clear();
        contents.finished.retain(|name, _| Some(*name) == in_force);
        contents.starts = contents.starts.next(platform::entropy_u64());
        let (starts, stored) = (contents.starts, contents.stored.clone());
        drop(contents);
        self.identity = self.identity.clone().at(starts);
        held::bound(stored, log_memory_bytes_max)
    }

    async fn write(&mut self, writes: Vec<Write>) -> Result<(), StorageError> {
        let mut contents = self.shelf.contents();
        for write in writes {
            if let Some(snapshot) = &write.snapshot {
                let (name, length) = (snapshot.name, snapshot.metadata.length);
                let state = contents.finished.get(&name);
                if state.is_none_or(|state| state.len() as u64 != length) {
                    return Err(StorageError::Damaged {
                        what: "snapshot",
                        reason: format!("no snapshot {name} of {length} bytes is finished"),
                    });
                }
            }
            store(&mut contents.stored, write)?;
        }
        Ok(())
    }

    fn snapshots(&self) -> Arc<dyn SnapshotLane> {
        Arc::clone(&self.shelf) as Arc<dyn SnapshotLane>
    }

    fn log(&self) -> Arc<dyn LogReader> {
        Arc::clone(&self.shelf) as Arc<dyn LogReader>
    }
}

impl Contents {
    fn in_force(&self) -> Option<SnapshotName> {
        let snapshot = self.stored.snapshot.as_ref();
        snapshot.map(|snapshot| snapshot.name)
    }

    fn begun(&mut self, name: SnapshotName) -> Result<&mut BytesMut, StorageError> {
        self.begun.get_mut(&name).ok_or_else(|| not_begun(name))
    }
}

#[async_trait]
impl SnapshotLane for Shelf {
    async fn begin(&self) -> Result<SnapshotName, StorageError> {
        let mut contents = self.contents();
        contents.last_name += 1;
        let name = SnapshotName(contents.last_name);
        contents.begun.insert(name, BytesMut::new());
        Ok(name)
    }

    async fn append(&self, name: SnapshotName, piece: Bytes) -> Result<(), StorageError> {
        self.contents().begun(name)?.extend_from_slice(&piece);
        Ok(())
    }

    async fn finish(
        &self,
        name: SnapshotName,
        length: u64,
        digest: u32,
    ) -> Result<bool, StorageError> {
        let mut contents = self.contents();
        let state = contents
            .begun
            .remove(&name)
            .ok_or_else(|| not_begun(name))?;
        let is_whole = state.len() as u64 == length && crc32fast::hash(&state) == digest;
        if is_whole {
            contents.finished.insert(name, state.freeze());
        }
        Ok(is_whole)
    }

    async fn read(
        &self,
        name: SnapshotName,
        offset: u64,
        bytes_max: usize,
    ) -> Result<Option<Bytes>, StorageError> {
        let contents = self.contents();
        let state = contents.finished.get(&name);
        Ok(state.map(|state| {
            let offset = usize::try_from(offset).unwrap_or(usize::MAX);
            let begin = offset.min(state.len());
            state.slice(begin..begin.saturating_add(bytes_max).min(state.len()))
        }))
    }

    async fn remove(&self, name: SnapshotName) -> Result<(), StorageError> {
        let mut contents = self.contents();
        contents.begun.remove(&name);
        if contents.in_force() != Some(name) {
            contents.finished.remove(&name);
        }
        Ok(())
    }
}

#[async_trait]
impl LogReader for Shelf {
    async fn read(
        &self,
        from: Index,
        through: Index,
        bytes_max: u64,
    ) -> Result<Vec<Entry>, StorageError> {
        let contents = self.contents();
        let entries = &contents.stored.entries;
        let begin = entries.partition_point(|entry| entry.index < from);
        Ok(select(&entries[begin..], from, through, bytes_max))
    }
}

/// Nobody appends to a snapshot that was not begun, or is finished.
pub(super) fn not_begun(name: SnapshotName) -> StorageError {
    StorageError::Damaged {
        what: "snapshot",
        reason: format!("no snapshot {name} is being written"),
    }
}

/// Makes a write: what it leaves is what a storage recovers.
pub(super) fn store(stored: &mut Recovered, write: Write) -> Result<(), StorageError> {
    if let Some(hard_state) = write.hard_state {
        stored.hard_state = hard_state;
    }
    if let Some(peer_boots) = write.peer_boots {
        stored.peer_boots = peer_boots;
    }
    if let Some(snapshot) = write.snapshot {
        stored.snapshot = Some(snapshot);
    }
    if let Some(from) = write.truncate {
        stored.entries.truncate(place(&stored.entries, from));
    }
    append(stored, write.entries)?;
    if let Some(through) = write.compact {
        let covered = stored
            .snapshot
            .as_ref()
            .map_or(Index::ZERO, |snapshot| snapshot.metadata.last.index);
        if through > covered {
            return Err(damaged(format!(
                "it would be cut at {through}, and the snapshot ends at {covered}"
            )));
        }
        stored
            .entries
            .drain(..place(&stored.entries, through.next()));
    }
    Ok(())
}

/// Where the entry at `index` is, or would be.
fn place(entries: &[Entry], index: Index) -> usize {
    entries.partition_point(|entry| entry.index < index)
}

fn append(stored: &mut Recovered, entries: Vec<Entry>) -> Result<(), StorageError> {
    let Some(first) = entries.first().map(|entry| entry.index) else {
        return Ok(());
    };
    let follows_log = stored
        .entries
        .last()
        .is_some_and(|last| last.index.next() == first);
    let covered = stored
        .snapshot
        .as_ref()
        .map_or(Index::ZERO, |snapshot| snapshot.metadata.last.index);
    let begins_log = stored.entries.is_empty() && first == covered.next();
    if !follows_log && !begins_log {
        let last = stored.entries.last().map_or(covered, |last| last.index);
        return Err(damaged(format!("entry {first} does not follow {last}")));
    }
    if entries
        .windows(2)
        .any(|pair| pair[0].index.next() != pair[1].index)
    {
        return Err(damaged(format!("the entries from {first} on have a gap")));
    }
    stored.entries.extend(entries);
    Ok(())
}

fn damaged(reason: String) -> StorageError {
    StorageError::Damaged {
        what: "log",
        reason,
    }
}

#[cfg(test)]
mod tests {
    use futures::executor::block_on;

    use super::*;
    use crate::storage::conformance::{self, Disk};

    impl Disk for MemoryStorage {
        type Storage = Self;

        async fn open(&mut self) -> Self {
            self.clone()
        }
    }

    #[test]
    fn it_keeps_the_promises_of_a_storage() {
        block_on(conformance::check_all(async || MemoryStorage::default()));
    }

    #[test]
    fn a_gap_in_the_log_is_refused() {
        let entries = vec![conformance::entry(2, 1, "b")];

        let refused = block_on(MemoryStorage::default().write(vec![Write {
            entries,
            ..Write::default()
        }]));

        assert!(matches!(
            refused,
            Err(StorageError::Damaged { what: "log", .. })
        ));
    }

    #[test]
    fn a_log_is_not_cut_beyond_its_snapshot() {
        let write = Write {
            compact: Some(Index(1)),
            ..Write::default()
        };

        let refused = block_on(MemoryStorage::default().write(vec![write]));

        assert!(matches!(refused, Err(StorageError::Damaged { .. })));
    }
}
