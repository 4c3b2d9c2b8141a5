//! Keeps a member's state in a browser: a database of IndexedDB for each server, which one page uses at a time.
//!
//! `drain`, `base` and `drains` are pure: which bytes are stored, and where. `store`, `lane`, `log_reader` and `outbox`
//! ask a database through the seam `table`, all in one task (`task`). `taking` chooses a server for a page. The pair
//! `wasm` / `native` has the database and the locks of the host; natively there are none.

mod base;
mod drain;
mod drains;
mod lane;
mod log_reader;
#[cfg(not(target_arch = "wasm32"))]
mod native;
mod outbox;
mod store;
// Natively nothing implements it but tests.
#[cfg_attr(
    not(target_arch = "wasm32"),
    allow(dead_code, reason = "there is no browser")
)]
mod table;
#[cfg_attr(
    not(target_arch = "wasm32"),
    allow(dead_code, reason = "there is no browser")
)]
mod taking;
mod task;
#[cfg(all(test, not(target_arch = "wasm32")))]
mod tests;

#[cfg(target_arch = "wasm32")]
mod wasm;

use std::cell::RefCell;
use std::fmt;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use async_trait::async_trait;
use futures::lock::Mutex;
use liferaft_platform as platform;
use liferaft_platform::CACHED_BYTES_MAX;
use liferaft_transport::token::TokenSecret;

pub use self::outbox::BrowserOutboxStore;

use self::host::KeyPair;
use self::lane::Lane;
#[cfg(not(target_arch = "wasm32"))]
use self::native as host;
use self::store::{Found, SECRET, TOKEN};
use self::table::{Database, Shelf, Step, Table};
use self::task::{Jobs, Shared};
#[cfg(target_arch = "wasm32")]
use self::wasm as host;
use super::records::damaged;
use super::{Bound, LogReader, Recovered, SnapshotLane, Storage, StorageError, Write, held};
use crate::configuration::History;
use crate::identity::Identity;
use crate::ids::{ClusterId, ServerId};
use crate::sorted::SortedSet;

/// Storage in a browser's IndexedDB, which survives the page, the browser and the loss of power, as long as the browser
/// keeps it: it may remove all that a site has stored when its disk is full, or when the site was not visited for a
/// while. Then the server is gone, and a page that opens its room again is another one.
///
/// A browser holds any number of servers of a room, one for each page that has it open: [`open`](Self::open) takes one
/// that no other page has, or makes one. A page holds a Web Lock for its server as long as this is open.
///
/// A write is one transaction with strict durability, and one value. Where the connection to the database is lost it
/// connects again and makes the same transaction again, once; any other failure but want of room is final: every later
/// write is refused ([`StorageError::Stopped`]), and what is stored is read again when it is opened again. A database
/// that was removed while it was open is [`StorageError::Lost`].
///
/// From 90 % of the site's quota on the storage is [low](Storage::is_low). A snapshot that finds no room is given up.
///
/// Where there is no IndexedDB, no Web Locks, or the browser refuses either, as some do in private windows,
/// [`open`](Self::open) returns [`StorageError::Unavailable`]; so it does natively.
pub struct BrowserStorage {
    jobs: Jobs,
    identity: Identity,
    bound: Bound,
    taken: Taken,
    /// Which servers were passed over.
    damaged: Vec<(ServerId, StorageError)>,
    token: Option<TokenSecret>,
    /// What was found when it was opened, until it is asked for or something is written.
    recovered: Option<Recovered>,
    padding: u64,
    is_low: Arc<AtomicBool>,
}

/// Which server of a room a page takes. By default any that no other page has, or another one.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct BrowserOptions {
    wanted: Wanted,
}

/// Which of the stored servers will do.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
enum Wanted {
    #[default]
    Any,
    /// One of this cluster, or of none yet.
    Of(ClusterId),
    /// One of any cluster, and no other one is made.
    Bound,
    /// None: another one is made.
    Fresh,
}

impl Wanted {
    fn accepts(self, bound: Bound) -> bool {
        match self {
            Self::Any => true,
            Self::Of(cluster) => bound.cluster.is_none_or(|own| own == cluster),
            Self::Bound => bound.cluster.is_some(),
            Self::Fresh => false,
        }
    }
}

impl BrowserOptions {
    /// Takes a stored server only if it is bound to this cluster, or to none: for a page that was invited.
    #[must_use]
    pub const fn of_cluster(cluster: ClusterId) -> Self {
        Self {
            wanted: Wanted::Of(cluster),
        }
    }

    /// Takes a stored server that is bound to a cluster, and makes no other: [`StorageError::Blank`] says that there is
    /// none. For a page that goes on where it was.
    #[must_use]
    pub const fn resume() -> Self {
        Self {
            wanted: Wanted::Bound,
        }
    }

    /// Takes no stored server: another one is made.
    #[must_use]
    pub const fn fresh() -> Self {
        Self {
            wanted: Wanted::Fresh,
        }
    }
}

/// Which server a page was given.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Taken {
    /// One that was stored.
    Stored,
    /// Another one than there ever was.
    New,
    /// Another one, and the one that this tab had before is no longer stored: the browser has removed it.
    NewAfterLoss,
}

impl BrowserStorage {
    /// Opens the storage of a server of this room, which is any text: of the one that this tab had before it was
    /// reloaded, of one that no other page has, or of another one that is made now.
    ///
    /// A tab that was reloaded waits up to 2 seconds for its own server: the browser may free the lock of the page
    /// before only then.
    ///
    /// # Errors
    /// [`StorageError::Unavailable`] when the browser has no storage, or does not open it within 5 seconds; and when a
    /// server was to be [resumed](BrowserOptions::resume): [`StorageError::Blank`] if there is none, or why there is
    /// none but [damaged](Self::damaged) ones.
    pub async fn open(room: &str, options: BrowserOptions) -> Result<Self, StorageError> {
        host::open(room.to_owned(), options).await
    }

    /// Removes what is stored of a server of this room, and of its outboxes, for good: for one that its cluster has
    /// removed, or that is [damaged](Self::damaged). Its storage must be closed.
    ///
    /// # Errors
    /// [`StorageError::InUse`] if a page has it open, and [`StorageError::Unavailable`] as [`open`](Self::open).
    pub async fn forget(room: &str, server: ServerId) -> Result<(), StorageError> {
        host::forget(room.to_owned(), server).await
    }

    /// Opens the server of this database.
    async fn over(table: Box<dyn Table>, taken: Taken) -> Result<Self, StorageError> {
        let database = Database(table);
        let base = store::read_base(&database).await?;
        let base = base.ok_or_else(|| damaged("header", "there is no base"))?;
        let identity = identity(&database).await?;
        let token = read(&database, TOKEN).await?;
        let token = token.and_then(|token| token.try_into().ok());
        let Found {
            mut store,
            drains,
            recovered,
            padding,
        } = store::find(&database, base, CACHED_BYTES_MAX).await?;
        let stray = lane::stray(recovered.snapshot.as_ref());
        let started = store.start(&database, platform::entropy_u64(), stray).await;
        started.map_err(|fault| fault.during("count a start"))?;
        let (bound, starts) = (store.base().bound, store.base().starts);
        let is_low = Arc::new(AtomicBool::new(false));
        let shared = Shared {
            database,
            store: Mutex::new(store),
            drains: RefCell::new(drains),
            lane: RefCell::new(Lane::holding(recovered.snapshot.as_ref())),
            is_low: Arc::clone(&is_low),
            outboxes: RefCell::new(SortedSet::new()),
        };
        shared.look_for_room().await;
        Ok(Self {
            jobs: Jobs::start(shared),
            identity: identity.at(starts),
            bound,
            taken,
            damaged: Vec::new(),
            token: token.map(TokenSecret::from_bytes),
            recovered: Some(recovered),
            padding,
            is_low,
        })
    }

    /// Returns which server the page was given.
    #[must_use]
    pub const fn taken(&self) -> Taken {
        self.taken
    }

    /// Returns the servers of the room that this page was not given, since what is stored of them is damaged, or of
    /// another format, and how that shows. They stay stored until they are [forgotten](Self::forget).
    #[must_use]
    pub fn damaged(&self) -> &[(ServerId, StorageError)] {
        &self.damaged
    }

    /// Returns the secret of the token that was [kept](BrowserHandle::keep_token).
    #[must_use]
    pub const fn token(&self) -> Option<&TokenSecret> {
        self.token.as_ref()
    }

    /// Returns what reaches the storage while a member has it.
    #[must_use]
    pub fn handle(&self) -> BrowserHandle {
        BrowserHandle(self.jobs.clone())
    }
}

/// Reaches a storage while a member has it: for its outboxes, and for what else a page keeps with its server.
#[derive(Clone)]
pub struct BrowserHandle(Jobs);

impl BrowserHandle {
    /// Opens the store of the outbox of this name, in the database of the server.
    ///
    /// # Errors
    /// When the name is none ([`StorageError::Unnameable`]), another store has it open, or the storage is closed.
    pub async fn outbox(&self, name: &str) -> Result<BrowserOutboxStore, StorageError> {
        BrowserOutboxStore::open(self.0.clone(), name).await
    }

    /// Keeps the secret of the token by which this server invites others, durably and instead of another, so that a
    /// page that is reloaded need not make one more.
    ///
    /// # Errors
    /// When it cannot be written, or the storage is closed.
    pub async fn keep_token(&self, token: &TokenSecret) -> Result<(), StorageError> {
        let step = Step::Put {
            shelf: Shelf::Server,
            key: TOKEN.to_vec(),
            value: token.as_bytes().to_vec(),
        };
        let kept = self.0.ask(async move |shared| {
            let kept = shared.database.transact(&[step]).await;
            kept.map_err(|fault| fault.during("keep a token"))
        });
        kept.await
    }

    /// Returns true if no other page can have been given the server since the storage was opened. A page that was
    /// frozen asks when it goes on; if the answer is false, its member must stop.
    pub async fn is_ours(&self) -> bool {
        let asked = self
            .0
            .ask(async |shared| Ok(shared.database.0.is_ours().await));
        asked.await.unwrap_or(false)
    }
}

impl fmt::Debug for BrowserHandle {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("BrowserHandle").finish_non_exhaustive()
    }
}

/// Makes an identity, that there was never before, of a key that the browser keeps where no script can read it. `None`
/// where there are no such keys: natively, in pages that came over plain HTTP, and in browsers that do not know
/// Ed25519.
///
/// It is for members in memory: a [`BrowserStorage`] has such a key by itself.
pub async fn hidden_identity() -> Option<Identity> {
    let pair = KeyPair::generate().await;
    pair.as_ref().map(KeyPair::identity)
}

/// Returns who the server of a database is.
async fn identity(database: &Database) -> Result<Identity, StorageError> {
    if let Some(secret) = read(database, SECRET).await? {
        let secret = secret.try_into();
        let secret = secret.map_err(|_| damaged("header", "the key is none"))?;
        return Ok(Identity::from_secret_key(&secret));
    }
    let pair = database.0.key().await;
    let pair = pair.map_err(|fault| fault.during("read the store"))?;
    let pair = pair.ok_or_else(|| damaged("header", "there is no key"))?;
    Ok(pair.identity())
}

async fn read(database: &Database, key: &[u8]) -> Result<Option<Vec<u8>>, StorageError> {
    let value = database.get(Shelf::Server, key.to_vec()).await;
    value.map_err(|fault| fault.during("read the store"))
}

#[async_trait]
impl Storage for BrowserStorage {
    fn identity(&self) -> &Identity {
        &self.identity
    }

    fn cluster(&self) -> Option<ClusterId> {
        self.bound.cluster
    }

    fn history(&self) -> Option<History> {
        self.bound.history
    }

    async fn bind(
        &mut self,
        cluster: ClusterId,
        history: Option<History>,
    ) -> Result<(), StorageError> {
        let bound = self.bound.to(cluster, history)?;
        self.jobs
            .ask(move |shared| store::bind(shared, cluster, history))
            .await?;
        self.bound = bound;
        Ok(())
    }

    async fn recover(&mut self, log_memory_bytes_max: u64) -> Result<Recovered, StorageError> {
        match self.recovered.take() {
            Some(recovered)
                if recovered.outline.is_empty() || log_memory_bytes_max <= CACHED_BYTES_MAX =>
            {
                held::bound(recovered, log_memory_bytes_max)
            }
            _ => {
                self.jobs
                    .ask(move |shared| store::recover(shared, log_memory_bytes_max))
                    .await
            }
        }
    }

    async fn write(&mut self, writes: Vec<Write>) -> Result<(), StorageError> {
        self.recovered = None;
        self.jobs
            .ask(move |shared| store::write(shared, writes))
            .await
    }

    fn snapshots(&self) -> Arc<dyn SnapshotLane> {
        Arc::new(self.jobs.clone())
    }

    fn log(&self) -> Arc<dyn LogReader> {
        Arc::new(self.jobs.clone())
    }

    fn is_low(&self) -> bool {
        self.is_low.load(Ordering::Relaxed)
    }

    fn page_bytes(&self) -> u64 {
        store::DRAIN_BYTES
    }

    fn padding(&self) -> u64 {
        self.padding
    }

    async fn close(&mut self) -> Result<(), StorageError> {
        self.jobs.stop();
        self.jobs.ended().await;
        Ok(())
    }
}

impl Drop for BrowserStorage {
    /// The database is closed and the lock is freed when what is under way is done.
    fn drop(&mut self) {
        self.jobs.stop();
    }
}

impl fmt::Debug for BrowserStorage {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("BrowserStorage")
            .field("identity", &self.identity)
            .field("bound", &self.bound)
            .field("taken", &self.taken)
            .finish_non_exhaustive()
    }
}
