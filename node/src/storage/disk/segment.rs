//! Segments: the files of the log, and the batches in them.
//!
//! A segment has its whole length from the beginning, and what was not written yet is zero. So a file that was cut
//! short shows. A batch is written when the one before it is durable, begins a page, and says so. So a batch that is
//! not whole is torn if no batch comes after it, and damaged if one does.

use std::marker::PhantomData;

use bytes::BufMut;

use super::pages::{self, PAGE_BYTES};
use crate::ids::{Index, LogPosition, Term};
use crate::storage::records::BatchRecord;
use crate::storage::records::change::{Change, Shape, SnapshotRef};
use crate::storage::records::record::{
    self, Flaw, HEAD_BYTES, Kind, Record, broken, contradictory, fields,
};
use crate::wire::NUMBER_END;

/// The first page of a segment: what it is, and what the log was before it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct SegmentHead {
    /// One more than that of the segment before it.
    pub(super) number: u64,
    /// Random, and known to nobody else: what users store never looks like a batch of this segment.
    pub(super) salt: u64,
    /// The length of the file, in bytes.
    pub(super) bytes: u64,
    /// The number of its first batch. Batches before that are durable.
    pub(super) first_batch: u64,
    /// What the log was before that batch.
    pub(super) shape: Shape,
}

impl SegmentHead {
    /// Encodes it: a page.
    pub(super) fn encode(&self) -> Vec<u8> {
        let mut page = Vec::with_capacity(PAGE_BYTES);
        let Shape {
            first,
            next,
            snapshot,
        } = self.shape;
        record::put_first(&mut page, Kind::Segment, self.number, |body| {
            let (file, last) = snapshot.map_or((0, LogPosition::ZERO), |of| (of.file, of.last));
            for field in [
                self.salt,
                self.bytes,
                self.first_batch,
                first.0,
                next.0,
                file,
            ] {
                body.put_u64_le(field);
            }
            body.put_u64_le(last.index.0);
            body.put_u64_le(last.term.0);
        });
        pages::pad(&mut page);
        page
    }

    /// Reads that of a whole segment.
    ///
    /// # Errors
    /// When it is not whole, the segment has another length, or was written by a version that knows more.
    pub(super) fn of(segment: &[u8]) -> Result<Self, Flaw> {
        let page = segment
            .get(..PAGE_BYTES)
            .ok_or_else(|| broken(format!("it has only {} bytes", segment.len())))?;
        let head = Self::decode(page)?;
        if head.bytes != segment.len() as u64 {
            let (found, wanted) = (segment.len(), head.bytes);
            return Err(broken(format!("it has {found} bytes of {wanted}")));
        }
        Ok(head)
    }

    /// Reads it from the first page.
    pub(super) fn decode(mut page: &[u8]) -> Result<Self, Flaw> {
        let record = record::take_first(&mut page, Kind::Segment)?;
        pages::expect_zeros(page)?;
        let [salt, numbers @ ..] = fields::<8>(record.body)?;
        let [bytes, first_batch, first, next, file, index, term] = numbers;
        let is_sound = numbers.iter().all(|number| *number < NUMBER_END);
        if !is_sound || first_batch == 0 || first == 0 || first > next {
            return Err(contradictory("its head has impossible numbers"));
        }
        let last = LogPosition::new(Term(term), Index(index));
        Ok(Self {
            number: record.index,
            salt,
            bytes,
            first_batch,
            shape: Shape {
                first: Index(first),
                next: Index(next),
                snapshot: (file != 0).then_some(SnapshotRef { file, last }),
            },
        })
    }
}

/// A batch while its changes are gathered.
#[derive(Debug)]
pub(super) struct NewBatch {
    buffer: Vec<u8>,
    layout: Layout,
}

/// Where the records of a batch are, counted from where it begins.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Layout {
    /// Where that of each change begins.
    pub(super) starts: Vec<u64>,
    /// Where the last one ends. From there on, the last page is filled up with zeros.
    pub(super) end: u64,
}

impl Layout {
    /// The length of the batch on disk.
    pub(super) fn bytes(&self) -> u64 {
        self.end.next_multiple_of(PAGE_BYTES as u64)
    }
}

/// The length of the record that begins a batch.
pub(super) const BATCH_BYTES: usize = HEAD_BYTES + 3 * size_of::<u64>();

impl NewBatch {
    pub(super) fn of<'a, T: BatchRecord + 'a>(changes: impl IntoIterator<Item = &'a T>) -> Self {
        let mut buffer = vec![0; BATCH_BYTES];
        let mut layout = Layout::default();
        for change in changes {
            layout.starts.push(buffer.len() as u64);
            change.put(&mut buffer);
        }
        layout.end = buffer.len() as u64;
        Self { buffer, layout }
    }

    pub(super) fn layout(&self) -> &Layout {
        &self.layout
    }

    /// Encodes the batch of this number, while batches up to `mark` are durable.
    pub(super) fn encode(mut self, number: u64, mark: u64, salt: u64) -> Vec<u8> {
        let bytes = self.buffer.len() - BATCH_BYTES;
        let mut begin = Vec::with_capacity(BATCH_BYTES);
        Record::put(&mut begin, Kind::Batch, (number, 0), |body| {
            for field in [salt, mark, bytes as u64] {
                body.put_u64_le(field);
            }
        });
        self.buffer[..BATCH_BYTES].copy_from_slice(&begin);
        pages::pad(&mut self.buffer);
        self.buffer
    }
}

/// A batch that is whole.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Batch<T> {
    pub(super) number: u64,
    /// Where it ends in its file.
    pub(super) end: usize,
    pub(super) layout: Layout,
    pub(super) changes: Vec<T>,
}

impl<T> Batch<T> {
    /// Where it begins in its file.
    pub(super) fn start(&self) -> u64 {
        self.end as u64 - self.layout.bytes()
    }
}

/// What follows the whole batches of a file.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Tail {
    /// Nothing was written there.
    Blank,
    /// Something that is not the next batch, or not all of it.
    Broken {
        /// Where it begins.
        at: usize,
        /// What is wrong with it.
        reason: String,
        /// A later batch, which says that the one here was durable.
        marked_by: Option<u64>,
    },
}

/// Reads the batches that follow the first page of a file, from the one of this number on.
///
/// # Errors
/// When one was written by a version that knows more, or makes no sense.
pub(super) fn read_batches<T: BatchRecord>(
    bytes: &[u8],
    salt: u64,
    first: u64,
) -> Result<(Vec<Batch<T>>, Tail), Flaw> {
    let mut reader = Batches::new(bytes, salt, first);
    let batches: Result<_, _> = reader.by_ref().collect();
    Ok((batches?, reader.into_tail()))
}

/// Reads batches one by one: decoded, those of a whole file of light entries take several times as much memory as it.
/// The last item may be an error: a batch that was written by a version that knows more, or makes no sense.
#[derive(Debug)]
pub(super) struct Batches<'a, T> {
    /// A whole file.
    bytes: &'a [u8],
    salt: u64,
    /// The number of the batch that comes next, and where it begins.
    number: u64,
    at: usize,
    /// What follows the whole batches, once they have all been read.
    tail: Option<Tail>,
    records: PhantomData<T>,
}

impl<'a, T> Batches<'a, T> {
    /// Reads those that follow the first page of a file, from the one of this number on.
    pub(super) fn new(bytes: &'a [u8], salt: u64, first: u64) -> Self {
        Self {
            bytes,
            salt,
            number: first,
            at: PAGE_BYTES,
            tail: None,
            records: PhantomData,
        }
    }

    /// The number of the batch that comes next.
    pub(super) fn next_batch(&self) -> u64 {
        self.number
    }

    /// Where that one begins.
    pub(super) fn at(&self) -> usize {
        self.at
    }

    /// Returns what follows the whole batches, all of which have been read.
    pub(super) fn into_tail(self) -> Tail {
        self.tail.expect("batches are read until none is left")
    }
}

impl<T: BatchRecord> Iterator for Batches<'_, T> {
    type Item = Result<Batch<T>, Flaw>;

    fn next(&mut self) -> Option<Self::Item> {
        if self.tail.is_some() {
            return None;
        }
        let rest = &self.bytes[self.at..];
        if rest.iter().take(HEAD_BYTES).all(|byte| *byte == 0) && pages::is_zero(rest) {
            self.tail = Some(Tail::Blank);
            return None;
        }
        match batch(rest, self.salt, self.number) {
            Ok((changes, layout)) => {
                self.at += usize::try_from(layout.bytes()).expect("it was read into memory");
                self.number += 1;
                Some(Ok(Batch {
                    number: self.number - 1,
                    end: self.at,
                    layout,
                    changes,
                }))
            }
            Err(Flaw::Broken(reason)) => {
                self.tail = Some(Tail::Broken {
                    at: self.at,
                    reason,
                    marked_by: marked_by(rest, self.salt, self.number),
                });
                None
            }
            Err(other) => Some(Err(other)),
        }
    }
}

/// What a segment is kept for.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Holdings {
    /// The highest index of an entry.
    pub(super) highest: Index,
    /// The file of the last snapshot that it puts in force, and says what that is.
    pub(super) snapshot: Option<u64>,
}

impl Holdings {
    pub(super) fn of<'a>(changes: impl IntoIterator<Item = &'a Change>) -> Self {
        let mut holdings = Self::default();
        for change in changes {
            match change {
                Change::Entry(entry) => holdings.highest = holdings.highest.max(entry.index),
                Change::Snapshot(snapshot) => holdings.snapshot = Some(snapshot.name.0),
                Change::Truncate(_) | Change::Compact(_) | Change::PeerBoots(_) => {}
            }
        }
        holdings
    }

    /// Adds what a later batch holds.
    pub(super) fn add(&mut self, later: Self) {
        self.highest = self.highest.max(later.highest);
        self.snapshot = later.snapshot.or(self.snapshot);
    }
}

/// The record that begins a batch.
pub(super) struct Begin {
    number: u64,
    mark: u64,
    /// The length of the records that follow it.
    pub(super) bytes: u64,
}

impl Begin {
    /// Takes it from the front of `bytes`, which are those of a segment with this salt.
    pub(super) fn take(bytes: &mut &[u8], salt: u64) -> Result<Self, Flaw> {
        let record = Record::take(bytes)?;
        if record.kind != Kind::Batch as u32 {
            return Err(broken(format!(
                "no batch begins there, but a record of kind {}",
                record.kind
            )));
        }
        let [own, mark, bytes] = fields(record.body)?;
        if own != salt {
            return Err(broken("a batch of another segment is there"));
        }
        Ok(Self {
            number: record.index,
            mark,
            bytes,
        })
    }
}

/// Reads the batch of this number from the front of `bytes`.
fn batch<T: BatchRecord>(bytes: &[u8], salt: u64, number: u64) -> Result<(Vec<T>, Layout), Flaw> {
    let mut rest = bytes;
    let begin = Begin::take(&mut rest, salt)?;
    if begin.number != number {
        return Err(broken(format!("batch {} is there", begin.number)));
    }
    let length = usize::try_from(begin.bytes)
        .ok()
        .filter(|length| *length <= rest.len())
        .ok_or_else(|| broken("it ends beyond its segment"))?;
    let (mut records, padding) = rest.split_at(length);
    let mut changes: Vec<T> = Vec::new();
    let mut layout = Layout {
        starts: Vec::new(),
        end: (bytes.len() - padding.len()) as u64,
    };
    while !records.is_empty() {
        let at = bytes.len() - padding.len() - records.len();
        let named = |flaw: Flaw| match flaw {
            Flaw::Broken(reason) => match changes.iter().rev().find_map(T::name) {
                None => broken(format!("{reason}, at byte {at} of the batch")),
                Some(last) => broken(format!("{reason}, at byte {at} of the batch, after {last}")),
            },
            other => other,
        };
        let change = Record::take(&mut records).and_then(|record| T::decode(&record));
        changes.push(change.map_err(named)?);
        layout.starts.push(at as u64);
    }
    let written = bytes.len() - padding.len();
    let end = written.next_multiple_of(PAGE_BYTES);
    let padding = padding.get(..end - written);
    pages::expect_zeros(padding.ok_or_else(|| broken("its last page is not whole"))?)?;
    Ok((changes, layout))
}

/// Looks for a batch, from here on, that was written when the batch of this number was durable.
fn marked_by(bytes: &[u8], salt: u64, number: u64) -> Option<u64> {
    bytes
        .chunks(PAGE_BYTES)
        .filter_map(|mut page| Begin::take(&mut page, salt).ok())
        .find(|begin| begin.mark >= number)
        .map(|begin| begin.number)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::storage::conformance::entry;

    const SALT: u64 = 0x5a17;

    /// A segment with three batches of an entry each, and room for another.
    fn segment() -> Vec<u8> {
        let head = SegmentHead {
            number: 3,
            salt: SALT,
            bytes: 5 * PAGE_BYTES as u64,
            first_batch: 7,
            shape: Shape::default(),
        };
        let mut bytes = head.encode();
        for index in 1..=3 {
            let batch = NewBatch::of(&[Change::Entry(entry(index, 1, "command"))]);
            bytes.extend(batch.encode(6 + index, 5 + index, SALT));
        }
        bytes.resize(5 * PAGE_BYTES, 0);
        bytes
    }

    /// Reads the batches of such a segment. Returns the number of the one that comes next, and what is there.
    fn read(segment: &[u8]) -> (u64, Tail) {
        let mut batches = Batches::<Change>::new(segment, SALT, 7);
        assert!(batches.all(|batch| batch.is_ok()));
        (batches.next_batch(), batches.into_tail())
    }

    #[test]
    fn whole_batches_are_read_up_to_where_nothing_was_written() {
        let segment = segment();

        let (batches, tail) = read_batches::<Change>(&segment, SALT, 7).unwrap();

        let found = batches
            .iter()
            .map(|batch| (batch.number, batch.end / PAGE_BYTES));
        assert_eq!(Vec::from_iter(found), [(7, 2), (8, 3), (9, 4)]);
        assert_eq!(Holdings::of(&batches[2].changes).highest, Index(3));
        assert_eq!(tail, Tail::Blank);
    }

    #[test]
    fn a_broken_batch_before_a_whole_one_is_marked_by_it() {
        let mut bytes = segment();
        bytes[2 * PAGE_BYTES..][..PAGE_BYTES].fill(0);

        let (next, tail) = read(&bytes);

        assert_eq!(next, 8);
        assert!(matches!(
            tail,
            Tail::Broken {
                marked_by: Some(9),
                ..
            }
        ));
    }

    #[test]
    fn a_broken_last_batch_is_marked_by_none() {
        let mut bytes = segment();
        bytes[3 * PAGE_BYTES + 40] ^= 1;

        let (next, tail) = read(&bytes);

        assert_eq!(next, 9);
        assert!(matches!(
            tail,
            Tail::Broken {
                marked_by: None,
                ..
            }
        ));
    }

    #[test]
    fn a_torn_command_that_imitates_a_batch_marks_nothing() {
        let forged = NewBatch::of::<Change>(&[]).encode(99, 98, SALT + 1);
        let mut bytes = segment();
        bytes[3 * PAGE_BYTES] ^= 1;
        bytes[4 * PAGE_BYTES..].copy_from_slice(&forged);

        let (_, tail) = read(&bytes);

        assert!(matches!(
            tail,
            Tail::Broken {
                marked_by: None,
                ..
            }
        ));
    }
}
