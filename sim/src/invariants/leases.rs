//! A lease never ends early by the published cluster time, and always once it is due or revoked (plan 2.1 no. 16). The
//! key that was set with it goes with it.

use std::collections::{BTreeMap, BTreeSet};
use std::ops::Bound;

use liferaft_kv::{Found, LeaseId, Query};
use liferaft_raft::time::ClusterTime;

use super::{Verdict, demand};
use crate::leasing::{self, LeaseAct};
use crate::machine::Machine;

/// The leases that should live, and until when.
#[derive(Debug, Default)]
pub struct Leases {
    ends: BTreeMap<LeaseId, (u64, ClusterTime)>,
    /// The same in the order in which they are due.
    due: BTreeSet<(ClusterTime, LeaseId)>,
    /// The lease that was looked at last, of those that nothing happens to.
    looked_at: Option<LeaseId>,
    /// The lease that the key was last set with.
    used: Option<LeaseId>,
}

impl Leases {
    /// A machine, the first of all, has applied an entry.
    ///
    /// # Errors
    /// When a lease has ended that lives, or lives that has ended.
    pub fn applied(&mut self, machine: &Machine) -> Verdict {
        let time = machine.noted.time;
        match machine.noted.lease {
            Some(LeaseAct::Granted(lease, ttl_ms)) => {
                self.ends_at(lease, ttl_ms, ClusterTime(time.0 + ttl_ms));
            }
            Some(act @ (LeaseAct::Kept(lease, lives) | LeaseAct::Used(lease, lives))) => {
                let known = self.ends.get(&lease).copied();
                demand!(
                    lives == known.is_some_and(|(_, end)| time < end),
                    "lease {lease} is said to live: {lives}, at {time:?}, of {known:?}"
                );
                if let (LeaseAct::Kept(..), Some((ttl_ms, _)), true) = (act, known, lives) {
                    self.ends_at(lease, ttl_ms, ClusterTime(time.0 + ttl_ms));
                }
                if matches!(act, LeaseAct::Used(..)) && lives {
                    self.used = Some(lease);
                }
            }
            Some(LeaseAct::Revoked(lease, keys)) => {
                let known = self.ends.remove(&lease);
                if let Some((_, end)) = known {
                    self.due.remove(&(end, lease));
                }
                let lived = known.is_some_and(|(_, end)| time < end);
                let wanted = lived.then_some(u64::from(self.used == Some(lease)));
                demand!(
                    keys == wanted,
                    "{keys:?} keys are said to have gone with lease {lease}, {wanted:?} were to go"
                );
                demand!(
                    !lives(machine, lease),
                    "lease {lease} was revoked and lives"
                );
            }
            None => {}
        }
        while let Some((end, lease)) = self.due.first().copied()
            && end <= time
        {
            self.due.pop_first();
            self.ends.remove(&lease);
            demand!(
                !lives(machine, lease),
                "lease {lease} until {end:?} lives at {time:?}"
            );
        }
        let is_there = key_exists(machine);
        let is_held = self.used.is_some_and(|used| self.ends.contains_key(&used));
        demand!(
            is_there == is_held,
            "the key of lease {:?} is there: {is_there}, which is held: {is_held}",
            self.used
        );
        // Of those that are not due, the one that is next, and the others in turn.
        let soonest = self.due.first().map(|(_, lease)| *lease);
        self.looked_at = self.after(self.looked_at);
        for lease in soonest.into_iter().chain(self.looked_at) {
            demand!(
                lives(machine, lease),
                "lease {lease}, granted and kept until {:?}, has ended at {time:?}",
                self.ends.get(&lease)
            );
        }
        Ok(())
    }

    fn ends_at(&mut self, lease: LeaseId, ttl_ms: u64, end: ClusterTime) {
        if let Some((_, before)) = self.ends.insert(lease, (ttl_ms, end)) {
            self.due.remove(&(before, lease));
        }
        self.due.insert((end, lease));
    }

    /// The lease after this one, in a circle.
    fn after(&self, lease: Option<LeaseId>) -> Option<LeaseId> {
        let from = lease.map_or(Bound::Unbounded, Bound::Excluded);
        let mut later = self.ends.range((from, Bound::Unbounded));
        let next = later.next().or_else(|| self.ends.first_key_value());
        next.map(|(lease, _)| *lease)
    }
}

fn key_exists(machine: &Machine) -> bool {
    let key = leasing::KEYS[1].into();
    let found = machine.ask(Query::Entry { key }).outcome;
    matches!(found, Ok(Found::Entry(Some(_))))
}

fn lives(machine: &Machine, lease: LeaseId) -> bool {
    let found = machine.ask(Query::Lease { lease }).outcome;
    matches!(found, Ok(Found::Lease(Some(_))))
}
