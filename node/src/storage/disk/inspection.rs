//! Tells what a folder holds, without changing anything: what a member would find there, and of a damaged store
//! whatever can still be read.

use std::collections::{BTreeMap, VecDeque};
use std::io::{Error as IoError, ErrorKind};
use std::path::Path;
use std::sync::Arc;

use super::errors::io;
use super::files::{Files, Folder, LOCK};
use super::header::{self, Header};
use super::names::{RESERVE, segment_name, snapshot_name};
use super::outbox;
use super::recovery::{self, Names};
use super::segment::{Batches, SegmentHead, Tail};
use super::{Repair, StorageError, snapshot_file};
use crate::boots::Boots;
use crate::configuration::{Configuration, History};
use crate::consensus::HardState;
use crate::entry::{ENTRY_OVERHEAD_BYTES, Entry, Payload};
use crate::identity::Identity;
use crate::ids::{ClusterId, Index, LogPosition, ServerId};
use crate::message::SnapshotMetadata;
use crate::storage::outbox::OutboxPosition;
use crate::storage::records::change::Change;
use crate::storage::{Recovered, Snapshot};

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
    /// The log, if it has entries.
    pub log: Option<LogOutline>,
    /// The last entries of the log, by index: as many as were asked for, or all. Of a damaged store, those that can be
    /// read; there may be gaps.
    pub last_entries: Vec<EntryOutline>,
    /// The snapshot in force; of a damaged store, the last one that is whole and of which the log can still tell what
    /// it is.
    pub snapshot: Option<SnapshotMetadata>,
    /// The configuration in force, and the index of its entry.
    pub configuration: Option<(Index, Arc<Configuration>)>,
    /// What opening the store would repair.
    pub repairs: Vec<Repair>,
    /// What is not whole in a damaged store.
    pub flaws: Vec<FileFlaw>,
    /// The newest boots that were seen of other servers; of a damaged store, those that its header has.
    pub peer_boots: Boots,
    /// The outboxes in the folder, by name.
    pub outboxes: Vec<OutboxOutline>,
}

/// What a member that opens a store is told.
#[derive(Debug)]
pub enum Verdict {
    /// No store was ever made there: a member begins blank.
    Blank,
    /// The store is in order, after its repairs. If it is a [backup](HeaderOutline::is_backup), a cluster is founded
    /// from it first.
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
    /// True of a [backup](super::back_up): no member opens it before a cluster is [founded](super::found_anew) from it.
    pub is_backup: bool,
}

/// A log, without its entries.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct LogOutline {
    /// The first entry. Of a damaged store, the first one that can be read.
    pub first: LogPosition,
    /// The last entry. Of a damaged store, the last one that can be read.
    pub last: LogPosition,
    /// How many there are. Of a damaged store, how many can be read.
    pub entries: u64,
    /// The length of their payloads, in bytes.
    pub bytes: u64,
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

/// Reads what a folder holds, and changes nothing. Of the log, it tells the last entries, `last_entries_max` at most.
///
/// It works on a store that is damaged, in use, of another format or not there. Nothing of what it returns is secret
/// but the sizes of commands. Whether a member has the store open is found by trying its lock, for a moment in which a
/// member that starts is refused.
///
/// It reads all files, the log twice, and returns when that is done: in an async application, on a thread of its own.
/// It holds no more of the log in memory than a file of it, beside what may not be committed.
///
/// ```
/// # mod liferaft { pub use {liferaft_node::*, liferaft_raft::*}; }
/// use liferaft::storage::{Verdict, inspect};
/// # fn main() -> Result<(), liferaft::storage::StorageError> {
/// # let folder = std::env::temp_dir();
/// # let folder = folder.join(format!("liferaft-inspect-doc-{}", std::process::id()));
/// # std::fs::create_dir_all(&folder).expect("a folder can be made here");
/// let inspection = inspect(&folder, 10)?;
///
/// assert!(matches!(inspection.verdict, Verdict::Blank));
/// # std::fs::remove_dir_all(&folder).expect("it was made above");
/// # Ok(())
/// # }
/// ```
///
/// # Errors
/// When the folder cannot be listed.
pub fn inspect(
    folder: impl AsRef<Path>,
    last_entries_max: usize,
) -> Result<Inspection, StorageError> {
    let mut files = Folder::new(folder.as_ref().to_owned());
    let in_use = files.is_locked(LOCK).map_err(io("try the lock"))?;
    let mut readings = READINGS_MAX;
    let mut inspection = loop {
        readings -= 1;
        let inspection = examine(&mut files, last_entries_max)?;
        let is_sound = !matches!(inspection.verdict, Verdict::Refused(_));
        let is_whole = is_sound && inspection.flaws.is_empty();
        if is_whole || !in_use || readings == 0 {
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
pub(super) fn examine<F: Files>(
    files: &mut F,
    last_entries_max: usize,
) -> Result<Inspection, StorageError> {
    let names = files.list().map_err(io("list the folder"))?;
    let outboxes = outboxes(files, &names);
    let names = Names::of(names);
    let mut inspection = match recovery::find(files, 0) {
        Ok(None) => blank(Verdict::Blank),
        Ok(Some(found)) => {
            let Recovered {
                snapshot,
                peer_boots,
                ..
            } = &found.recovered;
            let peer_boots = peer_boots.clone();
            let snapshot = snapshot.as_ref().map(|of| of.metadata.clone());
            let verdict = match recovery::begin(found.recovered) {
                Ok(_) => {
                    let removed = found.unfinished.iter().chain(&found.superfluous);
                    let names = removed.map(String::as_str).chain([LOCK, RESERVE]);
                    misplaced(files, names).map_or(Verdict::Sound, Verdict::Refused)
                }
                Err(error) => Verdict::Refused(error),
            };
            let mut survey = Survey::of(files, names.last_segments(), last_entries_max);
            // A torn tail is among the repairs.
            survey.flaws.retain(|flaw| flaw.offset.is_none());
            Inspection {
                header: Some(outline(&found.header)),
                repairs: found.repairs,
                peer_boots,
                ..survey.finish(blank(verdict), snapshot)
            }
        }
        Err(error) => salvage(files, &names, error, last_entries_max),
    };
    inspection.outboxes = outboxes;
    Ok(inspection)
}

/// Finds a folder in the place of one of these files, which a member locks, replaces or removes when it opens the
/// store. The store itself may be in order.
fn misplaced<'a, F: Files>(
    files: &mut F,
    mut names: impl Iterator<Item = &'a str>,
) -> Option<StorageError> {
    names.find_map(|name| {
        let read = files.read_at(name, 0, 1);
        let is_folder = read.is_err_and(|error| error.kind() == ErrorKind::IsADirectory);
        let told = format!("{name} is a folder: move it away");
        is_folder.then(|| io("open the store")(IoError::other(told)))
    })
}

fn blank(verdict: Verdict) -> Inspection {
    Inspection {
        in_use: false,
        verdict,
        header: None,
        log: None,
        last_entries: Vec::new(),
        snapshot: None,
        configuration: None,
        repairs: Vec::new(),
        flaws: Vec::new(),
        peer_boots: Boots::default(),
        outboxes: Vec::new(),
    }
}

fn outline(header: &Header) -> HeaderOutline {
    HeaderOutline {
        server: Identity::from_secret_key(&header.secret.0).id(),
        cluster: header.bound.cluster,
        history: header.bound.history,
        boots: header.starts.newest().number,
        hard_state: header.hard_state,
        mark: header.mark,
        is_backup: header.is_backup,
    }
}

/// Reads whatever can be read of a store that is refused, each file by itself.
fn salvage<F: Files>(
    files: &mut F,
    names: &Names,
    error: StorageError,
    last_entries_max: usize,
) -> Inspection {
    let mut inspection = blank(Verdict::Refused(error));
    if names.has_header {
        let judged = files.read(header::NAME).map_err(|error| error.to_string());
        match judged.and_then(|bytes| Header::judge(&bytes).map_err(|flaw| flaw.to_string())) {
            Ok(judged) => {
                inspection.header = Some(outline(&judged.header));
                inspection.peer_boots = judged.header.peer_boots;
            }
            Err(reason) => inspection.flaws.push(unreadable(header::NAME, reason)),
        }
    }
    let mut survey = Survey::of(files, &names.segments, last_entries_max);
    let (mut in_force, mut flaws) = (None, Vec::new());
    for snapshot in std::mem::take(&mut survey.named) {
        if !names.snapshots.contains(&snapshot.name.0) {
            continue;
        }
        let name = snapshot_name(snapshot.name.0);
        let judged = snapshot_file::judge(files, &snapshot).map_err(|error| error.to_string());
        match judged.and_then(|judged| judged.map_err(|flaw| flaw.to_string())) {
            Ok(()) => in_force = Some(snapshot.metadata),
            Err(reason) => flaws.push(unreadable(&name, reason)),
        }
    }
    let mut inspection = survey.finish(inspection, in_force);
    inspection.flaws.append(&mut flaws);
    inspection
}

fn unreadable(file: &str, reason: String) -> FileFlaw {
    FileFlaw {
        file: file.to_owned(),
        offset: None,
        batch: None,
        reason,
    }
}

/// The log, as far as it can be read. Segments are read from the last one to the first: what was dropped or written
/// again is known when an entry is found, so that none has to be remembered.
#[derive(Debug)]
struct Survey {
    log: Option<LogOutline>,
    last_entries: VecDeque<EntryOutline>,
    last_entries_max: usize,
    /// The last configuration, and the index of its entry.
    configuration: Option<(Index, Arc<Configuration>)>,
    /// The snapshots that were put in force, in order.
    named: VecDeque<Snapshot>,
    flaws: Vec<FileFlaw>,
    /// Entries from here on were dropped later, or are in a later segment.
    end: Index,
    /// Entries up to here were dropped later.
    compacted: Index,
}

impl Survey {
    fn of<F: Files>(files: &mut F, segments: &[u64], last_entries_max: usize) -> Self {
        let mut survey = Self {
            log: None,
            last_entries: VecDeque::new(),
            last_entries_max,
            configuration: None,
            named: VecDeque::new(),
            flaws: Vec::new(),
            end: Index(u64::MAX),
            compacted: Index::ZERO,
        };
        for number in segments.iter().rev() {
            let name = segment_name(*number);
            let read = files.read(&name).map_err(|error| error.to_string());
            let flaw = match read.and_then(|bytes| survey.read(&name, &bytes)) {
                Ok(flaw) => flaw,
                Err(reason) => Some(unreadable(&name, reason)),
            };
            survey.flaws.extend(flaw);
        }
        survey.flaws.reverse();
        survey
    }

    /// Takes in a segment. Returns what follows its whole batches and is none.
    ///
    /// # Errors
    /// When it makes no sense.
    fn read(&mut self, file: &str, bytes: &[u8]) -> Result<Option<FileFlaw>, String> {
        let head = SegmentHead::of(bytes).map_err(|flaw| flaw.to_string())?;
        let mut batches = Batches::<Change>::new(bytes, head.salt, head.first_batch);
        let mut part = Part::default();
        for batch in &mut batches {
            let batch = batch.map_err(|flaw| flaw.to_string())?;
            batch
                .changes
                .into_iter()
                .for_each(|change| part.make(change));
        }
        self.take(part);
        let batch = batches.next_batch();
        Ok(match batches.into_tail() {
            Tail::Blank => None,
            Tail::Broken { at, reason, .. } => Some(FileFlaw {
                file: file.to_owned(),
                offset: Some(at as u64),
                batch: Some(batch),
                reason,
            }),
        })
    }

    fn take(&mut self, mut part: Part) {
        let (after, end) = (self.compacted.next(), self.end);
        part.entries.split_off(&end);
        part.entries = part.entries.split_off(&after);
        if self.configuration.is_none() {
            let mut configurations = part.configurations.into_iter().rev();
            self.configuration = configurations.find(|(index, _)| (after..end).contains(index));
        }
        if let (Some((_, first)), Some((_, last))) = (
            part.entries.first_key_value(),
            part.entries.last_key_value(),
        ) {
            let log = self.log.get_or_insert(LogOutline {
                first: first.position,
                last: last.position,
                entries: 0,
                bytes: 0,
            });
            log.first = first.position;
            log.entries += part.entries.len() as u64;
            log.bytes += part.entries.values().map(|entry| entry.bytes).sum::<u64>();
            self.end = first.position.index;
        }
        let lacking = self.last_entries_max - self.last_entries.len();
        for entry in part.entries.into_values().rev().take(lacking) {
            self.last_entries.push_front(entry);
        }
        self.end = self.end.min(part.truncated);
        self.compacted = self.compacted.max(part.compacted);
        part.named
            .into_iter()
            .rev()
            .for_each(|snapshot| self.named.push_front(snapshot));
    }

    fn finish(self, inspection: Inspection, snapshot: Option<SnapshotMetadata>) -> Inspection {
        let of_snapshot = snapshot.as_ref().map(|snapshot| {
            let configuration = Arc::clone(&snapshot.configuration);
            (snapshot.configuration_index, configuration)
        });
        let mut flaws = inspection.flaws;
        flaws.extend(self.flaws);
        Inspection {
            log: self.log,
            last_entries: self.last_entries.into(),
            configuration: self.configuration.or(of_snapshot),
            snapshot,
            flaws,
            ..inspection
        }
    }
}

/// What the whole batches of a segment leave.
#[derive(Debug)]
struct Part {
    entries: BTreeMap<Index, EntryOutline>,
    configurations: BTreeMap<Index, Arc<Configuration>>,
    named: Vec<Snapshot>,
    /// Entries from here on were dropped from what was before.
    truncated: Index,
    /// Entries up to here were dropped.
    compacted: Index,
}

impl Default for Part {
    fn default() -> Self {
        Self {
            entries: BTreeMap::new(),
            configurations: BTreeMap::new(),
            named: Vec::new(),
            truncated: Index(u64::MAX),
            compacted: Index::ZERO,
        }
    }
}

impl Part {
    fn make(&mut self, change: Change) {
        match change {
            Change::Entry(entry) => self.append(&entry),
            Change::Truncate(from) => {
                self.entries.split_off(&from);
                self.configurations.split_off(&from);
                self.truncated = self.truncated.min(from);
            }
            Change::Compact(through) => {
                self.entries = self.entries.split_off(&through.next());
                self.configurations = self.configurations.split_off(&through.next());
                self.compacted = self.compacted.max(through);
            }
            Change::Snapshot(snapshot) => self.named.push(snapshot),
            // The header has them, or a sound store tells them.
            Change::PeerBoots(_) => {}
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
