//! The session table in a snapshot.
//!
//! Equal tables have equal bytes on all members. What is read back is checked as if a stranger had written it: a
//! snapshot comes over the network.
//!
//! A reply that has no bytes, or whose bytes are none of this version, costs its caller the reply and nobody a
//! snapshot: its command stays done, under its number, and the bytes stay as they are.

use alloc::borrow::Cow;
use alloc::collections::BTreeMap;
use alloc::sync::Arc;
use alloc::vec;
use alloc::vec::Vec;

use serde::Serialize;
use serde::de::DeserializeOwned;
use thiserror::Error;

use super::session::{Kind, Owner, Place, Reply, Session, weight_of};
use super::{
    CLIENT_SESSIONS_MAX, OUTSTANDING_MAX, OWNER_SESSIONS_MAX, REPLY_BYTES_MAX, SEQUENCE_MAX,
    SESSION_REPLY_BYTES_MAX, SESSIONS_MAX, Sessions, TOKEN_SESSIONS_MAX,
};
use crate::codec;
use crate::configuration::{PublicKey, TokenKey};
use crate::ids::{Index, ServerId, Term};
use crate::state_machine::ApplyContext;
use crate::time::ClusterTime;

const VERSION: u8 = 3;

const PLAIN: u8 = 1;
const ORDERED: u8 = 2;
/// A plain one of a client without a token, whose id follows.
const OWNED: u8 = 3;
/// A plain one of a client, whose id and token follow.
const OWNED_BY_TOKEN: u8 = 4;

/// Why bytes are not those of a session table.
#[derive(Clone, Debug, PartialEq, Eq, Error)]
#[non_exhaustive]
pub enum SessionsError {
    /// They are of a version that this one does not know.
    #[error("the session table has version {0}, which this version does not know")]
    UnknownVersion(u8),
    /// They end too early.
    #[error("the session table is cut off")]
    CutOff,
    /// They claim more than there can be, or contradict themselves.
    #[error("the session table makes no sense: {0}")]
    Invalid(&'static str),
}

impl<R: Serialize> Sessions<R> {
    /// The table as bytes.
    #[must_use]
    pub fn encode(&self) -> Vec<u8> {
        encode(&self.sessions)
    }
}

/// The table of these sessions as bytes.
pub(super) fn encode<R: Serialize>(sessions: &BTreeMap<Index, Arc<Session<R>>>) -> Vec<u8> {
    let mut bytes = vec![VERSION];
    put_count(&mut bytes, sessions.len());
    for (name, session) in sessions {
        bytes.extend_from_slice(&name.0.to_be_bytes());
        bytes.extend_from_slice(&session.nonce.to_be_bytes());
        match (session.owner, session.kind) {
            (Some(Owner { id, token }), _) => {
                bytes.push(token.map_or(OWNED, |_| OWNED_BY_TOKEN));
                bytes.extend_from_slice(&id.0.to_be_bytes());
                bytes.extend(token.iter().flat_map(|token| token.0.0));
            }
            (None, Kind::Plain) => bytes.push(PLAIN),
            (None, Kind::Ordered) => bytes.push(ORDERED),
        }
        bytes.extend_from_slice(&session.last_active.0.to_be_bytes());
        bytes.extend_from_slice(&session.last_used.0.to_be_bytes());
        bytes.extend_from_slice(&session.acknowledged_through.to_be_bytes());
        let replies = session.replies();
        put_count(&mut bytes, replies.len());
        for (sequence, reply) in replies {
            put_distance(&mut bytes, sequence - session.acknowledged_through);
            put_reply(&mut bytes, reply);
        }
    }
    bytes
}

fn put_count(bytes: &mut Vec<u8>, count: usize) {
    let count =
        u32::try_from(count).expect("counts and lengths in the table are bounded below 32 bits");
    bytes.extend_from_slice(&count.to_be_bytes());
}

/// How far a command is ahead of what is acknowledged: from 1 to [`OUTSTANDING_MAX`].
fn put_distance(bytes: &mut Vec<u8>, distance: u64) {
    let distance = u16::try_from(distance).expect("the distance is bounded below 16 bits");
    bytes.extend_from_slice(&distance.to_be_bytes());
}

/// A reply behind its length. One that has no bytes is empty, as its [`weight`](super::session::weight) says.
fn put_reply<R: Serialize>(bytes: &mut Vec<u8>, reply: &Reply<R>) {
    let encoded = match reply {
        Reply::Value(value) => Cow::Owned(codec::encode(value).unwrap_or_default()),
        Reply::Unreadable(bytes) => Cow::Borrowed(&**bytes),
    };
    put_count(bytes, encoded.len());
    bytes.extend_from_slice(&encoded);
}

impl<R: DeserializeOwned> Sessions<R> {
    /// The table that these bytes describe, as of the entry at `through`.
    ///
    /// # Errors
    /// See [`SessionsError`]. No bytes make it panic or take more memory than a multiple of their length.
    pub fn decode(bytes: &[u8], through: Index) -> Result<Self, SessionsError> {
        let mut reader = Reader(bytes);
        let [version] = reader.array()?;
        if version != VERSION {
            return Err(SessionsError::UnknownVersion(version));
        }
        let count = reader.count()?;
        if count > SESSIONS_MAX + CLIENT_SESSIONS_MAX {
            return Err(SessionsError::Invalid("there are too many sessions"));
        }
        let mut table = Self::default();
        for _ in 0..count {
            let name = Index(u64::from_be_bytes(reader.array()?));
            let session = Session::decode(&mut reader, name, through)?;
            table.insert(name, session)?;
        }
        if !reader.0.is_empty() {
            return Err(SessionsError::Invalid("something follows the last session"));
        }
        if table.of_clients.len() > CLIENT_SESSIONS_MAX || table.of_members.len() > SESSIONS_MAX {
            return Err(SessionsError::Invalid("there are too many sessions"));
        }
        if table.reply_bytes > REPLY_BYTES_MAX {
            return Err(SessionsError::Invalid("its replies are too heavy"));
        }
        Ok(table)
    }

    fn insert(&mut self, name: Index, session: Session<R>) -> Result<(), SessionsError> {
        if self
            .sessions
            .last_key_value()
            .is_some_and(|(last, _)| *last >= name)
        {
            return Err(SessionsError::Invalid("its sessions are not in order"));
        }
        let owner = session.owner;
        let key = (session.owner_id(), session.nonce);
        if self.by_nonce.insert(key, name).is_some() {
            return Err(SessionsError::Invalid("two sessions share a nonce"));
        }
        self.list(name, session);
        let Some(Owner { id, token }) = owner else {
            return Ok(());
        };
        if self.of_owner(id).count() > OWNER_SESSIONS_MAX {
            return Err(SessionsError::Invalid("a client has too many sessions"));
        }
        if token.is_some() && self.of_clients.count_of(token) > TOKEN_SESSIONS_MAX {
            return Err(SessionsError::Invalid("a token has too many sessions"));
        }
        Ok(())
    }
}

impl<R: DeserializeOwned> Session<R> {
    fn decode(reader: &mut Reader<'_>, name: Index, through: Index) -> Result<Self, SessionsError> {
        let nonce = u128::from_be_bytes(reader.array()?);
        let (owner, kind) = match reader.array()? {
            [PLAIN] => (None, Kind::Plain),
            [ORDERED] => (None, Kind::Ordered),
            [kind @ (OWNED | OWNED_BY_TOKEN)] => {
                let id = ServerId(u128::from_be_bytes(reader.array()?));
                let token = match kind {
                    OWNED => None,
                    _ => Some(TokenKey(PublicKey(reader.array()?))),
                };
                (Some(Owner { id, token }), Kind::Plain)
            }
            [_] => return Err(SessionsError::Invalid("a session is of no known kind")),
        };
        let last_active = ClusterTime(u64::from_be_bytes(reader.array()?));
        let last_used = Index(u64::from_be_bytes(reader.array()?));
        if name == Index::ZERO || name > last_used || last_used > through {
            return Err(SessionsError::Invalid(
                "a session was used before it was opened or after the snapshot",
            ));
        }
        let at = ApplyContext {
            index: last_used,
            term: Term::default(),
            time: last_active,
        };
        let mut session = Self::opened(at, (owner, nonce), kind);
        let acknowledged_through = u64::from_be_bytes(reader.array()?);
        if acknowledged_through > SEQUENCE_MAX {
            return Err(SessionsError::Invalid("a session has used up its numbers"));
        }
        session.acknowledge(acknowledged_through);
        let count = reader.count()?;
        if count as u64 > OUTSTANDING_MAX {
            return Err(SessionsError::Invalid("a session has too many replies"));
        }
        for kept in 0..count {
            let sequence = acknowledged_through + u64::from(u16::from_be_bytes(reader.array()?));
            if session.place(sequence) != Place::Open(kept) {
                return Err(SessionsError::Invalid("a reply is out of its place"));
            }
            let (reply, bytes) = reader.reply()?;
            session.keep(kept, sequence, reply, weight_of(bytes));
        }
        if session.reply_bytes() > SESSION_REPLY_BYTES_MAX {
            return Err(SessionsError::Invalid(
                "the replies of a session are too heavy",
            ));
        }
        Ok(session)
    }
}

/// What is left to read.
struct Reader<'a>(&'a [u8]);

impl Reader<'_> {
    fn array<const N: usize>(&mut self) -> Result<[u8; N], SessionsError> {
        let (array, rest) = self.0.split_first_chunk().ok_or(SessionsError::CutOff)?;
        self.0 = rest;
        Ok(*array)
    }

    fn count(&mut self) -> Result<usize, SessionsError> {
        let count = u32::from_be_bytes(self.array()?);
        usize::try_from(count).map_err(|_| SessionsError::Invalid("a count exceeds memory"))
    }

    /// The next reply, with its length.
    fn reply<R: DeserializeOwned>(&mut self) -> Result<(Reply<R>, usize), SessionsError> {
        let length = self.count()?;
        let (reply, rest) = self
            .0
            .split_at_checked(length)
            .ok_or(SessionsError::CutOff)?;
        self.0 = rest;
        let reply =
            codec::decode(reply).map_or_else(|_| Reply::Unreadable(reply.into()), Reply::Value);
        Ok((reply, length))
    }
}
