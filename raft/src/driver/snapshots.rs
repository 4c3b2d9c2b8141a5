//! The states of snapshots on their way to storage and back, beside the member's writes: one step at a time, in order.

use std::collections::VecDeque;
use std::future::Future;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll, ready};

use bytes::Bytes;

use crate::consensus::{Input, Reception, SnapshotName, SnapshotStep};
use crate::storage::{SnapshotLane, StorageError};

/// A captured state is stored in pieces of so many bytes.
pub(super) const PIECE_BYTES: usize = 1 << 20;

type Working = Pin<Box<dyn Future<Output = Result<Done, StorageError>> + Send>>;

/// What the lane of a storage is to do. It is polled by the member's own task.
///
/// The queue needs no bound of its own: the core asks for no more than a window of what is sent or received.
pub(super) struct Snapshots {
    lane: Arc<dyn SnapshotLane>,
    queue: VecDeque<SnapshotStep>,
    working: Option<Working>,
    receiving: Option<Receiving>,
    /// A step failed, and no other is taken.
    has_failed: bool,
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

impl Snapshots {
    pub(super) fn new(lane: Arc<dyn SnapshotLane>) -> Self {
        Self {
            lane,
            queue: VecDeque::new(),
            working: None,
            receiving: None,
            has_failed: false,
        }
    }

    /// Takes steps, in order.
    pub(super) fn enqueue(&mut self, steps: &mut Vec<SnapshotStep>) {
        self.queue.extend(steps.drain(..));
    }

    /// The next answer for the core.
    pub(super) fn poll(&mut self, context: &mut Context<'_>) -> Poll<Result<Input, StorageError>> {
        loop {
            if self.working.is_none() && !self.has_failed {
                let next = self.queue.pop_front();
                let (lane, receiving) = (Arc::clone(&self.lane), self.receiving);
                self.working = next.map(|step| -> Working {
                    Box::pin(async move { take(&*lane, receiving, step).await })
                });
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
