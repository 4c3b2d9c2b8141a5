//! Measures what a `set` costs beside a command that changes nothing: `cargo bench --bench noop`.
//!
//! Two clusters of three members run in one process, and 64 callers write to one and then to the other, several times.
//! A pair of such rounds is measured within a short time, so that what else the machine does falls on both alike. Both
//! commands have the same bytes: what differs is the store, its history, and the snapshots of them.

mod cpu;
mod crowd;
mod idle;
mod spread;
mod trio;

use std::process::ExitCode;
use std::time::Duration;

use bytes::Bytes;
use crowd::{runtime, share_out};
use idle::Idle;
use liferaft::{Config, Handle, KvHandle};
use spread::spread;
use tokio::runtime::Runtime;
use trio::{VALUE, elected, started};

const CALLERS: usize = 64;
const KEYS: u64 = 1024;
/// The most that a `set` may take, as a multiple of what a command takes that changes nothing.
const TARGET: f64 = 2.0;

fn main() -> ExitCode {
    // `cargo test` runs benchmarks once, unmeasured.
    let is_measured = std::env::args().any(|argument| argument == "--bench");
    // A round is long enough for several snapshots on each member.
    let (pairs, writes) = if is_measured { (7, 100_000) } else { (1, 200) };
    let runtime = runtime();
    let stores = runtime.block_on(elected(Config::default(), key, KEYS));
    let idle = runtime.block_on(started(Config::default(), || Idle));
    if is_measured {
        // Until the history is as long as it gets.
        set(&runtime, &stores, writes);
        change_nothing(&runtime, &idle, writes);
    }
    let measured: Vec<_> = (0..pairs)
        .map(|_| {
            (
                set(&runtime, &stores, writes),
                change_nothing(&runtime, &idle, writes),
            )
        })
        .collect();
    println!(
        "three members, {CALLERS} callers, {pairs} pairs of rounds of {writes} writes of 256 B:"
    );
    let met = compare("time", &measured, |round| Some(round.took));
    compare("CPU time", &measured, |round| round.cpu);
    if met || !is_measured {
        ExitCode::SUCCESS
    } else {
        ExitCode::FAILURE
    }
}

/// What one write took in a round, in microseconds.
struct Round {
    took: f64,
    cpu: Option<f64>,
}

/// Prints the medians and their ratio. Returns true if the target is met.
fn compare(what: &str, measured: &[(Round, Round)], of: impl Fn(&Round) -> Option<f64>) -> bool {
    let pairs: Option<Vec<_>> = measured
        .iter()
        .map(|(set, nothing)| Some((of(set)?, of(nothing)?)))
        .collect();
    let Some(pairs) = pairs else { return false };
    let [_, set, _] = spread(pairs.iter().map(|(set, _)| *set));
    let [_, nothing, _] = spread(pairs.iter().map(|(_, nothing)| *nothing));
    let [least, ratio, most] = spread(pairs.iter().map(|(set, nothing)| set / nothing));
    let met = ratio <= TARGET;
    println!(
        "noop/{what}: {set:.2} µs a set, {nothing:.2} µs a command that changes nothing: {ratio:.2} times in the \
         median of the pairs, {least:.2} to {most:.2}; target at most {TARGET}: {}",
        if met { "met" } else { "missed" }
    );
    met
}

fn round(runtime: &Runtime, writes: u64, perform: impl Future<Output = Duration>) -> Round {
    let before = cpu::time();
    let took = runtime.block_on(perform);
    let spent = cpu::time()
        .zip(before)
        .map(|(after, before)| after - before);
    let each = |time: Duration| time.as_secs_f64() * 1e6 / writes as f64;
    Round {
        took: each(took),
        cpu: spent.map(each),
    }
}

fn set(runtime: &Runtime, members: &[KvHandle], writes: u64) -> Round {
    round(
        runtime,
        writes,
        share_out(members, CALLERS, writes, |member, share| async move {
            for number in share {
                let key = key(number % KEYS);
                member.set(key, VALUE).await.expect("it is set");
            }
        }),
    )
}

fn change_nothing(runtime: &Runtime, members: &[Handle<Idle>], writes: u64) -> Round {
    round(
        runtime,
        writes,
        share_out(members, CALLERS, writes, |member, share| async move {
            for number in share {
                let command = (key(number % KEYS), VALUE);
                member.propose(command).await.expect("it is answered");
            }
        }),
    )
}

fn key(number: u64) -> Bytes {
    Bytes::copy_from_slice(&number.to_be_bytes())
}
