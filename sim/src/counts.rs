//! What a run has seen: a run in which nothing happened proves nothing.

use std::collections::BTreeMap;

use liferaft_raft::ids::Term;

use crate::plan::FaultKind;
use crate::sometimes::Sometimes;

/// How often what happened.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Counts {
    /// Inputs that members were told.
    pub inputs: u64,
    /// Turns that members took.
    pub turns: u64,
    /// Messages sent.
    pub messages: u64,
    /// What clients and operators asked for.
    pub operations: u64,
    /// Reads granted.
    pub reads: u64,
    /// Operations that clients heard the answer of.
    pub answered: u64,
    /// Operations that clients gave up without knowing their outcome.
    pub unknown: u64,
    /// Operations that clients gave up, knowing that they are not done.
    pub failed: u64,
    /// Commands that were sent again.
    pub retries: u64,
    /// Sessions that clients found gone.
    pub expired: u64,
    /// Operations in histories that were judged.
    pub judged: u64,
    /// Runs whose history the order of the log did not explain.
    pub searched: u64,
    /// Those of them where the search for another order was given up.
    pub undecided: u64,
    /// Changes of membership that succeeded.
    pub changes: u64,
    /// Terms that had a leader.
    pub elections: u64,
    /// Crashes.
    pub crashes: u64,
    /// Snapshots that leaders began to send.
    pub snapshots_sent: u64,
    /// Snapshots restored by state machines.
    pub snapshots_restored: u64,
    /// Entries committed.
    pub committed: u64,
    /// Faults by kind.
    pub faults: BTreeMap<FaultKind, u64>,
    /// Situations that must occur now and then.
    pub sometimes: BTreeMap<Sometimes, u64>,
    last_led: Term,
}

impl Counts {
    /// A fault strikes.
    pub fn fault(&mut self, kind: FaultKind) {
        *self.faults.entry(kind).or_default() += 1;
    }

    /// A situation occurs.
    pub fn saw(&mut self, situation: Sometimes) {
        *self.sometimes.entry(situation).or_default() += 1;
    }

    /// A term has a leader.
    pub fn led(&mut self, term: Term) {
        if term > self.last_led {
            self.last_led = term;
            self.elections += 1;
        }
    }

    /// Adds those of another run.
    pub fn add(&mut self, other: &Self) {
        self.inputs += other.inputs;
        self.turns += other.turns;
        self.messages += other.messages;
        self.operations += other.operations;
        self.reads += other.reads;
        self.answered += other.answered;
        self.unknown += other.unknown;
        self.failed += other.failed;
        self.retries += other.retries;
        self.expired += other.expired;
        self.judged += other.judged;
        self.searched += other.searched;
        self.undecided += other.undecided;
        self.changes += other.changes;
        self.elections += other.elections;
        self.crashes += other.crashes;
        self.snapshots_sent += other.snapshots_sent;
        self.snapshots_restored += other.snapshots_restored;
        self.committed += other.committed;
        for (kind, count) in &other.faults {
            *self.faults.entry(*kind).or_default() += count;
        }
        for (situation, count) in &other.sometimes {
            *self.sometimes.entry(*situation).or_default() += count;
        }
    }
}
