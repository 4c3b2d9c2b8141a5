//! The typed outbox: writes that wait until they are done.

use core::fmt;
use core::future::Future;
use core::pin::Pin;
use core::task::{Context, Poll};

use liferaft_node::driver::{
    FlushError, OpenOutboxError, Outbox, OutboxConfig, OutboxError, PendingCommand, PushError,
    Ticket,
};
use thiserror::Error;

use crate::command::Command;
use crate::count::Count;
use crate::error::Refused;
use crate::handle::KvHandle;
use crate::into_bytes::{IntoBytes, IntoOptionalBytes};
use crate::keys::Keys;
use crate::machine::Kv;
use crate::reply::{CompareAndSet, DeleteKeys, Done, Reply, SeqAppend, TrimBefore};
use crate::revision::Revised;
use crate::step::{Step, StepDone};
use crate::txn::{Txn, TxnDone};

/// Writes to a replicated key-value store that wait until they are done: bounded, in order, exactly once, without a
/// deadline. [`KvHandle::outbox`] makes one; [`Outbox`] has the whole of what it promises.
///
/// Each write returns at once with a [`KvTicket`], which can be awaited for its result, or dropped.
///
/// ```
/// # mod liferaft { pub use {liferaft_kv as kv, liferaft_node::*, liferaft_raft::*, liferaft_transport as transport}; }
/// # use liferaft::kv::{Kv, KvHandle};
/// # use liferaft::driver::Member;
/// # use liferaft::storage::{MemoryStorage, Storage};
/// # use liferaft::transport::memory::MemoryNetwork;
/// use liferaft::driver::OutboxConfig;
///
/// # #[tokio::main(flavor = "current_thread")]
/// # async fn main() -> Result<(), Box<dyn std::error::Error>> {
/// # let mut storage = MemoryStorage::default();
/// # Member::found(&mut storage).await?;
/// # let transport = MemoryNetwork::new(1).attach(storage.identity().id())?;
/// # let member = Member::builder(Kv::new(), transport, storage);
/// # let kv = KvHandle::new(member.start().await?);
/// let outbox = kv.outbox(OutboxConfig::default()).await?;
///
/// outbox.set("camp", "at the bridge")?;
/// outbox.append("log book", "08:15 camp moved")?;
/// let place = outbox.append("log book", "08:40 bridge closed")?;
///
/// for pending in outbox.pending() {
///     println!("{:?} waits since {:?}", outbox.command(pending.number), pending.age);
/// }
/// assert_eq!(place.await?, 1);
/// assert_eq!(kv.get("camp").await?.as_deref(), Some(&b"at the bridge"[..]));
/// # Ok(())
/// # }
/// ```
///
/// # Errors
/// All writes share [`KvPushError`]: the write was not taken. What became of one that was taken is told by its ticket.
pub struct KvOutbox {
    raft: Outbox<Kv>,
}

/// Why a write was not taken by an outbox. Nothing of it is kept.
#[derive(Clone, Debug, PartialEq, Eq, Error)]
#[non_exhaustive]
pub enum KvPushError {
    /// The key or a value is beyond the [`limits`](crate::limits).
    #[error("not done: {0}")]
    Refused(Refused),
    /// The outbox has no room, or is closed.
    #[error(transparent)]
    Push(#[from] PushError),
}

impl KvPushError {
    /// Returns true: the outbox has nothing of the write, which will not be done.
    #[must_use]
    pub const fn is_definite(&self) -> bool {
        true
    }
}

impl From<Refused> for KvPushError {
    fn from(refused: Refused) -> Self {
        Self::Refused(refused)
    }
}

/// Why a write in an outbox has no result.
#[derive(Clone, Debug, PartialEq, Eq, Error)]
#[non_exhaustive]
pub enum KvOutboxError {
    /// The store said a definite no; nothing was changed by it. The writes behind it are not held up.
    #[error("not done: {0}")]
    Refused(Refused),
    /// The write was given up, or waits in the store of a closed outbox.
    #[error(transparent)]
    Outbox(#[from] OutboxError),
    /// The reply belongs to another operation: the member that answered runs another program. What that did is not
    /// known.
    #[error("unknown: a reply to another operation came in reply to {asked}")]
    Mismatch {
        /// The operation that was asked for.
        asked: &'static str,
    },
}

impl KvOutboxError {
    /// Returns true if the write certainly changed nothing, and never will.
    #[must_use]
    pub const fn is_definite(&self) -> bool {
        match self {
            Self::Refused(_) => true,
            Self::Outbox(error) => error.is_definite(),
            Self::Mismatch { .. } => false,
        }
    }
}

impl From<Refused> for KvOutboxError {
    fn from(refused: Refused) -> Self {
        Self::Refused(refused)
    }
}

/// A write in an outbox: awaiting it gives its result, with the revision of the store right after it.
///
/// Dropping it changes nothing for the write.
pub struct KvTicket<T> {
    ticket: Ticket<Reply>,
    asked: &'static str,
    result: fn(Done) -> Option<T>,
}

impl KvHandle {
    /// Opens an outbox, and goes on with what its store holds, if it has one.
    ///
    /// # Errors
    /// See [`OpenOutboxError`].
    pub async fn outbox(&self, config: OutboxConfig) -> Result<KvOutbox, OpenOutboxError> {
        let raft = self.raft().outbox(config).await?;
        Ok(KvOutbox { raft })
    }
}

impl KvOutbox {
    /// The outbox beneath, for all that is not about keys: its status and events, waiting for room, tickets by number.
    #[must_use]
    pub const fn raft(&self) -> &Outbox<Kv> {
        &self.raft
    }

    /// Makes a key hold a value, whether or not it exists.
    ///
    /// # Errors
    /// See [`KvPushError`].
    pub fn set(
        &self,
        key: impl IntoBytes,
        value: impl IntoBytes,
    ) -> Result<KvTicket<()>, KvPushError> {
        let command = Command::Set {
            key: key.into_bytes(),
            value: value.into_bytes(),
        };
        self.push(&command, "set", |done| match done {
            Done::Set => Some(()),
            _ => None,
        })
    }

    /// Removes a key and what it holds. The result says whether it existed.
    ///
    /// # Errors
    /// See [`KvPushError`].
    pub fn delete(&self, key: impl IntoBytes) -> Result<KvTicket<bool>, KvPushError> {
        let command = Command::Delete {
            key: key.into_bytes(),
        };
        self.push(&command, "delete", |done| match done {
            Done::Delete(existed) => Some(existed),
            _ => None,
        })
    }

    /// Replaces a value by another if it is the expected one, as [`KvHandle::compare_and_set`] does. That it is another
    /// one holds up nothing behind it.
    ///
    /// # Errors
    /// See [`KvPushError`].
    pub fn compare_and_set(
        &self,
        key: impl IntoBytes,
        expected: impl IntoOptionalBytes,
        new: impl IntoOptionalBytes,
    ) -> Result<KvTicket<CompareAndSet>, KvPushError> {
        let command = Command::CompareAndSet {
            key: key.into_bytes(),
            expected: expected.into_optional_bytes(),
            new: new.into_optional_bytes(),
        };
        self.push(&command, "compare_and_set", |done| match done {
            Done::CompareAndSet(outcome) => Some(outcome),
            _ => None,
        })
    }

    /// Appends a value to a sequence if its counter is `count`, as [`KvHandle::seq_append`] does.
    ///
    /// # Errors
    /// See [`KvPushError`].
    pub fn seq_append(
        &self,
        key: impl IntoBytes,
        count: Count,
        value: impl IntoBytes,
    ) -> Result<KvTicket<SeqAppend>, KvPushError> {
        let command = Command::SeqAppend {
            key: key.into_bytes(),
            count,
            value: value.into_bytes(),
        };
        self.push(&command, "seq_append", |done| match done {
            Done::SeqAppend(outcome) => Some(outcome),
            _ => None,
        })
    }

    /// Appends a value to a sequence, and makes the sequence if it does not exist. The result is the place that the
    /// value got.
    ///
    /// # Errors
    /// See [`KvPushError`].
    pub fn append(
        &self,
        key: impl IntoBytes,
        value: impl IntoBytes,
    ) -> Result<KvTicket<u64>, KvPushError> {
        let command = Command::Append {
            key: key.into_bytes(),
            value: value.into_bytes(),
        };
        self.push(&command, "append", |done| match done {
            Done::Append(place) => Some(place),
            _ => None,
        })
    }

    /// Drops the values of a sequence that `count` counts, as [`KvHandle::trim_before`] does.
    ///
    /// # Errors
    /// See [`KvPushError`].
    pub fn trim_before(
        &self,
        key: impl IntoBytes,
        count: Count,
    ) -> Result<KvTicket<TrimBefore>, KvPushError> {
        let command = Command::TrimBefore {
            key: key.into_bytes(),
            count,
        };
        self.push(&command, "trim_before", |done| match done {
            Done::TrimBefore(outcome) => Some(outcome),
            _ => None,
        })
    }

    /// Removes a prefix or a range of keys up to a bound, as [`KvHandle::delete_keys`] does. The result says whether
    /// there are more.
    ///
    /// # Errors
    /// See [`KvPushError`].
    pub fn delete_keys(&self, keys: Keys) -> Result<KvTicket<DeleteKeys>, KvPushError> {
        self.push(
            &Command::DeleteKeys(keys),
            "delete_keys",
            |done| match done {
                Done::DeleteKeys(outcome) => Some(outcome),
                _ => None,
            },
        )
    }

    /// Checks and changes several keys in one step, as [`KvHandle::txn`] does. That a condition does not hold holds up
    /// nothing behind it.
    ///
    /// # Errors
    /// See [`KvPushError`].
    pub fn txn(&self, txn: Txn) -> Result<KvTicket<TxnDone>, KvPushError> {
        self.push(&Command::Txn(txn), "txn", |done| match done {
            Done::Txn(outcome) => Some(outcome),
            _ => None,
        })
    }

    /// Does several steps in one entry of the log, each for itself, as [`KvHandle::batch`] does.
    ///
    /// # Errors
    /// See [`KvPushError`].
    pub fn batch(
        &self,
        steps: impl IntoIterator<Item = Step>,
    ) -> Result<KvTicket<Vec<Result<StepDone, Refused>>>, KvPushError> {
        let command = Command::Batch(steps.into_iter().collect());
        self.push(&command, "batch", |done| match done {
            Done::Batch(outcomes) => Some(outcomes),
            _ => None,
        })
    }

    /// The writes that are pending, in order: for a user interface.
    #[must_use]
    pub fn pending(&self) -> Vec<PendingCommand> {
        self.raft.pending()
    }

    /// A pending write, by its number.
    #[must_use]
    pub fn command(&self, number: u64) -> Option<Command> {
        self.raft.command(number)
    }

    /// Waits until all that was pushed before is settled.
    ///
    /// # Errors
    /// See [`FlushError`]; it does not time out.
    pub async fn flush(&self) -> Result<(), FlushError> {
        self.raft.flush().await
    }

    /// Forgets the writes that were given up, and goes on with those behind them. Returns whether it had halted.
    pub fn resume(&self) -> bool {
        self.raft.resume()
    }

    /// Ends it, and returns what was pending: see [`Outbox::close`].
    pub async fn close(&self) -> Vec<PendingCommand> {
        self.raft.close().await
    }

    fn push<T>(
        &self,
        command: &Command,
        asked: &'static str,
        result: fn(Done) -> Option<T>,
    ) -> Result<KvTicket<T>, KvPushError> {
        command.check()?;
        let ticket = self.raft.push(command)?;
        Ok(KvTicket {
            ticket,
            asked,
            result,
        })
    }
}

impl<T> KvTicket<T> {
    /// The write's number in its outbox: see [`Ticket::number`].
    #[must_use]
    pub const fn number(&self) -> u64 {
        self.ticket.number()
    }

    /// Waits until the write is in the outbox's store: see [`Ticket::stored`].
    pub async fn stored(&mut self) -> bool {
        self.ticket.stored().await
    }
}

impl<T> Future for KvTicket<T> {
    type Output = Result<Revised<T>, KvOutboxError>;

    fn poll(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Self::Output> {
        Pin::new(&mut self.ticket).poll(context).map(|reply| {
            let Reply { revision, outcome } = reply?;
            let mismatch = KvOutboxError::Mismatch { asked: self.asked };
            let value = (self.result)(outcome?).ok_or(mismatch)?;
            Ok(Revised { value, revision })
        })
    }
}

impl Clone for KvOutbox {
    fn clone(&self) -> Self {
        Self {
            raft: self.raft.clone(),
        }
    }
}

impl fmt::Debug for KvOutbox {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("KvOutbox").finish_non_exhaustive()
    }
}

impl<T> fmt::Debug for KvTicket<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("KvTicket")
            .field("number", &self.number())
            .field("asked", &self.asked)
            .finish_non_exhaustive()
    }
}
