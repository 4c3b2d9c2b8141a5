//! The reference transport: members of one process, and a network between them that can be broken on purpose.
//!
//! Without faults a frame goes straight into the queue of its receiver: no task, no copy, one short lock. Whatever is
//! wrong with a link is decided by dice that are thrown per link from one seed, so that the same frames meet the same
//! fate in each run. Delays run on [`liferaft_platform`]'s clock, in virtual time under a paused one.
//!
//! ```
//! # mod liferaft { pub use liferaft_transport as transport; }
//! # #[tokio::main(flavor = "current_thread")]
//! # async fn main() -> Result<(), Box<dyn std::error::Error>> {
//! use liferaft::transport::memory::{Faults, MemoryNetwork, Probability};
//! use liferaft::transport::{DeliveryClass, Event, Frame, ServerId, Transport};
//!
//! let network = MemoryNetwork::new(42);
//! let mut ada = network.attach(ServerId(1))?;
//! let mut bob = network.attach(ServerId(2))?;
//!
//! ada.send(ServerId(2), DeliveryClass::Datagram, Frame::from("hello"))?;
//!
//! let up = std::future::poll_fn(|context| bob.poll_event(context)).await;
//! assert_eq!(up, Some(Event::PeerUp(ServerId(1))));
//! let frame = Frame::from("hello");
//! let arrived = std::future::poll_fn(|context| bob.poll_event(context)).await;
//! assert_eq!(arrived, Some(Event::Frame { from: ServerId(1), class: DeliveryClass::Datagram, frame }));
//!
//! network.set_faults(Faults::none().with_loss(Probability::percent(50)));
//! # Ok(())
//! # }
//! ```
//!
//! # What is up, and what is silent
//!
//! A peer is *up* as long as it is attached. Cuts, partitions and kills tell nobody: frames vanish without an event, in
//! both classes, also those under way. Only a stream cannot pretend that nothing happened: once a stream frame has
//! vanished, no stream frame passes between the two in either direction until they reach each other again; at that
//! moment both see [`PeerDown`](crate::Event::PeerDown) and [`PeerUp`](crate::Event::PeerUp), and what is sent then is
//! the beginning of another stream.
//!
//! Whoever leaves, by dropping its end, takes with it what is under way to and from it.

mod attachment;
mod carrier;
mod counters;
mod faults;
mod flights;
mod hub;
mod inbox;
mod link;
mod shared;
mod topology;
mod transport;

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use thiserror::Error;

pub use self::carrier::{MemoryCarrier, PACKET_BYTES_MAX};
pub use self::counters::Counters;
pub use self::faults::{Delay, Faults, Probability, ProbabilityError};
pub use self::transport::MemoryTransport;

use self::attachment::Attachment;
use self::shared::Shared;
use crate::ServerId;
use crate::endpoint::{Endpoint, Signer};

/// The most frames that wait unread in front of a member. When so many do, `send` refuses with
/// [`QueueFull`](crate::SendError::QueueFull), and what arrives late is dropped. A member that reads takes all that
/// wait at once, so that up to twice as many are in memory.
pub const QUEUE_FRAMES_MAX: usize = 16_384;

/// The most bytes of frames that wait unread in front of a member, with the same policy as [`QUEUE_FRAMES_MAX`]. One
/// frame fits in any case.
pub const QUEUE_BYTES_MAX: usize = 32 * 1024 * 1024;

/// The most frames under way on one direction of a link that delays. When so many are, `send` refuses with
/// [`QueueFull`](crate::SendError::QueueFull).
pub const LINK_FRAMES_MAX: usize = 8_192;

/// The most bytes under way on one direction of a link that delays, with the same policy as [`LINK_FRAMES_MAX`]. One
/// frame fits in any case.
pub const LINK_BYTES_MAX: usize = 16 * 1024 * 1024;

/// How often a stream frame is sent before it is lost for good.
pub const ATTEMPTS_MAX: u32 = 16;

/// The most ends of one network. More are refused.
pub const ENDS_MAX: usize = 4_096;

/// The most unread events that tell of peers. A member that lets more pile up is closed: it reads what it has, then
/// `None`, and the others see it leave.
pub const PEER_EVENTS_MAX: usize = 4 * ENDS_MAX;

/// A network within this process. Its clones are handles to the same network.
#[derive(Clone, Debug)]
pub struct MemoryNetwork {
    shared: Arc<Shared>,
}

impl MemoryNetwork {
    /// A network without faults. All that chance decides later is drawn from `seed`.
    #[must_use]
    pub fn new(seed: u64) -> Self {
        Self {
            shared: Arc::new(Shared::new(seed)),
        }
    }

    /// Connects a member with all others; both sides see [`PeerUp`](crate::Event::PeerUp).
    ///
    /// A peer that was [killed](Self::kill) may be attached again, as after a crash: its old end is closed, and the
    /// others see it go down and up.
    ///
    /// # Errors
    /// When the peer is attached and alive, or the network has [`ENDS_MAX`] ends.
    pub fn attach(&self, peer: ServerId) -> Result<MemoryTransport, AttachError> {
        self.take_place(peer).map(MemoryTransport::new)
    }

    /// Attaches a member as [`attach`](Self::attach) does, to carry the packets of links.
    ///
    /// # Errors
    /// As [`attach`](Self::attach).
    pub fn attach_carrier(&self, peer: ServerId) -> Result<MemoryCarrier, AttachError> {
        self.take_place(peer).map(MemoryCarrier::new)
    }

    /// Attaches a member whose links are made by handshakes: the end of it that a member is built with.
    ///
    /// # Errors
    /// As [`attach`](Self::attach).
    pub fn connect(&self, signer: impl Signer) -> Result<Endpoint, AttachError> {
        let carrier = self.attach_carrier(signer.public_key().server_id())?;
        Ok(Endpoint::new(signer, carrier))
    }

    fn take_place(&self, peer: ServerId) -> Result<Attachment, AttachError> {
        let end = self.shared.change(|hub| hub.attach(peer))?;
        Ok(Attachment::new(peer, Arc::clone(&self.shared), end))
    }

    /// Sets the faults of all links that have none [of their own](Self::set_link_faults). What is under way stays so.
    pub fn set_faults(&self, faults: Faults) {
        self.shared.change(|hub| hub.faults = faults);
    }

    /// Sets the faults of one direction of one link, in place of the network's.
    pub fn set_link_faults(&self, from: ServerId, to: ServerId, faults: Faults) {
        self.shared
            .change(|hub| hub.link_faults.insert((from, to), faults));
    }

    /// Makes one direction of one link follow the network's faults again.
    pub fn clear_link_faults(&self, from: ServerId, to: ServerId) {
        self.shared
            .change(|hub| hub.link_faults.remove(&(from, to)));
    }

    /// Lets frames from `from` to `to` vanish. The other direction goes on.
    pub fn cut(&self, from: ServerId, to: ServerId) {
        self.shared.change(|hub| hub.topology.cut(from, to));
    }

    /// Undoes a [`cut`](Self::cut).
    pub fn heal(&self, from: ServerId, to: ServerId) {
        self.shared.change(|hub| {
            hub.topology.heal(from, to);
            hub.restart_streams();
        });
    }

    /// Lets frames pass only within groups, in place of an earlier partition.
    ///
    /// A peer in two groups is a bridge. Peers that are in none form one more group: `&[&[peer]]` isolates a peer, and
    /// no groups at all lift the partition.
    pub fn partition(&self, groups: &[&[ServerId]]) {
        self.shared.change(|hub| {
            hub.topology.partition(groups);
            hub.restart_streams();
        });
    }

    /// Undoes all cuts and the partition. The killed stay so, and the links keep their faults.
    pub fn heal_all(&self) {
        self.shared.change(|hub| {
            hub.topology.heal_all();
            hub.restart_streams();
        });
    }

    /// Lets a member fall silent, as a crash does: all that it sends or is sent vanishes, its end hears nothing more,
    /// and nobody is told: to others, and to those who come later, it is up. Returns whether it is attached.
    pub fn kill(&self, peer: ServerId) -> bool {
        self.shared.change(|hub| hub.kill(peer))
    }

    /// Brings a killed member back, as if its process had been stopped: it reads first what had reached it before.
    /// Returns whether there is one; if its end was dropped meanwhile there is none, and the others see it leave.
    pub fn revive(&self, peer: ServerId) -> bool {
        self.shared.change(|hub| hub.revive(peer))
    }

    /// What became of all frames so far, those of members that left included.
    #[must_use]
    pub fn counters(&self) -> Counters {
        self.shared.read(hub::Hub::counters)
    }

    /// What became of the frames that an attached member sent since it was attached.
    #[must_use]
    pub fn counters_of(&self, sender: ServerId) -> Option<Counters> {
        self.shared.read(|hub| hub.counters_of(sender))
    }
}

/// Why a member was not attached to a network.
#[derive(Clone, Debug, PartialEq, Eq, Error)]
#[non_exhaustive]
pub enum AttachError {
    /// The peer is attached and alive.
    #[error("not attached: server {0} is attached already")]
    InUse(ServerId),
    /// The network has as many ends as it may.
    #[error("not attached: the network has {ENDS_MAX} ends, no more are allowed")]
    NetworkFull,
}

impl AttachError {
    /// Returns true: nothing was attached.
    #[must_use]
    pub const fn is_definite(&self) -> bool {
        true
    }
}

/// A panic elsewhere leaves nothing half done under these locks.
fn locked<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}
