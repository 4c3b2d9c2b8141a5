//! The driver's end of the applier: what waits for it, what it has done, and when it is to take a snapshot.

use std::collections::VecDeque;
use std::sync::Arc;
use std::task::{Context, Poll};

use rand_chacha::ChaCha8Rng;
use rand_core::{Rng, SeedableRng};
use tokio::sync::mpsc::error::TrySendError;
use tokio::sync::{Semaphore, mpsc};

use super::applier::{Asked, Job, Query, Report};
use super::bounds::READS_HANDED_OUT_MAX;
use super::error::{Busy, ReadError};
use super::lanes::LANES_MAX;
use super::local::Unread;
use crate::consensus::Apply;
use crate::entry::Entry;
use crate::ids::Index;
use crate::state_machine::StateMachine;

/// The most jobs that wait in the channel. What is more waits here, where entries are merged; the core bounds their
/// bytes.
pub(super) const JOBS_MAX: usize = 4;

/// While so many words about ordered sessions wait for the applier, no outbox is opened.
const WATCHES_MAX: usize = 2 * LANES_MAX;

/// The most reports that wait for the driver.
pub(super) const REPORTS_MAX: usize = 16;

/// What the applier is given.
pub(super) struct Work<S: StateMachine> {
    jobs: mpsc::Sender<Job>,
    queries: mpsc::Sender<Asked<S>>,
    /// Room for reads that the applier has not answered.
    reads: Arc<Semaphore>,
    reports: mpsc::Receiver<Report<S::Reply>>,
    backlog: VecDeque<Job>,
    /// Up to here entries were handed out.
    handed: Index,
    /// Up to here they are applied.
    applied: Index,
    snapshots: Snapshots,
}

/// When to take a snapshot.
#[derive(Debug)]
pub(super) struct Snapshots {
    after_bytes: u64,
    /// After so many entries, whatever they weigh.
    after_entries: u64,
    bytes_since_last: u64,
    entries_since_last: u64,
    last_bytes: u64,
    under_way: bool,
    refused: Option<Refused>,
    /// What the replies kept for sessions weigh.
    reply_bytes: u64,
    /// What is added by chance: members that apply the same entries would otherwise all take theirs at the same time.
    spread: Option<ChaCha8Rng>,
    added_bytes: u64,
    added_entries: u64,
}

/// The last snapshot was longer than allowed, and so may be those before it.
#[derive(Clone, Copy, Debug)]
struct Refused {
    /// After so many bytes of log it is tried again: each time after twice as many, until it is worth its length.
    after_bytes: u64,
    /// It fits if the replies weigh no more than this and the state has not grown. `None` if it does not fit without
    /// any.
    fits_at_reply_bytes: Option<u64>,
}

impl<S: StateMachine> Work<S> {
    pub(super) fn new(
        jobs: mpsc::Sender<Job>,
        queries: mpsc::Sender<Asked<S>>,
        reports: mpsc::Receiver<Report<S::Reply>>,
        applied: Index,
        snapshots: Snapshots,
    ) -> Self {
        Self {
            jobs,
            queries,
            reads: Arc::new(Semaphore::new(READS_HANDED_OUT_MAX)),
            reports,
            backlog: VecDeque::new(),
            handed: applied,
            applied,
            snapshots,
        }
    }

    pub(super) const fn handed(&self) -> Index {
        self.handed
    }

    pub(super) const fn applied(&self) -> Index {
        self.applied
    }

    /// Hands out what the core wants applied, in order, and what waits from before. Of which entries it is to be told
    /// what became of them says `is_told`. Returns true if a snapshot is begun, of at most `snapshot_bytes_max` bytes.
    pub(super) fn hand_out(
        &mut self,
        apply: &mut Vec<Apply>,
        is_told: impl Fn(&Entry) -> bool,
        snapshot_bytes_max: u64,
    ) -> bool {
        for apply in apply.drain(..) {
            match apply {
                Apply::Entries(entries) => {
                    let told = entries.iter().filter(|entry| is_told(entry));
                    let told = told.map(|entry| entry.index).collect();
                    self.enqueue_entries(entries, told);
                }
                Apply::Restore(snapshot) => {
                    self.handed = self.handed.max(snapshot.metadata.last.index);
                    self.snapshots.replaced(snapshot.metadata.length);
                    let restore = Apply::Restore(snapshot);
                    self.backlog.push_back(Job::Apply(restore, Vec::new()));
                }
            }
        }
        let captures = self.snapshots.begin();
        if captures {
            self.backlog.push_back(Job::Capture {
                bytes_max: snapshot_bytes_max,
            });
        }
        self.pump();
        captures
    }

    fn enqueue_entries(&mut self, mut entries: Vec<Entry>, mut told: Vec<Index>) {
        let Some(last) = entries.last() else { return };
        self.handed = self.handed.max(last.index);
        let bytes = entries.iter().map(Entry::weight).sum();
        self.snapshots.applied(entries.len() as u64, bytes);
        match self.backlog.back_mut() {
            Some(Job::Apply(Apply::Entries(waiting), told_of)) => {
                waiting.append(&mut entries);
                told_of.append(&mut told);
            }
            Some(
                Job::Apply(Apply::Restore(_), _)
                | Job::Capture { .. }
                | Job::Watch { .. }
                | Job::Unwatch { .. },
            )
            | None => {
                let entries = Apply::Entries(entries);
                self.backlog.push_back(Job::Apply(entries, told));
            }
        }
    }

    /// Returns true if another session may be watched. Each that is will also be watched no more.
    pub(super) fn may_watch(&self) -> bool {
        let is_watch = |job: &&Job| matches!(job, Job::Watch { .. } | Job::Unwatch { .. });
        self.backlog.iter().filter(is_watch).count() < WATCHES_MAX
    }

    /// Has the ordered session of this nonce watched, or not any more, from the entries on that are handed out later.
    pub(super) fn watch(&mut self, nonce: u128, watch: bool) {
        self.backlog.push_back(if watch {
            Job::Watch { nonce }
        } else {
            Job::Unwatch { nonce }
        });
        self.pump();
    }

    /// Fills the channel. Each job is reported, so there will be another occasion for what does not fit.
    fn pump(&mut self) {
        while let Some(job) = self.backlog.pop_front() {
            match self.jobs.try_send(job) {
                Ok(()) => {}
                // A closed channel is reported as well: the reports end.
                Err(TrySendError::Full(job) | TrySendError::Closed(job)) => {
                    self.backlog.push_front(job);
                    return;
                }
            }
        }
    }

    /// Asks the state machine. Whether there was room; otherwise the callers are answered.
    pub(super) fn query(&mut self, query: Query<S>) -> bool {
        let count = match &query {
            Query::Reads(reads) => reads.len().min(READS_HANDED_OUT_MAX),
            Query::Local { .. } => 1,
        };
        let count = u32::try_from(count).expect("a bound on reads is a small number");
        let (query, error) = match Arc::clone(&self.reads).try_acquire_many_owned(count) {
            Err(_) => (query, ReadError::Busy(Busy::READS_HANDED_OUT)),
            Ok(room) => match self.queries.try_send(Asked { query, room }) {
                Ok(()) => return true,
                Err(TrySendError::Full(asked)) => (asked.query, ReadError::Busy(Busy::QUERIES)),
                Err(TrySendError::Closed(asked)) => (asked.query, ReadError::Stopped),
            },
        };
        match query {
            Query::Reads(reads) => {
                for read in reads {
                    read.caller.refuse(error.clone());
                }
            }
            Query::Local { read, .. } => drop(read.caller.send(Err(Unread::Error(error)))),
        }
        false
    }

    /// What the applier has to tell; `Ready(0)` when it is gone.
    pub(super) fn poll_reports(
        &mut self,
        context: &mut Context<'_>,
        into: &mut Vec<Report<S::Reply>>,
    ) -> Poll<usize> {
        self.reports.poll_recv_many(context, into, REPORTS_MAX)
    }

    /// The log got so much longer on the disk than its entries weigh.
    pub(super) fn on_padded(&mut self, bytes: u64) {
        self.snapshots.applied(0, bytes);
    }

    /// Entries are applied up to here, by its report, and the replies kept for sessions weigh `reply_bytes`.
    pub(super) fn on_applied(&mut self, through: Index, reply_bytes: u64) {
        self.applied = self.applied.max(through);
        self.snapshots.reply_bytes = reply_bytes;
        self.pump();
    }

    /// A session is watched, or not any more.
    pub(super) fn on_watched(&mut self) {
        self.pump();
    }

    /// The snapshot that was asked for is there; this is its length.
    pub(super) fn on_captured(&mut self, bytes: u64) {
        self.snapshots.taken(bytes);
        self.pump();
    }

    /// There was no room on the disk for the snapshot that was asked for.
    pub(super) fn on_capture_without_room(&mut self) {
        self.snapshots.without_room();
        self.pump();
    }

    /// The snapshot that was asked for has more bytes than allowed. The replies in it weigh `reply_bytes`.
    pub(super) fn on_capture_refused(&mut self, bytes: u64, bytes_max: u64, reply_bytes: u64) {
        self.snapshots.refused(bytes, bytes_max, reply_bytes);
        self.pump();
    }
}

impl Snapshots {
    /// After so many bytes of log, or so many entries; or up to half as many more, as the seed has it.
    /// The last one, if there is one, had `last_bytes`.
    pub(super) fn after(
        after_bytes: u64,
        after_entries: u64,
        last_bytes: Option<u64>,
        seed: u64,
    ) -> Self {
        let mut snapshots = Self::exactly_after(after_bytes);
        snapshots.last_bytes = last_bytes.unwrap_or(0);
        snapshots.after_entries = after_entries.max(1);
        snapshots.spread = Some(ChaCha8Rng::seed_from_u64(seed));
        snapshots.spread();
        snapshots
    }

    fn exactly_after(after_bytes: u64) -> Self {
        Self {
            after_bytes,
            after_entries: u64::MAX,
            bytes_since_last: 0,
            entries_since_last: 0,
            last_bytes: 0,
            under_way: false,
            refused: None,
            reply_bytes: 0,
            spread: None,
            added_bytes: 0,
            added_entries: 0,
        }
    }

    fn due_bytes(&self) -> u64 {
        let due_bytes = self.after_bytes.max(self.last_bytes);
        self.refused
            .map_or(due_bytes, |refused| refused.after_bytes)
            .max(1)
    }

    fn spread(&mut self) {
        let [bytes, entries] = [self.due_bytes(), self.after_entries].map(|due| due / 2 + 1);
        let Some(random) = &mut self.spread else {
            return;
        };
        self.added_bytes = random.next_u64() % bytes;
        if self.after_entries < u64::MAX {
            self.added_entries = random.next_u64() % entries;
        }
    }

    fn applied(&mut self, entries: u64, bytes: u64) {
        self.entries_since_last = self.entries_since_last.saturating_add(entries);
        self.bytes_since_last = self.bytes_since_last.saturating_add(bytes);
    }

    /// A snapshot of the leader took the state's place.
    fn replaced(&mut self, bytes: u64) {
        (self.bytes_since_last, self.entries_since_last) = (0, 0);
        self.last_bytes = bytes;
        self.refused = None;
    }

    /// The one that was begun is there.
    fn taken(&mut self, bytes: u64) {
        self.under_way = false;
        self.last_bytes = bytes;
        self.refused = None;
    }

    /// The one that was begun is longer than allowed.
    fn refused(&mut self, bytes: u64, bytes_max: u64, reply_bytes: u64) {
        self.under_way = false;
        let after_bytes = match self.refused {
            Some(before) => before.after_bytes.max(1).saturating_mul(2),
            None => self.after_bytes,
        };
        self.refused = Some(Refused {
            after_bytes: after_bytes.min(bytes.max(self.after_bytes)),
            fits_at_reply_bytes: reply_bytes.checked_sub(bytes.saturating_sub(bytes_max)),
        });
        self.spread();
    }

    /// There was no room for the one that was begun. It may have cost as much as one that is taken, so it is tried
    /// again after as much log.
    fn without_room(&mut self) {
        self.under_way = false;
    }

    /// Returns true if one is to be taken. Each costs about its length to write, so it must be worth as much log; one
    /// that was refused has cost no write, and the log grows until it is not.
    fn begin(&mut self) -> bool {
        let due_bytes = self.due_bytes().saturating_add(self.added_bytes);
        let fits_again = self
            .refused
            .and_then(|refused| refused.fits_at_reply_bytes)
            .is_some_and(|fits_at| self.reply_bytes <= fits_at);
        let due_entries = self.after_entries.saturating_add(self.added_entries);
        let has_many = self.refused.is_none() && self.entries_since_last >= due_entries;
        let is_due = self.bytes_since_last >= due_bytes || has_many || fits_again;
        let begin = !self.under_way && is_due;
        if begin {
            self.under_way = true;
            (self.bytes_since_last, self.entries_since_last) = (0, 0);
            self.spread();
        }
        begin
    }
}

#[cfg(test)]
mod tests {
    use bytes::Bytes;
    use tokio::sync::oneshot;

    use super::*;
    use crate::driver::request::{Read, ReadCaller};
    use crate::driver::testing::Log;
    use crate::entry::{ENTRY_OVERHEAD_BYTES, Payload};
    use crate::ids::Term;
    use crate::time::{ClusterTime, Instant};

    fn entries(indices: std::ops::RangeInclusive<u64>) -> Apply {
        Apply::Entries(indices.map(entry).collect())
    }

    fn entry(index: u64) -> Entry {
        let payload = Payload::Command(Bytes::from_static(b"ab"));
        Entry {
            index: Index(index),
            term: Term(1),
            stamp: ClusterTime(0),
            payload,
        }
    }

    fn work(after_bytes: u64) -> (Work<Log>, mpsc::Receiver<Job>, mpsc::Sender<Report<u64>>) {
        let (jobs, job_queue) = mpsc::channel(1);
        let (queries, _) = mpsc::channel(1);
        let (report, reports) = mpsc::channel(1);
        (
            Work::new(
                jobs,
                queries,
                reports,
                Index(0),
                Snapshots::exactly_after(after_bytes),
            ),
            job_queue,
            report,
        )
    }

    /// Nobody is told of any entry.
    fn nobody(_: &Entry) -> bool {
        false
    }

    fn entry_counts(jobs: &mut mpsc::Receiver<Job>) -> Option<usize> {
        match jobs.try_recv() {
            Ok(Job::Apply(Apply::Entries(entries), _)) => Some(entries.len()),
            _ => None,
        }
    }

    #[test]
    fn entries_that_gather_while_the_applier_is_busy_are_applied_together() {
        let (mut work, mut jobs, _reports) = work(u64::MAX);

        work.hand_out(&mut vec![entries(1..=1)], nobody, u64::MAX);
        work.hand_out(&mut vec![entries(2..=2)], nobody, u64::MAX);
        work.hand_out(&mut vec![entries(3..=4)], nobody, u64::MAX);

        assert_eq!(entry_counts(&mut jobs), Some(1));
        work.on_applied(Index(1), 0);
        assert_eq!(entry_counts(&mut jobs), Some(3));
        assert_eq!((work.handed(), work.applied()), (Index(4), Index(1)));
    }

    #[test]
    fn a_snapshot_is_taken_after_enough_log_and_one_at_a_time() {
        let (mut work, mut jobs, _reports) = work(2 * (ENTRY_OVERHEAD_BYTES + 2));

        work.hand_out(&mut vec![entries(1..=1)], nobody, u64::MAX);
        assert_eq!(entry_counts(&mut jobs), Some(1));
        work.hand_out(&mut vec![entries(2..=2)], nobody, u64::MAX);
        assert_eq!(entry_counts(&mut jobs), Some(1));
        work.on_applied(Index(2), 0);
        assert!(matches!(jobs.try_recv(), Ok(Job::Capture { .. })));
        work.hand_out(&mut vec![entries(3..=9)], nobody, u64::MAX);

        assert_eq!(entry_counts(&mut jobs), Some(7));
        assert!(work.backlog.is_empty());
    }

    /// So many reads that are confirmed, whose callers wait for nothing.
    fn reads(count: usize) -> Query<Log> {
        let read = || Read {
            query: (),
            not_before: Index::ZERO,
            deadline: Instant::MAX,
            caller: ReadCaller::Linearizable(oneshot::channel().0),
        };
        Query::Reads((0..count).map(|_| read()).collect())
    }

    #[test]
    fn a_state_machine_that_hangs_is_handed_a_bounded_number_of_reads() {
        let (jobs, _job_queue) = mpsc::channel(1);
        let (queries, mut asked) = mpsc::channel(8);
        let (_report, reports) = mpsc::channel(1);
        let snapshots = Snapshots::exactly_after(u64::MAX);
        let mut work = Work::<Log>::new(jobs, queries, reports, Index(0), snapshots);

        let handed_out = [
            work.query(reads(READS_HANDED_OUT_MAX)),
            work.query(reads(1)),
        ];
        drop(asked.try_recv().expect("it was handed out"));
        let later = work.query(reads(READS_HANDED_OUT_MAX + 1));

        assert_eq!(handed_out, [true, false]);
        assert!(later, "what is answered makes room");
    }

    #[test]
    fn outboxes_pile_up_to_a_bound_while_the_applier_hangs() {
        let (mut work, _jobs, _reports) = work(u64::MAX);

        for nonce in 0..10_000 {
            work.hand_out(&mut vec![entries(nonce + 1..=nonce + 1)], nobody, u64::MAX);
            if work.may_watch() {
                work.watch(u128::from(nonce), true);
                work.watch(u128::from(nonce), false);
            }
        }

        assert!(!work.may_watch());
        assert!(work.backlog.len() <= 2 * (WATCHES_MAX + 2));
    }

    #[test]
    fn a_large_snapshot_is_followed_by_as_much_log() {
        let mut snapshots = Snapshots::exactly_after(10);
        snapshots.last_bytes = 1000;

        snapshots.applied(1, 999);
        let early = snapshots.begin();
        snapshots.applied(1, 1);

        assert!(!early && snapshots.begin());
    }

    #[test]
    fn a_refused_snapshot_is_tried_again_after_twice_as_much_log() {
        let mut snapshots = Snapshots::exactly_after(10);
        let mut tries = Vec::new();

        for applied in 1..=300 {
            snapshots.applied(1, 1);
            if snapshots.begin() {
                tries.push(applied);
                snapshots.refused(100, 90, 0);
            }
        }

        assert_eq!(tries, [10, 20, 40, 80, 160, 260]);
    }

    #[test]
    fn a_long_snapshot_is_worth_as_much_log_after_a_restart_too() {
        let snapshots = Snapshots::after(10, u64::MAX, Some(40), 1);

        assert_eq!(snapshots.due_bytes(), 40);
    }

    #[test]
    fn a_snapshot_without_room_is_tried_again_after_as_much_log() {
        let mut snapshots = Snapshots::exactly_after(10);
        snapshots.last_bytes = 40;
        let mut tries = Vec::new();

        for applied in 1..=150 {
            snapshots.applied(1, 1);
            if snapshots.begin() {
                tries.push(applied);
                snapshots.without_room();
            }
        }

        assert_eq!(tries, [40, 80, 120]);
    }

    #[test]
    fn a_refused_snapshot_that_fits_is_tried_at_once() {
        let mut snapshots = Snapshots::exactly_after(10);
        snapshots.applied(1, 10);
        assert!(snapshots.begin());
        snapshots.refused(100, 90, 40);

        snapshots.reply_bytes = 31;
        let too_many = snapshots.begin();
        snapshots.reply_bytes = 30;

        assert!(!too_many && snapshots.begin());
    }

    #[test]
    fn a_state_that_is_too_large_without_replies_waits_for_more_log() {
        let mut snapshots = Snapshots::exactly_after(10);
        snapshots.applied(1, 10);
        assert!(snapshots.begin());

        snapshots.refused(100, 50, 40);

        assert!(!snapshots.begin(), "no reply less makes it fit");
    }

    #[test]
    fn a_snapshot_is_due_after_so_many_entries_however_light() {
        let mut snapshots = Snapshots::exactly_after(1000);
        snapshots.after_entries = 3;

        snapshots.applied(2, 2);
        let early = snapshots.begin();
        snapshots.applied(1, 1);

        assert!(!early && snapshots.begin());
        snapshots.taken(5000);
        snapshots.applied(3, 3);
        assert!(snapshots.begin(), "however long the last one was");
    }

    #[test]
    fn members_take_their_snapshots_at_different_times_and_not_much_later() {
        let due: Vec<u64> = (1..=5)
            .map(|seed| Snapshots::after(1000, u64::MAX, None, seed))
            .map(|snapshots| snapshots.due_bytes() + snapshots.added_bytes)
            .collect();

        let mut different = due.clone();
        different.sort_unstable();
        different.dedup();
        assert_eq!(different.len(), 5);
        assert!(due.iter().all(|bytes| (1000..=1500).contains(bytes)));
    }
}
