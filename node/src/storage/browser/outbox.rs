//! Keeps the commands of an outbox in the database of its member, each as a value of its own.

use std::fmt;

use async_trait::async_trait;

use super::table::{Fault, Shelf, Step, numbered_in};
use super::task::Jobs;
use crate::storage::StorageError;
use crate::storage::outbox::memory::store;
use crate::storage::outbox::{OutboxStore, OutboxWrite, RecoveredOutbox};
use crate::storage::records::BatchRecord;
use crate::storage::records::outbox::{Change, is_name, outbox_fault};
use crate::storage::records::record::{Record, contradictory};

/// The number of the value that is the position; commands begin with 1.
const POSITION: u64 = 0;

/// The most commands that are read at a time.
const READ_COMMANDS_MAX: u32 = 256;

/// A store for an outbox in the database of a [`BrowserStorage`](super::BrowserStorage), which lives and dies with its
/// server.
///
/// A write is one transaction, which is durable when it returns. Any failure is final: every later write is refused
/// ([`StorageError::Stopped`]), and the outbox closes. It stops with its storage, so that it is opened again with it.
pub struct BrowserOutboxStore {
    jobs: Jobs,
    name: String,
    stored: RecoveredOutbox,
    /// Why nothing more is written.
    failed: Option<String>,
}

impl BrowserOutboxStore {
    /// Opens the outbox of this name.
    ///
    /// # Errors
    /// When the name is none, or another store has it open.
    pub(super) async fn open(jobs: Jobs, name: &str) -> Result<Self, StorageError> {
        let name = name.to_owned();
        if !is_name(&name) {
            return Err(StorageError::Unnameable { name });
        }
        let taken = name.clone();
        let is_free = jobs.ask(async |shared| Ok(shared.outboxes.borrow_mut().insert(taken)));
        if !is_free.await? {
            let folder = format!("the outbox {name}");
            return Err(StorageError::InUse { folder });
        }
        Ok(Self {
            jobs,
            name,
            stored: RecoveredOutbox::default(),
            failed: None,
        })
    }

    async fn make(&mut self, write: OutboxWrite) -> Result<(), StorageError> {
        let mut steps = Vec::new();
        let prefix = prefix(&self.name);
        if let Some(through) = write.remove_through.filter(|through| *through > POSITION) {
            steps.push(Step::Remove {
                shelf: Shelf::Outboxes,
                keys: numbered_in(&prefix, POSITION + 1)..=numbered_in(&prefix, through),
            });
        }
        for change in Change::all_of(&write) {
            let number = match &change {
                Change::Position(_) => POSITION,
                Change::Command(command) => command.number,
                Change::Remove(_) => continue,
            };
            let mut value = Vec::new();
            change.put(&mut value);
            steps.push(Step::Put {
                shelf: Shelf::Outboxes,
                key: numbered_in(&prefix, number),
                value,
            });
        }
        store(&mut self.stored, write)?;
        if steps.is_empty() {
            return Ok(());
        }
        let written = self.jobs.ask(async move |shared| {
            let written = shared.database.transact(&steps).await;
            written.map_err(|fault| fault.during("write to the outbox"))
        });
        written.await
    }
}

/// Names are plain, so that no prefix begins another.
fn prefix(name: &str) -> Vec<u8> {
    [name.as_bytes(), &[0]].concat()
}

#[async_trait]
impl OutboxStore for BrowserOutboxStore {
    async fn recover(&mut self) -> Result<RecoveredOutbox, StorageError> {
        let prefix = prefix(&self.name);
        let values = self.jobs.ask(async move |shared| {
            let mut all = Vec::new();
            let mut from = POSITION;
            loop {
                let keys = numbered_in(&prefix, from)..=numbered_in(&prefix, u64::MAX);
                let values = shared
                    .database
                    .list(Shelf::Outboxes, keys, READ_COMMANDS_MAX);
                let values = values
                    .await
                    .map_err(|fault: Fault| fault.during("read the outbox"))?;
                let changes = values.iter().map(|value| decode(value));
                all.extend(changes.collect::<Result<Vec<_>, _>>()?);
                match all.last() {
                    Some(Change::Command(last)) if !values.is_empty() && last.number < u64::MAX => {
                        from = last.number + 1;
                    }
                    Some(Change::Position(_)) if !values.is_empty() => from = POSITION + 1,
                    _ => return Ok(all),
                }
            }
        });
        let mut write = OutboxWrite::default();
        for change in values.await? {
            match change {
                Change::Position(position) => write.position = Some(position),
                Change::Command(command) => write.append.push(command),
                Change::Remove(_) => {}
            }
        }
        store(&mut self.stored, write)?;
        Ok(self.stored.clone())
    }

    async fn write(&mut self, write: OutboxWrite) -> Result<(), StorageError> {
        if let Some(reason) = self.failed.clone() {
            return Err(StorageError::Stopped { reason });
        }
        let made = self.make(write).await;
        made.inspect_err(|error| self.failed = Some(error.to_string()))
    }
}

fn decode(mut value: &[u8]) -> Result<Change, StorageError> {
    let record = Record::take(&mut value).and_then(|record| {
        if value.is_empty() {
            Change::decode(&record)
        } else {
            Err(contradictory("a value has more than one record"))
        }
    });
    record.map_err(|flaw| outbox_fault("a value", &flaw))
}

impl Drop for BrowserOutboxStore {
    /// The outbox can be opened again once this is done.
    fn drop(&mut self) {
        let name = std::mem::take(&mut self.name);
        self.jobs.tell(move |shared| {
            shared.outboxes.borrow_mut().remove(&name);
        });
    }
}

impl fmt::Debug for BrowserOutboxStore {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("BrowserOutboxStore")
            .field("name", &self.name)
            .finish_non_exhaustive()
    }
}
