//! Names the keys that a scan reads and a watch follows.

use core::fmt;
use core::ops::Bound;

use bytes::Bytes;
use serde::{Deserialize, Serialize};

use crate::error::{Refused, Shown};
use crate::into_bytes::IntoBytes;
use crate::limits::KEY_BYTES_MAX;

/// A selection of keys, in the order of their bytes.
///
/// ```
/// # mod liferaft { pub use liferaft_kv as kv; }
/// use liferaft::kv::Keys;
///
/// assert!(Keys::prefix("chat/").contains(b"chat/hill"));
/// assert!(Keys::range("a", "c").contains(b"b"));
/// assert!(!Keys::range("a", "c").contains(b"c"));
/// assert!(Keys::all().contains(b"anything"));
/// ```
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[non_exhaustive]
pub enum Keys {
    /// This key.
    One(Bytes),
    /// All that begin so; with no bytes, all there are.
    Prefix(Bytes),
    /// All from the first, and before the second; `None`: to the last there is.
    Range(Bytes, Option<Bytes>),
}

impl Keys {
    /// One key.
    pub fn one(key: impl IntoBytes) -> Self {
        Self::One(key.into_bytes())
    }

    /// All keys that begin with `prefix`.
    pub fn prefix(prefix: impl IntoBytes) -> Self {
        Self::Prefix(prefix.into_bytes())
    }

    /// All keys from `from`, and before `to`.
    pub fn range(from: impl IntoBytes, to: impl IntoBytes) -> Self {
        Self::Range(from.into_bytes(), Some(to.into_bytes()))
    }

    /// All keys from `from` on.
    pub fn since(from: impl IntoBytes) -> Self {
        Self::Range(from.into_bytes(), None)
    }

    /// All keys.
    #[must_use]
    pub const fn all() -> Self {
        Self::Prefix(Bytes::new())
    }

    /// Whether a key is one of them.
    #[must_use]
    pub fn contains(&self, key: &[u8]) -> bool {
        match self {
            Self::One(one) => one == key,
            Self::Prefix(prefix) => key.starts_with(prefix),
            Self::Range(from, to) => key >= &from[..] && to.as_ref().is_none_or(|to| key < &to[..]),
        }
    }

    /// Checks the lengths of what the selection is made of.
    ///
    /// # Errors
    /// When they exceed [`KEY_BYTES_MAX`], or the one key is empty.
    pub fn check(&self) -> Result<(), Refused> {
        match self {
            Self::One(key) => crate::limits::check_key(key),
            Self::Prefix(prefix) => check_bound(prefix),
            Self::Range(from, to) => [from].into_iter().chain(to).try_for_each(check_bound),
        }
    }

    pub(crate) fn bytes(&self) -> usize {
        match self {
            Self::One(key) | Self::Prefix(key) => key.len(),
            Self::Range(from, to) => from.len() + to.as_ref().map_or(0, Bytes::len),
        }
    }

    /// The bounds of the selection; `None` if no key can be in it.
    pub(crate) fn bounds(&self) -> Option<(Bound<Bytes>, Bound<Bytes>)> {
        let bounds = match self {
            Self::One(key) => (Bound::Included(key.clone()), Bound::Included(key.clone())),
            Self::Prefix(prefix) => (Bound::Included(prefix.clone()), end_of_prefix(prefix)),
            Self::Range(from, None) => (Bound::Included(from.clone()), Bound::Unbounded),
            Self::Range(from, Some(to)) if from < to => {
                (Bound::Included(from.clone()), Bound::Excluded(to.clone()))
            }
            Self::Range(..) => return None,
        };
        Some(bounds)
    }
}

/// The first key after all that begin with `prefix`.
pub(crate) fn end_of_prefix(prefix: &[u8]) -> Bound<Bytes> {
    let counted = prefix.iter().rposition(|byte| *byte < u8::MAX);
    counted.map_or(Bound::Unbounded, |last| {
        let mut end = prefix[..=last].to_vec();
        end[last] += 1;
        Bound::Excluded(end.into())
    })
}

fn check_bound(bound: &Bytes) -> Result<(), Refused> {
    match bound.len() {
        0..=KEY_BYTES_MAX => Ok(()),
        bytes => Err(Refused::KeyTooLong {
            bytes: bytes as u64,
        }),
    }
}

impl fmt::Display for Keys {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::One(key) => write!(f, "{}", Shown(key)),
            Self::Prefix(prefix) => write!(f, "{}*", Shown(prefix)),
            Self::Range(from, None) => write!(f, "{}..", Shown(from)),
            Self::Range(from, Some(to)) => write!(f, "{}..{}", Shown(from), Shown(to)),
        }
    }
}

impl fmt::Debug for Keys {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn is_within(keys: &Keys, key: &'static [u8]) -> bool {
        keys.bounds().is_some_and(|(from, to)| {
            let after = match &from {
                Bound::Included(from) => key >= &from[..],
                Bound::Excluded(_) | Bound::Unbounded => true,
            };
            let before = match &to {
                Bound::Included(to) => key <= &to[..],
                Bound::Excluded(to) => key < &to[..],
                Bound::Unbounded => true,
            };
            after && before
        })
    }

    #[test]
    fn the_bounds_of_a_prefix_hold_what_begins_with_it_and_nothing_else() {
        let chat = Keys::prefix("ab");
        let edge = Keys::prefix(&b"a\xff"[..]);
        let last = Keys::prefix(&b"\xff"[..]);

        let within = [
            is_within(&chat, b"ab"),
            is_within(&chat, b"ab\xff\xff"),
            is_within(&edge, b"a\xff\xff"),
            is_within(&last, b"\xff\xff"),
            is_within(&Keys::all(), b"\x00"),
        ];
        let without = [
            is_within(&chat, b"aa\xff"),
            is_within(&chat, b"ac"),
            is_within(&edge, b"b"),
            is_within(&last, b"\xfe"),
        ];

        assert_eq!((within, without), ([true; 5], [false; 4]));
    }

    #[test]
    fn a_range_that_ends_before_it_begins_holds_nothing() {
        assert_eq!(Keys::range("b", "a").bounds(), None);
        assert_eq!(Keys::range("a", "a").bounds(), None);
        assert!(!Keys::range("b", "a").contains(b"a"));
    }
}
