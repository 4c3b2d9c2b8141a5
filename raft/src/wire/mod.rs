//! The encoding of what members say to one another.
//!
//! Frames are Protocol Buffers, written down in `proto`. Three rules make them safe to read:
//!
//! - nothing is believed before it is bounded: lengths, counts and numbers are checked before anything is allocated or
//!   added up for them, so that no frame costs more than a small multiple of its length;
//! - what safety rests on must be there, absence is not zero; what is advisory may be missing, and may be unknown;
//! - what is replicated is understood or refused: an entry of an unknown kind, or a configuration of an unknown format,
//!   is [unsupported](DecodeError::is_unsupported), which says that this member is too old, not that something is damaged.
//!
//! Commands and chunks of snapshots are slices of the frame that brought them, never copies.
//!
//! ```
//! # use liferaft_raft as liferaft;
//! use liferaft::ids::{ClusterId, ServerId, Term};
//! use liferaft::message::{Body, Message};
//! use liferaft::wire::{self, Content, Head, RawFrame};
//!
//! let content = Content::Message(Message { term: Term(3), body: Body::TimeoutNow });
//!
//! // What goes to many peers is encoded once, and each is sent it behind a head of its own.
//! let encoded = wire::encode_content(&content);
//! let head = Head::of(ClusterId(7), ServerId(2), &content).encode();
//!
//! assert_eq!(RawFrame::decode_parts(head, encoded)?.decode_content()?, content);
//! # Ok::<(), wire::DecodeError>(())
//! ```

mod client;
mod configuration;
mod content;
mod description;
mod entry;
mod error;
mod field;
mod joining;
mod message;
mod proto;
mod report;
mod request;

use bytes::{BufMut, Bytes, BytesMut};

pub use content::{
    ClientAnswer, ClientAsk, ClientQuery, CommandOutcome, Content, Decline, JoinReply,
    ProposeAnswer, QueryOutcome, View,
};
pub use error::DecodeError;
pub use field::NUMBER_END;
pub use report::{LINK_TEXT_BYTES_MAX, LinkReport, PeerReport, Report};

pub use crate::message::ENTRIES_MAX;

use self::field::{ID_BYTES, id, required};
use self::proto::kind;
use crate::admission::Kind;
use crate::configuration::History;
use crate::entry::Entry;
use crate::ids::{ClusterId, Index, ServerId, Term};
use crate::message::{SnapshotMetadata, Token};

/// The longest frame, in bytes. A longer one is refused unread.
pub const FRAME_BYTES_MAX: usize = 16 << 20;

/// The most commands that are passed on to the leader at once.
pub const COMMANDS_MAX: usize = 1 << 16;

/// The most queries that a client asks at once.
pub const QUERIES_MAX: usize = 1 << 12;

/// The most members that a client is told of at once.
pub const VIEW_MEMBERS_MAX: usize = 32;

/// What travels from one member to another. The sender is the peer of the link, never a field.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Frame {
    /// The cluster that it belongs to.
    pub cluster: ClusterId,
    /// The server that it is meant for: a link may lead to one that has another id by now.
    pub to: ServerId,
    /// What it says.
    pub content: Content,
}

impl Frame {
    /// Encodes the frame in one allocation of its exact length.
    #[must_use]
    pub fn encode(&self) -> Bytes {
        let head = Head::of(self.cluster, self.to, &self.content);
        encode(Some(&head), &self.content)
    }

    /// Decodes a frame. Its commands and chunks are slices of `bytes` and keep all of it in memory.
    ///
    /// # Errors
    /// When the bytes are not a frame that this version understands: see [`DecodeError`].
    pub fn decode(bytes: Bytes) -> Result<Self, DecodeError> {
        let raw = RawFrame::decode(bytes)?;
        Ok(Self {
            cluster: raw.cluster(),
            to: raw.to(),
            content: raw.decode_content()?,
        })
    }
}

/// A frame of which only the envelope is decoded: where it goes, and what kind of content it has.
///
/// Whoever receives a frame judges the envelope first: a body that this version does not support matters only if it is
/// meant for this server, in this cluster.
#[derive(Clone, Debug)]
pub struct RawFrame {
    cluster: ClusterId,
    to: ServerId,
    history: Option<History>,
    kind: u32,
    term: Option<u64>,
    token: u64,
    body: Bytes,
}

impl RawFrame {
    /// Decodes the envelope of a frame.
    ///
    /// # Errors
    /// When the bytes are no frame, or one without an address, a kind or a body: see [`DecodeError`].
    pub fn decode(bytes: Bytes) -> Result<Self, DecodeError> {
        Self::decode_parts(Bytes::new(), bytes)
    }

    /// Decodes the envelope of a frame that comes in two parts, wherever it is cut. If it is cut behind its
    /// [`Head`], as whoever sends it does, nothing is copied.
    ///
    /// # Errors
    /// Those of [`decode`](Self::decode).
    pub fn decode_parts(head: Bytes, body: Bytes) -> Result<Self, DecodeError> {
        let bytes = head.len() + body.len();
        if bytes > FRAME_BYTES_MAX {
            let bytes_max = FRAME_BYTES_MAX;
            return Err(DecodeError::FrameTooLong { bytes, bytes_max });
        }
        let envelope: proto::Envelope = field::decode_parts(head, body, "frame")?;
        Ok(Self {
            cluster: ClusterId(id(envelope.cluster, "cluster")?),
            to: ServerId(id(envelope.to, "receiver")?),
            history: envelope.history.map(History),
            kind: required(envelope.kind, "kind of frame")?,
            term: envelope.term,
            token: envelope.token,
            body: required(envelope.body, "body")?,
        })
    }

    /// Returns the cluster that the frame belongs to.
    #[must_use]
    pub const fn cluster(&self) -> ClusterId {
        self.cluster
    }

    /// Returns the server that the frame is meant for.
    #[must_use]
    pub const fn to(&self) -> ServerId {
        self.to
    }

    /// Returns the name of the founding from which the sender's cluster comes; `None` if it names none, as a server
    /// does that takes part in no cluster.
    #[must_use]
    pub const fn history(&self) -> Option<History> {
        self.history
    }

    /// Returns what kind of content the frame has; `None` if this version does not know the kind.
    #[must_use]
    pub fn kind(&self) -> Option<Kind> {
        kind::known(self.kind)
    }

    /// Returns the term in the envelope; `None` in a request, which has none. The number is not checked until the
    /// content is decoded.
    #[must_use]
    pub fn term(&self) -> Option<Term> {
        self.term.map(Term)
    }

    /// Decodes what the frame says.
    ///
    /// # Errors
    /// When the body is not one that this version understands: see [`DecodeError`].
    pub fn decode_content(self) -> Result<Content, DecodeError> {
        let Self {
            kind,
            term,
            token,
            body,
            ..
        } = self;
        if kind < kind::PROPOSE {
            Ok(Content::Message(message::decode(kind, term, token, body)?))
        } else if kind < kind::JOIN {
            request::decode(kind, body)
        } else if kind < kind::CLIENT_REQUEST {
            joining::decode(kind, body)
        } else {
            client::decode(kind, body)
        }
    }
}

/// The part of a frame that differs from one receiver to another: it comes before the content.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Head {
    /// The cluster that the frame belongs to.
    pub cluster: ClusterId,
    /// The server that it is meant for.
    pub to: ServerId,
    /// The name of the founding of the sender's cluster, if it takes part in one.
    pub history: Option<History>,
    /// The receiver's own token, if the content is an AppendEntries.
    pub token: Token,
}

impl Head {
    /// The head of a frame with this content, which names no history.
    #[must_use]
    pub const fn of(cluster: ClusterId, to: ServerId, content: &Content) -> Self {
        let token = match content {
            Content::Message(message) => message.token(),
            _ => Token::NONE,
        };
        Self {
            cluster,
            to,
            history: None,
            token,
        }
    }

    /// Encodes it: at most [`HEAD_BYTES_MAX`] bytes, which a content makes a frame.
    #[must_use]
    pub fn encode(&self) -> Bytes {
        let mut bytes = BytesMut::with_capacity(self.encoded_len());
        self.put(&mut bytes);
        bytes.freeze()
    }

    fn encoded_len(&self) -> usize {
        let numbers = usize::from(self.history.is_some()) + usize::from(self.token != Token::NONE);
        ADDRESS_BYTES + numbers * NUMBER_BYTES
    }

    /// Writes the fields of an [`proto::Envelope`] that it holds.
    fn put(&self, buffer: &mut BytesMut) {
        const LENGTH: u8 = 16;
        buffer.put_slice(&[key(1), LENGTH]);
        buffer.put_u128(self.cluster.0);
        buffer.put_slice(&[key(2), LENGTH]);
        buffer.put_u128(self.to.0);
        if let Some(History(history)) = self.history {
            buffer.put_u8(fixed64_key(7));
            buffer.put_u64_le(history);
        }
        if self.token != Token::NONE {
            buffer.put_u8(fixed64_key(6));
            buffer.put_u64_le(self.token.0);
        }
    }
}

/// Encodes what a frame says, apart from its head: the part that is the same for all receivers, and that behind a head
/// is the same bytes as [`Frame::encode`] makes.
#[must_use]
pub fn encode_content(content: &Content) -> Bytes {
    encode(None, content)
}

/// Appends the bytes in which an entry is replicated, for a storage to keep. They do not name its index.
pub fn put_entry(entry: &Entry, buffer: &mut impl BufMut) {
    prost::Message::encode(&proto::Entry::from(entry), buffer).expect(GROWS);
}

/// Decodes what [`put_entry`] appended, as the entry at `index`. A command is a slice of `bytes`.
///
/// # Errors
/// When the bytes are no entry that this version understands: see [`DecodeError`].
pub fn decode_entry(index: Index, bytes: Bytes) -> Result<Entry, DecodeError> {
    entry::decode(index, field::decode(bytes, "entry")?)
}

/// Encodes what a snapshot is, as it is replicated, for a storage to keep.
#[must_use]
pub fn encode_snapshot_metadata(metadata: &SnapshotMetadata) -> Bytes {
    prost::Message::encode_to_vec(&proto::SnapshotMetadata::from(metadata)).into()
}

/// Decodes what [`encode_snapshot_metadata`] encoded.
///
/// # Errors
/// When the bytes are nothing that this version understands: see [`DecodeError`].
pub fn decode_snapshot_metadata(bytes: Bytes) -> Result<SnapshotMetadata, DecodeError> {
    message::snapshot_metadata(field::decode(bytes, "description of a snapshot")?)
}

/// The length of a head without a history and a token.
const ADDRESS_BYTES: usize = 2 * (2 + ID_BYTES);

/// The longest head, in bytes.
pub const HEAD_BYTES_MAX: usize = ADDRESS_BYTES + 2 * NUMBER_BYTES;

/// The length of a history or a token in a head.
const NUMBER_BYTES: usize = 1 + 8;

/// The key of a field of bytes: its number, and that a length follows.
const fn key(field: u8) -> u8 {
    field << 3 | 2
}

/// The key of a field of eight bytes.
const fn fixed64_key(field: u8) -> u8 {
    field << 3 | 1
}

fn encode(head: Option<&Head>, content: &Content) -> Bytes {
    match content {
        Content::Message(message) => message::encode(head, message),
        Content::Propose { request, commands } => seal(
            head,
            kind::PROPOSE,
            None,
            &request::propose(*request, commands),
        ),
        Content::ProposeReply { request, answer } => seal(
            head,
            kind::PROPOSE_REPLY,
            None,
            &request::propose_reply(*request, *answer),
        ),
        Content::Change {
            request,
            term,
            change,
        } => seal(
            head,
            kind::CHANGE,
            None,
            &request::change(*request, *term, change),
        ),
        Content::ChangeReply { request, result } => seal(
            head,
            kind::CHANGE_REPLY,
            None,
            &request::change_reply(*request, result),
        ),
        Content::Transfer { request, term, to } => seal(
            head,
            kind::TRANSFER,
            None,
            &request::transfer(*request, *term, *to),
        ),
        Content::TransferReply { request, result } => seal(
            head,
            kind::TRANSFER_REPLY,
            None,
            &request::transfer_reply(*request, result),
        ),
        Content::Join { description, token } => {
            seal(head, kind::JOIN, None, &joining::join(description, *token))
        }
        Content::JoinReply(reply) => {
            seal(head, kind::JOIN_REPLY, None, &joining::join_reply(reply))
        }
        Content::Foreign(why) => seal(head, kind::FOREIGN, None, &joining::foreign(*why)),
        Content::ClientRequest { request, ask } => seal(
            head,
            kind::CLIENT_REQUEST,
            None,
            &client::request(*request, ask),
        ),
        Content::ClientReply { request, answer } => seal(
            head,
            kind::CLIENT_REPLY,
            None,
            &client::reply(*request, answer),
        ),
    }
}

/// Writes an [`proto::Envelope`] around a body, in one allocation.
fn seal(head: Option<&Head>, kind: u32, term: Option<Term>, body: &impl prost::Message) -> Bytes {
    let prefix = proto::Envelope {
        kind: Some(kind),
        term: term.map(|term| term.0),
        ..proto::Envelope::default()
    };
    let body_bytes = body.encoded_len();
    let length = head.map_or(0, Head::encoded_len)
        + prost::Message::encoded_len(&prefix)
        + 1
        + prost::length_delimiter_len(body_bytes)
        + body_bytes;

    let mut buffer = BytesMut::with_capacity(length);
    if let Some(head) = head {
        head.put(&mut buffer);
    }
    put(&mut buffer, &prefix);
    buffer.put_u8(key(5));
    prost::encode_length_delimiter(body_bytes, &mut buffer).expect(GROWS);
    put(&mut buffer, body);
    debug_assert_eq!(
        buffer.len(),
        length,
        "the length of a frame is known before it is written"
    );
    buffer.freeze()
}

fn put(buffer: &mut BytesMut, message: &impl prost::Message) {
    message.encode(buffer).expect(GROWS);
}

const GROWS: &str = "a buffer that grows takes any length";
