//! Applications that write through an outbox, over a store that outlives its member.
//!
//! What an outbox has taken and stored is done once in all, in the order of the pushes, however often its member
//! crashes; and it gives nothing up while its session lasts.

use std::collections::{BTreeMap, BTreeSet};
use std::future::pending;
use std::sync::{Arc, Mutex, MutexGuard};
use std::time::Duration;

use async_trait::async_trait;
use liferaft_kv::{Done, KvOutbox};
use liferaft_node::driver::{OutboxConfig, OutboxError};
use liferaft_node::storage::StorageError;
use liferaft_node::storage::outbox::{
    MemoryOutboxStore, OutboxStore, OutboxWrite, RecoveredOutbox,
};
use liferaft_sim::dice::{Dice, PerMillion};
use liferaft_sim::operation::{Answer, Change, Question, is_sequence, key_bytes};
use tokio::time::Instant;

use crate::client::{Clients, value_bytes};
use crate::cluster::Running;
use crate::history::{CallId, Heard};

/// How many servers have an application with an outbox.
pub(crate) const OUTBOXES: u64 = 3;

/// How long an application waits before it looks again for its member.
const LOOK_AGAIN_AFTER: Duration = Duration::from_millis(20);

/// A write that takes long, and how many do.
const SLOW_WRITE: Duration = Duration::from_millis(150);
const SLOW_WRITES: PerMillion = PerMillion::percent(30);

/// A store of an outbox, which outlives its member. Its clones are the same store.
#[derive(Clone)]
pub(crate) struct Store(Arc<Mutex<State>>);

struct State {
    stored: MemoryOutboxStore,
    dice: Dice,
    latency_max: Duration,
    /// Which opening may write.
    opening: u64,
    under_way: Option<OutboxWrite>,
}

struct OpenStore {
    store: Store,
    opening: u64,
}

impl Store {
    pub(crate) fn new(dice: Dice, latency_max: Duration) -> Self {
        Self(Arc::new(Mutex::new(State {
            stored: MemoryOutboxStore::default(),
            dice,
            latency_max,
            opening: 0,
            under_way: None,
        })))
    }

    /// Its member crashes: the write that is under way is there whole, or not at all.
    pub(crate) async fn crash(&self) {
        let (mut stored, kept) = {
            let mut state = self.state();
            state.opening += 1;
            let kept = state.dice.falls(PerMillion::percent(50));
            let under_way = state.under_way.take();
            (state.stored.clone(), under_way.filter(|_| kept))
        };
        if let Some(kept) = kept {
            let written = stored.write(kept).await;
            written.expect("an outbox writes its commands in order");
        }
    }

    async fn open(&self) -> OpenStore {
        self.crash().await;
        OpenStore {
            store: self.clone(),
            opening: self.state().opening,
        }
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.0.lock().expect("nothing panics under this lock")
    }
}

#[async_trait]
impl OutboxStore for OpenStore {
    async fn recover(&mut self) -> Result<RecoveredOutbox, StorageError> {
        let mut stored = self.store.state().stored.clone();
        stored.recover().await
    }

    async fn write(&mut self, write: OutboxWrite) -> Result<(), StorageError> {
        let takes = {
            let mut state = self.store.state();
            if state.opening == self.opening {
                state.under_way = Some(write.clone());
            }
            let most = u64::try_from(state.latency_max.as_micros()).expect("a short time");
            let takes = Duration::from_micros(state.dice.between(0, most));
            if state.dice.falls(SLOW_WRITES) {
                takes + SLOW_WRITE
            } else {
                takes
            }
        };
        tokio::time::sleep(takes).await;
        let stored = {
            let mut state = self.store.state();
            (state.opening == self.opening).then(|| {
                state.under_way = None;
                state.stored.clone()
            })
        };
        match stored {
            Some(mut stored) => stored.write(write).await,
            // The member has crashed: nobody hears how it ended.
            None => pending().await,
        }
    }
}

/// The application of one server.
pub(crate) struct Application {
    clients: Arc<Clients>,
    pub(crate) server: u64,
    /// The open outbox, with the member that it sends through.
    open: Option<(Running, KvOutbox)>,
    /// The commands that were pushed, in order.
    pushed: Vec<Pushed>,
    /// Those of them that the outbox may still be asked for, by their numbers.
    by_number: BTreeMap<u64, CallId>,
}

struct Pushed {
    key: u8,
    value: u64,
}

impl Application {
    pub(crate) fn new(clients: Arc<Clients>, server: u64) -> Self {
        Self {
            clients,
            server,
            open: None,
            pushed: Vec::new(),
            by_number: BTreeMap::new(),
        }
    }

    /// Pushes commands until `end`, whenever its member runs.
    pub(crate) async fn push_until(mut self, end: Instant) -> Self {
        let plan = self.clients.cluster.plan.clone();
        let mut dice = Dice::new(plan.seed, 200 + self.server);
        let thinking = u64::try_from(plan.thinking.as_millis()).expect("a short time");
        let sequences: Vec<u8> = (1..=plan.keys).filter(|key| is_sequence(*key)).collect();
        while Instant::now() < end {
            let Some((running, outbox)) = self.opened().await else {
                tokio::time::sleep(LOOK_AGAIN_AFTER * plan.slowness).await;
                continue;
            };
            for _ in 0..dice.between(1, 4) {
                let key = dice.pick(&sequences).expect("there are sequences");
                self.push(&running, &outbox, key);
            }
            let pause = Duration::from_millis(dice.between(0, 2 * thinking));
            if running.ask(tokio::time::sleep(pause)).await.is_none() {
                // An outbox keeps its member running: nothing of a process that has ended may stay.
                self.open = None;
            }
        }
        self
    }

    fn push(&mut self, running: &Running, outbox: &KvOutbox, key: u8) {
        let value = (self.server + 1_000) << 32 | (self.pushed.len() as u64 + 1);
        let question = Question::Change(Change::Append(value));
        let call = self.clients.history().begin(key, question);
        match outbox.append(key_bytes(key), value_bytes(value)) {
            Ok(ticket) => {
                self.pushed.push(Pushed { key, value });
                self.by_number.insert(ticket.number(), call);
                self.wait_for(running, outbox, ticket.number(), call);
            }
            // It has closed, or is full: nothing was taken.
            Err(_refused) => self.clients.history().end(call, Heard::NotDone),
        }
    }

    /// The outbox, opened anew if its member started again.
    async fn opened(&mut self) -> Option<(Running, KvOutbox)> {
        let cluster = &self.clients.cluster;
        let running = cluster.running(self.server)?;
        if let Some((member, outbox)) = &self.open
            && member.is(&running)
        {
            return Some((member.clone(), outbox.clone()));
        }
        let store = cluster.store(self.server).open().await;
        let opening = running.kv.outbox(OutboxConfig::default().store(store));
        let outbox = running.ask(opening).await?.ok()?;
        for pending in outbox.pending() {
            match self.by_number.get(&pending.number).copied() {
                Some(call) => self.wait_for(&running, &outbox, pending.number, call),
                None => cluster.alarm(format!(
                    "the outbox of server {} holds {pending:?}, which nobody pushed",
                    self.server
                )),
            }
        }
        self.open = Some((running.clone(), outbox.clone()));
        Some((running, outbox))
    }

    /// Writes down what becomes of a command, if it is told while this member runs.
    fn wait_for(&self, running: &Running, outbox: &KvOutbox, number: u64, call: CallId) {
        let Some(ticket) = outbox.raft().ticket(number) else {
            return;
        };
        let (clients, server) = (Arc::clone(&self.clients), self.server);
        let running = running.clone();
        tokio::spawn(async move {
            let heard = match running.ask(ticket).await {
                Some(Ok(reply)) => match reply.outcome {
                    Ok(Done::Append(place)) => Heard::Done(Answer::Place(place)),
                    other => {
                        let text = format!("an append of server {server} came to {other:?}");
                        return clients.cluster.alarm(text);
                    }
                },
                Some(Err(OutboxError::Interrupted(_))) | None => return,
                Some(Err(error)) if !may_give_up(&error) => {
                    let text = format!("the outbox of server {server} gives up {number}: {error}");
                    return clients.cluster.alarm(text);
                }
                Some(Err(error)) if error.is_definite() => Heard::NotDone,
                Some(Err(_)) => Heard::Unknown,
            };
            clients.history().end(call, heard);
        });
    }

    /// Waits until all is done that the store holds.
    ///
    /// # Errors
    /// It is not.
    pub(crate) async fn flush(&mut self, patience: Duration) -> Result<(), String> {
        let server = self.server;
        let cluster = Arc::clone(&self.clients.cluster);
        let end = Instant::now() + patience;
        let (member, outbox) = loop {
            if let Some(opened) = self.opened().await {
                break opened;
            }
            if Instant::now() >= end {
                return Err(format!("the outbox of server {server} is not opened"));
            }
            // It may have been about to shut down when faults stopped.
            cluster.start_member(server).await;
            tokio::time::sleep(LOOK_AGAIN_AFTER * cluster.plan.slowness).await;
        };
        let flushed = tokio::time::timeout_at(end, member.ask(outbox.flush())).await;
        match flushed {
            Ok(Some(Ok(()))) => Ok(()),
            other => Err(format!(
                "the outbox of server {server} is not empty in the end: {other:?}, {:?}",
                outbox.pending()
            )),
        }
    }

    /// Whether its commands are in the sequences in the order in which it pushed them, none twice.
    ///
    /// # Errors
    /// They are not.
    pub(crate) fn check(&self, sequences: &BTreeMap<u8, Vec<u64>>) -> Result<(), String> {
        let own: BTreeMap<u64, usize> = (0..)
            .zip(&self.pushed)
            .map(|(place, pushed)| (pushed.value, place))
            .collect();
        let keys: BTreeSet<u8> = self.pushed.iter().map(|pushed| pushed.key).collect();
        for key in keys {
            let values = sequences.get(&key).into_iter().flatten();
            let places: Vec<usize> = values.filter_map(|value| own.get(value).copied()).collect();
            if !places.is_sorted_by(|one, next| one < next) {
                return Err(format!(
                    "the commands of server {}'s outbox are done in another order in {key}: {places:?}",
                    self.server
                ));
            }
        }
        Ok(())
    }
}

/// Whether an outbox may tell this: no run lasts as long as its session.
fn may_give_up(error: &OutboxError) -> bool {
    use liferaft_node::driver::OutboxCause::SessionExpired;

    !matches!(
        error,
        OutboxError::NotDone(SessionExpired) | OutboxError::Unknown(SessionExpired)
    )
}
