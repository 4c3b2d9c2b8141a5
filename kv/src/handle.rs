//! The typed handle.

use core::fmt;
use core::time::Duration;

use bytes::Bytes;
use liferaft_raft::driver::{Handle, Local};

use crate::command::{Command, Query};
use crate::count::Count;
use crate::error::KvError;
use crate::machine::Kv;
use crate::reply::{CompareAndSet, Done, Found, SeqAppend, SequencePart};

/// The operations on a replicated key-value store, through one of its members. Cloning it is cheap.
///
/// It does not matter which member: writes reach the leader by themselves, each takes effect exactly once, and every
/// member gives the same answers. Reads are linearizable, they see all that was done before they were asked; those
/// called `…_local` are answered at once from what this member knows, and say how old that is.
///
/// Keys and values are anything that becomes [`Bytes`]: `&'static str`, `String`, `Vec<u8>`, `Bytes`. Their
/// [`limits`](crate::limits) are checked before anything is sent.
///
/// # Errors
/// All operations share [`KvError`]. [`KvError::Refused`] is a definite no that changed nothing;
/// [`KvError::Propose`] tells "not done" from "unknown", for which the deadline of [`within`](Self::within) matters.
pub struct KvHandle {
    raft: Handle<Kv>,
}

impl KvHandle {
    /// The operations of the member behind `raft`.
    #[must_use]
    pub const fn new(raft: Handle<Kv>) -> Self {
        Self { raft }
    }

    /// The member's own handle, for all that is not about keys: membership, leadership, status.
    #[must_use]
    pub const fn raft(&self) -> &Handle<Kv> {
        &self.raft
    }

    /// The same member, with another deadline for each operation.
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
    pub async fn get(&self, key: impl Into<Bytes>) -> Result<Option<Bytes>, KvError> {
        value(self.read(Query::Get { key: key.into() }).await?)
    }

    /// The value of a key as far as this member knows, and how old that is: it may be stale, and needs no leader.
    ///
    /// # Errors
    /// As of [`get`](Self::get).
    pub async fn get_local(&self, key: impl Into<Bytes>) -> Result<Local<Option<Bytes>>, KvError> {
        let Local {
            answer,
            age,
            applied,
        } = self.read_local(Query::Get { key: key.into() }).await?;
        Ok(Local {
            answer: value(answer)?,
            age,
            applied,
        })
    }

    /// Makes a key hold a value, whether or not it exists.
    ///
    /// # Errors
    /// [`Refused`](crate::Refused) if the key holds a sequence, a length is beyond its limit or the store is full;
    /// [`KvError::Propose`].
    pub async fn set(&self, key: impl Into<Bytes>, value: impl Into<Bytes>) -> Result<(), KvError> {
        match self
            .write(Command::Set {
                key: key.into(),
                value: value.into(),
            })
            .await?
        {
            Done::Set => Ok(()),
            other => Err(mismatch("set", &other)),
        }
    }

    /// Removes a key and what it holds, a value or a sequence. Returns whether it existed.
    ///
    /// # Errors
    /// [`Refused`](crate::Refused) if the key is empty or too long; [`KvError::Propose`].
    pub async fn delete(&self, key: impl Into<Bytes>) -> Result<bool, KvError> {
        match self.write(Command::Delete { key: key.into() }).await? {
            Done::Delete(existed) => Ok(existed),
            other => Err(mismatch("delete", &other)),
        }
    }

    /// Replaces a value by another if it is the expected one, in one step. `None` stands for a key that does not exist:
    /// expected, it makes the key; as what is new, it removes it.
    ///
    /// ```no_run
    /// # use liferaft_kv::{CompareAndSet, KvError, KvHandle};
    /// # async fn example(kv: KvHandle) -> Result<(), KvError> {
    /// match kv.compare_and_set("leader of the hike", None, Some("Ada".into())).await? {
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
        key: impl Into<Bytes>,
        expected: Option<Bytes>,
        new: Option<Bytes>,
    ) -> Result<CompareAndSet, KvError> {
        let command = Command::CompareAndSet {
            key: key.into(),
            expected,
            new,
        };
        match self.write(command).await? {
            Done::CompareAndSet(outcome) => Ok(outcome),
            other => Err(mismatch("compare_and_set", &other)),
        }
    }

    /// Appends a value to a sequence if its counter is `count`, so that nobody appends without having seen what is
    /// there. The counter of a key that does not exist is [`Count::ZERO`]; a success makes the sequence.
    ///
    /// Success or not, the outcome carries the counter as it is, to give to the next call:
    ///
    /// ```no_run
    /// # use liferaft_kv::{Count, KvError, KvHandle};
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
    /// [`Refused`](crate::Refused) if the key holds a value, a length is beyond its limit, or the sequence or the store is
    /// full; [`KvError::Propose`]. That the counter is another one is not an error, but an outcome.
    pub async fn seq_append(
        &self,
        key: impl Into<Bytes>,
        count: Count,
        value: impl Into<Bytes>,
    ) -> Result<SeqAppend, KvError> {
        let command = Command::SeqAppend {
            key: key.into(),
            count,
            value: value.into(),
        };
        match self.write(command).await? {
            Done::SeqAppend(outcome) => Ok(outcome),
            other => Err(mismatch("seq_append", &other)),
        }
    }

    /// Appends a value to a sequence, and makes the sequence if it does not exist. Returns the place that the value got;
    /// the first of a sequence has place 0.
    ///
    /// # Errors
    /// As of [`seq_append`](Self::seq_append).
    pub async fn append(
        &self,
        key: impl Into<Bytes>,
        value: impl Into<Bytes>,
    ) -> Result<u64, KvError> {
        match self
            .write(Command::Append {
                key: key.into(),
                value: value.into(),
            })
            .await?
        {
            Done::Append(place) => Ok(place),
            other => Err(mismatch("append", &other)),
        }
    }

    /// Up to `limit` values of a sequence, beginning with that at place `from`, and the counter of the whole. A sequence
    /// that ends earlier, or does not exist, gives fewer or none. Linearizable.
    ///
    /// With a limit of 0 only the counter is read. Whoever reads on from a place seen earlier compares
    /// [`Count::incarnation`]: if it is another one, the sequence has been deleted and made again in between.
    ///
    /// # Errors
    /// [`Refused`](crate::Refused) if the key holds a value or is too long; [`KvError::Read`].
    pub async fn read_sequence(
        &self,
        key: impl Into<Bytes>,
        from: u64,
        limit: usize,
    ) -> Result<SequencePart, KvError> {
        part(
            self.read(Query::ReadSequence {
                key: key.into(),
                from,
                limit,
            })
            .await?,
        )
    }

    /// Part of a sequence as far as this member knows, and how old that is: it may be stale, and needs no leader.
    ///
    /// # Errors
    /// As of [`read_sequence`](Self::read_sequence).
    pub async fn read_sequence_local(
        &self,
        key: impl Into<Bytes>,
        from: u64,
        limit: usize,
    ) -> Result<Local<SequencePart>, KvError> {
        let query = Query::ReadSequence {
            key: key.into(),
            from,
            limit,
        };
        let Local {
            answer,
            age,
            applied,
        } = self.read_local(query).await?;
        Ok(Local {
            answer: part(answer)?,
            age,
            applied,
        })
    }

    async fn write(&self, command: Command) -> Result<Done, KvError> {
        command.check()?;
        Ok(self.raft.propose(command).await??)
    }

    async fn read(&self, query: Query) -> Result<Found, KvError> {
        query.check()?;
        Ok(self.raft.read(query).await??)
    }

    async fn read_local(&self, query: Query) -> Result<Local<Found>, KvError> {
        query.check()?;
        let Local {
            answer,
            age,
            applied,
        } = self.raft.read_local(query).await?;
        Ok(Local {
            answer: answer?,
            age,
            applied,
        })
    }
}

impl From<Handle<Kv>> for KvHandle {
    fn from(raft: Handle<Kv>) -> Self {
        Self::new(raft)
    }
}

impl Clone for KvHandle {
    fn clone(&self) -> Self {
        Self {
            raft: self.raft.clone(),
        }
    }
}

impl fmt::Debug for KvHandle {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("KvHandle").finish_non_exhaustive()
    }
}

pub(crate) fn value(found: Found) -> Result<Option<Bytes>, KvError> {
    match found {
        Found::Value(value) => Ok(value),
        Found::Sequence(_) => Err(KvError::Mismatch {
            asked: "get",
            got: "read_sequence",
        }),
    }
}

pub(crate) fn part(found: Found) -> Result<SequencePart, KvError> {
    match found {
        Found::Sequence(part) => Ok(part),
        Found::Value(_) => Err(KvError::Mismatch {
            asked: "read_sequence",
            got: "get",
        }),
    }
}

/// A reply comes over the network and may be anything.
const fn mismatch(asked: &'static str, done: &Done) -> KvError {
    let got = match done {
        Done::Set => "set",
        Done::Delete(_) => "delete",
        Done::CompareAndSet(_) => "compare_and_set",
        Done::SeqAppend(_) => "seq_append",
        Done::Append(_) => "append",
    };
    KvError::Mismatch { asked, got }
}
