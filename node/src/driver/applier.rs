//! The applier: the task that owns the state machine and the session table.
//!
//! It is a task of its own so that a slow state machine delays answers and never heartbeats, and it lets others run
//! after each short stretch of work, since in a browser all tasks share one thread. Queries come between stretches:
//! they wait for at most one.

mod channels;
mod restoring;

use std::ops::RangeInclusive;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use liferaft_platform as platform;
use liferaft_platform::{caught, caught_in};
use serde::Serialize;
use tokio::sync::mpsc;

pub(super) use self::channels::{Asked, Captured, Ends, Job, NotCaptured, Own, Query, Report};
pub(super) use self::restoring::Unrestored;
use super::error::ReadError;
use super::fault::MachineFault;
use super::local::{Local, LocalRead, Unread};
use super::request::Read;
use super::snapshots::PIECE_BYTES;
use super::yielding::yield_now;
use crate::codec;
use crate::consensus::Apply;
use crate::entry::{Entry, Payload};
use crate::ids::{Index, Term};
use crate::sessions::{CommandHeader, Envelope, Joined, Joining, Outcome, Sessions};
use crate::sorted::SortedMap;
use crate::state_machine::{ApplyContext, Capture, StateMachine};
use crate::storage::{SnapshotLane, StorageError};
use crate::time::{ClusterTime, Instant};
use crate::wire::CommandOutcome;

/// The state machine, with the sessions around it.
#[derive(Debug)]
pub(super) struct Applier<S: StateMachine> {
    machine: S,
    sessions: Sessions<S::Reply>,
    applied: Index,
    /// The term of that entry.
    term: Term,
    /// Its stamp.
    stamp: ClusterTime,
    /// The nonces that this run of the member registers under.
    nonces: RangeInclusive<u128>,
    /// The session of this member, with the nonce that it registered under last, as far as the log has come. Only a
    /// later registration of this run takes its place: what opens under an earlier nonce is a copy that comes late.
    own: Option<(u128, Index)>,
    /// The ordered sessions of this member, by their nonces, with their names once they are known.
    ordered: SortedMap<u128, Option<Index>>,
}

impl<S: StateMachine> Applier<S> {
    /// The state machine as it is before the first entry. `boot` names this run of the member.
    pub(super) fn new(machine: S, boot: u64) -> Self {
        let first = u128::from(boot) << 64;
        let nonces = first..=first | u128::from(u64::MAX);
        Self {
            machine,
            sessions: Sessions::default(),
            applied: Index::ZERO,
            term: Term::default(),
            stamp: ClusterTime::ZERO,
            nonces,
            own: None,
            ordered: SortedMap::new(),
        }
    }

    /// Up to here the log is applied.
    pub(super) const fn applied(&self) -> Index {
        self.applied
    }

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
                            match self.restore(&*ends.lane, &snapshot).await {
                                Ok(restored) => {
                                    self = restored;
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
                            let session = self.sessions.find(nonce..=nonce).map(|(_, name)| name);
                            self.ordered.insert(nonce, session);
                            Ok(Report::Watched)
                        }
                        Job::Unwatch { nonce } => {
                            self.ordered.remove(&nonce);
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
            let index = self.applied.next();
            Err(MachineFault::Panicked { index, message })
        });
        let (wakes_at, fault) = match applied {
            Ok(wakes_at) => (wakes_at, None),
            Err(fault) => (None, Some(fault)),
        };
        let report = Report::Applied {
            through: self.applied,
            own,
            wakes_at,
            reply_bytes: self.sessions.reply_bytes(),
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
            self.apply_entry(&entry, is_told, &mut own_of_entry)?;
            own.append(&mut own_of_entry);
            if stretch.is_over() {
                while let Ok(asked) = queries.try_recv() {
                    self.answer(asked);
                }
                yield_now().await;
                stretch.begin_next();
            }
        }
        self.wakes_at()
    }

    /// When something happens by cluster time alone: in the state machine, or to a session.
    fn wakes_at(&mut self) -> Result<Option<ClusterTime>, MachineFault> {
        let of_machine = caught(|| self.machine.wakes_at());
        let of_machine = of_machine.map_err(|message| MachineFault::Panicked {
            index: self.applied,
            message,
        })?;
        let wishes = of_machine.into_iter().chain(self.sessions.expires_at());
        Ok(wishes.min())
    }

    fn apply_entry(
        &mut self,
        entry: &Entry,
        is_told: bool,
        own: &mut Vec<Own<S::Reply>>,
    ) -> Result<(), MachineFault> {
        // What a snapshot covers may be handed out once more after a restart.
        if entry.index <= self.applied {
            return Ok(());
        }
        let at = ApplyContext {
            index: entry.index,
            term: entry.term,
            time: entry.stamp,
        };
        match &entry.payload {
            Payload::Noop | Payload::Configuration(_) => {}
            Payload::Command(command) => self.apply_command(at, command, is_told, own)?,
        }
        self.sessions.advance(at.time);
        self.machine.advance(at);
        self.applied = entry.index;
        self.term = entry.term;
        self.stamp = entry.stamp;
        Ok(())
    }

    fn apply_command(
        &mut self,
        at: ApplyContext,
        command: &[u8],
        is_told: bool,
        own: &mut Vec<Own<S::Reply>>,
    ) -> Result<(), MachineFault> {
        let envelope = Envelope::decode(command)
            .map_err(|error| undecodable::<Envelope<'_>>(at.index, error.to_string()))?;
        match envelope {
            Envelope::Register {
                owner: Some(owner),
                nonce,
            } => {
                let session = self.sessions.register_owned(at, owner, nonce);
                if is_told {
                    let outcome = Some(CommandOutcome::Registered { nonce, session });
                    let index = at.index;
                    own.push(Own::Told { index, outcome });
                }
            }
            Envelope::Register { owner: None, nonce } => {
                let session = self.sessions.register(at, nonce);
                let is_latest = self.own.is_none_or(|(latest, _)| latest <= nonce);
                if self.nonces.contains(&nonce) && is_latest {
                    self.own = Some((nonce, session));
                    own.push(Own::Registered {
                        nonce,
                        session,
                        at: at.index,
                    });
                }
            }
            Envelope::RegisterOrdered { nonce } => {
                let session = self.sessions.register_ordered(at, nonce);
                if let Some(name) = self.ordered.get_mut(&nonce) {
                    *name = Some(session);
                    own.push(Own::Registered {
                        nonce,
                        session,
                        at: at.index,
                    });
                }
            }
            Envelope::Command {
                owner,
                header,
                body,
            } => {
                let ordered = self
                    .ordered
                    .values()
                    .any(|session| *session == Some(header.session));
                let machine = &mut self.machine;
                let outcome = self.sessions.execute_for(owner, at, &header, || {
                    let command = codec::decode(body)
                        .map_err(|error| undecodable::<S::Command>(at.index, error.to_string()))?;
                    let reply = machine.apply(at, command);
                    match machine.failure() {
                        None => Ok(reply),
                        Some(message) => Err(MachineFault::Failed {
                            index: at.index,
                            message,
                        }),
                    }
                })?;
                if is_told {
                    let (index, outcome) = (at.index, outcome_to_tell(&header, &outcome));
                    own.push(Own::Told { index, outcome });
                }
                let plain = self.own.is_some_and(|(_, own)| own == header.session);
                if ordered || plain {
                    let (session, sequence) = (header.session, header.sequence);
                    match outcome {
                        Outcome::Done(reply) => {
                            own.push(Own::Reply {
                                session,
                                sequence,
                                reply: Some(reply.into_owned()),
                            });
                        }
                        Outcome::Unreadable => own.push(Own::Reply {
                            session,
                            sequence,
                            reply: None,
                        }),
                        Outcome::Expired => own.push(Own::Expired { session }),
                        Outcome::Early | Outcome::TooFarAhead if ordered => {
                            own.push(Own::Early { session, sequence });
                        }
                        Outcome::Acknowledged if ordered => {
                            own.push(Own::Acknowledged { session, sequence });
                        }
                        // Of these nobody waits: the first was given up, and no member sends the others.
                        Outcome::Acknowledged | Outcome::TooFarAhead | Outcome::Early => {}
                    }
                }
            }
        }
        Ok(())
    }

    fn report_restored(&mut self) -> Result<Report<S::Reply>, MachineFault> {
        let known = self.own;
        let ordered: Vec<_> = self
            .ordered
            .iter()
            .map(|(nonce, session)| (*nonce, *session))
            .collect();
        let own = known.map(|(_, session)| session);
        let own = own
            .into_iter()
            .chain(self.ordered.values().copied().flatten());
        let replies = own.flat_map(|session| {
            let replies = self.sessions.replies(session);
            replies.map(move |(sequence, reply)| Own::Reply {
                session,
                sequence,
                reply: reply.cloned(),
            })
        });
        let replies = replies.collect();
        Ok(Report::Restored {
            through: self.applied,
            known,
            ordered,
            replies,
            wakes_at: self.wakes_at()?,
            reply_bytes: self.sessions.reply_bytes(),
        })
    }

    /// Captures the state at once, and has it encoded and stored while entries go on being applied.
    fn capture(&self, bytes_max: u64, ends: &Ends<S>) -> Result<(), MachineFault> {
        let (reports, lane) = (ends.reports.clone(), Arc::clone(&ends.lane));
        let (through, stamp) = (self.applied, self.stamp);
        let reply_bytes = self.sessions.reply_bytes();
        let panicked = move |message: String| MachineFault::Snapshot {
            through,
            reason: format!("it panicked: {message}"),
        };
        let pieces = caught(|| self.machine.snapshot().into_pieces()).map_err(panicked)?;
        if let Some(reason) = self.machine.failure() {
            return Err(MachineFault::Snapshot { through, reason });
        }
        let joining = Joining::new(&self.sessions, pieces).at_most(bytes_max);
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
                Err(message) => Report::Failed(panicked(message)),
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
                        Ok(answer) => caller.answer(answer, now, self.applied),
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
                    applied: self.applied,
                });
                drop(caller.send(answer.map_err(Unread::Error)));
            }
        }
    }

    /// Asks the state machine. A query changes nothing, so a panic over it is the matter of this one read.
    fn ask(&self, query: S::Query) -> Result<S::Answer, ReadError> {
        caught(|| self.machine.query(query)).map_err(|message| {
            let (term, index) = (self.term, self.applied);
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

/// What a client is told of its command.
fn outcome_to_tell<R: Serialize + Clone>(
    header: &CommandHeader,
    outcome: &Outcome<'_, R>,
) -> Option<CommandOutcome> {
    let (session, sequence) = (header.session, header.sequence);
    let done = |reply| {
        Some(CommandOutcome::Done {
            session,
            sequence,
            reply,
        })
    };
    match outcome {
        Outcome::Done(reply) => done(codec::encode(&**reply).ok().map(Bytes::from)),
        Outcome::Unreadable => done(None),
        Outcome::Expired => Some(CommandOutcome::Expired { session, sequence }),
        Outcome::Acknowledged | Outcome::TooFarAhead | Outcome::Early => None,
    }
}

fn undecodable<T>(index: Index, reason: String) -> MachineFault {
    MachineFault::Undecodable {
        index,
        type_name: std::any::type_name::<T>(),
        reason,
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

#[cfg(test)]
mod tests;
