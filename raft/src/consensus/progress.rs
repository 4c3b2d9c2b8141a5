//! Keeps what a leader knows of a server that it replicates to, and how entries go there (§10.2.1).

use alloc::collections::VecDeque;
use alloc::sync::Arc;
use alloc::vec::Vec;
use core::time::Duration;

use bytes::Bytes;

use super::checkpoint::Checkpoint;
use super::headway::Headway;
use super::output::Snapshot;
use super::pace::{Pace, WINDOW_MIN};
use super::round_trip::{Retry, RoundTrip};
use crate::entry::Entry;
use crate::ids::{Index, Round};
use crate::message::{Body, Token};
use crate::time::Instant;

/// After so many answers that show the same gap, what follows it is sent again without waiting for the timeout: fewer
/// may only mean that the network reordered.
const GAP_REPLIES_MAX: u8 = 3;

/// The most messages with entries in flight to a peer: as many as it keeps when they come early. What has to wait goes
/// into larger messages.
pub(super) const MESSAGES_IN_FLIGHT_MAX: usize = super::follower::EARLY_MESSAGES_MAX;

#[derive(Debug)]
pub(super) struct Progress {
    /// Up to here the peer's log is durable and equal to ours. It only grows.
    pub(super) match_index: Index,
    /// Up to here it is equal, durable or not. Invariant: `match_index <= received < next_index`.
    pub(super) received: Index,
    /// The next entry to send.
    pub(super) next_index: Index,
    /// Up to here the peer knows entries to be committed.
    pub(super) commit: Index,
    /// Up to here the peer has applied.
    pub(super) applied: Index,
    /// The commit index that it was last told.
    pub(super) commit_sent: Index,
    /// The last round that had begun when the leader met it. Echoes up to here belong to an earlier stay of the server
    /// in the configuration, since which it may have lost what it acknowledged.
    pub(super) met_after: Round,
    /// The highest round that it has echoed.
    pub(super) acked_round: Round,
    /// The last round with which it made a promise, and the promise.
    pub(super) promise: (Round, Duration),
    /// The token of the answer with that promise.
    pub(super) token: Token,
    /// When it last echoed one for the first time.
    pub(super) heard_at: Option<Instant>,
    /// Whether something about it has changed since it was last spoken to.
    pub(super) stirred: bool,
    /// Whether the peer must be asked where it stands.
    pub(super) ask: bool,
    /// Whether its link takes nothing but what does not wait: no entries and no chunks with data are sent, until it
    /// does or the resend timeout has passed.
    pub(super) is_jammed: bool,
    pub(super) flow: Flow,
    /// So many bytes of snapshots are being read for it, also for transfers that have ended. A window bounds them,
    /// however often its transfer begins again.
    pub(super) reading: u64,
    pub(super) standing: Standing,
    pub(super) round_trip: RoundTrip,
    pub(super) retry: Retry,
    /// How much may be on its way, in either flow.
    pub(super) pace: Pace,
    /// What its log must hold, unless it has lost some of what it acknowledged.
    pub(super) checkpoint: Checkpoint,
    pub(super) headway: Headway,
    /// Entries that were read from storage and have not been sent.
    fetched: Option<Fetched>,
    gap_replies: u8,
    /// What was in flight when it last began to send again. Until that has arrived, answers show gaps that are known,
    /// and only the timeout makes it send once more: else each answer would bring forth a window of messages.
    recovering_to: Index,
}

/// How entries go to the peer.
#[derive(Debug)]
pub(super) enum Flow {
    /// One message at a time, until the place is found where the logs agree.
    Probe { sent: bool },
    /// Pipelined, within a window of bytes.
    Replicate(Window),
    /// Its next entry is compacted away: it is sent the snapshot.
    Snapshot(Sending),
    /// Not at all: it has lost some of what it acknowledged, and for the rest of the term it counts for nothing. It is
    /// sent heartbeats, so that it knows who leads.
    Forgot {
        /// The least end of its log that it has told.
        last: Index,
    },
}

/// Why the leader replicates to the peer.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Standing {
    /// The configuration names it.
    Member,
    /// It is to join, and catches up before the configuration names it (§4.2.1).
    Joining,
    /// A committed configuration leaves it out: it is told so for a while, so that it knows.
    Departing { removal: Index, until: Instant },
}

/// What is in flight to a peer.
#[derive(Debug, Default)]
pub(super) struct Window {
    messages: VecDeque<(Index, u64)>,
    bytes: u64,
}

/// Entries that were read from storage for a peer: at most what one message takes.
#[derive(Debug)]
struct Fetched {
    from: Index,
    entries: Arc<Vec<Entry>>,
    bytes: u64,
}

/// A snapshot on its way to a peer.
#[derive(Debug)]
pub(super) struct Sending {
    pub(super) transfer: u64,
    pub(super) snapshot: Arc<Snapshot>,
    /// So many bytes the peer's storage has.
    pub(super) acked: u64,
    /// So many have arrived there without a gap.
    pub(super) received: u64,
    /// So many have been sent, or are being read to be.
    pub(super) sent: u64,
    /// What was read and has not been sent, with its offset.
    pub(super) read: Vec<(u64, Bytes)>,
    /// Whether the receiver must be asked how far it has got.
    pub(super) ask: bool,
    /// Whether the receiver has answered that it knows what the snapshot is, so that chunks need not repeat it.
    pub(super) known: bool,
}

impl Progress {
    pub(super) fn new(last_index: Index, standing: Standing) -> Self {
        Self {
            match_index: Index::ZERO,
            received: Index::ZERO,
            next_index: last_index.next(),
            commit: Index::ZERO,
            applied: Index::ZERO,
            commit_sent: Index::ZERO,
            met_after: Round::ZERO,
            acked_round: Round::ZERO,
            promise: (Round::ZERO, Duration::ZERO),
            token: Token::NONE,
            heard_at: None,
            stirred: true,
            ask: false,
            is_jammed: false,
            flow: Flow::Probe { sent: false },
            reading: 0,
            standing,
            round_trip: RoundTrip::default(),
            retry: Retry::default(),
            pace: Pace::default(),
            checkpoint: Checkpoint::default(),
            headway: Headway::default(),
            fetched: None,
            gap_replies: 0,
            recovering_to: Index::ZERO,
        }
    }

    /// Keeps entries that were read for the peer until they are sent.
    pub(super) fn keep_fetched(&mut self, entries: Vec<Entry>) {
        let from = entries.first().map(|first| first.index);
        self.fetched = from.map(|from| Fetched {
            from,
            bytes: entries.iter().map(Entry::weight).sum(),
            entries: Arc::new(entries),
        });
        self.stirred = true;
    }

    /// Takes the entries that were read, and what they weigh, if they begin with the next one to send; they are of no
    /// use otherwise.
    pub(super) fn take_fetched(&mut self) -> Option<(Arc<Vec<Entry>>, u64)> {
        let fetched = self.fetched.take()?;
        (fetched.from == self.next_index).then_some((fetched.entries, fetched.bytes))
    }

    /// Returns true if an answer that echoes this round was given in an earlier stay.
    pub(super) fn is_of_earlier_stay(&self, round: Round) -> bool {
        round <= self.met_after
    }

    /// Begins to look for the place where the logs agree, at `next_index`, but never below what is known to match
    /// (a refusal that comes late or twice must not undo an acknowledgement).
    pub(super) fn probe_from(&mut self, next_index: Index) {
        self.next_index = next_index.max(self.match_index.next());
        self.received = self.match_index;
        self.flow = Flow::Probe { sent: false };
        self.pace.forget_timed();
        self.gap_replies = 0;
    }

    /// The peer's log agrees up to `received`: entries may be pipelined from there.
    pub(super) fn replicate_from(&mut self, received: Index) {
        self.received = received.max(self.match_index);
        self.next_index = self.received.next();
        self.flow = Flow::Replicate(Window::default());
        self.pace.forget_timed();
        self.gap_replies = 0;
        self.recovering_to = Index::ZERO;
    }

    /// Sends what follows `received` once more.
    pub(super) fn go_back(&mut self) {
        if let Flow::Replicate(window) = &mut self.flow {
            window.forget_after(self.received);
            self.recovering_to = self.next_index.previous();
            self.next_index = self.received.next();
            self.gap_replies = 0;
        }
    }

    /// The link did not take this: what it carried is not in flight. It is no loss, from which the window would have to
    /// shrink, and what was sent since is not taken either, or comes too early.
    pub(super) fn take_back(&mut self, body: &Body) {
        match (&mut self.flow, body) {
            (Flow::Probe { sent }, Body::AppendEntries(append)) if !append.entries.is_empty() => {
                *sent = false;
            }
            (Flow::Replicate(window), Body::AppendEntries(append)) => {
                let Some(first) = append.entries.first().map(|entry| entry.index) else {
                    return;
                };
                if self.received < first && first < self.next_index {
                    window.forget_after(first.previous());
                    self.next_index = first;
                    self.pace.take_back(first.previous().0);
                }
            }
            (Flow::Snapshot(sending), Body::InstallSnapshot(chunk))
                if sending.transfer == chunk.transfer && !chunk.data.is_empty() =>
            {
                sending.take_back(chunk.offset);
                self.pace.take_back(chunk.offset);
            }
            (_, _) => return,
        }
        self.is_jammed = true;
        self.stirred = true;
    }

    /// An answer shows that something before what it answers has not arrived. Tells whether that is a loss rather than
    /// a reordering.
    pub(super) fn gap_shown(&mut self) -> bool {
        if self.received < self.recovering_to {
            return false;
        }
        self.gap_replies = self.gap_replies.saturating_add(1);
        self.gap_replies >= GAP_REPLIES_MAX
    }

    /// Takes what an answer says of the log. Returns true if the peer's durable match grew.
    pub(super) fn advance(&mut self, match_index: Index, received: Index) -> bool {
        if received > self.received {
            self.received = received;
            self.next_index = self.next_index.max(received.next());
            self.gap_replies = 0;
            self.retry.reset();
        }
        if match_index <= self.match_index {
            return false;
        }
        self.match_index = match_index;
        self.received = self.received.max(match_index);
        self.next_index = self.next_index.max(self.received.next());
        if let Flow::Replicate(window) = &mut self.flow {
            window.free_to(match_index);
        }
        self.retry.reset();
        true
    }

    /// The peer is to be sent this snapshot, from its beginning.
    pub(super) fn send_snapshot(&mut self, transfer: u64, snapshot: Arc<Snapshot>) {
        self.pace.forget_timed();
        self.flow = Flow::Snapshot(Sending {
            transfer,
            // An empty one is asked after at once: that question is all there is of it.
            ask: snapshot.metadata.length == 0,
            snapshot,
            acked: 0,
            received: 0,
            sent: 0,
            read: Vec::new(),
            known: false,
        });
    }

    /// Up to here the peer needs nothing of the log any more, whatever it does next.
    pub(super) fn needs_after(&self) -> Index {
        match &self.flow {
            Flow::Probe { .. } | Flow::Replicate(_) => self.match_index,
            Flow::Snapshot(sending) => self.match_index.max(sending.last_index()),
            // Nothing at all.
            Flow::Forgot { .. } => Index(u64::MAX),
        }
    }

    /// Whether something that was sent, or must be known, is not confirmed.
    pub(super) fn is_behind(&self, commit: Index) -> bool {
        match &self.flow {
            Flow::Probe { sent } => *sent,
            Flow::Replicate(_) => self.match_index.next() < self.next_index || self.commit < commit,
            Flow::Snapshot(_) => true,
            Flow::Forgot { .. } => false,
        }
    }

    /// Returns true if the peer has lost some of what it acknowledged.
    pub(super) fn has_forgotten(&self) -> bool {
        matches!(self.flow, Flow::Forgot { .. })
    }
}

impl Sending {
    /// The last index that the snapshot covers.
    pub(super) fn last_index(&self) -> Index {
        self.snapshot.metadata.last.index
    }

    /// A part was read or sent that did not leave: from there on it is read again.
    pub(super) fn take_back(&mut self, offset: u64) {
        self.sent = self.sent.min(offset).max(self.acked);
        self.read.clear();
    }

    /// What to read and send within a window, chunk by chunk: nothing, unless it is a whole chunk, the last one, or all
    /// there is in flight. Several chunks fill a window, so that one is on its way while another is acknowledged.
    pub(super) fn next_chunk(&self, window: u64, chunk_bytes_max: u64) -> Option<(u64, u64)> {
        let length = self.snapshot.metadata.length;
        let chunk = (window / 4).max(WINDOW_MIN).min(chunk_bytes_max);
        let end = length.min(self.sent.saturating_add(chunk));
        // What many members make heavy is not repeated before the first chunk is answered.
        let is_heavy = !self.known && self.snapshot.metadata.configuration.weight() > chunk;
        let fits = end.saturating_sub(self.acked) <= window && !is_heavy || self.sent <= self.acked;
        (self.sent < end && fits).then_some((self.sent, end))
    }
}

impl Window {
    pub(super) fn has_room(&self, bytes_max: u64) -> bool {
        self.bytes < bytes_max && self.messages.len() < MESSAGES_IN_FLIGHT_MAX
    }

    /// What is in flight weighs.
    pub(super) fn bytes(&self) -> u64 {
        self.bytes
    }

    pub(super) fn add(&mut self, last: Index, bytes: u64) {
        self.messages.push_back((last, bytes));
        self.bytes += bytes;
    }

    fn free_to(&mut self, index: Index) {
        while let Some((last, bytes)) = self.messages.front()
            && *last <= index
        {
            self.bytes -= bytes;
            self.messages.pop_front();
        }
    }

    fn forget_after(&mut self, index: Index) {
        while let Some((last, bytes)) = self.messages.back()
            && *last > index
        {
            self.bytes -= bytes;
            self.messages.pop_back();
        }
    }
}

#[cfg(test)]
mod tests;
