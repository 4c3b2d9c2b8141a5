//! What leaves for other members: contents are encoded once, however many they go to.

use bytes::Bytes;
use liferaft_transport::{DeliveryClass, Event, PeerId, SendError, Transport};
use std::task::{Context, Poll};

use super::status::Counters;
use crate::ids::{ClusterId, ServerId};
use crate::message::{Body, Message};
use crate::wire::{self, Content};

/// A frame is at most this much longer than the commands, entries or data in it.
pub(super) const FRAME_OVERHEAD_BYTES: usize = 1024;

/// This member's end of its links.
pub(super) struct Links {
    transport: Box<dyn Transport>,
    cluster: ClusterId,
    /// The last frame that the transport did not take: to whom, and why.
    failure: Option<(ServerId, SendError)>,
}

impl Links {
    pub(super) fn new(transport: Box<dyn Transport>, cluster: ClusterId) -> Self {
        Self {
            transport,
            cluster,
            failure: None,
        }
    }

    /// How many bytes of commands fit into a frame.
    pub(super) fn payload_bytes_max(&self) -> usize {
        self.transport
            .frame_bytes_max()
            .saturating_sub(FRAME_OVERHEAD_BYTES)
    }

    /// The last frame that the transport did not take since this was last asked.
    pub(super) fn take_failure(&mut self) -> Option<(ServerId, SendError)> {
        self.failure.take()
    }

    pub(super) fn poll_event(&mut self, context: &mut Context<'_>) -> Poll<Option<Event>> {
        self.transport.poll_event(context)
    }

    /// Sends messages. Equal ones that follow one another, as in a broadcast, are encoded once.
    pub(super) fn send_messages(
        &mut self,
        messages: &mut Vec<(ServerId, Message)>,
        counters: &mut Counters,
    ) {
        let mut last: Option<(Content, Bytes)> = None;
        for (to, message) in messages.drain(..) {
            let class = delivery_class(&message);
            let content = Content::Message(message);
            let encoded = match last.take() {
                Some((said, encoded)) if said == content => encoded,
                _ => wire::encode_content(&content),
            };
            self.send_encoded(to, class, &encoded, counters);
            last = Some((content, encoded));
        }
    }

    /// Sends what is not a message of the protocol. Whether the transport took it.
    pub(super) fn send(
        &mut self,
        to: ServerId,
        content: &Content,
        counters: &mut Counters,
    ) -> bool {
        let encoded = wire::encode_content(content);
        self.send_encoded(to, DeliveryClass::Datagram, &encoded, counters)
    }

    fn send_encoded(
        &mut self,
        to: ServerId,
        class: DeliveryClass,
        encoded: &Bytes,
        counters: &mut Counters,
    ) -> bool {
        let frame = wire::frame(self.cluster, to, encoded);
        match self.transport.send(PeerId(to.0), class, frame) {
            Ok(()) => {
                counters.frames_sent += 1;
                true
            }
            Err(error) => {
                counters.frames_not_sent += 1;
                self.failure = Some((to, error));
                false
            }
        }
    }
}

/// What a snapshot holds is bulk, and all else is better lost than late: also a chunk without data, by which a leader
/// makes itself heard meanwhile.
fn delivery_class(message: &Message) -> DeliveryClass {
    match &message.body {
        Body::InstallSnapshot(chunk) if !chunk.data.is_empty() => DeliveryClass::Stream,
        Body::InstallSnapshot(_)
        | Body::RequestVote(_)
        | Body::RequestVoteReply(_)
        | Body::AppendEntries(_)
        | Body::AppendEntriesReply(_)
        | Body::InstallSnapshotReply(_)
        | Body::TimeoutNow
        | Body::ReadIndex(_)
        | Body::ReadIndexReply(_) => DeliveryClass::Datagram,
    }
}
