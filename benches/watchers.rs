//! Measures what 1,000 watchers on one member cost a write: three members in one process, 64 callers, with and without
//! watchers.
//!
//! Each kind of watchers is measured in turn with none, several times, and the medians are compared: what else the
//! machine does then falls on both alike.
//!
//! - *prefixes*: each watches a prefix of its own, and each write concerns one of them. This has the target.
//! - *elsewhere*: no write concerns any of them.
//! - *everything*: each write concerns all of them. 1,000 events for one write have their price; it is told for each
//!   event.

mod crowd;
mod trio;

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use bytes::Bytes;
use crowd::{runtime, share_out};
use futures::StreamExt;
use liferaft::kv::{Keys, WatchEvent};
use liferaft::{Config, KvHandle};
use tokio::runtime::Runtime;
use tokio::task::JoinSet;
use trio::{VALUE, elected};

const WATCHERS: u64 = 1000;
const CALLERS: usize = 64;
/// The most that a write may take with watchers, as a multiple of what it takes without.
const TARGET: f64 = 2.0;

#[derive(Clone, Copy, PartialEq, Eq)]
enum Kind {
    Prefixes,
    Elsewhere,
    Everything,
}

fn main() {
    // `cargo test` runs benchmarks once, unmeasured.
    let is_measured = std::env::args().any(|argument| argument == "--bench");
    let (rounds, writes) = if is_measured { (9, 20_000) } else { (1, 200) };
    let runtime = runtime();
    let members = runtime.block_on(elected(Config::default(), key, WATCHERS));
    for (name, kind, writes) in [
        ("prefixes", Kind::Prefixes, writes),
        ("elsewhere", Kind::Elsewhere, writes),
        ("everything", Kind::Everything, writes / 10),
    ] {
        compare(&runtime, &members, name, kind, rounds, writes);
    }
}

fn compare(
    runtime: &Runtime,
    members: &[KvHandle],
    name: &str,
    kind: Kind,
    rounds: usize,
    writes: u64,
) {
    let (mut without, mut with) = (Vec::new(), Vec::new());
    let mut told = 0;
    for _ in 0..rounds {
        without.push(runtime.block_on(write(members, writes)));
        let (took, events) = runtime.block_on(async {
            let watching = watch(&members[1], kind).await;
            let took = write(members, writes).await;
            (took, watching.stop().await)
        });
        with.push(took);
        told += events;
    }
    let [without, with] = [without, with].map(|took| median(took) / writes as f64);
    let ratio = with / without;
    println!(
        "watchers/{name}: a write takes {:.1} µs without watchers, {:.1} µs with {WATCHERS}: {ratio:.2} times",
        without * 1e6,
        with * 1e6,
    );
    match kind {
        Kind::Prefixes => {
            let verdict = if ratio < TARGET { "met" } else { "MISSED" };
            println!("watchers/{name}: target less than {TARGET} times: {verdict}\n");
        }
        Kind::Elsewhere => println!(),
        Kind::Everything => {
            let events = told as f64 / (rounds as f64 * writes as f64);
            let each = (with - without) / events * 1e9;
            println!("watchers/{name}: {events:.0} events a write, {each:.0} ns each\n");
        }
    }
}

fn median(mut took: Vec<Duration>) -> f64 {
    took.sort();
    took[took.len() / 2].as_secs_f64()
}

/// Tasks that read what their watches tell.
struct Watching {
    tasks: JoinSet<()>,
    told: Arc<AtomicU64>,
}

impl Watching {
    /// Stops them, and returns how many changes they were told of.
    async fn stop(mut self) -> u64 {
        self.tasks.shutdown().await;
        self.told.load(Ordering::Relaxed)
    }
}

/// Watches that have begun.
async fn watch(member: &KvHandle, kind: Kind) -> Watching {
    let told = Arc::new(AtomicU64::new(0));
    let mut tasks = JoinSet::new();
    for number in 0..WATCHERS {
        let keys = match kind {
            Kind::Prefixes => Keys::prefix(key(number)),
            Kind::Elsewhere => Keys::prefix(format!("elsewhere {number}")),
            Kind::Everything => Keys::all(),
        };
        let mut watch = member.watch(keys);
        let begun = watch.next().await;
        assert!(matches!(begun, Some(Ok(WatchEvent::Progress(_)))));
        let told = Arc::clone(&told);
        tasks.spawn(async move {
            while let Some(event) = watch.next().await {
                if let WatchEvent::Changes(changes) = event.expect("the watch goes on") {
                    told.fetch_add(changes.iter().count() as u64, Ordering::Relaxed);
                }
            }
        });
    }
    Watching { tasks, told }
}

fn key(number: u64) -> Bytes {
    Bytes::from(format!("watched {number:04}"))
}

/// Has the callers write so often together, and returns how long that took.
async fn write(members: &[KvHandle], writes: u64) -> Duration {
    share_out(members, CALLERS, writes, |member, share| async move {
        for number in share {
            let written = member.set(key(number % WATCHERS), VALUE).await;
            written.expect("it is set");
        }
    })
    .await
}
