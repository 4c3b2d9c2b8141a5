//! What waits for one watcher.

use core::task::{Context, Waker};
use std::collections::VecDeque;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use crate::history::Batch;
use crate::limits::{WATCH_QUEUE_BYTES_MAX, WATCH_QUEUE_MAX};
use crate::revision::Revision;

/// A bounded queue from the applier to one watcher. The applier never waits for it: when it is full, it is closed, and the
/// watcher reads on in the history once it has emptied it.
#[derive(Debug, Default)]
pub(crate) struct Mailbox {
    inner: Mutex<Inner>,
}

#[derive(Debug, Default)]
struct Inner {
    batches: VecDeque<Arc<Batch>>,
    bytes: u64,
    /// Everything up to here has been put in.
    through: Revision,
    /// Whether the watcher is to be told of `through`, even if nothing is in.
    mark: bool,
    /// Whether the applier puts anything in.
    open: bool,
    waker: Option<Waker>,
}

/// What a watcher takes out.
#[derive(Debug)]
pub(crate) enum Taken {
    /// The next batch.
    Batch(Arc<Batch>),
    /// Everything up to here has been taken.
    Mark(Revision),
    /// Nothing, for the time being.
    Nothing,
    /// Nothing, and no more will come.
    Closed,
}

impl Mailbox {
    /// From here on the applier puts in what comes after `through`.
    pub(crate) fn open(&self, through: Revision) {
        let mut inner = self.lock();
        inner.open = true;
        inner.through = through;
    }

    /// Puts a batch in, or closes the mailbox if it is full. Whether it is open still.
    pub(crate) fn put(&self, batch: &Arc<Batch>) -> bool {
        let mut inner = self.lock();
        let bytes = inner.bytes + batch.weight();
        let is_full = inner.batches.len() >= WATCH_QUEUE_MAX
            || (bytes > WATCH_QUEUE_BYTES_MAX && !inner.batches.is_empty());
        if is_full {
            inner.open = false;
        } else {
            inner.bytes = bytes;
            inner.batches.push_back(Arc::clone(batch));
        }
        inner.wake();
        !is_full
    }

    /// Everything up to `through` is in: the watcher is to be told.
    pub(crate) fn mark(&self, through: Revision) {
        let mut inner = self.lock();
        if inner.open {
            inner.through = through;
            inner.mark = true;
            inner.wake();
        }
    }

    /// Nothing more will be put in.
    pub(crate) fn close(&self) {
        let mut inner = self.lock();
        inner.open = false;
        inner.wake();
    }

    /// Takes what is next, or has the task woken when there is something.
    pub(crate) fn take(&self, context: Option<&mut Context<'_>>) -> Taken {
        let mut inner = self.lock();
        if let Some(batch) = inner.batches.pop_front() {
            inner.bytes -= batch.weight();
            return Taken::Batch(batch);
        }
        if core::mem::take(&mut inner.mark) && inner.open {
            return Taken::Mark(inner.through);
        }
        if !inner.open {
            return Taken::Closed;
        }
        if let Some(context) = context {
            match &mut inner.waker {
                Some(waker) => waker.clone_from(context.waker()),
                None => inner.waker = Some(context.waker().clone()),
            }
        }
        Taken::Nothing
    }

    // Nothing panics while it holds the lock.
    fn lock(&self) -> MutexGuard<'_, Inner> {
        self.inner.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Inner {
    /// Once for all that is put in before the watcher looks.
    fn wake(&mut self) {
        if let Some(waker) = self.waker.take() {
            waker.wake();
        }
    }
}

#[cfg(test)]
mod tests {
    use bytes::Bytes;

    use super::*;
    use crate::history::{Change, ChangeKind};

    fn batch(revision: u64, key_bytes: usize) -> Arc<Batch> {
        let change = Change {
            key: Bytes::from(vec![0; key_bytes]),
            kind: ChangeKind::Deleted { ended: None },
            before: None,
        };
        Arc::new(Batch {
            revision: Revision(revision),
            changes: vec![change],
        })
    }

    fn opened() -> Mailbox {
        let mailbox = Mailbox::default();
        mailbox.open(Revision::ZERO);
        mailbox
    }

    #[test]
    fn a_full_mailbox_is_closed_and_gives_what_is_in_it_first() {
        let mailbox = opened();

        let put: Vec<_> = (1..=WATCH_QUEUE_MAX as u64 + 1)
            .map(|revision| mailbox.put(&batch(revision, 1)))
            .collect();
        let taken = std::iter::from_fn(|| match mailbox.take(None) {
            Taken::Batch(batch) => Some(batch.revision.0),
            Taken::Mark(_) | Taken::Nothing | Taken::Closed => None,
        });

        assert!(taken.eq(1..=WATCH_QUEUE_MAX as u64));
        assert!(matches!(mailbox.take(None), Taken::Closed));
        assert_eq!(put.iter().filter(|open| !**open).count(), 1);
    }

    #[test]
    fn a_mailbox_is_bounded_in_bytes_and_takes_one_batch_however_large() {
        let mailbox = opened();
        let large = usize::try_from(WATCH_QUEUE_BYTES_MAX).expect("it fits") + 1;

        let put = [batch(1, large), batch(2, 1)].map(|batch| mailbox.put(&batch));

        assert_eq!(put, [true, false]);
    }

    #[test]
    fn a_mark_comes_after_what_was_put_in_before_it() {
        let mailbox = opened();
        mailbox.put(&batch(3, 1));
        mailbox.mark(Revision(7));

        let first = mailbox.take(None);
        let second = mailbox.take(None);
        let third = mailbox.take(None);

        assert!(matches!(first, Taken::Batch(batch) if batch.revision == Revision(3)));
        assert!(matches!(second, Taken::Mark(Revision(7))));
        assert!(matches!(third, Taken::Nothing));
    }
}
