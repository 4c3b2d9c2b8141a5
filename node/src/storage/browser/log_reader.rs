//! Reads entries of the log again, drain by drain, while others are written behind them.

use std::rc::Rc;

use async_trait::async_trait;

use super::drain;
use super::table::{Shelf, numbered};
use super::task::{Jobs, Shared};
use crate::consensus::select;
use crate::entry::Entry;
use crate::ids::Index;
use crate::storage::records::change::Change;
use crate::storage::records::{damaged, fault};
use crate::storage::{LogReader, StorageError};

/// No more bytes of drains are read at a time than this and one drain.
const READ_BYTES_MAX: u64 = 4 << 20;

/// See [`LogReader::read`].
async fn read(
    shared: Rc<Shared>,
    from: Index,
    through: Index,
    bytes_max: u64,
) -> Result<Vec<Entry>, StorageError> {
    let find = |index| shared.drains.borrow().find(index);
    let mut entries: Vec<Entry> = Vec::new();
    let mut weight = 0;
    let mut next = from;
    while next <= through && (weight < bytes_max || entries.is_empty()) {
        let wanted = bytes_max.saturating_sub(weight).min(READ_BYTES_MAX);
        let Some(drains) = shared.drains.borrow().stretch(next, through, wanted) else {
            break;
        };
        let (first, last) = drains.into_inner();
        let count = u32::try_from(last - first + 1).unwrap_or(u32::MAX);
        let keys = numbered(first)..=numbered(last);
        let values = shared.database.list(Shelf::Log, keys, count).await;
        let values = values.map_err(|fault| fault.during("read the log"))?;
        let before = next;
        for (number, value) in (first..).zip(&values) {
            let found = decode(number, value);
            if found.is_err() && find(next).is_none() {
                return Ok(select(&entries, from, through, bytes_max));
            }
            for entry in found? {
                // A later drain may have put another one in its place.
                let is_there = || find(next) == Some(number);
                if entry.index == next && is_there() {
                    weight += entry.weight();
                    next = next.next();
                    entries.push(entry);
                }
            }
        }
        if next == before {
            // Since it was looked up it may have been compacted.
            if find(next).is_some() {
                let reason = format!("entry {next} is not in drain {first}");
                return Err(damaged("log", reason));
            }
            break;
        }
    }
    Ok(select(&entries, from, through, bytes_max))
}

/// Returns the entries that a drain leaves in the log.
fn decode(number: u64, value: &[u8]) -> Result<Vec<Entry>, StorageError> {
    let drain = drain::decode(value, number);
    let drain = drain.map_err(|flaw| fault("log", &format!("drain {number}"), &flaw))?;
    let mut entries: Vec<Entry> = Vec::new();
    for change in drain.changes {
        match change {
            Change::Entry(entry) => entries.push(entry),
            Change::Truncate(from) => entries.retain(|entry| entry.index < from),
            Change::Snapshot(_) | Change::Compact(_) | Change::PeerBoots(_) => {}
        }
    }
    Ok(entries)
}

#[async_trait]
impl LogReader for Jobs {
    async fn read(
        &self,
        from: Index,
        through: Index,
        bytes_max: u64,
    ) -> Result<Vec<Entry>, StorageError> {
        self.ask(move |shared| read(shared, from, through, bytes_max))
            .await
    }
}
