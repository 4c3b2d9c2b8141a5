//! The core alone: from the proposal to its application on three servers.

mod pump;

use std::hint::black_box;

use bytes::Bytes;
use criterion::{BenchmarkId, Criterion, Throughput, criterion_group, criterion_main};

use pump::Pump;

const PAYLOADS: [usize; 3] = [16, 256, 4096];
const BATCHES: [usize; 2] = [1, 64];

fn consensus(criterion: &mut Criterion) {
    let mut group = criterion.benchmark_group("consensus");
    for payload in PAYLOADS {
        for batch in BATCHES {
            group.throughput(Throughput::Elements(batch as u64));
            let id = BenchmarkId::new(format!("{payload} B"), format!("batch {batch}"));
            group.bench_function(id, |bencher| {
                let mut pump = Pump::elected(3);
                let command = Bytes::from(vec![7; payload]);
                bencher.iter(|| {
                    pump.commit(std::iter::repeat_n(&command, batch).cloned());
                    black_box(pump.applied())
                });
            });
        }
    }
    group.finish();
}

criterion_group!(benches, consensus);
criterion_main!(benches);
