//! A member's log as its writes tell it, kept beside the core so that the checks need not believe the core.

use std::collections::VecDeque;

use liferaft_raft::configuration::Configuration;
use liferaft_raft::consensus::{Recovered, Write};
use liferaft_raft::entry::{Entry, Payload};
use liferaft_raft::ids::{Index, LogPosition, ServerId, Term};
use liferaft_raft::time::ClusterTime;

use crate::digest;

/// A log of which only the digests of the entries are kept.
#[derive(Debug, Default)]
pub struct ShadowLog {
    base: LogPosition,
    base_stamp: ClusterTime,
    entries: VecDeque<Held>,
    /// The configurations from the base on; the first may lie before it.
    configurations: Vec<(Index, Configuration)>,
}

/// What is kept of an entry.
#[derive(Clone, Copy, Debug)]
struct Held {
    term: Term,
    digest: u64,
    stamp: ClusterTime,
}

/// What a turn did to the log.
#[derive(Clone, Copy, Debug, Default)]
pub struct LogChange {
    /// Entries from here on were dropped.
    pub truncated_from: Option<Index>,
    /// Another server's snapshot took the place of the log.
    pub replaced: bool,
}

impl ShadowLog {
    /// The log that a server begins with after a restart.
    #[must_use]
    pub fn of_recovered(recovered: &Recovered) -> Self {
        let mut log = Self::default();
        if let Some(snapshot) = &recovered.snapshot {
            let metadata = &snapshot.metadata;
            log.base = metadata.last;
            log.base_stamp = metadata.stamp;
            let configuration = metadata.configuration.clone();
            log.configurations
                .push((metadata.configuration_index, (*configuration).clone()));
        }
        for entry in &recovered.entries {
            if entry.index == log.base.index && entry.term != log.base.term {
                break;
            }
            if entry.index > log.base.index {
                log.append(entry);
            }
        }
        log
    }

    /// Takes what a write does to the log.
    pub fn take(&mut self, write: &Write, change: &mut LogChange) {
        if let Some(snapshot) = &write.snapshot {
            let metadata = &snapshot.metadata;
            // A server's own snapshot ends at an entry of its log, which stays. Another's replaces the log.
            if self.term_at(metadata.last.index) != Some(metadata.last.term)
                || write
                    .truncate
                    .is_some_and(|from| from <= metadata.last.index)
            {
                *self = Self {
                    base: metadata.last,
                    base_stamp: metadata.stamp,
                    entries: VecDeque::new(),
                    configurations: vec![(
                        metadata.configuration_index,
                        (*metadata.configuration).clone(),
                    )],
                };
                change.replaced = true;
            }
        }
        if let Some(from) = write.truncate
            && !change.replaced
        {
            change.truncated_from = Some(from);
            let keep = from.0.saturating_sub(self.base.index.0 + 1);
            self.entries
                .truncate(usize::try_from(keep).unwrap_or(usize::MAX));
            // What a snapshot covers may be dropped from disk, but not what the snapshot itself knows.
            let covered = self.base.index;
            self.configurations
                .retain(|(at, _)| *at < from || *at <= covered);
        }
        for entry in &write.entries {
            self.append(entry);
        }
        if let Some(through) = write.compact {
            while self.base.index < through {
                let Some(first) = self.entries.pop_front() else {
                    break;
                };
                self.base = LogPosition::new(first.term, self.base.index.next());
                self.base_stamp = first.stamp;
            }
            let needed = self
                .configurations
                .partition_point(|(at, _)| *at <= through);
            self.configurations.drain(..needed.saturating_sub(1));
        }
    }

    fn append(&mut self, entry: &Entry) {
        if entry.index != self.last().index.next() {
            // The disk complains of it; here the log is only kept in shape.
            return;
        }
        self.entries.push_back(Held {
            term: entry.term,
            digest: digest::of_entry(entry),
            stamp: entry.stamp,
        });
        if let Payload::Configuration(configuration) = &entry.payload {
            self.configurations
                .push((entry.index, (**configuration).clone()));
        }
    }

    /// The position before the first entry.
    #[must_use]
    pub fn base(&self) -> LogPosition {
        self.base
    }

    /// The last position.
    #[must_use]
    pub fn last(&self) -> LogPosition {
        let last = Index(self.base.index.0 + self.entries.len() as u64);
        let term = self.entries.back().map_or(self.base.term, |last| last.term);
        LogPosition::new(term, last)
    }

    /// The term and digest of an entry that is held.
    #[must_use]
    pub fn entry(&self, index: Index) -> Option<(Term, u64)> {
        self.held(index).map(|held| (held.term, held.digest))
    }

    fn held(&self, index: Index) -> Option<&Held> {
        let offset = index.0.checked_sub(self.base.index.0 + 1)?;
        self.entries.get(usize::try_from(offset).ok()?)
    }

    /// The cluster time of an entry, also at the base.
    #[must_use]
    pub fn stamp_at(&self, index: Index) -> Option<ClusterTime> {
        if index == self.base.index {
            return Some(self.base_stamp);
        }
        self.held(index).map(|held| held.stamp)
    }

    /// The term of an entry, also at the base.
    #[must_use]
    pub fn term_at(&self, index: Index) -> Option<Term> {
        if index == self.base.index {
            return Some(self.base.term);
        }
        self.entry(index).map(|(term, _)| term)
    }

    /// The newest configuration, with the index of its entry; empty and at zero for a blank log.
    #[must_use]
    pub fn configuration(&self) -> (Index, Option<&Configuration>) {
        match self.configurations.last() {
            Some((index, configuration)) => (*index, Some(configuration)),
            None => (Index::ZERO, None),
        }
    }

    /// The configurations that are in force or may come into force, where `commit` is committed: the newest up to there
    /// and all after it.
    pub fn configurations_from(&self, commit: Index) -> impl Iterator<Item = &Configuration> {
        let after = self.configurations.partition_point(|(at, _)| *at <= commit);
        let from = after.saturating_sub(1);
        self.configurations[from..].iter().map(|(_, it)| it)
    }

    /// Whether the configuration in force has this member.
    #[must_use]
    pub fn has_member(&self, id: ServerId) -> bool {
        let configuration = self.configuration().1;
        configuration.is_some_and(|configuration| configuration.contains(id))
    }

    /// The configuration that the entry at this index is, if it is one.
    #[must_use]
    pub fn configuration_at(&self, index: Index) -> Option<&Configuration> {
        let at = self
            .configurations
            .binary_search_by_key(&index, |(at, _)| *at);
        at.ok().map(|at| &self.configurations[at].1)
    }

    /// The newest configuration before this index, with its own.
    #[must_use]
    pub fn configuration_before(&self, index: Index) -> Option<&(Index, Configuration)> {
        self.configurations.iter().rev().find(|(at, _)| *at < index)
    }
}
