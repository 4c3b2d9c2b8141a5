//! When what etcd's servers say and what ours hold are the same: roles, entries, logs.

use std::fmt;

use liferaft_raft::configuration::Configuration;
use liferaft_raft::consensus::RoleKind;
use liferaft_raft::entry::{Entry, Payload};
use liferaft_raft::ids::ServerId;

use crate::cluster::Node;
use crate::expected::{Content, EntryFact, Role, Step, StepKind};

/// Whether a role of ours is the one expected.
pub(crate) fn same_role(role: Role, ours: RoleKind) -> bool {
    match ours {
        // Whoever only asks whether it would be elected follows nobody, and has promised nothing. Ours gives up when a
        // majority refuses; etcd's waits where servers refuse by silence.
        RoleKind::Follower | RoleKind::PreCandidate => {
            matches!(role, Role::Follower | Role::PreCandidate)
        }
        RoleKind::Candidate => role == Role::Candidate,
        RoleKind::Leader => role == Role::Leader,
    }
}

/// Whether our entry says what etcd's does, in the same term.
pub(crate) fn same(fact: &EntryFact, entry: &Entry) -> bool {
    let content = match (&fact.content, &entry.payload) {
        (Content::Empty, Payload::Noop) => true,
        (Content::Empty, Payload::Command(command)) => command.is_empty(),
        (Content::Command(expected), Payload::Command(command)) => expected[..] == command[..],
        (Content::Change(steps), Payload::Configuration(configuration)) => {
            // Without steps it leaves a joint configuration, and ours has none left.
            (!steps.is_empty() || !configuration.is_joint()) && makes(steps, configuration)
        }
        (Content::Empty | Content::Command(_) | Content::Change(_), _) => false,
    };
    content && fact.term == entry.term.0
}

/// Whether a configuration leads to one in which these steps are made.
pub(crate) fn makes(steps: &[Step], configuration: &Configuration) -> bool {
    let target = configuration.left_joint();
    steps.iter().enumerate().all(|(at, step)| {
        let id = ServerId(u128::from(step.server));
        // The last step about a server counts.
        if steps[at + 1..]
            .iter()
            .any(|later| later.server == step.server)
        {
            return true;
        }
        match step.kind {
            StepKind::Voter => target.voters().contains(&id),
            StepKind::Learner => target.is_learner(id),
            StepKind::Remove => !target.contains(id),
            StepKind::Update => true,
        }
    })
}

/// Whether a log is the one that the script saw, as far as neither has been cut at its beginning.
pub(crate) fn logs_agree(facts: &[EntryFact], log: &[Entry], apart: bool) -> bool {
    if apart {
        return logs_tell_the_same(facts, log);
    }
    let first = facts.first().map_or(0, |fact| fact.index);
    let first = log.first().map_or(first, |entry| entry.index.0.max(first));
    let expected: Vec<&EntryFact> = facts.iter().filter(|fact| fact.index >= first).collect();
    let found: Vec<&Entry> = log.iter().filter(|entry| entry.index.0 >= first).collect();
    (facts.is_empty() == log.is_empty() || expected.is_empty() == found.is_empty())
        && expected.len() == found.len()
        && expected
            .iter()
            .zip(found)
            .all(|(fact, entry)| fact.index == entry.index.0 && same(fact, entry))
}

/// Whether two logs that are numbered apart have the same entries in the same order, but for those that only one has:
/// with etcd changes, and empty entries that are not a leader's first; with us configurations.
fn logs_tell_the_same(facts: &[EntryFact], log: &[Entry]) -> bool {
    let latest = log.last().map_or(0, |entry| entry.term.0);
    let in_order = facts.windows(2).all(|pair| {
        pair[0].term <= pair[1].term && pair[0].index.checked_add(1) == Some(pair[1].index)
    });
    if !in_order || facts.last().is_some_and(|last| last.term > latest) {
        return false;
    }
    let mut log = log.iter().peekable();
    let mut term = 0;
    for fact in facts {
        let only_ours = |entry: &&Entry| {
            matches!(&entry.payload, Payload::Configuration(_)) && !same(fact, entry)
        };
        let first_of_term = std::mem::replace(&mut term, fact.term) < fact.term;
        let only_theirs = match &fact.content {
            Content::Empty => !first_of_term,
            Content::Change(_) => true,
            Content::Command(_) => false,
        };
        let mut ahead = log.clone();
        while ahead.next_if(only_ours).is_some() {}
        if ahead.next_if(|entry| same(fact, entry)).is_some() {
            log = ahead;
        } else if !only_theirs {
            return false;
        }
    }
    log.all(|entry| matches!(&entry.payload, Payload::Configuration(_)))
}

pub(crate) fn describe(node: &Node) -> String {
    let entries: Vec<String> = node.disk.entries().map(text).collect();
    if entries.is_empty() {
        "nothing".to_owned()
    } else {
        entries.join(", ")
    }
}

pub(crate) fn text(entry: &Entry) -> String {
    let position = format!("{}/{}", entry.term, entry.index);
    match &entry.payload {
        Payload::Noop => format!("{position} no-op"),
        Payload::Command(command) => {
            format!("{position} command {:?}", String::from_utf8_lossy(command))
        }
        Payload::Configuration(configuration) => {
            let (voters, outgoing) = (configuration.voters(), configuration.outgoing());
            format!("{position} configuration {voters:?} from {outgoing:?}")
        }
    }
}

impl fmt::Display for EntryFact {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}/{} ", self.term, self.index)?;
        match &self.content {
            Content::Empty => write!(f, "no-op"),
            Content::Command(command) => {
                write!(f, "command {:?}", String::from_utf8_lossy(command))
            }
            Content::Change(steps) => write!(f, "change {steps:?}"),
        }
    }
}
