//! `cargo xtask tabs`: how clusters of tabs do in Chromium, with the package as it is released, each figure beside its
//! target, and beside what the system of the paper took.

use std::path::Path;
use std::process::ExitCode;
use std::time::Duration;

use anyhow::{Error, Result};

use crate::browser::{Browser, SNAPSHOT, build_program, drive};
use crate::process::Interrupted;
use crate::web;
use crate::workspace::Workspace;

#[derive(clap::Args)]
pub(crate) struct Args {
    /// How often each figure is measured
    #[arg(long, value_name = "N", default_value_t = 3, value_parser = clap::value_parser!(u32).range(1..))]
    runs: u32,
    /// Of how many tabs a cluster is at most, of 3, 5, 7 and 11
    #[arg(long, value_name = "N", default_value_t = 11, value_parser = clap::value_parser!(u32).range(3..))]
    tabs_max: u32,
    /// Measures this alone; may be given more than once [default: all]
    #[arg(long, value_name = "PART", value_enum)]
    only: Vec<Part>,
}

#[derive(Clone, Copy, PartialEq, Eq, clap::ValueEnum)]
enum Part {
    /// What the original measured: up, lines, and recovery when the leader crashes or is closed
    Original,
    /// A newcomer that has to learn 1,000 lines
    Joiner,
    /// A snapshot of 10 MB to a newcomer, and heartbeats meanwhile
    Snapshot,
    /// Writes from 64 callers over three tabs
    Writes,
}

/// Measures all but the snapshot.
const TABS: &str = "web/tests/browser/tabs.mjs";

/// Of how many values of 500 kB the snapshot is. It has 8 MB besides, of recent changes.
const SNAPSHOT_VALUES: &str = "4";

/// How long each part may take: that, and as much for each run.
const DEADLINE: Duration = Duration::from_secs(240);

pub(crate) fn run(args: &Args) -> Result<ExitCode> {
    let workspace = Workspace::load()?;
    let is_asked = |part| args.only.is_empty() || args.only.contains(&part);
    let Browser { chromium, modules } = Browser::find(&workspace)?.map_err(Error::msg)?;
    let (runs, tabs_max) = (args.runs.to_string(), args.tabs_max.to_string());
    let (runs, tabs_max) = (Path::new(&runs), Path::new(&tabs_max));
    let deadline = DEADLINE * args.runs.saturating_add(1);
    let mut missed = Vec::new();
    let mut drive = |name, script, arguments: &[&Path]| {
        match drive(&workspace, script, arguments, deadline) {
            Err(error) if error.is::<Interrupted>() => return Err(error),
            Err(error) => missed.push(format!("{name}: {error:#}")),
            Ok(()) => {}
        }
        Ok(())
    };
    let site = web::make(&workspace, true)?.site;
    let program = build_program(&workspace, &site)?;
    for (part, name) in [
        (Part::Original, "original"),
        (Part::Joiner, "joiner"),
        (Part::Writes, "writes"),
    ] {
        if is_asked(part) {
            let part = Path::new(name);
            let arguments = [&*program, &chromium, &modules, &site, part, tabs_max, runs];
            drive(name, TABS, &arguments)?;
        }
    }
    if is_asked(Part::Snapshot) {
        let site = web::make_snapshot(&workspace, true)?;
        let [values, figures] = [SNAPSHOT_VALUES, "figures"].map(Path::new);
        let arguments = [&*chromium, &modules, &site, values, runs, figures];
        drive("snapshot", SNAPSHOT, &arguments)?;
    }
    for missed in &missed {
        eprintln!("missed: {missed}");
    }
    Ok(if missed.is_empty() {
        ExitCode::SUCCESS
    } else {
        ExitCode::FAILURE
    })
}
