//! One command of a caller, from the room for its header to its reply.

use bytes::Bytes;

use super::Caller;
use crate::driver::attempt::Attempt;
use crate::ids::ServerId;
use crate::sessions::{CommandHeader, HEADER_BYTES, OWNED_HEADER_BYTES};
use crate::time::Instant;

/// A command that waits for its reply.
#[derive(Debug)]
pub(super) struct Slot<R> {
    pub(super) command: Command,
    pub(super) deadline: Instant,
    /// `None` once the command is answered or given up.
    pub(super) caller: Option<Caller<R>>,
    pub(super) attempt: Attempt,
    /// How many copies were forwarded.
    pub(super) copies: u32,
}

/// Its bytes.
#[derive(Debug)]
pub(super) enum Command {
    /// With room for a header that is not known yet.
    Unnumbered(Vec<u8>),
    /// As it is sent.
    Numbered(Bytes),
}

impl Command {
    /// How many they are.
    pub(super) fn len(&self) -> usize {
        match self {
            Self::Unnumbered(bytes) => bytes.len(),
            Self::Numbered(bytes) => bytes.len(),
        }
    }

    /// The command as it is sent, the same bytes each time.
    pub(super) fn numbered(&mut self, owner: Option<ServerId>, header: &CommandHeader) -> Bytes {
        if let Self::Unnumbered(bytes) = self {
            let mut bytes = std::mem::take(bytes);
            match owner {
                None => header.write_to(&mut bytes[..HEADER_BYTES]),
                Some(owner) => header.write_owned_to(owner, &mut bytes[..OWNED_HEADER_BYTES]),
            }
            *self = Self::Numbered(Bytes::from(bytes));
        }
        match self {
            Self::Numbered(bytes) => bytes.clone(),
            Self::Unnumbered(_) => unreachable!("it was just numbered"),
        }
    }
}
