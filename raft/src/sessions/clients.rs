//! Decides which session of a client gives way to one more, by the tokens that let the clients in.
//!
//! A client draws its key, and so as many as it likes: a quota for each key holds nobody back who has a token. Tokens
//! are issued by operators, so what the clients of a cluster share is shared between tokens. Clients that an open
//! cluster let in without one share among themselves, and count as one token where all are compared.

use core::cmp::Reverse;

use super::limits::{CLIENT_SESSIONS_MAX, TOKEN_SESSIONS_MAX};
use super::order::Order;
use crate::configuration::TokenKey;
use crate::ids::Index;
use crate::sorted::{SortedMap, SortedSet};

/// The sessions of clients by the tokens of their owners. They follow from the table and are no part of it.
#[derive(Clone, Debug, Default)]
pub(super) struct ClientSessions {
    /// Those of each token that has any, by their last use.
    by_token: SortedMap<Option<TokenKey>, Order>,
    /// The tokens by how many they have; of equals, the one of the lowest key comes last.
    by_count: SortedSet<(usize, Reverse<Option<TokenKey>>)>,
    count: usize,
}

impl ClientSessions {
    /// How many there are.
    pub(super) const fn len(&self) -> usize {
        self.count
    }

    /// How many a token has.
    pub(super) fn count_of(&self, token: Option<TokenKey>) -> usize {
        self.by_token.get(&token).map_or(0, Order::len)
    }

    /// Takes in a session of this token.
    pub(super) fn insert(&mut self, token: Option<TokenKey>, name: Index, last_used: Index) {
        let before = self.count_of(token);
        self.by_token
            .entry(token)
            .or_default()
            .insert(name, last_used.0);
        self.recount(token, before);
    }

    /// Forgets a session of this token.
    pub(super) fn remove(&mut self, token: Option<TokenKey>, name: Index) {
        let before = self.count_of(token);
        if let Some(order) = self.by_token.get_mut(&token) {
            order.remove(name);
            if order.len() == 0 {
                self.by_token.remove(&token);
            }
        }
        self.recount(token, before);
    }

    fn recount(&mut self, token: Option<TokenKey>, before: usize) {
        let after = self.count_of(token);
        self.by_count.remove(&(before, Reverse(token)));
        if after > 0 {
            self.by_count.insert((after, Reverse(token)));
        }
        self.count = self.count - before + after;
    }

    /// Returns the session that gives way to one more of this token, if one has to. `last_used` knows the last use of
    /// each.
    ///
    /// A token that has [`TOKEN_SESSIONS_MAX`] gives way to itself. If [`CLIENT_SESSIONS_MAX`] are open, the token
    /// gives way that would have most with the one more, and of equals the one that asks. So whoever loses a session to
    /// another token had more than an equal share.
    pub(super) fn gives_way(
        &mut self,
        token: Option<TokenKey>,
        mut last_used: impl FnMut(Index) -> Index,
    ) -> Option<Index> {
        let own = self.count_of(token);
        let from = if token.is_some() && own >= TOKEN_SESSIONS_MAX {
            token
        } else if self.count >= CLIENT_SESSIONS_MAX {
            let &(most, Reverse(other)) = self.by_count.last()?;
            match own > 0 && own + 1 >= most {
                true => token,
                false => other,
            }
        } else {
            return None;
        };
        let first = self
            .by_token
            .get_mut(&from)?
            .first(|name| last_used(name).0);
        first.map(|(_, name)| name)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::configuration::PublicKey;

    const fn token(number: u8) -> Option<TokenKey> {
        Some(TokenKey(PublicKey([number; 32])))
    }

    /// A full table, in which the tokens from 0 to 63 have as many sessions each.
    fn full() -> ClientSessions {
        let mut sessions = ClientSessions::default();
        for name in 1..=CLIENT_SESSIONS_MAX as u64 {
            sessions.insert(token_of(name), Index(name), Index(name));
        }
        sessions
    }

    fn token_of(name: u64) -> Option<TokenKey> {
        let [number, ..] = (name % 64).to_le_bytes();
        token(number)
    }

    #[test]
    fn of_tokens_that_have_as_many_the_one_that_asks_gives_way() {
        let mut sessions = full();

        let of_asking = [5, 63].map(|number| sessions.gives_way(token(number), |name| name));
        let of_another = sessions.gives_way(token(64), |name| name);

        assert_eq!(of_asking, [Some(Index(5)), Some(Index(63))]);
        assert_eq!(of_another, Some(Index(64)), "the idlest of the lowest key");
    }

    #[test]
    fn a_flood_of_registrations_looks_at_few_sessions() {
        const FLOOD: u64 = 20_000;
        let mut sessions = full();
        let mut looks = 0_u64;

        for name in (1 << 20)..(1 << 20) + FLOOD {
            let idlest = sessions.gives_way(token(7), |name| {
                looks += 1;
                name
            });
            let idlest = idlest.expect("the table is full");
            sessions.remove(token(7), idlest);
            sessions.insert(token(7), Index(name), Index(name));
        }

        assert_eq!((looks, sessions.len()), (FLOOD, CLIENT_SESSIONS_MAX));
    }

    #[test]
    fn what_is_forgotten_counts_for_nothing() {
        let mut sessions = full();

        for name in 1..=CLIENT_SESSIONS_MAX as u64 {
            sessions.remove(token_of(name), Index(name));
            sessions.remove(token_of(name), Index(name));
        }

        assert_eq!(sessions.len(), 0);
        assert!(sessions.by_token.is_empty() && sessions.by_count.is_empty());
    }
}
