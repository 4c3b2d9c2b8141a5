//! Measures clusters of three processes on loopback, beside clusters of etcd in the same run: `cargo xtask network`.
//!
//! This process is the load generator, and starts the servers. Both kinds of clusters get the same operations from the
//! same callers over as many TCP connections, and all their clients speak to the leader. Runs of one kind alternate
//! with runs of the other, and medians are compared: what else the machine does falls on both.

use std::num::NonZero;
use std::path::PathBuf;
use std::process::ExitCode;
use std::time::Duration;

use anyhow::{Context as _, Result};
use clap::{Parser, ValueEnum};

use self::cluster::Cluster;
use self::load::{Load, Pace, Work};
use self::report::{Row, Verdict};
use self::server::Folder;

mod cluster;
mod etcd;
mod liferaft;
mod load;
mod report;
mod server;
mod syncs;

/// Measures clusters of processes, beside etcd
#[derive(Debug, Parser)]
struct Options {
    /// The program `liferaft`. If it is given again, the others are measured beside the first
    #[arg(long, value_name = "FILE", required = true)]
    liferaft: Vec<PathBuf>,

    /// Where durable members keep their folders, which are removed afterwards
    #[arg(long, value_name = "DIR")]
    data: PathBuf,

    /// What the folders are on
    #[arg(long, value_enum, value_delimiter = ',', default_values = ["durable", "memory"])]
    storage: Vec<Medium>,

    /// What callers do
    #[arg(long, value_enum, value_delimiter = ',', default_values = ["put", "get", "mix"])]
    work: Vec<Work>,

    /// How many there are at a time
    #[arg(long, value_name = "N", value_delimiter = ',', default_values = ["1", "64", "512"])]
    callers: Vec<NonZero<usize>>,

    /// How often each is measured
    #[arg(long, value_name = "N", default_value_t = 3, value_parser = clap::value_parser!(u64).range(1..))]
    rounds: u64,

    /// How long, after a second that is not counted
    #[arg(long, value_name = "SECONDS", default_value_t = 3, value_parser = clap::value_parser!(u64).range(1..))]
    seconds: u64,

    /// Leave out etcd
    #[arg(long)]
    alone: bool,

    /// Leave out open loops, and counting system calls
    #[arg(long)]
    closed: bool,
}

/// What the members' folders are on.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
enum Medium {
    /// The disk of `--data`
    Durable,
    /// The memory of the machine, as the file system at /dev/shm: neither program keeps all of its state elsewhere
    Memory,
}

/// A file system in memory, where Linux has one.
const IN_MEMORY: &str = "/dev/shm";

/// What is done before this is not counted.
const WARM_UP: Duration = Duration::from_secs(1);

/// How many callers write in open loops, at most.
const OPEN_CALLERS: usize = 512;

/// The callers of which the system calls are counted: one, whose writes each need syncs of their own, and many.
const TRACED_CALLERS: [usize; 2] = [1, 64];

fn main() -> Result<ExitCode> {
    let options = Options::parse();
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .enable_all()
        .build()
        .context("cannot start the runtime")?;
    let verdict = runtime.block_on(run(&options));
    runtime.shutdown_background();
    let verdict = verdict?;
    println!("\ntargets: {verdict}");
    Ok(match verdict {
        Verdict::Missed => ExitCode::FAILURE,
        Verdict::Met | Verdict::NotMeasured => ExitCode::SUCCESS,
    })
}

/// Returns what became of all targets.
async fn run(options: &Options) -> Result<Verdict> {
    let etcd = (!options.alone).then(etcd::version).flatten();
    report::introduce(etcd.as_deref(), options.alone);
    let mut verdict = Verdict::Met;
    for medium in &options.storage {
        let name = format!("liferaft-network-{}", std::process::id());
        let folder = match medium {
            Medium::Durable => options.data.join(name),
            Medium::Memory => PathBuf::from(IN_MEMORY).join(name),
        };
        if *medium == Medium::Memory && !PathBuf::from(IN_MEMORY).is_dir() {
            println!("\nmemory storage is left out: there is no {IN_MEMORY}");
            continue;
        }
        let folder = Folder::new(folder)?;
        let mut clusters = Vec::new();
        if etcd.is_some() {
            clusters.push(Cluster::etcd(&folder).await?);
        }
        for (number, program) in options.liferaft.iter().enumerate() {
            clusters.push(Cluster::liferaft(program, &folder, number)?);
        }
        for cluster in &clusters {
            load::fill(cluster).await?;
        }
        verdict = verdict.max(measure(options, *medium, &folder, &clusters).await?);
    }
    Ok(verdict)
}

/// Measures these clusters in all ways that were asked for. Returns what became of the targets.
async fn measure(
    options: &Options,
    medium: Medium,
    folder: &Folder,
    clusters: &[Cluster],
) -> Result<Verdict> {
    let mut verdict = Verdict::Met;
    let mut slowest = None;
    let mut load = Load {
        work: Work::Put,
        callers: OPEN_CALLERS,
        pace: Pace::Closed,
        warm_up: WARM_UP,
        duration: Duration::from_secs(options.seconds),
    };
    for &work in &options.work {
        for &callers in &options.callers {
            load = Load {
                work,
                callers: callers.get(),
                ..load
            };
            let rows = rows(options.rounds, clusters, load).await?;
            if work == Work::Put {
                slowest = rows.iter().map(Row::per_second).min_by(f64::total_cmp);
            }
            verdict = verdict.max(report::print(medium, load, &rows));
        }
    }
    if options.closed {
        return Ok(verdict);
    }
    if let Some(slowest) = slowest {
        // Half of what the slowest does in a closed loop is no burden for any.
        load = Load {
            work: Work::Put,
            callers: OPEN_CALLERS,
            pace: Pace::Open(slowest / 2.0),
            ..load
        };
        let rows = rows(options.rounds, clusters, load).await?;
        verdict = verdict.max(report::print(medium, load, &rows));
    }
    if medium == Medium::Durable {
        for callers in TRACED_CALLERS {
            verdict = verdict.max(syncs::count(clusters, folder, callers).await?);
        }
    }
    Ok(verdict)
}

/// Measures each cluster in turn, again and again.
async fn rows(rounds: u64, clusters: &[Cluster], load: Load) -> Result<Vec<Row>> {
    let mut rows: Vec<Row> = clusters
        .iter()
        .map(|cluster| Row::new(cluster.name()))
        .collect();
    for _ in 0..rounds {
        for (cluster, row) in clusters.iter().zip(&mut rows) {
            let run = load.run(cluster).await;
            row.add(run.with_context(|| format!("measuring {}", cluster.name()))?);
        }
    }
    Ok(rows)
}
