//! Counts the system calls by which servers make writes durable, with strace: what is acknowledged is on disks.

use std::fs;
use std::io::{BufRead as _, BufReader};
use std::path::PathBuf;
use std::process::{Child, Command, Stdio};
use std::time::Duration;

use anyhow::{Context as _, Result, ensure};

use crate::cluster::Cluster;
use crate::load::{Load, Pace, Work};
use crate::report::Verdict;
use crate::server::{Folder, Server};

/// How long they are counted, about.
const DURATION: Duration = Duration::from_secs(2);

/// All calls that can make a file durable.
const CALLS: &str = "fsync,fdatasync,sync_file_range,msync,syncfs,sync";

/// The disks on which a write is before it is acknowledged.
const MAJORITY: usize = 2;

/// Counts what the servers of each cluster do while so many callers write. The target is missed if writes of one
/// caller, of which each is on the disks of a majority before the next begins, took fewer syncs than that.
pub(crate) async fn count(
    clusters: &[Cluster],
    folder: &Folder,
    callers: usize,
) -> Result<Verdict> {
    if Command::new("strace").arg("-V").output().is_err() {
        println!("\nsyncs, callers: {callers}: not measured, strace is not installed");
        return Ok(Verdict::NotMeasured);
    }
    println!("\ndurable, put, callers: {callers}, traced: calls of {CALLS}");
    let mut verdict = Verdict::Met;
    for cluster in clusters {
        let load = Load {
            work: Work::Put,
            callers,
            pace: Pace::Closed,
            warm_up: Duration::ZERO,
            duration: DURATION,
        };
        let traces = cluster.servers().iter();
        let traces = traces.map(|server| Trace::begin(server, folder));
        let traces = traces.collect::<Result<Vec<_>>>()?;
        let writes = load.run(cluster).await?.count();
        let syncs = traces.into_iter().map(Trace::end);
        let syncs = syncs.collect::<Result<Vec<usize>>>()?;
        let all: usize = syncs.iter().sum();
        print!(
            "  {:12}{writes:>7} writes   {:.3} syncs a write, {syncs:?} on the three servers",
            cluster.name(),
            f64::from(u32::try_from(all)?) / f64::from(u32::try_from(writes)?),
        );
        if callers == 1 {
            let own = Verdict::of(all >= MAJORITY * writes);
            verdict = verdict.max(own);
            print!(", target {MAJORITY} a write: {own}");
        }
        println!();
    }
    Ok(verdict)
}

/// A tracer that counts calls of a server.
struct Trace {
    tracer: Child,
    summary: PathBuf,
}

impl Trace {
    fn begin(server: &Server, folder: &Folder) -> Result<Self> {
        let summary = folder.path(&format!("strace-{}", server.id()));
        let mut tracer = Command::new("strace")
            .args(["-f", "-c", "-e", &format!("trace={CALLS}")])
            .arg("-o")
            .arg(&summary)
            .args(["-p", &server.id().to_string()])
            .stderr(Stdio::piped())
            .spawn()
            .context("starting strace")?;
        let mut said = String::new();
        let errors = tracer.stderr.as_mut().expect("it is piped");
        BufReader::new(errors).read_line(&mut said)?;
        ensure!(said.contains("attached"), "strace says: {said}");
        Ok(Self { tracer, summary })
    }

    /// Ends it, and returns how many calls there were.
    fn end(mut self) -> Result<usize> {
        let id = self.tracer.id().to_string();
        // It writes its summary when it is interrupted.
        Command::new("kill").args(["-INT", &id]).status()?;
        self.tracer.wait()?;
        let summary = fs::read_to_string(&self.summary)?;
        // "% time", "seconds", "usecs/call", "calls", perhaps "errors", "syscall"
        let calls = summary.lines().filter_map(|line| {
            let words: Vec<_> = line.split_whitespace().collect();
            let name = words.last()?;
            let is_counted = CALLS.split(',').any(|call| call == *name);
            is_counted.then(|| words.get(3)?.parse::<usize>().ok())?
        });
        Ok(calls.sum())
    }
}
