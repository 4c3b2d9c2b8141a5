//! Replicating the log: what a leader sends to each peer, and what it makes of the answers (§3.5, §10.2.1).

use alloc::boxed::Box;
use alloc::sync::Arc;
use alloc::vec::Vec;

use bytes::Bytes;

use super::common::Common;
use super::leader::Leader;
use super::log::Log;
use super::output::{EntriesReader, Event, Refusal, SnapshotRead, SnapshotStep};
use super::planted::{Bug, is_planted};
use super::progress::{Flow, MESSAGES_IN_FLIGHT_MAX, Progress, Sending};
use crate::entry::Entry;
use crate::ids::{Index, LogPosition, Round, ServerId};
use crate::message::{
    AppendEntries, AppendEntriesReply, Body, Conflict, InstallSnapshot, InstallSnapshotReply,
    Message, ReplyWanted,
};

/// The least data in a chunk of a snapshot, however much its configuration takes, in bytes: within what a frame may be
/// longer than an entry.
const CHUNK_BYTES_MIN: u64 = 256;

impl Leader {
    /// Speaks to each peer as far as there is something to say: entries within its window, a heartbeat if a round is
    /// due, or that the commit index has moved.
    pub(super) fn flush(&mut self, common: &mut Common) {
        self.advance_change(common);
        let reads_begin = self.reads.has_arrived()
            && (self.term_has_committed(common) || is_planted(Bug::ReadBeforeCommit));
        let broadcast = core::mem::take(&mut self.broadcast) || reads_begin;
        let mut round = LazyRound::default();
        let mut slices = Slices::default();
        if reads_begin {
            let round = round.get(&mut self.rounds, common);
            let mut needed = round;
            if is_planted(Bug::ReadByOlderRound) {
                needed.0 -= 1;
            }
            self.reads.begin_round(needed, common.commit_index);
        }
        let ends = (common.log.last_index(), common.commit_index);
        let everyone = broadcast || ends != self.spoken_of;
        self.spoken_of = ends;
        for (id, peer) in self.peers.iter_mut() {
            if !core::mem::take(&mut peer.stirred) && !everyone {
                continue;
            }
            let mut line = Line {
                common,
                rounds: &mut self.rounds,
                round: &mut round,
                slices: &mut slices,
                id,
                broadcast,
                confirmed: self.confirmed,
            };
            line.speak(peer, &mut self.next_transfer_of_snapshot);
        }
        if reads_begin || broadcast {
            // A lone voter is its own quorum: nobody's echo tells it so. It may have become one since it was asked.
            self.confirm_reads(common);
        }
        self.time_reads(common);
        self.flush_transfer(common);
    }

    /// What was sent to the peer while there was no link is lost, and it may not know who leads.
    pub(super) fn on_peer_up(&mut self, id: ServerId) {
        if let Some(peer) = self.peers.get_mut(id) {
            peer.stirred = true;
            peer.ask = true;
            peer.is_jammed = false;
        }
    }

    /// The link to a peer did not take a message.
    pub(super) fn on_unsent(&mut self, common: &Common, id: ServerId, message: &Message) {
        if message.term == common.current_term
            && let Some(peer) = self.peers.get_mut(id)
        {
            peer.take_back(&message.body);
        }
    }

    /// The link to a peer takes messages again.
    pub(super) fn on_writable(&mut self, id: ServerId) {
        if let Some(peer) = self.peers.get_mut(id)
            && core::mem::take(&mut peer.is_jammed)
        {
            peer.stirred = true;
        }
    }

    pub(super) fn on_append_reply(
        &mut self,
        common: &mut Common,
        from: ServerId,
        reply: &AppendEntriesReply,
    ) {
        let last = common.log.last_index();
        let latest = self.rounds.latest();
        let Some(peer) = self.peer(common, from) else {
            return;
        };
        let possible = reply.match_index <= reply.received
            && reply.received <= last.min(reply.last)
            && reply.round <= latest;
        if !possible {
            common.refuse(from, Refusal::ImpossibleAcknowledgement);
            return;
        }
        if peer.is_of_earlier_stay(reply.round) {
            return;
        }
        peer.stirred = true;
        let before = (peer.match_index, peer.acked_round);
        let is_news = hear(common, peer, reply.round);
        let answer = (reply.round, reply.last, reply.match_index);
        if has_forgotten(common, from, peer, answer, latest) {
            return;
        }
        if reply.round >= peer.promise.0 {
            peer.promise = (reply.round, reply.promise);
            peer.token = reply.token;
        }
        peer.applied = peer.applied.max(reply.applied);
        if reply.commit > peer.commit {
            peer.commit = reply.commit;
            peer.retry.reset();
        }
        let mut match_index = reply.match_index;
        if is_planted(Bug::MatchWhatWasSent) {
            match_index = peer.next_index.previous().max(match_index);
        }
        peer.advance(match_index, reply.received);
        if matches!(peer.flow, Flow::Replicate(_)) {
            peer.acknowledged(common, match_index.0);
        }
        match (&peer.flow, &reply.conflict) {
            (Flow::Probe { .. }, None) if reply.received.next() >= peer.next_index => {
                peer.replicate_from(reply.received);
            }
            (Flow::Probe { .. } | Flow::Replicate(_), Some(conflict)) => {
                on_conflict(common, peer, conflict, is_news);
            }
            (
                Flow::Probe { .. } | Flow::Replicate(_) | Flow::Snapshot(_) | Flow::Forgot { .. },
                _,
            ) => {}
        }
        peer.note_headway(common, before.0, is_news);
        leave_snapshot(common, from, peer);
        self.conclude(common, from, before);
    }

    pub(super) fn on_snapshot_reply(
        &mut self,
        common: &mut Common,
        from: ServerId,
        reply: &InstallSnapshotReply,
    ) {
        let last = common.log.last_index();
        let latest = self.rounds.latest();
        let Some(peer) = self.peer(common, from) else {
            return;
        };
        if reply.match_index > last.min(reply.last) || reply.round > latest {
            common.refuse(from, Refusal::ImpossibleAcknowledgement);
            return;
        }
        if peer.is_of_earlier_stay(reply.round) {
            return;
        }
        peer.stirred = true;
        let before = (peer.match_index, peer.acked_round);
        let is_news = hear(common, peer, reply.round);
        let answer = (reply.round, reply.last, reply.match_index);
        if has_forgotten(common, from, peer, answer, latest) {
            return;
        }
        peer.advance(reply.match_index, reply.match_index);
        if let Flow::Snapshot(sending) = &mut peer.flow
            && sending.transfer == reply.transfer
        {
            let next_offset = reply.next_offset;
            sending.known = reply.known || sending.known && is_planted(Bug::MetadataToldOnce);
            let length = sending.snapshot.metadata.length;
            let possible = next_offset <= reply.received && reply.received <= length;
            if possible && (is_news || reply.received > sending.received) {
                sending.received = reply.received;
            }
            if !possible {
                common.refuse(from, Refusal::ImpossibleAcknowledgement);
            } else if is_planted(Bug::SnapshotRestarts) && is_news {
                (sending.acked, sending.received, sending.sent) = (0, 0, 0);
            } else if next_offset > sending.acked {
                sending.acked = next_offset;
                sending.sent = sending.sent.max(sending.received);
                peer.retry.reset();
                peer.acknowledged(common, next_offset);
            } else if is_news {
                // The receiver has lost what it had, or some of it: go back there, at the pace of the resend timeout.
                // An answer that was overtaken is no news.
                sending.acked = next_offset;
            }
        }
        peer.note_headway(common, before.0, is_news);
        leave_snapshot(common, from, peer);
        self.conclude(common, from, before);
    }

    /// A part of a snapshot was read that a peer is to be sent. An earlier leadership of this server may have asked for
    /// it, of another snapshot whose transfer had the same number.
    pub(super) fn on_snapshot_read(&mut self, read: SnapshotRead, data: Bytes) {
        let SnapshotRead {
            to,
            transfer,
            name,
            offset,
            bytes,
        } = read;
        let Some(peer) = self.peers.get_mut(to) else {
            return;
        };
        peer.reading = peer.reading.saturating_sub(bytes as u64);
        peer.stirred = true;
        if let Flow::Snapshot(sending) = &mut peer.flow
            && (sending.transfer, sending.snapshot.name) == (transfer, name)
        {
            if peer.is_jammed {
                sending.take_back(offset);
            } else {
                sending.read.push((offset, data));
            }
        }
    }

    /// Entries were read that this peer is to be sent.
    pub(super) fn on_entries_read(&mut self, id: ServerId, entries: Vec<Entry>) {
        if let Some(peer) = self.peers.get_mut(id) {
            peer.keep_fetched(entries);
        }
    }

    /// Looks at what a quorum has reached, if a peer's answer can have changed it: what the peer had matched and echoed
    /// `before`, against what it has since.
    fn conclude(&mut self, common: &mut Common, from: ServerId, before: (Index, Round)) {
        let Some(peer) = self.peers.get(from) else {
            return;
        };
        let (matched, echoed) = (peer.match_index, peer.acked_round);
        let (commit, confirmed) = (common.commit_index, self.confirmed);
        let grew = matched > before.0 && matched > commit;
        if grew {
            if self.commit_gate.is_due(before.0 <= commit) {
                self.advance_commit(common);
            } else {
                debug_assert!(
                    self.committable(common).is_none(),
                    "a gate is closed while nothing can be committed"
                );
            }
        }
        let is_news = echoed > before.1;
        let passed = before.1 <= confirmed && echoed > confirmed;
        if is_news && self.confirm_gate.is_due(passed) {
            self.confirm_rounds(common);
        }
    }

    /// Sends again what was not confirmed in time.
    pub(super) fn resend(&mut self, common: &Common) {
        for (_, peer) in self.peers.iter_mut() {
            if !peer.retry.is_over(common.now) || is_planted(Bug::NeverResends) {
                continue;
            }
            peer.stirred = true;
            // What a link did not take says nothing of how much it carries.
            let was_jammed = core::mem::take(&mut peer.is_jammed);
            if peer.retry.is_repeated() && !was_jammed {
                peer.pace.ease();
            }
            match &mut peer.flow {
                Flow::Probe { sent } => *sent = false,
                Flow::Snapshot(sending) => {
                    // What is being read has not been sent at all.
                    if peer.reading == 0 {
                        sending.sent = sending.received.max(sending.acked);
                    }
                    sending.ask = true;
                }
                Flow::Replicate(_) if peer.received.next() < peer.next_index => peer.go_back(),
                // All has arrived: only the word that it is durable, or the commit index, was lost.
                Flow::Replicate(_) => peer.ask = true,
                Flow::Forgot { .. } => {}
            }
        }
    }
}

impl Progress {
    /// Has the window follow how long it took until the peer had everything up to here.
    fn acknowledged(&mut self, common: &Common, through: u64) {
        // Half a heartbeat of queue delays a follower's view of its leader by as much, and starves it of nothing.
        let queue = common.config.heartbeat_interval() / 2;
        let window_max = common.config.limits().inflight_bytes_max;
        self.pace.arrived(through, common.now, queue, window_max);
    }
}

/// Takes note that the peer has echoed a round. Tells whether it is one that it had not echoed before.
fn hear(common: &Common, peer: &mut Progress, round: Round) -> bool {
    if round <= peer.acked_round {
        return false;
    }
    peer.acked_round = round;
    peer.heard_at = Some(common.now);
    peer.round_trip.echoed(round, common.now);
    true
}

/// Returns true if the peer has lost some of what it acknowledged, by this answer, which echoes a round from a log of
/// this end, or by an earlier one.
fn has_forgotten(
    common: &mut Common,
    id: ServerId,
    peer: &mut Progress,
    (round, last, match_index): (Round, Index, Index),
    latest: Round,
) -> bool {
    if let Flow::Forgot { last: least } = &mut peer.flow {
        *least = last.min(*least);
        return true;
    }
    // What it acknowledges only now counts from the next round on as well.
    let (known, next_round) = (peer.match_index.max(match_index), latest.next());
    let Some(acknowledged) = peer.checkpoint.judge((round, last), known, next_round) else {
        return false;
    };
    peer.flow = Flow::Forgot { last };
    peer.retry.reset();
    common.out.events.push(Event::PeerForgot {
        peer: id,
        acknowledged,
        last,
    });
    true
}

/// A peer that has what the snapshot covers, from wherever, needs it no more: whatever follows is in the log, or in a
/// later snapshot.
fn leave_snapshot(common: &mut Common, id: ServerId, peer: &mut Progress) {
    if let Flow::Snapshot(sending) = &peer.flow {
        let base = common.log.base().index;
        let enough = if is_planted(Bug::SnapshotOnlyOnce) {
            base
        } else {
            base.min(sending.snapshot.metadata.last.index)
        };
        if peer.match_index >= enough {
            peer.replicate_from(peer.match_index);
            common.out.events.push(Event::SnapshotFinished { to: id });
        }
    }
}

/// The peer's log did not have the position before some entries.
fn on_conflict(common: &Common, peer: &mut Progress, conflict: &Conflict, is_news: bool) {
    let Conflict { prev, hint } = conflict;
    if is_planted(Bug::NeverBacksOff) {
        return;
    }
    let is_probe = matches!(peer.flow, Flow::Probe { .. });
    // Only the probe that is out may move the search; in a pipeline, what is acknowledged contradicts late refusals.
    if *prev <= peer.match_index || (is_probe && prev.next() != peer.next_index) {
        return;
    }
    let agreed = common.log.last_position_within(hint.index, hint.term);
    if agreed != *hint || is_probe {
        peer.probe_from(agreed.index.next().min(*prev));
        return;
    }
    // The logs agree up to the hint. What follows it was overtaken, or lost on the way, or with a crash of the peer.
    let lost_by_peer = is_news && hint.index < peer.received;
    if lost_by_peer || peer.gap_shown() {
        peer.received = hint.index.max(peer.match_index);
        peer.go_back();
    } else {
        peer.received = peer
            .received
            .max(hint.index.min(peer.next_index.previous()));
    }
}

/// The round of one flush, begun when the first message needs it.
#[derive(Debug, Default)]
struct LazyRound(Option<Round>);

impl LazyRound {
    fn get(&mut self, rounds: &mut super::rounds::RoundClock, common: &Common) -> Round {
        *self.0.get_or_insert_with(|| {
            let keep = common.config.election_timeout() * 2;
            rounds.advance(common.now, common.config.heartbeat_interval(), keep)
        })
    }
}

/// The entries that were sent during one flush: peers that have got equally far share them.
#[derive(Debug, Default)]
struct Slices(Vec<Slice>);

#[derive(Debug)]
struct Slice {
    from: Index,
    bytes_max: u64,
    entries: Arc<Vec<Entry>>,
    bytes: u64,
}

impl Slices {
    /// So many are remembered: as many as are sent to one peer at once.
    const COUNT_MAX: usize = MESSAGES_IN_FLIGHT_MAX;

    /// What [`Log::slice`] gives, and what that weighs.
    fn take(&mut self, log: &Log, from: Index, bytes_max: u64) -> (Arc<Vec<Entry>>, u64) {
        let last = log.last_index();
        let is_same = |slice: &&Slice| {
            // All that there is fits into any message that is large enough.
            let is_rest = from.plus(slice.entries.len() as u64) > last;
            let fits = slice.bytes_max == bytes_max || is_rest && slice.bytes <= bytes_max;
            slice.from == from && fits
        };
        if let Some(slice) = self.0.iter().find(is_same) {
            return (Arc::clone(&slice.entries), slice.bytes);
        }
        let (entries, bytes) = log.slice(from, bytes_max);
        let entries = Arc::new(entries);
        if self.0.len() < Self::COUNT_MAX {
            self.0.push(Slice {
                from,
                bytes_max,
                entries: Arc::clone(&entries),
                bytes,
            });
        }
        (entries, bytes)
    }
}

/// The line to one peer during a flush.
struct Line<'a> {
    common: &'a mut Common,
    rounds: &'a mut super::rounds::RoundClock,
    round: &'a mut LazyRound,
    slices: &'a mut Slices,
    id: ServerId,
    broadcast: bool,
    confirmed: Round,
}

impl Line<'_> {
    fn speak(&mut self, peer: &mut Progress, next_transfer: &mut u64) {
        if !matches!(peer.flow, Flow::Snapshot(_) | Flow::Forgot { .. })
            && peer.next_index.previous() < self.common.log.base().index
        {
            self.begin_snapshot(peer, next_transfer);
        }
        let urgent = self.broadcast || core::mem::take(&mut peer.ask);
        match &peer.flow {
            Flow::Probe { .. } => self.probe(peer, urgent),
            Flow::Replicate(_) => self.replicate(peer, urgent),
            Flow::Snapshot(_) => self.send_chunks(peer, urgent),
            // After the beginning of the log, which every server has.
            Flow::Forgot { .. } if urgent => {
                let from = Index::ZERO.next();
                self.append_entries(peer, from, Arc::default(), ReplyWanted::AtOnce);
            }
            Flow::Forgot { .. } => {}
        }
        if !peer.is_jammed && !peer.is_behind(self.common.commit_index) {
            peer.retry.disarm();
        } else if peer.retry.at().is_none() {
            let mut timeout = peer
                .round_trip
                .timeout(self.common.config.heartbeat_interval());
            if matches!(peer.flow, Flow::Snapshot(_)) {
                // Chunks are rarely lost and often wait, so that what a heartbeat takes says little of them.
                timeout = timeout.max(peer.pace.patience());
            }
            peer.retry.arm(
                self.common.now,
                timeout,
                self.common.config.election_timeout() / 2,
            );
        }
    }

    fn probe(&mut self, peer: &mut Progress, urgent: bool) {
        let Flow::Probe { sent } = &mut peer.flow else {
            return;
        };
        let is_held = *sent || peer.is_jammed;
        if is_held && !urgent {
            return;
        }
        let entries = if is_held {
            Arc::default()
        } else {
            let bytes_max = self.common.config.limits().append_bytes_max;
            let bytes_max = self.common.payload_bytes_max(bytes_max);
            let log = &self.common.log;
            self.slices.take(log, peer.next_index, bytes_max).0
        };
        *sent |= !is_held;
        self.append_entries(peer, peer.next_index, entries, ReplyWanted::AtOnce);
    }

    fn replicate(&mut self, peer: &mut Progress, urgent: bool) {
        let limits = *self.common.config.limits();
        let last = self.common.log.last_index();
        let window_bytes = peer.pace.window().min(limits.inflight_bytes_max);
        let append_bytes_max = self.common.payload_bytes_max(limits.append_bytes_max);
        let append_bytes = (window_bytes / 2).clamp(1, append_bytes_max);
        let mut spoken = false;
        while peer.next_index <= last
            && !peer.is_jammed
            && matches!(&peer.flow, Flow::Replicate(window) if window.has_room(window_bytes))
        {
            let from = peer.next_index;
            let evicted_to = self.common.log.evicted_to();
            let (entries, bytes) = if from > evicted_to {
                self.slices.take(&self.common.log, from, append_bytes)
            } else if let Some(fetched) = peer.take_fetched() {
                fetched
            } else {
                let Common { fetches, out, .. } = &mut *self.common;
                let whose = EntriesReader::Peer(self.id);
                fetches.ask(whose, (from, evicted_to), append_bytes, out);
                break;
            };
            peer.next_index = from.plus(entries.len() as u64);
            let end = peer.next_index.previous();
            if let Flow::Replicate(window) = &mut peer.flow {
                window.add(end, bytes);
                peer.pace.sent(end.0, window.bytes(), self.common.now);
            }
            let reply = if urgent {
                ReplyWanted::AtOnce
            } else {
                ReplyWanted::WhenDurable
            };
            self.append_entries(peer, from, entries, reply);
            spoken = true;
        }
        if spoken {
            return;
        }
        if urgent {
            self.append_entries(peer, peer.next_index, Arc::default(), ReplyWanted::AtOnce);
        } else if peer.commit_sent < self.common.commit_index {
            self.append_entries(peer, peer.next_index, Arc::default(), ReplyWanted::No);
        }
    }

    fn append_entries(
        &mut self,
        peer: &mut Progress,
        from: Index,
        entries: Arc<Vec<Entry>>,
        reply: ReplyWanted,
    ) {
        let before = from.previous();
        let prev = match (reply, self.common.log.term_at(before)) {
            (ReplyWanted::WhenDurable | ReplyWanted::AtOnce, Some(term)) => {
                LogPosition::new(term, before)
            }
            // Where nothing is asked, every log has the position before its first entry.
            (ReplyWanted::No, _) | (_, None) => LogPosition::ZERO,
        };
        let round = self.round.get(self.rounds, self.common);
        if reply == ReplyWanted::AtOnce {
            peer.round_trip.sent(round, self.common.now);
        }
        let commit = self.common.commit_index;
        peer.commit_sent = commit;
        let append = AppendEntries {
            round,
            prev,
            commit,
            reply,
            confirmed: self.confirmed,
            token: peer.token,
            entries,
        };
        self.common.send(self.id, Body::AppendEntries(append));
    }

    fn begin_snapshot(&mut self, peer: &mut Progress, next_transfer: &mut u64) {
        let snapshot = self.common.snapshot.as_ref();
        let snapshot = Arc::clone(snapshot.expect("the log is cut only behind a snapshot"));
        let transfer = *next_transfer;
        *next_transfer += 1;
        peer.send_snapshot(transfer, snapshot);
        self.common
            .out
            .events
            .push(Event::SnapshotStarted { to: self.id });
    }

    /// Sends what the window allows of the snapshot. To be heard, and to ask how far the receiver is, it sends a chunk
    /// without data, which need not wait for those that have some.
    fn send_chunks(&mut self, peer: &mut Progress, urgent: bool) {
        let limits = *self.common.config.limits();
        let window = peer.pace.window().min(limits.inflight_bytes_max);
        let Flow::Snapshot(sending) = &mut peer.flow else {
            return;
        };
        let waits = is_planted(Bug::HeartbeatsBehindSnapshot) && sending.sent > sending.acked;
        if core::mem::take(&mut sending.ask) || urgent && !waits {
            let chunk = self.chunk(sending, sending.sent, Bytes::new());
            peer.round_trip.sent(chunk.round, self.common.now);
            self.common
                .send(self.id, Body::InstallSnapshot(Box::new(chunk)));
        }
        if peer.is_jammed {
            return;
        }
        // The configuration is in each chunk beside the data.
        let configuration = sending.snapshot.metadata.configuration.weight();
        let room = self.common.payload_bytes_max(u64::MAX);
        let chunk_bytes = room
            .saturating_sub(configuration)
            .max(CHUNK_BYTES_MIN)
            .min(limits.snapshot_chunk_bytes);
        for (offset, data) in core::mem::take(&mut sending.read) {
            let to = offset + data.len() as u64;
            let in_flight = to.saturating_sub(sending.acked);
            peer.pace.sent(to, in_flight, self.common.now);
            let chunk = self.chunk(sending, offset, data);
            self.common
                .send(self.id, Body::InstallSnapshot(Box::new(chunk)));
        }
        while let Some((from, to)) = sending.next_chunk(window, chunk_bytes)
            && (peer.reading == 0 || peer.reading + (to - from) <= window)
        {
            sending.sent = to;
            peer.reading += to - from;
            let read = SnapshotRead {
                to: self.id,
                transfer: sending.transfer,
                name: sending.snapshot.name,
                offset: from,
                bytes: usize::try_from(to - from).expect("a chunk fits into a frame"),
            };
            self.common.out.snapshots.push(SnapshotStep::Read(read));
        }
    }

    fn chunk(&mut self, sending: &Sending, offset: u64, data: Bytes) -> InstallSnapshot {
        let metadata = &sending.snapshot.metadata;
        InstallSnapshot {
            round: self.round.get(self.rounds, self.common),
            transfer: sending.transfer,
            metadata: (!sending.known).then(|| metadata.clone()),
            offset,
            data,
        }
    }
}
