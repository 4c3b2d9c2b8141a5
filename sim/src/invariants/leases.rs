//! A lease never ends early by the published cluster time, and always once it is due (plan 2.1 no. 16).

use std::collections::BTreeMap;

use liferaft_kv::{Found, LeaseId, Query};
use liferaft_raft::time::ClusterTime;

use super::{Verdict, demand};
use crate::leasing::LeaseAct;
use crate::machine::Machine;

/// The leases that should live, and until when.
#[derive(Debug, Default)]
pub struct Leases {
    ends: BTreeMap<LeaseId, (u64, ClusterTime)>,
}

impl Leases {
    /// A machine, the first of all, has applied an entry.
    ///
    /// # Errors
    /// When a lease has ended that lives, or lives that has ended.
    pub fn applied(&mut self, machine: &Machine) -> Verdict {
        let time = machine.noted.time;
        let has_ended = |ends: &BTreeMap<LeaseId, (u64, ClusterTime)>, lease: &LeaseId| {
            ends.get(lease).is_none_or(|(_, end)| *end <= time)
        };
        match machine.noted.lease {
            Some(LeaseAct::Granted(lease, ttl_ms)) => {
                self.ends
                    .insert(lease, (ttl_ms, ClusterTime(time.0 + ttl_ms)));
            }
            Some(LeaseAct::Kept(lease, lives) | LeaseAct::Used(lease, lives)) => {
                demand!(
                    lives != has_ended(&self.ends, &lease),
                    "lease {lease} is said to live: {lives}, at {time:?}, of {:?}",
                    self.ends.get(&lease)
                );
                if let (LeaseAct::Kept(..), Some((ttl_ms, end))) = (
                    machine.noted.lease.expect("it was just matched"),
                    self.ends.get_mut(&lease),
                ) && lives
                {
                    *end = ClusterTime(time.0 + *ttl_ms);
                }
            }
            None => {}
        }
        for (lease, (_, end)) in &self.ends {
            let found = machine.ask(Query::Lease { lease: *lease }).outcome;
            let lives = matches!(found, Ok(Found::Lease(Some(_))));
            demand!(
                lives == (time < *end),
                "lease {lease} until {end:?} lives at {time:?}: {lives}"
            );
        }
        self.ends.retain(|_, (_, end)| time < *end);
        Ok(())
    }
}
