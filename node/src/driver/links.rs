//! Sends what leaves for other members: contents are encoded once, however many they go to.

use std::collections::VecDeque;
use std::task::{Context, Poll};

use bytes::Bytes;
use liferaft_platform::SortedSet;
use liferaft_transport::links::{CloseReason, Link, LinkPath};
use liferaft_transport::{DeliveryClass, Event, Frame, SendError, Transport};

use super::peers::Introduction;
use super::status::Counters;
use crate::configuration::{Foreign, History};
use crate::ids::{ClusterId, ServerId};
use crate::message::{Body, Message};
use crate::wire::{self, Content, Head};

/// A frame is at most this much longer than what its entries, or its configuration and data, weigh, or than the
/// commands in it: its heads, and the least data of a chunk.
pub(super) const FRAME_OVERHEAD_BYTES: usize = 1024;

/// Among so many contents, the last of those that leave together, one to be sent is looked for.
const CONTENTS_REMEMBERED_MAX: usize = 16;

/// This member's end of its links.
pub(super) struct Links {
    transport: Box<dyn Transport>,
    cluster: ClusterId,
    /// The name of the founding of the cluster, once this server takes part in it.
    history: Option<History>,
    /// The last frame that the transport did not take: to whom, and why.
    failure: Option<(ServerId, SendError)>,
    /// To whom frames could not be sent for want of a link.
    unlinked: SortedSet<ServerId>,
    /// Messages that carry entries or a part of a snapshot, which full links did not take.
    unsent: Vec<(ServerId, Message)>,
}

impl Links {
    pub(super) fn new(transport: Box<dyn Transport>, cluster: ClusterId) -> Self {
        Self {
            transport,
            cluster,
            history: None,
            failure: None,
            unlinked: SortedSet::new(),
            unsent: Vec::new(),
        }
    }

    /// Tells the transport what this server shows, who judges peers, and to whom links are wanted.
    pub(super) fn introduce(&mut self, introduction: Introduction) {
        let Introduction {
            credentials,
            authorizer,
            wanted,
            forbidden,
        } = introduction;
        self.transport.introduce(credentials, authorizer);
        self.transport.want(&wanted);
        for peer in forbidden {
            self.close(peer);
        }
    }

    /// Whether the transport proves who is at the other end of a link.
    pub(super) fn authenticates(&self) -> bool {
        self.transport.authenticates()
    }

    /// The link to a peer, where the transport proves who it is.
    pub(super) fn link(&self, peer: ServerId) -> Option<&Link> {
        self.transport.link(peer)
    }

    /// Where the link to a peer runs now, if that is known.
    pub(super) fn path(&self, peer: ServerId) -> Option<LinkPath> {
        self.transport.link_path(peer)
    }

    /// Closes the link to a peer that may not have it.
    pub(super) fn close(&mut self, peer: ServerId) {
        self.transport.close(peer, CloseReason::Forbidden);
    }

    /// To whom frames could not be sent for want of a link, since this was last asked.
    pub(super) fn take_unlinked(&mut self) -> SortedSet<ServerId> {
        std::mem::take(&mut self.unlinked)
    }

    /// From here on this server speaks as one of this history.
    pub(super) const fn speak_of(&mut self, history: Option<History>) {
        self.history = history;
    }

    /// The history that this server belongs to.
    pub(super) const fn history(&self) -> Option<History> {
        self.history
    }

    /// The longest frame that the transport carries and others understand.
    fn frame_bytes_max(&self) -> usize {
        self.transport.frame_bytes_max().min(wire::FRAME_BYTES_MAX)
    }

    /// The longest frame that this transport carries and all others of a cluster with entries of so many bytes.
    pub(super) fn common_frame_bytes_max(&self, entry_bytes: u64) -> usize {
        let bytes = entry_bytes.saturating_add(FRAME_OVERHEAD_BYTES as u64);
        let bytes = usize::try_from(bytes).unwrap_or(usize::MAX);
        bytes.min(self.frame_bytes_max())
    }

    /// Checks that an entry of so many bytes fits into a frame.
    ///
    /// # Errors
    /// The longest frame and what such an entry may take, if that is longer.
    pub(super) fn check_room(&self, entry_bytes: u64) -> Result<(), (usize, u64)> {
        let frame_bytes_max = self.frame_bytes_max();
        let bytes = entry_bytes.saturating_add(FRAME_OVERHEAD_BYTES as u64);
        if bytes > frame_bytes_max as u64 {
            return Err((frame_bytes_max, bytes));
        }
        Ok(())
    }

    /// The most bytes that a frame has for what it carries.
    pub(super) fn room_in_frames(&self) -> usize {
        self.frame_bytes_max().saturating_sub(FRAME_OVERHEAD_BYTES)
    }

    /// How many bytes a frame of this content takes.
    pub(super) fn frame_bytes(&self, content: &Content) -> usize {
        let head = self.head(ServerId(0), content);
        head.encode().len() + wire::encode_content(content).len()
    }

    /// The last frame that the transport did not take since this was last asked.
    pub(super) fn take_failure(&mut self) -> Option<(ServerId, SendError)> {
        self.failure.take()
    }

    pub(super) fn poll_event(&mut self, context: &mut Context<'_>) -> Poll<Option<Event>> {
        self.transport.poll_event(context)
    }

    /// Sends messages. The content of a broadcast is encoded once: only the heads of its frames differ.
    pub(super) fn send_messages(
        &mut self,
        messages: &mut Vec<(ServerId, Message)>,
        counters: &mut Counters,
    ) {
        let mut said: VecDeque<(Content, Bytes)> = VecDeque::new();
        for (to, mut message) in messages.drain(..) {
            let class = delivery_class(&message);
            let (cluster, history) = (self.cluster, self.history);
            let token = message.take_token();
            let content = Content::Message(message);
            let known = said.iter().rposition(|(known, _)| *known == content);
            let place = known.unwrap_or_else(|| {
                let encoded = encode(&content, counters);
                if said.len() >= CONTENTS_REMEMBERED_MAX {
                    said.pop_front();
                }
                said.push_back((content, encoded));
                said.len() - 1
            });
            let (content, encoded) = &said[place];
            let head = Head {
                cluster,
                to,
                history,
                token,
            };
            let sent = self.send_encoded(&head, class, encoded, counters);
            let Content::Message(message) = content else {
                continue;
            };
            if sent {
                counters.messages_sent.add(message);
            } else if let Some((_, SendError::QueueFull(_))) = &self.failure
                && is_bulk(message)
            {
                self.unsent.push((to, message.clone()));
            }
        }
    }

    /// Takes the messages with entries, or a part of a snapshot, that full links did not take since this was last
    /// asked.
    pub(super) fn take_unsent(&mut self) -> Vec<(ServerId, Message)> {
        std::mem::take(&mut self.unsent)
    }

    /// Sends what is not a message of the protocol. Whether the transport took it.
    pub(super) fn send(
        &mut self,
        to: ServerId,
        content: &Content,
        counters: &mut Counters,
    ) -> bool {
        let head = self.head(to, content);
        let encoded = encode(content, counters);
        self.send_encoded(&head, DeliveryClass::Datagram, &encoded, counters)
    }

    /// Tells a server of another cluster, or of another history, that this one is not of its own: as if this were one
    /// of that cluster, so that it is heard.
    pub(super) fn send_foreign(
        &mut self,
        to: ServerId,
        cluster: ClusterId,
        why: Foreign,
        counters: &mut Counters,
    ) {
        let content = Content::Foreign(why);
        let head = Head::of(cluster, to, &content);
        let encoded = encode(&content, counters);
        self.send_encoded(&head, DeliveryClass::Datagram, &encoded, counters);
    }

    fn head(&self, to: ServerId, content: &Content) -> Head {
        Head {
            history: self.history,
            ..Head::of(self.cluster, to, content)
        }
    }

    fn send_encoded(
        &mut self,
        head: &Head,
        class: DeliveryClass,
        encoded: &Bytes,
        counters: &mut Counters,
    ) -> bool {
        let frame = Frame::new(head.encode(), encoded.clone());
        match self.transport.send(head.to, class, frame) {
            Ok(()) => {
                counters.frames_sent += 1;
                true
            }
            Err(error) => {
                counters.frames_not_sent += 1;
                if let SendError::NoLink(to) = error {
                    self.unlinked.insert(to);
                }
                self.failure = Some((head.to, error));
                false
            }
        }
    }
}

fn encode(content: &Content, counters: &mut Counters) -> Bytes {
    counters.contents_encoded += 1;
    wire::encode_content(content)
}

/// Whether a message carries what takes room: entries, or a part of a snapshot.
fn is_bulk(message: &Message) -> bool {
    match &message.body {
        Body::AppendEntries(append) => !append.entries.is_empty(),
        Body::InstallSnapshot(chunk) => !chunk.data.is_empty(),
        Body::RequestVote(_)
        | Body::RequestVoteReply(_)
        | Body::AppendEntriesReply(_)
        | Body::InstallSnapshotReply(_)
        | Body::TimeoutNow
        | Body::ReadIndex(_)
        | Body::ReadIndexReply(_) => false,
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

#[cfg(test)]
mod tests {
    use std::sync::{Arc, Mutex};

    use liferaft_transport::ServerId;

    use super::*;
    use crate::entry::{Entry, Payload};
    use crate::ids::{Index, LogPosition, Round, Term};
    use crate::message::{AppendEntries, ReplyWanted, Token};
    use crate::time::ClusterTime;

    /// Keeps the frames that it is given.
    struct Kept(Arc<Mutex<Vec<Frame>>>);

    impl Transport for Kept {
        fn local(&self) -> ServerId {
            ServerId(1)
        }

        fn frame_bytes_max(&self) -> usize {
            1 << 20
        }

        fn send(&mut self, _: ServerId, _: DeliveryClass, frame: Frame) -> Result<(), SendError> {
            self.0.lock().expect("nobody panics").push(frame);
            Ok(())
        }

        fn poll_event(&mut self, _: &mut Context<'_>) -> Poll<Option<Event>> {
            Poll::Pending
        }
    }

    /// An entry after `prev`, as it is sent to the peer whose last answer had this token.
    fn append(prev: u64, token: u64) -> Message {
        let entry = Entry {
            index: Index(prev + 1),
            term: Term(3),
            stamp: ClusterTime(0),
            payload: Payload::Command(Bytes::from_static(&[7; 1000])),
        };
        Message {
            term: Term(3),
            body: Body::AppendEntries(AppendEntries {
                round: Round(5),
                prev: LogPosition::new(Term(3), Index(prev)),
                commit: Index(prev),
                reply: ReplyWanted::WhenDurable,
                confirmed: Round(4),
                token: Token(token),
                entries: vec![entry].into(),
            }),
        }
    }

    /// Sends these, each to a peer of its own, and returns how many contents were encoded for it and what arrives.
    fn sent(messages: Vec<Message>) -> (u64, Vec<Content>) {
        let frames = Arc::new(Mutex::new(Vec::new()));
        let mut links = Links::new(Box::new(Kept(Arc::clone(&frames))), ClusterId(9));
        let mut counters = Counters::default();
        let mut addressed = (2..).map(ServerId).zip(messages).collect();
        links.send_messages(&mut addressed, &mut counters);
        let frames = frames.lock().expect("nobody panics");
        let decoded = frames
            .iter()
            .cloned()
            .map(|frame| wire::Frame::decode(frame.into_bytes()));
        let contents = decoded.map(|frame| frame.expect("it was just encoded").content);
        (counters.contents_encoded, contents.collect())
    }

    #[test]
    fn a_broadcast_is_encoded_once_and_each_peer_gets_its_own_token() {
        let messages: Vec<Message> = (0..100).map(|peer| append(7, 1 + peer)).collect();

        let (encoded, arrived) = sent(messages.clone());

        assert_eq!(encoded, 1);
        let meant: Vec<Content> = messages.into_iter().map(Content::Message).collect();
        assert_eq!(arrived, meant);
    }

    /// Takes nothing.
    struct Full;

    impl Transport for Full {
        fn local(&self) -> ServerId {
            ServerId(1)
        }

        fn frame_bytes_max(&self) -> usize {
            1 << 20
        }

        fn send(&mut self, to: ServerId, _: DeliveryClass, _: Frame) -> Result<(), SendError> {
            Err(SendError::QueueFull(to))
        }

        fn poll_event(&mut self, _: &mut Context<'_>) -> Poll<Option<Event>> {
            Poll::Pending
        }
    }

    #[test]
    fn what_a_full_link_does_not_take_comes_back_if_it_holds_entries() {
        let mut links = Links::new(Box::new(Full), ClusterId(9));
        let heartbeat = match append(7, 0).body {
            Body::AppendEntries(append) => Body::AppendEntries(AppendEntries {
                entries: Arc::default(),
                ..append
            }),
            other => other,
        };
        let heartbeat = Message {
            term: Term(3),
            body: heartbeat,
        };
        let mut messages = vec![(ServerId(2), append(7, 0)), (ServerId(3), heartbeat)];

        links.send_messages(&mut messages, &mut Counters::default());

        assert_eq!(links.take_unsent(), [(ServerId(2), append(7, 0))]);
        assert_eq!(links.take_unsent(), []);
    }

    #[test]
    fn a_peer_that_lags_costs_one_encoding_more() {
        let (encoded, arrived) = sent(vec![append(7, 1), append(4, 2), append(7, 3)]);

        assert_eq!((encoded, arrived.len()), (2, 3));
    }
}
