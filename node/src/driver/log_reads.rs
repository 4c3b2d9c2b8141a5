//! Entries of the log on their way from storage to the core, beside the member's writes: all of them at once.

use std::future::Future;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};

use futures::StreamExt;
use futures::stream::FuturesUnordered;
use liferaft_platform::SortedMap;

use crate::consensus::{EntriesRead, EntriesReader, Input};
use crate::storage::{LogReader, StorageError};
use crate::time::Instant;

type Reading = Pin<Box<dyn Future<Output = (EntriesReader, Result<Input, StorageError>)> + Send>>;

/// What is to be read of the log. It is polled by the member's own task.
///
/// It needs no bound of its own: the core asks for one read at a time for each peer, and for its state machine.
pub(super) struct LogReads {
    log: Arc<dyn LogReader>,
    under_way: FuturesUnordered<Reading>,
    /// When each was begun, by whom it is for: that is one at a time.
    since: SortedMap<EntriesReader, Instant>,
}

impl LogReads {
    pub(super) fn new(log: Arc<dyn LogReader>) -> Self {
        Self {
            log,
            under_way: FuturesUnordered::new(),
            since: SortedMap::new(),
        }
    }

    /// Begins to read, once it is polled.
    pub(super) fn begin(&mut self, reads: &mut Vec<EntriesRead>, now: Instant) {
        for read in reads.drain(..) {
            let log = Arc::clone(&self.log);
            self.since.insert(read.whose, now);
            self.under_way.push(Box::pin(async move {
                let entries = log.read(read.from, read.through, read.bytes_max).await;
                let done = entries.map(|entries| Input::EntriesRead { read, entries });
                (read.whose, done)
            }));
        }
    }

    /// Since when the read has been under way that was begun first.
    pub(super) fn busy_since(&self) -> Option<Instant> {
        self.since.values().min().copied()
    }

    /// The next answer for the core.
    pub(super) fn poll(&mut self, context: &mut Context<'_>) -> Poll<Result<Input, StorageError>> {
        match self.under_way.poll_next_unpin(context) {
            Poll::Ready(Some((whose, done))) => {
                self.since.remove(&whose);
                Poll::Ready(done)
            }
            // None is under way.
            Poll::Ready(None) | Poll::Pending => Poll::Pending,
        }
    }
}
