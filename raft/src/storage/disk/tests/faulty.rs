//! The store of [`DiskStorage`](crate::storage::DiskStorage) on a disk that fails, for whoever compares something else
//! with it.

use super::fake::{Dice, FakeDisk, Refusal};
use super::histories::Known;
use crate::consensus::{Recovered, Write};
use crate::storage::StorageError;
use crate::storage::disk::record::PAGE_BYTES;
use crate::storage::disk::store::{Options, Store};

/// What goes wrong at a step of the disk: a write, a sync, a change of names.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Fault {
    /// The process is killed. The system keeps what it has in memory.
    Kill,
    /// The power fails: of what was not synced any part may be there, and torn.
    PowerLoss,
    /// There is no room. Then the process starts again.
    Full,
    /// The disk reports an error. Then the process starts again.
    Error,
}

/// A store on a disk in memory that fails as it is told.
#[derive(Debug)]
pub struct FaultyStore {
    disk: FakeDisk,
    dice: Dice,
    store: Store<FakeDisk>,
}

impl FaultyStore {
    /// Makes a blank store. The same seed gives the same losses.
    ///
    /// # Panics
    /// Never: nothing fails yet.
    #[must_use]
    pub fn new(seed: u64) -> Self {
        let disk = FakeDisk::new(seed, None);
        let mut dice = Dice(seed);
        let (store, _) = open(&disk, &mut dice).expect("a blank disk is in order");
        Self { disk, dice, store }
    }

    /// Draws writes that follow what is stored.
    pub fn draw_writes(&mut self, stored: &Recovered) -> Vec<Write> {
        let mut known = Known::default();
        known.state.clone_from(stored);
        known.draw_writes(&mut self.dice)
    }

    /// Makes these writes, while this goes wrong at the step after so many. If it does, the store is opened again.
    /// Returns `None` if the writes were made, and what is stored if they were not acknowledged.
    ///
    /// # Errors
    /// When the store does not open again.
    pub fn write(
        &mut self,
        writes: Vec<Write>,
        fault: Fault,
        steps: u64,
    ) -> Result<Option<Recovered>, StorageError> {
        match fault {
            Fault::Kill | Fault::PowerLoss => self.disk.dies_after(steps),
            Fault::Full => self.disk.refuses_after(steps, Refusal::NoRoom),
            Fault::Error => self.disk.refuses_after(steps, Refusal::Broken),
        }
        if self.store.write(writes).is_ok() {
            return Ok(None);
        }
        self.crash(fault).map(Some)
    }

    /// This goes wrong now, and the store is opened again. Returns what is stored.
    ///
    /// # Errors
    /// When the store does not open again.
    pub fn crash(&mut self, fault: Fault) -> Result<Recovered, StorageError> {
        match fault {
            Fault::PowerLoss => self.disk.lose_power(),
            Fault::Kill | Fault::Full | Fault::Error => self.disk.restart_process(),
        }
        let (store, recovered) = open(&self.disk, &mut self.dice)?;
        self.store = store;
        Ok(recovered)
    }
}

fn open(disk: &FakeDisk, dice: &mut Dice) -> Result<(Store<FakeDisk>, Recovered), StorageError> {
    let options = Options {
        // Small, so that segments come and go.
        segment_bytes: 6 * PAGE_BYTES as u64,
        nonce: dice.roll(),
    };
    let (store, opened) = Store::open(disk.clone(), options)?;
    Ok((store, opened.recovered))
}
