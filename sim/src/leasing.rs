//! A lease and its ephemeral key, as one application would hold them. Its commands ride on those of the clients, in the
//! same entries: which one comes is decided by the log alone, the same on every member.

use bytes::Bytes;
use liferaft_kv::{Command, Done, Found, Kv, LeaseId, Query, Refused, Step, StepDone};
use liferaft_raft::state_machine::{ApplyContext, StateMachine};

/// How long the lease lives without being kept alive, in milliseconds of a clock that does not hurry.
pub const LEASE_TTL_MS: u64 = 500;

/// The keys that leases change: the name of the lease, and the key that ends with it.
pub const KEYS: [&[u8]; 2] = [b"lease", b"there"];

/// What was done to a lease.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum LeaseAct {
    /// It was granted, to live so many milliseconds.
    Granted(LeaseId, u64),
    /// It was kept alive, or found to have ended.
    Kept(LeaseId, bool),
    /// The key was set with it, or it was found to have ended.
    Used(LeaseId, bool),
    /// It was revoked, and so many keys went with it; `None` if it was found to have ended.
    Revoked(LeaseId, Option<u64>),
}

/// Does what is next.
///
/// # Errors
/// When the state answers what nobody asked.
pub fn act(
    kv: &mut Kv,
    at: ApplyContext,
    sequence: u64,
    ttl_ms: u64,
) -> Result<Option<LeaseAct>, String> {
    let Some(lease) = current(kv) else {
        return grant(kv, at, ttl_ms).map(Some);
    };
    match sequence % 8 {
        2 if sequence % 16 == 10 => {
            let outcome = kv.apply(at, Command::RevokeLease { lease }).outcome;
            revoked(outcome).map(|keys| Some(LeaseAct::Revoked(lease, keys)))
        }
        0 => grant(kv, at, ttl_ms).map(Some),
        2 | 6 => {
            let outcome = kv.apply(at, Command::KeepAlive { lease }).outcome;
            lives(outcome).map(|lives| Some(LeaseAct::Kept(lease, lives)))
        }
        4 => {
            let step = Step::set_with_lease(
                KEYS[1],
                Bytes::copy_from_slice(&at.index.0.to_le_bytes()),
                lease,
            );
            let outcome = kv.apply(at, Command::Batch(vec![step])).outcome;
            lives(outcome).map(|lives| Some(LeaseAct::Used(lease, lives)))
        }
        _ => Ok(None),
    }
}

fn grant(kv: &mut Kv, at: ApplyContext, ttl_ms: u64) -> Result<LeaseAct, String> {
    match kv.apply(at, Command::GrantLease { ttl_ms }).outcome {
        Ok(Done::GrantLease(lease)) => {
            let name = Command::Set {
                key: KEYS[0].into(),
                value: Bytes::copy_from_slice(&lease.0.get().to_le_bytes()),
            };
            drop(kv.apply(at, name));
            Ok(LeaseAct::Granted(lease, ttl_ms))
        }
        other => Err(format!("a lease was asked for, not {other:?}")),
    }
}

fn lives(outcome: Result<Done, Refused>) -> Result<bool, String> {
    match outcome {
        Ok(Done::KeepAlive) => Ok(true),
        Err(Refused::LeaseEnded { .. }) => Ok(false),
        Ok(Done::Batch(steps)) => match steps.first() {
            Some(Ok(StepDone::Set)) => Ok(true),
            Some(Err(Refused::LeaseEnded { .. })) => Ok(false),
            other => Err(format!("a lease was used, not {other:?}")),
        },
        other => Err(format!("a lease was kept alive, not {other:?}")),
    }
}

fn revoked(outcome: Result<Done, Refused>) -> Result<Option<u64>, String> {
    match outcome {
        Ok(Done::RevokeLease(keys)) => Ok(Some(keys)),
        Err(Refused::LeaseEnded { .. }) => Ok(None),
        other => Err(format!("a lease was revoked, not {other:?}")),
    }
}

fn current(kv: &Kv) -> Option<LeaseId> {
    let query = Query::Get {
        key: KEYS[0].into(),
    };
    match kv.query(query).outcome {
        Ok(Found::Value(Some(name))) => {
            let name = u64::from_le_bytes(name[..].try_into().ok()?);
            name.try_into().ok().map(LeaseId)
        }
        Ok(_) | Err(_) => None,
    }
}
