//! The lane of snapshots: files that grow beside the log, on a thread of their own, and count for nothing until a batch
//! puts one of them in force.

use std::collections::BTreeMap;
use std::io::{self, ErrorKind};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::mpsc::{Receiver, Sender};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::thread;

use async_trait::async_trait;
use bytes::Bytes;
use liferaft_platform as platform;
use tokio::sync::oneshot;

use super::errors::ended;
use super::errors::{absent, io};
use super::files::Files;
use super::names::{UNFINISHED, snapshot_name};
use super::snapshot_file;
use crate::storage::memory::not_begun;
use crate::storage::{Snapshot, SnapshotLane, SnapshotName, StorageError};

/// After so many bytes what was appended is synced: one sync of a whole snapshot would hold up those of the log. If the
/// log is being written the lane rests then for as long as the sync took. On a disk that gives 190 MB/s, an append and
/// a sync of 16 KiB take 22 times as long beside syncs of 4 MiB without rest, in the 99th percentile, and 1.7 times
/// beside these.
pub(super) const SYNC_BYTES: u64 = 256 << 10;

/// Snapshots that are being written, and those that can be read.
#[derive(Debug)]
pub(super) struct Lane<F> {
    files: F,
    shelf: Shelf,
    drafts: BTreeMap<u64, Draft>,
    next: u64,
    sync_bytes: u64,
    /// Set when a snapshot finds no room; the store takes it back.
    is_low: Arc<AtomicBool>,
    /// Why nothing more is written.
    failed: Option<String>,
}

/// A snapshot that is being written.
#[derive(Debug, Default)]
struct Draft {
    length: u64,
    digest: crc32fast::Hasher,
    unsynced: u64,
}

/// What the lane has finished, and what the store removes: only the store knows what is in force. Clones are the same.
#[derive(Clone, Debug, Default)]
pub(super) struct Shelf(Arc<Mutex<Contents>>);

#[derive(Debug, Default)]
struct Contents {
    /// The lengths of the finished snapshots, by file.
    finished: BTreeMap<u64, u64>,
    /// Finished snapshots that nobody needs.
    unwanted: Vec<u64>,
    /// The log was written since this was taken last.
    log_written: bool,
}

impl Shelf {
    /// A shelf with one snapshot, or none.
    pub(super) fn holding(snapshot: Option<&Snapshot>) -> Self {
        let finished = snapshot.map(|snapshot| (snapshot.name.0, snapshot.metadata.length));
        Self(Arc::new(Mutex::new(Contents {
            finished: finished.into_iter().collect(),
            ..Contents::default()
        })))
    }

    /// Returns true if this snapshot is finished and has the length that it should have.
    pub(super) fn has(&self, snapshot: &Snapshot) -> bool {
        let length = snapshot.metadata.length;
        self.contents().finished.get(&snapshot.name.0) == Some(&length)
    }

    /// Takes the files that nobody needs. Those in force were never given up.
    pub(super) fn take_unwanted(&self, in_force: &[Option<u64>]) -> Vec<u64> {
        let mut contents = self.contents();
        let mut unwanted = std::mem::take(&mut contents.unwanted);
        unwanted.retain(|file| !in_force.contains(&Some(*file)));
        for file in &unwanted {
            contents.finished.remove(file);
        }
        unwanted
    }

    /// Takes note that the log is written.
    pub(super) fn note_log_written(&self) {
        self.contents().log_written = true;
    }

    fn take_log_written(&self) -> bool {
        std::mem::take(&mut self.contents().log_written)
    }

    fn contents(&self) -> MutexGuard<'_, Contents> {
        // Nothing here panics between two steps of a change.
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl<F: Files> Lane<F> {
    /// The lane beside a store of this shelf, through a file layer of its own. Its first file has the number `next`. It
    /// sets `is_low` when it finds no room.
    pub(super) fn new(files: F, shelf: Shelf, next: u64, is_low: Arc<AtomicBool>) -> Self {
        Self {
            files,
            shelf,
            drafts: BTreeMap::new(),
            next,
            sync_bytes: SYNC_BYTES,
            is_low,
            failed: None,
        }
    }

    /// Syncs after so many bytes.
    #[cfg(test)]
    pub(super) fn syncing_after(mut self, bytes: u64) -> Self {
        self.sync_bytes = bytes;
        self
    }

    pub(super) fn begin(&mut self) -> Result<SnapshotName, StorageError> {
        self.unless_failed(|lane| {
            let file = lane.next;
            lane.next += 1;
            let head = snapshot_file::encode_head(file);
            let name = unfinished(file);
            let created = lane.files.create(&name, head.len() as u64);
            let created = created.map_err(io("create a snapshot"));
            created.or_else(|error| lane.give_up(file, error))?;
            let written = lane.files.write_at(&name, 0, &head);
            let written = written.map_err(io("write a snapshot"));
            written.or_else(|error| lane.give_up(file, error))?;
            lane.drafts.insert(file, Draft::default());
            Ok(SnapshotName(file))
        })
    }

    pub(super) fn append(&mut self, name: SnapshotName, piece: &[u8]) -> Result<(), StorageError> {
        self.unless_failed(|lane| {
            let draft = lane.drafts.get_mut(&name.0);
            let draft = draft.ok_or_else(|| not_begun(name))?;
            let file = unfinished(name.0);
            let part_bytes = usize::try_from(lane.sync_bytes).unwrap_or(usize::MAX);
            for part in piece.chunks(part_bytes) {
                let at = snapshot_file::STATE_AT + draft.length;
                let written = lane.files.write_at(&file, at, part);
                if let Err(error) = written.map_err(io("write a snapshot")) {
                    return lane.give_up(name.0, error);
                }
                draft.digest.update(part);
                draft.length += part.len() as u64;
                draft.unsynced += part.len() as u64;
                if draft.unsynced >= lane.sync_bytes {
                    draft.unsynced = 0;
                    let began = platform::now();
                    let synced = lane.files.sync(&file);
                    synced.map_err(final_io("sync a snapshot"))?;
                    if lane.shelf.take_log_written() {
                        thread::sleep(platform::now() - began);
                    }
                }
            }
            Ok(())
        })
    }

    pub(super) fn finish(
        &mut self,
        name: SnapshotName,
        length: u64,
        digest: u32,
    ) -> Result<bool, StorageError> {
        self.unless_failed(|lane| {
            let draft = lane.drafts.remove(&name.0);
            let draft = draft.ok_or_else(|| not_begun(name))?;
            let new = unfinished(name.0);
            if (draft.length, draft.digest.finalize()) != (length, digest) {
                lane.files.remove(&new).map_err(final_io("remove a file"))?;
                return Ok(false);
            }
            lane.files.sync(&new).map_err(final_io("sync a new file"))?;
            let renamed = lane.files.rename(&new, &snapshot_name(name.0));
            let renamed = renamed.map_err(io("rename a new file"));
            renamed.or_else(|error| lane.give_up(name.0, error))?;
            lane.sync_names()?;
            lane.shelf.contents().finished.insert(name.0, length);
            Ok(true)
        })
    }

    pub(super) fn read(
        &mut self,
        name: SnapshotName,
        offset: u64,
        bytes_max: usize,
    ) -> Result<Option<Bytes>, StorageError> {
        let length = self.shelf.contents().finished.get(&name.0).copied();
        let Some(length) = length else {
            return Ok(None);
        };
        let offset = offset.min(length);
        let at = snapshot_file::STATE_AT + offset;
        match self.files.read_at(&snapshot_name(name.0), at, bytes_max) {
            Ok(bytes) => Ok(Some(bytes.into())),
            // The store has removed it just now.
            Err(error) if error.kind() == ErrorKind::NotFound => Ok(None),
            Err(error) => Err(io("read a snapshot")(error)),
        }
    }

    pub(super) fn remove(&mut self, name: SnapshotName) -> Result<(), StorageError> {
        self.unless_failed(|lane| {
            if lane.drafts.remove(&name.0).is_some() {
                let removed = lane.files.remove(&unfinished(name.0));
                return removed.map_err(final_io("remove a file"));
            }
            let mut contents = lane.shelf.contents();
            if contents.finished.contains_key(&name.0) && !contents.unwanted.contains(&name.0) {
                contents.unwanted.push(name.0);
            }
            Ok(())
        })
    }

    /// Gives the snapshot of this file up if it found no room: what it took is free again, and the lane goes on.
    fn give_up(&mut self, file: u64, error: StorageError) -> Result<(), StorageError> {
        if is_given_up(&error) {
            self.is_low.store(true, Ordering::Relaxed);
            self.drafts.remove(&file);
            let removed = self.files.remove(&unfinished(file)).or_else(absent);
            removed.map_err(final_io("remove a file"))?;
            // The room is there when its name is gone for good.
            self.sync_names()?;
        }
        Err(error)
    }

    fn sync_names(&mut self) -> Result<(), StorageError> {
        self.files
            .sync_directory()
            .map_err(final_io("sync the folder"))
    }

    fn unless_failed<T>(
        &mut self,
        act: impl FnOnce(&mut Self) -> Result<T, StorageError>,
    ) -> Result<T, StorageError> {
        if let Some(reason) = self.failed.clone() {
            return Err(StorageError::Stopped { reason });
        }
        act(self).inspect_err(|error| {
            if !is_given_up(error) {
                self.failed = Some(error.to_string());
            }
        })
    }
}

/// Returns true if a snapshot found no room and was given up.
fn is_given_up(error: &StorageError) -> bool {
    matches!(error, StorageError::Full { .. })
}

/// The error of a step that ends the lane even if it says that there is no room: after a failed sync nobody knows what
/// is on the disk, and what cannot be removed stays.
fn final_io(action: &'static str) -> impl FnOnce(io::Error) -> StorageError {
    move |error| StorageError::Io { action, error }
}

fn unfinished(file: u64) -> String {
    format!("{}{UNFINISHED}", snapshot_name(file))
}

type Reply<T> = oneshot::Sender<Result<T, StorageError>>;

/// A job for the lane's thread, with the channel for its result.
pub(super) enum Job {
    Begin(Reply<SnapshotName>),
    Append(SnapshotName, Bytes, Reply<()>),
    Finish(SnapshotName, u64, u32, Reply<bool>),
    Read(SnapshotName, u64, usize, Reply<Option<Bytes>>),
    Remove(SnapshotName, Reply<()>),
    Stop(oneshot::Sender<()>),
}

/// Does the jobs in order, until it is stopped. Calls `on_low` after each that found no room.
pub(super) fn serve<F: Files>(mut lane: Lane<F>, jobs: &Receiver<Job>, on_low: impl Fn()) {
    while let Ok(job) = jobs.recv() {
        match job {
            Job::Begin(reply) => answer(reply, lane.begin(), &on_low),
            Job::Append(name, piece, reply) => answer(reply, lane.append(name, &piece), &on_low),
            Job::Finish(name, length, digest, reply) => {
                answer(reply, lane.finish(name, length, digest), &on_low);
            }
            Job::Read(name, offset, bytes_max, reply) => {
                drop(reply.send(lane.read(name, offset, bytes_max)));
            }
            Job::Remove(name, reply) => drop(reply.send(lane.remove(name))),
            Job::Stop(stopped) => {
                // No file is open when others hear of it.
                drop(lane);
                let _gone = stopped.send(());
                return;
            }
        }
    }
}

fn answer<T>(reply: Reply<T>, done: Result<T, StorageError>, on_low: impl Fn()) {
    let is_given_up = done.as_ref().is_err_and(is_given_up);
    // A caller that has dropped the future ignores the result.
    drop(reply.send(done));
    if is_given_up {
        on_low();
    }
}

/// The lane as members use it: each call is a job for its thread.
#[derive(Debug)]
pub(super) struct Jobs(pub(super) Sender<Job>);

impl Jobs {
    async fn ask<T: Send>(
        &self,
        job: impl FnOnce(Reply<T>) -> Job + Send,
    ) -> Result<T, StorageError> {
        let (reply, replied) = oneshot::channel();
        if self.0.send(job(reply)).is_err() {
            return Err(ended());
        }
        replied.await.unwrap_or_else(|_| Err(ended()))
    }
}

#[async_trait]
impl SnapshotLane for Jobs {
    async fn begin(&self) -> Result<SnapshotName, StorageError> {
        self.ask(Job::Begin).await
    }

    async fn append(&self, name: SnapshotName, piece: Bytes) -> Result<(), StorageError> {
        self.ask(|reply| Job::Append(name, piece, reply)).await
    }

    async fn finish(
        &self,
        name: SnapshotName,
        length: u64,
        digest: u32,
    ) -> Result<bool, StorageError> {
        self.ask(|reply| Job::Finish(name, length, digest, reply))
            .await
    }

    async fn read(
        &self,
        name: SnapshotName,
        offset: u64,
        bytes_max: usize,
    ) -> Result<Option<Bytes>, StorageError> {
        self.ask(|reply| Job::Read(name, offset, bytes_max, reply))
            .await
    }

    async fn remove(&self, name: SnapshotName) -> Result<(), StorageError> {
        self.ask(|reply| Job::Remove(name, reply)).await
    }
}
