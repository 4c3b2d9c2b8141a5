//! The writes of a member on their way to its storage: one at a time, and all that gathered meanwhile in the next. A
//! snapshot goes the lane of the storage first, and its write names it.

use std::collections::BTreeMap;
use std::future::Future;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll, ready};

use bytes::Bytes;

use crate::consensus::{Recovered, Snapshot, Write, WriteId};
use crate::entry::Entry;
use crate::ids::Index;
use crate::storage::{SnapshotLane, SnapshotName, Storage, StorageError, StoredSnapshot};
use crate::time::Instant;

type Store = Box<dyn Storage>;
type Writing = Pin<Box<dyn Future<Output = (Store, Result<Named, StorageError>)> + Send>>;

/// The name of the last snapshot among some writes.
type Named = Option<SnapshotName>;

/// Snapshots go the lane in pieces of so many bytes.
const PIECE_BYTES: usize = 1 << 20;

/// A storage with a queue. It is polled by the member's own task, so a write that is ready at once costs no other.
///
/// The queue needs no bound of its own: the core holds back what it may not have uncommitted.
pub(super) struct Disk {
    state: State,
    lane: Arc<dyn SnapshotLane>,
    queue: Vec<Write>,
    /// The bytes of entries and snapshots in the queue, and in the writes under way.
    queued_bytes: u64,
    writing_bytes: u64,
    /// Since when there has been something to write, and none of it has become durable.
    busy_since: Option<Instant>,
    /// The last write under way.
    writing: WriteId,
    /// The snapshot in force.
    in_force: Option<SnapshotName>,
    /// Snapshots that the lane has and no write has named, by the last index that they cover.
    taken: BTreeMap<Index, Taken>,
    /// What the length of a write is a multiple of.
    page_bytes: u64,
    /// Whether the storage had no room but a reserve, when it was idle last.
    was_low: bool,
    /// How much longer the log got than its entries weigh, since this was taken last.
    padding: u64,
}

/// A snapshot of the member's own that the lane has.
#[derive(Clone, Copy, Debug)]
pub(super) struct Taken {
    pub(super) name: SnapshotName,
    pub(super) digest: u32,
}

enum State {
    Idle(Store),
    Writing(Writing),
    /// A write failed. What the disk holds is not known, and nothing more is written.
    Failed,
}

/// Reads what a storage holds, with the state of its snapshot and the name of that.
pub(super) async fn recover(
    storage: &mut dyn Storage,
) -> Result<(Recovered, Option<SnapshotName>), StorageError> {
    let recovered = storage.recover().await?;
    let mut snapshot = None;
    let mut in_force = None;
    if let Some(StoredSnapshot { name, metadata }) = recovered.snapshot.clone() {
        let data = read(&*storage.snapshots(), name, metadata.length).await?;
        snapshot = Some(Snapshot { metadata, data });
        in_force = Some(name);
    }
    Ok((recovered.with_snapshot(snapshot), in_force))
}

/// Reads the whole state of a snapshot.
async fn read(
    lane: &dyn SnapshotLane,
    name: SnapshotName,
    length: u64,
) -> Result<Bytes, StorageError> {
    let mut state = Vec::new();
    while (state.len() as u64) < length {
        let piece = lane.read(name, state.len() as u64, PIECE_BYTES).await?;
        match piece {
            Some(piece) if !piece.is_empty() => state.extend_from_slice(&piece),
            Some(_) | None => {
                return Err(StorageError::Damaged {
                    what: "snapshot",
                    reason: format!("it has {} bytes of {length}", state.len()),
                });
            }
        }
    }
    Ok(state.into())
}

/// Has a lane store a state of this CRC-32.
pub(super) async fn store(
    lane: &dyn SnapshotLane,
    state: &Bytes,
    digest: u32,
) -> Result<SnapshotName, StorageError> {
    let name = lane.begin().await?;
    let mut at = 0;
    while at < state.len() {
        let end = state.len().min(at + PIECE_BYTES);
        lane.append(name, state.slice(at..end)).await?;
        at = end;
    }
    if lane.finish(name, state.len() as u64, digest).await? {
        Ok(name)
    } else {
        Err(StorageError::Damaged {
            what: "snapshot",
            reason: "it is not what was written".to_owned(),
        })
    }
}

impl Disk {
    /// A storage in which this snapshot is in force.
    pub(super) fn new(storage: Store, in_force: Option<SnapshotName>) -> Self {
        Self {
            lane: storage.snapshots(),
            page_bytes: storage.page_bytes().max(1),
            state: State::Idle(storage),
            queue: Vec::new(),
            queued_bytes: 0,
            writing_bytes: 0,
            busy_since: None,
            writing: WriteId(0),
            in_force,
            taken: BTreeMap::new(),
            was_low: false,
            padding: 0,
        }
    }

    /// Takes note that the lane has a snapshot of the member's own, which a write will name if the core wants it.
    pub(super) fn note_taken(&mut self, through: Index, taken: Taken) {
        self.taken.insert(through, taken);
    }

    /// Closes the storage, unless a write is under way or failed.
    pub(super) async fn close(&mut self) -> Result<(), StorageError> {
        match std::mem::replace(&mut self.state, State::Failed) {
            State::Idle(mut storage) => storage.close().await,
            State::Writing(_) | State::Failed => Ok(()),
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
    pub(super) fn enqueue(&mut self, writes: &mut Vec<Write>, now: Instant) {
        if !writes.is_empty() {
            self.busy_since.get_or_insert(now);
        }
        for write in writes.drain(..) {
            self.queued_bytes += bytes_of(&write);
            match self.queue.last_mut() {
                // While a disk hangs, terms come and go: the last of them is all there is to store.
                Some(last) if is_hard_state(last) && is_hard_state(&write) => *last = write,
                _ => self.queue.push(write),
            }
        }
    }

    /// Takes note that a write has become durable.
    pub(super) fn note_written(&mut self, now: Instant) {
        self.busy_since = (!self.is_idle()).then_some(now);
    }

    /// How many bytes of entries and snapshots wait, or are under way.
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
            Ok(_) => State::Idle(storage),
            Err(_) => State::Failed,
        };
        self.writing_bytes = 0;
        Poll::Ready(result.map(|named| {
            self.in_force = named.or(self.in_force);
            self.writing
        }))
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
                self.writing_bytes = std::mem::take(&mut self.queued_bytes);
                let (taken, in_force) = (self.take_named(&writes), self.in_force);
                let lane = Arc::clone(&self.lane);
                State::Writing(Box::pin(async move {
                    let result = write(&mut *storage, &*lane, writes, taken, in_force).await;
                    (storage, result)
                }))
            }
            state @ (State::Writing(_) | State::Failed) => state,
        };
    }

    /// The own snapshots that these writes name, or that are older than one of them.
    fn take_named(&mut self, writes: &[Write]) -> BTreeMap<Index, Taken> {
        let snapshots = writes.iter().filter_map(|write| write.snapshot.as_ref());
        let Some(newest) = snapshots.map(|snapshot| snapshot.metadata.last.index).max() else {
            return BTreeMap::new();
        };
        let later = self.taken.split_off(&newest.next());
        std::mem::replace(&mut self.taken, later)
    }
}

fn bytes_of(write: &Write) -> u64 {
    let state = write.snapshot.as_ref();
    let state = state.map_or(0, |snapshot| snapshot.metadata.length);
    state + write.entries.iter().map(Entry::weight).sum::<u64>()
}

/// Returns true if a write has a hard state and nothing else.
fn is_hard_state(write: &Write) -> bool {
    let Write {
        id: _,
        hard_state,
        snapshot,
        truncate,
        entries,
        compact,
    } = write;
    hard_state.is_some()
        && snapshot.is_none()
        && truncate.is_none()
        && entries.is_empty()
        && compact.is_none()
}

/// Makes these writes, of which the snapshots that the lane does not have go there first. What they replace is removed.
async fn write(
    storage: &mut dyn Storage,
    lane: &dyn SnapshotLane,
    writes: Vec<Write>,
    taken: BTreeMap<Index, Taken>,
    mut in_force: Option<SnapshotName>,
) -> Result<Named, StorageError> {
    let mut replaced: Vec<_> = taken.values().map(|taken| taken.name).collect();
    let mut named = None;
    let mut stored = Vec::with_capacity(writes.len());
    for write in writes {
        let (mut write, snapshot) = write.with_snapshot(None);
        if let Some(Snapshot { metadata, data }) = snapshot {
            let own = taken.get(&metadata.last.index);
            let name = match own.filter(|own| own.digest == metadata.digest) {
                Some(own) => own.name,
                None => store(lane, &data, metadata.digest).await?,
            };
            replaced.extend(in_force.replace(name));
            named = Some(name);
            write.snapshot = Some(StoredSnapshot { name, metadata });
        }
        stored.push(write);
    }
    storage.write(stored).await?;
    for name in replaced.into_iter().filter(|name| Some(*name) != in_force) {
        lane.remove(name).await?;
    }
    Ok(named)
}

#[cfg(test)]
mod tests {
    use async_trait::async_trait;
    use futures::executor::block_on;
    use futures::task::noop_waker;
    use tokio::sync::mpsc;

    use super::*;
    use crate::configuration::History;
    use crate::consensus::HardState;
    use crate::identity::Identity;
    use crate::ids::ClusterId;
    use crate::storage::conformance::snapshot;
    use crate::storage::{self, MemoryStorage};

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

        async fn recover(&mut self) -> Result<storage::Recovered, StorageError> {
            Ok(storage::Recovered::default())
        }

        fn snapshots(&self) -> Arc<dyn SnapshotLane> {
            MemoryStorage::default().snapshots()
        }

        async fn write(&mut self, writes: Vec<storage::Write>) -> Result<(), StorageError> {
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
        let mut disk = Disk::new(Box::new(Slow::new(begun, ends)), None);
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
        let mut disk = Disk::new(Box::new(Slow::new(begun, ends)), None);
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
        let mut disk = Disk::new(Box::new(Slow::new(begun, ends)), None);
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

    /// The names of the snapshots, of 1 to 9, that a lane has.
    fn names(lane: &dyn SnapshotLane) -> Vec<u64> {
        let has = |name: &u64| block_on(lane.read(SnapshotName(*name), 0, 1)).unwrap();
        (1..=9).filter(|name| has(name).is_some()).collect()
    }

    fn of_snapshot(snapshot: Snapshot) -> Write {
        Write {
            snapshot: Some(snapshot),
            ..Write::default()
        }
    }

    #[test]
    fn one_snapshot_is_kept_whoever_wrote_it_and_however_many_were_taken() {
        let storage = MemoryStorage::default();
        let lane = storage.snapshots();
        let mut disk = Disk::new(Box::new(storage.clone()), None);
        let mut context = Context::from_waker(std::task::Waker::noop());
        let mut write = |disk: &mut Disk, snapshot: Snapshot| {
            disk.enqueue(&mut vec![of_snapshot(snapshot)], NOW);
            assert!(matches!(disk.poll(&mut context), Poll::Ready(Ok(_))));
        };

        write(&mut disk, snapshot(2, 1, "of a leader"));
        let of_leader = names(&*lane);
        for index in 3..=4 {
            let state = snapshot(index, 1, "own").data;
            let digest = crc32fast::hash(&state);
            let name = block_on(store(&*lane, &state, digest)).unwrap();
            disk.note_taken(Index(index), Taken { name, digest });
        }
        write(&mut disk, snapshot(4, 1, "own"));

        assert_eq!((of_leader, names(&*lane)), (vec![1], vec![3]));
        let recovered = block_on(recover(&mut storage.clone())).unwrap();
        assert_eq!(recovered.0.snapshot, Some(snapshot(4, 1, "own")));
        assert_eq!(recovered.1, Some(SnapshotName(3)));
    }
}
