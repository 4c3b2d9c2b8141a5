//! The storage of browsers over a database in memory: both kits, every place where a transaction can fail, and what is
//! found again.

mod drains;
mod fake;
mod faults;
mod outboxes;
mod rooms;

use tokio::task::LocalSet;

use self::fake::Fake;
use super::{BrowserHandle, BrowserOutboxStore, BrowserStorage};
use crate::storage::{conformance, outbox};

/// Runs a test, and the tasks of storages beside it, in virtual time.
fn run<T>(test: impl Future<Output = T>) -> T {
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_time()
        .start_paused(true)
        .build()
        .unwrap();
    // The kits are long, and a thread of a test has a short stack.
    LocalSet::new().block_on(&runtime, Box::pin(test))
}

impl conformance::Disk for Fake {
    type Storage = BrowserStorage;

    async fn open(&mut self) -> BrowserStorage {
        let opened = Box::pin(self.try_open()).await;
        opened.expect("what was written is in order")
    }
}

/// The outbox of a storage that stays open.
struct Outboxes(
    BrowserHandle,
    #[expect(dead_code, reason = "it is open")] BrowserStorage,
);

impl outbox::conformance::Disk for Outboxes {
    type Store = BrowserOutboxStore;

    async fn open(&mut self) -> BrowserOutboxStore {
        self.0.outbox("kit").await.expect("nobody else has it open")
    }
}

#[test]
fn it_keeps_the_promises_of_a_storage() {
    run(conformance::check_all(Fake::blank));
}

#[test]
fn it_keeps_the_promises_of_an_outbox_store() {
    run(outbox::conformance::check_all(async || {
        let storage = Fake::blank().await.try_open().await.unwrap();
        Outboxes(storage.handle(), storage)
    }));
}
