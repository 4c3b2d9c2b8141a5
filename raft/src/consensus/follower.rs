//! Following a leader, or waiting for one (§3.5).

use alloc::sync::Arc;
use alloc::vec::Vec;
use core::time::Duration;

use super::common::Common;
use super::currency::{Claim, Claims};
use super::names::ReadId;
use super::names::{Reception, SnapshotName};
use super::output::{Event, ReadRefused, Refusal, Snapshot};
use super::planted::{Bug, is_planted};
use super::read::FollowerReads;
use super::snapshot::{Arrival, Reached, Receiving};
use super::transition::Transition;
use crate::entry::{Entry, Payload};
use crate::ids::{Index, LogPosition, Round, ServerId};
use crate::message::{
    AppendEntries, AppendEntriesReply, Body, Conflict, InstallSnapshot, InstallSnapshotReply,
    ReadIndexReply, ReplyWanted, SnapshotMetadata,
};
use crate::sorted::SortedMap;
use crate::time::Instant;

/// How many messages that came before their predecessors are kept until those arrive.
pub(super) const EARLY_MESSAGES_MAX: usize = 64;

#[derive(Debug)]
pub(super) struct Follower {
    leader: Option<ServerId>,
    /// When the leader was last heard. A vote that comes too soon after it is not given (§4.2.3).
    heard_at: Option<Instant>,
    /// Since when it waits for a leader's word, and how long it will.
    waiting_since: Instant,
    patience: Duration,
    /// Whether it waits only for its next attempt at an election, and not for a leader to fall silent.
    hurries: bool,
    /// Whether an election has been deferred since the leader was last heard.
    deferred: bool,
    /// Whether a candidate whose log is behind this server's has asked for its vote since the leader was last heard.
    has_denied: bool,
    /// Up to here the log is the same as the leader's.
    ///
    /// It begins at the commit index, which every later leader has (leader completeness, §3.6.3), and only grows.
    matched: Index,
    /// The highest commit index that this term's leader has told. What lies beyond `matched` is not taken yet.
    leader_commit: Index,
    /// The highest round heard.
    round: Round,
    /// For how long the leader was to be helped alone when it was heard.
    promise: Duration,
    /// The highest round that the leader has told to be echoed by a quorum.
    confirmed: Round,
    claims: Claims,
    answer: Answer,
    early: SortedMap<Index, (LogPosition, Vec<Entry>)>,
    receiving: Option<Receiving>,
    /// The last transfer of which nothing is needed any more, and its length: what it is was known.
    finished: Option<(u64, u64)>,
    reads: FollowerReads,
}

/// What the leader is owed.
#[derive(Debug, Default)]
struct Answer {
    /// An answer as soon as the term is durable.
    at_once: bool,
    /// An answer once the log is durable up to here.
    when_durable: Option<Index>,
    conflict: Option<Conflict>,
    snapshot: Option<Reached>,
    /// The match last told: a better one is told without being asked for.
    told: Index,
}

impl Follower {
    pub(super) fn new(common: &mut Common, leader: Option<ServerId>, retry_soon: bool) -> Self {
        let first_request = common.draw_u64();
        let mut follower = Self {
            leader,
            heard_at: leader.map(|_| common.now),
            waiting_since: common.now,
            patience: draw_patience(common),
            hurries: retry_soon,
            deferred: false,
            has_denied: false,
            matched: common.commit_index,
            leader_commit: Index::ZERO,
            round: Round::ZERO,
            promise: Duration::ZERO,
            confirmed: Round::ZERO,
            claims: Claims::default(),
            answer: Answer::default(),
            early: SortedMap::new(),
            receiving: None,
            finished: None,
            reads: FollowerReads::naming_from(first_request),
        };
        if retry_soon {
            // An election was lost, so the leader's silence is established: only the next attempt is to be spread.
            follower.patience = common.draw(common.config.election_timeout(), 1, 4);
        }
        follower
    }

    pub(super) fn leader(&self) -> Option<ServerId> {
        self.leader
    }

    /// Whether the leader was heard so lately that no other may be elected.
    pub(super) fn is_loyal(&self, common: &Common) -> bool {
        self.leader.is_some()
            && self
                .heard_at
                .is_some_and(|at| common.now.since(at) < common.config.election_timeout())
    }

    /// Waits anew, for a time drawn anew.
    pub(super) fn wait_for_leader(&mut self, common: &mut Common) {
        self.waiting_since = common.now;
        self.patience = draw_patience(common);
        self.hurries = false;
    }

    /// The times have changed: goes on waiting, for a time drawn anew, but long enough to hear a leader that has only
    /// now begun to speak at the new pace.
    pub(super) fn retime(&mut self, common: &mut Common) {
        self.patience = draw_patience(common);
        self.hurries = false;
        let earliest = common.now + common.config.heartbeat_interval() * 2;
        self.waiting_since = self.waiting_since.max(earliest - self.patience);
    }

    /// The vote of this term has become durable, and only now leaves: its candidate has a whole wait from here.
    pub(super) fn on_vote_durable(&mut self, common: &Common) {
        self.waiting_since = common.now;
    }

    /// A candidate whose log is behind this server's has asked for its vote. It may need it, by a configuration that
    /// this server does not have, while nobody else has a log that this server would vote for: so whoever knows of no
    /// vote of its own, a learner above all, campaigns as well.
    pub(super) fn on_vote_denied(&mut self, common: &Common) {
        if !self.has_denied && !common.may_campaign() {
            // It has not waited to campaign until now.
            self.waiting_since = common.now;
        }
        self.has_denied = true;
    }

    /// Whether it campaigns once it has waited for a leader in vain; never a server that has no vote and is not needed:
    /// a blank one, one that was removed, and a learner unless it had to deny its vote.
    fn is_needed(&self, common: &Common) -> bool {
        common.may_campaign() || self.has_denied
    }

    /// When it has waited in vain: then it campaigns, but not before the last vote is durable, or, if it is not needed,
    /// gives up its leader.
    fn waits_until(&self, common: &Common) -> Option<Instant> {
        let ends = match self.is_needed(common) {
            true => common.vote_is_durable(),
            false => self.leader.is_some(),
        };
        ends.then(|| (self.waiting_since + self.patience).max(common.promised_until))
    }

    pub(super) fn deadline(&self, common: &Common) -> Option<Instant> {
        [self.waits_until(common), self.reads.deadline()]
            .into_iter()
            .flatten()
            .min()
    }

    pub(super) fn on_timer(&mut self, common: &mut Common) -> Transition {
        let Some(until) = self.waits_until(common).filter(|at| *at <= common.now) else {
            return Transition::Stay;
        };
        // So late a timer means that this server slept, not that the leader did: it is given one more chance.
        let slept = common.now.since(until) >= common.config.election_timeout();
        if slept && !self.deferred {
            self.wait_for_leader(common);
            self.deferred = true;
            common.out.events.push(Event::ElectionDeferred);
            return Transition::Stay;
        }
        if self.is_needed(common) {
            return Transition::PreCampaign;
        }
        self.give_up_leader(common);
        Transition::Stay
    }

    /// It knows of no leader until it hears one. What it has of the log and of a snapshot is as good then as before.
    fn give_up_leader(&mut self, common: &mut Common) {
        self.leader = None;
        self.reads.refuse_all(common, None);
        let term = common.current_term;
        common
            .out
            .events
            .push(Event::LeaderChanged { leader: None, term });
    }

    pub(super) fn on_read(&mut self, common: &mut Common, id: ReadId) {
        if self.leader.is_some() {
            self.reads.push(common, id);
        } else {
            common
                .out
                .reads
                .push((id, Err(ReadRefused::NotLeader { leader: None })));
        }
    }

    pub(super) fn on_read_reply(&mut self, common: &mut Common, reply: &ReadIndexReply) {
        self.reads.on_reply(common, self.leader, reply);
    }

    /// Another role or term begins: nothing of this one is answered any more.
    pub(super) fn dissolve(mut self, common: &mut Common, leader: Option<ServerId>) {
        self.reads.refuse_all(common, leader);
    }

    /// Takes note of the leader's word. Tells whether it is this term's leader.
    fn hear(&mut self, common: &mut Common, from: ServerId, round: Round) -> bool {
        match self.leader {
            None => {
                self.leader = Some(from);
                let term = common.current_term;
                common.out.events.push(Event::LeaderChanged {
                    leader: Some(from),
                    term,
                });
            }
            Some(leader) if leader == from => {}
            Some(_) => {
                common.refuse(from, Refusal::SecondLeader);
                return false;
            }
        }
        self.heard_at = Some(common.now);
        common.led_at = Some(common.now);
        self.deferred = false;
        self.has_denied = false;
        let promise = common.promise_loyalty();
        if round >= self.round {
            self.round = round;
            self.promise = promise;
        }
        if !is_planted(Bug::TimerNotReset) {
            self.waiting_since = common.now;
        }
        if core::mem::take(&mut self.hurries) {
            // There is a leader after all, whose next word may take a whole interval.
            self.patience = draw_patience(common);
        }
        true
    }

    pub(super) fn on_append(&mut self, common: &mut Common, from: ServerId, append: AppendEntries) {
        if let Err(reason) = check_entries(common, &append) {
            common.refuse(from, reason);
            return;
        }
        // A message that was doubled or overtaken says nothing of the state's age that is not known.
        let is_news = append.round > self.round;
        if !self.hear(common, from, append.round) {
            return;
        }
        self.leader_commit = self.leader_commit.max(append.commit);
        let (round, commit, token) = (append.round, append.commit, append.token);
        if append.confirmed <= round {
            self.confirmed = self.confirmed.max(append.confirmed);
        } else {
            common.refuse(from, Refusal::ImpossibleAcknowledgement);
        }
        let last = append.prev.index.plus(append.entries.len() as u64);
        match append.reply {
            ReplyWanted::No => {}
            ReplyWanted::WhenDurable => {
                self.answer.when_durable = self.answer.when_durable.max(Some(last));
            }
            ReplyWanted::AtOnce => self.answer.at_once = true,
        }
        let mut entries = Arc::unwrap_or_clone(append.entries);
        let unwritten_max = common.config.limits().uncommitted_bytes_max;
        if !entries.is_empty() && common.outbox.unwritten_bytes() >= unwritten_max {
            // As if they were lost: the leader sends them again, and each of its words counts.
            entries.clear();
            common.refuse(from, Refusal::StorageBusy);
        }
        if self.accept(common, from, append.prev, entries) {
            self.accept_early(common, from);
        }
        self.take_commit(common);
        if is_news && let Some(sent_after) = common.sent_after(token) {
            let age = common.now.since(sent_after);
            self.reads
                .note_echo(age, common.config.heartbeat_interval());
            self.claims.push(Claim {
                round,
                sent_after,
                commit,
            });
        }
        if is_planted(Bug::AgeFromArrival) && is_news {
            common.expect(common.now, commit);
        }
        if let Some(claim) = self.claims.confirm(self.confirmed) {
            common.expect(claim.sent_after, claim.commit);
        }
    }

    /// Appends entries after `prev` if the log has it. Tells whether it had.
    fn accept(
        &mut self,
        common: &mut Common,
        from: ServerId,
        prev: LogPosition,
        mut entries: Vec<Entry>,
    ) -> bool {
        let last = prev.index.plus(entries.len() as u64);
        // What is committed here every later leader has, so it matches whatever `prev` says of it.
        let skips_term = is_planted(Bug::NoPreviousTerm) && prev.index <= common.log.last_index();
        if prev.index > common.commit_index && !common.log.matches(prev) && !skips_term {
            self.note_conflict(common, from, prev, entries);
            return false;
        }
        let contradicts = |entry: &Entry| {
            entry.index <= common.commit_index
                && common
                    .log
                    .term_at(entry.index)
                    .is_some_and(|term| term != entry.term)
        };
        if entries.iter().any(contradicts) {
            common.refuse(from, Refusal::ConflictWithCommitted);
            return false;
        }
        // Only an entry that differs cuts the log: one that comes late must not cut what came after it (§3.5).
        let known = entries
            .iter()
            .take_while(|entry| {
                entry.index <= common.commit_index
                    || common.log.matches(entry.position()) && !is_planted(Bug::TruncateAlways)
            })
            .count();
        if let Some(first) = entries.get(known) {
            if first.index <= self.matched && !is_planted(Bug::TruncateAlways)
                || !common.log.may_be_followed_by(first)
            {
                common.refuse(from, Refusal::MalformedEntries);
                return false;
            }
            if first.index <= common.log.last_index() {
                common.truncate_from(first.index);
            }
            for entry in entries.drain(known..) {
                common.append(entry);
            }
        }
        self.matched = self.matched.max(last);
        true
    }

    /// The log does not have `prev`: keeps the entries for when it does, and tells the leader where the logs may agree.
    fn note_conflict(
        &mut self,
        common: &mut Common,
        from: ServerId,
        prev: LogPosition,
        entries: Vec<Entry>,
    ) {
        if prev.index <= self.matched {
            common.refuse(from, Refusal::MalformedEntries);
            return;
        }
        let is_gap = prev.index > common.log.last_index();
        if is_gap && !entries.is_empty() && self.early.len() < EARLY_MESSAGES_MAX {
            self.early.insert(prev.index, (prev, entries));
        }
        if self.answer.at_once || self.answer.when_durable.is_some() {
            let hint = common.log.last_position_within(prev.index, prev.term);
            self.answer.at_once = true;
            self.answer.conflict = Some(Conflict {
                prev: prev.index,
                hint,
            });
        }
    }

    /// Appends what came before its predecessors, as far as those have arrived.
    fn accept_early(&mut self, common: &mut Common, from: ServerId) {
        while !self.early.is_empty() {
            let last = common.log.last_index();
            let Some((_, (prev, entries))) = self.early.pop_first_if(|prev, _| *prev <= last)
            else {
                return;
            };
            if !common.log.matches(prev) || !self.accept(common, from, prev, entries) {
                self.early.clear();
                return;
            }
            self.answer.at_once = true;
        }
        self.answer.conflict = None;
    }

    fn take_commit(&mut self, common: &mut Common) {
        if is_planted(Bug::CommitPastMatch) {
            common.commit_to(self.leader_commit.min(common.log.last_index()));
        }
        common.commit_to(self.leader_commit.min(self.matched));
    }

    pub(super) fn on_snapshot(
        &mut self,
        common: &mut Common,
        from: ServerId,
        chunk: InstallSnapshot,
    ) {
        if !self.hear(common, from, chunk.round) {
            return;
        }
        let transfer = chunk.transfer;
        let Some(metadata) = self.metadata_of(&chunk) else {
            return self.on_unknown_chunk(transfer);
        };
        let last = metadata.last;
        if last.index <= common.commit_index && !is_planted(Bug::OlderSnapshotInstalled) {
            // It covers nothing that is not here already: the match says so.
            self.finished = Some((transfer, metadata.length));
            return self.answer_finished(transfer, metadata.length);
        }
        if common.is_installing() {
            // One that is complete is on its way to the disk: until it is there, no other takes up memory.
            self.answer.snapshot = Some(Reached::nothing(transfer));
            return;
        }
        match Receiving::take(&mut self.receiving, common, &metadata, chunk) {
            // The answer to more of it comes when storage has that: what a leader sends ahead is what waits here.
            Arrival::Stale | Arrival::Taken => {}
            Arrival::Refused(reason) => {
                common.refuse(from, reason);
                self.answer.snapshot = Some(Reached::nothing(transfer));
            }
            Arrival::Known(reached) => self.answer.snapshot = Some(reached),
        }
    }

    /// Storage has so many bytes of the snapshot that is being received.
    pub(super) fn on_snapshot_appended(&mut self, reception: Reception, length: u64) {
        if let Some(receiving) = &mut self.receiving
            && let Some(reached) = receiving.on_appended(reception, length)
        {
            self.answer.snapshot = Some(reached);
        }
    }

    /// Storage has no room for the snapshot that is being received: it is as if nothing of it had come.
    pub(super) fn on_snapshot_not_stored(&mut self, reception: Reception) {
        let dropped = self
            .receiving
            .take_if(|receiving| receiving.is_received_as(reception));
        if let Some(dropped) = dropped {
            self.answer.snapshot = Some(Reached::nothing(dropped.transfer()));
        }
    }

    /// The snapshot that was received is durable under this name, or was not what it should be.
    pub(super) fn on_snapshot_received(
        &mut self,
        common: &mut Common,
        reception: Reception,
        name: Option<SnapshotName>,
    ) {
        let finished = self
            .receiving
            .take_if(|receiving| receiving.is_finished(reception));
        let Some((transfer, metadata)) = finished.map(Receiving::into_parts) else {
            if let Some(name) = name {
                common.remove_snapshot(name);
            }
            return;
        };
        let Some(name) = name else {
            if let Some(leader) = self.leader {
                common.refuse(leader, Refusal::BadSnapshot);
            }
            self.answer.snapshot = Some(Reached::nothing(transfer));
            return;
        };
        let (last, length) = (metadata.last.index, metadata.length);
        self.finished = Some((transfer, length));
        if last <= common.commit_index && !is_planted(Bug::OlderSnapshotInstalled) {
            // All that it covers has come by the log meanwhile.
            common.remove_snapshot(name);
            return self.answer_finished(transfer, length);
        }
        common.install(Snapshot { metadata, name });
        self.early.clear();
        self.matched = self.matched.max(last);
        self.leader_commit = self.leader_commit.max(last);
    }

    /// What a chunk is part of, as it says itself, or as an earlier one of its transfer has said.
    fn metadata_of(&self, chunk: &InstallSnapshot) -> Option<SnapshotMetadata> {
        let known = || {
            let receiving = self.receiving.as_ref()?;
            receiving.metadata_of(chunk.transfer).cloned()
        };
        chunk.metadata.clone().or_else(known)
    }

    /// A chunk that does not say what it is part of, and whose transfer is not being received.
    fn on_unknown_chunk(&mut self, transfer: u64) {
        match self.finished {
            Some((finished, length)) if finished == transfer => {
                self.answer_finished(transfer, length);
            }
            Some((finished, _)) if finished > transfer => {}
            Some(_) | None => {
                let newest = self.receiving.as_ref().map(Receiving::transfer);
                if newest.is_none_or(|newest| newest < transfer) {
                    self.answer.snapshot = Some(Reached::nothing(transfer));
                }
            }
        }
    }

    /// Nothing more of this transfer is needed.
    fn answer_finished(&mut self, transfer: u64, length: u64) {
        self.answer.at_once = true;
        self.answer.snapshot = Some(Reached::all(transfer, length));
    }

    /// Answers the leader, as far as what it would promise is durable.
    pub(super) fn flush(&mut self, common: &mut Common) {
        let Some(leader) = self.leader else { return };
        self.reads.flush(common, leader);
        if !common.outbox.hard_state_is_durable() {
            return;
        }
        let mut match_index = self.matched.min(common.outbox.persisted());
        if is_planted(Bug::AcknowledgeBeforeSync) {
            match_index = self.matched;
        }
        let durable = self
            .answer
            .when_durable
            .is_some_and(|last| last <= match_index);
        if durable {
            self.answer.when_durable = None;
        }
        if let Some(reached) = self.answer.snapshot.take() {
            let reply = InstallSnapshotReply {
                round: self.round,
                transfer: reached.transfer,
                next_offset: reached.stored,
                received: reached.received,
                known: reached.known,
                match_index,
                last: common.log.last_index(),
            };
            common.send(leader, Body::InstallSnapshotReply(reply));
        }
        let better = match_index > self.answer.told;
        let is_owed = self.answer.at_once || durable || (better && self.receiving.is_none());
        if !is_owed {
            return;
        }
        self.answer.at_once = false;
        self.answer.told = match_index;
        // What has arrived since the gap was found may have filled it, or a part of it.
        let mut conflict = self.answer.conflict.take();
        conflict.take_if(|conflict| conflict.prev <= self.matched);
        if let Some(Conflict { hint, .. }) = &mut conflict
            && hint.index < self.matched
        {
            let term = common.log.term_at(self.matched);
            *hint = LogPosition::new(term.unwrap_or(hint.term), self.matched);
        }
        let reply = AppendEntriesReply {
            round: self.round,
            match_index,
            received: self.matched,
            commit: common.commit_index,
            applied: common.applied(),
            conflict,
            // What a restart would not know of is kept and not promised.
            promise: self.promise.min(common.outbox.promise_stored()),
            token: common.token(),
            last: common.log.last_index(),
        };
        common.send(leader, Body::AppendEntriesReply(reply));
    }
}

/// How long to wait for a leader: from one election timeout to two (§3.4).
fn draw_patience(common: &mut Common) -> Duration {
    // A lone voter disturbs nobody by campaigning at once.
    let configuration = common.configuration();
    if configuration.voters() == [common.id] && !configuration.is_joint() {
        return Duration::ZERO;
    }
    common.draw(common.config.election_timeout(), 8, 16)
}

/// Whether the entries can follow one another at all.
fn check_entries(common: &Common, append: &AppendEntries) -> Result<(), Refusal> {
    let AppendEntries { prev, entries, .. } = append;
    let end = prev.index.0.checked_add(entries.len() as u64);
    if end.is_none_or(|end| end == u64::MAX) || prev.term > common.current_term {
        return Err(Refusal::MalformedEntries);
    }
    let mut before = *prev;
    let mut stamp = entries.first().map(|entry| entry.stamp).unwrap_or_default();
    for entry in entries.iter() {
        let follows = entry.index == before.index.next()
            && entry.term >= before.term
            && entry.term <= common.current_term
            && entry.stamp >= stamp;
        if !follows {
            return Err(Refusal::MalformedEntries);
        }
        if matches!(&entry.payload, Payload::Configuration(configuration) if configuration.voters().is_empty())
        {
            return Err(Refusal::NoVoters);
        }
        before = entry.position();
        stamp = entry.stamp;
    }
    Ok(())
}
