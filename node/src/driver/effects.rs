//! Carries out what the core returns.

use std::sync::Arc;
use std::time::Duration;

use liferaft_platform::WallTime;
use liferaft_transport::SendError;

use super::asker::Asker;
use super::events::Happening;
use super::links::FRAME_OVERHEAD_BYTES;
use super::served::Answer;
use super::status::{Fresh, LastError, LinkStatus, MemberError, Queues, StorageStatus};
use super::task::Driver;
use crate::consensus::{
    ChangeError, ChangeId, Event, Input, InvalidChange, MembershipChange, ProposeRefused, RoleKind,
    TransferError,
};
use crate::ids::{Index, ServerId};
use crate::state_machine::StateMachine;
use crate::time::Instant;
use crate::wire::{Content, ProposeAnswer};

/// A storage stalls if nothing becomes durable for so many election timeouts, unless it is set otherwise.
const STALLED_TIMEOUTS: u32 = 4;

impl<S: StateMachine> Driver<S> {
    /// Carries out all that the core has said.
    pub(super) fn perform(&mut self, now: Instant) {
        self.links
            .send_messages(&mut self.output.messages, &mut self.counters);
        for (to, message) in self.links.take_unsent() {
            let message = Box::new(message);
            self.inputs.push(Input::Unsent { to, message });
            self.again = true;
        }
        self.disk.enqueue(&mut self.output.writes, now);
        self.snapshots.enqueue(&mut self.output.snapshots);
        self.log_reads.begin(&mut self.output.entries, now);
        let snapshot_bytes_max = self.config.limits().snapshot_bytes_max;
        let serving = &self.serving;
        if self.work.hand_out(
            &mut self.output.apply,
            |entry| serving.is_told(entry),
            snapshot_bytes_max,
        ) {
            self.announce(now, || Happening::SnapshotBegun);
        }
        self.freshness.handed_out(
            self.work.handed(),
            self.work.applied(),
            self.raft.current_as_of(),
        );

        self.answer_proposals(now);
        let mut reads = std::mem::take(&mut self.output.reads);
        for (id, result) in reads.drain(..) {
            self.reads.on_answer(id, &result, now);
        }
        self.output.reads = reads;
        self.serve_reads();
        for (id, result) in std::mem::take(&mut self.output.changes) {
            if let Some(asker) = self.changes.answered(id.0) {
                self.answer_change(asker, result, now);
            }
        }
        for result in std::mem::take(&mut self.output.transfers) {
            self.answer_transfer(result, now);
        }
        for event in std::mem::take(&mut self.output.events) {
            self.tell(&event, now);
        }
    }

    fn answer_proposals(&mut self, now: Instant) {
        let mut answers = std::mem::take(&mut self.output.proposals);
        for (id, result) in answers.drain(..) {
            match self.proposed.answered(id.0) {
                Some(Asker::Own(number)) => self.proposals.on_core_answer(number, &result, now),
                Some(Asker::Lane(lane, number)) => {
                    self.lanes.on_core_answer(lane, number, result.is_ok(), now);
                }
                Some(Asker::Client(ticket)) => self.on_client_proposal(ticket, &result),
                Some(Asker::Batch(place)) => {
                    // The whole batch is answered as its worst command: what is sent twice is applied once.
                    if let (Some(batch), Err(refused)) = (self.forwarded.get_mut(place), result) {
                        batch.answer = refusal(&refused);
                    }
                }
                // Nobody else proposes commands.
                _ => {}
            }
        }
        self.output.proposals = answers;
        self.decline_refused();
        for batch in std::mem::take(&mut self.forwarded) {
            self.counters.requests_refused += u64::from(batch.answer == ProposeAnswer::Busy);
            let reply = Content::ProposeReply {
                request: batch.request,
                answer: batch.answer,
            };
            self.links.send(batch.from, &reply, &mut self.counters);
        }
    }

    /// Asks the core for a change of membership.
    pub(super) fn ask_change(&mut self, asker: Asker, change: MembershipChange) {
        let id = ChangeId(self.changes.name(asker));
        self.inputs.push(Input::Change(id, change));
    }

    pub(super) fn answer_change(
        &mut self,
        asker: Asker,
        result: Result<Index, ChangeError>,
        now: Instant,
    ) {
        if let Err(ChangeError::Foreign(peer, why)) = result {
            tracing::warn!(term = %self.raft.term(), %peer, %why, "server to be added belongs elsewhere");
            self.announce(now, || Happening::PeerForeign { peer, why });
        }
        if result.is_ok() && matches!(asker, Asker::Own(_) | Asker::Peer(..)) {
            self.peers.await_nobody();
        }
        match asker {
            Asker::Own(request) => self.answer_own_change(request, result, now),
            Asker::Peer(from, request) => {
                self.finish_for_peer(from, request, Answer::Change(result));
            }
            Asker::Policy => self.policy_changed(&result, now),
            // Who was not described anew asks again.
            Asker::Describing => {
                tracing::debug!(term = %self.raft.term(), ?result, "a member was to be described anew");
            }
            // Nobody else changes members.
            _ => {}
        }
    }

    /// Answers a change that a caller of this member has asked for, by the own core's word or the leader's.
    pub(super) fn answer_own_change(
        &mut self,
        request: u64,
        result: Result<Index, ChangeError>,
        now: Instant,
    ) {
        let raft = &self.raft;
        let configuration = || raft.status().configuration;
        self.operations
            .on_change_answer(request, result, configuration, now);
    }

    fn answer_transfer(&mut self, result: Result<ServerId, TransferError>, now: Instant) {
        match self.transfers.answered() {
            Some(Asker::Own(request)) => {
                self.operations
                    .on_transfer_answer(request, result, self.raft.leader(), now);
            }
            Some(Asker::Peer(from, request)) => {
                self.finish_for_peer(from, request, Answer::Transfer(result));
            }
            Some(Asker::Shutdown) => {
                // Handed over or not: it has been tried.
                tracing::debug!(term = %self.raft.term(), ?result, "leadership handed over before stopping");
                self.stopping = Some(now);
                self.again = true;
            }
            Some(why @ (Asker::NoRoom | Asker::Stalled)) => {
                tracing::info!(term = %self.raft.term(), ?why, ?result, "leadership handed over for its disk");
            }
            // Nobody else hands leadership over.
            _ => {}
        }
        // Another may wait.
        self.again = true;
    }

    /// Tells those who listen what has happened.
    pub(super) fn announce(&self, now: Instant, what: impl FnOnce() -> Happening) {
        self.announcer.tell(now, self.raft.term(), what);
    }

    fn tell(&mut self, event: &Event, now: Instant) {
        let in_term = self.raft.term();
        match *event {
            Event::RoleChanged { role, term } => {
                self.changed = true;
                // Leadership begins with a look at who takes part.
                self.again = true;
                self.counters.elections += u64::from(role == RoleKind::Candidate);
                tracing::info!(%term, ?role, "role changed");
                self.announcer
                    .tell(now, term, || Happening::RoleChanged { role });
            }
            Event::LeaderChanged { leader, term } => {
                self.changed = true;
                // Even if it is the same server: in another term it may not have what it took up in the last.
                self.leader = None;
                self.redirect_clients();
                self.counters.leader_changes += 1;
                if leader.is_some() {
                    self.note_led(now);
                }
                tracing::info!(%term, ?leader, "leader changed");
                self.announcer
                    .tell(now, term, || Happening::LeaderChanged { leader });
            }
            Event::ConfigurationChanged { index } => {
                self.changed = true;
                self.peers.stir();
                tracing::info!(term = %in_term, %index, "configuration changed");
                self.announce(now, || Happening::MembershipChanged { index });
            }
            Event::ConfigurationCommitted { index } => {
                self.changed = true;
                self.peers.stir();
                self.note_members(now);
                tracing::info!(term = %in_term, %index, "configuration committed");
                self.announce(now, || Happening::MembershipCommitted { index });
            }
            Event::Refused { from, reason } => {
                self.note_error(MemberError::Refused { from, reason });
                self.announcer.refused(from, reason);
                tracing::debug!(term = %in_term, %from, ?reason, "message refused");
            }
            Event::SnapshotStarted { to } => {
                tracing::info!(term = %in_term, %to, "snapshot is being sent");
                self.announce(now, || Happening::SnapshotSending { to });
            }
            Event::SnapshotFinished { to } => {
                tracing::info!(term = %in_term, %to, "snapshot sent");
                self.announce(now, || Happening::SnapshotSent { to });
            }
            Event::ElectionDeferred => {
                tracing::info!(term = %in_term, "election deferred, the clock leapt");
                self.announce(now, || Happening::ElectionDeferred);
            }
            Event::PeerForgot {
                peer,
                acknowledged,
                last,
            } => {
                self.changed = true;
                self.counters.peers_forgot += 1;
                self.membership.found_forgetful(now);
                self.note_error(MemberError::PeerForgot {
                    peer,
                    acknowledged,
                    last,
                });
                tracing::error!(term = %in_term, %peer, %acknowledged, %last, "server has lost what it acknowledged");
                self.announce(now, || Happening::PeerForgot {
                    peer,
                    acknowledged,
                    last,
                });
            }
        }
        if let Some(observer) = &mut self.observer {
            observer(now, event);
        }
    }

    pub(super) fn note_error(&mut self, error: MemberError) {
        let at = WallTime::now();
        self.last_error = Some(LastError { at, error });
    }

    /// Turns to the leader that there is: what the last one took up may be lost.
    pub(super) fn follow_leader(&mut self, now: Instant) {
        let leader = self.raft.leader();
        if leader != self.leader {
            self.leader = leader;
            if leader == Some(self.id) {
                // By then it knows who follows.
                let at = now + self.config.heartbeat_interval();
                self.hands_over_at = self.hands_over_at.max(at);
            } else {
                self.led_before = leader.or(self.led_before);
            }
            if leader.is_some() {
                self.proposals.reroute();
                self.lanes.reroute();
                self.reads.reroute();
                self.operations.reroute(leader, now);
                self.again = true;
            }
        }
        match leader {
            Some(leader) if leader != self.id => self.forward(leader, now),
            Some(_) | None => {}
        }
    }

    /// Sends what is unsent to the leader.
    fn forward(&mut self, leader: ServerId, now: Instant) {
        let (_, configuration) = self.raft.configuration();
        let frame_bytes_max = self
            .links
            .common_frame_bytes_max(configuration.entry_bytes_max());
        let bytes_max = frame_bytes_max.saturating_sub(FRAME_OVERHEAD_BYTES);
        self.forwarded_to = Some(leader);
        while let Some((request, commands)) = self.proposals.next_batch(now, bytes_max) {
            let sent = self.links.send(
                leader,
                &Content::Propose { request, commands },
                &mut self.counters,
            );
            self.proposals.forwarded(request, sent, now);
        }
        while let Some((request, commands)) = self.lanes.next_batch(now, bytes_max) {
            let sent = self.links.send(
                leader,
                &Content::Propose { request, commands },
                &mut self.counters,
            );
            self.lanes.forwarded(request, sent, now);
        }
        while let Some((request, operation)) = self.operations.next_for_leader(leader, now) {
            let content = operation.into_content(request, self.raft.term());
            if let Some(invalid) = self.unreadable(&content, frame_bytes_max) {
                self.answer_own_change(request, Err(ChangeError::Invalid(invalid)), now);
                continue;
            }
            let sent = self.links.send(leader, &content, &mut self.counters);
            self.operations.sent(request, sent, now);
        }
    }

    /// Returns why the leader would not be given this change, or not read it, where frames of so many bytes arrive.
    fn unreadable(&self, content: &Content, frame_bytes_max: usize) -> Option<InvalidChange> {
        let bytes = self.links.frame_bytes(content);
        (bytes > frame_bytes_max).then_some(InvalidChange::TooLarge {
            bytes: bytes as u64,
            bytes_max: frame_bytes_max as u64,
        })
    }

    /// Tells when the storage begins to stall, and when it goes on.
    pub(super) fn watch_storage(&mut self, now: Instant) {
        let is_stalled = self.storage_stalled_for(now).is_some();
        if is_stalled == self.storage_is_stalled {
            return;
        }
        self.storage_is_stalled = is_stalled;
        self.changed = true;
        let (term, waiting_bytes) = (self.raft.term(), self.disk.waiting_bytes());
        if is_stalled {
            let after = self.storage_stalls_after();
            self.note_error(MemberError::StorageStalled {
                after,
                waiting_bytes,
            });
            tracing::error!(%term, ?after, waiting_bytes, "the storage stalls");
            self.announce(now, || Happening::StorageStalled { waiting_bytes });
        } else {
            tracing::info!(%term, waiting_bytes, "the storage goes on");
            self.announce(now, || Happening::StorageGoesOn);
        }
    }

    /// For how long a write has been under way and none has become durable, or a read of the log, or a step with a
    /// snapshot, if that is so long that the storage stalls.
    fn storage_stalled_for(&self, now: Instant) -> Option<Duration> {
        let busy_for = now.since(self.storage_busy_since()?);
        (busy_for >= self.storage_stalls_after()).then_some(busy_for)
    }

    fn storage_busy_since(&self) -> Option<Instant> {
        let (writes, reads) = (self.disk.busy_since(), self.log_reads.busy_since());
        let steps = self.snapshots.busy_since();
        writes.into_iter().chain(reads).chain(steps).min()
    }

    /// After so long without a write that becomes durable, or an answer to a read or a step with a snapshot, the
    /// storage stalls.
    pub(super) fn storage_stalls_after(&self) -> Duration {
        self.storage_stalls_after
            .unwrap_or(self.config.election_timeout() * STALLED_TIMEOUTS)
    }

    /// When the storage begins to stall, if none of what is to be written becomes durable and nothing is read.
    pub(super) fn storage_stalls_at(&self) -> Instant {
        match self.storage_busy_since() {
            Some(since) if !self.storage_is_stalled => since + self.storage_stalls_after(),
            Some(_) | None => Instant::MAX,
        }
    }

    /// Posts the status if something that matters has changed, or it is time to.
    pub(super) fn post_status(&mut self, now: Instant) {
        if self.changed || (self.unposted && self.board.is_due(now)) {
            self.changed = false;
            self.unposted = false;
            self.announcer.tell_refused(now, self.raft.term());
            let fresh = self.fresh_status();
            self.meters.publish(&fresh);
            let interval = self.config.heartbeat_interval();
            self.board.post(fresh, now, interval);
        }
    }

    /// The status as it is now.
    pub(super) fn fresh_status(&mut self) -> Fresh {
        // Where links are made by handshakes it is told why there is none.
        let is_told = self.links.authenticates();
        let failure = self.links.take_failure();
        let failure =
            failure.filter(|(_, error)| !is_told || !matches!(error, SendError::NoLink(_)));
        if let Some((to, error)) = failure {
            self.note_error(MemberError::NotSent { to, error });
        }
        let now = self.now();
        let queues = Queues {
            requests: self.requests_waiting(),
            frames: std::mem::take(&mut self.frames_at_once),
            commands: self.proposals.len(),
            command_bytes: self.budget.used(),
            reads: self.reads.len(),
            operations: self.operations.len(),
            writes: self.disk.len(),
            applying: self.work.handed().distance_from(self.work.applied()),
        };
        let told = self.links_told.iter().map(|link| link.peer);
        if now >= self.links_looked_at + LINKS_LOOKED_AT_EACH
            || !told.eq(self.peers.servers_linked())
        {
            self.links_looked_at = now;
            let links = self.peers.servers_linked().map(|peer| LinkStatus {
                peer,
                path: self.links.path(peer),
            });
            self.links_told = links.collect();
        }
        Fresh {
            raft: self.raft.status(),
            counters: self.counters,
            queues,
            storage: StorageStatus {
                stalled_for: self.storage_stalled_for(now),
                waiting_bytes: self.disk.waiting_bytes(),
                is_low: self.disk.is_low(),
            },
            links: Arc::clone(&self.links_told),
            exclusion: self.membership.exclusion(),
            last_error: self.last_error.clone(),
        }
    }
}

/// So often it is looked where links run, if none has come or gone: less often than the status is posted, as carriers
/// have to find the words.
const LINKS_LOOKED_AT_EACH: Duration = Duration::from_secs(1);

/// How a refusal is told to the member that forwarded.
fn refusal(refused: &ProposeRefused) -> ProposeAnswer {
    match refused {
        ProposeRefused::NotLeader { leader } => ProposeAnswer::NotLeader { leader: *leader },
        ProposeRefused::Busy { .. } => ProposeAnswer::Busy,
        ProposeRefused::TooLarge { .. } => ProposeAnswer::TooLarge,
        ProposeRefused::Transferring { .. } => ProposeAnswer::Transferring,
    }
}
