//! The key-value store alone: what a committed command and a query cost on each member.
//!
//! The store has 10,000 keys and all the history that it keeps: what was written before must cost a write nothing.

use std::hint::black_box;

use bytes::Bytes;
use criterion::{Criterion, criterion_group, criterion_main};
use liferaft::ids::{Index, Term};
use liferaft::kv::{Command, Keys, Query, Scan, Step};
use liferaft::time::ClusterTime;
use liferaft::{ApplyContext, Kv, StateMachine};

const KEYS: u64 = 10_000;
/// More than a history keeps.
const WRITES: u64 = 200_000;
const VALUE: Bytes = Bytes::from_static(&[7; 256]);

/// A store with the index of the entry that it has applied last.
struct Store {
    kv: Kv,
    index: u64,
}

impl Store {
    fn old() -> Self {
        let mut store = Self {
            kv: Kv::new(),
            index: 0,
        };
        for number in 0..WRITES {
            store.apply(set(number));
        }
        store
    }

    /// Applies a command as a member does that is told of each entry.
    fn apply(&mut self, command: Command) {
        self.index += 1;
        let at = ApplyContext {
            index: Index(self.index),
            term: Term(1),
            time: ClusterTime::ZERO,
        };
        black_box(self.kv.apply(at, command));
        self.kv.advance(at);
    }
}

fn key(number: u64) -> Bytes {
    Bytes::from(format!("key {:05}", number % KEYS))
}

fn set(number: u64) -> Command {
    Command::Set {
        key: key(number),
        value: VALUE,
    }
}

fn kv(criterion: &mut Criterion) {
    let mut store = Store::old();
    let mut group = criterion.benchmark_group("kv");
    let mut numbers = 0_u64..;
    // Steps of a prime, so that neighbours in time are none in the order of keys.
    let mut number = || numbers.next().expect("they do not end") * 7919;
    group.bench_function("set", |bencher| {
        bencher.iter(|| store.apply(set(number())));
    });
    group.bench_function("batch of 16 sets", |bencher| {
        bencher.iter(|| {
            let steps = (0..16).map(|_| Step::Set {
                key: key(number()),
                value: VALUE,
                lease: None,
            });
            store.apply(Command::Batch(steps.collect()));
        });
    });
    group.bench_function("get", |bencher| {
        bencher.iter(|| black_box(store.kv.query(Query::Get { key: key(number()) })));
    });
    group.bench_function("scan of 100", |bencher| {
        bencher.iter(|| {
            let scan = Scan::of(Keys::prefix("key 05")).limit(100);
            black_box(store.kv.query(Query::Scan(scan)))
        });
    });
    group.finish();
}

criterion_group!(benches, kv);
criterion_main!(benches);
