//! What waits for one watcher.

use core::task::{Context, Waker};
use std::collections::VecDeque;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use liferaft_raft::consensus::planted::{Bug, is_planted};

use crate::history::Batch;
use crate::limits::{WATCH_QUEUE_BYTES_MAX, WATCH_QUEUE_MAX};
use crate::revision::Revision;

/// A bounded queue from the applier to one watcher, for as long as that lives. The applier never waits for it: when it
/// is full, it is closed, and the watcher reads on in the history once it has emptied it.
///
/// Each [`Asked`] opens it once at most, and only the latest does: whatever an earlier one brought about is void.
#[derive(Debug, Default)]
pub(crate) struct Mailbox {
    inner: Mutex<Inner>,
}

/// Which of a watcher's queries of the history it is, counted from 1.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Asked(u64);

#[derive(Debug, Default)]
struct Inner {
    asked: Asked,
    state: State,
    batches: VecDeque<Arc<Batch>>,
    bytes: u64,
    /// The watch begins with this revision: nothing before it is told.
    from: Revision,
    /// Everything up to here has been put in.
    through: Revision,
    /// Whether the watcher is to be told of `through`, even if nothing is in.
    mark: bool,
    waker: Option<Waker>,
}

#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
enum State {
    /// The watcher has asked, and is not answered with all there is.
    #[default]
    Asking,
    /// The applier puts in what it applies.
    Open,
    /// Something is missing: the watcher has to ask.
    Closed,
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
    /// The watcher asks anew: from here on nothing is put in by what answered before.
    pub(crate) fn ask(&self) -> Asked {
        let mut inner = self.lock();
        inner.asked.0 += 1;
        inner.state = State::Asking;
        inner.batches.clear();
        inner.bytes = 0;
        // Where everything up to the present is told anew, a mark comes behind it.
        inner.mark = false;
        inner.asked
    }

    /// The query that counts.
    pub(crate) fn asked(&self) -> Asked {
        self.lock().asked
    }

    /// From here on the applier puts in what comes after `through`, from `from` on. Returns false if the query is
    /// answered already, or is not the latest.
    pub(crate) fn open(&self, asked: Asked, from: Revision, through: Revision) -> bool {
        let mut inner = self.lock();
        if inner.asked != asked || inner.state != State::Asking {
            return false;
        }
        inner.state = State::Open;
        inner.from = from;
        inner.through = through;
        true
    }

    /// Puts a batch in, or closes the mailbox if it is full. Returns whether it is open still.
    pub(crate) fn put(&self, asked: Asked, batch: &Arc<Batch>) -> bool {
        let mut inner = self.lock();
        if !inner.is_open(asked) {
            return false;
        }
        let bytes = inner.bytes + batch.weight();
        let is_full = inner.batches.len() >= WATCH_QUEUE_MAX
            || (bytes > WATCH_QUEUE_BYTES_MAX && !inner.batches.is_empty());
        if is_full {
            inner.state = State::Closed;
        } else {
            inner.bytes = bytes;
            inner.through = batch.revision;
            inner.batches.push_back(Arc::clone(batch));
        }
        inner.wake();
        !is_full
    }

    /// Everything up to `through` is in: the watcher is to be told, unless it begins after that. A mailbox that is not
    /// open needs no mark: its watcher asks, and is told behind all that it has missed how far that was.
    pub(crate) fn mark(&self, asked: Asked, through: Revision) {
        let mut inner = self.lock();
        if inner.is_open(asked) && through.next() >= inner.from {
            inner.through = inner.through.max(through);
            inner.mark = true;
            inner.wake();
        }
    }

    /// Nothing more will be put in.
    pub(crate) fn close(&self, asked: Asked) {
        let mut inner = self.lock();
        if inner.is_open(asked) {
            inner.state = State::Closed;
            inner.wake();
        }
    }

    /// Takes what is next, or has the task woken when there is something.
    pub(crate) fn take(&self, context: Option<&mut Context<'_>>) -> Taken {
        let mut inner = self.lock();
        let overtakes = is_planted(Bug::MarkOvertakesChanges) && inner.state == State::Open;
        if overtakes && core::mem::take(&mut inner.mark) {
            return Taken::Mark(inner.through);
        }
        if let Some(batch) = inner.batches.pop_front() {
            inner.bytes -= batch.weight();
            return Taken::Batch(batch);
        }
        if inner.state != State::Open {
            return Taken::Closed;
        }
        if core::mem::take(&mut inner.mark) {
            return Taken::Mark(inner.through);
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
    fn is_open(&self, asked: Asked) -> bool {
        self.asked == asked && self.state == State::Open
    }

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

    fn opened() -> (Mailbox, Asked) {
        let mailbox = Mailbox::default();
        let asked = mailbox.ask();
        assert!(mailbox.open(asked, Revision(1), Revision::ZERO));
        (mailbox, asked)
    }

    #[test]
    fn a_full_mailbox_is_closed_and_gives_what_is_in_it_first() {
        let (mailbox, asked) = opened();

        let put: Vec<_> = (1..=WATCH_QUEUE_MAX as u64 + 1)
            .map(|revision| mailbox.put(asked, &batch(revision, 1)))
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
        let (mailbox, asked) = opened();
        let large = usize::try_from(WATCH_QUEUE_BYTES_MAX).expect("it fits") + 1;

        let put = [batch(1, large), batch(2, 1)].map(|batch| mailbox.put(asked, &batch));

        assert_eq!(put, [true, false]);
    }

    #[test]
    fn a_mark_comes_after_what_was_put_in_before_it() {
        let (mailbox, asked) = opened();
        mailbox.put(asked, &batch(3, 1));
        mailbox.mark(asked, Revision(7));

        let first = mailbox.take(None);
        let second = mailbox.take(None);
        let third = mailbox.take(None);

        assert!(matches!(first, Taken::Batch(batch) if batch.revision == Revision(3)));
        assert!(matches!(second, Taken::Mark(Revision(7))));
        assert!(matches!(third, Taken::Nothing));
    }

    #[test]
    fn what_answers_an_earlier_query_puts_nothing_in_and_closes_nothing() {
        let (mailbox, before) = opened();
        mailbox.put(before, &batch(1, 1));
        let asked = mailbox.ask();

        let late = mailbox.open(before, Revision(1), Revision(9));
        let opened = mailbox.open(asked, Revision(1), Revision(1));
        let twice = mailbox.open(asked, Revision(1), Revision(9));
        let put = mailbox.put(before, &batch(2, 1));
        mailbox.mark(before, Revision(9));
        mailbox.close(before);

        assert_eq!([late, opened, twice, put], [false, true, false, false]);
        assert!(matches!(mailbox.take(None), Taken::Nothing));
    }
}
