//! What an application decides about an outbox.

use std::fmt;

use crate::storage::outbox::OutboxStore;

/// Settings of an outbox.
///
/// ```
/// # mod liferaft { pub use {liferaft_node::*, liferaft_raft::*}; }
/// use liferaft::driver::{OnExpiry, OutboxConfig};
/// use liferaft::storage::outbox::MemoryOutboxStore;
///
/// let config = OutboxConfig::default()
///     .commands_max(500)
///     .bytes_max(1 << 20)
///     .on_expiry(OnExpiry::Continue)
///     .store(MemoryOutboxStore::default());
/// ```
#[must_use]
pub struct OutboxConfig {
    pub(super) commands_max: usize,
    pub(super) bytes_max: usize,
    pub(super) on_expiry: OnExpiry,
    pub(super) store: Option<Box<dyn OutboxStore>>,
}

/// What becomes of the commands behind those that were given up because their session expired.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum OnExpiry {
    /// They wait until the application has looked at what was given up, and [resumes](super::Outbox::resume). Until
    /// then no command takes effect whose predecessor may not have.
    #[default]
    Stop,
    /// They go on under another session at once. Right where each command stands for itself. The order is kept: a
    /// command that was given up has taken effect before those that follow, or never does.
    Continue,
}

impl Default for OutboxConfig {
    fn default() -> Self {
        Self {
            commands_max: 1 << 14,
            bytes_max: 16 << 20,
            on_expiry: OnExpiry::default(),
            store: None,
        }
    }
}

impl OutboxConfig {
    /// The most commands that may be pending, at least 1. Default 16,384.
    pub fn commands_max(mut self, commands: usize) -> Self {
        self.commands_max = commands.clamp(1, ROOM_MAX);
        self
    }

    /// The most bytes that they may have, serialised, at least 1. Default 16 MiB. A longer command is never taken.
    pub fn bytes_max(mut self, bytes: usize) -> Self {
        self.bytes_max = bytes.clamp(1, ROOM_MAX);
        self
    }

    /// What becomes of the commands behind those that were given up. Default [`OnExpiry::Stop`].
    pub fn on_expiry(mut self, on_expiry: OnExpiry) -> Self {
        self.on_expiry = on_expiry;
        self
    }

    /// Where pending commands are kept, so that a restart neither doubles nor loses one. Default nowhere: they live as
    /// long as the outbox.
    pub fn store(mut self, store: impl OutboxStore) -> Self {
        self.store = Some(Box::new(store));
        self
    }
}

/// As much as the semaphores count to, on every platform.
const ROOM_MAX: usize = (u32::MAX >> 4) as usize;

impl fmt::Debug for OutboxConfig {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("OutboxConfig")
            .field("commands_max", &self.commands_max)
            .field("bytes_max", &self.bytes_max)
            .field("on_expiry", &self.on_expiry)
            .field("durable", &self.store.is_some())
            .finish()
    }
}
