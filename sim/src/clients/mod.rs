//! Clients with sessions: they ask, hear, try again on another member, and give up.
//!
//! A command that nobody answers in time is sent again with the same number. When a client gives up, its outcome is
//! unknown, unless every copy was refused. What became of all operations is the history that is judged in the end.

mod hearing;
mod judging;
mod sending;

use std::collections::{BTreeMap, HashMap};

use liferaft_raft::consensus::ProposalId;
use liferaft_raft::ids::Index;
use serde::{Deserialize, Serialize};

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

    /// How many operations were called.
    #[must_use]
    pub fn called(&self) -> u64 {
        self.history.len() as u64
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
}

/// How often a patient client tries.
const PATIENT_TRIES: u32 = 200;
