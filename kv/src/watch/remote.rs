//! Watches of clients, which have no state machine at hand to tell them.
//!
//! A client asks the leader what has changed since the last revision that it was told of, and the answer comes once
//! there is something behind that. So nothing is lost with a member: whoever leads next is asked from the same revision
//! on.

use core::fmt;
use core::pin::Pin;
use core::task::{Context, Poll};
use core::time::Duration;
use std::collections::VecDeque;
use std::sync::Arc;

use futures::future::BoxFuture;
use futures::{FutureExt, Stream};
use liferaft_node::driver::{Client, ReadError};
use liferaft_platform as platform;
use liferaft_raft::ids::Index;

use super::{Changes, WatchError, WatchEvent};
use crate::error::KvError;
use crate::handle::KvHandle;
use crate::history::Batch;
use crate::keys::Keys;
use crate::machine::Kv;
use crate::outcome::mismatched;
use crate::query::Query;
use crate::reply::{Answer, Found};
use crate::revision::Revision;

/// The least time between two questions. What changes meanwhile comes with one answer.
const PAUSE: Duration = Duration::from_millis(20);

/// A watch of keys by a client: a stream of [`WatchEvent`]s, made by [`KvHandle::watch`].
///
/// It tells exactly the committed changes of its keys, in their order, none twice and none left out, and all that one
/// entry changed in one piece. It goes on by itself through changes of leaders and the loss of members, and while no
/// leader can be asked it is silent: the client's [status](Client::status) tells since when, and why. It tells its
/// progress when it begins, and behind changes. After an error it ends:
/// [`WatchError::resume_from`] is where to begin another one.
pub struct ClientWatch {
    client: Client<Kv>,
    keys: Keys,
    /// Everything before this revision is told or in the backlog; `None` before the first answer of a watch from now
    /// on.
    next: Option<Revision>,
    backlog: VecDeque<Arc<Batch>>,
    /// Everything up to here is in the backlog or told, and to be told so.
    through: Option<Revision>,
    asking: Option<BoxFuture<'static, Result<Answer, ReadError>>>,
    has_begun: bool,
    has_ended: bool,
}

impl KvHandle<Client<Kv>> {
    /// Watches keys from now on: the changes that are done after it has begun. It begins when it is first polled, and
    /// tells so by a [`WatchEvent::Progress`].
    #[must_use = "a watch begins when it is polled"]
    pub fn watch(&self, keys: Keys) -> ClientWatch {
        ClientWatch::new(self, keys, None)
    }

    /// Watches keys from a revision on, that included. It may be in the past, if the history reaches back to it, and in
    /// the future: the watch tells nothing until the leader has come to that revision.
    #[must_use = "a watch begins when it is polled"]
    pub fn watch_from(&self, keys: Keys, from: Revision) -> ClientWatch {
        ClientWatch::new(self, keys, Some(from))
    }
}

impl ClientWatch {
    fn new(kv: &KvHandle<Client<Kv>>, keys: Keys, next: Option<Revision>) -> Self {
        Self {
            client: kv.raft().clone(),
            keys,
            next,
            backlog: VecDeque::new(),
            through: None,
            asking: None,
            has_begun: false,
            has_ended: false,
        }
    }

    /// The revision that a watch in its place would begin with; `None` if it began from now on and has told nothing
    /// yet.
    #[must_use]
    pub fn resume_from(&self) -> Option<Revision> {
        let untold = self.backlog.front().map(|batch| batch.revision);
        untold.or(self.next)
    }

    /// Asks what has changed from the next revision on, until somebody answers.
    fn ask(&self) -> BoxFuture<'static, Result<Answer, ReadError>> {
        let client = self.client.clone();
        let (keys, from) = (self.keys.clone(), self.next);
        let query = Query::Changes { keys, from };
        let index = from.map_or(Index::ZERO, |from| Index(from.0));
        let at = platform::now()
            + if self.has_begun {
                PAUSE
            } else {
                Duration::ZERO
            };
        async move {
            platform::sleep_until(at).await;
            loop {
                match client.read_after(query.clone(), index).await {
                    // Nothing has changed for as long as a call may take, or nobody leads.
                    Err(ReadError::TimedOut | ReadError::Busy(_)) => {
                        platform::sleep_until(platform::now() + PAUSE).await;
                    }
                    Err(ReadError::Unreached(why)) if !why.is_lasting => {
                        platform::sleep_until(platform::now() + PAUSE).await;
                    }
                    answered => return answered,
                }
            }
        }
        .boxed()
    }

    fn answered(&mut self, answer: Answer) -> Result<(), KvError> {
        match answer.outcome? {
            Found::Changes(found) => {
                let from = self.next;
                let batches = found.batches.into_iter().map(Arc::new);
                self.backlog
                    .extend(batches.filter(|batch| Some(batch.revision) >= from));
                self.next = self.next.max(Some(found.through.next()));
                if !self.backlog.is_empty() || !self.has_begun {
                    self.through = Some(found.through);
                }
                self.has_begun = true;
                Ok(())
            }
            other => Err(mismatched("watch", &other)),
        }
    }
}

impl Stream for ClientWatch {
    type Item = Result<WatchEvent, WatchError>;

    fn poll_next(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Option<Self::Item>> {
        let watch = &mut *self;
        if watch.has_ended {
            return Poll::Ready(None);
        }
        loop {
            if let Some(batch) = watch.backlog.pop_front() {
                let keys = watch.keys.clone();
                let changes = WatchEvent::Changes(Changes { batch, keys });
                return Poll::Ready(Some(Ok(changes)));
            }
            if let Some(through) = watch.through.take() {
                return Poll::Ready(Some(Ok(WatchEvent::Progress(through))));
            }
            let mut asking = watch.asking.take().unwrap_or_else(|| watch.ask());
            let Poll::Ready(answer) = asking.poll_unpin(context) else {
                watch.asking = Some(asking);
                return Poll::Pending;
            };
            let answered = answer.map_err(KvError::from);
            if let Err(cause) = answered.and_then(|answer| watch.answered(answer)) {
                watch.has_ended = true;
                let resume_from = watch.resume_from();
                return Poll::Ready(Some(Err(WatchError { cause, resume_from })));
            }
        }
    }
}

impl fmt::Debug for ClientWatch {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("ClientWatch")
            .field("keys", &self.keys)
            .field("next", &self.next)
            .finish_non_exhaustive()
    }
}
