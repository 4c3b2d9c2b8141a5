//! The member's own task: the loop that gives the core what has happened, and does what it says.
//!
//! It waits for one thing only, that something has happened, and then takes in all that has: frames, requests, finished
//! writes, applied entries. The core sees them in one go, the timer last, and its effects are carried out once. That is
//! where group commit and batching come from; and a member that was asleep hears its leader before it suspects it.

use std::future::poll_fn;
use std::sync::Arc;
use std::task::{Context, Poll};
use std::time::Duration;

use futures::future::{Either, select};
use liferaft_platform as platform;
use tokio::sync::mpsc;

use super::applier::Query;
use super::arrivals::Arrived;
use super::asker::{Asked, Asker};
use super::budget::{Budget, CommandBytes};
use super::clock::{Alarm, Clock};
use super::describing::Describing;
use super::disk::Disk;
use super::error::{ProposeError, StopReason};
use super::events::{Announcer, Happening};
use super::freshness::Freshness;
use super::inbound::ForwardedBatch;
use super::lanes::Lanes;
use super::links::Links;
use super::log_reads::LogReads;
use super::membership::Membership;
use super::meters::Meters;
use super::operations::{Operation, Operations};
use super::peers::Peers;
use super::proposals::Proposals;
use super::reads::Reads;
use super::request::Request;
use super::served::Served;
use super::serving::{ClientCodec, Serving};
use super::snapshots::Snapshots;
use super::status::{Counters, LastError, LastWord, LinkStatus, StatusBoard};
use super::transfers::Transfers;
use super::vouching::Vouching;
use super::wakes::Wakes;
use super::work::Work;
use super::yielding::yield_now;
use crate::config::Config;
use crate::consensus::{
    Event, Input, Output, PeerStatus, Proposal, ProposalId, Raft, ReplicationState,
};
use crate::ids::{ClusterId, ServerId, Term};
use crate::state_machine::StateMachine;
use crate::storage::StorageError;
use crate::time::Instant;

/// The most frames, and the most requests, that are taken in at once.
const TAKEN_AT_ONCE_MAX: usize = 1024;

/// No further frame is taken in at once with frames of so many bytes: what others send costs no more memory at a time
/// than this and one frame. The rest waits in the transport, which has bounds of its own.
const TAKEN_AT_ONCE_BYTES_MAX: usize = 8 << 20;

/// After so many rounds without waiting the other tasks of this thread get their turn.
const ROUNDS_WITHOUT_WAITING_MAX: u32 = 16;

/// A member without room, or whose disk hangs, hands leadership over once in so many election timeouts, and in twice as
/// many after each time.
const LOW_TIMEOUTS: u32 = 20;

/// So often that pause is doubled. Each term takes some of the reserve of all.
const LOW_DOUBLINGS_MAX: u32 = 10;

/// What an application wants told.
pub(super) type Observer = Box<dyn FnMut(Instant, &Event) + Send>;

/// What a driver is made of.
pub(super) struct Parts<S: StateMachine> {
    pub(super) id: ServerId,
    pub(super) cluster: ClusterId,
    pub(super) boot: u64,
    pub(super) config: Config,
    pub(super) raft: Raft,
    pub(super) links: Links,
    pub(super) peers: Peers,
    pub(super) disk: Disk,
    pub(super) snapshots: Snapshots,
    pub(super) log_reads: LogReads,
    pub(super) storage_stalls_after: Option<Duration>,
    pub(super) requests: mpsc::Receiver<Request<S>>,
    pub(super) work: Work<S>,
    pub(super) membership: Membership,
    pub(super) client_codec: Option<ClientCodec<S>>,
    pub(super) budget: Arc<Budget>,
    pub(super) command_bytes_max: Arc<CommandBytes>,
    pub(super) board: StatusBoard,
    pub(super) announcer: Announcer,
    pub(super) meters: Meters,
    pub(super) observer: Option<Observer>,
}

/// The owner of the core.
pub(super) struct Driver<S: StateMachine> {
    /// Comes first, and so is dropped first: callers whose requests are dropped after it find out why.
    _last_word: LastWord,
    pub(super) id: ServerId,
    pub(super) cluster: ClusterId,
    pub(super) config: Config,
    pub(super) raft: Raft,
    pub(super) inputs: Vec<Input>,
    pub(super) output: Output,

    clock: Clock,
    alarm: Alarm,
    pub(super) arrived: Arrived<S>,
    requests: mpsc::Receiver<Request<S>>,

    pub(super) links: Links,
    pub(super) peers: Peers,
    pub(super) disk: Disk,
    pub(super) snapshots: Snapshots,
    pub(super) log_reads: LogReads,
    pub(super) storage_stalls_after: Option<Duration>,
    /// Whether it was told that the storage stalls.
    pub(super) storage_is_stalled: bool,
    pub(super) work: Work<S>,
    pub(super) freshness: Freshness,
    pub(super) wakes: Wakes,

    pub(super) proposals: Proposals<S::Reply>,
    pub(super) lanes: Lanes<S::Reply>,
    pub(super) reads: Reads<S>,
    pub(super) operations: Operations,
    pub(super) served: Served,
    pub(super) serving: Serving<S>,
    /// The term in which this run of the server began: in a later one it has led only as this run, if at all.
    pub(super) began_in: Term,
    pub(super) transfers: Transfers,
    /// Who has asked for what the core is asked to propose, and for changes of membership.
    pub(super) proposed: Asked,
    pub(super) changes: Asked,
    pub(super) membership: Membership,
    pub(super) vouching: Vouching,
    pub(super) describing: Describing,
    /// What other members have forwarded since the core was last asked.
    pub(super) forwarded: Vec<ForwardedBatch>,
    pub(super) budget: Arc<Budget>,
    pub(super) command_bytes_max: Arc<CommandBytes>,

    pub(super) board: StatusBoard,
    pub(super) announcer: Announcer,
    pub(super) meters: Meters,
    pub(super) counters: Counters,
    pub(super) last_error: Option<LastError>,
    /// Where links run, as it was looked at last, and when that was.
    pub(super) links_told: Arc<[LinkStatus]>,
    pub(super) links_looked_at: Instant,
    /// The most frames taken in at once since that was last told.
    pub(super) frames_at_once: usize,
    pub(super) observer: Option<Observer>,
    /// Whether the status must be posted at once.
    pub(super) changed: bool,
    /// Whether something may have changed since the status was posted.
    pub(super) unposted: bool,
    /// The leader that requests go to.
    pub(super) leader: Option<ServerId>,
    /// The leader that commands were sent to last: only its answers to them count.
    pub(super) forwarded_to: Option<ServerId>,
    /// Whether requests wait for the next round, and nothing else.
    pub(super) again: bool,
    /// Until when leadership is handed over before the member stops, once it was asked to.
    pub(super) stopping: Option<Instant>,
    /// Before then leadership is not handed over for want of room on the disk, or because it hangs.
    pub(super) hands_over_at: Instant,
    /// How often it was handed over for that, since the disk was well while this member led.
    low_handovers: u32,
    /// The last leader other than this member.
    pub(super) led_before: Option<ServerId>,
    /// When to look again whether there is room on the disk, and whether it goes on.
    pub(super) room_at: Instant,
}

impl<S: StateMachine> Driver<S> {
    pub(super) fn new(parts: Parts<S>) -> Self {
        let heartbeat = parts.config.heartbeat_interval();
        let election = parts.config.election_timeout();
        let reads_max = parts.config.limits().reads_max;
        let run = (parts.boot >> 33) << 32;
        let began_in = parts.raft.term();
        Self {
            _last_word: parts.board.last_word(),
            id: parts.id,
            cluster: parts.cluster,
            raft: parts.raft,
            inputs: Vec::new(),
            output: Output::default(),
            clock: Clock::default(),
            alarm: Alarm::default(),
            arrived: Arrived::default(),
            requests: parts.requests,
            links: parts.links,
            peers: parts.peers,
            disk: parts.disk,
            snapshots: parts.snapshots,
            log_reads: parts.log_reads,
            storage_stalls_after: parts.storage_stalls_after,
            storage_is_stalled: false,
            work: parts.work,
            freshness: Freshness::default(),
            wakes: Wakes::default(),
            proposals: Proposals::new(parts.boot, heartbeat, Arc::clone(&parts.budget)),
            lanes: Lanes::new(heartbeat),
            reads: Reads::new(reads_max, heartbeat, election),
            operations: Operations::new(run, heartbeat),
            served: Served::new(),
            serving: Serving::new(parts.client_codec),
            began_in,
            transfers: Transfers::default(),
            proposed: Asked::default(),
            changes: Asked::default(),
            membership: parts.membership,
            vouching: Vouching::default(),
            describing: Describing::default(),
            forwarded: Vec::new(),
            budget: parts.budget,
            command_bytes_max: parts.command_bytes_max,
            board: parts.board,
            announcer: parts.announcer,
            meters: parts.meters,
            counters: Counters::default(),
            last_error: None,
            links_told: Arc::default(),
            links_looked_at: Instant::ORIGIN,
            frames_at_once: 0,
            observer: parts.observer,
            changed: true,
            unposted: true,
            leader: None,
            forwarded_to: None,
            again: false,
            stopping: None,
            hands_over_at: Instant::default(),
            low_handovers: 0,
            led_before: None,
            room_at: Instant::MAX,
            config: parts.config,
        }
    }

    /// Runs the member until it stops.
    pub(super) async fn run(mut self) {
        let mut rounds_without_waiting = 0;
        let reason = loop {
            // The first round comes before anything is asked: what the member begins with is in force by then.
            if let Err(reason) = poll_fn(|context| Poll::Ready(self.round(context))).await {
                break reason;
            }
            // In a browser no event is handled while tasks wake each other, and a page that is answered may ask for
            // more at once: without turns between rounds a member alone has neither timers nor pieces of its snapshot.
            platform::breathe().await;
            if self.wait().await {
                rounds_without_waiting = 0;
            } else {
                rounds_without_waiting += 1;
            }
            if rounds_without_waiting >= ROUNDS_WITHOUT_WAITING_MAX {
                rounds_without_waiting = 0;
                yield_now().await;
            }
        };
        self.stop(reason).await;
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
        while arrived.events.len() < TAKEN_AT_ONCE_MAX
            && arrived.frame_bytes < TAKEN_AT_ONCE_BYTES_MAX
        {
            match self.links.poll_event(context) {
                Poll::Ready(Some(event)) => arrived.push(event),
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
        if arrived.answered.is_empty() {
            // It does not end: this member holds its other end too.
            let _count = self.serving.poll_answers(context, &mut arrived.answered);
        }
        self.vouching.poll(context, &mut arrived.vouched);
        if arrived.written.is_none()
            && let Poll::Ready(written) = self.disk.poll(context)
        {
            arrived.written = Some(written);
        }
        while arrived.answers.len() < TAKEN_AT_ONCE_MAX
            && let Poll::Ready(done) =
                poll_beside(&mut self.snapshots, &mut self.log_reads, context)
        {
            arrived.answers.push(done);
        }
        let rung = self.alarm.poll(due, context).is_ready();
        // A member that hands over before it stops needs no handles.
        let abandoned = self.arrived.handles_dropped && self.stopping.is_none();
        rung || abandoned || self.arrived.has_any()
    }

    /// Takes no commands while the disk has no room but a reserve, and hands leadership over. What waits in outboxes
    /// waits on.
    fn spare_disk(&mut self, now: Instant) {
        self.counters.requests_refused += self.proposals.refuse_unsent(&ProposeError::NoRoom);
        self.yield_seldom(now, Asker::NoRoom);
    }

    /// Hands leadership over for this reason, which has to do with the disk, but seldom: the disks of the others may be
    /// no better.
    fn yield_seldom(&mut self, now: Instant, why: Asker) {
        self.room_at = now + self.config.heartbeat_interval();
        if now >= self.hands_over_at {
            let pause = LOW_TIMEOUTS << self.low_handovers.min(LOW_DOUBLINGS_MAX);
            self.low_handovers += 1;
            self.hands_over_at = now + self.config.election_timeout() * pause;
            tracing::warn!(term = %self.raft.term(), ?why, "leadership is handed over: the disk cannot take more");
            let to = self.successor();
            self.transfers.ask(why, to);
        }
    }

    /// A voter that follows, if there is one, and rather another than who led before: that one may have handed
    /// leadership over for the same reason.
    fn successor(&self) -> Option<ServerId> {
        let status = self.raft.status();
        let election_timeout = self.config.election_timeout();
        let follows = |peer: &&PeerStatus| {
            peer.state == ReplicationState::Replicate
                && peer
                    .silent_for
                    .is_some_and(|silent| silent < election_timeout)
                && status.configuration.is_voter(peer.id)
        };
        let rank = |peer: &&PeerStatus| (Some(peer.id) != self.led_before, peer.match_index);
        let following = status.peers.iter().filter(follows);
        following.max_by_key(rank).map(|peer| peer.id)
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
            .min(self.lanes.due())
            .min(self.reads.due())
            .min(self.operations.due())
            .min(self.membership.due())
            .min(self.describing.due())
            .min(self.peers.due())
            .min(self.wakes.due())
            .min(self.storage_stalls_at())
            .min(self.room_at)
            .min(self.stopping.unwrap_or(Instant::MAX))
    }

    /// Gives the core what has arrived, and does what it says.
    fn round(&mut self, context: &mut Context<'_>) -> Result<(), StopReason> {
        let now = self.clock.now();
        self.again = false;
        // Also without the core: a link may have gone, or a caller.
        self.unposted = true;
        self.speak_of_history();
        self.take_arrived(now)?;
        self.proposals.expire(now);
        self.expire_lanes(now);
        self.reads.expire(now);
        self.operations.expire(self.leader, now);
        self.ask_core(now);
        if self.raft.deadline().is_some_and(|deadline| deadline <= now) {
            self.inputs.push(Input::Timer);
        }
        self.step(now);
        // A write that is durable at once is told to the core in the round that made it: what waits for it leaves
        // before anything else is looked at.
        if let Poll::Ready(written) = self.disk.poll(context) {
            self.take_written(written, now)?;
            self.step(now);
        }
        while let Poll::Ready(done) = poll_beside(&mut self.snapshots, &mut self.log_reads, context)
        {
            self.take_answer(done, now)?;
        }
        if !self.inputs.is_empty() {
            self.step(now);
        }
        self.fit_into_frames()?;
        self.follow_leader(now);
        self.keep_membership(now);
        self.keep_description(now);
        self.keep_links(now);
        self.watch_storage(now);
        self.post_status(now);
        self.may_stop(now)
    }

    /// Asks the core once, and carries out what it says.
    fn step(&mut self, now: Instant) {
        if !self.inputs.is_empty() {
            self.raft
                .inputs(now, self.inputs.drain(..), &mut self.output);
        }
        self.speak_of_history();
        self.perform(now);
    }

    /// Turns what callers and other members want into inputs.
    fn ask_core(&mut self, now: Instant) {
        self.room_at = Instant::MAX;
        let (leads, is_low) = (self.leads(), self.disk.is_low());
        if leads {
            if is_low {
                self.spare_disk(now);
            } else {
                // What others commit goes on, up to a bound, and then nothing does: one whose disk works leads better.
                if self.storage_is_stalled {
                    self.yield_seldom(now, Asker::Stalled);
                } else {
                    self.low_handovers = 0;
                }
            }
            while let Some((request, operation)) = self.operations.next_for_core() {
                match operation {
                    Operation::Change(change) => match self.as_asked(self.id, change, now) {
                        Ok(change) => self.ask_change(Asker::Own(request), change),
                        Err(error) => self.answer_change(Asker::Own(request), Err(error), now),
                    },
                    Operation::Transfer(to) => self.transfers.ask(Asker::Own(request), to),
                }
            }
        }
        let proposals = self.proposals_for_core(leads && !is_low);
        if !proposals.is_empty() {
            self.inputs.push(Input::Propose(proposals));
        }
        let (_, configuration) = self.raft.configuration();
        self.wakes
            .tokens_expire(configuration.next_expiry(self.raft.last_stamp()));
        let heartbeat = self.config.heartbeat_interval();
        if self.wakes.ask(&self.raft, heartbeat, now) {
            self.inputs.push(Input::MarkTime);
        }
        if let Some(read) = self.reads.ask(now) {
            self.inputs.push(Input::Read(read));
        }
        if let Some(to) = self.transfers.begin() {
            self.inputs.push(Input::Transfer(to));
        }
    }

    /// Names what the core is to propose: what other members have forwarded, and what waits here, unless nothing of that
    /// is to be taken.
    fn proposals_for_core(&mut self, takes_own: bool) -> Vec<Proposal> {
        let mut proposals = Vec::new();
        let proposed = &mut self.proposed;
        let mut propose = |asker, command| {
            let id = ProposalId(proposed.name(asker));
            proposals.push(Proposal { id, command });
        };
        for (place, batch) in self.forwarded.iter_mut().enumerate() {
            for command in batch.commands.drain(..) {
                propose(Asker::Batch(place), command);
            }
        }
        if takes_own {
            self.proposals.propose(&mut propose);
            self.lanes.propose(&mut propose);
            self.serving.propose(&mut propose);
        }
        proposals
    }

    /// Takes on the history of the cluster, which all configurations name alike.
    fn speak_of_history(&mut self) {
        let (_, configuration) = self.raft.configuration();
        self.links.speak_of(configuration.history());
    }

    /// Takes on the longest entry of the cluster, which all configurations name alike.
    fn fit_into_frames(&self) -> Result<(), StopReason> {
        let (_, configuration) = self.raft.configuration();
        if configuration.is_empty() {
            return Ok(());
        }
        let entry_bytes_max = configuration.entry_bytes_max();
        self.command_bytes_max.lower_to(entry_bytes_max);
        self.links
            .check_room(entry_bytes_max)
            .map_err(|(frame_bytes_max, bytes)| StopReason::FramesTooShort {
                frame_bytes_max,
                bytes,
            })
    }

    /// Tells the transport to whom to link, and whom to let in, if that may have changed.
    fn keep_links(&mut self, now: Instant) {
        let (index, configuration) = self.raft.configuration();
        let is_committed = index <= self.raft.positions().commit;
        self.peers.give_up_awaited(now);
        for server in self.links.take_unlinked() {
            self.peers.on_unlinked(server, configuration);
        }
        // Before the transport is told anything: where there is a leader, nobody's word of another one counts.
        let leader = self.raft.leader();
        let links = &self.links;
        let is_relayed = |leader| links.path(leader).is_some_and(|path| path.relay.is_some());
        let loneliness = self
            .peers
            .loneliness(configuration, leader, is_relayed, now);
        if let Some(introduction) = self.peers.introduce(configuration, is_committed) {
            self.links.introduce(introduction);
        }
        if let Some(loneliness) = loneliness {
            self.take_loneliness(loneliness, now);
        }
    }

    /// How many requests of callers wait to be looked at.
    pub(super) fn requests_waiting(&self) -> usize {
        self.requests.len() + self.arrived.requests.len()
    }

    pub(super) fn now(&mut self) -> Instant {
        self.clock.now()
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

    /// Whether the member stops: because its storage forgot, or because it was asked to and has nothing left to hand
    /// over or to write.
    fn may_stop(&self, now: Instant) -> Result<(), StopReason> {
        if self.membership.has_forgotten() {
            return Err(StopReason::Forgot);
        }
        match self.stopping {
            Some(until) if now >= until || (!self.leads() && self.disk.is_idle()) => {
                Err(StopReason::Shutdown)
            }
            Some(_) | None => Ok(()),
        }
    }

    async fn stop(mut self, reason: StopReason) {
        match &reason {
            StopReason::Shutdown | StopReason::Dropped | StopReason::RuntimeEnded => {
                tracing::info!(term = %self.raft.term(), %reason, "member stopped");
            }
            StopReason::Storage(_)
            | StopReason::StorageFull(_)
            | StopReason::StorageLost(_)
            | StopReason::StateMachine(_)
            | StopReason::Unsupported { .. }
            | StopReason::Forgot
            | StopReason::FramesTooShort { .. }
            | StopReason::TransportClosed => {
                tracing::error!(term = %self.raft.term(), %reason, "member stopped");
            }
        }
        // Whoever is told that it stops, or can ask nothing of it any more, finds out why.
        self.board.stopping(reason.clone());
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
        let now = self.clock.now();
        if let StopReason::Storage(error)
        | StopReason::StorageFull(error)
        | StopReason::StorageLost(error) = &reason
        {
            self.announce(now, || Happening::StorageFailed {
                error: error.clone(),
            });
        }
        self.announcer.tell_refused(now, self.raft.term());
        let fresh = self.fresh_status();
        self.meters.publish(&fresh);
        self.board.post(fresh, Instant::MAX, Duration::ZERO);
        let term = self.raft.term();
        let announcer = std::mem::replace(&mut self.announcer, Announcer::new());
        // The transport and the storage are closed before the last event is told, and the channel of the status closes.
        let patience = self.storage_stalls_after();
        let (_board, disk, log_reads) = self.into_parts();
        let closing = Box::pin(disk.close(log_reads));
        let hung = Box::pin(platform::sleep_until(platform::now() + patience));
        match select(closing, hung).await {
            Either::Left((Ok(()), _)) => {}
            Either::Left((Err(error), _)) => {
                tracing::error!(%term, %error, "the storage was not closed in order");
            }
            Either::Right(((), closing)) => {
                tracing::error!(%term, "the storage hangs, and is closed once it goes on");
                platform::spawn(async { drop(closing.await) });
            }
        }
        announcer.tell(now, term, || Happening::Stopped { reason });
    }

    /// Drops all but the board, so that links are free before the channel of the status closes, and what uses the
    /// storage.
    fn into_parts(self) -> (StatusBoard, Disk, LogReads) {
        (self.board, self.disk, self.log_reads)
    }
}

/// The next answer of the storage to what goes on beside its writes.
fn poll_beside(
    snapshots: &mut Snapshots,
    log_reads: &mut LogReads,
    context: &mut Context<'_>,
) -> Poll<Result<Input, StorageError>> {
    match snapshots.poll(context) {
        Poll::Pending => log_reads.poll(context),
        done => done,
    }
}
