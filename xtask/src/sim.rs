//! `cargo xtask sim`: whole clusters under a virtual clock, with faults, checked at every step.
//!
//! The program `liferaft-sim` does it and tells of it; here it is built, without or with the bugs that can be planted.

use std::path::{self, PathBuf};
use std::process::ExitCode;
use std::time::Duration;

use anyhow::Result;

use crate::process::Program;
use crate::workspace::{self, Workspace};

/// Enough for a night; Ctrl-C ends it sooner.
const DEADLINE: Duration = Duration::from_secs(12 * 60 * 60);
/// How many seeds may be needed to find a planted bug.
const HUNT_SEEDS: u64 = 2_000;
const SEEDS: u64 = 1_000;

#[derive(clap::Args)]
pub(crate) struct Args {
    /// How many seeds [default: 1000; with --bug 2000 at most]
    #[arg(long)]
    seeds: Option<u64>,
    /// The first of them
    #[arg(long, default_value_t = 1)]
    from: u64,
    /// How many voters the cluster begins with, whatever the seed says
    #[arg(long)]
    nodes: Option<u64>,
    /// How many virtual minutes faults strike, whatever the seed says
    #[arg(long)]
    minutes: Option<u64>,
    /// Plant this bug, by number or name, and run until it is caught; `all` makes a table of all
    #[arg(long)]
    bug: Option<String>,
    /// Replay this schedule instead of running seeds
    #[arg(long, value_name = "FILE", conflicts_with_all = ["seeds", "from", "nodes", "minutes"])]
    replay: Option<PathBuf>,
    /// Draw the replay, as text and as a picture
    #[arg(long, requires = "replay")]
    chart: bool,
    /// Where the schedules and charts of failures go [default: target/sim]
    #[arg(long, value_name = "DIR")]
    schedules: Option<PathBuf>,
    /// Where to write what the clients of each seed asked and heard, one line of JSON for each operation
    #[arg(long, value_name = "DIR", conflicts_with_all = ["replay", "bug"])]
    histories: Option<PathBuf>,
    /// How many seconds the first failure is shrunk at most [default: 120]; 0 for not at all
    #[arg(long, value_name = "N")]
    shrink_seconds: Option<u64>,
    /// Print one object
    #[arg(long)]
    json: bool,
}

pub(crate) fn run(args: &Args) -> Result<ExitCode> {
    let workspace = Workspace::load()?;
    let plants = args.bug.is_some();
    let seeds = args
        .seeds
        .unwrap_or(if plants { HUNT_SEEDS } else { SEEDS });
    let mut simulator = workspace
        .program(Program::new(build(&workspace, plants)?))
        .deadline(DEADLINE)
        .args(&format!("--seeds {seeds} --from {}", args.from));
    let options = [
        ("--nodes", args.nodes),
        ("--minutes", args.minutes),
        ("--shrink-seconds", args.shrink_seconds),
    ];
    for (name, value) in options {
        if let Some(value) = value {
            simulator = simulator.arg(name).arg(value.to_string());
        }
    }
    if let Some(bug) = &args.bug {
        simulator = simulator.arg("--bug").arg(bug);
    }
    // Paths are those of who calls; the program runs in the workspace.
    let schedules = match &args.schedules {
        Some(folder) => path::absolute(folder)?,
        None => workspace.target.join("sim"),
    };
    simulator = simulator.arg("--schedules").arg(schedules);
    if let Some(folder) = &args.histories {
        simulator = simulator.arg("--histories").arg(path::absolute(folder)?);
    }
    if let Some(file) = &args.replay {
        simulator = simulator.arg("--replay").arg(path::absolute(file)?);
    }
    if args.chart {
        simulator = simulator.arg("--chart");
    }
    if args.json {
        simulator = simulator.arg("--json");
    }
    simulator.run()?;
    Ok(ExitCode::SUCCESS)
}

/// Builds the simulator as tests are built, without optimizations, and returns where it is.
pub(crate) fn build_for_tests(workspace: &Workspace) -> Result<PathBuf> {
    const BUILD: &str = "build --package liferaft-sim --bin liferaft-sim --locked \
                         --message-format json-render-diagnostics";
    workspace::executable(workspace.cargo().args(BUILD))
}

/// Builds the simulator and returns where it is. With bugs to plant it is another program, in a folder of its own: in
/// one folder the two would undo each other's work.
pub(crate) fn build(workspace: &Workspace, plants_bugs: bool) -> Result<PathBuf> {
    const BUILD: &str = "build --release --package liferaft-sim --bin liferaft-sim --locked \
                         --message-format json-render-diagnostics";
    let mut cargo = workspace.cargo().args(BUILD);
    if plants_bugs {
        cargo = cargo
            .args("--features planted-bugs --target-dir")
            .arg(workspace.target.join("planted-bugs"));
    }
    workspace::executable(cargo)
}
