//! Finds the sessions whose time has come without a look at the others.
//!
//! Each session is listed under a time before which it does not expire. Using a session moves its expiry and leaves the
//! list alone: the session is listed anew when it is the first and turns out to expire later. So a use costs nothing,
//! and each look is paid for by a use. The list follows from the table and is no part of it.

use std::collections::{BTreeMap, BTreeSet};

use crate::ids::Index;
use crate::time::ClusterTime;

/// Sessions in the order of the times under which they are listed.
#[derive(Clone, Debug, Default)]
pub(super) struct Expiries {
    by_time: BTreeSet<(ClusterTime, Index)>,
    listed: BTreeMap<Index, ClusterTime>,
}

impl Expiries {
    /// Lists a session under the time at which it expires unless it is used.
    pub(super) fn insert(&mut self, name: Index, expires_at: ClusterTime) {
        self.remove(name);
        self.by_time.insert((expires_at, name));
        self.listed.insert(name, expires_at);
    }

    /// Forgets a session.
    pub(super) fn remove(&mut self, name: Index) {
        if let Some(time) = self.listed.remove(&name) {
            self.by_time.remove(&(time, name));
        }
    }

    /// Returns a session that has expired by `time`, if there is one. `expires_at` knows when a listed session expires.
    pub(super) fn due(
        &mut self,
        time: ClusterTime,
        expires_at: impl FnMut(Index) -> ClusterTime,
    ) -> Option<Index> {
        let (first, _) = *self.by_time.first()?;
        if first > time {
            return None;
        }
        let (expires_at, name) = self.first(expires_at)?;
        (expires_at <= time).then_some(name)
    }

    /// Returns the session that expires first, with the time at which it does.
    pub(super) fn first(
        &mut self,
        mut expires_at: impl FnMut(Index) -> ClusterTime,
    ) -> Option<(ClusterTime, Index)> {
        loop {
            let (listed, name) = *self.by_time.first()?;
            let actual = expires_at(name);
            if actual == listed {
                return Some((listed, name));
            }
            self.insert(name, actual);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Sessions 1 to 4000, of which the first expires after all others.
    fn one_idle_among_many() -> Expiries {
        let mut expiries = Expiries::default();
        expiries.insert(Index(1), ClusterTime(1_000_000));
        for name in 2..=4000 {
            expiries.insert(Index(name), ClusterTime(5000 + name));
        }
        expiries
    }

    #[test]
    fn a_session_that_was_not_used_is_due_at_its_time_and_not_before() {
        let mut expiries = one_idle_among_many();
        let listed = expiries.listed.clone();
        let mut due = |time| expiries.due(ClusterTime(time), |name| listed[&name]);

        assert_eq!((due(5001), due(5002)), (None, Some(Index(2))));
    }

    #[test]
    fn before_the_first_time_no_session_is_looked_at() {
        let mut expiries = one_idle_among_many();

        for _ in 0..20_000 {
            let due = expiries.due(ClusterTime(5000), |name| panic!("{name} is looked at"));
            assert_eq!(due, None);
        }
    }

    #[test]
    fn a_session_that_was_used_is_looked_at_once_for_each_use() {
        let mut expiries = Expiries::default();
        expiries.insert(Index(1), ClusterTime(10));
        expiries.insert(Index(2), ClusterTime(30));
        let mut looks = 0;

        for time in 10..30 {
            let due = expiries.due(ClusterTime(time), |_| {
                looks += 1;
                ClusterTime(30)
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
        let mut expiries = Expiries::default();
        expiries.insert(Index(1), ClusterTime(10));

        expiries.remove(Index(1));

        let due = expiries.due(ClusterTime(20), |_| ClusterTime(10));
        assert_eq!(due, None);
    }
}
