//! Says what a batch changes, and what the log is after it: the same rules for what is written and for what is read
//! again.

use bytes::{BufMut, Bytes};

use super::peer_boots;
use super::record::{Flaw, Kind, Record, contradictory, fields};
use super::{BatchRecord, damaged};
use crate::boots::Boots;
use crate::consensus::HardState;
use crate::entry::Entry;
use crate::ids::{Index, LogPosition, Term};
use crate::storage::held::Held;
use crate::storage::{Outline, Snapshot, SnapshotName, StorageError, Write};
use crate::wire::{self, DecodeError};

/// One change of what is stored.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(in crate::storage) enum Change {
    /// This snapshot, whose file is durable, is the one in force.
    Snapshot(Snapshot),
    /// Drops all entries from here on.
    Truncate(Index),
    /// Follows the log, or begins it just after the snapshot.
    Entry(Entry),
    /// Drops all entries up to here.
    Compact(Index),
    /// These boots of other servers take the place of those that were stored.
    PeerBoots(Boots),
}

/// A snapshot, by the number of its file.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(in crate::storage) struct SnapshotRef {
    pub(in crate::storage) file: u64,
    pub(in crate::storage) last: LogPosition,
}

impl From<&Snapshot> for SnapshotRef {
    fn from(snapshot: &Snapshot) -> Self {
        Self {
            file: snapshot.name.0,
            last: snapshot.metadata.last,
        }
    }
}

impl BatchRecord for Change {
    fn put(&self, buffer: &mut Vec<u8>) {
        match self {
            Self::Snapshot(Snapshot { name, metadata }) => {
                let place = (metadata.last.index.0, metadata.last.term.0);
                Record::put(buffer, Kind::Snapshot, place, |body| {
                    body.put_u64_le(name.0);
                    body.put_slice(&wire::encode_snapshot_metadata(metadata));
                });
            }
            Self::Truncate(from) => Record::put(buffer, Kind::Truncate, (from.0, 0), |_| {}),
            Self::Entry(entry) => {
                let place = (entry.index.0, entry.term.0);
                Record::put(buffer, Kind::Entry, place, |body| {
                    wire::put_entry(entry, body);
                });
            }
            Self::Compact(through) => Record::put(buffer, Kind::Compact, (through.0, 0), |_| {}),
            Self::PeerBoots(boots) => Record::put(buffer, Kind::PeerBoots, (0, 0), |body| {
                peer_boots::put(boots, body);
            }),
        }
    }

    fn decode(record: &Record<'_>) -> Result<Self, Flaw> {
        let index = Index(record.index);
        let place = LogPosition::new(Term(record.term), index);
        let is = |kind: Kind| record.kind == kind as u32;
        if record.index >= wire::NUMBER_END {
            Err(contradictory(format!("a record is about index {index}")))
        } else if is(Kind::Entry) {
            entry(place, record.body).map(Self::Entry)
        } else if is(Kind::Truncate) {
            let [] = fields(record.body)?;
            Ok(Self::Truncate(index))
        } else if is(Kind::Compact) {
            let [] = fields(record.body)?;
            Ok(Self::Compact(index))
        } else if is(Kind::Snapshot) {
            snapshot(place, record.body).map(Self::Snapshot)
        } else if is(Kind::PeerBoots) {
            peer_boots::decode(record.body).map(Self::PeerBoots)
        } else {
            Err(contradictory(format!(
                "a batch has a record of kind {}",
                record.kind
            )))
        }
    }

    fn name(&self) -> Option<String> {
        match self {
            Self::Entry(entry) => Some(format!("entry {}", entry.index)),
            Self::Snapshot(_) | Self::Truncate(_) | Self::Compact(_) | Self::PeerBoots(_) => None,
        }
    }
}

/// Decodes an entry. It is copied, so that it does not keep its whole segment in memory.
pub(in crate::storage) fn entry(place: LogPosition, body: &[u8]) -> Result<Entry, Flaw> {
    let entry = wire::decode_entry(place.index, Bytes::copy_from_slice(body));
    match entry {
        Ok(entry) if entry.term == place.term => Ok(entry),
        Ok(entry) => Err(contradictory(format!(
            "entry {place} says that its term is {}",
            entry.term
        ))),
        Err(DecodeError::UnknownEntry { kind, .. }) => Err(Flaw::Unsupported(kind.into())),
        Err(DecodeError::Unsupported { number, .. }) => Err(Flaw::Unsupported(number.into())),
        Err(error) => Err(contradictory(format!(
            "entry {place} cannot be decoded: {error}"
        ))),
    }
}

/// Decodes what a snapshot is.
fn snapshot(place: LogPosition, body: &[u8]) -> Result<Snapshot, Flaw> {
    let (file, metadata) = body
        .split_first_chunk()
        .ok_or_else(|| contradictory("a snapshot has no file"))?;
    let name = SnapshotName(u64::from_le_bytes(*file));
    let metadata = wire::decode_snapshot_metadata(Bytes::copy_from_slice(metadata));
    match metadata {
        Ok(metadata) if metadata.last == place => Ok(Snapshot { name, metadata }),
        Ok(metadata) => Err(contradictory(format!(
            "snapshot {place} says that it ends at {}",
            metadata.last
        ))),
        Err(DecodeError::Unsupported { number, .. }) => Err(Flaw::Unsupported(number.into())),
        Err(error) => Err(contradictory(format!(
            "snapshot {place} cannot be decoded: {error}"
        ))),
    }
}

/// What writes that are made together come to.
#[derive(Debug)]
pub(in crate::storage) struct Gathered {
    pub(in crate::storage) hard_state: Option<HardState>,
    pub(in crate::storage) peer_boots: Option<Boots>,
    /// All else, in order.
    pub(in crate::storage) changes: Vec<Change>,
}

impl Gathered {
    /// Gathers writes.
    ///
    /// # Errors
    /// When one of them names a snapshot that is not finished.
    pub(in crate::storage) fn of(
        writes: Vec<Write>,
        is_finished: impl Fn(&Snapshot) -> bool,
    ) -> Result<Self, StorageError> {
        let hard_state = writes.iter().rev().find_map(|write| write.hard_state);
        let mut peer_boots = None;
        let mut changes = Vec::new();
        for write in writes {
            peer_boots = write.peer_boots.or(peer_boots);
            if let Some(snapshot) = write.snapshot {
                if !is_finished(&snapshot) {
                    let (name, length) = (snapshot.name, snapshot.metadata.length);
                    let reason = format!("no snapshot {name} of {length} bytes is finished");
                    return Err(damaged("snapshot", reason));
                }
                changes.push(Change::Snapshot(snapshot));
            }
            changes.extend(write.truncate.map(Change::Truncate));
            changes.extend(write.entries.into_iter().map(Change::Entry));
            changes.extend(write.compact.map(Change::Compact));
        }
        Ok(Self {
            hard_state,
            peer_boots,
            changes,
        })
    }
}

/// Which entries the log has, and the snapshot before it, without what they say.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(in crate::storage) struct Shape {
    /// The first index of the log, if it has entries.
    pub(in crate::storage) first: Index,
    /// The index after the last one; `first` if there are no entries.
    pub(in crate::storage) next: Index,
    pub(in crate::storage) snapshot: Option<SnapshotRef>,
}

impl Default for Shape {
    fn default() -> Self {
        Self {
            first: Index(1),
            next: Index(1),
            snapshot: None,
        }
    }
}

impl Shape {
    /// The last index that the snapshot covers.
    fn covered(&self) -> Index {
        self.snapshot
            .map_or(Index::ZERO, |snapshot| snapshot.last.index)
    }

    fn is_empty(&self) -> bool {
        self.first == self.next
    }

    /// Makes a change.
    ///
    /// # Errors
    /// When it leaves a gap in the log, or between the snapshot and the log.
    pub(in crate::storage) fn apply(&mut self, change: &Change) -> Result<(), String> {
        match change {
            Change::Snapshot(snapshot) => self.snapshot = Some(snapshot.into()),
            Change::Truncate(from) => self.next = self.next.min((*from).max(self.first)),
            Change::Entry(Entry { index, .. }) => {
                if self.is_empty() && *index == self.covered().next() {
                    self.first = *index;
                } else if self.is_empty() || *index != self.next {
                    let last = if self.is_empty() {
                        self.covered()
                    } else {
                        self.next.previous()
                    };
                    return Err(format!("entry {index} does not follow {last}"));
                }
                self.next = index.next();
            }
            Change::Compact(through) => {
                let covered = self.covered();
                if *through > covered {
                    return Err(format!(
                        "it would be cut at {through}, and the snapshot ends at {covered}"
                    ));
                }
                self.first = self.first.max(through.next()).min(self.next);
            }
            Change::PeerBoots(_) => {}
        }
        Ok(())
    }
}

/// The log as it is read again, from a place on that may not be its beginning.
#[derive(Debug)]
pub(in crate::storage) struct Replay {
    shape: Shape,
    /// From here on all entries were read.
    present: Index,
    /// The entries that were read.
    log: Held,
    /// What those held may weigh that are committed.
    bytes_max: u64,
    /// Entries up to here are committed.
    commit: Index,
    /// The snapshot in force, if it is known what that is.
    snapshot: Option<Snapshot>,
    /// The boots of other servers, if they were stored since.
    peer_boots: Option<Boots>,
}

/// A log that is in order.
#[derive(Debug)]
pub(in crate::storage) struct Replayed {
    pub(in crate::storage) shape: Shape,
    /// The beginning of the log; `None` if it has to be read once more.
    pub(in crate::storage) outline: Option<Outline>,
    /// The rest.
    pub(in crate::storage) entries: Vec<Entry>,
    pub(in crate::storage) snapshot: Option<Snapshot>,
    /// The last boots of other servers that it has.
    pub(in crate::storage) peer_boots: Option<Boots>,
}

impl Replay {
    /// Begins where the log had this shape. Its entries up to there are missing, until they are dropped.
    ///
    /// Entries up to `commit` are not held if they would weigh more than `bytes_max` with those that follow them.
    pub(in crate::storage) fn starting_with(shape: Shape, bytes_max: u64, commit: Index) -> Self {
        Self {
            shape,
            present: shape.next,
            log: Held::default(),
            bytes_max,
            commit,
            snapshot: None,
            peer_boots: None,
        }
    }

    pub(in crate::storage) fn shape(&self) -> &Shape {
        &self.shape
    }

    /// Says what the snapshot is that was in force where it began, if that is known.
    pub(in crate::storage) fn with_snapshot(mut self, snapshot: Option<Snapshot>) -> Self {
        self.snapshot = snapshot;
        self
    }

    /// Takes note that entries up to here are committed.
    pub(in crate::storage) fn committed(&mut self, commit: Index) {
        self.commit = self.commit.max(commit);
    }

    /// Makes a change again.
    ///
    /// # Errors
    /// As [`Shape::apply`], and when terms decrease.
    pub(in crate::storage) fn apply(&mut self, change: Change) -> Result<(), String> {
        let was_empty = self.present == self.shape.next;
        self.shape.apply(&change)?;
        match change {
            Change::Entry(entry) => {
                if was_empty {
                    self.present = entry.index;
                }
                self.log.push(entry);
            }
            Change::Truncate(_) => {
                self.present = self.present.min(self.shape.next);
                self.log.truncate(self.shape.next);
            }
            Change::Compact(_) => {
                self.present = self.present.max(self.shape.first);
                self.log.compact(self.shape.first);
            }
            Change::Snapshot(snapshot) => self.snapshot = Some(snapshot),
            Change::PeerBoots(boots) => self.peer_boots = Some(boots),
        }
        if self.present.plus(self.log.len() as u64) == self.shape.next {
            self.log.has_all();
        }
        let committed = self.commit.max(self.shape.covered());
        let evicted = self.log.evict(self.bytes_max, committed);
        evicted.map_err(|error| error.to_string())
    }

    /// Returns the log.
    ///
    /// # Errors
    /// When the first of its entries are missing, or what says what the snapshot in force is.
    pub(in crate::storage) fn finish(self) -> Result<Replayed, String> {
        let (shape, present, snapshot) = (self.shape, self.present, self.snapshot);
        let first = shape.first;
        if present > first {
            let last = present.previous();
            return Err(format!("entries from {first} to {last} are missing"));
        }
        if let (Some(of), None) = (shape.snapshot, &snapshot) {
            let file = of.file;
            return Err(format!("what the snapshot of file {file} is, is missing"));
        }
        let (outline, entries) = self.log.into_parts();
        Ok(Replayed {
            shape,
            outline,
            entries,
            snapshot,
            peer_boots: self.peer_boots,
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::storage::conformance::{entry, metadata};

    fn snapshot(index: u64) -> Change {
        Change::Snapshot(Snapshot {
            name: SnapshotName(1),
            metadata: metadata(index, 1, b"state"),
        })
    }

    fn after(shape: Shape, changes: &[Change]) -> Result<Replayed, String> {
        let mut replay = Replay::starting_with(shape, u64::MAX, Index::ZERO);
        for change in changes {
            replay.apply(change.clone())?;
        }
        replay.finish()
    }

    #[test]
    fn entries_before_a_segment_are_missing_unless_compacted() {
        let began = Shape {
            first: Index(3),
            next: Index(5),
            snapshot: None,
        };
        let follows = Change::Entry(entry(5, 1, "e"));

        let kept = after(began, std::slice::from_ref(&follows));
        let compacted = after(began, &[follows, snapshot(4), Change::Compact(Index(4))]);

        assert_eq!(kept.unwrap_err(), "entries from 3 to 4 are missing");
        assert_eq!(compacted.unwrap().entries, [entry(5, 1, "e")]);
    }

    #[test]
    fn a_snapshot_from_before_a_segment_is_missing_until_another_is_in_force() {
        let began = Shape {
            first: Index(3),
            next: Index(3),
            snapshot: Some(SnapshotRef {
                file: 7,
                last: LogPosition::new(Term(1), Index(2)),
            }),
        };

        let kept = after(began, &[]);
        let replaced = after(began, &[snapshot(4)]);

        let missing = "what the snapshot of file 7 is, is missing";
        assert_eq!(kept.unwrap_err(), missing);
        assert_eq!(replaced.unwrap().snapshot.unwrap().name, SnapshotName(1));
    }

    #[test]
    fn truncation_before_a_segment_leaves_what_came_before_it_missing() {
        let began = Shape {
            first: Index(3),
            next: Index(9),
            snapshot: None,
        };
        let changes = [Change::Truncate(Index(5)), Change::Entry(entry(5, 2, "E"))];

        let missing = after(began, &changes);

        assert_eq!(missing.unwrap_err(), "entries from 3 to 4 are missing");
    }

    #[test]
    fn a_log_that_gave_way_to_a_snapshot_goes_on_behind_it_only() {
        let (behind, beyond) = (entry(10, 4, "j"), entry(11, 4, "k"));
        let began = [
            Change::Entry(entry(1, 1, "a")),
            snapshot(9),
            Change::Truncate(Index(1)),
        ];

        let whole = after(
            Shape::default(),
            &[&began[..], &[Change::Entry(behind.clone())]].concat(),
        );
        let gap = after(
            Shape::default(),
            &[&began[..], &[Change::Entry(beyond)]].concat(),
        );

        assert_eq!(whole.unwrap().entries, [behind]);
        assert_eq!(gap.unwrap_err(), "entry 11 does not follow 9");
    }
}
