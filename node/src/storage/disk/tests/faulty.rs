//! The store of [`DiskStorage`](crate::storage::DiskStorage) on a disk that fails, for whoever compares something else
//! with it.

use super::fake::{Dice, FakeDisk, Refusal};
use super::histories::Known;
use crate::storage::disk::lane::Lane;
use crate::storage::disk::pages::PAGE_BYTES;
use crate::storage::disk::store::{Options, Store};
use crate::storage::{Recovered, StorageError, Write};

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
    lane: Lane<FakeDisk>,
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
        let (store, lane, _) = open(&disk, &mut dice).expect("a blank disk is in order");
        Self {
            disk,
            dice,
            store,
            lane,
        }
    }

    /// Draws writes that follow what is stored, and stores the snapshots that they name.
    ///
    /// # Panics
    /// Never: nothing fails between two calls.
    pub fn draw_writes(&mut self, stored: Recovered) -> Vec<Write> {
        let mut known = Known::default();
        known.state = stored;
        let drawn = known.draw_writes(&mut self.lane, &mut self.dice);
        let mut drawn = drawn.expect("nothing fails");
        // The core, whose writes are compared, has none.
        drawn.iter_mut().for_each(|write| write.peer_boots = None);
        drawn
    }

    /// Makes writes that were drawn, while this goes wrong at the step after so many. If it does, the store is opened
    /// again. Returns `None` if the writes were made, and what is stored if they were not acknowledged.
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
        let (store, lane, recovered) = open(&self.disk, &mut self.dice)?;
        (self.store, self.lane) = (store, lane);
        Ok(recovered)
    }
}

type Opened = (Store<FakeDisk>, Lane<FakeDisk>, Recovered);

fn open(disk: &FakeDisk, dice: &mut Dice) -> Result<Opened, StorageError> {
    let options = Options {
        // Small, so that segments come and go.
        segment_bytes: 6 * PAGE_BYTES as u64,
        nonce: dice.roll(),
    };
    let (store, opened) = Store::open(disk.clone(), options)?;
    let lane = store.lane(disk.clone());
    Ok((store, lane, opened.recovered))
}
