//! Whatever a crash loses or tears of what was not synced, all that was acknowledged is there again.

use std::collections::BTreeSet;

use super::fake::{Dice, FakeDisk, Step, What};
use super::histories::Known;
use crate::ids::Boot;
use crate::storage::disk::pages::PAGE_BYTES;
use crate::storage::disk::store::{Options, Store};

/// Small, so that segments come and go.
const SEGMENT_BYTES: u64 = 6 * PAGE_BYTES as u64;

/// As many crashes as one history has.
const CRASHES: u32 = 40;

/// How many histories are told: 2,000 crashes in all.
const HISTORIES: u64 = 50;

/// Without a sync, something is lost in the first of so many histories at the latest.
const HISTORIES_UNTIL_LOST: u64 = 8 * HISTORIES;

/// A store is made in fewer steps.
const STEPS_TO_MAKE: u64 = 25;

/// Every sync that something depends on, by what it makes durable. The name of a new header is synced once more when
/// the store is opened, which follows.
const SYNCS: [Step; 9] = [
    Step::Sync(What::NewHeader),
    Step::Sync(What::NewSegment),
    Step::Sync(What::NewSnapshot),
    Step::Sync(What::FirstCopy),
    Step::Sync(What::SecondCopy),
    Step::Sync(What::Batch),
    Step::SyncNames(What::NewSegment),
    Step::SyncNames(What::NewSnapshot),
    Step::SyncNames(What::Found),
];

/// Writes until the process is killed or the power fails, opens the store again, and so on. Returns the steps at which
/// it died.
fn history(seed: u64, flaw: Option<Step>) -> Result<BTreeSet<Step>, String> {
    let mut dice = Dice(seed);
    let disk = FakeDisk::new(seed, flaw);
    let mut known = Known::default();
    let mut met = Boot::default();
    let mut deaths = BTreeSet::new();
    for crash in 0..CRASHES {
        // Of all histories, one dies first at any one of the first steps. Later, each second one dies while it is
        // opened.
        disk.dies_after(match crash {
            0 => seed % STEPS_TO_MAKE,
            _ if dice.once_in(2) => dice.below(12),
            _ => dice.below(60),
        });
        let told = |what: String| format!("seed {seed}, before crash {crash}: {what}");
        run(&disk, &mut known, &mut met, &mut dice).map_err(told)?;
        deaths.extend(disk.last_step());
        if dice.once_in(4) {
            disk.restart_process();
        } else {
            disk.lose_power();
        }
    }
    Ok(deaths)
}

/// Opens the store and writes until the disk dies.
fn run(disk: &FakeDisk, known: &mut Known, met: &mut Boot, dice: &mut Dice) -> Result<(), String> {
    let options = Options {
        segment_bytes: SEGMENT_BYTES,
        nonce: dice.roll(),
    };
    let (mut store, opened) = match Store::open(disk.clone(), options) {
        Ok(opened) => opened,
        Err(_) if disk.is_dead() => return Ok(()),
        Err(error) => return Err(format!("it does not open: {error}")),
    };
    known.recover(opened.recovered)?;
    let outlined = store.recover(0);
    known.expect_outlined(&outlined.map_err(|error| format!("it is not outlined: {error}"))?)?;
    known.expect_inspected(&mut disk.clone())?;
    let starts = store.header().starts;
    if starts.newest() == *met || !starts.may_follow(met) {
        return Err(format!("{starts:?} comes after {met:?}"));
    }
    *met = starts.newest();
    let mut lane = store.lane(disk.clone()).syncing_after(6000);
    let mut reader = store.log(disk.clone());
    loop {
        if let [first, .., last] | [first @ last] = &known.state.entries[..] {
            let read = reader.read(first.index, last.index, u64::MAX);
            match read {
                Ok(read) if read == known.state.entries => {}
                read => return Err(format!("of the log it reads {read:?}")),
            }
        }
        let writes = match known.draw_writes(&mut lane, dice) {
            Ok(writes) => writes,
            Err(_) if disk.is_dead() => return Ok(()),
            Err(error) => return Err(format!("it does not store a snapshot: {error}")),
        };
        let before = known.state.snapshot.clone();
        match store.write(writes.clone()) {
            Ok(()) => known.acknowledge(writes.clone()),
            Err(_) if disk.is_dead() => {
                known.doubt(writes);
                return Ok(());
            }
            Err(error) => return Err(format!("it does not write: {error}")),
        }
        if known
            .remove_replaced(before.as_ref(), &writes, &mut lane)
            .is_err()
        {
            return Ok(());
        }
        if dice.once_in(10) && store.mark().is_err() {
            return Ok(());
        }
    }
}

#[test]
fn nothing_acknowledged_is_lost_at_2000_crashes() {
    let deaths: Result<Vec<_>, _> = (0..HISTORIES).map(|seed| history(seed, None)).collect();

    let deaths: BTreeSet<_> = deaths
        .unwrap_or_else(|lost| panic!("{lost}"))
        .into_iter()
        .flatten()
        .collect();
    for sync in SYNCS {
        assert!(
            deaths.contains(&sync),
            "none of the crashes came at {sync:?}"
        );
    }
    for step in [
        Step::Write(What::Batch),
        Step::Write(What::FirstCopy),
        Step::Write(What::NewSnapshot),
        Step::Rename(What::NewSnapshot),
        Step::Remove,
    ] {
        assert!(
            deaths.contains(&step),
            "none of the crashes came at {step:?}"
        );
    }
}

#[test]
fn a_store_without_any_one_of_its_syncs_loses_something() {
    for sync in SYNCS {
        let lost = (0..HISTORIES_UNTIL_LOST).find_map(|seed| history(seed, Some(sync)).err());

        assert!(lost.is_some(), "nothing was lost without {sync:?}");
    }
}
