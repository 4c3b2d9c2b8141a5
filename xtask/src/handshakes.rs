//! `cargo xtask handshakes`: what it costs a cluster that its links prove who is at their other end, by runs of the
//! demo that alternate with runs over links that prove nothing.

use std::process::ExitCode;
use std::time::Duration;

use anyhow::{Context, Result, ensure};
use serde_json::Value;

use crate::stages::demo::TIMES;
use crate::workspace::Workspace;

#[derive(clap::Args)]
pub(crate) struct Args {
    /// Members of the cluster
    #[arg(long, value_name = "N", default_value_t = 5)]
    nodes: usize,

    /// How many pairs of runs
    #[arg(long, value_name = "N", default_value_t = 15, value_parser = clap::value_parser!(u32).range(1..))]
    pairs: u32,
}

/// How long one run may take: it takes about five seconds.
const DEADLINE: Duration = Duration::from_secs(120);

/// How much longer a figure may take with handshakes.
const RATIO_MAX: f64 = 1.10;

pub(crate) fn run(args: &Args) -> Result<ExitCode> {
    let workspace = Workspace::load()?;
    let mut pairs = Vec::new();
    for seed in 1..=args.pairs {
        eprintln!("pair {seed} of {}: {} members", args.pairs, args.nodes);
        let unproven = demo(&workspace, args.nodes, seed, &["--unproven"])?;
        let proven = demo(&workspace, args.nodes, seed, &[])?;
        pairs.push((unproven, proven));
    }
    println!(
        "{} members, medians of {} pairs of runs; with handshakes at most {RATIO_MAX} times as long:",
        args.nodes, args.pairs
    );
    println!("{:24}{:>12}{:>12}{:>8}", "", "unproven", "proven", "ratio");
    let mut all_met = true;
    for figure in TIMES {
        let of = |run: &Value| {
            run[figure]
                .as_f64()
                .with_context(|| format!("the demo measured no `{figure}`: too few members?"))
        };
        let unproven = pairs.iter().map(|(unproven, _)| of(unproven));
        let proven = pairs.iter().map(|(_, proven)| of(proven));
        let unproven = median(unproven.collect::<Result<_>>()?);
        let proven = median(proven.collect::<Result<_>>()?);
        let ratio = proven / unproven;
        let met = ratio <= RATIO_MAX;
        all_met &= met;
        let verdict = if met { "met" } else { "missed" };
        println!("{figure:24}{unproven:>9.3} ms{proven:>9.3} ms{ratio:>8.3}  {verdict}");
    }
    Ok(if all_met {
        ExitCode::SUCCESS
    } else {
        ExitCode::FAILURE
    })
}

fn demo(workspace: &Workspace, nodes: usize, seed: u32, flags: &[&str]) -> Result<Value> {
    let mut json = String::new();
    let mut demo = workspace
        .cargo()
        .args("liferaft demo --json --lab --memory --nodes")
        .arg(nodes.to_string())
        .args("--seed")
        .arg(seed.to_string());
    for flag in flags {
        demo = demo.arg(flag);
    }
    demo.deadline(DEADLINE)
        .run_with_lines(|line| json.push_str(line))?;
    let run: Value = serde_json::from_str(&json).context("the demo's output is not JSON")?;
    ensure!(
        run["verified"] == true,
        "the demo did not verify itself: {json}"
    );
    Ok(run)
}

fn median(mut times: Vec<f64>) -> f64 {
    times.sort_by(f64::total_cmp);
    times[times.len() / 2]
}
