//! The states of snapshots on their way to storage and back, beside the member's writes: one step at a time, in order.

use std::collections::VecDeque;
use std::future::Future;
use std::pin::Pin;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::task::{Context, Poll, ready};
use std::time::Duration;

use async_trait::async_trait;
use bytes::Bytes;
use liferaft_platform as platform;
use liferaft_platform::SortedMap;

use crate::consensus::{Input, Reception, SnapshotName, SnapshotStep};
use crate::storage::{SnapshotLane, StorageError};
use crate::time::Instant;

/// A captured state is stored in pieces of so many bytes.
pub(super) const PIECE_BYTES: usize = 1 << 20;

/// After a snapshot of a leader has found no room, so long none is written: each costs the leader, the link and the
/// disk as much as one that fits, up to where the disk is full.
const PAUSE_MIN: Duration = Duration::from_secs(1);

/// Each time that there is no room again the pause is twice as long, and at most so long.
const PAUSE_MAX: Duration = Duration::from_secs(60);

type Working = Pin<Box<dyn Future<Output = Result<Done, StorageError>> + Send>>;

/// What the lane of a storage is to do. It is polled by the member's own task.
///
/// The queue needs no bound of its own: the core asks for no more than a window of what is sent or received.
pub(super) struct Snapshots {
    lane: Arc<TimedLane>,
    queue: VecDeque<SnapshotStep>,
    working: Option<Working>,
    receiving: Option<Receiving>,
    no_room: Option<NoRoom>,
    /// Whether a snapshot has found no room since this was taken last.
    found_no_room: bool,
    /// A step failed, and no other is taken.
    has_failed: bool,
}

/// There was no room for a snapshot of a leader.
#[derive(Clone, Copy, Debug)]
struct NoRoom {
    /// The last that was refused. The core knows, and what is still to be done with it is passed over.
    refused: Reception,
    pause: Duration,
    until: Duration,
}

/// A snapshot of a leader that the lane has begun.
#[derive(Clone, Copy, Debug)]
struct Receiving {
    reception: Reception,
    name: SnapshotName,
    length: u64,
}

/// What a step has brought about.
struct Done {
    receiving: Option<Receiving>,
    answer: Option<Input>,
}

impl Done {
    /// Nothing of this snapshot is stored.
    fn not_stored(reception: Reception) -> Self {
        Self {
            receiving: None,
            answer: Some(Input::SnapshotNotStored { reception }),
        }
    }
}

impl Snapshots {
    pub(super) fn new(lane: Arc<TimedLane>) -> Self {
        Self {
            lane,
            queue: VecDeque::new(),
            working: None,
            receiving: None,
            no_room: None,
            found_no_room: false,
            has_failed: false,
        }
    }

    /// Takes steps, in order.
    pub(super) fn enqueue(&mut self, steps: &mut Vec<SnapshotStep>) {
        self.queue.extend(steps.drain(..));
    }

    /// Since when the lane has been busy with the call that was made first, of these steps or of a snapshot of the
    /// member's own state.
    pub(super) fn busy_since(&self) -> Option<Instant> {
        self.lane.calls().since.values().min().copied()
    }

    /// Returns true if a snapshot of a leader has found no room on the disk since this was called last.
    pub(super) fn take_no_room(&mut self) -> bool {
        std::mem::take(&mut self.found_no_room)
    }

    /// Returns true if this snapshot was refused, as the core knows.
    fn is_refused(&self, reception: Reception) -> bool {
        self.no_room
            .is_some_and(|no_room| no_room.refused == reception)
    }

    /// Refuses this snapshot if another has found no room just before.
    fn refuses(&mut self, reception: Reception) -> bool {
        let pausing = self.no_room.as_mut();
        let Some(no_room) = pausing.filter(|no_room| platform::now() < no_room.until) else {
            return false;
        };
        no_room.refused = reception;
        true
    }

    /// Takes note of whether there was room for a snapshot.
    fn note(&mut self, answer: &Input) {
        match *answer {
            Input::SnapshotNotStored { reception } => {
                let before = self.no_room.map(|no_room| no_room.pause * 2);
                let pause = before.unwrap_or(PAUSE_MIN).min(PAUSE_MAX);
                self.found_no_room = true;
                self.no_room = Some(NoRoom {
                    refused: reception,
                    pause,
                    until: platform::now() + pause,
                });
            }
            Input::SnapshotReceived { .. } => self.no_room = None,
            _ => {}
        }
    }

    /// The next answer for the core.
    pub(super) fn poll(&mut self, context: &mut Context<'_>) -> Poll<Result<Input, StorageError>> {
        loop {
            if self.working.is_none()
                && !self.has_failed
                && let Some(step) = self.queue.pop_front()
            {
                if let Some(reception) = reception_of(&step) {
                    if self.is_refused(reception) {
                        continue;
                    }
                    if self.refuses(reception) {
                        return Poll::Ready(Ok(Input::SnapshotNotStored { reception }));
                    }
                }
                let (lane, receiving) = (Arc::clone(&self.lane), self.receiving);
                self.working = Some(Box::pin(async move {
                    let reception = reception_of(&step);
                    match (take(&*lane, receiving, step).await, reception) {
                        (Err(StorageError::Full { .. }), Some(reception)) => {
                            Ok(Done::not_stored(reception))
                        }
                        (done, _) => done,
                    }
                }));
            }
            let Some(working) = &mut self.working else {
                return Poll::Pending;
            };
            let done = ready!(working.as_mut().poll(context));
            self.working = None;
            match done {
                Ok(Done { receiving, answer }) => {
                    self.receiving = receiving;
                    if let Some(answer) = answer {
                        self.note(&answer);
                        return Poll::Ready(Ok(answer));
                    }
                }
                Err(error) => {
                    self.has_failed = true;
                    return Poll::Ready(Err(error));
                }
            }
        }
    }
}

/// The lane of a storage, which knows since when its calls have been under way.
pub(super) struct TimedLane {
    lane: Arc<dyn SnapshotLane>,
    calls: Mutex<Calls>,
}

#[derive(Default)]
struct Calls {
    begun: u64,
    /// When each that is under way was made.
    since: SortedMap<u64, Instant>,
}

impl TimedLane {
    pub(super) fn new(lane: Arc<dyn SnapshotLane>) -> Self {
        Self {
            lane,
            calls: Mutex::default(),
        }
    }

    fn calls(&self) -> MutexGuard<'_, Calls> {
        // Nothing here panics between two steps of a change.
        self.calls.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Makes a call. Its future is polled to its end as long as the member runs.
    async fn timed<T>(&self, call: impl Future<Output = T> + Send) -> T {
        let id = {
            let mut calls = self.calls();
            calls.begun += 1;
            let (id, now) = (calls.begun, Instant::from_origin(platform::now()));
            calls.since.insert(id, now);
            id
        };
        let done = call.await;
        self.calls().since.remove(&id);
        done
    }
}

#[async_trait]
impl SnapshotLane for TimedLane {
    async fn begin(&self) -> Result<SnapshotName, StorageError> {
        self.timed(self.lane.begin()).await
    }

    async fn append(&self, name: SnapshotName, piece: Bytes) -> Result<(), StorageError> {
        self.timed(self.lane.append(name, piece)).await
    }

    async fn finish(
        &self,
        name: SnapshotName,
        length: u64,
        digest: u32,
    ) -> Result<bool, StorageError> {
        self.timed(self.lane.finish(name, length, digest)).await
    }

    async fn read(
        &self,
        name: SnapshotName,
        offset: u64,
        bytes_max: usize,
    ) -> Result<Option<Bytes>, StorageError> {
        self.timed(self.lane.read(name, offset, bytes_max)).await
    }

    async fn remove(&self, name: SnapshotName) -> Result<(), StorageError> {
        self.timed(self.lane.remove(name)).await
    }
}

/// The snapshot of a leader that a step stores.
fn reception_of(step: &SnapshotStep) -> Option<Reception> {
    match step {
        SnapshotStep::Append { reception, .. } | SnapshotStep::Finish { reception, .. } => {
            Some(*reception)
        }
        SnapshotStep::Read(_) | SnapshotStep::Remove(_) => None,
    }
}

/// Takes a step.
async fn take(
    lane: &dyn SnapshotLane,
    receiving: Option<Receiving>,
    step: SnapshotStep,
) -> Result<Done, StorageError> {
    let mut done = Done {
        receiving,
        answer: None,
    };
    match step {
        SnapshotStep::Append { reception, piece } => {
            let mut receiving = begun(lane, receiving, reception).await?;
            receiving.length += piece.len() as u64;
            lane.append(receiving.name, piece).await?;
            let length = receiving.length;
            done.receiving = Some(receiving);
            done.answer = Some(Input::SnapshotAppended { reception, length });
        }
        SnapshotStep::Finish {
            reception,
            length,
            digest,
        } => {
            let Receiving { name, .. } = begun(lane, receiving, reception).await?;
            let is_whole = lane.finish(name, length, digest).await?;
            done.receiving = None;
            done.answer = Some(Input::SnapshotReceived {
                reception,
                name: is_whole.then_some(name),
            });
        }
        SnapshotStep::Read(read) => {
            let data = read_part(lane, read.name, read.offset, read.bytes).await?;
            done.answer = Some(Input::SnapshotRead { read, data });
        }
        SnapshotStep::Remove(name) => lane.remove(name).await?,
    }
    Ok(done)
}

/// The snapshot that is received under this number; one of an earlier number gives way to it.
async fn begun(
    lane: &dyn SnapshotLane,
    receiving: Option<Receiving>,
    reception: Reception,
) -> Result<Receiving, StorageError> {
    match receiving {
        Some(receiving) if receiving.reception == reception => return Ok(receiving),
        Some(earlier) => lane.remove(earlier.name).await?,
        None => {}
    }
    Ok(Receiving {
        reception,
        name: lane.begin().await?,
        length: 0,
    })
}

/// Reads a part of a snapshot, all of which is there.
pub(super) async fn read_part(
    lane: &dyn SnapshotLane,
    name: SnapshotName,
    offset: u64,
    bytes: usize,
) -> Result<Bytes, StorageError> {
    match lane.read(name, offset, bytes).await? {
        Some(data) if data.len() == bytes => Ok(data),
        Some(data) => Err(missing(name, offset + data.len() as u64)),
        None => Err(missing(name, 0)),
    }
}

fn missing(name: SnapshotName, at: u64) -> StorageError {
    StorageError::Damaged {
        what: "snapshot",
        reason: format!("snapshot {name} ends at byte {at}"),
    }
}
