//! Reads entries of the log again, range by range, while batches are written behind them.

use std::io::{self, ErrorKind};
use std::ops::RangeInclusive;

use async_trait::async_trait;

use super::errors::io;
use super::files::Files;
use super::names::segment_name;
use super::pages::{self, PAGE_BYTES};
use super::places::{SPACING_BYTES, SharedPlaces, Stretch};
use super::segment::{BATCH_BYTES, Begin};
use super::worker::{Marked, Worker};
use crate::entry::Entry;
use crate::ids::{Index, LogPosition, Term};
use crate::storage::LogReader;
use crate::storage::StorageError;
use crate::storage::records::change;
use crate::storage::records::fault;
use crate::storage::records::record::{
    self, Flaw, HEAD_BYTES, Kind, Record, broken, contradictory,
};

/// Reads what the places of a store lead to, through a file layer of its own.
#[derive(Debug)]
pub(super) struct EntryReader<F> {
    files: F,
    places: SharedPlaces,
}

/// Nothing is written.
impl<F: Files> Marked for EntryReader<F> {
    fn is_marked(&self) -> bool {
        true
    }

    fn mark(&mut self) -> Result<(), StorageError> {
        Ok(())
    }
}

#[async_trait]
impl<F: Files> LogReader for Worker<EntryReader<F>> {
    async fn read(
        &self,
        from: Index,
        through: Index,
        bytes_max: u64,
    ) -> Result<Vec<Entry>, StorageError> {
        self.ask(move |reader| reader.read(from, through, bytes_max))
            .await
    }
}

impl<F: Files> EntryReader<F> {
    pub(super) fn new(files: F, places: SharedPlaces) -> Self {
        Self { files, places }
    }

    /// See [`LogReader::read`].
    pub(super) fn read(
        &mut self,
        from: Index,
        through: Index,
        bytes_max: u64,
    ) -> Result<Vec<Entry>, StorageError> {
        let find = |index| self.places.find(index);
        read(&mut self.files, find, from..=through, bytes_max)
    }
}

/// Reads entries that are where `find` says: see [`LogReader::read`].
pub(super) fn read<F: Files>(
    files: &mut F,
    find: impl Fn(Index) -> Option<Stretch>,
    indices: RangeInclusive<Index>,
    bytes_max: u64,
) -> Result<Vec<Entry>, StorageError> {
    let mut range = Range {
        next: *indices.start(),
        through: *indices.end(),
        room: bytes_max,
        entries: Vec::new(),
    };
    while !range.is_full()
        && let Some(stretch) = find(range.next)
    {
        let name = segment_name(stretch.place.segment);
        match Cursor::new(files, &name, &stretch).read(&stretch, &mut range) {
            Ok(()) => {}
            Err(Fault::Flaw { at, flaw }) => {
                let place = format!("entry {}, read up to byte {at} of {name}", range.next);
                return Err(fault("log", &place, &flaw));
            }
            Err(Fault::Io(error)) if error.kind() == ErrorKind::NotFound => {
                if find(range.next).is_some() {
                    let missing = broken("the segment is missing");
                    let place = format!("entry {} in {name}", range.next);
                    return Err(fault("log", &place, &missing));
                }
                // Since it was looked up it was compacted, and its segment removed.
                break;
            }
            Err(Fault::Io(error)) => return Err(io("read the log")(error)),
        }
    }
    Ok(range.entries)
}

/// The entries that are read, as far as they are there.
#[derive(Debug)]
struct Range {
    /// The index of the one that comes next.
    next: Index,
    through: Index,
    /// What those that are still to come may weigh.
    room: u64,
    entries: Vec<Entry>,
}

impl Range {
    fn is_full(&self) -> bool {
        self.next > self.through || (self.room == 0 && !self.entries.is_empty())
    }

    /// Takes the next entry, unless it is too heavy and not the first.
    fn take(&mut self, entry: Entry) {
        match self.room.checked_sub(entry.weight()) {
            None if !self.entries.is_empty() => self.room = 0,
            rest => {
                self.room = rest.unwrap_or(0);
                self.next = entry.index.next();
                self.entries.push(entry);
            }
        }
    }
}

/// Why a stretch cannot be read.
#[derive(Debug)]
enum Fault {
    Io(io::Error),
    /// What is at this byte of the segment is not as it was written.
    Flaw {
        at: u64,
        flaw: Flaw,
    },
}

/// Reads a segment from a place on.
struct Cursor<'a, F> {
    files: &'a mut F,
    name: &'a str,
    /// Where `bytes` begin in the segment.
    offset: u64,
    bytes: Vec<u8>,
    /// How many of them were passed.
    passed: usize,
    /// About as many bytes are read from the file at a time.
    piece: usize,
}

impl<'a, F: Files> Cursor<'a, F> {
    fn new(files: &'a mut F, name: &'a str, stretch: &Stretch) -> Self {
        Self {
            files,
            name,
            offset: stretch.place.offset,
            bytes: Vec::new(),
            passed: 0,
            piece: usize::try_from(stretch.bytes).unwrap_or(usize::MAX),
        }
    }

    /// Reads the entries of a stretch that belong to the range.
    fn read(&mut self, stretch: &Stretch, range: &mut Range) -> Result<(), Fault> {
        let mut records = stretch.place.records;
        let mut index = stretch.place.index;
        while index < stretch.end && !range.is_full() {
            let at = self.at();
            if records == 0 {
                records = self.begin_batch(stretch.place.salt)?;
                continue;
            }
            let record = self.record(&mut records)?;
            if record.kind != Kind::Entry as u32 {
                continue;
            }
            let flawed = |flaw| Fault::Flaw { at, flaw };
            if record.index != index.0 {
                let other = format!("entry {} is there", record.index);
                return Err(flawed(contradictory(other)));
            }
            if index == range.next {
                let position = LogPosition::new(Term(record.term), index);
                range.take(change::entry(position, record.body).map_err(flawed)?);
            }
            index = index.next();
        }
        Ok(())
    }

    fn at(&self) -> u64 {
        self.offset + self.passed as u64
    }

    /// Passes what fills the last page of a batch up, and the record that begins the next one. Returns the length of
    /// its records.
    fn begin_batch(&mut self, salt: u64) -> Result<u64, Fault> {
        let at = self.at();
        let padding = at.next_multiple_of(PAGE_BYTES as u64) - at;
        let padding = usize::try_from(padding).expect("it is less than a page");
        let bytes = self.pass(padding + BATCH_BYTES)?;
        let (padding, mut begin) = bytes.split_at(padding.min(bytes.len()));
        let begun = pages::expect_zeros(padding).and_then(|()| Begin::take(&mut begin, salt));
        begun
            .map(|begin| begin.bytes)
            .map_err(|flaw| Fault::Flaw { at, flaw })
    }

    /// Passes a record of a batch, of which records of this length are left.
    fn record(&mut self, records: &mut u64) -> Result<Record<'_>, Fault> {
        let at = self.at();
        let flawed = |flaw| Fault::Flaw { at, flaw };
        let length = record::length(self.fill(HEAD_BYTES)?).map_err(flawed)?;
        let within = usize::try_from(length)
            .ok()
            .zip(records.checked_sub(length));
        let (length, rest) = within.ok_or_else(|| {
            flawed(broken(format!(
                "a record of {length} bytes ends beyond its batch"
            )))
        })?;
        *records = rest;
        Record::take(&mut self.pass(length)?).map_err(flawed)
    }

    /// Passes so many bytes, or all that the file has.
    fn pass(&mut self, count: usize) -> Result<&[u8], Fault> {
        self.fill(count)?;
        let from = self.passed;
        self.passed = (from + count).min(self.bytes.len());
        Ok(&self.bytes[from..self.passed])
    }

    /// Returns the bytes that come next, so many at least unless the file ends before.
    fn fill(&mut self, count: usize) -> Result<&[u8], Fault> {
        let lacking = (self.passed + count).saturating_sub(self.bytes.len());
        if lacking > 0 {
            self.bytes.drain(..self.passed);
            self.offset = self.at();
            self.passed = 0;
            let end = self.offset + self.bytes.len() as u64;
            let piece = self.files.read_at(self.name, end, lacking.max(self.piece));
            self.bytes.extend(piece.map_err(Fault::Io)?);
            // Only the first piece is known to be needed.
            self.piece = usize::try_from(SPACING_BYTES).expect("it is small");
        }
        Ok(&self.bytes[self.passed..])
    }
}
