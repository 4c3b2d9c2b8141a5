//! Runs seeds and tells what became of them.

#[cfg(feature = "planted-bugs")]
mod hunt;

use std::collections::BTreeMap;
use std::process::ExitCode;
use std::time::Instant;

use clap::Parser;
use liferaft_sim::counts::Counts;
use liferaft_sim::plan::Plan;
use liferaft_sim::run::run;

/// Simulates whole clusters and checks them at every step.
#[derive(Debug, Parser)]
struct Arguments {
    /// How many seeds to run.
    #[arg(long, default_value_t = 100)]
    seeds: u64,
    /// The first seed.
    #[arg(long, default_value_t = 1)]
    from: u64,
    /// Print the plan and the trace digest of each seed.
    #[arg(long)]
    verbose: bool,
    /// Print every turn of every member.
    #[arg(long)]
    tell: bool,
    /// Print how many inputs each seed took.
    #[arg(long)]
    costs: bool,
    /// Plant this bug, by its number or name, and run seeds until it is caught; `all` makes a table of all.
    #[cfg(feature = "planted-bugs")]
    #[arg(long)]
    bug: Option<String>,
    /// Go on after this many alarms.
    #[arg(long, default_value_t = 20)]
    alarms_max: usize,
}

fn main() -> ExitCode {
    let arguments = Arguments::parse();
    #[cfg(feature = "planted-bugs")]
    if let Some(bug) = &arguments.bug {
        return hunt::hunt(bug, arguments.from, arguments.seeds);
    }
    let began = Instant::now();
    let mut total = Counts::default();
    let mut virtual_seconds = 0;
    let mut alarms = BTreeMap::<&'static str, u64>::new();
    let mut seeds = 0;
    for seed in arguments.from..arguments.from + arguments.seeds {
        let mut plan = Plan::of_seed(seed);
        plan.tell = arguments.tell;
        if arguments.verbose {
            println!("{plan:#?}");
        }
        let outcome = run(plan);
        seeds += 1;
        total.add(&outcome.counts);
        virtual_seconds += outcome.lasted / 1_000_000_000;
        if arguments.verbose {
            println!(
                "seed {seed}: trace {:016x} {:?}",
                outcome.trace.0, outcome.counts
            );
        }
        if arguments.costs {
            let inputs = outcome.counts.inputs;
            println!(
                "seed {seed}: {inputs} inputs, trace {:016x}",
                outcome.trace.0
            );
        }
        if let Some(alarm) = outcome.alarm {
            println!("seed {seed}: {alarm}");
            *alarms.entry(alarm.invariant).or_default() += 1;
            if alarms.values().sum::<u64>() >= arguments.alarms_max as u64 {
                break;
            }
        }
    }
    let took = began.elapsed();
    let rate = u128::from(total.inputs) * 1000 / took.as_millis().max(1);
    println!("{seeds} seeds, {virtual_seconds} virtual s in {took:?}, {rate} inputs/s");
    println!("{total:?}");
    println!("alarms: {alarms:?}");
    if alarms.is_empty() {
        ExitCode::SUCCESS
    } else {
        ExitCode::FAILURE
    }
}
