//! Keeps the commands of an outbox in a file of its own: checksummed batches, as in the log.
//!
//! The file has its whole length from the beginning, as a segment has, and a batch is written when the one before it is
//! durable. When it is full, all that is stored goes to another file, which takes its place. So it does whenever the
//! file is opened: whatever the last process left in the system's memory only is durable before anybody relies on it.

use std::fmt;
use std::path::PathBuf;

use async_trait::async_trait;
use bytes::{Buf, BufMut};

use super::errors::io;
use super::files::{Files, Folder};
use super::pages::{self, PAGE_BYTES};
use super::segment::{NewBatch, Tail, read_batches};
use super::store::create_file;
use super::worker::{Marked, Worker};
use super::{IDLE, Repair, StorageError};
use crate::storage::outbox::memory::store;
use crate::storage::outbox::{OutboxStore, OutboxWrite, RecoveredOutbox};
use crate::storage::records::outbox::{Change, is_name, outbox_damaged, outbox_fault};
use crate::storage::records::record::{self, Flaw, Kind, broken, contradictory};

/// How the name of an outbox's file begins; the name of the outbox follows.
const PREFIX: &str = "outbox-";

/// What the name of the file ends with that is locked.
const LOCKED: &str = ".lock";

/// The length of a file, unless what is stored needs more.
const FILE_BYTES: u64 = 4 << 20;

const PAGE: u64 = PAGE_BYTES as u64;

/// A store for an outbox in a folder, which survives the process and the loss of power.
///
/// The folder may be that of the member ([`DiskStorage`](crate::storage::DiskStorage)), and hold several outboxes, each
/// under a name of its own. An outbox is opened, closed and opened again whether or not its member runs.
///
/// A write returns when it is durable, which takes one sync, made on a thread of the store's own. Any failure is final:
/// every later write is refused ([`StorageError::Stopped`]), and the outbox closes. What is stored is read again when
/// it is opened again.
///
/// The outbox is locked while it is open. Dropping the store waits until a write under way is done.
///
/// Damage is an error ([`StorageError::OutboxDamaged`]) that names the file, the byte and the batch; a write that a
/// crash has torn is dropped, and reported by [`repairs`](Self::repairs). As with the log, damage to the last write
/// looks like a torn one if the process was killed within a second after it.
///
/// On the disk it takes twice what its commands take, and 4 MiB, and as much again while its file is replaced.
///
/// Where there is no file system, as in browsers, [`open`](Self::open) returns an error.
///
/// ```
/// # mod liferaft { pub use {liferaft_node::*, liferaft_raft::*}; }
/// use liferaft::driver::OutboxConfig;
/// use liferaft::storage::outbox::DiskOutboxStore;
/// # #[tokio::main(flavor = "current_thread")]
/// # async fn main() -> Result<(), liferaft::storage::StorageError> {
/// # let folder = std::env::temp_dir().join(format!("liferaft-outbox-doc-{}", std::process::id()));
/// let store = DiskOutboxStore::open(&folder, "uplink").await?;
///
/// let config = OutboxConfig::default().store(store);
/// # drop(config);
/// # std::fs::remove_dir_all(&folder).expect("it was made above");
/// # Ok(())
/// # }
/// ```
pub struct DiskOutboxStore {
    worker: Worker<OutboxFile<Folder>>,
    recovered: Option<RecoveredOutbox>,
    repairs: Vec<Repair>,
}

impl DiskOutboxStore {
    /// Opens the outbox of this name in this folder. If there is none, it makes one; if there is no folder, that as
    /// well.
    ///
    /// # Errors
    /// When the name is none ([`StorageError::Unnameable`]), another store has it open, it is damaged or of another
    /// format, or the system refuses. Nothing has been changed if it is damaged.
    pub async fn open(folder: impl Into<PathBuf>, name: &str) -> Result<Self, StorageError> {
        let (folder, file, locked) = (folder.into(), file_name(name)?, lock_name(name));
        let open = move || {
            let shown = folder.join(&file).display().to_string();
            let mut files = Folder::new(folder.clone());
            if !files.lock(&locked).map_err(io("lock the outbox"))? {
                return Err(StorageError::InUse { folder: shown });
            }
            let salt = liferaft_platform::entropy_u64();
            let opened = OutboxFile::open(files, file, FILE_BYTES, salt);
            let (file, repairs) = opened.map_err(|error| error.in_folder(&folder))?;
            let recovered = file.stored.clone();
            Ok((file, (recovered, repairs)))
        };
        let (worker, (recovered, repairs)) = Worker::start("liferaft-outbox", IDLE, open).await?;
        for repair in &repairs {
            tracing::warn!(%repair, "the outbox was not whole");
        }
        Ok(Self {
            worker,
            recovered: Some(recovered),
            repairs,
        })
    }

    /// Returns what was repaired when the outbox was opened.
    #[must_use]
    pub fn repairs(&self) -> &[Repair] {
        &self.repairs
    }

    /// Marks the last write as durable, so that damage to it is never taken for a torn one, and closes the outbox.
    /// Dropping the store does the same, and ignores errors.
    ///
    /// # Errors
    /// When it cannot be written. What was acknowledged is durable all the same.
    pub async fn close(self) -> Result<(), StorageError> {
        self.worker.ask(Marked::mark).await
    }
}

#[async_trait]
impl OutboxStore for DiskOutboxStore {
    async fn recover(&mut self) -> Result<RecoveredOutbox, StorageError> {
        self.recovered.take().ok_or_else(|| StorageError::Stopped {
            reason: "what is stored is recovered once, when it was opened".to_owned(),
        })
    }

    async fn write(&mut self, write: OutboxWrite) -> Result<(), StorageError> {
        self.worker.ask(|file| file.write(write)).await
    }
}

impl fmt::Debug for DiskOutboxStore {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("DiskOutboxStore")
            .field("repairs", &self.repairs)
            .finish_non_exhaustive()
    }
}

/// Names the file of an outbox.
fn file_name(name: &str) -> Result<String, StorageError> {
    if !is_name(name) {
        return Err(StorageError::Unnameable {
            name: name.to_owned(),
        });
    }
    Ok(file_of(name))
}

/// Names the file of an outbox that has this name.
pub(super) fn file_of(name: &str) -> String {
    format!("{PREFIX}{name}")
}

/// Names the file that stands for the lock of an outbox.
pub(super) fn lock_name(name: &str) -> String {
    format!("{PREFIX}{name}{LOCKED}")
}

/// Takes the name of an outbox's file apart; `None` if it is another file.
pub(super) fn outbox_name(file: &str) -> Option<&str> {
    let name = file.strip_prefix(PREFIX)?;
    file_name(name).is_ok().then_some(name)
}

/// An open outbox.
#[derive(Debug)]
pub(super) struct OutboxFile<F> {
    files: F,
    /// The name of its file.
    name: String,
    /// The length of a file, unless what is stored needs more.
    file_bytes: u64,
    /// Random, and known to nobody else: no command that was torn looks like a batch.
    salt: u64,
    /// The length of its file.
    bytes: u64,
    /// Where the next batch goes.
    offset: u64,
    /// Batches up to this one are durable.
    synced: u64,
    /// Batches up to this one are marked as durable.
    marked: u64,
    stored: RecoveredOutbox,
    /// Why nothing more is written.
    failed: Option<String>,
}

impl<F: Files> OutboxFile<F> {
    /// Opens the outbox in this file, or makes one if it is not there. Nothing is written before all that is there has
    /// been read and found in order.
    pub(super) fn open(
        mut files: F,
        name: String,
        file_bytes: u64,
        salt: u64,
    ) -> Result<(Self, Vec<Repair>), StorageError> {
        let Found { stored, repairs } = find(&mut files, &name)?;
        let mut file = Self {
            files,
            name,
            file_bytes,
            salt,
            bytes: 0,
            offset: 0,
            synced: 0,
            marked: 0,
            stored,
            failed: None,
        };
        file.begin_file()?;
        Ok((file, repairs))
    }

    /// Makes this write durable, whole or not at all.
    pub(super) fn write(&mut self, write: OutboxWrite) -> Result<(), StorageError> {
        self.unless_failed(|file| {
            let changes = Change::all_of(&write);
            store(&mut file.stored, write)?;
            if changes.is_empty() {
                return Ok(());
            }
            file.append(NewBatch::of(&changes))
        })
    }

    fn unless_failed(
        &mut self,
        act: impl FnOnce(&mut Self) -> Result<(), StorageError>,
    ) -> Result<(), StorageError> {
        if let Some(reason) = self.failed.clone() {
            return Err(StorageError::Stopped { reason });
        }
        act(self).inspect_err(|error| self.failed = Some(error.to_string()))
    }

    /// Writes a batch, which is durable then: behind the others, or with all that is stored to another file.
    fn append(&mut self, batch: NewBatch) -> Result<(), StorageError> {
        let bytes = batch.layout().bytes();
        if self.offset + bytes > self.bytes {
            return self.begin_file();
        }
        let encoded = batch.encode(self.synced + 1, self.synced, self.salt);
        let written = self.files.write_at(&self.name, self.offset, &encoded);
        written.map_err(io("write to the outbox"))?;
        self.files.sync(&self.name).map_err(io("sync the outbox"))?;
        self.offset += bytes;
        self.marked = self.synced;
        self.synced += 1;
        Ok(())
    }

    /// Writes all that is stored, as one batch, to a file that takes the place of the one that is there.
    fn begin_file(&mut self) -> Result<(), StorageError> {
        let stored = OutboxWrite {
            position: self.stored.position,
            remove_through: None,
            append: self.stored.commands.clone(),
        };
        let batch = NewBatch::of(&Change::all_of(&stored)).encode(FIRST_BATCH, 0, self.salt);
        let written = PAGE + batch.len() as u64;
        // Twice as long as it must be, so that a file is replaced after as much was written as replacing it writes.
        let bytes = self.file_bytes.max(2 * written);
        let head = Head {
            salt: self.salt,
            bytes,
        };
        create_file(
            &mut self.files,
            &self.name,
            bytes,
            ["create the outbox", "write the outbox"],
            &[head.encode(&self.name), batch].concat(),
        )?;
        (self.bytes, self.offset) = (bytes, written);
        // A file has its name when its first batch is durable.
        (self.synced, self.marked) = (FIRST_BATCH, FIRST_BATCH);
        Ok(())
    }
}

impl<F: Files> Marked for OutboxFile<F> {
    fn is_marked(&self) -> bool {
        self.marked == self.synced || self.failed.is_some()
    }

    /// Writes a batch that changes nothing, behind the one that it marks.
    fn mark(&mut self) -> Result<(), StorageError> {
        self.unless_failed(|file| {
            if file.marked < file.synced {
                file.append(NewBatch::of::<Change>(&[]))?;
                file.marked = file.synced;
            }
            Ok(())
        })
    }
}

/// Each file begins with this batch, which has all that is stored.
const FIRST_BATCH: u64 = 1;

/// What an outbox's file holds.
#[derive(Debug, Default, PartialEq, Eq)]
pub(super) struct Found {
    pub(super) stored: RecoveredOutbox,
    pub(super) repairs: Vec<Repair>,
}

/// Reads and judges the file of this name; the default if there is none. Writes nothing, and needs no lock.
pub(super) fn find<F: Files>(files: &mut F, name: &str) -> Result<Found, StorageError> {
    let names = files.list().map_err(io("list the folder"))?;
    if !names.iter().any(|found| found == name) {
        return Ok(Found::default());
    }
    let bytes = files.read(name).map_err(io("read the outbox"))?;
    judge(name, &bytes)
}

fn judge(name: &str, bytes: &[u8]) -> Result<Found, StorageError> {
    let flawed = |flaw: Flaw| outbox_fault(name, &flaw);
    let head = Head::decode(name, bytes).map_err(flawed)?;
    let (batches, tail) = read_batches::<Change>(bytes, head.salt, FIRST_BATCH).map_err(flawed)?;
    let next = FIRST_BATCH + batches.len() as u64;
    let mut repairs = Vec::new();
    let mut stored = RecoveredOutbox::default();
    match tail {
        Tail::Broken {
            at,
            reason,
            marked_by: Some(by),
        } => {
            let lacking = format!(
                "batch {next} at byte {at} of {name}: {reason}, and batch {by} says that it was durable"
            );
            return Err(outbox_damaged(lacking));
        }
        Tail::Broken { at, reason, .. } if batches.is_empty() => {
            let lacking = format!("batch {next} at byte {at} of {name}: {reason}");
            return Err(outbox_damaged(lacking));
        }
        Tail::Broken { at, reason, .. } => repairs.push(Repair::TailDropped {
            file: name.to_owned(),
            offset: at as u64,
            reason,
        }),
        Tail::Blank if batches.is_empty() => {
            return Err(outbox_damaged(format!("{name} has no batch")));
        }
        Tail::Blank => {}
    }
    for batch in batches {
        let mut write = OutboxWrite::default();
        for change in batch.changes {
            match change {
                Change::Position(position) => write.position = Some(position),
                Change::Remove(through) => write.remove_through = Some(through),
                Change::Command(command) => write.append.push(command),
            }
        }
        store(&mut stored, write).map_err(|error| match error {
            StorageError::OutboxDamaged { reason } => {
                outbox_damaged(format!("batch {} of {name}: {reason}", batch.number))
            }
            other => other,
        })?;
    }
    Ok(Found { stored, repairs })
}

/// The first page of an outbox's file.
#[derive(Clone, Copy, Debug)]
struct Head {
    salt: u64,
    /// The length of the file, in bytes.
    bytes: u64,
}

impl Head {
    fn encode(self, name: &str) -> Vec<u8> {
        let mut page = Vec::with_capacity(PAGE_BYTES);
        record::put_first(&mut page, Kind::Outbox, 0, |body| {
            body.put_u64_le(self.salt);
            body.put_u64_le(self.bytes);
            body.put_slice(name.as_bytes());
        });
        pages::pad(&mut page);
        page
    }

    /// Decodes the head of the file of this name and length.
    fn decode(name: &str, bytes: &[u8]) -> Result<Self, Flaw> {
        let mut page = bytes
            .get(..PAGE_BYTES)
            .ok_or_else(|| broken(format!("it has only {} bytes", bytes.len())))?;
        let record = record::take_first(&mut page, Kind::Outbox)?;
        pages::expect_zeros(page)?;
        let mut body = record.body;
        if body.len() < 2 * size_of::<u64>() {
            return Err(contradictory("its head is too short"));
        }
        let (salt, wanted) = (body.get_u64_le(), body.get_u64_le());
        if wanted != bytes.len() as u64 {
            let found = bytes.len();
            return Err(broken(format!("it has {found} bytes of {wanted}")));
        }
        if body != name.as_bytes() {
            return Err(contradictory(format!(
                "{} is there",
                String::from_utf8_lossy(body)
            )));
        }
        Ok(Self {
            salt,
            bytes: wanted,
        })
    }
}
