//! The store of [`DiskStorage`](crate::storage::DiskStorage) on a disk that fails, for whoever compares something else
//! with it.

use super::fake::{Dice, FakeDisk, Refusal};
use super::histories::Known;
use crate::consensus::{Recovered, Snapshot, Write};
use crate::storage::disk::lane::Lane;
use crate::storage::disk::record::PAGE_BYTES;
use crate::storage::disk::store::{Options, Store};
use crate::storage::{self, SnapshotName, StorageError, StoredSnapshot};

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
    /// The writes that were drawn, with the names of their snapshots.
    drawn: Vec<storage::Write>,
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
            drawn: Vec::new(),
        }
    }

    /// Draws writes that follow what is stored, and stores the snapshots that they name.
    ///
    /// # Panics
    /// Never: nothing fails between two calls.
    pub fn draw_writes(&mut self, stored: Recovered) -> Vec<Write> {
        let mut known = Known::default();
        let snapshot = stored.snapshot.clone().map(|snapshot| StoredSnapshot {
            // What is drawn does not depend on it.
            name: SnapshotName(0),
            metadata: snapshot.metadata,
        });
        known.state = stored.with_snapshot(snapshot);
        let drawn = known.draw_writes(&mut self.lane, &mut self.dice);
        self.drawn = drawn.expect("nothing fails");
        let whole = |write: storage::Write| {
            let snapshot = write.snapshot.clone();
            let snapshot = snapshot.map(|stored| read(&mut self.lane, stored));
            write.with_snapshot(snapshot).0
        };
        self.drawn.clone().into_iter().map(whole).collect()
    }

    /// Makes the writes that were drawn last, while this goes wrong at the step after so many. If it does, the store is
    /// opened again. Returns `None` if the writes were made, and what is stored if they were not acknowledged.
    ///
    /// # Errors
    /// When the store does not open again.
    pub fn write(&mut self, fault: Fault, steps: u64) -> Result<Option<Recovered>, StorageError> {
        match fault {
            Fault::Kill | Fault::PowerLoss => self.disk.dies_after(steps),
            Fault::Full => self.disk.refuses_after(steps, Refusal::NoRoom),
            Fault::Error => self.disk.refuses_after(steps, Refusal::Broken),
        }
        if self.store.write(std::mem::take(&mut self.drawn)).is_ok() {
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
        let snapshot = recovered.snapshot.clone();
        let snapshot = snapshot.map(|stored| read(&mut self.lane, stored));
        Ok(recovered.with_snapshot(snapshot))
    }
}

/// Reads the whole state of a snapshot that is there.
fn read(lane: &mut Lane<FakeDisk>, stored: StoredSnapshot) -> Snapshot {
    let StoredSnapshot { name, metadata } = stored;
    let data = lane.read(name, 0, usize::MAX);
    let data = data.expect("nothing fails").expect("it is finished");
    Snapshot { metadata, data }
}

type Opened = (Store<FakeDisk>, Lane<FakeDisk>, storage::Recovered);

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
