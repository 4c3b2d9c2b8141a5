//! Names what links tell their member, and what they want done.

use bytes::Bytes;
use liferaft_platform::{Address, PublicKey, Starts, TokenKey};
use thiserror::Error;

use super::stream::StreamError;
use crate::access::Role;
use crate::carrier::{Channel, DialError, OpenFailure, Packet, Path};
use crate::frame::Frame;
use crate::handshake::{Established, HandshakeError};
use crate::{DeliveryClass, ServerId};

/// A link that is up: who is at its other end.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct Link {
    /// The peer: the id of its key.
    pub peer: ServerId,
    /// The key that it proved to hold.
    pub key: PublicKey,
    /// What it is here.
    pub role: Role,
    /// What it says that we are there.
    pub role_granted: Role,
    /// The token by which it was let in, if it was: it has proven to hold the secret.
    pub token: Option<TokenKey>,
    /// Which start of its storage this is, and which were before it.
    pub starts: Starts,
    /// The protocol version that both ends speak.
    pub version: u32,
    /// A number that both ends derive for this link, and no other link has.
    pub generation: u64,
}

/// Where a link runs, as whoever looks after the cluster wants to know it.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct LinkPath {
    /// The scheme of its carrier; `relay` if a third server passes its packets on.
    pub carrier: String,
    /// The server that passes its packets on, if one does.
    pub relay: Option<ServerId>,
    /// What the carrier says of the path, if it says anything: of a connection the two addresses between which it runs.
    pub description: Option<String>,
}

impl LinkPath {
    /// Makes the path of a link over a carrier of this scheme.
    #[must_use]
    pub fn by(carrier: &str, description: Option<String>) -> Self {
        Self {
            carrier: carrier.to_owned(),
            relay: None,
            description,
        }
    }

    /// Makes the path of a link whose packets this server passes on.
    #[must_use]
    pub fn through(relay: ServerId) -> Self {
        Self {
            carrier: "relay".to_owned(),
            relay: Some(relay),
            description: None,
        }
    }
}

/// `ws`, `rtc (192.0.2.1:4000 - 192.0.2.7:4000)` or `relay through 0x1f…`.
impl std::fmt::Display for LinkPath {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(&self.carrier)?;
        if let Some(relay) = self.relay {
            write!(f, " through {relay}")?;
        }
        if let Some(description) = &self.description {
            write!(f, " ({description})")?;
        }
        Ok(())
    }
}

impl From<&Established> for Link {
    fn from(established: &Established) -> Self {
        Self {
            peer: established.peer.server_id(),
            key: established.peer,
            role: established.role,
            role_granted: established.own_role,
            token: established.token,
            starts: established.starts,
            version: established.version,
            generation: established.generation,
        }
    }
}

/// What links tell their member.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum LinkEvent {
    /// A link is up. If the peer had one, that was told to be down before, and those of its frames that were not taken
    /// by then are dropped.
    Up(Box<Link>),
    /// A link is down. Nothing of it follows.
    Down {
        /// The peer.
        peer: ServerId,
        /// The generation of the link.
        generation: u64,
        /// Why it is down.
        why: DownReason,
    },
    /// There is room again for frames to a peer, after they were refused for want of it.
    Writable {
        /// The peer.
        peer: ServerId,
    },
    /// A frame arrived.
    Frame {
        /// The peer that sent it.
        from: ServerId,
        /// The generation of its link, which is up.
        generation: u64,
        /// How it travelled.
        class: DeliveryClass,
        /// The frame.
        frame: Frame,
    },
    /// An attempt to reach a peer came to nothing. It is repeated, and this is for those who look after the cluster.
    Failed {
        /// The peer.
        peer: ServerId,
        /// The address that was dialed.
        address: Address,
        /// What went wrong.
        error: LinkError,
    },
}

/// Why a link is down.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Error)]
#[non_exhaustive]
pub enum DownReason {
    /// Nothing was received for as long as a link lives in silence.
    #[error("nothing was received for too long")]
    Silent,
    /// Another link to the same peer has taken its place: the peer was restarted, or has lost the earlier link.
    #[error("a newer link to the peer has replaced it")]
    Replaced,
    /// The peer has closed it.
    #[error("the peer has closed it: {0}")]
    ClosedByPeer(CloseReason),
    /// This end has closed it.
    #[error("closed: {0}")]
    Closed(CloseReason),
    /// The carrier has lost the path.
    #[error("its carrier has lost the path")]
    PathClosed,
    /// The peer has broken a rule.
    #[error(transparent)]
    RuleBroken(#[from] StreamError),
    /// The link has sealed as many packets as it may.
    #[error("the link has used all its packet numbers")]
    Exhausted,
}

/// Why an end closes a link: what a goodbye carries.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum CloseReason {
    /// The process stops.
    Leaving,
    /// The link is no longer wanted.
    Unwanted,
    /// The peer may not have it any more: it was expelled, or its role has changed.
    Forbidden,
    /// The other end has broken a rule.
    RuleBroken,
    /// A reason that this version does not know, by its code.
    Other(u8),
}

impl CloseReason {
    pub(super) const fn code(self) -> u8 {
        match self {
            Self::Leaving => 0,
            Self::Unwanted => 1,
            Self::Forbidden => 2,
            Self::RuleBroken => 3,
            Self::Other(code) => code,
        }
    }

    pub(super) const fn from_code(code: u8) -> Self {
        match code {
            0 => Self::Leaving,
            1 => Self::Unwanted,
            2 => Self::Forbidden,
            3 => Self::RuleBroken,
            other => Self::Other(other),
        }
    }
}

impl std::fmt::Display for CloseReason {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Leaving => f.write_str("it leaves"),
            Self::Unwanted => f.write_str("the link is not wanted"),
            Self::Forbidden => f.write_str("the link is not allowed"),
            Self::RuleBroken => f.write_str("a rule was broken"),
            Self::Other(code) => write!(f, "reason {code}"),
        }
    }
}

/// Why an attempt to reach a peer came to nothing.
#[derive(Clone, Debug, PartialEq, Eq, Error)]
#[non_exhaustive]
pub enum LinkError {
    /// No carrier dials addresses of this scheme.
    #[error("no carrier dials {0}: its scheme is none of theirs")]
    NoCarrier(Address),
    /// The carrier has no path to the address.
    #[error(transparent)]
    Dial(#[from] DialError),
    /// The path that was dialed did not open.
    #[error(transparent)]
    NotOpened(#[from] OpenFailure),
    /// The path was closed before the handshake was done.
    #[error("the path was closed before the handshake was done")]
    PathClosed,
    /// This end could not sign.
    #[error("this server could not sign the handshake")]
    NotSigned,
    /// The handshake failed.
    #[error(transparent)]
    Handshake(#[from] HandshakeError),
}

/// A path of one of several carriers.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Route {
    /// The place of the carrier in the list that links were made with.
    pub carrier: usize,
    /// The path, as the carrier names it.
    pub path: Path,
}

/// The place of the carrier of routes that lead through a third server, which is no carrier: after all others.
pub(super) const RELAY: usize = usize::MAX;

impl Route {
    /// Returns the route to a server through the peer of the link of this generation.
    pub(super) fn relayed(generation: u64, to: ServerId) -> Self {
        Self {
            carrier: RELAY,
            path: Path::new(&generation.to_be_bytes(), &to.0.to_be_bytes()),
        }
    }

    /// Returns true if the route leads through a third server.
    pub(super) fn is_relayed(&self) -> bool {
        self.carrier == RELAY
    }

    /// Returns the generation of the link that the route takes, and to whom it leads, if that is through a third
    /// server.
    pub(super) fn relay(&self) -> Option<(u64, ServerId)> {
        let (generation, to) = self.path.as_bytes().split_first_chunk()?;
        let to = to.try_into().ok().filter(|_| self.is_relayed())?;
        Some((
            u64::from_be_bytes(*generation),
            ServerId(u128::from_be_bytes(to)),
        ))
    }
}

/// What a packet holds, as links need to know it when the packet is refused.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Cargo {
    /// The generation of its link; `None` if it is of a handshake.
    pub(super) generation: Option<u64>,
    /// Where its bytes begin in the stream of the link, if it carries any of it.
    pub(super) offset: Option<u64>,
}

impl Cargo {
    pub(super) const HANDSHAKE: Self = Self {
        generation: None,
        offset: None,
    };
}

/// What links want done. Whoever runs them does it in this order, and tells what came of it.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum LinkOutput {
    /// Dial an address, and tell the answer by [`on_dialed`](super::Links::on_dialed).
    Dial {
        /// What to name in the answer.
        attempt: u64,
        /// The carrier to dial with.
        carrier: usize,
        /// The address.
        address: Address,
    },
    /// Send a packet. If the carrier refuses it, tell so by [`on_refused`](super::Links::on_refused).
    Send {
        /// Where to.
        route: Route,
        /// How it travels.
        channel: Channel,
        /// Its bytes.
        packet: Packet,
        /// What to name when it is refused.
        cargo: Cargo,
    },
    /// Close a path.
    Close(Route),
    /// Tell a carrier that a link is up along a path, by [`on_linked`](crate::carrier::Carrier::on_linked).
    Linked(Route),
    /// Give a signal to a carrier, by [`on_signal`](crate::carrier::Carrier::on_signal).
    Signal {
        /// The carrier.
        carrier: usize,
        /// The server whose carrier has sent it.
        from: ServerId,
        /// The server whose link has brought it: the same, or one that has passed it on.
        by: ServerId,
        /// The signal.
        signal: Bytes,
    },
    /// Sign bytes with the key of this end, and tell the signature by [`on_signed`](super::Links::on_signed).
    Sign {
        /// What to name in the answer.
        attempt: u64,
        /// What is signed.
        bytes: Bytes,
    },
}
