//! Copies a store while its member runs, file by file, so that a cluster can be founded from the copy.

use std::ffi::OsString;
use std::fs;
use std::io::ErrorKind;
use std::path::{Path, PathBuf};

use super::StorageError;
use super::errors::io;
use super::files::{Files, Folder, LOCK, at};
use super::header::{self, Header, Secret};
use super::inspection::READINGS_MAX;
use super::names::{UNFINISHED, segment_name, snapshot_name};
use super::recovery::{self, Names};
use super::store::create_file;
use crate::consensus::HardState;
use crate::identity::draw_secret_key;
use crate::ids::{Index, LogPosition};
use crate::storage::records::fault;

/// A copy of a store.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct Backup {
    /// The last entry that it holds.
    pub last: LogPosition,
    /// Up to here at least, what it holds was committed.
    pub commit: Index,
}

/// Copies the store in a folder to another folder, which it makes; also while a member has it open, which goes on as if
/// nothing happened.
///
/// The copy holds the state as of one moment in the course of the call: all that was durable here before it, so all
/// that this member had acknowledged to its callers. What was not committed then may be in it. It has the snapshot and
/// the log, and no vote and no outbox: it is the store of a server that there was never before. No member opens it
/// ([`StorageError::Backup`]): to restore it, [`found_anew`](super::found_anew) makes a cluster of it.
///
/// It takes no more room than the store: what was not written yet is not written to it either.
///
/// It is written under another name first, with `.new` behind it, and durable when it has its own. The call reads and
/// writes all of it: in an async application, it is made on a thread of its own.
///
/// # Errors
/// When there is no store in the folder ([`StorageError::Blank`]), or a damaged one, or one of another format; when
/// there is something at `to`, or under that name with `.new` behind it; when the system refuses; or when the store
/// changes too fast to be copied.
pub fn back_up(folder: impl AsRef<Path>, to: impl AsRef<Path>) -> Result<Backup, StorageError> {
    // Without a slash at its end: a name with more behind it is to be one beside it, and not one in it.
    let to: PathBuf = to.as_ref().components().collect();
    let (folder, to) = (folder.as_ref(), to.as_path());
    let mut unfinished = OsString::from(to);
    unfinished.push(UNFINISHED);
    let unfinished = PathBuf::from(unfinished);
    if to.exists() {
        return Err(io("make the backup")(at(to)(
            ErrorKind::AlreadyExists.into(),
        )));
    }
    if unfinished.exists() {
        let action = "make the backup, whose name with .new behind it is in use until it is whole";
        return Err(io(action)(at(&unfinished)(ErrorKind::AlreadyExists.into())));
    }
    let mut readings = READINGS_MAX;
    loop {
        readings -= 1;
        match copy(folder, &unfinished) {
            Ok(backup) => {
                let renamed = fs::rename(&unfinished, to).map_err(at(to));
                let renamed = renamed.and_then(|()| sync_parent(to));
                return renamed.map(|()| backup).map_err(io("name the backup"));
            }
            // A store that is open changes while it is copied: its files come and go.
            Err(StorageError::Damaged { .. } | StorageError::Io { .. })
                if readings > 0
                    && Folder::new(folder.to_owned())
                        .is_locked(LOCK)
                        .unwrap_or(false) => {}
            Err(error) => {
                // If it stays there, the next backup of this name says so.
                let _stays = fs::remove_dir_all(&unfinished);
                return Err(error.in_folder(folder));
            }
        }
    }
}

/// Copies a store to this folder, and judges the copy.
fn copy(folder: &Path, to: &Path) -> Result<Backup, StorageError> {
    match fs::remove_dir_all(to) {
        Err(error) if error.kind() != ErrorKind::NotFound => {
            return Err(io("remove an unfinished backup")(at(to)(error)));
        }
        _ => {}
    }
    let mut from = Folder::new(folder.to_owned());
    let names = Names::of(from.list().map_err(io("list the folder"))?);
    if !names.has_header {
        // It may be lost.
        recovery::find(&mut from, 0)?;
        let folder = folder.display().to_string();
        return Err(StorageError::Blank { folder });
    }
    // The header comes first: what it says to be durable is in the log that is copied after it.
    let header = from.read(header::NAME).map_err(io("read the header"))?;
    let header = Header::judge(&header).map_err(|flaw| fault("header", header::NAME, &flaw))?;
    let names = Names::of(from.list().map_err(io("list the folder"))?);
    let mut files = Folder::new(to.to_owned());
    if !files.lock(LOCK).map_err(io("lock the backup"))? {
        let folder = to.display().to_string();
        return Err(StorageError::InUse { folder });
    }
    let segments = names.segments.iter().map(|number| segment_name(*number));
    let snapshots = names.snapshots.iter().map(|file| snapshot_name(*file));
    for name in segments.chain(snapshots) {
        files.copy_from(folder, &name).map_err(io("copy a file"))?;
    }
    // Last, as in a store that is made: without it, nothing opens the others.
    let header = stranger(&header.header).encode();
    let copies = [&header[..], &header[..]].concat();
    let bytes = copies.len() as u64;
    let actions = ["create the header", "write the header"];
    create_file(&mut files, header::NAME, bytes, actions, &copies)?;
    let found = recovery::find(&mut files, 0)?.expect("the header was made just before");
    let commit = found.recovered.hard_state.commit;
    let raft = recovery::begin(found.recovered)?;
    let last = raft.positions().last;
    Ok(Backup { last, commit })
}

/// The header of another server with the same log.
fn stranger(header: &Header) -> Header {
    Header {
        secret: Secret(draw_secret_key()),
        bound: header.bound,
        mark: header.mark,
        segment: header.segment,
        hard_state: HardState {
            term: header.hard_state.term,
            commit: header.hard_state.commit,
            ..HardState::default()
        },
        // What was seen of others stays true, whoever remembers it.
        peer_boots: header.peer_boots.clone(),
        is_backup: true,
        ..Header::default()
    }
}

fn sync_parent(path: &Path) -> std::io::Result<()> {
    let parent = path
        .parent()
        .filter(|parent| !parent.as_os_str().is_empty());
    Folder::new(parent.unwrap_or(Path::new(".")).to_owned()).sync_directory()
}
