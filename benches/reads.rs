//! Each kind of read, on three members in one process over the memory transport.
//!
//! `leader` and `follower` are linearizable: a round for all reads that wait, asked for by one message more on a
//! follower. `lease` is linearizable too, on a leader that holds one; `lease follower` asks it by a message.
//! `local within` bounds the age by two heartbeats, `local` does not. The differences are what each kind asks of
//! others: the store and the query are the same.

mod crowd;
mod trio;

use std::slice;
use std::time::Duration;

use bytes::Bytes;
use criterion::{
    BenchmarkId, Criterion, SamplingMode, Throughput, criterion_group, criterion_main,
};
use crowd::{runtime, share_out};
use liferaft::{Config, KvHandle, ReadLease};
use tokio::runtime::Runtime;
use trio::{VALUE, elected};

const CALLERS: [usize; 3] = [1, 64, 1024];
const KEYS: u64 = 1024;

#[derive(Clone, Copy)]
enum Read {
    Linearizable,
    LocalWithin(Duration),
    Local,
}

fn reads(criterion: &mut Criterion) {
    let runtime = runtime();
    let heartbeat = Config::default().heartbeat_interval();
    let [leader, follower] = runtime.block_on(members(Config::default()));
    let lease = ReadLease::with_drift_bound_ppm(1_000).expect("the bound makes sense");
    let by_lease = Config::builder().read_lease(lease).build();
    let by_lease = by_lease.expect("the settings make sense");
    let [lease_holder, lease_follower] = runtime.block_on(members(by_lease));

    measure(criterion, &runtime, "leader", &leader, Read::Linearizable);
    measure(
        criterion,
        &runtime,
        "follower",
        &follower,
        Read::Linearizable,
    );
    measure(
        criterion,
        &runtime,
        "lease",
        &lease_holder,
        Read::Linearizable,
    );
    measure(
        criterion,
        &runtime,
        "lease follower",
        &lease_follower,
        Read::Linearizable,
    );
    // The state of a follower in peace is two to three heartbeats old.
    let within = Read::LocalWithin(4 * heartbeat);
    measure(criterion, &runtime, "local within", &follower, within);
    measure(criterion, &runtime, "local", &follower, Read::Local);
}

fn measure(criterion: &mut Criterion, runtime: &Runtime, name: &str, on: &KvHandle, read: Read) {
    let mut group = criterion.benchmark_group(format!("reads/{name}"));
    group.sampling_mode(SamplingMode::Flat).sample_size(20);
    for callers in CALLERS {
        let count = (16 * callers as u64).max(1024);
        group.throughput(Throughput::Elements(count));
        group.bench_function(BenchmarkId::new("callers", callers), |bencher| {
            bencher.iter_custom(|iterations| {
                runtime.block_on(perform(on, callers, iterations * count, read))
            });
        });
    }
    group.finish();
}

/// Has the callers do so many reads together and returns how long that took.
async fn perform(member: &KvHandle, callers: usize, reads: u64, read: Read) -> Duration {
    let member = slice::from_ref(member);
    share_out(member, callers, reads, |member, share| async move {
        for number in share {
            let key = key(number % KEYS);
            let found = match read {
                Read::Linearizable => member.get(key).await,
                Read::LocalWithin(age_max) => member
                    .get_local_within(key, age_max)
                    .await
                    .map(|local| local.answer),
                Read::Local => member.get_local(key).await.map(|local| local.answer),
            };
            let found = found.expect("it is read");
            assert_eq!(found.value.map(|value| value.len()), Some(VALUE.len()));
        }
    })
    .await
}

fn key(number: u64) -> Bytes {
    Bytes::copy_from_slice(&number.to_be_bytes())
}

/// The leader and a follower of three members that all have all keys.
async fn members(config: Config) -> [KvHandle; 2] {
    let mut members = elected(config, key, KEYS).await;
    let third = members.pop().expect("there are three");
    // A member stops with its last handle.
    tokio::spawn(async move {
        let mut status = third.raft().status();
        while status.changed().await.is_ok() {}
    });
    let [leader, follower] = members.try_into().expect("two are left");
    // What a linearizable read sees is applied here.
    follower
        .get("anything")
        .await
        .expect("a leader confirms it");
    [leader, follower]
}

criterion_group!(benches, reads);
criterion_main!(benches);
