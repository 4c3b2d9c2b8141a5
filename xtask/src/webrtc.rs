//! `cargo xtask webrtc`: how clusters over WebRTC do in the demo, each figure beside its target.

use std::path::Path;
use std::process::ExitCode;
use std::time::Duration;

use anyhow::{Context, Result, ensure};
use serde_json::Value;

use crate::browser::{BY_HAND, Browser, HAND_OVERS, SNAPSHOT, build_program, drive};
use crate::web;
use crate::workspace::Workspace;

#[derive(clap::Args)]
pub(crate) struct Args {
    /// How often each cluster is run
    #[arg(long, value_name = "N", default_value_t = 3, value_parser = clap::value_parser!(u32).range(1..))]
    runs: u32,

    /// Instead, have a tab of Chromium take in 16 MB of another's snapshot that often, and look at their heartbeats
    #[arg(long, conflicts_with = "by_hand")]
    tabs: bool,

    /// Instead, connect tabs of Chromium by texts that are taken two minutes after they were made
    #[arg(long)]
    by_hand: bool,

    /// Instead, close the tab of Chromium that leads, twenty times, and count how often it has handed over
    #[arg(long, conflicts_with_all = ["tabs", "by_hand"])]
    hand_overs: bool,
}

/// How long a text of an offer or an answer waits until it is taken, in seconds.
const DAWDLED_SECONDS: &str = "120";

/// Of how many values of 500 kB the snapshot is that goes from tab to tab. It has 8 MB besides, of recent changes.
const SNAPSHOT_VALUES: &str = "16";

/// How many tabs that lead are closed, and how many of them are to hand over.
const CLOSED_AND_LEAST: [&str; 2] = ["20", "18"];

/// How long driving pages may take.
const PAGES_DEADLINE: Duration = Duration::from_secs(900);

/// How long one run may take: the longest takes about half a minute.
const DEADLINE: Duration = Duration::from_secs(240);

/// A cluster that the demo runs.
struct Plan {
    about: &'static str,
    flags: &'static str,
    figures: &'static [Figure],
}

/// A key of the demo's object, and between what its value is to be in every run.
struct Figure {
    key: &'static str,
    about: &'static str,
    least: f64,
    most: f64,
}

const fn figure(key: &'static str, about: &'static str, most: f64) -> Figure {
    Figure {
        key,
        about,
        least: 0.0,
        most,
    }
}

/// Silence counts from when the next answer is due, which is after the kill.
const EVICTED: [Figure; 2] = [
    Figure {
        key: "recover_leader_ms",
        about: "leader killed → evicted everywhere",
        least: 2_500.0,
        most: 3_000.0,
    },
    Figure {
        key: "recover_half_ms",
        about: "2 of 5 killed → evicted everywhere",
        least: 2_500.0,
        most: 3_000.0,
    },
];

const PLANS: [Plan; 3] = [
    Plan {
        about: "41 members in one process, laboratory, election timeout 1000 ms",
        flags: "--nodes 41 --lab --memory",
        figures: &[
            figure(
                "mesh_ms",
                "constructed → all know all, all links up",
                8_000.0,
            ),
            figure("propagate_1_ms", "1 line, until applied on all", 50.0),
            figure(
                "propagate_100_ms",
                "100 lines one by one, the same",
                1_000.0,
            ),
            figure(
                "recover_leader_ms",
                "leader killed → replaced, evicted",
                1_400.0,
            ),
            figure(
                "recover_half_ms",
                "20 of 41 killed → replaced, evicted",
                1_600.0,
            ),
        ],
    },
    Plan {
        about: "101 members with 7 voters in one process, laboratory",
        flags: "--nodes 101 --voters 7 --lab --memory",
        // Voters among themselves, and with each learner.
        figures: &[figure("links", "links (all with all would be 5050)", 679.0)],
    },
    Plan {
        about: "5 processes, evicted after 2500 ms of silence, election timeout 250 ms",
        flags: "--nodes 5 --processes --evict-after 2500 --election-timeout 250",
        figures: &EVICTED,
    },
];

pub(crate) fn run(args: &Args) -> Result<ExitCode> {
    let workspace = Workspace::load()?;
    if args.tabs || args.by_hand || args.hand_overs {
        drive_tabs(&workspace, args)?;
        return Ok(ExitCode::SUCCESS);
    }
    let mut all_met = true;
    for plan in &PLANS {
        let mut runs = Vec::new();
        for number in 1..=args.runs {
            eprintln!("run {number} of {}: {}", args.runs, plan.about);
            runs.push(demo(&workspace, plan)?);
        }
        println!("{}", plan.about);
        println!(
            "  {:42}{:>8}{:>8}{:>8}{:>14}",
            "", "least", "median", "most", "target"
        );
        for figure in plan.figures {
            let (line, met) = judged(figure, &runs)?;
            println!("{line}");
            all_met &= met;
        }
    }
    Ok(if all_met {
        ExitCode::SUCCESS
    } else {
        ExitCode::FAILURE
    })
}

fn drive_tabs(workspace: &Workspace, args: &Args) -> Result<()> {
    let browser = Browser::find(workspace)?;
    let Browser { chromium, modules } = browser.map_err(anyhow::Error::msg)?;
    if args.by_hand {
        let site = web::make(workspace, true)?.site;
        let seconds = Path::new(DAWDLED_SECONDS);
        let arguments = [&*chromium, &modules, &site, seconds];
        return drive(workspace, BY_HAND, &arguments, PAGES_DEADLINE);
    }
    if args.hand_overs {
        let site = web::make(workspace, true)?.site;
        let program = build_program(workspace, &site)?;
        let [closed, least] = CLOSED_AND_LEAST.map(Path::new);
        let arguments = [&*program, &chromium, &modules, &site, closed, least];
        return drive(workspace, HAND_OVERS, &arguments, PAGES_DEADLINE);
    }
    let site = web::make_snapshot(workspace, true)?;
    let runs = args.runs.to_string();
    let numbers = [SNAPSHOT_VALUES, &runs, "figures"].map(Path::new);
    let [values, runs, figures] = numbers;
    let arguments = [&*chromium, &modules, &site, values, runs, figures];
    drive(workspace, SNAPSHOT, &arguments, PAGES_DEADLINE)
}

fn demo(workspace: &Workspace, plan: &Plan) -> Result<Value> {
    let mut json = String::new();
    workspace
        .cargo()
        .args("liferaft demo --json --transport webrtc")
        .args(plan.flags)
        .deadline(DEADLINE)
        .run_with_lines(|line| json.push_str(line))?;
    let run: Value = serde_json::from_str(&json).context("the demo's output is not JSON")?;
    ensure!(
        run["verified"] == true,
        "the demo did not verify itself: {json}"
    );
    Ok(run)
}

/// Returns the line of a figure, and whether each run was within its bounds.
fn judged(figure: &Figure, runs: &[Value]) -> Result<(String, bool)> {
    let Figure {
        key,
        about,
        least,
        most,
    } = figure;
    let values = runs.iter().map(|run| run[key].as_f64());
    let mut values: Vec<f64> = values
        .collect::<Option<_>>()
        .with_context(|| format!("the demo measured no `{key}`"))?;
    values.sort_by(f64::total_cmp);
    let (first, last) = (values[0], values[values.len() - 1]);
    let met = first >= *least && last <= *most;
    let target = if *least > 0.0 {
        format!("{least:.0}–{most:.0}")
    } else {
        format!("{most:.0}")
    };
    let verdict = if met { "met" } else { "missed" };
    let median = values[values.len() / 2];
    let line = format!("  {about:42}{first:>8.0}{median:>8.0}{last:>8.0}{target:>14}   {verdict}");
    Ok((line, met))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn met(values: [f64; 2]) -> bool {
        let runs = values.map(|value| serde_json::json!({ "recover_leader_ms": value }));
        let (line, met) = judged(&EVICTED[0], &runs).expect("nothing is missing");
        assert_eq!(line.ends_with("   met"), met);
        met
    }

    #[test]
    fn every_run_counts_and_nothing_may_come_too_early() {
        assert!(met([2_900.0, 2_500.0]));
        assert!(!met([2_900.0, 3_001.0]));
        assert!(!met([2_900.0, 2_000.0]));
    }

    #[test]
    fn a_run_without_the_figure_is_no_measurement() {
        let run = serde_json::json!({ "recover_leader_ms": null });

        assert!(judged(&EVICTED[0], &[run]).is_err());
    }
}
