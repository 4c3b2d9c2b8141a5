//! One database of IndexedDB, held by a lock.

use std::cell::{Cell, RefCell};
use std::ops::RangeInclusive;
use std::rc::Rc;
use std::time::Duration;

use async_trait::async_trait;
use futures::future::LocalBoxFuture;
use futures::{FutureExt, select_biased};
use js_sys::{Array, Uint8Array};
use liferaft_platform as platform;
use wasm_bindgen::JsCast;
use wasm_bindgen::prelude::JsValue;
use wasm_bindgen_futures::{JsFuture, spawn_local};
use web_sys::{IdbDatabase, IdbFactory, IdbKeyRange, IdbOpenDbRequest, IdbRequest, IdbTransaction};

use super::events::{First, Listener, on_event};
use super::globals::{Committed, Databases, Transactions, global, object, property, told};
use super::key::KeyPair;
use super::locks::Lock;
use crate::storage::browser::table::{Fault, Key, Room, Shelf, Step, Table};

/// The version of the database: which shelves it has.
const VERSION: u32 = 1;

/// The key of the key pair of the browser's. No other key is a text.
const PAIR: &str = "pair";

/// An open that takes longer does not count: browsers let some hang for ever.
const OPEN_TIME_MAX: Duration = Duration::from_secs(5);

/// A database that is open.
pub(super) struct Connection {
    factory: IdbFactory,
    name: String,
    live: RefCell<Live>,
    /// Dropped after the database is closed.
    lock: Lock,
}

/// A connection to the database.
struct Live {
    database: IdbDatabase,
    end: Rc<Cell<Option<End>>>,
    _listener: Listener,
}

/// Why a connection can no longer be used.
#[derive(Clone, Copy)]
enum End {
    Lost,
    /// The site's data is being cleared.
    Gone,
}

impl Connection {
    /// Opens the database of this name, and makes it if it is not there.
    pub(super) async fn open(factory: &IdbFactory, name: &str, lock: Lock) -> Result<Self, Fault> {
        let database = connect(factory, name, true).await?;
        Ok(Self {
            factory: factory.clone(),
            name: name.to_owned(),
            live: RefCell::new(Live::new(database)),
            lock,
        })
    }

    /// Begins a transaction over these shelves.
    fn begin(&self, shelves: &[Shelf], mode: &str) -> Result<IdbTransaction, Fault> {
        let live = self.live.borrow();
        match live.end.get() {
            Some(End::Gone) => return Err(Fault::Gone),
            Some(End::Lost) => {
                return Err(Fault::Disconnected("the browser closed it".to_owned()));
            }
            None => {}
        }
        let names: Array = shelves
            .iter()
            .map(|shelf| JsValue::from(shelf.name()))
            .collect();
        let strict = object("durability", &"strict".into());
        let transactions: &Transactions = live.database.unchecked_ref();
        let begun = transactions.transaction(&names, mode, &strict);
        begun.map_err(|error| self.fault(&error))
    }

    /// Waits until all that a transaction was asked for is done, or nothing of it.
    async fn end_of(&self, transaction: &IdbTransaction) -> Result<(), Fault> {
        let mut done = First::of(transaction, &["complete", "abort"]);
        if done.event().await == "complete" {
            return Ok(());
        }
        let error = transaction.error().map(JsValue::from);
        Err(self.fault(&error.unwrap_or(JsValue::UNDEFINED)))
    }

    /// Waits for what a question is answered with.
    async fn answer_to(&self, asked: Result<IdbRequest, JsValue>) -> Result<JsValue, Fault> {
        let request = asked.map_err(|error| self.fault(&error))?;
        let mut done = First::of(&request, &["success", "error"]);
        if done.event().await == "success" {
            return request.result().map_err(|error| self.fault(&error));
        }
        let error = request.error().ok().flatten().map(JsValue::from);
        Err(self.fault(&error.unwrap_or(JsValue::UNDEFINED)))
    }

    /// Judges an error. A connection that may be lost is closed.
    fn fault(&self, error: &JsValue) -> Fault {
        let live = self.live.borrow();
        if let Some(End::Gone) = live.end.get() {
            return Fault::Gone;
        }
        let (name, shown) = told(error);
        match name.as_str() {
            "QuotaExceededError" => Fault::Full,
            // Without a name, the browser has aborted it and does not say why.
            "" | "AbortError" | "InvalidStateError" | "UnknownError" => {
                live.close(End::Lost);
                Fault::Disconnected(shown)
            }
            _ => Fault::Refused(shown),
        }
    }
}

impl Live {
    fn new(database: IdbDatabase) -> Self {
        let end = Rc::new(Cell::new(None));
        let callback = on_event({
            let (database, end) = (database.clone(), Rc::clone(&end));
            move |event| {
                if event.type_() == "versionchange" {
                    // Whoever removes the database waits for this.
                    database.close();
                    end.set(Some(End::Gone));
                } else if end.get().is_none() {
                    end.set(Some(End::Lost));
                }
            }
        });
        let listener = Listener::new(&database, &["versionchange", "close"], callback);
        Self {
            database,
            end,
            _listener: listener,
        }
    }

    fn close(&self, end: End) {
        self.database.close();
        self.end.set(Some(end));
    }
}

impl Drop for Connection {
    fn drop(&mut self) {
        self.live.borrow().close(End::Lost);
    }
}

/// Opens the database. If it is not there it is made, or else taken for gone.
async fn connect(factory: &IdbFactory, name: &str, makes: bool) -> Result<IdbDatabase, Fault> {
    let refused = |error: &JsValue| Fault::Refused(told(error).1);
    let request = factory.open_with_u32(name, VERSION);
    let request = request.map_err(|error| refused(&error))?;
    let upgrade = on_event({
        let request = request.clone();
        move |_| upgrade(&request, makes)
    });
    let listener = Listener::new(&request, &["upgradeneeded"], upgrade);
    let mut first = First::of(&request, &["success", "error", "blocked"]);
    let late = platform::sleep_until(platform::now() + OPEN_TIME_MAX);
    let event = select_biased! {
        event = first.event().fuse() => event,
        () = late.fuse() => "late".to_owned(),
    };
    let opened = || request.result().map(JsCast::unchecked_into::<IdbDatabase>);
    match event.as_str() {
        "success" => opened().map_err(|error| refused(&error)),
        "error" => {
            let error = request.error().ok().flatten().map(JsValue::from);
            let error = error.unwrap_or(JsValue::UNDEFINED);
            match told(&error).0.as_str() {
                "AbortError" if !makes => Err(Fault::Gone),
                "VersionError" => Err(Fault::Newer(version_of(factory, name).await)),
                _ => Err(refused(&error)),
            }
        }
        why => {
            let reason = match why {
                "blocked" => "another page has it open in another version",
                _ => "the browser does not open it",
            };
            // Should it be opened after all, nobody uses it, and it must not be in the way of others.
            spawn_local(async move {
                let mut opened = First::of(&request, &["success", "error"]);
                if opened.event().await == "success"
                    && let Ok(database) = request.result()
                {
                    database.unchecked_into::<IdbDatabase>().close();
                }
                drop(listener);
            });
            Err(Fault::Refused(reason.to_owned()))
        }
    }
}

/// Lists the databases of the site, each with its name and its version.
pub(super) async fn listed(factory: &IdbFactory) -> Result<Array, JsValue> {
    let databases: &Databases = factory.unchecked_ref();
    let found = JsFuture::from(databases.databases()?).await?;
    Ok(found.unchecked_into())
}

/// Returns the version of a database; zero if the browser does not say.
async fn version_of(factory: &IdbFactory, name: &str) -> u64 {
    let found = listed(factory).await.unwrap_or_else(|_| Array::new());
    let is_it = |of: &JsValue| property(of, "name").as_string().as_deref() == Some(name);
    let version = found.iter().find(is_it);
    let version = version.and_then(|of| property(&of, "version").as_f64());
    // It is whole.
    let written = version.map(|version| version.to_string());
    written.and_then(|text| text.parse().ok()).unwrap_or(0)
}

/// Makes the shelves of a database that is not there, or leaves it.
fn upgrade(request: &IdbOpenDbRequest, makes: bool) {
    if !makes {
        if let Some(transaction) = request.transaction() {
            // It has ended if that is refused.
            drop(transaction.abort());
        }
        return;
    }
    if let Ok(database) = request.result() {
        let database: IdbDatabase = database.unchecked_into();
        for shelf in Shelf::ALL {
            // What it lacks is missed by the first transaction.
            drop(database.create_object_store(shelf.name()));
        }
    }
}

fn range(keys: &RangeInclusive<Key>) -> Result<JsValue, JsValue> {
    let key = |key: &Key| Uint8Array::from(&key[..]);
    IdbKeyRange::bound(&key(keys.start()), &key(keys.end())).map(JsValue::from)
}

/// Asks for all steps and for the end of the transaction, without waiting for any of it.
fn ask(transaction: &IdbTransaction, steps: &[Step]) -> Result<(), JsValue> {
    for step in steps {
        let store = transaction.object_store(step.shelf().name())?;
        match step {
            Step::Put { key, value, .. } => {
                let (key, value) = (Uint8Array::from(&key[..]), Uint8Array::from(&value[..]));
                store.put_with_key(&value, &key)?;
            }
            Step::Remove { keys, .. } => {
                store.delete(&range(keys)?)?;
            }
        }
    }
    transaction.unchecked_ref::<Committed>().commit()
}

#[async_trait(?Send)]
impl Table for Connection {
    async fn transact(&self, steps: &[Step]) -> Result<(), Fault> {
        let mut shelves: Vec<Shelf> = Vec::new();
        for shelf in steps.iter().map(Step::shelf) {
            if !shelves.contains(&shelf) {
                shelves.push(shelf);
            }
        }
        let transaction = self.begin(&shelves, "readwrite")?;
        if let Err(error) = ask(&transaction, steps) {
            // It has ended if that is refused.
            drop(transaction.abort());
            return Err(self.fault(&error));
        }
        self.end_of(&transaction).await
    }

    async fn keep_key(&self, pair: &KeyPair) -> Result<(), Fault> {
        let transaction = self.begin(&[Shelf::Server], "readwrite")?;
        let asked = transaction.object_store(Shelf::Server.name());
        let asked = asked.and_then(|store| store.put_with_key(pair.value(), &PAIR.into()));
        asked.map_err(|error| self.fault(&error))?;
        self.end_of(&transaction).await
    }

    async fn key(&self) -> Result<Option<KeyPair>, Fault> {
        let transaction = self.begin(&[Shelf::Server], "readonly")?;
        let asked = transaction.object_store(Shelf::Server.name());
        let asked = asked.and_then(|store| store.get(&PAIR.into()));
        Ok(KeyPair::of(self.answer_to(asked).await?).await)
    }

    async fn list(
        &self,
        shelf: Shelf,
        keys: RangeInclusive<Key>,
        count_max: u32,
    ) -> Result<Vec<Vec<u8>>, Fault> {
        let transaction = self.begin(&[shelf], "readonly")?;
        let asked = transaction
            .object_store(shelf.name())
            .and_then(|store| store.get_all_with_key_and_limit(&range(&keys)?, count_max));
        let values: Array = self.answer_to(asked).await?.unchecked_into();
        let values = values.iter();
        Ok(values
            .map(|value| Uint8Array::new(&value).to_vec())
            .collect())
    }

    async fn reconnect(&self) -> Result<(), Fault> {
        match self.live.borrow().end.get() {
            // Another call has connected again.
            None => return Ok(()),
            Some(End::Gone) => return Err(Fault::Gone),
            Some(End::Lost) => {}
        }
        let database = connect(&self.factory, &self.name, false).await?;
        let lost = self.live.replace(Live::new(database));
        lost.close(End::Lost);
        Ok(())
    }

    async fn room(&self) -> Option<Room> {
        let estimated = global().navigator()?.storage()?.estimate().ok()?;
        let estimate = JsFuture::from(estimated).await.ok()?;
        let part = |name| property(&estimate, name).as_f64();
        Some(Room {
            used: part("usage")?,
            quota: part("quota")?,
        })
    }

    async fn is_ours(&self) -> bool {
        self.lock.is_held().await
    }

    fn spawn(&self, task: LocalBoxFuture<'static, ()>) {
        spawn_local(task);
    }
}
