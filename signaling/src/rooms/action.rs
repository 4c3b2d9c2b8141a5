//! Names what goes into the state of a server, and what comes out.

/// A connection, by a number that is never used again.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct ConnectionId(pub u64);

/// What a connection says of itself, as it was sent.
#[derive(Clone, Copy, Debug, Default)]
pub struct Attach<'a> {
    /// The key of the common place, or a room's number.
    pub key: Option<&'a str>,
    /// The id that it wants.
    pub id: Option<&'a str>,
    /// The secret that the id belongs to.
    pub token: Option<&'a str>,
}

/// What is to be done.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Action {
    /// Sends a text frame. [`Rooms::sent`](super::Rooms::sent) is called when it has left.
    Send {
        /// To whom.
        connection: ConnectionId,
        /// A message of the protocol.
        text: String,
    },
    /// Closes a connection. [`Rooms::end`](super::Rooms::end) is called when it has ended.
    Close {
        /// Which.
        connection: ConnectionId,
        /// Why.
        closing: Closing,
    },
}

/// Why the server closes a connection.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Closing {
    /// The peer has left.
    Left,
    /// What it asked for was refused, as it was told.
    Refused,
    /// The peer is there by another connection.
    Replaced,
    /// It sent what is no message, more often than is allowed.
    Garbage,
    /// It sent a binary frame.
    Binary,
    /// It was silent for too long.
    Silent,
    /// It did not read what it was sent.
    Slow,
    /// The server ends.
    Shutdown,
}

impl Closing {
    /// Returns the status code for the close frame (RFC 6455, 7.4).
    #[must_use]
    pub const fn code(self) -> u16 {
        match self {
            Self::Left => 1000,
            Self::Shutdown => 1001,
            Self::Binary => 1003,
            Self::Refused | Self::Replaced | Self::Garbage | Self::Silent | Self::Slow => 1008,
        }
    }

    /// Returns the reason for the close frame.
    #[must_use]
    pub const fn reason(self) -> &'static str {
        match self {
            Self::Left => "left",
            Self::Refused => "refused",
            Self::Replaced => "connected anew",
            Self::Garbage => "no messages",
            Self::Binary => "binary frame",
            Self::Silent => "silent",
            Self::Slow => "does not read",
            Self::Shutdown => "the server ends",
        }
    }

    /// Returns true if what was sent before is not waited for.
    #[must_use]
    pub const fn is_cut(self) -> bool {
        matches!(self, Self::Silent | Self::Slow)
    }
}

/// How a connection ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Ending {
    /// The peer closed it: its id is free.
    Goodbye,
    /// It broke: the id is kept for its token.
    Lost,
}

/// Why a host is refused.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum Refusal {
    /// This host asked too often, or has too many connections.
    #[error("too many requests or connections from this host")]
    TooMany,
    /// This host has as many rooms as it may.
    #[error("this host has too many rooms: one is free some minutes after everybody has left it")]
    Rooms,
    /// All hosts together have.
    #[error("the server is full")]
    Full,
    /// The number is that of a room which is there.
    #[error("the room exists")]
    Exists,
    /// The operator has stopped signaling.
    #[error("signaling is stopped")]
    Stopped,
}

/// Whether a visitor founds.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Claim {
    /// It does, and nobody else ever will in this room.
    Founder,
    /// It does not: somebody did, or the room is not of this server's making, or is forgotten.
    Refused,
}
