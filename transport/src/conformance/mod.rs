//! The conformance kit: what a transport promises, as checks that any transport can be put through.
//!
//! The author of a transport writes a [`Fixture`], which makes connected ends, and runs [`check_all`] in a test. The
//! ends are to be connected by healthy links: the kit forgives lost, doubled and late datagram frames, as the trait
//! does, but no link that goes down without a reason. That a receiver was slow, so that a stream frame was lost, is
//! none: see [`DeliveryClass::Stream`](crate::DeliveryClass::Stream).
//!
//! It waits by [`liferaft_platform`] and knows no other executor: natively it runs under tokio, best with a paused
//! clock where the transport allows, and in browsers and Node as it is. While it waits for one end it polls all of
//! them, so a transport may do its I/O in [`poll_event`](Transport::poll_event). A `send` that blocks for good shows as
//! a check that never ends.
//!
//! ```
//! # mod liferaft { pub use liferaft_transport as transport; }
//! # #[tokio::main(flavor = "current_thread", start_paused = true)]
//! # async fn main() {
//! use liferaft::transport::ServerId;
//! use liferaft::transport::conformance::{Fixture, check_all};
//! use liferaft::transport::memory::{MemoryNetwork, MemoryTransport};
//!
//! struct Memory;
//!
//! impl Fixture for Memory {
//!     type End = MemoryTransport;
//!
//!     async fn connect(&mut self, ends: usize) -> Vec<MemoryTransport> {
//!         let network = MemoryNetwork::new(0);
//!         let peers = (1..).map(ServerId).take(ends);
//!         peers.map(|peer| network.attach(peer).expect("each peer is attached once")).collect()
//!     }
//! }
//!
//! assert_eq!(check_all(&mut Memory).await, Ok(()));
//! # }
//! ```

mod checks;
mod group;

use std::fmt;
use std::future::Future;
use std::time::Duration;

use thiserror::Error;

use crate::{ServerId, Transport};

/// Makes the ends that the kit tries.
pub trait Fixture {
    /// The transport.
    type End: Transport;

    /// Makes so many ends, each connected with each other and with nothing else, or about to be: the kit waits until
    /// each has told that the others are up, so their events must not be read before. Each call makes others.
    fn connect(&mut self, ends: usize) -> impl Future<Output = Vec<Self::End>>;

    /// A peer with which no end is ever connected.
    fn stranger(&self) -> ServerId {
        ServerId(u128::MAX)
    }

    /// The most bytes of frames that may be under way or unread between two ends: what the transport's queues hold at
    /// most, all of them together. 128 MiB unless the transport says otherwise.
    fn unread_bytes_max(&self) -> usize {
        128 * 1024 * 1024
    }

    /// How long the kit waits for what must happen before it says that it does not: 10 s unless said otherwise.
    fn patience(&self) -> Duration {
        Duration::from_secs(10)
    }

    /// How long the kit listens before it believes that nothing more comes: 200 ms unless said otherwise.
    fn silence(&self) -> Duration {
        Duration::from_millis(200)
    }
}

/// What a transport promises. Each is checked alone.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
#[non_exhaustive]
pub enum Promise {
    /// Each end tells that each other is up, all are different peers, and without a cause nothing else is told.
    PeersComeUp,
    /// A frame arrives, in either class and direction.
    FramesArrive,
    /// A frame arrives at nobody else.
    FramesArriveAtTheirReceiver,
    /// A frame is told to be from the peer that sent it.
    SendersAreTrue,
    /// A frame is told to be of the class in which it was sent.
    ClassesAreTrue,
    /// What arrives is a frame that was sent, not a part of one, nor two, nor a damaged one.
    FramesAreWhole,
    /// A frame without a byte is a frame.
    EmptyFramesArrive,
    /// A frame of exactly [`frame_bytes_max`](Transport::frame_bytes_max) arrives.
    LargestFramesArrive,
    /// A longer frame is refused with [`SendError::TooLarge`](crate::SendError::TooLarge), which tells both lengths.
    LongerFramesAreRefused,
    /// Frames of a stream arrive once, in order and without a gap.
    StreamsKeepOrder,
    /// Sending to a peer that is not connected is [`SendError::NoLink`](crate::SendError::NoLink).
    StrangersHaveNoLink,
    /// Sending to oneself is [`SendError::NoLink`](crate::SendError::NoLink).
    NobodyHasALinkToItself,
    /// A receiver that does not read costs bounded memory: what exceeds it is refused with
    /// [`SendError::QueueFull`](crate::SendError::QueueFull), or dropped if it is a datagram, and when it reads, frames
    /// pass again. No link goes down for it.
    UnreadFramesAreBounded,
    /// An end that waits for an event is woken by it.
    WaitersAreWoken,
    /// An end that is dropped is told to be down by the others, after which they have no link to it.
    LeavesAreSeen,
    /// Eight ends, each sending to each other, all hear all.
    ManyPeersHearEachOther,
}

impl Promise {
    /// All promises, in the order in which [`check_all`] checks them: those on which others rest come first.
    pub const ALL: [Self; 16] = [
        Self::PeersComeUp,
        Self::FramesArrive,
        Self::FramesArriveAtTheirReceiver,
        Self::SendersAreTrue,
        Self::ClassesAreTrue,
        Self::FramesAreWhole,
        Self::EmptyFramesArrive,
        Self::LargestFramesArrive,
        Self::LongerFramesAreRefused,
        Self::StreamsKeepOrder,
        Self::StrangersHaveNoLink,
        Self::NobodyHasALinkToItself,
        Self::UnreadFramesAreBounded,
        Self::WaitersAreWoken,
        Self::LeavesAreSeen,
        Self::ManyPeersHearEachOther,
    ];
}

impl fmt::Display for Promise {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::PeersComeUp => "peers come up",
            Self::FramesArrive => "frames arrive",
            Self::FramesArriveAtTheirReceiver => "frames arrive at their receiver",
            Self::SendersAreTrue => "senders are true",
            Self::ClassesAreTrue => "classes are true",
            Self::FramesAreWhole => "frames are whole",
            Self::EmptyFramesArrive => "empty frames arrive",
            Self::LargestFramesArrive => "largest frames arrive",
            Self::LongerFramesAreRefused => "longer frames are refused",
            Self::StreamsKeepOrder => "streams keep order",
            Self::StrangersHaveNoLink => "strangers have no link",
            Self::NobodyHasALinkToItself => "nobody has a link to itself",
            Self::UnreadFramesAreBounded => "unread frames are bounded",
            Self::WaitersAreWoken => "waiters are woken",
            Self::LeavesAreSeen => "leaves are seen",
            Self::ManyPeersHearEachOther => "many peers hear each other",
        })
    }
}

/// A promise that a transport did not keep.
#[derive(Clone, Debug, PartialEq, Eq, Error)]
#[error("{promise}: {detail}")]
pub struct Violation {
    /// The promise.
    pub promise: Promise,
    /// What happened instead.
    pub detail: String,
}

/// The promises that a transport did not keep; at least one.
#[derive(Clone, Debug, PartialEq, Eq, Error)]
#[error("the transport breaks {} of {} promises: {}", .0.len(), Promise::ALL.len(), listed(.0))]
pub struct Violations(pub Vec<Violation>);

fn listed(violations: &[Violation]) -> String {
    violations
        .iter()
        .map(Violation::to_string)
        .collect::<Vec<_>>()
        .join("; ")
}

/// Checks all promises, each with ends of its own, and goes on after a broken one.
///
/// # Errors
/// When a promise was not kept.
///
/// # Panics
/// When the fixture makes another number of ends than it was asked for.
pub async fn check_all<F: Fixture>(fixture: &mut F) -> Result<(), Violations> {
    let mut violations = Vec::new();
    for promise in Promise::ALL {
        violations.extend(check(promise, fixture).await.err());
    }
    if violations.is_empty() {
        Ok(())
    } else {
        Err(Violations(violations))
    }
}

/// Checks one promise.
///
/// # Errors
/// When it was not kept.
///
/// # Panics
/// When the fixture makes another number of ends than it was asked for.
pub async fn check<F: Fixture>(promise: Promise, fixture: &mut F) -> Result<(), Violation> {
    let kept = match promise {
        Promise::PeersComeUp => checks::peers_come_up(fixture).await,
        Promise::FramesArrive => checks::frames_arrive(fixture).await,
        Promise::FramesArriveAtTheirReceiver => checks::receivers_are_true(fixture).await,
        Promise::SendersAreTrue => checks::senders_are_true(fixture).await,
        Promise::ClassesAreTrue => checks::classes_are_true(fixture).await,
        Promise::FramesAreWhole => checks::frames_are_whole(fixture).await,
        Promise::EmptyFramesArrive => checks::empty_frames_arrive(fixture).await,
        Promise::LargestFramesArrive => checks::largest_frames_arrive(fixture).await,
        Promise::LongerFramesAreRefused => checks::longer_frames_are_refused(fixture).await,
        Promise::StreamsKeepOrder => checks::streams_keep_order(fixture).await,
        Promise::StrangersHaveNoLink => checks::strangers_have_no_link(fixture).await,
        Promise::NobodyHasALinkToItself => checks::nobody_has_a_link_to_itself(fixture).await,
        Promise::UnreadFramesAreBounded => checks::unread_frames_are_bounded(fixture).await,
        Promise::WaitersAreWoken => checks::waiters_are_woken(fixture).await,
        Promise::LeavesAreSeen => checks::leaves_are_seen(fixture).await,
        Promise::ManyPeersHearEachOther => checks::many_peers_hear_each_other(fixture).await,
    };
    kept.map_err(|detail| Violation { promise, detail })
}
