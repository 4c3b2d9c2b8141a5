//! Lets out what leaves this server: writes in order, and messages that wait for them.
//!
//! A promise never leaves before the write that it rests on is durable (§3.8, invariant 2 of the design). Keeping such
//! messages here, rather than asking the driver to order its work, is what makes the outputs free of rules.

use alloc::collections::VecDeque;
use alloc::vec::Vec;
use core::time::Duration;

use super::log::Log;
use super::names::WriteId;
use super::output::{HardState, Output, Snapshot, Write};
use super::planted::{Bug, is_planted};
use crate::configuration::SERVERS_MAX;
use crate::entry::Entry;
use crate::ids::{Index, LogPosition, ServerId, Term};
use crate::message::{Body, Message, RequestVoteReply};
use crate::sorted::SortedMap;

/// After as many bytes of entries the commit index is stored with them: a storage holds what may not be committed in
/// memory when it recovers.
const NOTE_AFTER_BYTES: u64 = 8 << 20;

#[derive(Debug)]
pub(super) struct Outbox {
    /// The highest index known to be on this server's disk, as part of the log as it stands.
    ///
    /// Invariant: `persisted <= log.last_index()`.
    persisted: Index,
    last_write: WriteId,
    finished_write: WriteId,
    in_flight: VecDeque<InFlight>,
    /// The entries in these writes weigh.
    unwritten_bytes: u64,
    /// The last write that carries the term and vote.
    hard_state_write: WriteId,
    hard_state_changed: bool,
    /// Whether something is to be stored with the term and vote that no message waits for.
    hard_state_noted: bool,
    /// The last write that carries a hard state, for whatever reason.
    note_write: WriteId,
    /// The promise in that write.
    promise_written: Duration,
    /// The commit index in that write.
    commit_written: Index,
    /// What the entries weigh that were handed out since then.
    unnoted_bytes: u64,
    /// Whatever part of the writes under way a crash leaves, a promise of this length is stored.
    promise_stored: Duration,
    /// Entries from here on are in no write yet.
    unwritten_from: Index,
    truncate: Option<Index>,
    snapshot: Option<Snapshot>,
    compact: Option<Index>,
    /// Messages that promise the current term or vote, and may have to wait.
    promises: Vec<(ServerId, Message)>,
    held: Held,
}

#[derive(Debug)]
struct InFlight {
    id: WriteId,
    /// The end of the log on disk once this write is done, as far as it has not been truncated since.
    last: Index,
    snapshot: Option<LogPosition>,
    /// Its entries weigh.
    bytes: u64,
}

impl Outbox {
    /// The disk holds the log up to `persisted` and this hard state; what it holds from `stale_from` on is to be
    /// dropped.
    pub(super) fn starting_at(
        persisted: Index,
        stale_from: Option<Index>,
        hard_state: HardState,
    ) -> Self {
        Self {
            persisted,
            last_write: WriteId(0),
            finished_write: WriteId(0),
            in_flight: VecDeque::new(),
            unwritten_bytes: 0,
            hard_state_write: WriteId(0),
            hard_state_changed: false,
            hard_state_noted: false,
            note_write: WriteId(0),
            promise_written: hard_state.promise,
            promise_stored: hard_state.promise,
            commit_written: hard_state.commit,
            unnoted_bytes: 0,
            unwritten_from: persisted.next(),
            truncate: stale_from,
            snapshot: None,
            compact: None,
            promises: Vec::new(),
            held: Held::default(),
        }
    }

    pub(super) fn persisted(&self) -> Index {
        self.persisted
    }

    /// What the entries weigh that were handed out and are not durable, truncated or not.
    pub(super) fn unwritten_bytes(&self) -> u64 {
        self.unwritten_bytes
    }

    pub(super) fn hard_state_is_durable(&self) -> bool {
        !self.hard_state_changed && self.hard_state_write <= self.finished_write
    }

    pub(super) fn change_hard_state(&mut self) {
        self.hard_state_changed = true;
    }

    /// Stores the hard state once more, and lets no message wait for it: term and vote are what they were.
    pub(super) fn note_hard_state(&mut self) {
        self.hard_state_noted = true;
    }

    /// The commit index in the last hard state that was handed out.
    pub(super) fn commit_written(&self) -> Index {
        self.commit_written
    }

    /// The promise in the last hard state that was handed out.
    pub(super) fn promise_written(&self) -> Duration {
        self.promise_written
    }

    /// The longest promise that a restart would know of.
    pub(super) fn promise_stored(&self) -> Duration {
        self.promise_stored
    }

    /// Sends a message once the current term and vote are durable.
    pub(super) fn promise(&mut self, to: ServerId, message: Message) {
        self.promises.push((to, message));
    }

    /// The log was cut from `index` on: writes under way no longer vouch for what lies there, even when another entry
    /// takes its place before they finish.
    pub(super) fn truncated_from(&mut self, index: Index) {
        let last = index.previous();
        self.persisted = self.persisted.min(last);
        for write in &mut self.in_flight {
            write.last = write.last.min(last);
        }
        if index < self.unwritten_from {
            self.truncate = Some(self.truncate.map_or(index, |earlier| earlier.min(index)));
            self.unwritten_from = index;
        }
    }

    /// A snapshot is to be written, and nothing of the log before it is to be read again. With `log_discarded`, the
    /// whole log gives way to it, and only what lies up to `valid_to` still counts as durable until then.
    pub(super) fn write_snapshot(&mut self, snapshot: Snapshot, log_discarded: Option<Discarded>) {
        if let Some(Discarded { first, valid_to }) = log_discarded {
            self.truncated_from(valid_to.next());
            self.truncate = Some(first);
            self.unwritten_from = snapshot.metadata.last.index.next();
        }
        self.snapshot = Some(snapshot);
    }

    pub(super) fn compact_to(&mut self, index: Index) {
        self.compact = Some(index);
    }

    /// Notes that the writes up to `id` are durable. Tells where the last snapshot among them ends.
    pub(super) fn finish_writes(&mut self, id: WriteId) -> Option<LogPosition> {
        let mut snapshot = None;
        while let Some(write) = self.in_flight.front() {
            if write.id > id {
                break;
            }
            snapshot = write.snapshot.or(snapshot);
            self.persisted = self.persisted.max(write.last);
            self.finished_write = write.id;
            self.unwritten_bytes -= write.bytes;
            self.in_flight.pop_front();
        }
        if self.note_write <= self.finished_write {
            self.promise_stored = self.promise_written;
        }
        snapshot
    }

    /// Hands out the write that has gathered, and the messages that need not wait any longer.
    pub(super) fn flush(&mut self, hard_state: HardState, log: &Log, out: &mut Output) {
        self.flush_write(hard_state, log, out);
        self.held.release(self.finished_write, &mut out.messages);
        if self.hard_state_write <= self.finished_write {
            out.messages.append(&mut self.promises);
        } else {
            for (to, message) in self.promises.drain(..) {
                self.held.hold(self.hard_state_write, to, message);
            }
        }
    }

    fn flush_write(&mut self, mut hard_state: HardState, log: &Log, out: &mut Output) {
        let last = log.last_index();
        let has_entries = self.unwritten_from <= last;
        if !has_entries
            && !self.hard_state_changed
            && !self.hard_state_noted
            && self.truncate.is_none()
            && self.snapshot.is_none()
            && self.compact.is_none()
        {
            return;
        }
        self.last_write = WriteId(self.last_write.0 + 1);
        let id = self.last_write;
        let entries = if has_entries {
            log.entries_from(self.unwritten_from)
                .cloned()
                .collect::<Vec<_>>()
        } else {
            Vec::new()
        };
        let bytes = entries.iter().map(Entry::weight).sum::<u64>();
        self.unwritten_bytes += bytes;
        self.unnoted_bytes += bytes;
        let noted = core::mem::take(&mut self.hard_state_noted);
        let is_due = self.unnoted_bytes >= NOTE_AFTER_BYTES;
        let has_hard_state = self.hard_state_changed || noted || is_due;
        if has_hard_state {
            self.note_write = id;
            self.unnoted_bytes = 0;
            self.promise_written = hard_state.promise;
            self.commit_written = hard_state.commit;
            self.promise_stored = self.promise_stored.min(hard_state.promise);
        }
        if self.hard_state_changed {
            self.hard_state_write = id;
        }
        let snapshot = self.snapshot.take();
        let snapshot_end = snapshot.as_ref().map(|snapshot| snapshot.metadata.last);
        self.in_flight.push_back(InFlight {
            id,
            last,
            snapshot: snapshot_end,
            bytes,
        });
        self.unwritten_from = last.next();
        if is_planted(Bug::VoteWrittenApart) && self.hard_state_changed && id.0.is_multiple_of(2) {
            hard_state.voted_for = None;
        }
        self.hard_state_changed = false;
        out.writes.push(Write {
            id,
            hard_state: has_hard_state.then_some(hard_state),
            peer_boots: None,
            snapshot,
            truncate: self.truncate.take(),
            entries,
            compact: self.compact.take(),
        });
    }
}

/// The log that gave way to a snapshot.
#[derive(Clone, Copy, Debug)]
pub(super) struct Discarded {
    /// Its first index.
    pub(super) first: Index,
    /// Up to here it was committed, and what is on disk of it stays true.
    pub(super) valid_to: Index,
}

/// Messages that wait for a write, at most one of a kind to each peer: a peer that asks again and again while a disk
/// hangs is answered once.
#[derive(Debug, Default)]
struct Held {
    messages: SortedMap<(ServerId, Kind), (WriteId, Message)>,
    released: WriteId,
}

/// What waits at most. What a stranger asks beyond it stays unanswered, as if it were lost.
const HELD_MAX: usize = 4 * SERVERS_MAX;

/// Which messages take each other's place. They leave in this order: a vote before the word that another election could
/// be won, with which its receiver would begin that election and have no use for the vote any more.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
enum Kind {
    Request,
    Vote,
    PreVote,
    Append,
    Snapshot,
}

impl Held {
    /// Keeps a message until this write is done, unless one of its kind that waits already tells the peer as much.
    fn hold(&mut self, write: WriteId, to: ServerId, message: Message) {
        let key = (to, Kind::of(&message));
        let has_room = self.messages.len() < HELD_MAX;
        match self.messages.get_mut(&key) {
            Some((_, known)) if rank(known) >= rank(&message) => {}
            Some(slot) if is_planted(Bug::HeldTooShort) => slot.1 = message,
            Some(slot) => *slot = (write, message),
            None if has_room => {
                self.messages.insert(key, (write, message));
            }
            None => {}
        }
    }

    /// Hands out what need not wait any longer.
    fn release(&mut self, finished: WriteId, out: &mut Vec<(ServerId, Message)>) {
        if self.released == finished || self.messages.is_empty() {
            return;
        }
        self.released = finished;
        self.messages.retain(|(to, _), (write, message)| {
            let waits = *write > finished;
            if !waits {
                out.push((*to, message.clone()));
            }
            waits
        });
    }
}

impl Kind {
    fn of(message: &Message) -> Self {
        match &message.body {
            Body::RequestVoteReply(reply) if reply.pre_vote => Self::PreVote,
            Body::RequestVoteReply(_) => Self::Vote,
            Body::AppendEntriesReply(_) => Self::Append,
            Body::InstallSnapshotReply(_) => Self::Snapshot,
            Body::RequestVote(_)
            | Body::AppendEntries(_)
            | Body::InstallSnapshot(_)
            | Body::TimeoutNow
            | Body::ReadIndex(_)
            | Body::ReadIndexReply(_) => Self::Request,
        }
    }
}

/// Of two messages of a kind to one peer the greater tells it as much as both: the answer to its latest campaign, with
/// a vote rather than a refusal, since one that came before or after a vote does not take it back.
fn rank(message: &Message) -> (Term, bool, Term) {
    match &message.body {
        Body::RequestVoteReply(RequestVoteReply {
            campaign, granted, ..
        }) => (*campaign, *granted, message.term),
        Body::RequestVote(_)
        | Body::AppendEntries(_)
        | Body::AppendEntriesReply(_)
        | Body::InstallSnapshot(_)
        | Body::InstallSnapshotReply(_)
        | Body::TimeoutNow
        | Body::ReadIndex(_)
        | Body::ReadIndexReply(_) => (message.term, false, message.term),
    }
}
