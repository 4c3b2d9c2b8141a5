//! One ordered session and the commands under way in it.
//!
//! They are sent in the order of their numbers, many at once, and as often as it takes. If one is lost on the way,
//! those behind it come before their turn and have no effect: the applier says so, and all of them are sent again, in
//! order, from the first that is not done. So the order never depends on the network, and a network in order costs
//! nothing.

use std::collections::VecDeque;
use std::ops::Range;
use std::time::Duration;

use bytes::Bytes;
use tokio::sync::mpsc;

use super::LaneEvent;
use crate::driver::attempt::{Attempt, Due, Stage};
use crate::driver::bounds::LANE_COMMANDS_MAX;
use crate::driver::forwards::{COMMAND_OVERHEAD_BYTES, Forwards, room_behind};
use crate::ids::Index;
use crate::sessions;
use crate::time::Instant;

/// The number of a registration among a lane's proposals; commands are numbered from 1.
const REGISTRATION: u64 = 0;

/// An ordered session, as the member's loop sees it.
#[derive(Debug)]
pub(in crate::driver) struct Lane<R> {
    nonce: u128,
    session: Session,
    /// The number of the first slot's command; all before it are done.
    base: u64,
    slots: VecDeque<Slot<R>>,
    /// No command before this number is unsent.
    unsent_from: u64,
    /// No command of the session after this number has left this member.
    sent_through: u64,
    forwards: Forwards,
    requests: u64,
    due: Due,
    resend_after: Duration,
    events: mpsc::Sender<LaneEvent<R>>,
}

#[derive(Debug)]
enum Session {
    /// Not known, or gone.
    None,
    Registering {
        command: Bytes,
        attempt: Attempt,
        after: Index,
    },
    Open(Index),
}

#[derive(Debug)]
struct Slot<R> {
    command: Bytes,
    attempt: Attempt,
    /// There before that of an earlier slot if copies of both that were done long ago come in another order.
    reply: Option<Option<R>>,
}

impl<R> Lane<R> {
    pub(super) fn new(
        nonce: u128,
        resend_after: Duration,
        events: mpsc::Sender<LaneEvent<R>>,
    ) -> Self {
        Self {
            nonce,
            session: Session::None,
            base: 1,
            slots: VecDeque::new(),
            unsent_from: 1,
            sent_through: 0,
            forwards: Forwards::default(),
            requests: 0,
            due: Due::never(),
            resend_after,
            events,
        }
    }

    pub(super) const fn nonce(&self) -> u128 {
        self.nonce
    }

    pub(super) fn session(&self) -> Option<Index> {
        match self.session {
            Session::Open(session) => Some(session),
            Session::None | Session::Registering { .. } => None,
        }
    }

    /// Whether the outbox is gone.
    pub(super) fn is_abandoned(&self) -> bool {
        self.events.is_closed()
    }

    pub(super) fn resend_after(&mut self, interval: Duration) {
        self.resend_after = interval;
    }

    pub(super) fn due(&self) -> Instant {
        self.due.at()
    }

    /// Opens the session, or finds it open. Registrations up to `last_index` are older ones, that a member which
    /// started again comes to once more: what they say of the session may be over.
    pub(super) fn register(&mut self, last_index: Index) {
        assert!(
            self.slots.is_empty(),
            "an outbox confirms its session when nothing is under way"
        );
        self.session = Session::Registering {
            command: Bytes::from(sessions::ordered_registration(self.nonce)),
            attempt: Attempt::unsent(),
            after: last_index,
        };
    }

    /// Takes commands. Those of a session that is gone are forgotten: the outbox is about to hear that they did not
    /// leave.
    pub(super) fn send(&mut self, session: Index, first: u64, commands: Vec<Bytes>) {
        if self.session() != Some(session) {
            return;
        }
        if self.slots.is_empty() {
            self.base = first;
            self.unsent_from = first;
        }
        assert_eq!(
            self.base + self.slots.len() as u64,
            first,
            "an outbox numbers its commands without a gap"
        );
        assert!(
            self.slots.len() + commands.len() <= LANE_COMMANDS_MAX,
            "an outbox holds back what its lane has no room for"
        );
        self.slots.extend(commands.into_iter().map(|command| Slot {
            command,
            attempt: Attempt::unsent(),
            reply: None,
        }));
    }

    /// The next that is unsent, for this server's own core.
    pub(super) fn next_for_core(&mut self) -> Option<(u64, Bytes)> {
        if let Session::Registering {
            command, attempt, ..
        } = &mut self.session
        {
            return attempt.is_unsent().then(|| {
                attempt.own();
                (REGISTRATION, command.clone())
            });
        }
        let (sequence, command) = self.next_unsent(usize::MAX)?;
        self.attempt(sequence)?.own();
        self.sent_through = self.sent_through.max(sequence);
        Some((sequence, command))
    }

    pub(super) fn on_core_answer(&mut self, sequence: u64, taken: bool, now: Instant) {
        self.on_answer(sequence, Stage::Own, taken, now);
    }

    /// The next batch for the leader.
    pub(super) fn next_batch(
        &mut self,
        now: Instant,
        bytes_max: usize,
    ) -> Option<(u64, Vec<Bytes>)> {
        let patience = self.forwards.patience(self.resend_after);
        let request = self.requests + 1;
        if let Session::Registering {
            command, attempt, ..
        } = &mut self.session
        {
            if !attempt.is_unsent() {
                return None;
            }
            attempt.sent(request, now, patience);
            self.due.no_later_than(attempt.again_at());
            let command = command.clone();
            self.requests = request;
            self.forwards.begin(request, REGISTRATION..1, now);
            return Some((request, vec![command]));
        }
        let mut commands = Vec::new();
        let mut range: Option<Range<u64>> = None;
        let mut bytes = 0;
        loop {
            let Some((sequence, command)) = self.next_unsent(room_behind(bytes, bytes_max)) else {
                break;
            };
            bytes += command.len() + COMMAND_OVERHEAD_BYTES;
            if let Some(attempt) = self.attempt(sequence) {
                attempt.sent(request, now, patience);
                let again_at = attempt.again_at();
                self.due.no_later_than(again_at);
            }
            range = Some(range.map_or(sequence, |range| range.start)..sequence + 1);
            commands.push(command);
        }
        let range = range?;
        self.requests = request;
        self.forwards.begin(request, range, now);
        Some((request, commands))
    }

    /// Whether the transport took a batch. If not, nobody saw it, and it is put off.
    pub(super) fn forwarded(&mut self, request: u64, sent: bool, now: Instant) {
        let range = self.forwards.range(request);
        if sent {
            let last = range.end.saturating_sub(1);
            self.sent_through = self.sent_through.max(last);
            return;
        }
        self.forwards.withdraw(request);
        for sequence in range {
            self.on_answer(sequence, Stage::Sent(request), false, now);
        }
    }

    /// The leader's answer to a batch.
    pub(super) fn on_forward_answer(&mut self, request: u64, taken: bool, now: Instant) {
        for sequence in self.forwards.answered(request, now).into_iter().flatten() {
            self.on_answer(sequence, Stage::Sent(request), taken, now);
        }
    }

    /// Another leader, or another term of it.
    pub(super) fn reroute(&mut self) {
        if let Session::Registering { attempt, .. } = &mut self.session {
            attempt.reroute();
        }
        for slot in &mut self.slots {
            slot.attempt.reroute();
        }
        self.unsent_from = self.base;
        self.forwards.clear();
    }

    /// The applier has come to a registration of this nonce, at this index.
    pub(super) fn on_registered(&mut self, session: Index, at: Index) {
        match &mut self.session {
            Session::Registering { after, .. } if at > *after => self.open(session),
            // Ours, should it be this one after all, is lost among them: there will be another.
            Session::Registering { attempt, .. } => attempt.reroute(),
            // A second copy of the registration, that finds the session open; or that, after its expiry, opens another.
            Session::Open(open) if *open == session => {}
            Session::Open(_) => self.lose_session(true),
            Session::None => {}
        }
    }

    /// A snapshot took the place of a part of the log, and knows this session of the nonce. The replies that it keeps
    /// come after.
    pub(super) fn on_restored(&mut self, known: Option<Index>) {
        match (&mut self.session, known) {
            // What came before its turn in that part was not told: all is sent again.
            (Session::Open(open), Some(session)) if *open == session => self.reroute(),
            (Session::Open(_), _) => self.lose_session(false),
            // The registration may have been in that part, and what it said may be over.
            (Session::Registering { attempt, .. }, _) => attempt.reroute(),
            (Session::None, _) => {}
        }
    }

    /// The applier has come to a command.
    pub(in crate::driver) fn on_reply(&mut self, sequence: u64, reply: Option<R>) {
        let Some(place) = self.place(sequence) else {
            return;
        };
        self.slots[place].reply = Some(reply);
        while let Some(reply) = self.slots.front_mut().and_then(|slot| slot.reply.take()) {
            let sequence = self.base;
            self.slots.pop_front();
            self.base += 1;
            self.tell(LaneEvent::Done { sequence, reply });
        }
    }

    /// The applier has come to a command, and the session is gone.
    pub(in crate::driver) fn on_expired(&mut self) {
        self.lose_session(true);
    }

    /// The applier has come to a command before its turn: it, and those before it, are sent again, in order. Not at
    /// once, since the one that is missing may have been overtaken only.
    pub(in crate::driver) fn on_early(&mut self, sequence: u64, now: Instant) {
        let patience = self.forwards.patience(self.resend_after);
        let Some(place) = self.place(sequence) else {
            return;
        };
        match self.slots[place].attempt.stage {
            Stage::Own | Stage::Sent(_) | Stage::Taken => {}
            Stage::Unsent | Stage::PutOff => return,
        }
        for slot in self.slots.range_mut(..=place) {
            match slot.attempt.stage {
                Stage::Own | Stage::Sent(_) | Stage::Taken => slot.attempt.put_off(now, patience),
                Stage::Unsent | Stage::PutOff => {}
            }
        }
        self.unsent_from = self.base;
        self.due.no_later_than(now + patience);
    }

    /// The applier has come to a command that is counted as answered. Here it is not: what is known of the session,
    /// here or in what is stored, is not what was.
    pub(in crate::driver) fn on_acknowledged(&mut self, sequence: u64) {
        if self.place(sequence).is_some() {
            self.lose_session(false);
        }
    }

    /// Wakes what is to be sent again.
    pub(super) fn expire(&mut self, now: Instant) {
        if !self.due.begin(now) {
            return;
        }
        if let Session::Registering { attempt, .. } = &mut self.session {
            self.due.look_at(attempt, now);
        }
        for (sequence, slot) in (self.base..).zip(&mut self.slots) {
            self.due.look_at(&mut slot.attempt, now);
            if slot.attempt.is_unsent() {
                self.unsent_from = self.unsent_from.min(sequence);
            }
        }
        self.due.end(now);
    }

    fn open(&mut self, session: Index) {
        self.session = Session::Open(session);
        self.sent_through = 0;
        self.tell(LaneEvent::Registered { session });
    }

    fn lose_session(&mut self, proven: bool) {
        self.session = Session::None;
        self.slots.clear();
        self.forwards.clear();
        let sent_through = self.sent_through;
        self.tell(LaneEvent::Expired {
            sent_through,
            proven,
        });
    }

    /// An outbox that does not take its events, which their bound leaves room for, is gone.
    fn tell(&self, event: LaneEvent<R>) {
        let told = self.events.try_send(event);
        debug_assert!(
            !matches!(told, Err(mpsc::error::TrySendError::Full(_))),
            "the events of a lane are bounded by its commands"
        );
    }

    /// The next command to send, if it has no more bytes than this. One that is put off holds up those behind it.
    fn next_unsent(&mut self, bytes_max: usize) -> Option<(u64, Bytes)> {
        self.session()?;
        self.unsent_from = self.unsent_from.max(self.base);
        while let Some(place) = self.place(self.unsent_from) {
            let slot = &self.slots[place];
            match slot.attempt.stage {
                Stage::Unsent if slot.command.len() <= bytes_max => {
                    self.unsent_from += 1;
                    return Some((self.unsent_from - 1, slot.command.clone()));
                }
                Stage::Unsent | Stage::PutOff => return None,
                Stage::Own | Stage::Sent(_) | Stage::Taken => self.unsent_from += 1,
            }
        }
        None
    }

    fn on_answer(&mut self, sequence: u64, asked: Stage, taken: bool, now: Instant) {
        let after = self.resend_after;
        if let Some(attempt) = self.attempt(sequence)
            && attempt.stage == asked
        {
            attempt.answered(taken, now, after);
            let again_at = attempt.again_at();
            self.due.no_later_than(again_at);
            if !taken {
                self.unsent_from = self.unsent_from.min(sequence);
            }
        }
    }

    fn attempt(&mut self, sequence: u64) -> Option<&mut Attempt> {
        if sequence == REGISTRATION {
            return match &mut self.session {
                Session::Registering { attempt, .. } => Some(attempt),
                Session::None | Session::Open(_) => None,
            };
        }
        let place = self.place(sequence)?;
        Some(&mut self.slots[place].attempt)
    }

    fn place(&self, sequence: u64) -> Option<usize> {
        let place = usize::try_from(sequence.checked_sub(self.base)?).ok()?;
        (place < self.slots.len()).then_some(place)
    }
}

#[cfg(test)]
mod tests;
