//! Both kits of storages over IndexedDB, in a page of a browser; and a storage for scripts, which do to it what only
//! several pages, or whoever drives the browser, can do.

#![cfg(target_arch = "wasm32")]

mod probe;

use std::cell::Cell;

use liferaft::storage::outbox::{self, BrowserOutboxStore};
use liferaft::storage::{
    BrowserHandle, BrowserOptions, BrowserStorage, Storage, Taken, conformance,
};
use wasm_bindgen_test::{console_log, wasm_bindgen_test};

wasm_bindgen_test::wasm_bindgen_test_configure!(run_in_browser);

thread_local! {
    static ROOMS: Cell<u32> = const { Cell::new(0) };
}

/// A room in which this page alone is.
struct Room(String);

impl Room {
    fn blank() -> Self {
        let number = ROOMS.replace(ROOMS.get() + 1);
        Self(format!("kit {number}"))
    }

    async fn storage(&self) -> BrowserStorage {
        let opened = BrowserStorage::open(&self.0, BrowserOptions::default()).await;
        opened.expect("the browser stores what it is given")
    }
}

impl conformance::Disk for Room {
    type Storage = BrowserStorage;

    async fn open(&mut self) -> BrowserStorage {
        self.storage().await
    }
}

/// The outbox of a storage that stays open.
struct Outbox {
    handle: BrowserHandle,
    _storage: BrowserStorage,
}

impl outbox::conformance::Disk for Outbox {
    type Store = BrowserOutboxStore;

    async fn open(&mut self) -> BrowserOutboxStore {
        self.handle
            .outbox("kit")
            .await
            .expect("nobody else has it open")
    }
}

#[wasm_bindgen_test]
async fn it_keeps_the_promises_of_a_storage() {
    conformance::check_all(async || Room::blank()).await;

    console_log!("in {} rooms", ROOMS.get());
}

#[wasm_bindgen_test]
async fn it_keeps_the_promises_of_an_outbox_store() {
    outbox::conformance::check_all(async || {
        let storage = Room::blank().storage().await;
        Outbox {
            handle: storage.handle(),
            _storage: storage,
        }
    })
    .await;
}

#[wasm_bindgen_test]
async fn a_server_that_is_forgotten_is_not_taken_again() {
    let room = Room::blank();
    let mut storage = room.storage().await;
    let id = storage.identity().id();
    storage.close().await.expect("nothing is under way");

    let forgotten = BrowserStorage::forget(&room.0, id).await;
    let next = room.storage().await;

    forgotten.expect("nobody has it open");
    assert_ne!(next.identity().id(), id);
    assert_eq!(next.taken(), Taken::New);
}

#[wasm_bindgen_test]
async fn a_storage_is_its_page_s_until_it_is_closed() {
    let mut storage = Room::blank().storage().await;
    let handle = storage.handle();
    assert!(handle.is_ours().await);

    storage.close().await.expect("nothing is under way");

    assert!(!handle.is_ours().await);
}
