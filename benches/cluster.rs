//! Three members in one process, over the memory transport: everything but a real network and a disk.
//!
//! Callers are spread over the members, the first of them on the leader; each waits for its answer before it asks again.
//! One iteration is many operations, so that what is measured is the steady state, logs being compacted included.
//!
//! Where the system tells, a line after each benchmark says what an operation cost in CPU time, callers included: two
//! threads can be as fast as one and cost twice as much.

use std::fs;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

use bytes::Bytes;
use criterion::{
    BenchmarkId, Criterion, SamplingMode, Throughput, criterion_group, criterion_main,
};
use liferaft::configuration::Configuration;
use liferaft::{ClusterId, Kv, KvHandle, Member, MemoryNetwork, PeerId, ServerId};
use tokio::runtime::Runtime;
use tokio::task::JoinSet;

const VALUE_BYTES: usize = 256;
const CALLERS: [usize; 3] = [1, 64, 1024];
const KEYS: u64 = 1024;

#[derive(Clone, Copy)]
enum Operation {
    Set,
    Get,
}

fn cluster(criterion: &mut Criterion) {
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .worker_threads(2)
        .enable_time()
        .build()
        .expect("threads can be started");
    let members = runtime.block_on(elected());
    measure(criterion, &runtime, &members, "set 256 B", Operation::Set);
    measure(criterion, &runtime, &members, "get", Operation::Get);
}

fn measure(
    criterion: &mut Criterion,
    runtime: &Runtime,
    members: &[KvHandle],
    name: &str,
    operation: Operation,
) {
    let mut group = criterion.benchmark_group(format!("cluster/{name}"));
    group.sampling_mode(SamplingMode::Flat).sample_size(20);
    for callers in CALLERS {
        let operations = (16 * callers as u64).max(1024);
        group.throughput(Throughput::Elements(operations));
        let (mut done, mut cpu) = (0, Some(Duration::ZERO));
        group.bench_function(BenchmarkId::new("callers", callers), |bencher| {
            bencher.iter_custom(|iterations| {
                let total = iterations * operations;
                let cpu_before = cpu_time();
                let took = runtime.block_on(perform(members, callers, total, operation));
                let spent = cpu_time()
                    .zip(cpu_before)
                    .map(|(after, before)| after - before);
                cpu = cpu.zip(spent).map(|(sum, spent)| sum + spent);
                done += total;
                took
            });
        });
        if let Some(cpu) = cpu.filter(|_| done > 0) {
            let each = cpu.as_secs_f64() * 1e6 / done as f64;
            println!("cluster/{name}/callers/{callers}: {each:.2} µs of CPU time an operation\n");
        }
    }
    group.finish();
}

/// Has the callers do so many operations together and returns how long that took.
async fn perform(
    members: &[KvHandle],
    callers: usize,
    operations: u64,
    operation: Operation,
) -> Duration {
    let next = Arc::new(AtomicU64::new(0));
    let mut tasks = JoinSet::new();
    let started = Instant::now();
    for member in members.iter().cycle().take(callers) {
        let (member, next) = (member.clone(), Arc::clone(&next));
        tasks.spawn(async move {
            let value = Bytes::from_static(&[7; VALUE_BYTES]);
            loop {
                let number = next.fetch_add(1, Ordering::Relaxed);
                if number >= operations {
                    break;
                }
                let key = Bytes::copy_from_slice(&(number % KEYS).to_be_bytes());
                match operation {
                    Operation::Set => {
                        member.set(key, value.clone()).await.expect("it is set");
                    }
                    Operation::Get => {
                        let found = member.get(key).await.expect("it is read");
                        assert_eq!(found.as_ref().map(Bytes::len), Some(VALUE_BYTES));
                    }
                }
            }
        });
    }
    while let Some(ended) = tasks.join_next().await {
        ended.expect("a caller ends without a panic");
    }
    started.elapsed()
}

/// Three members, the leader first, all of whose keys are set.
async fn elected() -> Vec<KvHandle> {
    let network = MemoryNetwork::new(1);
    let voters = Configuration::of_voters([1, 2, 3].map(ServerId));
    let mut members = Vec::new();
    for peer in 1..=3 {
        let transport = network.attach(PeerId(peer)).expect("it is attached once");
        let member = Member::builder(ClusterId(1), Kv::new(), transport).bootstrap(voters.clone());
        members.push(KvHandle::new(member.start().await.expect("it starts")));
    }
    perform(&members, 64, KEYS, Operation::Set).await;
    members.sort_by_key(|member| !member.raft().status().borrow().is_leader());
    members
}

/// What this process has cost in CPU time, from the kernel's counters of its threads; `None` where there are none.
fn cpu_time() -> Option<Duration> {
    let mut total = Duration::ZERO;
    for thread in fs::read_dir("/proc/self/task").ok()? {
        let counters = fs::read_to_string(thread.ok()?.path().join("schedstat")).ok()?;
        let nanoseconds = counters.split_whitespace().next()?.parse().ok()?;
        total += Duration::from_nanos(nanoseconds);
    }
    Some(total)
}

criterion_group!(benches, cluster);
criterion_main!(benches);
