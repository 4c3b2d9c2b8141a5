//! Why bytes are not a frame.

use thiserror::Error;

use crate::ids::Index;

/// Why bytes from a peer were not understood. The frame is dropped and counted; nothing of it takes effect.
#[derive(Clone, Debug, PartialEq, Eq, Error)]
#[non_exhaustive]
pub enum DecodeError {
    /// The frame is longer than any that a member sends.
    #[error("the frame has {bytes} bytes, {bytes_max} are allowed")]
    FrameTooLong {
        /// Its length.
        bytes: usize,
        /// The longest allowed.
        bytes_max: usize,
    },
    /// The bytes are not an encoding at all.
    #[error("the {part} is not well formed")]
    Malformed {
        /// The part that could not be read.
        part: &'static str,
    },
    /// A field that must be there is not.
    #[error("the {field} is missing")]
    Missing {
        /// The field.
        field: &'static str,
    },
    /// A number is so large that no member can have counted that far.
    #[error("the {field} of {value} is out of range")]
    OutOfRange {
        /// The field.
        field: &'static str,
        /// What it says.
        value: u64,
    },
    /// A field of bytes has a length that it cannot have.
    #[error("the {field} has {bytes} bytes")]
    BadLength {
        /// The field.
        field: &'static str,
        /// Its length.
        bytes: usize,
    },
    /// A list is longer than any that a member sends.
    #[error("there are {count} {items}, {count_max} are allowed")]
    TooMany {
        /// What the list holds.
        items: &'static str,
        /// How many there are.
        count: usize,
        /// How many are allowed.
        count_max: usize,
    },
    /// The parts are well formed and contradict one another.
    #[error("the {part} contradicts itself")]
    Contradiction {
        /// The part.
        part: &'static str,
    },
    /// The frame, or an answer in it, is of a kind that this version does not know. It does no harm to go without it.
    #[error("the {part} is of the unknown kind {number}")]
    UnknownKind {
        /// The part.
        part: &'static str,
        /// The number of its kind.
        number: u32,
    },
    /// The replicated log holds an entry of a kind that this version does not know, which is
    /// [unsupported](Self::is_unsupported).
    #[error("the entry at index {index} is of the unknown kind {kind}")]
    UnknownEntry {
        /// Its index.
        index: Index,
        /// The number of its kind.
        kind: u32,
    },
    /// The replicated log, or a snapshot, holds what this version does not understand: a configuration of another
    /// format, or with parts that are not known. It is [unsupported](Self::is_unsupported).
    #[error("this version does not support the {part} of format {number}")]
    Unsupported {
        /// The part.
        part: &'static str,
        /// The number of its kind or format.
        number: u32,
    },
}

impl DecodeError {
    /// Returns true if this member is too old for its cluster: nothing is damaged. If it is its leader that says so,
    /// the member has to stop: to go on without the entry would let its state diverge.
    #[must_use]
    pub const fn is_unsupported(&self) -> bool {
        matches!(self, Self::UnknownEntry { .. } | Self::Unsupported { .. })
    }
}
