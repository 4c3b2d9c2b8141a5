//! Hampers a disk in memory: it takes its time, hangs, fails, or has no room, as it is told.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use async_trait::async_trait;
use liferaft_raft::configuration::History;
use liferaft_raft::identity::Identity;
use liferaft_raft::ids::ClusterId;
use liferaft_raft::storage::{
    LogReader, MemoryStorage, Recovered, SnapshotLane, Storage, StorageError, Write,
};
use tokio::sync::Semaphore;

#[derive(Clone)]
pub(crate) struct Hampered {
    disk: MemoryStorage,
    /// How long each write takes.
    delay: Duration,
    /// No write is made while somebody else has it.
    pub(crate) gate: Arc<Semaphore>,
    /// There is no room but a reserve.
    pub(crate) is_low: Arc<AtomicBool>,
    /// Every write fails.
    is_broken: bool,
    log: Arc<dyn LogReader>,
}

impl Hampered {
    /// Writes to this disk, and hinders nothing yet.
    pub(crate) fn over(disk: MemoryStorage) -> Self {
        Self {
            log: disk.log(),
            disk,
            delay: Duration::ZERO,
            gate: Arc::new(Semaphore::new(1)),
            is_low: Arc::default(),
            is_broken: false,
        }
    }

    /// Has each write take so long.
    pub(crate) fn slow(mut self, delay: Duration) -> Self {
        self.delay = delay;
        self
    }

    /// Has each write fail.
    pub(crate) fn broken(mut self) -> Self {
        self.is_broken = true;
        self
    }

    /// Has the log read by this reader.
    pub(crate) fn read_by(mut self, log: impl LogReader) -> Self {
        self.log = Arc::new(log);
        self
    }
}

#[async_trait]
impl Storage for Hampered {
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

    async fn recover(&mut self, log_memory_bytes_max: u64) -> Result<Recovered, StorageError> {
        self.disk.recover(log_memory_bytes_max).await
    }

    fn snapshots(&self) -> Arc<dyn SnapshotLane> {
        self.disk.snapshots()
    }

    fn log(&self) -> Arc<dyn LogReader> {
        Arc::clone(&self.log)
    }

    async fn write(&mut self, writes: Vec<Write>) -> Result<(), StorageError> {
        let _open = self.gate.acquire().await;
        if !self.delay.is_zero() {
            tokio::time::sleep(self.delay).await;
        }
        if self.is_broken {
            return Err(StorageError::Damaged {
                what: "disk",
                reason: "it is broken".to_owned(),
            });
        }
        self.disk.write(writes).await
    }

    fn is_low(&self) -> bool {
        self.is_low.load(Ordering::Relaxed)
    }
}
