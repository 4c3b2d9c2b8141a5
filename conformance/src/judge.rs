//! The comparison: what the script has seen of etcd's servers against what ours hold to be true.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt;

use liferaft_raft::consensus::RoleKind;
use liferaft_raft::entry::{Entry, Payload};
use liferaft_raft::ids::{Index, ServerId};

use crate::cluster::{Claim, Cluster, Difference, fact_of, number};
use crate::expected::{
    ConfigurationFact, Content, EntryFact, ProgressFact, ReadyFact, Role, StateFact, Stated,
};
use crate::likeness::{describe, logs_agree, makes, same, same_role, text};

/// What did not agree.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Finding {
    pub(crate) line: usize,
    pub(crate) what: String,
    /// The difference of design that turns what is expected into what ours hold, if there is one.
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
    /// The votes that the script has seen, by server and term.
    votes: BTreeMap<(u64, u64), u64>,
    /// The last index that the script has seen each server commit.
    applied: BTreeMap<u64, u64>,
    /// The terms of the entries that etcd has committed, by index.
    terms: BTreeMap<u64, u64>,
}

/// What a server was for a while.
#[derive(Clone, Debug)]
enum Passed {
    /// A role, and the leader it knew of, 0 for none.
    Role(Role, u64),
    HardState {
        term: u64,
        vote: u64,
        commit: u64,
        /// The highest term of ours at that time: a later one nobody has campaigned for yet.
        latest: u64,
    },
    Configuration(ConfigurationFact),
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
        self.applied.insert(server, commit);
    }

    /// The script has shut its eyes: what it knew may be out of date.
    pub(crate) fn forget(&mut self, cluster: &mut Cluster) {
        self.known.clear();
        self.applied.clear();
        cluster.note_unseen();
    }

    pub(crate) fn note(&mut self, cluster: &mut Cluster, stated: Vec<Stated>) {
        let latest = cluster.latest_term();
        for Stated { line, server, fact } in stated {
            let known = self.known.entry(server).or_default();
            match fact {
                ReadyFact::Role { role, lead } => {
                    self.passed.push((line, server, Passed::Role(role, lead)));
                    known.role = Some((line, role, lead));
                }
                ReadyFact::HardState { term, vote, commit } => {
                    let passed = Passed::HardState {
                        term,
                        vote,
                        commit,
                        latest,
                    };
                    self.passed.push((line, server, passed));
                    known.hard_state = Some((line, term, vote, commit));
                    if vote != 0 {
                        let first = *self.votes.entry((server, term)).or_insert(vote);
                        self.demand(line, vote == first, || {
                            format!(
                                "server {server} votes for {vote} and for {first} in term {term}"
                            )
                        });
                    }
                }
                ReadyFact::Configuration(configuration) => {
                    cluster.note_shown(server, &configuration);
                    let passed = Passed::Configuration(configuration.clone());
                    self.passed.push((line, server, passed));
                    known.configuration = Some((line, configuration));
                }
                ReadyFact::Restored(index) => {
                    self.applied.insert(server, index);
                }
                ReadyFact::Committed(entry) => {
                    let commit = known
                        .hard_state
                        .map_or(u64::MAX, |(_, _, _, commit)| commit);
                    self.demand(line, entry.index <= commit, || {
                        format!("server {server} commits {entry} with the commit index {commit}")
                    });
                    if let Some(last) = self.applied.insert(server, entry.index) {
                        self.demand(line, entry.index == last + 1, || {
                            format!("server {server} commits {entry} after index {last}")
                        });
                    }
                    self.committed.push((line, server, entry));
                }
            }
        }
    }

    /// Compares all that is known of these servers, or of all, which have nothing left to do among themselves.
    ///
    /// While a change waits for its joiners, what is committed with etcd may be later with ours, and is looked at
    /// again.
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
        cluster.settled = true;
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
        let node = cluster.node(server)?;
        let status = node.status();
        let (mut later, mut sooner) = (false, None);
        if let Some((line, term, vote, commit)) = known.hard_state {
            let of = format!("server {server}'s term");
            self.compare(cluster, line, &of, &term, &status.term.0);
            let found = status.voted_for.map_or(0, number);
            let claim = Claim::Vote {
                server,
                term,
                expected: vote,
                found,
            };
            self.check(cluster, line, claim, vote == found, || {
                format!("server {server}'s vote in term {term}: {vote} expected, {found} found")
            });
            let found = status.commit.0;
            let possible = commit <= cluster.commit_max();
            later = waits && found < commit && possible;
            // Among some of the servers, a follower may have learnt sooner of what is committed: that is schedule. A
            // leader may only where ours has left a joint configuration, which counts from then on (§4.1), while etcd's
            // counts both halves until it applies that.
            let has_left = known
                .configuration
                .as_ref()
                .is_some_and(|(_, fact)| fact.joint && !status.configuration.is_joint());
            let schedule = status.role != RoleKind::Leader || has_left;
            let at = self.place_up_to(cluster, commit);
            sooner = (!all_settled && schedule && found > commit).then_some(at);
            let agrees = if cluster.numbered_apart {
                possible && self.commits_alike(commit, status.commit)
            } else {
                found == commit
            };
            let claim = Claim::Commit {
                server,
                expected: commit,
                found,
            };
            let agrees = agrees || later || sooner.is_some();
            self.check(cluster, line, claim, agrees, || {
                format!("server {server}'s commit index: {commit} expected, {found} found")
            });
        }
        if let Some((line, role, lead)) = known.role {
            self.compare_standing(cluster, line, server, (role, lead))?;
        }
        if let Some((line, fact)) = &known.configuration {
            self.compare_configuration(cluster, *line, server, fact, later, sooner)?;
        }
        Ok(())
    }

    /// The role of a server and the leader that it knows.
    fn compare_standing(
        &mut self,
        cluster: &mut Cluster,
        line: usize,
        server: u64,
        expected: (Role, u64),
    ) -> Result<(), String> {
        let (role, lead) = expected;
        let ours = cluster.node(server)?.role();
        let leader = cluster.leader_known_to(server)?;
        let claim = Claim::Stands {
            server,
            expected,
            found: (ours, leader),
        };
        self.check(cluster, line, claim, same_role(role, ours), || {
            format!("server {server}'s role: {role:?} expected, {ours:?} found")
        });
        self.check(cluster, line, claim, lead == leader, || {
            format!("server {server}'s leader: {lead} expected, {leader} found")
        });
        Ok(())
    }

    /// While a change waits for its joiners ours may have it `later`; a follower may have learnt of it `sooner` than of
    /// the commit index that the script has seen.
    fn compare_configuration(
        &mut self,
        cluster: &mut Cluster,
        line: usize,
        server: u64,
        expected: &ConfigurationFact,
        later: bool,
        sooner: Option<Index>,
    ) -> Result<(), String> {
        let node = cluster.node(server)?;
        let found = fact_of(&node.committed_configuration());
        let alike = |ours: &ConfigurationFact| {
            // Where the script is still joint ours may have left, or have had no need to be.
            let joint = expected.joint || !ours.joint;
            joint && ours.voters == expected.voters && ours.learners == expected.learners
        };
        let before = sooner.map(|commit| fact_of(&node.configuration_at(commit)));
        let claim = Claim::Configuration { server, expected };
        let agrees = alike(&found)
            || before.is_some_and(|before| alike(&before))
            || (later && cluster.explain(&claim).is_some());
        self.check(cluster, line, claim, agrees, || {
            format!("server {server}'s configuration: {expected:?} expected, {found:?} found")
        });
        Ok(())
    }

    /// A line of `raft-state`.
    pub(crate) fn state(
        &mut self,
        cluster: &mut Cluster,
        line: usize,
        fact: &StateFact,
    ) -> Result<(), String> {
        let server = fact.server;
        let node = cluster.node(server)?;
        let term = node.status().term.0;
        let voter = node.committed_configuration().is_voter(node.id);
        self.compare_standing(cluster, line, server, (fact.role, fact.lead))?;
        let expected = fact.voter;
        let claim = Claim::Votes { server, expected };
        self.check(cluster, line, claim, expected == voter, || {
            format!("whether server {server} votes: {expected} expected, {voter} found")
        });
        let of = format!("server {server}'s term");
        self.compare(cluster, line, &of, &fact.term, &term);
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
        let expected = !facts.is_empty();
        let found = cluster.node(server)?.leads();
        let claim = Claim::Leads { server, expected };
        self.check(cluster, line, claim, expected == found, || {
            format!("whether server {server} leads: {expected} expected, {found} found")
        });
        if !expected {
            return Ok(());
        }
        let asked = cluster.stands_in_for(server).unwrap_or(server);
        let node = cluster.node(asked)?;
        let status = node.status();
        let configuration = node.committed_configuration();
        let expected: BTreeSet<u64> = facts.iter().map(|(_, fact)| fact.server).collect();
        let members: BTreeSet<u64> = configuration.members().map(|(id, _)| number(id)).collect();
        let claim = Claim::Members {
            server,
            expected: &expected,
        };
        self.check(cluster, line, claim, expected == members, || {
            format!(
                "the servers that {server} replicates to: {expected:?} expected, {members:?} found"
            )
        });
        let own = facts.iter().find(|(_, fact)| fact.server == server);
        let own = own.map(|(_, fact)| fact.matched);
        for (line, fact) in facts {
            let (line, peer, matched) = (*line, fact.server, fact.matched);
            let id = ServerId(u128::from(peer));
            let on_disk = cluster
                .node(peer)
                .map_or(Index::ZERO, |node| node.status().persisted);
            let ours = if peer == asked {
                status.persisted
            } else if !node_leads(status.role) || !members.contains(&peer) {
                // Nobody counts for it with ours: etcd's can know of no more than is there.
                on_disk
            } else {
                let peer = status.peers.iter().find(|peer| peer.id == id);
                peer.map_or(Index::ZERO, |peer| peer.match_index)
            };
            let agrees = if cluster.numbered_apart {
                // Indices mean others: what counts is whether it has all that the leader has.
                let possible = matched <= cluster.commit_max();
                possible && own.is_none_or(|own| (matched >= own) == (ours >= status.persisted))
            } else if fact.settled {
                ours.0 == matched
            } else {
                matched <= ours.0 && ours <= on_disk
            };
            self.check(cluster, line, Claim::Strict, agrees, || {
                format!("server {peer}'s match index: {matched} expected, {ours} found")
            });
            let learner = configuration.is_learner(id);
            let expected = fact.learner;
            let claim = Claim::Learns {
                server,
                peer,
                expected,
            };
            self.check(cluster, line, claim, expected == learner, || {
                format!("whether server {peer} is a learner: {expected} expected, {learner} found")
            });
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
        self.check(cluster, line, Claim::Strict, agrees, || {
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
        let (now, later): (Vec<_>, Vec<_>) = std::mem::take(&mut self.passed)
            .into_iter()
            .partition(|(_, server, _)| ids.is_empty() || ids.contains(server));
        self.passed = later;
        for (line, server, passed) in now {
            match passed {
                Passed::Role(role, lead) => {
                    let leader = (lead != 0).then_some(ServerId(u128::from(lead)));
                    let node = cluster.node(server)?;
                    let agrees = node.has_played(leader, |ours| same_role(role, ours));
                    let expected = (role, lead);
                    let claim = Claim::Stood { server, expected };
                    self.check(cluster, line, claim, agrees, || {
                        format!("server {server} never was {role:?} with the leader {lead}")
                    });
                }
                Passed::Configuration(expected) => {
                    let claim = Claim::Configuration {
                        server,
                        expected: &expected,
                    };
                    let agrees = cluster.has_committed(server, &expected);
                    let later = waits && cluster.explain(&claim).is_some();
                    self.check(cluster, line, claim, agrees || later, || {
                        format!("nobody ever committed the configuration {expected:?}")
                    });
                }
                Passed::HardState {
                    term,
                    vote,
                    commit,
                    latest,
                } => {
                    self.compare_passed_vote(cluster, line, server, (term, vote), latest)?;
                    let found = cluster.node(server)?.status().commit;
                    let at_least = self.place_up_to(cluster, commit);
                    let possible = commit <= cluster.commit_max();
                    let claim = Claim::Commit {
                        server,
                        expected: commit,
                        found: found.0,
                    };
                    let agrees = possible && (found >= at_least || waits);
                    self.check(cluster, line, claim, agrees, || {
                        format!("server {server}'s commit index: {commit} or more expected, {found} found")
                    });
                }
            }
        }
        Ok(())
    }

    fn compare_passed_vote(
        &mut self,
        cluster: &mut Cluster,
        line: usize,
        server: u64,
        (term, vote): (u64, u64),
        latest: u64,
    ) -> Result<(), String> {
        let disk = &mut cluster.node(server)?.disk;
        let agrees = term <= latest && disk.look_for_vote(term, vote);
        let claim = match disk.vote_in(term) {
            Some(found) if term <= latest => Claim::Vote {
                server,
                term,
                expected: vote,
                found,
            },
            _ => Claim::Strict,
        };
        self.check(cluster, line, claim, agrees, || {
            format!("server {server} never had the vote {vote} in term {term} on its disk")
        });
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
        let latest = cluster.latest_term();
        let (now, later): (Vec<_>, Vec<_>) = std::mem::take(&mut self.committed)
            .into_iter()
            .partition(|(_, server, _)| ids.is_empty() || ids.contains(server));
        self.committed = later;
        for (line, server, fact) in now {
            let commit = cluster.node(server)?.status().commit;
            let claim = if self.may_have_term(&fact, latest) {
                Claim::Committed(&fact)
            } else {
                Claim::Strict
            };
            let found = match self.place_of(&fact, &ours, latest, cluster.numbered_apart) {
                Place::At(index) => index <= commit,
                Place::Passed => true,
                Place::Nowhere => false,
            };
            if !found && !ours.contains_key(&Index(fact.index)) {
                // An explanation that does not last: it is to come when all are settled.
                let until_settled =
                    cluster.explain(&claim) == Some(Difference::ChangesCountWhenAppended);
                if may_wait || until_settled {
                    self.committed.push((line, server, fact.clone()));
                }
                if may_wait && !until_settled {
                    continue;
                }
            }
            self.check(cluster, line, claim, found, || {
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
    fn place_of(
        &mut self,
        fact: &EntryFact,
        ours: &BTreeMap<Index, Entry>,
        latest: u64,
        apart: bool,
    ) -> Place {
        let at = Index(fact.index);
        if !self.may_have_term(fact, latest) {
            return Place::Nowhere;
        }
        self.terms.insert(fact.index, fact.term);
        let earlier = self.terms.range(..fact.index).next_back();
        let first_of_term = earlier.is_none_or(|(_, term)| *term < fact.term);
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

    /// Where our log has the last entry up to an index of etcd's; where they are numbered apart, the last one known.
    fn place_up_to(&self, cluster: &Cluster, theirs: u64) -> Index {
        if !cluster.numbered_apart {
            return Index(theirs);
        }
        let mut places = self.places.range(..=theirs);
        places.next_back().map_or(Index::ZERO, |(_, at)| *at)
    }

    /// Whether the terms of etcd's entries do not decrease, and none is later than ours.
    fn may_have_term(&self, fact: &EntryFact, latest: u64) -> bool {
        let before = self.terms.range(..fact.index).next_back();
        let at = self.terms.get(&fact.index);
        let after = self.terms.range(fact.index + 1..).next();
        fact.term <= latest
            && before.is_none_or(|(_, term)| *term <= fact.term)
            && at.is_none_or(|term| *term == fact.term)
            && after.is_none_or(|(_, term)| fact.term <= *term)
    }

    /// Whether a commit index of etcd's lies between the same entries as ours.
    fn commits_alike(&self, theirs: u64, ours: Index) -> bool {
        let last = self.places.range(..=theirs).next_back();
        let next = self.places.range(theirs.saturating_add(1)..).next();
        last.is_none_or(|(_, at)| *at <= ours) && next.is_none_or(|(_, at)| *at > ours)
    }

    pub(crate) fn compare<T: PartialEq + fmt::Debug>(
        &mut self,
        cluster: &mut Cluster,
        line: usize,
        what: &str,
        expected: &T,
        found: &T,
    ) {
        self.check(cluster, line, Claim::Strict, expected == found, || {
            format!("{what}: {expected:?} expected, {found:?} found")
        });
    }

    /// What the script says must agree with itself. Nothing of ours is compared.
    fn demand(&mut self, line: usize, holds: bool, what: impl FnOnce() -> String) {
        if !holds {
            self.findings.push(Finding {
                line,
                what: format!("the script contradicts itself: {}", what()),
                explained: None,
            });
        }
    }

    pub(crate) fn check(
        &mut self,
        cluster: &mut Cluster,
        line: usize,
        claim: Claim<'_>,
        agrees: bool,
        what: impl FnOnce() -> String,
    ) {
        self.facts += 1;
        if agrees && cluster.fits_explained(&claim) {
            return;
        }
        self.findings.push(Finding {
            line,
            what: what(),
            explained: cluster.explain(&claim),
        });
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
