//! Plants bugs in the core and tells how many seeds it takes to catch each.

use std::process::ExitCode;

use liferaft_raft::consensus::planted::{Bug, plant};
use liferaft_sim::plan::Plan;
use liferaft_sim::run::run;

/// How many times a bug is hunted, from different seeds, for the median.
const HUNTS: u64 = 5;

/// Hunts the bugs that `wanted` names, `all` or one, each within so many seeds.
pub(crate) fn hunt(wanted: &str, from: u64, seeds_max: u64) -> ExitCode {
    let chosen = Bug::ALL
        .iter()
        .copied()
        .enumerate()
        .filter(|(number, bug)| {
            wanted == "all" || wanted == format!("{bug:?}") || wanted == (number + 1).to_string()
        });
    let mut escaped = 0;
    println!("| # | bug | median seeds | caught by |");
    println!("|---|---|---|---|");
    for (number, bug) in chosen {
        plant(Some(bug));
        let mut caught: Vec<(u64, &str)> = (0..HUNTS)
            .filter_map(|hunt| catch(from + hunt * seeds_max, seeds_max))
            .collect();
        plant(None);
        caught.sort_unstable();
        let mut oracles: Vec<&str> = caught.iter().map(|(_, oracle)| *oracle).collect();
        oracles.sort_unstable();
        oracles.dedup();
        let missed = HUNTS - caught.len() as u64;
        let median = if caught.len() as u64 > HUNTS / 2 {
            caught[caught.len() / 2].0.to_string()
        } else {
            escaped += 1;
            format!("missed {missed} of {HUNTS}")
        };
        println!(
            "| {} | {bug:?} | {median} | {} |",
            number + 1,
            oracles.join(", ")
        );
    }
    if escaped == 0 {
        ExitCode::SUCCESS
    } else {
        ExitCode::FAILURE
    }
}

/// How many seeds it takes until an alarm, and which.
fn catch(from: u64, seeds_max: u64) -> Option<(u64, &'static str)> {
    (from..from + seeds_max).find_map(|seed| {
        let alarm = run(Plan::of_seed(seed)).alarm?;
        Some((seed - from + 1, alarm.invariant))
    })
}
