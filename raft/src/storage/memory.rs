//! Storage that lives as long as its process: for tests, simulations, and members that may forget.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use async_trait::async_trait;
use liferaft_platform as platform;

use super::{Bound, Storage, StorageError};
use crate::configuration::History;
use crate::consensus::{Recovered, Write};
use crate::entry::Entry;
use crate::identity::Identity;
use crate::ids::{ClusterId, Index};

/// A disk in memory. Every write is durable at once, as long as any clone of it lives.
///
/// Clones share what is stored, and are the same server: a member that is stopped and made again over a clone has
/// restarted with its disk intact. A start is counted when [`recover`](Storage::recover) is called.
///
/// ```
/// # use liferaft_raft as liferaft;
/// use liferaft::storage::{MemoryStorage, Storage};
/// # #[tokio::main(flavor = "current_thread")]
/// # async fn main() -> Result<(), liferaft::storage::StorageError> {
/// let disk = MemoryStorage::default();
///
/// let recovered = disk.clone().recover().await?;
///
/// assert!(recovered.entries.is_empty());
/// # Ok(())
/// # }
/// ```
#[derive(Clone, Debug)]
pub struct MemoryStorage {
    identity: Identity,
    shared: Arc<Mutex<Shared>>,
}

/// What all clones share.
#[derive(Debug, Default)]
struct Shared {
    stored: Recovered,
    bound: Bound,
    boots: u64,
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

    fn of(identity: Identity) -> Self {
        Self {
            identity,
            shared: Arc::default(),
        }
    }

    fn shared(&self) -> MutexGuard<'_, Shared> {
        // Nothing here panics between two steps of a write, so a poisoned lock guards whole writes too.
        self.shared.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[async_trait]
impl Storage for MemoryStorage {
    fn identity(&self) -> &Identity {
        &self.identity
    }

    fn cluster(&self) -> Option<ClusterId> {
        self.shared().bound.cluster
    }

    fn history(&self) -> Option<History> {
        self.shared().bound.history
    }

    async fn bind(
        &mut self,
        cluster: ClusterId,
        history: Option<History>,
    ) -> Result<(), StorageError> {
        let mut shared = self.shared();
        shared.bound = shared.bound.to(cluster, history)?;
        Ok(())
    }

    async fn recover(&mut self) -> Result<Recovered, StorageError> {
        let (boot, stored) = {
            let mut shared = self.shared();
            shared.boots += 1;
            (shared.boots, shared.stored.clone())
        };
        self.identity = self.identity.clone().at_boot(boot, platform::entropy_u64());
        Ok(stored)
    }

    async fn write(&mut self, writes: Vec<Write>) -> Result<(), StorageError> {
        let mut shared = self.shared();
        writes
            .into_iter()
            .try_for_each(|write| store(&mut shared.stored, write))
    }
}

/// Makes a write: what it leaves is what a storage recovers.
pub(super) fn store(stored: &mut Recovered, write: Write) -> Result<(), StorageError> {
    if let Some(hard_state) = write.hard_state {
        stored.hard_state = hard_state;
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
