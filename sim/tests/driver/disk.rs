//! A disk whose syncs take time, which fails when told to, and which outlives its member.
//!
//! As [`liferaft_node::storage::Storage`] promises: a write that has resolved is kept, and of one that has not, a crash
//! keeps any prefix, down to the single parts of which [`Write`] says that they are made durable in order.

use std::future::pending;
use std::io;
use std::sync::{Arc, Mutex, MutexGuard};
use std::time::Duration;

use async_trait::async_trait;
use liferaft_node::identity::Identity;
use liferaft_node::storage::{
    LogReader, MemoryStorage, Recovered, SnapshotLane, Storage, StorageError, Write,
};
use liferaft_raft::configuration::History;
use liferaft_raft::ids::{ClusterId, Index, ServerId};
use liferaft_sim::dice::Dice;
use tokio::time::Instant;

/// How long a forgetful disk keeps in its cache what it acknowledges.
const CACHED_FOR: Duration = Duration::from_millis(200);

/// A disk. Its clones are the same disk.
#[derive(Clone)]
pub(crate) struct Disk(Arc<Mutex<State>>);

struct State {
    stored: MemoryStorage,
    dice: Dice,
    latency: (Duration, Duration),
    stalled_until: Instant,
    fails_next: bool,
    /// Whether what it acknowledges is in a cache for a while, which a crash empties.
    forgetful: bool,
    /// When it stored entries of late, and the first of them.
    stored_of_late: Vec<(Instant, Index)>,
    /// Which opening may write.
    opening: u64,
    /// What is being written, and whether its fate is still open.
    under_way: Vec<Write>,
}

/// A disk that a member has open.
pub(crate) struct OpenDisk {
    disk: Disk,
    /// The same storage, at this start.
    stored: MemoryStorage,
    opening: u64,
}

impl Disk {
    pub(crate) fn new(
        stored: MemoryStorage,
        dice: Dice,
        latency: (Duration, Duration),
        forgetful: bool,
    ) -> Self {
        Self(Arc::new(Mutex::new(State {
            stored,
            dice,
            latency,
            stalled_until: Instant::now(),
            fails_next: false,
            forgetful,
            stored_of_late: Vec::new(),
            opening: 0,
            under_way: Vec::new(),
        })))
    }

    /// Opens it for a member. Whatever an earlier opening was writing is cut off.
    pub(crate) async fn open(&self) -> OpenDisk {
        self.cut_off().await;
        let state = self.state();
        OpenDisk {
            disk: self.clone(),
            stored: state.stored.clone(),
            opening: state.opening,
        }
    }

    /// Another disk with what this one holds, as an image of it has.
    pub(crate) fn copied(&self) -> MemoryStorage {
        self.state().stored.copied()
    }

    /// The number of the newest start of a server that would be known after a crash.
    pub(crate) async fn newest_start(&self, of: ServerId) -> Option<u64> {
        // Reading counts as a start, so an image is read.
        let recovered = self.copied().recover(0).await;
        let recovered = recovered.expect("memory holds what was written");
        recovered.peer_boots.newest(of).map(|boot| boot.number)
    }

    /// Its member crashes.
    pub(crate) async fn crash(&self) {
        self.cut_off().await;
        let (lost, mut stored) = {
            let mut state = self.state();
            let of_late = std::mem::take(&mut state.stored_of_late);
            let cached = of_late.iter().filter(|(at, _)| at.elapsed() < CACHED_FOR);
            let lost = cached.map(|(_, first)| *first).min();
            (lost.filter(|_| state.forgetful), state.stored.clone())
        };
        if lost.is_some() {
            let forgotten = Write {
                truncate: lost,
                ..Write::default()
            };
            store(&mut stored, vec![forgotten]).await;
        }
    }

    /// Finishes no write before this moment.
    pub(crate) fn stall_until(&self, moment: Instant) {
        self.state().stalled_until = moment;
    }

    /// Fails the next write that ends, or none after all.
    pub(crate) fn fail_next(&self, fails: bool) {
        self.state().fails_next = fails;
    }

    /// Does at once what it is told, from now on.
    pub(crate) fn recover_from_faults(&self) {
        let mut state = self.state();
        state.stalled_until = Instant::now();
        state.fails_next = false;
    }

    /// Keeps a prefix of what is under way, and no more of it.
    async fn cut_off(&self) {
        let (mut stored, kept) = {
            let mut state = self.state();
            state.opening += 1;
            let mut parts: Vec<Write> = std::mem::take(&mut state.under_way)
                .into_iter()
                .flat_map(parts_of)
                .collect();
            let kept = state.dice.below(parts.len() + 1);
            parts.truncate(kept);
            (state.stored.clone(), parts)
        };
        store(&mut stored, kept).await;
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.0.lock().expect("nothing panics under this lock")
    }
}

/// How a write ends.
enum End {
    Later(Instant),
    Stored(Box<MemoryStorage>),
    Failed,
    /// The member has crashed: nobody hears how.
    Never,
}

impl OpenDisk {
    /// How the write under way ends, if it does at this moment.
    fn end(&self) -> End {
        let mut state = self.disk.state();
        if state.opening != self.opening {
            End::Never
        } else if state.stalled_until > Instant::now() {
            End::Later(state.stalled_until)
        } else if std::mem::take(&mut state.fails_next) {
            End::Failed
        } else {
            let written = std::mem::take(&mut state.under_way);
            let first = written.iter().flat_map(|write| &write.entries).next();
            if let Some(first) = first {
                state.stored_of_late.push((Instant::now(), first.index));
            }
            End::Stored(Box::new(state.stored.clone()))
        }
    }
}

#[async_trait]
impl Storage for OpenDisk {
    fn identity(&self) -> &Identity {
        self.stored.identity()
    }

    fn cluster(&self) -> Option<ClusterId> {
        self.stored.cluster()
    }

    fn history(&self) -> Option<History> {
        self.stored.history()
    }

    async fn bind(
        &mut self,
        cluster: ClusterId,
        history: Option<History>,
    ) -> Result<(), StorageError> {
        self.stored.bind(cluster, history).await
    }

    async fn recover(&mut self, log_memory_bytes_max: u64) -> Result<Recovered, StorageError> {
        self.stored.recover(log_memory_bytes_max).await
    }

    fn snapshots(&self) -> Arc<dyn SnapshotLane> {
        self.disk.state().stored.snapshots()
    }

    fn log(&self) -> Arc<dyn LogReader> {
        self.disk.state().stored.log()
    }

    async fn write(&mut self, writes: Vec<Write>) -> Result<(), StorageError> {
        let takes = {
            let mut state = self.disk.state();
            if state.opening == self.opening {
                state.under_way.clone_from(&writes);
            }
            let (least, most) = state.latency;
            let micros = u64::try_from((most - least).as_micros()).expect("a short time");
            least + Duration::from_micros(state.dice.between(0, micros))
        };
        tokio::time::sleep(takes).await;
        loop {
            match self.end() {
                End::Later(moment) => tokio::time::sleep_until(moment).await,
                End::Stored(mut stored) => return stored.write(writes).await,
                End::Failed => {
                    return Err(StorageError::Io {
                        action: "sync",
                        error: io::Error::other("the disk failed, as it was told to"),
                    });
                }
                End::Never => pending().await,
            }
        }
    }
}

/// The parts of a write, each a write of its own, in the order in which they become durable.
fn parts_of(write: Write) -> Vec<Write> {
    let part = Write {
        id: write.id,
        ..Write::default()
    };
    let mut parts = Vec::new();
    if write.hard_state.is_some() {
        parts.push(Write {
            hard_state: write.hard_state,
            ..part.clone()
        });
    }
    if write.peer_boots.is_some() {
        parts.push(Write {
            peer_boots: write.peer_boots,
            ..part.clone()
        });
    }
    if write.snapshot.is_some() {
        parts.push(Write {
            snapshot: write.snapshot,
            ..part.clone()
        });
    }
    if write.truncate.is_some() {
        parts.push(Write {
            truncate: write.truncate,
            ..part.clone()
        });
    }
    parts.extend(write.entries.into_iter().map(|entry| Write {
        entries: vec![entry],
        ..part.clone()
    }));
    if write.compact.is_some() {
        parts.push(Write {
            compact: write.compact,
            ..part
        });
    }
    parts
}

async fn store(stored: &mut MemoryStorage, writes: Vec<Write>) {
    stored
        .write(writes)
        .await
        .expect("the core's writes are in order");
}
