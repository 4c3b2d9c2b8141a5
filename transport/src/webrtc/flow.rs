//! Bounds what is under way on the ordered channel, so that heartbeats on the other one do not wait behind bulk.
//!
//! Both channels share one association of SCTP, one congestion window and the buffers of both hosts: what overruns them
//! is lost on both channels, and is repaired after a second. So the receiver gives *credit*, and the sender keeps what
//! it has not seen acknowledged below [`UNACKNOWLEDGED_BYTES_MAX`] besides. `docs/webrtc.md` has what was measured.

use std::collections::VecDeque;

use thiserror::Error;

use super::limits::{PACKET_BYTES_MAX, PACKET_COST_BYTES};
use crate::carrier::Packet;

/// The credit that a receiver gives beyond what has been taken, in bytes. Both ends begin with it.
pub const CREDIT_BYTES: u64 = 64 * 1024;

/// The most bytes of the ordered channel that a sender has under way without their being acknowledged by SCTP. A native
/// sender of more overruns the receive buffer of a browser's socket.
pub const UNACKNOWLEDGED_BYTES_MAX: usize = 48 * 1024;

/// More credit is told when so many bytes of it can be given, and not for each packet.
const CREDIT_STEP_BYTES: u64 = 16 * 1024;

/// How a peer broke the rules of credit, which closes the connection.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Error)]
pub(super) enum CreditError {
    #[error("it sent ordered packets of {received} bytes, {credit} were allowed")]
    Exceeded { received: u64, credit: u64 },
    #[error("it took credit back, or gave more than there is")]
    Absurd,
}

/// The sending end of the ordered channel.
#[derive(Debug)]
pub(super) struct Outgoing {
    queue: VecDeque<Packet>,
    /// What waits costs, in bytes.
    cost: usize,
    cost_max: usize,
    /// The bytes of all packets that were taken out.
    sent: u64,
    /// How many the receiver takes.
    credit: u64,
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
            sent: 0,
            credit: CREDIT_BYTES,
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
        let sent = self.sent + count(bytes);
        if sent > self.credit || unacknowledged + bytes > UNACKNOWLEDGED_BYTES_MAX {
            return None;
        }
        self.sent = sent;
        self.cost -= bytes + PACKET_COST_BYTES;
        self.queue.pop_front()
    }

    /// The receiver takes `until` bytes, counted from the beginning.
    pub(super) fn on_credit(&mut self, until: u64) -> Result<(), CreditError> {
        if until < self.credit || until > self.sent.saturating_add(CREDIT_BYTES) {
            return Err(CreditError::Absurd);
        }
        self.credit = until;
        Ok(())
    }

    /// Returns true, once, if a packet was refused and half of the room is free.
    pub(super) fn take_writable(&mut self) -> bool {
        let is_writable = self.owes_writable && self.cost <= self.cost_max / 2;
        self.owes_writable &= !is_writable;
        is_writable
    }
}

/// The receiving end of the ordered channel.
#[derive(Debug)]
pub(super) struct Incoming {
    received: u64,
    taken: u64,
    /// How far the sender may go.
    credit: u64,
}

impl Incoming {
    pub(super) fn new() -> Self {
        Self {
            received: 0,
            taken: 0,
            credit: CREDIT_BYTES,
        }
    }

    /// A packet has come.
    pub(super) fn on_packet(&mut self, bytes: usize) -> Result<(), CreditError> {
        let (received, credit) = (self.received + count(bytes), self.credit);
        if received > credit {
            return Err(CreditError::Exceeded { received, credit });
        }
        self.received = received;
        Ok(())
    }

    /// The carrier's user has taken a packet. Returns the credit that the sender is to be told, if it is worth it.
    pub(super) fn on_taken(&mut self, bytes: usize) -> Option<u64> {
        self.taken += count(bytes);
        let credit = self.taken + CREDIT_BYTES;
        if credit - self.credit < CREDIT_STEP_BYTES {
            return None;
        }
        self.credit = credit;
        Some(credit)
    }
}

fn count(bytes: usize) -> u64 {
    u64::try_from(bytes).expect("a length fits 64 bits")
}

#[cfg(test)]
mod tests {
    use bytes::Bytes;
    use proptest::prelude::*;

    use super::*;

    fn packet(bytes: usize) -> Packet {
        Bytes::from(vec![7; bytes]).into()
    }

    fn full() -> Outgoing {
        let mut outgoing = Outgoing::new(1024 * 1024);
        while outgoing.push(packet(PACKET_BYTES_MAX)) {}
        outgoing
    }

    fn taken(outgoing: &mut Outgoing) -> usize {
        std::iter::from_fn(|| outgoing.next(0)).count()
    }

    #[test]
    fn no_more_is_sent_than_the_receiver_takes() {
        let mut outgoing = full();

        assert_eq!(taken(&mut outgoing), 4);
        assert_eq!(outgoing.on_credit(96 * 1024), Ok(()));
        assert_eq!(taken(&mut outgoing), 2);
    }

    #[test]
    fn no_more_is_under_way_than_is_allowed() {
        let mut outgoing = full();

        assert!(
            outgoing
                .next(UNACKNOWLEDGED_BYTES_MAX - PACKET_BYTES_MAX)
                .is_some()
        );
        assert!(
            outgoing
                .next(UNACKNOWLEDGED_BYTES_MAX - PACKET_BYTES_MAX + 1)
                .is_none()
        );
    }

    #[test]
    fn credit_grows_and_never_beyond_what_is_sent() {
        let mut outgoing = full();

        assert_eq!(
            outgoing.on_credit(CREDIT_BYTES - 1),
            Err(CreditError::Absurd)
        );
        assert_eq!(
            outgoing.on_credit(CREDIT_BYTES + 1),
            Err(CreditError::Absurd)
        );
        assert_eq!(outgoing.on_credit(CREDIT_BYTES), Ok(()));
    }

    #[test]
    fn a_sender_beyond_its_credit_is_found_out() {
        let mut incoming = Incoming::new();
        for _ in 0..4 {
            assert_eq!(incoming.on_packet(PACKET_BYTES_MAX), Ok(()));
        }

        let received = CREDIT_BYTES + 1;
        let exceeded = CreditError::Exceeded {
            received,
            credit: CREDIT_BYTES,
        };
        assert_eq!(incoming.on_packet(1), Err(exceeded));
        assert_eq!(incoming.on_taken(PACKET_BYTES_MAX), Some(80 * 1024));
        assert_eq!(incoming.on_packet(1), Ok(()));
    }

    #[test]
    fn a_refusal_is_taken_back_once_when_half_of_the_room_is_free() {
        let mut outgoing = full();
        assert!(!outgoing.take_writable());

        while let Some(sent) = outgoing.next(0) {
            assert_eq!(sent.len(), PACKET_BYTES_MAX);
            let credit = outgoing.sent + CREDIT_BYTES;
            assert_eq!(outgoing.on_credit(credit), Ok(()));
        }

        assert!(outgoing.take_writable());
        assert!(!outgoing.take_writable());
    }

    proptest! {
        /// Whatever lengths packets have, the ends never wait for each other.
        #[test]
        fn all_that_is_queued_arrives_within_the_credit(
            lengths in prop::collection::vec(1..=PACKET_BYTES_MAX, 1..200),
        ) {
            let mut outgoing = Outgoing::new(usize::MAX);
            let mut incoming = Incoming::new();
            for length in &lengths {
                prop_assert!(outgoing.push(packet(*length)));
            }

            let mut arrived = 0;
            while let Some(packet) = outgoing.next(0) {
                arrived += 1;
                prop_assert_eq!(incoming.on_packet(packet.len()), Ok(()));
                if let Some(credit) = incoming.on_taken(packet.len()) {
                    prop_assert_eq!(outgoing.on_credit(credit), Ok(()));
                }
            }

            prop_assert_eq!(arrived, lengths.len());
        }
    }
}
