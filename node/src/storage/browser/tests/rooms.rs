//! Shows which server a page is given: tabs of a browser open, close and are reloaded.

use std::cell::{Cell, RefCell};
use std::collections::{BTreeMap, BTreeSet};
use std::ops::RangeInclusive;
use std::rc::Rc;
use std::time::Duration;

use async_trait::async_trait;
use futures::future::LocalBoxFuture;
use liferaft_platform as platform;
use tokio::sync::Notify;

use super::fake::Fake;
use super::run;
use crate::ids::{ClusterId, ServerId};
use crate::storage::browser::host::KeyPair;
use crate::storage::browser::table::{Fault, Key, Room, Shelf, Step, Table};
use crate::storage::browser::taking::{OWN_LOCK_WAIT, Origin, forget, take};
use crate::storage::browser::{BrowserOptions, BrowserStorage, Taken};
use crate::storage::{Storage, StorageError};

/// What the tabs of a browser share.
#[derive(Clone, Default)]
struct Site(Rc<Shared>);

#[derive(Default)]
struct Shared {
    databases: RefCell<BTreeMap<String, Fake>>,
    locked: RefCell<BTreeSet<String>>,
    /// Opens no database, as when another page removes one and a third one lets it not go.
    refuses: Cell<bool>,
    freed: Notify,
}

/// A tab, which is the same when it is reloaded.
#[derive(Clone, Default)]
struct Tab {
    site: Site,
    remembered: Rc<RefCell<BTreeMap<String, String>>>,
}

struct Lock(Site, String);

impl Drop for Lock {
    fn drop(&mut self) {
        self.0.0.locked.borrow_mut().remove(&self.1);
        self.0.0.freed.notify_waiters();
    }
}

/// A database with the lock that it is open under.
struct Locked(Fake, #[expect(dead_code, reason = "it is held")] Lock);

#[async_trait(?Send)]
impl Table for Locked {
    async fn transact(&self, steps: &[Step]) -> Result<(), Fault> {
        self.0.transact(steps).await
    }

    async fn list(
        &self,
        shelf: Shelf,
        keys: RangeInclusive<Key>,
        count_max: u32,
    ) -> Result<Vec<Vec<u8>>, Fault> {
        self.0.list(shelf, keys, count_max).await
    }

    async fn keep_key(&self, pair: &KeyPair) -> Result<(), Fault> {
        match *pair {}
    }

    async fn key(&self) -> Result<Option<KeyPair>, Fault> {
        Ok(None)
    }

    async fn reconnect(&self) -> Result<(), Fault> {
        self.0.reconnect().await
    }

    async fn room(&self) -> Option<Room> {
        None
    }

    async fn is_ours(&self) -> bool {
        true
    }

    fn spawn(&self, task: LocalBoxFuture<'static, ()>) {
        self.0.spawn(task);
    }
}

#[async_trait(?Send)]
impl Origin for Tab {
    type Lock = Lock;

    async fn databases(&self) -> Result<Vec<String>, StorageError> {
        Ok(self.site.0.databases.borrow().keys().cloned().collect())
    }

    async fn lock(&self, name: &str, wait: Duration) -> Result<Option<Lock>, StorageError> {
        let deadline = platform::now() + wait;
        loop {
            if self.site.0.locked.borrow_mut().insert(name.to_owned()) {
                return Ok(Some(Lock(self.site.clone(), name.to_owned())));
            }
            let left = deadline.saturating_sub(platform::now());
            if tokio::time::timeout(left, self.site.0.freed.notified())
                .await
                .is_err()
            {
                return Ok(None);
            }
        }
    }

    async fn open(&self, name: &str, lock: Lock) -> Result<Box<dyn Table>, StorageError> {
        if self.site.0.refuses.get() {
            let reason = "the browser does not open it".to_owned();
            return Err(StorageError::Unavailable { reason });
        }
        let mut databases = self.site.0.databases.borrow_mut();
        let fake = databases.entry(name.to_owned()).or_default().clone();
        fake.connect();
        Ok(Box::new(Locked(fake, lock)))
    }

    fn remove(&self, name: &str) {
        self.site.0.databases.borrow_mut().remove(name);
    }

    fn remembered(&self, name: &str) -> Option<String> {
        self.remembered.borrow().get(name).cloned()
    }

    fn remember(&self, name: &str, what: Option<&str>) {
        let mut remembered = self.remembered.borrow_mut();
        match what {
            Some(what) => remembered.insert(name.to_owned(), what.to_owned()),
            None => remembered.remove(name),
        };
    }
}

impl Site {
    fn tab(&self) -> Tab {
        Tab {
            site: self.clone(),
            ..Tab::default()
        }
    }
}

impl Tab {
    async fn open(&self) -> BrowserStorage {
        take(self, "room", BrowserOptions::default()).await.unwrap()
    }

    /// A copy of the tab, with all that it remembers.
    fn duplicated(&self) -> Self {
        Self {
            site: self.site.clone(),
            remembered: Rc::new(RefCell::new(self.remembered.borrow().clone())),
        }
    }
}

fn id(storage: &BrowserStorage) -> ServerId {
    storage.identity().id()
}

/// Flips a bit of the base of each server that is stored.
fn damage(site: &Site) {
    for fake in site.0.databases.borrow().values() {
        fake.spoil(Shelf::Server, |values| {
            let base = values.get_mut(&b"base"[..]).expect("it was made");
            *base.last_mut().expect("it has a body") ^= 1;
        });
    }
}

#[test]
fn tabs_that_are_open_together_are_different_servers() {
    run(async {
        let site = Site::default();

        let one = site.tab().open().await;
        let other = site.tab().open().await;

        assert_ne!(id(&one), id(&other));
        assert_eq!([one.taken(), other.taken()], [Taken::New; 2]);
    });
}

#[test]
fn tabs_that_are_reloaded_at_once_keep_their_servers() {
    run(async {
        let site = Site::default();
        let tabs = [site.tab(), site.tab(), site.tab()];
        let before = [
            tabs[0].open().await,
            tabs[1].open().await,
            tabs[2].open().await,
        ];
        let ids = before.each_ref().map(id);

        // The pages that were there are gone only while the next ones wait.
        let [first, second, third] = &tabs;
        let opening = async { tokio::join!(third.open(), first.open(), second.open()) };
        let closing = async {
            tokio::time::sleep(Duration::from_millis(50)).await;
            drop(before);
        };
        let ((third, first, second), ()) = tokio::join!(opening, closing);

        assert_eq!([id(&first), id(&second), id(&third)], ids);
        assert_eq!(first.taken(), Taken::Stored);
    });
}

#[test]
fn another_tab_takes_what_a_closed_one_has_left() {
    run(async {
        let site = Site::default();
        let left = site.tab().open().await;
        let (left_id, boot) = (id(&left), left.identity().boot());
        drop(left);
        tokio::task::yield_now().await;

        let taken = site.tab().open().await;

        assert_eq!((id(&taken), taken.identity().boot()), (left_id, boot + 1));
    });
}

#[test]
fn a_duplicated_tab_waits_and_becomes_another_server() {
    run(async {
        let site = Site::default();
        let tab = site.tab();
        let storage = tab.open().await;
        let began = platform::now();

        let duplicate = tab.duplicated().open().await;

        assert_ne!(id(&storage), id(&duplicate));
        assert_eq!(platform::now() - began, OWN_LOCK_WAIT);
    });
}

#[test]
fn a_tab_whose_server_was_removed_is_another_one_and_knows_it() {
    run(async {
        let site = Site::default();
        let tab = site.tab();
        let storage = tab.open().await;
        let lost = id(&storage);
        drop(storage);
        site.0.databases.borrow_mut().clear();

        let storage = tab.open().await;

        assert_ne!(id(&storage), lost);
        assert_eq!(storage.taken(), Taken::NewAfterLoss);
    });
}

#[test]
fn rooms_do_not_share_servers() {
    run(async {
        let site = Site::default();
        let rooms = ["room", "room/0123456789abcdef0123456789abcdef", ""];
        for room in rooms {
            let opened = take(&site.tab(), room, BrowserOptions::default()).await;
            drop(opened.unwrap());
            tokio::task::yield_now().await;
        }

        assert_eq!(site.0.databases.borrow().len(), rooms.len());
    });
}

#[test]
fn a_tab_that_was_invited_takes_no_server_of_another_cluster() {
    run(async {
        let site = Site::default();
        let mut bound = site.tab().open().await;
        bound.bind(ClusterId(1), None).await.unwrap();
        let bound_id = id(&bound);
        bound.close().await.unwrap();
        let open = async |options| take(&site.tab(), "room", options).await.unwrap();

        let other = open(BrowserOptions::of_cluster(ClusterId(2))).await;
        let same = open(BrowserOptions::of_cluster(ClusterId(1))).await;
        drop(same);
        tokio::task::yield_now().await;
        let fresh = open(BrowserOptions::fresh()).await;
        let resumed = open(BrowserOptions::resume()).await;

        assert_eq!([id(&other) == bound_id, id(&fresh) == bound_id], [false; 2]);
        assert_eq!(id(&resumed), bound_id);
    });
}

#[test]
fn a_page_that_resumes_makes_no_server() {
    run(async {
        let site = Site::default();

        let blank = take(&site.tab(), "room", BrowserOptions::resume()).await;

        assert!(matches!(blank, Err(StorageError::Blank { .. })));
        assert!(site.0.databases.borrow().is_empty());
    });
}

#[test]
fn a_database_that_was_never_finished_is_removed() {
    run(async {
        let site = Site::default();
        let name = "liferaft/room/0123456789abcdef0123456789abcdef".to_owned();
        site.0
            .databases
            .borrow_mut()
            .insert(name.clone(), Fake::default());

        let storage = site.tab().open().await;

        assert_eq!(storage.taken(), Taken::New);
        assert!(!site.0.databases.borrow().contains_key(&name));
    });
}

#[test]
fn a_page_whose_database_is_not_opened_is_told() {
    run(async {
        let site = Site::default();
        site.0.refuses.set(true);

        let refused = take(&site.tab(), "room", BrowserOptions::default()).await;

        assert!(matches!(refused, Err(StorageError::Unavailable { .. })));
        assert!(site.0.locked.borrow().is_empty());
    });
}

// One that was damaged kept all tabs out of the room, as the first that was looked at.
#[test]
fn a_damaged_server_is_passed_over_and_stays_stored() {
    run(async {
        let site = Site::default();
        let tab = site.tab();
        let storage = tab.open().await;
        let damaged = id(&storage);
        drop(storage);
        tokio::task::yield_now().await;
        damage(&site);

        let resumed = take(&site.tab(), "room", BrowserOptions::resume()).await;
        let storage = tab.open().await;

        assert!(matches!(resumed, Err(StorageError::Damaged { .. })));
        assert_eq!(storage.taken(), Taken::New);
        let [(passed_over, error)] = storage.damaged() else {
            panic!("passed over: {:?}", storage.damaged());
        };
        assert_eq!(*passed_over, damaged);
        assert!(matches!(error, StorageError::Damaged { .. }), "{error}");
        assert_eq!(site.0.databases.borrow().len(), 2);
    });
}

#[test]
fn a_sound_server_is_taken_behind_a_damaged_one() {
    run(async {
        let site = Site::default();
        let (one, other) = (site.tab().open().await, site.tab().open().await);
        drop(one);
        tokio::task::yield_now().await;
        let sound = id(&other);
        let (name, fake) = {
            let mut databases = site.0.databases.borrow_mut();
            let name = format!("liferaft/room/{:032x}", sound.0);
            databases.remove_entry(&name).expect("it is stored")
        };
        damage(&site);
        site.0.databases.borrow_mut().insert(name, fake);
        drop(other);
        tokio::task::yield_now().await;

        let taken = site.tab().open().await;

        assert_eq!((id(&taken), taken.taken()), (sound, Taken::Stored));
    });
}

#[test]
fn a_tab_whose_server_is_forgotten_makes_another_one() {
    run(async {
        let site = Site::default();
        let tab = site.tab();
        let mut storage = tab.open().await;
        let forgotten = id(&storage);
        let early = forget(&tab, "room", forgotten).await;
        storage.close().await.unwrap();

        forget(&tab, "room", forgotten).await.unwrap();
        let next = tab.open().await;

        assert!(matches!(early, Err(StorageError::InUse { .. })));
        assert_ne!(id(&next), forgotten);
        assert_eq!(next.taken(), Taken::New);
        assert_eq!(site.0.databases.borrow().len(), 1);
    });
}
