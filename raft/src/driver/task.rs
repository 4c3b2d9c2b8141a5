//! The member's own task: the loop that gives the core what has happened, and does what it says.
//!
//! It waits for one thing only, that something has happened, and then takes in all that has: frames, requests, finished
//! writes, applied entries. The core sees them in one go, the timer last, and its effects are carried out once. That is
//! where group commit and batching come from; and a member that was asleep hears its leader before it suspects it.

use std::future::poll_fn;
use std::sync::Arc;
use std::task::{Context, Poll};

use liferaft_transport::Event as TransportEvent;
use tokio::sync::mpsc;

use super::applier::{Own, Query, Report};
use super::clock::{Alarm, Clock};
use super::disk::Disk;
use super::error::{MembershipError, ProposeError, ReadError, StopReason, TransferLeadershipError};
use super::freshness::Freshness;
use super::inbound::ForwardedBatch;
use super::links::Links;
use super::operations::{Caller, Operation, Operations};
use super::proposals::Proposals;
use super::reads::Reads;
use super::request::{Budget, Request};
use super::served::Served;
use super::status::{Counters, StatusBoard};
use super::transfers::{Asker, Transfers};
use super::work::Work;
use super::yielding::yield_now;
use crate::config::Config;
use crate::configuration::Configuration;
use crate::consensus::{ChangeId, Event, Input, Output, Raft, WriteId};
use crate::ids::{ClusterId, ServerId};
use crate::state_machine::StateMachine;
use crate::storage::{Storage, StorageError};
use crate::time::Instant;

/// The most frames, and the most requests, that are taken in at once.
const TAKEN_AT_ONCE_MAX: usize = 1024;

/// After so many rounds without waiting the other tasks of this thread get their turn.
const ROUNDS_WITHOUT_WAITING_MAX: u32 = 16;

/// What an application wants told.
pub(super) type Observer = Box<dyn FnMut(Instant, &Event) + Send>;

/// What a driver is made of.
pub(super) struct Parts<S: StateMachine> {
    pub(super) id: ServerId,
    pub(super) cluster: ClusterId,
    pub(super) boot: u64,
    pub(super) config: Config,
    pub(super) raft: Raft,
    pub(super) bootstrap: Option<Configuration>,
    pub(super) links: Links,
    pub(super) storage: Box<dyn Storage>,
    pub(super) requests: mpsc::Receiver<Request<S>>,
    pub(super) work: Work<S>,
    pub(super) budget: Arc<Budget>,
    pub(super) command_bytes_max: usize,
    pub(super) board: StatusBoard,
    pub(super) observer: Option<Observer>,
}

/// The owner of the core.
pub(super) struct Driver<S: StateMachine> {
    pub(super) id: ServerId,
    pub(super) cluster: ClusterId,
    pub(super) config: Config,
    pub(super) raft: Raft,
    pub(super) inputs: Vec<Input>,
    pub(super) output: Output,

    clock: Clock,
    alarm: Alarm,
    arrived: Arrived<S>,
    requests: mpsc::Receiver<Request<S>>,

    pub(super) links: Links,
    pub(super) disk: Disk,
    pub(super) work: Work<S>,
    pub(super) freshness: Freshness,

    pub(super) proposals: Proposals<S::Reply>,
    pub(super) reads: Reads<S>,
    pub(super) operations: Operations,
    pub(super) served: Served,
    pub(super) transfers: Transfers,
    /// What other members have forwarded since the core was last asked.
    pub(super) forwarded: Vec<ForwardedBatch>,
    pub(super) budget: Arc<Budget>,
    pub(super) command_bytes_max: usize,

    pub(super) board: StatusBoard,
    pub(super) counters: Counters,
    pub(super) observer: Option<Observer>,
    /// Whether the status must be posted at once.
    pub(super) changed: bool,
    /// Whether something may have changed since the status was posted.
    pub(super) unposted: bool,
    /// The leader that requests go to.
    pub(super) leader: Option<ServerId>,
    /// Whether requests wait for the next round, and nothing else.
    pub(super) again: bool,
    /// Until when leadership is handed over before the member stops, once it was asked to.
    pub(super) stopping: Option<Instant>,
}

/// What has happened since the last round.
struct Arrived<S: StateMachine> {
    events: Vec<TransportEvent>,
    requests: Vec<Request<S>>,
    reports: Vec<Report<S::Reply>>,
    written: Option<Result<WriteId, StorageError>>,
    transport_closed: bool,
    handles_dropped: bool,
    applier_gone: bool,
}

impl<S: StateMachine> Driver<S> {
    pub(super) fn new(parts: Parts<S>) -> Self {
        let heartbeat = parts.config.heartbeat_interval();
        let election = parts.config.election_timeout();
        let reads_max = parts.config.limits().reads_max;
        let run = (parts.boot >> 33) << 32;
        Self {
            id: parts.id,
            cluster: parts.cluster,
            raft: parts.raft,
            inputs: parts.bootstrap.map(Input::Bootstrap).into_iter().collect(),
            output: Output::default(),
            clock: Clock::default(),
            alarm: Alarm::default(),
            arrived: Arrived {
                events: Vec::new(),
                requests: Vec::new(),
                reports: Vec::new(),
                written: None,
                transport_closed: false,
                handles_dropped: false,
                applier_gone: false,
            },
            requests: parts.requests,
            links: parts.links,
            disk: Disk::new(parts.storage),
            work: parts.work,
            freshness: Freshness::default(),
            proposals: Proposals::new(parts.boot, heartbeat, Arc::clone(&parts.budget)),
            reads: Reads::new(reads_max, heartbeat, election),
            operations: Operations::new(run, heartbeat),
            served: Served::new(),
            transfers: Transfers::default(),
            forwarded: Vec::new(),
            budget: parts.budget,
            command_bytes_max: parts.command_bytes_max,
            board: parts.board,
            counters: Counters::default(),
            observer: parts.observer,
            changed: true,
            unposted: true,
            leader: None,
            again: true,
            stopping: None,
            config: parts.config,
        }
    }

    /// Runs the member until it stops.
    pub(super) async fn run(mut self) {
        let mut rounds_without_waiting = 0;
        let reason = loop {
            if self.wait().await {
                rounds_without_waiting = 0;
            } else {
                rounds_without_waiting += 1;
            }
            if rounds_without_waiting >= ROUNDS_WITHOUT_WAITING_MAX {
                rounds_without_waiting = 0;
                yield_now().await;
            }
            if let Err(reason) = self.round() {
                break reason;
            }
        };
        self.stop(reason);
    }

    /// Takes in what has arrived, and waits if nothing has. Whether it waited.
    async fn wait(&mut self) -> bool {
        let due = self.due();
        let mut waited = false;
        poll_fn(|context| {
            let ready = self.poll_arrived(due, context) || self.again;
            waited |= !ready;
            if ready {
                Poll::Ready(())
            } else {
                Poll::Pending
            }
        })
        .await;
        // The first of many callers has woken this task, and the others are about to ask as well: let them.
        if waited && self.arrived.has_only_requests() {
            yield_now().await;
            poll_fn(|context| {
                self.poll_arrived(due, context);
                Poll::Ready(())
            })
            .await;
        }
        waited
    }

    /// Whether anything has happened. What has not will wake this task.
    fn poll_arrived(&mut self, due: Instant, context: &mut Context<'_>) -> bool {
        let arrived = &mut self.arrived;
        while arrived.events.len() < TAKEN_AT_ONCE_MAX {
            match self.links.poll_event(context) {
                Poll::Ready(Some(event)) => arrived.events.push(event),
                Poll::Ready(None) => {
                    arrived.transport_closed = true;
                    break;
                }
                Poll::Pending => break,
            }
        }
        let room = TAKEN_AT_ONCE_MAX.saturating_sub(arrived.requests.len());
        if room > 0 && !arrived.handles_dropped {
            let taken = self
                .requests
                .poll_recv_many(context, &mut arrived.requests, room);
            arrived.handles_dropped = taken == Poll::Ready(0);
        }
        if !arrived.applier_gone {
            arrived.applier_gone =
                self.work.poll_reports(context, &mut arrived.reports) == Poll::Ready(0);
        }
        if arrived.written.is_none()
            && let Poll::Ready(written) = self.disk.poll(context)
        {
            arrived.written = Some(written);
        }
        let rung = self.alarm.poll(due, context).is_ready();
        rung || self.arrived.has_any()
    }

    /// When the next thing is due, if nothing happens.
    fn due(&self) -> Instant {
        let of_core = self.raft.deadline().unwrap_or(Instant::MAX);
        let of_status = if self.unposted {
            self.board.next_at()
        } else {
            Instant::MAX
        };
        of_core
            .min(of_status)
            .min(self.proposals.due())
            .min(self.reads.due())
            .min(self.operations.due())
            .min(self.stopping.unwrap_or(Instant::MAX))
    }

    /// Gives the core what has arrived, and does what it says.
    fn round(&mut self) -> Result<(), StopReason> {
        let now = self.clock.now();
        self.again = false;
        self.take_arrived(now)?;
        self.proposals.expire(now);
        self.reads.expire(now);
        self.operations.expire(self.leader, now);
        self.ask_core(now);
        if self.raft.deadline().is_some_and(|deadline| deadline <= now) {
            self.inputs.push(Input::Timer);
        }
        if !self.inputs.is_empty() {
            self.unposted = true;
            self.raft
                .inputs(now, self.inputs.drain(..), &mut self.output);
        }
        self.perform(now);
        self.follow_leader(now);
        self.post_status(now);
        self.may_stop(now)
    }

    fn take_arrived(&mut self, now: Instant) -> Result<(), StopReason> {
        // Taken out for the time of the round, so that their memory serves again.
        let mut events = std::mem::take(&mut self.arrived.events);
        let taken = events
            .drain(..)
            .try_for_each(|event| self.take_event(event, now));
        self.arrived.events = events;
        taken?;
        match self.arrived.written.take() {
            Some(Ok(write)) => self.inputs.push(Input::Persisted(write)),
            Some(Err(error)) => return Err(StopReason::Storage(error.to_string())),
            None => {}
        }
        let mut reports = std::mem::take(&mut self.arrived.reports);
        let taken = reports
            .drain(..)
            .try_for_each(|report| self.take_report(report));
        self.arrived.reports = reports;
        taken?;
        let mut requests = std::mem::take(&mut self.arrived.requests);
        for request in requests.drain(..) {
            self.take_request(request, now);
        }
        self.arrived.requests = requests;

        if self.arrived.applier_gone {
            return Err(StopReason::StateMachine("it panicked".to_owned()));
        }
        if self.arrived.transport_closed {
            return Err(StopReason::TransportClosed);
        }
        if self.arrived.handles_dropped && self.stopping.is_none() {
            return Err(StopReason::Dropped);
        }
        Ok(())
    }

    fn take_report(&mut self, report: Report<S::Reply>) -> Result<(), StopReason> {
        match report {
            Report::Applied { through, own } => {
                self.work.on_applied(through);
                own.into_iter().for_each(|own| self.take_own(own));
                self.inputs.push(Input::Applied(through));
            }
            Report::Restored {
                through,
                known,
                replies,
            } => {
                self.work.on_applied(through);
                self.proposals.on_restored(known);
                replies.into_iter().for_each(|own| self.take_own(own));
                self.inputs.push(Input::Applied(through));
            }
            Report::Captured { through, snapshot } => {
                let bytes = snapshot.as_ref().map_or(0, |data| data.len() as u64);
                self.work.on_captured(bytes);
                let data = snapshot.map_err(StopReason::StateMachine)?;
                self.counters.snapshots_taken += 1;
                tracing::debug!(server = %self.id, %through, bytes, "snapshot taken");
                self.inputs.push(Input::SnapshotTaken { through, data });
            }
            Report::Failed(reason) => return Err(StopReason::StateMachine(reason)),
        }
        self.freshness.applied(self.work.applied());
        self.serve_reads();
        Ok(())
    }

    fn take_own(&mut self, own: Own<S::Reply>) {
        match own {
            Own::Registered { nonce, session } => self.proposals.on_registered(nonce, session),
            Own::Reply {
                session,
                sequence,
                reply,
            } => self.proposals.on_reply(session, sequence, reply),
            Own::Expired { session } => self.proposals.on_expired(session),
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
            Request::ReadLocal { query, caller } => self.work.query(Query::Local {
                query,
                as_of: self.freshness.as_of(),
                caller,
            }),
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
            Request::SetTiming(timing) => {
                self.inputs.push(Input::SetTiming(timing));
                true
            }
            Request::Shutdown => {
                self.stopping = Some(now + self.config.election_timeout() * 2);
                if self.leads() {
                    self.transfers.ask(Asker::Shutdown, None);
                }
                true
            }
        };
        self.counters.requests_refused += u64::from(!admitted);
    }

    /// Answers a request that a stopping member does not take.
    fn refuse(&self, request: Request<S>) {
        match request {
            Request::Propose {
                command, caller, ..
            } => {
                self.budget.release(command.len());
                drop(caller.send(Err(ProposeError::Stopped)));
            }
            Request::Read(read) => drop(read.caller.send(Err(ReadError::Stopped))),
            Request::ReadLocal { caller, .. } => drop(caller.send(Err(ReadError::Stopped))),
            Request::Change { caller, .. } => drop(caller.send(Err(MembershipError::Stopped))),
            Request::Transfer { caller, .. } => {
                drop(caller.send(Err(TransferLeadershipError::Stopped)));
            }
            Request::SetTiming(_) | Request::Shutdown => {}
        }
    }

    /// Turns what callers and other members want into inputs.
    fn ask_core(&mut self, now: Instant) {
        let mut proposals = self.take_forwarded_proposals();
        if self.leads() {
            self.proposals.propose(&mut proposals);
            while let Some((request, operation)) = self.operations.next_for_core() {
                match operation {
                    Operation::Change(change) => {
                        self.inputs.push(Input::Change(ChangeId(request), change));
                    }
                    Operation::Transfer(to) => self.transfers.ask(Asker::Own(request), to),
                }
            }
        }
        if !proposals.is_empty() {
            self.inputs.push(Input::Propose(proposals));
        }
        if let Some(read) = self.reads.ask(now) {
            self.inputs.push(Input::Read(read));
        }
        if let Some(to) = self.transfers.begin() {
            self.inputs.push(Input::Transfer(to));
        }
    }

    pub(super) fn leads(&self) -> bool {
        self.raft.leader() == Some(self.id)
    }

    /// Hands the reads that can be served to the state machine.
    pub(super) fn serve_reads(&mut self) {
        let reads = self.reads.take_served(self.work.applied());
        if !reads.is_empty() {
            let count = reads.len() as u64;
            let served = self.work.query(Query::Reads(reads));
            self.counters.requests_refused += if served { 0 } else { count };
        }
    }

    /// Whether a member that was asked to stop has nothing left to hand over or to write.
    fn may_stop(&self, now: Instant) -> Result<(), StopReason> {
        match self.stopping {
            Some(until) if now >= until || (!self.leads() && self.disk.is_idle()) => {
                Err(StopReason::Shutdown)
            }
            Some(_) | None => Ok(()),
        }
    }

    fn stop(mut self, reason: StopReason) {
        match &reason {
            StopReason::Shutdown | StopReason::Dropped => {
                tracing::info!(server = %self.id, %reason, "member stopped");
            }
            StopReason::Storage(_)
            | StopReason::StateMachine(_)
            | StopReason::Unsupported { .. }
            | StopReason::TransportClosed => {
                tracing::error!(server = %self.id, %reason, "member stopped");
            }
        }
        self.requests.close();
        self.proposals.stop();
        self.reads.stop();
        self.operations.stop(self.leader);
        for request in std::mem::take(&mut self.arrived.requests) {
            self.refuse(request);
        }
        while let Ok(request) = self.requests.try_recv() {
            self.refuse(request);
        }
        self.board.post(
            self.raft.status(),
            self.counters,
            Instant::MAX,
            std::time::Duration::ZERO,
        );
        let board = self.board.clone();
        // The transport and the storage are closed before anybody hears that the member has stopped.
        drop(self);
        board.stopped(reason);
    }
}

impl<S: StateMachine> Arrived<S> {
    fn has_any(&self) -> bool {
        !self.requests.is_empty() || self.has_others()
    }

    fn has_only_requests(&self) -> bool {
        !self.requests.is_empty() && !self.has_others()
    }

    fn has_others(&self) -> bool {
        !self.events.is_empty()
            || !self.reports.is_empty()
            || self.written.is_some()
            || self.transport_closed
            || self.handles_dropped
            || self.applier_gone
    }
}
