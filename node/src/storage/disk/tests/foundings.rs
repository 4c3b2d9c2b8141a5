//! Founding a cluster, with crashes at every step.

use std::sync::Arc;

use async_trait::async_trait;
use futures::executor::block_on;

use super::fake::FakeDisk;
use crate::configuration::{Configuration, History};
use crate::driver::{FoundError, Founding};
use crate::entry::Payload;
use crate::identity::Identity;
use crate::ids::ClusterId;
use crate::storage::disk::store::{Options, Store};
use crate::storage::{
    LogReader, MemoryStorage, Recovered, SnapshotLane, Storage, StorageError, Write,
};

/// As many steps at least as a founding takes, at all of which it dies in turn.
const STEPS_MIN: u64 = 8;

/// A store that is used without a thread.
struct Direct {
    store: Store<FakeDisk>,
    identity: Identity,
}

#[async_trait]
impl Storage for Direct {
    fn identity(&self) -> &Identity {
        &self.identity
    }

    fn cluster(&self) -> Option<ClusterId> {
        self.store.header().bound.cluster
    }

    fn history(&self) -> Option<History> {
        self.store.header().bound.history
    }

    async fn bind(
        &mut self,
        cluster: ClusterId,
        history: Option<History>,
    ) -> Result<(), StorageError> {
        self.store.bind(cluster, history)
    }

    async fn recover(&mut self, log_memory_bytes_max: u64) -> Result<Recovered, StorageError> {
        self.store.recover(log_memory_bytes_max)
    }

    async fn write(&mut self, writes: Vec<Write>) -> Result<(), StorageError> {
        self.store.write(writes)
    }

    fn snapshots(&self) -> Arc<dyn SnapshotLane> {
        // Nobody founds a cluster with a snapshot.
        MemoryStorage::default().snapshots()
    }

    fn log(&self) -> Arc<dyn LogReader> {
        // Nor does anybody read a log then.
        MemoryStorage::default().log()
    }
}

fn open(disk: &FakeDisk) -> Direct {
    let options = Options {
        segment_bytes: 1 << 16,
        nonce: disk.steps(),
    };
    let (store, _) = Store::open(disk.clone(), options).expect("it is in order");
    let identity = Identity::from_secret_key(&store.header().secret.0);
    Direct { store, identity }
}

/// Founds a cluster on a disk that dies after so many steps. Returns false if it lives.
fn dies_after(steps: u64, loses_power: bool) -> bool {
    let disk = FakeDisk::new(steps, None);
    let mut storage = open(&disk);
    let id = storage.identity().id();
    let founding = Founding::new(Configuration::of_voters([id]));
    disk.dies_after(steps);
    let founded = block_on(founding.found(&mut storage));
    if founded.is_ok() {
        return false;
    }
    assert!(
        matches!(founded, Err(FoundError::Unknown(_))),
        "{founded:?}"
    );
    if loses_power {
        disk.lose_power();
    } else {
        disk.restart_process();
    }

    let mut storage = open(&disk);
    let cluster = storage.cluster();
    let again = block_on(founding.found(&mut storage));

    assert_eq!(storage.identity().id(), id);
    match cluster {
        Some(cluster) => assert_eq!(cluster, founding.cluster()),
        None => again.expect("it is not founded"),
    }
    let entries = block_on(storage.recover(u64::MAX))
        .expect("it is open")
        .entries;
    let Payload::Configuration(first) = &entries[0].payload else {
        panic!("it begins with {:?}", entries[0]);
    };
    assert_eq!((entries.len(), first.voters()), (1, &[id][..]));
    assert_eq!(storage.history(), first.history());
    true
}

#[test]
fn a_founding_that_dies_at_any_step_is_made_or_made_again() {
    for loses_power in [false, true] {
        let died = (0..).take_while(|steps| dies_after(*steps, loses_power));

        assert!(died.count() as u64 >= STEPS_MIN);
    }
}
