//! A disk that refuses a step: the store says so, tries nothing again, and loses nothing that it acknowledged.

use super::fake::{Dice, FakeDisk, Refusal};
use super::histories::Known;
use crate::storage::StorageError;
use crate::storage::disk::lane::Lane;
use crate::storage::disk::pages::PAGE_BYTES;
use crate::storage::disk::store::{Options, Store};

/// As many writes as a story has.
const WRITES: u32 = 25;

/// As many steps at least as each story has, all of which are refused in turn.
const STEPS_MIN: u64 = 80;

type Both = (Store<FakeDisk>, Lane<FakeDisk>);

fn open(disk: &FakeDisk, nonce: u64, known: &mut Known) -> Result<Both, StorageError> {
    let options = Options {
        segment_bytes: 6 * PAGE_BYTES as u64,
        nonce,
    };
    let (store, opened) = Store::open(disk.clone(), options)?;
    known
        .recover(opened.recovered)
        .unwrap_or_else(|lost| panic!("step {}: {lost}", disk.steps()));
    let lane = store.lane(disk.clone()).syncing_after(6000);
    Ok((store, lane))
}

/// Writes until a step is refused, and shows what comes of it. Returns false if none was.
fn story(seed: u64, refused_step: u64, refusal: Refusal) -> bool {
    let mut dice = Dice(seed);
    let disk = FakeDisk::new(seed, None);
    let mut known = Known::default();
    disk.refuses_after(refused_step, refusal);

    if let Ok((mut store, mut lane)) = open(&disk, 1, &mut known) {
        for _ in 0..WRITES {
            let writes = match known.draw_writes(&mut lane, &mut dice) {
                Ok(writes) => writes,
                // That snapshot is given up, and all else goes on.
                Err(StorageError::Full { .. }) => continue,
                Err(_) => {
                    let steps = disk.steps();
                    let again = lane.begin();
                    assert!(matches!(again, Err(StorageError::Stopped { .. })));
                    assert_eq!(disk.steps(), steps, "something was tried again");
                    break;
                }
            };
            if store.write(writes.clone()).is_ok() {
                known.acknowledge(writes);
                continue;
            }
            let steps = disk.steps();
            known.doubt(writes.clone());
            let again = store.write(writes);
            assert!(matches!(again, Err(StorageError::Stopped { .. })));
            assert!(matches!(store.mark(), Err(StorageError::Stopped { .. })));
            assert_eq!(disk.steps(), steps, "something was tried again");
            break;
        }
    }
    if !disk.has_refused() {
        return false;
    }

    // The process starts again, and what it finds is durable from then on, whatever the failed step left in memory.
    disk.restart_process();
    let (mut store, mut lane) = open(&disk, 2, &mut known).expect("nothing is refused any more");
    if dice.once_in(2) {
        let writes = known.draw_writes(&mut lane, &mut dice);
        let writes = writes.expect("nothing is refused any more");
        store
            .write(writes.clone())
            .expect("nothing is refused any more");
        known.acknowledge(writes);
    }
    disk.lose_power();
    open(&disk, 3, &mut known).expect("nothing is refused any more");
    true
}

fn refuse_every_step(refusal: Refusal) {
    for seed in 0..4 {
        let refused = (0..).take_while(|step| story(seed, *step, refusal)).count();

        assert!(
            refused as u64 > STEPS_MIN,
            "only {refused} steps were refused"
        );
    }
}

#[test]
fn a_full_disk_at_any_step_loses_nothing_acknowledged() {
    refuse_every_step(Refusal::NoRoom);
}

#[test]
fn an_io_error_at_any_step_loses_nothing_acknowledged() {
    refuse_every_step(Refusal::Broken);
}
