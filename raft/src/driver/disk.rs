//! The writes of a member on their way to its storage: one at a time, and all that gathered meanwhile in the next.

use std::future::Future;
use std::pin::Pin;
use std::task::{Context, Poll, ready};

use crate::consensus::{Write, WriteId};
use crate::entry::Entry;
use crate::storage::{Storage, StorageError};

type Store = Box<dyn Storage>;
type Writing = Pin<Box<dyn Future<Output = (Store, Result<(), StorageError>)> + Send>>;

/// A storage with a queue. It is polled by the member's own task, so a write that is ready at once costs no other.
///
/// The queue needs no bound of its own: the core holds back what it may not have uncommitted.
pub(super) struct Disk {
    state: State,
    queue: Vec<Write>,
    /// The last write under way.
    writing: WriteId,
    /// What the length of a write is a multiple of.
    page_bytes: u64,
    /// Whether the storage had no room but a reserve, when it was idle last.
    was_low: bool,
    /// How much longer the log got than its entries weigh, since this was taken last.
    padding: u64,
}

enum State {
    Idle(Store),
    Writing(Writing),
    /// A write failed. What the disk holds is not known, and nothing more is written.
    Failed,
}

impl Disk {
    pub(super) fn new(storage: Store) -> Self {
        Self {
            page_bytes: storage.page_bytes().max(1),
            state: State::Idle(storage),
            queue: Vec::new(),
            writing: WriteId(0),
            was_low: false,
            padding: 0,
        }
    }

    /// Whether nothing is under way or waits.
    pub(super) fn is_idle(&self) -> bool {
        self.queue.is_empty() && !matches!(self.state, State::Writing(_))
    }

    /// How many writes wait or are under way.
    pub(super) fn len(&self) -> usize {
        self.queue.len() + usize::from(matches!(self.state, State::Writing(_)))
    }

    /// Takes how much longer the log got on the disk than its entries weigh, since this was called last.
    pub(super) fn take_padding(&mut self) -> u64 {
        std::mem::take(&mut self.padding)
    }

    /// Returns true if the storage has no room but a reserve, as of when it was idle last.
    pub(super) fn is_low(&self) -> bool {
        match &self.state {
            State::Idle(storage) => storage.is_low(),
            State::Writing(_) | State::Failed => self.was_low,
        }
    }

    /// Takes writes, in order.
    pub(super) fn enqueue(&mut self, writes: &mut Vec<Write>) {
        self.queue.append(writes);
    }

    /// The last write that has become durable, when some have.
    pub(super) fn poll(
        &mut self,
        context: &mut Context<'_>,
    ) -> Poll<Result<WriteId, StorageError>> {
        self.begin();
        let State::Writing(writing) = &mut self.state else {
            return Poll::Pending;
        };
        let (storage, result) = ready!(writing.as_mut().poll(context));
        self.state = match &result {
            Ok(()) => State::Idle(storage),
            Err(_) => State::Failed,
        };
        Poll::Ready(result.map(|()| self.writing))
    }

    /// Begins the next write if none is under way.
    fn begin(&mut self) {
        let Some(last) = self.queue.last() else {
            return;
        };
        self.state = match std::mem::replace(&mut self.state, State::Failed) {
            State::Idle(mut storage) => {
                self.was_low = storage.is_low();
                self.writing = last.id;
                let writes = std::mem::take(&mut self.queue);
                let entries = writes.iter().flat_map(|write| &write.entries);
                let bytes: u64 = entries.map(Entry::weight).sum();
                self.padding += bytes.next_multiple_of(self.page_bytes) - bytes;
                State::Writing(Box::pin(async move {
                    let result = storage.write(writes).await;
                    (storage, result)
                }))
            }
            state @ (State::Writing(_) | State::Failed) => state,
        };
    }
}

#[cfg(test)]
mod tests {
    use async_trait::async_trait;
    use futures::task::noop_waker;
    use tokio::sync::mpsc;

    use super::*;
    use crate::consensus::Recovered;

    /// A disk whose writes end when they are told how.
    struct Slow {
        begun: mpsc::Sender<Vec<WriteId>>,
        ends: mpsc::Receiver<Result<(), StorageError>>,
    }

    #[async_trait]
    impl Storage for Slow {
        async fn recover(&mut self) -> Result<Recovered, StorageError> {
            Ok(Recovered::default())
        }

        async fn write(&mut self, writes: Vec<Write>) -> Result<(), StorageError> {
            self.begun
                .send(writes.iter().map(|write| write.id).collect())
                .await
                .unwrap();
            self.ends.recv().await.unwrap()
        }
    }

    fn write(id: u64) -> Write {
        Write {
            id: WriteId(id),
            ..Write::default()
        }
    }

    #[test]
    fn what_gathers_during_a_write_is_written_together() {
        let (begun, mut begins) = mpsc::channel(9);
        let (end, ends) = mpsc::channel(9);
        let mut disk = Disk::new(Box::new(Slow { begun, ends }));
        let mut context = Context::from_waker(std::task::Waker::noop());

        disk.enqueue(&mut vec![write(1)]);
        assert!(disk.poll(&mut context).is_pending());
        disk.enqueue(&mut vec![write(2)]);
        disk.enqueue(&mut vec![write(3)]);
        end.try_send(Ok(())).unwrap();
        let first = disk.poll(&mut context);
        end.try_send(Ok(())).unwrap();
        let second = disk.poll(&mut context);

        assert!(matches!(first, Poll::Ready(Ok(WriteId(1)))));
        assert!(matches!(second, Poll::Ready(Ok(WriteId(3)))));
        assert_eq!(begins.try_recv(), Ok(vec![WriteId(1)]));
        assert_eq!(begins.try_recv(), Ok(vec![WriteId(2), WriteId(3)]));
        assert!(disk.is_idle());
    }

    #[test]
    fn nothing_is_written_after_a_failed_write() {
        let (begun, mut begins) = mpsc::channel(9);
        let (end, ends) = mpsc::channel(9);
        let mut disk = Disk::new(Box::new(Slow { begun, ends }));
        let waker = noop_waker();
        let mut context = Context::from_waker(&waker);

        disk.enqueue(&mut vec![write(1)]);
        end.try_send(Err(StorageError::Damaged {
            what: "disk",
            reason: "test".into(),
        }))
        .unwrap();
        let failed = disk.poll(&mut context);
        disk.enqueue(&mut vec![write(2)]);

        assert!(matches!(failed, Poll::Ready(Err(_))));
        assert!(disk.poll(&mut context).is_pending());
        assert_eq!(begins.try_recv(), Ok(vec![WriteId(1)]));
        assert!(begins.try_recv().is_err());
    }
}
