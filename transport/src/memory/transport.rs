//! Sends frames over a memory network.

use std::task::{Context, Poll};

use super::attachment::Attachment;
use super::inbox::Arrival;
use crate::carrier::{Head, Packet};
use crate::frame::FRAME_BYTES_MAX;
use crate::{DeliveryClass, Event, Frame, SendError, ServerId, Transport};

/// One member's end of a [`MemoryNetwork`](super::MemoryNetwork). Dropping it is a clean leave: the others see
/// [`Event::PeerDown`], unless it was [killed](super::MemoryNetwork::kill) before.
#[derive(Debug)]
pub struct MemoryTransport(Attachment);

impl MemoryTransport {
    pub(super) fn new(attachment: Attachment) -> Self {
        Self(attachment)
    }
}

impl Transport for MemoryTransport {
    fn local(&self) -> ServerId {
        self.0.local()
    }

    fn frame_bytes_max(&self) -> usize {
        FRAME_BYTES_MAX
    }

    /// Puts the frame into the receiver's queue at once, unless the link has [faults](super::Faults).
    ///
    /// # Panics
    /// Natively, when frames are delayed and this is called outside a tokio runtime whose timers are enabled.
    fn send(&mut self, to: ServerId, class: DeliveryClass, frame: Frame) -> Result<(), SendError> {
        if frame.len() > FRAME_BYTES_MAX {
            return Err(SendError::TooLarge {
                bytes: frame.len(),
                bytes_max: FRAME_BYTES_MAX,
            });
        }
        let packet = Packet {
            head: Head::default(),
            body: frame,
        };
        self.0.send(to, class, packet)
    }

    fn poll_event(&mut self, context: &mut Context<'_>) -> Poll<Option<Event>> {
        self.0.poll(context).map(|arrival| {
            arrival.map(|arrival| match arrival {
                Arrival::Packet {
                    from,
                    class,
                    packet,
                } => Event::Frame {
                    from,
                    class,
                    frame: packet.body,
                },
                Arrival::PeerUp(peer) => Event::PeerUp(peer),
                Arrival::PeerDown(peer) => Event::PeerDown(peer),
            })
        })
    }
}
