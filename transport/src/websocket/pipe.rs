//! Holds what waits to be sent on a connection: datagrams before ordered packets, both bounded.

use std::collections::VecDeque;
use std::future::poll_fn;
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::task::{Context, Poll};

use futures::task::AtomicWaker;

use super::limits::{PACKET_BYTES_MAX, PACKET_COST_BYTES, WebSocketLimits};
use crate::carrier::{CarryError, Channel, Packet};

/// The most datagrams that go before an ordered packet that waits: a stream of them must not hold up statuses and
/// snapshots for ever.
pub(super) const DATAGRAMS_IN_A_ROW_MAX: usize = 16;

/// The way from a carrier to the task of one of its connections, which is the only one that may wait here.
#[derive(Debug)]
pub(super) struct Pipe {
    outbox: Mutex<Outbox>,
    waker: AtomicWaker,
}

/// What became of a packet that was taken.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Fate {
    Waits,
    Dropped,
}

#[derive(Debug)]
struct Outbox {
    datagrams: Queue,
    ordered: Queue,
    /// The datagrams that were taken out since the last ordered packet.
    in_a_row: usize,
    /// An ordered packet was refused, and the carrier is to be told when there is room.
    owes_writable: bool,
    /// Something was given to be sent since this was last asked.
    is_used: bool,
    is_closed: bool,
}

#[derive(Debug)]
struct Queue {
    packets: VecDeque<Packet>,
    bytes: usize,
    bytes_max: usize,
}

impl Pipe {
    pub(super) fn new(limits: &WebSocketLimits) -> Self {
        let outbox = Outbox {
            datagrams: Queue::new(limits.datagram_queue_bytes_max),
            ordered: Queue::new(limits.ordered_queue_bytes_max),
            in_a_row: 0,
            owes_writable: false,
            is_used: false,
            is_closed: false,
        };
        Self {
            outbox: Mutex::new(outbox),
            waker: AtomicWaker::new(),
        }
    }

    /// Queues a packet. Datagrams without room are dropped.
    ///
    /// # Errors
    /// For an ordered packet without room, and when the pipe is closed.
    pub(super) fn push(&self, channel: Channel, packet: Packet) -> Result<Fate, CarryError> {
        if packet.len() > PACKET_BYTES_MAX {
            return Err(CarryError::TooLarge);
        }
        let mut outbox = self.lock();
        if outbox.is_closed {
            return Err(CarryError::Closed);
        }
        outbox.is_used = true;
        let is_queued = match channel {
            Channel::Datagram => outbox.datagrams.push(packet),
            Channel::Ordered => outbox.ordered.push(packet),
        };
        if !is_queued && channel == Channel::Ordered {
            outbox.owes_writable = true;
            return Err(CarryError::Full);
        }
        drop(outbox);
        self.waker.wake();
        Ok(if is_queued {
            Fate::Waits
        } else {
            Fate::Dropped
        })
    }

    /// Takes nothing more. What waits is still to be sent.
    pub(super) fn close(&self) {
        self.lock().is_closed = true;
        self.waker.wake();
    }

    pub(super) fn is_closed(&self) -> bool {
        self.lock().is_closed
    }

    /// Waits until the pipe is closed.
    pub(super) async fn closed(&self) {
        let poll = |context: &mut Context<'_>| {
            self.waker.register(context.waker());
            if self.is_closed() {
                Poll::Ready(())
            } else {
                Poll::Pending
            }
        };
        poll_fn(poll).await;
    }

    /// Takes out the next packet, waiting for one. Returns `None` once the pipe is closed and empty.
    pub(super) async fn next(&self) -> Option<Packet> {
        let poll = |context: &mut Context<'_>| {
            self.waker.register(context.waker());
            let mut outbox = self.lock();
            match outbox.pop() {
                None if !outbox.is_closed => Poll::Pending,
                packet => Poll::Ready(packet),
            }
        };
        poll_fn(poll).await
    }

    /// Takes out the next packet, if there is one.
    pub(super) fn try_next(&self) -> Option<Packet> {
        self.lock().pop()
    }

    /// Returns true, once, if an ordered packet was refused and there is room.
    pub(super) fn take_writable(&self) -> bool {
        let mut outbox = self.lock();
        let is_writable = outbox.owes_writable && outbox.ordered.is_half_empty();
        outbox.owes_writable &= !is_writable;
        is_writable
    }

    /// Returns true if something was given to be sent since this was last asked.
    pub(super) fn take_used(&self) -> bool {
        std::mem::take(&mut self.lock().is_used)
    }

    fn lock(&self) -> MutexGuard<'_, Outbox> {
        // No code that may panic runs under the lock.
        self.outbox.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Outbox {
    fn pop(&mut self) -> Option<Packet> {
        let is_turn_of_ordered = self.in_a_row >= DATAGRAMS_IN_A_ROW_MAX;
        if !is_turn_of_ordered && let Some(datagram) = self.datagrams.pop() {
            self.in_a_row += 1;
            return Some(datagram);
        }
        self.in_a_row = 0;
        let ordered = self.ordered.pop();
        ordered.or_else(|| self.datagrams.pop())
    }
}

impl Queue {
    /// Makes a queue in which any packet fits alone.
    fn new(bytes_max: usize) -> Self {
        Self {
            packets: VecDeque::new(),
            bytes: 0,
            bytes_max: bytes_max.max(PACKET_BYTES_MAX + PACKET_COST_BYTES),
        }
    }

    /// Returns false if there is no room.
    fn push(&mut self, packet: Packet) -> bool {
        let bytes = self.bytes + packet.len() + PACKET_COST_BYTES;
        if bytes > self.bytes_max {
            return false;
        }
        self.bytes = bytes;
        self.packets.push_back(packet);
        true
    }

    fn pop(&mut self) -> Option<Packet> {
        let packet = self.packets.pop_front()?;
        self.bytes -= packet.len() + PACKET_COST_BYTES;
        Some(packet)
    }

    fn is_half_empty(&self) -> bool {
        self.bytes <= self.bytes_max / 2
    }
}

#[cfg(test)]
mod tests {
    use bytes::Bytes;
    use futures::FutureExt;

    use super::*;

    fn pipe() -> Pipe {
        Pipe::new(&WebSocketLimits::default())
    }

    fn push(pipe: &Pipe, channel: Channel, text: &'static str) {
        let packet = Bytes::from_static(text.as_bytes()).into();
        assert_eq!(pipe.push(channel, packet), Ok(Fate::Waits));
    }

    fn long() -> Packet {
        Bytes::from_static(&[0; PACKET_BYTES_MAX]).into()
    }

    fn taken(pipe: &Pipe) -> Vec<Bytes> {
        let taken = std::iter::from_fn(|| pipe.try_next());
        taken.map(Packet::into_bytes).collect()
    }

    #[test]
    fn datagrams_go_before_ordered_packets_that_wait() {
        let pipe = pipe();

        push(&pipe, Channel::Ordered, "snapshot");
        push(&pipe, Channel::Ordered, "more of it");
        push(&pipe, Channel::Datagram, "heartbeat");

        assert_eq!(taken(&pipe), ["heartbeat", "snapshot", "more of it"]);
    }

    #[test]
    fn datagrams_without_end_let_ordered_packets_pass() {
        let pipe = pipe();
        push(&pipe, Channel::Ordered, "snapshot");
        (0..100).for_each(|_| push(&pipe, Channel::Datagram, "heartbeat"));

        let place = taken(&pipe).iter().position(|packet| packet == "snapshot");

        assert_eq!(place, Some(DATAGRAMS_IN_A_ROW_MAX));
    }

    #[test]
    fn datagrams_without_room_are_dropped_and_ordered_packets_refused() {
        let pipe = pipe();

        while pipe.push(Channel::Datagram, long()) == Ok(Fate::Waits) {}
        let datagram = pipe.push(Channel::Datagram, long());
        while pipe.push(Channel::Ordered, long()).is_ok() {}

        assert_eq!(datagram, Ok(Fate::Dropped));
        let bytes: usize = taken(&pipe).iter().map(Bytes::len).sum();
        let limits = WebSocketLimits::default();
        assert!(bytes <= limits.datagram_queue_bytes_max + limits.ordered_queue_bytes_max);
    }

    #[test]
    fn a_refusal_is_taken_back_once_when_half_of_the_room_is_free() {
        let pipe = pipe();
        while pipe.push(Channel::Ordered, long()).is_ok() {}

        pipe.try_next();
        assert!(!pipe.take_writable());
        taken(&pipe);

        assert!(pipe.take_writable());
        assert!(!pipe.take_writable());
    }

    #[test]
    fn a_closed_pipe_gives_what_waits_and_then_ends() {
        let pipe = pipe();
        push(&pipe, Channel::Ordered, "goodbye");

        pipe.close();
        let refused = pipe.push(Channel::Ordered, long());

        assert_eq!(refused, Err(CarryError::Closed));
        let next = |pipe: &Pipe| pipe.next().now_or_never().expect("it does not wait");
        assert_eq!(
            next(&pipe).map(Packet::into_bytes),
            Some(Bytes::from_static(b"goodbye"))
        );
        assert_eq!(next(&pipe), None);
    }

    #[test]
    fn a_packet_longer_than_the_carrier_carries_is_refused() {
        let packet = Bytes::from_static(&[0; PACKET_BYTES_MAX + 1]).into();

        assert_eq!(
            pipe().push(Channel::Ordered, packet),
            Err(CarryError::TooLarge)
        );
    }
}
