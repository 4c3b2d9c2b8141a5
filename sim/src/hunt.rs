//! Plants bugs in the core and tells how many seeds it takes to catch each.

use std::ops::ControlFlow;
use std::process::ExitCode;

use liferaft_raft::consensus::planted::{Bug, plant};
use liferaft_sim::batch::run_batch;
use liferaft_sim::flaw::Flaw;

use crate::Arguments;
use crate::report::{Hunted, Tally};

/// How many times a bug is hunted, from different seeds, for the median.
const HUNTS: usize = 5;

/// Hunts the bug that `wanted` names; `all` makes a table of all.
pub(crate) fn hunt(wanted: &str, arguments: &Arguments) -> ExitCode {
    let numbered = || {
        let bugs = Bug::ALL.iter().map(|bug| Planted::Core(*bug));
        bugs.chain(Flaw::ALL.into_iter().map(Planted::Around))
            .zip(1_usize..)
    };
    if wanted == "all" {
        return table(numbered(), arguments);
    }
    let named = |(bug, number): &(Planted, usize)| {
        wanted.eq_ignore_ascii_case(&bug.name()) || wanted == number.to_string()
    };
    let Some((bug, _)) = numbered().find(named) else {
        eprintln!("no bug is called {wanted}; there are:");
        for (bug, number) in numbered() {
            eprintln!("{number:>3} {}", bug.name());
        }
        return ExitCode::FAILURE;
    };
    let mut tally = Tally::default();
    let caught = catch(bug, arguments.from, arguments, &mut tally);
    let report = tally.report(Some(Hunted {
        bug: bug.name(),
        caught: caught.is_some(),
        oracle: caught.map(|(_, oracle)| oracle),
        seeds_to_detection: caught.map(|(seeds, _)| seeds),
    }));
    match caught {
        _ if arguments.json => crate::print_json(&report),
        Some((seeds, oracle)) => {
            println!("{} is caught by {oracle} after {seeds} seeds", bug.name());
        }
        None => println!("{} is not caught by {} seeds", bug.name(), arguments.seeds),
    }
    crate::exit_code(report.is_good())
}

fn table(bugs: impl Iterator<Item = (Planted, usize)>, arguments: &Arguments) -> ExitCode {
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
            "| {number} | {} | {times} of {HUNTS} | {median} | {} |",
            bug.name(),
            oracles.join(", ")
        );
    }
    crate::exit_code(escaped == 0)
}

/// A bug that can be hunted.
#[derive(Clone, Copy)]
enum Planted {
    /// In the core.
    Core(Bug),
    /// In the clients or the state machines around it.
    Around(Flaw),
}

impl Planted {
    fn name(self) -> String {
        match self {
            Self::Core(bug) => format!("{bug:?}"),
            Self::Around(flaw) => format!("{flaw:?}"),
        }
    }
}

/// How many seeds it takes until an alarm, and which.
fn catch(
    bug: Planted,
    from: u64,
    arguments: &Arguments,
    tally: &mut Tally,
) -> Option<(u64, &'static str)> {
    let seeds: Vec<u64> = (from..from + arguments.seeds).collect();
    let mut caught = None;
    let flaw = match bug {
        Planted::Core(bug) => {
            plant(Some(bug));
            None
        }
        Planted::Around(flaw) => Some(flaw),
    };
    let plan = |seed| {
        let mut plan = arguments.plan(seed);
        plan.flaw = flaw;
        plan
    };
    run_batch(&seeds, arguments.threads(), plan, |ran| {
        tally.add(&ran);
        let Some(alarm) = ran.outcome.alarm else {
            return ControlFlow::Continue(());
        };
        caught = Some((tally.seeds(), alarm.invariant));
        ControlFlow::Break(())
    });
    plant(None);
    caught
}
