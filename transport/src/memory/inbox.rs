//! The queue of events in front of one member.
//!
//! Senders put events in one by one; the member takes all of them at once. So both hold the lock for moments only, and
//! a busy member takes it once for many frames.

use std::collections::VecDeque;
use std::mem;
use std::sync::Mutex;
use std::sync::atomic::{AtomicBool, Ordering};
use std::task::{Context, Poll, Waker};

use super::{PEER_EVENTS_MAX, QUEUE_BYTES_MAX, QUEUE_FRAMES_MAX, locked};
use crate::carrier::Packet;
use crate::{DeliveryClass, ServerId};

#[derive(Debug, Default)]
pub(super) struct Inbox {
    /// Whether the member was killed: it hears nothing of what is in the queue.
    silenced: AtomicBool,
    queue: Mutex<Queue>,
}

/// Invariant: `frames`, `bytes` and `peer_events` describe what is in `events`.
#[derive(Debug, Default)]
struct Queue {
    events: VecDeque<Arrival>,
    frames: usize,
    bytes: usize,
    peer_events: usize,
    closed: bool,
    waker: Option<Waker>,
}

impl Queue {
    fn take_all(&mut self, batch: &mut VecDeque<Arrival>) {
        mem::swap(batch, &mut self.events);
        self.frames = 0;
        self.bytes = 0;
        self.peer_events = 0;
    }
}

/// What has happened to a member.
#[derive(Clone, Debug)]
pub(super) enum Arrival {
    /// A frame arrived, as the packet that its sender made of it.
    Packet {
        from: ServerId,
        class: DeliveryClass,
        packet: Packet,
    },
    PeerUp(ServerId),
    PeerDown(ServerId),
}

/// Why an event was not queued.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Refusal {
    Full,
    Closed,
}

impl Inbox {
    /// Queues a frame; refused when as many frames or bytes as allowed are waiting.
    pub(super) fn push_frame(
        &self,
        from: ServerId,
        class: DeliveryClass,
        packet: Packet,
    ) -> Result<(), Refusal> {
        let mut queue = locked(&self.queue);
        if queue.closed {
            return Err(Refusal::Closed);
        }
        // An empty queue takes any frame.
        let bytes = queue.bytes + packet.len();
        if queue.frames > 0 && (queue.frames >= QUEUE_FRAMES_MAX || bytes > QUEUE_BYTES_MAX) {
            return Err(Refusal::Full);
        }
        queue.frames += 1;
        queue.bytes = bytes;
        queue.events.push_back(Arrival::Packet {
            from,
            class,
            packet,
        });
        let waker = queue.waker.take();
        // Outside the lock, which the woken member wants next.
        drop(queue);
        wake(waker);
        Ok(())
    }

    pub(super) fn is_half_empty(&self) -> bool {
        let queue = locked(&self.queue);
        2 * queue.frames <= QUEUE_FRAMES_MAX && 2 * queue.bytes <= QUEUE_BYTES_MAX
    }

    /// Queues that a peer went up or down; refused when so many of these are unread that the member must be closed.
    pub(super) fn push_peer_event(&self, event: Arrival) -> Result<(), Refusal> {
        let mut queue = locked(&self.queue);
        if queue.closed {
            return Err(Refusal::Closed);
        }
        if queue.peer_events >= PEER_EVENTS_MAX {
            return Err(Refusal::Full);
        }
        queue.peer_events += 1;
        queue.events.push_back(event);
        let waker = queue.waker.take();
        drop(queue);
        wake(waker);
        Ok(())
    }

    /// The next event: from `batch`, or from the queue, which then becomes the batch.
    pub(super) fn poll(
        &self,
        batch: &mut VecDeque<Arrival>,
        context: &mut Context<'_>,
    ) -> Poll<Option<Arrival>> {
        if !self.is_silenced()
            && let Some(event) = batch.pop_front()
        {
            return Poll::Ready(Some(event));
        }
        let mut queue = locked(&self.queue);
        // Asked again under the lock, under which it changes: a waker stored here is woken by whatever comes next.
        if !self.is_silenced() {
            if batch.is_empty() {
                queue.take_all(batch);
            }
            if let Some(event) = batch.pop_front() {
                return Poll::Ready(Some(event));
            }
        }
        if queue.closed {
            return Poll::Ready(None);
        }
        if !queue
            .waker
            .as_ref()
            .is_some_and(|waker| waker.will_wake(context.waker()))
        {
            queue.waker = Some(context.waker().clone());
        }
        Poll::Pending
    }

    /// Takes no more events. The member reads what is queued, then that this was all.
    pub(super) fn close(&self) {
        let mut queue = locked(&self.queue);
        queue.closed = true;
        wake(queue.waker.take());
    }

    /// Forgets what nobody will read.
    pub(super) fn abandon(&self) {
        let mut queue = locked(&self.queue);
        *queue = Queue {
            closed: true,
            ..Queue::default()
        };
    }

    pub(super) fn set_silenced(&self, silenced: bool) {
        let mut queue = locked(&self.queue);
        self.silenced.store(silenced, Ordering::Release);
        wake(queue.waker.take());
    }

    fn is_silenced(&self) -> bool {
        self.silenced.load(Ordering::Acquire)
    }
}

fn wake(waker: Option<Waker>) {
    if let Some(waker) = waker {
        waker.wake();
    }
}
