//! What an outbox tells of itself.

use std::time::Duration;

use super::error::{OutboxCause, OutboxError};

/// How an outbox is doing, in numbers: for a user interface, or to wait for a change.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct OutboxStatus {
    /// How many commands are pending: accepted and not settled.
    pub pending: usize,
    /// How many bytes these have.
    pub bytes: usize,
    /// How many of these may have been sent.
    pub sent: usize,
    /// How many of these were given up, and stay until the outbox is [resumed](super::Outbox::resume).
    pub reported: usize,
    /// The number of the last command that was accepted.
    pub accepted_through: u64,
    /// Commands up to this number are in the store, or were. Without a store it follows what is accepted.
    pub stored_through: u64,
    /// Commands up to this number are done or given up.
    pub settled_through: u64,
    /// Whether it works.
    pub state: OutboxState,
}

/// Whether an outbox works.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum OutboxState {
    /// It sends what it can.
    Running,
    /// It has given up commands, and sends nothing until it is [resumed](super::Outbox::resume).
    Halted,
    /// It has ended.
    Closed(OutboxCause),
}

/// A command that is pending.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct PendingCommand {
    /// Its number: that of its ticket.
    pub number: u64,
    /// Its length, serialised, in bytes.
    pub bytes: usize,
    /// How long it has been waiting. After a restart it counts from that.
    pub age: Duration,
    /// Whether it is in the store, so that it survives a restart. Without a store: always, and it does not.
    pub stored: bool,
    /// How far it has got.
    pub state: PendingState,
}

/// How far a pending command has got.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum PendingState {
    /// It was never sent.
    Queued,
    /// It may have been sent, and may be done.
    Sent,
    /// It was given up, and its ticket told so. It stays until the outbox is [resumed](super::Outbox::resume).
    Reported,
}

/// What happens in an outbox beside the replies to its commands.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum OutboxEvent {
    /// A command is not sent again, though it has no reply.
    GivenUp {
        /// Its number.
        number: u64,
        /// What is known of it: what its ticket is told.
        error: OutboxError,
    },
    /// Commands were given up, and nothing more is sent until the outbox is [resumed](super::Outbox::resume).
    Halted,
    /// The outbox goes on.
    Resumed,
    /// The outbox has ended.
    Closed(OutboxCause),
}
