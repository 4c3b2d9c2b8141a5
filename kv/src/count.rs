//! The counter of a sequence, which tells one life of a sequence from the next.

use core::fmt;
use core::str::FromStr;

use serde::{Deserialize, Serialize};
use thiserror::Error;

/// How many values were appended to a sequence, and which sequence that is: what `seq_append` compares. Those that are
/// trimmed count: the places of the others stay as they are.
///
/// A bare number would be ambiguous: a sequence that is deleted and made again soon has as many values as it had
/// before, and an appender who knows only the old ones would be let in. A count therefore also carries the sequence's
/// *incarnation*: the store numbers the sequences that it makes, over all keys and for ever, and gives no number twice.
/// A count from an earlier life of a key never matches a later one.
///
/// [`Count::ZERO`] is the count of every key that does not exist. It says "nothing is there" and has no past: it
/// matches whenever nothing is there, also after a deletion, and never matches a sequence, since none is empty.
///
/// Counts are handed out by the operations on sequences, stored (serde) and shown as text, `7@42` for seven values in
/// the 42nd sequence that was made, and `0` for none:
///
/// ```
/// # mod liferaft { pub use liferaft_kv as kv; }
/// use liferaft::kv::Count;
///
/// let count: Count = "7@42".parse()?;
/// assert_eq!(count.len(), 7);
/// assert_eq!(count.to_string(), "7@42");
/// assert_eq!("0".parse(), Ok(Count::ZERO));
/// # Ok::<(), liferaft::kv::ParseCountError>(())
/// ```
#[derive(Clone, Copy, PartialEq, Eq, Hash, Default, Serialize, Deserialize)]
pub struct Count {
    incarnation: u64,
    len: u64,
}

impl Count {
    /// The count of a key that does not exist.
    pub const ZERO: Self = Self {
        incarnation: 0,
        len: 0,
    };

    pub(crate) const fn new(incarnation: u64, len: u64) -> Self {
        Self { incarnation, len }
    }

    /// The number of values, those that are trimmed included, which is also the place of the next one.
    #[must_use]
    pub const fn len(self) -> u64 {
        self.len
    }

    /// Whether it is [`Count::ZERO`]: nothing exists.
    #[must_use]
    pub const fn is_empty(self) -> bool {
        self.len == 0
    }

    /// The counter as it was before the last `values` were appended: of this sequence, [`Count::ZERO`] if it had no
    /// more.
    ///
    /// ```
    /// # mod liferaft { pub use liferaft_kv as kv; }
    /// use liferaft::kv::Count;
    ///
    /// let count: Count = "7@42".parse()?;
    /// assert_eq!(count.less(2), "5@42".parse()?);
    /// assert_eq!(count.less(7), Count::ZERO);
    /// # Ok::<(), liferaft::kv::ParseCountError>(())
    /// ```
    #[must_use]
    pub const fn less(self, values: u64) -> Self {
        match self.len.saturating_sub(values) {
            0 => Self::ZERO,
            len => Self { len, ..self },
        }
    }

    /// Which of all sequences that the store ever made it is; 0 for none.
    #[must_use]
    pub const fn incarnation(self) -> u64 {
        self.incarnation
    }
}

impl fmt::Display for Count {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match *self {
            Self::ZERO => f.write_str("0"),
            Self { incarnation, len } => write!(f, "{len}@{incarnation}"),
        }
    }
}

impl fmt::Debug for Count {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

impl FromStr for Count {
    type Err = ParseCountError;

    fn from_str(text: &str) -> Result<Self, ParseCountError> {
        if text == "0" {
            return Ok(Self::ZERO);
        }
        let (len, incarnation) = text.split_once('@').ok_or(ParseCountError)?;
        let number = |digits: &str| match digits.parse::<u64>() {
            Ok(number) if number > 0 => Ok(number),
            Ok(_) | Err(_) => Err(ParseCountError),
        };
        Ok(Self {
            incarnation: number(incarnation)?,
            len: number(len)?,
        })
    }
}

/// A text that is not a [`Count`].
#[derive(Clone, Copy, Debug, PartialEq, Eq, Error)]
#[error("not a count: it looks like 7@42, or 0")]
pub struct ParseCountError;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_text_that_names_no_sequence_is_not_a_count() {
        for text in [
            "",
            "7",
            "00",
            "@",
            "7@",
            "@9",
            "0@9",
            "7@0",
            "-1@9",
            "7@9@1",
            "99999999999999999999@1",
        ] {
            assert_eq!(text.parse::<Count>(), Err(ParseCountError), "{text}");
        }
    }
}
