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

mod clients;

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use liferaft_platform::caught;
use liferaft_transport::access::{Permit, Role};

pub(super) use self::clients::{Answered, ClientCodec, ClientReader, Serving, Ticket};

use self::clients::QUERIES_OF_ALL_MAX;
use super::request::{Read, ReadCaller};
use super::task::Driver;
use crate::codec;
use crate::configuration::{Scope, TokenKey};
use crate::consensus::ProposeRefused;
use crate::ids::{LogPosition, ServerId};
use crate::sessions::{Envelope, Owner, owned_registration};
use crate::state_machine::StateMachine;
use crate::time::Instant;
use crate::wire::{
    ClientAnswer, ClientAsk, ClientQuery, CommandOutcome, Content, Decline, LinkReport, PeerReport,
    QUERIES_MAX, QueryOutcome, Report, VIEW_MEMBERS_MAX, View,
};

/// The most bytes of queries of all clients that are under way: 32 MiB. The bytes of commands are bounded by the core.
const QUERY_BYTES_MAX: usize = 32 << 20;

/// How long a query waits for the leader to be confirmed, and for the entry that it names to be applied. A client that
/// waits for longer asks again.
const QUERY_TIME: Duration = Duration::from_secs(10);

/// What an answer takes in its frame beside its bytes, at most.
const ANSWER_OVERHEAD_BYTES: usize = 64;

/// The number of no request: of what a client is told without having asked.
const UNASKED: u64 = 0;

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
        let scope = self.scope_of(token);
        let taken = match ask {
            ClientAsk::Commands(commands) if self.leads() => {
                let commands =
                    self.refuse_out_of_scope((from, generation), request, commands, &scope);
                commands.is_empty()
                    || self.take_client_commands((from, generation), request, commands, token)
            }
            ClientAsk::Queries(queries) if self.leads() => {
                self.take_client_queries((from, generation), request, queries, &scope, now)
            }
            ClientAsk::Report => {
                let report = self.report(role == Role::Client(Permit::Operate));
                let report = ClientAnswer::Report(Box::new(report));
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

    /// Which keys a client may touch that was let in by this token, which is not over.
    fn scope_of(&self, token: Option<TokenKey>) -> Scope {
        let (_, configuration) = self.raft.configuration();
        let token = token.and_then(|key| configuration.token(key));
        token.map_or(Scope::everything(), |token| token.scope.clone())
    }

    /// Answers those of a client's commands that are outside of its scope, and returns the others: callers of one
    /// client have their commands in one request, and one that is refused is no matter of the others.
    fn refuse_out_of_scope(
        &mut self,
        (client, generation): (ServerId, u64),
        request: u64,
        mut commands: Vec<Bytes>,
        scope: &Scope,
    ) -> Vec<Bytes> {
        if scope.is_everything() {
            return commands;
        }
        commands.retain(|command| {
            let Some(outcome) = judge_command::<S>(command, scope) else {
                return true;
            };
            let ticket = Ticket {
                client,
                generation,
                request,
                bytes: command.len(),
            };
            self.counters.requests_refused += 1;
            self.serving.outcomes.push((ticket, outcome));
            false
        });
        self.tell_outcomes();
        commands
    }

    /// Whether there was room for them.
    fn take_client_commands(
        &mut self,
        (client, generation): (ServerId, u64),
        request: u64,
        commands: Vec<Bytes>,
        token: Option<TokenKey>,
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
            (ticket, with_token(command, token))
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
        scope: &Scope,
        now: Instant,
    ) -> bool {
        let serving = &mut self.serving;
        let bytes: usize = queries.iter().map(|asked| asked.query.len()).sum();
        if serving.query_bytes + bytes > QUERY_BYTES_MAX
            || serving.query_count + queries.len() > QUERIES_OF_ALL_MAX
            || !serving.begin(client, generation, queries.len(), bytes)
        {
            return false;
        }
        serving.query_bytes += bytes;
        serving.query_count += queries.len();
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
                Some(query) if !is_query_within::<S>(&query, scope) => {
                    self.counters.requests_refused += 1;
                    reader.end(Some(QueryOutcome::OutOfScope));
                }
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
        // Who leads, or may, comes first.
        let rank = |id| (Some(id) != leader, !configuration.is_voter(id));
        let ranks = [(false, false), (false, true), (true, false), (true, true)];
        let members = ranks.into_iter().flat_map(|wanted| {
            let members = configuration.members();
            members.filter(move |(id, _)| rank(*id) == wanted)
        });
        let members = members.take(VIEW_MEMBERS_MAX);
        View {
            term: self.raft.term(),
            leader,
            command_bytes_max: self.command_bytes_max.max() as u64,
            members: members
                .map(|(id, member)| (id, member.description.clone()))
                .collect(),
        }
    }

    /// Where this member stands, and which tokens there are if that is asked for.
    fn report(&self, with_tokens: bool) -> Report {
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
        let paths = self.peers.servers_linked().filter_map(|peer| {
            let path = self.links.path(peer)?;
            Some(LinkReport {
                peer,
                carrier: path.carrier,
                relay: path.relay,
                description: path.description,
            })
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
            links: u32::try_from(self.peers.servers_linked().count()).unwrap_or(u32::MAX),
            members: members
                .map(|(id, member)| (id, configuration.is_voter(id), member.description.clone()))
                .collect(),
            peers: peers.collect(),
            tokens: match with_tokens {
                true => configuration.tokens().to_vec(),
                false => Vec::new(),
            },
            time: self.raft.last_stamp(),
            paths: paths.collect(),
        }
    }

    /// The core's answer to a client's command.
    pub(super) fn on_client_proposal(
        &mut self,
        ticket: Ticket,
        result: &Result<LogPosition, ProposeRefused>,
    ) {
        let answer = match result {
            Ok(position) => {
                let serving = &mut self.serving;
                serving.taken.insert((ticket.client, ticket.request));
                let appended = (position.term, ticket);
                serving.appended.insert(position.index, appended);
                return;
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
            self.serving.query_count -= 1;
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
        Ok(Envelope::Register { owner, .. }) => {
            let (id, token) = (client, None);
            owner == Some(Owner { id, token })
        }
        Ok(Envelope::Command { owner, body, .. }) => {
            owner == Some(client) && codec::check::<S::Command>(body).is_ok()
        }
        Ok(Envelope::RegisterOrdered { .. }) | Err(_) => false,
    }
}

/// Names in a client's registration the token by which its link was let in, and leaves other commands as they are.
///
/// The leader alone does so, as it alone knows: a registration that names one already is [none](is_command_of) of a
/// client.
fn with_token(command: Bytes, token: Option<TokenKey>) -> Bytes {
    match Envelope::decode(&command) {
        Ok(Envelope::Register {
            owner: Some(Owner { id, .. }),
            nonce,
        }) => owned_registration(Owner { id, token }, nonce).into(),
        _ => command,
    }
}

/// Judges a client's command, which decodes: what became of it if it is outside of a scope that is limited.
fn judge_command<S: StateMachine>(bytes: &[u8], scope: &Scope) -> Option<CommandOutcome> {
    let Ok(Envelope::Command { header, body, .. }) = Envelope::decode(bytes) else {
        // To open a session touches no key.
        return None;
    };
    let command = codec::decode::<S::Command>(body).ok();
    let is_within = command
        .is_some_and(|command| caught(|| S::is_command_within(&command, scope)).unwrap_or(false));
    (!is_within).then_some(CommandOutcome::OutOfScope {
        session: header.session,
        sequence: header.sequence,
    })
}

fn is_query_within<S: StateMachine>(query: &S::Query, scope: &Scope) -> bool {
    scope.is_everything() || caught(|| S::is_query_within(query, scope)).unwrap_or(false)
}

#[cfg(test)]
mod tests {
    use super::*;

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
