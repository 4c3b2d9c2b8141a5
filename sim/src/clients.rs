//! Clients with sessions: they ask, hear, try again on another member, and give up.
//!
//! A command that nobody answers in time is sent again with the same number. When a client gives up, its outcome is
//! unknown, unless every copy was refused. What became of all operations is the history that is judged in the end.

use std::collections::{BTreeMap, HashMap};
use std::time::Duration;

use liferaft_kv::Command;
use liferaft_raft::consensus::ProposalId;
use liferaft_raft::ids::Index;
use liferaft_raft::sessions::{CommandHeader, HEADER_BYTES, registration};

use crate::clock::Nanos;
use crate::counts::Counts;
use crate::flaw::Flaw;
use crate::linearizability::{Budget, Judgement, Model, Operation, judge};
use crate::machine::{Effect, Fate};
use crate::operation::{Answer, Change, KeyModel, KeyState, Question};

/// One operation of a run, as its client sees it.
pub type Asked = Operation<Question, Answer>;

/// What a client is told to do.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Request {
    /// Which client.
    pub client: usize,
    /// The key.
    pub key: u8,
    /// The change. What a comparison expects is filled in with what the client heard of the key last.
    pub change: Change,
    /// How long the command is at least, in bytes.
    pub bytes: usize,
}

/// All clients of a run.
#[derive(Debug)]
pub struct Clients {
    clients: Vec<Client>,
    by_session: HashMap<Index, usize>,
    /// What each copy was of.
    proposed: HashMap<ProposalId, Sent>,
    history: Vec<Asked>,
    /// The index at which an operation took effect, as the first member that applied it tells.
    took_effect: Vec<Option<Index>>,
    /// The operations that copies are of, by their names from 1.
    copies: Vec<usize>,
    last_heard: BTreeMap<u8, u64>,
    tries_max: u32,
    flaw: Option<Flaw>,
}

#[derive(Debug, Default)]
struct Client {
    session: Option<Index>,
    registration: Option<Registration>,
    registrations: u64,
    next_sequence: u64,
    pending: BTreeMap<u64, Pending>,
    /// What waits for a session.
    waiting: Vec<Pending>,
}

#[derive(Debug)]
struct Registration {
    nonce: u128,
    at: usize,
    tries: u32,
}

/// A command that is not answered.
#[derive(Clone, Debug)]
struct Pending {
    operation: usize,
    body: Vec<u8>,
    bytes: usize,
    at: usize,
    tries: u32,
    /// Copies that were not refused.
    open: u32,
}

/// What is sent, or waited for: a client's registration, where there is no number, or its command.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Sent {
    /// Which client.
    pub client: usize,
    /// Which session: `None` for a registration.
    pub session: Option<Index>,
    /// Which command; for a registration, the how-manieth.
    pub sequence: u64,
    /// The how-manieth try.
    pub tries: u32,
}

/// Something to propose to a member.
#[derive(Debug)]
pub struct Letter {
    /// To which.
    pub at: usize,
    /// What.
    pub sent: Sent,
    /// The command.
    pub command: Vec<u8>,
}

impl Clients {
    /// So many clients that try so often.
    #[must_use]
    pub fn new(count: usize, tries_max: u32, flaw: Option<Flaw>) -> Self {
        Self {
            clients: (0..count).map(|_| Client::default()).collect(),
            by_session: HashMap::new(),
            proposed: HashMap::new(),
            history: Vec::new(),
            took_effect: Vec::new(),
            copies: Vec::new(),
            last_heard: BTreeMap::new(),
            tries_max,
            flaw,
        }
    }

    /// From here on nobody gives up early: where nothing fails any more, patience is rewarded.
    pub fn be_patient(&mut self) {
        self.tries_max = PATIENT_TRIES;
    }

    /// A client calls an operation; its place in the history.
    pub fn call(&mut self, now: Nanos, key: u8, input: Question) -> usize {
        self.history.push(Asked {
            key: u64::from(key),
            called: now,
            returned: None,
            input,
        });
        self.took_effect.push(None);
        self.history.len() - 1
    }

    /// A read returns, answered from the state as of this index.
    pub fn answer_read(
        &mut self,
        now: Nanos,
        operation: usize,
        (as_of, answer): (Index, Answer),
        counts: &mut Counts,
    ) {
        self.took_effect[operation] = Some(as_of);
        self.answer(now, operation, answer, counts);
    }

    /// An operation returns.
    fn answer(&mut self, now: Nanos, operation: usize, answer: Answer, counts: &mut Counts) {
        let asked = &mut self.history[operation];
        asked.returned = Some((now, answer));
        counts.answered += 1;
        let key = u8::try_from(asked.key).unwrap_or(0);
        match (answer, asked.input) {
            (Answer::Value(value) | Answer::Different(value), _)
            | (
                Answer::Set,
                Question::Change(Change::Set(value) | Change::CompareAndSet(_, value)),
            ) => {
                self.last_heard.insert(key, value);
            }
            _ => {}
        }
    }

    /// A client is told what to do, and to begin with this member.
    pub fn request(&mut self, now: Nanos, at: usize, request: Request) -> Option<Letter> {
        let change = match request.change {
            Change::CompareAndSet(_, to) => {
                let heard = self.last_heard.get(&request.key);
                Change::CompareAndSet(heard.copied().unwrap_or(0), to)
            }
            Change::Set(_) | Change::Delete | Change::Append(_) => request.change,
        };
        let operation = self.call(now, request.key, Question::Change(change));
        let command: Command = change.command(request.key);
        let pending = Pending {
            operation,
            body: postcard::to_allocvec(&command).expect("commands have an encoding"),
            bytes: request.bytes,
            at,
            tries: 0,
            open: 0,
        };
        let client = &mut self.clients[request.client];
        if client.session.is_some() {
            client.next_sequence += 1;
            let sequence = client.next_sequence;
            client.pending.insert(sequence, pending);
            return Some(self.send(request.client, sequence));
        }
        client.waiting.push(pending);
        client
            .registration
            .is_none()
            .then(|| self.register(request.client, at))
    }

    fn register(&mut self, number: usize, at: usize) -> Letter {
        let client = &mut self.clients[number];
        client.registrations += 1;
        client.registration = Some(Registration {
            nonce: (number as u128) << 64 | u128::from(client.registrations),
            at,
            tries: 0,
        });
        self.send_registration(number)
    }

    fn send_registration(&mut self, number: usize) -> Letter {
        let client = &mut self.clients[number];
        let registering = client.registration.as_mut();
        let registering = registering.expect("only a client that registers sends it");
        registering.tries += 1;
        Letter {
            at: registering.at,
            sent: Sent {
                client: number,
                session: None,
                sequence: client.registrations,
                tries: registering.tries,
            },
            command: registration(registering.nonce),
        }
    }

    /// The next copy of a command.
    fn send(&mut self, number: usize, sequence: u64) -> Letter {
        let client = &mut self.clients[number];
        let session = client.session.expect("only a client with a session sends");
        let first = client.pending.first_key_value();
        let acknowledged_through = first.map_or(sequence - 1, |(first, _)| first - 1);
        let pending = client.pending.get_mut(&sequence);
        let pending = pending.expect("only what is not answered is sent");
        pending.tries += 1;
        pending.open += 1;
        self.copies.push(pending.operation);
        let copy = self.copies.len() as u64;
        let mut command = vec![0; HEADER_BYTES];
        CommandHeader {
            session,
            sequence,
            acknowledged_through,
        }
        .write_to(&mut command);
        command.extend_from_slice(&pending.body);
        command.resize(command.len().max(pending.bytes), 0);
        // Each copy has a name, so that one which was refused is known when it is applied nevertheless.
        command.extend_from_slice(&copy.to_le_bytes());
        Letter {
            at: pending.at,
            sent: Sent {
                client: number,
                session: Some(session),
                sequence,
                tries: pending.tries,
            },
            command,
        }
    }

    /// A copy is proposed under this name.
    pub fn proposed(&mut self, id: ProposalId, sent: Sent) {
        self.proposed.insert(id, sent);
    }

    /// A proposal is answered; what was refused and is still wanted.
    pub fn on_answer(&mut self, id: ProposalId, refused: bool) -> Option<Sent> {
        let sent = self.proposed.remove(&id).filter(|_| refused)?;
        if let Some(pending) = self.pending(sent) {
            pending.open -= 1;
        }
        Some(sent).filter(|sent| self.is_wanted(*sent))
    }

    fn pending(&mut self, sent: Sent) -> Option<&mut Pending> {
        let client = &mut self.clients[sent.client];
        if sent.session.is_none() || client.session != sent.session {
            return None;
        }
        client.pending.get_mut(&sent.sequence)
    }

    /// Whether this is the latest try of something that still waits.
    fn is_wanted(&mut self, sent: Sent) -> bool {
        if sent.session.is_some() {
            return self
                .pending(sent)
                .is_some_and(|pending| pending.tries == sent.tries);
        }
        let client = &self.clients[sent.client];
        client.registrations == sent.sequence
            && client
                .registration
                .as_ref()
                .is_some_and(|registering| registering.tries == sent.tries)
    }

    /// Time is up for a try: the next one, on this member, or the end of patience.
    pub fn try_again(&mut self, sent: Sent, at: usize, counts: &mut Counts) -> Option<Letter> {
        if !self.is_wanted(sent) {
            return None;
        }
        let gives_up = sent.tries >= self.tries_max;
        let client = &mut self.clients[sent.client];
        if sent.session.is_none() {
            if gives_up {
                client.registration = None;
                let given_up = core::mem::take(&mut client.waiting);
                counts.failed += given_up.len() as u64;
                return None;
            }
            client.registration.as_mut()?.at = at;
            return Some(self.send_registration(sent.client));
        }
        if gives_up {
            let pending = client.pending.remove(&sent.sequence)?;
            self.give_up(&pending, counts);
            return None;
        }
        counts.retries += 1;
        let mut sequence = sent.sequence;
        if self.flaw == Some(Flaw::RetryIsRenumbered) {
            let pending = client.pending.remove(&sequence)?;
            client.next_sequence += 1;
            sequence = client.next_sequence;
            client.pending.insert(sequence, pending);
        }
        client.pending.get_mut(&sequence)?.at = at;
        Some(self.send(sent.client, sequence))
    }

    /// The outcome is unknown if a copy may be in a log.
    fn give_up(&mut self, pending: &Pending, counts: &mut Counts) {
        if pending.open == 0 || self.flaw == Some(Flaw::TimeoutIsFailure) {
            counts.failed += 1;
            self.fail(pending.operation);
        } else {
            counts.unknown += 1;
        }
    }

    /// A client holds this operation for not done.
    fn fail(&mut self, operation: usize) {
        self.history[operation].called = FAILED;
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
                if executed && let Some(operation) = self.copies.get(at_copy) {
                    self.took_effect[*operation].get_or_insert(index);
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

    /// Judges what clients have heard.
    ///
    /// If the history is right, the order of the log is an order that explains it, and to check this one takes no search.
    /// Only if it does not explain all, the search looks for another.
    ///
    /// # Errors
    /// The shortest history that nothing explains.
    pub fn judge(&self, counts: &mut Counts) -> Result<(), String> {
        // What has no known outcome and was applied nowhere was seen by nobody.
        let places = (0..self.history.len()).filter(|at| {
            let asked = &self.history[*at];
            asked.called != FAILED && (asked.returned.is_some() || self.took_effect[*at].is_some())
        });
        let places: Vec<usize> = places.collect();
        counts.judged += places.len() as u64;
        let Some(unexplained) = self.unexplained_by_log(&places) else {
            return Ok(());
        };
        counts.searched += 1;
        let history: Vec<Asked> = places.iter().map(|at| self.history[*at].clone()).collect();
        match judge::<KeyModel>(&history, BUDGET) {
            Judgement::Linearizable => Ok(()),
            Judgement::Violated { key, prefix } => Err(describe(&history, key, &prefix)),
            Judgement::Unknown => {
                counts.undecided += 1;
                Err(format!(
                    "the order of the log does not explain {unexplained:?}, and the search for another was given up"
                ))
            }
        }
    }

    /// The first of these operations that cannot have happened where the log has it.
    fn unexplained_by_log(&self, places: &[usize]) -> Option<&Asked> {
        let mut order: Vec<(Option<Index>, bool, Nanos, usize)> = places
            .iter()
            .map(|at| {
                let asked = &self.history[*at];
                let reads = !matches!(asked.input, Question::Change(_));
                (self.took_effect[*at], reads, asked.called, *at)
            })
            .collect();
        order.sort_unstable();
        let mut states = BTreeMap::<u64, KeyState>::new();
        let mut latest_call = 0;
        for (index, .., at) in order {
            let asked = &self.history[at];
            latest_call = asked.called.max(latest_call);
            let returned = asked.returned.as_ref();
            let state = states.entry(asked.key).or_default();
            let answer = returned.map(|(_, answer)| answer);
            // What returned before another was called must come before it.
            let in_time = returned.is_none_or(|(returned, _)| *returned >= latest_call);
            match KeyModel::step(state, &asked.input, answer) {
                Some(next) if in_time && index.is_some() => *state = next,
                Some(_) | None => return Some(asked),
            }
        }
        None
    }
}

/// What the search may take. Only memory ends it: the same history is judged the same everywhere.
const BUDGET: Budget = Budget {
    time: Duration::from_secs(3600),
    memory_words: 1 << 22,
};

/// How often a patient client tries.
const PATIENT_TRIES: u32 = 200;

/// The call of an operation that its client holds for not done.
const FAILED: Nanos = Nanos::MAX;

/// The end of a history that nothing explains.
fn describe(history: &[Asked], key: u64, prefix: &[usize]) -> String {
    let newest = prefix.iter().skip(prefix.len().saturating_sub(12));
    let told: String = newest
        .map(|at| {
            let Asked {
                called,
                returned,
                input,
                ..
            } = &history[*at];
            format!("\n  {input:?} called {called}: {returned:?}")
        })
        .collect();
    let count = prefix.len();
    format!("no order explains {count} operations on key {key}, which end with{told}")
}
