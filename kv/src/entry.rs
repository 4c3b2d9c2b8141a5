//! What is told of a key: its content, and the story of it.

use core::fmt;
use core::num::NonZeroU64;

use bytes::Bytes;
use serde::{Deserialize, Serialize};

use crate::count::Count;
use crate::error::Kind;
use crate::revision::Revision;

/// A key as it is, or was, at some revision.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Entry {
    /// The key.
    pub key: Bytes,
    /// What it holds.
    pub content: Content,
    /// When it was made, and how it changed since.
    pub meta: Meta,
}

/// What a key holds, as a reader is told.
#[derive(Clone, PartialEq, Eq, Serialize, Deserialize)]
pub enum Content {
    /// Its value.
    Value(Bytes),
    /// The length of its value, by a scan that asked for keys only.
    ValueOf {
        /// In bytes.
        bytes: u64,
    },
    /// A sequence, of which only the counter is told: [`read_sequence`](crate::KvHandle::read_sequence) reads it.
    Sequence(Count),
}

/// When a key was made, and how it changed since.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Meta {
    /// The revision at which it was made. Deleted and made again it has another.
    pub created: Revision,
    /// The revision of its last change.
    pub modified: Revision,
    /// How often it was changed since it was made, that included.
    pub version: u64,
    /// The lease that it ends with, if it is ephemeral.
    pub lease: Option<LeaseId>,
}

/// The name of a lease: the index of the entry that granted it. It is never given twice.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct LeaseId(pub NonZeroU64);

impl Entry {
    /// Its value; `None` if it holds a sequence, or only keys were asked for.
    #[must_use]
    pub const fn value(&self) -> Option<&Bytes> {
        match &self.content {
            Content::Value(value) => Some(value),
            Content::ValueOf { .. } | Content::Sequence(_) => None,
        }
    }

    /// The counter of its sequence; `None` if it holds a value.
    #[must_use]
    pub const fn count(&self) -> Option<Count> {
        match self.content {
            Content::Sequence(count) => Some(count),
            Content::Value(_) | Content::ValueOf { .. } => None,
        }
    }

    /// What it takes in a reply, in bytes, at most.
    pub(crate) fn reply_bytes(&self) -> u64 {
        let value = self.value().map_or(0, Bytes::len);
        (self.key.len() + value) as u64 + ENTRY_REPLY_BYTES
    }
}

/// What an entry takes in a reply beside its key and its value: six numbers of ten bytes, and tags.
const ENTRY_REPLY_BYTES: u64 = 72;

impl Content {
    /// Whether it is a value or a sequence.
    #[must_use]
    pub const fn kind(&self) -> Kind {
        match self {
            Self::Value(_) | Self::ValueOf { .. } => Kind::Value,
            Self::Sequence(_) => Kind::Sequence,
        }
    }
}

impl fmt::Display for LeaseId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(&self.0, f)
    }
}

impl fmt::Debug for LeaseId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(&self.0, f)
    }
}

/// The length of a value, never the value.
impl fmt::Debug for Content {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Value(value) => write!(f, "{} bytes", value.len()),
            Self::ValueOf { bytes } => write!(f, "{bytes} bytes"),
            Self::Sequence(count) => write!(f, "sequence {count}"),
        }
    }
}
