//! Tells what a folder holds, without changing anything: what a member would find there, and of a damaged store
//! whatever can still be read.

use std::collections::BTreeMap;
use std::path::Path;
use std::sync::Arc;

use super::change::Change;
use super::files::{Files, Folder, LOCK};
use super::header::{self, Header};
use super::outbox;
use super::recovery::{self, Names};
use super::segment::{Segment, Tail};
use super::store::{io, segment_name, snapshot_name};
use super::{Repair, StorageError, snapshot_file};
use crate::configuration::{Configuration, History};
use crate::consensus::HardState;
use crate::entry::{ENTRY_OVERHEAD_BYTES, Entry, Payload};
use crate::identity::Identity;
use crate::ids::{ClusterId, Index, LogPosition, ServerId};
use crate::message::SnapshotMetadata;
use crate::storage::Snapshot;
use crate::storage::outbox::OutboxPosition;

/// How often a store is read again that changes while it is read.
pub(super) const READINGS_MAX: usize = 5;

/// What a folder holds; see [`inspect`].
#[derive(Debug)]
#[non_exhaustive]
pub struct Inspection {
    /// True if a member has the store open: it may change while it is read, and a write under way looks torn.
    pub in_use: bool,
    /// What a member that opens the store is told.
    pub verdict: Verdict,
    /// What the header says, if it can be read.
    pub header: Option<HeaderOutline>,
    /// The log, by index. Of a damaged store, the entries that can be read; there may be gaps.
    pub entries: Vec<EntryOutline>,
    /// The snapshot in force; of a damaged store, the last one that is whole and of which the log can still tell what
    /// it is.
    pub snapshot: Option<SnapshotMetadata>,
    /// The configuration in force, and the index of its entry.
    pub configuration: Option<(Index, Arc<Configuration>)>,
    /// What opening the store would repair.
    pub repairs: Vec<Repair>,
    /// What is not whole in a damaged store.
    pub flaws: Vec<FileFlaw>,
    /// The outboxes in the folder, by name.
    pub outboxes: Vec<OutboxOutline>,
}

/// What a member that opens a store is told.
#[derive(Debug)]
pub enum Verdict {
    /// No store was ever made there: a member begins blank.
    Blank,
    /// The store is in order, after its repairs.
    Sound,
    /// It is refused, and left as it is.
    Refused(StorageError),
}

/// What the header of a store says.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct HeaderOutline {
    /// Whose store it is.
    pub server: ServerId,
    /// The cluster that the store belongs to, once it is known.
    pub cluster: Option<ClusterId>,
    /// The founding of that cluster, once it is known.
    pub history: Option<History>,
    /// How often the store was opened.
    pub boots: u64,
    /// What the server remembers of its elections.
    pub hard_state: HardState,
    /// Batches of the log up to this one are marked as durable.
    pub mark: u64,
}

/// An entry, without what it says.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct EntryOutline {
    /// Its index and term.
    pub position: LogPosition,
    /// What it is.
    pub kind: EntryKind,
    /// The length of its payload, in bytes.
    pub bytes: u64,
}

/// What an entry is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum EntryKind {
    /// The first entry of a leader's term, which says nothing.
    Noop,
    /// A command.
    Command,
    /// A configuration.
    Configuration,
}

/// Something in a file that is not as it was written.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct FileFlaw {
    /// The file.
    pub file: String,
    /// Where it begins, in bytes; `None` if the file cannot be read at all.
    pub offset: Option<u64>,
    /// The number of the batch that should be there, if one should.
    pub batch: Option<u64>,
    /// What is wrong.
    pub reason: String,
}

/// An outbox in a folder.
#[derive(Debug)]
#[non_exhaustive]
pub struct OutboxOutline {
    /// Its name.
    pub name: String,
    /// True if a store has it open.
    pub in_use: bool,
    /// Why it is refused when it is opened.
    pub error: Option<StorageError>,
    /// How far its sending has got.
    pub position: Option<OutboxPosition>,
    /// The numbers of the first and the last command that waits.
    pub waiting: Option<(u64, u64)>,
    /// The bytes of the commands that wait.
    pub bytes: u64,
    /// What opening it would repair.
    pub repairs: Vec<Repair>,
}

/// Reads what a folder holds, and changes nothing.
///
/// It works on a store that is damaged, in use, of another format or not there. Nothing of what it returns is secret
/// but the sizes of commands. Whether a member has the store open is found by trying its lock, for a moment in which a
/// member that starts is refused.
///
/// It reads all files and returns when that is done: in an async application, on a thread of its own.
///
/// ```
/// # use liferaft_raft as liferaft;
/// use liferaft::storage::{Verdict, inspect};
/// # fn main() -> Result<(), liferaft::storage::StorageError> {
/// # let folder = std::env::temp_dir();
/// # let folder = folder.join(format!("liferaft-inspect-doc-{}", std::process::id()));
/// # std::fs::create_dir_all(&folder).expect("a folder can be made here");
/// let inspection = inspect(&folder)?;
///
/// assert!(matches!(inspection.verdict, Verdict::Blank));
/// # std::fs::remove_dir_all(&folder).expect("it was made above");
/// # Ok(())
/// # }
/// ```
///
/// # Errors
/// When the folder cannot be listed.
pub fn inspect(folder: impl AsRef<Path>) -> Result<Inspection, StorageError> {
    let mut files = Folder::new(folder.as_ref().to_owned());
    let in_use = files.is_locked(LOCK).map_err(io("try the lock"))?;
    let mut readings = READINGS_MAX;
    let mut inspection = loop {
        readings -= 1;
        let inspection = examine(&mut files)?;
        let is_refused = matches!(inspection.verdict, Verdict::Refused(_));
        if !(in_use && is_refused && readings > 0) {
            break inspection;
        }
    };
    inspection.in_use = in_use;
    for outbox in &mut inspection.outboxes {
        let locked = files.is_locked(&outbox::lock_name(&outbox.name));
        outbox.in_use = locked.map_err(io("try the lock"))?;
    }
    Ok(inspection)
}

/// Reads what these files hold.
pub(super) fn examine<F: Files>(files: &mut F) -> Result<Inspection, StorageError> {
    let names = files.list().map_err(io("list the folder"))?;
    let outboxes = outboxes(files, &names);
    let mut inspection = match recovery::find(files, u64::MAX) {
        Ok(None) => blank(Verdict::Blank),
        Ok(Some(found)) => {
            let verdict = match recovery::begin(found.recovered.clone()) {
                Ok(_) => Verdict::Sound,
                Err(error) => Verdict::Refused(error),
            };
            let mut inspection = blank(verdict);
            let snapshot = found.recovered.snapshot;
            let mut log = Log {
                snapshot: snapshot.map(|snapshot| snapshot.metadata),
                ..Log::default()
            };
            found
                .recovered
                .entries
                .iter()
                .for_each(|entry| log.append(entry));
            inspection.header = Some(outline(&found.header));
            inspection.repairs = found.repairs;
            log.finish(inspection)
        }
        Err(error) => salvage(files, &Names::of(names), error),
    };
    inspection.outboxes = outboxes;
    Ok(inspection)
}

fn blank(verdict: Verdict) -> Inspection {
    Inspection {
        in_use: false,
        verdict,
        header: None,
        entries: Vec::new(),
        snapshot: None,
        configuration: None,
        repairs: Vec::new(),
        flaws: Vec::new(),
        outboxes: Vec::new(),
    }
}

fn outline(header: &Header) -> HeaderOutline {
    HeaderOutline {
        server: Identity::from_secret_key(&header.secret.0).id(),
        cluster: header.bound.cluster,
        history: header.bound.history,
        boots: header.boot,
        hard_state: header.hard_state,
        mark: header.mark,
    }
}

/// Reads whatever can be read of a store that is refused, each file by itself.
fn salvage<F: Files>(files: &mut F, names: &Names, error: StorageError) -> Inspection {
    let mut inspection = blank(Verdict::Refused(error));
    let mut log = Log::default();
    if names.has_header {
        let judged = files.read(header::NAME).map_err(|error| error.to_string());
        match judged.and_then(|bytes| Header::judge(&bytes).map_err(|flaw| flaw.to_string())) {
            Ok(judged) => inspection.header = Some(outline(&judged.header)),
            Err(reason) => inspection.flaws.push(unreadable(header::NAME, reason)),
        }
    }
    for number in &names.segments {
        let name = segment_name(*number);
        let read = files.read(&name).map_err(|error| error.to_string());
        match read.and_then(|bytes| Segment::read(&bytes).map_err(|flaw| flaw.to_string())) {
            Ok(segment) => inspection.flaws.extend(log.read(name, segment)),
            Err(reason) => inspection.flaws.push(unreadable(&name, reason)),
        }
    }
    log.named
        .retain(|snapshot| names.snapshots.contains(&snapshot.name.0));
    for snapshot in std::mem::take(&mut log.named) {
        let name = snapshot_name(snapshot.name.0);
        let judged = snapshot_file::judge(files, &snapshot).map_err(|error| error.to_string());
        match judged.and_then(|judged| judged.map_err(|flaw| flaw.to_string())) {
            Ok(()) => log.snapshot = Some(snapshot.metadata),
            Err(reason) => inspection.flaws.push(unreadable(&name, reason)),
        }
    }
    log.finish(inspection)
}

fn unreadable(file: &str, reason: String) -> FileFlaw {
    FileFlaw {
        file: file.to_owned(),
        offset: None,
        batch: None,
        reason,
    }
}

/// The log, as far as it can be read.
#[derive(Debug, Default)]
struct Log {
    entries: BTreeMap<Index, EntryOutline>,
    configurations: BTreeMap<Index, Arc<Configuration>>,
    snapshot: Option<SnapshotMetadata>,
    /// The snapshots that were put in force, in order, but for those whose files are gone since.
    named: Vec<Snapshot>,
}

impl Log {
    /// Makes the changes of a segment's whole batches. Returns what follows them and is none.
    fn read(&mut self, file: String, segment: Segment) -> Option<FileFlaw> {
        let batch = segment.next_batch();
        for change in segment.batches.into_iter().flat_map(|batch| batch.changes) {
            match change {
                Change::Entry(entry) => self.append(&entry),
                Change::Truncate(from) => {
                    self.entries.split_off(&from);
                    self.configurations.split_off(&from);
                }
                Change::Compact(through) => {
                    self.entries = self.entries.split_off(&through.next());
                    self.configurations = self.configurations.split_off(&through.next());
                }
                Change::Snapshot(snapshot) => self.named.push(snapshot),
            }
        }
        match segment.tail {
            Tail::Blank => None,
            Tail::Broken { at, reason, .. } => Some(FileFlaw {
                file,
                offset: Some(at as u64),
                batch: Some(batch),
                reason,
            }),
        }
    }

    fn append(&mut self, entry: &Entry) {
        let kind = match &entry.payload {
            Payload::Noop => EntryKind::Noop,
            Payload::Command(_) => EntryKind::Command,
            Payload::Configuration(configuration) => {
                let configuration = Arc::clone(configuration);
                self.configurations.insert(entry.index, configuration);
                EntryKind::Configuration
            }
        };
        let outline = EntryOutline {
            position: entry.position(),
            kind,
            bytes: entry.weight() - ENTRY_OVERHEAD_BYTES,
        };
        self.entries.insert(entry.index, outline);
    }

    fn finish(mut self, inspection: Inspection) -> Inspection {
        let of_snapshot = self.snapshot.as_ref().map(|snapshot| {
            let configuration = Arc::clone(&snapshot.configuration);
            (snapshot.configuration_index, configuration)
        });
        Inspection {
            entries: self.entries.into_values().collect(),
            configuration: self.configurations.pop_last().or(of_snapshot),
            snapshot: self.snapshot,
            ..inspection
        }
    }
}

fn outboxes<F: Files>(files: &mut F, names: &[String]) -> Vec<OutboxOutline> {
    let mut found: Vec<_> = names
        .iter()
        .filter_map(|file| Some((outbox::outbox_name(file)?, file)))
        .collect();
    found.sort_unstable();
    let outlines = found.into_iter().map(|(name, file)| {
        let (found, error) = match outbox::find(files, file) {
            Ok(found) => (found, None),
            Err(error) => (outbox::Found::default(), Some(error)),
        };
        let commands = found.stored.commands;
        let ends = commands.first().zip(commands.last());
        OutboxOutline {
            name: name.to_owned(),
            in_use: false,
            error,
            position: found.stored.position,
            waiting: ends.map(|(first, last)| (first.number, last.number)),
            bytes: commands
                .iter()
                .map(|command| command.command.len() as u64)
                .sum(),
            repairs: found.repairs,
        }
    });
    outlines.collect()
}
