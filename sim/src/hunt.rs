//! Plants bugs in the core and tells how many seeds it takes to catch each.

use std::ops::ControlFlow;
use std::path::Path;
use std::process::ExitCode;

use liferaft_raft::consensus::planted::{Bug, plant};
use liferaft_sim::batch::run_batch;
use liferaft_sim::flaw::Flaw;
use liferaft_sim::plan::Plan;
use liferaft_sim::schedule::Schedule;

use crate::Arguments;
use crate::report::{Hunted, Tally};

/// How many times a bug is hunted, from different seeds, for the median.
const HUNTS: usize = 5;

/// Hunts the bug that `wanted` names; `all` makes a table of all.
pub(crate) fn hunt(wanted: &str, arguments: &Arguments) -> ExitCode {
    let numbered = || {
        let bugs = Bug::ALL.iter().filter(|bug| !bug.is_of_driver());
        let bugs = bugs.map(|bug| Planted::Core(*bug));
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
        eprintln!(
            "no bug is called {wanted}; those of the driver are hunted by its tests. There are:"
        );
        for (bug, number) in numbered() {
            eprintln!("{number:>3} {}", bug.name());
        }
        return ExitCode::FAILURE;
    };
    let mut tally = Tally::default();
    if let Some(file) = &arguments.replay {
        return replay(bug, file, arguments);
    }
    let caught = catch(bug, arguments.from, arguments, &mut tally);
    let files = caught.and_then(|caught| {
        bug.plant();
        let mut evidence = arguments.evidence();
        evidence.planted = Some(bug.name());
        evidence.keep(bug.plan(caught.seed, arguments));
        let files = evidence.finish();
        plant(None);
        files
    });
    let report = tally.report(Some(Hunted {
        bug: bug.name(),
        caught: caught.is_some(),
        oracle: caught.map(|caught| caught.oracle),
        seeds_to_detection: caught.map(|caught| caught.seeds),
    }));
    let report = report.with(files);
    match caught {
        _ if arguments.json => report.print_json(),
        Some(Caught { seeds, oracle, .. }) => {
            println!("{} is caught by {oracle} after {seeds} seeds", bug.name());
        }
        None => println!("{} is not caught by {} seeds", bug.name(), arguments.seeds),
    }
    crate::exit_code(report.is_good())
}

/// Replays a schedule with a bug planted: it is good if that is caught.
fn replay(bug: Planted, file: &Path, arguments: &Arguments) -> ExitCode {
    let mut schedule = match Schedule::read(file) {
        Ok(schedule) => schedule,
        Err(error) => {
            eprintln!("error: {error}");
            return ExitCode::FAILURE;
        }
    };
    schedule.plan.flaw = bug.flaw();
    bug.plant();
    let ran = crate::replayed(&schedule, Some(&bug.name()), file, arguments);
    plant(None);
    let oracle = ran.outcome.alarm.as_ref().map(|alarm| alarm.invariant);
    let mut tally = Tally::default();
    tally.add(&ran);
    let report = tally.report(Some(Hunted {
        bug: bug.name(),
        caught: oracle.is_some(),
        oracle,
        seeds_to_detection: oracle.map(|_| 1),
    }));
    report.print_as(arguments.json);
    crate::exit_code(report.is_good())
}

fn table(bugs: impl Iterator<Item = (Planted, usize)>, arguments: &Arguments) -> ExitCode {
    let mut escaped = 0;
    println!("| # | bug | caught | median seeds | by |");
    println!("|---|---|---|---|---|");
    for (bug, number) in bugs {
        let caught = (0..HUNTS as u64)
            .map(|hunt| arguments.from + hunt * arguments.seeds)
            .filter_map(|from| catch(bug, from, arguments, &mut Tally::default()));
        let mut caught: Vec<_> = caught.map(|caught| (caught.seeds, caught.oracle)).collect();
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

    /// Plants it in this process, if it is the core's.
    fn plant(self) {
        match self {
            Self::Core(bug) => plant(Some(bug)),
            Self::Around(_) => plant(None),
        }
    }

    const fn flaw(self) -> Option<Flaw> {
        match self {
            Self::Core(_) => None,
            Self::Around(flaw) => Some(flaw),
        }
    }

    fn plan(self, seed: u64, arguments: &Arguments) -> Plan {
        let mut plan = arguments.plan(seed);
        plan.flaw = self.flaw();
        plan
    }
}

/// An alarm that a planted bug has raised.
#[derive(Clone, Copy)]
struct Caught {
    /// In the run of which seed.
    seed: u64,
    /// After how many seeds.
    seeds: u64,
    /// The property that did not hold.
    oracle: &'static str,
}

/// Runs seeds until an alarm.
fn catch(bug: Planted, from: u64, arguments: &Arguments, tally: &mut Tally) -> Option<Caught> {
    let seeds: Vec<u64> = (from..from + arguments.seeds).collect();
    let mut caught = None;
    bug.plant();
    let plan = |seed| bug.plan(seed, arguments);
    run_batch(&seeds, arguments.threads(), plan, |ran| {
        tally.add(&ran);
        let Some(alarm) = ran.outcome.alarm else {
            return ControlFlow::Continue(());
        };
        caught = Some(Caught {
            seed: ran.seed,
            seeds: tally.seeds(),
            oracle: alarm.invariant,
        });
        ControlFlow::Break(())
    });
    plant(None);
    caught
}
