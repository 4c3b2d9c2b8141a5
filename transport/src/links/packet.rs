//! Lays out the packets of links, and reads what others have laid out.
//!
//! The first byte of a link's packet says on which of its two channels it travels. The link's generation follows, then
//! a content, sealed where the carrier does not protect it. Numbers are big-endian. Every other packet is a message of
//! a handshake, as [`handshake`](crate::handshake) lays it out.
//!
//! The channel is in the packet, since carriers may have one channel for both; what is sealed on one does not open on
//! the other.

use bytes::{Buf, Bytes};

use crate::carrier::{Channel, Head, PACKET_BYTES_MIN, Packet, SIGNAL_BYTES_MAX};
use crate::frame::Frame;
use crate::sealing::SEALING_BYTES;
use crate::{DeliveryClass, ServerId};

/// What a packet is.
const LINK_DATAGRAM: u8 = 1;
const LINK_ORDERED: u8 = 2;

/// What the content of a link's packet is.
const DATAGRAM: u8 = 1;
const SEGMENT: u8 = 2;
const STATUS: u8 = 3;
const GOODBYE: u8 = 4;
const SIGNAL: u8 = 5;
const FORWARD: u8 = 6;
const FORWARDED: u8 = 7;
const UNREACHABLE: u8 = 8;

/// The bytes before a link's content: what it is, and the generation.
pub(super) const LINK_HEAD_BYTES: usize = 1 + 8;

/// The bytes before a datagram frame: what it is.
pub(super) const DATAGRAM_HEAD_BYTES: usize = 1;

/// The bytes before a segment: what it is, and its offset.
pub(super) const SEGMENT_HEAD_BYTES: usize = 1 + 8;

/// The bytes of a status after what it is.
const STATUS_BYTES: usize = 8 + 4 + 4 + 2 + 1;

/// The bytes before what is passed on by a third server: what it is, and the server.
pub(super) const FORWARD_HEAD_BYTES: usize = 1 + 16;

/// The longest packet that a third server passes on, in bytes: it fits a packet of any carrier.
pub(super) const RELAYED_PACKET_BYTES_MAX: usize =
    PACKET_BYTES_MIN - LINK_HEAD_BYTES - SEALING_BYTES - FORWARD_HEAD_BYTES;

/// The longest scheme of a carrier whose signals are carried, in bytes.
const SCHEME_BYTES_MAX: usize = 64;

// A signal fits a packet of any carrier, also where a third server passes it on.
const _: () = assert!(2 + SCHEME_BYTES_MAX + SIGNAL_BYTES_MAX <= RELAYED_PACKET_BYTES_MAX);

/// The bytes before each frame on a stream: its class and its length.
pub(super) const FRAME_HEAD_BYTES: usize = 1 + 4;

/// A packet before it is known to be anybody's.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Incoming {
    /// Perhaps a message of a handshake.
    Handshake(Bytes),
    /// Perhaps a packet of the link of this generation.
    Link {
        channel: Channel,
        generation: u64,
        content: Content,
    },
}

/// What comes after a link's generation: in the clear, or sealed.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Content {
    head: Head,
    head_read: usize,
    body: Frame,
}

/// A content that was read.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Message {
    /// A frame that is a packet of its own.
    Datagram(Frame),
    /// Bytes of the stream, which continue from `head` to `body`.
    Segment {
        offset: u64,
        head: Head,
        body: Bytes,
    },
    /// How far the stream in the other direction has come. It also keeps the link alive.
    Status(Status),
    /// The peer has closed the link, for the reason of this code.
    Goodbye(u8),
    /// Something that is not between the two ends of the link alone.
    Transit(Transit),
}

/// What a link carries for carriers, or for other servers.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Transit {
    /// A signal of a carrier of the peer for one here.
    Signal(CarrierSignal),
    /// The receiver is to pass this on to another server.
    Forward { to: ServerId, passed: Passed },
    /// The peer passes this on, and says whose it is.
    Forwarded { from: ServerId, passed: Passed },
    /// The peer does not pass anything on to this server.
    Unreachable(ServerId),
}

/// What a third server passes on from one server to another.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Passed {
    /// A signal of a carrier.
    Signal(CarrierSignal),
    /// A packet of links, as it would travel along a path between the two.
    Packet(Bytes),
}

/// What a carrier tells another: the length of their scheme in one byte, the scheme, and the signal.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct CarrierSignal(Bytes);

impl CarrierSignal {
    /// Returns `None` if the scheme or the signal is too long to be carried.
    pub(super) fn new(scheme: &str, signal: &[u8]) -> Option<Self> {
        let is_short = scheme.len() <= SCHEME_BYTES_MAX && signal.len() <= SIGNAL_BYTES_MAX;
        let length = u8::try_from(scheme.len()).ok().filter(|_| is_short)?;
        Some(Self([&[length], scheme.as_bytes(), signal].concat().into()))
    }

    /// Returns the scheme of the carriers and the signal; `None` if they are not laid out as they are to be.
    pub(super) fn parts(&self) -> Option<(&str, Bytes)> {
        let (length, rest) = self.0.split_first()?;
        let (scheme, signal) = rest.split_at_checked((*length).into())?;
        if scheme.len() > SCHEME_BYTES_MAX || signal.len() > SIGNAL_BYTES_MAX {
            return None;
        }
        Some((str::from_utf8(scheme).ok()?, self.0.slice_ref(signal)))
    }
}

/// What the receiver of a stream tells its sender.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Default)]
pub(super) struct Status {
    /// All bytes of the stream before this offset have arrived.
    pub(super) acknowledged: u64,
    /// Where the first bytes after a gap begin, if any have arrived; else `acknowledged`.
    pub(super) gap_end: u64,
    /// The number of segments that arrived after the gap and are kept.
    pub(super) early: u16,
    /// The sender may send bytes before this offset.
    pub(super) credit: u64,
    /// Whether the one who tells this wants to be told the same, because it may send no more.
    pub(super) asks: bool,
}

/// Returns the beginning of a link's packet.
pub(super) fn link_head(channel: Channel, generation: u64) -> Head {
    let mut head = Head::default();
    head.push(&[match channel {
        Channel::Datagram => LINK_DATAGRAM,
        Channel::Ordered => LINK_ORDERED,
    }]);
    head.push(&generation.to_be_bytes());
    head
}

/// Returns the beginning of each frame on a stream.
pub(super) fn frame_head(class: DeliveryClass, length: u32) -> [u8; FRAME_HEAD_BYTES] {
    let [a, b, c, d] = length.to_be_bytes();
    let class = match class {
        DeliveryClass::Datagram => 0,
        DeliveryClass::Stream => 1,
    };
    [class, a, b, c, d]
}

/// Reads the beginning of a frame on a stream. Returns `None` if there is no such class.
pub(super) fn read_frame_head(head: [u8; FRAME_HEAD_BYTES]) -> Option<(DeliveryClass, u32)> {
    let [class, a, b, c, d] = head;
    let class = match class {
        0 => DeliveryClass::Datagram,
        1 => DeliveryClass::Stream,
        _ => return None,
    };
    Some((class, u32::from_be_bytes([a, b, c, d])))
}

impl Message {
    /// Appends the message to what a packet begins with. Returns what comes after it.
    ///
    /// The heads of the longest message fit: a link's 9 bytes, and 18 of what is passed on, of the 31 there are.
    pub(super) fn write(self, head: &mut Head) -> Frame {
        match self {
            Self::Datagram(frame) => {
                head.push(&[DATAGRAM]);
                frame
            }
            Self::Segment {
                offset,
                head: first,
                body,
            } => {
                head.push(&[SEGMENT]);
                head.push(&offset.to_be_bytes());
                head.push(first.as_bytes());
                body.into()
            }
            Self::Status(status) => {
                head.push(&[STATUS]);
                head.push(&status.encoded());
                Frame::default()
            }
            Self::Goodbye(code) => {
                head.push(&[GOODBYE, code]);
                Frame::default()
            }
            Self::Transit(transit) => transit.write(head),
        }
    }
}

impl Transit {
    fn write(self, head: &mut Head) -> Frame {
        match self {
            Self::Signal(CarrierSignal(signal)) => {
                head.push(&[SIGNAL]);
                signal.into()
            }
            Self::Forward { to, passed } => {
                head.push(&[FORWARD]);
                head.push(&to.0.to_be_bytes());
                passed.write(head)
            }
            Self::Forwarded { from, passed } => {
                head.push(&[FORWARDED]);
                head.push(&from.0.to_be_bytes());
                passed.write(head)
            }
            Self::Unreachable(server) => {
                head.push(&[UNREACHABLE]);
                head.push(&server.0.to_be_bytes());
                Frame::default()
            }
        }
    }
}

impl Passed {
    /// A signal begins as it does on a link. No packet of links begins so.
    fn write(self, head: &mut Head) -> Frame {
        match self {
            Self::Signal(CarrierSignal(signal)) => {
                head.push(&[SIGNAL]);
                signal.into()
            }
            Self::Packet(packet) => packet.into(),
        }
    }

    fn read(content: Content) -> Self {
        let mut bytes = content.into_bytes();
        if bytes.first() == Some(&SIGNAL) {
            bytes.advance(1);
            Self::Signal(CarrierSignal(bytes))
        } else {
            Self::Packet(bytes)
        }
    }
}

impl Status {
    /// The offsets after the first as distances from it, which a credit bounds.
    fn encoded(&self) -> [u8; STATUS_BYTES] {
        let distance = |offset: u64| {
            let distance = offset.saturating_sub(self.acknowledged);
            u32::try_from(distance).unwrap_or(u32::MAX).to_be_bytes()
        };
        let mut bytes = [0; STATUS_BYTES];
        bytes[..8].copy_from_slice(&self.acknowledged.to_be_bytes());
        bytes[8..12].copy_from_slice(&distance(self.gap_end));
        bytes[12..16].copy_from_slice(&distance(self.credit));
        bytes[16..18].copy_from_slice(&self.early.to_be_bytes());
        bytes[18] = u8::from(self.asks);
        bytes
    }

    fn read(content: &mut Content) -> Option<Self> {
        let acknowledged = u64::from_be_bytes(content.take()?);
        let [gap_end, credit] = [content.take()?, content.take()?]
            .map(|distance| acknowledged.checked_add(u32::from_be_bytes(distance).into()));
        let early = u16::from_be_bytes(content.take()?);
        let asks = match content.take()? {
            [0] => false,
            [1] => true,
            _ => return None,
        };
        Some(Self {
            acknowledged,
            gap_end: gap_end?,
            early,
            credit: credit?,
            asks,
        })
    }
}

/// Returns true if a packet is on a link's datagram channel, if it is a link's at all.
pub(super) fn is_datagram(packet: &Packet) -> bool {
    let Frame { head, body } = &packet.body;
    let first = packet.head.as_bytes().first().or(head.first());
    first.or(body.first()) == Some(&LINK_DATAGRAM)
}

/// Reads the part of a packet that is never sealed. Returns `None` if it is no packet of ours.
pub(super) fn read(packet: Packet) -> Option<Incoming> {
    let mut content = Content::from(packet);
    let channel = match content.first()? {
        LINK_DATAGRAM => Channel::Datagram,
        LINK_ORDERED => Channel::Ordered,
        _ => return Some(Incoming::Handshake(content.into_bytes())),
    };
    let [_, generation @ ..] = content.take::<LINK_HEAD_BYTES>()?;
    let generation = u64::from_be_bytes(generation);
    Some(Incoming::Link {
        channel,
        generation,
        content,
    })
}

impl Content {
    /// Reads a content in the clear. Returns `None` if it is none of ours.
    pub(super) fn read(mut self) -> Option<Message> {
        match self.take()? {
            [DATAGRAM] => Some(Message::Datagram(self.into_frame())),
            [SEGMENT] => {
                let offset = u64::from_be_bytes(self.take()?);
                let mut head = Head::default();
                head.push(&self.head.as_bytes()[self.head_read..]);
                Some(Message::Segment {
                    offset,
                    head,
                    body: self.body.into_bytes(),
                })
            }
            [STATUS] => {
                let status = Status::read(&mut self)?;
                self.is_empty().then_some(Message::Status(status))
            }
            [GOODBYE] => {
                let [code] = self.take()?;
                self.is_empty().then_some(Message::Goodbye(code))
            }
            [SIGNAL] => {
                let signal = CarrierSignal(self.into_bytes());
                Some(Message::Transit(Transit::Signal(signal)))
            }
            [FORWARD] => {
                let to = self.take_server()?;
                let passed = Passed::read(self);
                Some(Message::Transit(Transit::Forward { to, passed }))
            }
            [FORWARDED] => {
                let from = self.take_server()?;
                let passed = Passed::read(self);
                Some(Message::Transit(Transit::Forwarded { from, passed }))
            }
            [UNREACHABLE] => {
                let server = self.take_server()?;
                let unreachable = Transit::Unreachable(server);
                self.is_empty().then_some(Message::Transit(unreachable))
            }
            _ => None,
        }
    }

    /// Returns all that is left as one, without a copy if all of it is in one part.
    pub(super) fn into_bytes(self) -> Bytes {
        self.into_frame().into_bytes()
    }

    /// Returns all that is left, in the parts of its frame if nothing else is.
    fn into_frame(self) -> Frame {
        let rest = &self.head.as_bytes()[self.head_read..];
        if rest.is_empty() {
            return self.body;
        }
        [rest, &self.body.head, &self.body.body].concat().into()
    }

    fn first(&self) -> Option<u8> {
        let rest = &self.head.as_bytes()[self.head_read..];
        rest.first().or(self.body.body.first()).copied()
    }

    /// Takes the next bytes: of the head, or of the body once the head is read.
    fn take<const BYTES: usize>(&mut self) -> Option<[u8; BYTES]> {
        let rest = &self.head.as_bytes()[self.head_read..];
        if let Some(taken) = rest.first_chunk() {
            self.head_read += BYTES;
            return Some(*taken);
        }
        if !rest.is_empty() {
            return None;
        }
        let taken = *self.body.body.first_chunk()?;
        self.body.body.advance(BYTES);
        Some(taken)
    }

    fn take_server(&mut self) -> Option<ServerId> {
        self.take().map(u128::from_be_bytes).map(ServerId)
    }

    fn is_empty(&self) -> bool {
        self.head_read == self.head.as_bytes().len() && self.body.is_empty()
    }
}

impl From<Packet> for Content {
    /// A packet without a head was carried as bytes, which are read from its one part.
    fn from(Packet { head, body }: Packet) -> Self {
        let body = if head.as_bytes().is_empty() {
            body.into_bytes().into()
        } else {
            body
        };
        Self {
            head,
            head_read: 0,
            body,
        }
    }
}

impl From<Bytes> for Content {
    fn from(body: Bytes) -> Self {
        Packet::from(body).into()
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn linked(message: Message) -> Packet {
        let mut head = link_head(Channel::Ordered, 7);
        let body = message.write(&mut head);
        Packet { head, body }
    }

    /// Reads a packet as a carrier in memory hands it over, and as any other does.
    fn both_ways(packet: &Packet) -> [Option<Incoming>; 2] {
        [packet.clone(), packet.clone().into_bytes().into()].map(read)
    }

    fn messages(packet: &Packet) -> [Option<Message>; 2] {
        both_ways(packet).map(|incoming| match incoming {
            Some(Incoming::Link {
                channel: Channel::Ordered,
                generation: 7,
                content,
            }) => content.read(),
            _ => None,
        })
    }

    #[test]
    fn a_message_of_a_handshake_is_left_as_it_is() {
        let message = Bytes::from_static(b"\xfeLRH and so on");

        let read = read(message.clone().into());

        assert_eq!(read, Some(Incoming::Handshake(message)));
    }

    #[test]
    fn a_segment_keeps_all_its_bytes_in_order() {
        let mut head = Head::default();
        head.push(&frame_head(DeliveryClass::Stream, 4));
        let body = Bytes::from_static(b"body");
        let packet = linked(Message::Segment {
            offset: 300,
            head,
            body,
        });

        for message in messages(&packet) {
            let Some(Message::Segment {
                offset: 300,
                head,
                body,
            }) = message
            else {
                panic!("{message:?} is not what was written");
            };
            let whole = Packet {
                head,
                body: body.into(),
            }
            .into_bytes();
            assert_eq!(whole, &b"\x01\0\0\0\x04body"[..]);
        }
    }

    #[test]
    fn a_status_a_goodbye_and_a_datagram_are_read_as_written() {
        let status = Status {
            acknowledged: 1,
            gap_end: 2,
            early: 3,
            credit: 4,
            asks: true,
        };
        let written = [
            Message::Status(status),
            Message::Goodbye(5),
            Message::Datagram("frame".into()),
            Message::Datagram(Frame::default()),
        ];

        for message in written {
            let read = messages(&linked(message.clone()));
            assert_eq!(read, [Some(message.clone()), Some(message)]);
        }
    }

    #[test]
    fn what_is_carried_for_others_is_read_as_written() {
        let signal = CarrierSignal::new("rtc", b"offer").expect("it is short");
        let server = ServerId(u128::MAX - 1);
        let packet = Passed::Packet(Bytes::from_static(b"\xfeLRH and so on"));
        let written = [
            Transit::Signal(signal.clone()),
            Transit::Forward {
                to: server,
                passed: Passed::Signal(signal.clone()),
            },
            Transit::Forwarded {
                from: server,
                passed: packet,
            },
            Transit::Unreachable(server),
        ];

        for transit in written {
            let message = Message::Transit(transit);
            let read = messages(&linked(message.clone()));
            assert_eq!(read, [Some(message.clone()), Some(message)]);
        }
        assert_eq!(signal.parts(), Some(("rtc", Bytes::from_static(b"offer"))));
    }

    #[test]
    fn a_signal_that_is_not_laid_out_as_it_must_be_has_no_parts() {
        for bytes in [
            &b""[..],
            b"\x04rtc",
            b"\x01\xff",
            &[0; 2 + SIGNAL_BYTES_MAX],
        ] {
            let signal = CarrierSignal(Bytes::copy_from_slice(bytes));

            assert_eq!(signal.parts(), None);
        }
        assert_eq!(CarrierSignal::new("rtc", &[0; SIGNAL_BYTES_MAX + 1]), None);
    }

    #[test]
    fn a_datagram_body_is_handed_over_without_a_copy() {
        let frame = Bytes::from(vec![7; 1_000]);
        let packet = linked(Message::Datagram(Frame::new("head".into(), frame.clone())));

        let [Some(Message::Datagram(read)), _] = messages(&packet) else {
            panic!("it is a datagram");
        };

        assert_eq!(read.body.as_ptr(), frame.as_ptr());
    }

    proptest! {
        #[test]
        fn bytes_of_strangers_never_panic(bytes in proptest::collection::vec(any::<u8>(), 0..80)) {
            let bytes = Bytes::from(bytes);
            let _outer = read(bytes.clone().into());
            let inner = Content::from(bytes).read();
            if let Some(Message::Transit(Transit::Signal(signal))) = inner {
                let _parts = signal.parts();
            }
        }
    }
}
