//! Local reads that bound how old their state may be.

use core::time::Duration;

use bytes::Bytes;
use liferaft_node::driver::Local;

use crate::error::KvError;
use crate::handle::KvHandle;
use crate::into_bytes::IntoBytes;
use crate::outcome::{part, revised, value};
use crate::query::Query;
use crate::reply::{Answer, SequencePart};
use crate::revision::Revised;

impl KvHandle {
    /// The value of a key as this member knows it, if that is at most so old; otherwise the leader is asked first. See
    /// [`Handle::read_local_within`](liferaft_node::driver::Handle::read_local_within).
    ///
    /// ```no_run
    /// # mod liferaft { pub use liferaft_kv as kv; }
    /// # use liferaft::kv::{KvError, KvHandle};
    /// # use std::time::Duration;
    /// # async fn example(kv: KvHandle) -> Result<(), KvError> {
    /// // Drawn ten times a second, on every member: nobody is asked as long as the leader is heard.
    /// let camp = kv.get_local_within("camp", Duration::from_secs(2)).await?;
    /// println!("{:?}, {:?} old", camp.answer, camp.age);
    /// # Ok(())
    /// # }
    /// ```
    ///
    /// # Errors
    /// As of [`get`](Self::get); [`KvError::Read`] also if no state young enough was to be had before the deadline.
    pub async fn get_local_within(
        &self,
        key: impl IntoBytes,
        age_max: Duration,
    ) -> Result<Local<Revised<Option<Bytes>>>, KvError> {
        let query = Query::Get {
            key: key.into_bytes(),
        };
        let local = self.read_within(query, age_max).await?;
        local.try_map(|answer| revised(answer, value))
    }

    /// Part of a sequence as this member knows it, if that is at most so old; otherwise the leader is asked first.
    ///
    /// # Errors
    /// As of [`read_sequence`](Self::read_sequence); [`KvError::Read`] also if no state young enough was to be had
    /// before the deadline.
    pub async fn read_sequence_local_within(
        &self,
        key: impl IntoBytes,
        from: u64,
        limit: usize,
        age_max: Duration,
    ) -> Result<Local<Revised<SequencePart>>, KvError> {
        let query = Query::ReadSequence {
            key: key.into_bytes(),
            from,
            limit,
        };
        let local = self.read_within(query, age_max).await?;
        local.try_map(|answer| revised(answer, part))
    }

    async fn read_within(&self, query: Query, age_max: Duration) -> Result<Local<Answer>, KvError> {
        query.check()?;
        Ok(self.raft().read_local_within(query, age_max).await?)
    }
}
