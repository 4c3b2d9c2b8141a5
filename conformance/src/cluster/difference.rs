//! What our design decides otherwise than etcd's raft, and which expectations each such difference explains.
//!
//! A difference excuses nothing by having come up. It says what it turns an expectation into: another leader for one
//! term, a configuration with or without one change, a commit index within bounds. An expectation that is neither met
//! nor turned into what ours hold stays a disagreement.

use std::collections::{BTreeMap, BTreeSet};

use liferaft_raft::configuration::Configuration;
use liferaft_raft::consensus::{RoleKind, Status};
use liferaft_raft::ids::{Index, ServerId, Term};
use liferaft_raft::message::RequestVote;

use super::Cluster;
use super::network::is_leave;
use crate::expected::{ConfigurationFact, Content, EntryFact, Role, Step, StepKind};
use crate::likeness::{same, same_role};

/// Where our design does by itself, or does not do, what etcd's raft leaves to its user.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Difference {
    /// A leader that is removed steps down when its removal commits (§4.2.2).
    RemovedLeaderStepsDown,
    /// A change counts from when it is appended (§4.1).
    ChangesCountWhenAppended,
    /// A leader leaves a joint configuration as soon as it may (§4.3).
    JointPhasesEndThemselves,
    /// The checks of membership changes cannot be turned off.
    ChangesAreValidated,
    /// A server counts as a voter only when it has caught up with the log (§4.2.1).
    VotersCatchUpFirst,
    /// Of several servers that ask at the same time whether they would be elected, the one with the best log and id
    /// goes on.
    OneAskerGoesOn,
}

impl Difference {
    pub(crate) fn reason(self) -> &'static str {
        match self {
            Self::RemovedLeaderStepsDown => {
                "a leader steps down when its own removal commits (§4.2.2), where the script has it lead on"
            }
            Self::ChangesCountWhenAppended => {
                "a membership change counts from when it is appended (§4.1), where the script has it count \
                 from when it is applied"
            }
            Self::JointPhasesEndThemselves => {
                "a leader leaves a joint configuration as soon as it may (§4.3) and votes for nobody who lacks \
                 that entry"
            }
            Self::ChangesAreValidated => {
                "a membership change is refused while another is under way (§4.1), where the script turns that \
                 check off"
            }
            Self::OneAskerGoesOn => {
                "of several servers that ask for pre-votes at the same time the one with the best log and id goes on, \
                 where the script has another"
            }
            Self::VotersCatchUpFirst => {
                "a server votes only when it has caught up with the log (§4.2.1), where the script has it vote before"
            }
        }
    }
}

/// What a script says of a server, where it may differ from what ours hold.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Claim<'a> {
    /// The role and the leader that it knows, 0 for none.
    Stands {
        server: u64,
        expected: (Role, u64),
        found: (RoleKind, u64),
    },
    /// A role and a leader that it has passed through.
    Stood {
        server: u64,
        expected: (Role, u64),
    },
    Vote {
        server: u64,
        term: u64,
        expected: u64,
        found: u64,
    },
    /// A commit index, found at `found` or at least there.
    Commit {
        server: u64,
        expected: u64,
        found: u64,
    },
    Committed(&'a EntryFact),
    Configuration {
        server: u64,
        expected: &'a ConfigurationFact,
    },
    /// Whether it votes.
    Votes {
        server: u64,
        expected: bool,
    },
    /// Whether it answers as a leader.
    Leads {
        server: u64,
        expected: bool,
    },
    /// The servers that it replicates to.
    Members {
        server: u64,
        expected: &'a BTreeSet<u64>,
    },
    /// Whether a server that it replicates to is a learner.
    Learns {
        server: u64,
        peer: u64,
        expected: bool,
    },
    /// A change is taken.
    Taken(&'a [Step]),
    /// Nothing explains it.
    Strict,
}

/// What was met on the way.
#[derive(Debug, Default)]
pub(super) struct Met {
    retired: Vec<Retired>,
    asked: Vec<Asked>,
    longer: Vec<Longer>,
    /// Changes that etcd's have made and ours have not.
    missing: Vec<Missing>,
    /// The configurations that the script has shown servers to be in.
    shown: BTreeMap<u64, ConfigurationFact>,
    /// The script has looked away since the last change was asked for.
    unseen: bool,
}

/// A leader that stepped down when its removal committed.
#[derive(Debug)]
struct Retired {
    leader: u64,
    term: Term,
    removal: Index,
    /// The end of its log at that time.
    last: Index,
    /// The script has it lead on.
    leads_on: bool,
    /// Our commit indices that lie beyond etcd's, each with etcd's.
    beyond: BTreeMap<u64, u64>,
}

/// Two servers that asked for pre-votes at the same time.
#[derive(Debug)]
struct Asked {
    askers: [u64; 2],
    term: u64,
    /// etcd's leader of the term and ours, once the script has named its own.
    leaders: Option<(u64, u64)>,
}

/// A voter whose log is longer than a candidate's by the entry that leaves a joint configuration which the script keeps
/// open.
#[derive(Debug, PartialEq, Eq)]
struct Longer {
    voter: u64,
    candidate: u64,
    term: u64,
}

#[derive(Debug)]
struct Missing {
    steps: Vec<Step>,
    joint: bool,
    by: Difference,
}

/// A configuration that etcd's may be in while ours are not.
struct Ahead {
    target: ConfigurationFact,
    /// All that vote in it, those too that a joint phase is about to remove.
    voters: BTreeSet<u64>,
    by: Difference,
}

impl Cluster {
    /// Whether what agrees also fits what was explained before: an explanation holds for all servers and stays.
    pub(crate) fn fits_explained(&mut self, claim: &Claim<'_>) -> bool {
        match *claim {
            Claim::Stands {
                expected: (_, lead),
                found: (_, ours),
                server,
            } if lead != 0 && lead == ours => {
                let term = self.term_of(server);
                let asked = self.met.asked_in(term);
                asked.is_none_or(|asked| asked.leads(lead, ours))
            }
            Claim::Commit {
                expected, found, ..
            } if self.settled => {
                let mut beyond = self.met.retired.iter().map(|retired| &retired.beyond);
                beyond.all(|beyond| beyond.get(&found).is_none_or(|theirs| *theirs == expected))
            }
            Claim::Votes { server, .. }
            | Claim::Members { server, .. }
            | Claim::Learns { server, .. } => {
                let ahead = self.ahead_of(server);
                let shown = self.met.shown.get(&server);
                ahead.is_none_or(|ahead| {
                    let applies = shown.is_some_and(|shown| ahead.is(shown));
                    !applies || ahead.meets(claim)
                })
            }
            _ => true,
        }
    }

    /// Names the difference that turns what is expected into what ours hold, if there is one.
    pub(crate) fn explain(&mut self, claim: &Claim<'_>) -> Option<Difference> {
        match *claim {
            Claim::Stands {
                server,
                expected,
                found,
            } => self.explain_standing(server, expected, found),
            Claim::Stood { server, expected } => {
                let term = self.term_of(server);
                if expected == (Role::Candidate, 0) {
                    let gave_way = self.leader_in(term) != Some(server);
                    let asked = self.met.asked_in(term)?.askers.contains(&server);
                    return (asked && gave_way).then_some(Difference::OneAskerGoesOn);
                }
                let (role, lead) = self.as_ours(term, server, expected)?;
                let leader = Some(ServerId(u128::from(lead)));
                let node = self.node(server).ok()?;
                node.has_played(leader, |ours| same_role(role, ours))
                    .then_some(Difference::OneAskerGoesOn)
            }
            Claim::Vote {
                server,
                term,
                expected,
                found,
            } => self.explain_vote(server, term, expected, found),
            Claim::Commit {
                server,
                expected,
                found,
            } => self.explain_commit(server, expected, found),
            Claim::Committed(entry) => self.explain_committed(entry),
            Claim::Configuration { server, expected } => {
                let ahead = self.ahead_of(server)?;
                ahead.is(expected).then_some(ahead.by)
            }
            Claim::Votes { server, .. }
            | Claim::Members { server, .. }
            | Claim::Learns { server, .. } => {
                let ahead = self.ahead_as_shown(server)?;
                ahead.meets(claim).then_some(ahead.by)
            }
            Claim::Leads { server, expected } => {
                let leader = self.leader_known_to(server).ok()?;
                let role = self.node(server).ok()?.role();
                let stands = (Role::Leader, server);
                let explained = self.explain_standing(server, stands, (role, leader));
                explained.filter(|_| expected)
            }
            Claim::Taken(steps) => self
                .met
                .missing
                .iter()
                .find(|missing| missing.steps == steps)
                .map(|missing| missing.by),
            Claim::Strict => None,
        }
    }

    fn explain_standing(
        &mut self,
        server: u64,
        expected: (Role, u64),
        found: (RoleKind, u64),
    ) -> Option<Difference> {
        let term = self.term_of(server);
        let leads_on =
            self.met.retired.iter().any(|retired| {
                retired.leads_on && retired.leader == server && retired.term.0 == term
            });
        if leads_on && expected == (Role::Leader, server) && found == (RoleKind::Follower, 0) {
            return Some(Difference::RemovedLeaderStepsDown);
        }
        if expected == (Role::Follower, 0) && found == (RoleKind::Leader, server) {
            let status = self.change_under_way()?;
            let stays = status.configuration.left_joint().is_voter(status.id);
            let steps_down = self.node(server).ok()?.options.step_down_on_removal;
            return (steps_down && !stays && number(status.id) == server)
                .then_some(Difference::ChangesCountWhenAppended);
        }
        let (role, lead) = self.as_ours(term, server, expected)?;
        (same_role(role, found.0) && lead == found.1).then_some(Difference::OneAskerGoesOn)
    }

    /// A role and a leader of etcd's, turned into ours by who went on among those that asked at the same time.
    fn as_ours(
        &mut self,
        term: u64,
        server: u64,
        (role, lead): (Role, u64),
    ) -> Option<(Role, u64)> {
        let ours = self.leader_in(term)?;
        let asked = self.met.asked_in(term)?;
        if (role == Role::Leader) != (server == lead) {
            return None;
        }
        if lead == ours || !asked.leads(lead, ours) {
            return None;
        }
        let role = match (role, server) {
            (Role::Leader, _) if server == lead => Role::Follower,
            (Role::Follower, _) if server == ours => Role::Leader,
            (role, _) => role,
        };
        Some((role, ours))
    }

    /// The server that leads with ours where the script asks the one that leads with etcd.
    pub(crate) fn stands_in_for(&mut self, server: u64) -> Option<u64> {
        let term = self.term_of(server);
        let (role, lead) = self.as_ours(term, server, (Role::Leader, server))?;
        (role == Role::Follower).then_some(lead)
    }

    fn explain_vote(
        &mut self,
        server: u64,
        term: u64,
        expected: u64,
        found: u64,
    ) -> Option<Difference> {
        let longer = Longer {
            voter: server,
            candidate: expected,
            term,
        };
        if found == 0 && self.met.longer.contains(&longer) {
            return Some(Difference::JointPhasesEndThemselves);
        }
        let ours = self.leader_in(term)?;
        let asked = self.met.asked_in(term)?;
        // Whoever gave way may hear of the new leader before it is asked for its vote.
        let found_fits = found == ours || (found == 0 && asked.askers.contains(&server));
        (found_fits && expected != ours && asked.leads(expected, ours))
            .then_some(Difference::OneAskerGoesOn)
    }

    fn explain_commit(&mut self, server: u64, expected: u64, found: u64) -> Option<Difference> {
        let settled = self.settled;
        let term = Term(self.term_of(server));
        let latest = Term(self.latest_term());
        for retired in &mut self.met.retired {
            let bounds = retired.removal.0..=retired.last.0;
            let (low, high) = (expected.min(found), expected.max(found));
            if retired.term != term
                || latest != term
                || !bounds.contains(&low)
                || !bounds.contains(&high)
            {
                continue;
            }
            if retired.leads_on && found < expected {
                return Some(Difference::RemovedLeaderStepsDown);
            }
            // Ours led until the removal had a majority, and committed what the log had by then.
            if !retired.leads_on && settled && expected < found {
                let theirs = *retired.beyond.entry(found).or_insert(expected);
                if theirs == expected {
                    return Some(Difference::ChangesCountWhenAppended);
                }
            }
        }
        let waits = found < expected && self.waits_for_change(Index(expected)).is_some();
        waits.then_some(Difference::ChangesCountWhenAppended)
    }

    fn explain_committed(&mut self, fact: &EntryFact) -> Option<Difference> {
        let at = Index(fact.index);
        if let Content::Change(steps) = &fact.content {
            let mut missing = self.met.missing.iter();
            let of_missing = missing
                .find(|missing| missing.steps == *steps || (steps.is_empty() && missing.joint));
            if let Some(missing) = of_missing {
                return Some(missing.by);
            }
        }
        let latest = Term(self.latest_term());
        let led_on = self.met.retired.iter().find(|retired| {
            retired.leads_on && retired.term == latest && retired.removal < at && at <= retired.last
        });
        if let Some(retired) = led_on {
            let leader = ServerId(u128::from(retired.leader));
            return self
                .has_entry(leader, fact)
                .then_some(Difference::RemovedLeaderStepsDown);
        }
        let leader = self.waits_for_change(at)?;
        self.has_entry(leader, fact)
            .then_some(Difference::ChangesCountWhenAppended)
    }

    /// Whether a configuration was ever committed; a joint phase is each one's own. Blank is only who was added so.
    pub(crate) fn has_committed(&self, server: u64, expected: &ConfigurationFact) -> bool {
        let blank = expected.voters.is_empty() && expected.learners.is_empty();
        let nodes = self.nodes().iter();
        let mut nodes = nodes.filter(|node| !blank || number(node.id) == server);
        nodes.any(|node| {
            node.configurations().any(|ours| {
                let ours = fact_of(ours);
                ours.voters == expected.voters && ours.learners == expected.learners
            })
        })
    }

    fn has_entry(&self, server: ServerId, fact: &EntryFact) -> bool {
        let node = self.nodes().iter().find(|node| node.id == server);
        node.is_some_and(|node| {
            let mut log = node.log();
            log.any(|entry| entry.index.0 == fact.index && same(fact, entry))
        })
    }

    /// What the leader knows, if it has appended a change that is not committed and the servers have more to do.
    fn change_under_way(&self) -> Option<Status> {
        if self.settled {
            return None;
        }
        let leaders = self.nodes().iter().filter(|node| node.leads());
        let status = leaders
            .map(super::Node::status)
            .max_by_key(|status| status.term)?;
        (status.configuration_index > status.commit).then_some(status)
    }

    /// The leader with an entry at this index that the configuration before the change has enough acknowledgements for,
    /// and the one that is appended has not.
    fn waits_for_change(&self, at: Index) -> Option<ServerId> {
        let status = self.change_under_way()?;
        let leader = self.nodes().iter().find(|node| node.id == status.id)?;
        let before = leader.committed_configuration();
        let waits = status.commit < at
            && at <= status.last.index
            && lacks_quorum(&status, &status.configuration, at)
            && !lacks_quorum(&status, &before, at);
        waits.then_some(status.id)
    }

    /// The configuration that etcd's server may be in while ours is not.
    fn ahead_of(&mut self, server: u64) -> Option<Ahead> {
        let node = self.node(server).ok()?;
        let (id, commit) = (node.id, node.status().commit);
        let ours = node.committed_configuration();
        if let Some(status) = self.change_under_way()
            && commit < status.configuration_index
        {
            let configuration = &status.configuration;
            let all = configuration
                .voters()
                .iter()
                .chain(configuration.outgoing());
            return Some(Ahead {
                target: fact_of(configuration),
                voters: all.map(|id| number(*id)).collect(),
                by: Difference::ChangesCountWhenAppended,
            });
        }
        let by = self.met.missing.last()?.by;
        let mut target = fact_of(&ours);
        for missing in &self.met.missing {
            make(&mut target, &missing.steps);
        }
        let mut voters = target.voters.clone();
        if ours.is_voter(id) && self.met.missing.iter().any(|missing| missing.joint) {
            voters.insert(server);
        }
        Some(Ahead { target, voters, by })
    }

    /// The same, if the script has shown the server to be in it, or looked away so that it may be.
    fn ahead_as_shown(&mut self, server: u64) -> Option<Ahead> {
        let ahead = self.ahead_of(server)?;
        let shown = self.met.shown.get(&server);
        shown
            .map_or(self.met.unseen, |shown| ahead.is(shown))
            .then_some(ahead)
    }

    pub(crate) fn latest_term(&self) -> u64 {
        let terms = self.nodes().iter().map(|node| node.status().term.0);
        terms.max().unwrap_or(0)
    }

    fn term_of(&self, server: u64) -> u64 {
        let id = ServerId(u128::from(server));
        let node = self.nodes().iter().find(|node| node.id == id);
        node.map_or(0, |node| node.status().term.0)
    }

    /// The server that leads in a term with ours.
    fn leader_in(&self, term: u64) -> Option<u64> {
        let mut nodes = self.nodes().iter();
        let leader = nodes.find(|node| node.leads() && node.status().term.0 == term)?;
        Some(number(leader.id))
    }

    /// Notes that a leader stepped down because it is removed.
    pub(super) fn note_removed_leader(&mut self, id: ServerId, led: bool) {
        let Some(node) = self.nodes().iter().find(|node| node.id == id) else {
            return;
        };
        let status = node.status();
        let removed = led
            && node.role() == RoleKind::Follower
            && !node.committed_configuration().is_voter(id);
        if removed {
            let retired = Retired {
                leader: number(id),
                term: status.term,
                removal: status.configuration_index,
                last: status.last.index,
                leads_on: !node.options.step_down_on_removal,
                beyond: BTreeMap::new(),
            };
            self.met.retired.push(retired);
        }
    }

    /// Notes a request for a vote that reaches a server.
    pub(super) fn note_vote_request(
        &mut self,
        from: ServerId,
        to: ServerId,
        request: &RequestVote,
    ) {
        let base = self.joint_phase.as_ref().map(|phase| phase.base);
        let Some(node) = self.nodes().iter().find(|node| node.id == to) else {
            return;
        };
        let asks_too = request.pre_vote && node.role() == RoleKind::PreCandidate;
        let is_longer = base.is_some_and(|base| {
            let log = node.log();
            let mut beyond = log
                .filter(|entry| entry.index > request.last.index)
                .peekable();
            beyond.peek().is_some() && beyond.all(|entry| is_leave(entry, base))
        });
        let (voter, candidate, term) = (number(to), number(from), request.campaign.0);
        if asks_too {
            self.met.asked.push(Asked {
                askers: [candidate, voter],
                term,
                leaders: None,
            });
        }
        if !request.pre_vote && is_longer {
            self.met.longer.push(Longer {
                voter,
                candidate,
                term,
            });
        }
    }

    /// Notes that a change is asked for.
    pub(super) fn note_change(&mut self) {
        self.met.unseen = false;
    }

    /// Notes that the script looks away: its servers may be in other configurations than it has shown.
    pub(crate) fn note_unseen(&mut self) {
        self.met.unseen = true;
        self.met.shown.clear();
    }

    pub(crate) fn note_shown(&mut self, server: u64, configuration: &ConfigurationFact) {
        self.met.shown.insert(server, configuration.clone());
    }

    /// Notes a change that etcd's make and ours have not made, or not yet.
    pub(super) fn note_missing(&mut self, steps: &[Step], joint: bool, by: Difference) {
        let steps = steps.to_vec();
        self.met.missing.push(Missing { steps, joint, by });
    }

    /// The change that waited for its joiners is made.
    pub(super) fn forget_waiting(&mut self) {
        let waits = |missing: &Missing| missing.by == Difference::VotersCatchUpFirst;
        self.met.missing.retain(|missing| !waits(missing));
    }
}

impl Met {
    fn asked_in(&mut self, term: u64) -> Option<&mut Asked> {
        self.asked.iter_mut().find(|asked| asked.term == term)
    }
}

impl Ahead {
    /// Whether what is expected of the members is so in this configuration.
    fn meets(&self, claim: &Claim<'_>) -> bool {
        let learners = &self.target.learners;
        match claim {
            Claim::Votes { server, expected } => self.voters.contains(server) == *expected,
            Claim::Learns { peer, expected, .. } => learners.contains(peer) == *expected,
            Claim::Members { expected, .. } => self.voters.union(learners).eq(*expected),
            _ => false,
        }
    }

    /// Whether a script shows this configuration. A joint phase is its own where ours has none.
    fn is(&self, shown: &ConfigurationFact) -> bool {
        let joint =
            self.by != Difference::ChangesCountWhenAppended || self.target.joint == shown.joint;
        joint && self.target.voters == shown.voters && self.target.learners == shown.learners
    }
}

impl Asked {
    /// Whether etcd's leader of the term may be `theirs` where ours is `ours`. The first answer stays.
    fn leads(&mut self, theirs: u64, ours: u64) -> bool {
        let among = theirs == ours || [theirs, ours].iter().all(|id| self.askers.contains(id));
        among && *self.leaders.get_or_insert((theirs, ours)) == (theirs, ours)
    }
}

/// Whether too few voters of a configuration have acknowledged an entry to commit it.
fn lacks_quorum(status: &Status, configuration: &Configuration, at: Index) -> bool {
    let has = |id: &ServerId| {
        if *id == status.id {
            return status.persisted >= at;
        }
        let mut peers = status.peers.iter();
        peers.any(|peer| peer.id == *id && peer.match_index >= at)
    };
    let lacks = |voters: &[ServerId]| {
        let count = voters.iter().filter(|id| has(id)).count();
        !voters.is_empty() && count * 2 <= voters.len()
    };
    lacks(configuration.voters()) || lacks(configuration.outgoing())
}

/// A configuration of ours as etcd's scripts tell one: by what it leads to.
pub(crate) fn fact_of(configuration: &Configuration) -> ConfigurationFact {
    let target = configuration.left_joint();
    let learners = target.members().filter(|(id, _)| target.is_learner(*id));
    ConfigurationFact {
        voters: target.voters().iter().map(|id| number(*id)).collect(),
        learners: learners.map(|(id, _)| number(id)).collect(),
        joint: configuration.is_joint(),
    }
}

fn make(target: &mut ConfigurationFact, steps: &[Step]) {
    for step in steps.iter().filter(|step| step.kind != StepKind::Update) {
        target.voters.remove(&step.server);
        target.learners.remove(&step.server);
        match step.kind {
            StepKind::Voter => target.voters.insert(step.server),
            StepKind::Learner => target.learners.insert(step.server),
            StepKind::Remove | StepKind::Update => false,
        };
    }
}

pub(crate) fn number(id: ServerId) -> u64 {
    u64::try_from(id.0).unwrap_or(u64::MAX)
}
