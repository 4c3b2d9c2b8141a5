//! Runs seeds and tells what became of them.

#[cfg(feature = "planted-bugs")]
mod hunt;
mod report;

use std::fs;
use std::io::{self, IsTerminal};
use std::num::NonZero;
use std::ops::ControlFlow;
use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::thread;
use std::time::{Duration, Instant};

use clap::Parser;
use liferaft_sim::batch::{Ran, run_batch};
use liferaft_sim::clock::{Nanos, SECOND};
use liferaft_sim::plan::{MEMBERS_MAX, Plan};

use crate::report::{Report, Tally};

/// Simulates whole clusters and checks them at every step.
#[derive(Debug, Parser)]
struct Arguments {
    /// How many seeds to run.
    #[arg(long, default_value_t = 100)]
    seeds: u64,
    /// The first seed.
    #[arg(long, default_value_t = 1)]
    from: u64,
    /// Run the seeds that this file lists instead, one a line with what it is about.
    #[arg(long, value_name = "FILE")]
    list: Option<PathBuf>,
    /// Stop after so many seconds, though not all seeds have run.
    #[arg(long)]
    seconds: Option<u64>,
    /// How many voters the cluster begins with, whatever the seed says.
    #[arg(long, value_parser = clap::value_parser!(u64).range(1..=MEMBERS_MAX as u64))]
    nodes: Option<u64>,
    /// How many virtual minutes faults strike, whatever the seed says.
    #[arg(long, value_parser = clap::value_parser!(u64).range(1..=60))]
    minutes: Option<u64>,
    /// On how many threads; as many as there are cores, if not said.
    #[arg(long)]
    threads: Option<usize>,
    /// Print one object.
    #[arg(long)]
    json: bool,
    /// Print the plan, the counts and the trace digest of each seed.
    #[arg(long)]
    verbose: bool,
    /// Print every turn of every member.
    #[arg(long)]
    tell: bool,
    /// Plant this bug, by its number or name, and run seeds until it is caught; `all` makes a table of all.
    #[cfg(feature = "planted-bugs")]
    #[arg(long)]
    bug: Option<String>,
    /// Stop after so many alarms.
    #[arg(long, default_value_t = 20)]
    alarms_max: u64,
}

impl Arguments {
    /// What a seed expands to, with what was asked for in place of what it says.
    fn plan(&self, seed: u64) -> Plan {
        let mut plan = Plan::of_seed(seed);
        plan.tell = self.tell;
        if let Some(nodes) = self.nodes {
            let nodes = usize::try_from(nodes).expect("a few");
            let spares = plan.members - plan.voters;
            plan.voters = nodes;
            plan.members = (nodes + spares).min(MEMBERS_MAX);
        }
        if let Some(minutes) = self.minutes {
            plan.safety_phase = Nanos::from(minutes) * 60 * SECOND;
        }
        plan
    }

    fn threads(&self) -> usize {
        if self.tell {
            return 1;
        }
        self.threads
            .or_else(|| thread::available_parallelism().ok().map(NonZero::get))
            .unwrap_or(1)
    }
}

fn main() -> ExitCode {
    let arguments = Arguments::parse();
    #[cfg(feature = "planted-bugs")]
    if let Some(bug) = &arguments.bug {
        return hunt::hunt(bug, &arguments);
    }
    let listed = arguments.list.as_deref().map(seeds_listed);
    let seeds = match listed {
        Some(Ok(seeds)) => seeds,
        Some(Err(error)) => {
            eprintln!("error: {error}");
            return ExitCode::FAILURE;
        }
        None => (arguments.from..arguments.from.saturating_add(arguments.seeds)).collect(),
    };
    let report = run_seeds(&seeds, &arguments);
    if arguments.json {
        print_json(&report);
    } else {
        report.print();
    }
    exit_code(report.is_good())
}

fn run_seeds(seeds: &[u64], arguments: &Arguments) -> Report {
    let began = Instant::now();
    let budget = arguments.seconds.map(Duration::from_secs);
    let mut tally = Tally::default();
    let mut progress = Progress::new(seeds.len());
    run_batch(
        seeds,
        arguments.threads(),
        |seed| arguments.plan(seed),
        |ran| {
            tally.add(&ran);
            tell(&ran, arguments);
            progress.show(&tally);
            let is_over = tally.alarms() >= arguments.alarms_max
                || budget.is_some_and(|budget| began.elapsed() >= budget);
            if is_over {
                ControlFlow::Break(())
            } else {
                ControlFlow::Continue(())
            }
        },
    );
    progress.clear();
    tally.report(None)
}

/// Prints what is to be known of a single run. With `--json` it goes beside the object.
fn tell(ran: &Ran, arguments: &Arguments) {
    let Ran { seed, outcome, .. } = ran;
    if arguments.verbose {
        eprintln!("{:#?}", arguments.plan(*seed));
        eprintln!(
            "seed {seed}: trace {:016x} {:?}",
            outcome.trace.0, outcome.counts
        );
    }
    if let Some(alarm) = &outcome.alarm {
        eprintln!("seed {seed}: {alarm}");
        eprintln!("to repeat it: cargo xtask sim --seeds 1 --from {seed}");
    }
}

/// The first word of each line that is no comment.
fn seeds_listed(file: &Path) -> Result<Vec<u64>, String> {
    let text = fs::read_to_string(file).map_err(|error| format!("{}: {error}", file.display()))?;
    let lines = text.lines().map(str::trim);
    let lines = lines.filter(|line| !line.is_empty() && !line.starts_with('#'));
    lines
        .map(|line| {
            let seed = line.split_whitespace().next().unwrap_or_default();
            seed.parse()
                .map_err(|_| format!("{}: no seed: {line}", file.display()))
        })
        .collect()
}

fn print_json(report: &Report) {
    let json = serde_json::to_string(report).expect("counts and names");
    println!("{json}");
}

fn exit_code(is_good: bool) -> ExitCode {
    if is_good {
        ExitCode::SUCCESS
    } else {
        ExitCode::FAILURE
    }
}

/// How far a batch has got, for who watches it.
struct Progress {
    seeds: usize,
    shown: Option<Instant>,
    is_watched: bool,
}

impl Progress {
    const EVERY: Duration = Duration::from_millis(200);

    fn new(seeds: usize) -> Self {
        Self {
            seeds,
            shown: None,
            is_watched: io::stderr().is_terminal(),
        }
    }

    fn show(&mut self, tally: &Tally) {
        let is_due = self
            .shown
            .is_none_or(|shown| shown.elapsed() >= Self::EVERY);
        if self.is_watched && is_due {
            eprint!(
                "\r{} of {} seeds, {} alarms ",
                tally.seeds(),
                self.seeds,
                tally.alarms()
            );
            self.shown = Some(Instant::now());
        }
    }

    fn clear(&self) {
        if self.shown.is_some() {
            eprint!("\r\x1b[K");
        }
    }
}
