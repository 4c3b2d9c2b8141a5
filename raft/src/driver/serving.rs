//! Serves clients, which are not members: has their commands applied and their queries answered, and tells them who
//! leads (§6.2).
//!
//! Only a leader takes commands and queries; any other member answers with what it knows of the leader, and the client
//! goes there. The leader proposes a client's commands as they are, under the client's own session, and remembers the
//! index of each until its applier tells what became of it. When leadership ends it forgets them all and says who leads
//! then, as each member does to its clients: they send again what is unanswered, and their sessions let each command
//! through once.
//!
//! A request that is declined, or answered by a view, is not taken, now or ever: a copy of its frame that the network
//! shows again is ignored. So a client knows of such a copy that it is in no log.
//!
//! Nothing here is waited for by the member, and all of it is bounded: for each client and for all of them. What is
//! refused or lost the client asks again.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::{Arc, Weak};
use std::task::{Context, Poll};
use std::time::Duration;

use bytes::Bytes;
use liferaft_transport::access::{Permit, Role};
use serde::Serialize;
use serde::de::DeserializeOwned;
use tokio::sync::mpsc;

use super::error::ReadError;
use super::request::{Budget, Read, ReadCaller};
use super::task::Driver;
use crate::codec;
use crate::configuration::TokenKey;
use crate::consensus::{Proposal, ProposalId, ProposeRefused};
use crate::entry::Entry;
use crate::ids::{Index, LogPosition, ServerId, Term};
use crate::sessions::Envelope;
use crate::state_machine::StateMachine;
use crate::time::Instant;
use crate::wire::{
    ClientAnswer, ClientAsk, ClientQuery, CommandOutcome, Content, Decline, PeerReport,
    QUERIES_MAX, QueryOutcome, Report, VIEW_MEMBERS_MAX, View,
};

/// The most commands and queries of one client that are under way. A request of more is taken if nothing else of the
/// client is.
const CLIENT_REQUESTS_MAX: usize = 1 << 12;

/// The most bytes of them, with the same policy: 8 MiB.
const CLIENT_BYTES_MAX: usize = 8 << 20;

/// The most commands and queries of all clients that are under way.
const REQUESTS_MAX: usize = 1 << 15;

/// The most bytes of queries of all clients that are under way: 32 MiB. The bytes of commands are bounded by the core.
const QUERY_BYTES_MAX: usize = 32 << 20;

/// How long a query waits for the leader to be confirmed, and for the entry that it names to be applied. A client that waits for longer asks again.
const QUERY_TIME: Duration = Duration::from_secs(10);

/// What an answer takes in its frame beside its bytes, at most.
const ANSWER_OVERHEAD_BYTES: usize = 64;

/// The number of no request: of what a client is told without having asked.
const UNASKED: u64 = 0;

/// Ids of proposals of clients have these bits. No other has both.
const CLIENT: u64 = 0b11 << 62;

/// How queries and answers of a state machine become bytes: known only where its types allow it, and asked for.
pub(super) struct ClientCodec<S: StateMachine> {
    query: fn(&[u8]) -> Option<S::Query>,
    answer: fn(&S::Answer) -> Option<Vec<u8>>,
}

impl<S: StateMachine> ClientCodec<S>
where
    S::Query: DeserializeOwned,
    S::Answer: Serialize,
{
    pub(super) fn new() -> Self {
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
pub(super) struct Serving<S: StateMachine> {
    codec: Option<ClientCodec<S>>,
    clients: BTreeMap<ServerId, Client>,
    /// Commands that the core is asked to propose in this round.
    fresh: Vec<(Ticket, Bytes)>,
    /// Those that it was asked to propose, by their numbers.
    proposed: BTreeMap<u64, Ticket>,
    last_proposal: u64,
    /// Those in the log, with their terms, until they are applied.
    appended: BTreeMap<Index, (Term, Ticket)>,
    /// Requests of which the core has refused commands in this round, with what they are answered unless it has taken
    /// others of them.
    refused: BTreeMap<(ServerId, u64), ClientAnswer>,
    taken: BTreeSet<(ServerId, u64)>,
    /// What became of commands, to be told.
    outcomes: Vec<(Ticket, CommandOutcome)>,
    /// How many commands and queries are under way.
    count: usize,
    /// The bytes of the queries among them.
    query_bytes: usize,
    answers: mpsc::UnboundedReceiver<Answered>,
    answers_entrance: mpsc::UnboundedSender<Answered>,
    /// Room for answers that wait to be sent.
    answer_room: Arc<Budget>,
}

/// A client whose link is up.
#[derive(Debug)]
struct Client {
    /// That of its link.
    generation: u64,
    count: usize,
    bytes: usize,
    /// Queries of a client that is gone are not asked.
    presence: Arc<()>,
    seen: Seen,
}

/// Which requests with commands have come by a link.
#[derive(Debug, Default)]
struct Seen {
    highest: u64,
    /// Those before it, the next one in the lowest bit.
    before: u128,
}

impl Seen {
    /// Returns true for a request that has not come before. One that comes too late is taken for one that has: it is
    /// sent again under another number.
    fn is_new(&mut self, request: u64) -> bool {
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
struct Ticket {
    client: ServerId,
    generation: u64,
    request: u64,
    bytes: usize,
}

/// A client's query that is over.
#[derive(Debug)]
pub(super) struct Answered {
    ticket: Ticket,
    number: u64,
    /// `None` if the client is to ask again.
    outcome: Option<QueryOutcome>,
}

/// A client that waits for the answer to a query.
pub(super) struct ClientReader<S: StateMachine> {
    ticket: Ticket,
    number: u64,
    presence: Weak<()>,
    encode: fn(&S::Answer) -> Option<Vec<u8>>,
    answers: mpsc::UnboundedSender<Answered>,
    room: Arc<Budget>,
}

impl<S: StateMachine> ClientReader<S> {
    pub(super) fn answer(self, answer: &S::Answer) {
        let outcome = match (self.encode)(answer) {
            Some(bytes) if self.room.take(bytes.len()) => QueryOutcome::Answer(bytes.into()),
            Some(_) => QueryOutcome::Busy,
            None => QueryOutcome::NotUnderstood,
        };
        self.end(Some(outcome));
    }

    pub(super) fn refuse(self, error: ReadError) {
        self.end(match error {
            ReadError::Busy(_) => Some(QueryOutcome::Busy),
            ReadError::Panicked => Some(QueryOutcome::Panicked),
            _ => None,
        });
    }

    pub(super) fn is_closed(&self) -> bool {
        self.presence.strong_count() == 0
    }

    fn end(self, outcome: Option<QueryOutcome>) {
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
    pub(super) fn new(codec: Option<ClientCodec<S>>) -> Self {
        let (answers_entrance, answers) = mpsc::unbounded_channel();
        Self {
            codec,
            clients: BTreeMap::new(),
            fresh: Vec::new(),
            proposed: BTreeMap::new(),
            last_proposal: CLIENT,
            appended: BTreeMap::new(),
            refused: BTreeMap::new(),
            taken: BTreeSet::new(),
            outcomes: Vec::new(),
            count: 0,
            query_bytes: 0,
            answers,
            answers_entrance,
            answer_room: Arc::default(),
        }
    }

    /// The link of a client is up.
    pub(super) fn on_up(&mut self, client: ServerId, generation: u64) {
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
    pub(super) fn on_down(&mut self, peer: ServerId) {
        self.clients.remove(&peer);
    }

    /// Returns true if what becomes of an entry is to be told.
    pub(super) fn is_told(&self, entry: &Entry) -> bool {
        let appended = self.appended.get(&entry.index);
        appended.is_some_and(|(term, _)| *term == entry.term)
    }

    /// What the applier has answered.
    pub(super) fn poll_answers(
        &mut self,
        context: &mut Context<'_>,
        into: &mut Vec<Answered>,
    ) -> Poll<usize> {
        self.answers.poll_recv_many(context, into, QUERIES_MAX)
    }

    /// Gives the core what clients want proposed.
    pub(super) fn propose(&mut self, into: &mut Vec<Proposal>) {
        for (ticket, command) in self.fresh.drain(..) {
            self.last_proposal += 1;
            self.proposed.insert(self.last_proposal, ticket);
            let id = ProposalId(self.last_proposal);
            into.push(Proposal { id, command });
        }
    }

    /// Takes a client's commands or queries up, if there is room for so many of so many bytes.
    fn begin(&mut self, client: ServerId, generation: u64, count: usize, bytes: usize) -> bool {
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
    fn end(&mut self, ticket: Ticket) -> bool {
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
    pub(super) fn on_told(&mut self, index: Index, outcome: Option<CommandOutcome>) {
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
    fn give_up(&mut self) {
        for (_, ticket) in std::mem::take(&mut self.appended).into_values() {
            self.end(ticket);
        }
    }
}

impl<S: StateMachine> Driver<S> {
    /// Takes what a client asks, whose role the link tells.
    pub(super) fn take_client_request(
        &mut self,
        from: ServerId,
        request: u64,
        ask: ClientAsk,
        now: Instant,
    ) {
        let Some(link) = self.links.link(from) else {
            return;
        };
        let (role, token, generation) = (link.role, link.token, link.generation);
        let known = self.serving.clients.get_mut(&from);
        let is_repeated = matches!(ask, ClientAsk::Commands(_))
            && known.is_none_or(|client| !client.seen.is_new(request));
        if is_repeated {
            return;
        }
        let is_over = self.is_token_over(token);
        let may_write = matches!(role, Role::Client(Permit::Write | Permit::Operate));
        let decline = match &ask {
            _ if is_over => Some(Decline::TokenOver),
            // Whoever leads is to judge it.
            _ if !self.leads() => None,
            ClientAsk::View | ClientAsk::Report => None,
            _ if self.serving.codec.is_none() => Some(Decline::NotServed),
            ClientAsk::Commands(_) if !may_write => Some(Decline::ReadOnly),
            ClientAsk::Commands(_) if self.stopping.is_some() || self.disk.is_low() => {
                Some(Decline::Busy)
            }
            ClientAsk::Commands(commands) => {
                let all = commands.iter().all(|bytes| is_command_of::<S>(from, bytes));
                (!all).then_some(Decline::NotUnderstood)
            }
            ClientAsk::Queries(_) => None,
        };
        if let Some(decline) = decline {
            self.counters.requests_refused += 1;
            tracing::debug!(term = %self.raft.term(), client = %from, ?decline, "request of a client declined");
            self.answer_client(from, request, ClientAnswer::Declined(decline));
            if is_over {
                self.links.close(from);
            }
            return;
        }
        let taken = match ask {
            ClientAsk::Commands(commands) if self.leads() => {
                self.take_client_commands((from, generation), request, commands)
            }
            ClientAsk::Queries(queries) if self.leads() => {
                self.take_client_queries((from, generation), request, queries, now)
            }
            ClientAsk::Report => {
                let report = ClientAnswer::Report(Box::new(self.report()));
                return self.answer_client(from, request, report);
            }
            ClientAsk::View | ClientAsk::Commands(_) | ClientAsk::Queries(_) => {
                return self.answer_client(from, request, ClientAnswer::View(self.view()));
            }
        };
        if !taken {
            self.counters.requests_refused += 1;
            self.answer_client(from, request, ClientAnswer::Declined(Decline::Busy));
        }
    }

    /// Whether a client was let in by a token that has expired since, or was revoked.
    pub(super) fn is_token_over(&self, token: Option<TokenKey>) -> bool {
        let (_, configuration) = self.raft.configuration();
        let stamp = self.raft.last_stamp();
        token.is_some_and(|key| {
            let token = configuration.token(key);
            token.is_none_or(|token| token.has_expired(stamp))
        })
    }

    /// Whether there was room for them.
    fn take_client_commands(
        &mut self,
        (client, generation): (ServerId, u64),
        request: u64,
        commands: Vec<Bytes>,
    ) -> bool {
        let bytes = commands.iter().map(Bytes::len).sum();
        if !self
            .serving
            .begin(client, generation, commands.len(), bytes)
        {
            return false;
        }
        let ticketed = commands.into_iter().map(|command| {
            let ticket = Ticket {
                client,
                generation,
                request,
                bytes: command.len(),
            };
            (ticket, command)
        });
        self.serving.fresh.extend(ticketed);
        true
    }

    /// Whether there was room for them.
    fn take_client_queries(
        &mut self,
        (client, generation): (ServerId, u64),
        request: u64,
        queries: Vec<ClientQuery>,
        now: Instant,
    ) -> bool {
        let serving = &mut self.serving;
        let bytes: usize = queries.iter().map(|asked| asked.query.len()).sum();
        if serving.query_bytes + bytes > QUERY_BYTES_MAX
            || !serving.begin(client, generation, queries.len(), bytes)
        {
            return false;
        }
        serving.query_bytes += bytes;
        let (Some(codec), Some(known)) = (&serving.codec, serving.clients.get(&client)) else {
            return false;
        };
        for ClientQuery {
            number,
            not_before,
            query,
        } in queries
        {
            let ticket = Ticket {
                client,
                generation,
                request,
                bytes: query.len(),
            };
            let reader = ClientReader {
                ticket,
                number,
                presence: Arc::downgrade(&known.presence),
                encode: codec.answer,
                answers: serving.answers_entrance.clone(),
                room: Arc::clone(&serving.answer_room),
            };
            match (codec.query)(&query) {
                Some(query) => {
                    let read = Read {
                        query,
                        not_before,
                        deadline: now + QUERY_TIME,
                        caller: ReadCaller::Client(reader),
                    };
                    let admitted = self.reads.admit(read);
                    self.counters.requests_refused += u64::from(!admitted);
                }
                None => reader.end(Some(QueryOutcome::NotUnderstood)),
            }
        }
        true
    }

    /// What this member knows of the cluster.
    fn view(&self) -> View {
        let (_, configuration) = self.raft.configuration();
        let leader = self.raft.leader();
        let mut members: Vec<_> = configuration.members().collect();
        // Who leads, or may, comes first.
        members.sort_by_key(|(id, _)| (Some(*id) != leader, !configuration.is_voter(*id)));
        let members = members.into_iter().take(VIEW_MEMBERS_MAX);
        View {
            term: self.raft.term(),
            leader,
            command_bytes_max: self.command_bytes_max.max() as u64,
            members: members
                .map(|(id, member)| (id, member.description.clone()))
                .collect(),
        }
    }

    /// Where this member stands.
    fn report(&self) -> Report {
        let status = self.raft.status();
        let configuration = &status.configuration;
        let members = configuration.members();
        let members = members.filter(|(_, member)| member.suffrage.is_some());
        let peers = status.peers.iter().map(|peer| PeerReport {
            id: peer.id,
            lag_entries: peer.lag_entries,
            round_trip: peer.round_trip,
            silent_for: peer.silent_for,
        });
        Report {
            role: status.role,
            term: status.term,
            leader: status.leader,
            last: status.last.index,
            commit: status.commit,
            applied: status.applied,
            snapshot: status.snapshot,
            log_bytes: status.log_bytes,
            links: u32::try_from(self.peers.servers_linked_count()).unwrap_or(u32::MAX),
            members: members
                .map(|(id, member)| (id, configuration.is_voter(id), member.description.clone()))
                .collect(),
            peers: peers.collect(),
        }
    }

    /// The core's answer to a client's command. Returns false if it is none.
    pub(super) fn on_client_proposal(
        &mut self,
        id: ProposalId,
        result: &Result<LogPosition, ProposeRefused>,
    ) -> bool {
        if id.0 & CLIENT != CLIENT {
            return false;
        }
        let Some(ticket) = self.serving.proposed.remove(&id.0) else {
            return true;
        };
        let answer = match result {
            Ok(position) => {
                let serving = &mut self.serving;
                serving.taken.insert((ticket.client, ticket.request));
                let appended = (position.term, ticket);
                serving.appended.insert(position.index, appended);
                return true;
            }
            Err(ProposeRefused::Busy { .. }) => ClientAnswer::Declined(Decline::Busy),
            Err(ProposeRefused::TooLarge { .. }) => ClientAnswer::Declined(Decline::TooLarge),
            Err(ProposeRefused::NotLeader { .. } | ProposeRefused::Transferring { .. }) => {
                ClientAnswer::View(self.view())
            }
        };
        if self.serving.end(ticket) {
            let request = (ticket.client, ticket.request);
            self.serving.refused.insert(request, answer);
        }
        true
    }

    /// Answers the requests of which the core has taken nothing. Of one that it has taken in part the client asks for
    /// the rest again.
    pub(super) fn decline_refused(&mut self) {
        let taken = std::mem::take(&mut self.serving.taken);
        for ((client, request), answer) in std::mem::take(&mut self.serving.refused) {
            if !taken.contains(&(client, request)) {
                self.answer_client(client, request, answer);
            }
        }
    }

    /// Who leads has changed: all clients are told, and those that wait for commands send them again.
    pub(super) fn redirect_clients(&mut self) {
        self.serving.give_up();
        if self.serving.clients.is_empty() {
            return;
        }
        let view = self.view();
        for client in self.serving.clients.keys().copied().collect::<Vec<_>>() {
            self.answer_client(client, UNASKED, ClientAnswer::View(view.clone()));
        }
    }

    /// Tells clients what became of their commands.
    pub(super) fn tell_outcomes(&mut self) {
        let outcomes = std::mem::take(&mut self.serving.outcomes);
        let frame_bytes_max = self.answer_bytes_max();
        let fitting = outcomes.into_iter().map(|(ticket, outcome)| {
            let (bytes, outcome) = match outcome {
                CommandOutcome::Done {
                    session,
                    sequence,
                    reply: Some(reply),
                } => {
                    let bytes = reply.len();
                    let reply = Some(reply).filter(|_| bytes <= frame_bytes_max);
                    let outcome = CommandOutcome::Done {
                        session,
                        sequence,
                        reply,
                    };
                    (bytes, outcome)
                }
                other => (0, other),
            };
            (ticket, bytes, outcome)
        });
        for (ticket, outcomes) in gathered(fitting, frame_bytes_max) {
            self.answer_client(
                ticket.client,
                ticket.request,
                ClientAnswer::Outcomes(outcomes),
            );
        }
    }

    /// Tells clients what their queries came to.
    pub(super) fn tell_answers(&mut self, answered: Vec<Answered>) {
        let frame_bytes_max = self.answer_bytes_max();
        let mut fitting = Vec::new();
        for Answered {
            ticket,
            number,
            outcome,
        } in answered
        {
            self.serving.query_bytes -= ticket.bytes;
            let is_there = self.serving.end(ticket);
            let bytes = match &outcome {
                Some(QueryOutcome::Answer(bytes)) => bytes.len(),
                Some(_) | None => 0,
            };
            self.serving.answer_room.release(bytes);
            let outcome = match outcome {
                Some(_) if bytes > frame_bytes_max => Some(QueryOutcome::TooLarge {
                    bytes: bytes as u64,
                    bytes_max: frame_bytes_max as u64,
                }),
                outcome => outcome,
            };
            if let Some(outcome) = outcome.filter(|_| is_there) {
                fitting.push((ticket, bytes, (number, outcome)));
            }
        }
        for (ticket, answers) in gathered(fitting, frame_bytes_max) {
            let answers = ClientAnswer::Answers(answers);
            self.answer_client(ticket.client, ticket.request, answers);
        }
    }

    /// The most bytes of answers in one frame.
    fn answer_bytes_max(&self) -> usize {
        self.links
            .room_in_frames()
            .saturating_sub(ANSWER_OVERHEAD_BYTES)
    }

    fn answer_client(&mut self, to: ServerId, request: u64, answer: ClientAnswer) {
        // A link to a client that has gone is nobody's to look for.
        if self.links.link(to).is_none() {
            return;
        }
        let reply = Content::ClientReply { request, answer };
        self.links.send(to, &reply, &mut self.counters);
    }
}

/// Gathers what goes to one client for one request, at most so many bytes and [`QUERIES_MAX`] at once.
fn gathered<T>(
    answers: impl IntoIterator<Item = (Ticket, usize, T)>,
    bytes_max: usize,
) -> Vec<(Ticket, Vec<T>)> {
    let mut groups: Vec<(Ticket, Vec<T>)> = Vec::new();
    let mut open: BTreeMap<(ServerId, u64), (usize, usize)> = BTreeMap::new();
    for (ticket, bytes, answer) in answers {
        let bytes = bytes + ANSWER_OVERHEAD_BYTES;
        let group = open.entry((ticket.client, ticket.request));
        let (place, held) = group.or_insert((usize::MAX, 0));
        match groups.get_mut(*place) {
            Some((_, answers)) if *held + bytes <= bytes_max && answers.len() < QUERIES_MAX => {
                answers.push(answer);
                *held += bytes;
            }
            Some(_) | None => {
                (*place, *held) = (groups.len(), bytes);
                groups.push((ticket, vec![answer]));
            }
        }
    }
    groups
}

/// Whether the bytes are a command of this state machine, in an envelope that names this client.
fn is_command_of<S: StateMachine>(client: ServerId, bytes: &[u8]) -> bool {
    match Envelope::decode(bytes) {
        Ok(Envelope::Register { owner, .. }) => owner == Some(client),
        Ok(Envelope::Command { owner, body, .. }) => {
            owner == Some(client) && codec::check::<S::Command>(body).is_ok()
        }
        Ok(Envelope::RegisterOrdered { .. }) | Err(_) => false,
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

    #[test]
    fn what_goes_to_one_client_fits_into_frames() {
        let ticket = |client, request| Ticket {
            client: ServerId(client),
            generation: 1,
            request,
            bytes: 0,
        };
        let answers = [
            (ticket(1, 1), 100, 'a'),
            (ticket(2, 1), 100, 'b'),
            (ticket(1, 1), 100, 'c'),
            (ticket(1, 1), 900, 'd'),
        ];

        let groups = gathered(answers, 400);

        let groups: Vec<_> = groups.into_iter().map(|(_, group)| group).collect();
        assert_eq!(groups, [vec!['a', 'c'], vec!['b'], vec!['d']]);
    }
}
