//! Makes an ordered stream of bytes over packets that are lost, duplicated and reordered.
//!
//! The bytes are frames one after the other, each behind its class and length. They are cut into segments, each of
//! which says where in the stream it begins; the receiver puts them together and tells how far it has come (a
//! [`Status`](super::packet::Status)). It also gives *credit*: the offset that the sender may reach, so that what waits
//! for a member that reads slowly is bounded. The credit is small in the beginning and grows while it is what holds the
//! sender up.

mod incoming;
mod outgoing;
mod round_trip;
mod window;

use thiserror::Error;

pub(super) use self::incoming::Incoming;
pub(super) use self::outgoing::{Outgoing, Segment};

/// The credit that a receiver gives in the beginning, in bytes beyond what its member has taken.
pub const CREDIT_BYTES_INITIAL: usize = 64 * 1024;

/// The most credit that a receiver gives, in bytes beyond what its member has taken.
pub const CREDIT_BYTES_MAX: usize = 1024 * 1024;

/// The longest segment, in bytes. No packet waits behind more than one of them longer than the medium makes it.
pub const SEGMENT_BYTES_MAX: usize = 16 * 1024;

/// The most segments that are kept of what arrived after a gap. More are dropped, and sent again.
pub const EARLY_SEGMENTS_MAX: usize = 1_024;

/// How a peer broke the rules of a stream, which ends the link.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Error)]
#[non_exhaustive]
pub enum StreamError {
    /// It sent bytes beyond its credit.
    #[error("the peer sent stream bytes up to offset {offset}, beyond its credit of {credit}")]
    BeyondCredit {
        /// Where its bytes end.
        offset: u64,
        /// Where they may end.
        credit: u64,
    },
    /// It acknowledged what was never sent.
    #[error(
        "the peer acknowledged stream bytes up to offset {acknowledged}, of which {sent} were sent"
    )]
    AcknowledgedUnsent {
        /// What it acknowledged.
        acknowledged: u64,
        /// How many bytes were sent.
        sent: u64,
    },
    /// A frame has a class that does not exist.
    #[error("the peer sent a frame of no known class")]
    UnknownClass,
    /// A frame is longer than is allowed.
    #[error("the peer sent a frame of {bytes} bytes, {bytes_max} are allowed")]
    FrameTooLong {
        /// Its length.
        bytes: usize,
        /// The longest allowed.
        bytes_max: usize,
    },
}

/// Converts a length to the distance between two offsets.
fn distance(bytes: usize) -> u64 {
    u64::try_from(bytes).expect("a length fits 64 bits")
}

/// Converts the distance between two offsets to a length.
fn length(from: u64, to: u64) -> usize {
    usize::try_from(to.saturating_sub(from)).unwrap_or(usize::MAX)
}

#[cfg(test)]
mod tests;
