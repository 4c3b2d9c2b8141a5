//! The task of the applier, which owns the state machine and the session table.
//!
//! It is a task of its own so that a slow state machine delays answers and never heartbeats, and it lets others run
//! after each short stretch of work, since in a browser all tasks share one thread. Queries come between stretches:
//! they wait for at most one.

mod channels;
mod restoring;

use std::sync::Arc;
use std::time::Duration;

use liferaft_platform as platform;
use liferaft_platform::{caught, caught_in};
use serde::Serialize;
use tokio::sync::mpsc;

pub(super) use self::channels::{Asked, Captured, Ends, Job, NotCaptured, Query, Report};
pub(super) use self::restoring::{Unrestored, restored};
use super::error::ReadError;
use super::local::{Local, LocalRead, Unread};
use super::request::Read;
use super::snapshots::PIECE_BYTES;
use super::yielding::yield_now;
use crate::applier::{Applier, MachineFault, Own};
use crate::consensus::Apply;
use crate::entry::Entry;
use crate::ids::Index;
use crate::sessions::{Joined, Joining};
use crate::state_machine::StateMachine;
use crate::storage::{SnapshotLane, StorageError};
use crate::time::{ClusterTime, Instant};

/// Runs an applier.
pub(super) struct ApplierTask<S: StateMachine>(pub(super) Applier<S>);

impl<S: StateMachine> ApplierTask<S> {
    /// Works until the driver is gone or the state machine cannot go on.
    pub(super) async fn run(mut self, mut ends: Ends<S>) {
        loop {
            // Queries first: they are short, and somebody waits for each.
            tokio::select! {
                biased;
                query = ends.queries.recv() => match query {
                    Some(asked) => self.answer(asked),
                    None => return,
                },
                job = ends.jobs.recv() => {
                    let Some(job) = job else { return };
                    let report = match job {
                        Job::Apply(Apply::Entries(entries), told) => {
                            let (report, fault) =
                                self.apply_caught(entries, told, &mut ends.queries).await;
                            match fault {
                                None => Ok(report),
                                Some(fault) => {
                                    // What was applied before is done, and whoever waits for it is answered.
                                    drop(ends.reports.send(report).await);
                                    Err(fault)
                                }
                            }
                        }
                        Job::Apply(Apply::Restore(snapshot), _) => {
                            match restored(self.0, &*ends.lane, &snapshot).await {
                                Ok(restored) => {
                                    self.0 = restored;
                                    self.report_restored()
                                }
                                Err(unrestored) => {
                                    let through = snapshot.metadata.last.index;
                                    // The driver may have stopped meanwhile.
                                    drop(ends.reports.send(unrestored.report(through)).await);
                                    return;
                                }
                            }
                        }
                        Job::Capture { bytes_max } => match self.capture(bytes_max, &ends) {
                            Ok(()) => continue,
                            Err(fault) => Err(fault),
                        }
                        Job::Watch { nonce } => {
                            self.0.watch(nonce);
                            Ok(Report::Watched)
                        }
                        Job::Unwatch { nonce } => {
                            self.0.unwatch(nonce);
                            Ok(Report::Watched)
                        }
                    };
                    let report = report.unwrap_or_else(Report::Failed);
                    let failed = matches!(report, Report::Failed(_));
                    if ends.reports.send(report).await.is_err() || failed {
                        return;
                    }
                }
            }
        }
    }

    /// Applies entries. Returns the report of those that are applied, and what kept it from applying all.
    async fn apply_caught(
        &mut self,
        entries: Vec<Entry>,
        told: Vec<Index>,
        queries: &mut mpsc::Receiver<Asked<S>>,
    ) -> (Report<S::Reply>, Option<MachineFault>) {
        let mut own = Vec::new();
        let applied = caught_in(self.apply(entries, told, &mut own, queries)).await;
        let applied = applied.unwrap_or_else(|message| {
            let index = self.0.applied().next();
            Err(MachineFault::Panicked { index, message })
        });
        let (wakes_at, fault) = match applied {
            Ok(wakes_at) => (wakes_at, None),
            Err(fault) => (None, Some(fault)),
        };
        let report = Report::Applied {
            through: self.0.applied(),
            own,
            wakes_at,
            reply_bytes: self.0.reply_bytes(),
        };
        (report, fault)
    }

    /// Applies entries, and adds to `own` what that means for this member's sessions, whole entry by whole entry: one
    /// at which it panics adds nothing. Returns when something happens by cluster time alone.
    async fn apply(
        &mut self,
        entries: Vec<Entry>,
        told: Vec<Index>,
        own: &mut Vec<Own<S::Reply>>,
        queries: &mut mpsc::Receiver<Asked<S>>,
    ) -> Result<Option<ClusterTime>, MachineFault> {
        let mut own_of_entry = Vec::new();
        let mut told = told.into_iter().peekable();
        let mut stretch = Stretch::begin();
        for entry in entries {
            let is_told = told.next_if_eq(&entry.index).is_some();
            self.0.apply(&entry, is_told, &mut own_of_entry)?;
            own.append(&mut own_of_entry);
            if stretch.is_over() {
                while let Ok(asked) = queries.try_recv() {
                    self.answer(asked);
                }
                yield_now().await;
                stretch.begin_next();
            }
        }
        self.0.wakes_at()
    }

    fn report_restored(&mut self) -> Result<Report<S::Reply>, MachineFault> {
        Ok(Report::Restored {
            through: self.0.applied(),
            known: self.0.known(),
            wakes_at: self.0.wakes_at()?,
            reply_bytes: self.0.reply_bytes(),
        })
    }

    /// Captures the state at once, and has it encoded and stored while entries go on being applied.
    fn capture(&self, bytes_max: u64, ends: &Ends<S>) -> Result<(), MachineFault> {
        let (reports, lane) = (ends.reports.clone(), Arc::clone(&ends.lane));
        let (through, stamp) = (self.0.applied(), self.0.stamp());
        let reply_bytes = self.0.reply_bytes();
        let joining = self.0.capture()?.at_most(bytes_max);
        platform::spawn(async move {
            let report = match caught_in(store(&*lane, joining)).await {
                Ok(Ok(snapshot)) => Report::Captured {
                    through,
                    stamp,
                    reply_bytes,
                    snapshot,
                },
                Ok(Err(StorageError::Full { .. })) => Report::Captured {
                    through,
                    stamp,
                    reply_bytes,
                    snapshot: Err(NotCaptured::NoRoom),
                },
                Ok(Err(error)) => Report::LaneFailed(error),
                Err(message) => Report::Failed(MachineFault::Snapshot {
                    through,
                    reason: format!("it panicked: {message}"),
                }),
            };
            // The driver may have stopped meanwhile.
            drop(reports.send(report).await);
        });
        Ok(())
    }

    fn answer(&self, asked: Asked<S>) {
        let Asked { query, room: _room } = asked;
        let now = Instant::from_origin(platform::now());
        match query {
            Query::Reads(reads) => {
                for Read { query, caller, .. } in reads {
                    match self.ask(query) {
                        Ok(answer) => caller.answer(answer, now, self.0.applied()),
                        Err(error) => caller.refuse(error),
                    }
                }
            }
            Query::Local { read, as_of } => {
                let LocalRead {
                    query,
                    bound,
                    caller,
                } = read;
                if bound.is_some_and(|bound| !bound.allows(as_of, now)) {
                    drop(caller.send(Err(Unread::TooOld(query))));
                    return;
                }
                let answer = self.ask(query).map(|answer| Local {
                    answer,
                    age: as_of.map(|as_of| now.since(as_of)),
                    applied: self.0.applied(),
                });
                drop(caller.send(answer.map_err(Unread::Error)));
            }
        }
    }

    /// Asks the state machine. A query changes nothing, so a panic over it is the matter of this one read.
    fn ask(&self, query: S::Query) -> Result<S::Answer, ReadError> {
        caught(|| self.0.machine().query(query)).map_err(|message| {
            let (term, index) = (self.0.term(), self.0.applied());
            tracing::error!(%term, %index, message, "the state machine panicked over a query");
            ReadError::Panicked
        })
    }
}

/// Encodes a captured state and has the lane store it, piece by piece.
async fn store<R, I>(
    lane: &dyn SnapshotLane,
    mut joining: Joining<R, I>,
) -> Result<Result<Captured, NotCaptured>, StorageError>
where
    R: Serialize + Send + Sync + 'static,
    I: Iterator<Item = Vec<u8>> + Send + 'static,
{
    let name = lane.begin().await?;
    let mut length = 0;
    loop {
        let mut held = Some(joining);
        let (back, piece, end) = platform::compute(move || {
            let joining = held.as_mut()?;
            let end = joining.step();
            if end.is_none() && joining.bytes_held() < PIECE_BYTES {
                return None;
            }
            let piece = joining.take_piece();
            Some((held.take()?, piece, end))
        })
        .await;
        joining = back;
        let (last, digest) = match end {
            None => (None, 0),
            Some(Ok(Joined { data, digest })) => (Some(data), digest),
            Some(Err(refused)) => {
                lane.remove(name).await?;
                return Ok(Err(NotCaptured::Refused(refused)));
            }
        };
        for piece in [Some(piece), last.clone()].into_iter().flatten() {
            length += piece.len() as u64;
            if !piece.is_empty() {
                lane.append(name, piece).await?;
            }
        }
        if last.is_some() {
            return if lane.finish(name, length, digest).await? {
                Ok(Ok(Captured {
                    name,
                    length,
                    digest,
                }))
            } else {
                Err(StorageError::Damaged {
                    what: "snapshot",
                    reason: "it is not what was written".to_owned(),
                })
            };
        }
    }
}

/// How long the applier works before it lets others run.
const STRETCH: Duration = Duration::from_micros(500);

/// The most entries between two looks at the clock.
const ENTRIES_BETWEEN_LOOKS_MAX: u32 = 64;

/// Counts entries, and looks at the clock the more rarely the faster they go.
struct Stretch {
    began: Duration,
    since_look: u32,
    between_looks: u32,
}

impl Stretch {
    fn begin() -> Self {
        Self {
            began: platform::now(),
            since_look: 0,
            between_looks: 1,
        }
    }

    /// Counts one entry.
    fn is_over(&mut self) -> bool {
        self.since_look += 1;
        if self.since_look < self.between_looks {
            return false;
        }
        self.since_look = 0;
        let over = platform::now().saturating_sub(self.began) >= STRETCH;
        self.between_looks = if over {
            1
        } else {
            (self.between_looks * 2).min(ENTRIES_BETWEEN_LOOKS_MAX)
        };
        over
    }

    fn begin_next(&mut self) {
        self.began = platform::now();
    }
}
