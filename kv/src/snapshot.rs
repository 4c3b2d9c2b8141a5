//! The bytes of a snapshot.
//!
//! ```text
//! snapshot = version (1 byte) · sequences made · number of keys · { key } in ascending order
//! key      = length · bytes · 0 · value                                      a value
//!          | length · bytes · 1 · incarnation · number of values · { value }  a sequence
//! value    = length · bytes
//! ```
//!
//! Numbers are unsigned LEB128 in their shortest form, so that equal states have equal bytes. What is read comes from
//! a disk or another member and is not believed: nothing is allocated for a length or a number before the bytes it
//! stands for are there, and the store built from it has passed the same limits as one built by commands.

use std::sync::Arc;

use bytes::Bytes;
use liferaft_raft::state_machine::RestoreError;

use crate::error::Shown;
use crate::limits::{StoreLimits, check_key, check_value};
use crate::sequence::Sequence;
use crate::store::{Entry, Store};

const VERSION: u8 = 1;
/// More sequences than a log ever makes: from here on, counting them cannot overflow.
const SEQUENCES_MADE_MAX: u64 = u64::MAX / 2;
const VALUE: u8 = 0;
const SEQUENCE: u8 = 1;

pub(crate) fn encode(store: &Store) -> Vec<u8> {
    // What keys weigh is never less than what they take here; the rest is the version and two numbers.
    let weight = usize::try_from(store.weight()).unwrap_or_default();
    let mut out = Vec::with_capacity(weight + 21);
    out.push(VERSION);
    put_number(&mut out, store.sequences_made());
    put_number(&mut out, store.len() as u64);
    for (key, entry) in store.iter() {
        put_bytes(&mut out, key);
        match entry {
            Entry::Value(value) => {
                out.push(VALUE);
                put_bytes(&mut out, value);
            }
            Entry::Sequence(sequence) => {
                let count = sequence.count();
                out.push(SEQUENCE);
                put_number(&mut out, count.incarnation());
                put_number(&mut out, count.len());
                sequence
                    .values()
                    .for_each(|value| put_bytes(&mut out, value));
            }
        }
    }
    out
}

pub(crate) fn decode(bytes: &[u8], limits: StoreLimits) -> Result<Store, RestoreError> {
    let mut input = Input { rest: bytes };
    let version = input.byte()?;
    if version != VERSION {
        return Err(RestoreError::new(format_args!(
            "version {version} instead of {VERSION}"
        )));
    }
    let sequences_made = input.number()?;
    if sequences_made > SEQUENCES_MADE_MAX {
        return Err(RestoreError::new(format_args!(
            "{sequences_made} sequences made"
        )));
    }
    let mut store = Store::new(limits, sequences_made);
    let mut previous = Bytes::new();
    for _ in 0..input.number()? {
        let key = Bytes::copy_from_slice(input.bytes()?);
        check_key(&key).map_err(RestoreError::new)?;
        if key <= previous {
            let (key, previous) = (Shown(&key), Shown(&previous));
            return Err(RestoreError::new(format_args!(
                "key \"{key}\" comes after \"{previous}\""
            )));
        }
        let entry = match input.byte()? {
            VALUE => Entry::Value(input.value()?),
            SEQUENCE => Entry::Sequence(Arc::new(input.sequence(&limits, sequences_made)?)),
            tag => return Err(RestoreError::new(format_args!("a key of kind {tag}"))),
        };
        store
            .insert(key.clone(), entry)
            .map_err(RestoreError::new)?;
        previous = key;
    }
    match input.rest.len() {
        0 => Ok(store),
        extra => Err(RestoreError::new(format_args!("{extra} bytes too many"))),
    }
}

fn put_number(out: &mut Vec<u8>, mut number: u64) {
    while number >= 0x80 {
        out.push(number.to_le_bytes()[0] | 0x80);
        number >>= 7;
    }
    out.push(number.to_le_bytes()[0]);
}

fn put_bytes(out: &mut Vec<u8>, bytes: &[u8]) {
    put_number(out, bytes.len() as u64);
    out.extend_from_slice(bytes);
}

/// What is still to be read.
struct Input<'a> {
    rest: &'a [u8],
}

impl<'a> Input<'a> {
    fn byte(&mut self) -> Result<u8, RestoreError> {
        let (first, rest) = self.rest.split_first().ok_or_else(ends_early)?;
        self.rest = rest;
        Ok(*first)
    }

    fn number(&mut self) -> Result<u64, RestoreError> {
        let mut number = 0;
        for shift in (0..u64::BITS).step_by(7) {
            let byte = self.byte()?;
            let bits = u64::from(byte & 0x7f);
            if bits << shift >> shift != bits {
                return Err(RestoreError::new("a number of more than 64 bits"));
            }
            number |= bits << shift;
            if byte & 0x80 == 0 {
                let is_shortest = byte != 0 || shift == 0;
                return is_shortest
                    .then_some(number)
                    .ok_or_else(|| RestoreError::new("a padded number"));
            }
        }
        Err(RestoreError::new("a number of more than 64 bits"))
    }

    fn bytes(&mut self) -> Result<&'a [u8], RestoreError> {
        let len = usize::try_from(self.number()?).map_err(RestoreError::new)?;
        let (bytes, rest) = self.rest.split_at_checked(len).ok_or_else(ends_early)?;
        self.rest = rest;
        Ok(bytes)
    }

    /// A value in memory of its own: a slice of the snapshot would keep all of it alive.
    fn value(&mut self) -> Result<Bytes, RestoreError> {
        let value = self.bytes()?;
        check_value(value).map_err(RestoreError::new)?;
        Ok(Bytes::copy_from_slice(value))
    }

    fn sequence(
        &mut self,
        limits: &StoreLimits,
        sequences_made: u64,
    ) -> Result<Sequence, RestoreError> {
        let incarnation = self.number()?;
        let len = self.number()?;
        if !(1..=sequences_made).contains(&incarnation) || len == 0 {
            return Err(RestoreError::new("a sequence that nothing made"));
        }
        if len > limits.sequence_values_max {
            return Err(RestoreError::new(format_args!(
                "a sequence of {len} values"
            )));
        }
        let mut sequence = Sequence::new(incarnation);
        for _ in 0..len {
            sequence.push(self.value()?);
            if sequence.weight() > limits.sequence_bytes_max {
                return Err(RestoreError::new("a sequence that weighs too much"));
            }
        }
        Ok(sequence)
    }
}

fn ends_early() -> RestoreError {
    RestoreError::new("it ends too early")
}

#[cfg(test)]
mod tests {
    use super::*;

    fn sample() -> Store {
        let mut store = Store::new(StoreLimits::default(), 299);
        store.set("a".into(), "1".into()).expect("there is room");
        let appended = ["x", "yz"].map(|value| store.append("s".into(), None, value.into()));
        assert!(appended.iter().all(Result::is_ok), "there is room");
        store
    }

    #[track_caller]
    fn assert_refused(bytes: &[u8], reason: &str) {
        let error = decode(bytes, StoreLimits::default()).expect_err("not a snapshot");
        assert!(error.to_string().contains(reason), "{error}");
    }

    #[test]
    fn the_encoding_of_snapshots_stays_as_it_is() {
        let encoded = encode(&sample());

        assert_eq!(
            encoded,
            b"\x01\xac\x02\x02\x01a\x00\x011\x01s\x01\xac\x02\x02\x01x\x02yz"
        );
        assert_eq!(
            decode(&encoded, StoreLimits::default()).expect("a snapshot"),
            sample()
        );
    }

    #[test]
    fn a_snapshot_that_is_cut_anywhere_is_refused() {
        let encoded = encode(&sample());

        for len in 0..encoded.len() {
            assert_refused(&encoded[..len], "too early");
        }
    }

    #[test]
    fn a_snapshot_that_contradicts_itself_is_refused_with_the_reason() {
        assert_refused(b"\x02\x00\x00", "version 2");
        assert_refused(
            b"\x01\xff\xff\xff\xff\xff\xff\xff\xff\xff\x01\x00",
            "sequences made",
        );
        assert_refused(b"\x01\x00\x00\x00", "1 bytes too many");
        assert_refused(b"\x01\x00\x01\x00\x00\x00", "empty");
        assert_refused(b"\x01\x00\x02\x01b\x00\x00\x01a\x00\x00", "comes after");
        assert_refused(b"\x01\x00\x02\x01a\x00\x00\x01a\x00\x00", "comes after");
        assert_refused(b"\x01\x00\x01\x01a\x02\x00", "kind 2");
        assert_refused(b"\x01\x01\x01\x01a\x01\x00\x01\x00", "nothing made");
        assert_refused(b"\x01\x01\x01\x01a\x01\x02\x01\x00", "nothing made");
        assert_refused(b"\x01\x01\x01\x01a\x01\x01\x00", "nothing made");
        assert_refused(b"\x01\x01\x01\x01a\x01\x01\xff\xff\xff\xff\x0f", "values");
        assert_refused(b"\x01\x80\x00", "padded");
        assert_refused(b"\x01\xff\xff\xff\xff\xff\xff\xff\xff\xff\x02", "64 bits");
        assert_refused(
            b"\x01\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff\x00",
            "64 bits",
        );
        assert_refused(
            b"\x01\x00\x01\xff\xff\xff\xff\xff\xff\xff\xff\xff\x01",
            "too early",
        );
        assert_refused(
            b"\x01\x00\xff\xff\xff\xff\xff\xff\xff\xff\xff\x01",
            "too early",
        );
    }

    #[test]
    fn a_snapshot_beyond_the_limits_is_refused() {
        let encoded = encode(&sample());
        let limits = StoreLimits::default();

        let refused = [
            StoreLimits {
                sequence_values_max: 1,
                ..limits
            },
            StoreLimits {
                sequence_bytes_max: 34,
                ..limits
            },
            StoreLimits {
                store_bytes_max: 100,
                ..limits
            },
        ]
        .map(|limits| decode(&encoded, limits).map_err(|error| error.to_string()));

        assert!(refused.iter().all(Result::is_err), "{refused:?}");
    }
}
