//! Restores a state machine and the session table from a snapshot, which comes piece by piece.

use alloc::format;
use core::marker::PhantomData;
use core::ops::RangeInclusive;

use liferaft_platform::caught;

use super::Applier;
use crate::ids::Index;
use crate::message::SnapshotMetadata;
use crate::sessions::{Sessions, SnapshotError, Splitting};
use crate::sorted::SortedMap;
use crate::state_machine::{RestoreError, Restoring, StateMachine};

/// Why a snapshot was not restored.
#[derive(Debug)]
pub enum Unrestored {
    /// It is not what was stored.
    Damaged(SnapshotError),
    /// It is no snapshot of the state machine.
    Refused(RestoreError),
}

impl From<RestoreError> for Unrestored {
    fn from(error: RestoreError) -> Self {
        Self::Refused(error)
    }
}

/// An applier whose state is being replaced by that of a snapshot.
#[derive(Debug)]
pub struct Restore<S, R> {
    nonces: RangeInclusive<u128>,
    ordered: SortedMap<u128, Option<Index>>,
    splitting: Splitting,
    /// Why what has come is no snapshot, if it is none. The rest is taken all the same: it may be damaged.
    restoring: Result<R, RestoreError>,
    machine: PhantomData<fn() -> S>,
}

impl<S: StateMachine> Applier<S> {
    /// Begins to replace the state by that of a snapshot.
    pub fn restoring(self) -> Restore<S, impl Restoring<S>> {
        let Self {
            machine,
            nonces,
            ordered,
            ..
        } = self;
        Restore {
            nonces,
            ordered,
            splitting: Splitting::default(),
            restoring: tried(|| Ok(machine.restoring())),
            machine: PhantomData,
        }
    }
}

impl<S: StateMachine, R: Restoring<S>> Restore<S, R> {
    /// Takes the bytes that come next, of any length. It may take some milliseconds for 256 KiB.
    #[must_use]
    pub fn and(mut self, piece: &[u8]) -> Self {
        let state = self.splitting.take(piece).map_err(RestoreError::new);
        self.restoring = self.restoring.and_then(|mut restoring| {
            tried(|| {
                restoring.take(state?)?;
                Ok(restoring)
            })
        });
        self
    }

    /// Goes on from the snapshot of this description, all of which has come. It may take long.
    ///
    /// # Errors
    /// See [`Unrestored`].
    pub fn finish(self, metadata: &SnapshotMetadata) -> Result<Applier<S>, Unrestored> {
        let Self {
            nonces,
            mut ordered,
            splitting,
            restoring,
            ..
        } = self;
        // What is damaged is no state, whatever it was taken for.
        splitting
            .check(metadata.digest)
            .map_err(Unrestored::Damaged)?;
        let through = metadata.last.index;
        let restoring = restoring?;
        let (machine, sessions) = tried(|| {
            let sessions = splitting.sessions().map_err(RestoreError::new)?;
            let sessions = Sessions::decode(sessions, through).map_err(RestoreError::new)?;
            Ok((restoring.finish()?, sessions))
        })?;
        for (nonce, session) in &mut ordered {
            *session = sessions.find(*nonce..=*nonce).map(|(_, name)| name);
        }
        Ok(Applier {
            machine,
            applied: through,
            term: metadata.last.term,
            stamp: metadata.stamp,
            own: sessions.find(nonces.clone()),
            sessions,
            nonces,
            ordered,
        })
    }
}

/// Calls a state machine that may panic over it.
fn tried<T>(work: impl FnOnce() -> Result<T, RestoreError>) -> Result<T, RestoreError> {
    caught(work).unwrap_or_else(|message| Err(RestoreError::new(format!("it panicked: {message}"))))
}
