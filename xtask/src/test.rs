//! `cargo xtask test`: the stages, one after the other, and what became of them.

use std::process::ExitCode;
use std::time::{Duration, Instant};

use anyhow::Result;
use clap::builder::PossibleValuesParser;

use crate::process::Interrupted;
use crate::skips::{Allowed, Skip};
use crate::stages::{self, Checks, Stage};
use crate::workspace::Workspace;

#[derive(clap::Args)]
pub(crate) struct Args {
    /// Run this stage only; may be given more than once
    #[arg(long, value_name = "STAGE", value_parser = PossibleValuesParser::new(stages::names()))]
    only: Vec<String>,
    /// Go on after a stage that fails
    #[arg(long)]
    keep_going: bool,
    /// Say what the stages are, and run none
    #[arg(long)]
    list: bool,
}

/// What became of a stage.
enum Verdict {
    Passed,
    Skipped,
    Failed(String),
    NotRun,
}

/// A stage's line in the final table.
struct Row {
    stage: &'static str,
    verdict: Verdict,
    took: Duration,
    budget: Duration,
}

pub(crate) fn run(args: &Args) -> Result<ExitCode> {
    if args.list {
        for stage in stages::ALL {
            println!("{:<10} {}", stage.name, stage.about);
        }
        return Ok(ExitCode::SUCCESS);
    }
    let workspace = Workspace::load()?;
    let allowed = Allowed::committed()?;
    let chosen = stages::ALL
        .iter()
        .filter(|stage| args.only.is_empty() || args.only.iter().any(|name| name == stage.name));
    let mut rows = Vec::new();
    let mut skips = Vec::new();
    let mut failed = false;
    for stage in chosen {
        if failed && !args.keep_going {
            rows.push(Row {
                stage: stage.name,
                verdict: Verdict::NotRun,
                took: Duration::ZERO,
                budget: stage.budget,
            });
            continue;
        }
        let row = run_stage(stage, &workspace, &mut skips)?;
        failed |= matches!(row.verdict, Verdict::Failed(_));
        rows.push(row);
    }
    report(&rows, &skips);
    let refused = is_ci() && report_refused(&skips, &allowed);
    Ok(if failed || refused {
        ExitCode::FAILURE
    } else {
        ExitCode::SUCCESS
    })
}

fn run_stage(stage: &Stage, workspace: &Workspace, skips: &mut Vec<Skip>) -> Result<Row> {
    eprintln!("\n=== {}: {}", stage.name, stage.about);
    let started = Instant::now();
    let mut checks = Checks::default();
    let verdict = match (stage.run)(workspace, &mut checks) {
        Ok(()) if checks.skipped_whole => Verdict::Skipped,
        Ok(()) => Verdict::Passed,
        Err(error) if error.is::<Interrupted>() => return Err(error),
        Err(error) => {
            eprintln!("error: {error:#}");
            Verdict::Failed(format!("{error:#}"))
        }
    };
    skips.extend(checks.skips.into_iter().map(|reason| Skip {
        stage: stage.name,
        reason,
    }));
    Ok(Row {
        stage: stage.name,
        verdict,
        took: started.elapsed(),
        budget: stage.budget,
    })
}

fn report(rows: &[Row], skips: &[Skip]) {
    println!();
    for row in rows {
        let (verdict, detail) = match &row.verdict {
            Verdict::Passed => ("passed", ""),
            Verdict::Skipped => ("skipped", ""),
            // A failure's first line says which check it was; the rest is above.
            Verdict::Failed(reason) => ("FAILED", reason.lines().next().unwrap_or_default()),
            Verdict::NotRun => ("not run", ""),
        };
        let over = if row.took > row.budget { "over " } else { "" };
        let times = times(row.took, row.budget);
        let line = format!("{:<10} {verdict:<8} {times}  {over}{detail}", row.stage);
        println!("{}", line.trim_end());
    }
    let took = rows.iter().map(|row| row.took).sum();
    let budget = rows.iter().map(|row| row.budget).sum();
    println!("{:<10} {:<8} {}", "all", "", times(took, budget));
    if !skips.is_empty() {
        println!("\nskipped:");
        for skip in skips {
            println!("  {}: {}", skip.stage, skip.reason);
        }
    }
}

/// What was taken, beside what may be.
fn times(took: Duration, budget: Duration) -> String {
    format!("{:>7.1} s of {:>4} s", took.as_secs_f64(), budget.as_secs())
}

/// Says which skips are not on the committed list, and whether there are any.
fn report_refused(skips: &[Skip], allowed: &Allowed) -> bool {
    let refused: Vec<_> = skips.iter().filter(|skip| !allowed.names(skip)).collect();
    if !refused.is_empty() {
        println!("\nskips that xtask/allowed-skips.txt does not name:");
        for skip in &refused {
            println!("  {}: {}", skip.stage, skip.reason);
        }
    }
    !refused.is_empty()
}

/// Whether this is CI, as CI services say it.
pub(crate) fn is_ci() -> bool {
    std::env::var("CI").is_ok_and(|value| !matches!(value.as_str(), "" | "0" | "false"))
}
