//! Loads a cluster with operations, and measures how many are done and how long each takes.
//!
//! In a closed loop each caller waits for its last operation before the next. In an open loop operations begin when
//! they are intended to, whether or not earlier ones are done, and their time counts from then: a server that stands
//! still makes all wait that come meanwhile, and not one (no coordinated omission).

use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::thread;
use std::time::{Duration, Instant};

use anyhow::{Context as _, Result, anyhow, ensure};
use bytes::{Bytes, BytesMut};
use clap::ValueEnum;
use tokio::runtime::Handle;
use tokio::sync::Semaphore;
use tokio::task::JoinSet;

use crate::cluster::{Client, Cluster};

/// The keys that are written and read.
const KEYS: u64 = 100_000;

const VALUE_BYTES: usize = 256;

/// Each connection serves so many callers, and there are at least [`CONNECTIONS_MIN`], or one for each caller.
const CALLERS_OF_CONNECTION: usize = 64;
const CONNECTIONS_MIN: usize = 3;

/// The callers that write all keys before anything is measured.
const FILLING_CALLERS: usize = 512;

/// In a mix, one of so many operations writes.
const READS_AND_WRITE: u64 = 10;

/// The shortest pause of the thread that begins operations in an open loop: shorter ones would cost more than they are
/// exact. Operations that become due meanwhile begin together, and the pause counts as theirs.
const PAUSE_MIN: Duration = Duration::from_micros(100);

/// What callers do.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub(crate) enum Work {
    /// Write
    Put,
    /// Read, linearizably
    Get,
    /// Read nine times and write once
    Mix,
}

/// When operations begin.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) enum Pace {
    /// When the caller's last one is done.
    Closed,
    /// So many in each second.
    Open(f64),
}

/// What is asked of a cluster.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Load {
    pub(crate) work: Work,
    /// How many operations are under way at a time; in an open loop at most.
    pub(crate) callers: usize,
    pub(crate) pace: Pace,
    /// What is not counted, at first.
    pub(crate) warm_up: Duration,
    /// What is counted after it.
    pub(crate) duration: Duration,
}

/// What came of it.
#[derive(Debug)]
pub(crate) struct Run {
    pub(crate) per_second: f64,
    /// How long operations took, shortest first.
    times: Vec<Duration>,
}

impl Run {
    fn new(mut times: Vec<Duration>, duration: Duration) -> Result<Self> {
        ensure!(!times.is_empty(), "nothing was done");
        times.sort_unstable();
        let count = u32::try_from(times.len()).context("more operations than can be counted")?;
        Ok(Self {
            per_second: f64::from(count) / duration.as_secs_f64(),
            times,
        })
    }

    /// Returns how many operations were done.
    pub(crate) fn count(&self) -> usize {
        self.times.len()
    }

    /// Returns the time that so many of a thousand operations took at most.
    pub(crate) fn within(&self, per_mille: usize) -> Duration {
        let place = (self.times.len() * per_mille).div_ceil(1000);
        self.times[place.clamp(1, self.times.len()) - 1]
    }
}

impl Load {
    pub(crate) async fn run(self, cluster: &Cluster) -> Result<Run> {
        let clients = connect(cluster, self.callers).await?;
        let begin = Instant::now() + self.warm_up;
        let times = match self.pace {
            Pace::Closed => self.closed(&clients, begin).await?,
            Pace::Open(per_second) => self.open(clients, begin, per_second).await?,
        };
        Run::new(times, self.duration)
    }

    /// Returns how long operations took that were done after `begin` and before the end.
    async fn closed(self, clients: &[Client], begin: Instant) -> Result<Vec<Duration>> {
        let end = begin + self.duration;
        let mut callers = JoinSet::new();
        for caller in 0..self.callers {
            let client = clients[caller % clients.len()].clone();
            callers.spawn(async move {
                let mut times = Vec::new();
                for turn in (caller as u64..).step_by(self.callers) {
                    let asked = Instant::now();
                    self.work.once(&client, turn).await?;
                    let done = Instant::now();
                    if done >= end {
                        break;
                    }
                    if done >= begin {
                        times.push(done - asked);
                    }
                }
                anyhow::Ok(times)
            });
        }
        all(callers).await
    }

    /// Returns how long operations took that were to begin after `begin` and before the end.
    async fn open(
        self,
        clients: Vec<Client>,
        begin: Instant,
        per_second: f64,
    ) -> Result<Vec<Duration>> {
        let room = Arc::new(Semaphore::new(self.callers));
        let results = Arc::new(Mutex::new(Vec::new()));
        let beginning = Beginning {
            load: self,
            clients,
            first: begin - self.warm_up,
            counted_from: begin,
            per_second,
            room: Arc::clone(&room),
            results: Arc::clone(&results),
        };
        let runtime = Handle::current();
        tokio::task::spawn_blocking(move || beginning.run(&runtime)).await??;
        // Whoever has all places has seen all operations end.
        let _all = room.acquire_many(u32::try_from(self.callers)?).await?;
        let mut results = results.lock().unwrap_or_else(PoisonError::into_inner);
        results.drain(..).collect()
    }
}

/// Begins the operations of an open loop, on a thread of its own: timers of the runtime are exact to a millisecond.
struct Beginning {
    load: Load,
    clients: Vec<Client>,
    first: Instant,
    counted_from: Instant,
    per_second: f64,
    room: Arc<Semaphore>,
    results: Arc<Mutex<Vec<Result<Duration>>>>,
}

impl Beginning {
    fn run(self, runtime: &Handle) -> Result<()> {
        let end = self.counted_from + self.load.duration;
        let mut intended = self.first;
        let mut turn = 0;
        let pause = Duration::from_secs_f64(1.0 / self.per_second);
        while intended < end {
            let early = intended.saturating_duration_since(Instant::now());
            if !early.is_zero() {
                thread::sleep(early.max(PAUSE_MIN));
            }
            let place = Arc::clone(&self.room).acquire_owned();
            let place = runtime.block_on(place)?;
            let client = self.clients[turn % self.clients.len()].clone();
            let (work, counted_from) = (self.load.work, self.counted_from);
            let results = Arc::clone(&self.results);
            runtime.spawn(async move {
                let done = work.once(&client, turn as u64).await;
                let took = done.map(|()| intended.elapsed());
                if intended >= counted_from || took.is_err() {
                    let mut results = results.lock().unwrap_or_else(PoisonError::into_inner);
                    results.push(took);
                }
                drop(place);
            });
            turn += 1;
            intended += pause;
        }
        Ok(())
    }
}

impl Work {
    async fn once(self, client: &Client, turn: u64) -> Result<()> {
        // Fibonacci hashing: each run visits the keys in the same order, which has no pattern.
        let hash = turn.wrapping_mul(0x9e37_79b9_7f4a_7c15) >> 20;
        let is_write = match self {
            Self::Put => true,
            Self::Get => false,
            Self::Mix => turn.is_multiple_of(READS_AND_WRITE),
        };
        if is_write {
            client.put(key(hash % KEYS), value(turn)).await
        } else {
            let is_there = client.get(key(hash % KEYS)).await?;
            ensure!(is_there, "a key that was written has no value");
            Ok(())
        }
    }
}

/// Writes all keys, so that there is something to read, and to write over.
pub(crate) async fn fill(cluster: &Cluster) -> Result<()> {
    let clients = connect(cluster, FILLING_CALLERS).await?;
    let next = Arc::new(AtomicU64::new(0));
    let mut callers = JoinSet::new();
    for caller in 0..FILLING_CALLERS {
        let client = clients[caller % clients.len()].clone();
        let next = Arc::clone(&next);
        callers.spawn(async move {
            loop {
                let number = next.fetch_add(1, Ordering::Relaxed);
                if number >= KEYS {
                    return anyhow::Ok(Vec::new());
                }
                client.put(key(number), value(number)).await?;
            }
        });
    }
    let filled = all(callers).await;
    filled.with_context(|| format!("filling {}", cluster.name()))?;
    Ok(())
}

/// Returns clients for so many callers, which have found the leader.
pub(crate) async fn connect(cluster: &Cluster, callers: usize) -> Result<Vec<Client>> {
    let count = callers.div_ceil(CALLERS_OF_CONNECTION);
    let clients = cluster
        .clients(count.max(CONNECTIONS_MIN).min(callers))
        .await?;
    for client in &clients {
        client.get(key(0)).await?;
    }
    Ok(clients)
}

async fn all(mut callers: JoinSet<Result<Vec<Duration>>>) -> Result<Vec<Duration>> {
    let mut times = Vec::new();
    while let Some(ended) = callers.join_next().await {
        times.extend(ended.map_err(|panic| anyhow!(panic))??);
    }
    Ok(times)
}

fn key(number: u64) -> Bytes {
    format!("key-{number:08}").into()
}

fn value(number: u64) -> Bytes {
    let mut value = BytesMut::zeroed(VALUE_BYTES);
    value[..8].copy_from_slice(&number.to_be_bytes());
    value.freeze()
}
