//! The typed handle.

use core::fmt;
use core::time::Duration;

use bytes::Bytes;
use liferaft_node::driver::{Calls, Handle, Local};

use crate::command::Command;
use crate::count::Count;
use crate::entry::Entry;
use crate::error::{KvError, Refused};
use crate::into_bytes::{IntoBytes, IntoOptionalBytes};
use crate::keys::Keys;
use crate::machine::Kv;
use crate::outcome::{mismatch, mismatched, page, part, revised, value};
use crate::query::Query;
use crate::reply::{
    Answer, CompareAndSet, DeleteKeys, Done, Found, Reply, SeqAppend, SequencePart, TrimBefore,
};
use crate::revision::{Revised, Revision};
use crate::scan::{Page, Scan};
use crate::step::{Step, StepDone};
use crate::txn::{Txn, TxnDone};

/// The operations on a replicated key-value store, through one of its members. Cloning it is cheap.
///
/// It does not matter which member: writes reach the leader by themselves, each takes effect exactly once, and every
/// member gives the same answers. Reads are linearizable, they see all that was done before they were asked; those
/// called `…_local` are answered at once from what this member knows, and say how old that is.
///
/// Keys and values are text or bytes, owned or borrowed, whatever is [`IntoBytes`]. Their [`limits`](crate::limits) are
/// checked before anything is sent.
///
/// ```no_run
/// # mod liferaft { pub use liferaft_kv as kv; }
/// # async fn example(kv: liferaft::kv::KvHandle, name: &str, tents: &[String]) -> Result<(), liferaft::kv::KvError> {
/// kv.set(name, b"at the bridge").await?;
/// for tent in tents {
///     kv.append(tent, format!("{name} was here")).await?;
/// }
/// let given_back = kv.compare_and_set("radio", name, None).await?;
/// # let _ = given_back;
/// # Ok(())
/// # }
/// ```
///
/// # Errors
/// All operations share [`KvError`]. [`KvError::Refused`] is a definite no that changed nothing;
/// [`KvError::Propose`] tells "not done" from "unknown", for which the deadline of [`within`](Self::within) matters.
///
/// # Clients
/// A [`Client`](liferaft_node::driver::Client) of the cluster has the same operations, `KvHandle<Client<Kv>>`, but for
/// those that ask the member itself: those called `…_local`, and outboxes. Its watches are
/// [`ClientWatch`](crate::ClientWatch)es. What it reads at once fits into a frame, so a long sequence is read in parts.
pub struct KvHandle<H = Handle<Kv>> {
    raft: H,
}

impl<H> KvHandle<H> {
    /// The operations of the member or client behind `raft`.
    #[must_use]
    pub const fn new(raft: H) -> Self {
        Self { raft }
    }

    /// The own handle of the member, or client, for all that is not about keys: membership, leadership, status.
    #[must_use]
    pub const fn raft(&self) -> &H {
        &self.raft
    }
}

impl<H: Calls<Kv>> KvHandle<H> {
    /// The same member or client, with another deadline for each operation.
    ///
    /// It is a handle like any clone: the member runs as long as it is kept.
    #[must_use]
    pub fn within(&self, timeout: Duration) -> Self {
        Self {
            raft: self.raft.within(timeout),
        }
    }

    /// The value of a key; `None` if it does not exist. Linearizable.
    ///
    /// # Errors
    /// [`Refused`](crate::Refused) if the key holds a sequence or is too long; [`KvError::Read`].
    pub async fn get(&self, key: impl IntoBytes) -> Result<Revised<Option<Bytes>>, KvError> {
        revised(
            self.read(Query::Get {
                key: key.into_bytes(),
            })
            .await?,
            value,
        )
    }

    /// Makes a key hold a value, whether or not it exists. Returns the revision at which it does. A key that ended with
    /// a lease does so no longer: [`Lease`](crate::Lease) sets those that do.
    ///
    /// # Errors
    /// [`Refused`](crate::Refused) if the key holds a sequence, a length is beyond its limit or the store is full;
    /// [`KvError::Propose`].
    pub async fn set(
        &self,
        key: impl IntoBytes,
        value: impl IntoBytes,
    ) -> Result<Revision, KvError> {
        let command = Command::Set {
            key: key.into_bytes(),
            value: value.into_bytes(),
        };
        let set = revised(self.write(command).await?, |done| match done {
            Done::Set => Ok(()),
            other => Err(mismatch("set", &other)),
        });
        Ok(set?.revision)
    }

    /// Removes a key and what it holds, a value or a sequence. Returns whether it existed.
    ///
    /// # Errors
    /// [`Refused`](crate::Refused) if the key is empty or too long; [`KvError::Propose`].
    pub async fn delete(&self, key: impl IntoBytes) -> Result<Revised<bool>, KvError> {
        let command = Command::Delete {
            key: key.into_bytes(),
        };
        revised(self.write(command).await?, |done| match done {
            Done::Delete(existed) => Ok(existed),
            other => Err(mismatch("delete", &other)),
        })
    }

    /// Removes a prefix or a range of keys and what they hold, at one revision; watches are told of each deletion.
    /// Returns how many there were.
    ///
    /// One call removes no more than [`DELETE_KEYS_MAX`](crate::limits::DELETE_KEYS_MAX) keys and
    /// [`DELETE_BYTES_MAX`](crate::limits::DELETE_BYTES_MAX), the first in their order, and tells whether there are
    /// more. A [`Step::delete_keys`] in a transaction removes all, or is refused.
    ///
    /// ```no_run
    /// # mod liferaft { pub use liferaft_kv as kv; }
    /// # use liferaft::kv::{Keys, KvError, KvHandle};
    /// # async fn example(kv: KvHandle) -> Result<(), KvError> {
    /// while kv.delete_keys(Keys::prefix("tents/")).await?.more {}
    /// # Ok(())
    /// # }
    /// ```
    ///
    /// # Errors
    /// [`Refused::KeyTooLong`] if a bound of the keys is longer than a key can be; [`KvError::Propose`].
    pub async fn delete_keys(&self, keys: Keys) -> Result<Revised<DeleteKeys>, KvError> {
        let command = Command::DeleteKeys(keys);
        revised(self.write(command).await?, |done| match done {
            Done::DeleteKeys(outcome) => Ok(outcome),
            other => Err(mismatch("delete_keys", &other)),
        })
    }

    /// Replaces a value by another if it is the expected one, in one step. `None` stands for a key that does not exist:
    /// expected, it makes the key; as what is new, it removes it. A value is given as it is, without `Some`.
    ///
    /// ```no_run
    /// # mod liferaft { pub use liferaft_kv as kv; }
    /// # use liferaft::kv::{CompareAndSet, KvError, KvHandle};
    /// # async fn example(kv: KvHandle) -> Result<(), KvError> {
    /// let taken = kv.compare_and_set("leader of the hike", None, "Ada").await?;
    /// match taken.into_value() {
    ///     CompareAndSet::Set => println!("it is me"),
    ///     CompareAndSet::Different { current } => println!("it is {current:?}"),
    /// }
    /// # Ok(())
    /// # }
    /// ```
    ///
    /// # Errors
    /// As of [`set`](Self::set). That the value is another one is not an error, but an outcome.
    pub async fn compare_and_set(
        &self,
        key: impl IntoBytes,
        expected: impl IntoOptionalBytes,
        new: impl IntoOptionalBytes,
    ) -> Result<Revised<CompareAndSet>, KvError> {
        let command = Command::CompareAndSet {
            key: key.into_bytes(),
            expected: expected.into_optional_bytes(),
            new: new.into_optional_bytes(),
        };
        revised(self.write(command).await?, |done| match done {
            Done::CompareAndSet(outcome) => Ok(outcome),
            other => Err(mismatch("compare_and_set", &other)),
        })
    }

    /// Appends a value to a sequence if its counter is `count`, so that nobody appends without having seen what is
    /// there. The counter of a key that does not exist is [`Count::ZERO`]; a success makes the sequence.
    ///
    /// Success or not, the outcome carries the counter as it is, to give to the next call:
    ///
    /// ```no_run
    /// # mod liferaft { pub use liferaft_kv as kv; }
    /// # use liferaft::kv::{Count, KvError, KvHandle};
    /// # async fn example(kv: KvHandle) -> Result<(), KvError> {
    /// let mut count = Count::ZERO;
    /// loop {
    ///     let outcome = kv.seq_append("log book", count, "08:15 camp reached").await?;
    ///     if outcome.succeeded {
    ///         break;
    ///     }
    ///     // Others have appended: read what they wrote before trying again.
    ///     let seen = kv.read_sequence("log book", count.len(), usize::MAX).await?;
    ///     count = seen.count;
    /// }
    /// # Ok(())
    /// # }
    /// ```
    ///
    /// # Errors
    /// [`Refused`](crate::Refused) if the key holds a value, a length is beyond its limit, or the sequence or the store
    /// is full; [`KvError::Propose`]. That the counter is another one is not an error, but an outcome.
    pub async fn seq_append(
        &self,
        key: impl IntoBytes,
        count: Count,
        value: impl IntoBytes,
    ) -> Result<Revised<SeqAppend>, KvError> {
        let command = Command::SeqAppend {
            key: key.into_bytes(),
            count,
            value: value.into_bytes(),
        };
        revised(self.write(command).await?, |done| match done {
            Done::SeqAppend(outcome) => Ok(outcome),
            other => Err(mismatch("seq_append", &other)),
        })
    }

    /// Appends a value to a sequence, and makes the sequence if it does not exist. Returns the place that the value
    /// got; the first of a sequence has place 0.
    ///
    /// # Errors
    /// As of [`seq_append`](Self::seq_append).
    pub async fn append(
        &self,
        key: impl IntoBytes,
        value: impl IntoBytes,
    ) -> Result<Revised<u64>, KvError> {
        let command = Command::Append {
            key: key.into_bytes(),
            value: value.into_bytes(),
        };
        revised(self.write(command).await?, |done| match done {
            Done::Append(place) => Ok(place),
            other => Err(mismatch("append", &other)),
        })
    }

    /// Drops the values of a sequence that `count` counts: all before the place [`Count::len`]. The others keep their
    /// places, and the counter stays as it is, so that appending goes on: a sequence that is trimmed now and then is
    /// never full.
    ///
    /// Nothing is dropped, and that is no error, if `count` is of an earlier sequence under the same key, if the values
    /// are dropped already, or if the key does not exist. To try again does no harm.
    ///
    /// ```no_run
    /// # mod liferaft { pub use liferaft_kv as kv; }
    /// # use liferaft::kv::{KvError, KvHandle};
    /// # async fn example(kv: KvHandle) -> Result<(), KvError> {
    /// // Keeps the last thousand lines.
    /// let count = kv.read_sequence("log book", 0, 0).await?.count;
    /// let outcome = kv.trim_before("log book", count.less(1_000)).await?;
    ///
    /// // Reads what is left, at the places that it always had.
    /// let lines = kv.read_sequence("log book", outcome.first, usize::MAX).await?;
    /// println!("{:?} from place {}", lines.values, lines.from);
    /// # Ok(())
    /// # }
    /// ```
    ///
    /// # Errors
    /// [`Refused`](crate::Refused) if the key holds a value, is empty or too long; [`KvError::Propose`].
    pub async fn trim_before(
        &self,
        key: impl IntoBytes,
        count: Count,
    ) -> Result<Revised<TrimBefore>, KvError> {
        let command = Command::TrimBefore {
            key: key.into_bytes(),
            count,
        };
        revised(self.write(command).await?, |done| match done {
            Done::TrimBefore(outcome) => Ok(outcome),
            other => Err(mismatch("trim_before", &other)),
        })
    }

    /// Up to `limit` values of a sequence, beginning with that at place `from`, and the counter of the whole. A
    /// sequence that ends earlier, or does not exist, gives fewer or none. Where values are trimmed, the reading begins
    /// with the first that is left: [`SequencePart::from`] tells its place. Linearizable.
    ///
    /// With a limit of 0 only the counter is read. Whoever reads on from a place seen earlier compares
    /// [`Count::incarnation`]: if it is another one, the sequence has been deleted and made again in between.
    ///
    /// # Errors
    /// [`Refused`](crate::Refused) if the key holds a value or is too long; [`KvError::Read`].
    pub async fn read_sequence(
        &self,
        key: impl IntoBytes,
        from: u64,
        limit: usize,
    ) -> Result<Revised<SequencePart>, KvError> {
        let query = Query::ReadSequence {
            key: key.into_bytes(),
            from,
            limit,
        };
        revised(self.read(query).await?, part)
    }

    /// What a key holds, when it was made and how it has changed since; `None` if it does not exist. Linearizable.
    ///
    /// # Errors
    /// [`Refused`](crate::Refused) if the key is empty or too long; [`KvError::Read`].
    pub async fn entry(&self, key: impl IntoBytes) -> Result<Revised<Option<Entry>>, KvError> {
        let query = Query::Entry {
            key: key.into_bytes(),
        };
        revised(self.read(query).await?, |found| match found {
            Found::Entry(entry) => Ok(entry),
            other => Err(mismatched("entry", &other)),
        })
    }

    /// The revision of the store: that of the last change that was done, anywhere, before this was asked.
    ///
    /// # Errors
    /// [`KvError::Read`].
    pub async fn revision(&self) -> Result<Revision, KvError> {
        Ok(self.read(Query::Revision).await?.revision)
    }

    /// Reads a page of keys, with values and with sequences by their length, in the order of the keys. Linearizable,
    /// unless it asks for a past revision.
    ///
    /// [`Page::next`] reads on at the same revision, so that all pages together are the state at one moment, however
    /// long the reading takes and whatever is written meanwhile, as long as the history reaches back to it.
    ///
    /// # Errors
    /// [`Refused::Compacted`](crate::Refused::Compacted) if the history does not reach back to the revision,
    /// [`Refused::RevisionAhead`](crate::Refused::RevisionAhead) if it is in the future; [`KvError::Read`].
    pub async fn scan(&self, scan: impl Into<Scan>) -> Result<Page, KvError> {
        page(self.read(Query::Scan(scan.into())).await?.outcome?)
    }

    /// Compares and changes several keys in one step.
    ///
    /// ```no_run
    /// # mod liferaft { pub use liferaft_kv as kv; }
    /// # use liferaft::kv::{Compare, KvError, KvHandle, Step, Txn};
    /// # async fn example(kv: KvHandle) -> Result<(), KvError> {
    /// let moved = kv
    ///     .txn(
    ///         Txn::when([Compare::value("tent 1", "ada"), Compare::absent("tent 2")])
    ///             .then([Step::delete("tent 1"), Step::set("tent 2", "ada")])
    ///             .otherwise([Step::get("tent 1"), Step::get("tent 2")]),
    ///     )
    ///     .await?;
    /// if !moved.succeeded {
    ///     println!("tent 2 has {:?}", moved.entry(1));
    /// }
    /// # Ok(())
    /// # }
    /// ```
    ///
    /// # Errors
    /// [`Refused`](crate::Refused) if one of the steps is, or if there are too many or they read too much: nothing was
    /// changed then. [`KvError::Propose`]. That a condition does not hold is not an error, but an outcome.
    pub async fn txn(&self, txn: Txn) -> Result<Revised<TxnDone>, KvError> {
        revised(self.write(Command::Txn(txn)).await?, |done| match done {
            Done::Txn(outcome) => Ok(outcome),
            other => Err(mismatch("txn", &other)),
        })
    }

    /// Does several steps in one entry of the log, each for itself, and returns what became of each, in order. They
    /// share one round of the cluster, one place in the log and one revision; a step that is refused does not hold up
    /// the others.
    ///
    /// ```no_run
    /// # mod liferaft { pub use liferaft_kv as kv; }
    /// # use liferaft::kv::{KvError, KvHandle, Step};
    /// # async fn example(kv: KvHandle) -> Result<(), KvError> {
    /// let done = kv
    ///     .batch([Step::set("wind", "NW 7"), Step::append("log", "storm"), Step::get("camp")])
    ///     .await?;
    /// for outcome in done.into_value() {
    ///     println!("{:?}", outcome?);
    /// }
    /// # Ok(())
    /// # }
    /// ```
    ///
    /// # Errors
    /// [`Refused`](crate::Refused) if the batch as a whole exceeds the [`limits`](crate::limits); [`KvError::Propose`].
    pub async fn batch(
        &self,
        steps: impl IntoIterator<Item = Step>,
    ) -> Result<Revised<Vec<Result<StepDone, Refused>>>, KvError> {
        let command = Command::Batch(steps.into_iter().collect());
        revised(self.write(command).await?, |done| match done {
            Done::Batch(outcomes) => Ok(outcomes),
            other => Err(mismatch("batch", &other)),
        })
    }

    pub(crate) async fn write(&self, command: Command) -> Result<Reply, KvError> {
        command.check()?;
        Ok(self.raft.propose(command).await?)
    }

    pub(crate) async fn read(&self, query: Query) -> Result<Answer, KvError> {
        query.check()?;
        Ok(self.raft.read(query).await?)
    }
}

/// What a member itself is asked.
impl KvHandle {
    /// The value of a key as far as this member knows, and how old that is: it may be stale, and needs no leader.
    ///
    /// # Errors
    /// As of [`get`](Self::get).
    pub async fn get_local(
        &self,
        key: impl IntoBytes,
    ) -> Result<Local<Revised<Option<Bytes>>>, KvError> {
        let local = self
            .read_local(Query::Get {
                key: key.into_bytes(),
            })
            .await?;
        local.try_map(|answer| revised(answer, value))
    }

    /// Part of a sequence as far as this member knows, and how old that is: it may be stale, and needs no leader.
    ///
    /// # Errors
    /// As of [`read_sequence`](Self::read_sequence).
    pub async fn read_sequence_local(
        &self,
        key: impl IntoBytes,
        from: u64,
        limit: usize,
    ) -> Result<Local<Revised<SequencePart>>, KvError> {
        let query = Query::ReadSequence {
            key: key.into_bytes(),
            from,
            limit,
        };
        let local = self.read_local(query).await?;
        local.try_map(|answer| revised(answer, part))
    }

    /// Reads a page of keys as far as this member knows them, and how old that is: it may be stale, and needs no
    /// leader.
    ///
    /// # Errors
    /// As of [`scan`](Self::scan).
    pub async fn scan_local(&self, scan: impl Into<Scan>) -> Result<Local<Page>, KvError> {
        let local = self.read_local(Query::Scan(scan.into())).await?;
        local.try_map(|answer| page(answer.outcome?))
    }

    async fn read_local(&self, query: Query) -> Result<Local<Answer>, KvError> {
        query.check()?;
        Ok(self.raft.read_local(query).await?)
    }
}

impl<H> From<H> for KvHandle<H> {
    fn from(raft: H) -> Self {
        Self::new(raft)
    }
}

impl<H: Clone> Clone for KvHandle<H> {
    fn clone(&self) -> Self {
        Self {
            raft: self.raft.clone(),
        }
    }
}

impl<H> fmt::Debug for KvHandle<H> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("KvHandle").finish_non_exhaustive()
    }
}
