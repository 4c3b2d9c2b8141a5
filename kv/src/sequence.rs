//! A sequence: values in a row, copied on write in chunks.

use std::sync::Arc;

use bytes::Bytes;

use crate::count::Count;
use crate::limits::SEQUENCE_VALUE_OVERHEAD_BYTES;

/// Values in a row, of which the first may have been trimmed. A clone shares all of them, and the next push copies at
/// most one chunk.
///
/// Invariant: a chunk holds the values whose places have one quotient by [`CHUNK_VALUES`], except those that are
/// trimmed and those that are to come. No chunk is empty.
#[derive(Clone, PartialEq, Eq)]
pub(crate) struct Sequence {
    incarnation: u64,
    /// The place of the first value that is left: all before it are trimmed.
    first: u64,
    /// The place of the next value.
    len: u64,
    weight: u64,
    chunks: Vec<Arc<Vec<Bytes>>>,
}

const CHUNK_VALUES: u64 = 128;

impl Sequence {
    /// An empty sequence, the one of all sequences that has this number.
    pub(crate) const fn new(incarnation: u64) -> Self {
        Self::trimmed(incarnation, 0)
    }

    /// A sequence that held this number of values, and all of them are trimmed.
    pub(crate) const fn trimmed(incarnation: u64, len: u64) -> Self {
        Self {
            incarnation,
            first: len,
            len,
            weight: 0,
            chunks: Vec::new(),
        }
    }

    pub(crate) const fn count(&self) -> Count {
        Count::new(self.incarnation, self.len)
    }

    /// The place of the first value that is left; that of the next one if none is.
    pub(crate) const fn first(&self) -> u64 {
        self.first
    }

    /// The number of values that are left.
    pub(crate) const fn held(&self) -> u64 {
        self.len - self.first
    }

    /// The bytes of all values and their overhead.
    pub(crate) const fn weight(&self) -> u64 {
        self.weight
    }

    /// What a value adds to the weight.
    pub(crate) const fn weight_of(value: &Bytes) -> u64 {
        value.len() as u64 + SEQUENCE_VALUE_OVERHEAD_BYTES
    }

    pub(crate) fn push(&mut self, value: Bytes) {
        let begins_chunk = self.len.is_multiple_of(CHUNK_VALUES);
        self.len += 1;
        self.weight += Self::weight_of(&value);
        match self.chunks.last_mut() {
            Some(last) if !begins_chunk => Arc::make_mut(last).push(value),
            Some(_) | None => self.chunks.push(Arc::new(vec![value])),
        }
    }

    /// Drops the values before a place, and copies at most one chunk. Returns their weight.
    pub(crate) fn trim_before(&mut self, place: u64) -> u64 {
        let place = place.clamp(self.first, self.len);
        let (chunks, values) = self.find(place);
        let whole = self.chunks.drain(..chunks.min(self.chunks.len()));
        let mut trimmed: u64 = whole.map(|chunk| weight_of_all(&chunk)).sum();
        if values > 0 {
            let (before, after) = self.chunks[0].split_at(values);
            trimmed += weight_of_all(before);
            if after.is_empty() {
                self.chunks.remove(0);
            } else {
                self.chunks[0] = Arc::new(after.to_vec());
            }
        }
        self.first = place;
        self.weight -= trimmed;
        trimmed
    }

    /// Up to `limit` values, beginning with that at place `from`, or with the first that is left.
    pub(crate) fn part(&self, from: u64, limit: usize) -> Vec<Bytes> {
        let from = from.max(self.first);
        if from >= self.len {
            return Vec::new();
        }
        let (chunk, value) = self.find(from);
        let values = self.chunks[chunk..].iter().flat_map(|chunk| chunk.iter());
        values.skip(value).take(limit).cloned().collect()
    }

    /// Where the value at a place is: in which chunk, and at which place there. The place is not trimmed.
    fn find(&self, place: u64) -> (usize, usize) {
        let chunk = place / CHUNK_VALUES - self.first / CHUNK_VALUES;
        let value = match chunk {
            0 => place - self.first,
            _ => place % CHUNK_VALUES,
        };
        let fits = |number| usize::try_from(number).expect("a sequence fits in memory");
        (fits(chunk), fits(value))
    }

    pub(crate) fn values(&self) -> impl Iterator<Item = &Bytes> {
        self.chunks.iter().flat_map(|chunk| chunk.iter())
    }
}

fn weight_of_all(values: &[Bytes]) -> u64 {
    values.iter().map(Sequence::weight_of).sum()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn of(len: u64) -> Sequence {
        let mut sequence = Sequence::new(1);
        (0..len).for_each(|place| sequence.push(Bytes::from(place.to_string())));
        sequence
    }

    #[test]
    fn a_part_crosses_chunks_and_ends_with_the_sequence() {
        let sequence = of(300);

        assert_eq!(sequence.part(127, 3), ["127", "128", "129"]);
        assert_eq!(sequence.part(298, usize::MAX), ["298", "299"]);
        assert_eq!(sequence.part(0, 0), [""; 0]);
        assert_eq!(sequence.part(300, 1), [""; 0]);
        assert_eq!(sequence.part(u64::MAX, usize::MAX), [""; 0]);
    }

    #[test]
    fn a_clone_does_not_see_later_pushes() {
        let mut sequence = of(129);
        let captured = sequence.clone();

        sequence.push("later".into());

        assert_eq!(captured.values().count(), 129);
        assert_eq!(sequence.part(128, 9), ["128", "later"]);
        assert_eq!(captured.part(128, 9), ["128"]);
    }

    #[test]
    fn a_sequence_trimmed_anywhere_is_the_same_as_one_that_began_there() {
        for first in [0, 1, 127, 128, 129, 256, 299, 300] {
            let mut trimmed = of(300);
            let mut begun = Sequence::trimmed(1, first);
            (first..300).for_each(|place| begun.push(Bytes::from(place.to_string())));

            let before = trimmed.weight();
            let released = trimmed.trim_before(first);

            assert_eq!(released + trimmed.weight(), before);
            assert!(trimmed == begun, "from {first}");
            assert_eq!(trimmed.part(0, 1), begun.part(first, 1));
            trimmed.push("next".into());
            assert_eq!(trimmed.part(300, 9), ["next"], "from {first}");
        }
    }

    #[test]
    fn trimming_in_steps_equals_trimming_at_once() {
        let mut at_once = of(300);
        let mut in_steps = of(300);

        at_once.trim_before(270);
        for place in [5, 130, 100, 270, 0] {
            in_steps.trim_before(place);
        }

        assert!(at_once == in_steps);
        assert_eq!((in_steps.first(), in_steps.held()), (270, 30));
        assert_eq!(in_steps.trim_before(u64::MAX), 30 * (3 + 16));
        let nothing = (0, Count::new(1, 300));
        assert_eq!((in_steps.weight(), in_steps.count()), nothing);
    }
}
