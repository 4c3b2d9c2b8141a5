//! Frames of bytes between the members of a cluster.
//!
//! A transport knows nothing of Raft. It carries frames to a member, best effort and without ever blocking, and tells
//! what has arrived. Whoever can do that, by radio or by carrier pigeon, is a [`Transport`]; [`memory`] is the
//! reference, and [`conformance`] says in tests what each method promises.
//!
//! Who is at the other end of a link is found out by a [`handshake`]; [`access`] decides what it may do, and
//! [`sealing`] protects what the link carries.

pub mod access;
#[cfg(feature = "webrtc")]
mod alarm;
mod allowance;
pub mod carrier;
pub mod conformance;
pub mod endpoint;
pub mod frame;
pub mod handshake;
#[cfg(any(feature = "websocket", feature = "webrtc"))]
#[allow(dead_code, reason = "no carrier uses all of it on each platform")]
mod hosts;
pub mod invitation;
pub mod links;
pub mod memory;
pub mod sealing;
#[cfg(feature = "webrtc")]
#[allow(dead_code, reason = "no carrier uses all of it on each platform")]
pub mod signaling;
pub mod signing;
pub mod token;
pub mod voucher;
#[cfg(feature = "webrtc")]
pub mod webrtc;
#[cfg(feature = "websocket")]
pub mod websocket;

use std::sync::Arc;
use std::task::{Context, Poll};

use thiserror::Error;

pub use frame::Frame;
pub use liferaft_platform::ServerId;

use access::Authorizer;
use carrier::{Address, Reach};
use links::{CloseReason, Credentials, Link, LinkError, LinkPath, Wanted};

/// One end of all of a member's links.
///
/// The conformance kit ([`conformance`]) says what each method promises, in tests that every transport passes.
pub trait Transport: Send + 'static {
    /// The peer that this end is to others.
    fn local(&self) -> ServerId;

    /// The longest frame that it carries, in bytes, in either class.
    fn frame_bytes_max(&self) -> usize;

    /// Gives a frame to the link to `to`, without waiting. `Ok` promises nothing: the frame may still be lost. What is
    /// sent to many peers has one body for all of them.
    ///
    /// There is no link to oneself: `to` being [`local`](Self::local) is a [`SendError::NoLink`].
    ///
    /// # Errors
    /// When it certainly was not sent: see [`SendError`].
    fn send(&mut self, to: ServerId, class: DeliveryClass, frame: Frame) -> Result<(), SendError>;

    /// The next event, in the order in which they happened; `None` once this end is closed for good.
    fn poll_event(&mut self, context: &mut Context<'_>) -> Poll<Option<Event>>;

    /// Tells what this end shows to its peers, and who judges them. A member tells it before all else, and again when
    /// what is shown has changed; who judges stays the same.
    ///
    /// A transport that knows in another way who its peers are has nothing to do, which is the default.
    fn introduce(
        &mut self,
        credentials: Credentials,
        authorizer: Arc<dyn Authorizer + Send + Sync>,
    ) {
        let _not_needed = (credentials, authorizer);
    }

    /// Returns true if each link comes up with a proof of who is at its other end ([`link`](Self::link)). Default
    /// false.
    fn authenticates(&self) -> bool {
        false
    }

    /// Returns how far away those are who can reach this end before they have proven who they are. Default
    /// [`Reach::Process`]: a transport that authenticates peers in its own way lets in only those.
    fn reach(&self) -> Reach {
        Reach::Process
    }

    /// Replaces the list of those to whom the member wants links. Default nothing: the links are there in any case.
    fn want(&mut self, peers: &[Wanted]) {
        let _linked = peers;
    }

    /// Returns the link to a peer, as its handshake has left it; `None` if there is none, and by default: then nothing
    /// is known of a peer but its id.
    fn link(&self, peer: ServerId) -> Option<&Link> {
        let _ = peer;
        None
    }

    /// Returns where the link to a peer runs, as it is now; `None` if there is no link or nothing is known of it, which
    /// is the default.
    fn link_path(&self, peer: ServerId) -> Option<LinkPath> {
        let _ = peer;
        None
    }

    /// Closes the link to a peer, which is told the reason. Default nothing.
    fn close(&mut self, peer: ServerId, reason: CloseReason) {
        let _ = (peer, reason);
    }
}

/// How a frame travels.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum DeliveryClass {
    /// May be lost, duplicated or reordered; never waits for another frame. For all of Raft but snapshots.
    Datagram,
    /// Arrives once and in order after those sent before it on the same link, or the link goes down. For bulk.
    ///
    /// A stream from which a frame was lost has ended: the receiver sees [`PeerDown`](Event::PeerDown) and, if the
    /// link works again, [`PeerUp`](Event::PeerUp), before a stream frame that was sent later.
    ///
    /// A receiver that reads slowly is no reason for a loss: over a medium without flow control, as UDP, the sender
    /// bounds what is not acknowledged and refuses more with [`SendError::QueueFull`].
    Stream,
}

/// What a transport tells its member.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Event {
    /// A frame arrived.
    Frame {
        /// The peer that sent it.
        from: ServerId,
        /// How it travelled.
        class: DeliveryClass,
        /// The frame.
        frame: Frame,
    },
    /// Frames can be sent to this peer. A hint: a member that was killed goes down without a word.
    PeerUp(ServerId),
    /// Frames can no longer be sent to this peer. A hint, like [`PeerUp`](Self::PeerUp).
    PeerDown(ServerId),
    /// There is room again for frames to this peer, after one was refused with [`SendError::QueueFull`]. A transport
    /// may leave it out.
    Writable(ServerId),
    /// No link to this peer came about. It is tried again.
    NotLinked {
        /// The peer.
        peer: ServerId,
        /// The address that was tried.
        address: Address,
        /// Why.
        error: LinkError,
    },
}

/// Why a frame certainly was not sent.
#[derive(Clone, Debug, PartialEq, Eq, Error)]
#[non_exhaustive]
pub enum SendError {
    /// There is no link to this peer.
    #[error("not sent: there is no link to server {0}")]
    NoLink(ServerId),
    /// The link's queue is full: the frame was dropped.
    #[error("not sent: the queue to server {0} is full")]
    QueueFull(ServerId),
    /// The frame is longer than the transport carries.
    #[error("not sent: the frame has {bytes} bytes, {bytes_max} are allowed")]
    TooLarge {
        /// Its length.
        bytes: usize,
        /// The longest allowed.
        bytes_max: usize,
    },
    /// This end is closed.
    #[error("not sent: the transport is closed")]
    Closed,
}

impl SendError {
    /// Returns true: the frame was not sent.
    #[must_use]
    pub const fn is_definite(&self) -> bool {
        true
    }
}
