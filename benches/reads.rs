//! Each kind of read, on three members in one process over the memory transport.
//!
//! `leader` and `follower` are linearizable: a round for all reads that wait, asked for by one message more on a follower.
//! `lease` is linearizable too, on a leader that holds one; `lease follower` asks it by a message. `local within` bounds
//! the age by two heartbeats, `local` does not. The differences are what each kind asks of others: the store and the
//! query are the same.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

use bytes::Bytes;
use criterion::{
    BenchmarkId, Criterion, SamplingMode, Throughput, criterion_group, criterion_main,
};
use liferaft::{
    ClusterId, Config, Configuration, Kv, KvHandle, Member, MemoryNetwork, PeerId, ReadLease,
    ServerId,
};
use tokio::runtime::Runtime;
use tokio::task::JoinSet;

const VALUE_BYTES: usize = 256;
const CALLERS: [usize; 3] = [1, 64, 1024];
const KEYS: u64 = 1024;

#[derive(Clone, Copy)]
enum Read {
    Linearizable,
    LocalWithin(Duration),
    Local,
}

fn reads(criterion: &mut Criterion) {
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .worker_threads(2)
        .enable_time()
        .build()
        .expect("threads can be started");
    let heartbeat = Config::default().heartbeat_interval();
    let [leader, follower] = runtime.block_on(members(1, Config::default()));
    let lease = ReadLease::with_drift_bound_ppm(1_000).expect("the bound makes sense");
    let by_lease = Config::builder().read_lease(lease).build();
    let by_lease = by_lease.expect("the settings make sense");
    let [lease_holder, lease_follower] = runtime.block_on(members(2, by_lease));

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
    let next = Arc::new(AtomicU64::new(0));
    let mut tasks = JoinSet::new();
    let started = Instant::now();
    for _ in 0..callers {
        let (member, next) = (member.clone(), Arc::clone(&next));
        tasks.spawn(async move {
            loop {
                let number = next.fetch_add(1, Ordering::Relaxed);
                if number >= reads {
                    break;
                }
                let key = Bytes::copy_from_slice(&(number % KEYS).to_be_bytes());
                let found = match read {
                    Read::Linearizable => member.get(key).await,
                    Read::LocalWithin(age_max) => member
                        .get_local_within(key, age_max)
                        .await
                        .map(|local| local.answer),
                    Read::Local => member.get_local(key).await.map(|local| local.answer),
                };
                let found = found.expect("it is read");
                assert_eq!(found.value.map(|value| value.len()), Some(VALUE_BYTES));
            }
        });
    }
    while let Some(ended) = tasks.join_next().await {
        ended.expect("a caller ends without a panic");
    }
    started.elapsed()
}

/// The leader and a follower of three members that all have all keys.
async fn members(cluster: u128, config: Config) -> [KvHandle; 2] {
    let network = MemoryNetwork::new(1);
    let voters = Configuration::of_voters([1, 2, 3].map(ServerId));
    let mut members = Vec::new();
    for peer in 1..=3 {
        let transport = network.attach(PeerId(peer)).expect("it is attached once");
        let member = Member::builder(ClusterId(cluster), Kv::new(), transport)
            .config(config.clone())
            .bootstrap(voters.clone());
        members.push(KvHandle::new(member.start().await.expect("it starts")));
    }
    for number in 0..KEYS {
        let key = Bytes::copy_from_slice(&number.to_be_bytes());
        let value = Bytes::from_static(&[7; VALUE_BYTES]);
        members[0].set(key, value).await.expect("it is set");
    }
    members.sort_by_key(|member| !member.raft().status().borrow().is_leader());
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
