//! The wire format: its exact bytes, its round trip, and what it refuses.

mod arbitrary;
mod bounds;
mod golden;
mod hostile;
mod missing;
mod samples;
mod unknown;
mod zero_copy;

use bytes::Bytes;
use liferaft_raft::ids::{ClusterId, ServerId};
use liferaft_raft::message::Token;
use liferaft_raft::wire::{Content, DecodeError, Frame, Head};

const CLUSTER: ClusterId = ClusterId(0xc0);
const RECEIVER: ServerId = ServerId(0x02);

/// A frame to [`RECEIVER`] with this content.
fn frame(content: &[u8]) -> Bytes {
    let head = Head {
        cluster: CLUSTER,
        to: RECEIVER,
        history: None,
        token: Token::NONE,
    };
    [&head.encode(), content].concat().into()
}

/// Decodes what a frame to [`RECEIVER`] says, given the encoding of that.
fn decode(content: &[u8]) -> Result<Content, DecodeError> {
    Frame::decode(frame(content)).map(|frame| frame.content)
}

/// A message in Protocol Buffers, written field by field.
#[derive(Clone, Default)]
struct Fields(Vec<(u32, Vec<u8>)>);

impl Fields {
    fn number(mut self, field: u32, value: u64) -> Self {
        let mut bytes = Vec::new();
        put_varint(&mut bytes, u64::from(field) << 3);
        put_varint(&mut bytes, value);
        self.0.push((field, bytes));
        self
    }

    fn bytes(mut self, field: u32, value: &[u8]) -> Self {
        let mut bytes = Vec::new();
        put_varint(&mut bytes, u64::from(field) << 3 | 2);
        put_varint(&mut bytes, value.len() as u64);
        bytes.extend_from_slice(value);
        self.0.push((field, bytes));
        self
    }

    fn fixed32(mut self, field: u32, value: u32) -> Self {
        let mut bytes = Vec::new();
        put_varint(&mut bytes, u64::from(field) << 3 | 5);
        bytes.extend_from_slice(&value.to_le_bytes());
        self.0.push((field, bytes));
        self
    }

    fn message(self, field: u32, value: &Self) -> Self {
        self.bytes(field, &value.encode())
    }

    fn without(mut self, field: u32) -> Self {
        self.0.retain(|(other, _)| *other != field);
        self
    }

    fn encode(&self) -> Vec<u8> {
        self.0
            .iter()
            .flat_map(|(_, bytes)| bytes.iter().copied())
            .collect()
    }
}

fn put_varint(bytes: &mut Vec<u8>, mut value: u64) {
    while value >= 0x80 {
        bytes.push(value.to_le_bytes()[0] | 0x80);
        value >>= 7;
    }
    bytes.push(value.to_le_bytes()[0]);
}

/// The encoding of a message of the protocol.
fn message(kind: u64, term: u64, body: &Fields) -> Vec<u8> {
    Fields::default()
        .number(3, kind)
        .number(4, term)
        .message(5, body)
        .encode()
}

/// The encoding of a request.
fn request(kind: u64, body: &Fields) -> Vec<u8> {
    Fields::default().number(3, kind).message(5, body).encode()
}

fn bytes(text: &'static str) -> Bytes {
    Bytes::from_static(text.as_bytes())
}
