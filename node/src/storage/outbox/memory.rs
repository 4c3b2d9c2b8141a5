//! A store for outboxes that lives as long as its process.

use std::sync::{Arc, Mutex, PoisonError};

use async_trait::async_trait;

use super::{OutboxStore, OutboxWrite, RecoveredOutbox};
use crate::storage::StorageError;

/// A store in memory. Every write is durable at once, as long as any clone of it lives.
///
/// Clones share what is stored: an outbox that is opened over a clone goes on where the last one stopped, as after a
/// restart.
///
/// ```
/// # mod liferaft { pub use {liferaft_node::*, liferaft_raft::*}; }
/// use liferaft::storage::outbox::{MemoryOutboxStore, OutboxStore};
/// # #[tokio::main(flavor = "current_thread")]
/// # async fn main() -> Result<(), liferaft::storage::StorageError> {
/// let store = MemoryOutboxStore::default();
///
/// let recovered = store.clone().recover().await?;
///
/// assert!(recovered.commands.is_empty());
/// # Ok(())
/// # }
/// ```
#[derive(Clone, Debug, Default)]
pub struct MemoryOutboxStore {
    stored: Arc<Mutex<RecoveredOutbox>>,
}

#[async_trait]
impl OutboxStore for MemoryOutboxStore {
    async fn recover(&mut self) -> Result<RecoveredOutbox, StorageError> {
        // Nothing here panics between two steps of a write, so a poisoned lock guards whole writes too.
        Ok(self
            .stored
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .clone())
    }

    async fn write(&mut self, write: OutboxWrite) -> Result<(), StorageError> {
        let mut stored = self.stored.lock().unwrap_or_else(PoisonError::into_inner);
        store(&mut stored, write)
    }
}

/// Makes a write: what it leaves is what a store recovers.
pub(in crate::storage) fn store(
    stored: &mut RecoveredOutbox,
    write: OutboxWrite,
) -> Result<(), StorageError> {
    check_order(stored, &write)?;
    stored.position = write.position.or(stored.position);
    if let Some(through) = write.remove_through {
        stored.commands.retain(|command| command.number > through);
    }
    stored.commands.extend(write.append);
    Ok(())
}

fn check_order(stored: &RecoveredOutbox, write: &OutboxWrite) -> Result<(), StorageError> {
    let last = stored.commands.last().map(|command| command.number);
    let numbers: Vec<_> = last
        .into_iter()
        .chain(write.append.iter().map(|command| command.number))
        .collect();
    let mut pairs = numbers.windows(2);
    match pairs.find(|pair| pair[0].checked_add(1) != Some(pair[1])) {
        None => Ok(()),
        Some(pair) => Err(StorageError::OutboxDamaged {
            reason: format!("command {} does not follow {}", pair[1], pair[0]),
        }),
    }
}

#[cfg(test)]
mod tests {
    use bytes::Bytes;
    use futures::executor::block_on;

    use super::*;
    use crate::storage::outbox::StoredCommand;
    use crate::storage::outbox::conformance::{self, Disk};

    impl Disk for MemoryOutboxStore {
        type Store = Self;

        async fn open(&mut self) -> Self {
            self.clone()
        }
    }

    #[test]
    fn it_keeps_the_promises_of_an_outbox_store() {
        block_on(conformance::check_all(async || {
            MemoryOutboxStore::default()
        }));
    }

    #[test]
    fn a_gap_between_commands_is_refused() {
        let append = [1, 3].map(|number| StoredCommand {
            number,
            command: Bytes::new(),
        });

        let refused = block_on(MemoryOutboxStore::default().write(OutboxWrite {
            append: append.to_vec(),
            ..OutboxWrite::default()
        }));

        assert!(matches!(refused, Err(StorageError::OutboxDamaged { .. })));
    }

    #[test]
    fn a_command_shown_for_debugging_keeps_its_content_to_itself() {
        let command = StoredCommand {
            number: 7,
            command: Bytes::from_static(b"secret"),
        };

        assert_eq!(format!("{command:?}"), "command 7 (6 bytes)");
    }
}
