//! Writes a member's log and hard state: one value a drain, in one strict transaction.

use std::rc::Rc;

use super::base::{self, Base};
use super::drain;
use super::drains::Drains;
use super::host::KeyPair;
use super::table::{Database, Fault, Shelf, Step, numbered};
use super::task::Shared;
use crate::configuration::History;
use crate::identity::Identity;
use crate::ids::ClusterId;
use crate::storage::records::change::{Change, Gathered, Replay, Replayed};
use crate::storage::records::{damaged, fault};
use crate::storage::{Recovered, Snapshot, StorageError, Write, held};

/// The key of the server's secret key, where the browser keeps none.
pub(super) const SECRET: &[u8] = b"key";

/// The key of the secret of the token by which this server invites others.
pub(super) const TOKEN: &[u8] = b"token";

/// What the length of a drain is taken to be a multiple of, in bytes: a short one takes about as much with its records'
/// heads, its key and what the database and [`Drains`] keep of it.
pub(super) const DRAIN_BYTES: u64 = 256;

/// So many drains that the log does not need are freed without a compaction.
const UNNEEDED_MAX: u64 = 64;

/// After so many bytes that were written, the browser is asked how much room there is.
const ASK_ROOM_AFTER: u64 = 4 << 20;

/// So many bytes of drains are read at a time, about.
const READ_BYTES: u64 = 4 << 20;

/// The most drains that are read at a time.
const READ_DRAINS_MAX: u32 = 64;

/// What is written of a log, and may be changed by one write at a time.
#[derive(Debug)]
pub(super) struct Store {
    /// As it is stored, but for what drains have said since.
    base: Base,
    /// The snapshot in force, and the drain that says what it is; 0 if the base does.
    snapshot: Option<(Snapshot, u64)>,
    /// How many bytes were written since the browser was asked for room.
    unasked: u64,
    /// Why nothing more is written.
    failed: Option<String>,
}

/// What a database holds of a log.
#[derive(Debug)]
pub(super) struct Found {
    pub(super) store: Store,
    pub(super) drains: Drains,
    pub(super) recovered: Recovered,
    /// How much longer the log since the snapshot in force is taken to be than its entries weigh.
    pub(super) padding: u64,
}

/// Puts what a server begins with into a database that has nothing: its base last, which says that all is there.
pub(super) async fn create(
    database: &Database,
    identity: &Identity,
    pair: Option<&KeyPair>,
) -> Result<(), StorageError> {
    if let Some(pair) = pair {
        let kept = database.0.keep_key(pair).await;
        kept.map_err(|fault| fault.during("create the store"))?;
    }
    let secret = identity
        .secret_key()
        .map(|secret| (SECRET, secret.to_vec()));
    let base = (base::KEY, Base::default().encode());
    let steps = secret.into_iter().chain([base]);
    let steps = steps.map(|(key, value)| Step::Put {
        shelf: Shelf::Server,
        key: key.to_vec(),
        value,
    });
    let created = database.transact(&steps.collect::<Vec<_>>()).await;
    created.map_err(|fault| fault.during("create the store"))
}

/// Reads the base, if a server was ever made here.
pub(super) async fn read_base(database: &Database) -> Result<Option<Base>, StorageError> {
    let value = database.get(Shelf::Server, base::KEY.to_vec()).await;
    let value = value.map_err(|fault| fault.during("read the store"))?;
    let base = value.map(|value| Base::decode(&value)).transpose();
    base.map_err(|flaw| fault("header", "the base", &flaw))
}

/// Reads the log behind its base. Of the log it holds the end that takes no more than `log_bytes_max` of memory, or all
/// that may not be committed.
pub(super) async fn find(
    database: &Database,
    base: Base,
    log_bytes_max: u64,
) -> Result<Found, StorageError> {
    let found = replay(database, base, log_bytes_max).await?;
    match found {
        Ok(found) => Ok(found),
        // Entries were dropped that an outline had, which committed ones never are: it is read once more, whole.
        Err(base) => {
            let found = replay(database, base, u64::MAX).await?;
            let mut found = found.map_err(|_| damaged("log", "its beginning was dropped"))?;
            found.recovered = held::bound(found.recovered, log_bytes_max)?;
            Ok(found)
        }
    }
}

/// Reads the log, drain by drain. Gives the base back if the beginning of the log would have to be read once more.
async fn replay(
    database: &Database,
    mut base: Base,
    log_bytes_max: u64,
) -> Result<Result<Found, Base>, StorageError> {
    let original = base.clone();
    let mut replay = Replay::starting_with(base.shape, log_bytes_max, base.hard_state.commit)
        .with_snapshot(base.snapshot.clone());
    let mut drains = Drains::starting_with(base.first, base.shape);
    let mut named_by = 0;
    let mut padding = 0;
    let mut count = 1;
    loop {
        let keys = numbered(drains.next())..=numbered(u64::MAX);
        let values = database.list(Shelf::Log, keys, count).await;
        let values = values.map_err(|fault| fault.during("read the log"))?;
        if values.is_empty() {
            break;
        }
        let bytes: u64 = values.iter().map(|value| value.len() as u64).sum();
        let mean = (bytes / values.len() as u64).max(1);
        count = u32::try_from(READ_BYTES / mean)
            .unwrap_or(u32::MAX)
            .clamp(1, READ_DRAINS_MAX);
        for value in values {
            let number = drains.next();
            let name = format!("drain {number}");
            let drain = drain::decode(&value, number);
            let drain = drain.map_err(|flaw| fault("log", &name, &flaw))?;
            let flawed = |reason| damaged("log", format!("{name}: {reason}"));
            drains.add(value.len(), &drain.changes).map_err(flawed)?;
            base.hard_state = drain.hard_state;
            replay.committed(drain.hard_state.commit);
            let mut weight = 0;
            for change in drain.changes {
                match &change {
                    Change::Entry(entry) => weight += entry.weight(),
                    Change::Snapshot(_) => (named_by, padding) = (number, 0),
                    _ => {}
                }
                replay.apply(change).map_err(flawed)?;
            }
            padding += weight.next_multiple_of(DRAIN_BYTES) - weight;
        }
    }
    let Replayed {
        shape: _,
        outline,
        entries,
        snapshot,
        peer_boots,
    } = replay.finish().map_err(|reason| damaged("log", reason))?;
    let Some(outline) = outline else {
        return Ok(Err(original));
    };
    base.peer_boots = peer_boots.unwrap_or(base.peer_boots);
    let recovered = Recovered {
        hard_state: base.hard_state,
        snapshot: snapshot.clone(),
        outline,
        entries,
        peer_boots: base.peer_boots.clone(),
    };
    Ok(Ok(Found {
        store: Store {
            base,
            snapshot: snapshot.map(|snapshot| (snapshot, named_by)),
            unasked: 0,
            failed: None,
        },
        drains,
        recovered,
        padding,
    }))
}

impl Store {
    /// What the base says, with what drains have said since.
    pub(super) const fn base(&self) -> &Base {
        &self.base
    }

    /// Counts a start of the storage, durably, and removes the states of snapshots that are not in force.
    pub(super) async fn start(
        &mut self,
        database: &Database,
        nonce: u64,
        stray: Vec<Step>,
    ) -> Result<(), Fault> {
        self.base.starts = self.base.starts.next(nonce);
        let mut steps = stray;
        steps.push(self.base_step());
        database.transact(&steps).await
    }

    /// The step that stores the base as it is to be before the first drain that counts.
    fn base_step(&self) -> Step {
        let snapshot = self.snapshot.as_ref();
        let base = Base {
            snapshot: snapshot
                .filter(|(_, named_by)| *named_by < self.base.first)
                .map(|(snapshot, _)| snapshot.clone()),
            ..self.base.clone()
        };
        Step::Put {
            shelf: Shelf::Server,
            key: base::KEY.to_vec(),
            value: base.encode(),
        }
    }
}

/// Binds the store to a cluster, or checks that it is bound to it.
pub(super) async fn bind(
    shared: Rc<Shared>,
    cluster: ClusterId,
    history: Option<History>,
) -> Result<(), StorageError> {
    let mut store = shared.store.lock().await;
    let bound = store.base.bound.to(cluster, history)?;
    if bound == store.base.bound {
        return Ok(());
    }
    store.expect_sound()?;
    store.base.bound = bound;
    let step = store.base_step();
    let written = shared.database.transact(&[step]).await;
    store.note(written.map_err(|fault| fault.during("bind the store")))
}

/// Reads what is stored: see [`find`].
pub(super) async fn recover(
    shared: Rc<Shared>,
    log_bytes_max: u64,
) -> Result<Recovered, StorageError> {
    let store = shared.store.lock().await;
    store.expect_sound()?;
    let base = read_base(&shared.database).await?;
    let base = base.ok_or_else(|| Fault::Gone.during("read the store"))?;
    let found = find(&shared.database, base, log_bytes_max).await?;
    Ok(found.recovered)
}

/// Makes these writes durable in one transaction.
pub(super) async fn write(shared: Rc<Shared>, writes: Vec<Write>) -> Result<(), StorageError> {
    let mut store = shared.store.lock().await;
    store.expect_sound()?;
    let written = store.write(&shared, writes).await;
    store.note(written)?;
    if store.unasked >= ASK_ROOM_AFTER {
        store.unasked = 0;
        shared.look_for_room().await;
    }
    Ok(())
}

impl Store {
    fn expect_sound(&self) -> Result<(), StorageError> {
        match self.failed.clone() {
            Some(reason) => Err(StorageError::Stopped { reason }),
            None => Ok(()),
        }
    }

    /// Writes nothing more once something has failed.
    fn note(&mut self, done: Result<(), StorageError>) -> Result<(), StorageError> {
        done.inspect_err(|error| self.failed = Some(error.to_string()))
    }

    async fn write(&mut self, shared: &Shared, writes: Vec<Write>) -> Result<(), StorageError> {
        let is_finished = |snapshot: &Snapshot| shared.lane.borrow().has(snapshot);
        let Gathered {
            hard_state,
            peer_boots,
            mut changes,
        } = Gathered::of(writes, is_finished)?;
        if let Some(peer_boots) = peer_boots {
            self.base.peer_boots = peer_boots.clone();
            changes.push(Change::PeerBoots(peer_boots));
        }
        if hard_state.is_none() && changes.is_empty() {
            return Ok(());
        }
        self.base.hard_state = hard_state.unwrap_or(self.base.hard_state);
        let number = shared.drains.borrow().next();
        let value = drain::encode(number, &self.base.hard_state, &changes);
        self.unasked += value.len() as u64;
        let added = shared.drains.borrow_mut().add(value.len(), &changes);
        added.map_err(|reason| damaged("log", reason))?;
        let named = changes.iter().rev().find_map(|change| match change {
            Change::Snapshot(snapshot) => Some(snapshot.clone()),
            _ => None,
        });
        if let Some(named) = named {
            shared.lane.borrow_mut().put_in_force(named.name);
            self.snapshot = Some((named, number));
        }
        let mut steps = vec![Step::Put {
            shelf: Shelf::Log,
            key: numbered(number),
            value,
        }];
        let compacts = changes
            .iter()
            .any(|change| matches!(change, Change::Compact(_)));
        let (first, shape) = shared.drains.borrow().first_needed();
        let unneeded = first - self.base.first;
        if unneeded > UNNEEDED_MAX || (unneeded > 0 && compacts) {
            steps.push(Step::Remove {
                shelf: Shelf::Log,
                keys: numbered(self.base.first)..=numbered(first - 1),
            });
            (self.base.first, self.base.shape) = (first, shape);
            steps.push(self.base_step());
        }
        let written = shared.database.transact(&steps).await;
        written.map_err(|fault| fault.during("write to the store"))
    }
}
