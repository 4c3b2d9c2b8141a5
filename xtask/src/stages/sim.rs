//! The simulator, for about a minute: seeds that once found a bug, the first of all seeds, and some that nobody has
//! run.
//!
//! The first seeds are the same each time: when one of them fails, what failed is the change. Fresh ones are drawn from
//! the commit, so that each commit tries others, and the same ones wherever it is tested.

use std::path::Path;
use std::time::Duration;

use anyhow::{Context, Result, ensure};
use serde::Deserialize;

use super::{Checks, Stage};
use crate::process::Program;
use crate::sim;
use crate::workspace::Workspace;

pub(super) const STAGE: Stage = Stage {
    name: "sim",
    about: "simulated clusters: seeds that found bugs, the first two thousand, and fresh ones",
    budget: Duration::from_secs(200),
    run,
};

const REGRESSIONS: &str = "sim/regressions.txt";
/// As many as make a batch that must have seen every fault and situation.
const FIXED_SEEDS: u64 = 2000;
/// How long fresh seeds are run: what the others leave of a minute.
const FRESH_SECONDS: u64 = 25;
/// More than can be run in that time.
const FRESH_SEEDS: u64 = 1_000_000;
/// How many seeds are run without optimizations too, to see that they run the same.
const TRACED_SEEDS: u64 = 12;
/// For each of the runs, not counting the build.
const DEADLINE: Duration = Duration::from_secs(10 * 60);

fn run(workspace: &Workspace, checks: &mut Checks) -> Result<()> {
    let built = sim::build(workspace, false)?;
    let simulator = || workspace.program(Program::new(&built)).deadline(DEADLINE);
    simulator().arg("--list").arg(REGRESSIONS).run()?;
    simulator()
        .args(&format!("--from 1 --seeds {FIXED_SEEDS}"))
        .run()?;
    check_traces(workspace, &built)?;
    let Ok(commit) = commit(workspace) else {
        checks.skip_part("no commit to draw fresh seeds from");
        return Ok(());
    };
    let from = fresh_seed(&commit)?;
    println!("fresh seeds from {from}, drawn from commit {commit}");
    simulator()
        .args(&format!(
            "--from {from} --seeds {FRESH_SEEDS} --seconds {FRESH_SECONDS}"
        ))
        .run()
}

/// The same seeds make the same runs in a build with optimizations and in one without.
fn check_traces(workspace: &Workspace, optimized: &Path) -> Result<()> {
    let plain = sim::build_for_tests(workspace)?;
    let traces = [optimized, &plain].map(|simulator| trace(workspace, simulator));
    let [optimized, plain] = traces;
    let (optimized, plain) = (optimized?, plain?);
    ensure!(
        optimized == plain,
        "seeds 1 to {TRACED_SEEDS} run otherwise with optimizations: {optimized}, without {plain}"
    );
    println!("seeds 1 to {TRACED_SEEDS} have the trace {plain} with optimizations and without");
    Ok(())
}

/// The digest of the first runs.
fn trace(workspace: &Workspace, simulator: &Path) -> Result<String> {
    let simulator = workspace.program(Program::new(simulator));
    let report = simulator
        .args(&format!("--from 1 --seeds {TRACED_SEEDS} --json"))
        .deadline(DEADLINE)
        .stdout()?;
    let report: Report =
        serde_json::from_str(&report).context("reading what the simulator says")?;
    Ok(report.trace)
}

/// What of the simulator's report is read here.
#[derive(Deserialize)]
struct Report {
    trace: String,
}

fn commit(workspace: &Workspace) -> Result<String> {
    let git = workspace.program(Program::new("git"));
    let commit = git.args("rev-parse HEAD").stdout()?;
    Ok(commit.trim().to_owned())
}

/// The first seed that a commit stands for: its beginning as a number, so that each commit tries others.
fn fresh_seed(commit: &str) -> Result<u64> {
    const DIGITS: usize = 12;
    ensure!(
        commit.len() >= DIGITS && commit.is_ascii(),
        "git names a commit strangely: {commit}"
    );
    u64::from_str_radix(&commit[..DIGITS], 16).with_context(|| format!("reading commit {commit}"))
}

#[cfg(test)]
mod unit {
    use super::*;

    #[test]
    fn a_commit_stands_for_the_same_seeds_always() {
        let seed = fresh_seed("00000000002aea504770e1e24a9b66a4086d48a4").expect("a commit");

        assert_eq!(seed, 42);
        assert!(fresh_seed("main").is_err());
    }
}
