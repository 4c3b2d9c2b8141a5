//! Does jobs on a value that reads and writes files, on a thread of its own: no task of an application waits for a
//! disk.

use std::fmt;
use std::sync::mpsc::{self, Receiver, RecvTimeoutError, Sender};
use std::thread::{self, JoinHandle};
use std::time::Duration;

use tokio::sync::oneshot;

use super::errors::ended;
use super::errors::io;
use crate::storage::StorageError;

/// A value whose last write can be marked as durable.
pub(super) trait Marked: 'static {
    /// Returns true if whatever is durable is also marked so, or nothing more is written.
    fn is_marked(&self) -> bool;

    /// Marks what is durable.
    fn mark(&mut self) -> Result<(), StorageError>;
}

type Job<T> = Box<dyn FnOnce(&mut T) + Send>;

/// A thread with a value, which does one job after the other. It marks the value's last write when it was idle for a
/// while, and before it ends.
pub(super) struct Worker<T> {
    jobs: Option<Sender<Job<T>>>,
    thread: Option<JoinHandle<()>>,
}

impl<T: Marked> Worker<T> {
    /// Begins a thread of this name, which makes its value by `open`. Returns what else that gives.
    pub(super) async fn start<R: Send + 'static>(
        name: &str,
        idle: Duration,
        open: impl FnOnce() -> Result<(T, R), StorageError> + Send + 'static,
    ) -> Result<(Self, R), StorageError> {
        let (jobs, queue) = mpsc::channel();
        let (opened, opening) = oneshot::channel();
        // If the caller has dropped the future, there are no jobs either.
        let work = move || match open() {
            Ok((value, found)) => {
                let _gone = opened.send(Ok(found));
                serve(value, &queue, idle);
            }
            Err(error) => {
                let _gone = opened.send(Err(error));
            }
        };
        let thread = thread::Builder::new().name(name.to_owned()).spawn(work);
        let worker = Self {
            jobs: Some(jobs),
            thread: Some(thread.map_err(io("begin a thread"))?),
        };
        let found = opening.await.unwrap_or_else(|_| Err(ended()))?;
        Ok((worker, found))
    }

    /// Does a job behind all others.
    pub(super) async fn ask<R: Send + 'static>(
        &self,
        job: impl FnOnce(&mut T) -> Result<R, StorageError> + Send + 'static,
    ) -> Result<R, StorageError> {
        let (reply, replied) = oneshot::channel();
        let jobs = self
            .jobs
            .as_ref()
            .expect("jobs are sent until it is dropped");
        // A caller that has dropped the future ignores the result.
        let job: Job<T> = Box::new(move |value| drop(reply.send(job(value))));
        jobs.send(job).map_err(|_ended| ended())?;
        replied.await.unwrap_or_else(|_| Err(ended()))
    }
}

impl<T> Drop for Worker<T> {
    /// The value is dropped when this returns, and its lock with it.
    fn drop(&mut self) {
        self.jobs = None;
        if let Some(thread) = self.thread.take() {
            // A thread that panicked has dropped its value as well.
            let _panicked = thread.join();
        }
    }
}

impl<T> fmt::Debug for Worker<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Worker").finish_non_exhaustive()
    }
}

/// Does the jobs in order, until their sender is dropped.
fn serve<T: Marked>(mut value: T, jobs: &Receiver<Job<T>>, idle: Duration) {
    loop {
        let job = if value.is_marked() {
            jobs.recv().map_err(|_| RecvTimeoutError::Disconnected)
        } else {
            jobs.recv_timeout(idle)
        };
        match job {
            Ok(job) => job(&mut value),
            // The next write reports the failure.
            Err(RecvTimeoutError::Timeout) => drop(value.mark()),
            Err(RecvTimeoutError::Disconnected) => {
                drop(value.mark());
                return;
            }
        }
    }
}
