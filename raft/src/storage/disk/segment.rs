//! Segments: the files of the log, and the batches in them.
//!
//! A segment has its whole length from the beginning, and what was not written yet is zero. So a file that was cut
//! short shows. A batch is written when the one before it is durable, begins a page, and says so. So a batch that is
//! not whole is torn if no batch comes after it, and damaged if one does.

use bytes::BufMut;

use super::change::{Change, Shape, SnapshotRef};
use super::record::{
    self, Flaw, HEAD_BYTES, Kind, PAGE_BYTES, Record, broken, contradictory, fields,
};
use crate::ids::{Index, LogPosition, Term};
use crate::wire::NUMBER_END;

/// How the name of a segment begins; its number follows.
pub(super) const PREFIX: &str = "log-";

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
        record::pad(&mut page);
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

    fn decode(mut page: &[u8]) -> Result<Self, Flaw> {
        let record = record::take_first(&mut page, Kind::Segment)?;
        record::expect_zeros(page)?;
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

/// One of the changes that a batch makes: a record.
pub(super) trait BatchRecord: Sized {
    /// Appends its record.
    fn put(&self, buffer: &mut Vec<u8>);

    /// Decodes a record.
    fn decode(record: &Record<'_>) -> Result<Self, Flaw>;

    /// Says which one it is, as in "entry 7"; `None` for one that has no number.
    fn name(&self) -> Option<String>;
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
        record::pad(&mut self.buffer);
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

/// A segment as it is read.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Segment {
    pub(super) head: SegmentHead,
    pub(super) batches: Vec<Batch<Change>>,
    pub(super) tail: Tail,
}

impl Segment {
    /// Reads a whole segment.
    ///
    /// # Errors
    /// As [`SegmentHead::of`], and when a batch was written by a version that knows more, or makes no sense.
    pub(super) fn read(bytes: &[u8]) -> Result<Self, Flaw> {
        Self::behind(SegmentHead::of(bytes)?, bytes)
    }

    /// Reads the batches behind the head of a whole segment.
    ///
    /// # Errors
    /// When one was written by a version that knows more, or makes no sense.
    pub(super) fn behind(head: SegmentHead, bytes: &[u8]) -> Result<Self, Flaw> {
        let (batches, tail) = read_batches(bytes, head.salt, head.first_batch)?;
        Ok(Self {
            head,
            batches,
            tail,
        })
    }

    /// The number of the batch that comes next.
    pub(super) fn next_batch(&self) -> u64 {
        self.head.first_batch + self.batches.len() as u64
    }

    /// Where the batch after the whole ones begins.
    pub(super) fn end(&self) -> usize {
        self.batches.last().map_or(PAGE_BYTES, |batch| batch.end)
    }

    /// What it is kept for, whether or not that was dropped later.
    pub(super) fn holdings(&self) -> Holdings {
        Holdings::of(self.batches.iter().flat_map(|batch| &batch.changes))
    }
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
    let mut batches = Vec::new();
    let mut at = PAGE_BYTES;
    let mut number = first;
    let tail = loop {
        let rest = &bytes[at..];
        if rest.iter().take(HEAD_BYTES).all(|byte| *byte == 0) && record::is_zero(rest) {
            break Tail::Blank;
        }
        match batch(rest, salt, number) {
            Ok((changes, layout)) => {
                at += usize::try_from(layout.bytes()).expect("it was read into memory");
                batches.push(Batch {
                    number,
                    end: at,
                    layout,
                    changes,
                });
                number += 1;
            }
            Err(Flaw::Broken(reason)) => {
                break Tail::Broken {
                    at,
                    reason,
                    marked_by: marked_by(rest, salt, number),
                };
            }
            Err(other) => return Err(other),
        }
    };
    Ok((batches, tail))
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
                Change::Truncate(_) | Change::Compact(_) => {}
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
    record::expect_zeros(padding.ok_or_else(|| broken("its last page is not whole"))?)?;
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

    #[test]
    fn whole_batches_are_read_up_to_where_nothing_was_written() {
        let segment = Segment::read(&segment()).unwrap();

        assert_eq!(segment.batches.len(), 3);
        assert_eq!((segment.next_batch(), segment.end()), (10, 4 * PAGE_BYTES));
        assert_eq!(segment.holdings().highest, Index(3));
        assert_eq!(segment.tail, Tail::Blank);
    }

    #[test]
    fn a_broken_batch_before_a_whole_one_is_marked_by_it() {
        let mut bytes = segment();
        bytes[2 * PAGE_BYTES..][..PAGE_BYTES].fill(0);

        let segment = Segment::read(&bytes).unwrap();

        assert_eq!(segment.next_batch(), 8);
        assert!(matches!(
            segment.tail,
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

        let segment = Segment::read(&bytes).unwrap();

        assert_eq!(segment.next_batch(), 9);
        assert!(matches!(
            segment.tail,
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

        let segment = Segment::read(&bytes).unwrap();

        assert!(matches!(
            segment.tail,
            Tail::Broken {
                marked_by: None,
                ..
            }
        ));
    }
}
