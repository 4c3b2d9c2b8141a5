//! What became of the frames.

use std::ops::AddAssign;
use std::sync::atomic::{AtomicU64, Ordering};

use super::inbox::{Inbox, Refusal};
use crate::carrier::Packet;
use crate::{DeliveryClass, SendError, ServerId};

/// What became of the frames of one sender, or of all.
///
/// Nothing gets lost in the count: `sent + duplicated` is `delivered + lost + cut + overflowed` and what is still under
/// way.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct Counters {
    /// Frames accepted by `send`.
    pub sent: u64,
    /// The bytes of these frames.
    pub bytes: u64,
    /// Frames put into their receiver's queue, duplicates included.
    pub delivered: u64,
    /// Frames lost by chance.
    pub lost: u64,
    /// Frames made by duplication.
    pub duplicated: u64,
    /// Datagram frames that were held back so that later ones could pass.
    pub reordered: u64,
    /// Frames that vanished at a cut, a partition, or a member that was killed or left.
    pub cut: u64,
    /// Frames dropped after `send` had accepted them, because a queue was full: late frames at their receiver's, and
    /// duplicates.
    pub overflowed: u64,
    /// Frames that `send` refused because a queue was full. They do not count as sent.
    pub queue_full: u64,
}

impl AddAssign for Counters {
    fn add_assign(&mut self, other: Self) {
        let Self {
            sent,
            bytes,
            delivered,
            lost,
            duplicated,
            reordered,
            cut,
            overflowed,
            queue_full,
        } = other;
        self.sent += sent;
        self.bytes += bytes;
        self.delivered += delivered;
        self.lost += lost;
        self.duplicated += duplicated;
        self.reordered += reordered;
        self.cut += cut;
        self.overflowed += overflowed;
        self.queue_full += queue_full;
    }
}

/// A number that one sender counts while others read: exact, but in no order with anything else.
#[derive(Debug, Default)]
pub(super) struct Count(AtomicU64);

impl Count {
    pub(super) fn add(&self, number: u64) {
        self.0.fetch_add(number, Ordering::Relaxed);
    }

    fn read(&self) -> u64 {
        self.0.load(Ordering::Relaxed)
    }
}

/// The counters of one sender.
#[derive(Debug, Default)]
pub(super) struct Tally {
    pub(super) sent: Count,
    pub(super) bytes: Count,
    pub(super) delivered: Count,
    pub(super) lost: Count,
    pub(super) duplicated: Count,
    pub(super) reordered: Count,
    pub(super) cut: Count,
    pub(super) overflowed: Count,
    pub(super) queue_full: Count,
}

impl Tally {
    pub(super) fn on_sent(&self, bytes: usize) {
        self.sent.add(1);
        self.bytes.add(u64::try_from(bytes).unwrap_or(u64::MAX));
    }

    /// Puts a frame that is being sent straight into its receiver's queue.
    pub(super) fn deliver_sent(
        &self,
        inbox: &Inbox,
        (from, to): (ServerId, ServerId),
        class: DeliveryClass,
        packet: Packet,
    ) -> Result<(), SendError> {
        let bytes = packet.len();
        match inbox.push_frame(from, class, packet) {
            Ok(()) => {
                self.on_sent(bytes);
                self.delivered.add(1);
                Ok(())
            }
            Err(Refusal::Full) => {
                self.queue_full.add(1);
                Err(SendError::QueueFull(to))
            }
            Err(Refusal::Closed) => Err(SendError::NoLink(to)),
        }
    }

    pub(super) fn read(&self) -> Counters {
        Counters {
            sent: self.sent.read(),
            bytes: self.bytes.read(),
            delivered: self.delivered.read(),
            lost: self.lost.read(),
            duplicated: self.duplicated.read(),
            reordered: self.reordered.read(),
            cut: self.cut.read(),
            overflowed: self.overflowed.read(),
            queue_full: self.queue_full.read(),
        }
    }
}
