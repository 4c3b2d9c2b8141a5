//! Many runs on several threads, told of one after the other in the order of their seeds.
//!
//! Whatever stops a batch early, the first alarm for example, stops it at the same seed on any number of threads.

use std::collections::BTreeMap;
use std::iter;
use std::ops::ControlFlow;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::mpsc;
use std::thread;
use std::time::{Duration, Instant};

use crate::plan::Plan;
use crate::run::{Outcome, run};

/// Outcomes that wait to be told of. Threads that are further ahead wait.
const OUTCOMES_MAX: usize = 1024;

/// A run that is over.
#[derive(Clone, Debug)]
pub struct Ran {
    /// Its seed.
    pub seed: u64,
    /// What became of it.
    pub outcome: Outcome,
    /// How long its thread worked on it, in real time.
    pub took: Duration,
}

/// Runs the plan of each seed on so many threads, and tells of each in the order of the seeds until `tell` breaks off.
///
/// # Panics
/// When a thread cannot be started.
pub fn run_batch(
    seeds: &[u64],
    threads: usize,
    plan_of: impl Fn(u64) -> Plan + Sync,
    mut tell: impl FnMut(Ran) -> ControlFlow<()>,
) {
    let next = AtomicUsize::new(0);
    let stopped = AtomicBool::new(false);
    let work = || {
        let at = next.fetch_add(1, Ordering::Relaxed);
        let seed = *seeds.get(at).filter(|_| !stopped.load(Ordering::Relaxed))?;
        let began = Instant::now();
        let outcome = run(plan_of(seed));
        let took = began.elapsed();
        Some((
            at,
            Ran {
                seed,
                outcome,
                took,
            },
        ))
    };
    thread::scope(|scope| {
        let (sender, outcomes) = mpsc::sync_channel(OUTCOMES_MAX);
        for _ in 0..threads.max(1) {
            let sender = sender.clone();
            scope.spawn(move || iter::from_fn(work).all(|ran| sender.send(ran).is_ok()));
        }
        drop(sender);
        let mut waiting = BTreeMap::new();
        let mut turn = 0;
        for (at, ran) in outcomes {
            waiting.insert(at, ran);
            while let Some(ran) = waiting.remove(&turn) {
                turn += 1;
                if tell(ran).is_break() {
                    stopped.store(true, Ordering::Relaxed);
                    return;
                }
            }
        }
    });
}

#[cfg(test)]
mod tests {
    use super::*;

    fn traces(threads: usize, stop_at: u64) -> Vec<(u64, u64)> {
        let seeds: Vec<u64> = (1..=12).collect();
        let mut told = Vec::new();
        run_batch(&seeds, threads, Plan::of_seed, |ran| {
            told.push((ran.seed, ran.outcome.trace.0));
            if ran.seed == stop_at {
                ControlFlow::Break(())
            } else {
                ControlFlow::Continue(())
            }
        });
        told
    }

    #[test]
    fn a_batch_is_the_same_on_any_number_of_threads() {
        let alone = traces(1, 9);

        assert_eq!(alone.len(), 9);
        assert_eq!(traces(4, 9), alone);
    }
}
