//! The simulator's disk and the storage of members agree: after the same writes and the same faults, what the storage
//! recovers is what the model of a disk may recover.
//!
//! The model may leave more: it keeps any part of a write, as the contract of a storage allows, where the storage keeps
//! all or nothing of a batch behind its hard state. So each state of the storage is looked for among those of the
//! model, and where a fault leaves no choice they are equal.

use std::collections::BTreeSet;

use liferaft_node::storage::faulty::{Fault, FaultyStore};
use liferaft_raft::consensus::{Recovered, Write};
use liferaft_raft::entry::Entry;
use liferaft_sim::dice::Dice;
use liferaft_sim::disk::{Disk, Survival};

const FAULTS: [Fault; 4] = [Fault::Kill, Fault::PowerLoss, Fault::Full, Fault::Error];

const STORIES: u64 = 100;
const WRITES: u32 = 60;

/// A write takes fewer steps than this, so that some faults come too late for it.
const STEPS_MAX: usize = 24;

/// How many ways to scatter what is under way are tried.
const SCATTERED_MAX: u64 = 4096;

/// What a crash left of the writes under way.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
enum Left {
    Nothing,
    Part,
    All,
}

#[test]
fn what_the_storage_recovers_the_simulators_disk_may_recover() {
    let mut seen = BTreeSet::new();
    for seed in 0..STORIES {
        story(seed, &mut seen);
    }

    for fault in FAULTS {
        for left in [Left::Nothing, Left::Part, Left::All] {
            assert!(
                seen.contains(&(fault, left)),
                "{fault:?} never left {left:?}"
            );
        }
    }
}

fn story(seed: u64, seen: &mut BTreeSet<(Fault, Left)>) {
    let mut dice = Dice::new(seed, 0);
    let mut store = FaultyStore::new(seed);
    let mut model = Disk::default();
    for write in 0..WRITES {
        let fault = FAULTS[dice.below(FAULTS.len())];
        let steps = dice.below(STEPS_MAX) as u64;
        let named = format!("seed {seed}, write {write}, {fault:?} after {steps} steps");
        let writes = store.draw_writes(recovered(&model));

        let found = store.write(writes.clone(), fault, steps);

        match found.unwrap_or_else(|error| panic!("{named}: {error}")) {
            None => finish(&mut model, writes),
            Some(found) => {
                let left = crash(&mut model, &writes, &found);
                let left = left.unwrap_or_else(|| {
                    let [of, is] = [recovered(&model), found].map(|state| outline(&state));
                    panic!(
                        "{named}: the model never leaves {is} of {} writes to {of}",
                        writes.len()
                    )
                });
                seen.insert((fault, left));
            }
        }
        // Where nothing is under way, a crash takes nothing.
        let again = store.crash(fault);
        let again = again.unwrap_or_else(|error| panic!("{named}: {error}"));
        let (found, wanted) = (outline(&again), outline(&recovered(&model)));
        assert!(
            again == recovered(&model),
            "{named}, once more: {found}, not {wanted}"
        );
    }
}

/// A state in a line.
fn outline(state: &Recovered) -> String {
    let snapshot = state
        .snapshot
        .as_ref()
        .map(|snapshot| snapshot.metadata.last);
    let log = [state.entries.first(), state.entries.last()];
    let log = log.map(|entry| entry.map(Entry::position));
    format!("{:?}, snapshot {snapshot:?}, log {log:?}", state.hard_state)
}

fn recovered(model: &Disk) -> Recovered {
    model.durable().recover(true).expect("nothing rots")
}

fn begin(model: &mut Disk, writes: &[Write]) {
    for write in writes {
        model.begin(0, write.clone(), 1);
    }
}

fn finish(model: &mut Disk, writes: Vec<Write>) {
    begin(model, &writes);
    for _ in writes {
        model.finish().expect("what is drawn is in order");
    }
}

/// Crashes the model during these writes such that it recovers this, if there is a way. Returns what that left.
fn crash(model: &mut Disk, writes: &[Write], wanted: &Recovered) -> Option<Left> {
    let ends = [
        (Survival::Nothing, Left::Nothing),
        (Survival::Prefix(1000), Left::All),
    ];
    let parts = [Survival::ToSnapshot]
        .into_iter()
        .chain((0..1000).map(Survival::Prefix))
        .chain((0..SCATTERED_MAX).map(Survival::Scattered))
        .map(|survival| (survival, Left::Part));
    ends.into_iter().chain(parts).find_map(|(survival, left)| {
        let mut crashed = model.clone();
        begin(&mut crashed, writes);
        crashed
            .crash(survival, None)
            .expect("what is drawn is in order");
        (recovered(&crashed) == *wanted).then(|| {
            *model = crashed;
            left
        })
    })
}
