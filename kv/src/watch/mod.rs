//! Watching keys: exactly the committed changes, in their order, as this member applies them.
//!
//! ```text
//! applier:  history ──since──▶ backlog ─┐
//!           entry ──▶ hub ──▶ mailbox ──┴─▶ watcher ──▶ Watch, a stream
//! ```
//!
//! A watch first reads what the history has since its revision, then is told of each entry that concerns it. It can
//! fall behind, and the state can be replaced by a snapshot: either way it goes back to the history, and ends with
//! [`Refused::Compacted`](crate::Refused::Compacted) if that no longer reaches back. The applier never waits for a
//! watcher, and what waits for one is bounded.

mod hub;
mod mailbox;
mod remote;
mod watcher;

use core::pin::Pin;
use core::task::{Context, Poll};
use core::time::Duration;

use futures::future::BoxFuture;
use futures::{FutureExt, Stream};
use liferaft_node::driver::{Handle, ReadError};
use liferaft_platform as platform;
use thiserror::Error;

pub(crate) use hub::Hub;
pub use remote::ClientWatch;
pub use watcher::{Backlog, Changes, Polled, Subscription, WatchEvent, Watcher};

use crate::error::KvError;
use crate::handle::KvHandle;
use crate::keys::Keys;
use crate::machine::Kv;
use crate::query::Query;
use crate::reply::Answer;
use crate::revision::Revision;

/// A watch of keys on one member: a stream of [`WatchEvent`]s, made by [`KvHandle::watch`].
///
/// It tells exactly the committed changes of its keys, in their order, none twice and none left out, and all that one
/// entry changed in one piece. It goes on by itself through changes of leaders, and while this member is cut off it is
/// silent. After an error it ends: [`WatchError::resume_from`] is where to begin another one.
#[derive(Debug)]
pub struct Watch {
    watcher: Watcher,
    raft: Handle<Kv>,
    asking: Option<Asking>,
    has_ended: bool,
}

struct Asking(BoxFuture<'static, Result<Answer, ReadError>>);

/// Why a watch has ended.
#[derive(Clone, Debug, PartialEq, Eq, Error)]
#[error("ended: {}", without_outcome(.cause))]
pub struct WatchError {
    /// [`Refused::Compacted`](crate::Refused::Compacted): changes are missing, and the keys have to be read anew.
    /// [`Refused::TooManyWatches`](crate::Refused::TooManyWatches), or [`KvError::Read`] when the member has stopped.
    pub cause: KvError,
    /// Everything before this revision was told; `None` if the watch began from now on and has told nothing.
    pub resume_from: Option<Revision>,
}

impl WatchError {
    /// Returns true: a watch changes nothing.
    #[must_use]
    pub const fn is_definite(&self) -> bool {
        true
    }
}

/// The cause of an end, which says itself what has become of the watch.
fn without_outcome(cause: &KvError) -> String {
    let text = cause.to_string();
    text.strip_prefix("not done: ").unwrap_or(&text).to_owned()
}

/// How long a watch waits before it asks a busy member again.
const BUSY_PAUSE: Duration = Duration::from_millis(20);

impl KvHandle {
    /// Watches keys from now on: the changes that this member applies after it has begun. It begins when it is first
    /// polled, and tells so by a [`WatchEvent::Progress`].
    ///
    /// To read first and miss nothing after, scan and watch from the revision behind the scan's:
    ///
    /// ```no_run
    /// # mod liferaft { pub use {liferaft_kv as kv, futures::StreamExt}; }
    /// # use liferaft::kv::{KvHandle, Keys, WatchEvent};
    /// use liferaft::StreamExt;
    ///
    /// # async fn example(kv: KvHandle) -> Result<(), Box<dyn std::error::Error>> {
    /// let tents = kv.scan(Keys::prefix("tents/")).await?;
    /// println!("{:?}", tents.entries);
    ///
    /// let mut watch = kv.watch_from(Keys::prefix("tents/"), tents.revision.next());
    /// while let Some(event) = watch.next().await {
    ///     match event? {
    ///         WatchEvent::Changes(changes) => changes.iter().for_each(|change| println!("{change:?}")),
    ///         WatchEvent::Progress(revision) => println!("that was all up to {revision}"),
    ///     }
    /// }
    /// # Ok(())
    /// # }
    /// ```
    #[must_use = "a watch begins when it is polled"]
    pub fn watch(&self, keys: Keys) -> Watch {
        Watch::new(self, Watcher::new(keys, None))
    }

    /// Watches keys from a revision on, that included. It may be in the past, if the history reaches back to it, and in
    /// the future: the watch tells nothing, not even its progress, until the member has come to the revision before.
    #[must_use = "a watch begins when it is polled"]
    pub fn watch_from(&self, keys: Keys, from: Revision) -> Watch {
        Watch::new(self, Watcher::new(keys, Some(from)))
    }
}

impl Watch {
    fn new(kv: &KvHandle, watcher: Watcher) -> Self {
        Self {
            watcher,
            raft: kv.raft().clone(),
            asking: None,
            has_ended: false,
        }
    }

    /// The revision that a watch in its place would begin with; `None` if it began from now on and has told nothing
    /// yet.
    #[must_use]
    pub const fn resume_from(&self) -> Option<Revision> {
        self.watcher.next()
    }

    /// Has the watch tell, by a [`WatchEvent::Progress`] behind all changes that were done before this was called,
    /// anywhere, that it has told them: linearizable, by a round of the leader. The future does not borrow the watch,
    /// which has to be polled meanwhile. It may be called and awaited at any time, also before the watch is first
    /// polled; of a watch that begins in the future, the progress comes when the member has come there.
    ///
    /// A watch tells of its progress by itself too, now and then. Resuming behind a progress never skips nor repeats a
    /// change.
    ///
    /// # Errors
    /// [`KvError::Read`].
    pub fn request_progress(&self) -> impl Future<Output = Result<(), KvError>> + Send + use<> {
        let (raft, query) = (self.raft.clone(), self.watcher.progress_query());
        async move {
            raft.read(query).await?.outcome?;
            Ok(())
        }
    }

    fn end(&mut self, cause: KvError) -> WatchError {
        self.has_ended = true;
        WatchError {
            cause,
            resume_from: self.watcher.next(),
        }
    }
}

impl Stream for Watch {
    type Item = Result<WatchEvent, WatchError>;

    fn poll_next(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Option<Self::Item>> {
        let watch = &mut *self;
        if watch.has_ended {
            return Poll::Ready(None);
        }
        loop {
            if let Some(Asking(asking)) = &mut watch.asking {
                let Poll::Ready(answer) = asking.poll_unpin(context) else {
                    return Poll::Pending;
                };
                watch.asking = None;
                let answered = answer.map_err(KvError::from);
                if let Err(cause) = answered.and_then(|answer| watch.watcher.answered(answer)) {
                    return Poll::Ready(Some(Err(watch.end(cause))));
                }
            }
            match watch.watcher.poll(Some(context)) {
                Polled::Event(event) => return Poll::Ready(Some(Ok(event))),
                Polled::Nothing => return Poll::Pending,
                Polled::Ask => {
                    let (raft, query) = (watch.raft.clone(), watch.watcher.query());
                    watch.asking = Some(Asking(ask(raft, query).boxed()));
                }
            }
        }
    }
}

/// Asks this member, again and again while it is busy: many watches may have to go back to the history at once.
async fn ask(raft: Handle<Kv>, query: Query) -> Result<Answer, ReadError> {
    loop {
        match raft.read_local(query.clone()).await {
            Ok(local) => return Ok(local.answer),
            Err(ReadError::Busy(_)) => platform::sleep_until(platform::now() + BUSY_PAUSE).await,
            Err(error) => return Err(error),
        }
    }
}

impl core::fmt::Debug for Asking {
    fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        f.write_str("Asking")
    }
}
