//! Limits what a client may touch: the beginnings of keys that an access token is for.
//!
//! The log carries a scope unread. What a key is only the state machine knows, which judges for the leader whether a
//! command or a query stays within it.

use alloc::vec::Vec;

use bytes::Bytes;
use thiserror::Error;

/// The most prefixes that a scope has. A frame that claims more is refused.
pub const SCOPE_PREFIXES_MAX: usize = 4;

/// The longest prefix of a scope, in bytes. A frame that claims a longer one is refused.
pub const SCOPE_PREFIX_BYTES_MAX: usize = 64;

/// Which keys an access token is for: all there are, or those that begin with one of some prefixes.
///
/// ```
/// # use liferaft_raft as liferaft;
/// use liferaft::configuration::Scope;
///
/// let camp = Scope::of_prefixes(["camp/", "weather/"])?;
/// assert!(camp.contains(b"camp/1"));
/// assert!(!camp.contains(b"tent/1"));
/// assert!(Scope::everything().contains(b"tent/1"));
/// # Ok::<_, liferaft::configuration::InvalidScope>(())
/// ```
#[derive(Clone, Debug, Default, PartialEq, Eq, Hash)]
pub struct Scope {
    /// None if it is everything. Otherwise at most [`SCOPE_PREFIXES_MAX`], none of them empty or longer than
    /// [`SCOPE_PREFIX_BYTES_MAX`].
    prefixes: Vec<Bytes>,
}

/// Why prefixes limit no token.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Error)]
#[non_exhaustive]
pub enum InvalidScope {
    /// There is no prefix: what is limited to nothing is not meant to be everything.
    #[error("there is no prefix")]
    NoPrefix,
    /// There are more prefixes than [`SCOPE_PREFIXES_MAX`].
    #[error("there are more than {SCOPE_PREFIXES_MAX} prefixes")]
    TooManyPrefixes,
    /// A prefix is empty, with which all keys begin, or longer than [`SCOPE_PREFIX_BYTES_MAX`].
    #[error("a prefix has {bytes} bytes: it takes 1 to {SCOPE_PREFIX_BYTES_MAX}")]
    PrefixLength {
        /// Its length.
        bytes: usize,
    },
    /// Only what a client reads and writes is limited to keys: who may join or operate has all of the state.
    #[error("only an invitation to read or to write is limited to keys")]
    NotForClients,
}

impl Scope {
    /// Returns the scope of a token that is not limited.
    #[must_use]
    pub const fn everything() -> Self {
        Self {
            prefixes: Vec::new(),
        }
    }

    /// Returns the scope of keys that begin with one of these.
    ///
    /// # Errors
    /// When there is none, there are too many, or one is empty or too long.
    pub fn of_prefixes<P: AsRef<[u8]>>(
        prefixes: impl IntoIterator<Item = P>,
    ) -> Result<Self, InvalidScope> {
        let mut scope = Self::everything();
        for prefix in prefixes {
            let prefix = prefix.as_ref();
            if scope.prefixes.len() >= SCOPE_PREFIXES_MAX {
                return Err(InvalidScope::TooManyPrefixes);
            }
            if !(1..=SCOPE_PREFIX_BYTES_MAX).contains(&prefix.len()) {
                let bytes = prefix.len();
                return Err(InvalidScope::PrefixLength { bytes });
            }
            scope.prefixes.push(Bytes::copy_from_slice(prefix));
        }
        if scope.is_everything() {
            return Err(InvalidScope::NoPrefix);
        }
        Ok(scope)
    }

    /// Returns true if it limits nothing.
    #[must_use]
    pub const fn is_everything(&self) -> bool {
        self.prefixes.is_empty()
    }

    /// Returns its prefixes, at most [`SCOPE_PREFIXES_MAX`]; none if it is everything.
    #[must_use]
    pub fn prefixes(&self) -> &[Bytes] {
        &self.prefixes
    }

    /// Returns true if this key is in it.
    #[must_use]
    pub fn contains(&self, key: &[u8]) -> bool {
        self.is_everything() || self.prefixes.iter().any(|prefix| key.starts_with(prefix))
    }

    /// What it adds to the weight of its token, in bytes.
    pub(super) fn weight(&self) -> u64 {
        /// Its key and its length, and one byte more for the length of the token around it.
        const HEAD: u64 = 4;
        /// The key and the length of a prefix.
        const PREFIX: u64 = 2;
        let prefixes = self.prefixes.iter();
        let prefixes: u64 = prefixes.map(|prefix| PREFIX + prefix.len() as u64).sum();
        match self.is_everything() {
            true => 0,
            false => HEAD + prefixes,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_scope_holds_the_keys_that_begin_with_a_prefix_of_it() {
        let scope = Scope::of_prefixes(["camp/", "log"]).expect("it is short");

        let within = ["camp/", "camp/1", "log", "logs"].map(|key| scope.contains(key.as_bytes()));
        let without = ["", "camp", "cam", "xcamp/1"].map(|key| scope.contains(key.as_bytes()));

        assert_eq!((within, without), ([true; 4], [false; 4]));
    }

    #[test]
    fn a_scope_is_never_everything_by_mistake() {
        let long = "p".repeat(SCOPE_PREFIX_BYTES_MAX + 1);
        let none: [&str; 0] = [];

        let refused = [
            Scope::of_prefixes(none),
            Scope::of_prefixes(["camp/", ""]),
            Scope::of_prefixes([&*long]),
            Scope::of_prefixes(["a", "b", "c", "d", "e"]),
        ];

        assert_eq!(
            refused.map(Result::unwrap_err),
            [
                InvalidScope::NoPrefix,
                InvalidScope::PrefixLength { bytes: 0 },
                InvalidScope::PrefixLength { bytes: 65 },
                InvalidScope::TooManyPrefixes,
            ]
        );
    }
}
