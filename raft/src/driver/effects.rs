//! What the core says is done here.

use super::inbound::batch_of;
use super::operations::Operation;
use super::served::Answer;
use super::task::Driver;
use super::transfers::Asker;
use crate::consensus::{ChangeError, ChangeId, Event, ProposeRefused, TransferError};
use crate::ids::{Index, ServerId};
use crate::state_machine::StateMachine;
use crate::time::Instant;
use crate::wire::{Content, ProposeAnswer};

impl<S: StateMachine> Driver<S> {
    /// Carries out all that the core has said.
    pub(super) fn perform(&mut self, now: Instant) {
        self.links
            .send_messages(&mut self.output.messages, &mut self.counters);
        self.disk.enqueue(&mut self.output.writes);
        self.work.hand_out(&mut self.output.apply);
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
            self.answer_change(id, result, now);
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
            match batch_of(id) {
                None => self.proposals.on_core_answer(id, &result, now),
                Some(batch) => {
                    // The whole batch is answered as its worst command: what is sent twice is applied once.
                    if let (Some(batch), Err(refused)) = (self.forwarded.get_mut(batch), result) {
                        batch.answer = refusal(&refused);
                    }
                }
            }
        }
        self.output.proposals = answers;
        for batch in std::mem::take(&mut self.forwarded) {
            self.counters.requests_refused += u64::from(batch.answer == ProposeAnswer::Busy);
            let reply = Content::ProposeReply {
                request: batch.request,
                answer: batch.answer,
            };
            self.links.send(batch.from, &reply, &mut self.counters);
        }
    }

    fn answer_change(&mut self, id: ChangeId, result: Result<Index, ChangeError>, now: Instant) {
        if let Some((from, request)) = self.served.take_change(id) {
            let answer = Answer::Change(result);
            self.served.finish(from, request, &answer);
            self.answer_peer(from, request, answer);
        } else {
            let raft = &self.raft;
            self.operations
                .on_change_answer(id.0, result, || raft.status().configuration, now);
        }
    }

    fn answer_transfer(&mut self, result: Result<ServerId, TransferError>, now: Instant) {
        match self.transfers.answered() {
            Some(Asker::Own(request)) => {
                self.operations
                    .on_transfer_answer(request, result, self.raft.leader(), now);
            }
            Some(Asker::Peer(from, request)) => {
                let answer = Answer::Transfer(result);
                self.served.finish(from, request, &answer);
                self.answer_peer(from, request, answer);
            }
            Some(Asker::Shutdown) => {
                // Handed over or not: it has been tried.
                tracing::debug!(server = %self.id, ?result, "leadership handed over before stopping");
                self.stopping = Some(now);
                self.again = true;
            }
            None => {}
        }
        // Another may wait.
        self.again = true;
    }

    fn tell(&mut self, event: &Event, now: Instant) {
        match event {
            Event::RoleChanged { role, term } => {
                self.changed = true;
                tracing::info!(server = %self.id, %term, ?role, "role changed");
            }
            Event::LeaderChanged { leader, term } => {
                self.changed = true;
                // Even if it is the same server: in another term it may not have what it took up in the last.
                self.leader = None;
                tracing::info!(server = %self.id, %term, ?leader, "leader changed");
            }
            Event::ConfigurationChanged { index } => {
                self.changed = true;
                tracing::info!(server = %self.id, %index, "configuration changed");
            }
            Event::ConfigurationCommitted { index } => {
                self.changed = true;
                tracing::info!(server = %self.id, %index, "configuration committed");
            }
            Event::Refused { from, reason } => {
                tracing::debug!(server = %self.id, %from, ?reason, "message refused");
            }
            Event::SnapshotStarted { to } => {
                tracing::info!(server = %self.id, %to, "snapshot is being sent");
            }
            Event::ElectionDeferred => {
                tracing::info!(server = %self.id, "election deferred, the clock leapt");
            }
        }
        if let Some(observer) = &mut self.observer {
            observer(now, event);
        }
    }

    /// Turns to the leader that there is: what the last one took up may be lost.
    pub(super) fn follow_leader(&mut self, now: Instant) {
        let leader = self.raft.leader();
        if leader != self.leader {
            self.leader = leader;
            if leader.is_some() {
                self.proposals.reroute();
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
        let bytes_max = self.links.payload_bytes_max();
        while let Some((request, commands)) = self.proposals.next_batch(now, bytes_max) {
            let sent = self.links.send(
                leader,
                &Content::Propose { request, commands },
                &mut self.counters,
            );
            self.proposals.forwarded(request, sent, now);
        }
        while let Some((request, operation)) = self.operations.next_for_leader(leader, now) {
            let content = match operation {
                Operation::Change(change) => Content::Change { request, change },
                Operation::Transfer(to) => Content::Transfer { request, to },
            };
            let sent = self.links.send(leader, &content, &mut self.counters);
            self.operations.sent(request, sent, now);
        }
    }

    /// Posts the status if something that matters has changed, or it is time to.
    pub(super) fn post_status(&mut self, now: Instant) {
        if self.changed || (self.unposted && self.board.is_due(now)) {
            self.changed = false;
            self.unposted = false;
            let interval = self.config.heartbeat_interval();
            self.board
                .post(self.raft.status(), self.counters, now, interval);
        }
    }
}

/// How a refusal is told to the member that forwarded.
fn refusal(refused: &ProposeRefused) -> ProposeAnswer {
    match refused {
        ProposeRefused::NotLeader { leader } => ProposeAnswer::NotLeader { leader: *leader },
        ProposeRefused::Busy { .. } => ProposeAnswer::Busy,
        ProposeRefused::TooLarge { .. } => ProposeAnswer::TooLarge,
        ProposeRefused::Transferring { .. } => ProposeAnswer::Transferring,
    }
}
