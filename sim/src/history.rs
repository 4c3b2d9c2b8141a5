//! What the cluster has committed: one history, which every member must agree with.

use liferaft_raft::ids::{Index, Term};

use crate::digest::Digest;

/// The committed entries, as the leaders that committed them had them.
#[derive(Debug)]
pub struct History {
    committed: Vec<Committed>,
    /// The committed configurations, as the indices of their entries and their digests.
    configurations: Vec<(Index, u64)>,
}

/// One committed entry.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Committed {
    /// Its term.
    pub term: Term,
    /// The term of the leader that committed it.
    pub by: Term,
    /// The digest of what it says.
    pub digest: u64,
    /// The digest of the state after applying it.
    pub state: Digest,
}

impl Default for History {
    fn default() -> Self {
        let before_all = Committed {
            term: Term::ZERO,
            by: Term::ZERO,
            digest: 0,
            state: Digest::default(),
        };
        Self {
            committed: vec![before_all],
            configurations: Vec::new(),
        }
    }
}

impl History {
    /// The last committed index.
    #[must_use]
    pub fn last_index(&self) -> Index {
        Index(self.committed.len() as u64 - 1)
    }

    /// The committed entry there.
    #[must_use]
    pub fn entry(&self, index: Index) -> Option<Committed> {
        let at = usize::try_from(index.0).ok()?;
        self.committed.get(at).copied()
    }

    /// The last index that a leader of a term before this one committed.
    #[must_use]
    pub fn last_before(&self, term: Term) -> Index {
        let later = self.committed.iter().rev();
        let later = later.take_while(|entry| entry.by >= term && entry.by > Term::ZERO);
        Index(self.last_index().0 - later.count() as u64)
    }

    /// The last committed entry.
    #[must_use]
    pub fn last(&self) -> Committed {
        *self.committed.last().expect("there is one before all")
    }

    /// The committed configuration as of an index: that of its entry, and its digest.
    #[must_use]
    pub fn configuration_as_of(&self, index: Index) -> Option<(Index, u64)> {
        let after = self.configurations.partition_point(|(at, _)| *at <= index);
        after.checked_sub(1).map(|last| self.configurations[last])
    }

    /// The configuration at this index is committed.
    pub fn commit_configuration(&mut self, index: Index, digest: u64) {
        self.configurations.push((index, digest));
    }

    /// The next entry is committed.
    pub fn commit(&mut self, term: Term, by: Term, digest: u64) {
        let state = self.last().state.with(digest);
        self.committed.push(Committed {
            term,
            by,
            digest,
            state,
        });
    }
}
