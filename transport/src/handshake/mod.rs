//! Proves to each end of a link who is at the other, before either believes a byte.
//!
//! It is SIGMA (Krawczyk, "SIGMA: the 'SIGn-and-MAc' approach to authenticated Diffie-Hellman", 2003) in four messages,
//! in the variant R, of which the initiator shows itself first: X25519, HKDF and HMAC with SHA-256, ChaCha20-Poly1305,
//! Ed25519. `docs/decisions/0005-handshake.md` has the messages, the key schedule and the reasons.
//!
//! | message | from | holds |
//! |---|---|---|
//! | opening | initiator | an ephemeral key, and a tag that only those who know the cluster's id can make |
//! | answer | responder | the same |
//! | claim | initiator | sealed: its key, starts, versions, vouchers, claimed role, perhaps a token; its signature |
//! | verdict | responder | sealed: the same of the responder, and what it grants; or a refusal |
//!
//! [`Initiator`] and [`Responder`] are values without a clock, a socket or a key: messages and signatures go in,
//! [`Output`]s come out. The identity key is never here, as browsers sign asynchronously with keys that nobody can
//! export. Any bytes may be given to them: what is no message of this handshake changes nothing, and a message that
//! arrives twice is answered by the same bytes again, so that a carrier may lose, double and reorder.

mod initiator;
mod message;
mod responder;
mod schedule;
mod statement;

use std::sync::Arc;

use bytes::Bytes;
use liferaft_platform::{ClusterId, PublicKey, Starts, TokenKey, Versions};
use thiserror::Error;

pub use self::initiator::{Initiator, Intent};
pub use self::message::{Addressee, HANDSHAKE_VERSION, Heading, Hint, Index, MESSAGE_BYTES_MAX};
pub use self::responder::Responder;
#[doc(hidden)]
pub use self::statement::recode;
use crate::access::{Refusal, Role};
use crate::sealing::Secrets;
use crate::voucher::Voucher;

/// The length of the entropy that each end of a handshake takes, in bytes.
pub const ENTROPY_BYTES: usize = 32;

/// What this end of a link is in one handshake.
#[derive(Clone, Debug)]
pub struct Local {
    /// The cluster. Who does not know its id gets no further than the first message.
    pub cluster: ClusterId,
    /// The identity key's public half.
    pub key: PublicKey,
    /// The protocol versions that are spoken here.
    pub versions: Versions,
    /// Which start of the storage this is, and which were before it.
    pub starts: Starts,
    /// Who vouches for this key, nearest first. Of a chain that is longer than
    /// [`VOUCHERS_MAX`](crate::voucher::VOUCHERS_MAX), or does not hold together, the first part is shown.
    pub vouchers: Arc<[Voucher]>,
    /// What the link runs over.
    pub protection: Protection,
}

/// The length of a fingerprint, in bytes.
pub const FINGERPRINT_BYTES: usize = 32;

/// How a link's carrier is protected. Both ends must see it alike, or the handshake fails.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Protection {
    /// Not at all, or not in a way that can be checked from here: packets are sealed.
    Sealed,
    /// By DTLS between certificates with these SHA-256 fingerprints: who is between both ends shows each of them
    /// another certificate.
    Bound {
        /// Of this end's certificate.
        own: [u8; FINGERPRINT_BYTES],
        /// Of the peer's certificate, as this end has it.
        peer: [u8; FINGERPRINT_BYTES],
    },
    /// It never leaves the process.
    Inside,
}

/// What is to be done next.
#[derive(Debug)]
pub enum Output {
    /// Nothing: a message or a signature is awaited, or the handshake is over.
    Wait,
    /// Send these bytes to the peer.
    Send(Bytes),
    /// Have the identity key sign these bytes, and give the signature to `on_signed`.
    Sign(Bytes),
    /// The link is up.
    Done {
        /// What to send to the peer first: it is not up there without it.
        last: Option<Bytes>,
        /// What both ends agreed on.
        established: Box<Established>,
    },
    /// There is no link.
    Failed {
        /// What to send to the peer, which may know why.
        last: Option<Bytes>,
        /// Why.
        error: HandshakeError,
    },
}

/// What a handshake has established.
#[derive(Clone, Debug)]
pub struct Established {
    /// The peer's key, which it has proven to hold.
    pub peer: PublicKey,
    /// What this end takes the peer for.
    pub role: Role,
    /// What the peer takes this end for. An initiator knows it from the verdict; a responder is taken for a member.
    pub own_role: Role,
    /// Which start of its storage the peer shows, and which before it.
    pub starts: Starts,
    /// The protocol versions that the peer speaks.
    pub versions: Versions,
    /// The highest version that both speak.
    pub version: u32,
    /// The token by which the peer was let in, if it was: its use is to be recorded.
    pub token: Option<TokenKey>,
    /// Names this link among all of the two peers: both ends derive the same number, and no other link is likely to
    /// have it.
    pub generation: u64,
    /// What packets of the datagram channel are sealed with.
    pub datagrams: Secrets,
    /// What packets of the ordered channel are sealed with.
    pub ordered: Secrets,
}

/// Why there is no link.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Error)]
#[non_exhaustive]
pub enum HandshakeError {
    /// The opening was made by somebody who does not know the id of this cluster.
    #[error("the peer belongs to another cluster")]
    OtherCluster,
    /// The opening is of another version of the handshake.
    #[error(
        "the peer speaks version {version} of the handshake, and this server {HANDSHAKE_VERSION}: update the older one"
    )]
    UnknownVersion {
        /// The peer's.
        version: u8,
    },
    /// What the peer sealed is not what the handshake says.
    #[error("the peer sent a malformed {part}")]
    Malformed {
        /// What is wrong.
        part: &'static str,
    },
    /// The peer has not proven to hold the key, or the token, that it shows.
    #[error("the peer has not proven to hold the {key} that it shows")]
    NotProven {
        /// Which of them: a key or a token.
        key: &'static str,
    },
    /// Both ends have the same key: a message came back, or there are two of this server.
    #[error(
        "the other end has the key of this server: it is the server itself, or uses a copy of its storage"
    )]
    Ourselves,
    /// Another server answers than was looked for.
    #[error("server {} answers there, which was not looked for", peer.server_id())]
    Unexpected {
        /// Its key.
        peer: PublicKey,
    },
    /// The peer chose another version than the highest common one.
    #[error("the peer chose version {version}, which is not the highest that both speak")]
    Downgraded {
        /// What it chose.
        version: u32,
    },
    /// This end gives the peer no link.
    #[error("server {} is refused: {refusal}", peer.server_id())]
    Refused {
        /// The peer's key, which it has proven to hold.
        peer: PublicKey,
        /// Why. What the peer is told of it is a matter of [`Refusal::is_told`].
        refusal: Refusal,
    },
    /// The peer gives this end no link.
    #[error("refused: {refusal}")]
    Rejected {
        /// Why, as far as this end may know it.
        refusal: Refusal,
        /// The key of the server that has proven to refuse. `None` if nobody has: anybody who knows the cluster's id
        /// may have made this up.
        by: Option<PublicKey>,
    },
    /// The handshake took too long.
    #[error("no answer to the handshake{}", hint.map(|hint| format!("; perhaps {hint}")).unwrap_or_default())]
    TimedOut {
        /// What somebody, who has proven nothing, gave as the reason.
        hint: Option<Hint>,
    },
}

#[cfg(test)]
mod tests;
