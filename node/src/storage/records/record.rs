//! Frames what is stored: each record has its length, its kind, its place and a checksum over all of that.
//!
//! The bytes are drawn out in `docs/storage.md`. Everything here is a function of bytes.

use bytes::{Buf, BufMut};
use thiserror::Error;

/// The format of all that is stored: files and values, and what the log and the snapshots in them hold. A store of
/// another one is refused.
pub(in crate::storage) const FORMAT: u64 = 5;

/// How every file of a store begins, and every value that stands for one.
pub(in crate::storage) const MAGIC: &[u8; 8] = b"liferaft";

/// The length of a record without its body.
pub(in crate::storage) const HEAD_BYTES: usize = 32;

/// The length of the head of a record up to where its checksum begins.
const CHECKSUM_BYTES: usize = 4;

/// Where the head of a record has the length of its body.
const LENGTH_AT: usize = 8;

/// What a record is. The first three and that of an outbox begin a file each, and have the format in place of a term;
/// so have those that begin a value, the base and a drain.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(in crate::storage) enum Kind {
    Header = 1,
    Segment = 2,
    SnapshotFile = 3,
    Batch = 4,
    Entry = 5,
    Truncate = 6,
    Compact = 7,
    Snapshot = 8,
    Outbox = 9,
    Position = 10,
    Remove = 11,
    Command = 12,
    PeerBoots = 13,
    Base = 14,
    Drain = 15,
    Piece = 16,
}

/// Why bytes are not what they should be. Whoever reads them judges whether they were torn or are damaged.
#[derive(Clone, Debug, PartialEq, Eq, Error)]
pub(in crate::storage) enum Flaw {
    /// They are not as they were written.
    #[error("{0}")]
    Broken(String),
    /// They are as they were written, and make no sense: neither a torn write nor a damaged disk does that.
    #[error("{0}")]
    Contradictory(String),
    /// They are as they were written, by a version that knows more.
    #[error("this version does not support its format {0}")]
    Unsupported(u64),
}

/// A record, as it lies in the bytes of its file.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(in crate::storage) struct Record<'a> {
    pub(in crate::storage) kind: u32,
    pub(in crate::storage) index: u64,
    pub(in crate::storage) term: u64,
    pub(in crate::storage) body: &'a [u8],
}

impl<'a> Record<'a> {
    /// Appends a record whose body this function appends.
    pub(in crate::storage) fn put(
        buffer: &mut Vec<u8>,
        kind: Kind,
        (index, term): (u64, u64),
        body: impl FnOnce(&mut Vec<u8>),
    ) {
        let at = buffer.len();
        buffer.resize(at + HEAD_BYTES, 0);
        body(buffer);
        let length = buffer.len() - at - HEAD_BYTES;
        let record = &mut buffer[at..];
        let mut head = &mut record[CHECKSUM_BYTES..HEAD_BYTES];
        head.put_u32_le(kind as u32);
        head.put_u64_le(length as u64);
        head.put_u64_le(index);
        head.put_u64_le(term);
        let checksum = crc32fast::hash(&record[CHECKSUM_BYTES..]);
        record[..CHECKSUM_BYTES].copy_from_slice(&checksum.to_le_bytes());
    }

    /// Takes a record from the front of `bytes`.
    pub(in crate::storage) fn take(bytes: &mut &'a [u8]) -> Result<Self, Flaw> {
        let whole = *bytes;
        let mut head = whole
            .get(..HEAD_BYTES)
            .ok_or_else(|| broken("a record ends within its head"))?;
        let checksum = head.get_u32_le();
        let kind = head.get_u32_le();
        let length = head.get_u64_le();
        let (index, term) = (head.get_u64_le(), head.get_u64_le());
        let end = usize::try_from(length)
            .ok()
            .and_then(|length| length.checked_add(HEAD_BYTES))
            .filter(|end| *end <= whole.len())
            .ok_or_else(|| broken(format!("a record of {length} bytes ends beyond its place")))?;
        if checksum != crc32fast::hash(&whole[CHECKSUM_BYTES..end]) {
            return Err(broken("the checksum of a record does not match"));
        }
        *bytes = &whole[end..];
        Ok(Self {
            kind,
            index,
            term,
            body: &whole[HEAD_BYTES..end],
        })
    }
}

/// Returns the length of the record that begins with this head, the head included.
pub(in crate::storage) fn length(head: &[u8]) -> Result<u64, Flaw> {
    let body = head.get(LENGTH_AT..).and_then(<[u8]>::first_chunk);
    let body = body.ok_or_else(|| broken("a record ends within its head"))?;
    Ok(u64::from_le_bytes(*body).saturating_add(HEAD_BYTES as u64))
}

/// Begins a file, or a value: a magic, and a record of this kind with the format in place of a term.
pub(in crate::storage) fn put_first(
    buffer: &mut Vec<u8>,
    kind: Kind,
    index: u64,
    body: impl FnOnce(&mut Vec<u8>),
) {
    buffer.put_slice(MAGIC);
    Record::put(buffer, kind, (index, FORMAT), body);
}

/// Takes from the front of a file, or of a value, what [`put_first`] appended.
pub(in crate::storage) fn take_first<'a>(
    bytes: &mut &'a [u8],
    kind: Kind,
) -> Result<Record<'a>, Flaw> {
    *bytes = bytes
        .strip_prefix(MAGIC)
        .ok_or_else(|| broken("it does not begin as a file of a store does"))?;
    let record = Record::take(bytes)?;
    if record.term != FORMAT {
        return Err(Flaw::Unsupported(record.term));
    }
    if record.kind != kind as u32 {
        return Err(broken(format!(
            "it begins with a record of kind {}",
            record.kind
        )));
    }
    Ok(record)
}

/// Reads the fields of a body, which has these and no more.
pub(in crate::storage) fn fields<const COUNT: usize>(
    mut body: &[u8],
) -> Result<[u64; COUNT], Flaw> {
    if body.len() != COUNT * size_of::<u64>() {
        return Err(contradictory(format!(
            "a record has a body of {} bytes",
            body.len()
        )));
    }
    Ok(std::array::from_fn(|_| body.get_u64_le()))
}

pub(in crate::storage) fn broken(reason: impl Into<String>) -> Flaw {
    Flaw::Broken(reason.into())
}

pub(in crate::storage) fn contradictory(reason: impl Into<String>) -> Flaw {
    Flaw::Contradictory(reason.into())
}
