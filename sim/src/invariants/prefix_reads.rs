//! Reads of a sequence are prefixes of one another (plan 2.2), as nothing is ever taken out of it.

use std::collections::BTreeMap;

use super::{Verdict, demand};
use crate::digest::Digest;
use crate::operation::Answer;

/// The sequences as reads have told them: by key, the digest of each length that was read.
#[derive(Debug, Default)]
pub struct PrefixReads {
    read: BTreeMap<(u8, u64), Digest>,
}

impl PrefixReads {
    /// A read is answered.
    ///
    /// # Errors
    /// When the sequence differs from one of the same length that was read before.
    pub fn answered(&mut self, key: u8, answer: Answer) -> Verdict {
        if let Answer::List(count, digest) = answer {
            let before = *self.read.entry((key, count)).or_insert(digest);
            demand!(
                before == digest,
                "the first {count} values of key {key} are read differently"
            );
        }
        Ok(())
    }
}
