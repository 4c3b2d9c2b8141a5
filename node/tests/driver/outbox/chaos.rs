//! An outbox under seeded faults: partitions, loss, duplicates, crashes of all members, sessions that vanish.
//!
//! A seed that fails is printed, and names the run.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use async_trait::async_trait;
use liferaft_node::driver::{
    FlushError, OnExpiry, Outbox, OutboxConfig, OutboxError, OutboxEvent, OutboxState, PushError,
};
use liferaft_node::storage::StorageError;
use liferaft_node::storage::outbox::{
    MemoryOutboxStore, OutboxStore, OutboxWrite, RecoveredOutbox,
};
use liferaft_transport::memory::{Delay, Faults, Probability};
use rand_chacha::ChaCha8Rng;
use rand_core::{Rng, SeedableRng};
use tokio::sync::broadcast;

use super::expire_all_sessions;
use crate::cluster::{Cluster, server};
use crate::machine::Journal;

const SEEDS: u64 = 40;

/// Fewer where sessions vanish: thousands of registrations each time.
const SEEDS_OF_EXPIRY: u64 = 12;
const STEPS: u32 = 60;
const MEMBERS: u128 = 3;

/// The member whose outbox it is.
const MEMBER: u128 = 1;

/// What goes wrong on purpose, so that the check is known to notice.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Flaw {
    None,
    /// The application pushes again whatever has no reply, as if it knew that it was not done: what an outbox would do
    /// that sent it again under another session.
    SentAgain,
    /// The store keeps commands without the position that they are sent under.
    PositionForgotten,
}

/// How a run is made.
#[derive(Clone, Copy)]
struct Manner {
    sessions_expire: bool,
    on_expiry: OnExpiry,
    snapshot_after_log_bytes: u64,
    flaw: Flaw,
}

struct Store {
    store: MemoryOutboxStore,
    flaw: Flaw,
}

#[async_trait]
impl OutboxStore for Store {
    async fn recover(&mut self) -> Result<RecoveredOutbox, StorageError> {
        self.store.recover().await
    }

    async fn write(&mut self, mut write: OutboxWrite) -> Result<(), StorageError> {
        if self.flaw == Flaw::PositionForgotten {
            write.position = None;
        }
        // A crash may come between any two steps of the outbox.
        tokio::time::sleep(Duration::from_micros(300)).await;
        self.store.write(write).await
    }
}

struct Run {
    manner: Manner,
    rng: ChaCha8Rng,
    cluster: Cluster,
    store: MemoryOutboxStore,
    outbox: Outbox<Journal>,
    events: broadcast::Receiver<OutboxEvent>,
    /// What was told of commands that have no reply.
    given_up: BTreeMap<u64, OutboxError>,
    nonces: u128,
}

impl Run {
    async fn begin(seed: u64, manner: Manner) -> Self {
        let mut cluster = Cluster::founded(1..=MEMBERS).await;
        for id in 1..=MEMBERS {
            start(&mut cluster, id, manner).await;
        }
        cluster.leader().await;
        let store = MemoryOutboxStore::default();
        let outbox = open(&cluster, &store, manner).await;
        Self {
            manner,
            rng: ChaCha8Rng::seed_from_u64(seed),
            events: outbox.events(),
            cluster,
            store,
            outbox,
            given_up: BTreeMap::new(),
            nonces: 0,
        }
    }

    fn roll(&mut self, sides: u64) -> u64 {
        self.rng.next_u64() % sides
    }

    async fn step(&mut self) {
        match self.roll(20) {
            0..=7 => self.push().await,
            8 | 9 => self.cluster.network.heal_all(),
            10 | 11 => {
                let id = 1 + u128::from(self.roll(3));
                self.cluster.isolate(id);
            }
            12 => {
                let id = 1 + u128::from(self.roll(3));
                let other = id % MEMBERS + 1;
                self.cluster.network.cut(server(id), server(other));
            }
            13 => {
                let faults = self.faults();
                self.cluster.network.set_faults(faults);
            }
            14 | 15 => {
                let id = 2 + u128::from(self.roll(2));
                self.cluster.kill(id);
                tokio::task::yield_now().await;
                start(&mut self.cluster, id, self.manner).await;
            }
            16 => self.crash().await,
            17 if self.manner.sessions_expire => self.expire().await,
            _ => {
                let pause = Duration::from_millis(self.roll(3000));
                tokio::time::sleep(pause).await;
            }
        }
        let pause = Duration::from_micros(self.roll(20_000));
        tokio::time::sleep(pause).await;
        self.hear().await;
    }

    fn faults(&mut self) -> Faults {
        let percent = |rng: &mut ChaCha8Rng, most: u64| {
            Probability::percent(u32::try_from(rng.next_u64() % most).unwrap())
        };
        Faults::none()
            .with_loss(percent(&mut self.rng, 30))
            .with_duplication(percent(&mut self.rng, 30))
            .with_reordering(percent(&mut self.rng, 50))
            .with_delay(Delay::uniform(
                Duration::from_millis(1)..=Duration::from_millis(25),
            ))
    }

    /// Pushes the next numbers: a command is its own number.
    async fn push(&mut self) {
        for _ in 0..=self.roll(30) {
            let number = self.outbox.status().borrow().accepted_through + 1;
            match self.outbox.push(&number) {
                Ok(ticket) => assert_eq!(ticket.number(), number),
                Err(PushError::Closed(_)) => self.crash().await,
                Err(refused) => panic!("refused: {refused}"),
            }
            // The status follows the pushes at the next turn of the outbox.
            tokio::task::yield_now().await;
        }
    }

    /// The member dies with its outbox, and both come back over what they stored.
    async fn crash(&mut self) {
        self.hear().await;
        self.cluster.kill(MEMBER);
        let config = OutboxConfig::default();
        let nothing = self.cluster.member(2).outbox(config).await.unwrap();
        drop(std::mem::replace(&mut self.outbox, nothing));
        tokio::time::sleep(Duration::from_millis(1)).await;
        start(&mut self.cluster, MEMBER, self.manner).await;
        self.outbox = open(&self.cluster, &self.store, self.manner).await;
        self.events = self.outbox.events();
    }

    /// While the cluster is whole for a moment, all its sessions vanish.
    async fn expire(&mut self) {
        self.cluster.network.set_faults(Faults::none());
        for id in 2..=MEMBERS {
            for other in 2..=MEMBERS {
                self.cluster.network.heal(server(id), server(other));
            }
        }
        self.cluster.isolate(MEMBER);
        self.nonces += 1;
        expire_all_sessions(&self.cluster, &[2, 3], self.nonces).await;
    }

    async fn hear(&mut self) {
        while let Ok(event) = self.events.try_recv() {
            if let OutboxEvent::GivenUp { number, error } = event {
                self.given_up.insert(number, error);
                if self.manner.flaw == Flaw::SentAgain {
                    drop(self.outbox.handle().propose(number).await);
                }
            }
        }
        if self.outbox.status().borrow().state == OutboxState::Halted && self.roll(2) == 0 {
            self.outbox.resume();
        }
    }

    /// The faults end, and everything is done or told. Returns what is wrong.
    async fn end(mut self) -> Result<usize, String> {
        self.cluster.network.set_faults(Faults::none());
        self.cluster.network.heal_all();
        loop {
            match self.outbox.flush().await {
                Ok(()) => break,
                Err(FlushError::Halted) => {
                    self.hear().await;
                    self.outbox.resume();
                }
                Err(error) => return Err(error.to_string()),
            }
            tokio::task::yield_now().await;
        }
        self.hear().await;
        let last = self.outbox.status().borrow().settled_through;
        let journal = self.cluster.settled().await;
        self.check(&journal, last)?;
        Ok(self.given_up.len())
    }

    fn check(&self, journal: &[u64], last: u64) -> Result<(), String> {
        if let Some(pair) = journal.windows(2).find(|pair| pair[0] >= pair[1]) {
            return Err(format!("{} came after {}", pair[1], pair[0]));
        }
        let done: BTreeSet<_> = journal.iter().copied().collect();
        for number in 1..=last {
            match (done.contains(&number), self.given_up.get(&number)) {
                (true, None) | (_, Some(OutboxError::Unknown(_))) => {}
                (false, Some(OutboxError::NotDone(_))) => {}
                (false, None) => return Err(format!("{number} is lost and nobody was told")),
                (done, Some(told)) => return Err(format!("{number} done: {done}, told {told:?}")),
            }
        }
        match done.last() {
            Some(most) if *most > last => Err(format!("{most} was never pushed")),
            Some(_) | None => Ok(()),
        }
    }
}

async fn start(cluster: &mut Cluster, id: u128, manner: Manner) {
    cluster
        .start(id, |member| {
            member.snapshot_after_log_bytes(manner.snapshot_after_log_bytes)
        })
        .await;
}

async fn open(cluster: &Cluster, store: &MemoryOutboxStore, manner: Manner) -> Outbox<Journal> {
    let config = OutboxConfig::default()
        .on_expiry(manner.on_expiry)
        .store(Store {
            store: store.clone(),
            flaw: manner.flaw,
        });
    let member = cluster.member(MEMBER);
    member.outbox(config).await.expect("the member runs")
}

/// How many commands were given up in a run, or what is wrong with it.
async fn run(seed: u64, manner: Manner) -> Result<usize, String> {
    let mut run = Run::begin(seed, manner).await;
    for _ in 0..STEPS {
        run.step().await;
    }
    run.end().await
}

const CALM: Manner = Manner {
    sessions_expire: false,
    on_expiry: OnExpiry::Stop,
    snapshot_after_log_bytes: u64::MAX,
    flaw: Flaw::None,
};

#[tokio::test(start_paused = true)]
async fn every_command_is_done_once_and_in_order() {
    for seed in 1..=SEEDS {
        let snapshot_after_log_bytes = if seed % 2 == 0 { 2000 } else { u64::MAX };
        let manner = Manner {
            snapshot_after_log_bytes,
            ..CALM
        };
        assert_eq!(run(seed, manner).await, Ok(0), "seed {seed}");
    }
}

/// Runs in which sessions vanish, of these seeds.
async fn assert_no_doubles_where_sessions_expire(
    on_expiry: OnExpiry,
    seeds: impl Iterator<Item = u64>,
) {
    let mut given_up = 0;
    for seed in seeds {
        let manner = Manner {
            sessions_expire: true,
            on_expiry,
            snapshot_after_log_bytes: if seed % 3 == 0 { 2000 } else { u64::MAX },
            flaw: Flaw::None,
        };
        let outcome = run(seed, manner).await;
        given_up += outcome.unwrap_or_else(|wrong| panic!("seed {seed}: {wrong}"));
    }
    assert!(given_up > 0, "sessions did expire with commands under way");
}

#[tokio::test(start_paused = true)]
async fn an_outbox_that_stops_when_sessions_expire_doubles_nothing() {
    let seeds = (1..=SEEDS_OF_EXPIRY).filter(|seed| seed % 2 == 0);
    assert_no_doubles_where_sessions_expire(OnExpiry::Stop, seeds).await;
}

#[tokio::test(start_paused = true)]
async fn an_outbox_that_goes_on_when_sessions_expire_doubles_nothing() {
    let seeds = (1..=SEEDS_OF_EXPIRY).filter(|seed| seed % 2 == 1);
    assert_no_doubles_where_sessions_expire(OnExpiry::Continue, seeds).await;
}

#[tokio::test(start_paused = true)]
async fn a_command_that_were_sent_again_under_another_session_would_be_noticed() {
    let manner = Manner {
        sessions_expire: true,
        on_expiry: OnExpiry::Continue,
        snapshot_after_log_bytes: 2000,
        flaw: Flaw::SentAgain,
    };
    assert!(is_noticed(manner).await);
}

#[tokio::test(start_paused = true)]
async fn a_store_that_forgot_under_which_session_commands_were_sent_would_be_noticed() {
    let flaw = Flaw::PositionForgotten;
    assert!(is_noticed(Manner { flaw, ..CALM }).await);
}

async fn is_noticed(manner: Manner) -> bool {
    for seed in 1..=SEEDS {
        if run(seed, manner).await.is_err() {
            return true;
        }
    }
    false
}
