//! Three members in one process, over the memory transport: everything but a real network and a disk.
//!
//! Callers are spread over the members, the first of them on the leader; each waits for its answer before it asks
//! again. One iteration is many operations, so that what is measured is the steady state, logs being compacted
//! included.
//!
//! Where the system tells, a line after each benchmark says what an operation cost in CPU time, callers included: two
//! threads can be as fast as one and cost twice as much.

mod cpu;
mod crowd;
mod trio;

use std::time::Duration;

use bytes::Bytes;
use criterion::{
    BenchmarkId, Criterion, SamplingMode, Throughput, criterion_group, criterion_main,
};
use crowd::{runtime, share_out};
use liferaft::{Config, KvHandle};
use tokio::runtime::Runtime;
use trio::{VALUE, elected};

const CALLERS: [usize; 3] = [1, 64, 1024];
const KEYS: u64 = 1024;

#[derive(Clone, Copy)]
enum Operation {
    Set,
    Get,
}

fn cluster(criterion: &mut Criterion) {
    let runtime = runtime();
    let members = runtime.block_on(elected(Config::default(), key, KEYS));
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
                let cpu_before = cpu::time();
                let took = runtime.block_on(perform(members, callers, total, operation));
                let spent = cpu::time()
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
    share_out(members, callers, operations, |member, share| async move {
        for number in share {
            let key = key(number % KEYS);
            match operation {
                Operation::Set => {
                    member.set(key, VALUE).await.expect("it is set");
                }
                Operation::Get => {
                    let found = member.get(key).await.expect("it is read");
                    assert_eq!(found.as_ref().map(Bytes::len), Some(VALUE.len()));
                }
            }
        }
    })
    .await
}

fn key(number: u64) -> Bytes {
    Bytes::copy_from_slice(&number.to_be_bytes())
}

criterion_group!(benches, cluster);
criterion_main!(benches);
