//! The async driver under seeded faults: real members on the memory transport, on a paused clock, with disks that
//! crash, fail and stall, and clients of the public handle whose answers are judged as those of the simulator are.
//!
//! A seed expands to a [`plan::Plan`] that is printed when its run raises an alarm. More seeds than the fixed ones run
//! by
//! `LIFERAFT_DRIVER_SEEDS=500 LIFERAFT_DRIVER_FROM=1000 cargo test -p liferaft-sim --test driver more -- --nocapture`.

mod client;
mod cluster;
mod disk;
mod history;
mod operator;
mod outboxes;
mod plan;
#[cfg(feature = "planted-bugs")]
mod planted;
mod recovery;
mod run;

use std::env;

use client::Flaw;
use plan::{Plan, Strike};
use run::{Outcome, run};

/// What has happened in a batch of runs.
#[derive(Debug, Default)]
struct Batch {
    done: usize,
    not_done: usize,
    unknown: usize,
    local: usize,
    strikes: [usize; Strike::KINDS.len()],
    errands: [usize; 3],
    snapshots: u64,
    copies_refused: usize,
}

impl Batch {
    /// Runs seeds, and panics on the first alarm.
    fn of(seeds: impl IntoIterator<Item = u64>) -> Self {
        Self::over_links(seeds, false)
    }

    /// Runs seeds over links that prove who is at their other end, or prove nothing.
    fn over_links(seeds: impl IntoIterator<Item = u64>, proven: bool) -> Self {
        let mut batch = Self::default();
        for seed in seeds {
            let plan = Plan::of_seed(seed);
            let plan = if proven {
                plan.over_proven_links()
            } else {
                plan
            };
            let outcome = run(&plan, None);
            if let Some(alarm) = &outcome.alarm {
                panic!("seed {seed}: {alarm}\n{plan}");
            }
            batch.add(&outcome);
        }
        batch
    }

    fn add(&mut self, outcome: &Outcome) {
        self.done += outcome.tally.done;
        self.not_done += outcome.tally.not_done;
        self.unknown += outcome.tally.unknown;
        self.local += outcome.tally.local;
        self.snapshots += outcome.snapshots;
        self.copies_refused += outcome.copies_refused;
        for (sum, count) in self.strikes.iter_mut().zip(outcome.strikes) {
            *sum += count;
        }
        for (sum, count) in self.errands.iter_mut().zip(outcome.errands) {
            *sum += count;
        }
    }

    /// A batch in which something has never happened shows nothing about it.
    fn assert_everything_happened(&self) {
        let Self {
            done,
            not_done,
            unknown,
            local,
            strikes,
            errands,
            snapshots,
            copies_refused: _,
        } = self;
        let strikes = &strikes[..Strike::DRAWN_ALWAYS];
        let counts = [*done, *not_done, *unknown, *local];
        assert!(counts.iter().all(|count| *count > 0), "{self:?}");
        assert!(strikes.iter().all(|count| *count > 0), "{self:?}");
        assert!(errands.iter().all(|count| *count > 0), "{self:?}");
        assert!(*snapshots > 0, "{self:?}");
    }
}

#[test]
fn clients_of_the_driver_hear_the_truth_and_the_cluster_recovers() {
    // The later ones have found something.
    Batch::of((1..=20).chain([21, 34, 47, 58, 151, 159, 495])).assert_everything_happened();
}

#[test]
fn members_whose_links_prove_who_is_there_recover_as_well() {
    // The last one has found something.
    let batch = Batch::over_links((1..=20).chain([1_089]), true);

    batch.assert_everything_happened();
    assert!(batch.copies_refused > 0, "{batch:?}");
}

#[test]
fn more_seeds_as_the_environment_says() {
    let number = |name| {
        let value = env::var(name).ok()?;
        Some(
            value
                .parse::<u64>()
                .expect("a number of seeds, or the first of them"),
        )
    };
    let from = number("LIFERAFT_DRIVER_FROM").unwrap_or(1_000);
    let count = number("LIFERAFT_DRIVER_SEEDS").unwrap_or(0);

    for proven in [false, true] {
        let batch = Batch::over_links(from..from + count, proven);
        println!("{count} seeds from {from}, proven links: {proven}: {batch:?}");
    }
}

#[test]
fn the_same_seed_gives_the_same_history() {
    for seed in [3, 4] {
        let plan = Plan::of_seed(seed);

        let (first, second) = (run(&plan, None), run(&plan, None));

        assert!(first.history.repeats(&second.history), "seed {seed}");
    }
}

/// Whether what clients hear shows, within the first seeds, that something is wrong.
fn is_found(flaw: Flaw) -> bool {
    (1..=20)
        .filter_map(|seed| run(&Plan::of_seed(seed), Some(flaw)).alarm)
        .any(|alarm| alarm.contains("no order explains"))
}

#[test]
fn a_client_that_takes_unknown_for_not_done_is_found() {
    assert!(is_found(Flaw::UnknownIsNotDone));
}

#[test]
fn a_client_that_repeats_what_is_unknown_is_found() {
    assert!(is_found(Flaw::UnknownIsRetried));
}

#[test]
fn a_client_that_takes_one_member_for_the_cluster_is_found() {
    assert!(is_found(Flaw::LocalIsCurrent));
}

#[test]
fn disks_that_lose_what_they_acknowledged_are_found() {
    assert!(is_found(Flaw::DiskForgets));
}
