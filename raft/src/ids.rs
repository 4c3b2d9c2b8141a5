//! The names of things: servers, clusters, terms, log indices.
//!
//! Each is a type of its own, so that a term can never be passed where an index is meant.

use core::fmt;

pub use liferaft_platform::{Boot, ClusterId, EARLIER_STARTS_MAX, ParseIdError, ServerId, Starts};

/// A term: a span of time with at most one leader (§3.3). Terms only grow.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Default)]
pub struct Term(pub u64);

/// A place in the log. The first entry has index 1; [`Index::ZERO`] is the place before it.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Default)]
pub struct Index(pub u64);

/// The number of one broadcast of a leader, monotone within its term and echoed by acknowledgements.
///
/// What a quorum has echoed was confirmed after the round was sent, whatever the network duplicated or delayed.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Default)]
pub struct Round(pub u64);

/// A log position: an index and the term of the entry there.
///
/// The order is that of §3.6.1, "at least as up to date": by term first, then by index.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Default)]
pub struct LogPosition {
    /// The term of the entry at `index`.
    pub term: Term,
    /// The index in the log.
    pub index: Index,
}

impl Term {
    /// The term before any election.
    pub const ZERO: Self = Self(0);

    /// The following term.
    ///
    /// # Panics
    /// When the term counter is exhausted, which messages cannot bring about: a jump of terms is refused.
    #[must_use]
    pub fn next(self) -> Self {
        Self(
            self.0
                .checked_add(1)
                .expect("a term counter of 64 bits is never exhausted by elections"),
        )
    }
}

impl Index {
    /// The place before the first entry.
    pub const ZERO: Self = Self(0);

    /// The following index.
    ///
    /// # Panics
    /// When the index counter is exhausted, which messages cannot bring about: an entry must follow its predecessor.
    #[must_use]
    pub fn next(self) -> Self {
        self.plus(1)
    }

    /// The index before this one; that before [`Index::ZERO`] is itself.
    #[must_use]
    pub const fn previous(self) -> Self {
        Self(self.0.saturating_sub(1))
    }

    /// The index `count` places further on.
    ///
    /// # Panics
    /// When the index counter is exhausted, as in [`Index::next`].
    #[must_use]
    pub fn plus(self, count: u64) -> Self {
        Self(
            self.0
                .checked_add(count)
                .expect("a log of 64 bits of entries is never full"),
        )
    }

    /// How many places this index lies beyond `earlier`; 0 if it does not.
    #[must_use]
    pub const fn distance_from(self, earlier: Self) -> u64 {
        self.0.saturating_sub(earlier.0)
    }
}

impl Round {
    /// The round before the first.
    pub const ZERO: Self = Self(0);

    /// The following round.
    #[must_use]
    pub const fn next(self) -> Self {
        Self(self.0 + 1)
    }
}

impl LogPosition {
    /// The position before the first entry.
    pub const ZERO: Self = Self {
        term: Term::ZERO,
        index: Index::ZERO,
    };

    /// A position from its parts.
    #[must_use]
    pub const fn new(term: Term, index: Index) -> Self {
        Self { term, index }
    }
}

macro_rules! display_number {
    ($($name:ident),*) => {$(
        impl fmt::Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                fmt::Display::fmt(&self.0, f)
            }
        }
        impl fmt::Debug for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                fmt::Display::fmt(&self.0, f)
            }
        }
    )*};
}
display_number!(Term, Index, Round);

/// Index and term, as `index@term`.
impl fmt::Display for LogPosition {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}@{}", self.index, self.term)
    }
}

impl fmt::Debug for LogPosition {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

/// Ends an error's text with the leader's name, if it is known.
#[derive(Clone, Copy, Debug)]
pub struct Hint<'a>(pub &'a Option<ServerId>);

impl fmt::Display for Hint<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.0 {
            Some(leader) => write!(f, "; the leader is server {leader}"),
            None => Ok(()),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_later_term_is_more_up_to_date_than_a_longer_log() {
        let longer = LogPosition::new(Term(2), Index(9));
        let later = LogPosition::new(Term(3), Index(1));

        assert!(later > longer);
        assert!(LogPosition::new(Term(2), Index(10)) > longer);
    }
}
