//! Runs a cluster on this machine that lives through what a cluster may have to live through, and examines it
//! afterwards.
//!
//! The [`story`] is told to members that know nothing of it: each runs the key-value store as any application would,
//! inside a [`recorder`] that notes when each line was applied. What the figures say is computed from such moments and
//! from those of role changes, after the fact: nothing is measured by asking repeatedly. A member runs [`here`], over
//! one [`medium`] or another, or in a [`process`] of its own, which [`serve`]s the story by a pipe.

use std::fmt;
use std::process::{ExitCode, exit};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use anyhow::Context as _;
use tokio::sync::Notify;

use crate::scratch::Root;

mod chronicle;
mod cluster;
mod disasters;
mod here;
mod medium;
mod options;
mod process;
mod recorder;
mod serve;
mod settings;
mod severable;
mod story;
mod summary;
mod timeline;
mod verify;
mod words;
mod writing;

#[cfg(test)]
mod tests;

pub(crate) use self::options::Options;
pub(crate) use self::serve::run as run_member;

use self::summary::Report;
use self::timeline::Timeline;

/// Tells the story and reports on it. Success means that all was verified.
pub(crate) fn run(options: &Options) -> ExitCode {
    if let Some(why) = options.conflict() {
        crate::tell_error(format_args!("error: {why}"));
        return ExitCode::from(MISUSED);
    }
    let timeline = if options.json {
        Timeline::silent()
    } else {
        Timeline::of(options.lines())
    };
    let told = watch_for_interrupts().and_then(|interrupts| tell(options, timeline, &interrupts));
    match told.and_then(|report| print(&report, options.json)) {
        Ok(true) => ExitCode::SUCCESS,
        Ok(false) => ExitCode::FAILURE,
        Err(error) => {
            crate::tell_error(format_args!("error: {error:#}"));
            if error.is::<Interrupted>() {
                ExitCode::from(INTERRUPTED)
            } else {
                ExitCode::FAILURE
            }
        }
    }
}

/// As the parser of arguments ends the program when it cannot use them.
const MISUSED: u8 = 2;

/// What a shell expects of a program that Ctrl-C ended: 128 and the number of the signal.
const INTERRUPTED: u8 = 130;

/// Ctrl-C, or a request to terminate.
#[derive(Debug)]
struct Interrupted;

impl fmt::Display for Interrupted {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("interrupted")
    }
}

impl std::error::Error for Interrupted {}

fn tell(options: &Options, timeline: Timeline, interrupts: &Notify) -> anyhow::Result<Report> {
    // Removed once the runtime has ended: by then nobody has a folder open.
    let root = (!options.memory).then(Root::new).transpose()?;
    let root = root.as_ref().map(Root::path);
    // One thread: handing a message from core to core costs more than what a member does with it. Medians of five runs
    // on 2 shared cores, 100 lines one by one: 5 members 2.4 ms, on two threads 6.0 ms; 41 members 23 and 25; 101
    // members 83 and 149.
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .context("cannot start the runtime of the members")?;
    runtime.block_on(async {
        tokio::select! {
            report = story::tell(options, root, timeline) => Ok(report),
            () = interrupts.notified() => Err(Interrupted.into()),
        }
    })
}

/// Has Ctrl-C, or a request to terminate, interrupt the story, and a second one the program.
fn watch_for_interrupts() -> anyhow::Result<Arc<Notify>> {
    let interrupts = Arc::new(Notify::new());
    let notified = Arc::clone(&interrupts);
    let is_second = AtomicBool::new(false);
    ctrlc::set_handler(move || {
        if is_second.swap(true, Ordering::Relaxed) {
            exit(INTERRUPTED.into());
        }
        notified.notify_one();
    })
    .context("cannot watch for Ctrl-C")?;
    Ok(interrupts)
}

/// Prints the report. Returns whether all was verified.
fn print(report: &Report, json: bool) -> anyhow::Result<bool> {
    let text = if json {
        serde_json::to_string(report).context("cannot write the report as JSON")? + "\n"
    } else {
        report.to_string()
    };
    for finding in &report.findings {
        crate::tell_error(format_args!("not verified: {finding}"));
    }
    crate::print(&text)?;
    Ok(report.verified)
}
