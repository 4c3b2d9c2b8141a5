//! Measures what durable writes cost: `cargo bench --bench storage`.
//!
//! - *writes*: callers who wait until what they wrote is durable, through the storage alone and through a cluster of
//!   one member on it; after each round the bare disk is given the same bytes in the same groups, an append and a sync
//!   for each. Such a pair is measured within a short time, so that what else the machine does falls on both alike.
//! - *restart*: a member begins in another process, with a log of `--log-mib` to read again, and with one of
//!   `--log-commands` that have a few bytes each.
//! - *snapshot*: how long callers wait while a snapshot of `--snapshot-mib` is taken and written, and without.
//!
//! All files are in the folder of `--folder`, by default below that of cargo's builds. `--only` names one of the three.

mod bare;
#[path = "../crowd/mod.rs"]
mod crowd;
#[path = "../idle/mod.rs"]
mod idle;
mod member;
mod restart;
mod snapshot;
#[path = "../spread/mod.rs"]
mod spread;
mod writes;

use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::str::FromStr;
use std::{env, fs, process};

use restart::Load;

fn main() -> ExitCode {
    if let Some(folder) = option::<PathBuf>(restart::OPEN) {
        return restart::open(&folder);
    }
    if let Some(folder) = option::<PathBuf>(restart::REOPEN) {
        return restart::reopen(&folder);
    }
    // `cargo test` runs benchmarks once, unmeasured.
    let is_measured = env::args().any(|argument| argument == "--bench");
    let default_mib = if is_measured { 1024 } else { 1 };
    let mib = |name| option(name).unwrap_or(default_mib) << 20;
    let root = option("--folder").unwrap_or_else(|| PathBuf::from(env!("CARGO_TARGET_TMPDIR")));
    let folder = root.join(format!("liferaft-bench-{}", process::id()));
    let only = option::<String>("--only");
    let is_wanted = |part: &str| only.as_ref().is_none_or(|only| only == part);
    let mut met = true;
    if is_wanted("writes") {
        met &= within(&folder, |folder| writes::measure(folder, is_measured));
    }
    if is_wanted("restart") {
        let commands =
            option("--log-commands").unwrap_or(if is_measured { 1_600_000 } else { 10_000 });
        for load in [Load::heavy(mib("--log-mib")), Load::light(commands)] {
            met &= within(&folder, |folder| restart::measure(folder, load));
        }
    }
    if is_wanted("snapshot") {
        met &= within(&folder, |folder| {
            snapshot::measure(folder, mib("--snapshot-mib"), is_measured)
        });
    }
    if met || !is_measured {
        ExitCode::SUCCESS
    } else {
        ExitCode::FAILURE
    }
}

/// The value that follows this name among the arguments.
///
/// # Panics
/// When it is no such value.
fn option<T: FromStr>(name: &str) -> Option<T> {
    let mut arguments = env::args().skip_while(|argument| argument != name);
    let value = arguments.nth(1)?;
    let Ok(value) = value.parse() else {
        panic!("{name} {value} makes no sense");
    };
    Some(value)
}

/// Measures in a folder that is removed afterwards.
fn within<T>(folder: &Path, measure: impl FnOnce(&Path) -> T) -> T {
    fs::create_dir_all(folder).expect("a folder can be made");
    let measured = measure(folder);
    fs::remove_dir_all(folder).expect("it was made above");
    measured
}
