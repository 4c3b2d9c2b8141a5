//! Bugs that are planted in the driver: each is hunted five times, from different seeds, among the same plans as ever.

use std::sync::{PoisonError, RwLock};

use liferaft_raft::consensus::planted::{Bug, plant};

use crate::plan::Plan;
use crate::run::{Outcome, played, run};

/// Held for reading by runs without a bug, since one is planted in the whole process.
static PLANTED: RwLock<()> = RwLock::new(());

const HUNTS: u64 = 5;

/// How many seeds a hunt takes at most.
const SEEDS_MAX: u64 = 400;

/// Runs something while nothing is planted.
pub(crate) fn unplanted<T>(run: impl FnOnce() -> T) -> T {
    let _none = PLANTED.read().unwrap_or_else(PoisonError::into_inner);
    run()
}

fn run_planted(bug: Bug, plan: &Plan) -> Outcome {
    let _alone = PLANTED.write().unwrap_or_else(PoisonError::into_inner);
    plant(Some(bug));
    let outcome = played(plan, None);
    plant(None);
    outcome
}

/// The alarm of a run with this bug, which has none without it.
fn alarm_of(bug: Bug, seed: u64) -> Option<String> {
    let alarm = run_planted(bug, &Plan::of_seed(seed)).alarm?;
    let usual = run(&Plan::of_seed(seed), None).alarm;
    usual.is_none().then_some(alarm)
}

/// After how many seeds each hunt has caught the bug, and by what.
#[track_caller]
fn assert_caught_in_each_hunt(bug: Bug) {
    let caught: Vec<_> = (0..HUNTS)
        .map(|hunt| {
            let from = 1 + hunt * SEEDS_MAX;
            let mut seeds = (from..from + SEEDS_MAX).zip(1..);
            seeds.find_map(|(seed, count)| Some((count, alarm_of(bug, seed)?)))
        })
        .collect();

    let mut counts: Vec<u64> = caught.iter().flatten().map(|(count, _)| *count).collect();
    counts.sort_unstable();
    println!("{bug:?}: {counts:?} seeds, by {caught:?}");
    assert_eq!(counts.len() as u64, HUNTS, "{bug:?} escapes");
}

#[test]
#[ignore = "five hunts take minutes"]
fn an_outbox_that_acknowledges_before_its_store_forgets_is_found() {
    assert_caught_in_each_hunt(Bug::AcknowledgesBeforeForgotten);
}

#[test]
#[ignore = "five hunts take minutes"]
fn commands_sent_again_after_a_lost_session_are_found() {
    assert_caught_in_each_hunt(Bug::ResentAfterLostSession);
}

#[test]
fn a_copy_of_a_disk_that_is_let_in_is_found() {
    let alarm = (1..=20).find_map(|seed| {
        let plan = Plan::of_seed(seed).over_proven_links();
        run_planted(Bug::CloneAdmitted, &plan).alarm
    });

    let alarm = alarm.expect("an alarm");
    assert!(alarm.contains("a copy of the disk"), "{alarm}");
}
