//! Entries.

use alloc::sync::Arc;

use super::field::{required, stamp, term};
use super::{DecodeError, configuration, proto};
use crate::entry::{Entry, Payload};
use crate::ids::Index;

impl From<&Entry> for proto::Entry {
    fn from(entry: &Entry) -> Self {
        let (kind, body) = match &entry.payload {
            Payload::Noop => (Self::NOOP, None),
            Payload::Command(command) => (Self::COMMAND, Some(command.clone())),
            Payload::Configuration(of) => (Self::CONFIGURATION, Some(configuration::encode(of))),
        };
        Self {
            term: Some(entry.term.0),
            stamp: Some(entry.stamp.0),
            kind: Some(kind),
            body,
        }
    }
}

pub(super) fn decode(index: Index, entry: proto::Entry) -> Result<Entry, DecodeError> {
    let kind = required(entry.kind, "kind of entry")?;
    let payload = match kind {
        proto::Entry::NOOP if entry.body.is_none() => Payload::Noop,
        proto::Entry::NOOP => return Err(DecodeError::Contradiction { part: "no-op" }),
        proto::Entry::COMMAND => Payload::Command(required(entry.body, "command")?),
        proto::Entry::CONFIGURATION => {
            let body = required(entry.body, "configuration")?;
            Payload::Configuration(Arc::new(configuration::decode(&body)?))
        }
        kind => return Err(DecodeError::UnknownEntry { index, kind }),
    };
    let term = term(entry.term, "entry's term")?;
    Ok(Entry {
        index,
        term,
        stamp: stamp(entry.stamp)?,
        payload,
    })
}
