//! Measures what a snapshot costs those who write meanwhile: `cargo bench --bench snapshot`.
//!
//! Three members in one process hold a million keys, and 64 callers write as fast as they are answered. Each member
//! then takes a snapshot by itself, once. What is compared is how long writes took while any member was between the
//! capture of its state and the snapshot on its (memory) disk, and as long just before.

use std::ops::Range;
use std::process::ExitCode;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use bytes::Bytes;
use liferaft::configuration::Configuration;
use liferaft::consensus::{HardState, WriteId};
use liferaft::ids::{Index, LogPosition, Term};
use liferaft::kv::Command;
use liferaft::message::SnapshotMetadata;
use liferaft::sessions::{Joined, Joining, Sessions};
use liferaft::storage::{MemoryStorage, Snapshot, Storage, Write};
use liferaft::time::ClusterTime;
use liferaft::{
    ApplyContext, Capture, ClusterId, Handle, Kv, Member, MemoryNetwork, RestoreError, StateMachine,
};

const TARGET: f64 = 2.0;
const CALLERS: u64 = 64;
const RUNS: usize = 5;
const VALUE: &[u8] = &[7; 64];
const LAST: LogPosition = LogPosition::new(Term(1), Index(1));

fn main() -> ExitCode {
    // `cargo test` runs it as well, to see that it works.
    let is_measured = std::env::args().any(|argument| argument == "--bench");
    let (keys, runs) = if is_measured {
        (1_000_000, RUNS)
    } else {
        (10_000, 1)
    };
    let stored = stored(keys);
    println!(
        "a snapshot of {keys} keys ({} MB) while {CALLERS} callers write 64 B to three members:",
        stored.metadata.length / 1_000_000
    );
    let mut ratios: Vec<f64> = (0..runs).map(|_| run(&stored, keys)).collect();
    ratios.sort_by(f64::total_cmp);
    let ratio = ratios[ratios.len() / 2];
    let met = ratio <= TARGET;
    println!(
        "snapshot/p99: median {ratio:.2} times that without one, of {runs} runs from {:.2} to {:.2}; target at most {TARGET}: {}",
        ratios[0],
        ratios[ratios.len() - 1],
        if met { "met" } else { "missed" }
    );
    if met || !is_measured {
        ExitCode::SUCCESS
    } else {
        ExitCode::FAILURE
    }
}

/// One cluster, one snapshot on each member. How many times the p99 is that without.
fn run(stored: &Stored, keys: u64) -> f64 {
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .worker_threads(2)
        .enable_time()
        .build()
        .expect("threads can be started");
    let (snapshots, writes) = runtime.block_on(measure(stored, keys));
    let first = snapshots.iter().map(|taken| taken.start).min();
    let first = first.expect("each member has taken one");
    let span: Duration = snapshots.iter().map(|taken| taken.end - taken.start).sum();
    let during = p99(&writes, &snapshots);
    let before = p99(&writes, &[first - span..first]);
    let ratio = during.as_secs_f64() / before.as_secs_f64();
    println!(
        "  p99 {before:?} without, {during:?} while the snapshots were taken ({span:?}): {ratio:.2} times"
    );
    ratio
}

/// When each member took its snapshot, and the writes.
async fn measure(stored: &Stored, keys: u64) -> (Vec<Range<Instant>>, Vec<Sample>) {
    let (members, captures) = members(stored, keys).await;
    let leader = leader(&members).await;
    let stop = Arc::new(AtomicBool::new(false));
    let next = Arc::new(AtomicU64::new(0));
    let callers: Vec<_> = (0..CALLERS)
        .map(|_| {
            tokio::spawn(write(
                leader.clone(),
                keys,
                Arc::clone(&next),
                Arc::clone(&stop),
            ))
        })
        .collect();
    let taken = members
        .iter()
        .zip(&captures)
        .map(|(member, captured)| async {
            let mut status = member.status();
            let taken = status.wait_for(|status| status.raft.snapshot > LAST.index);
            taken.await.expect("the member runs");
            let start = captured.0.lock().expect("nobody panics");
            start.expect("it was captured")..Instant::now()
        });
    let snapshots = futures::future::join_all(taken).await;
    stop.store(true, Ordering::Relaxed);
    let mut writes = Vec::new();
    for caller in callers {
        writes.extend(caller.await.expect("a caller ends without a panic"));
    }
    (snapshots, writes)
}

/// A write: when it was answered, and how long that took.
type Sample = (Instant, Duration);

async fn write(
    member: Handle<Watched>,
    keys: u64,
    next: Arc<AtomicU64>,
    stop: Arc<AtomicBool>,
) -> Vec<Sample> {
    let mut samples = Vec::new();
    while !stop.load(Ordering::Relaxed) {
        // All over the keys, so that little of the map stays shared with its capture.
        let number = next
            .fetch_add(1, Ordering::Relaxed)
            .wrapping_mul(0x9e37_79b9_7f4a_7c15);
        let key = key(number % keys);
        let value = Bytes::from_static(VALUE);
        let asked = Instant::now();
        let reply = member.propose(Command::Set { key, value }).await;
        reply.expect("it is answered").outcome.expect("it is set");
        samples.push((Instant::now(), asked.elapsed()));
    }
    samples
}

fn p99(writes: &[Sample], spans: &[Range<Instant>]) -> Duration {
    let within = writes
        .iter()
        .filter(|(at, _)| spans.iter().any(|span| span.contains(at)));
    let mut took: Vec<Duration> = within.map(|(_, took)| *took).collect();
    took.sort_unstable();
    took[took.len() * 99 / 100]
}

fn key(number: u64) -> Bytes {
    Bytes::copy_from_slice(&number.to_be_bytes())
}

/// A snapshot, with its state.
struct Stored {
    metadata: SnapshotMetadata,
    data: Bytes,
}

/// What a member has on its disk that has been given so many keys.
fn stored(keys: u64) -> Stored {
    let mut kv = Kv::new();
    for number in 0..keys {
        let context = ApplyContext {
            index: LAST.index,
            term: LAST.term,
            time: ClusterTime::ZERO,
        };
        let command = Command::Set {
            key: key(number),
            value: Bytes::from_static(VALUE),
        };
        kv.apply(context, command).outcome.expect("there is room");
    }
    let mut joining = Joining::new(
        &Sessions::<liferaft::kv::Reply>::default(),
        kv.snapshot().into_pieces(),
    );
    let joined = loop {
        if let Some(joined) = joining.step() {
            break joined.expect("an empty table can be encoded");
        }
    };
    let Joined { data, digest } = joined;
    let metadata = SnapshotMetadata {
        last: LAST,
        stamp: ClusterTime::ZERO,
        configuration: Configuration::of_voters(disks().map(|disk| disk.identity().id())).into(),
        configuration_index: LAST.index,
        length: data.len() as u64,
        digest,
    };
    Stored { metadata, data }
}

/// Blank disks of the three servers.
fn disks() -> [MemoryStorage; 3] {
    [1, 2, 3].map(MemoryStorage::from_seed)
}

async fn members(stored: &Stored, keys: u64) -> (Vec<Handle<Watched>>, Vec<Capturing>) {
    let network = MemoryNetwork::new(1);
    let (mut members, mut captures) = (Vec::new(), Vec::new());
    for mut disk in disks() {
        let (metadata, lane) = (stored.metadata.clone(), disk.snapshots());
        let name = lane.begin().await.expect("memory takes all");
        let appended = lane.append(name, stored.data.clone()).await;
        appended.expect("memory takes all");
        let finished = lane.finish(name, metadata.length, metadata.digest).await;
        assert!(finished.expect("memory takes all"), "it is whole");
        let write = Write {
            id: WriteId(1),
            hard_state: Some(HardState {
                term: LAST.term,
                ..HardState::default()
            }),
            snapshot: Some(Snapshot { name, metadata }),
            ..Write::default()
        };
        disk.write(vec![write]).await.expect("memory takes all");
        let bound = disk.bind(ClusterId(1), None).await;
        bound.expect("it was bound to none");
        let captured = Capturing::default();
        captures.push(captured.clone());
        let machine = Watched {
            kv: Kv::new(),
            captured,
        };
        let transport = network.attach(disk.identity().id());
        let transport = transport.expect("it is attached once");
        let member = Member::builder(machine, transport, disk)
            // Late enough that there are writes without a snapshot to compare with.
            .snapshot_after_log_bytes(64 * keys);
        members.push(member.start().await.expect("it starts"));
    }
    (members, captures)
}

async fn leader(members: &[Handle<Watched>]) -> Handle<Watched> {
    loop {
        let leading = members.iter().find(|member| {
            let status = member.status();
            status.borrow().is_leader()
        });
        if let Some(leader) = leading {
            return leader.clone();
        }
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
}

/// When a member first captured its state.
#[derive(Clone, Default)]
struct Capturing(Arc<Mutex<Option<Instant>>>);

/// The key-value store, that tells when it is captured.
struct Watched {
    kv: Kv,
    captured: Capturing,
}

impl StateMachine for Watched {
    type Command = Command;
    type Reply = liferaft::kv::Reply;
    type Query = liferaft::kv::Query;
    type Answer = liferaft::kv::Answer;

    fn apply(&mut self, context: ApplyContext, command: Command) -> Self::Reply {
        self.kv.apply(context, command)
    }

    fn query(&self, query: Self::Query) -> Self::Answer {
        self.kv.query(query)
    }

    fn snapshot(&self) -> impl Capture {
        let mut first = self.captured.0.lock().expect("nobody panics");
        first.get_or_insert_with(Instant::now);
        self.kv.snapshot()
    }

    fn restore(&mut self, state: &[u8]) -> Result<(), RestoreError> {
        self.kv.restore(state)
    }
}
