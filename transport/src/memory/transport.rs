//! One end of a memory network.

use std::collections::{HashMap, VecDeque};
use std::sync::Arc;
use std::task::{Context, Poll};

use super::counters::Tally;
use super::flights::Flight;
use super::hub::End;
use super::inbox::Inbox;
use super::shared::Shared;
use crate::frame::FRAME_BYTES_MAX;
use crate::{DeliveryClass, Event, Frame, SendError, ServerId, Transport};

/// One member's end of a [`MemoryNetwork`](super::MemoryNetwork). Dropping it is a clean leave: the others see
/// [`Event::PeerDown`], unless it was [killed](super::MemoryNetwork::kill) before.
#[derive(Debug)]
pub struct MemoryTransport {
    local: ServerId,
    attachment: u64,
    shared: Arc<Shared>,
    inbox: Arc<Inbox>,
    tally: Arc<Tally>,
    /// Events taken out of the inbox and not yet asked for.
    batch: VecDeque<Event>,
    /// Where frames may be put without asking the network, as long as it has `routes_version`.
    routes: HashMap<ServerId, Arc<Inbox>>,
    routes_version: u64,
}

impl MemoryTransport {
    pub(super) fn new(local: ServerId, shared: Arc<Shared>, end: End) -> Self {
        let End {
            attachment,
            inbox,
            tally,
            ..
        } = end;
        let routes_version = shared.version();
        Self {
            local,
            attachment,
            shared,
            inbox,
            tally,
            batch: VecDeque::new(),
            routes: HashMap::new(),
            routes_version,
        }
    }

    fn send_through_hub(
        &mut self,
        to: ServerId,
        class: DeliveryClass,
        frame: Frame,
    ) -> Result<(), SendError> {
        let flight = Flight {
            from: self.local,
            to,
            class,
            frame,
        };
        let (sent, version) = self.shared.send(self.attachment, flight);
        if self.routes_version != version {
            self.routes.clear();
            self.routes_version = version;
        }
        if let Some(inbox) = sent? {
            self.routes.insert(to, inbox);
        }
        Ok(())
    }
}

impl Transport for MemoryTransport {
    fn local(&self) -> ServerId {
        self.local
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
        if self.shared.version() == self.routes_version
            && let Some(inbox) = self.routes.get(&to)
        {
            return self
                .tally
                .deliver_sent(inbox, (self.local, to), class, frame);
        }
        self.send_through_hub(to, class, frame)
    }

    fn poll_event(&mut self, context: &mut Context<'_>) -> Poll<Option<Event>> {
        self.inbox.poll(&mut self.batch, context)
    }
}

impl Drop for MemoryTransport {
    fn drop(&mut self) {
        // In this order, so that the queue of whoever can be reached is open.
        self.shared
            .change(|hub| hub.on_dropped(self.local, self.attachment));
        self.inbox.abandon();
    }
}
