//! Says what is asked of a database: values under keys, on shelves, changed in transactions.
//!
//! [`Table`] is the seam: a browser's IndexedDB is one, and tests have another, which fails where they say. Each call
//! is one transaction, whose requests are all made before the first is awaited: a transaction of a browser ends by
//! itself when control returns to it without another request.

use std::io;
use std::ops::RangeInclusive;

use async_trait::async_trait;
use futures::future::LocalBoxFuture;

use super::base;
use super::host::KeyPair;
use crate::storage::StorageError;

/// Where a value is kept. Transactions that change one shelf are made one after the other, and hold up no others.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Shelf {
    /// The server's key, its base, and the token of its invitation.
    Server,
    /// Drains, by number.
    Log,
    /// Pieces of the states of snapshots.
    Snapshots,
    /// Positions and commands of outboxes.
    Outboxes,
}

impl Shelf {
    pub(super) const ALL: [Self; 4] = [Self::Server, Self::Log, Self::Snapshots, Self::Outboxes];

    pub(super) const fn name(self) -> &'static str {
        match self {
            Self::Server => "server",
            Self::Log => "log",
            Self::Snapshots => "snapshots",
            Self::Outboxes => "outboxes",
        }
    }
}

/// What a value is found by. Keys are ordered byte by byte.
pub(super) type Key = Vec<u8>;

/// The key of a number.
pub(super) fn numbered(number: u64) -> Key {
    number.to_be_bytes().to_vec()
}

/// The key of a number below a prefix.
pub(super) fn numbered_in(prefix: &[u8], number: u64) -> Key {
    [prefix, &number.to_be_bytes()].concat()
}

/// A step of a transaction.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Step {
    /// This value is there from now on.
    Put {
        shelf: Shelf,
        key: Key,
        value: Vec<u8>,
    },
    /// No value has a key of these.
    Remove {
        shelf: Shelf,
        keys: RangeInclusive<Key>,
    },
}

impl Step {
    pub(super) const fn shelf(&self) -> Shelf {
        match self {
            Self::Put { shelf, .. } | Self::Remove { shelf, .. } => *shelf,
        }
    }
}

/// Why a database did not do what was asked.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Fault {
    /// There is no room. The transaction has changed nothing.
    Full,
    /// The connection is lost. What became of the transaction is not known.
    Disconnected(String),
    /// The database was removed.
    Gone,
    /// The database is of this version, which is a later one than ours.
    Newer(u64),
    /// It refuses.
    Refused(String),
}

impl Fault {
    /// Says what was tried.
    pub(super) fn during(self, action: &'static str) -> StorageError {
        match self {
            Self::Full => StorageError::Full { action },
            Self::Gone => StorageError::Lost {
                store: "the database of this server".to_owned(),
            },
            Self::Newer(format) => StorageError::Unsupported {
                what: "database",
                format,
            },
            Self::Disconnected(reason) | Self::Refused(reason) => StorageError::Io {
                action,
                error: io::Error::other(reason),
            },
        }
    }
}

/// How much a site may keep, and how much it does, in bytes, as JavaScript has numbers.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) struct Room {
    pub(super) used: f64,
    pub(super) quota: f64,
}

/// A database, which belongs to this page alone as long as it is open. It is dropped once nothing is under way.
#[async_trait(?Send)]
pub(super) trait Table {
    /// Makes these steps in order in one transaction: all or none. Once it resolves they are durable.
    async fn transact(&self, steps: &[Step]) -> Result<(), Fault>;

    /// Returns the values of these keys in the order of the keys, the first `count_max` of them.
    async fn list(
        &self,
        shelf: Shelf,
        keys: RangeInclusive<Key>,
        count_max: u32,
    ) -> Result<Vec<Vec<u8>>, Fault>;

    /// Keeps a key pair of the browser's in place of any other, durably.
    async fn keep_key(&self, pair: &KeyPair) -> Result<(), Fault>;

    /// Returns the key pair of the browser's that was kept, if there is one.
    async fn key(&self) -> Result<Option<KeyPair>, Fault>;

    /// Connects again if the connection was lost. It never makes a database.
    async fn reconnect(&self) -> Result<(), Fault>;

    /// Returns how much room there is, if that is known.
    async fn room(&self) -> Option<Room>;

    /// Returns true if no other page can have been given the database.
    async fn is_ours(&self) -> bool;

    /// Runs a task beside others.
    fn spawn(&self, task: LocalBoxFuture<'static, ()>);
}

/// A database that connects again when its connection was lost, once for each call.
///
/// What a lost connection has left of a transaction is not known, and the same transaction is made again: it puts the
/// same values under the same keys. That is safe where a sync of a file that failed is not: each transaction writes
/// all of its values anew.
pub(super) struct Database(pub(super) Box<dyn Table>);

impl Database {
    pub(super) async fn transact(&self, steps: &[Step]) -> Result<(), Fault> {
        match self.0.transact(steps).await {
            Err(Fault::Disconnected(_)) => {
                self.reconnect().await?;
                self.0.transact(steps).await
            }
            done => done,
        }
    }

    pub(super) async fn list(
        &self,
        shelf: Shelf,
        keys: RangeInclusive<Key>,
        count_max: u32,
    ) -> Result<Vec<Vec<u8>>, Fault> {
        match self.0.list(shelf, keys.clone(), count_max).await {
            Err(Fault::Disconnected(_)) => {
                self.reconnect().await?;
                self.0.list(shelf, keys, count_max).await
            }
            listed => listed,
        }
    }

    /// Returns the value of a key, if there is one.
    pub(super) async fn get(&self, shelf: Shelf, key: Key) -> Result<Option<Vec<u8>>, Fault> {
        let listed = self.list(shelf, key.clone()..=key, 1).await?;
        Ok(listed.into_iter().next())
    }

    /// Connects again, to the database that it was connected to.
    async fn reconnect(&self) -> Result<(), Fault> {
        self.0.reconnect().await?;
        let key = base::KEY.to_vec();
        let base = self.0.list(Shelf::Server, key.clone()..=key, 1).await?;
        if base.is_empty() {
            return Err(Fault::Gone);
        }
        Ok(())
    }
}
