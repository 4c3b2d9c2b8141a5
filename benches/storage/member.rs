//! A cluster of one member, on storage that notes in which groups it is given what to write.

use std::path::Path;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use bytes::Bytes;
use liferaft::configuration::History;
use liferaft::entry::Payload;
use liferaft::identity::Identity;
use liferaft::storage::{
    DiskStorage, LogReader, Recovered, SnapshotLane, Storage, StorageError, Write,
};
use liferaft::{ClusterId, Config, Handle, Member, MemoryNetwork, StateMachine, async_trait};

/// What all callers write.
pub(crate) const COMMAND: Bytes = Bytes::from_static(&[7; 256]);

/// How long a caller waits, while a snapshot is written as well.
const PATIENCE: Duration = Duration::from_secs(300);

/// The longest snapshot, in bytes.
const SNAPSHOT_BYTES_MAX: u64 = 4 << 30;

/// Starts the only member of a cluster, which leads then.
pub(crate) async fn start<S: StateMachine>(
    folder: &Path,
    machine: S,
    snapshot_after_log_bytes: u64,
    groups: Groups,
) -> Handle<S> {
    let mut disk = DiskStorage::open(folder).await.expect("it is in order");
    if disk.cluster().is_none() {
        Member::found(&mut disk).await.expect("it is blank");
    }
    let transport = MemoryNetwork::new(1).attach(disk.identity().id());
    let transport = transport.expect("the id is free");
    let config = Config::builder()
        .limits(|limits| limits.snapshot_bytes_max = SNAPSHOT_BYTES_MAX)
        .build();
    let member = Member::builder(machine, transport, Noting { disk, groups })
        .config(config.expect("the settings make sense"))
        .snapshot_after_log_bytes(snapshot_after_log_bytes)
        .request_timeout(PATIENCE);
    let member = member.start().await.expect("it starts");
    let mut status = member.status();
    let leads = status.wait_for(|status| status.is_leader()).await;
    leads.expect("the member runs");
    member
}

/// How many bytes of commands each write had, since they were taken last.
#[derive(Clone, Default)]
pub(crate) struct Groups(Arc<Mutex<Vec<usize>>>);

impl Groups {
    pub(crate) fn note(&self, writes: &[Write]) {
        let entries = writes.iter().flat_map(|write| &write.entries);
        let bytes = entries.map(|entry| match &entry.payload {
            Payload::Command(command) => command.len(),
            Payload::Noop | Payload::Configuration(_) => 0,
        });
        let bytes: usize = bytes.sum();
        if bytes > 0 {
            self.0.lock().expect("nobody panics").push(bytes);
        }
    }

    pub(crate) fn take(&self) -> Vec<usize> {
        std::mem::take(&mut self.0.lock().expect("nobody panics"))
    }
}

struct Noting {
    disk: DiskStorage,
    groups: Groups,
}

#[async_trait]
impl Storage for Noting {
    fn identity(&self) -> &Identity {
        self.disk.identity()
    }

    fn cluster(&self) -> Option<ClusterId> {
        self.disk.cluster()
    }

    fn history(&self) -> Option<History> {
        self.disk.history()
    }

    async fn bind(
        &mut self,
        cluster: ClusterId,
        history: Option<History>,
    ) -> Result<(), StorageError> {
        self.disk.bind(cluster, history).await
    }

    fn snapshots(&self) -> Arc<dyn SnapshotLane> {
        self.disk.snapshots()
    }

    fn log(&self) -> Arc<dyn LogReader> {
        self.disk.log()
    }

    async fn recover(&mut self, log_memory_bytes_max: u64) -> Result<Recovered, StorageError> {
        self.disk.recover(log_memory_bytes_max).await
    }

    async fn write(&mut self, writes: Vec<Write>) -> Result<(), StorageError> {
        self.groups.note(&writes);
        self.disk.write(writes).await
    }
}
