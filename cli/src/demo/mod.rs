//! A cluster in this process that lives through what a cluster may have to live through, and is examined afterwards.
//!
//! The [`story`] is told to members that know nothing of it: each runs the key-value store as any application would,
//! inside a [`recorder`] that notes when each line was applied. What the figures say is computed from such moments and
//! from those of role changes, after the fact: nothing is measured by asking repeatedly.

use std::process::ExitCode;

use anyhow::Context as _;

mod chronicle;
mod cluster;
mod disasters;
mod options;
mod recorder;
mod story;
mod summary;
mod timeline;
mod verify;
mod writing;

#[cfg(test)]
mod tests;

pub(crate) use self::options::Options;

use self::summary::Report;
use self::timeline::Timeline;

/// Tells the story and reports on it. Success means that all was verified.
pub(crate) fn run(options: &Options) -> ExitCode {
    let timeline = if options.json {
        Timeline::silent()
    } else {
        Timeline::of(options.lines())
    };
    match tell(options, timeline).and_then(|report| print(&report, options.json)) {
        Ok(true) => ExitCode::SUCCESS,
        Ok(false) => ExitCode::FAILURE,
        Err(error) => {
            eprintln!("error: {error:#}");
            ExitCode::FAILURE
        }
    }
}

fn tell(options: &Options, timeline: Timeline) -> anyhow::Result<Report> {
    // One thread: handing a message from core to core costs more than what a member does with it. Medians of five runs
    // on 2 shared cores, 100 lines one by one: 5 members 2.4 ms, on two threads 6.0 ms; 41 members 23 and 25; 101
    // members 83 and 149.
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_time()
        .build()
        .context("cannot start the clock of the members")?;
    Ok(runtime.block_on(story::tell(options, timeline)))
}

/// Prints the report. Returns whether all was verified.
fn print(report: &Report, json: bool) -> anyhow::Result<bool> {
    let text = if json {
        serde_json::to_string(report).context("cannot write the report as JSON")? + "\n"
    } else {
        report.to_string()
    };
    for finding in &report.findings {
        eprintln!("not verified: {finding}");
    }
    crate::print(&text)?;
    Ok(report.verified)
}
