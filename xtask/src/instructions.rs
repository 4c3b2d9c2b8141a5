//! `cargo xtask instructions`: what the core costs for each committed entry, on three servers together, counted in
//! instructions by callgrind. Unlike times they are the same on every run and do not know how busy the machine is.

use std::path::Path;
use std::process::ExitCode;

use anyhow::{Context, Result, bail, ensure};
use serde::{Deserialize, Serialize};

use crate::process::Program;
use crate::workspace::{self, Workspace};

#[derive(clap::Args)]
pub(crate) struct Args {
    /// Print one JSON object in place of a table
    #[arg(long)]
    json: bool,
}

const PAYLOADS: [u64; 3] = [16, 256, 4096];
const BATCHES: [u64; 2] = [1, 64];
/// The lengths of the two runs. What differs between them is the steady state; the servers compact their logs every
/// 4,096 entries, so both are multiples of that.
const ENTRIES_SHORT: u64 = 4096;
const ENTRIES_LONG: u64 = 3 * 4096;
/// What an entry may cost: payload, batch and instructions.
const TARGETS: [(u64, u64, u64); 2] = [(256, 1, 6_000), (256, 64, 2_500)];

#[derive(Serialize)]
struct Report {
    rows: Vec<Row>,
}

/// What one entry costs.
#[derive(Serialize)]
struct Row {
    payload: u64,
    batch: u64,
    instructions: u64,
    messages: f64,
}

/// What a whole run costs.
struct Run {
    instructions: u64,
    messages: u64,
}

pub(crate) fn run(args: &Args) -> Result<ExitCode> {
    let workspace = Workspace::load()?;
    ensure_valgrind()?;
    let program = workspace::executable(workspace.cargo().args(
        "bench --package liferaft --bench instructions --no-run --locked --message-format json-render-diagnostics",
    ))?;
    let profiles = workspace.target.join("instructions");
    std::fs::create_dir_all(&profiles).with_context(|| format!("making {}", profiles.display()))?;
    let mut rows = Vec::new();
    for payload in PAYLOADS {
        for batch in BATCHES {
            eprintln!("counting {payload} B, batch {batch}");
            let profile = profiles.join(format!("callgrind.out.{payload}-{batch}"));
            rows.push(row(&program, payload, batch, &profile)?);
        }
    }
    if args.json {
        println!("{}", serde_json::to_string(&Report { rows })?);
    } else {
        print_table(&rows);
        println!("\nprofiles for callgrind_annotate: {}", profiles.display());
    }
    Ok(ExitCode::SUCCESS)
}

fn row(program: &Path, payload: u64, batch: u64, profile: &Path) -> Result<Row> {
    let short = count(program, payload, batch, ENTRIES_SHORT, profile)?;
    let long = count(program, payload, batch, ENTRIES_LONG, profile)?;
    let entries = ENTRIES_LONG - ENTRIES_SHORT;
    let instructions = long.instructions.saturating_sub(short.instructions);
    let messages = long.messages.saturating_sub(short.messages);
    Ok(Row {
        payload,
        batch,
        instructions: instructions.div_ceil(entries),
        messages: messages as f64 / entries as f64,
    })
}

/// What the program says of itself.
#[derive(Deserialize)]
struct Said {
    messages: u64,
}

/// Runs the program under callgrind, which leaves its profile in a file.
fn count(program: &Path, payload: u64, batch: u64, entries: u64, profile: &Path) -> Result<Run> {
    let finished = Program::new("valgrind")
        .arg("--tool=callgrind")
        .arg(format!("--callgrind-out-file={}", profile.display()))
        .arg(program)
        .args(&format!("{payload} {batch} {entries}"))
        .attempt()?;
    ensure!(
        finished.success,
        "the run under valgrind failed:\n{}",
        finished.output
    );
    let said = finished
        .output
        .lines()
        .find_map(|line| serde_json::from_str::<Said>(line).ok());
    Ok(Run {
        instructions: collected(&finished.output).context("callgrind gave no total")?,
        messages: said
            .context("the program did not say its messages")?
            .messages,
    })
}

/// The total in callgrind's last words, `==PID== Collected : TOTAL`.
fn collected(output: &str) -> Option<u64> {
    let (_, total) = output
        .lines()
        .find_map(|line| line.split_once("Collected : "))?;
    total.trim().parse().ok()
}

fn print_table(rows: &[Row]) {
    println!("for each entry, three servers together:\n");
    println!("payload  batch  instructions  target  messages");
    for row in rows {
        let target = TARGETS
            .iter()
            .find(|(payload, batch, _)| (*payload, *batch) == (row.payload, row.batch))
            .map(|(_, _, target)| target.to_string());
        println!(
            "{:>5} B  {:>5}  {:>12}  {:>6}  {:>8.2}",
            row.payload,
            row.batch,
            row.instructions,
            target.as_deref().unwrap_or("-"),
            row.messages
        );
    }
}

fn ensure_valgrind() -> Result<()> {
    if is_installed("valgrind") {
        return Ok(());
    }
    let is_root = Program::new("id")
        .arg("-u")
        .stdout()
        .is_ok_and(|user| user.trim() == "0");
    if !(is_root && is_installed("apt-get")) {
        bail!(
            "valgrind is not installed; the system's packages have it, for example: sudo apt-get install valgrind"
        );
    }
    let apt = |arguments| {
        Program::new("apt-get")
            .args(arguments)
            .env("DEBIAN_FRONTEND", "noninteractive")
    };
    // In the lists that an image came with, what is named may be gone from the mirror.
    apt("-qq update").attempt()?;
    let installed = apt("-qq install -y --no-install-recommends valgrind").attempt()?;
    ensure!(
        installed.success && is_installed("valgrind"),
        "valgrind could not be installed:\n{}",
        installed.output
    );
    Ok(())
}

fn is_installed(program: &str) -> bool {
    Program::new(program).arg("--version").attempt().is_ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_total_is_read_from_callgrinds_last_words() {
        let output = "==7== Events    : Ir\n==7== Collected : 74512345\n==7== \n";

        assert_eq!(collected(output), Some(74_512_345));
        assert_eq!(collected("==7== Events    : Ir\n"), None);
    }
}
