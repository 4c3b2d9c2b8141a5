//! Carries the packets of links over a memory network.

use std::collections::BTreeSet;
use std::fmt;
use std::future::Future;
use std::pin::Pin;
use std::task::{Context, Poll};
use std::time::Duration;

use super::attachment::Attachment;
use super::inbox::Arrival;
use crate::carrier::{
    Address, Carrier, CarrierEvent, CarryError, Channel, DialError, HEAD_BYTES_MAX, Packet, Path,
    Reach,
};
use crate::frame::FRAME_BYTES_MAX;
use crate::{DeliveryClass, SendError, ServerId};

/// The longest packet that a [`MemoryCarrier`] carries, in bytes: any frame that transports carry is one packet.
pub const PACKET_BYTES_MAX: usize = FRAME_BYTES_MAX + HEAD_BYTES_MAX;

/// How often a path that was full is looked at.
const FULL_FOR: Duration = Duration::from_millis(5);

/// One member's end of a [`MemoryNetwork`](super::MemoryNetwork), for links: packets meet the network's faults and are
/// handed over without a copy.
///
/// Its address is `memory:` and the peer's id in hexadecimal ([`address_of`](Carrier::address_of)). It is a carrier
/// without connections; a peer that leaves closes the paths to it. Dropping it is a clean leave, unless it was
/// [killed](super::MemoryNetwork::kill) before.
pub struct MemoryCarrier {
    attachment: Attachment,
    is_inside_process: bool,
    /// The paths that were full, and when to look at them again.
    full: BTreeSet<Path>,
    writable: BTreeSet<Path>,
    retry: Option<Pin<Box<dyn Future<Output = ()> + Send>>>,
}

impl MemoryCarrier {
    pub(super) fn new(attachment: Attachment) -> Self {
        Self {
            attachment,
            is_inside_process: true,
            full: BTreeSet::new(),
            writable: BTreeSet::new(),
            retry: None,
        }
    }

    /// Makes links seal the packets, as if anybody could see and change them.
    #[must_use]
    pub fn sealed(mut self) -> Self {
        self.is_inside_process = false;
        self
    }
}

const SCHEME: &str = "memory";

fn path_to(peer: ServerId) -> Path {
    Path::new(&peer.0.to_be_bytes(), &[])
}

fn peer_at(path: &Path) -> Option<ServerId> {
    let id = path.as_bytes().try_into().ok()?;
    Some(ServerId(u128::from_be_bytes(id)))
}

impl Carrier for MemoryCarrier {
    fn scheme(&self) -> &str {
        SCHEME
    }

    fn packet_bytes_max(&self) -> usize {
        PACKET_BYTES_MAX
    }

    fn reach(&self) -> Reach {
        Reach::Process
    }

    fn is_inside_process(&self) -> bool {
        self.is_inside_process
    }

    fn address_of(&self, server: ServerId) -> Option<Address> {
        let address = format!("{SCHEME}:{server:?}");
        Some(address.parse().expect("an id is printable and short"))
    }

    fn dial(&mut self, address: &Address) -> Result<Path, DialError> {
        let peer = address.rest().parse().ok();
        let peer = peer.filter(|_| address.scheme() == SCHEME);
        peer.map(path_to)
            .ok_or_else(|| DialError::BadAddress(address.clone()))
    }

    /// Puts the packet into the receiver's queue at once, unless the link has [faults](super::Faults): datagram faults
    /// on both channels, as the layer above sends again what is lost.
    ///
    /// # Panics
    /// Natively, when packets are delayed and this is called outside a tokio runtime whose timers are enabled.
    fn send(&mut self, path: &Path, _channel: Channel, packet: Packet) -> Result<(), CarryError> {
        if packet.len() > PACKET_BYTES_MAX {
            return Err(CarryError::TooLarge);
        }
        let peer = peer_at(path).ok_or(CarryError::Closed)?;
        match self.attachment.send(peer, DeliveryClass::Datagram, packet) {
            Ok(()) => Ok(()),
            Err(SendError::QueueFull(_)) => {
                self.full.insert(*path);
                Err(CarryError::Full)
            }
            Err(_gone) => Err(CarryError::Closed),
        }
    }

    fn poll(&mut self, context: &mut Context<'_>) -> Poll<Option<CarrierEvent>> {
        loop {
            match self.attachment.poll(context) {
                Poll::Ready(Some(Arrival::Packet { from, packet, .. })) => {
                    return Poll::Ready(Some(CarrierEvent::Packet {
                        path: path_to(from),
                        channel: Channel::Datagram,
                        packet,
                    }));
                }
                Poll::Ready(Some(Arrival::PeerDown(peer))) => {
                    let path = path_to(peer);
                    return Poll::Ready(Some(CarrierEvent::Closed { path }));
                }
                // Whoever wants a link dials. That others are there is no news.
                Poll::Ready(Some(Arrival::PeerUp(_))) => {}
                Poll::Ready(None) => return Poll::Ready(None),
                Poll::Pending => return self.poll_full(context),
            }
        }
    }
}

impl MemoryCarrier {
    /// A network does not tell when there is room again: it is asked every now and then.
    fn poll_full(&mut self, context: &mut Context<'_>) -> Poll<Option<CarrierEvent>> {
        while !self.full.is_empty() {
            let retry = self.retry.get_or_insert_with(|| {
                let at = liferaft_platform::now() + FULL_FOR;
                Box::pin(liferaft_platform::sleep_until(at))
            });
            if retry.as_mut().poll(context).is_pending() {
                break;
            }
            self.retry = None;
            let has_room =
                |path: &Path| peer_at(path).is_none_or(|peer| self.attachment.has_room(peer));
            let (writable, full) = self.full.iter().partition(|path| has_room(path));
            self.full = full;
            self.writable.extend::<BTreeSet<Path>>(writable);
        }
        let path = self.writable.pop_first();
        path.map_or(Poll::Pending, |path| {
            Poll::Ready(Some(CarrierEvent::Writable { path }))
        })
    }
}

impl fmt::Debug for MemoryCarrier {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("MemoryCarrier")
            .field("attachment", &self.attachment)
            .field("is_inside_process", &self.is_inside_process)
            .finish_non_exhaustive()
    }
}
