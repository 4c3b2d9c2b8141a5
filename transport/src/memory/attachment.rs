//! Holds one member's place in a network, whatever is made of it.

use std::collections::{HashMap, VecDeque};
use std::sync::Arc;
use std::task::{Context, Poll};

use super::counters::Tally;
use super::flights::Flight;
use super::hub::End;
use super::inbox::{Arrival, Inbox};
use super::shared::Shared;
use crate::carrier::Packet;
use crate::{DeliveryClass, SendError, ServerId};

/// An end that sends packets and reads what has arrived. Dropping it is a clean leave, unless it was killed before.
#[derive(Debug)]
pub(super) struct Attachment {
    local: ServerId,
    attachment: u64,
    shared: Arc<Shared>,
    inbox: Arc<Inbox>,
    tally: Arc<Tally>,
    /// What was taken out of the inbox and not yet asked for.
    batch: VecDeque<Arrival>,
    /// Where packets may be put without asking the network, as long as it has `routes_version`.
    routes: HashMap<ServerId, Arc<Inbox>>,
    routes_version: u64,
}

impl Attachment {
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

    pub(super) fn local(&self) -> ServerId {
        self.local
    }

    /// Puts a packet into the receiver's queue at once, unless the link has faults.
    pub(super) fn send(
        &mut self,
        to: ServerId,
        class: DeliveryClass,
        packet: Packet,
    ) -> Result<(), SendError> {
        if self.shared.version() == self.routes_version
            && let Some(inbox) = self.routes.get(&to)
        {
            return self
                .tally
                .deliver_sent(inbox, (self.local, to), class, packet);
        }
        self.send_through_hub(to, class, packet)
    }

    /// Returns true if half of what may be under way to a peer, and wait in front of it, is free.
    pub(super) fn has_room(&self, to: ServerId) -> bool {
        self.shared.read(|hub| hub.has_room(self.local, to))
    }

    pub(super) fn poll(&mut self, context: &mut Context<'_>) -> Poll<Option<Arrival>> {
        self.inbox.poll(&mut self.batch, context)
    }

    fn send_through_hub(
        &mut self,
        to: ServerId,
        class: DeliveryClass,
        packet: Packet,
    ) -> Result<(), SendError> {
        let flight = Flight {
            from: self.local,
            to,
            class,
            packet,
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

impl Drop for Attachment {
    fn drop(&mut self) {
        // In this order, so that the queue of whoever can be reached is open.
        self.shared
            .change(|hub| hub.on_dropped(self.local, self.attachment));
        self.inbox.abandon();
    }
}
