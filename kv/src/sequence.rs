//! A sequence: values in a row, copied on write in chunks.

use std::sync::Arc;

use bytes::Bytes;

use crate::count::Count;
use crate::limits::SEQUENCE_VALUE_OVERHEAD_BYTES;

/// Values in a row. A clone shares all of them, and the next push copies at most one chunk.
///
/// Invariant: every chunk but the last holds [`CHUNK_VALUES`], the last holds at least one.
#[derive(Clone, PartialEq, Eq)]
pub(crate) struct Sequence {
    incarnation: u64,
    len: u64,
    weight: u64,
    chunks: Vec<Arc<Vec<Bytes>>>,
}

const CHUNK_VALUES: usize = 128;

impl Sequence {
    /// An empty sequence, the one of all sequences that has this number.
    pub(crate) const fn new(incarnation: u64) -> Self {
        Self {
            incarnation,
            len: 0,
            weight: 0,
            chunks: Vec::new(),
        }
    }

    pub(crate) const fn count(&self) -> Count {
        Count::new(self.incarnation, self.len)
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
        self.len += 1;
        self.weight += Self::weight_of(&value);
        match self.chunks.last_mut() {
            Some(last) if last.len() < CHUNK_VALUES => Arc::make_mut(last).push(value),
            Some(_) | None => self.chunks.push(Arc::new(vec![value])),
        }
    }

    /// Up to `limit` values, beginning with that at place `from`.
    pub(crate) fn part(&self, from: u64, limit: usize) -> Vec<Bytes> {
        let Ok(from) = usize::try_from(from) else {
            return Vec::new();
        };
        let chunks = self.chunks.get(from / CHUNK_VALUES..).unwrap_or_default();
        let values = chunks.iter().flat_map(|chunk| chunk.iter());
        values
            .skip(from % CHUNK_VALUES)
            .take(limit)
            .cloned()
            .collect()
    }

    pub(crate) fn values(&self) -> impl Iterator<Item = &Bytes> {
        self.chunks.iter().flat_map(|chunk| chunk.iter())
    }
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
}
