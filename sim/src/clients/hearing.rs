//! What clients hear: refusals, answers, and that their session is gone.

use liferaft_raft::consensus::ProposalId;
use liferaft_raft::ids::Index;
use liferaft_raft::sessions::CommandHeader;

use super::{Clients, Letter, Pending, Sent};
use crate::clock::Nanos;
use crate::counts::Counts;
use crate::flaw::Flaw;
use crate::machine::{Effect, Fate};
use crate::operation::{Answer, Listed, Question};
use crate::sometimes::note_change;

impl Clients {
    /// A proposal is answered; what was refused and is still wanted.
    pub fn on_answer(&mut self, id: ProposalId, refused: bool) -> Option<Sent> {
        let sent = self.proposed.remove(&id).filter(|_| refused)?;
        if let Some(pending) = self.pending(sent) {
            pending.open -= 1;
        }
        Some(sent).filter(|sent| self.is_wanted(*sent))
    }

    /// A read returns, answered from the state as of this index.
    pub fn answer_read(
        &mut self,
        now: Nanos,
        operation: usize,
        (as_of, answer): (Index, Answer),
        counts: &mut Counts,
    ) {
        self.history[operation].took_effect = Some(as_of);
        self.answer(now, operation, answer, counts);
    }

    /// An operation returns.
    fn answer(&mut self, now: Nanos, operation: usize, answer: Answer, counts: &mut Counts) {
        let asked = &mut self.history[operation].asked;
        asked.returned = Some((now, answer));
        counts.answered += 1;
        if let Question::Change(change) = asked.input {
            note_change(change, answer, counts);
        }
        let key = u8::try_from(asked.key).unwrap_or(0);
        let value = match (answer, asked.input) {
            (Answer::Value(value) | Answer::Different(value), _) => Some(value),
            (Answer::Set, Question::Change(change)) => change.value(),
            _ => None,
        };
        if let Some(value) = value {
            self.last_heard.insert(key, value);
        }
        if let Answer::List(Listed { count, .. })
        | Answer::Counted(_, count)
        | Answer::Trimmed(.., count) = answer
        {
            self.counters.entry(key).or_default().hear(count);
        }
    }

    /// A member has applied an entry: whoever waits for it there hears of it. What is to be sent now.
    pub fn on_applied(
        &mut self,
        now: Nanos,
        at: usize,
        index: Index,
        effect: Effect,
        counts: &mut Counts,
    ) -> Vec<Letter> {
        match effect {
            Effect::Nothing => Vec::new(),
            Effect::Registered { nonce, session } => self.on_registered(at, nonce, session),
            Effect::Command {
                header,
                copy,
                executed,
                fate,
            } => {
                let at_copy = usize::try_from(copy).unwrap_or(0).wrapping_sub(1);
                if executed && let Some(operation) = self.copies.get(at_copy).copied() {
                    let call = &mut self.history[operation];
                    call.took_effect.get_or_insert(index);
                    if let Fate::Done(answer) = fate {
                        call.said.get_or_insert(answer);
                    }
                }
                self.on_command(now, at, header, fate, counts)
            }
        }
    }

    fn on_registered(&mut self, at: usize, nonce: u128, session: Index) -> Vec<Letter> {
        let number = usize::try_from(nonce >> 64).unwrap_or(usize::MAX);
        let Some(client) = self.clients.get_mut(number) else {
            return Vec::new();
        };
        let awaited = client.registration.as_ref();
        if awaited.is_none_or(|awaited| awaited.nonce != nonce || awaited.at != at) {
            return Vec::new();
        }
        client.registration = None;
        client.session = Some(session);
        client.next_sequence = client.waiting.len() as u64;
        let waiting = client.waiting.drain(..);
        client.pending = (1..)
            .zip(waiting.map(|pending| Pending { at, ..pending }))
            .collect();
        let count = client.next_sequence;
        self.by_session.insert(session, number);
        (1..=count)
            .map(|sequence| self.send(number, sequence))
            .collect()
    }

    fn on_command(
        &mut self,
        now: Nanos,
        at: usize,
        header: CommandHeader,
        fate: Fate,
        counts: &mut Counts,
    ) -> Vec<Letter> {
        let Some(number) = self.by_session.get(&header.session).copied() else {
            return Vec::new();
        };
        let client = &mut self.clients[number];
        let waits = client.session == Some(header.session)
            && client
                .pending
                .get(&header.sequence)
                .is_some_and(|pending| pending.at == at);
        if !waits {
            return Vec::new();
        }
        match fate {
            Fate::Done(answer) => {
                if let Some(pending) = client.pending.remove(&header.sequence) {
                    self.answer(now, pending.operation, answer, counts);
                }
            }
            Fate::Expired => {
                // Copies of what is pending may have taken effect before the session was gone.
                counts.expired += 1;
                client.session = None;
                for pending in core::mem::take(&mut client.pending).into_values() {
                    self.give_up(&pending, counts);
                }
            }
            Fate::Ignored => {}
        }
        Vec::new()
    }

    /// The outcome is unknown if a copy may be in a log.
    pub(super) fn give_up(&mut self, pending: &Pending, counts: &mut Counts) {
        if pending.open == 0 || self.flaw == Some(Flaw::TimeoutIsFailure) {
            counts.failed += 1;
            self.fail(pending.operation);
        } else {
            counts.unknown += 1;
        }
    }

    /// A client holds this operation for not done.
    pub(super) fn fail(&mut self, operation: usize) {
        self.history[operation].failed = true;
    }
}
