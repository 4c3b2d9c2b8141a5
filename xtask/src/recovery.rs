//! `cargo xtask recovery`: how long a cluster in the laboratory's profile takes until it is whole again, beside what it
//! should take and what the system of the paper took.

use std::process::ExitCode;
use std::time::Duration;

use anyhow::{Context, Result, ensure};
use serde::Serialize;
use serde_json::Value;

use crate::workspace::Workspace;

#[derive(clap::Args)]
pub(crate) struct Args {
    /// Members of the cluster
    #[arg(long, value_name = "N", default_value_t = 41)]
    nodes: usize,

    /// How often the demo is run
    #[arg(long, value_name = "N", default_value_t = 5, value_parser = clap::value_parser!(u32).range(1..))]
    runs: u32,

    /// Print one JSON object in place of a table
    #[arg(long)]
    json: bool,
}

/// How long one run may take: it takes about five seconds.
const DEADLINE: Duration = Duration::from_secs(120);

/// The key of a time in the demo's object, what it is, its target at 41 members in milliseconds, and what the original
/// took in one process.
const FIGURES: [(&str, &str, f64, &str); 2] = [
    (
        "recover_leader_ms",
        "leader killed → evicted everywhere",
        1300.0,
        "0.96 s of waiting, and a removal",
    ),
    (
        "recover_half_ms",
        "just under half killed → evicted everywhere",
        1400.0,
        "1.95 s",
    ),
];

#[derive(Serialize)]
struct Report {
    nodes: usize,
    runs: u32,
    profile: &'static str,
    evict_after_ms: f64,
    figures: Vec<Figure>,
}

/// One time, over all runs, in milliseconds.
#[derive(Serialize)]
struct Figure {
    name: &'static str,
    least_ms: f64,
    median_ms: f64,
    most_ms: f64,
    target_ms: f64,
    met: bool,
}

pub(crate) fn run(args: &Args) -> Result<ExitCode> {
    let workspace = Workspace::load()?;
    let mut runs = Vec::new();
    for number in 1..=args.runs {
        eprintln!(
            "run {number} of {}: {} members, laboratory",
            args.runs, args.nodes
        );
        runs.push(demo(&workspace, args.nodes)?);
    }
    let report = report(args, &runs)?;
    if args.json {
        println!("{}", serde_json::to_string(&report)?);
    } else {
        print_table(&report);
    }
    let met = report.figures.iter().all(|figure| figure.met);
    Ok(if met {
        ExitCode::SUCCESS
    } else {
        ExitCode::FAILURE
    })
}

fn demo(workspace: &Workspace, nodes: usize) -> Result<Value> {
    let mut json = String::new();
    workspace
        .cargo()
        .args("liferaft demo --json --lab --memory --nodes")
        .arg(nodes.to_string())
        .deadline(DEADLINE)
        .run_with_lines(|line| json.push_str(line))?;
    let run: Value = serde_json::from_str(&json).context("the demo's output is not JSON")?;
    ensure!(
        run["verified"] == true,
        "the demo did not verify itself: {json}"
    );
    Ok(run)
}

fn report(args: &Args, runs: &[Value]) -> Result<Report> {
    let evict_after_ms = runs.first().and_then(|run| run["evict_after_ms"].as_f64());
    let figures = FIGURES.iter().map(|(name, _, target_ms, _)| {
        let times = runs.iter().map(|run| run[name].as_f64());
        let mut times: Vec<f64> = times
            .collect::<Option<_>>()
            .with_context(|| format!("the demo measured no `{name}`: too few members?"))?;
        times.sort_by(f64::total_cmp);
        let (least_ms, median_ms) = (times[0], times[times.len() / 2]);
        let most_ms = times[times.len() - 1];
        Ok(Figure {
            name,
            least_ms,
            median_ms,
            most_ms,
            target_ms: *target_ms,
            met: most_ms <= *target_ms,
        })
    });
    Ok(Report {
        nodes: args.nodes,
        runs: args.runs,
        profile: "laboratory: election timeout 1000 ms, evicted after as much silence, at least 2 voters",
        evict_after_ms: evict_after_ms.context("the demo does not say when it evicts")?,
        figures: figures.collect::<Result<_>>()?,
    })
}

fn print_table(report: &Report) {
    println!(
        "{} members, {} runs, {}",
        report.nodes, report.runs, report.profile
    );
    println!(
        "{:46}{:>8}{:>8}{:>8}{:>8}   the original, in process",
        "ms", "least", "median", "most", "target"
    );
    for (figure, (_, about, _, original)) in report.figures.iter().zip(FIGURES) {
        let verdict = if figure.met { "met" } else { "missed" };
        println!(
            "{about:46}{:>8.0}{:>8.0}{:>8.0}{:>8.0}   {original}; {verdict}",
            figure.least_ms, figure.median_ms, figure.most_ms, figure.target_ms,
        );
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn run_of(leader: f64, half: f64) -> Value {
        serde_json::json!({
            "recover_leader_ms": leader, "recover_half_ms": half, "evict_after_ms": 1000,
        })
    }

    const ARGS: Args = Args {
        nodes: 41,
        runs: 3,
        json: false,
    };

    #[test]
    fn a_target_is_met_when_the_slowest_run_meets_it() {
        let runs = [
            run_of(1200.0, 1300.0),
            run_of(1300.0, 1401.0),
            run_of(1100.0, 1350.0),
        ];

        let report = report(&ARGS, &runs).expect("nothing is missing");

        let met: Vec<bool> = report.figures.iter().map(|figure| figure.met).collect();
        assert_eq!(met, [true, false]);
        assert_eq!(report.figures[0].median_ms.to_bits(), 1200f64.to_bits());
    }

    #[test]
    fn a_run_in_which_nobody_was_evicted_is_no_measurement() {
        let mut run = run_of(1200.0, 1300.0);
        run["recover_half_ms"] = Value::Null;

        assert!(report(&ARGS, &[run]).is_err());
    }
}
