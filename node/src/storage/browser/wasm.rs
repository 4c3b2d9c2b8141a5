//! The databases, locks and memory of a tab in a browser.

mod database;
mod events;
mod globals;
mod key;
mod locks;

use std::time::Duration;

use async_trait::async_trait;
use futures::channel::oneshot;
use wasm_bindgen::prelude::JsValue;
use wasm_bindgen_futures::spawn_local;
use web_sys::IdbFactory;

pub(super) use self::key::KeyPair;

use self::database::Connection;
use self::globals::{LockManager, global, property, told};
use self::locks::Lock;
use super::table::{Fault, Table};
use super::taking::{self, Origin, take};
use super::{BrowserOptions, BrowserStorage, StorageError};
use crate::ids::ServerId;

/// Opens a storage.
pub(super) async fn open(
    room: String,
    options: BrowserOptions,
) -> Result<BrowserStorage, StorageError> {
    in_page(async move { take(&Site::find()?, &room, options).await }).await
}

/// Removes what is stored of a server.
pub(super) async fn forget(room: String, id: ServerId) -> Result<(), StorageError> {
    in_page(async move { taking::forget(&Site::find()?, &room, id).await }).await
}

/// Asks in a task of its own: what it waits for, which is large, stays in the page.
fn in_page<T: 'static>(
    asking: impl Future<Output = Result<T, StorageError>> + 'static,
) -> impl Future<Output = Result<T, StorageError>> {
    let (reply, replied) = oneshot::channel();
    spawn_local(async move {
        // A caller that has dropped the future drops the storage.
        drop(reply.send(asking.await));
    });
    async { replied.await.expect("the task answers") }
}

/// The browser lets this page store nothing.
fn unavailable(error: &JsValue) -> StorageError {
    because(told(error).1)
}

fn because(reason: impl Into<String>) -> StorageError {
    StorageError::Unavailable {
        reason: reason.into(),
    }
}

/// The site that this page is of.
struct Site {
    factory: IdbFactory,
    locks: LockManager,
}

impl Site {
    fn find() -> Result<Self, StorageError> {
        let global = global();
        let locks = global.navigator().and_then(|navigator| navigator.locks());
        let locks = locks.ok_or_else(|| because("this page has no Web Locks"))?;
        let factory = global.indexed_db().map_err(|error| unavailable(&error))?;
        let factory = factory.ok_or_else(|| because("this page has no IndexedDB"))?;
        Ok(Self { factory, locks })
    }
}

#[async_trait(?Send)]
impl Origin for Site {
    type Lock = Lock;

    async fn databases(&self) -> Result<Vec<String>, StorageError> {
        let found = database::listed(&self.factory).await;
        let found = found.map_err(|error| unavailable(&error))?;
        let names = found.iter().map(|of| property(&of, "name").as_string());
        Ok(names.flatten().collect())
    }

    async fn lock(&self, name: &str, wait: Duration) -> Result<Option<Lock>, StorageError> {
        Lock::take(&self.locks, name, wait).await
    }

    async fn open(&self, name: &str, lock: Lock) -> Result<Box<dyn Table>, StorageError> {
        match Connection::open(&self.factory, name, lock).await {
            Ok(connection) => Ok(Box::new(connection)),
            Err(Fault::Refused(reason) | Fault::Disconnected(reason)) => Err(because(reason)),
            Err(fault @ (Fault::Full | Fault::Gone | Fault::Newer(_))) => {
                Err(fault.during("open the store"))
            }
        }
    }

    fn remove(&self, name: &str) {
        // It is looked at again by whoever finds it.
        drop(self.factory.delete_database(name));
    }

    fn remembered(&self, name: &str) -> Option<String> {
        let storage = global().session_storage().ok().flatten()?;
        storage.get_item(name).ok().flatten()
    }

    fn remember(&self, name: &str, what: Option<&str>) {
        if let Ok(Some(storage)) = global().session_storage() {
            // A tab that remembers nothing takes any server.
            drop(match what {
                Some(what) => storage.set_item(name, what),
                None => storage.remove_item(name),
            });
        }
    }
}
