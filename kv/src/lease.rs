//! Leases as applications hold them.

use core::fmt;
use core::time::Duration;

use futures::channel::oneshot;
use liferaft_node::driver::{Calls, Handle, ProposeError, UnknownCause};
use liferaft_platform as platform;

use crate::command::Command;
use crate::entry::LeaseId;
use crate::error::{KvError, Refused};
use crate::handle::KvHandle;
use crate::into_bytes::IntoBytes;
use crate::leases::{check_ttl, millis};
use crate::machine::Kv;
use crate::outcome::{mismatch, mismatched, revised};
use crate::query::Query;
use crate::reply::{Done, Found, LeaseStatus};
use crate::revision::{Revised, Revision};
use crate::step::{Step, StepDone};

/// A lease: keys that were set with it are deleted, together and at one revision, when it ends. It ends when nobody has
/// kept it alive for its time to live, or by [`revoke`](Self::revoke).
///
/// The time is the cluster's, which stands still while there is no leader with a quorum: a stalled leader or a
/// partition ends nobody's lease, and a new leader begins where the log ends, so that every holder has the time of the
/// election on top. A lease never ends early, then, and may live longer than its holder's own clock says. That it still
/// lives is only certain where the cluster says so: [`keep_alive`](Self::keep_alive), or a transaction that compares a
/// key of it.
///
/// ```no_run
/// # mod liferaft { pub use liferaft_kv as kv; }
/// # use liferaft::kv::{KvError, KvHandle};
/// # use std::time::Duration;
/// # async fn example(kv: KvHandle) -> Result<(), KvError> {
/// let lease = kv.grant_lease(Duration::from_secs(10)).await?;
/// lease.set("present/ada", "at the bridge").await?;
///
/// // Until this is dropped, or the program dies.
/// let mut present = lease.kept_alive();
/// println!("gone: {}", present.ended().await);
/// # Ok(())
/// # }
/// ```
#[derive(Clone, Debug)]
pub struct Lease<H = Handle<Kv>> {
    kv: KvHandle<H>,
    id: LeaseId,
    ttl: Duration,
}

impl<H: Calls<Kv>> KvHandle<H> {
    /// Grants a lease that lives for `ttl` of cluster time unless it is kept alive, in whole milliseconds.
    ///
    /// # Errors
    /// [`Refused::LeaseTtl`] if that is shorter than [`LEASE_TTL_MIN`](crate::limits::LEASE_TTL_MIN) or longer than
    /// [`LEASE_TTL_MAX`](crate::limits::LEASE_TTL_MAX), [`Refused::TooManyLeases`]; [`KvError::Propose`].
    pub async fn grant_lease(&self, ttl: Duration) -> Result<Lease<H>, KvError> {
        let ttl_ms = millis(ttl);
        let reply = self.write(Command::GrantLease { ttl_ms }).await?;
        match reply.outcome? {
            Done::GrantLease(id) => Ok(self.lease(id, ttl)?),
            other => Err(mismatch("grant_lease", &other)),
        }
    }

    /// A lease that was granted before, here or elsewhere, with its time to live, in whole milliseconds. Nobody is
    /// asked whether it still lives, or whether that is its time to live: [`Lease::kept_alive`] keeps it alive each
    /// third of what is said here.
    ///
    /// # Errors
    /// [`Refused::LeaseTtl`] if no lease is granted for that: it is shorter than
    /// [`LEASE_TTL_MIN`](crate::limits::LEASE_TTL_MIN) or longer than [`LEASE_TTL_MAX`](crate::limits::LEASE_TTL_MAX).
    pub fn lease(&self, id: LeaseId, ttl: Duration) -> Result<Lease<H>, Refused> {
        let ttl = Duration::from_millis(millis(ttl));
        check_ttl(ttl)?;
        Ok(Lease {
            kv: self.clone(),
            id,
            ttl,
        })
    }

    /// How a lease stands; `None` if it has ended. Linearizable.
    ///
    /// # Errors
    /// [`KvError::Read`].
    pub async fn lease_status(&self, lease: LeaseId) -> Result<Option<LeaseStatus>, KvError> {
        match self.read(Query::Lease { lease }).await?.outcome? {
            Found::Lease(status) => Ok(status),
            other => Err(mismatched("lease", &other)),
        }
    }
}

impl<H: Calls<Kv>> Lease<H> {
    /// Its name, by which steps of transactions and batches set keys with it.
    #[must_use]
    pub const fn id(&self) -> LeaseId {
        self.id
    }

    /// How long it lives without being kept alive.
    #[must_use]
    pub const fn ttl(&self) -> Duration {
        self.ttl
    }

    /// Makes a key hold a value until the lease ends. Setting it otherwise makes it last.
    ///
    /// # Errors
    /// [`Refused::LeaseEnded`]; as of [`KvHandle::set`].
    pub async fn set(
        &self,
        key: impl IntoBytes,
        value: impl IntoBytes,
    ) -> Result<Revision, KvError> {
        let done = self
            .kv
            .batch([Step::set_with_lease(key, value, self.id)])
            .await?;
        match done.value.into_iter().next() {
            Some(Ok(StepDone::Set)) => Ok(done.revision),
            Some(Err(refused)) => Err(refused.into()),
            Some(Ok(_)) | None => Err(KvError::Mismatch {
                asked: "set",
                got: "another step",
            }),
        }
    }

    /// Lets it live for its whole time to live from here on.
    ///
    /// # Errors
    /// [`Refused::LeaseEnded`]; [`KvError::Propose`]. To try again does no harm.
    pub async fn keep_alive(&self) -> Result<(), KvError> {
        keep_alive(&self.kv, self.id).await
    }

    /// Ends it. Returns how many keys were deleted with it.
    ///
    /// # Errors
    /// [`Refused::LeaseEnded`] if it has ended already; [`KvError::Propose`].
    pub async fn revoke(&self) -> Result<Revised<u64>, KvError> {
        let reply = self.kv.write(Command::RevokeLease { lease: self.id });
        revised(reply.await?, |done| match done {
            Done::RevokeLease(keys) => Ok(keys),
            other => Err(mismatch("revoke_lease", &other)),
        })
    }

    /// How it stands; `None` if it has ended. Linearizable.
    ///
    /// # Errors
    /// [`KvError::Read`].
    pub async fn status(&self) -> Result<Option<LeaseStatus>, KvError> {
        self.kv.lease_status(self.id).await
    }

    /// Keeps it alive in the background, each third of its time to live, until what is returned is dropped. The lease
    /// then lives for what is left of its time.
    #[must_use = "the lease is kept alive until this is dropped"]
    pub fn kept_alive(&self) -> KeptAlive {
        let (over, ended) = oneshot::channel();
        let lease = self.clone();
        let task = platform::spawn(async move {
            let cause = lease.keep_alive_until_it_ends().await;
            // Nobody may wait for it.
            drop(over.send(cause));
        });
        KeptAlive {
            task,
            ended: Ended::Waiting(ended),
        }
    }

    /// Why it can be kept alive no longer.
    async fn keep_alive_until_it_ends(&self) -> KvError {
        let pause = self.ttl / 3;
        let kv = self.kv.within(pause);
        loop {
            let started = platform::now();
            let wait = match keep_alive(&kv, self.id).await {
                Ok(()) => pause,
                Err(error) if is_final(&error) => return error,
                // Whether it was done or not, once more does no harm.
                Err(_) => pause / 8,
            };
            platform::sleep_until(started + wait).await;
        }
    }
}

async fn keep_alive<H: Calls<Kv>>(kv: &KvHandle<H>, lease: LeaseId) -> Result<(), KvError> {
    match kv.write(Command::KeepAlive { lease }).await?.outcome? {
        Done::KeepAlive => Ok(()),
        other => Err(mismatch("keep_alive", &other)),
    }
}

/// Whether no later attempt can have another outcome.
const fn is_final(error: &KvError) -> bool {
    matches!(
        error,
        KvError::Refused(Refused::LeaseEnded { .. })
            | KvError::Propose(
                ProposeError::Stopped | ProposeError::Unknown(UnknownCause::MemberStopped)
            )
            | KvError::Mismatch { .. }
    )
}

/// A lease that is being kept alive, until this is dropped.
pub struct KeptAlive {
    task: platform::Task,
    ended: Ended,
}

enum Ended {
    Waiting(oneshot::Receiver<KvError>),
    Because(KvError),
}

impl KeptAlive {
    /// Waits until the lease can be kept alive no longer, and tells why: [`Refused::LeaseEnded`], or the member has
    /// stopped.
    pub async fn ended(&mut self) -> KvError {
        if let Ended::Waiting(ended) = &mut self.ended {
            // The task ends by sending, or with its runtime.
            let stopped = KvError::Propose(ProposeError::Stopped);
            self.ended = Ended::Because(ended.await.unwrap_or(stopped));
        }
        match &self.ended {
            Ended::Because(cause) => cause.clone(),
            Ended::Waiting(_) => unreachable!("it has just been waited for"),
        }
    }
}

impl Drop for KeptAlive {
    fn drop(&mut self) {
        self.task.abort();
    }
}

impl fmt::Debug for KeptAlive {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("KeptAlive").finish_non_exhaustive()
    }
}
