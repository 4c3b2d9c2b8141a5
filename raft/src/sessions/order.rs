//! Finds the session that comes first by a key that grows with each use, without a look at the others.
//!
//! Each session is listed under a key that its own is not below: the time at which it expires, or its last use. Using a
//! session moves its key and leaves the list alone: the session is listed anew when it is the first and turns out to
//! come later. So a use costs nothing, and each look is paid for by a use. The list follows from the table and is no
//! part of it.
//!
//! Keys are numbers, of cluster times or of indices: so both share one code.

use alloc::collections::{BTreeMap, BTreeSet};

use crate::ids::Index;

/// Sessions in the order of the keys under which they are listed.
#[derive(Clone, Debug, Default)]
pub(super) struct Order {
    by_key: BTreeSet<(u64, Index)>,
    listed: BTreeMap<Index, u64>,
}

impl Order {
    /// How many sessions are listed.
    pub(super) fn len(&self) -> usize {
        self.listed.len()
    }

    /// Lists a session under its key, which only grows from here on.
    pub(super) fn insert(&mut self, name: Index, key: u64) {
        self.remove(name);
        self.by_key.insert((key, name));
        self.listed.insert(name, key);
    }

    /// Forgets a session.
    pub(super) fn remove(&mut self, name: Index) {
        if let Some(key) = self.listed.remove(&name) {
            self.by_key.remove(&(key, name));
        }
    }

    /// Returns a session whose key is at most `limit`, if there is one. `key_of` knows the key of a listed session.
    pub(super) fn due(&mut self, limit: u64, key_of: impl FnMut(Index) -> u64) -> Option<Index> {
        let (first, _) = *self.by_key.first()?;
        if first > limit {
            return None;
        }
        let (key, name) = self.first(key_of)?;
        (key <= limit).then_some(name)
    }

    /// Returns the session that comes first, with its key.
    pub(super) fn first(&mut self, mut key_of: impl FnMut(Index) -> u64) -> Option<(u64, Index)> {
        loop {
            let (listed, name) = *self.by_key.first()?;
            let key = key_of(name);
            if key == listed {
                return Some((listed, name));
            }
            self.insert(name, key);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Sessions 1 to 4000, of which the first expires after all others.
    fn one_idle_among_many() -> Order {
        let mut order = Order::default();
        order.insert(Index(1), 1_000_000);
        for name in 2..=4000 {
            order.insert(Index(name), 5000 + name);
        }
        order
    }

    #[test]
    fn a_session_that_was_not_used_is_due_at_its_time_and_not_before() {
        let mut order = one_idle_among_many();
        let listed = order.listed.clone();
        let mut due = |time| order.due(time, |name| listed[&name]);

        assert_eq!((due(5001), due(5002)), (None, Some(Index(2))));
    }

    #[test]
    fn before_the_first_time_no_session_is_looked_at() {
        let mut order = one_idle_among_many();

        for _ in 0..20_000 {
            let due = order.due(5000, |name| panic!("{name} is looked at"));
            assert_eq!(due, None);
        }
    }

    #[test]
    fn a_session_that_was_used_is_looked_at_once_for_each_use() {
        let mut order = Order::default();
        order.insert(Index(1), 10);
        order.insert(Index(2), 30);
        let mut looks = 0;

        for time in 10..30 {
            let due = order.due(time, |_| {
                looks += 1;
                30
            });
            assert_eq!(due, None);
        }

        assert_eq!(
            looks, 2,
            "the one that is listed anew, and that as the first"
        );
    }

    #[test]
    fn a_session_that_was_removed_is_never_due() {
        let mut order = Order::default();
        order.insert(Index(1), 10);

        order.remove(Index(1));

        let due = order.due(20, |_| 10);
        assert_eq!(due, None);
    }
}
