//! The writes of a member on their way to its storage: one at a time, and all that gathered meanwhile in the next.

use std::future::Future;
use std::pin::Pin;
use std::task::{Context, Poll, ready};

use liferaft_platform as platform;

use super::log_reads::LogReads;
use crate::boots::Boots;
use crate::consensus::{Write, WriteId};
use crate::entry::Entry;
use crate::storage::{Storage, StorageError};
use crate::time::Instant;

type Store = Box<dyn Storage>;
type Writing = Pin<Box<dyn Future<Output = (Store, Result<(), StorageError>)> + Send>>;

/// A storage with a queue. It is polled by the member's own task, so a write that is ready at once costs no other.
///
/// The queue needs no bound of its own: the core holds back what it may not have uncommitted.
pub(super) struct Disk {
    state: State,
    queue: Vec<Write>,
    /// The bytes of entries in the queue, and in the writes under way.
    queued_bytes: u64,
    writing_bytes: u64,
    /// Since when there has been something to write, and none of it has become durable.
    busy_since: Option<Instant>,
    /// The last write under way.
    writing: WriteId,
    /// The last write that was enqueued.
    enqueued: WriteId,
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
    /// A write failed. What the disk holds is not known, and nothing more is written. The storage is kept to the end:
    /// whoever drops it may have to wait for the disk.
    Failed(Option<Store>),
}

impl Disk {
    pub(super) fn new(storage: Store) -> Self {
        Self {
            page_bytes: storage.page_bytes().max(1),
            padding: storage.padding(),
            state: State::Idle(storage),
            queue: Vec::new(),
            queued_bytes: 0,
            writing_bytes: 0,
            busy_since: None,
            writing: WriteId(0),
            enqueued: WriteId(0),
            was_low: false,
        }
    }

    /// Closes the storage, unless a write is under way or failed, and drops it and what else uses it. It waits for the
    /// disk as long as that takes, and holds nobody up meanwhile.
    pub(super) async fn close(self, log_reads: LogReads) -> Result<(), StorageError> {
        let (storage, writing, closed) = match self.state {
            State::Idle(mut storage) => {
                let closed = storage.close().await;
                if log_reads.busy_since().is_none() {
                    return closed;
                }
                (Some(storage), None, closed)
            }
            State::Writing(writing) => (None, Some(writing), Ok(())),
            State::Failed(storage) => (storage, None, Ok(())),
        };
        let mut left = Some((storage, writing, log_reads));
        platform::compute(move || left.take().map(drop)).await;
        closed
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
            State::Writing(_) | State::Failed(_) => self.was_low,
        }
    }

    /// Takes writes, in order.
    pub(super) fn enqueue(&mut self, writes: &mut Vec<Write>, now: Instant) {
        if !writes.is_empty() {
            self.busy_since.get_or_insert(now);
        }
        for write in writes.drain(..) {
            self.enqueued = write.id;
            self.queued_bytes += bytes_of(&write);
            match self.queue.last_mut() {
                // While a disk hangs, terms come and go: the last of them is all there is to store.
                Some(last) if is_hard_state(last) && is_hard_state(&write) => *last = write,
                _ => self.queue.push(write),
            }
        }
    }

    /// Takes what is to be remembered of other servers' boots. It goes with whatever else is to be written.
    pub(super) fn enqueue_boots(&mut self, boots: Boots, now: Instant) {
        self.busy_since.get_or_insert(now);
        match self.queue.last_mut() {
            Some(last) => last.peer_boots = Some(boots),
            None => self.queue.push(Write {
                id: self.enqueued,
                peer_boots: Some(boots),
                ..Write::default()
            }),
        }
    }

    /// Takes note that a write has become durable.
    pub(super) fn note_written(&mut self, now: Instant) {
        self.busy_since = (!self.is_idle()).then_some(now);
    }

    /// How many bytes of entries wait, or are under way.
    pub(super) const fn waiting_bytes(&self) -> u64 {
        self.queued_bytes + self.writing_bytes
    }

    /// Since when there has been something to write, and none of it has become durable.
    pub(super) const fn busy_since(&self) -> Option<Instant> {
        self.busy_since
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
            Err(_) => State::Failed(Some(storage)),
        };
        self.writing_bytes = 0;
        Poll::Ready(result.map(|()| self.writing))
    }

    /// Begins the next write if none is under way.
    fn begin(&mut self) {
        let Some(last) = self.queue.last() else {
            return;
        };
        self.state = match std::mem::replace(&mut self.state, State::Failed(None)) {
            State::Idle(mut storage) => {
                self.was_low = storage.is_low();
                self.writing = last.id;
                let writes = std::mem::take(&mut self.queue);
                let entries = writes.iter().flat_map(|write| &write.entries);
                let bytes: u64 = entries.map(Entry::weight).sum();
                self.padding += bytes.next_multiple_of(self.page_bytes) - bytes;
                self.writing_bytes = std::mem::take(&mut self.queued_bytes);
                State::Writing(Box::pin(async move {
                    let result = storage.write(writes).await;
                    (storage, result)
                }))
            }
            state @ (State::Writing(_) | State::Failed(_)) => state,
        };
    }
}

fn bytes_of(write: &Write) -> u64 {
    write.entries.iter().map(Entry::weight).sum()
}

/// Returns true if a write has a hard state and nothing else.
fn is_hard_state(write: &Write) -> bool {
    let Write {
        id: _,
        hard_state,
        peer_boots,
        snapshot,
        truncate,
        entries,
        compact,
    } = write;
    hard_state.is_some()
        && peer_boots.is_none()
        && snapshot.is_none()
        && truncate.is_none()
        && entries.is_empty()
        && compact.is_none()
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use async_trait::async_trait;
    use futures::task::noop_waker;
    use tokio::sync::mpsc;

    use super::*;
    use crate::configuration::History;
    use crate::consensus::HardState;
    use crate::identity::Identity;
    use crate::ids::ClusterId;
    use crate::storage::{LogReader, MemoryStorage, Recovered, SnapshotLane};

    const NOW: Instant = Instant::ORIGIN;

    /// A disk whose writes end when they are told how.
    struct Slow {
        stored: MemoryStorage,
        begun: mpsc::Sender<Vec<WriteId>>,
        ends: mpsc::Receiver<Result<(), StorageError>>,
    }

    impl Slow {
        fn new(
            begun: mpsc::Sender<Vec<WriteId>>,
            ends: mpsc::Receiver<Result<(), StorageError>>,
        ) -> Self {
            Self {
                stored: MemoryStorage::default(),
                begun,
                ends,
            }
        }
    }

    #[async_trait]
    impl Storage for Slow {
        fn identity(&self) -> &Identity {
            self.stored.identity()
        }

        fn cluster(&self) -> Option<ClusterId> {
            self.stored.cluster()
        }

        fn history(&self) -> Option<History> {
            self.stored.history()
        }

        async fn bind(
            &mut self,
            cluster: ClusterId,
            history: Option<History>,
        ) -> Result<(), StorageError> {
            self.stored.bind(cluster, history).await
        }

        async fn recover(&mut self, _log_memory_bytes_max: u64) -> Result<Recovered, StorageError> {
            Ok(Recovered::default())
        }

        fn snapshots(&self) -> Arc<dyn SnapshotLane> {
            MemoryStorage::default().snapshots()
        }

        fn log(&self) -> Arc<dyn LogReader> {
            self.stored.log()
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
        let mut disk = Disk::new(Box::new(Slow::new(begun, ends)));
        let mut context = Context::from_waker(std::task::Waker::noop());

        disk.enqueue(&mut vec![write(1)], NOW);
        assert!(disk.poll(&mut context).is_pending());
        disk.enqueue(&mut vec![write(2)], NOW);
        disk.enqueue(&mut vec![write(3)], NOW);
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
    fn a_disk_that_hangs_while_terms_pass_keeps_the_last_of_them() {
        let (begun, _begins) = mpsc::channel(9);
        let (_end, ends) = mpsc::channel(9);
        let mut disk = Disk::new(Box::new(Slow::new(begun, ends)));
        let mut context = Context::from_waker(std::task::Waker::noop());

        for id in 1..=100 {
            let of_term = Write {
                hard_state: Some(HardState::default()),
                ..write(id)
            };
            disk.enqueue(&mut vec![of_term], NOW);
            assert!(disk.poll(&mut context).is_pending());
        }

        assert_eq!(disk.queue.len(), 1);
        assert_eq!(disk.queue[0].id, WriteId(100));
        assert_eq!(disk.busy_since(), Some(NOW));
    }

    #[test]
    fn nothing_is_written_after_a_failed_write() {
        let (begun, mut begins) = mpsc::channel(9);
        let (end, ends) = mpsc::channel(9);
        let mut disk = Disk::new(Box::new(Slow::new(begun, ends)));
        let waker = noop_waker();
        let mut context = Context::from_waker(&waker);

        disk.enqueue(&mut vec![write(1)], NOW);
        end.try_send(Err(StorageError::Damaged {
            what: "disk",
            reason: "test".into(),
        }))
        .unwrap();
        let failed = disk.poll(&mut context);
        disk.enqueue(&mut vec![write(2)], NOW);

        assert!(matches!(failed, Poll::Ready(Err(_))));
        assert!(disk.poll(&mut context).is_pending());
        assert_eq!(begins.try_recv(), Ok(vec![WriteId(1)]));
        assert!(begins.try_recv().is_err());
    }
}
