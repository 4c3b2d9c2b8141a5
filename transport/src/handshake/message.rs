//! Lays out the messages of a handshake on the outside, as anybody sees them.
//!
//! Every message begins with 22 bytes: four that tell it from a sealed packet, the version of the handshake, the kind
//! of the message, and the index that the initiator drew. What follows has a fixed length, or goes to the end.

use bytes::Bytes;
use thiserror::Error;

/// The version of the handshake, which changes with its messages and keys. It is not that of the protocol above.
pub const HANDSHAKE_VERSION: u8 = 2;

/// The longest message of a handshake, in bytes. It fits a datagram on any path of the Internet (RFC 9000, section 14).
pub const MESSAGE_BYTES_MAX: usize = 1200;

/// A number that no sealed packet begins with.
const MAGIC: [u8; 4] = *b"\xfeLRH";
pub(super) const INDEX_BYTES: usize = 16;
pub(super) const HEAD_BYTES: usize = MAGIC.len() + 2 + INDEX_BYTES;
pub(super) const EPHEMERAL_BYTES: usize = 32;
pub(super) const TAG_BYTES: usize = 16;

/// Names a handshake: 128 bits that its initiator drew. It is in every message.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Index(pub(super) [u8; INDEX_BYTES]);

/// For whom a message of a handshake is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Addressee {
    /// A new [`Responder`](super::Responder), or one that has this message already.
    NewResponder,
    /// The [`Responder`](super::Responder) of this index.
    Responder,
    /// The [`Initiator`](super::Initiator) of this index.
    Initiator,
}

/// What tells to which handshake a packet belongs.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Heading {
    /// The handshake.
    pub index: Index,
    /// The end of it that the message is for.
    pub addressee: Addressee,
}

impl Heading {
    /// Reads the heading of a packet; `None` if it is not a message of a handshake. Nothing of it is proven.
    #[must_use]
    pub fn read(packet: &[u8]) -> Option<Self> {
        let head = Head::read(packet)?;
        let addressee = match head.kind {
            kind::OPENING => Addressee::NewResponder,
            kind::CLAIM => Addressee::Responder,
            kind::ANSWER | kind::VERDICT | kind::HINT => Addressee::Initiator,
            _ => return None,
        };
        Some(Self {
            index: head.index,
            addressee,
        })
    }
}

/// What somebody gives as the reason of not answering, without a proof of anything.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Error)]
#[non_exhaustive]
pub enum Hint {
    /// It belongs to another cluster.
    #[error("the other end belongs to another cluster")]
    OtherCluster,
    /// It speaks other versions of the handshake.
    #[error("the other end speaks another version of the handshake")]
    UnknownVersion,
}

pub(super) mod kind {
    pub(in crate::handshake) const OPENING: u8 = 1;
    pub(in crate::handshake) const ANSWER: u8 = 2;
    pub(in crate::handshake) const CLAIM: u8 = 3;
    pub(in crate::handshake) const VERDICT: u8 = 4;
    pub(in crate::handshake) const HINT: u8 = 5;
}

/// The first bytes of every message.
#[derive(Clone, Copy)]
pub(super) struct Head {
    pub(super) version: u8,
    pub(super) kind: u8,
    pub(super) index: Index,
}

impl Head {
    pub(super) const fn new(kind: u8, index: Index) -> Self {
        Self {
            version: HANDSHAKE_VERSION,
            kind,
            index,
        }
    }

    /// Reads the head of a message that is not too long to be one.
    pub(super) fn read(packet: &[u8]) -> Option<Self> {
        if packet.len() > MESSAGE_BYTES_MAX {
            return None;
        }
        let (version, rest) = packet.strip_prefix(&MAGIC)?.split_first()?;
        let (kind, rest) = rest.split_first()?;
        let (index, _) = rest.split_first_chunk()?;
        Some(Self {
            version: *version,
            kind: *kind,
            index: Index(*index),
        })
    }

    pub(super) fn to_bytes(self) -> [u8; HEAD_BYTES] {
        let mut bytes = [0; HEAD_BYTES];
        bytes[..MAGIC.len()].copy_from_slice(&MAGIC);
        bytes[MAGIC.len()] = self.version;
        bytes[MAGIC.len() + 1] = self.kind;
        bytes[MAGIC.len() + 2..].copy_from_slice(&self.index.0);
        bytes
    }
}

/// An opening or an answer: an ephemeral key, and a tag over what comes before it.
pub(super) struct Exchange {
    pub(super) ephemeral: [u8; EPHEMERAL_BYTES],
    pub(super) tag: [u8; TAG_BYTES],
}

impl Exchange {
    /// The length of the message: both have the same, so that an answer never amplifies what a forged sender's address
    /// asked for.
    pub(super) const BYTES: usize = HEAD_BYTES + EPHEMERAL_BYTES + TAG_BYTES;

    pub(super) fn read(message: &[u8]) -> Option<Self> {
        let message: &[u8; Self::BYTES] = message.try_into().ok()?;
        let (ephemeral, rest) = message[HEAD_BYTES..].split_first_chunk()?;
        let (tag, _) = rest.split_first_chunk()?;
        Some(Self {
            ephemeral: *ephemeral,
            tag: *tag,
        })
    }

    /// Returns the part of an opening or an answer that its tag is over.
    pub(super) fn tagged(message: &[u8]) -> &[u8] {
        &message[..message.len().saturating_sub(TAG_BYTES)]
    }
}

impl Hint {
    pub(super) fn encode(self, index: Index) -> Bytes {
        let code = match self {
            Self::OtherCluster => 1,
            Self::UnknownVersion => 2,
        };
        let head = Head::new(kind::HINT, index).to_bytes();
        [head.as_slice(), &[code]].concat().into()
    }

    pub(super) fn read(message: &[u8]) -> Option<Self> {
        match message.get(HEAD_BYTES..)? {
            [1] => Some(Self::OtherCluster),
            [2] => Some(Self::UnknownVersion),
            _ => None,
        }
    }
}
