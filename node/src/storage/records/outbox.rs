//! Says what a write of an outbox changes, as records.

use bytes::{Buf, BufMut, Bytes};

use super::record::{Flaw, Kind, Record, contradictory, fields};
use super::{BatchRecord, fault};
use crate::ids::Index;
use crate::storage::StorageError;
use crate::storage::outbox::{OutboxPosition, OutboxWrite, StoredCommand};

/// The longest name of an outbox.
const NAME_BYTES_MAX: usize = 64;

/// Returns true if an outbox can be called so. Names are lower case, so that two of them are two files on every system.
pub(in crate::storage) fn is_name(name: &str) -> bool {
    let is_plain = |byte: u8| {
        byte.is_ascii_lowercase() || byte.is_ascii_digit() || [b'-', b'_'].contains(&byte)
    };
    !name.is_empty() && name.len() <= NAME_BYTES_MAX && name.bytes().all(is_plain)
}

/// One change of what is stored of an outbox.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(in crate::storage) enum Change {
    Position(OutboxPosition),
    /// Removes the commands up to this number.
    Remove(u64),
    Command(StoredCommand),
}

/// The length of the body of a position.
const POSITION_BYTES: usize = 40;

impl Change {
    /// Returns the changes that a write makes.
    pub(in crate::storage) fn all_of(write: &OutboxWrite) -> Vec<Self> {
        let position = write.position.map(Self::Position);
        let removal = write.remove_through.map(Self::Remove);
        let commands = write.append.iter().cloned().map(Self::Command);
        position
            .into_iter()
            .chain(removal)
            .chain(commands)
            .collect()
    }
}

impl BatchRecord for Change {
    fn put(&self, buffer: &mut Vec<u8>) {
        match self {
            Self::Position(position) => {
                let OutboxPosition {
                    nonce,
                    session,
                    first,
                    sent_through,
                } = *position;
                Record::put(buffer, Kind::Position, (sent_through, 0), |body| {
                    body.put_u128(nonce);
                    body.put_u64_le(session.is_some().into());
                    body.put_u64_le(session.unwrap_or(Index::ZERO).0);
                    body.put_u64_le(first);
                });
            }
            Self::Remove(through) => Record::put(buffer, Kind::Remove, (*through, 0), |_| {}),
            Self::Command(StoredCommand { number, command }) => {
                Record::put(buffer, Kind::Command, (*number, 0), |body| {
                    body.put_slice(command);
                });
            }
        }
    }

    fn decode(record: &Record<'_>) -> Result<Self, Flaw> {
        let is = |kind: Kind| record.kind == kind as u32;
        let mut body = record.body;
        if is(Kind::Command) {
            Ok(Self::Command(StoredCommand {
                number: record.index,
                command: Bytes::copy_from_slice(body),
            }))
        } else if is(Kind::Remove) {
            let [] = fields(body)?;
            Ok(Self::Remove(record.index))
        } else if is(Kind::Position) && body.len() == POSITION_BYTES {
            let nonce = body.get_u128();
            let (has_session, session) = (body.get_u64_le() != 0, Index(body.get_u64_le()));
            Ok(Self::Position(OutboxPosition {
                nonce,
                session: has_session.then_some(session),
                first: body.get_u64_le(),
                sent_through: record.index,
            }))
        } else {
            let (kind, bytes) = (record.kind, body.len());
            Err(contradictory(format!(
                "a batch has a record of kind {kind} with {bytes} bytes"
            )))
        }
    }

    fn name(&self) -> Option<String> {
        match self {
            Self::Command(command) => Some(format!("command {}", command.number)),
            Self::Position(_) | Self::Remove(_) => None,
        }
    }
}

/// What is wrong with what is stored of an outbox, and is called by this name.
pub(in crate::storage) fn outbox_fault(name: &str, flaw: &Flaw) -> StorageError {
    match fault("outbox", name, flaw) {
        StorageError::Damaged { reason, .. } => outbox_damaged(reason),
        other => other,
    }
}

pub(in crate::storage) fn outbox_damaged(reason: impl Into<String>) -> StorageError {
    let reason = reason.into();
    StorageError::OutboxDamaged { reason }
}
