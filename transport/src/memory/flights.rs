//! The frames under way: those that arrive later than they were sent.

use std::cmp::Reverse;
use std::collections::BinaryHeap;
use std::time::Duration;

use crate::carrier::Packet;
use crate::{DeliveryClass, ServerId};

/// A frame on its way.
#[derive(Clone, Debug)]
pub(super) struct Flight {
    pub(super) from: ServerId,
    pub(super) to: ServerId,
    pub(super) class: DeliveryClass,
    pub(super) packet: Packet,
}

impl Flight {
    /// Whether it is part of the stream between two peers, in either direction.
    pub(super) fn is_of_stream(&self, (a, b): (ServerId, ServerId)) -> bool {
        let between = (self.from, self.to);
        self.class == DeliveryClass::Stream && (between == (a, b) || between == (b, a))
    }
}

/// Frames in the order of their arrival; those that arrive at one time in the order in which they were sent.
#[derive(Debug, Default)]
pub(super) struct Flights {
    heap: BinaryHeap<Reverse<Entry>>,
    sent: u64,
}

impl Flights {
    pub(super) fn push(&mut self, at: Duration, flight: Flight) {
        self.heap.push(Reverse(Entry {
            key: (at, self.sent),
            flight,
        }));
        self.sent += 1;
    }

    /// When the next frame arrives.
    pub(super) fn next_at(&self) -> Option<Duration> {
        self.heap.peek().map(|Reverse(entry)| entry.key.0)
    }

    /// The next frame, if it has arrived by `now`.
    pub(super) fn pop_arrived(&mut self, now: Duration) -> Option<Flight> {
        if self.next_at()? > now {
            return None;
        }
        self.heap.pop().map(|Reverse(entry)| entry.flight)
    }

    /// Takes out the frames that are `chosen`, in no order.
    pub(super) fn take(&mut self, chosen: impl Fn(&Flight) -> bool) -> Vec<Flight> {
        let (taken, kept): (Vec<_>, Vec<_>) = self
            .heap
            .drain()
            .partition(|Reverse(entry)| chosen(&entry.flight));
        self.heap = kept.into();
        taken
            .into_iter()
            .map(|Reverse(entry)| entry.flight)
            .collect()
    }
}

/// Ordered by its key alone, which no other entry has.
#[derive(Debug)]
struct Entry {
    key: (Duration, u64),
    flight: Flight,
}

impl Ord for Entry {
    fn cmp(&self, other: &Self) -> std::cmp::Ordering {
        self.key.cmp(&other.key)
    }
}

impl PartialOrd for Entry {
    fn partial_cmp(&self, other: &Self) -> Option<std::cmp::Ordering> {
        Some(self.cmp(other))
    }
}

impl PartialEq for Entry {
    fn eq(&self, other: &Self) -> bool {
        self.key == other.key
    }
}

impl Eq for Entry {}
