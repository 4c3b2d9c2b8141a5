//! Bounds what is under way on the channel for bulk, so that heartbeats on the other one do not wait behind it.
//!
//! Both channels share one association of SCTP, one congestion window and the buffers of both hosts, so what overruns
//! them is lost on both. A link has at most [`UNACKNOWLEDGED_BYTES_MAX`] of its stream under way, within the credit
//! that its receiver gives. What it sends again comes on top, and waits here. `docs/webrtc.md` has what was measured.

use std::collections::VecDeque;

use super::limits::{PACKET_BYTES_MAX, PACKET_COST_BYTES};
use crate::carrier::Packet;

/// The most bytes of bulk that a connection has under way without their being acknowledged. A native sender of more
/// overruns the receive buffer of a browser's socket, and a browser that of its own.
pub const UNACKNOWLEDGED_BYTES_MAX: usize = 48 * 1024;

/// The packets that wait for the channel for bulk.
#[derive(Debug)]
pub(super) struct Outgoing {
    queue: VecDeque<Packet>,
    /// What waits costs, in bytes.
    cost: usize,
    cost_max: usize,
    /// A packet was refused, and the carrier is to be told when there is room.
    owes_writable: bool,
}

impl Outgoing {
    /// Makes a queue in which any packet fits alone.
    pub(super) fn new(queue_bytes_max: usize) -> Self {
        Self {
            queue: VecDeque::new(),
            cost: 0,
            cost_max: queue_bytes_max.max(PACKET_BYTES_MAX + PACKET_COST_BYTES),
            owes_writable: false,
        }
    }

    /// Queues a packet. Returns false if there is no room.
    pub(super) fn push(&mut self, packet: Packet) -> bool {
        let cost = self.cost + packet.len() + PACKET_COST_BYTES;
        if cost > self.cost_max {
            self.owes_writable = true;
            return false;
        }
        self.cost = cost;
        self.queue.push_back(packet);
        true
    }

    pub(super) fn is_empty(&self) -> bool {
        self.queue.is_empty()
    }

    /// Takes out the next packet, if it may be sent while `unacknowledged` bytes are under way.
    pub(super) fn next(&mut self, unacknowledged: usize) -> Option<Packet> {
        let bytes = self.queue.front()?.len();
        if unacknowledged + bytes > UNACKNOWLEDGED_BYTES_MAX {
            return None;
        }
        self.cost -= bytes + PACKET_COST_BYTES;
        self.queue.pop_front()
    }

    /// Returns true, once, if a packet was refused and half of the room is free.
    pub(super) fn take_writable(&mut self) -> bool {
        let is_writable = self.owes_writable && self.cost <= self.cost_max / 2;
        self.owes_writable &= !is_writable;
        is_writable
    }
}

#[cfg(test)]
mod tests {
    use bytes::Bytes;

    use super::*;

    fn full() -> Outgoing {
        let mut outgoing = Outgoing::new(1024 * 1024);
        while outgoing.push(Bytes::from(vec![7; PACKET_BYTES_MAX]).into()) {}
        outgoing
    }

    #[test]
    fn no_more_is_under_way_than_is_allowed() {
        let mut outgoing = full();
        let room = UNACKNOWLEDGED_BYTES_MAX - PACKET_BYTES_MAX;

        assert!(outgoing.next(room).is_some());
        assert!(outgoing.next(room + 1).is_none());
    }

    #[test]
    fn a_refusal_is_taken_back_once_when_half_of_the_room_is_free() {
        let mut outgoing = full();
        assert!(!outgoing.take_writable());

        while let Some(sent) = outgoing.next(0) {
            assert_eq!(sent.len(), PACKET_BYTES_MAX);
        }

        assert!(outgoing.take_writable());
        assert!(!outgoing.take_writable());
    }
}
