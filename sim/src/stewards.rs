//! Members that manage their membership by themselves: the policy that each runs while it leads, and the wish to be
//! taken in of those who are out.
//!
//! The stewards are the real ones. What surrounds them in the driver is played here: asking and answering.

mod witness;

use std::collections::{BTreeMap, BTreeSet};

use liferaft_raft::config::Config;
use liferaft_raft::consensus::{
    Addition, ChangeError, MembershipChange, MembershipStep, Raft, RoleKind,
};
use liferaft_raft::ids::{Index, ServerId, Term};
use liferaft_raft::policy::{Act, JoinAnswer, Steward};
use liferaft_raft::time::Instant;

use crate::counts::Counts;
use crate::invitations::{EVERYBODYS, of_later_versions};
use crate::member::Member;
use crate::plan::{MembershipPlan, Plan};
use crate::sometimes::Sometimes;

pub(crate) use witness::{Silence, Witness};

/// A member that has heard no leader for so many election timeouts asks to be taken in.
const LONELY_ELECTION_TIMEOUTS: u32 = 2;

/// One that knows that an operator has removed it asks in every turn of so many: what it knows may have changed.
const RESIGNED_TURNS: u64 = 8;

/// What members say to one another about membership, beside the protocol.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Word {
    /// The sender asks to be taken in.
    Join,
    /// The receiver is not taken in: an operator has removed it.
    Refused,
}

/// The stewards of all members, one each; none where membership is left to operators.
#[derive(Debug)]
pub(crate) struct Stewards {
    plan: Option<MembershipPlan>,
    all: Vec<Steward>,
    /// The members that know that an operator has removed them.
    resigned: BTreeSet<usize>,
    /// Whom operators asked to remove.
    unwanted: BTreeSet<ServerId>,
    /// Whom operators removed and nobody has added again, each with the entry of the removal. It is kept apart from
    /// what configurations say.
    dismissed: BTreeMap<ServerId, Index>,
    /// Whom policies have evicted.
    evicted: BTreeSet<ServerId>,
    pub(crate) witness: Witness,
}

impl Stewards {
    pub(crate) fn new(plan: &Plan) -> Self {
        let steward = |plan: MembershipPlan| Steward::new(plan.policy());
        let all = plan
            .membership
            .map(|membership| vec![steward(membership); plan.members]);
        Self {
            plan: plan.membership,
            all: all.unwrap_or_default(),
            resigned: BTreeSet::new(),
            unwanted: BTreeSet::new(),
            dismissed: BTreeMap::new(),
            evicted: BTreeSet::new(),
            witness: Witness::new(plan.membership.is_some()),
        }
    }

    /// The settings, where members manage themselves.
    pub(crate) fn plan(&self) -> Option<MembershipPlan> {
        self.plan
    }

    /// When a member's steward has something to do.
    pub(crate) fn due(&self, at: usize) -> Instant {
        self.all.get(at).map_or(Instant::MAX, Steward::due)
    }

    /// Whether it is time to look after a member's cluster.
    pub(crate) fn is_due(&self, at: usize, raft: &Raft, now: Instant) -> bool {
        let steward = self.all.get(at);
        steward.is_some_and(|steward| steward.is_due(leads_in(raft), now))
    }

    /// Looks after a member's cluster, if it leads and it is time to.
    pub(crate) fn look(&mut self, at: usize, raft: &Raft, now: Instant) -> Act {
        let now = self.witness.now(at, now);
        let Some(steward) = self.all.get_mut(at) else {
            return Act::Rest;
        };
        if !steward.is_due(leads_in(raft), now) {
            return Act::Rest;
        }
        let oversight = raft.oversight();
        if let Some(view) = &oversight {
            self.witness.looks(at, view, now);
        }
        let act = steward.look(oversight.as_ref(), now);
        if let (Act::Ask, Some(view)) = (&act, &oversight) {
            self.witness.asks(at, view, now);
        }
        act
    }

    /// The core has answered a change of the policy's.
    pub(crate) fn changed(
        &mut self,
        at: usize,
        result: &Result<Index, ChangeError>,
        raft: Option<&Raft>,
        now: Instant,
    ) {
        let now = self.witness.now(at, now);
        if let Some(steward) = self.all.get_mut(at) {
            let oversight = raft.and_then(Raft::oversight);
            steward.changed(result, oversight.as_ref(), now);
        }
    }

    /// A change of the policy's is made.
    pub(crate) fn made(
        &mut self,
        change: &MembershipChange,
        members: &[Member],
        counts: &mut Counts,
    ) {
        let mut joined = 0;
        for step in &change.steps {
            match step {
                MembershipStep::Evict(id)
                | MembershipStep::Remove(id)
                | MembershipStep::Retire(id) => {
                    self.evicted.insert(*id);
                    counts.saw(Sometimes::EvictedByPolicy);
                }
                MembershipStep::AddVoter(_) => counts.saw(Sometimes::PromotedByPolicy),
                MembershipStep::AddLearner(Addition { id, .. }) => {
                    joined += 1;
                    if self.evicted.contains(id) && members.iter().any(|member| member.id == *id) {
                        counts.saw(Sometimes::Rejoined);
                    }
                }
                MembershipStep::Describe(..)
                | MembershipStep::Issue(_)
                | MembershipStep::Revoke(_)
                | MembershipStep::RaiseVersion(_) => {}
            }
        }
        if joined > 1 {
            counts.saw(Sometimes::JoinedTogether);
        }
    }

    /// A member starts anew.
    pub(crate) fn started(&mut self, at: usize) {
        if let (Some(steward), Some(plan)) = (self.all.get_mut(at), self.plan) {
            *steward = Steward::new(plan.policy());
            self.resigned.remove(&at);
            self.witness.started(at);
        }
    }

    /// Whether a member is out, as far as it knows, and asks to be taken in.
    pub(crate) fn wishes(
        &self,
        at: usize,
        member: &Member,
        config: &Config,
        now: Instant,
        turn: u64,
    ) -> bool {
        let Some(raft) = &member.raft else {
            return false;
        };
        let is_resigned = self.resigned.contains(&at) && !turn.is_multiple_of(RESIGNED_TURNS);
        if member.pauses > 0 || member.leads() || is_resigned {
            return false;
        }
        let lonely = config.election_timeout() * LONELY_ELECTION_TIMEOUTS;
        let heard = raft.led_at().is_some_and(|at| now.since(at) < lonely);
        !heard || !raft.configuration().1.names(member.id)
    }

    /// A server asks a member to be taken in.
    pub(crate) fn asked(
        &mut self,
        at: usize,
        who: ServerId,
        raft: &Raft,
        now: Instant,
    ) -> Option<Word> {
        let now = self.witness.now(at, now);
        let (steward, oversight) = (self.all.get_mut(at)?, raft.oversight()?);
        let is_open = oversight.configuration.is_open();
        let addition = Addition {
            description: of_later_versions(oversight.configuration),
            token: (!is_open).then_some(EVERYBODYS.key),
            ..Addition::of(who)
        };
        match steward.ask_to_join(addition, &oversight, now) {
            JoinAnswer::Dismissed | JoinAnswer::Forgot => Some(Word::Refused),
            // Whoever is out asks again, whatever the answer.
            JoinAnswer::Accepted
            | JoinAnswer::Member
            | JoinAnswer::Busy
            | JoinAnswer::NotInvited
            | JoinAnswer::OtherVersion
            | JoinAnswer::Token(_) => None,
        }
    }

    /// A member is told by another that an operator has removed it.
    pub(crate) fn resign(&mut self, at: usize) {
        self.resigned.insert(at);
    }

    /// An operator asks for a change.
    pub(crate) fn operator_asks(&mut self, change: &MembershipChange) {
        self.unwanted.extend(removed(change));
    }

    /// An operator's change is made, and ended with this entry.
    pub(crate) fn operator_changed(&mut self, change: &MembershipChange, at: Index) {
        let removals = removed(change).map(|id| (id, at));
        self.dismissed.extend(removals);
    }

    /// The configuration of this entry is committed, as a member knows.
    pub(crate) fn committed(&mut self, at: usize, member: &Member, index: Index) {
        let Some(configuration) = member.log.configuration_at(index) else {
            return;
        };
        // As the driver does, also where it believes the configuration.
        if configuration.is_dismissed(member.id) {
            self.resigned.insert(at);
        } else {
            self.resigned.remove(&at);
        }
        self.dismissed
            .retain(|id, since| *since >= index || !configuration.names(*id));
    }

    /// Whether an operator has removed a server, as must be known to who knows the configuration of this entry.
    pub(crate) fn is_dismissed(&self, who: ServerId, known: Index) -> bool {
        self.dismissed
            .get(&who)
            .is_some_and(|since| *since <= known)
    }

    /// What the policy should have put right where nothing fails any more: the dead are out, the living are in, unless
    /// an operator wants them out, and as many vote as should.
    pub(crate) fn ailment(&self, members: &[Member]) -> Option<String> {
        let plan = self.plan?;
        let leader = members
            .iter()
            .filter(|member| member.leads())
            .max_by_key(|member| member.view.term)?;
        let configuration = leader.log.configuration().1?;
        let is_dismissed =
            |id: ServerId| self.unwanted.contains(&id) && configuration.is_dismissed(id);
        let mut living = members.iter().map(|member| member.id);
        if let Some(id) = living.find(|id| !configuration.names(*id) && !is_dismissed(*id)) {
            return Some(format!("{id} is not taken in"));
        }
        let is_dead = |id: ServerId| members.iter().all(|member| member.id != id);
        let voters = configuration.voters();
        // The dead stay where there would be too few voters without them.
        let is_missed = |id: ServerId| voters.contains(&id) && voters.len() <= plan.voters_min;
        let all = configuration.members().map(|(id, _)| id);
        let dead = all.filter(|id| is_dead(*id));
        if let Some(id) = dead.into_iter().find(|id| !is_missed(*id)) {
            return Some(format!("{id} is gone and not evicted"));
        }
        let policy = plan.policy();
        let wanted = policy.voters_wanted().min(configuration.members().len());
        (voters.len() != wanted)
            .then(|| format!("{voters:?} vote, there should be {wanted} voters"))
    }
}

fn leads_in(raft: &Raft) -> Option<Term> {
    (raft.role() == RoleKind::Leader).then(|| raft.term())
}

/// Whom an operator's change removes.
fn removed(change: &MembershipChange) -> impl Iterator<Item = ServerId> {
    change.steps.iter().filter_map(|step| match step {
        MembershipStep::Remove(id) => Some(*id),
        MembershipStep::Evict(_)
        | MembershipStep::Retire(_)
        | MembershipStep::AddVoter(_)
        | MembershipStep::AddLearner(_)
        | MembershipStep::Describe(..)
        | MembershipStep::Issue(_)
        | MembershipStep::Revoke(_)
        | MembershipStep::RaiseVersion(_) => None,
    })
}
