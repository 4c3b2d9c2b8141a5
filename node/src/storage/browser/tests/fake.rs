//! A database in memory that fails where a test says.

use std::cell::RefCell;
use std::collections::BTreeMap;
use std::ops::RangeInclusive;
use std::rc::Rc;

use async_trait::async_trait;
use futures::future::LocalBoxFuture;

use crate::identity::Identity;
use crate::storage::StorageError;
use crate::storage::browser::host::KeyPair;
use crate::storage::browser::table::{Database, Fault, Key, Room, Shelf, Step, Table};
use crate::storage::browser::{BrowserStorage, Taken, store};

/// What becomes of a transaction.
#[derive(Clone, Copy, Debug)]
pub(super) enum Strike {
    /// There is no room for it.
    Full,
    /// The connection is lost, and it was made or not.
    Lost { is_made: bool },
    /// The connection is lost, and the database was removed.
    Gone,
    /// It is refused, and was made or not: as far as what is stored goes, this is a crash.
    Refused { is_made: bool },
}

/// A database. Clones are the same.
#[derive(Clone, Default)]
pub(super) struct Fake(Rc<RefCell<Machine>>);

#[derive(Default)]
struct Machine {
    values: BTreeMap<(Shelf, Key), Vec<u8>>,
    /// How many transactions were asked for since [`Fake::strike`].
    asked: usize,
    /// The transaction that is struck.
    strike: Option<(usize, Strike)>,
    is_connected: bool,
    room: Option<Room>,
    /// Every transaction, by the shelves of its steps.
    made: Vec<Vec<Shelf>>,
}

impl Fake {
    /// The database of a server that was just made.
    pub(super) async fn blank() -> Self {
        let fake = Self::default();
        fake.connect();
        let database = Database(Box::new(fake.clone()));
        let created = store::create(&database, &Identity::draw(), None).await;
        created.expect("a database takes what a server begins with");
        fake
    }

    pub(super) async fn try_open(&self) -> Result<BrowserStorage, StorageError> {
        self.connect();
        BrowserStorage::over(Box::new(self.clone()), Taken::Stored).await
    }

    pub(super) fn connect(&self) {
        self.0.borrow_mut().is_connected = true;
    }

    /// Has this happen to a transaction, counted from the next one on, which is 0.
    pub(super) fn strike(&self, transaction: usize, strike: Strike) {
        let mut machine = self.0.borrow_mut();
        (machine.asked, machine.strike) = (0, Some((transaction, strike)));
    }

    /// How many transactions were asked for since the last strike was set.
    pub(super) fn asked(&self) -> usize {
        self.0.borrow().asked
    }

    pub(super) fn set_room(&self, used: f64, quota: f64) {
        self.0.borrow_mut().room = Some(Room { used, quota });
    }

    /// Takes the shelves of the transactions that were made.
    pub(super) fn take_made(&self) -> Vec<Vec<Shelf>> {
        std::mem::take(&mut self.0.borrow_mut().made)
    }

    /// The keys and values of a shelf.
    pub(super) fn shelf(&self, shelf: Shelf) -> Vec<(Key, Vec<u8>)> {
        let machine = self.0.borrow();
        let values = machine.values.iter();
        values
            .filter(|((own, _), _)| *own == shelf)
            .map(|((_, key), value)| (key.clone(), value.clone()))
            .collect()
    }

    /// Changes the values of a shelf behind the storage's back.
    pub(super) fn spoil(&self, shelf: Shelf, spoil: impl FnOnce(&mut BTreeMap<Key, Vec<u8>>)) {
        let mut values = self.shelf(shelf).into_iter().collect();
        spoil(&mut values);
        let mut machine = self.0.borrow_mut();
        machine.values.retain(|(own, _), _| *own != shelf);
        let spoiled = values.into_iter().map(|(key, value)| ((shelf, key), value));
        machine.values.extend(spoiled);
    }

    /// Removes the database while it is open.
    pub(super) fn evict(&self) {
        let mut machine = self.0.borrow_mut();
        machine.values.clear();
        machine.is_connected = false;
    }
}

impl Machine {
    fn make(&mut self, steps: &[Step]) {
        self.made.push(steps.iter().map(Step::shelf).collect());
        for step in steps {
            match step.clone() {
                Step::Put { shelf, key, value } => {
                    self.values.insert((shelf, key), value);
                }
                Step::Remove { shelf, keys } => {
                    self.values
                        .retain(|(own, key), _| *own != shelf || !keys.contains(key));
                }
            }
        }
    }

    fn expect_connected(&self) -> Result<(), Fault> {
        if self.is_connected {
            return Ok(());
        }
        Err(Fault::Disconnected("the connection is closed".to_owned()))
    }
}

#[async_trait(?Send)]
impl Table for Fake {
    async fn transact(&self, steps: &[Step]) -> Result<(), Fault> {
        let mut machine = self.0.borrow_mut();
        machine.expect_connected()?;
        let number = machine.asked;
        machine.asked += 1;
        let strike = machine.strike.filter(|(struck, _)| *struck == number);
        let lost = |machine: &mut Machine| {
            machine.is_connected = false;
            Err(Fault::Disconnected("the connection was lost".to_owned()))
        };
        match strike.map(|(_, strike)| strike) {
            None => machine.make(steps),
            Some(Strike::Full) => return Err(Fault::Full),
            Some(Strike::Lost { is_made }) => {
                if is_made {
                    machine.make(steps);
                }
                return lost(&mut machine);
            }
            Some(Strike::Gone) => {
                machine.values.clear();
                return lost(&mut machine);
            }
            Some(Strike::Refused { is_made }) => {
                if is_made {
                    machine.make(steps);
                }
                return Err(Fault::Refused("it was told to".to_owned()));
            }
        }
        Ok(())
    }

    async fn list(
        &self,
        shelf: Shelf,
        keys: RangeInclusive<Key>,
        count_max: u32,
    ) -> Result<Vec<Vec<u8>>, Fault> {
        let machine = self.0.borrow();
        machine.expect_connected()?;
        let (first, last) = keys.into_inner();
        let values = machine.values.range((shelf, first)..=(shelf, last));
        let values = values.map(|(_, value)| value.clone());
        Ok(values.take(usize::try_from(count_max).unwrap()).collect())
    }

    async fn keep_key(&self, pair: &KeyPair) -> Result<(), Fault> {
        match *pair {}
    }

    async fn key(&self) -> Result<Option<KeyPair>, Fault> {
        Ok(None)
    }

    async fn reconnect(&self) -> Result<(), Fault> {
        let mut machine = self.0.borrow_mut();
        if machine.values.is_empty() {
            return Err(Fault::Gone);
        }
        machine.is_connected = true;
        Ok(())
    }

    async fn room(&self) -> Option<Room> {
        self.0.borrow().room
    }

    async fn is_ours(&self) -> bool {
        true
    }

    fn spawn(&self, task: LocalBoxFuture<'static, ()>) {
        tokio::task::spawn_local(task);
    }
}
