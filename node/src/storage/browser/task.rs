//! Runs what members ask of a database in one task beside it: objects of JavaScript stay where they were made, and what
//! members hold can be sent anywhere.

use std::cell::RefCell;
use std::rc::Rc;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use futures::channel::{mpsc, oneshot};
use futures::future::{self, LocalBoxFuture};
use futures::lock::Mutex;
use futures::stream::FuturesUnordered;
use futures::{FutureExt, StreamExt, select_biased};
use liferaft_platform as platform;

use super::drains::Drains;
use super::lane::Lane;
use super::store::Store;
use super::table::Database;
use crate::sorted::SortedSet;
use crate::storage::StorageError;

/// What the jobs of one storage share.
pub(super) struct Shared {
    pub(super) database: Database,
    /// One write at a time.
    pub(super) store: Mutex<Store>,
    pub(super) drains: RefCell<Drains>,
    pub(super) lane: RefCell<Lane>,
    pub(super) is_low: Arc<AtomicBool>,
    /// The outboxes that are in use.
    pub(super) outboxes: RefCell<SortedSet<String>>,
}

/// From this part of its quota on a site has no room but a reserve.
const LOW_SHARE: f64 = 0.9;

/// While there is no room, it is looked for again after so long.
const TRY_AFTER: Duration = Duration::from_secs(10);

impl Shared {
    /// Looks whether there is room.
    pub(super) async fn look_for_room(&self) {
        let room = self.database.0.room().await;
        // Where that is not known, something else has to find that there is none.
        let is_low = room.is_some_and(|room| room.used >= room.quota * LOW_SHARE);
        self.is_low.store(is_low, Ordering::Relaxed);
    }
}

type Job = Box<dyn FnOnce(Rc<Shared>) -> LocalBoxFuture<'static, ()> + Send>;

/// Sends jobs to the task. Clones reach the same one.
#[derive(Clone)]
pub(super) struct Jobs {
    jobs: mpsc::UnboundedSender<Job>,
    ended: future::Shared<oneshot::Receiver<()>>,
}

impl Jobs {
    /// Begins the task.
    pub(super) fn start(shared: Shared) -> Self {
        // Whoever sends a job waits for it, so the channel needs no bound of its own.
        let (jobs, queue) = mpsc::unbounded();
        let (ending, ended) = oneshot::channel();
        let shared = Rc::new(shared);
        let task = serve(Rc::clone(&shared), queue).map(move |()| drop(ending));
        shared.database.0.spawn(task.boxed_local());
        Self {
            jobs,
            ended: ended.shared(),
        }
    }

    /// Has a job done beside others.
    pub(super) async fn ask<T, F>(
        &self,
        act: impl FnOnce(Rc<Shared>) -> F + Send + 'static,
    ) -> Result<T, StorageError>
    where
        T: Send + 'static,
        F: Future<Output = Result<T, StorageError>> + 'static,
    {
        let (reply, replied) = oneshot::channel();
        let job: Job = Box::new(move |shared| {
            // A caller that has dropped the future ignores the result.
            act(shared).map(|done| drop(reply.send(done))).boxed_local()
        });
        self.jobs.unbounded_send(job).map_err(|_| ended())?;
        replied.await.unwrap_or_else(|_| Err(ended()))
    }

    /// Has a job done that nobody waits for.
    pub(super) fn tell(&self, act: impl FnOnce(&Shared) + Send + 'static) {
        let job: Job = Box::new(move |shared| {
            act(&shared);
            future::ready(()).boxed_local()
        });
        // A storage that is closed has nothing left to do.
        drop(self.jobs.unbounded_send(job));
    }

    /// Takes no more jobs: the task ends when those that it has are done, and the database is closed then.
    pub(super) fn stop(&self) {
        self.jobs.close_channel();
    }

    /// Resolves when the task has ended.
    pub(super) async fn ended(&self) {
        let _ended = self.ended.clone().await;
    }
}

/// Does jobs, all at once, until no more can come.
async fn serve(shared: Rc<Shared>, mut queue: mpsc::UnboundedReceiver<Job>) {
    let mut running = FuturesUnordered::new();
    let mut try_at = None;
    loop {
        let is_low = shared.is_low.load(Ordering::Relaxed);
        try_at = is_low.then(|| try_at.unwrap_or_else(|| platform::now() + TRY_AFTER));
        let mut tries = match try_at {
            Some(at) => platform::sleep_until(at).boxed_local().fuse(),
            None => future::pending().boxed_local().fuse(),
        };
        select_biased! {
            job = queue.next() => match job {
                Some(job) => running.push(job(Rc::clone(&shared))),
                None => break,
            },
            () = running.select_next_some() => {}
            () = tries => {
                try_at = None;
                shared.look_for_room().await;
            }
        }
    }
    while running.next().await.is_some() {}
}

fn ended() -> StorageError {
    StorageError::Stopped {
        reason: "the storage is closed".to_owned(),
    }
}
