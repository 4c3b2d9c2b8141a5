//! This member's commands on their way through the log, under its session (§6.3).
//!
//! One session serves all callers. A command gets its number when it is admitted, is sent as often as it takes, always
//! under that number, and is completed when *this member's own applier* comes to it: a lost answer of the leader costs
//! nothing. That also settles what an expired session means. Whatever is still pending has not been applied in the
//! part of the log that this member has seen; a session that is gone stays gone; so when a copy is refused as expired,
//! the command was certainly not done and silently takes another session. Only a snapshot, which takes the place of a
//! part of the log that this member never saw, can leave the fate of a command open.
//!
//! A [client](super::client) sends its commands by the same table. It has no applier and hears of each copy of a
//! command from a leader, or never: of one that was sent once and refused as expired it knows as much as a member.

mod command;

use std::collections::VecDeque;
use std::ops::Range;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use tokio::sync::oneshot;

use self::command::{Command, Slot};
use super::asker::Asker;
use super::attempt::{Attempt, Due, Stage};
use super::bounds::COMMANDS_PENDING_MAX;
use super::budget::Budget;
use super::error::{Busy, ProposeError, UnknownCause};
use super::forwards::{COMMAND_OVERHEAD_BYTES, Forwards, room_behind};
use crate::consensus::ProposeRefused;
use crate::consensus::planted::{Bug, is_planted};
use crate::ids::{Index, LogPosition, ServerId};
use crate::sessions::{self, CommandHeader, Owner};
use crate::time::Instant;

/// The id of a registration among this member's proposals, whose others are numbered from 1.
const REGISTRATION: u64 = 0;

/// Where the caller of a command waits.
pub(super) type Caller<R> = oneshot::Sender<Result<R, ProposeError>>;

/// The pending commands of this member.
#[derive(Debug)]
pub(super) struct Proposals<R> {
    session: Session,
    /// The client whose commands these are; `None`: this member's.
    owner: Option<ServerId>,
    /// Names this run of the member in the nonces of its registrations.
    boot: u64,
    registrations: u64,
    /// The number of the first slot's command; all before it are answered or given up.
    base: u64,
    slots: VecDeque<Slot<R>>,
    /// No command before this number is unsent.
    unsent_from: u64,
    /// What was forwarded in which batch.
    forwards: Forwards,
    requests: u64,
    due: Due,
    resend_after: Duration,
    budget: Arc<Budget>,
}

#[derive(Debug)]
enum Session {
    None,
    Registering {
        nonce: u128,
        command: Bytes,
        attempt: Attempt,
    },
    Open {
        nonce: u128,
        name: Index,
    },
    /// A client's that is gone. What may have been done under it is sent until that is known.
    Over {
        name: Index,
    },
}

impl<R> Proposals<R> {
    /// None yet. A command is sent again when no answer has come for `resend_after`.
    pub(super) fn new(boot: u64, resend_after: Duration, budget: Arc<Budget>) -> Self {
        Self {
            session: Session::None,
            owner: None,
            boot,
            registrations: 0,
            base: 1,
            slots: VecDeque::new(),
            unsent_from: 1,
            forwards: Forwards::default(),
            requests: 0,
            due: Due::never(),
            resend_after,
            budget,
        }
    }

    /// These are commands of a client.
    pub(super) const fn of_client(mut self, owner: ServerId) -> Self {
        self.owner = Some(owner);
        self
    }

    /// A command is sent again when no answer has come for so long; what waits already waits as it was told.
    pub(super) fn resend_after(&mut self, interval: Duration) {
        self.resend_after = interval;
    }

    /// How many commands are pending.
    pub(super) fn len(&self) -> usize {
        self.slots.len()
    }

    /// When [`expire`](Self::expire) is to be called.
    pub(super) fn due(&self) -> Instant {
        self.due.at()
    }

    /// Takes a caller's command, serialised behind room for its header. Whether it did: a full table is busy.
    pub(super) fn admit(&mut self, command: Vec<u8>, deadline: Instant, caller: Caller<R>) -> bool {
        if self.slots.len() >= COMMANDS_PENDING_MAX {
            self.budget.release(command.len());
            answer(caller, Err(ProposeError::Busy(Busy::COMMANDS)));
            return false;
        }
        self.due.no_later_than(deadline);
        self.slots.push_back(Slot {
            command: Command::Unnumbered(command),
            deadline,
            caller: Some(caller),
            attempt: Attempt::unsent(),
            copies: 0,
        });
        true
    }

    /// Gives all that is unsent to this server's own core.
    pub(super) fn propose(&mut self, mut ask: impl FnMut(Asker, Bytes)) {
        self.begin_session();
        if let Session::Registering {
            command, attempt, ..
        } = &mut self.session
            && attempt.is_unsent()
        {
            attempt.own();
            ask(Asker::Own(REGISTRATION), command.clone());
        }
        while let Some((sequence, command)) = self.next_unsent(usize::MAX) {
            self.slot(sequence)
                .expect("it was just found")
                .attempt
                .own();
            ask(Asker::Own(sequence), command);
        }
    }

    /// Refuses all commands that nobody was asked to do. Returns how many.
    pub(super) fn refuse_unsent(&mut self, error: &ProposeError) -> u64 {
        let mut refused = 0;
        for sequence in self.base..self.base + self.slots.len() as u64 {
            let is_untouched = self.slot(sequence).is_some_and(|slot| {
                let attempt = &slot.attempt;
                slot.caller.is_some() && attempt.is_unsent() && !attempt.maybe_taken
            });
            if is_untouched {
                self.complete(sequence, Err(error.clone()));
                refused += 1;
            }
        }
        self.forget_answered();
        refused
    }

    /// The core's answer to one of them, by its number.
    pub(super) fn on_core_answer(
        &mut self,
        sequence: u64,
        result: &Result<LogPosition, ProposeRefused>,
        now: Instant,
    ) {
        let taken = result.is_ok();
        if sequence == REGISTRATION {
            self.on_registration_answer(Stage::Own, taken, now);
            return;
        }
        let untouched = self
            .slot(sequence)
            .is_some_and(|slot| !slot.attempt.maybe_taken);
        match result {
            // The own core's refusal is final if no other copy is under way.
            Err(ProposeRefused::Busy {
                pending_bytes_max, ..
            }) if untouched => {
                let busy = Busy {
                    max: *pending_bytes_max,
                    what: "bytes of uncommitted or unwritten entries",
                };
                self.complete(sequence, Err(ProposeError::Busy(busy)));
            }
            Err(ProposeRefused::TooLarge { bytes, bytes_max }) if untouched => {
                let [bytes, bytes_max] =
                    [*bytes, *bytes_max].map(|bytes| usize::try_from(bytes).unwrap_or(usize::MAX));
                self.complete(sequence, Err(ProposeError::TooLarge { bytes, bytes_max }));
            }
            Ok(_)
            | Err(
                ProposeRefused::NotLeader { .. }
                | ProposeRefused::Busy { .. }
                | ProposeRefused::TooLarge { .. }
                | ProposeRefused::Transferring { .. },
            ) => self.on_answer(sequence, Stage::Own, taken, now),
        }
    }

    /// The next batch for the leader, of about this many bytes, with its number. The caller says whether it was
    /// [`forwarded`](Self::forwarded).
    pub(super) fn next_batch(
        &mut self,
        now: Instant,
        bytes_max: usize,
    ) -> Option<(u64, Vec<Bytes>)> {
        self.begin_session();
        let patience = self.forwards.patience(self.resend_after);
        let request = self.requests + 1;
        let mut commands = Vec::new();
        if let Session::Registering {
            command, attempt, ..
        } = &mut self.session
            && attempt.is_unsent()
        {
            attempt.sent(request, now, patience);
            self.due.no_later_than(attempt.again_at());
            commands.push(command.clone());
        }
        let mut sequences: Option<Range<u64>> = None;
        let mut bytes = 0;
        loop {
            let Some((sequence, command)) = self.next_unsent(room_behind(bytes, bytes_max)) else {
                break;
            };
            bytes += command.len() + COMMAND_OVERHEAD_BYTES;
            let attempt = &mut self.slot(sequence).expect("it was just found").attempt;
            attempt.sent(request, now, patience);
            let again_at = attempt.again_at();
            self.due.no_later_than(again_at);
            let first = sequences.map_or(sequence, |range| range.start);
            sequences = Some(first..sequence + 1);
            commands.push(command);
        }
        if commands.is_empty() {
            return None;
        }
        self.requests = request;
        self.forwards.begin(request, sequences.unwrap_or(0..0), now);
        Some((request, commands))
    }

    /// Whether the transport took a batch. If not, nobody saw it, and it is put off.
    pub(super) fn forwarded(&mut self, request: u64, sent: bool, now: Instant) {
        let after = self.resend_after;
        let range = self.forwards.range(request);
        if !sent {
            self.forwards.withdraw(request);
        }
        let mut settle = |attempt: &mut Attempt| {
            if attempt.stage != Stage::Sent(request) {
                return false;
            }
            if sent {
                attempt.maybe_taken = true;
            } else {
                attempt.put_off(now, after);
                self.due.no_later_than(attempt.again_at());
            }
            sent
        };
        if let Session::Registering { attempt, .. } = &mut self.session {
            settle(attempt);
        }
        let base = self.base;
        let place =
            |sequence: u64| usize::try_from(sequence.saturating_sub(base)).unwrap_or(usize::MAX);
        let end = place(range.end).min(self.slots.len());
        for slot in self.slots.range_mut(place(range.start).min(end)..end) {
            slot.copies += u32::from(settle(&mut slot.attempt));
        }
    }

    /// The leader's answer to a batch: whether it was appended. A refusal is not the end, since the network may show
    /// that leader, or the next, the same frame again.
    pub(super) fn on_forward_answer(&mut self, request: u64, taken: bool, now: Instant) {
        let Some(range) = self.forwards.answered(request, now) else {
            return;
        };
        self.on_registration_answer(Stage::Sent(request), taken, now);
        for sequence in range {
            self.on_answer(sequence, Stage::Sent(request), taken, now);
        }
    }

    /// A member has taken no command of a client's batch, and never will: that copy of each is in no log.
    pub(super) fn on_forward_declined(&mut self, request: u64, now: Instant) {
        let after = self.resend_after;
        // A no comes sooner than a reply, and says nothing of how long those take.
        let range = self.forwards.range(request);
        self.forwards.withdraw(request);
        self.on_registration_answer(Stage::Sent(request), false, now);
        for sequence in range {
            let Some(slot) = self.slot(sequence) else {
                continue;
            };
            slot.copies = slot.copies.saturating_sub(1);
            slot.attempt.maybe_taken = slot.copies > 0;
            if slot.attempt.stage == Stage::Sent(request) {
                slot.attempt.put_off(now, after);
                let again_at = slot.attempt.again_at();
                self.due.no_later_than(again_at);
            }
        }
        self.leave_if_settled();
    }

    /// The leader takes no command of a client's batch, for a reason that stays. What else is unsent it would not take
    /// either.
    pub(super) fn on_forward_refused(&mut self, request: u64, error: &ProposeError, now: Instant) {
        let range = self.forwards.range(request);
        self.forwards.withdraw(request);
        self.on_registration_answer(Stage::Sent(request), false, now);
        for sequence in range {
            let slot = self.slot(sequence);
            let Some(slot) = slot.filter(|slot| slot.attempt.stage == Stage::Sent(request)) else {
                continue;
            };
            let error = if slot.copies > 1 {
                ProposeError::Unknown(UnknownCause::NoReply)
            } else {
                error.clone()
            };
            self.complete(sequence, Err(error));
        }
        self.refuse_unsent(error);
        self.leave_if_settled();
    }

    /// Another leader, or another term of it: what the last one took up may be lost.
    pub(super) fn reroute(&mut self) {
        if let Session::Registering { attempt, .. } = &mut self.session {
            attempt.reroute();
        }
        for slot in self.slots.iter_mut().filter(|slot| slot.caller.is_some()) {
            slot.attempt.reroute();
        }
        self.unsent_from = self.base;
        self.forwards.clear();
    }

    /// This member's applier has come to a registration of its own, which has opened this session or found it open.
    pub(super) fn on_registered(&mut self, nonce: u128, session: Index) {
        match self.session {
            Session::Registering { nonce: mine, .. } if mine == nonce => {
                self.session = Session::Open {
                    nonce,
                    name: session,
                };
            }
            // A late copy of the registration that opens another session shows that this one is over. A client may not
            // have been told yet what was done under it.
            Session::Open { nonce: mine, name } if mine == nonce && name != session => {
                if self.owner.is_some() {
                    self.session = Session::Over { name };
                    self.leave_if_settled();
                } else {
                    self.leave_session();
                }
            }
            Session::None
            | Session::Registering { .. }
            | Session::Open { .. }
            | Session::Over { .. } => {}
        }
    }

    /// This member's applier has come to a command of its session.
    pub(super) fn on_reply(&mut self, session: Index, sequence: u64, reply: Option<R>) {
        let is_over = matches!(self.session, Session::Over { name } if name == session);
        if is_over || self.has_open(session) {
            self.complete(sequence, reply.ok_or(ProposeError::ReplyUnreadable));
            self.forget_answered();
            self.leave_if_settled();
        }
    }

    /// The leader has come to a copy of a client's command, and the session is gone. Of other commands, and of other
    /// copies, that tells nothing.
    pub(super) fn on_copy_expired(&mut self, session: Index, sequence: u64) {
        let is_over = matches!(self.session, Session::Over { name } if name == session);
        if !is_over && !self.has_open(session) {
            return;
        }
        self.session = Session::Over { name: session };
        if let Some(slot) = self.slot(sequence) {
            if slot.copies > 1 {
                let unknown = ProposeError::Unknown(UnknownCause::SessionExpired);
                self.complete(sequence, Err(unknown));
                self.forget_answered();
            } else {
                slot.attempt = Attempt::unsent();
            }
        }
        self.leave_if_settled();
    }

    /// The leader has refused a copy of a client's command, for a reason that stays: it is in no log.
    pub(super) fn on_copy_refused(&mut self, session: Index, sequence: u64, error: ProposeError) {
        if !self.has_open(session) {
            return;
        }
        if let Some(slot) = self.slot(sequence) {
            let error = match slot.copies {
                0 | 1 => error,
                _ => ProposeError::Unknown(UnknownCause::NoReply),
            };
            self.complete(sequence, Err(error));
            self.forget_answered();
        }
    }

    /// Turns to another session once it is known what was done under one that is over.
    fn leave_if_settled(&mut self) {
        let is_open = |slot: &Slot<R>| slot.caller.is_some() && slot.attempt.maybe_taken;
        if matches!(self.session, Session::Over { .. }) && !self.slots.iter().any(is_open) {
            self.leave_session();
        }
    }

    /// This member's applier has come to a command of its session, and the session is gone.
    pub(super) fn on_expired(&mut self, session: Index) {
        if self.has_open(session) {
            self.leave_session();
        }
    }

    /// A snapshot took the place of a part of the log. It knows this session of this member, if any.
    ///
    /// The replies that the snapshot keeps for it come after, as [`on_reply`](Self::on_reply).
    pub(super) fn on_restored(&mut self, known: Option<(u128, Index)>) {
        match (&mut self.session, known) {
            (Session::Open { name, .. }, Some((_, session))) if *name == session => {}
            (Session::Open { .. }, _) => {
                for place in 0..self.slots.len() {
                    if self.slots[place].attempt.maybe_taken
                        && !is_planted(Bug::ResentAfterLostSession)
                    {
                        let unknown = ProposeError::Unknown(UnknownCause::SessionExpired);
                        self.complete(self.base + place as u64, Err(unknown));
                    }
                }
                self.leave_session();
            }
            (Session::Registering { nonce: mine, .. }, Some((nonce, session)))
                if *mine == nonce =>
            {
                self.session = Session::Open {
                    nonce,
                    name: session,
                };
            }
            // The registration may have been in that part, and what it opened may be over.
            (Session::Registering { attempt, .. }, _) => attempt.reroute(),
            (Session::None | Session::Over { .. }, _) => {}
        }
    }

    /// Gives up what has passed its deadline or has no caller any more, and wakes what is to be sent again.
    pub(super) fn expire(&mut self, now: Instant) {
        if !self.due.begin(now) {
            return;
        }
        if let Session::Registering { attempt, .. } = &mut self.session {
            self.due.look_at(attempt, now);
        }
        for place in 0..self.slots.len() {
            let slot = &mut self.slots[place];
            let Some(caller) = &slot.caller else { continue };
            let sequence = self.base + place as u64;
            if now >= slot.deadline || caller.is_closed() {
                let error = match slot.attempt.maybe_taken {
                    true => ProposeError::Unknown(UnknownCause::NoReply),
                    false => ProposeError::TimedOut,
                };
                self.complete(sequence, Err(error));
                continue;
            }
            self.due.no_later_than(slot.deadline);
            self.due.look_at(&mut slot.attempt, now);
            if slot.attempt.is_unsent() {
                self.unsent_from = self.unsent_from.min(sequence);
            }
        }
        self.forget_answered();
        self.leave_if_settled();
        self.due.end(now);
    }

    /// Answers all callers, because the member stops.
    pub(super) fn stop(&mut self) {
        self.end(
            &ProposeError::Stopped,
            &ProposeError::Unknown(UnknownCause::MemberStopped),
        );
    }

    /// Answers all callers: those whose commands no leader can have by one error, the others by another.
    pub(super) fn end(&mut self, unsent: &ProposeError, sent: &ProposeError) {
        for place in 0..self.slots.len() {
            let error = match self.slots[place].attempt.maybe_taken {
                true => sent.clone(),
                false => unsent.clone(),
            };
            self.complete(self.base + place as u64, Err(error));
        }
        self.forget_answered();
        self.leave_if_settled();
    }

    /// Registers once the first command needs it.
    fn begin_session(&mut self) {
        if matches!(self.session, Session::None) && !self.slots.is_empty() {
            self.registrations += 1;
            let nonce = u128::from(self.boot) << 64 | u128::from(self.registrations);
            let command = Bytes::from(match self.owner {
                None => sessions::registration(nonce),
                // The leader knows the token by which this client's link was let in, and adds it.
                Some(id) => sessions::owned_registration(Owner { id, token: None }, nonce),
            });
            self.session = Session::Registering {
                nonce,
                command,
                attempt: Attempt::unsent(),
            };
        }
    }

    fn has_open(&self, session: Index) -> bool {
        matches!(self.session, Session::Open { name, .. } if name == session)
    }

    /// Prepares what is pending for another session: nothing of it was done, and nothing of it is under way that could
    /// still be done.
    fn leave_session(&mut self) {
        self.session = Session::None;
        self.slots.retain(|slot| slot.caller.is_some());
        for slot in &mut self.slots {
            slot.attempt = Attempt::unsent();
            slot.copies = 0;
            if let Command::Numbered(command) = &slot.command {
                slot.command = Command::Unnumbered(command.to_vec());
            }
        }
        self.base = 1;
        self.unsent_from = 1;
        self.forwards.clear();
    }

    /// The next command to send, if the session is open and the command has no more bytes than this.
    fn next_unsent(&mut self, bytes_max: usize) -> Option<(u64, Bytes)> {
        let (session, is_over) = match self.session {
            Session::Open { name, .. } => (name, false),
            Session::Over { name } => (name, true),
            Session::None | Session::Registering { .. } => return None,
        };
        self.unsent_from = self.unsent_from.max(self.base);
        let start = usize::try_from(self.unsent_from - self.base).unwrap_or(usize::MAX);
        for place in start..self.slots.len() {
            let slot = &mut self.slots[place];
            let is_kept = is_over && !slot.attempt.maybe_taken;
            if slot.caller.is_some() && slot.attempt.is_unsent() && !is_kept {
                if slot.command.len() > bytes_max {
                    return None;
                }
                let header = CommandHeader {
                    session,
                    sequence: self.unsent_from,
                    acknowledged_through: self.base - 1,
                };
                self.unsent_from += 1;
                return Some((header.sequence, slot.command.numbered(self.owner, &header)));
            }
            self.unsent_from += 1;
        }
        None
    }

    fn on_registration_answer(&mut self, asked: Stage, taken: bool, now: Instant) {
        if let Session::Registering { attempt, .. } = &mut self.session
            && attempt.stage == asked
        {
            attempt.answered(taken, now, self.resend_after);
            self.due.no_later_than(attempt.again_at());
        }
    }

    fn on_answer(&mut self, sequence: u64, asked: Stage, taken: bool, now: Instant) {
        let after = self.resend_after;
        if let Some(slot) = self.slot(sequence)
            && slot.attempt.stage == asked
        {
            slot.attempt.answered(taken, now, after);
            let again_at = slot.attempt.again_at();
            self.due.no_later_than(again_at);
        }
    }

    fn slot(&mut self, sequence: u64) -> Option<&mut Slot<R>> {
        let place = usize::try_from(sequence.checked_sub(self.base)?).ok()?;
        self.slots.get_mut(place)
    }

    fn complete(&mut self, sequence: u64, result: Result<R, ProposeError>) {
        let Some(slot) = self.slot(sequence) else {
            return;
        };
        let bytes = slot.command.len();
        if let Some(caller) = slot.caller.take() {
            slot.command = Command::Unnumbered(Vec::new());
            answer(caller, result);
            self.budget.release(bytes);
        }
    }

    fn forget_answered(&mut self) {
        while self.slots.front().is_some_and(|slot| slot.caller.is_none()) {
            self.slots.pop_front();
            self.base += 1;
        }
    }
}

/// Answers a caller, who may have stopped waiting.
fn answer<R>(caller: Caller<R>, result: Result<R, ProposeError>) {
    drop(caller.send(result));
}

#[cfg(test)]
mod tests;
