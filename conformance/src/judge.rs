//! The comparison: what the script has seen of etcd's servers against what ours hold to be true.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt;

use liferaft_raft::configuration::Configuration;
use liferaft_raft::consensus::RoleKind;
use liferaft_raft::entry::{Entry, Payload};
use liferaft_raft::ids::{Index, ServerId};

use crate::cluster::{Cluster, Difference};
use crate::expected::{
    ConfigurationFact, Content, EntryFact, ProgressFact, ReadyFact, Role, StateFact, Stated,
};
use crate::likeness::{describe, logs_agree, makes, same, same_role, text};

/// What did not agree.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Finding {
    pub(crate) line: usize,
    pub(crate) what: String,
    /// The difference of design that had come up before, if any.
    pub(crate) explained: Option<Difference>,
}

#[derive(Debug, Default)]
pub(crate) struct Judge {
    pub(crate) findings: Vec<Finding>,
    /// How many facts were compared.
    pub(crate) facts: usize,
    known: BTreeMap<u64, Known>,
    /// Entries that a server has committed by the script, not yet found with ours.
    committed: Vec<(usize, u64, EntryFact)>,
    /// What a server has passed through by the script, not yet looked for with ours.
    passed: Vec<(usize, u64, Passed)>,
    /// Where our log has the entries that etcd's has.
    places: BTreeMap<u64, Index>,
    /// The terms of the entries that etcd has committed, to tell a leader's first from others.
    terms: BTreeSet<u64>,
}

/// What a server was for a while.
#[derive(Clone, Copy, Debug)]
enum Passed {
    /// A role, and the leader it knew of, 0 for none.
    Role(Role, u64),
    HardState {
        term: u64,
        vote: u64,
        commit: u64,
    },
}

/// What the script has last said of a server, and where.
#[derive(Debug, Default)]
struct Known {
    role: Option<(usize, Role, u64)>,
    hard_state: Option<(usize, u64, u64, u64)>,
    configuration: Option<(usize, ConfigurationFact)>,
}

impl Judge {
    /// A server that starts is a follower of nobody in term 0.
    pub(crate) fn started(&mut self, line: usize, server: u64, commit: u64) {
        let known = self.known.entry(server).or_default();
        known.role = Some((line, Role::Follower, 0));
        known.hard_state = Some((line, 0, 0, commit));
    }

    /// The script has shut its eyes: what it knew may be out of date.
    pub(crate) fn forget(&mut self) {
        self.known.clear();
    }

    pub(crate) fn note(&mut self, stated: Vec<Stated>) {
        for Stated { line, server, fact } in stated {
            let known = self.known.entry(server).or_default();
            match fact {
                ReadyFact::Role { role, lead } => {
                    self.passed.push((line, server, Passed::Role(role, lead)));
                    known.role = Some((line, role, lead));
                }
                ReadyFact::HardState { term, vote, commit } => {
                    let passed = Passed::HardState { term, vote, commit };
                    self.passed.push((line, server, passed));
                    known.hard_state = Some((line, term, vote, commit));
                }
                ReadyFact::Configuration(configuration) => {
                    known.configuration = Some((line, configuration));
                }
                ReadyFact::Committed(entry) => self.committed.push((line, server, entry)),
            }
        }
    }

    /// Compares all that is known of these servers, or of all, which have nothing left to do among themselves.
    ///
    /// While a change waits for its joiners, what is committed with etcd may be later with ours, and is looked at again.
    pub(crate) fn settled(&mut self, cluster: &mut Cluster, ids: &[u64]) -> Result<(), String> {
        let waits = cluster.change_waits();
        self.compare_committed(cluster, ids, waits)?;
        self.compare_passed(cluster, ids)?;
        let known = std::mem::take(&mut self.known);
        for (server, known) in &known {
            if ids.is_empty() || ids.contains(server) {
                self.compare_known(cluster, *server, known, ids.is_empty())?;
            }
        }
        self.known = known;
        Ok(())
    }

    /// After the last command: what was committed and not yet looked at.
    pub(crate) fn finish(&mut self, cluster: &mut Cluster) -> Result<(), String> {
        if cluster.change_waits() {
            cluster.differences.push(Difference::VotersCatchUpFirst);
        }
        self.compare_committed(cluster, &[], false)?;
        self.compare_passed(cluster, &[])
    }

    fn compare_known(
        &mut self,
        cluster: &mut Cluster,
        server: u64,
        known: &Known,
        all_settled: bool,
    ) -> Result<(), String> {
        let waits = cluster.change_waits();
        let forgotten = cluster.has_forgotten(server);
        let node = cluster.node(server)?;
        let status = node.status();
        let configuration = known
            .configuration
            .as_ref()
            .map(|(line, fact)| (*line, fact, node.committed_configuration()));
        let (mut later, mut sooner) = (waits, false);
        if let Some((line, term, vote, commit)) = known.hard_state {
            let of = format!("server {server}'s term");
            self.compare(cluster, line, &of, &term, &status.term.0);
            let of = format!("server {server}'s vote in term {term}");
            let ours = status.voted_for.map_or(0, |id| id.0);
            self.compare(cluster, line, &of, &u128::from(vote), &ours);
            later = waits && status.commit.0 < commit;
            // Among some of the servers, a follower may have learnt sooner of what is committed: that is schedule. A
            // leader may only where ours has left a joint configuration, which counts from then on (§4.1), while etcd's
            // counts both halves until it applies that.
            let has_left = known
                .configuration
                .as_ref()
                .is_some_and(|(_, fact)| fact.joint && !status.configuration.is_joint());
            let schedule = status.role != RoleKind::Leader || has_left;
            sooner = !all_settled && schedule && status.commit.0 > commit;
            let agrees = if cluster.numbered_apart {
                self.commits_alike(commit, status.commit)
            } else {
                status.commit.0 == commit
            };
            self.check(cluster, line, agrees || later || sooner, || {
                let found = status.commit;
                format!("server {server}'s commit index: {commit} expected, {found} found")
            });
        }
        if let Some((line, role, lead)) = known.role {
            self.compare_role(cluster, line, server, role, status.role);
            if !forgotten {
                let of = format!("server {server}'s leader");
                let ours = status.leader.map_or(0, |id| id.0);
                self.compare(cluster, line, &of, &u128::from(lead), &ours);
            }
        }
        if let Some((line, fact, ours)) = configuration
            && !later
            && !sooner
        {
            self.compare_configuration(cluster, line, server, fact, &ours);
        }
        Ok(())
    }

    fn compare_configuration(
        &mut self,
        cluster: &Cluster,
        line: usize,
        server: u64,
        fact: &ConfigurationFact,
        ours: &Configuration,
    ) {
        let target = ours.left_joint();
        let mut found = ConfigurationFact {
            voters: target.voters().iter().map(number).collect(),
            learners: BTreeSet::new(),
            joint: ours.is_joint(),
        };
        for (id, _) in target.members().filter(|(id, _)| target.is_learner(*id)) {
            found.learners.insert(number(&id));
        }
        // Where the script is still joint ours may have left, or have had no need to be.
        found.joint &= !fact.joint;
        let expected = ConfigurationFact {
            joint: false,
            ..fact.clone()
        };
        let of = format!("server {server}'s configuration");
        self.compare(cluster, line, &of, &expected, &found);
    }

    fn compare_role(
        &mut self,
        cluster: &Cluster,
        line: usize,
        server: u64,
        role: Role,
        ours: RoleKind,
    ) {
        self.check(cluster, line, same_role(role, ours), || {
            format!("server {server}'s role: {role:?} expected, {ours:?} found")
        });
    }

    /// A line of `raft-state`.
    pub(crate) fn state(
        &mut self,
        cluster: &mut Cluster,
        line: usize,
        fact: &StateFact,
    ) -> Result<(), String> {
        let server = fact.server;
        let forgotten = cluster.has_forgotten(server);
        let node = cluster.node(server)?;
        let status = node.status();
        let voter = node.committed_configuration().is_voter(node.id);
        self.compare_role(cluster, line, server, fact.role, status.role);
        let of = format!("whether server {server} votes");
        self.compare(cluster, line, &of, &fact.voter, &voter);
        let of = format!("server {server}'s term");
        self.compare(cluster, line, &of, &fact.term, &status.term.0);
        if !forgotten {
            let of = format!("server {server}'s leader");
            let ours = status.leader.map_or(0, |id| id.0);
            self.compare(cluster, line, &of, &u128::from(fact.lead), &ours);
        }
        Ok(())
    }

    /// The answer to `status`: what a leader knows of each server. A match that is settled is the same; one that is not
    /// may be better with ours, whose messages are others, up to what that server really has on its disk.
    pub(crate) fn progress(
        &mut self,
        cluster: &mut Cluster,
        line: usize,
        server: u64,
        facts: &[(usize, ProgressFact)],
    ) -> Result<(), String> {
        let node = cluster.node(server)?;
        let status = node.status();
        let configuration = node.committed_configuration();
        let of = format!("whether server {server} leads");
        self.compare(
            cluster,
            line,
            &of,
            &!facts.is_empty(),
            &node_leads(status.role),
        );
        if facts.is_empty() || status.role != RoleKind::Leader {
            return Ok(());
        }
        let expected: BTreeSet<u64> = facts.iter().map(|(_, fact)| fact.server).collect();
        let members: BTreeSet<u64> = configuration.members().map(|(id, _)| number(&id)).collect();
        let of = format!("the servers that {server} replicates to");
        self.compare(cluster, line, &of, &expected, &members);
        let own = facts.iter().find(|(_, fact)| fact.server == server);
        let own = own.map(|(_, fact)| fact.matched);
        for (line, fact) in facts {
            let id = ServerId(u128::from(fact.server));
            let ours = if fact.server == server {
                status.persisted
            } else {
                let peer = status.peers.iter().find(|peer| peer.id == id);
                peer.map_or(Index::ZERO, |peer| peer.match_index)
            };
            let on_disk = cluster
                .node(fact.server)
                .map_or(Index::ZERO, |node| node.status().persisted);
            let agrees = if cluster.numbered_apart {
                // Indices mean others: what counts is whether it has all that the leader has.
                own.is_none_or(|own| (fact.matched >= own) == (ours >= status.persisted))
            } else if fact.settled {
                ours.0 == fact.matched
            } else {
                fact.matched <= ours.0 && ours <= on_disk
            };
            self.check(cluster, *line, agrees, || {
                let (peer, matched) = (fact.server, fact.matched);
                format!("server {peer}'s match index: {matched} expected, {ours} found")
            });
            let of = format!("whether server {} is a learner", fact.server);
            let learner = configuration.is_learner(id);
            self.compare(cluster, *line, &of, &fact.learner, &learner);
        }
        Ok(())
    }

    /// The answer to `raft-log`: what is on a server's disk.
    pub(crate) fn log(
        &mut self,
        cluster: &mut Cluster,
        line: usize,
        server: u64,
        facts: &[EntryFact],
    ) -> Result<(), String> {
        let apart = cluster.numbered_apart;
        let node = cluster.node(server)?;
        let fits = |log: &[Entry]| logs_agree(facts, log, apart);
        let agrees = if node.options.asynchronous {
            node.disk.look_for(fits)
        } else {
            let log: Vec<Entry> = node.disk.entries().cloned().collect();
            fits(&log)
        };
        let found = describe(node);
        self.check(cluster, line, agrees, || {
            let expected: Vec<String> = facts.iter().map(ToString::to_string).collect();
            let expected = expected.join(", ");
            format!("server {server}'s log: {expected} expected, {found} found")
        });
        Ok(())
    }

    /// What the script has seen a server pass through, ours must have passed through too: each role under each leader,
    /// each term and vote on its disk, and each commit index, though not one by one.
    fn compare_passed(&mut self, cluster: &mut Cluster, ids: &[u64]) -> Result<(), String> {
        let waits = cluster.change_waits();
        let apart = cluster.numbered_apart;
        let (now, later): (Vec<_>, Vec<_>) = std::mem::take(&mut self.passed)
            .into_iter()
            .partition(|(_, server, _)| ids.is_empty() || ids.contains(server));
        self.passed = later;
        for (line, server, passed) in now {
            let node = cluster.node(server)?;
            let agrees = match passed {
                Passed::Role(role, lead) => {
                    let leader = (lead != 0).then_some(ServerId(u128::from(lead)));
                    node.has_played(leader, |ours| same_role(role, ours))
                }
                Passed::HardState { term, vote, commit } => {
                    let committed = node.status().commit.0 >= commit;
                    node.disk.has_held(term, vote) && (committed || waits || apart)
                }
            };
            self.check(cluster, line, agrees, || {
                format!("server {server} never was where it is expected to be: {passed:?}")
            });
        }
        Ok(())
    }

    /// The entries that the script has seen these servers commit must be committed there by ours, in the same order.
    fn compare_committed(
        &mut self,
        cluster: &mut Cluster,
        ids: &[u64],
        may_wait: bool,
    ) -> Result<(), String> {
        let ours = cluster.committed()?.clone();
        let (now, later): (Vec<_>, Vec<_>) = std::mem::take(&mut self.committed)
            .into_iter()
            .partition(|(_, server, _)| ids.is_empty() || ids.contains(server));
        self.committed = later;
        for (line, server, fact) in now {
            let commit = cluster.node(server)?.status().commit;
            let found = match self.place_of(&fact, &ours, cluster.numbered_apart) {
                Place::At(index) => index <= commit,
                Place::Passed => true,
                Place::Nowhere => false,
            };
            if !found && may_wait && !ours.contains_key(&Index(fact.index)) {
                self.committed.push((line, server, fact));
                continue;
            }
            self.check(cluster, line, found, || {
                let instead = match ours.get(&Index(fact.index)) {
                    Some(entry) => text(entry),
                    None => "nothing".to_owned(),
                };
                format!("server {server} has not committed {fact}; {instead} is committed there")
            });
        }
        Ok(())
    }

    /// Where ours have committed an entry of etcd's.
    fn place_of(&mut self, fact: &EntryFact, ours: &BTreeMap<Index, Entry>, apart: bool) -> Place {
        let first_of_term = self.terms.insert(fact.term);
        let at = Index(fact.index);
        if let Some(index) = self.places.get(&fact.index) {
            let fits = ours.get(index).is_some_and(|entry| same(fact, entry));
            return if fits {
                Place::At(*index)
            } else {
                Place::Nowhere
            };
        }
        if ours.get(&at).is_some_and(|entry| same(fact, entry)) {
            self.places.insert(fact.index, at);
            return Place::At(at);
        }
        if !apart {
            return Place::Nowhere;
        }
        match &fact.content {
            // In place of a change that was refused, or to leave a joint phase that ours had left or not needed.
            Content::Empty if !first_of_term => return Place::Passed,
            Content::Change(steps) if steps.is_empty() => return Place::Passed,
            Content::Change(steps) => {
                let made = ours
                    .values()
                    .any(|entry| matches!(&entry.payload, Payload::Configuration(configuration) if makes(steps, configuration)));
                return if made { Place::Passed } else { Place::Nowhere };
            }
            Content::Empty | Content::Command(_) => {}
        }
        let after = self.places.range(..fact.index).next_back();
        let after = after.map_or(Index::ZERO, |(_, index)| *index);
        let before = self.places.range(fact.index..).next();
        let before = before.map_or(Index(u64::MAX), |(_, index)| *index);
        let found = ours
            .values()
            .find(|entry| after < entry.index && entry.index < before && same(fact, entry));
        match found {
            Some(entry) => {
                self.places.insert(fact.index, entry.index);
                Place::At(entry.index)
            }
            None => Place::Nowhere,
        }
    }

    /// Whether a commit index of etcd's lies between the same entries as ours.
    fn commits_alike(&self, theirs: u64, ours: Index) -> bool {
        let last = self.places.range(..=theirs).next_back();
        let next = self.places.range(theirs.saturating_add(1)..).next();
        last.is_none_or(|(_, at)| *at <= ours) && next.is_none_or(|(_, at)| *at > ours)
    }

    pub(crate) fn compare<T: PartialEq + fmt::Debug>(
        &mut self,
        cluster: &Cluster,
        line: usize,
        what: &str,
        expected: &T,
        found: &T,
    ) {
        self.check(cluster, line, expected == found, || {
            format!("{what}: {expected:?} expected, {found:?} found")
        });
    }

    pub(crate) fn check(
        &mut self,
        cluster: &Cluster,
        line: usize,
        agrees: bool,
        what: impl FnOnce() -> String,
    ) {
        self.facts += 1;
        if !agrees {
            self.findings.push(Finding {
                line,
                what: what(),
                explained: cluster.differences.first().copied(),
            });
        }
    }
}

enum Place {
    At(Index),
    /// It has no place in our log, and needs none.
    Passed,
    Nowhere,
}

fn node_leads(role: RoleKind) -> bool {
    role == RoleKind::Leader
}

fn number(id: &ServerId) -> u64 {
    u64::try_from(id.0).unwrap_or(u64::MAX)
}
