//! Keeps what must survive: the term and vote, the log, the snapshot.
//!
//! [`Storage`] is the seam, with a [`SnapshotLane`] beside its writes and a [`LogReader`]; [`DiskStorage`] keeps what
//! is stored in a folder, [`BrowserStorage`] in a browser, [`MemoryStorage`] as long as its process lives, and
//! [`conformance`] is the promise of a storage as tests that every implementation passes. What waits in an [`outbox`]
//! has a store of its own.
//!
//! For operators, [`inspect`] tells what a folder holds, [`back_up`] copies it while its member runs, [`set_aside`]
//! moves a damaged store away, so that its member joins as a new server, and [`found_anew`] makes a cluster from the
//! last survivor of one, or from a backup. [docs/storage.md] shows every byte of a folder, how damage is told from a
//! torn write, and what it takes and costs.
//!
//! [docs/storage.md]: https://github.com/liferaft/liferaft/blob/main/docs/storage.md

mod browser;
pub mod conformance;
mod disk;
mod held;
mod memory;
pub mod outbox;
mod records;

use std::fmt;
use std::io::{self, ErrorKind};
use std::path::Path;
use std::sync::Arc;

use async_trait::async_trait;
use bytes::Bytes;
use thiserror::Error;

pub use browser::{BrowserHandle, BrowserOptions, BrowserStorage, Taken, hidden_identity};
#[cfg(feature = "faulty-disk")]
#[doc(hidden)]
pub use disk::faulty;
pub use disk::{
    Backup, DiskStorage, EntryKind, EntryOutline, FileFlaw, FoundedAnew, HeaderOutline, Inspection,
    LogOutline, OutboxOutline, Repair, SetAside, Verdict, back_up, found_anew, inspect, set_aside,
};
pub use memory::MemoryStorage;

use crate::configuration::History;
use crate::entry::Entry;
use crate::identity::Identity;
use crate::ids::{ClusterId, Index};

pub use crate::consensus::{Outline, Recovered, Snapshot, SnapshotName, Write};

/// A member's disk, as two streams that go on at the same time: writes, which are small, ordered and waited for, and
/// snapshots, which are large and wait for nothing. What was written to the log is read by a [`LogReader`].
///
/// **Writes.** The driver makes one write at a time and in order, and merges what has gathered meanwhile: that is group
/// commit. The boots of other servers ([`Write::peer_boots`]) are part of a write, so that they cost nothing of their
/// own beside entries. A write never blocks the thread that polls it, which is the member's own task: a disk that takes
/// its time delays acknowledgements, and neither heartbeats nor reads. Of one call, the hard state and the boots may
/// become durable before the rest, but entries never before a hard state of their term: a server that has entries of a
/// term knows of that term.
///
/// **Snapshots.** [`snapshots`](Self::snapshots) is a lane of its own. A snapshot becomes durable there piece by piece,
/// however long that takes, and counts for nothing. Only then does a write name it, and from that write on it is in
/// force; the compaction behind it comes in later writes. A write that names one that is not finished is refused, with
/// any error: the driver never makes one. So no vote and no acknowledgement waits for a snapshot.
///
/// **Failure.** A write or a step of the lane that fails stops the member: what the disk holds is not known until it is
/// opened again, and nothing is tried again over a failed sync. Only a snapshot for which there is
/// [no room](SnapshotLane#without-room) stops nothing. A crash at any moment leaves the snapshot that was in
/// force or, once the write that names another was under way, that one, and never half of one.
///
/// **A disk that hangs.** Nothing here has a deadline: a write, a read or a step of the lane takes as long as it takes.
/// The member sees it: when something was to become durable or to be read and nothing was for
/// [`storage_stalls_after`](crate::driver::MemberBuilder::storage_stalls_after), its status names it
/// ([`stalled_for`](crate::driver::StorageStatus::stalled_for)), an event and its log tell of it, and a leader hands
/// leadership over. What waits is bounded in bytes
/// ([`uncommitted_bytes_max`](crate::config::Limits::uncommitted_bytes_max)): beyond that a leader refuses commands,
/// and a follower drops entries, which the leader sends again. When the disk goes on, so does the member.
///
/// **The end.** The driver [closes](Self::close) the storage when the member stops in order, and drops it otherwise.
///
/// **Storage around a storage**, as one that counts or fails in tests, hands on all methods, also those with a default:
/// [`close`](Self::close), [`is_low`](Self::is_low), [`page_bytes`](Self::page_bytes), [`padding`](Self::padding) and
/// [`repairs`](Self::repairs). A default that hides what is inside makes a member that fills its disk, takes commands
/// when there is no room, or leaves the storage locked; and no check can see that.
///
/// A server's id is made with its storage, which keeps the key that the id is the digest of. Storage that was wiped has
/// lost the key, and is another server's. Storage that was set back to an earlier state or copied must not be used
/// again: the server has forgotten votes and entries that others count on. Some of this is found while it runs: blank
/// members give no votes, starts that do not follow the newest that was seen are refused
/// ([`Boots`](crate::boots::Boots)), and a leader whose member has less than it acknowledged in the leader's own term
/// stops counting it and has it stop (`StopReason::Forgot`). A leader that was elected after the loss cannot know of
/// it.
///
/// Storage that is bound to no cluster has never taken part in one: what it holds counts for nothing.
#[async_trait]
pub trait Storage: Send + 'static {
    /// Returns whose storage it is: drawn when the storage was made, the same ever since but for its
    /// [starts](Identity::starts). Those take the [next](crate::ids::Starts::next) one, durably, before
    /// [`recover`](Self::recover) returns for the first time.
    fn identity(&self) -> &Identity;

    /// Returns the cluster that the storage is bound to; `None` as long as it is bound to none.
    fn cluster(&self) -> Option<ClusterId>;

    /// Returns the founding of its cluster that the storage is bound to; `None` as long as that is not known.
    fn history(&self) -> Option<History>;

    /// Binds the storage to a cluster, and to one founding of it if that is known, durably. Once bound it stays bound.
    ///
    /// # Errors
    /// [`StorageError::Foreign`] if it is bound to another cluster or founding, whereupon nothing has changed; any
    /// other if it cannot be written.
    async fn bind(
        &mut self,
        cluster: ClusterId,
        history: Option<History>,
    ) -> Result<(), StorageError>;

    /// Reads what is stored; the default value if nothing is. Called when a member starts, and before that when it
    /// [founds](crate::driver::Founding) its cluster: so it may be called again on storage that is open, after writes,
    /// and then returns what they made. No write is under way then. The state of a snapshot is not read: the lane gives
    /// it, range by range.
    ///
    /// Of the log, the entries at its end that take no more than `log_memory_bytes_max` of memory ([`Entry::memory`])
    /// are given as entries, and those before as an [`Outline`]. Whatever comes after [`HardState::commit`] and after
    /// the snapshot is given as entries in any case: it may yet be truncated, and no outline can be.
    /// [`Recovered::outlined`] makes the outline of a log that is read whole. Storage may also ignore the bound and
    /// give all of the log as entries: the member then holds it all when it starts.
    ///
    /// [`HardState::commit`]: crate::consensus::HardState::commit
    async fn recover(&mut self, log_memory_bytes_max: u64) -> Result<Recovered, StorageError>;

    /// Makes these writes durable, in order. Once it resolves, none of them can be lost. If it fails, or is dropped
    /// before, what any prefix of them makes of the log and of the snapshot in force may be durable; the hard state and
    /// the boots of other servers may be those of a later one of them, and are never those of an earlier one.
    ///
    /// # Errors
    /// When they cannot be written, do not continue the log, or name a snapshot that is not finished. The member stops.
    async fn write(&mut self, writes: Vec<Write>) -> Result<(), StorageError>;

    /// Returns the lane that snapshots take, the same one each time. It is used while a write is under way.
    fn snapshots(&self) -> Arc<dyn SnapshotLane>;

    /// Returns the reader of the stored log, the same one each time. It is used while a write is under way.
    fn log(&self) -> Arc<dyn LogReader>;

    /// Returns true while there is no room on the disk but a reserve, which is being used up, or while there was none
    /// for a snapshot.
    ///
    /// A leader then takes no commands ([`ProposeError::NoRoom`](crate::driver::ProposeError::NoRoom)) and hands
    /// leadership over; all else goes on. Default false.
    fn is_low(&self) -> bool {
        false
    }

    /// Returns what the length of a write on the disk is a multiple of, in bytes. Default 1.
    ///
    /// A member compacts its log by what it takes on the disk: a write of one short entry takes a page.
    fn page_bytes(&self) -> u64 {
        1
    }

    /// Returns how much more of the disk the log behind the snapshot took than its entries weigh, in bytes, when the
    /// storage was opened. Default 0.
    ///
    /// A member that is started again counts it for its next snapshot, as what it writes itself: else a log would grow
    /// from start to start.
    fn padding(&self) -> u64 {
        0
    }

    /// Returns what was not whole when the storage was opened, and was repaired. The member tells it in its status.
    /// Default nothing.
    fn repairs(&self) -> &[Repair] {
        &[]
    }

    /// Ends the use of this storage in order, after the last write: it marks what is durable, so that damage to it is
    /// not taken for a torn write, and gives the storage free for another process. Called at most once, and nothing but
    /// dropping it comes after. Dropping it without is what a crash does, at worst.
    ///
    /// # Errors
    /// When it cannot be written. What was acknowledged is durable all the same.
    async fn close(&mut self) -> Result<(), StorageError> {
        Ok(())
    }
}

/// Where snapshots are stored: beside the ordered writes, in pieces, by name.
///
/// A snapshot is [begun](Self::begin), [appended to](Self::append) and [finished](Self::finish). It is then durable and
/// may be [read](Self::read), but counts for nothing until a [write](Storage::write) names it. Whatever no write has
/// named when the storage is opened again is gone, finished or not.
///
/// Several calls may be under way at once; those about one snapshot are made one after the other. The caller waits for
/// each piece, so a lane needs no bound of its own. It makes what it is given durable now and then, and not all at the
/// end: one large sync would hold up the syncs of the log.
///
/// # Without room
/// A lane may answer [`begin`](Self::begin), [`append`](Self::append) and [`finish`](Self::finish) by
/// [`StorageError::Full`]. It then has nothing of the snapshot, whose name no other gets, and what it took on the disk
/// is free again; the lane goes on, and the storage is [low](Storage::is_low) until there is room. The member tries
/// again later. Any other error stops the member, also that of a sync for which there is no room: a lane that cannot
/// tell, or cannot remove what it has written, must not answer `Full`.
#[async_trait]
pub trait SnapshotLane: Send + Sync + 'static {
    /// Begins a snapshot, under a name that no other in the storage has.
    async fn begin(&self) -> Result<SnapshotName, StorageError>;

    /// Appends a piece to a snapshot that was begun and is not finished.
    ///
    /// # Errors
    /// When it cannot be written, and for any other name. The member stops, unless there is no room.
    async fn append(&self, name: SnapshotName, piece: Bytes) -> Result<(), StorageError>;

    /// Makes a snapshot durable that was begun and is not finished. Returns false if what was appended has not this
    /// length, or not this CRC-32 (of IEEE 802.3, as in zip and PNG): it is gone then.
    ///
    /// # Errors
    /// When it cannot be made durable, and for any other name. The member stops, unless there is no room.
    async fn finish(
        &self,
        name: SnapshotName,
        length: u64,
        digest: u32,
    ) -> Result<bool, StorageError>;

    /// Reads a part of the state of a finished snapshot: as many bytes as there are from `offset` on, at most
    /// `bytes_max`. `None` if there is no such snapshot, or it is not finished.
    async fn read(
        &self,
        name: SnapshotName,
        offset: u64,
        bytes_max: usize,
    ) -> Result<Option<Bytes>, StorageError>;

    /// Removes a snapshot, begun or finished, some time later. One that is in force stays.
    async fn remove(&self, name: SnapshotName) -> Result<(), StorageError>;
}

/// Reads entries of the stored log, which a member does not keep in memory: for peers that are far behind, and for a
/// state machine that has yet to apply them.
///
/// Nothing is asked for but what is durable and committed, so that no write changes it; a write may remove it
/// meanwhile, by a compaction or by a snapshot that takes the log's place. Several calls may be under way at once, and
/// none holds up a write.
#[async_trait]
pub trait LogReader: Send + Sync + 'static {
    /// Reads entries: the one at `from`, and those after it up to `through`, as many as weigh no more than `bytes_max`
    /// together ([`Entry::weight`]). The first one is read however much it weighs. None if it is not stored any more.
    ///
    /// # Errors
    /// When it cannot be read, or what is stored is damaged. The member stops.
    async fn read(
        &self,
        from: Index,
        through: Index,
        bytes_max: u64,
    ) -> Result<Vec<Entry>, StorageError>;
}

/// Why storage could not read or write. The member stops: what a disk holds after a failed write is not known. What was
/// acknowledged is still there when it is started again, unless it says that it is [damaged](Self::Damaged).
///
/// The text says all that is known, so that [`source`](std::error::Error::source) has nothing to add.
#[derive(Debug, Error)]
#[non_exhaustive]
pub enum StorageError {
    /// The operating system refused.
    #[error("cannot {action}: {error}{}", comes_next(.error))]
    Io {
        /// What was tried.
        action: &'static str,
        /// Why it failed, and on disk also with which file.
        error: std::io::Error,
    },
    /// There is no room on the disk: none for a snapshot, which is [given up](SnapshotLane#without-room), or none for
    /// anything else, and no reserve is left. Only the second stops the member.
    #[error("cannot {action}: the disk is full; make room on it and start the member again")]
    Full {
        /// What was tried.
        action: &'static str,
    },
    /// What is stored of a member contradicts itself.
    #[error(
        "the stored {what} is damaged: {reason}; `liferaft rebuild` sets the store aside, so that the member can join \
         as a new server"
    )]
    Damaged {
        /// What.
        what: &'static str,
        /// How that shows.
        reason: String,
    },
    /// What is stored of an outbox contradicts itself. The store of its member has no part in it.
    #[error(
        "the stored outbox is damaged: {reason}; `liferaft rebuild` sets it aside, and what became of the commands in \
         it stays unknown"
    )]
    OutboxDamaged {
        /// How that shows.
        reason: String,
    },
    /// What is stored was written by a version with another format.
    #[error(
        "the stored {what} is of format {format}, which this version does not support: run the version that wrote it"
    )]
    Unsupported {
        /// What.
        what: &'static str,
        /// The number of its format.
        format: u64,
    },
    /// Another storage has it open, in this process or another.
    #[error("{folder} is in use already, by this process or another")]
    InUse {
        /// The folder, or the file of an outbox in it.
        folder: String,
    },
    /// It is a copy that [`back_up`] made. No member runs from it: its cluster does not know its server.
    #[error(
        "{folder} is a backup: `liferaft recover --accept-data-loss {folder}` makes a new cluster of it"
    )]
    Backup {
        /// The folder.
        folder: String,
    },
    /// There is no store that was ever part of a cluster.
    #[error("there is no store of a cluster in {folder}")]
    Blank {
        /// The folder.
        folder: String,
    },
    /// The store is in order, and nothing is to be set aside.
    #[error("the store in {folder} is in order: its member can be started from it")]
    Sound {
        /// The folder.
        folder: String,
    },
    /// No outbox can have this name.
    #[error(
        "no outbox can be called {name:?}: a name has 1 to 64 characters, a to z, 0 to 9, - and _"
    )]
    Unnameable {
        /// The name.
        name: String,
    },
    /// It belongs to another cluster than the one that was named, or to another founding of it, and may hold what is
    /// nowhere else.
    #[error(
        "{store} belongs to {found}, not to {wanted}: keep it; if the other one was founded by mistake, its founder \
         joins this one, with empty storage"
    )]
    Foreign {
        /// The store, on disk with its folder.
        store: String,
        /// What it belongs to.
        found: String,
        /// What it should belong to.
        wanted: String,
    },
    /// There is no storage for this page: the browser has none, refuses it, or does not open it.
    #[error("the browser stores nothing for this page: {reason}; a member in memory can join")]
    Unavailable {
        /// Why.
        reason: String,
    },
    /// What was stored was removed while it was open. What it had promised is forgotten: its server is gone for good.
    #[error("{store} was removed, as by clearing the site's data: join as a new server")]
    Lost {
        /// The store.
        store: String,
    },
    /// An earlier write failed. Nothing is tried again: after a failed sync the system may take for written what is
    /// not.
    #[error(
        "nothing more is written, since an earlier write failed ({reason}); restart the member"
    )]
    Stopped {
        /// Why that failed.
        reason: String,
    },
}

impl StorageError {
    /// Says in which folder something is damaged, is of another cluster, or is a backup.
    fn in_folder(mut self, folder: &Path) -> Self {
        let shown = folder.display();
        match &mut self {
            Self::Damaged { reason, .. } | Self::OutboxDamaged { reason } => {
                *reason = format!("in {shown}, {reason}");
            }
            Self::Foreign { store, .. } => *store = format!("the store in {shown}"),
            Self::Backup { folder } => *folder = shown.to_string(),
            _ => {}
        }
        self
    }
}

/// Says what comes after an error of the system; nothing if what was asked for is not there, or something else is.
fn comes_next(error: &io::Error) -> &'static str {
    match error.kind() {
        ErrorKind::NotFound | ErrorKind::AlreadyExists | ErrorKind::NotADirectory => "",
        _ => "; once the system allows that, start again: what was acknowledged is there",
    }
}

/// Which cluster a storage belongs to, and which founding of it.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
struct Bound {
    cluster: Option<ClusterId>,
    history: Option<History>,
}

impl Bound {
    /// Returns what it is once it is bound to this as well.
    fn to(self, cluster: ClusterId, history: Option<History>) -> Result<Self, StorageError> {
        let wanted = Self {
            cluster: Some(cluster),
            history,
        };
        let is_other = self.cluster.is_some_and(|found| found != cluster)
            || self
                .history
                .is_some_and(|found| history.is_some_and(|own| own != found));
        if is_other {
            return Err(StorageError::Foreign {
                store: "the storage".to_owned(),
                found: self.to_string(),
                wanted: wanted.to_string(),
            });
        }
        Ok(Self {
            history: self.history.or(history),
            ..wanted
        })
    }
}

impl fmt::Display for Bound {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match (self.cluster, self.history) {
            (Some(cluster), Some(History(history))) => {
                write!(f, "history {history:#x} of cluster {cluster}")
            }
            (Some(cluster), None) => write!(f, "cluster {cluster}"),
            (None, _) => f.write_str("no cluster"),
        }
    }
}
