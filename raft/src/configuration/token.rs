//! Keeps the access tokens of a cluster: whom an invitation lets in, as what, until when, and how often still.

use alloc::vec::Vec;
use core::fmt;

pub use liferaft_platform::TokenKey;

use super::scope::Scope;
use crate::time::ClusterTime;

/// The most access tokens that a configuration carries. Where one more is issued, those that have expired are dropped,
/// then the one that was used up and would expire first; if there is none, it is refused. A frame that claims more is
/// refused.
pub const TOKENS_MAX: usize = 64;

/// The public side of an invitation, as the log carries it.
///
/// Whoever holds its secret half may come in as what it grants, `uses_left` times, before cluster time reaches
/// `expires_at`. A use is recorded in the entry that lets the server in, so that every later leader knows of it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct AccessToken {
    /// Its key, which names it.
    pub key: TokenKey,
    /// What it grants.
    pub grants: Grants,
    /// When it expires: at this time it is not taken any more.
    pub expires_at: ClusterTime,
    /// How often it may be used still. One that is used up is remembered until it expires, as far as there is room.
    pub uses_left: u32,
    /// Which keys of the state it is for, where it grants reading or writing.
    pub scope: Scope,
}

/// What an access token grants.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Grants {
    /// A server may become a member.
    Membership,
    /// A client may read.
    Reading,
    /// A client may read and write.
    Writing,
    /// A client may read and write, and change who is a member, who leads and who is invited.
    Operating,
}

/// Why an access token lets nobody in.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
#[non_exhaustive]
pub enum TokenFault {
    /// It was never issued, was revoked, or is forgotten since it ended.
    Unknown,
    /// It has been used as often as it may be.
    UsedUp,
    /// It has expired, by cluster time.
    Expired,
    /// It grants something else.
    GrantsOther,
}

impl fmt::Display for TokenFault {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Unknown => "is not known",
            Self::UsedUp => "is used up",
            Self::Expired => "has expired",
            Self::GrantsOther => "grants something else",
        })
    }
}

impl AccessToken {
    /// What it adds to the [weight](super::Configuration::weight) of a configuration, in bytes.
    #[must_use]
    pub fn weight(&self) -> u64 {
        /// All but its scope.
        const HEAD: u64 = 55;
        HEAD + self.scope.weight()
    }

    /// Checks that it lets somebody in, as what it says it grants.
    ///
    /// # Errors
    /// [`TokenFault::Expired`] or [`TokenFault::UsedUp`].
    pub const fn check(&self, now: ClusterTime) -> Result<(), TokenFault> {
        if self.has_expired(now) {
            Err(TokenFault::Expired)
        } else if self.uses_left == 0 {
            Err(TokenFault::UsedUp)
        } else {
            Ok(())
        }
    }

    /// Returns true if it has expired.
    #[must_use]
    pub const fn has_expired(&self, now: ClusterTime) -> bool {
        now.0 >= self.expires_at.0
    }
}

/// The access tokens of a cluster, sorted by key.
///
/// Invariant: at most [`TOKENS_MAX`], no two with one key.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Tokens(Vec<AccessToken>);

impl Tokens {
    /// Takes these, the first [`TOKENS_MAX`] keys of them.
    pub(super) fn from_tokens(tokens: impl IntoIterator<Item = AccessToken>) -> Self {
        let mut sorted: Vec<AccessToken> = Vec::new();
        for token in tokens {
            if let Err(place) = sorted.binary_search_by_key(&token.key, |held| held.key) {
                sorted.insert(place, token);
                sorted.truncate(TOKENS_MAX);
            }
        }
        Self(sorted)
    }

    pub(super) fn as_slice(&self) -> &[AccessToken] {
        &self.0
    }

    pub(super) fn get(&self, key: TokenKey) -> Option<&AccessToken> {
        self.place(key).ok().map(|at| &self.0[at])
    }

    /// Takes one use of a token that was checked.
    pub(super) fn take_use(&mut self, key: TokenKey) {
        if let Ok(at) = self.place(key) {
            let token = &mut self.0[at];
            token.uses_left = token.uses_left.saturating_sub(1);
        }
    }

    /// Adds a token whose key is not there. Returns false if there is no room for it, whatever is forgotten.
    pub(super) fn insert(&mut self, token: AccessToken, now: ClusterTime) -> bool {
        if self.0.len() >= TOKENS_MAX {
            self.0.retain(|token| !token.has_expired(now));
        }
        if self.0.len() >= TOKENS_MAX {
            let used_up = self.0.iter().filter(|token| token.uses_left == 0);
            let Some(first) = used_up.min_by_key(|token| token.expires_at) else {
                return false;
            };
            let first = first.key;
            self.remove(first);
        }
        if let Err(at) = self.place(token.key) {
            self.0.insert(at, token);
        }
        true
    }

    /// Removes a token. Returns false if it is not there.
    pub(super) fn remove(&mut self, key: TokenKey) -> bool {
        let place = self.place(key);
        place.map(|at| self.0.remove(at)).is_ok()
    }

    fn place(&self, key: TokenKey) -> Result<usize, usize> {
        self.0.binary_search_by_key(&key, |token| token.key)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::configuration::PublicKey;

    const NOW: ClusterTime = ClusterTime(1000);

    fn token(key: u8, expires_at: u64, uses_left: u32) -> AccessToken {
        AccessToken {
            key: TokenKey(PublicKey([key; 32])),
            grants: Grants::Membership,
            expires_at: ClusterTime(expires_at),
            uses_left,
            scope: Scope::everything(),
        }
    }

    /// As many tokens as there may be, with keys from 1 on, of which none may be forgotten.
    fn full() -> Tokens {
        Tokens::from_tokens((1..=64).map(|key| token(key, 5000, 1)))
    }

    #[test]
    fn a_token_is_good_until_it_expires_or_is_used_up() {
        let checks = [(1001, 1), (1000, 1), (1001, 0), (1000, 0)];

        let found = checks.map(|(expires_at, uses)| token(1, expires_at, uses).check(NOW));

        let expired = Err(TokenFault::Expired);
        assert_eq!(found, [Ok(()), expired, Err(TokenFault::UsedUp), expired]);
    }

    #[test]
    fn where_all_tokens_are_good_there_is_room_for_no_other() {
        let mut tokens = full();

        let has_room = tokens.insert(token(99, 5000, 1), NOW);

        assert!(!has_room);
        assert_eq!(tokens, full());
    }

    #[test]
    fn expired_tokens_make_room_before_one_that_is_used_up() {
        let mut tokens = full();
        for ended in [token(1, 900, 1), token(2, 1000, 0), token(3, 5000, 0)] {
            tokens.remove(ended.key);
            tokens.insert(ended, NOW);
        }

        assert!(tokens.insert(token(99, 5000, 1), NOW));

        let kept = [1, 2, 3, 99].map(|key| tokens.get(TokenKey(PublicKey([key; 32]))).is_some());
        assert_eq!(kept, [false, false, true, true]);
    }

    #[test]
    fn of_those_used_up_the_one_that_expires_first_makes_room() {
        let mut tokens = full();
        for ended in [token(1, 4000, 0), token(2, 3000, 0)] {
            tokens.remove(ended.key);
            tokens.insert(ended, NOW);
        }

        assert!(tokens.insert(token(99, 5000, 1), NOW));

        let kept = [1, 2, 99].map(|key| tokens.get(TokenKey(PublicKey([key; 32]))).is_some());
        assert_eq!(kept, [true, false, true]);
    }
}
