//! A disk that fills up: a store goes on by its reserve, and stops when that is spent.

use std::collections::BTreeMap;
use std::time::Duration;

use super::fake::{Dice, FakeDisk, Refusal, Step, What};
use super::histories::{Known, store_state};
use crate::storage::conformance::{entry, metadata};
use crate::storage::disk::files::Files;
use crate::storage::disk::pages::PAGE_BYTES;
use crate::storage::disk::store::{Options, Store};
use crate::storage::{StorageError, Write};

const RESERVE_BYTES: u64 = 2 * PAGE_BYTES as u64;

const OPTIONS: Options = Options {
    segment_bytes: 6 * PAGE_BYTES as u64,
    nonce: 1,
};

fn open(disk: &FakeDisk, known: &mut Known) -> Store<FakeDisk> {
    let (store, opened) = Store::open(disk.clone(), OPTIONS).expect("nothing is refused");
    known
        .recover(opened.recovered)
        .unwrap_or_else(|lost| panic!("step {}: {lost}", disk.steps()));
    store
}

fn open_with_reserve(disk: &FakeDisk, known: &mut Known) -> Store<FakeDisk> {
    let mut store = open(disk, known);
    let kept = store.keep_reserve(RESERVE_BYTES);
    kept.expect("nothing is refused");
    store
}

/// Longer than two pieces, of which the lane syncs the first two together.
const STATE: [u8; 9000] = [7; 9000];

fn has_reserve(disk: &FakeDisk) -> bool {
    disk.files().contains_key("reserve")
}

/// Writes while one step is refused because the disk is full. Returns true if the store went on; `None` if no step was
/// refused.
fn story(seed: u64, refused_step: u64) -> Option<bool> {
    let mut dice = Dice(seed);
    let disk = FakeDisk::new(seed, None);
    let mut known = Known::default();
    let mut store = open_with_reserve(&disk, &mut known);
    assert!(has_reserve(&disk) && !store.is_low());
    let mut lane = store.lane(disk.clone());
    disk.refuses_after(refused_step, Refusal::NoRoom);

    let (mut goes_on, mut gave_up) = (true, false);
    for _ in 0..25 {
        let writes = match known.draw_writes(&mut lane, &mut dice) {
            Ok(writes) => writes,
            Err(StorageError::Full { .. }) => {
                gave_up = true;
                continue;
            }
            Err(_) => {
                goes_on = false;
                break;
            }
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
        assert!(store.is_low(), "step {refused_step}");
        // A snapshot that finds no room gives up, and leaves the reserve to the log.
        assert_eq!(has_reserve(&disk), gave_up, "step {refused_step}");
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

/// Stores a snapshot while the step after so many finds no room. `None` if no step was refused.
fn snapshot_without_room(refused_step: u64) -> Option<Step> {
    let disk = FakeDisk::new(refused_step, None);
    let mut known = Known::default();
    let mut store = open_with_reserve(&disk, &mut known);
    let mut lane = store.lane(disk.clone()).syncing_after(6000);
    let before: Vec<_> = disk.files().into_keys().collect();
    let metadata = metadata(1, 1, &STATE);
    disk.refuses_after(refused_step, Refusal::NoRoom);

    let stored = store_state(&mut lane, &metadata, &STATE);
    let refused = disk.refused()?;

    if matches!(refused, Step::Sync(_) | Step::SyncNames(_)) {
        assert!(
            matches!(stored, Err(StorageError::Io { .. })),
            "{refused:?}"
        );
        let stopped = lane.begin();
        assert!(
            matches!(stopped, Err(StorageError::Stopped { .. })),
            "{refused:?}"
        );
        return Some(refused);
    }
    assert!(
        matches!(stored, Err(StorageError::Full { .. })),
        "{refused:?}: {stored:?}"
    );
    let left: Vec<_> = disk.files().into_keys().collect();
    assert_eq!(left, before, "{refused:?}");
    assert!(store.is_low() && has_reserve(&disk), "{refused:?}");
    let name = store_state(&mut lane, &metadata, &STATE).expect("the lane goes on");
    let read = lane.read(name, 0, STATE.len()).expect("it is there");
    assert_eq!(read.as_deref(), Some(&STATE[..]));
    store.mark().expect("there is room again");
    assert!(!store.is_low() && has_reserve(&disk), "{refused:?}");
    Some(refused)
}

#[test]
fn a_snapshot_that_finds_no_room_stops_neither_lane_nor_store() {
    let refused: Vec<_> = (0..).map_while(snapshot_without_room).collect();

    let syncs = |step: &&Step| matches!(step, Step::Sync(_) | Step::SyncNames(_));
    assert_eq!(
        (refused.len(), refused.iter().filter(syncs).count()),
        (9, 3)
    );
}

#[test]
fn a_store_low_for_a_snapshot_still_has_its_reserve_for_the_log() {
    let disk = FakeDisk::new(0, None);
    let mut known = Known::default();
    let mut store = open_with_reserve(&disk, &mut known);
    let mut lane = store.lane(disk.clone());
    disk.refuses_after(0, Refusal::NoRoom);
    let begun = lane.begin();

    disk.refuses_after(0, Refusal::NoRoom);
    let written = store.write(vec![Write {
        entries: vec![entry(1, 1, "command")],
        ..Write::default()
    }]);

    assert!(matches!(begun, Err(StorageError::Full { .. })));
    assert!(written.is_ok(), "{written:?}");
    assert!(store.is_low() && !has_reserve(&disk));
}

/// A killed process leaves its last batch to be written again, to a new segment.
#[test]
fn a_store_that_was_killed_is_opened_by_its_reserve() {
    let mut by_reserve = 0;
    for refused_step in 0.. {
        let disk = FakeDisk::new(0, None);
        let mut known = Known::default();
        let mut store = open_with_reserve(&disk, &mut known);
        let written = store.write(vec![Write {
            entries: vec![entry(1, 1, "command")],
            ..Write::default()
        }]);
        written.expect("nothing is refused");
        drop(store);
        disk.restart_process();
        disk.refuses_after(refused_step, Refusal::NoRoom);

        let opened = Store::open(disk.clone(), OPTIONS);

        match disk.refused() {
            None => break,
            Some(Step::Create(What::NewSegment) | Step::Write(What::NewSegment)) => {
                let (store, _) = opened.expect("there is a reserve");
                assert!(store.is_low() && !has_reserve(&disk));
                by_reserve += 1;
            }
            Some(_) => {}
        }
    }
    assert_eq!(by_reserve, 2);
}

#[test]
fn a_reserve_that_was_never_finished_is_removed() {
    let disk = FakeDisk::new(0, None);
    let mut known = Known::default();
    drop(open(&disk, &mut known));
    let mut files = disk.files();
    files.insert("reserve.new".to_owned(), vec![0; PAGE_BYTES]);
    let disk = FakeDisk::holding(&files);

    drop(open(&disk, &mut known));

    assert!(!disk.files().contains_key("reserve.new"));
}

/// Opens a store whose reserve is this, and returns how long it is then.
fn reserve_in_place_of(reserve: &[u8]) -> usize {
    let mut known = Known::default();
    let disk = FakeDisk::new(0, None);
    drop(open(&disk, &mut known));
    let mut files: BTreeMap<_, _> = disk.files();
    files.insert("reserve".to_owned(), reserve.to_vec());
    let disk = FakeDisk::holding(&files);

    let store = open_with_reserve(&disk, &mut known);

    assert!(!store.is_low());
    disk.files()["reserve"].len()
}

#[test]
fn a_reserve_that_was_cut_is_made_again() {
    let lengths = [0, 1, RESERVE_BYTES - 1, RESERVE_BYTES + 1];

    let made = lengths
        .map(|bytes| reserve_in_place_of(&vec![0; usize::try_from(bytes).expect("few bytes")]));

    assert_eq!(made, [2 * PAGE_BYTES; 4]);
}

#[test]
fn a_reserve_that_is_a_hole_is_made_again() {
    let disk = FakeDisk::new(0, None);
    let mut known = Known::default();
    drop(open(&disk, &mut known));
    let mut files = disk.clone();
    files
        .create("reserve", RESERVE_BYTES)
        .expect("there is room");
    let mut store = open(&disk, &mut known);

    store
        .keep_reserve(RESERVE_BYTES)
        .expect("nothing is refused");

    assert_eq!(
        files.allocated("reserve").expect("it is there"),
        RESERVE_BYTES
    );
}

#[test]
fn a_store_that_is_never_idle_makes_its_reserve_again() {
    let disk = FakeDisk::new(0, None);
    let mut known = Known::default();
    let mut store = open(&disk, &mut known);
    let at = Duration::from_secs;
    store.look_for_room(at(0)).expect("nothing is refused");
    disk.refuses_after(0, Refusal::NoRoom);
    store.keep_reserve(RESERVE_BYTES).expect("it is kept later");

    let low = [1, 2, 9, 10].map(|seconds| {
        let looked = store.look_for_room(at(seconds));
        looked.expect("there is room again");
        store.is_low()
    });

    assert_eq!(low, [true, true, true, false]);
    assert!(has_reserve(&disk));
}
