//! Holds what a carrier and the task of a connection tell each other.

use std::collections::VecDeque;
use std::future::poll_fn;
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::task::Poll;

use futures::task::AtomicWaker;

use super::super::flow::Outgoing;
use super::super::limits::{PACKET_BYTES_MAX, PACKET_COST_BYTES, WebRtcLimits};
use crate::carrier::{CarryError, Channel, Packet};

/// The most packets of a connection that wait for the carrier. A browser reads on whether they are taken or not: more
/// are dropped.
const UNREAD_PACKETS_MAX: usize = 4_096;

/// The most bytes of packets that wait for the carrier. More are dropped.
const UNREAD_BYTES_MAX: usize = 1024 * 1024;

/// The packets of a connection that wait on their way, in both directions.
#[derive(Debug)]
pub(super) struct Port {
    state: Mutex<State>,
    waker: AtomicWaker,
}

#[derive(Debug)]
struct State {
    /// Datagrams that the task has not given to the browser.
    datagrams: VecDeque<Packet>,
    datagrams_cost: usize,
    datagrams_cost_max: usize,
    outgoing: Outgoing,
    unread_packets: usize,
    unread_bytes: usize,
    /// Something is to be done by the task.
    is_changed: bool,
    is_closed: bool,
    is_heard: bool,
    is_used: bool,
    is_description_wanted: bool,
    description: Option<String>,
}

/// What becomes of a packet.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Fate {
    Waits,
    Dropped,
}

impl Port {
    pub(super) fn new(limits: &WebRtcLimits) -> Self {
        Self {
            state: Mutex::new(State {
                datagrams: VecDeque::new(),
                datagrams_cost: 0,
                datagrams_cost_max: limits.datagram_bytes_max,
                outgoing: Outgoing::new(limits.ordered_queue_bytes_max),
                unread_packets: 0,
                unread_bytes: 0,
                is_changed: false,
                is_closed: false,
                is_heard: false,
                is_used: false,
                is_description_wanted: false,
                description: None,
            }),
            waker: AtomicWaker::new(),
        }
    }

    /// Queues a packet for the other end. Datagrams without room are dropped.
    pub(super) fn push(&self, channel: Channel, packet: Packet) -> Result<Fate, CarryError> {
        if packet.len() > PACKET_BYTES_MAX {
            return Err(CarryError::TooLarge);
        }
        let mut state = self.lock();
        if state.is_closed {
            return Err(CarryError::Closed);
        }
        state.is_used = true;
        match channel {
            Channel::Datagram => {
                let cost = state.datagrams_cost + packet.len() + PACKET_COST_BYTES;
                if cost > state.datagrams_cost_max {
                    return Ok(Fate::Dropped);
                }
                state.datagrams_cost = cost;
                state.datagrams.push_back(packet);
            }
            Channel::Ordered if state.outgoing.push(packet) => {}
            Channel::Ordered => return Err(CarryError::Full),
        }
        self.wake(state);
        Ok(Fate::Waits)
    }

    /// Closes the connection, once the datagrams that wait are sent.
    pub(super) fn close(&self) {
        let mut state = self.lock();
        state.is_closed = true;
        self.wake(state);
    }

    pub(super) fn is_closed(&self) -> bool {
        self.lock().is_closed
    }

    /// The carrier's user has taken a packet.
    pub(super) fn on_taken(&self, bytes: usize) {
        let mut state = self.lock();
        state.unread_packets -= 1;
        state.unread_bytes -= bytes;
    }

    /// Returns how the connection runs, as of when this was last asked, and has it found out anew.
    pub(super) fn description(&self) -> Option<String> {
        let mut state = self.lock();
        let description = state.description.clone();
        state.is_description_wanted = true;
        self.wake(state);
        description
    }

    /// Waits until there is something for the task to do, which waits for this at one place at a time.
    pub(super) async fn changed(&self) {
        poll_fn(|context| {
            self.waker.register(context.waker());
            if std::mem::take(&mut self.lock().is_changed) {
                Poll::Ready(())
            } else {
                Poll::Pending
            }
        })
        .await;
    }

    /// Waits until it is closed, at the place where [`changed`](Self::changed) is waited for otherwise.
    pub(super) async fn closed(&self) {
        poll_fn(|context| {
            self.waker.register(context.waker());
            if self.is_closed() {
                Poll::Ready(())
            } else {
                Poll::Pending
            }
        })
        .await;
    }

    /// A packet has come: returns what becomes of it.
    pub(super) fn on_packet(&self, bytes: usize) -> Fate {
        let mut state = self.lock();
        let unread = state.unread_bytes + bytes;
        if state.unread_packets >= UNREAD_PACKETS_MAX || unread > UNREAD_BYTES_MAX {
            return Fate::Dropped;
        }
        state.unread_packets += 1;
        state.unread_bytes = unread;
        state.is_heard = true;
        Fate::Waits
    }

    /// Has the task look again at what may be sent.
    pub(super) fn on_room(&self) {
        self.wake(self.lock());
    }

    pub(super) fn next_datagram(&self) -> Option<Packet> {
        let mut state = self.lock();
        let packet = state.datagrams.pop_front()?;
        state.datagrams_cost -= packet.len() + PACKET_COST_BYTES;
        Some(packet)
    }

    /// Takes out the next packet of bulk, if it may be sent while the browser holds `buffered` bytes.
    pub(super) fn next_bulk(&self, buffered: usize) -> Option<Packet> {
        self.lock().outgoing.next(buffered)
    }

    /// Returns true, once, if a packet of bulk was refused and there is room.
    pub(super) fn take_writable(&self) -> bool {
        self.lock().outgoing.take_writable()
    }

    /// Returns true if a packet has come, and one was to be sent, since this was last asked.
    pub(super) fn take_alive(&self) -> bool {
        let mut state = self.lock();
        let is_heard = std::mem::take(&mut state.is_heard);
        std::mem::take(&mut state.is_used) && is_heard
    }

    pub(super) fn take_description_wanted(&self) -> bool {
        std::mem::take(&mut self.lock().is_description_wanted)
    }

    pub(super) fn describe(&self, description: Option<String>) {
        self.lock().description = description;
    }

    fn wake(&self, mut state: MutexGuard<'_, State>) {
        state.is_changed = true;
        drop(state);
        self.waker.wake();
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        // No code that may panic runs under the lock.
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
