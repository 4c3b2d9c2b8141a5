//! Membership that manages itself (plan 2.1 no. 11, design): what a policy calls for never has voters that could not
//! answer, never evicts who was not silent for long enough, never leaves fewer voters than it may, promotes only who
//! has caught up, and takes nobody in whom an operator removed.
//!
//! A change is judged when the policy calls for it. What the core makes of it is another matter: until the change is
//! appended, those who are promoted catch up, and those who are evicted may come back.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use liferaft_raft::configuration::Configuration;
use liferaft_raft::consensus::{Addition, MembershipChange, MembershipStep, Oversight};
use liferaft_raft::ids::{Index, ServerId};
use liferaft_raft::time::Instant;

use super::{Verdict, demand, held, member_of};
use crate::clock::Nanos;
use crate::disk::Durable;
use crate::member::Member;
use crate::network::Network;
use crate::plan::MembershipPlan;
use crate::stewards::{Silence, Stewards};

/// A leader asks before it changes voters. From the first of these questions to the last answer it may take an election
/// timeout and so many heartbeat intervals, short sleeps of its own included: who answers has answered since.
const ASKING_HEARTBEATS: u32 = 4;

/// Nothing has befallen a server for so many times the time until eviction: then there is no reason to evict it.
const UNTOUCHED: Nanos = 2;

/// A change that a member's policy calls for.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Call<'a> {
    pub(crate) change: &'a MembershipChange,
    /// Whose policy it is.
    pub(crate) by: usize,
    /// What it leads.
    pub(crate) view: &'a Oversight<'a>,
    /// The entry of the configuration that it knows to be in force.
    pub(crate) known: Index,
    pub(crate) plan: MembershipPlan,
    pub(crate) members: &'a [Member],
    /// What servers that are gone had on their disks.
    pub(crate) lost: &'a BTreeMap<ServerId, Durable>,
    pub(crate) network: &'a Network,
    pub(crate) stewards: &'a Stewards,
    pub(crate) now: Nanos,
    /// What its clock shows.
    pub(crate) local: Instant,
}

impl Call<'_> {
    /// Whether the policy may call for this.
    pub(crate) fn check(&self) -> Verdict {
        let before = self.view.configuration;
        demand!(
            !before.is_joint() && self.view.may_change,
            "the policy calls for {:?} when nothing may be changed",
            self.change
        );
        for step in &self.change.steps {
            match step {
                MembershipStep::Evict(id) => self.check_eviction(*id)?,
                MembershipStep::Retire(id) => self.check_retirement(*id)?,
                MembershipStep::Remove(id) => {
                    return Err(format!("{id} is removed as by an operator"));
                }
                MembershipStep::AddVoter(Addition { id, .. }) => self.check_promotion(*id)?,
                MembershipStep::AddLearner(Addition { id, .. }) => demand!(
                    before.names(*id) || !self.stewards.is_dismissed(*id, self.known),
                    "{id} is taken in, whom an operator removed"
                ),
                MembershipStep::RaiseVersion(version) => self.check_version(*version)?,
                MembershipStep::Describe(..)
                | MembershipStep::Issue(_)
                | MembershipStep::Revoke(_) => {
                    return Err(format!("the policy calls for {step:?}"));
                }
            }
        }
        self.check_voters(before)
    }

    /// All members speak the version, and one of them none that is later.
    fn check_version(&self, version: u32) -> Verdict {
        let before = self.view.configuration;
        let spoken = || {
            before
                .members()
                .map(|(_, member)| member.description.versions())
        };
        demand!(
            version > before.version()
                && spoken().all(|versions| versions.contains(version))
                && spoken().any(|versions| versions.max == version),
            "the version goes from {} to {version}",
            before.version()
        );
        Ok(())
    }

    /// Whether it answered when it was asked just now.
    fn has_answered(&self, id: ServerId) -> bool {
        let timing = self.view.timing;
        let just_now = timing.election_timeout() + timing.heartbeat_interval() * ASKING_HEARTBEATS;
        let witness = &self.stewards.witness;
        let ago = witness.answered_ago(self.by, id, self.local);
        id == self.view.id || ago.is_some_and(|ago| ago <= just_now)
    }

    /// A quorum of the voters has answered what they were asked, and just now every voter that is to be has, but for
    /// silent ones that the least number keeps; and they are a quorum.
    fn check_voters(&self, before: &Configuration) -> Verdict {
        let old: BTreeSet<ServerId> = before.voters().iter().copied().collect();
        let next = voters_after(&old, self.change);
        let least = self.plan.voters_min.min(old.len());
        demand!(
            next.len() >= least,
            "the policy leaves {} voters, fewer than {least}",
            next.len()
        );
        if next == old {
            return Ok(());
        }
        let witness = &self.stewards.witness;
        let agrees = |id: &&ServerId| **id == self.view.id || witness.has_answered(self.by, **id);
        let agreeing = old.iter().filter(agrees).count();
        demand!(
            agreeing * 2 > old.len(),
            "the voters change from {old:?} to {next:?}, and only {agreeing} of the old ones have answered when asked"
        );
        let silent = next.iter().filter(|id| !self.has_answered(**id)).count();
        demand!(
            silent == 0 || next.len() <= least,
            "of the voters {next:?} that the policy wants, {silent} have not answered"
        );
        demand!(
            (next.len() - silent) * 2 > next.len(),
            "the voters {next:?} that the policy wants could not answer"
        );
        Ok(())
    }

    fn check_eviction(&self, id: ServerId) -> Verdict {
        if member_of(self.members, id).is_some_and(|member| member.is_blank) {
            // It has lost what it had acknowledged.
            return Ok(());
        }
        let (policy, timing) = (self.plan.policy(), self.view.timing);
        let evict_after = policy.evict_after();
        if self.disk_hangs(id, evict_after) {
            return Ok(());
        }
        match self.stewards.witness.silence(self.by, id, self.local) {
            Silence::Since(silence) => demand!(
                silence >= evict_after,
                "{id} is evicted, and has answered {silence:?} ago"
            ),
            Silence::Always(asked_for) => {
                let least = asks_for(evict_after, timing.election_timeout());
                demand!(
                    asked_for >= least,
                    "{id} is evicted by a leader that has asked it for {asked_for:?}, not {least:?}"
                );
            }
        }
        let of = self.members.iter().position(|member| member.id == id);
        let Some(of) = of.filter(|of| self.is_well(*of) && self.is_well(self.by)) else {
            return Ok(());
        };
        let untouched = [of, self.by].map(|at| self.stewards.witness.untouched_for(at, self.now));
        let [untouched, of_leader] = untouched;
        demand!(
            untouched.min(of_leader) < UNTOUCHED * self.plan.evict_after,
            "{id} is evicted, and nothing has befallen it for {untouched} ns"
        );
        Ok(())
    }

    /// Whether a voter that answers has long not written what it received, and was writing just now.
    fn disk_hangs(&self, id: ServerId, evict_after: Duration) -> bool {
        let peer = self.view.peer(id);
        let stalled_for = peer.and_then(|peer| peer.disk_stalled_for);
        let just_now = self.view.timing.election_timeout().as_nanos();
        let just_now = Nanos::try_from(just_now).unwrap_or(Nanos::MAX);
        let writes = |member: &Member| member.disk.was_busy(self.now, just_now);
        stalled_for.is_some_and(|stalled| stalled >= evict_after)
            && member_of(self.members, id).is_some_and(writes)
    }

    /// Who leaves for good does not have on its disk what it had acknowledged, or went on without that. Since then it
    /// may have been sent all of it once more.
    fn check_retirement(&self, id: ServerId) -> Verdict {
        let acknowledged = self.view.peer(id).map(|peer| peer.match_index);
        let (Some(acknowledged), Some(member)) = (acknowledged, member_of(self.members, id)) else {
            return Ok(());
        };
        let durable = member.disk.durable();
        let has_it =
            durable.snapshot_index() >= acknowledged || durable.entry(acknowledged).is_some();
        demand!(
            member.is_blank || !has_it,
            "{id} leaves for good, and has all up to {acknowledged} that it acknowledged"
        );
        Ok(())
    }

    /// Whether a member runs and hears the leader, and is heard.
    fn is_well(&self, at: usize) -> bool {
        let member = &self.members[at];
        let is_reached = self.network.passes(self.by, at) && self.network.passes(at, self.by);
        let disk = &member.disk;
        let is_sound = disk.slowness == 1 && disk.hangs_since.is_none();
        member.is_up() && member.pauses == 0 && is_sound && is_reached
    }

    /// What was committed when the leader first saw the learner has reached the learner's disk.
    fn check_promotion(&self, id: ServerId) -> Verdict {
        let before = self.view.configuration;
        demand!(
            before.is_learner(id),
            "{id} is made a voter and was no learner"
        );
        let Some(goal) = self.stewards.witness.goal(self.by, id) else {
            return Err(format!("{id} is promoted before it was seen"));
        };
        // Its disk may be gone since it has answered.
        let holds =
            |durable: &Durable| durable.snapshot_index() >= goal || durable.entry(goal).is_some();
        demand!(
            held(self.members, self.lost, id).is_none_or(holds),
            "{id} is promoted and does not hold {goal}"
        );
        Ok(())
    }
}

/// A leader that has never heard a server asks it for so long before it believes that it is silent: for all of the time
/// until eviction, from four election timeouts on.
fn asks_for(evict_after: Duration, election_timeout: Duration) -> Duration {
    let beyond = evict_after.saturating_sub(election_timeout);
    evict_after.min(beyond * 4 / 3)
}

/// The voters of a configuration with these once a change is made.
pub(crate) fn voters_after(
    before: &BTreeSet<ServerId>,
    change: &MembershipChange,
) -> BTreeSet<ServerId> {
    let mut voters = before.clone();
    for step in &change.steps {
        match step {
            MembershipStep::AddVoter(Addition { id, .. }) => voters.insert(*id),
            MembershipStep::AddLearner(Addition { id, .. })
            | MembershipStep::Remove(id)
            | MembershipStep::Evict(id)
            | MembershipStep::Retire(id) => voters.remove(id),
            MembershipStep::Describe(..)
            | MembershipStep::Issue(_)
            | MembershipStep::Revoke(_)
            | MembershipStep::RaiseVersion(_) => false,
        };
    }
    voters
}
