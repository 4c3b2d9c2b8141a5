//! A watch as a value: what it has seen, and what it asks for next.

use core::fmt;
use core::task::Context;
use std::collections::VecDeque;
use std::sync::Arc;

use liferaft_raft::consensus::planted::{Bug, is_planted};

use super::mailbox::{Asked, Mailbox, Taken};
use crate::error::{KvError, Refused};
use crate::history::{Batch, Change, History};
use crate::keys::Keys;
use crate::outcome::mismatched;
use crate::query::Query;
use crate::reply::{Answer, Found};
use crate::revision::Revision;

/// What a watch tells.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum WatchEvent {
    /// These keys were changed, all at one revision.
    Changes(Changes),
    /// Everything up to this revision has been told. A watch can be resumed behind it.
    Progress(Revision),
}

/// What one entry of the log changed among the keys of a watch: a whole transaction, never a part of it.
#[derive(Clone)]
pub struct Changes {
    pub(super) batch: Arc<Batch>,
    pub(super) keys: Keys,
}

/// One watch, without a runtime: [`Watch`](crate::Watch) is made of it, and so may other carriers be.
///
/// Whoever holds it asks its [`query`](Watcher::query) of the state machine whenever [`poll`](Watcher::poll) says so,
/// and gives it the answer. After that the state machine puts changes in as it applies them.
///
/// ```
/// # mod liferaft { pub use {liferaft_kv as kv, liferaft_node::*, liferaft_raft::*}; }
/// use liferaft::kv::{Command, Keys, Kv, Polled, Revision, WatchEvent, Watcher};
/// use liferaft::ids::{Index, Term};
/// use liferaft::state_machine::{ApplyContext, StateMachine};
/// use liferaft::time::ClusterTime;
///
/// let mut kv = Kv::new();
/// let at = ApplyContext { index: Index(1), term: Term(1), time: ClusterTime::ZERO };
/// kv.apply(at, Command::Set { key: "camp/1".into(), value: "hill".into() });
/// kv.advance(at);
///
/// let mut watcher = Watcher::new(Keys::prefix("camp/"), Some(Revision(1)));
/// assert_eq!(watcher.poll(None), Polled::Ask);
/// let answer = kv.query(watcher.query());
/// watcher.answered(answer)?;
///
/// let Polled::Event(WatchEvent::Changes(changes)) = watcher.poll(None) else { panic!("the key was changed") };
/// assert_eq!(changes.revision(), Revision(1));
/// assert_eq!(changes.iter().count(), 1);
/// assert_eq!(watcher.poll(None), Polled::Event(WatchEvent::Progress(Revision(1))));
/// assert_eq!(watcher.poll(None), Polled::Nothing);
/// # Ok::<(), liferaft::kv::KvError>(())
/// ```
#[derive(Debug)]
pub struct Watcher {
    keys: Keys,
    /// Everything before this revision has been told; `None` before the first answer of a watch from now on.
    next: Option<Revision>,
    /// From the history, and not told yet.
    backlog: VecDeque<Arc<Batch>>,
    /// Everything up to here is in the backlog or told, if the mailbox is closed; before that, if it is open.
    through: Option<Revision>,
    mailbox: Arc<Mailbox>,
    is_open: bool,
}

/// What a watch has to say at the moment.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Polled {
    /// This.
    Event(WatchEvent),
    /// Nothing; the task is woken when it has.
    Nothing,
    /// Its [`query`](Watcher::query) is to be asked.
    Ask,
}

/// What a watch asks of the state machine, which remembers whom to tell of further changes.
#[derive(Clone)]
pub struct Subscription {
    pub(crate) keys: Keys,
    pub(crate) from: Option<Revision>,
    pub(crate) mailbox: Arc<Mailbox>,
    pub(crate) asked: Asked,
}

/// What a watch is answered.
#[derive(Clone, PartialEq, Eq)]
pub struct Backlog {
    pub(crate) batches: Vec<Arc<Batch>>,
    /// Everything up to here is among the batches.
    pub(crate) through: Revision,
    /// Whether what comes after that is put into the mailbox.
    pub(crate) is_open: bool,
    /// The query that it answers.
    pub(crate) asked: Asked,
}

impl Watcher {
    /// A watch of these keys from a revision on; `None`: from whatever revision the member has come to when it is
    /// asked.
    #[must_use]
    pub fn new(keys: Keys, from: Option<Revision>) -> Self {
        Self {
            keys,
            next: from,
            backlog: VecDeque::new(),
            through: None,
            mailbox: Arc::default(),
            is_open: false,
        }
    }

    /// The revision that a watch in its place would begin with; `None` if it began from now on and has heard nothing
    /// yet.
    #[must_use]
    pub const fn next(&self) -> Option<Revision> {
        self.next
    }

    /// What there is to tell. If there is nothing, the task of `context` is woken when there is.
    pub fn poll(&mut self, mut context: Option<&mut Context<'_>>) -> Polled {
        while let Some(batch) = self.backlog.pop_front() {
            if Some(batch.revision) >= self.next {
                return self.changes(batch);
            }
        }
        if let Some(through) = self.through.take() {
            let begun = self.next.unwrap_or(through.next());
            // A watch that begins in the future has nothing to tell of the present.
            if through.next() >= begun || is_planted(Bug::MarkBeforeBeginning) {
                self.next = Some(through.next());
                return Polled::Event(WatchEvent::Progress(through));
            }
            self.next = Some(begun);
        }
        if !self.is_open {
            return Polled::Ask;
        }
        loop {
            match self.mailbox.take(context.as_deref_mut()) {
                // The backlog had it: one query was asked twice.
                Taken::Batch(batch) if Some(batch.revision) < self.next => {}
                Taken::Batch(batch) => return self.changes(batch),
                Taken::Mark(through) => {
                    self.next = self.next.max(Some(through.next()));
                    return Polled::Event(WatchEvent::Progress(through));
                }
                Taken::Nothing => return Polled::Nothing,
                Taken::Closed => {
                    self.is_open = false;
                    return Polled::Ask;
                }
            }
        }
    }

    fn changes(&mut self, batch: Arc<Batch>) -> Polled {
        self.next = Some(batch.revision.next());
        Polled::Event(WatchEvent::Changes(Changes {
            batch,
            keys: self.keys.clone(),
        }))
    }

    /// What is to be asked of the state machine. What an earlier query brought about is void from then on.
    pub fn query(&mut self) -> Query {
        let asked = self.mailbox.ask();
        self.is_open = false;
        Query::Watch(self.subscription(asked))
    }

    /// Has the state machine that the watch asks tell, after all changes before, how far it has come. It may be made
    /// and asked before the watch begins, and while it asks anew: the watch tells a [`WatchEvent::Progress`] of that or
    /// of later. Where the watch begins in the future, it does when the state machine has come there.
    #[must_use]
    pub fn progress_query(&self) -> Query {
        Query::Progress(self.subscription(self.mailbox.asked()))
    }

    fn subscription(&self, asked: Asked) -> Subscription {
        Subscription {
            keys: self.keys.clone(),
            from: self.next,
            mailbox: Arc::clone(&self.mailbox),
            asked,
        }
    }

    /// The state machine has answered.
    ///
    /// # Errors
    /// When the history does not reach back to the revision, or the member has too many watches: the watch is over.
    pub fn answered(&mut self, answer: Answer) -> Result<(), KvError> {
        match answer.outcome? {
            Found::Watching(answered) if answered.asked == self.mailbox.asked() => {
                self.backlog = answered.batches.into();
                self.through = Some(answered.through);
                self.is_open = answered.is_open;
                Ok(())
            }
            // An earlier query was answered: what the state machine puts in by now does not go on from there.
            Found::Watching(_) => Ok(()),
            other => Err(mismatched("watch", &other)),
        }
    }
}

impl Changes {
    /// The revision of all of them.
    #[must_use]
    pub fn revision(&self) -> Revision {
        self.batch.revision
    }

    /// The changes, in the order in which they were made.
    pub fn iter(&self) -> impl Iterator<Item = &Change> {
        let changes = self.batch.changes.iter();
        changes.filter(|change| self.keys.contains(&change.key))
    }
}

impl PartialEq for Changes {
    fn eq(&self, other: &Self) -> bool {
        self.revision() == other.revision() && self.iter().eq(other.iter())
    }
}

impl Eq for Changes {}

/// Names the keys, and only tells how long the values are.
impl fmt::Debug for Changes {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: ", self.revision())?;
        f.debug_list().entries(self.iter()).finish()
    }
}

impl Backlog {
    /// The changes of a watch's keys in the history from a revision on and up to `through`, no more of them than a
    /// mailbox holds.
    ///
    /// # Errors
    /// When the history does not reach back to it.
    pub(crate) fn read(
        history: &History,
        subscription: &Subscription,
        from: Revision,
        through: Revision,
    ) -> Result<Self, Refused> {
        use crate::limits::{WATCH_QUEUE_BYTES_MAX, WATCH_QUEUE_MAX};

        history.check(from.previous())?;
        let mut backlog = Self {
            batches: Vec::new(),
            through,
            is_open: true,
            asked: subscription.asked,
        };
        let mut bytes = 0;
        let since = history.since_where(from, |key| subscription.keys.contains(key));
        for batch in since.take_while(|batch| batch.revision <= through) {
            bytes += batch.weight();
            let is_full = backlog.batches.len() >= WATCH_QUEUE_MAX
                || (bytes > WATCH_QUEUE_BYTES_MAX && !backlog.batches.is_empty());
            if is_full {
                backlog.through = batch.revision.previous();
                backlog.is_open = false;
                break;
            }
            backlog.batches.push(batch);
        }
        Ok(backlog)
    }
}

impl fmt::Debug for Backlog {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let batches = self.batches.len();
        write!(f, "{batches} revisions through {}", self.through)
    }
}

/// The same watch, not an equal one.
impl PartialEq for Subscription {
    fn eq(&self, other: &Self) -> bool {
        Arc::ptr_eq(&self.mailbox, &other.mailbox)
    }
}

impl Eq for Subscription {}

impl fmt::Debug for Subscription {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.from {
            Some(from) => write!(f, "{:?} from {from}", self.keys),
            None => write!(f, "{:?} from now", self.keys),
        }
    }
}
