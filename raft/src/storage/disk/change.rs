//! What a batch changes, and what the log is after it: the same rules for what is written and for what is read again.

use bytes::{BufMut, Bytes};

use super::record::{Flaw, Kind, Record, contradictory, fields};
use super::segment::BatchRecord;
use crate::entry::Entry;
use crate::ids::{Index, LogPosition, Term};
use crate::wire::{self, DecodeError};

/// One change of the log or the snapshot.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Change {
    /// The file with this snapshot is the one in force.
    Snapshot(SnapshotRef),
    /// Drops all entries from here on.
    Truncate(Index),
    /// Follows the log, or begins it just after the snapshot.
    Entry(Entry),
    /// Drops all entries up to here.
    Compact(Index),
}

/// A snapshot, by the number of its file.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct SnapshotRef {
    pub(super) file: u64,
    pub(super) last: LogPosition,
}

impl BatchRecord for Change {
    fn put(&self, buffer: &mut Vec<u8>) {
        match self {
            Self::Snapshot(SnapshotRef { file, last }) => {
                let place = (last.index.0, last.term.0);
                Record::put(buffer, Kind::Snapshot, place, |body| body.put_u64_le(*file));
            }
            Self::Truncate(from) => Record::put(buffer, Kind::Truncate, (from.0, 0), |_| {}),
            Self::Entry(entry) => {
                let place = (entry.index.0, entry.term.0);
                Record::put(buffer, Kind::Entry, place, |body| {
                    wire::put_entry(entry, body);
                });
            }
            Self::Compact(through) => Record::put(buffer, Kind::Compact, (through.0, 0), |_| {}),
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
            let [file] = fields(record.body)?;
            Ok(Self::Snapshot(SnapshotRef { file, last: place }))
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
            Self::Snapshot(_) | Self::Truncate(_) | Self::Compact(_) => None,
        }
    }
}

/// Decodes an entry. It is copied, so that it does not keep its whole segment in memory.
fn entry(place: LogPosition, body: &[u8]) -> Result<Entry, Flaw> {
    let entry = wire::decode_entry(place.index, Bytes::copy_from_slice(body));
    match entry {
        Ok(entry) if entry.term == place.term => Ok(entry),
        Ok(entry) => Err(contradictory(format!(
            "entry {place} says that its term is {}",
            entry.term
        ))),
        Err(DecodeError::Unsupported { number, .. }) => Err(Flaw::Unsupported(number.into())),
        Err(error) => Err(contradictory(format!(
            "entry {place} cannot be decoded: {error}"
        ))),
    }
}

/// Which entries the log has, and the snapshot before it, without what they say.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Shape {
    /// The first index of the log, if it has entries.
    pub(super) first: Index,
    /// The index after the last one; `first` if there are no entries.
    pub(super) next: Index,
    pub(super) snapshot: Option<SnapshotRef>,
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
    pub(super) fn apply(&mut self, change: &Change) -> Result<(), String> {
        match change {
            Change::Snapshot(snapshot) => self.snapshot = Some(*snapshot),
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
        }
        Ok(())
    }
}

/// The log as it is read again, from a segment on that may not be the first.
#[derive(Debug)]
pub(super) struct Replay {
    shape: Shape,
    /// The index of the first of `entries`, which are the last ones of the log.
    present: Index,
    entries: Vec<Entry>,
}

impl Replay {
    /// Begins where the log had this shape. Its entries up to there are missing, until they are dropped.
    pub(super) fn starting_with(shape: Shape) -> Self {
        Self {
            shape,
            present: shape.next,
            entries: Vec::new(),
        }
    }

    pub(super) fn shape(&self) -> &Shape {
        &self.shape
    }

    /// Makes a change again.
    ///
    /// # Errors
    /// As [`Shape::apply`].
    pub(super) fn apply(&mut self, change: Change) -> Result<(), String> {
        self.shape.apply(&change)?;
        let place =
            |index: Index| usize::try_from(index.distance_from(self.present)).unwrap_or(usize::MAX);
        match change {
            Change::Entry(entry) => {
                if self.entries.is_empty() {
                    self.present = entry.index;
                }
                self.entries.push(entry);
            }
            Change::Truncate(from) => self.entries.truncate(place(from)),
            Change::Compact(_) => {
                let dropped = place(self.shape.first).min(self.entries.len());
                self.entries.drain(..dropped);
                self.present = self.present.max(self.shape.first);
            }
            Change::Snapshot(_) => {}
        }
        if self.entries.is_empty() {
            self.present = self.shape.next;
        }
        Ok(())
    }

    /// Returns the entries of the log.
    ///
    /// # Errors
    /// When the first of them are missing.
    pub(super) fn finish(self) -> Result<(Shape, Vec<Entry>), String> {
        let first = self.shape.first;
        if self.present > first {
            let last = self.present.previous();
            return Err(format!("the entries from {first} to {last} are missing"));
        }
        Ok((self.shape, self.entries))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::storage::conformance::entry;

    fn snapshot(index: u64) -> Change {
        Change::Snapshot(SnapshotRef {
            file: 1,
            last: LogPosition::new(Term(1), Index(index)),
        })
    }

    fn after(shape: Shape, changes: &[Change]) -> Result<(Shape, Vec<Entry>), String> {
        let mut replay = Replay::starting_with(shape);
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

        assert_eq!(kept.unwrap_err(), "the entries from 3 to 4 are missing");
        assert_eq!(compacted.unwrap().1, [entry(5, 1, "e")]);
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

        assert_eq!(missing.unwrap_err(), "the entries from 3 to 4 are missing");
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

        assert_eq!(whole.unwrap().1, [behind]);
        assert_eq!(gap.unwrap_err(), "entry 11 does not follow 9");
    }
}
