//! Keeps what waits in an outbox, and says what comes next. It is a value: the task around it writes and sends.
//!
//! A command passes four lines, always in the order of the numbers: it is *accepted*; it is *stored*, in one write with
//! the mark that it may be sent, if its turn has come; it is *released* to the lane, never before that mark is stored;
//! and it is *settled* when it is done, or when it is given up. So what may have been sent is always a prefix of what
//! waits, and a store always knows a prefix that holds it.

mod view;

use std::time::Duration;

use bytes::Bytes;
use tokio::sync::oneshot;

use super::error::{OutboxCause, OutboxError};
use super::status::OutboxEvent;
use super::unsettled::{Room, Unsettled};
use super::{OnExpiry, Outcome};
use crate::consensus::planted::{Bug, is_planted};
use crate::driver::bounds::LANE_COMMANDS_MAX;
use crate::driver::lanes::LaneEvent;
use crate::ids::Index;
use crate::sessions::{CommandHeader, ORDERED_SESSION_EXPIRY};
use crate::storage::outbox::{OutboxPosition, OutboxWrite, RecoveredOutbox, StoredCommand};
use crate::time::Instant;

/// The most bytes of commands that are released and not done. One command is always allowed.
const LANE_BYTES_MAX: usize = 4 << 20;

/// A session that may have been idle for so long is confirmed before more is sent under it, so that an outbox that was
/// idle, or cut off, never sends under a session that is about to expire.
const CONFIRM_AFTER: Duration = Duration::from_secs(ORDERED_SESSION_EXPIRY.as_secs() / 4);

/// The commands of an outbox, from the first that is not settled.
pub(super) struct Queue<R> {
    unsettled: Unsettled<R>,
    /// Commands up to this number were given up, and stay here until the application resumes.
    reported_through: u64,
    /// Whether it is certain that these were not done.
    reported_proven: bool,
    /// Commands up to this number are with the lane, or settled.
    released_through: u64,
    /// Commands up to this number may have been sent by an earlier run.
    recovered_through: u64,
    /// Where the sending is, which the store is to learn.
    position: OutboxPosition,
    stored: Stored,
    writing: Option<Stored>,
    session: Session,
    /// The session was used after this moment.
    used_at: Instant,
    /// Whether what is under way is to be settled before more is sent: there was no leader for a while, and nobody
    /// knows for how long in the cluster's time.
    draining: bool,
    on_expiry: OnExpiry,
    /// Whether nothing more is sent until the application resumes.
    halted: bool,
    closed: Option<OutboxCause>,
    /// What happened and is to be told.
    events: Vec<OutboxEvent>,
}

/// What a store holds.
#[derive(Clone, Copy, Debug, Default)]
struct Stored {
    through: u64,
    removed_through: u64,
    position: Option<OutboxPosition>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Session {
    /// Not confirmed in this run, or not lately.
    None,
    Registering {
        asked_at: Instant,
    },
    Open(Index),
}

/// What is to be asked of the lane.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Order {
    Register,
    Send {
        session: Index,
        first: u64,
        commands: Vec<Bytes>,
    },
}

impl<R: Clone> Queue<R> {
    /// What was recovered, with such room for each command as is left. `nonce` names the outbox unless it has a name.
    pub(super) fn new(
        recovered: RecoveredOutbox,
        nonce: u128,
        on_expiry: OnExpiry,
        now: Instant,
        mut room: impl FnMut(usize) -> Option<Room>,
    ) -> Self {
        let first = recovered.commands.first().map(|command| command.number);
        let sent_through = recovered
            .position
            .map_or(0, |position| position.sent_through);
        let settled_through = first.map_or(sent_through, |first| first - 1);
        let mut unsettled = Unsettled::after(settled_through);
        for stored in recovered.commands {
            let room = room(stored.command.len());
            unsettled.push(stored.command, room, now);
        }
        let through = unsettled.last();
        let mut queue = Self {
            unsettled,
            reported_through: 0,
            reported_proven: false,
            released_through: settled_through,
            recovered_through: sent_through,
            position: recovered.position.unwrap_or(OutboxPosition {
                nonce,
                session: None,
                first: settled_through + 1,
                sent_through: settled_through,
            }),
            stored: Stored {
                through,
                removed_through: settled_through,
                position: recovered.position,
            },
            writing: None,
            session: Session::None,
            used_at: now,
            draining: false,
            on_expiry,
            halted: false,
            closed: None,
            events: Vec::new(),
        };
        if queue.position.session.is_none() {
            // The last run gave these up and did not come to remove them.
            queue.give_up(sent_through, false);
        }
        queue
    }

    pub(super) const fn nonce(&self) -> u128 {
        self.position.nonce
    }

    /// The number of the last command that was accepted.
    pub(super) fn last(&self) -> u64 {
        self.unsettled.last()
    }

    pub(super) fn len(&self) -> usize {
        self.unsettled.len()
    }

    pub(super) const fn bytes(&self) -> usize {
        self.unsettled.bytes()
    }

    /// Takes a command, and gives it a number.
    pub(super) fn accept(&mut self, command: Bytes, room: Room, now: Instant) -> u64 {
        self.unsettled.push(command, Some(room), now)
    }

    /// Has the outcome of a pending command told, also if it was told before. `None` if it is not pending.
    pub(super) fn wait_for(&mut self, number: u64) -> Option<oneshot::Receiver<Outcome<R>>> {
        let reported =
            (number <= self.reported_through).then(|| self.given_up(number, self.reported_proven));
        let item = self.unsettled.get_mut(number)?;
        let (waiter, outcome) = oneshot::channel();
        match reported {
            Some(error) => drop(waiter.send(Err(error))),
            None => item.wait(waiter),
        }
        Some(outcome)
    }

    pub(super) fn command(&self, number: u64) -> Option<&Bytes> {
        Some(&self.unsettled.get(number)?.command)
    }

    /// The next write, if something is to be stored and no write is under way. [`written`](Self::written) follows.
    pub(super) fn next_write(&mut self, leader_known: bool, now: Instant) -> Option<OutboxWrite> {
        self.draining = self.is_under_way() && (self.draining || !leader_known);
        if self.writing.is_some() {
            return None;
        }
        if leader_known && self.may_release(now) {
            self.position.sent_through = self.position.sent_through.max(self.release_through());
        }
        let after = Stored {
            through: self.last(),
            removed_through: self.settled_through(),
            position: Some(self.position),
        };
        let position = (self.stored.position != after.position).then_some(self.position);
        let removed = after.removed_through > self.stored.removed_through;
        let append: Vec<_> = (self.stored.through.max(self.settled_through()) + 1..=after.through)
            .filter_map(|number| {
                let command = self.command(number)?.clone();
                Some(StoredCommand { number, command })
            })
            .collect();
        if append.is_empty() && !removed && (position.is_none() || self.is_blank()) {
            return None;
        }
        self.writing = Some(after);
        Some(OutboxWrite {
            position,
            remove_through: removed.then_some(after.removed_through),
            append,
        })
    }

    /// The write is durable.
    pub(super) fn written(&mut self) {
        self.stored = self.writing.take().expect("a write was under way");
    }

    /// What is to be asked of the lane.
    pub(super) fn next_order(&mut self, leader_known: bool, now: Instant) -> Option<Order> {
        if self.halted || self.unsettled.is_empty() {
            return None;
        }
        match self.session {
            Session::Registering { .. } => None,
            Session::None if leader_known => {
                self.session = Session::Registering { asked_at: now };
                Some(Order::Register)
            }
            Session::None => None,
            Session::Open(session) => {
                if !self.is_under_way() && !self.is_fresh(now) && leader_known {
                    self.session = Session::Registering { asked_at: now };
                    return Some(Order::Register);
                }
                self.release(session, now)
            }
        }
    }

    /// What the lane has told.
    pub(super) fn on_lane_event(&mut self, event: LaneEvent<R>) {
        match event {
            LaneEvent::Registered { session } => self.on_registered(session),
            LaneEvent::Done { sequence, reply } => self.on_done(sequence, reply),
            LaneEvent::Expired {
                sent_through,
                proven,
            } => self.on_expired(sent_through, proven),
        }
    }

    /// Removes what was given up, and goes on. Whether there was reason to.
    pub(super) fn resume(&mut self) -> bool {
        if !self.halted {
            return false;
        }
        self.halted = false;
        self.remove_through(self.reported_through);
        self.events.push(OutboxEvent::Resumed);
        true
    }

    /// Ends the outbox. What is pending is told; `durable` says whether it lives on in a store.
    pub(super) fn close(&mut self, cause: OutboxCause, durable: bool) {
        let stored = self
            .writing
            .map_or(self.stored.through, |writing| writing.through);
        for (number, item) in self.unsettled.iter_mut() {
            if number <= self.reported_through {
                continue;
            }
            let error = if durable && number <= stored {
                OutboxError::Interrupted(cause.clone())
            } else if number <= self.released_through {
                OutboxError::Unknown(cause.clone())
            } else {
                OutboxError::NotDone(cause.clone())
            };
            item.tell(&Err(error));
        }
        self.events.push(OutboxEvent::Closed(cause.clone()));
        self.closed = Some(cause);
    }

    pub(super) fn take_events(&mut self) -> Vec<OutboxEvent> {
        std::mem::take(&mut self.events)
    }

    fn on_registered(&mut self, session: Index) {
        let Session::Registering { asked_at } = self.session else {
            return;
        };
        self.used_at = asked_at;
        self.session = Session::Open(session);
        if self.position.session == Some(session) {
            self.released_through = self.settled_through();
            return;
        }
        self.leave_session(self.released_through, false);
        self.position.session = Some(session);
        self.position.first = self.position.sent_through + 1;
    }

    fn on_done(&mut self, sequence: u64, reply: Option<R>) {
        let number = self.position.first + (sequence - 1);
        let mut item = self
            .unsettled
            .pop()
            .expect("what is done was released and not settled");
        assert_eq!(
            number,
            self.settled_through(),
            "the commands of an ordered session are done in their order"
        );
        self.used_at = self.used_at.max(item.released_at);
        self.released_through = self.released_through.max(number);
        item.tell(&reply.ok_or(OutboxError::ReplyUnreadable));
    }

    fn on_expired(&mut self, sent_through: u64, proven: bool) {
        let sent = (self.position.first + sent_through).saturating_sub(1);
        self.session = Session::None;
        self.leave_session(sent, proven);
    }

    /// The session is gone, and with it what this run has sent under it up to this number, or an earlier run.
    fn leave_session(&mut self, sent_through: u64, proven: bool) {
        let sent_through = sent_through.max(self.recovered_through).min(self.last());
        self.position.session = None;
        self.give_up(sent_through, proven);
        self.position.sent_through = sent_through.max(self.settled_through());
        self.released_through = self.settled_through();
    }

    /// Commands up to this number are not sent again.
    fn give_up(&mut self, through: u64, proven: bool) {
        let through = through.min(self.last());
        if through <= self.settled_through() {
            return;
        }
        for number in self.settled_through() + 1..=through {
            let error = self.given_up(number, proven);
            let item = self.unsettled.get_mut(number);
            let item = item.expect("it is pending: it is not settled, and not after the last");
            item.tell(&Err(error.clone()));
            self.events.push(OutboxEvent::GivenUp { number, error });
        }
        match self.on_expiry {
            OnExpiry::Continue => self.remove_through(through),
            OnExpiry::Stop => {
                self.reported_through = through;
                self.reported_proven = proven;
                self.halted = true;
                self.events.push(OutboxEvent::Halted);
            }
        }
    }

    fn given_up(&self, number: u64, proven: bool) -> OutboxError {
        if proven && number > self.recovered_through {
            OutboxError::NotDone(OutboxCause::SessionExpired)
        } else {
            OutboxError::Unknown(OutboxCause::SessionExpired)
        }
    }

    fn remove_through(&mut self, number: u64) {
        self.unsettled.remove_through(number);
        self.released_through = self.released_through.max(self.settled_through());
    }

    /// Gives the lane what the store knows to be on its way.
    fn release(&mut self, session: Index, now: Instant) -> Option<Order> {
        let position = self.stored.position.filter(|stored| {
            stored.session == Some(session) && self.position.session == Some(session)
        })?;
        let from = self.released_through.max(self.settled_through()) + 1;
        let through = position
            .sent_through
            .min(self.stored.through)
            .min(self.release_through());
        // What the store may still give back to a later run must be known to the session.
        let forgotten_through = if is_planted(Bug::AcknowledgesBeforeForgotten) {
            self.settled_through()
        } else {
            self.stored.removed_through
        };
        let acknowledged_through = forgotten_through.saturating_sub(position.first - 1);
        let mut commands = Vec::new();
        for number in from..=through {
            let item = self.unsettled.get_mut(number)?;
            item.released_at = now;
            commands.push(item.headed(&CommandHeader {
                session,
                sequence: number - position.first + 1,
                acknowledged_through,
            }));
        }
        if commands.is_empty() {
            return None;
        }
        self.released_through = through;
        Some(Order::Send {
            session,
            first: from - position.first + 1,
            commands,
        })
    }

    fn may_release(&self, now: Instant) -> bool {
        matches!(self.session, Session::Open(_))
            && !self.halted
            && !self.draining
            && self.is_fresh(now)
    }

    /// Whether the lane has commands that are not done.
    const fn is_under_way(&self) -> bool {
        self.released_through > self.settled_through()
    }

    /// How far the window of the lane reaches.
    fn release_through(&self) -> u64 {
        self.unsettled.window(LANE_COMMANDS_MAX, LANE_BYTES_MAX)
    }

    fn is_fresh(&self, now: Instant) -> bool {
        now.since(self.used_at) < CONFIRM_AFTER
    }

    /// Whether nothing was ever accepted.
    fn is_blank(&self) -> bool {
        self.stored.position.is_none() && self.last() == 0
    }

    fn maybe_sent_through(&self) -> u64 {
        self.released_through
            .max(self.recovered_through)
            .min(self.last())
    }

    const fn settled_through(&self) -> u64 {
        self.unsettled.settled_through()
    }
}

#[cfg(test)]
mod tests;
