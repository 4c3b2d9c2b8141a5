//! Keeps a member's state in a folder: a log of checksummed batches in segments, snapshots in files of their own, and a
//! header that is kept twice. `docs/storage.md` shows every byte.
//!
//! `header`, `segment` and `snapshot_file` are functions of bytes, as the records in them are (`storage::records`), and so is most of `recovery`,
//! which judges a whole folder. `store` writes the log, `lane` the snapshots, and `log_reader` reads entries again,
//! through the small trait of `files`. Each of the three has a thread.

mod backup;
mod errors;
mod files;
mod header;
mod inspection;
mod lane;
mod log_reader;
mod names;
mod outbox;
mod pages;
mod places;
mod recovery;
mod rescue;
mod segment;
mod snapshot_file;
mod store;
#[cfg(any(test, feature = "faulty-disk"))]
mod tests;
mod worker;

use std::fmt;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::mpsc::{self, Receiver, RecvTimeoutError, Sender};
use std::thread::{self, JoinHandle};
use std::time::Duration;

use async_trait::async_trait;
use liferaft_platform as platform;
use liferaft_platform::CACHED_BYTES_MAX;
use tokio::sync::oneshot;

pub use self::backup::{Backup, back_up};
pub use self::inspection::{
    EntryKind, EntryOutline, FileFlaw, HeaderOutline, Inspection, LogOutline, OutboxOutline,
    Verdict, inspect,
};
pub use self::outbox::DiskOutboxStore;
pub use self::rescue::{FoundedAnew, SetAside, found_anew, set_aside};

use self::errors::{ended, io};
use self::files::{Files, Folder, LOCK};
use self::lane::Lane;
use self::log_reader::EntryReader;
use self::pages::PAGE_BYTES;
use self::store::{Opened, Options, Store};
#[cfg(feature = "faulty-disk")]
#[doc(hidden)]
pub use self::tests::faulty;
use self::worker::Worker;
use super::{Bound, LogReader, Recovered, SnapshotLane, Storage, StorageError, Write, held};
use crate::configuration::History;
use crate::identity::Identity;
use crate::ids::ClusterId;

/// The length of a segment, in bytes.
const SEGMENT_BYTES: u64 = 16 << 20;

/// The length of the reserve, in bytes: what leadership is handed over in, and the log goes on for a while.
const RESERVE_BYTES: u64 = 4 << 20;

/// After so long without a write the last one is marked as durable.
const IDLE: Duration = Duration::from_secs(1);

/// Storage in a folder, which survives the process and the loss of power.
///
/// A write returns when it is durable, which takes one sync; one that changes the term or the vote takes two more.
/// Writing and syncing happen on a thread of the storage's own; snapshots have another, and so has reading the log.
/// Any failure but want of room is final: every later write is refused ([`StorageError::Stopped`]), and what is stored
/// is read again when the folder is opened again.
///
/// Opening reads the whole log, a segment at a time, and holds 64 MiB of it at most, beyond what may not be committed.
/// To [recover](Storage::recover) more of it, it is read once more.
///
/// A reserve of 4 MiB is kept on the disk. When there is no other room for the log, the store gives it up, and a leader
/// takes no commands and hands leadership over ([`is_low`](Storage::is_low)); when that is used up too, the member
/// stops ([`StorageError::Full`]). A snapshot does not get the reserve: one that finds no room is given up and leaves
/// what it took, and the leader does the same. With room again the reserve is made again, and a member that stopped
/// goes on from what is there.
///
/// The folder is locked while it is open. Dropping the storage waits until a write under way is done. The server's
/// secret key is in the folder, whose files nobody but its owner may read: a folder that was removed comes back as
/// another server.
///
/// Damage is an error ([`StorageError::Damaged`]) that names the file, the byte and the batch; a write that a crash has
/// torn is dropped, and reported by [`repairs`](Storage::repairs). One kind of damage looks like a torn write: that to
/// the last batch, if the process was killed within a second after it. Storage that is damaged must not be used again
/// under the server's id.
///
/// For operators there are [`inspect`], [`back_up`], [`set_aside`] for a damaged store, and [`found_anew`] for a
/// cluster whose majority is gone, all of them also as commands of the program `liferaft`. An outbox keeps what waits
/// in it in a [`DiskOutboxStore`], which may be in the same folder.
///
/// Where there is no file system, as in browsers, [`open`](Self::open) returns an error.
///
/// ```
/// # mod liferaft { pub use {liferaft_node::*, liferaft_raft::*}; }
/// use liferaft::storage::{DiskStorage, Storage};
/// # #[tokio::main(flavor = "current_thread")]
/// # async fn main() -> Result<(), liferaft::storage::StorageError> {
/// # let folder = std::env::temp_dir().join(format!("liferaft-doc-{}", std::process::id()));
/// let mut disk = DiskStorage::open(&folder).await?;
///
/// let recovered = disk.recover(u64::MAX).await?;
///
/// assert!(recovered.entries.is_empty());
/// assert_eq!(disk.identity().boot(), 1);
/// # drop(disk);
/// # std::fs::remove_dir_all(&folder).expect("it was made above");
/// # Ok(())
/// # }
/// ```
pub struct DiskStorage {
    folder: PathBuf,
    jobs: Option<Sender<Job>>,
    thread: Option<JoinHandle<()>>,
    lane: Arc<lane::Jobs>,
    lane_thread: Option<JoinHandle<()>>,
    log: Arc<Worker<EntryReader<Folder>>>,
    /// What was found when it was opened, until it is asked for or something is written.
    recovered: Option<Recovered>,
    /// How much longer the log was then than its entries weigh.
    padding: u64,
    repairs: Vec<Repair>,
    identity: Identity,
    bound: Bound,
    /// True from when something found no room until there is some again.
    is_low: Arc<AtomicBool>,
}

/// Something in the folder is not whole, and opening it repairs that. Nothing acknowledged is lost by it,
/// unless the last batch was damaged and the process was killed within a second after it.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Repair {
    /// What follows the last whole batch was dropped: a write that was never finished.
    TailDropped {
        /// The segment.
        file: String,
        /// Where it begins, in bytes.
        offset: u64,
        /// What is wrong with it.
        reason: String,
    },
    /// One copy of the header was written again from the other one.
    HeaderCopy {
        /// The first, 0, or the second, 1.
        copy: usize,
        /// What is wrong with it.
        reason: String,
    },
}

impl fmt::Display for Repair {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::TailDropped {
                file,
                offset,
                reason,
            } => write!(f, "drops what is at byte {offset} of {file}: {reason}"),
            Self::HeaderCopy { copy, reason } => {
                write!(f, "writes copy {copy} of the header again: {reason}")
            }
        }
    }
}

/// A job for the thread, with the channel for its result.
enum Job {
    Write(Vec<Write>, oneshot::Sender<Result<(), StorageError>>),
    Bind(
        ClusterId,
        Option<History>,
        oneshot::Sender<Result<(), StorageError>>,
    ),
    Recover(u64, oneshot::Sender<Result<Recovered, StorageError>>),
    /// The lane found no room: whether there is some again is looked at when the thread is idle.
    Low,
    Close(oneshot::Sender<Result<(), StorageError>>),
}

impl DiskStorage {
    /// Opens the store in this folder, or makes one if the folder is empty or not there.
    ///
    /// # Errors
    /// When another member has it open, it is damaged, of another format or a backup, or the system refuses. Nothing
    /// has been changed if it is damaged.
    pub async fn open(folder: impl Into<PathBuf>) -> Result<Self, StorageError> {
        let folder = folder.into();
        let (jobs, queue) = mpsc::channel();
        let (opened, opening) = oneshot::channel();
        let thread = thread::Builder::new().name("liferaft-disk".to_owned());
        let path = folder.clone();
        let work = move || match open(&path) {
            Ok((store, beside, found)) => {
                let header = store.header();
                let identity = Identity::from_secret_key(&header.secret.0);
                let identity = (identity.at(header.starts), header.bound);
                let found = (found, store.low());
                // If the caller has dropped the future, there are no jobs either.
                let _gone = opened.send(Ok((found, beside, identity)));
                serve(store, &queue, IDLE);
            }
            Err(error) => {
                let _gone = opened.send(Err(error));
            }
        };
        let thread = thread.spawn(work).map_err(io("begin a thread"))?;
        let ((opened, is_low), (lane, log), (identity, bound)) =
            opening.await.unwrap_or_else(|_| Err(ended()))?;
        let Opened {
            padding,
            recovered,
            repairs,
        } = opened;
        let (lane_jobs, lane_queue) = mpsc::channel();
        let lane_thread = thread::Builder::new().name("liferaft-lane".to_owned());
        let store = jobs.clone();
        // A store that has failed does not look.
        let on_low = move || drop(store.send(Job::Low));
        let lane_thread = lane_thread.spawn(move || lane::serve(lane, &lane_queue, on_low));
        let (log, ()) = Worker::start("liferaft-log", IDLE, || Ok((log, ()))).await?;
        for repair in &repairs {
            tracing::warn!(%repair, "the storage was not whole");
        }
        Ok(Self {
            folder,
            jobs: Some(jobs),
            thread: Some(thread),
            lane: Arc::new(lane::Jobs(lane_jobs)),
            lane_thread: Some(lane_thread.map_err(io("begin a thread"))?),
            log: Arc::new(log),
            recovered: Some(recovered),
            padding,
            repairs,
            identity,
            bound,
            is_low,
        })
    }

    /// Has the lane end after the step that it takes. What is returned resolves when it has.
    fn stop_lane(&self) -> oneshot::Receiver<()> {
        let (stopped, stopping) = oneshot::channel();
        // If nobody receives it the lane has ended, and `stopped` is dropped.
        let _ended = self.lane.0.send(lane::Job::Stop(stopped));
        stopping
    }

    async fn ask<T>(
        &self,
        job: impl FnOnce(oneshot::Sender<Result<T, StorageError>>) -> Job,
    ) -> Result<T, StorageError> {
        let (reply, replied) = oneshot::channel();
        let jobs = self
            .jobs
            .as_ref()
            .expect("jobs are sent until it is dropped");
        if jobs.send(job(reply)).is_err() {
            return Err(ended());
        }
        replied.await.unwrap_or_else(|_| Err(ended()))
    }
}

#[async_trait]
impl Storage for DiskStorage {
    fn identity(&self) -> &Identity {
        &self.identity
    }

    fn cluster(&self) -> Option<ClusterId> {
        self.bound.cluster
    }

    fn history(&self) -> Option<History> {
        self.bound.history
    }

    async fn bind(
        &mut self,
        cluster: ClusterId,
        history: Option<History>,
    ) -> Result<(), StorageError> {
        let bound = self.bound.to(cluster, history);
        let bound = bound.map_err(|error| error.in_folder(&self.folder))?;
        self.ask(|reply| Job::Bind(cluster, history, reply)).await?;
        self.bound = bound;
        Ok(())
    }

    async fn recover(&mut self, log_memory_bytes_max: u64) -> Result<Recovered, StorageError> {
        match self.recovered.take() {
            Some(recovered)
                if recovered.outline.is_empty() || log_memory_bytes_max <= CACHED_BYTES_MAX =>
            {
                held::bound(recovered, log_memory_bytes_max)
            }
            _ => {
                self.ask(|reply| Job::Recover(log_memory_bytes_max, reply))
                    .await
            }
        }
    }

    async fn write(&mut self, writes: Vec<Write>) -> Result<(), StorageError> {
        self.recovered = None;
        self.ask(|reply| Job::Write(writes, reply)).await
    }

    fn snapshots(&self) -> Arc<dyn SnapshotLane> {
        Arc::clone(&self.lane) as Arc<dyn SnapshotLane>
    }

    fn log(&self) -> Arc<dyn LogReader> {
        Arc::clone(&self.log) as Arc<dyn LogReader>
    }

    async fn close(&mut self) -> Result<(), StorageError> {
        let _ended = self.stop_lane().await;
        self.ask(Job::Close).await
    }

    fn repairs(&self) -> &[Repair] {
        &self.repairs
    }

    fn is_low(&self) -> bool {
        self.is_low.load(Ordering::Relaxed)
    }

    fn page_bytes(&self) -> u64 {
        PAGE_BYTES as u64
    }

    fn padding(&self) -> u64 {
        self.padding
    }
}

impl Drop for DiskStorage {
    /// The folder is unlocked when this returns, and the lane writes nothing more, whoever still has it.
    fn drop(&mut self) {
        drop(self.stop_lane());
        self.jobs = None;
        for thread in [self.lane_thread.take(), self.thread.take()] {
            // A thread that panicked has unlocked the folder as well.
            let _panicked = thread.map(JoinHandle::join);
        }
    }
}

impl fmt::Debug for DiskStorage {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("DiskStorage")
            .field("identity", &self.identity)
            .field("bound", &self.bound)
            .finish_non_exhaustive()
    }
}

/// What goes on beside the writes of a store.
type Beside = (Lane<Folder>, EntryReader<Folder>);

/// Locks and opens the store in this folder, with the lane and the reader beside it.
fn open(path: &Path) -> Result<(Store<Folder>, Beside, Opened), StorageError> {
    let [mut folder, of_lane, of_reader] = [(); 3].map(|()| Folder::new(path.to_owned()));
    if !folder.lock(LOCK).map_err(io("lock the folder"))? {
        let folder = path.display().to_string();
        return Err(StorageError::InUse { folder });
    }
    let options = Options {
        segment_bytes: SEGMENT_BYTES,
        nonce: platform::entropy_u64(),
    };
    let opened = Store::open(folder, options);
    let (mut store, opened) = opened.map_err(|error| error.in_folder(path))?;
    store.keep_reserve(RESERVE_BYTES)?;
    let beside = (store.lane(of_lane), store.log(of_reader));
    Ok((store, beside, opened))
}

/// Does the jobs in order, until their sender is dropped.
fn serve<F: Files>(mut store: Store<F>, jobs: &Receiver<Job>, idle: Duration) {
    loop {
        let job = if store.is_marked() {
            jobs.recv().map_err(|_| RecvTimeoutError::Disconnected)
        } else {
            jobs.recv_timeout(idle)
        };
        // A caller that has dropped the future ignores the result.
        match job {
            Ok(Job::Write(writes, reply)) => {
                let _gone = reply.send(store.write(writes));
                // The next write reports the failure.
                drop(store.look_for_room(platform::now()));
            }
            Ok(Job::Bind(cluster, history, reply)) => {
                let _gone = reply.send(store.bind(cluster, history));
            }
            Ok(Job::Recover(log_bytes_max, reply)) => {
                let _gone = reply.send(store.recover(log_bytes_max));
            }
            Ok(Job::Low) => {}
            Ok(Job::Close(reply)) => {
                let marked = store.mark();
                // The folder is unlocked before anybody hears that it is closed.
                drop(store);
                let _gone = reply.send(marked);
                return;
            }
            // The next write reports the failure.
            Err(RecvTimeoutError::Timeout) => drop(store.mark()),
            Err(RecvTimeoutError::Disconnected) => {
                drop(store.mark());
                return;
            }
        }
    }
}
