//! A disk that fills up: a store goes on by its reserve, and stops when that is spent.

use super::fake::{Dice, FakeDisk, Refusal};
use super::histories::Known;
use crate::storage::conformance::entry;
use crate::storage::disk::record::PAGE_BYTES;
use crate::storage::disk::store::{Options, Store};
use crate::storage::{StorageError, Write};

const RESERVE_BYTES: u64 = 2 * PAGE_BYTES as u64;

fn open(disk: &FakeDisk, known: &mut Known) -> Store<FakeDisk> {
    let options = Options {
        segment_bytes: 6 * PAGE_BYTES as u64,
        nonce: 1,
    };
    let (store, opened) = Store::open(disk.clone(), options).expect("nothing is refused");
    known
        .recover(opened.recovered)
        .unwrap_or_else(|lost| panic!("step {}: {lost}", disk.steps()));
    store
}

fn has_reserve(disk: &FakeDisk) -> bool {
    disk.files().contains_key("reserve")
}

/// Writes while one step is refused because the disk is full. Returns true if the store went on; `None` if no step was
/// refused.
fn story(seed: u64, refused_step: u64) -> Option<bool> {
    let mut dice = Dice(seed);
    let disk = FakeDisk::new(seed, None);
    let mut known = Known::default();
    let mut store = open(&disk, &mut known);
    store
        .keep_reserve(RESERVE_BYTES)
        .expect("nothing is refused");
    assert!(has_reserve(&disk) && !store.is_low());
    let mut lane = store.lane(disk.clone());
    disk.refuses_after(refused_step, Refusal::NoRoom);

    let mut goes_on = true;
    for _ in 0..25 {
        let Ok(writes) = known.draw_writes(&mut lane, &mut dice) else {
            goes_on = false;
            break;
        };
        if store.write(writes.clone()).is_err() {
            known.doubt(writes);
            goes_on = false;
            break;
        }
        known.acknowledge(writes);
    }
    if !disk.has_refused() {
        return None;
    }
    if goes_on {
        assert!(store.is_low() && !has_reserve(&disk), "step {refused_step}");
        store.mark().expect("there is room again");
        assert!(!store.is_low() && has_reserve(&disk), "step {refused_step}");
    }

    disk.lose_power();
    open(&disk, &mut known);
    Some(goes_on)
}

#[test]
fn a_store_goes_on_by_its_reserve_and_loses_nothing_when_the_disk_is_full() {
    let mut went_on = 0;
    for seed in 0..4 {
        went_on += (0..)
            .map_while(|step| story(seed, step))
            .filter(|goes_on| *goes_on)
            .count();
    }

    assert!(
        went_on > 80,
        "only {went_on} refusals did not stop the store"
    );
}

#[test]
fn a_store_whose_reserve_is_spent_stops_when_the_disk_is_full() {
    let disk = FakeDisk::new(0, None);
    let mut known = Known::default();
    let mut store = open(&disk, &mut known);
    let write = |index| Write {
        entries: vec![entry(index, 1, "command")],
        ..Write::default()
    };

    disk.refuses_after(0, Refusal::NoRoom);
    store.keep_reserve(RESERVE_BYTES).expect("it is kept later");
    let is_low = store.is_low();
    let written = store.write(vec![write(1)]);
    known.acknowledge(vec![write(1)]);
    disk.refuses_after(0, Refusal::NoRoom);
    let full = store.write(vec![write(2)]);
    known.doubt(vec![write(2)]);

    assert!(is_low && written.is_ok());
    assert!(matches!(full, Err(StorageError::Full { .. })));
    disk.restart_process();
    let mut store = open(&disk, &mut known);
    store
        .keep_reserve(RESERVE_BYTES)
        .expect("there is room again");
    assert!(!store.is_low());
}
