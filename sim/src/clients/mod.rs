//! Clients with sessions: they ask, hear, try again on another member, and give up.
//!
//! A command that nobody answers in time is sent again with the same number. When a client gives up, its outcome is
//! unknown, unless every copy was refused. What became of all operations is the history that is judged in the end.

mod hearing;
mod judging;
mod sending;

use std::collections::{BTreeMap, HashMap};

use liferaft_kv::Count;
use liferaft_raft::consensus::ProposalId;
use liferaft_raft::ids::Index;
use serde::{Deserialize, Serialize};

use crate::client_history::{Outcome, Told};
use crate::clock::Nanos;
use crate::flaw::Flaw;
use crate::linearizability::Operation;
use crate::operation::{Answer, Change, Question};

/// One operation of a run, as its client sees it.
pub type Asked = Operation<Question, Answer>;

/// What a client is told to do.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Request {
    /// Which client.
    pub client: usize,
    /// The key.
    pub key: u8,
    /// The change. What a comparison expects is filled in with what the client heard of the key last, a counter with
    /// one that was heard, or was once.
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
    history: Vec<Call>,
    /// The operations that copies are of, by their names from 1.
    copies: Vec<usize>,
    last_heard: BTreeMap<u8, u64>,
    counters: BTreeMap<u8, Counters>,
    tries_max: u32,
    flaw: Option<Flaw>,
}

/// An operation, and what is known of it beside what its client knows.
#[derive(Clone, Debug)]
struct Call {
    asked: Asked,
    /// Who called it; `None` if it was one of those who only read.
    client: Option<usize>,
    /// Its client holds it for not done.
    failed: bool,
    /// The index at which it took effect, as the first member that applied it tells.
    took_effect: Option<Index>,
    /// What the state machine said of it there, whether or not its client has heard it.
    said: Option<Answer>,
}

/// What clients have heard of the counter of a sequence.
#[derive(Clone, Copy, Debug, Default)]
struct Counters {
    latest: Count,
    /// That of the sequence before, if the key had another.
    earlier: Count,
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
            copies: Vec::new(),
            last_heard: BTreeMap::new(),
            counters: BTreeMap::new(),
            tries_max,
            flaw,
        }
    }

    /// From here on nobody gives up early: where nothing fails any more, patience is rewarded.
    pub fn be_patient(&mut self) {
        self.tries_max = PATIENT_TRIES;
    }

    /// What clients asked and heard, in the order of the calls.
    #[must_use]
    pub fn told(&self) -> Vec<Told> {
        self.history.iter().map(Call::told).collect()
    }

    /// How many operations were called.
    #[must_use]
    pub fn called(&self) -> u64 {
        self.history.len() as u64
    }

    /// An operation is called, by a client that writes or by one that only reads; its place in the history.
    pub fn call(&mut self, now: Nanos, client: Option<usize>, key: u8, input: Question) -> usize {
        let asked = Asked {
            key: u64::from(key),
            called: now,
            returned: None,
            input,
        };
        self.history.push(Call {
            asked,
            client,
            failed: false,
            took_effect: None,
            said: None,
        });
        self.history.len() - 1
    }
}

impl Call {
    fn told(&self) -> Told {
        let returned = self.asked.returned.filter(|_| !self.failed);
        Told {
            client: self.client,
            call: self.asked.called,
            r#return: returned.map(|(at, _)| at),
            key: self.asked.key,
            operation: self.asked.input,
            outcome: match returned {
                _ if self.failed => Outcome::NotDone,
                Some((_, answer)) => Outcome::Done(answer),
                None => Outcome::Unknown,
            },
        }
    }
}

/// How often a patient client tries.
const PATIENT_TRIES: u32 = 200;
