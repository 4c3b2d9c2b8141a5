//! Callers who share out what is to be done.

use std::future::Future;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

use tokio::runtime::Runtime;
use tokio::task::JoinSet;

/// Two threads: one alone would not show what members cost each other.
pub(crate) fn runtime() -> Runtime {
    tokio::runtime::Builder::new_multi_thread()
        .worker_threads(2)
        .enable_time()
        .build()
        .expect("threads can be started")
}

/// Has callers, spread over these members, make all numbers below this together, and returns how long that took.
pub(crate) async fn share_out<M: Clone, F: Future<Output = ()> + Send + 'static>(
    members: &[M],
    callers: usize,
    numbers: u64,
    caller: impl Fn(M, Share) -> F,
) -> Duration {
    let next = Arc::new(AtomicU64::new(0));
    let mut tasks = JoinSet::new();
    let started = Instant::now();
    for member in members.iter().cycle().take(callers) {
        let next = Arc::clone(&next);
        tasks.spawn(caller(member.clone(), Share { next, numbers }));
    }
    while let Some(ended) = tasks.join_next().await {
        ended.expect("a caller ends without a panic");
    }
    started.elapsed()
}

/// The numbers that fall to one caller: each takes the next when it is done with the last.
pub(crate) struct Share {
    next: Arc<AtomicU64>,
    numbers: u64,
}

impl Iterator for Share {
    type Item = u64;

    fn next(&mut self) -> Option<u64> {
        let number = self.next.fetch_add(1, Ordering::Relaxed);
        (number < self.numbers).then_some(number)
    }
}
