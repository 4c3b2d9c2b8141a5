//! What a script's answers say of the protocol: facts, read out of etcd's texts.
//!
//! Most of an answer is schedule (which message left when) or prose (the log lines) and is passed over. What is kept is
//! what each server holds to be true: its role, term, vote, commit index, log, committed entries and configuration.

use std::collections::BTreeSet;

/// A role as etcd names it. A server that asks whether it would be elected has given up its leader but nothing else.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Role {
    Follower,
    PreCandidate,
    Candidate,
    Leader,
}

/// An entry as etcd prints it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct EntryFact {
    pub(crate) term: u64,
    pub(crate) index: u64,
    pub(crate) content: Content,
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Content {
    /// A normal entry without data: of a leader's first, or in place of a refused change.
    Empty,
    Command(Vec<u8>),
    /// A membership change; one without steps leaves a joint configuration.
    Change(Vec<Step>),
}

/// One step of a membership change: `v1`, `l1`, `r1`, `u1`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Step {
    pub(crate) kind: StepKind,
    pub(crate) server: u64,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum StepKind {
    Voter,
    Learner,
    Remove,
    /// Changes nothing that is replicated.
    Update,
}

/// A configuration, reduced to what it leads to and whether it is still joint.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct ConfigurationFact {
    pub(crate) voters: BTreeSet<u64>,
    pub(crate) learners: BTreeSet<u64>,
    pub(crate) joint: bool,
}

/// A line of `raft-state`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct StateFact {
    pub(crate) server: u64,
    pub(crate) role: Role,
    pub(crate) voter: bool,
    pub(crate) term: u64,
    pub(crate) lead: u64,
}

/// A line of `status`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct ProgressFact {
    pub(crate) server: u64,
    pub(crate) matched: u64,
    /// Whether its log is known to agree and etcd's bounds hold nothing back: then the match is what was acknowledged,
    /// whatever the schedule. A search for the match, a snapshot and a full window go otherwise with other messages.
    pub(crate) settled: bool,
    pub(crate) learner: bool,
}

/// What a `Ready`, or a log line about a configuration, says of a server.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum ReadyFact {
    Role {
        role: Role,
        lead: u64,
    },
    HardState {
        term: u64,
        vote: u64,
        commit: u64,
    },
    Committed(EntryFact),
    /// A snapshot has taken the place of the log up to this index.
    Restored(u64),
    Configuration(ConfigurationFact),
}

/// What a `Ready` says, of whom, and where.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Stated {
    pub(crate) line: usize,
    pub(crate) server: u64,
    pub(crate) fact: ReadyFact,
}

/// Reads what is said of servers in the answer to a command that lets them work.
///
/// `server` is the one that a `Ready` without a heading is about.
///
/// # Errors
/// When a line begins like a fact and cannot be read.
pub(crate) fn stated(
    lines: &[(usize, String)],
    server: Option<u64>,
) -> Result<Vec<Stated>, (usize, String)> {
    let mut server = server;
    let mut in_committed = false;
    let mut found = Vec::new();
    for (line, text) in lines {
        let text = text.trim();
        if let Some(heading) = text.strip_prefix("> ") {
            server = heading.split(' ').next().and_then(|word| word.parse().ok());
            in_committed = false;
            continue;
        }
        let unreadable = || (*line, format!("cannot read `{text}`"));
        if in_committed && let Some(fact) = entry(text) {
            let server = server.ok_or_else(unreadable)?;
            let fact = ReadyFact::Committed(fact);
            found.push(Stated {
                line: *line,
                server,
                fact,
            });
            continue;
        }
        in_committed = text == "CommittedEntries:";
        let of_ready = if text.starts_with("HardState ") {
            Some(hard_state(text).ok_or_else(unreadable)?)
        } else if text.starts_with("Lead:") {
            Some(soft_state(text).ok_or_else(unreadable)?)
        } else if text.starts_with("Snapshot Index:") {
            let (until, state) = text.split_once("ConfState:").ok_or_else(unreadable)?;
            let index = until.split_whitespace().nth(1);
            let index = index.and_then(|word| word.strip_prefix("Index:")?.parse().ok());
            found.push(Stated {
                line: *line,
                server: server.ok_or_else(unreadable)?,
                fact: ReadyFact::Restored(index.ok_or_else(unreadable)?),
            });
            let configuration = conf_state(state).ok_or_else(unreadable)?;
            Some(ReadyFact::Configuration(configuration))
        } else {
            None
        };
        if let Some(fact) = of_ready {
            let server = server.ok_or_else(unreadable)?;
            found.push(Stated {
                line: *line,
                server,
                fact,
            });
        } else if let Some((of, configuration)) = switched(text) {
            found.push(Stated {
                line: *line,
                server: of,
                fact: ReadyFact::Configuration(configuration),
            });
        }
    }
    Ok(found)
}

/// `term/index EntryNormal "data"`, or a membership change.
pub(crate) fn entry(text: &str) -> Option<EntryFact> {
    let (position, content) = text.trim().split_once(' ')?;
    let (term, index) = position.split_once('/')?;
    let content = if let Some(data) = content.strip_prefix("EntryNormal ") {
        let data = unescaped(data)?;
        if data.is_empty() {
            Content::Empty
        } else {
            Content::Command(data)
        }
    } else {
        let steps = content
            .strip_prefix("EntryConfChangeV2")
            .or_else(|| content.strip_prefix("EntryConfChange"))?;
        Content::Change(self::steps(steps)?)
    };
    Some(EntryFact {
        term: term.parse().ok()?,
        index: index.parse().ok()?,
        content,
    })
}

/// `v1 l2 r3 u4`
pub(crate) fn steps(text: &str) -> Option<Vec<Step>> {
    text.split_whitespace()
        .map(|word| {
            let mut rest = word.chars();
            let kind = match rest.next()? {
                'v' => StepKind::Voter,
                'l' => StepKind::Learner,
                'r' => StepKind::Remove,
                'u' => StepKind::Update,
                _ => return None,
            };
            let server = rest.as_str().parse().ok()?;
            Some(Step { kind, server })
        })
        .collect()
}

/// A Go string as `%q` prints it.
fn unescaped(quoted: &str) -> Option<Vec<u8>> {
    let inside = quoted.trim().strip_prefix('"')?.strip_suffix('"')?;
    let mut data = Vec::new();
    let mut rest = inside.chars();
    while let Some(c) = rest.next() {
        if c != '\\' {
            data.extend(c.encode_utf8(&mut [0; 4]).bytes());
            continue;
        }
        match rest.next()? {
            'n' => data.push(b'\n'),
            't' => data.push(b'\t'),
            'r' => data.push(b'\r'),
            'x' => {
                let digits: String = rest.by_ref().take(2).collect();
                data.push(u8::from_str_radix(&digits, 16).ok()?);
            }
            other => data.extend(other.encode_utf8(&mut [0; 4]).bytes()),
        }
    }
    Some(data)
}

/// `1: StateLeader (Voter) Term:1 Lead:1`
pub(crate) fn state(text: &str) -> Option<StateFact> {
    let (server, rest) = text.trim().split_once(": ")?;
    let mut words = rest.split_whitespace();
    Some(StateFact {
        server: server.parse().ok()?,
        role: role(words.next()?)?,
        voter: match words.next()? {
            "(Voter)" => true,
            "(Non-Voter)" => false,
            _ => return None,
        },
        term: words.next()?.strip_prefix("Term:")?.parse().ok()?,
        lead: words.next()?.strip_prefix("Lead:")?.parse().ok()?,
    })
}

/// `2: StateReplicate match=11 next=15 paused inflight=3[full]`
pub(crate) fn progress(text: &str) -> Option<ProgressFact> {
    let (server, rest) = text.trim().split_once(": ")?;
    let mut words = rest.split_whitespace();
    let flow = words.next()?;
    let matched: u64 = words.next()?.strip_prefix("match=")?.parse().ok()?;
    words.next()?.strip_prefix("next=")?;
    let mut settled = flow == "StateReplicate";
    let mut learner = false;
    for word in words {
        learner |= word == "learner";
        settled &= word != "paused";
    }
    Some(ProgressFact {
        server: server.parse().ok()?,
        matched,
        settled,
        learner,
    })
}

fn role(name: &str) -> Option<Role> {
    match name {
        "StateFollower" => Some(Role::Follower),
        "StatePreCandidate" => Some(Role::PreCandidate),
        "StateCandidate" => Some(Role::Candidate),
        "StateLeader" => Some(Role::Leader),
        _ => None,
    }
}

/// `Lead:1 State:StateLeader`
fn soft_state(text: &str) -> Option<ReadyFact> {
    let (lead, state) = text.split_once(' ')?;
    Some(ReadyFact::Role {
        role: role(state.strip_prefix("State:")?)?,
        lead: lead.strip_prefix("Lead:")?.parse().ok()?,
    })
}

/// `HardState Term:1 Vote:1 Commit:2`, the vote left out if there is none.
fn hard_state(text: &str) -> Option<ReadyFact> {
    let (mut term, mut vote, mut commit) = (None, 0, None);
    for word in text.split_whitespace().skip(1) {
        let (name, value) = word.split_once(':')?;
        let value: u64 = value.parse().ok()?;
        match name {
            "Term" => term = Some(value),
            "Vote" => vote = value,
            "Commit" => commit = Some(value),
            _ => return None,
        }
    }
    Some(ReadyFact::HardState {
        term: term?,
        vote,
        commit: commit?,
    })
}

/// `Voters:[1 2] VotersOutgoing:[1] Learners:[] LearnersNext:[] AutoLeave:true`
fn conf_state(text: &str) -> Option<ConfigurationFact> {
    let list = |name: &str| -> Option<BTreeSet<u64>> {
        let (_, rest) = text.split_once(&format!("{name}:["))?;
        numbers(rest.split_once(']')?.0)
    };
    let mut learners = list("Learners")?;
    learners.extend(list("LearnersNext")?);
    Some(ConfigurationFact {
        voters: list("Voters")?,
        learners,
        joint: !list("VotersOutgoing")?.is_empty(),
    })
}

/// `INFO 1 switched to configuration voters=(1 2)&&(1) learners=(3) learners_next=(2) autoleave`
fn switched(text: &str) -> Option<(u64, ConfigurationFact)> {
    let (who, configuration) = text.split_once(" switched to configuration voters=(")?;
    let server = who.strip_prefix("INFO ")?.parse().ok()?;
    let (voters, rest) = configuration.split_once(')')?;
    let list = |name: &str| -> Option<BTreeSet<u64>> {
        match rest.split_once(&format!("{name}=(")) {
            None => Some(BTreeSet::new()),
            Some((_, list)) => numbers(list.split_once(')')?.0),
        }
    };
    let mut learners = list("learners")?;
    learners.extend(list("learners_next")?);
    let configuration = ConfigurationFact {
        voters: numbers(voters)?,
        learners,
        joint: rest.starts_with("&&("),
    };
    Some((server, configuration))
}

fn numbers(text: &str) -> Option<BTreeSet<u64>> {
    text.split_whitespace()
        .map(|word| word.parse().ok())
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(text: &str) -> Vec<(u64, ReadyFact)> {
        let lines: Vec<_> = text.lines().map(|line| (1, line.to_owned())).collect();
        let stated = stated(&lines, None).expect("it can be read");
        stated
            .into_iter()
            .map(|stated| (stated.server, stated.fact))
            .collect()
    }

    #[test]
    fn a_ready_says_role_term_vote_commit_and_what_is_committed() {
        let facts = read(
            "> 2 handling Ready\n  Ready MustSync=true:\n  Lead:1 State:StateFollower\n  HardState Term:3 Commit:12\n  \
             Entries:\n  3/13 EntryNormal \"later\"\n  CommittedEntries:\n  3/12 EntryNormal \"a\\\"b\"\n  Messages:\n  \
             2->1 MsgAppResp Term:3 Log:0/12",
        );

        let committed = EntryFact {
            term: 3,
            index: 12,
            content: Content::Command(b"a\"b".to_vec()),
        };
        assert_eq!(
            facts,
            [
                (
                    2,
                    ReadyFact::Role {
                        role: Role::Follower,
                        lead: 1
                    }
                ),
                (
                    2,
                    ReadyFact::HardState {
                        term: 3,
                        vote: 0,
                        commit: 12
                    }
                ),
                (2, ReadyFact::Committed(committed)),
            ]
        );
    }

    #[test]
    fn a_configuration_is_what_it_leads_to() {
        let facts = read(
            "INFO 1 switched to configuration voters=(1 2 3)&&(1 4) learners=(5) learners_next=(4) autoleave\n\
             > 3 handling Ready\n  Snapshot Index:4 Term:1 ConfState:Voters:[1 2] VotersOutgoing:[] Learners:[3] \
             LearnersNext:[] AutoLeave:false",
        );

        let joint = ConfigurationFact {
            voters: [1, 2, 3].into(),
            learners: [4, 5].into(),
            joint: true,
        };
        let simple = ConfigurationFact {
            voters: [1, 2].into(),
            learners: [3].into(),
            joint: false,
        };
        assert_eq!(
            facts,
            [
                (1, ReadyFact::Configuration(joint)),
                (3, ReadyFact::Restored(4)),
                (3, ReadyFact::Configuration(simple)),
            ]
        );
    }

    #[test]
    fn a_match_is_settled_unless_it_is_searched_for_or_held_back() {
        let settled = |text| progress(text).expect("it can be read").settled;

        assert!(settled("1: StateReplicate match=14 next=15"));
        assert!(!settled(
            "2: StateReplicate match=11 next=15 paused inflight=3[full]"
        ));
        assert!(!settled("3: StateProbe match=0 next=11 paused inactive"));
        assert!(!settled(
            "3: StateSnapshot match=0 next=12 paused pendingSnap=11"
        ));
    }
}
