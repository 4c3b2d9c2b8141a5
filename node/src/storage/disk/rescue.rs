//! Rescues what a member cannot go on from: founds a cluster anew from the last survivor of one, or sets a damaged
//! store aside so that its member joins as a new server.

use std::io::ErrorKind;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use super::errors::io;
use super::files::{Files, Folder, LOCK, os_error};
use super::inspection::{Verdict, examine};
use super::recovery::{self, Found, Names};
use super::store::{Options, Store};
use super::{SEGMENT_BYTES, StorageError, outbox};
use crate::configuration::Member;
use crate::consensus::HardState;
use crate::entry::{Entry, Payload};
use crate::identity::Identity;
use crate::ids::{ClusterId, LogPosition, ServerId};
use crate::storage::Write;

/// A cluster that was founded from the store of a survivor.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct FoundedAnew {
    /// The cluster.
    pub cluster: ClusterId,
    /// Its only voter.
    pub server: ServerId,
    /// The last entry of the survivor's log. All up to here takes effect, whether or not it was ever committed.
    pub last: LogPosition,
}

/// Founds a cluster from the store in this folder, with its server as the only voter: for a cluster whose majority is
/// gone for ever. **What was acknowledged and is not in this store is lost**, and what is in its log and was never
/// committed takes effect.
///
/// The store is given a new [`ClusterId`], and its log ends with a configuration of that one voter. The members of the
/// old cluster keep its id: what they send is dropped, whatever they have, and they never join the new one with their
/// stores. So nothing can go wrong with it but the loss, and it is for an operator to accept that.
///
/// It returns when all of it is durable. If it is interrupted, the store belongs to the old cluster as before, or to a
/// new one that elects nobody; then it is called again.
///
/// # Errors
/// When the folder has no store, or one that was never part of a cluster ([`StorageError::Blank`]); when a member has
/// it open; when it is damaged, or of another format; or when the system refuses.
pub fn found_anew(folder: impl AsRef<Path>) -> Result<FoundedAnew, StorageError> {
    let files = locked(folder.as_ref())?;
    let cluster = ClusterId(liferaft_platform::entropy_u128());
    let options = Options {
        segment_bytes: SEGMENT_BYTES,
        nonce: liferaft_platform::entropy_u64(),
    };
    let founded = found_anew_in(files, options, cluster);
    let founded = founded.map_err(|error| error.in_folder(folder.as_ref()))?;
    founded.ok_or_else(|| blank(folder.as_ref()))
}

/// Founds a cluster from these files; `None` if they are no store of a cluster.
pub(super) fn found_anew_in<F: Files>(
    mut files: F,
    options: Options,
    cluster: ClusterId,
) -> Result<Option<FoundedAnew>, StorageError> {
    let Some(Found {
        header,
        shape,
        recovered,
        ..
    }) = recovery::find(&mut files, 0)?
    else {
        return Ok(None);
    };
    let server = Identity::from_secret_key(&header.secret.0).id();
    let hard_state = HardState {
        term: recovered.hard_state.term.next(),
        voted_for: None,
        ..recovered.hard_state
    };
    let ends = |entry: &Entry| (entry.position(), entry.stamp);
    let outline = &recovered.outline;
    let outlined = (!outline.is_empty()).then(|| (outline.last(), outline.last_stamp()));
    let log_end = recovered.entries.last().map(ends).or(outlined);
    let snapshot_end = recovered.snapshot.as_ref();
    let snapshot_end = snapshot_end.map(|of| (of.metadata.last, of.metadata.stamp));
    let raft = recovery::begin(recovered)?;
    let (_, configuration) = raft.configuration();
    if configuration.is_empty() {
        return Ok(None);
    }
    let last = raft.positions().last;
    let follows_log = log_end.filter(|(end, _)| *end == last);
    let (_, stamp) = follows_log.or(snapshot_end).unwrap_or_default();
    let known = configuration.member(server);
    let description = known.map(|member| member.description.clone());
    let voter = (server, Member::voter(description.unwrap_or_default()));
    let alone = configuration
        .clone()
        .with_members([voter])
        .with_dismissed([])
        .with_evicted([])
        .with_tokens([]);
    let entry = Entry {
        index: last.index.next(),
        term: hard_state.term,
        stamp,
        payload: Payload::Configuration(Arc::new(alone)),
    };
    let found = recovery::find(&mut files, 0)?.expect("it was there just before");
    let (mut store, _) = Store::open_found(files, options, found)?;
    // The cluster comes first: in the old one, this configuration must never be in force.
    store.move_to(cluster, hard_state)?;
    store.write(vec![Write {
        truncate: log_end
            .filter(|_| follows_log.is_none())
            .map(|_| shape.first),
        entries: vec![entry],
        ..Write::default()
    }])?;
    store.restore();
    store.mark()?;
    Ok(Some(FoundedAnew {
        cluster,
        server,
        last,
    }))
}

/// What [`set_aside`] moved.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct SetAside {
    /// The folder that it was moved to, `set-aside-1` or the next one. Nothing is ever read from it.
    pub folder: PathBuf,
    /// True if the store of the member was moved: the member begins blank, as a new server that joins. False if the
    /// store is in order, or there is none, and only outboxes were moved.
    pub store: bool,
    /// The outboxes that were moved, by name: the damaged ones. Commands in them that were never sent are lost, and
    /// what became of those that were sent is not known.
    pub outboxes: Vec<String>,
    /// True if the store was moved and its configuration, as far as that can be read, has no other voter: there is no
    /// cluster to join, and nobody else has what the store held. A backup is the way back.
    pub is_only_voter: bool,
}

/// Moves the store in this folder to a folder in it, so that the member begins blank, as a new server that joins: what
/// becomes of a damaged store, or of one that the disk cannot read. Its outboxes stay, but for those that are damaged.
/// If only outboxes are damaged, only they are moved.
///
/// The member joins also if it founded the cluster: a founding would make a second one.
///
/// If it is interrupted, the store stays refused; then it is called again.
///
/// # Errors
/// When there is no store ([`StorageError::Blank`]), or it is in order ([`StorageError::Sound`]): its member can go on
/// from it. When it is a backup ([`StorageError::Backup`]), a member has it open, or the system refuses.
pub fn set_aside(folder: impl AsRef<Path>) -> Result<SetAside, StorageError> {
    let folder = folder.as_ref();
    let mut files = locked(folder)?;
    let names = files.list().map_err(io("list the folder"))?;
    let found = examine(&mut files, 0)?;
    let outboxes = found.outboxes.into_iter();
    let damaged = outboxes.filter(|outbox| outbox.error.as_ref().is_some_and(is_damage));
    let outboxes: Vec<_> = damaged.map(|outbox| outbox.name).collect();
    let is_backup = found.header.is_some_and(|header| header.is_backup);
    let store = match found.verdict {
        Verdict::Refused(error) if is_damage(&error) => true,
        Verdict::Refused(error) => return Err(error),
        Verdict::Blank if outboxes.is_empty() => return Err(blank(folder)),
        Verdict::Sound if outboxes.is_empty() && is_backup => return Err(backup(folder)),
        Verdict::Sound if outboxes.is_empty() => return Err(sound(folder)),
        Verdict::Blank | Verdict::Sound => false,
    };
    let mut moved = if store {
        Names::of(names).into_all()
    } else {
        Vec::new()
    };
    moved.extend(outboxes.iter().map(|name| outbox::file_of(name)));
    let aside = (1..)
        .map(|number| folder.join(format!("{ASIDE}{number}")))
        .find(|aside| !aside.exists())
        .expect("no folder has so many others");
    files
        .move_to(&aside, &moved)
        .map_err(io("set the store aside"))?;
    let configuration = found.configuration.filter(|_| store);
    Ok(SetAside {
        folder: aside,
        store,
        outboxes,
        is_only_voter: configuration
            .is_some_and(|(_, of)| !of.is_joint() && of.voters().len() == 1),
    })
}

/// Returns true if what is stored is damaged, or the system says that it cannot be read however often it is tried.
fn is_damage(error: &StorageError) -> bool {
    match error {
        StorageError::Damaged { .. } | StorageError::OutboxDamaged { .. } => true,
        StorageError::Io { error, .. } => {
            let is_unreadable = cfg!(unix) && os_error(error) == Some(EIO);
            error.kind() == ErrorKind::IsADirectory || is_unreadable
        }
        _ => false,
    }
}

/// The system's error number of a disk that cannot read what is on it.
const EIO: i32 = 5;

/// How the name of a folder begins for what was set aside.
const ASIDE: &str = "set-aside-";

/// Locks a folder that is there.
fn locked(folder: &Path) -> Result<Folder, StorageError> {
    // Nothing is made where nothing is.
    if !folder.is_dir() {
        return Err(blank(folder));
    }
    let mut files = Folder::new(folder.to_owned());
    if files.lock(LOCK).map_err(io("lock the folder"))? {
        Ok(files)
    } else {
        let folder = folder.display().to_string();
        Err(StorageError::InUse { folder })
    }
}

fn blank(folder: &Path) -> StorageError {
    let folder = folder.display().to_string();
    StorageError::Blank { folder }
}

fn backup(folder: &Path) -> StorageError {
    let folder = folder.display().to_string();
    StorageError::Backup { folder }
}

fn sound(folder: &Path) -> StorageError {
    let folder = folder.display().to_string();
    StorageError::Sound { folder }
}
