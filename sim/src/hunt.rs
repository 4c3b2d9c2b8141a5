//! Plants bugs in the core and tells how many seeds it takes to catch each.

use std::ops::ControlFlow;
use std::process::ExitCode;

use liferaft_raft::consensus::planted::{Bug, plant};
use liferaft_sim::batch::run_batch;

use crate::Arguments;
use crate::report::{Hunted, Tally};

/// How many times a bug is hunted, from different seeds, for the median.
const HUNTS: usize = 5;

/// Hunts the bug that `wanted` names; `all` makes a table of all.
pub(crate) fn hunt(wanted: &str, arguments: &Arguments) -> ExitCode {
    let numbered = || Bug::ALL.iter().copied().zip(1_usize..);
    if wanted == "all" {
        return table(numbered(), arguments);
    }
    let named = |(bug, number): &(Bug, usize)| {
        wanted.eq_ignore_ascii_case(&format!("{bug:?}")) || wanted == number.to_string()
    };
    let Some((bug, _)) = numbered().find(named) else {
        eprintln!("no bug is called {wanted}; there are:");
        for (bug, number) in numbered() {
            eprintln!("{number:>3} {bug:?}");
        }
        return ExitCode::FAILURE;
    };
    let mut tally = Tally::default();
    let caught = catch(bug, arguments.from, arguments, &mut tally);
    let report = tally.report(Some(Hunted {
        bug: format!("{bug:?}"),
        caught: caught.is_some(),
        oracle: caught.map(|(_, oracle)| oracle),
        seeds_to_detection: caught.map(|(seeds, _)| seeds),
    }));
    match caught {
        _ if arguments.json => crate::print_json(&report),
        Some((seeds, oracle)) => println!("{bug:?} is caught by {oracle} after {seeds} seeds"),
        None => println!("{bug:?} is not caught by {} seeds", arguments.seeds),
    }
    crate::exit_code(report.is_good())
}

fn table(bugs: impl Iterator<Item = (Bug, usize)>, arguments: &Arguments) -> ExitCode {
    let mut escaped = 0;
    println!("| # | bug | caught | median seeds | by |");
    println!("|---|---|---|---|---|");
    for (bug, number) in bugs {
        let mut caught: Vec<(u64, &str)> = (0..HUNTS as u64)
            .map(|hunt| arguments.from + hunt * arguments.seeds)
            .filter_map(|from| catch(bug, from, arguments, &mut Tally::default()))
            .collect();
        caught.sort_unstable();
        let mut oracles: Vec<&str> = caught.iter().map(|(_, oracle)| *oracle).collect();
        oracles.sort_unstable();
        oracles.dedup();
        // Sorted, what was not caught comes last: the median is known if more than half were.
        let median = caught.get(HUNTS / 2).map(|(seeds, _)| seeds.to_string());
        escaped += u32::from(median.is_none());
        let median = median.unwrap_or_else(|| format!("over {}", arguments.seeds));
        let times = caught.len();
        println!(
            "| {number} | {bug:?} | {times} of {HUNTS} | {median} | {} |",
            oracles.join(", ")
        );
    }
    crate::exit_code(escaped == 0)
}

/// How many seeds it takes until an alarm, and which.
fn catch(
    bug: Bug,
    from: u64,
    arguments: &Arguments,
    tally: &mut Tally,
) -> Option<(u64, &'static str)> {
    let seeds: Vec<u64> = (from..from + arguments.seeds).collect();
    let mut caught = None;
    plant(Some(bug));
    run_batch(
        &seeds,
        arguments.threads(),
        |seed| arguments.plan(seed),
        |ran| {
            tally.add(&ran);
            let Some(alarm) = ran.outcome.alarm else {
                return ControlFlow::Continue(());
            };
            caught = Some((tally.seeds(), alarm.invariant));
            ControlFlow::Break(())
        },
    );
    plant(None);
    caught
}
