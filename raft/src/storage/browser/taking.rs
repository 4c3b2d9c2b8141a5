//! Chooses a server for a page: one that it had before, one that no other page has, or another one.
//!
//! Nothing is ever taken from another page: its code would run on.

use std::time::Duration;

use async_trait::async_trait;

use super::host::KeyPair;
use super::store;
use super::table::{Database, Table};
use super::{BrowserOptions, BrowserStorage, Taken, Wanted};
use crate::identity::Identity;
use crate::storage::StorageError;

/// A tab that was reloaded waits so long for its own server: its last page may still hold the lock.
pub(super) const OWN_LOCK_WAIT: Duration = Duration::from_secs(2);

/// How the names of databases and locks begin.
const PREFIX: &str = "liferaft/";

/// The databases and locks of a site, and what a tab remembers.
#[async_trait(?Send)]
pub(super) trait Origin {
    /// What holds a lock until it is dropped.
    type Lock;

    /// The names of all databases.
    async fn databases(&self) -> Result<Vec<String>, StorageError>;

    /// Takes the lock of this name, after a wait of this length at most. `None` if another page holds it.
    async fn lock(&self, name: &str, wait: Duration) -> Result<Option<Self::Lock>, StorageError>;

    /// Opens the database of this name, and makes it if it is not there.
    async fn open(&self, name: &str, lock: Self::Lock) -> Result<Box<dyn Table>, StorageError>;

    /// Removes the database of this name, which nobody has open, some time later.
    fn remove(&self, name: &str);

    /// What the tab remembers under this name, also when it is reloaded.
    fn remembered(&self, name: &str) -> Option<String>;

    /// Has the tab remember this. A tab that remembers nothing takes any server.
    fn remember(&self, name: &str, what: &str);
}

/// Opens the storage of a server of a room.
pub(super) async fn take(
    origin: &impl Origin,
    room: &str,
    options: BrowserOptions,
) -> Result<BrowserStorage, StorageError> {
    let own = format!("{PREFIX}{room}");
    let remembered = origin.remembered(&own);
    let prefix = format!("{own}/");
    let mut names = origin.databases().await?;
    names.retain(|name| name.strip_prefix(&prefix).is_some_and(is_id));
    names.sort_by_key(|name| Some(name) != remembered.as_ref());
    let is_lost = remembered
        .as_ref()
        .is_some_and(|name| !names.contains(name));
    if options.wanted == Wanted::Fresh {
        names.clear();
    }
    for name in names {
        let is_own = Some(&name) == remembered.as_ref();
        let wait = if is_own {
            OWN_LOCK_WAIT
        } else {
            Duration::ZERO
        };
        let Some(lock) = origin.lock(&name, wait).await? else {
            continue;
        };
        let database = Database(origin.open(&name, lock).await?);
        let Some(base) = store::read_base(&database).await? else {
            // It was removed since, or never finished: whoever makes one puts its base into it first.
            drop(database);
            origin.remove(&name);
            continue;
        };
        if options.wanted.accepts(base.bound) {
            origin.remember(&own, &name);
            return BrowserStorage::over(database.0, Taken::Stored).await;
        }
    }
    if options.wanted == Wanted::Bound {
        let folder = format!("room {room:?} of this browser");
        return Err(StorageError::Blank { folder });
    }
    let pair = KeyPair::generate().await;
    let identity = pair.as_ref().map_or_else(Identity::draw, KeyPair::identity);
    let name = format!("{prefix}{:032x}", identity.id().0);
    let lock = origin.lock(&name, OWN_LOCK_WAIT).await?;
    let lock = lock.ok_or_else(|| StorageError::InUse {
        folder: name.clone(),
    })?;
    let database = Database(origin.open(&name, lock).await?);
    store::create(&database, &identity, pair.as_ref()).await?;
    origin.remember(&own, &name);
    let taken = if is_lost {
        Taken::NewAfterLoss
    } else {
        Taken::New
    };
    BrowserStorage::over(database.0, taken).await
}

/// Returns true if this is how a server's id is written. Rooms may have slashes in their names.
fn is_id(text: &str) -> bool {
    text.len() == 32
        && text
            .bytes()
            .all(|byte| byte.is_ascii_digit() || (b'a'..=b'f').contains(&byte))
}
