//! Keeps account of what clients have under way: who waits for which proposal, entry or query, and how much of it there
//! may be.

use std::collections::BTreeMap;
use std::sync::{Arc, Weak};
use std::task::{Context, Poll};

use bytes::Bytes;
use serde::Serialize;
use serde::de::DeserializeOwned;
use tokio::sync::mpsc;

use crate::codec;
use crate::driver::asker::Asker;
use crate::driver::budget::Budget;
use crate::driver::error::ReadError;
use crate::entry::Entry;
use crate::ids::{Index, ServerId, Term};
use crate::sorted::{SortedMap, SortedSet};
use crate::state_machine::StateMachine;
use crate::wire::{ClientAnswer, CommandOutcome, QUERIES_MAX, QueryOutcome};

/// The most commands and queries of one client that are under way. A request of more is taken if nothing else of the
/// client is.
const CLIENT_REQUESTS_MAX: usize = 1 << 12;

/// The most bytes of them, with the same policy: 8 MiB.
const CLIENT_BYTES_MAX: usize = 8 << 20;

/// The most commands and queries of all clients that are under way.
const REQUESTS_MAX: usize = 1 << 15;

/// The most queries among them: whoever may only read leaves room for those who write.
pub(super) const QUERIES_OF_ALL_MAX: usize = REQUESTS_MAX / 2;

/// How queries and answers of a state machine become bytes: known only where its types allow it, and asked for.
pub(in crate::driver) struct ClientCodec<S: StateMachine> {
    pub(super) query: fn(&[u8]) -> Option<S::Query>,
    pub(super) answer: fn(&S::Answer) -> Option<Vec<u8>>,
}

impl<S: StateMachine> ClientCodec<S>
where
    S::Query: DeserializeOwned,
    S::Answer: Serialize,
{
    pub(in crate::driver) fn new() -> Self {
        Self {
            // What a stranger sends is judged with less of the stack than what is known to be sound.
            query: |bytes| {
                codec::check::<S::Query>(bytes).ok()?;
                codec::decode(bytes).ok()
            },
            answer: |answer| codec::encode(answer).ok(),
        }
    }
}

/// The clients of this member.
pub(in crate::driver) struct Serving<S: StateMachine> {
    pub(super) codec: Option<ClientCodec<S>>,
    pub(super) clients: SortedMap<ServerId, Client>,
    /// Commands that the core is asked to propose in this round.
    pub(super) fresh: Vec<(Ticket, Bytes)>,
    /// Those in the log, with their terms, until they are applied.
    pub(super) appended: BTreeMap<Index, (Term, Ticket)>,
    /// Requests of which the core has refused commands in this round, with what they are answered unless it has taken
    /// others of them.
    pub(super) refused: SortedMap<(ServerId, u64), ClientAnswer>,
    pub(super) taken: SortedSet<(ServerId, u64)>,
    /// What became of commands, to be told.
    pub(super) outcomes: Vec<(Ticket, CommandOutcome)>,
    /// How many commands and queries are under way.
    count: usize,
    /// How many of them are queries, and the bytes of these.
    pub(super) query_count: usize,
    pub(super) query_bytes: usize,
    answers: mpsc::UnboundedReceiver<Answered>,
    pub(super) answers_entrance: mpsc::UnboundedSender<Answered>,
    /// Room for answers that wait to be sent.
    pub(super) answer_room: Arc<Budget>,
}

/// A client whose link is up.
#[derive(Debug)]
pub(super) struct Client {
    /// That of its link.
    generation: u64,
    count: usize,
    bytes: usize,
    /// Queries of a client that is gone are not asked.
    pub(super) presence: Arc<()>,
    pub(super) seen: Seen,
}

/// Which requests with commands have come by a link.
#[derive(Debug, Default)]
pub(super) struct Seen {
    highest: u64,
    /// Those before it, the next one in the lowest bit.
    before: u128,
}

impl Seen {
    /// Returns true for a request that has not come before. One that comes too late is taken for one that has: it is
    /// sent again under another number.
    pub(super) fn is_new(&mut self, request: u64) -> bool {
        let bit = |place: u64| {
            let place = u32::try_from(place).ok();
            place
                .and_then(|place| 1_u128.checked_shl(place))
                .unwrap_or(0)
        };
        match request.checked_sub(self.highest) {
            Some(0) => false,
            Some(ahead) => {
                let shift = u32::try_from(ahead).ok();
                let shifted = shift.and_then(|shift| self.before.checked_shl(shift));
                self.before = shifted.unwrap_or(0) | bit(ahead - 1);
                self.highest = request;
                true
            }
            None => {
                let bit = bit(self.highest - request - 1);
                let is_new = bit != 0 && self.before & bit == 0;
                self.before |= bit;
                is_new
            }
        }
    }
}

/// Who waits for a command or a query.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(in crate::driver) struct Ticket {
    pub(super) client: ServerId,
    pub(super) generation: u64,
    pub(super) request: u64,
    pub(super) bytes: usize,
}

/// A client's query that is over.
#[derive(Debug)]
pub(in crate::driver) struct Answered {
    pub(super) ticket: Ticket,
    pub(super) number: u64,
    /// `None` if the client is to ask again.
    pub(super) outcome: Option<QueryOutcome>,
}

/// A client that waits for the answer to a query.
pub(in crate::driver) struct ClientReader<S: StateMachine> {
    pub(super) ticket: Ticket,
    pub(super) number: u64,
    pub(super) presence: Weak<()>,
    pub(super) encode: fn(&S::Answer) -> Option<Vec<u8>>,
    pub(super) answers: mpsc::UnboundedSender<Answered>,
    pub(super) room: Arc<Budget>,
}

impl<S: StateMachine> ClientReader<S> {
    pub(in crate::driver) fn answer(self, answer: &S::Answer) {
        let outcome = match (self.encode)(answer) {
            Some(bytes) if self.room.take(bytes.len()) => QueryOutcome::Answer(bytes.into()),
            Some(_) => QueryOutcome::Busy,
            None => QueryOutcome::NotUnderstood,
        };
        self.end(Some(outcome));
    }

    pub(in crate::driver) fn refuse(self, error: &ReadError) {
        self.end(match error {
            ReadError::Busy(_) => Some(QueryOutcome::Busy),
            ReadError::Panicked => Some(QueryOutcome::Panicked),
            _ => None,
        });
    }

    pub(in crate::driver) fn is_closed(&self) -> bool {
        self.presence.strong_count() == 0
    }

    pub(super) fn end(self, outcome: Option<QueryOutcome>) {
        // A member that has stopped tells nobody.
        drop(self.answers.send(Answered {
            ticket: self.ticket,
            number: self.number,
            outcome,
        }));
    }
}

impl<S: StateMachine> Serving<S> {
    /// Serves no clients without a codec.
    pub(in crate::driver) fn new(codec: Option<ClientCodec<S>>) -> Self {
        let (answers_entrance, answers) = mpsc::unbounded_channel();
        Self {
            codec,
            clients: SortedMap::new(),
            fresh: Vec::new(),
            appended: BTreeMap::new(),
            refused: SortedMap::new(),
            taken: SortedSet::new(),
            outcomes: Vec::new(),
            count: 0,
            query_count: 0,
            query_bytes: 0,
            answers,
            answers_entrance,
            answer_room: Arc::default(),
        }
    }

    /// The link of a client is up.
    pub(in crate::driver) fn on_up(&mut self, client: ServerId, generation: u64) {
        let present = Client {
            generation,
            count: 0,
            bytes: 0,
            presence: Arc::default(),
            seen: Seen::default(),
        };
        self.clients.insert(client, present);
    }

    /// The link of a peer, which may be a client, is down.
    pub(in crate::driver) fn on_down(&mut self, peer: ServerId) {
        self.clients.remove(&peer);
    }

    /// Returns true if what becomes of an entry is to be told.
    pub(in crate::driver) fn is_told(&self, entry: &Entry) -> bool {
        let appended = self.appended.get(&entry.index);
        appended.is_some_and(|(term, _)| *term == entry.term)
    }

    /// What the applier has answered.
    pub(in crate::driver) fn poll_answers(
        &mut self,
        context: &mut Context<'_>,
        into: &mut Vec<Answered>,
    ) -> Poll<usize> {
        self.answers.poll_recv_many(context, into, QUERIES_MAX)
    }

    /// Gives the core what clients want proposed.
    pub(in crate::driver) fn propose(&mut self, mut ask: impl FnMut(Asker, Bytes)) {
        for (ticket, command) in self.fresh.drain(..) {
            ask(Asker::Client(ticket), command);
        }
    }

    /// Takes a client's commands or queries up, if there is room for so many of so many bytes.
    pub(super) fn begin(
        &mut self,
        client: ServerId,
        generation: u64,
        count: usize,
        bytes: usize,
    ) -> bool {
        let known = self.clients.get_mut(&client);
        let Some(known) = known.filter(|known| known.generation == generation) else {
            return false;
        };
        let fits = known.count == 0
            || (known.count + count <= CLIENT_REQUESTS_MAX
                && known.bytes + bytes <= CLIENT_BYTES_MAX);
        if !fits || self.count + count > REQUESTS_MAX {
            return false;
        }
        known.count += count;
        known.bytes += bytes;
        self.count += count;
        true
    }

    /// A command or a query is over. Returns true if the client that asked it is still there.
    pub(super) fn end(&mut self, ticket: Ticket) -> bool {
        self.count -= 1;
        let client = self.clients.get_mut(&ticket.client);
        let Some(client) = client.filter(|client| client.generation == ticket.generation) else {
            return false;
        };
        client.count -= 1;
        client.bytes -= ticket.bytes;
        true
    }

    /// The applier has come to a command.
    pub(in crate::driver) fn on_told(&mut self, index: Index, outcome: Option<CommandOutcome>) {
        let Some((_, ticket)) = self.appended.remove(&index) else {
            return;
        };
        if self.end(ticket)
            && let Some(outcome) = outcome
        {
            self.outcomes.push((ticket, outcome));
        }
    }

    /// Gives up all commands that are in the log and not applied.
    pub(super) fn give_up(&mut self) {
        for (_, ticket) in std::mem::take(&mut self.appended).into_values() {
            self.end(ticket);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_request_is_new_once_in_whatever_order_they_come() {
        let mut seen = Seen::default();

        let first = [3, 1, 3, 2, 1, 4].map(|request| seen.is_new(request));
        let leapt = [200, 73, 72, 71, 199, 199].map(|request| seen.is_new(request));

        assert_eq!(first, [true, true, false, true, false, true]);
        assert_eq!(leapt, [true, true, true, false, true, false]);
    }
}
