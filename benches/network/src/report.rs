//! Prints what was measured, beside what it should be.

use std::fmt;
use std::time::Duration;

use crate::Medium;
use crate::load::{Load, Pace, Run, Work};

/// Whether targets were met. The later ones outweigh the earlier ones.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Verdict {
    Met,
    /// Something that it takes to measure is not there.
    NotMeasured,
    Missed,
}

impl Verdict {
    pub(crate) const fn of(is_met: bool) -> Self {
        if is_met { Self::Met } else { Self::Missed }
    }
}

impl fmt::Display for Verdict {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Met => "met",
            Self::NotMeasured => "not measured",
            Self::Missed => "missed",
        })
    }
}

/// The runs of one cluster under one load.
#[derive(Debug)]
pub(crate) struct Row {
    name: String,
    runs: Vec<Run>,
}

impl Row {
    pub(crate) fn new(name: &str) -> Self {
        Self {
            name: name.to_owned(),
            runs: Vec::new(),
        }
    }

    pub(crate) fn add(&mut self, run: Run) {
        self.runs.push(run);
    }

    /// Returns the median of the operations in a second.
    pub(crate) fn per_second(&self) -> f64 {
        median(self.runs.iter().map(|run| run.per_second))
    }

    /// Returns the median of what so many of a thousand operations took at most, in milliseconds.
    fn within(&self, per_mille: usize) -> f64 {
        let of_runs = self.runs.iter().map(|run| run.within(per_mille));
        median(of_runs.map(|time: Duration| time.as_secs_f64() * 1e3))
    }
}

pub(crate) fn introduce(etcd: Option<&str>, is_alone: bool) {
    match etcd {
        Some(version) => println!("etcd {version} and liferaft: 3 servers each, on loopback"),
        None if is_alone => println!("liferaft: 3 servers on loopback"),
        None => println!(
            "etcd is not installed, so nothing is compared (on Debian: apt-get install etcd-server); liferaft: 3 \
             servers on loopback"
        ),
    }
    println!(
        "256 B values over 100,000 keys, all written before; medians; one TCP connection for 64 callers, at least 3"
    );
}

/// Prints the rows of a load, and returns what became of its targets: met where there are none, and not measured where
/// there is nothing to compare with.
pub(crate) fn print(medium: Medium, load: Load, rows: &[Row]) -> Verdict {
    let on = match medium {
        Medium::Durable => "durable",
        Medium::Memory => "in memory",
    };
    let work = match load.work {
        Work::Put => "put",
        Work::Get => "get",
        Work::Mix => "9 get to 1 put",
    };
    let pace = match load.pace {
        Pace::Closed => format!("callers: {}", load.callers),
        Pace::Open(per_second) => {
            format!("{per_second:.0} a second, timed from their intended start")
        }
    };
    println!("\n{on}, {work}, {pace}");
    let first = rows.first();
    let is_compared = first.is_some_and(|first| first.name == ETCD);
    let mut verdict = match target(medium, load) {
        Some(_) if !is_compared => Verdict::NotMeasured,
        _ => Verdict::Met,
    };
    for row in rows {
        print!(
            "  {:12}{:>9.0}/s   p50 {:>8.3} ms   p99 {:>8.3} ms",
            row.name,
            row.per_second(),
            row.within(500),
            row.within(990)
        );
        if let Some(first) = first.filter(|first| first.name != row.name)
            && load.pace == Pace::Closed
        {
            let ratio = row.per_second() / first.per_second();
            print!("   {ratio:.2} of {}", first.name);
            if let Some(target) = target(medium, load).filter(|_| first.name == ETCD) {
                let own = Verdict::of(ratio >= target);
                verdict = verdict.max(own);
                print!(", target {target:.2}: {own}");
            }
        }
        println!();
    }
    verdict
}

/// The name of the clusters that others are compared with.
pub(crate) const ETCD: &str = "etcd";

/// How many times as many operations as etcd there are to be.
fn target(medium: Medium, load: Load) -> Option<f64> {
    match (medium, load.work, load.callers) {
        (Medium::Durable, Work::Put, 1) => Some(1.0),
        (Medium::Durable, Work::Put, 64 | 512) => Some(3.0),
        _ => None,
    }
}

/// Returns the middle of some figures, of which there is at least one.
fn median(figures: impl Iterator<Item = f64>) -> f64 {
    let mut figures: Vec<f64> = figures.collect();
    figures.sort_by(f64::total_cmp);
    figures[figures.len() / 2]
}
