//! Strict reading of single fields: what is there, how long it is, how far it counts.

use bytes::Bytes;
use prost::Message;

use super::DecodeError;
use crate::ids::{Index, LogPosition, Round, ServerId, Term};
use crate::time::ClusterTime;

/// Terms, indices, rounds, cluster times and lengths lie below this, so that no sum of them overflows.
pub const NUMBER_END: u64 = 1 << 62;

/// The length of an id, in bytes.
pub(super) const ID_BYTES: usize = 16;

/// Reads a message that holds no list.
pub(super) fn decode<P: Message + Default>(
    bytes: Bytes,
    part: &'static str,
) -> Result<P, DecodeError> {
    P::decode(bytes).map_err(|_| DecodeError::Malformed { part })
}

/// Reads a message that holds no list and comes in two parts.
///
/// Two messages in a row are one that has the fields of both. So parts that are cut between two fields are read one
/// after the other, and only others are put together first.
pub(super) fn decode_parts<P: Message + Default>(
    head: Bytes,
    body: Bytes,
    part: &'static str,
) -> Result<P, DecodeError> {
    let Ok(mut message) = P::decode(head.clone()) else {
        return decode([head, body].concat().into(), part);
    };
    let merged = message.merge(body);
    merged.map_err(|_| DecodeError::Malformed { part })?;
    Ok(message)
}

/// A list in a message: what it holds, the number of its field, and how long it may be.
pub(super) struct List {
    pub(super) items: &'static str,
    pub(super) field: u64,
    pub(super) count_max: usize,
}

/// Reads a message that holds a list.
pub(super) fn decode_list<P: Message + Default>(
    bytes: Bytes,
    part: &'static str,
    list: &List,
) -> Result<P, DecodeError> {
    decode_lists(bytes, part, core::slice::from_ref(list))
}

/// Reads a message that holds lists.
///
/// An element takes at least two bytes on the wire and much more in memory, so the lists are counted before anything is
/// allocated for them.
pub(super) fn decode_lists<P: Message + Default>(
    bytes: Bytes,
    part: &'static str,
    lists: &[List],
) -> Result<P, DecodeError> {
    for list in lists {
        let count = count_fields(&bytes, list.field).ok_or(DecodeError::Malformed { part })?;
        if count > list.count_max {
            return Err(DecodeError::TooMany {
                items: list.items,
                count,
                count_max: list.count_max,
            });
        }
    }
    decode(bytes, part)
}

pub(super) fn required<T>(value: Option<T>, field: &'static str) -> Result<T, DecodeError> {
    value.ok_or(DecodeError::Missing { field })
}

/// A number that counts something, far enough from the end of its type that no sum of it overflows.
pub(super) fn number(value: Option<u64>, field: &'static str) -> Result<u64, DecodeError> {
    let value = required(value, field)?;
    if value < NUMBER_END {
        Ok(value)
    } else {
        Err(DecodeError::OutOfRange { field, value })
    }
}

pub(super) fn term(value: Option<u64>, field: &'static str) -> Result<Term, DecodeError> {
    number(value, field).map(Term)
}

pub(super) fn index(value: Option<u64>, field: &'static str) -> Result<Index, DecodeError> {
    number(value, field).map(Index)
}

pub(super) fn round(value: Option<u64>) -> Result<Round, DecodeError> {
    number(value, "round").map(Round)
}

pub(super) fn stamp(value: Option<u64>) -> Result<ClusterTime, DecodeError> {
    number(value, "stamp").map(ClusterTime)
}

/// A position whose term and index are fields of their own.
pub(super) fn position(
    (term_value, term_field): (Option<u64>, &'static str),
    (index_value, index_field): (Option<u64>, &'static str),
) -> Result<LogPosition, DecodeError> {
    Ok(LogPosition::new(
        term(term_value, term_field)?,
        index(index_value, index_field)?,
    ))
}

/// An id of exactly 16 bytes, the most significant first.
pub(super) fn id(value: Option<Bytes>, field: &'static str) -> Result<u128, DecodeError> {
    array(value, field).map(u128::from_be_bytes)
}

/// Exactly `N` bytes.
pub(super) fn array<const N: usize>(
    value: Option<Bytes>,
    field: &'static str,
) -> Result<[u8; N], DecodeError> {
    let bytes = required(value, field)?;
    <[u8; N]>::try_from(&bytes[..]).map_err(|_| DecodeError::BadLength {
        field,
        bytes: bytes.len(),
    })
}

pub(super) fn server(value: Option<Bytes>, field: &'static str) -> Result<ServerId, DecodeError> {
    id(value, field).map(ServerId)
}

/// A server that need not be there.
pub(super) fn server_if_any(
    value: Option<Bytes>,
    field: &'static str,
) -> Result<Option<ServerId>, DecodeError> {
    value.map(|bytes| server(Some(bytes), field)).transpose()
}

pub(super) fn server_bytes(id: ServerId) -> Bytes {
    Bytes::copy_from_slice(&id.0.to_be_bytes())
}

/// How often a field occurs at the top level of a message; `None` if that cannot be told.
fn count_fields(mut rest: &[u8], field: u64) -> Option<usize> {
    let mut count = 0;
    while !rest.is_empty() {
        let key = take_varint(&mut rest)?;
        let skipped = match key & 7 {
            0 => {
                take_varint(&mut rest)?;
                0
            }
            1 => 8,
            2 => usize::try_from(take_varint(&mut rest)?).ok()?,
            5 => 4,
            // Groups, which nobody sends, and types that do not exist.
            _ => return None,
        };
        rest = rest.get(skipped..)?;
        if key >> 3 == field {
            count += 1;
        }
    }
    Some(count)
}

fn take_varint(rest: &mut &[u8]) -> Option<u64> {
    let mut value = 0;
    for position in 0..10 {
        let (byte, tail) = rest.split_first()?;
        *rest = tail;
        value |= u64::from(byte & 0x7f) << (7 * position);
        if byte & 0x80 == 0 {
            return Some(value);
        }
    }
    None
}
