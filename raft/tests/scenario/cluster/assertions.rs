//! What a story sees, and what it insists on.

use std::time::Duration;

use liferaft_raft::consensus::{
    ChangeError, ChangeId, EntriesRead, Event, HardState, Oversight, Raft, ReadId, ReadRefused,
    Refusal, RoleKind, SnapshotStep, Status, TransferError,
};
use liferaft_raft::ids::{Index, ServerId};
use liferaft_raft::message::Message;
use liferaft_raft::time::{ClusterTime, Instant};

use super::filter::Filter;
use super::{Cluster, Id};

/// What can be seen.
impl Cluster {
    pub(crate) fn now(&self) -> Instant {
        self.now
    }

    #[track_caller]
    fn raft(&self, id: Id) -> &Raft {
        let raft = self.server(ServerId(id)).raft.as_ref();
        raft.unwrap_or_else(|| panic!("server {id} is crashed"))
    }

    #[track_caller]
    pub(crate) fn status(&self, id: Id) -> Status {
        self.raft(id).status()
    }

    /// As of when a server's state is known to have been the newest.
    pub(crate) fn current_as_of(&self, id: Id) -> Option<Instant> {
        let server = self.server(ServerId(id));
        server.raft.as_ref().and_then(Raft::current_as_of)
    }

    /// What this leader knows of its peers.
    #[track_caller]
    pub(crate) fn oversight<T>(&self, id: Id, look: impl FnOnce(Oversight<'_>) -> T) -> T {
        let raft = self.server(ServerId(id)).raft.as_ref();
        let oversight = raft.and_then(Raft::oversight);
        look(oversight.unwrap_or_else(|| panic!("server {id} does not lead")))
    }

    pub(crate) fn is_up(&self, id: Id) -> bool {
        self.server(ServerId(id)).raft.is_some()
    }

    /// When this server's clock is to wake it.
    pub(crate) fn wakes_at(&self, id: Id) -> Option<Instant> {
        self.server(ServerId(id)).deadline()
    }

    pub(crate) fn leads(&self, id: Id) -> bool {
        self.is_up(id) && self.status(id).role == RoleKind::Leader
    }

    /// The leader of the latest term, if one of the servers that are up leads.
    pub(crate) fn leader(&self) -> Option<Id> {
        let up = self
            .servers
            .values()
            .filter_map(|server| server.raft.as_ref());
        let leaders = up
            .map(|raft| raft.status())
            .filter(|of| of.role == RoleKind::Leader);
        leaders
            .max_by_key(|status| status.term)
            .map(|status| status.id.0)
    }

    /// Whether this server would serve a read without asking anybody.
    pub(crate) fn holds_lease(&self, id: Id) -> bool {
        let server = self.server(ServerId(id));
        let until = server.raft.as_ref().and_then(Raft::lease_until);
        until.is_some_and(|until| server.clock.shows(self.now) < until)
    }

    pub(crate) fn term(&self, id: Id) -> u64 {
        self.raft(id).term().0
    }

    /// When this server last knew another, or itself, to lead.
    pub(crate) fn led_at(&self, id: Id) -> Option<Instant> {
        self.raft(id).led_at()
    }

    /// What this server's log weighs behind its snapshot.
    pub(crate) fn log_bytes(&self, id: Id) -> u64 {
        self.raft(id).log_bytes()
    }

    /// How long this server has before it must mark that cluster time.
    pub(crate) fn time_mark_in(&self, id: Id, at: ClusterTime) -> Option<Duration> {
        self.raft(id).time_mark_in(at, self.now)
    }

    /// The cluster time of the last entry in this server's log.
    #[track_caller]
    pub(crate) fn last_stamp(&self, id: Id) -> ClusterTime {
        let last = self.raft(id).log_from(Index::ZERO).last();
        last.expect("the log is not compacted away").stamp
    }

    pub(crate) fn last_index(&self, id: Id) -> u64 {
        self.status(id).last.index.0
    }

    pub(crate) fn commit_index(&self, id: Id) -> u64 {
        self.status(id).commit.0
    }

    /// The commands that this server's state machine has applied, in order.
    pub(crate) fn applied(&self, id: Id) -> &[String] {
        self.server(ServerId(id)).machine.commands()
    }

    /// How many entries this server's state machine was handed and has not applied.
    pub(crate) fn handed_out(&self, id: Id) -> usize {
        self.server(ServerId(id)).machine.waiting()
    }

    /// How many snapshots this server's state machine was handed and has not restored.
    pub(crate) fn snapshots_handed_out(&self, id: Id) -> usize {
        self.server(ServerId(id)).machine.snapshots_waiting()
    }

    /// The hard state on this server's disk, crashed or not.
    pub(crate) fn stored_hard_state(&self, id: Id) -> HardState {
        self.server(ServerId(id)).disk.stored().hard_state
    }

    /// The terms of the entries on this server's disk, crashed or not.
    pub(crate) fn stored_terms(&self, id: Id) -> Vec<u64> {
        let stored = self.server(ServerId(id)).disk.stored();
        stored.entries.iter().map(|entry| entry.term.0).collect()
    }

    /// What is to be read of this server's log, while that is held.
    pub(crate) fn reads_held(&self, id: Id) -> &[EntriesRead] {
        let held = self.server(ServerId(id)).reads.as_ref();
        held.expect("its reads are held")
    }

    /// The indices of the entries that this server has in memory.
    pub(crate) fn in_memory(&self, id: Id) -> Vec<u64> {
        let entries = self.raft(id).log_from(Index::ZERO);
        entries.map(|entry| entry.index.0).collect()
    }

    /// How many bytes of snapshots this server is to read or to write, while that is held.
    pub(crate) fn lane_bytes(&self, id: Id) -> usize {
        let steps = self.server(ServerId(id)).lane.iter().flatten();
        let bytes = steps.map(|step| match step {
            SnapshotStep::Append { piece, .. } => piece.len(),
            SnapshotStep::Read(read) => read.bytes,
            SnapshotStep::Finish { .. } | SnapshotStep::Remove(_) => 0,
        });
        bytes.sum()
    }

    /// How many snapshots this server has, in force or not.
    pub(crate) fn snapshots_kept(&self, id: Id) -> usize {
        self.server(ServerId(id)).shelf.names().count()
    }

    /// The last index that the snapshot on this server's disk covers.
    pub(crate) fn stored_snapshot(&self, id: Id) -> Option<u64> {
        let stored = self.server(ServerId(id)).disk.stored();
        stored
            .snapshot
            .as_ref()
            .map(|snapshot| snapshot.metadata.last.index.0)
    }

    /// The stamp of the last entry that the snapshot on this server's disk covers.
    pub(crate) fn stored_snapshot_stamp(&self, id: Id) -> Option<ClusterTime> {
        let stored = self.server(ServerId(id)).disk.stored();
        let snapshot = stored.snapshot.as_ref();
        snapshot.map(|snapshot| snapshot.metadata.stamp)
    }

    pub(crate) fn voters(&self, id: Id) -> Vec<Id> {
        self.status(id)
            .configuration
            .voters()
            .iter()
            .map(|voter| voter.0)
            .collect()
    }

    pub(crate) fn read_answer(&self, id: ReadId) -> Option<&Result<Index, ReadRefused>> {
        self.outcomes.reads.get(&id)
    }

    pub(crate) fn change_result(&self, id: ChangeId) -> Option<&Result<Index, ChangeError>> {
        self.outcomes.changes.get(&id)
    }

    pub(crate) fn transfer_results(&self) -> &[Result<ServerId, TransferError>] {
        &self.outcomes.transfers
    }

    pub(crate) fn events(&self, id: Id) -> impl Iterator<Item = &Event> {
        let events = self.outcomes.events.iter();
        events
            .filter(move |(server, _)| server.0 == id)
            .map(|(_, event)| event)
    }

    /// How often this server has refused a message for this reason.
    pub(crate) fn refused(&self, id: Id, reason: Refusal) -> u64 {
        self.status(id).refused.get(&reason).copied().unwrap_or(0)
    }

    /// What was sent, whether or not it arrived.
    #[expect(
        clippy::needless_pass_by_value,
        reason = "a filter is written where it is used"
    )]
    pub(crate) fn sent(&self, filter: Filter) -> Vec<Message> {
        let sent = self.network.sent().iter();
        sent.filter(|sent| filter.means(sent.from, sent.to, &sent.message))
            .map(|sent| sent.message.clone())
            .collect()
    }

    /// How much time passed until the first of these messages was sent.
    #[expect(
        clippy::needless_pass_by_value,
        reason = "a filter is written where it is used"
    )]
    pub(crate) fn first_sent_after(&self, filter: Filter, since: Instant) -> Option<Duration> {
        let mut sent = self.network.sent().iter().filter(|sent| sent.at >= since);
        let first = sent.find(|sent| filter.means(sent.from, sent.to, &sent.message))?;
        Some(first.at.since(since))
    }
}

/// What a story insists on.
impl Cluster {
    #[track_caller]
    pub(crate) fn assert_leader(&self, id: Id) {
        assert_eq!(self.leader(), Some(id), "who leads\n{self:?}");
    }

    #[track_caller]
    pub(crate) fn assert_follower(&self, id: Id) {
        assert_eq!(
            self.status(id).role,
            RoleKind::Follower,
            "what {id} does\n{self:?}"
        );
    }

    #[track_caller]
    pub(crate) fn assert_leads_nothing(&self, id: Id) {
        assert!(!self.leads(id), "server {id} leads\n{self:?}");
    }

    #[track_caller]
    pub(crate) fn assert_no_leader(&self) {
        assert_eq!(self.leader(), None, "who leads\n{self:?}");
    }

    /// Exactly one of these servers leads; tells which.
    #[track_caller]
    pub(crate) fn assert_one_leader_among<const N: usize>(&self, ids: [Id; N]) -> Id {
        let leaders: Vec<Id> = ids.into_iter().filter(|id| self.leads(*id)).collect();
        assert_eq!(leaders.len(), 1, "leaders {leaders:?}\n{self:?}");
        leaders[0]
    }

    #[track_caller]
    pub(crate) fn assert_applied_on<const N: usize>(&self, ids: [Id; N], command: &str) {
        for id in ids {
            let count = self
                .applied(id)
                .iter()
                .filter(|applied| *applied == command)
                .count();
            assert_eq!(count, 1, "how often {id} has applied {command:?}\n{self:?}");
        }
    }

    /// Every server that is up has applied the command, once.
    #[track_caller]
    pub(crate) fn assert_applied_everywhere(&self, command: &str) {
        let up: Vec<Id> = self
            .servers
            .keys()
            .map(|id| id.0)
            .filter(|id| self.is_up(*id))
            .collect();
        for id in up {
            self.assert_applied_on([id], command);
        }
    }

    /// No state machine, crashed ones among them, has ever applied the command.
    #[track_caller]
    pub(crate) fn assert_never_applied(&self, command: &str) {
        assert!(
            !self.checker.was_applied(command),
            "{command:?} was applied\n{self:?}"
        );
    }

    /// These servers have stored the same log, and applied all of it.
    #[track_caller]
    pub(crate) fn assert_same_logs<const N: usize>(&self, ids: [Id; N]) {
        let first = self.server(ServerId(ids[0]));
        for id in ids {
            let other = self.server(ServerId(id));
            assert_eq!(
                other.disk.stored().entries,
                first.disk.stored().entries,
                "the logs of {id} and {}\n{self:?}",
                ids[0],
            );
            assert_eq!(
                other.machine.commands(),
                first.machine.commands(),
                "what was applied"
            );
        }
    }

    #[track_caller]
    pub(crate) fn assert_read_served(&self, id: ReadId) -> Index {
        match self.read_answer(id) {
            Some(Ok(index)) => *index,
            other => panic!("the read was answered with {other:?}\n{self:?}"),
        }
    }

    #[track_caller]
    pub(crate) fn assert_changed(&self, id: ChangeId) {
        let result = self.change_result(id);
        assert!(
            matches!(result, Some(Ok(_))),
            "the change came to {result:?}\n{self:?}"
        );
    }

    #[track_caller]
    pub(crate) fn assert_change_refused(&self, id: ChangeId, error: &ChangeError) {
        assert_eq!(
            self.change_result(id),
            Some(&Err(error.clone())),
            "\n{self:?}"
        );
    }
}
