//! Leading: taking proposals and reads, and keeping a quorum's ear (§3.5, §6.2).

use alloc::vec::Vec;
use core::cmp::Reverse;
use core::time::Duration;

use super::change::PendingChange;
use super::common::Common;
use super::input::Proposal;
use super::lease::Lease;
use super::names::ReadId;
use super::output::{ProposeRefused, Refusal};
use super::planted::{Bug, is_planted};
use super::progress::{Flow, Progress, Standing};
use super::quorum::{self, Gate};
use super::read::{LeaderReads, Reader};
use super::rounds::RoundClock;
use super::stamp::StampClock;
use super::tail::Tail;
use super::transfer::Transfer;
use super::transition::Transition;
use crate::configuration::Configuration;
use crate::entry::{ENTRY_OVERHEAD_BYTES, Payload};
use crate::ids::{Index, Round, ServerId};
use crate::time::{ClusterTime, Instant};

#[derive(Debug)]
pub(super) struct Leader {
    pub(super) peers: Peers,
    pub(super) rounds: RoundClock,
    pub(super) reads: LeaderReads,
    pub(super) lease: Lease,
    pub(super) change: Option<PendingChange>,
    pub(super) transfer: Option<Transfer>,
    /// The highest round that a quorum was seen to have echoed. It only grows.
    pub(super) confirmed: Round,
    /// Opens when a quorum may have echoed a later round than `confirmed`.
    pub(super) confirm_gate: Gate,
    /// Opens when a quorum may have stored more than is committed.
    pub(super) commit_gate: Gate,
    /// Whether every peer is to be spoken to, and to answer at once.
    pub(super) broadcast: bool,
    /// The ends of the log and of what is committed when every peer was last spoken to.
    pub(super) spoken_of: (Index, Index),
    pub(super) next_transfer_of_snapshot: u64,
    /// When it took office.
    pub(super) since: Instant,
    /// When the leader before it was last known to lead.
    pub(super) predecessor_led_at: Option<Instant>,
    /// The first entry of this term. Until it is committed nothing is known of what is (§6.4), and no configuration may
    /// change (§4.1).
    term_start: Index,
    heartbeat_at: Instant,
    /// When leadership ends unless a quorum is heard before.
    quorum_needed_at: Instant,
    tail: Tail,
    stamps: StampClock,
    /// Up to here committed configurations have been seen to by this leader.
    configuration_seen_to: Index,
    /// The configuration in force is committed and leaves this server out.
    pub(super) removed: bool,
}

/// The servers that a leader replicates to, sorted by id.
#[derive(Debug, Default)]
pub(super) struct Peers(Vec<(ServerId, Progress)>);

impl Peers {
    pub(super) fn get(&self, id: ServerId) -> Option<&Progress> {
        self.position(id).ok().map(|at| &self.0[at].1)
    }

    pub(super) fn get_mut(&mut self, id: ServerId) -> Option<&mut Progress> {
        self.position(id).ok().map(|at| &mut self.0[at].1)
    }

    /// Begins to replicate to a server, of which nothing is known. Only what it answers to rounds after `latest`
    /// counts: it may have been replicated to before, and lost what it had.
    pub(super) fn meet(&mut self, id: ServerId, last: Index, standing: Standing, latest: Round) {
        let mut progress = Progress::new(last, standing);
        progress.met_after = latest;
        match self.position(id) {
            Ok(at) => self.0[at].1 = progress,
            Err(at) => self.0.insert(at, (id, progress)),
        }
    }

    pub(super) fn retain(&mut self, mut keep: impl FnMut(ServerId, &mut Progress) -> bool) {
        self.0.retain_mut(|(id, progress)| keep(*id, progress));
    }

    pub(super) fn iter(&self) -> impl Iterator<Item = (ServerId, &Progress)> {
        self.0.iter().map(|(id, progress)| (*id, progress))
    }

    pub(super) fn iter_mut(&mut self) -> impl Iterator<Item = (ServerId, &mut Progress)> {
        self.0.iter_mut().map(|(id, progress)| (*id, progress))
    }

    fn position(&self, id: ServerId) -> Result<usize, usize> {
        self.0.binary_search_by_key(&id, |(peer, _)| *peer)
    }
}

impl Leader {
    /// Takes office: appends the entry of this term that commits all before it (§3.6.2, §6.4).
    pub(super) fn new(common: &mut Common) -> Self {
        let now = common.now;
        let election_timeout = common.config.election_timeout();
        let settled = common.commit_index.min(common.outbox.persisted());
        let stamps_from = match common.led_at {
            Some(led_at) if is_planted(Bug::StampsCountVacancy) => led_at,
            Some(_) | None => now,
        };
        let mut leader = Self {
            peers: Peers::default(),
            rounds: RoundClock::starting_at(now),
            reads: LeaderReads::default(),
            lease: Lease::default(),
            change: None,
            transfer: None,
            confirmed: Round::ZERO,
            confirm_gate: Gate::default(),
            commit_gate: Gate::default(),
            broadcast: true,
            spoken_of: (Index::ZERO, Index::ZERO),
            next_transfer_of_snapshot: 1,
            since: now,
            predecessor_led_at: common.led_at,
            term_start: common.log.last_index().next(),
            heartbeat_at: now + common.config.heartbeat_interval(),
            quorum_needed_at: now + election_timeout,
            tail: Tail::of(&common.log, settled),
            stamps: StampClock::continuing(common.log.last_stamp(), stamps_from),
            configuration_seen_to: Index::ZERO,
            removed: false,
        };
        common.fetches.begin_generation();
        leader.meet_members(common);
        leader.append(common, Payload::Noop);
        leader
    }

    /// Replicates to all that the configuration names.
    pub(super) fn meet_members(&mut self, common: &Common) {
        let last = common.log.last_index();
        let latest = self.rounds.latest();
        for (id, _) in common
            .configuration()
            .members()
            .filter(|(id, _)| *id != common.id)
        {
            match self.peers.get_mut(id) {
                Some(progress) => progress.standing = Standing::Member,
                None => self.peers.meet(id, last, Standing::Member, latest),
            }
        }
    }

    pub(super) fn term_has_committed(&self, common: &Common) -> bool {
        common.commit_index >= self.term_start
    }

    /// Returns what cluster time it is: the stamp of an entry that would be appended now.
    pub(super) fn cluster_time(&self, common: &Common) -> ClusterTime {
        self.stamps.time(common.now, self.led_until(common))
    }

    /// Appends an entry of this term. Its stamp counts the time led since the last one.
    pub(super) fn append(&mut self, common: &mut Common, payload: Payload) -> Index {
        let stamp = self.stamps.stamp(common.now, self.led_until(common));
        common.append_own(stamp, payload)
    }

    /// Past the moment at which a quorum is needed, leadership is no longer certain, and cluster time stands still.
    fn led_until(&self, common: &Common) -> Instant {
        self.quorum_needed_at + common.config.election_timeout()
    }

    pub(super) fn time_mark_in(&self, common: &Common, at: ClusterTime, now: Instant) -> Duration {
        let now = now.max(common.now);
        self.stamps.mark_in(at, now, self.led_until(common))
    }

    /// Appends an entry for the sake of its stamp, unless another leader will soon have the time to mark.
    pub(super) fn mark_time(&mut self, common: &mut Common) {
        if self.transfer.is_none() {
            self.append(common, Payload::Noop);
        }
    }

    /// A quorum is needed by then. Time that was slept through before it was heard again was not led.
    fn need_quorum_at(&mut self, common: &Common, at: Instant) {
        let led_until = self.led_until(common);
        self.stamps.skip(led_until, common.now);
        self.quorum_needed_at = at;
    }

    pub(super) fn on_propose(&mut self, common: &mut Common, proposals: Vec<Proposal>) {
        let limits = *common.config.limits();
        let bytes_max = limits
            .command_bytes_max
            .min(common.configuration().entry_bytes_max());
        for Proposal { id, command } in proposals {
            let bytes = command.len() as u64;
            let weight = bytes + ENTRY_OVERHEAD_BYTES;
            let refused = if bytes > bytes_max {
                ProposeRefused::TooLarge { bytes, bytes_max }
            } else if let Some(transfer) = &self.transfer {
                ProposeRefused::Transferring { to: transfer.to }
            } else if !self.tail.take(weight, limits.uncommitted_bytes_max) {
                self.busy(limits.uncommitted_bytes_max)
            } else {
                self.append(common, Payload::Command(command));
                if is_planted(Bug::RefusedAndAppended) && self.tail.bytes() > 4 * weight {
                    let refused = self.busy(limits.uncommitted_bytes_max);
                    common.out.proposals.push((id, Err(refused)));
                    continue;
                }
                common.out.proposals.push((id, Ok(common.log.last())));
                continue;
            };
            common.out.proposals.push((id, Err(refused)));
        }
    }

    fn busy(&self, pending_bytes_max: u64) -> ProposeRefused {
        ProposeRefused::Busy {
            pending_bytes: self.tail.bytes(),
            pending_bytes_max,
        }
    }

    pub(super) fn on_read(&mut self, common: &mut Common, id: ReadId) {
        self.take_read(common, Reader::Local(id));
    }

    pub(super) fn on_read_index(&mut self, common: &mut Common, server: ServerId, id: u64) {
        self.take_read(common, Reader::Peer { server, id });
    }

    fn take_read(&mut self, common: &mut Common, reader: Reader) {
        if self.holds_lease(common) {
            reader.grant(common, common.commit_index);
        } else {
            self.reads.push(common, reader);
        }
    }

    /// More of a log may be on a disk, of a voter's or this server's own: what a quorum has may be committed.
    pub(super) fn advance_commit(&mut self, common: &mut Common) {
        self.commit_what_is_reached(common);
        let commit = common.commit_index;
        let missing = quorum::missing(common.configuration(), |voter| {
            let peer = self.counted(voter);
            // This server's own log is looked at whenever more of it is on disk.
            voter == common.id || peer.is_some_and(|peer| peer.match_index > commit)
        });
        self.commit_gate.wait_for(missing);
        if is_planted(Bug::LearnerCounts) {
            self.commit_gate.open();
        }
        let (committed, persisted) = (common.commit_index, common.outbox.persisted());
        self.tail.settle(&common.log, committed, persisted);
    }

    /// What a quorum has on disk, if that is more than is committed and of this term. An older entry on a quorum may
    /// yet be overwritten by a leader who never saw it (§3.6.2).
    pub(super) fn committable(&self, common: &Common) -> Option<Index> {
        let mut own = common.outbox.persisted();
        if is_planted(Bug::LeaderBeforeSync) {
            own = common.log.last_index();
        }
        let everyone;
        let mut configuration = common.configuration();
        if is_planted(Bug::LearnerCounts) {
            everyone = Configuration::of_voters(configuration.members().map(|(id, _)| id));
            configuration = &everyone;
        }
        let reached = quorum::reached(configuration, |voter| {
            if voter == common.id {
                own
            } else {
                self.counted(voter)
                    .map_or(Index::ZERO, |progress| progress.match_index)
            }
        });
        reached.filter(|reached| {
            *reached > common.commit_index
                && (*reached >= self.term_start || is_planted(Bug::CommitOldTerm))
        })
    }

    fn commit_what_is_reached(&mut self, common: &mut Common) {
        let Some(reached) = self.committable(common) else {
            return;
        };
        let inherited = common.commit_index < self.term_start;
        common.commit_to(reached);
        // Also a configuration that an earlier leader committed: a joint one may still have to be left (§4.3).
        let configuration = common.configurations.current_index();
        if configuration <= reached && configuration > self.configuration_seen_to {
            self.configuration_seen_to = configuration;
            if !(inherited && is_planted(Bug::JointForEver)) {
                self.on_configuration_committed(common);
            }
        }
    }

    /// The highest round that a quorum has echoed; this server hears itself.
    pub(super) fn quorum_round(&self, common: &Common) -> Round {
        self.round_of_quorum(common, common.configuration())
    }

    fn round_of_quorum(&self, common: &Common, configuration: &Configuration) -> Round {
        quorum::reached(configuration, |voter| {
            if voter == common.id {
                self.rounds.latest()
            } else {
                self.counted(voter)
                    .map_or(Round::ZERO, |progress| progress.acked_round)
            }
        })
        .unwrap_or_else(|| self.rounds.latest())
    }

    /// A moment at which a quorum certainly followed this leader.
    pub(super) fn quorum_contact(&self, common: &Common) -> Instant {
        let contact = quorum::reached(common.configuration(), |voter| {
            if voter == common.id {
                common.now
            } else {
                let echoed = self
                    .counted(voter)
                    .map_or(Round::ZERO, |peer| peer.acked_round);
                self.rounds.sent_after(echoed)
            }
        });
        contact.unwrap_or(common.now)
    }

    /// As of when what was handed out is known to be all that is committed.
    pub(super) fn current_as_of(&self, common: &Common) -> Option<Instant> {
        let earlier = common.current_as_of();
        if self.term_has_committed(common) && common.is_handed_out() {
            earlier.max(Some(self.quorum_contact(common)))
        } else {
            earlier
        }
    }

    /// More voters may have echoed a round: the highest that a quorum has confirms reads, and is told.
    pub(super) fn confirm_rounds(&mut self, common: &mut Common) {
        self.confirmed = self.confirmed.max(self.quorum_round(common));
        let missing = quorum::missing(common.configuration(), |voter| {
            let peer = self.counted(voter);
            // This server has heard every round, begun or to begin.
            voter == common.id || peer.is_some_and(|peer| peer.acked_round > self.confirmed)
        });
        self.confirm_gate.wait_for(missing);
        self.confirm_reads(common);
    }

    pub(super) fn confirm_reads(&mut self, common: &mut Common) {
        if self.reads.is_confirming() {
            let mut echoed = self.quorum_round(common);
            let heard_lately =
                || common.now.since(self.quorum_contact(common)) < common.config.election_timeout();
            if is_planted(Bug::ReadWithoutQuorum) || is_planted(Bug::ReadByLease) && heard_lately()
            {
                echoed = self.rounds.latest();
            }
            if is_planted(Bug::ReadByNewHalf) {
                echoed = self.round_of_quorum(common, &common.configuration().left_joint());
            }
            self.reads.confirm(common, echoed);
        }
    }

    /// Has the round that reads wait for begun anew when a quorum should have echoed it: it was lost on the way.
    pub(super) fn time_reads(&mut self, common: &Common) {
        if !self.reads.is_confirming() {
            self.reads.retry.reset();
        } else if self.reads.retry.at().is_none() {
            let heartbeat = common.config.heartbeat_interval();
            // The time by which a quorum answers, if nothing is lost.
            let timeout = quorum::reached(common.configuration(), |voter| {
                let peer = self.peers.get(voter);
                Reverse(peer.map_or(Duration::ZERO, |peer| peer.round_trip.timeout(heartbeat)))
            });
            let Reverse(timeout) = timeout.unwrap_or_default();
            let timeout = timeout.max(heartbeat / 10);
            self.reads
                .retry
                .arm(common.now, timeout, timeout.max(heartbeat));
        }
    }

    /// The times have changed: the next heartbeat is no later than they say, and a quorum has them to answer it.
    pub(super) fn retime(&mut self, common: &Common) {
        let heartbeat_at = common.now + common.config.heartbeat_interval();
        self.heartbeat_at = self.heartbeat_at.min(heartbeat_at);
        self.need_quorum_at(common, common.now + common.config.election_timeout());
    }

    pub(super) fn deadline(&self) -> Instant {
        let mut deadline = self.heartbeat_at.min(self.quorum_needed_at);
        if let Some(transfer) = &self.transfer {
            deadline = deadline.min(transfer.deadline);
        }
        if let Some(again_at) = self.reads.retry.at() {
            deadline = deadline.min(again_at);
        }
        let retries = self
            .peers
            .iter()
            .filter_map(|(_, progress)| progress.retry.at());
        retries.fold(deadline, Instant::min)
    }

    pub(super) fn on_timer(&mut self, common: &mut Common) -> Transition {
        let now = common.now;
        if now >= self.quorum_needed_at {
            let contact = self.quorum_contact(common);
            self.need_quorum_at(common, contact + common.config.election_timeout());
            if is_planted(Bug::NoCheckQuorum) {
                self.need_quorum_at(common, now + common.config.election_timeout());
            }
            if now >= self.quorum_needed_at {
                return Transition::Follow { retry_soon: false };
            }
        }
        if now >= self.heartbeat_at {
            self.heartbeat_at = now + common.config.heartbeat_interval();
            self.broadcast = true;
            self.check_catch_up(common);
            self.part_with_departed(common);
            // With a disk that always lags there is never a moment at which all is handed out.
            common.expect(self.quorum_contact(common), common.commit_index);
        }
        if self.reads.retry.is_over(now) {
            self.broadcast = true;
        }
        self.check_transfer(common);
        self.resend(common);
        Transition::Stay
    }

    /// After which positions the log is needed to go on with each peer, departing ones apart.
    pub(super) fn needed_after(&self) -> impl Iterator<Item = Index> {
        let staying = self
            .peers
            .iter()
            .filter(|(_, peer)| !matches!(peer.standing, Standing::Departing { .. }));
        staying.map(|(_, peer)| peer.needs_after())
    }

    /// Of the snapshots that have been overtaken by a later one only the oldest on its way stays in memory, so that its
    /// transfers end some day, however often snapshots are taken. Those between begin again, with the latest.
    pub(super) fn drop_outdated_transfers(&mut self, latest: Index) {
        let under_way = |peer: &Progress| match &peer.flow {
            Flow::Snapshot(sending) => Some(sending.last_index()),
            Flow::Probe { .. } | Flow::Replicate(_) | Flow::Forgot { .. } => None,
        };
        let oldest = self
            .peers
            .iter()
            .filter_map(|(_, peer)| under_way(peer))
            .min();
        for (_, peer) in self.peers.iter_mut() {
            if under_way(peer).is_some_and(|last| last < latest && Some(last) != oldest) {
                peer.probe_from(peer.match_index.next());
                peer.stirred = true;
            }
        }
    }

    /// Leadership ends: what was promised here is answered as far as its fate is known.
    pub(super) fn dissolve(self, common: &mut Common, leader: Option<ServerId>) {
        common.led_at = Some(common.now);
        self.reads.refuse_all(common, leader);
        if let Some(change) = self.change {
            change.abandon(common, leader);
        }
        if let Some(transfer) = self.transfer {
            transfer.end(common, leader);
        }
    }

    /// Returns what is known of a voter, if it counts towards quorums: not if it has lost what it acknowledged.
    pub(super) fn counted(&self, voter: ServerId) -> Option<&Progress> {
        let peer = self.peers.get(voter)?;
        (!peer.has_forgotten() || is_planted(Bug::ForgetfulCounts)).then_some(peer)
    }

    /// The peer that spoke, or a refusal if this leader does not replicate to it.
    pub(super) fn peer(&mut self, common: &mut Common, from: ServerId) -> Option<&mut Progress> {
        let progress = self.peers.get_mut(from);
        if progress.is_none() {
            common.refuse(from, Refusal::NotAPeer);
        }
        progress
    }
}
