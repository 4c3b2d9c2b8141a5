//! Takes up what has happened between two rounds: as an input, or in one of the tables.

use liferaft_transport::Event as TransportEvent;
use tokio::sync::oneshot;

use super::applier::{Captured, NotCaptured, Report};
use super::asker::Asker;
use super::error::{
    MembershipError, ProposeError, ReadError, ShutdownError, StopReason, TransferLeadershipError,
};
use super::events::Happening;
use super::local::{LocalRead, Unread};
use super::operations::{Caller, Operation};
use super::request::Request;
use super::serving::Answered;
use super::status::MemberError;
use super::task::Driver;
use crate::applier::Own;
use crate::consensus::{Addition, Input, WriteId};
use crate::ids::Index;
use crate::sessions::JoinError;
use crate::state_machine::StateMachine;
use crate::storage::StorageError;
use crate::time::{ClusterTime, Instant};

/// What has happened since the last round.
pub(super) struct Arrived<S: StateMachine> {
    pub(super) events: Vec<TransportEvent>,
    /// The bytes of the frames among them.
    pub(super) frame_bytes: usize,
    pub(super) requests: Vec<Request<S>>,
    pub(super) reports: Vec<Report<S::Reply>>,
    /// Queries of clients that are over.
    pub(super) answered: Vec<Answered>,
    /// Servers that ask to be taken in, for which this one vouches.
    pub(super) vouched: Vec<Addition>,
    pub(super) written: Option<Result<WriteId, StorageError>>,
    /// What the storage has done beside its writes.
    pub(super) answers: Vec<Result<Input, StorageError>>,
    pub(super) transport_closed: bool,
    pub(super) handles_dropped: bool,
    pub(super) applier_gone: bool,
}

impl<S: StateMachine> Arrived<S> {
    pub(super) fn push(&mut self, event: TransportEvent) {
        if let TransportEvent::Frame { frame, .. } = &event {
            self.frame_bytes += frame.len();
        }
        self.events.push(event);
    }

    pub(super) fn has_any(&self) -> bool {
        !self.requests.is_empty() || self.has_others()
    }

    pub(super) fn has_only_requests(&self) -> bool {
        !self.requests.is_empty() && !self.has_others()
    }

    fn has_others(&self) -> bool {
        !self.events.is_empty()
            || !self.reports.is_empty()
            || !self.answered.is_empty()
            || !self.vouched.is_empty()
            || self.written.is_some()
            || !self.answers.is_empty()
            || self.transport_closed
            || self.applier_gone
    }
}

impl<S: StateMachine> Default for Arrived<S> {
    fn default() -> Self {
        Self {
            events: Vec::new(),
            frame_bytes: 0,
            requests: Vec::new(),
            reports: Vec::new(),
            answered: Vec::new(),
            vouched: Vec::new(),
            written: None,
            answers: Vec::new(),
            transport_closed: false,
            handles_dropped: false,
            applier_gone: false,
        }
    }
}

impl<S: StateMachine> Driver<S> {
    /// Takes up all that has arrived.
    pub(super) fn take_arrived(&mut self, now: Instant) -> Result<(), StopReason> {
        // Taken out for the time of the round, so that their memory serves again.
        let mut events = std::mem::take(&mut self.arrived.events);
        self.arrived.frame_bytes = 0;
        self.frames_at_once = self.frames_at_once.max(events.len());
        let taken = events
            .drain(..)
            .try_for_each(|event| self.take_event(event, now));
        self.arrived.events = events;
        taken?;
        for vouched in std::mem::take(&mut self.arrived.vouched) {
            self.answer_join(vouched, now);
        }
        if let Some(written) = self.arrived.written.take() {
            self.take_written(written, now)?;
        }
        for done in std::mem::take(&mut self.arrived.answers) {
            self.take_answer(done, now)?;
        }
        let mut reports = std::mem::take(&mut self.arrived.reports);
        let taken = reports
            .drain(..)
            .try_for_each(|report| self.take_report(report, now));
        self.arrived.reports = reports;
        taken?;
        let answered = std::mem::take(&mut self.arrived.answered);
        self.tell_answers(answered);
        let mut requests = std::mem::take(&mut self.arrived.requests);
        for request in requests.drain(..) {
            self.take_request(request, now);
        }
        self.arrived.requests = requests;

        if self.arrived.applier_gone {
            // A panic is reported. Without a word the applier goes only with the runtime.
            return Err(StopReason::RuntimeEnded);
        }
        if self.arrived.transport_closed {
            return Err(StopReason::TransportClosed);
        }
        if self.arrived.handles_dropped && self.stopping.is_none() {
            return Err(StopReason::Dropped);
        }
        Ok(())
    }

    /// Takes up that all writes up to one are durable, or that one has failed.
    pub(super) fn take_written(
        &mut self,
        written: Result<WriteId, StorageError>,
        now: Instant,
    ) -> Result<(), StopReason> {
        let write = written.map_err(|error| StopReason::storage(&error))?;
        self.disk.note_written(now);
        self.work.on_padded(self.disk.take_padding());
        self.inputs.push(Input::Persisted(write));
        Ok(())
    }

    /// Takes up that the storage has done something that the core wants to know, or has failed.
    pub(super) fn take_answer(
        &mut self,
        done: Result<Input, StorageError>,
        now: Instant,
    ) -> Result<(), StopReason> {
        let input = done.map_err(|error| StopReason::storage(&error))?;
        if let Input::EntriesRead { read, entries } = &input
            && !self.raft.may_take(read, entries)
        {
            let lie = StorageError::Damaged {
                what: "log",
                reason: "it does not give back what was written".to_owned(),
            };
            return Err(StopReason::storage(&lie));
        }
        self.inputs.push(input);
        if self.snapshots.take_no_room() {
            self.note_no_room(now);
        }
        Ok(())
    }

    /// A snapshot found no room on the disk, and is given up.
    fn note_no_room(&mut self, now: Instant) {
        self.counters.snapshots_refused += 1;
        self.note_error(MemberError::SnapshotWithoutRoom);
        tracing::warn!(term = %self.raft.term(), "the disk has no room for a snapshot");
        self.announce(now, || Happening::SnapshotWithoutRoom);
    }

    fn take_report(&mut self, report: Report<S::Reply>, now: Instant) -> Result<(), StopReason> {
        match report {
            Report::Applied {
                through,
                own,
                wakes_at,
                reply_bytes,
            } => {
                self.work.on_applied(through, reply_bytes);
                self.wakes.wanted(wakes_at);
                own.into_iter().for_each(|own| self.take_own(own, now));
                self.tell_outcomes();
                self.inputs.push(Input::Applied(through));
            }
            Report::Restored {
                through,
                known,
                wakes_at,
                reply_bytes,
            } => {
                self.work.on_applied(through, reply_bytes);
                self.wakes.wanted(wakes_at);
                self.proposals.on_restored(known.session);
                self.counters.snapshots_installed += 1;
                tracing::info!(term = %self.raft.term(), %through, "snapshot installed");
                self.announce(now, || Happening::SnapshotInstalled { through });
                self.lanes.on_restored(&known.ordered);
                known
                    .replies
                    .into_iter()
                    .for_each(|own| self.take_own(own, now));
                self.inputs.push(Input::Applied(through));
            }
            Report::Captured {
                through,
                stamp,
                reply_bytes,
                snapshot,
            } => self.take_captured((through, stamp), reply_bytes, &snapshot, now),
            Report::LaneFailed(error) => return Err(StopReason::storage(&error)),
            Report::Watched => self.work.on_watched(),
            Report::Failed(fault) => return Err(StopReason::StateMachine(fault)),
        }
        self.freshness.applied(self.work.applied());
        self.serve_reads();
        Ok(())
    }

    fn take_captured(
        &mut self,
        (through, stamp): (Index, ClusterTime),
        reply_bytes: u64,
        snapshot: &Result<Captured, NotCaptured>,
        now: Instant,
    ) {
        match *snapshot {
            Ok(Captured {
                name,
                length: bytes,
                digest,
            }) => {
                self.work.on_captured(bytes);
                self.counters.snapshots_taken += 1;
                tracing::debug!(term = %self.raft.term(), %through, bytes, "snapshot taken");
                self.announce(now, || Happening::SnapshotTaken { through, bytes });
                self.inputs.push(Input::SnapshotTaken {
                    through,
                    stamp,
                    length: bytes,
                    digest,
                    name,
                });
            }
            Err(NotCaptured::NoRoom) => {
                self.work.on_capture_without_room();
                self.note_no_room(now);
            }
            Err(NotCaptured::Refused(JoinError::TooLarge { bytes, bytes_max })) => {
                self.work.on_capture_refused(bytes, bytes_max, reply_bytes);
                self.counters.snapshots_refused += 1;
                self.note_error(MemberError::SnapshotTooLarge { bytes, bytes_max });
                tracing::warn!(term = %self.raft.term(), %through, bytes, bytes_max, "snapshot too large");
                self.announce(now, || Happening::SnapshotRefused {
                    through,
                    bytes,
                    bytes_max,
                });
            }
        }
    }

    fn take_own(&mut self, own: Own<S::Reply>, now: Instant) {
        match own {
            Own::Registered { nonce, session, at } => {
                self.proposals.on_registered(nonce, session);
                self.lanes.on_registered(nonce, session, at);
            }
            Own::Reply {
                session,
                sequence,
                reply,
            } => match self.lanes.of_session(session) {
                Some(lane) => lane.on_reply(sequence, reply),
                None => self.proposals.on_reply(session, sequence, reply),
            },
            Own::Expired { session } => match self.lanes.of_session(session) {
                Some(lane) => lane.on_expired(),
                None => self.proposals.on_expired(session),
            },
            Own::Early { session, sequence } => {
                if let Some(lane) = self.lanes.of_session(session) {
                    lane.on_early(sequence, now);
                }
            }
            Own::Told { index, outcome } => self.serving.on_told(index, outcome),
            Own::Acknowledged { session, sequence } => {
                if let Some(lane) = self.lanes.of_session(session) {
                    lane.on_acknowledged(sequence);
                }
            }
        }
    }

    fn take_request(&mut self, request: Request<S>, now: Instant) {
        if self.stopping.is_some() {
            return self.refuse(request);
        }
        let admitted = match request {
            Request::Propose {
                command,
                deadline,
                caller,
            } => self.proposals.admit(command, deadline, caller),
            Request::Read(read) => self.reads.admit(read),
            Request::ReadLocal(read) => self.take_local_read(read, now),
            Request::Change {
                change,
                deadline,
                caller,
            } => self
                .operations
                .admit(Operation::Change(change), deadline, Caller::Change(caller)),
            Request::Transfer {
                to,
                deadline,
                caller,
            } => self
                .operations
                .admit(Operation::Transfer(to), deadline, Caller::Transfer(caller)),
            Request::Lane(request) => {
                self.take_lane_request(request);
                true
            }
            Request::SetTiming(timing) => {
                self.config.set_timing(timing);
                self.lanes.resend_after(timing.heartbeat_interval());
                self.proposals.resend_after(timing.heartbeat_interval());
                self.operations.resend_after(timing.heartbeat_interval());
                self.reads
                    .retry_after(timing.heartbeat_interval(), timing.election_timeout());
                self.inputs.push(Input::SetTiming(timing));
                true
            }
            Request::Leave(caller) => {
                self.membership.leave();
                // Whoever has gone does not mind.
                let _unheard = caller.send(());
                true
            }
            Request::Shutdown(caller) => {
                self.shut_down(caller, now);
                true
            }
        };
        self.counters.requests_refused += u64::from(!admitted);
    }

    /// Begins to stop, unless nobody could take over and there is somebody to tell.
    fn shut_down(&mut self, caller: Option<oneshot::Sender<ShutdownError>>, now: Instant) {
        if let (Some(caller), Some(only)) = (caller, self.only_voter()) {
            // Whoever has left does not mind.
            let _unheard = caller.send(ShutdownError::OnlyVoter(only));
            return;
        }
        self.stopping = Some(now + self.config.election_timeout() * 2);
        if self.leads() {
            self.transfers.ask(Asker::Shutdown, None);
        }
    }

    /// Answers a request that a stopping member does not take.
    pub(super) fn refuse(&self, request: Request<S>) {
        match request {
            Request::Propose {
                command, caller, ..
            } => {
                self.budget.release(command.len());
                drop(caller.send(Err(ProposeError::Stopped)));
            }
            Request::Read(read) => read.caller.refuse(ReadError::Stopped),
            Request::ReadLocal(LocalRead { caller, .. }) => {
                drop(caller.send(Err(Unread::Error(ReadError::Stopped))));
            }
            Request::Change { caller, .. } => drop(caller.send(Err(MembershipError::Stopped))),
            Request::Transfer { caller, .. } => {
                drop(caller.send(Err(TransferLeadershipError::Stopped)));
            }
            // An outbox hears that the member has stopped when its lane is dropped.
            Request::Lane(_) | Request::SetTiming(_) | Request::Leave(_) | Request::Shutdown(_) => {
            }
        }
    }
}
