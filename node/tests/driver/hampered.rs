//! Hampers a disk in memory: it takes its time, hangs, fails, or has no room, as it is told.

use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::mpsc::{self, Receiver, Sender};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use async_trait::async_trait;
use bytes::Bytes;
use liferaft_node::identity::Identity;
use liferaft_node::storage::{
    LogReader, MemoryStorage, Recovered, SnapshotLane, SnapshotName, Storage, StorageError, Write,
};
use liferaft_raft::configuration::History;
use liferaft_raft::ids::ClusterId;
use tokio::sync::Semaphore;

#[derive(Clone)]
pub(crate) struct Hampered {
    disk: MemoryStorage,
    /// How long each write takes.
    delay: Duration,
    /// How long it takes to close.
    closes_in: Duration,
    /// No write is made while somebody else has it.
    pub(crate) gate: Arc<Semaphore>,
    /// There is no room but a reserve, or none for a snapshot.
    pub(crate) is_low: Arc<AtomicBool>,
    /// Every write fails.
    is_broken: bool,
    log: Arc<dyn LogReader>,
    pub(crate) room: Arc<Room>,
    /// Dropped with it.
    _held: Option<Arc<Held>>,
}

/// Has the thread of whoever drops it wait for a disk that hangs: until it is told, or for a minute.
pub(crate) struct Held {
    told: Mutex<Receiver<()>>,
    /// Nobody told it.
    gave_up: Arc<AtomicBool>,
}

impl Drop for Held {
    fn drop(&mut self) {
        let told = self.told.get_mut().expect("nobody panics with it");
        let waited = told.recv_timeout(Duration::from_secs(60));
        self.gave_up.store(waited.is_err(), Ordering::Relaxed);
    }
}

/// How many bytes there is room for in a snapshot.
pub(crate) struct Room {
    pub(crate) bytes: AtomicU64,
    /// As many snapshots were begun.
    pub(crate) begun: AtomicU64,
    /// Nothing of one is written while somebody else has it.
    pub(crate) gate: Semaphore,
}

impl Hampered {
    /// Writes to this disk, and hinders nothing yet.
    pub(crate) fn over(disk: MemoryStorage) -> Self {
        Self {
            log: disk.log(),
            disk,
            delay: Duration::ZERO,
            closes_in: Duration::ZERO,
            gate: Arc::new(Semaphore::new(1)),
            is_low: Arc::default(),
            is_broken: false,
            room: Arc::new(Room {
                bytes: AtomicU64::new(u64::MAX),
                begun: AtomicU64::new(0),
                gate: Semaphore::new(1),
            }),
            _held: None,
        }
    }

    /// Has whoever drops it wait until it is told by this. The flag is set if that took a minute.
    pub(crate) fn held(mut self) -> (Self, Sender<()>, Arc<AtomicBool>) {
        let (tell, told) = mpsc::channel();
        let gave_up = Arc::new(AtomicBool::new(false));
        self._held = Some(Arc::new(Held {
            told: Mutex::new(told),
            gave_up: Arc::clone(&gave_up),
        }));
        (self, tell, gave_up)
    }

    /// Has each write take so long.
    pub(crate) fn slow(mut self, delay: Duration) -> Self {
        self.delay = delay;
        self
    }

    /// Has it take so long to close.
    pub(crate) fn slow_to_close(mut self, delay: Duration) -> Self {
        self.closes_in = delay;
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
        Arc::new(Lane {
            lane: self.disk.snapshots(),
            is_low: Arc::clone(&self.is_low),
            room: Arc::clone(&self.room),
            taken: AtomicU64::new(0),
        })
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

    async fn close(&mut self) -> Result<(), StorageError> {
        tokio::time::sleep(self.closes_in).await;
        self.disk.close().await
    }
}

/// How long it takes to give a snapshot up.
const GIVEN_UP_WITHIN: Duration = Duration::from_secs(1);

/// A lane on which one snapshot is written at a time.
struct Lane {
    lane: Arc<dyn SnapshotLane>,
    is_low: Arc<AtomicBool>,
    room: Arc<Room>,
    /// How many bytes that one has.
    taken: AtomicU64,
}

#[async_trait]
impl SnapshotLane for Lane {
    async fn begin(&self) -> Result<SnapshotName, StorageError> {
        self.room.begun.fetch_add(1, Ordering::Relaxed);
        self.taken.store(0, Ordering::Relaxed);
        self.lane.begin().await
    }

    async fn append(&self, name: SnapshotName, piece: Bytes) -> Result<(), StorageError> {
        let gate = self.room.gate.acquire();
        let _passed = gate.await.expect("it is never closed");
        let bytes = piece.len() as u64;
        let taken = self.taken.fetch_add(bytes, Ordering::Relaxed) + bytes;
        if taken > self.room.bytes.load(Ordering::Relaxed) {
            self.lane.remove(name).await?;
            self.is_low.store(true, Ordering::Relaxed);
            // All else comes to rest before it is told.
            tokio::time::sleep(GIVEN_UP_WITHIN).await;
            return Err(StorageError::Full { action: "append" });
        }
        self.lane.append(name, piece).await
    }

    async fn finish(
        &self,
        name: SnapshotName,
        length: u64,
        digest: u32,
    ) -> Result<bool, StorageError> {
        self.lane.finish(name, length, digest).await
    }

    async fn read(
        &self,
        name: SnapshotName,
        offset: u64,
        bytes_max: usize,
    ) -> Result<Option<Bytes>, StorageError> {
        self.lane.read(name, offset, bytes_max).await
    }

    async fn remove(&self, name: SnapshotName) -> Result<(), StorageError> {
        self.lane.remove(name).await
    }
}
