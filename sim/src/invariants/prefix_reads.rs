//! Reads of a sequence are prefixes of one another (plan 2.2), as nothing is ever taken out of it but its first values.

use std::collections::BTreeMap;

use super::{Verdict, demand};
use crate::digest::Digest;
use crate::operation::{Answer, Listed};

/// The sequences as reads have told them: by key, incarnation, length and first place, the digest of what was read.
#[derive(Debug, Default)]
pub struct PrefixReads {
    read: BTreeMap<(u8, u64, u64, u64), Digest>,
}

impl PrefixReads {
    /// A read is answered.
    ///
    /// # Errors
    /// When the sequence differs from one of the same length that was read before.
    pub fn answered(&mut self, key: u8, answer: Answer) -> Verdict {
        if let Answer::List(listed) = answer {
            let Listed { count, first, .. } = listed;
            let place = (key, count.incarnation(), count.len(), first);
            let before = *self.read.entry(place).or_insert(listed.digest);
            demand!(
                before == listed.digest,
                "the values of key {key} up to {count}, from {first} on, are read differently"
            );
        }
        Ok(())
    }
}
