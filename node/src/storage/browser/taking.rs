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
use crate::ids::ServerId;
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

    /// Has the tab remember this under this name, or nothing any more. A tab that remembers nothing takes any server.
    fn remember(&self, name: &str, what: Option<&str>);
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
    if let Some(place) = names
        .iter()
        .position(|name| Some(name) == remembered.as_ref())
    {
        names[..=place].rotate_right(1);
    }
    let is_lost = remembered
        .as_ref()
        .is_some_and(|name| !names.contains(name));
    if options.wanted == Wanted::Fresh {
        names.clear();
    }
    let mut damaged = Vec::new();
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
        match stored(origin, &name, lock, options.wanted).await {
            Ok(Some(mut storage)) => {
                origin.remember(&own, Some(&name));
                storage.damaged = damaged;
                return Ok(storage);
            }
            Ok(None) => {}
            // It stays: it may hold what is nowhere else, and a version that wrote it may read it.
            Err(error @ (StorageError::Damaged { .. } | StorageError::Unsupported { .. })) => {
                tracing::warn!(store = name, %error, "a stored server is passed over");
                damaged.push((id_in(&name), error));
            }
            Err(error) => return Err(error),
        }
    }
    if options.wanted == Wanted::Bound {
        let folder = format!("room {room:?} of this browser");
        let damage = damaged.into_iter().next();
        return Err(damage.map_or(StorageError::Blank { folder }, |(_, error)| error));
    }
    let pair = KeyPair::generate().await;
    let identity = pair.as_ref().map_or_else(Identity::draw, KeyPair::identity);
    let name = name_of(room, identity.id());
    let lock = origin.lock(&name, OWN_LOCK_WAIT).await?;
    let lock = lock.ok_or_else(|| StorageError::InUse {
        folder: name.clone(),
    })?;
    let database = Database(origin.open(&name, lock).await?);
    store::create(&database, &identity, pair.as_ref()).await?;
    origin.remember(&own, Some(&name));
    let taken = if is_lost {
        Taken::NewAfterLoss
    } else {
        Taken::New
    };
    let mut storage = BrowserStorage::over(database.0, taken).await?;
    storage.damaged = damaged;
    Ok(storage)
}

/// Opens a stored server. `None` if it will not do.
async fn stored<O: Origin>(
    origin: &O,
    name: &str,
    lock: O::Lock,
    wanted: Wanted,
) -> Result<Option<BrowserStorage>, StorageError> {
    let database = Database(origin.open(name, lock).await?);
    let Some(base) = store::read_base(&database).await? else {
        // It was removed since, or never finished: whoever makes one puts its base into it first.
        drop(database);
        origin.remove(name);
        return Ok(None);
    };
    if !wanted.accepts(base.bound) {
        return Ok(None);
    }
    let opened = BrowserStorage::over(database.0, Taken::Stored).await;
    opened.map(Some)
}

/// Removes what is stored of a server. A page that has just closed it may still hold the lock.
pub(super) async fn forget(
    origin: &impl Origin,
    room: &str,
    id: ServerId,
) -> Result<(), StorageError> {
    let name = name_of(room, id);
    let lock = origin.lock(&name, OWN_LOCK_WAIT).await?;
    let _lock = lock.ok_or_else(|| StorageError::InUse {
        folder: name.clone(),
    })?;
    origin.remove(&name);
    let own = format!("{PREFIX}{room}");
    if origin.remembered(&own).is_some_and(|known| known == name) {
        origin.remember(&own, None);
    }
    Ok(())
}

/// Returns the name of the database and the lock of a server.
fn name_of(room: &str, id: ServerId) -> String {
    format!("{PREFIX}{room}/{:032x}", id.0)
}

/// Returns the id of the server with a database of this name.
fn id_in(name: &str) -> ServerId {
    let id = name.rsplit('/').next().unwrap_or_default();
    ServerId(u128::from_str_radix(id, 16).expect("names end with ids"))
}

/// Returns true if this is how a server's id is written. Rooms may have slashes in their names.
fn is_id(text: &str) -> bool {
    text.len() == 32
        && text
            .bytes()
            .all(|byte| byte.is_ascii_digit() || (b'a'..=b'f').contains(&byte))
}
