//! Says what can become of a command in an outbox, beside its reply.

use thiserror::Error;

/// Why an outbox does not take a command. Nothing of it is kept.
#[derive(Clone, Debug, PartialEq, Eq, Error)]
#[non_exhaustive]
pub enum PushError {
    /// There is no room. It comes back as commands are done.
    #[error(
        "not done: the outbox is full: {pending} commands of {commands_max} and {bytes} bytes of {bytes_max} \
         are pending"
    )]
    Full {
        /// How many commands are pending.
        pending: usize,
        /// The most that may be.
        commands_max: usize,
        /// How many bytes they have.
        bytes: usize,
        /// The most that they may have.
        bytes_max: usize,
    },
    /// The command is too long for the member or the outbox, and always will be.
    #[error("not done: the command has {bytes} bytes, {bytes_max} are allowed")]
    TooLarge {
        /// Its length, serialised and with its header.
        bytes: usize,
        /// The longest allowed.
        bytes_max: usize,
    },
    /// The command cannot be serialised, or not read back: see [`codec`](crate::codec).
    #[error("not done: the command cannot be serialised and read back: {0}")]
    Unserialisable(String),
    /// The outbox is closed.
    #[error("not done: the outbox is closed: {0}")]
    Closed(OutboxCause),
}

impl PushError {
    /// Returns true: the outbox has nothing of the command, which will not be done.
    #[must_use]
    pub const fn is_definite(&self) -> bool {
        true
    }
}

/// What became of a command that has no reply.
#[derive(Clone, Debug, PartialEq, Eq, Error)]
#[non_exhaustive]
pub enum OutboxError {
    /// The command was not done and never will be.
    #[error("not done: {0}")]
    NotDone(OutboxCause),
    /// The command was done, once. Its reply came to this member with a snapshot, and is none of this version or of a
    /// type that does not decode: see [`codec`](crate::codec).
    #[error("done: its reply cannot be read")]
    ReplyUnreadable,
    /// Whether the command was done is not known. It is never sent again. If its session expired it will not be done
    /// later than that; if the outbox closed or the member stopped, it may be.
    #[error("unknown: {0}")]
    Unknown(OutboxCause),
    /// The outbox has closed, and its store has the command, done or not: the next outbox over this store goes on with
    /// it, and does it once in all.
    #[error("pending: the command waits in the store for the next outbox: {0}")]
    Interrupted(OutboxCause),
}

impl OutboxError {
    /// Returns true if the command was certainly not done, and never will be. Otherwise it was, it waits, or nothing is
    /// known.
    #[must_use]
    pub const fn is_definite(&self) -> bool {
        matches!(self, Self::NotDone(_))
    }
}

/// Why a command has no reply, or why an outbox is closed.
#[derive(Clone, Debug, PartialEq, Eq, Error)]
#[non_exhaustive]
pub enum OutboxCause {
    /// The session under which the command was sent has expired, or ended because its replies were too heavy: see
    /// [`ORDERED_SESSION_EXPIRY`](crate::sessions::ORDERED_SESSION_EXPIRY) and
    /// [`SESSION_REPLY_BYTES_MAX`](crate::sessions::SESSION_REPLY_BYTES_MAX).
    #[error("the session that it was sent under has expired")]
    SessionExpired,
    /// The outbox was closed, or the last of its clones dropped.
    #[error("the outbox was closed")]
    Closed,
    /// The member has stopped.
    #[error("the member has stopped")]
    MemberStopped,
    /// The store of the outbox failed, so that what it holds is not known.
    #[error("the store of the outbox failed: {0}")]
    Store(String),
}

/// Why an outbox was not opened.
#[derive(Debug, Error)]
#[non_exhaustive]
pub enum OpenOutboxError {
    /// What is stored cannot be read.
    #[error("not opened: cannot read what is stored: {0}")]
    Store(crate::storage::StorageError),
    /// The store holds a command that this version cannot decode: a later one wrote it. Nothing was changed. See
    /// [`codec`](crate::codec).
    #[error("not opened: stored command {number} cannot be decoded: {reason}")]
    Undecodable {
        /// The number of the command.
        number: u64,
        /// What is wrong with it.
        reason: crate::codec::CodecError,
    },
    /// The member has as many outboxes as it may.
    #[error("not opened: the member has {0} outboxes, no more are allowed")]
    TooMany(usize),
    /// The member has stopped.
    #[error("not opened: the member has stopped")]
    Stopped,
}

impl OpenOutboxError {
    /// Returns true: no outbox was opened. What its store holds stays there.
    #[must_use]
    pub const fn is_definite(&self) -> bool {
        true
    }
}

impl From<crate::storage::StorageError> for OpenOutboxError {
    fn from(error: crate::storage::StorageError) -> Self {
        Self::Store(error)
    }
}

/// Why not all that was pushed before a flush is settled.
#[derive(Clone, Debug, PartialEq, Eq, Error)]
#[non_exhaustive]
pub enum FlushError {
    /// Commands were given up, and the outbox waits until it is told to resume.
    #[error("unknown: the outbox has halted: some commands before the flush were given up")]
    Halted,
    /// The outbox is closed.
    #[error("unknown: the outbox is closed, each ticket tells what became of its command: {0}")]
    OutboxClosed(OutboxCause),
}

impl FlushError {
    /// Returns false: some of the commands before the flush may be done. The ticket of each tells what became of it.
    #[must_use]
    pub const fn is_definite(&self) -> bool {
        false
    }
}
