//! The state machine.

use core::fmt;

use liferaft_raft::state_machine::{ApplyContext, RestoreError, StateMachine};

use crate::command::{Command, Query};
use crate::reply::{Answer, Done, Found, Reply};
use crate::snapshot;
use crate::store::Store;

/// The key-value state machine: what every member of the cluster holds.
///
/// It is handed to the member that runs it, and talked to through a [`KvHandle`](crate::KvHandle). Like any state machine it can be
/// driven by hand, in a test for example:
///
/// ```
/// use liferaft_kv::{Command, Done, Kv};
/// use liferaft_raft::ids::{Index, Term};
/// use liferaft_raft::state_machine::{ApplyContext, StateMachine};
/// use liferaft_raft::time::ClusterTime;
///
/// let mut kv = Kv::new();
/// let context = ApplyContext { index: Index(1), term: Term(1), time: ClusterTime::ZERO };
/// let reply = kv.apply(context, Command::Set { key: "k".into(), value: "v".into() });
///
/// assert_eq!(reply, Ok(Done::Set));
/// assert_eq!(kv.len(), 1);
/// ```
///
/// A clone is made in constant time and shares all data until either changes.
#[derive(Clone, Default, PartialEq, Eq)]
pub struct Kv {
    store: Store,
}

impl Kv {
    /// An empty one.
    #[must_use]
    pub fn new() -> Self {
        Self::default()
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

    fn change(&mut self, command: Command) -> Reply {
        command.check()?;
        let store = &mut self.store;
        Ok(match command {
            Command::Set { key, value } => {
                store.set(key, value)?;
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
        })
    }
}

impl StateMachine for Kv {
    type Command = Command;
    type Reply = Reply;
    type Query = Query;
    type Answer = Answer;

    fn apply(&mut self, _: ApplyContext, command: Command) -> Reply {
        self.change(command)
    }

    fn query(&self, query: Query) -> Answer {
        query.check()?;
        Ok(match query {
            Query::Get { key } => Found::Value(self.store.get(key)?),
            Query::ReadSequence { key, from, limit } => {
                Found::Sequence(self.store.read_sequence(key, from, limit)?)
            }
        })
    }

    fn snapshot(&self) -> impl FnOnce() -> Vec<u8> + Send + 'static {
        let captured = self.store.clone();
        move || snapshot::encode(&captured)
    }

    fn restore(&mut self, state: &[u8]) -> Result<(), RestoreError> {
        self.store = snapshot::decode(state, self.store.limits())?;
        Ok(())
    }
}

/// The size, never the content.
impl fmt::Debug for Kv {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Kv")
            .field("keys", &self.len())
            .field("weight", &self.weight())
            .finish_non_exhaustive()
    }
}
