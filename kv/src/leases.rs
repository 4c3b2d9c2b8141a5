//! Leases: how long ephemeral keys live, by cluster time.
//!
//! A lease ends when cluster time reaches its end, at a definite entry of the log: the first whose stamp is not before
//! it. No clock of a member takes part, and cluster time stands still while nobody leads, so a leader that stalled or a
//! cluster without a quorum ends nobody's lease, and a new leader gives every holder the time of the election on top.

use core::num::NonZeroU64;
use core::time::Duration;

use bytes::Bytes;
use imbl::{OrdMap, OrdSet};
use liferaft_raft::time::ClusterTime;

use crate::entry::LeaseId;
use crate::error::Refused;
use crate::limits::{LEASE_TTL_MAX, LEASE_TTL_MIN, LEASES_MAX};
use crate::revision::Revision;

/// The leases of a store. A clone shares everything.
#[derive(Clone, Default, PartialEq, Eq)]
pub(crate) struct Leases {
    leases: OrdMap<LeaseId, Granted>,
    /// Derived from the leases: in the order in which they end.
    ends: OrdSet<(ClusterTime, LeaseId)>,
}

#[derive(Clone, PartialEq, Eq)]
pub(crate) struct Granted {
    pub(crate) ttl: Duration,
    pub(crate) ends_at: ClusterTime,
    /// The keys that end with it.
    pub(crate) keys: OrdSet<Bytes>,
}

impl Leases {
    pub(crate) fn grant(
        &mut self,
        at: Revision,
        ttl: Duration,
        now: ClusterTime,
    ) -> Result<LeaseId, Refused> {
        check_ttl(ttl)?;
        let id = NonZeroU64::new(at.0)
            .map(LeaseId)
            .expect("the first entry has index 1");
        if self.leases.len() >= LEASES_MAX {
            return Err(Refused::TooManyLeases);
        }
        self.insert(id, ttl, now + ttl);
        Ok(id)
    }

    pub(crate) fn insert(&mut self, id: LeaseId, ttl: Duration, ends_at: ClusterTime) {
        let granted = Granted {
            ttl,
            ends_at,
            keys: OrdSet::new(),
        };
        self.leases.insert(id, granted);
        self.ends.insert((ends_at, id));
    }

    /// Lets the lease live for its whole time from now on.
    pub(crate) fn keep_alive(&mut self, id: LeaseId, now: ClusterTime) -> Result<(), Refused> {
        let unknown = Refused::LeaseEnded { lease: id };
        let lease = self.leases.get_mut(&id).ok_or(unknown)?;
        self.ends.remove(&(lease.ends_at, id));
        lease.ends_at = lease.ends_at.max(now + lease.ttl);
        self.ends.insert((lease.ends_at, id));
        Ok(())
    }

    /// Ends a lease: its keys are to be deleted.
    pub(crate) fn remove(&mut self, id: LeaseId) -> Option<Granted> {
        let lease = self.leases.remove(&id)?;
        self.ends.remove(&(lease.ends_at, id));
        Some(lease)
    }

    /// A lease whose time is over.
    pub(crate) fn next_ended(&self, now: ClusterTime) -> Option<LeaseId> {
        let (ends_at, id) = self.ends.get_min()?;
        (*ends_at <= now).then_some(*id)
    }

    /// When the next lease ends unless it is kept alive.
    pub(crate) fn next_end(&self) -> Option<ClusterTime> {
        self.ends.get_min().map(|(ends_at, _)| *ends_at)
    }

    pub(crate) fn get(&self, id: LeaseId) -> Option<&Granted> {
        self.leases.get(&id)
    }

    pub(crate) fn check(&self, lease: Option<LeaseId>) -> Result<(), Refused> {
        match lease {
            Some(lease) if !self.leases.contains_key(&lease) => Err(Refused::LeaseEnded { lease }),
            Some(_) | None => Ok(()),
        }
    }

    pub(crate) fn attach(&mut self, lease: Option<LeaseId>, key: &Bytes) {
        if let Some(lease) = lease.and_then(|lease| self.leases.get_mut(&lease)) {
            lease.keys.insert(key.clone());
        }
    }

    pub(crate) fn detach(&mut self, lease: Option<LeaseId>, key: &Bytes) {
        if let Some(lease) = lease.and_then(|lease| self.leases.get_mut(&lease)) {
            lease.keys.remove(key);
        }
    }

    pub(crate) fn len(&self) -> usize {
        self.leases.len()
    }

    pub(crate) fn iter(&self) -> impl Iterator<Item = (LeaseId, &Granted)> {
        self.leases.iter().map(|(id, lease)| (*id, lease))
    }
}

pub(crate) fn check_ttl(ttl: Duration) -> Result<(), Refused> {
    if (LEASE_TTL_MIN..=LEASE_TTL_MAX).contains(&ttl) {
        Ok(())
    } else {
        let ttl_ms = millis(ttl);
        Err(Refused::LeaseTtl { ttl_ms })
    }
}

/// A time to live as it is granted and stored: in whole milliseconds.
pub(crate) fn millis(ttl: Duration) -> u64 {
    u64::try_from(ttl.as_millis()).unwrap_or(u64::MAX)
}
