//! Writes and reads frames as other versions of this program would, between a member and its real links.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::task::{Context, Poll};

use bytes::Bytes;
use liferaft::transport::access::Authorizer;
use liferaft::transport::carrier::Reach;
use liferaft::transport::links::{CloseReason, Credentials, Link, Wanted};
use liferaft::transport::{DeliveryClass, Event, Frame, SendError};
use liferaft::{Endpoint, ServerId, Transport};

/// Which version a member speaks.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Version {
    /// The one after this: each frame has fields that this version does not know, and commands that contain [`MARK`]
    /// are replicated as entries of the kind [`LATER_ENTRY`].
    Next,
    /// The one before this: the newest advisory fields are missing.
    Last,
}

/// What makes a command one that only the next version knows.
pub(crate) const MARK: &[u8] = b"of the next version";

/// The kind of entry that only the next version knows.
pub(crate) const LATER_ENTRY: u64 = 9;

/// A member's end, in the words of another version.
pub(crate) struct Dialect {
    end: Endpoint,
    version: Version,
    translated: Arc<AtomicU64>,
}

impl Dialect {
    /// Returns the end, and how many frames it has written otherwise than this version.
    pub(crate) fn new(end: Endpoint, version: Version) -> (Self, Arc<AtomicU64>) {
        let translated = Arc::default();
        let dialect = Self {
            end,
            version,
            translated: Arc::clone(&translated),
        };
        (dialect, translated)
    }
}

impl Transport for Dialect {
    fn local(&self) -> ServerId {
        Transport::local(&self.end)
    }

    fn frame_bytes_max(&self) -> usize {
        self.end.frame_bytes_max()
    }

    fn send(&mut self, to: ServerId, class: DeliveryClass, frame: Frame) -> Result<(), SendError> {
        let plain = frame.into_bytes();
        let written = self.version.write(&plain);
        if written != plain {
            self.translated.fetch_add(1, Ordering::Relaxed);
        }
        Transport::send(&mut self.end, to, class, written.into())
    }

    fn poll_event(&mut self, context: &mut Context<'_>) -> Poll<Option<Event>> {
        let version = self.version;
        self.end.poll_event(context).map(|event| match event? {
            Event::Frame { from, class, frame } => {
                let frame = version.read(&frame.into_bytes()).into();
                Some(Event::Frame { from, class, frame })
            }
            other => Some(other),
        })
    }

    fn introduce(&mut self, shown: Credentials, authorizer: Arc<dyn Authorizer + Send + Sync>) {
        Transport::introduce(&mut self.end, shown, authorizer);
    }

    fn authenticates(&self) -> bool {
        self.end.authenticates()
    }

    fn reach(&self) -> Reach {
        self.end.reach()
    }

    fn want(&mut self, peers: &[Wanted]) {
        Transport::want(&mut self.end, peers);
    }

    fn link(&self, peer: ServerId) -> Option<&Link> {
        Transport::link(&self.end, peer)
    }

    fn close(&mut self, peer: ServerId, reason: CloseReason) {
        Transport::close(&mut self.end, peer, reason);
    }
}

// The numbers of fields and kinds, as the protocol has them.
const ENVELOPE_KIND: u64 = 3;
const ENVELOPE_BODY: u64 = 5;
const ENVELOPE_TOKEN: u64 = 6;
const APPEND_ENTRIES: u64 = 3;
const APPEND_ENTRIES_ENTRIES: u64 = 6;
const APPEND_ENTRIES_CONFIRMED: u64 = 7;
const APPEND_ENTRIES_REPLY: u64 = 4;
const APPEND_ENTRIES_REPLY_PROMISE: u64 = 7;
const APPEND_ENTRIES_REPLY_TOKEN: u64 = 8;
const ENTRY_KIND: u64 = 3;
const ENTRY_BODY: u64 = 4;
const COMMAND_ENTRY: u64 = 2;

impl Version {
    fn write(self, frame: &[u8]) -> Bytes {
        let mut envelope = Message::read(frame);
        let kind = envelope.number(ENVELOPE_KIND);
        match self {
            Self::Next => {
                envelope.change(ENVELOPE_BODY, |body| {
                    if kind == Some(APPEND_ENTRIES) {
                        body.change(APPEND_ENTRIES_ENTRIES, |entry| {
                            if entry.contains(ENTRY_BODY, MARK) {
                                entry.set(ENTRY_KIND, LATER_ENTRY);
                            }
                        });
                    }
                    body.0.push(Field::number(100, 1));
                    body.0.push(Field::bytes(101, b"later"));
                });
                envelope.0.push(Field::number(102, 7));
            }
            Self::Last => {
                envelope.0.retain(|field| field.number != ENVELOPE_TOKEN);
                let missing: &[u64] = match kind {
                    Some(APPEND_ENTRIES) => &[APPEND_ENTRIES_CONFIRMED],
                    Some(APPEND_ENTRIES_REPLY) => {
                        &[APPEND_ENTRIES_REPLY_PROMISE, APPEND_ENTRIES_REPLY_TOKEN]
                    }
                    _ => &[],
                };
                envelope.change(ENVELOPE_BODY, |body| {
                    body.0.retain(|field| !missing.contains(&field.number));
                });
            }
        }
        envelope.encode().into()
    }

    /// What the next version knows, this one is told in its own words.
    fn read(self, frame: &[u8]) -> Bytes {
        let mut envelope = Message::read(frame);
        if self == Self::Next && envelope.number(ENVELOPE_KIND) == Some(APPEND_ENTRIES) {
            envelope.change(ENVELOPE_BODY, |body| {
                body.change(APPEND_ENTRIES_ENTRIES, |entry| {
                    if entry.number(ENTRY_KIND) == Some(LATER_ENTRY) {
                        entry.set(ENTRY_KIND, COMMAND_ENTRY);
                    }
                });
            });
        }
        envelope.encode().into()
    }
}

/// A message of Protocol Buffers, as its fields in order.
#[derive(Debug)]
struct Message(Vec<Field>);

#[derive(Debug)]
struct Field {
    number: u64,
    value: Value,
}

#[derive(Debug)]
enum Value {
    Varint(u64),
    Fixed64([u8; 8]),
    Bytes(Vec<u8>),
    Fixed32([u8; 4]),
}

impl Message {
    fn read(mut bytes: &[u8]) -> Self {
        let mut fields = Vec::new();
        while !bytes.is_empty() {
            let key = varint(&mut bytes);
            let value = match key & 7 {
                0 => Value::Varint(varint(&mut bytes)),
                1 => Value::Fixed64(take(&mut bytes)),
                2 => {
                    let length = varint(&mut bytes);
                    let (value, rest) = bytes.split_at(length.try_into().expect("it is short"));
                    bytes = rest;
                    Value::Bytes(value.to_vec())
                }
                5 => Value::Fixed32(take(&mut bytes)),
                wire => panic!("a field of the wire type {wire}"),
            };
            fields.push(Field {
                number: key >> 3,
                value,
            });
        }
        Self(fields)
    }

    fn encode(&self) -> Vec<u8> {
        let mut bytes = Vec::new();
        for Field { number, value } in &self.0 {
            let mut key = |wire| put_varint(number << 3 | wire, &mut bytes);
            match value {
                Value::Varint(value) => {
                    key(0);
                    put_varint(*value, &mut bytes);
                }
                Value::Fixed64(value) => {
                    key(1);
                    bytes.extend(value);
                }
                Value::Bytes(value) => {
                    key(2);
                    put_varint(value.len() as u64, &mut bytes);
                    bytes.extend(value);
                }
                Value::Fixed32(value) => {
                    key(5);
                    bytes.extend(value);
                }
            }
        }
        bytes
    }

    fn number(&self, number: u64) -> Option<u64> {
        self.0.iter().find_map(|field| match field.value {
            Value::Varint(value) if field.number == number => Some(value),
            _ => None,
        })
    }

    fn contains(&self, number: u64, part: &[u8]) -> bool {
        self.0.iter().any(|field| match &field.value {
            Value::Bytes(value) if field.number == number => {
                value.windows(part.len()).any(|window| window == part)
            }
            _ => false,
        })
    }

    fn set(&mut self, number: u64, to: u64) {
        for field in self.0.iter_mut().filter(|field| field.number == number) {
            field.value = Value::Varint(to);
        }
    }

    /// Changes the messages that are in these fields.
    fn change(&mut self, number: u64, mut change: impl FnMut(&mut Self)) {
        for field in self.0.iter_mut().filter(|field| field.number == number) {
            if let Value::Bytes(bytes) = &mut field.value {
                let mut inner = Self::read(bytes);
                change(&mut inner);
                *bytes = inner.encode();
            }
        }
    }
}

impl Field {
    const fn number(number: u64, value: u64) -> Self {
        Self {
            number,
            value: Value::Varint(value),
        }
    }

    fn bytes(number: u64, value: &[u8]) -> Self {
        Self {
            number,
            value: Value::Bytes(value.to_vec()),
        }
    }
}

fn take<const N: usize>(bytes: &mut &[u8]) -> [u8; N] {
    let (taken, rest) = bytes.split_first_chunk().expect("the field is whole");
    *bytes = rest;
    *taken
}

fn varint(bytes: &mut &[u8]) -> u64 {
    let mut value = 0;
    for shift in (0..64).step_by(7) {
        let [byte] = take(bytes);
        value |= u64::from(byte & 0x7f) << shift;
        if byte < 0x80 {
            return value;
        }
    }
    panic!("a number of more than 64 bits");
}

fn put_varint(mut value: u64, bytes: &mut Vec<u8>) {
    while value >= 0x80 {
        bytes.push(value.to_le_bytes()[0] | 0x80);
        value >>= 7;
    }
    bytes.push(value.to_le_bytes()[0]);
}
