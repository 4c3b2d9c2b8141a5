//! Reading a snapshot while it comes.

use core::time::Duration;
use std::sync::Arc;

use bytes::Bytes;
use liferaft_raft::state_machine::RestoreError;
use liferaft_raft::time::ClusterTime;

use super::input::Input;
use super::{NUMBER_MAX, Reader, SEQUENCE, VALUE, VERSION};
use crate::entry::LeaseId;
use crate::error::Shown;
use crate::history::History;
use crate::leases::check_ttl;
use crate::limits::{LEASES_MAX, StoreLimits};
use crate::revision::Revision;
use crate::store::{Held, Place, Record, Store};

/// A store that is made from the bytes of a snapshot as they come. It holds no more of them than one item has: a lease,
/// a revision of the history, or a key with its content.
pub(crate) struct Decoding {
    limits: StoreLimits,
    store: Store,
    history: History,
    applied: Revision,
    time: ClusterTime,
    next: Next,
    /// What has come, and is part of no item that is whole.
    held: Vec<u8>,
    /// An item is tried again with so many bytes: each time with twice as many, so that a long one costs no more than
    /// twice its length.
    wanted: usize,
}

/// What comes next.
enum Next {
    Head,
    /// So many leases, the first of them after this one.
    Leases(u64, Option<LeaseId>),
    /// So many revisions.
    History(u64),
    /// So many keys, the first of them after this one.
    Keys(u64, Bytes),
    End,
}

impl Decoding {
    pub(crate) fn within(limits: StoreLimits) -> Self {
        Self {
            limits,
            store: Store::new(limits, 0),
            history: History::default(),
            applied: Revision(0),
            time: ClusterTime::ZERO,
            next: Next::Head,
            held: Vec::new(),
            wanted: 0,
        }
    }

    /// Takes the bytes that come next.
    pub(crate) fn take(&mut self, bytes: &[u8]) -> Result<(), RestoreError> {
        self.held.extend_from_slice(bytes);
        if self.held.len() < self.wanted {
            return Ok(());
        }
        self.take_items().map(drop)
    }

    /// How many bytes are held.
    #[cfg(test)]
    pub(super) fn bytes_held(&self) -> usize {
        self.held.len()
    }

    /// Returns the store, all of which has come.
    pub(crate) fn finish(mut self) -> Result<Store, RestoreError> {
        if let Some(early) = self.take_items()? {
            return Err(early);
        }
        let place = Place {
            applied: self.applied,
            time: self.time,
            revision: self.history.revision(),
        };
        self.store.set_place(place, self.history);
        Ok(self.store)
    }

    /// Takes all items that are whole. Returns why there is no other, unless the end has been reached.
    fn take_items(&mut self) -> Result<Option<RestoreError>, RestoreError> {
        let mut held = core::mem::take(&mut self.held);
        let mut rest = &held[..];
        let early = loop {
            if matches!(self.next, Next::End) {
                break None;
            }
            let mut reader = Reader {
                input: Input::of(rest),
                limits: self.limits,
                sequences_made: self.store.sequences_made(),
                applied: self.applied,
            };
            match self.take_item(&mut reader) {
                Ok(()) => rest = reader.input.rest,
                Err(early) if reader.input.ended_early => break Some(early),
                Err(error) => return Err(error),
            }
        };
        if early.is_none() && !rest.is_empty() {
            let extra = rest.len();
            return Err(RestoreError::new(format_args!("{extra} bytes too many")));
        }
        let done = held.len() - rest.len();
        held.drain(..done);
        self.wanted = if done == 0 { 2 * held.len() } else { 0 };
        self.held = held;
        Ok(early)
    }

    /// Takes one item. If it ends too early nothing of it has been taken.
    fn take_item(&mut self, reader: &mut Reader<'_>) -> Result<(), RestoreError> {
        self.next = match self.next {
            Next::Head => self.take_head(reader)?,
            Next::Leases(0, _) => {
                let compacted = reader.revision()?;
                let revisions = reader.input.number()?;
                self.history = History::compacted_to(compacted);
                Next::History(revisions)
            }
            Next::Leases(left, previous) => {
                let lease = self.take_lease(reader, previous)?;
                Next::Leases(left - 1, Some(lease))
            }
            Next::History(0) => Next::Keys(reader.input.number()?, Bytes::new()),
            Next::History(left) => {
                self.take_batch(reader)?;
                Next::History(left - 1)
            }
            Next::Keys(0, _) | Next::End => Next::End,
            Next::Keys(left, ref previous) => {
                let previous = previous.clone();
                let key = self.take_key(reader, &previous)?;
                Next::Keys(left - 1, key)
            }
        };
        Ok(())
    }

    fn take_head(&mut self, reader: &mut Reader<'_>) -> Result<Next, RestoreError> {
        let input = &mut reader.input;
        let version = input.byte()?;
        if version != VERSION {
            return Err(RestoreError::new(format_args!(
                "version {version} instead of {VERSION}"
            )));
        }
        let sequences_made = input.number()?;
        let applied = input.number()?;
        let time = input.number()?;
        if sequences_made.max(applied).max(time) > NUMBER_MAX {
            return Err(RestoreError::new(format_args!(
                "{sequences_made} sequences made by {applied} entries in {time} ms"
            )));
        }
        let leases = input.number()?;
        self.store = Store::new(self.limits, sequences_made);
        self.applied = Revision(applied);
        self.time = ClusterTime(time);
        Ok(Next::Leases(leases, None))
    }

    fn take_lease(
        &mut self,
        reader: &mut Reader<'_>,
        previous: Option<LeaseId>,
    ) -> Result<LeaseId, RestoreError> {
        let id = reader.lease()?.filter(|id| Some(*id) > previous);
        let id = id.ok_or_else(|| RestoreError::new("a lease without a place"))?;
        let ttl = Duration::from_millis(reader.input.number()?);
        check_ttl(ttl).map_err(RestoreError::new)?;
        let ends_at = reader.input.number()?;
        if ends_at > NUMBER_MAX {
            return Err(RestoreError::new("a lease without an end"));
        }
        self.store.insert_lease(id, ttl, ClusterTime(ends_at));
        if self.store.leases().len() > LEASES_MAX {
            return Err(RestoreError::new("too many leases"));
        }
        Ok(id)
    }

    fn take_batch(&mut self, reader: &mut Reader<'_>) -> Result<(), RestoreError> {
        let revision = reader.revision()?;
        if revision <= self.history.revision() {
            return Err(RestoreError::new(format_args!(
                "revision {revision} comes after {}",
                self.history.revision()
            )));
        }
        let count = reader.input.number()?;
        if count == 0 {
            return Err(RestoreError::new("a revision that changes nothing"));
        }
        let changes = (0..count).map(|_| reader.change(revision));
        for change in changes.collect::<Result<Vec<_>, _>>()? {
            self.history.record(revision, change);
            if self.history.exceeds(&self.limits) {
                return Err(RestoreError::new("a history that weighs too much"));
            }
        }
        Ok(())
    }

    fn take_key(
        &mut self,
        reader: &mut Reader<'_>,
        previous: &Bytes,
    ) -> Result<Bytes, RestoreError> {
        let key = reader.key()?;
        if key <= *previous {
            let (key, previous) = (Shown(&key), Shown(previous));
            return Err(RestoreError::new(format_args!(
                "key \"{key}\" comes after \"{previous}\""
            )));
        }
        let meta = reader.meta()?;
        if meta.modified > self.history.revision() {
            return Err(RestoreError::new("a key that changed after the store did"));
        }
        self.store
            .leases()
            .check(meta.lease)
            .map_err(RestoreError::new)?;
        let held = match reader.input.byte()? {
            VALUE => Held::Value(reader.input.value()?),
            SEQUENCE => Held::Sequence(Arc::new(reader.sequence()?)),
            tag => return Err(RestoreError::new(format_args!("a key of kind {tag}"))),
        };
        self.store
            .insert(key.clone(), Record { held, meta })
            .map_err(RestoreError::new)?;
        Ok(key)
    }
}
