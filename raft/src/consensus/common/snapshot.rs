//! This server's snapshot: taken of its own state machine, or installed in place of its log (§5.1, §5.2).

use alloc::sync::Arc;

use super::{Common, Writing};
use crate::consensus::log::Log;
use crate::consensus::membership::ConfigurationLog;
use crate::consensus::names::{SnapshotName, WriteId};
use crate::consensus::outbox::Discarded;
use crate::consensus::output::{Event, Refusal, Snapshot, SnapshotStep};
use crate::consensus::planted::{Bug, is_planted};
use crate::ids::{Index, LogPosition};
use crate::message::SnapshotMetadata;
use crate::time::ClusterTime;

impl Common {
    /// The state machine was captured and its snapshot is durable: it is put in force, and only then is the log cut
    /// (§5.1).
    pub(in crate::consensus) fn on_snapshot_taken(
        &mut self,
        (mut through, stamp): (Index, ClusterTime),
        (length, digest): (u64, u32),
        name: SnapshotName,
    ) {
        let covered = self.snapshot_index();
        if through > self.applying.applied || through <= covered || self.writing.is_some() {
            return self.remove_snapshot(name);
        }
        if length > self.config.limits().snapshot_bytes_max {
            self.refuse(self.id, Refusal::SnapshotTooLarge);
            return self.remove_snapshot(name);
        }
        if is_planted(Bug::SnapshotLabelledWithCommit) {
            through = self.commit_index;
        }
        let term = self.log.term_at(through);
        let term = term.expect("what is past the last snapshot is in the log");
        let (mut configuration_index, mut configuration) = self.configurations.as_of(through);
        if is_planted(Bug::SnapshotOfNewestConfiguration) {
            (configuration_index, configuration) = self.configurations.as_of(self.log.last_index());
        }
        let snapshot = Snapshot {
            metadata: SnapshotMetadata {
                last: LogPosition::new(term, through),
                stamp,
                configuration: Arc::clone(configuration),
                configuration_index,
                length,
                digest,
            },
            name,
        };
        self.write_snapshot(snapshot, None, false);
    }

    /// Has a write put a snapshot in force.
    fn write_snapshot(
        &mut self,
        snapshot: Snapshot,
        log_discarded: Option<Discarded>,
        restore: bool,
    ) {
        self.outbox.write_snapshot(snapshot.clone(), log_discarded);
        let replaces = self.writing.take().map(|writing| writing.snapshot);
        self.writing = Some(Writing {
            snapshot: Arc::new(snapshot),
            restore,
            replaces,
        });
    }

    /// Has a snapshot removed that never came into force.
    pub(in crate::consensus) fn remove_snapshot(&mut self, name: SnapshotName) {
        self.out.snapshots.push(SnapshotStep::Remove(name));
    }

    /// Has the snapshots removed that were replaced, once nobody is sent them and no state machine restores them.
    pub(in crate::consensus) fn remove_replaced_snapshots(&mut self) {
        let steps = &mut self.out.snapshots;
        self.replaced.retain(|snapshot| {
            let is_needed = Arc::strong_count(snapshot) > 1;
            if !is_needed {
                steps.push(SnapshotStep::Remove(snapshot.name));
            }
            is_needed
        });
    }

    /// Takes a leader's snapshot in place of the log (§5.2), unless the log has what it covers.
    pub(in crate::consensus) fn install(&mut self, snapshot: Snapshot) {
        let metadata = &snapshot.metadata;
        let last = metadata.last;
        debug_assert!(
            last.index > self.commit_index,
            "an older snapshot is not installed"
        );
        if self.log.matches(last) && !is_planted(Bug::OlderSnapshotInstalled) {
            self.commit_to(last.index);
            return self.remove_snapshot(snapshot.name);
        }
        // After a restart more is stored than the log begins with: all of it goes.
        let log_discarded = Some(Discarded {
            first: Index::ZERO.next(),
            valid_to: self.commit_index,
        });
        self.log = Log::starting_after(last, metadata.stamp);
        self.fetches.begin_generation();
        if !is_planted(Bug::InstallKeepsConfiguration) || self.configurations.current().is_empty() {
            self.configurations = ConfigurationLog::starting_with(
                metadata.configuration_index,
                metadata.configuration.clone(),
            );
        }
        self.announced_configuration = metadata.configuration_index;
        self.commit_index = last.index;
        self.applying.restored_to = last.index;
        self.applying.weights.clear();
        self.applying.bytes = 0;
        self.out.events.push(Event::ConfigurationChanged {
            index: metadata.configuration_index,
        });
        self.write_snapshot(snapshot, log_discarded, true);
    }

    /// Whether a leader's snapshot is on its way to disk or to the state machine.
    pub(in crate::consensus) fn is_installing(&self) -> bool {
        self.writing.as_ref().is_some_and(|writing| writing.restore)
    }

    /// Notes that the writes up to `id` are durable.
    pub(in crate::consensus) fn on_persisted(&mut self, id: WriteId) {
        if let Some(position) = self.outbox.finish_writes(id)
            && let Some(Writing {
                snapshot,
                restore,
                replaces,
            }) = self
                .writing
                .take_if(|writing| writing.snapshot.metadata.last == position)
        {
            let last = snapshot.metadata.last.index;
            if restore {
                self.applying.restore_due = true;
            } else {
                self.compaction = Some(last);
            }
            self.replaced.extend(replaces);
            self.replaced.extend(self.snapshot.replace(snapshot));
        }
    }

    pub(in crate::consensus) fn snapshot_index(&self) -> Index {
        self.snapshot
            .as_ref()
            .map_or(Index::ZERO, |snapshot| snapshot.metadata.last.index)
    }

    /// Up to where a snapshot has become durable behind which the log has not been cut.
    pub(in crate::consensus) fn take_compaction(&mut self) -> Option<Index> {
        self.compaction.take()
    }

    /// Cuts the log behind a durable snapshot that covers it up to `covered`.
    ///
    /// Some entries stay for whoever is only a little behind, and those after a peer's position (`needed_after`) as
    /// long as they weigh no more than the snapshot, and are not too many for a disk that writes whole pages: until
    /// then they are the cheaper way for that peer to catch up. A link that carries more than is written transfers a
    /// snapshot before as much log has gathered behind it, so a peer that was sent a snapshot goes on by the log.
    pub(in crate::consensus) fn compact_behind(
        &mut self,
        covered: Index,
        needed_after: impl Iterator<Item = Index>,
    ) {
        let limits = self.config.limits();
        let length = self
            .snapshot
            .as_ref()
            .map_or(0, |snapshot| snapshot.metadata.length);
        let trailing = Index(covered.0.saturating_sub(limits.trailing_entries))
            .max(self.log.tail_start(covered, limits.trailing_bytes_max));
        let kept_from = self
            .log
            .tail_start(covered, limits.catch_up_bytes_max.max(length))
            .max(Index(covered.0.saturating_sub(limits.catch_up_entries)));
        let through = needed_after
            .filter(|after| *after >= kept_from)
            .fold(trailing, Index::min);
        if through > self.log.base().index {
            self.log.compact_to(through);
            self.configurations.compact_to(through);
            self.outbox.compact_to(through);
        }
    }
}
