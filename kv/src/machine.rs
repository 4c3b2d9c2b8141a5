//! The state machine.

use core::fmt;
use core::time::Duration;
use std::sync::{Mutex, MutexGuard, PoisonError};

use liferaft_raft::configuration::Scope;
use liferaft_raft::state_machine::{
    ApplyContext, Capture, Pieces, RestoreError, Restoring, StateMachine,
};
use liferaft_raft::time::ClusterTime;

use crate::command::Command;
use crate::error::Refused;
use crate::history::Batch;
use crate::keys::Keys;
use crate::limits::{CHANGES_BYTES_MAX, StoreLimits};
use crate::query::Query;
use crate::reply::{Answer, ChangesPage, Done, Found, Reply};
use crate::revision::Revision;
use crate::scope;
use crate::snapshot;
use crate::store::{Place, Store};
use crate::watch::{Backlog, Hub, Subscription};

/// The key-value state machine: what every member of the cluster holds.
///
/// It is handed to the member that runs it, and talked to through a [`KvHandle`](crate::KvHandle). Like any state
/// machine it can be driven by hand, in a test for example:
///
/// ```
/// # mod liferaft { pub use {liferaft_kv as kv, liferaft_node::*, liferaft_raft::*}; }
/// use liferaft::kv::{Command, Done, Kv};
/// use liferaft::ids::{Index, Term};
/// use liferaft::state_machine::{ApplyContext, StateMachine};
/// use liferaft::time::ClusterTime;
///
/// let mut kv = Kv::new();
/// let context = ApplyContext { index: Index(1), term: Term(1), time: ClusterTime::ZERO };
/// let reply = kv.apply(context, Command::Set { key: "k".into(), value: "v".into() });
///
/// assert_eq!(reply.outcome, Ok(Done::Set));
/// assert_eq!(kv.len(), 1);
/// ```
///
/// A clone is made in constant time and shares all data until either changes. It has no watches.
#[derive(Default)]
pub struct Kv {
    store: Store,
    /// Entries up to here are applied whole, and watches were told of them. Inside an entry the store is one ahead.
    finished: Revision,
    /// The watches of this member: no part of the state.
    hub: Mutex<Hub>,
}

impl Kv {
    /// An empty one.
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }

    /// An empty one whose history keeps so many changes, which weigh so many bytes, instead of
    /// [`HISTORY_CHANGES_MAX`](crate::limits::HISTORY_CHANGES_MAX) and
    /// [`HISTORY_BYTES_MAX`](crate::limits::HISTORY_BYTES_MAX): a longer one lets watches resume later, and makes
    /// snapshots larger. All members must agree on it.
    #[must_use]
    pub fn with_history(changes_max: usize, bytes_max: u64) -> Self {
        let limits = StoreLimits {
            history_changes_max: changes_max,
            history_bytes_max: bytes_max,
            ..StoreLimits::default()
        };
        Self {
            store: Store::new(limits, 0),
            ..Self::default()
        }
    }

    /// The number of keys.
    #[must_use]
    pub fn len(&self) -> usize {
        self.store.len()
    }

    /// Whether there are no keys.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// What all keys and their content weigh, in bytes, as counted against
    /// [`STORE_BYTES_MAX`](crate::limits::STORE_BYTES_MAX).
    #[must_use]
    pub const fn weight(&self) -> u64 {
        self.store.weight()
    }

    /// The revision of the store.
    #[must_use]
    pub const fn revision(&self) -> Revision {
        self.store.revision()
    }

    fn change(&mut self, command: Command) -> Result<Done, Refused> {
        command.check()?;
        let store = &mut self.store;
        Ok(match command {
            Command::Set { key, value } => {
                store.set(key, value, None)?;
                Done::Set
            }
            Command::Delete { key } => Done::Delete(store.delete(&key)),
            Command::CompareAndSet { key, expected, new } => {
                Done::CompareAndSet(store.compare_and_set(key, expected.as_ref(), new)?)
            }
            Command::SeqAppend { key, count, value } => {
                Done::SeqAppend(store.append(key, Some(count), value)?)
            }
            Command::Append { key, value } => {
                let appended = store.append(key, None, value)?;
                Done::Append(appended.count.len() - 1)
            }
            Command::Txn(txn) => Done::Txn(store.txn(txn)?),
            Command::Batch(steps) => Done::Batch(store.batch(steps)),
            Command::GrantLease { ttl_ms } => {
                Done::GrantLease(store.grant_lease(Duration::from_millis(ttl_ms))?)
            }
            Command::KeepAlive { lease } => {
                store.keep_alive(lease)?;
                Done::KeepAlive
            }
            Command::RevokeLease { lease } => Done::RevokeLease(store.revoke_lease(lease)?),
            Command::TrimBefore { key, count } => Done::TrimBefore(store.trim_before(key, count)?),
            Command::DeleteKeys(keys) => Done::DeleteKeys(store.delete_keys(&keys)),
        })
    }

    fn find(&self, query: Query) -> Result<Found, Refused> {
        query.check()?;
        let store = &self.store;
        Ok(match query {
            Query::Get { key } => Found::Value(store.get(key)?),
            Query::ReadSequence { key, from, limit } => {
                Found::Sequence(store.read_sequence(key, from, limit)?)
            }
            Query::Entry { key } => Found::Entry(store.entry(key)),
            Query::Scan(scan) => Found::Page(store.scan(&scan)?),
            Query::Lease { lease } => Found::Lease(store.lease_status(lease)),
            Query::Revision => Found::Revision,
            Query::Changes { keys, from } => Found::Changes(self.changes(&keys, from)?),
            Query::Watch(subscription) => Found::Watching(self.watch(subscription)?),
            Query::Progress(subscription) => {
                // Of the query that counts at present: it may have been asked after this was made.
                let mailbox = &subscription.mailbox;
                mailbox.mark(mailbox.asked(), self.finished);
                Found::Progress
            }
        })
    }

    fn begin(&mut self, at: ApplyContext) {
        // Whoever drives the state machine by hand may leave out `advance`.
        if self.store.place().applied < at.index.into() {
            self.finish();
        }
        self.store.begin(at);
    }

    /// What has changed of these keys from a revision on, no more of it than one answer holds.
    fn changes(&self, keys: &Keys, from: Option<Revision>) -> Result<ChangesPage, Refused> {
        let from = from.unwrap_or(self.finished.next());
        let history = self.store.history();
        history.check(from.previous())?;
        let mut page = ChangesPage {
            batches: Vec::new(),
            through: self.finished,
        };
        let mut bytes = 0;
        let since = history.since_where(from, |key| keys.contains(key));
        for batch in since.take_while(|batch| batch.revision <= self.finished) {
            let changes = batch.changes.iter();
            let changes = changes.filter(|change| keys.contains(&change.key));
            let batch = Batch {
                revision: batch.revision,
                changes: changes.cloned().collect(),
            };
            bytes += batch.weight();
            if bytes > CHANGES_BYTES_MAX && !page.batches.is_empty() {
                page.through = batch.revision.previous();
                break;
            }
            page.batches.push(batch);
        }
        Ok(page)
    }

    /// What a watch has missed; if that is all there is, it is told of what follows.
    fn watch(&self, subscription: Subscription) -> Result<Backlog, Refused> {
        let next = self.finished.next();
        let from = subscription.from.unwrap_or(next);
        let history = self.store.history();
        let backlog = Backlog::read(history, &subscription, from, self.finished)?;
        if backlog.is_open {
            let mut hub = self.hub();
            if hub.is_full() {
                return Err(Refused::TooManyWatches);
            }
            hub.add(subscription, from.max(next), self.finished);
        }
        Ok(backlog)
    }

    // Nothing panics while it holds the lock.
    fn hub(&self) -> MutexGuard<'_, Hub> {
        self.hub.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Goes on with the store of a snapshot. Whoever watches has missed something.
    fn take_over(&mut self, store: Store) {
        self.store = store;
        self.finished = self.store.place().applied;
        self.hub().close_all();
    }

    /// An entry is applied whole: watches are told, and the history is brought within its bounds.
    fn finish(&mut self) {
        let Place {
            applied, revision, ..
        } = self.store.place();
        let hub = self.hub.get_mut().unwrap_or_else(PoisonError::into_inner);
        if revision > self.finished {
            if hub.is_watched() {
                for batch in self.store.history().since(self.finished.next()) {
                    hub.publish(&batch);
                }
            }
            self.store.trim();
        }
        self.finished = applied;
        hub.applied(applied);
    }
}

impl StateMachine for Kv {
    type Command = Command;
    type Reply = Reply;
    type Query = Query;
    type Answer = Answer;

    fn apply(&mut self, at: ApplyContext, command: Command) -> Reply {
        self.begin(at);
        Reply {
            outcome: self.change(command),
            revision: self.store.revision(),
        }
    }

    fn advance(&mut self, at: ApplyContext) {
        self.begin(at);
        self.finish();
    }

    fn wakes_at(&self) -> Option<ClusterTime> {
        self.store.leases().next_end()
    }

    fn query(&self, query: Query) -> Answer {
        Answer {
            revision: self.store.revision(),
            outcome: self.find(query),
        }
    }

    fn is_command_within(command: &Command, scope: &Scope) -> bool {
        scope::is_command_within(command, scope)
    }

    fn is_query_within(query: &Query, scope: &Scope) -> bool {
        scope::is_query_within(query, scope)
    }

    fn snapshot(&self) -> impl Capture {
        let mut captured = self.store.clone();
        captured.trim();
        Pieces(snapshot::Encoding::of(captured))
    }

    fn restore(&mut self, state: &[u8]) -> Result<(), RestoreError> {
        let mut decoding = snapshot::Decoding::within(self.store.limits());
        decoding.take(state)?;
        self.take_over(decoding.finish()?);
        Ok(())
    }

    fn restoring(self) -> impl Restoring<Self> {
        Restore {
            decoding: snapshot::Decoding::within(self.store.limits()),
            kv: self,
        }
    }
}

/// One that is restored while its snapshot comes.
struct Restore {
    kv: Kv,
    decoding: snapshot::Decoding,
}

impl Restoring<Kv> for Restore {
    fn take(&mut self, bytes: &[u8]) -> Result<(), RestoreError> {
        self.decoding.take(bytes)
    }

    fn finish(self) -> Result<Kv, RestoreError> {
        let Self { mut kv, decoding } = self;
        kv.take_over(decoding.finish()?);
        Ok(kv)
    }
}

impl Clone for Kv {
    fn clone(&self) -> Self {
        Self {
            store: self.store.clone(),
            finished: self.finished,
            hub: Mutex::default(),
        }
    }
}

/// The same state, whoever watches it.
impl PartialEq for Kv {
    fn eq(&self, other: &Self) -> bool {
        self.store == other.store
    }
}

impl Eq for Kv {}

/// The size, never the content.
impl fmt::Debug for Kv {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Kv")
            .field("keys", &self.len())
            .field("weight", &self.weight())
            .finish_non_exhaustive()
    }
}
