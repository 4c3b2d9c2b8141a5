//! Runs seeds and tells what became of them.

mod evidence;
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
use liferaft_sim::client_history;
use liferaft_sim::clock::{Nanos, SECOND};
use liferaft_sim::plan::{MEMBERS_MAX, Plan};
use liferaft_sim::replay::replay;
use liferaft_sim::schedule::{Schedule, spell_trace};

use crate::evidence::Evidence;
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
    /// Replay this schedule instead of running seeds.
    #[arg(long, value_name = "FILE")]
    replay: Option<PathBuf>,
    /// Draw the replay, as text and as a picture.
    #[arg(long, requires = "replay")]
    chart: bool,
    /// Where the schedules and charts of failures go.
    #[arg(long, value_name = "DIR", default_value = "target/sim")]
    schedules: PathBuf,
    /// Where to write what the clients of each seed asked and heard, one line of JSON for each operation.
    #[arg(long, value_name = "DIR", conflicts_with = "replay")]
    histories: Option<PathBuf>,
    /// How many seconds the first failure is shrunk at most; 0 for not at all.
    #[arg(long, value_name = "N", default_value_t = 120)]
    shrink_seconds: u64,
    /// Stop after so many alarms.
    #[arg(long, default_value_t = 20)]
    alarms_max: u64,
}

impl Arguments {
    /// What a seed expands to, with what was asked for in place of what it says.
    fn plan(&self, seed: u64) -> Plan {
        let mut plan = Plan::of_seed(seed);
        plan.tell = self.tell;
        plan.keeps_history = self.histories.is_some();
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

    fn evidence(&self) -> Evidence<'_> {
        Evidence::new(&self.schedules, Duration::from_secs(self.shrink_seconds))
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
    if let Some(file) = &arguments.replay {
        return replay_file(file, &arguments);
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
    let report = match run_seeds(&seeds, &arguments) {
        Ok(report) => report,
        Err(error) => {
            eprintln!("error: {error}");
            return ExitCode::FAILURE;
        }
    };
    report.print_as(arguments.json);
    exit_code(report.is_good())
}

/// Replays a schedule as it stands, without what was planted for it.
fn replay_file(file: &Path, arguments: &Arguments) -> ExitCode {
    let schedule = match Schedule::read(file) {
        Ok(schedule) => schedule,
        Err(error) => {
            eprintln!("error: {error}");
            return ExitCode::FAILURE;
        }
    };
    if let Some(planted) = &schedule.planted {
        eprintln!("its alarm was raised with a bug planted: --bug {planted} plants it");
    }
    let mut tally = Tally::default();
    tally.add(&replayed(&schedule, None, file, arguments));
    let report = tally.report(None);
    report.print_as(arguments.json);
    exit_code(report.is_good())
}

/// Replays a schedule with what is planted, and tells of it.
fn replayed(schedule: &Schedule, planted: Option<&str>, file: &Path, arguments: &Arguments) -> Ran {
    let mut schedule = schedule.clone();
    schedule.plan.tell = arguments.tell;
    let began = Instant::now();
    let outcome = replay(&schedule);
    let ran = Ran {
        seed: schedule.plan.seed,
        outcome,
        took: began.elapsed(),
    };
    let trace = spell_trace(ran.outcome.trace);
    match &ran.outcome.alarm {
        Some(alarm) => eprintln!("{}: {alarm}", file.display()),
        None => eprintln!("{}: no alarm", file.display()),
    }
    if schedule.planted.as_deref() == planted && schedule.trace.as_ref() != Some(&trace) {
        eprintln!("its trace is {trace}, another than when it was written");
    }
    if arguments.chart {
        let name = file.file_stem().unwrap_or_default().to_string_lossy();
        for chart in evidence::draw(&schedule, &arguments.schedules, &name) {
            eprintln!("written: {}", chart.display());
        }
    }
    ran
}

fn run_seeds(seeds: &[u64], arguments: &Arguments) -> Result<Report, String> {
    let began = Instant::now();
    let budget = arguments.seconds.map(Duration::from_secs);
    let mut tally = Tally::default();
    let mut progress = Progress::new(seeds.len());
    let mut evidence = arguments.evidence();
    let mut written = Ok(());
    run_batch(
        seeds,
        arguments.threads(),
        |seed| arguments.plan(seed),
        |ran| {
            tally.add(&ran);
            tell(&ran, arguments);
            if let Some(folder) = &arguments.histories
                && let Err(error) = client_history::write(folder, ran.seed, &ran.outcome.history)
            {
                written = Err(format!("{}: {error}", folder.display()));
                return ControlFlow::Break(());
            }
            if ran.outcome.alarm.is_some() {
                evidence.keep(arguments.plan(ran.seed));
            }
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
    written?;
    Ok(tally.report(None).with(evidence.finish()))
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
