//! Runs one link that is up: frames in and out, liveness, and what is said about the stream.

use std::collections::VecDeque;
use std::time::Duration;

use bytes::Bytes;
use liferaft_platform::SortedMap;

use super::event::{Cargo, CloseReason, DownReason, Link, LinkOutput, Route};
use super::limits::{
    FRAME_COST_BYTES, LinkLimits, RELAYED_BYTES_AT_ONCE_MAX, RELAYED_BYTES_PER_SECOND_MAX,
    SIGNAL_SENDERS_MAX, SIGNALS_AT_ONCE_MAX, SIGNALS_AT_ONCE_TOTAL_MAX, SIGNALS_PER_SECOND_MAX,
    SIGNALS_PER_SECOND_TOTAL_MAX,
};
use super::packet::{
    self, Content, DATAGRAM_HEAD_BYTES, LINK_HEAD_BYTES, Message, SEGMENT_HEAD_BYTES, Transit,
};
use super::stream::{Incoming, Outgoing, Segment, StreamError};
use super::unread::Taken;
use crate::access::Role;
use crate::allowance::{Allowance, Rate};
use crate::carrier::{Channel, Head, Packet};
use crate::frame::Frame;
use crate::handshake::Established;
use crate::sealing::{Opener, SEALING_BYTES, Sealer, Secrets};
use crate::{DeliveryClass, SendError, ServerId};

/// How often an end that has not heard of its peer yet tells that it is there. The peer takes the link for up by that.
const GREETING_INTERVAL: Duration = Duration::from_millis(200);

/// How many signals of a sender are taken from a link.
const SIGNAL_RATE: Rate = Rate {
    per_second: SIGNALS_PER_SECOND_MAX,
    at_once_max: SIGNALS_AT_ONCE_MAX,
};

/// How many signals are taken that the peer of a link passes on.
const PASSED_SIGNAL_RATE: Rate = Rate {
    per_second: SIGNALS_PER_SECOND_TOTAL_MAX,
    at_once_max: SIGNALS_AT_ONCE_TOTAL_MAX,
};

/// How many bytes of packets are passed on for the peer of a link.
const RELAY_RATE: Rate = Rate {
    per_second: RELAYED_BYTES_PER_SECOND_MAX,
    at_once_max: RELAYED_BYTES_AT_ONCE_MAX,
};

/// A link whose handshake is done.
#[derive(Debug)]
pub(super) struct ActiveLink {
    pub(super) about: Link,
    pub(super) route: Route,
    /// Whether this end began the handshake.
    pub(super) is_initiator: bool,
    seal: Seal,
    limits: LinkLimits,
    /// The longest datagram frame that fits one packet, in bytes.
    datagram_bytes_max: usize,
    outgoing: Outgoing,
    incoming: Incoming,
    unread: Unread,
    life: Life,
    flow: Flow,
    signals: Signals,
    relayed: Allowance,
}

/// What packets are sealed with.
#[derive(Debug)]
enum Seal {
    /// The carrier protects them.
    Inside,
    /// By the keys of the handshake.
    Keys(Box<Keys>),
}

#[derive(Debug)]
struct Keys {
    datagram: (Sealer, Opener),
    ordered: (Sealer, Opener),
}

/// The datagram frames that wait for the member.
#[derive(Debug, Default)]
struct Unread {
    bytes: usize,
    dropped: u64,
}

/// The signals that a link may still bring. Each sender has its own: one that floods is in no other's way.
#[derive(Debug)]
struct Signals {
    senders: SortedMap<ServerId, Allowance>,
    /// Of all that the peer passes on, which may make senders up.
    passed: Allowance,
}

/// When anything passed.
#[derive(Debug)]
struct Life {
    began_at: Duration,
    /// When something came from the peer, or a little later.
    received_at: Duration,
    /// Whether something has come since: when is asked for once in a while only.
    has_received: bool,
    sent_at: Duration,
    /// Whether anything has come from the peer.
    is_heard: bool,
}

/// What holds frames up, and what is to be told of it.
#[derive(Debug, Default)]
struct Flow {
    /// The carrier takes no more for now.
    is_full: bool,
    owes_status: bool,
    /// A frame was refused, and the member is to be told when there is room.
    owes_writable: bool,
}

/// What a link has received for its member.
#[derive(Debug)]
pub(super) struct Delivered {
    pub(super) class: DeliveryClass,
    pub(super) frame: Frame,
    /// Whether it came by the stream, and so takes credit.
    pub(super) is_of_stream: bool,
}

impl Delivered {
    fn of_stream(class: DeliveryClass, frame: Bytes) -> Self {
        Self {
            class,
            frame: frame.into(),
            is_of_stream: true,
        }
    }
}

/// What a packet's content was.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Arrival {
    /// The peer has not made it, or it is of a kind that is not known here: nothing has changed.
    Nothing,
    /// It was about the link itself.
    Own,
    /// It is not for the link alone.
    Transit(Transit),
}

/// How the carrier of a link behaves.
#[derive(Clone, Copy, Debug)]
pub(super) struct Medium {
    pub(super) packet_bytes_max: usize,
    pub(super) is_inside_process: bool,
    pub(super) is_reliable: bool,
    pub(super) stream_bytes_max: usize,
}

impl ActiveLink {
    /// Takes over what a handshake has agreed. Inside a process packets are sent as they are.
    pub(super) fn new(
        established: Established,
        (route, medium): (Route, Medium),
        is_initiator: bool,
        limits: LinkLimits,
        now: Duration,
    ) -> Self {
        let about = Link::from(&established);
        let (seal, sealing_bytes) = if medium.is_inside_process {
            (Seal::Inside, 0)
        } else {
            (Seal::Keys(Box::new(established.into())), SEALING_BYTES)
        };
        let content_bytes_max = medium
            .packet_bytes_max
            .saturating_sub(LINK_HEAD_BYTES + sealing_bytes);
        let segment_bytes_max = content_bytes_max.saturating_sub(SEGMENT_HEAD_BYTES);
        Self {
            about,
            route,
            is_initiator,
            seal,
            limits,
            datagram_bytes_max: content_bytes_max.saturating_sub(DATAGRAM_HEAD_BYTES),
            outgoing: Outgoing::new(
                segment_bytes_max,
                limits.queue_bytes_max,
                medium.is_reliable,
            )
            .within(medium.stream_bytes_max),
            incoming: Incoming::new(limits),
            unread: Unread::default(),
            life: Life {
                began_at: now,
                received_at: now,
                has_received: false,
                sent_at: now,
                is_heard: false,
            },
            flow: Flow::default(),
            signals: Signals::new(now),
            relayed: Allowance::new(RELAY_RATE, now),
        }
    }

    /// Returns the length of the longest frame of a class that would be taken.
    pub(super) fn room(&self, class: DeliveryClass) -> usize {
        if class == DeliveryClass::Datagram && self.flow.is_full {
            return 0;
        }
        self.limits
            .frame_bytes_max(class)
            .min(self.outgoing.room().max(match class {
                DeliveryClass::Datagram => self.datagram_bytes_max,
                DeliveryClass::Stream => 0,
            }))
    }

    /// Sends a frame, or queues it to be sent by the stream.
    pub(super) fn send(
        &mut self,
        class: DeliveryClass,
        frame: Frame,
        now: Duration,
        outputs: &mut VecDeque<LinkOutput>,
    ) -> Result<(), SendError> {
        let (bytes, bytes_max) = (frame.len(), self.limits.frame_bytes_max(class));
        if bytes > bytes_max {
            return Err(SendError::TooLarge { bytes, bytes_max });
        }
        if bytes > self.room(class) {
            self.flow.owes_writable = true;
            return Err(SendError::QueueFull(self.about.peer));
        }
        if class == DeliveryClass::Datagram && bytes <= self.datagram_bytes_max {
            self.push(Channel::Datagram, Message::Datagram(frame), now, outputs)
                .map_err(|_exhausted| SendError::NoLink(self.about.peer))
        } else {
            let is_queued = self.outgoing.push(class, frame.into_bytes());
            assert!(is_queued, "the room was asked for");
            Ok(())
        }
    }

    /// Takes up a packet's content.
    ///
    /// # Errors
    /// When the link has ended.
    pub(super) fn on_content(
        &mut self,
        channel: Channel,
        content: Content,
        now: Duration,
        deliver: &mut impl FnMut(Delivered),
    ) -> Result<Arrival, DownReason> {
        let Some(message) = self.seal.open(channel, content).and_then(Content::read) else {
            return Ok(Arrival::Nothing);
        };
        self.life.has_received = true;
        self.life.is_heard = true;
        match message {
            Message::Datagram(frame) => self.on_datagram(frame, deliver)?,
            Message::Segment { offset, head, body } => {
                self.on_segment(offset, &head, body, deliver)?;
            }
            Message::Status(status) => {
                self.outgoing.on_status(&status, now)?;
                if status.asks {
                    self.incoming.on_asked();
                    self.flow.owes_status = true;
                }
            }
            Message::Goodbye(code) => {
                return Err(DownReason::ClosedByPeer(CloseReason::from_code(code)));
            }
            Message::Transit(transit) => return Ok(Arrival::Transit(transit)),
        }
        Ok(Arrival::Own)
    }

    /// Sends what is not for the link alone, best effort. Returns false if it was dropped: while frames wait for the
    /// carrier, nothing of others makes them wait for longer.
    pub(super) fn carry(
        &mut self,
        transit: Transit,
        now: Duration,
        outputs: &mut VecDeque<LinkOutput>,
    ) -> bool {
        let transit = Message::Transit(transit);
        !self.flow.is_full && self.push(Channel::Datagram, transit, now, outputs).is_ok()
    }

    /// Returns true if the peer has used the link, and something has come from it since it last had to send.
    pub(super) fn is_heard_lately(&self, now: Duration) -> bool {
        let silent_at = self
            .life
            .received_at
            .saturating_add(2 * self.limits.keep_alive_after);
        self.life.is_heard && (self.life.has_received || now < silent_at)
    }

    /// Returns true if no more signals have come than may, of the peer itself or of another whose it passes on.
    pub(super) fn takes_signal(&mut self, from: ServerId, now: Duration) -> bool {
        let is_passed = from != self.about.peer;
        self.signals.of(from, now).take(1, now) && (!is_passed || self.signals.passed.take(1, now))
    }

    /// Returns true if the peer may have so many more bytes passed on.
    pub(super) fn relays(&mut self, bytes: usize, now: Duration) -> bool {
        self.relayed.take(bytes, now)
    }

    /// Returns true if what the peer sends is passed on to others, and what others send to it. Clients and strangers
    /// deal with nobody but those who have let them in; and what has come through a third server goes no further.
    pub(super) fn may_pass(&self) -> bool {
        !self.route.is_relayed() && is_server(self.about.role)
    }

    /// Returns true if the peer passes on what this end sends, and is believed whose it is what it passes on: a server
    /// to which this end is no client. One that was linked as it joined is that for as long as the link is up, member
    /// or not.
    pub(super) fn passes_on(&self) -> bool {
        is_server(self.about.role_granted) && self.may_pass()
    }

    /// The member has taken a frame. Others that the stream has held back may take its place.
    pub(super) fn on_taken(&mut self, taken: Taken, mut deliver: impl FnMut(Delivered)) {
        if taken.is_of_stream {
            let mut deliver = |class, frame: Bytes| deliver(Delivered::of_stream(class, frame));
            self.flow.owes_status |= self.incoming.on_taken(taken.bytes, &mut deliver);
        } else {
            self.unread.bytes = self
                .unread
                .bytes
                .saturating_sub(taken.bytes + FRAME_COST_BYTES);
        }
    }

    /// The carrier has refused a packet, which held the bytes of the stream from `offset` on.
    pub(super) fn on_refused(&mut self, offset: Option<u64>) {
        self.flow.is_full = true;
        match offset {
            Some(offset) => self.outgoing.rewind(offset),
            // It may have been a status, without which the other end may wait.
            None => self.flow.owes_status = true,
        }
    }

    /// The carrier takes packets again.
    pub(super) fn on_writable(&mut self) {
        self.flow.is_full = false;
    }

    /// Sends what may be sent. Returns true if the member is to be told that there is room again.
    ///
    /// # Errors
    /// When the link has ended.
    pub(super) fn flush(
        &mut self,
        now: Duration,
        outputs: &mut VecDeque<LinkOutput>,
    ) -> Result<bool, DownReason> {
        if self.flow.is_full {
            return Ok(false);
        }
        while let Some(Segment { offset, head, body }) = self.outgoing.next_segment(now) {
            self.push(
                Channel::Ordered,
                Message::Segment { offset, head, body },
                now,
                outputs,
            )?;
        }
        let asks = self.outgoing.take_question();
        if asks || std::mem::take(&mut self.flow.owes_status) {
            self.push_status(asks, now, outputs)?;
        }
        let is_writable = self.flow.owes_writable && self.outgoing.is_half_empty();
        self.flow.owes_writable &= !is_writable;
        Ok(is_writable)
    }

    /// Returns true if [`flush`](Self::flush) may have something to do.
    pub(super) fn is_waiting(&self) -> bool {
        self.flow.owes_status || self.flow.owes_writable || !self.outgoing.is_empty()
    }

    /// Returns how many datagram frames were dropped, because too many waited unread.
    pub(super) fn dropped(&self) -> u64 {
        self.unread.dropped
    }

    /// Returns when the handshake was done.
    pub(super) fn up_at(&self) -> Duration {
        self.life.began_at
    }

    /// Returns when [`on_deadline`](Self::on_deadline) has something to do.
    pub(super) fn deadline(&self) -> Duration {
        let look_after = if self.life.has_received {
            self.limits.keep_alive_after
        } else {
            self.limits.dead_after
        };
        let look_at = self.life.received_at.saturating_add(look_after);
        let deadline = look_at.min(self.keep_alive_at());
        self.outgoing
            .deadline()
            .map_or(deadline, |resend_at| deadline.min(resend_at))
    }

    /// Does what is due at `now`.
    ///
    /// # Errors
    /// When the link has ended.
    pub(super) fn on_deadline(
        &mut self,
        now: Duration,
        outputs: &mut VecDeque<LinkOutput>,
    ) -> Result<(), DownReason> {
        if std::mem::take(&mut self.life.has_received) {
            self.life.received_at = now;
        }
        if self.life.received_at.saturating_add(self.limits.dead_after) <= now {
            return Err(DownReason::Silent);
        }
        self.outgoing.on_deadline(now);
        if self.keep_alive_at() <= now {
            self.push_status(false, now, outputs)?;
        }
        Ok(())
    }

    /// Tells the peer that this end is there.
    pub(super) fn greet(
        &mut self,
        now: Duration,
        outputs: &mut VecDeque<LinkOutput>,
    ) -> Result<(), DownReason> {
        self.push_status(false, now, outputs)
    }

    /// Tells the peer that the link is closed.
    pub(super) fn say_goodbye(
        &mut self,
        reason: CloseReason,
        now: Duration,
        outputs: &mut VecDeque<LinkOutput>,
    ) {
        let goodbye = Message::Goodbye(reason.code());
        let _exhausted = self.push(Channel::Datagram, goodbye, now, outputs);
    }

    fn keep_alive_at(&self) -> Duration {
        let after = if self.life.is_heard {
            self.limits.keep_alive_after
        } else {
            self.limits.keep_alive_after.min(GREETING_INTERVAL)
        };
        self.life.sent_at.saturating_add(after)
    }

    fn on_datagram(
        &mut self,
        frame: Frame,
        deliver: &mut impl FnMut(Delivered),
    ) -> Result<(), StreamError> {
        let (bytes, bytes_max) = (frame.len(), self.limits.datagram_frame_bytes_max);
        if bytes > bytes_max {
            return Err(StreamError::FrameTooLong { bytes, bytes_max });
        }
        let unread = self.unread.bytes + bytes + FRAME_COST_BYTES;
        if self.unread.bytes > 0 && unread > self.limits.unread_bytes_max {
            self.unread.dropped += 1;
            return Ok(());
        }
        self.unread.bytes = unread;
        deliver(Delivered {
            class: DeliveryClass::Datagram,
            frame,
            is_of_stream: false,
        });
        Ok(())
    }

    fn on_segment(
        &mut self,
        offset: u64,
        head: &Head,
        body: Bytes,
        deliver: &mut impl FnMut(Delivered),
    ) -> Result<(), StreamError> {
        self.flow.owes_status = true;
        let mut deliver = |class, frame: Bytes| deliver(Delivered::of_stream(class, frame));
        let head = head.as_bytes();
        if !head.is_empty() {
            self.incoming
                .on_segment(offset, Bytes::copy_from_slice(head), &mut deliver)?;
        }
        let head_bytes = u64::try_from(head.len()).expect("a head is short");
        self.incoming
            .on_segment(offset.saturating_add(head_bytes), body, &mut deliver)
    }

    fn push_status(
        &mut self,
        asks: bool,
        now: Duration,
        outputs: &mut VecDeque<LinkOutput>,
    ) -> Result<(), DownReason> {
        let mut status = self.incoming.status();
        status.asks = asks;
        self.push(Channel::Ordered, Message::Status(status), now, outputs)
    }

    fn push(
        &mut self,
        channel: Channel,
        message: Message,
        now: Duration,
        outputs: &mut VecDeque<LinkOutput>,
    ) -> Result<(), DownReason> {
        let offset = match &message {
            Message::Segment { offset, .. } => Some(*offset),
            _ => None,
        };
        let packet = self.seal.seal(channel, self.about.generation, message)?;
        self.life.sent_at = now;
        let cargo = Cargo {
            generation: Some(self.about.generation),
            offset,
        };
        outputs.push_back(LinkOutput::Send {
            route: self.route,
            channel,
            packet,
            cargo,
        });
        Ok(())
    }
}

/// Returns true for servers of the cluster, and for those that may become one.
pub(super) const fn is_server(role: Role) -> bool {
    matches!(role, Role::Member | Role::Vouched | Role::Joiner)
}

impl Signals {
    fn new(now: Duration) -> Self {
        Self {
            senders: SortedMap::new(),
            passed: Allowance::new(PASSED_SIGNAL_RATE, now),
        }
    }

    fn of(&mut self, sender: ServerId, now: Duration) -> &mut Allowance {
        if self.senders.len() >= SIGNAL_SENDERS_MAX && !self.senders.contains_key(&sender) {
            let asked_at = |(_, allowance): &(&ServerId, &Allowance)| allowance.asked_at();
            let idlest = self.senders.iter().min_by_key(asked_at);
            let idlest = idlest.map(|(sender, _)| *sender);
            idlest.map(|sender| self.senders.remove(&sender));
        }
        let fresh = || Allowance::new(SIGNAL_RATE, now);
        self.senders.entry(sender).or_insert_with(fresh)
    }
}

impl Seal {
    /// Makes a packet. In the clear this copies and allocates nothing.
    fn seal(
        &mut self,
        channel: Channel,
        generation: u64,
        message: Message,
    ) -> Result<Packet, DownReason> {
        let mut head = packet::link_head(channel, generation);
        let body = match self {
            Self::Inside => message.write(&mut head),
            Self::Keys(keys) => {
                let (sealer, _) = keys.of(channel);
                let mut inner = Head::default();
                let body = message.write(&mut inner);
                sealer
                    .seal(inner.as_bytes(), &body.into_bytes())
                    .map_err(|_exhausted| DownReason::Exhausted)?
                    .into()
            }
        };
        Ok(Packet { head, body })
    }

    /// Opens a packet's content. Returns `None` if the peer has not sealed it.
    fn open(&mut self, channel: Channel, content: Content) -> Option<Content> {
        match self {
            Self::Inside => Some(content),
            Self::Keys(keys) => {
                let (_, opener) = keys.of(channel);
                opener.open(content.into_bytes()).ok().map(Content::from)
            }
        }
    }
}

impl Keys {
    fn of(&mut self, channel: Channel) -> &mut (Sealer, Opener) {
        match channel {
            Channel::Datagram => &mut self.datagram,
            Channel::Ordered => &mut self.ordered,
        }
    }
}

impl From<Established> for Keys {
    fn from(established: Established) -> Self {
        let pair = |Secrets { outgoing, incoming }| (Sealer::new(outgoing), Opener::new(incoming));
        Self {
            datagram: pair(established.datagrams),
            ordered: pair(established.ordered),
        }
    }
}
