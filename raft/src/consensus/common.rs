//! Keeps what a server knows and remembers in every role.

mod snapshot;

use alloc::collections::VecDeque;
use alloc::sync::Arc;
use alloc::vec::Vec;
use core::time::Duration;

use rand_chacha::ChaCha8Rng;
use rand_core::{Rng, SeedableRng};

use super::currency::{Currency, Tokens};
use super::fetch::Fetches;
use super::log::Log;
use super::membership::ConfigurationLog;
use super::names::Reception;
use super::outbox::Outbox;
use super::output::{Apply, EntriesReader, Event, HardState, Output, Refusal, Snapshot};
use super::planted::{Bug, is_planted};
use super::recovery::Restored;
use super::round_trip::Promptness;
use crate::config::Config;
use crate::configuration::Configuration;
use crate::entry::{Entry, Payload};
use crate::ids::{Index, LogPosition, ServerId, Term};
use crate::message::{Body, Message, Token};
use crate::sorted::SortedMap;
use crate::time::{ClusterTime, Instant};

/// A message whose term is further ahead than this is refused: no elections can explain it, and believing it could use
/// up the terms of a cluster.
pub const TERM_JUMP_MAX: u64 = 1 << 32;

/// For so many entries at most room is made before they are handed out.
const HAND_OUT_RESERVED: usize = 4096;

/// So many bytes of entries are read from storage at once to be handed out: the state machine has something to do while
/// the next are read.
const READ_BYTES: u64 = 1 << 20;

#[derive(Debug)]
pub(super) struct Common {
    pub(super) id: ServerId,
    pub(super) config: Config,
    pub(super) now: Instant,
    /// Whether the clock showed less than `now` when it was last read.
    pub(super) clock_is_behind: bool,
    pub(super) current_term: Term,
    pub(super) voted_for: Option<ServerId>,
    pub(super) log: Log,
    pub(super) configurations: ConfigurationLog,
    pub(super) commit_index: Index,
    /// When the commit index last moved.
    committed_at: Instant,
    /// When a leader was last known to lead: when it last spoke to this server, or when this one ceased to be it.
    pub(super) led_at: Option<Instant>,
    pub(super) outbox: Outbox,
    /// The effects of the inputs being taken.
    pub(super) out: Output,
    /// The last snapshot that is durable.
    pub(super) snapshot: Option<Arc<Snapshot>>,
    pub(super) refused: SortedMap<Refusal, u64>,
    /// A snapshot that is being put in force: the state machine's own, or one that a leader sent.
    writing: Option<Writing>,
    /// Snapshots that another has taken the place of, as long as somebody is sent them or restores them.
    replaced: Vec<Arc<Snapshot>>,
    /// The number of the last snapshot that was received.
    last_reception: Reception,
    /// The end of a snapshot that has become durable, behind which the log is to be cut.
    compaction: Option<Index>,
    applying: Applying,
    /// Entries that are being read from storage.
    pub(super) fetches: Fetches,
    /// Whether it has still to be told what was stored: the state machine of the snapshot, observers of the
    /// configuration.
    resuming: bool,
    announced_configuration: Index,
    /// Until then this server neither votes nor campaigns, unless the leader itself asks for an election. In no role
    /// and by no later term does it come to an end before.
    pub(super) promised_until: Instant,
    tokens: Tokens,
    /// How soon others answer what this server asks, of the members and one more at most.
    promptness: SortedMap<ServerId, Promptness>,
    rng: ChaCha8Rng,
}

/// How far the state machine has got.
///
/// Invariant: `applied <= handed_out <= commit_index`, and nothing is handed out that is not persisted: what was served
/// to a reader is never forgotten by a crash of this server.
#[derive(Debug)]
struct Applying {
    handed_out: Index,
    applied: Index,
    /// What each entry between the two weighs, those apart whose place a snapshot has taken.
    weights: VecDeque<u64>,
    /// The sum of these.
    bytes: u64,
    /// Up to here the state came as a snapshot.
    restored_to: Index,
    /// Whether a leader's snapshot is durable and has still to be handed out.
    restore_due: bool,
    /// The snapshot that the state machine restores.
    restoring: Option<Arc<Snapshot>>,
    currency: Currency,
}

#[derive(Debug)]
struct Writing {
    snapshot: Arc<Snapshot>,
    /// Whether the state machine is to be replaced by it.
    restore: bool,
    /// One whose write was under way when this one took its place.
    replaces: Option<Arc<Snapshot>>,
}

impl Common {
    pub(super) fn new(
        id: ServerId,
        config: Config,
        restored: Restored,
        now: Instant,
        seed: u64,
    ) -> Self {
        let Restored {
            hard_state,
            snapshot,
            log,
            configurations,
            stale_from,
        } = restored;
        let covered = snapshot
            .as_ref()
            .map_or(Index::ZERO, |snapshot| snapshot.metadata.last.index);
        let persisted = log.last_index();
        let commit = if is_planted(Bug::CommitForgotten) {
            covered
        } else {
            hard_state.commit.max(covered)
        };
        // Whatever the settings are by now: they were others when it promised.
        let promised_until = if is_planted(Bug::PromiseForgotten) {
            now
        } else {
            now + hard_state.promise
        };
        let rng = ChaCha8Rng::seed_from_u64(seed);
        let mut apart = rng.clone();
        apart.set_stream(1);
        let mut common = Self {
            id,
            config,
            now,
            clock_is_behind: false,
            current_term: hard_state.term,
            voted_for: hard_state.voted_for,
            log,
            announced_configuration: configurations.as_of(covered).0,
            configurations,
            commit_index: commit,
            committed_at: now,
            led_at: None,
            outbox: Outbox::starting_at(persisted, stale_from, hard_state),
            out: Output::default(),
            snapshot: None,
            refused: SortedMap::new(),
            promised_until,
            writing: None,
            replaced: Vec::new(),
            last_reception: Reception::default(),
            compaction: None,
            resuming: true,
            applying: Applying {
                handed_out: covered,
                applied: covered,
                weights: VecDeque::new(),
                bytes: 0,
                restored_to: covered,
                restore_due: false,
                restoring: None,
                currency: Currency::default(),
            },
            fetches: Fetches::default(),
            tokens: Tokens::new(now, apart.next_u64()),
            promptness: SortedMap::new(),
            rng,
        };
        if let Some(snapshot) = snapshot {
            common.applying.applied = Index::ZERO;
            common.snapshot = Some(Arc::new(snapshot));
        }
        common
    }

    /// What a restart left to do comes before anything else.
    pub(super) fn resume(&mut self) {
        if !core::mem::take(&mut self.resuming) {
            return;
        }
        if let Some(snapshot) = &self.snapshot {
            self.applying.restoring = Some(Arc::clone(snapshot));
            self.out.apply.push(Apply::Restore((**snapshot).clone()));
        }
        self.announce_configuration();
    }

    pub(super) fn hard_state(&self) -> HardState {
        HardState {
            term: self.current_term,
            voted_for: self.voted_for,
            commit: self.commit_to_store(),
            promise: self.promise_to_store(),
        }
    }

    /// Returns true if a term is so far ahead that no elections can explain it.
    pub(super) fn is_beyond_reach(&self, term: Term) -> bool {
        term.0 > self.current_term.0.saturating_add(TERM_JUMP_MAX)
    }

    /// What is committed and durable here. The part of a write that carries it is done first, so it names nothing of
    /// its own write; and what is committed is never truncated, so the log has it after any crash.
    fn commit_to_store(&self) -> Index {
        if is_planted(Bug::CommitBeforeItsEntries) {
            return self.commit_index;
        }
        self.commit_index.min(self.outbox.persisted())
    }

    /// Stores the commit index when a configuration is committed, unless a snapshot tells of it: a server that it
    /// leaves out must know after a restart that it has no vote any more. Also when nothing has been committed for a
    /// heartbeat interval: one that restarts and finds nobody has the state that it had shown.
    pub(super) fn store_commit(&mut self) {
        let known = self.outbox.commit_written().max(self.snapshot_index());
        let commit = self.commit_to_store();
        if commit <= known {
            return;
        }
        let is_at_rest = self.now.since(self.committed_at) >= self.config.heartbeat_interval();
        if is_at_rest || self.configurations.newest_within(commit) > Some(known) {
            self.outbox.note_hard_state();
        }
    }

    /// Moves on to a later term, in which no vote has been given.
    pub(super) fn enter_term(&mut self, term: Term) {
        debug_assert!(term > self.current_term, "terms only grow");
        self.current_term = term;
        self.voted_for = None;
        self.outbox.change_hard_state();
    }

    /// Gives the vote of the current term. Repeating it for the same candidate changes nothing (§3.4).
    pub(super) fn vote_for(&mut self, candidate: ServerId) {
        debug_assert!(
            self.voted_for
                .is_none_or(|voted_for| voted_for == candidate),
            "a vote is given once in a term"
        );
        if self.voted_for.is_none() || is_planted(Bug::VoteTwice) {
            self.voted_for = Some(candidate);
            self.outbox.change_hard_state();
        }
    }

    /// Returns true unless a vote of this term is on its way to the disk. Until it is there no other campaign is begun:
    /// it would leave that vote behind before its candidate hears of it, and its own would be stored no sooner.
    pub(super) fn vote_is_durable(&self) -> bool {
        self.voted_for.is_none()
            || self.outbox.hard_state_is_durable()
            || is_planted(Bug::CampaignBeforeVoteIsDurable)
    }

    pub(super) fn configuration(&self) -> &Configuration {
        if is_planted(Bug::ConfigurationWhenCommitted) {
            return self.configurations.as_of(self.commit_index).1;
        }
        self.configurations.current()
    }

    /// Returns the most bytes of entries, or of a part of a snapshot, in one message: what every transport of the
    /// cluster carries, and no more than this server's own setting.
    pub(super) fn payload_bytes_max(&self, setting: u64) -> u64 {
        setting.min(self.configuration().entry_bytes_max()).max(1)
    }

    pub(super) fn is_voter(&self) -> bool {
        self.configuration().is_voter(self.id)
    }

    /// Whether this server may campaign: a voter, or one that a configuration leaves out which may not be committed
    /// yet. Until it is, only such a server may have it, and be needed to commit it (§4.2.2).
    pub(super) fn may_campaign(&self) -> bool {
        if is_planted(Bug::RemovedTooSoon) {
            return self.is_voter();
        }
        self.configurations
            .since(self.commit_index)
            .any(|configuration| configuration.is_voter(self.id))
    }

    /// Keeps for a while from helping anyone but the leader, which was just heard, to lead (§6.4.1). Tells for how
    /// long: zero if reads are not served by lease. The leader may be told as much of it as a restart would know of.
    pub(super) fn promise_loyalty(&mut self) -> Duration {
        let promise = self.promise_length();
        self.promised_until = self.promised_until.max(self.now + promise);
        // A longer one is to be stored before the leader is told, a shorter one once all that outlast it have ended.
        if promise != self.outbox.promise_written() && promise == self.promise_to_store() {
            self.outbox.note_hard_state();
        }
        promise
    }

    /// How long a promise is that is made at these settings.
    fn promise_length(&self) -> Duration {
        match self.config.read_lease() {
            Some(_) => self.config.election_timeout(),
            None => Duration::ZERO,
        }
    }

    /// How long a server must wait that restarts after this moment: for what is left of promises given, and for those
    /// that may be given at these settings.
    fn promise_to_store(&self) -> Duration {
        if is_planted(Bug::PromiseCutShort) {
            return self.promise_length();
        }
        self.promise_length()
            .max(self.promised_until.since(self.now))
    }

    /// A message in the current term.
    pub(super) fn message(&self, body: Body) -> Message {
        Message {
            term: self.current_term,
            body,
        }
    }

    /// Sends a message that promises nothing, or nothing that is not durable.
    pub(super) fn send(&mut self, to: ServerId, body: Body) {
        let message = self.message(body);
        self.out.messages.push((to, message));
    }

    /// Sends a message once the current term and vote are durable.
    pub(super) fn promise(&mut self, to: ServerId, body: Body) {
        let message = self.message(body);
        self.outbox.promise(to, message);
    }

    pub(super) fn refuse(&mut self, from: ServerId, reason: Refusal) {
        *self.refused.entry(reason).or_default() += 1;
        self.out.events.push(Event::Refused { from, reason });
    }

    /// How soon this server answers, as far as that is known.
    pub(super) fn promptness(&self, of: ServerId) -> Option<&Promptness> {
        self.promptness.get(&of)
    }

    /// How long the fastest of the other servers takes to answer, as far as it was measured: no other is taken for
    /// faster.
    pub(super) fn least_answer_time(&self) -> Duration {
        let heartbeat = self.config.heartbeat_interval();
        let measured = self.promptness.values();
        let times = measured.filter_map(|promptness| promptness.timeout(heartbeat));
        times.min().unwrap_or_default()
    }

    /// What is known of servers that are members no more makes room for another.
    pub(super) fn promptness_mut(&mut self, of: ServerId) -> &mut Promptness {
        if !self.promptness.contains_key(&of) {
            let configuration = self.configurations.current();
            self.promptness.retain(|id, _| configuration.names(*id));
        }
        self.promptness.entry(of).or_default()
    }

    /// A time drawn evenly from `[span * from, span * to)`, in eighths of the span.
    pub(super) fn draw(&mut self, span: Duration, from_eighths: u32, to_eighths: u32) -> Duration {
        let width = u64::try_from((span * (to_eighths - from_eighths) / 8).as_nanos());
        let width = width.expect("an election timeout is at most an hour");
        span * from_eighths / 8 + Duration::from_nanos(self.rng.next_u64() % width.max(1))
    }

    pub(super) fn draw_u64(&mut self) -> u64 {
        self.rng.next_u64()
    }

    /// Appends an entry of the current term at the end of the log.
    pub(super) fn append_own(&mut self, stamp: ClusterTime, payload: Payload) -> Index {
        let index = self.log.last_index().next();
        self.append(Entry {
            index,
            term: self.current_term,
            stamp,
            payload,
        });
        index
    }

    /// Appends an entry that follows the log. A configuration is in force from this moment (§4.1).
    pub(super) fn append(&mut self, entry: Entry) {
        if let Payload::Configuration(configuration) = &entry.payload {
            self.configurations
                .append(entry.index, configuration.clone());
            self.out
                .events
                .push(Event::ConfigurationChanged { index: entry.index });
        }
        self.log.append(entry);
    }

    /// Drops the entries from `index` on, which no committed entry is among, and any configuration with them.
    pub(super) fn truncate_from(&mut self, index: Index) {
        assert!(
            index > self.commit_index,
            "a committed entry is never truncated"
        );
        self.log.truncate_from(index);
        self.outbox.truncated_from(index);
        if !is_planted(Bug::ConfigurationNotRolledBack) && self.configurations.truncate_from(index)
        {
            let index = self.configurations.current_index();
            self.out.events.push(Event::ConfigurationChanged { index });
        }
    }

    /// Learns that entries up to `index` are committed.
    pub(super) fn commit_to(&mut self, index: Index) {
        debug_assert!(
            index <= self.log.last_index(),
            "only what is in the log is committed"
        );
        if index <= self.commit_index {
            return;
        }
        self.commit_index = index;
        self.committed_at = self.now;
        self.announce_configuration();
    }

    /// Tells observers of the configuration in force if it has been committed since the last that they were told of.
    fn announce_configuration(&mut self) {
        let configured = self.configurations.current_index();
        if configured > self.announced_configuration && configured <= self.commit_index {
            self.announced_configuration = configured;
            self.out
                .events
                .push(Event::ConfigurationCommitted { index: configured });
        }
    }

    /// Notes that nothing was committed before this moment beyond `commit`, the commit index of this term's leader.
    pub(super) fn expect(&mut self, at: Instant, commit: Index) {
        let position = LogPosition::new(self.current_term, commit);
        let Applying {
            currency,
            handed_out,
            ..
        } = &mut self.applying;
        currency.expect(at, position);
        currency.handed_out(*handed_out, &self.log);
    }

    /// What this server says now carries this token.
    pub(super) fn token(&self) -> Token {
        self.tokens.at(self.now)
    }

    /// A moment of this life before which no word that repeats this token was sent.
    pub(super) fn sent_after(&self, token: Token) -> Option<Instant> {
        self.tokens.read(token, self.now)
    }

    pub(super) fn current_as_of(&self) -> Option<Instant> {
        self.applying.currency.as_of()
    }

    /// Whether all that is known to be committed was handed out.
    pub(super) fn is_handed_out(&self) -> bool {
        self.applying.handed_out >= self.commit_index
    }

    /// A number for a snapshot that is being received.
    pub(super) fn next_reception(&mut self) -> Reception {
        self.last_reception.0 += 1;
        self.last_reception
    }

    pub(super) fn applied(&self) -> Index {
        self.applying.applied
    }

    pub(super) fn on_applied(&mut self, through: Index) {
        assert!(
            through <= self.applying.handed_out,
            "only what was handed out is applied"
        );
        if through <= self.applying.applied {
            return;
        }
        let from = self.applying.applied.max(self.applying.restored_to).next();
        let count = usize::try_from(through.next().distance_from(from)).unwrap_or(usize::MAX);
        let done: u64 = self.applying.weights.drain(..count).sum();
        self.applying.bytes -= done;
        self.applying.applied = through;
        let is_restored = |snapshot: &mut Arc<Snapshot>| snapshot.metadata.last.index <= through;
        self.applying.restoring.take_if(is_restored);
    }

    /// Hands committed and persisted entries to the state machine, as many as it is allowed to be behind.
    pub(super) fn hand_out(&mut self) {
        if self.is_installing() {
            return;
        }
        self.hand_out_restore();
        if self.applying.restore_due {
            return;
        }
        let mut end = self.commit_index.min(self.outbox.persisted());
        if is_planted(Bug::ApplyBeforeSync) {
            end = self.commit_index;
        }
        if self.applying.handed_out < end.min(self.log.evicted_to()) {
            self.read_to_hand_out(end);
        } else {
            self.hand_out_from_memory(end);
        }
        self.applying
            .currency
            .handed_out(self.applying.handed_out, &self.log);
    }

    fn hand_out_from_memory(&mut self, end: Index) {
        let bytes_max = self.config.limits().applying_bytes_max;
        let at = self.applying.handed_out;
        let mut bytes = self.applying.bytes;
        // While the state machine is as far behind as it may be, each input comes here in vain: no memory is reserved
        // for it.
        let wanted = if bytes < bytes_max {
            end.distance_from(at)
        } else {
            0
        };
        let room = usize::try_from(wanted).unwrap_or(usize::MAX);
        let mut entries = Vec::with_capacity(room.min(HAND_OUT_RESERVED));
        for entry in self.log.entries_from(at.next()).take(room) {
            if bytes >= bytes_max {
                break;
            }
            bytes += entry.weight();
            entries.push(entry.clone());
        }
        self.hand_out_entries(entries);
    }

    /// Has the next entries read from storage, up to `end` or to where they are in memory, as far as the state machine
    /// may be behind.
    fn read_to_hand_out(&mut self, end: Index) {
        let bytes_max = self.config.limits().applying_bytes_max;
        let room = bytes_max.saturating_sub(self.applying.bytes);
        if room > 0 {
            let range = (
                self.applying.handed_out.next(),
                end.min(self.log.evicted_to()),
            );
            let bytes_max = room.min(READ_BYTES);
            let out = &mut self.out;
            self.fetches
                .ask(EntriesReader::Apply, range, bytes_max, out);
        }
    }

    /// Hands out the next entries, from memory or from storage.
    pub(super) fn hand_out_entries(&mut self, mut entries: Vec<Entry>) {
        let Some(last) = entries.last().map(|last| last.index) else {
            return;
        };
        let applying = &mut self.applying;
        for weight in entries.iter().map(Entry::weight) {
            applying.bytes += weight;
            applying.weights.push_back(weight);
        }
        applying.handed_out = last;
        if is_planted(Bug::AppliedTwice) && entries.len() > 1 && last.0.is_multiple_of(7) {
            let again = entries[entries.len() - 1].clone();
            entries.push(again);
        }
        self.out.apply.push(Apply::Entries(entries));
    }

    /// Drops entries from memory that are in storage, if there are more than there may be.
    pub(super) fn evict(&mut self) {
        let mut through = self.commit_index.min(self.outbox.persisted());
        if is_planted(Bug::EvictedUnpersisted) {
            through = self.log.last_index();
        }
        let bytes_max = self.config.limits().log_memory_bytes_max;
        self.log.evict(through, bytes_max);
    }

    /// Hands out a snapshot that takes the state's place, once the state machine is done with what it was handed
    /// before: while it hangs no second snapshot waits for it, however often this server is sent one.
    fn hand_out_restore(&mut self) {
        let Applying {
            handed_out,
            applied,
            restore_due,
            restoring,
            ..
        } = &mut self.applying;
        if *restore_due
            && (applied == handed_out || is_planted(Bug::SnapshotsPileUp))
            && let Some(snapshot) = &self.snapshot
        {
            *restore_due = false;
            *restoring = Some(Arc::clone(snapshot));
            *handed_out = snapshot.metadata.last.index;
            self.out.apply.push(Apply::Restore((**snapshot).clone()));
        }
    }

    /// What must hold after every input (checked in debug builds).
    pub(super) fn check_invariants(&self) {
        let Applying {
            handed_out,
            applied,
            ..
        } = self.applying;
        assert!(
            applied <= handed_out,
            "applied {applied} is past handed out {handed_out}"
        );
        assert!(
            handed_out <= self.commit_index,
            "handed out {handed_out} is past the commit index"
        );
        assert!(
            self.commit_index <= self.log.last_index(),
            "the commit index is past the log"
        );
        assert!(
            self.outbox.persisted() <= self.log.last_index(),
            "persisted is past the log"
        );
        assert!(
            self.snapshot_index() <= self.commit_index,
            "the snapshot is past the commit index"
        );
        let evicted_to = self.log.evicted_to();
        assert!(
            evicted_to <= self.commit_index,
            "evicted {evicted_to} is past the commit index"
        );
        assert!(
            self.is_installing() || evicted_to <= self.outbox.persisted(),
            "evicted {evicted_to} is past persisted {}",
            self.outbox.persisted()
        );
        assert!(
            self.is_installing() || handed_out <= self.outbox.persisted(),
            "handed out {handed_out} is past persisted {}",
            self.outbox.persisted()
        );
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::consensus::Recovered;

    /// Election timeouts that lie close together split the vote (§3.4).
    #[test]
    fn a_drawn_time_may_be_any_within_its_bounds() {
        let restored = Restored::from_stored(Recovered::default()).expect("a blank one is sound");
        let (id, now) = (ServerId(1), Instant::ORIGIN);
        let mut common = Common::new(id, Config::default(), restored, now, 42);
        let second = Duration::from_secs(1);

        let mut drawn: Vec<Duration> = (0..100).map(|_| common.draw(second, 8, 16)).collect();
        drawn.sort_unstable();

        assert!(drawn[0] >= second && drawn[99] < 2 * second);
        assert!(drawn[10] < second * 5 / 4 && drawn[90] > second * 7 / 4);
    }
}
