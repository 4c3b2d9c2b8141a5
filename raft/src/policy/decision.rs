//! From a situation to the change that it calls for.

use alloc::vec::Vec;

use super::MembershipPolicy;
use crate::configuration::{Configuration, Grants, Member, SERVERS_MAX, TokenKey};
use crate::consensus::planted::{Bug, is_planted};
use crate::consensus::{Addition, MembershipChange, MembershipStep};
use crate::ids::ServerId;
use crate::sorted::{SortedMap, SortedSet};
use crate::time::ClusterTime;

/// What a leader knows, as far as it matters who should take part.
#[derive(Clone, Debug)]
pub struct Situation<'a> {
    /// The leader.
    pub id: ServerId,
    /// The configuration in force. It is committed and simple, and no change is under way.
    pub configuration: &'a Configuration,
    /// What is heard of each of its servers. The leader hears itself; of whom nothing is said, an answer is awaited.
    pub voices: SortedMap<ServerId, Voice>,
    /// Learners whose logs have caught up (§4.2.1).
    pub caught_up: SortedSet<ServerId>,
    /// Who asks to join, and how it would be let in. Members are not among them.
    pub joiners: SortedMap<ServerId, Addition>,
    /// What cluster time it is, by which access tokens expire.
    pub cluster_time: ClusterTime,
}

/// What is heard of a server.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Voice {
    /// It has answered a round of the last few.
    Answered,
    /// It was asked, or is to be asked, and may yet answer.
    Awaited,
    /// It has been silent for too long, and did not answer when it was asked again; or it votes and its disk hangs.
    Dead,
    /// It may answer, but has lost what it had acknowledged: it counts towards no quorum, and leaves for good.
    Forgot,
}

/// The change that the situation calls for, if there is one that may be made.
///
/// The dead, and those that have lost what they acknowledged, leave, and the caught-up are promoted, in one change. Who
/// asks to join becomes a learner, which changes no quorum: it comes at once, even while a change of voters must wait
/// for answers. Where there is nothing else to do, the cluster moves to the highest version of the protocol that all of
/// its members speak.
#[must_use]
pub fn next_change(
    policy: &MembershipPolicy,
    situation: &Situation<'_>,
) -> Option<MembershipChange> {
    let mut steps = situation.voter_steps(policy).unwrap_or_default();
    steps.extend(situation.joining_steps());
    if steps.is_empty() {
        steps.extend(situation.version_step());
    }
    (!steps.is_empty()).then_some(MembershipChange { steps })
}

/// The voters as they would be.
struct Next {
    promoted: Vec<ServerId>,
    demoted: Vec<ServerId>,
    evicted: Vec<ServerId>,
    /// All voters of the next configuration but those that are kept though they count for nothing.
    living: SortedSet<ServerId>,
    /// The dead, and those that have lost what they acknowledged, that stay because there would be too few voters.
    kept: usize,
}

impl Situation<'_> {
    fn voice(&self, id: ServerId) -> Voice {
        if id == self.id {
            return Voice::Answered;
        }
        self.voices.get(&id).copied().unwrap_or(Voice::Awaited)
    }

    fn has_answered(&self, id: ServerId) -> bool {
        self.voice(id) == Voice::Answered
    }

    fn is_lost(&self, id: ServerId) -> bool {
        matches!(self.voice(id), Voice::Dead | Voice::Forgot)
    }

    /// How this server leaves.
    fn leave(&self, id: ServerId) -> MembershipStep {
        if self.voice(id) == Voice::Forgot {
            MembershipStep::Retire(id)
        } else {
            MembershipStep::Evict(id)
        }
    }

    /// The steps for those who ask to join, as many as there is room for. Who leaves makes none yet: a joint
    /// configuration still names it. A change that had no room, or used a token once too often, would be refused as a
    /// whole, and called for again.
    fn joining_steps(&self) -> impl Iterator<Item = MembershipStep> {
        let room = SERVERS_MAX.saturating_sub(self.configuration.members().len());
        let mut bytes = self.configuration.weight();
        let bytes_max = self.configuration.entry_bytes_max();
        let mut uses = SortedMap::new();
        let joiners = self.joiners.values();
        joiners
            .filter(|joiner| !self.configuration.contains(joiner.id))
            .filter(move |joiner| joiner.token.is_none_or(|key| self.may_use(key, &mut uses)))
            .take(room)
            .take_while(move |joiner| {
                let description = joiner.description.clone().unwrap_or_default();
                let member = Member {
                    voucher: joiner.voucher,
                    ..Member::learner(description)
                };
                bytes += member.weight();
                bytes <= bytes_max
            })
            .map(|joiner| MembershipStep::AddLearner(joiner.clone()))
    }

    /// Returns true if an access token lets one more in, after these uses in the same change, and counts that use.
    fn may_use(&self, key: TokenKey, uses: &mut SortedMap<TokenKey, u32>) -> bool {
        let valid = self
            .configuration
            .valid_token(key, Grants::Membership, self.cluster_time);
        let used = uses.entry(key).or_default();
        let may_use = valid.is_ok_and(|token| *used < token.uses_left);
        *used += u32::from(may_use);
        may_use
    }

    /// The step to a later version of the protocol, if all members speak one.
    fn version_step(&self) -> Option<MembershipStep> {
        let spoken = || {
            let members = self.configuration.members();
            members.map(|(_, member)| member.description.versions())
        };
        let highest = spoken().map(|versions| versions.max).min()?;
        let is_later = highest > self.configuration.version();
        let is_common = spoken().all(|versions| versions.contains(highest));
        (is_later && is_common).then_some(MembershipStep::RaiseVersion(highest))
    }

    /// The steps for those who are members already; `None` if they must wait.
    fn voter_steps(&self, policy: &MembershipPolicy) -> Option<Vec<MembershipStep>> {
        let next = self.next_voters(policy);
        let changes_voters = !next.promoted.is_empty()
            || !next.demoted.is_empty()
            || next
                .evicted
                .iter()
                .any(|id| self.configuration.is_voter(*id));
        if changes_voters && !self.may_follow(&next) {
            return None;
        }
        let mut steps: Vec<_> = next.evicted.into_iter().map(|id| self.leave(id)).collect();
        let promoted = next.promoted.into_iter().map(Addition::of);
        steps.extend(promoted.map(MembershipStep::AddVoter));
        let demoted = next.demoted.into_iter().map(Addition::of);
        steps.extend(demoted.map(MembershipStep::AddLearner));
        Some(steps)
    }

    fn next_voters(&self, policy: &MembershipPolicy) -> Next {
        let voters = self.configuration.voters();
        let wanted = policy.voters_wanted();
        let (lost, living): (Vec<_>, Vec<_>) = voters.iter().partition(|id| self.is_lost(**id));
        let mut living: SortedSet<ServerId> = living.into_iter().collect();
        // Of those that are missed the dead stay rather than who forgot: they may come back with what they
        // acknowledged.
        let (dead, forgot): (Vec<_>, Vec<_>) = lost
            .into_iter()
            .partition(|id| self.voice(*id) == Voice::Dead);
        let learners = || {
            let members = self.configuration.members().map(|(id, _)| id);
            members.filter(|id| self.configuration.is_learner(*id))
        };
        let promoted: Vec<ServerId> = learners()
            .filter(|id| self.caught_up.contains(id) && self.has_answered(*id))
            .take(wanted.saturating_sub(living.len()))
            .collect();
        living.extend(&promoted);
        // Never the leader, which would have to hand over first.
        let demoted: Vec<ServerId> = living
            .iter()
            .rev()
            .filter(|id| **id != self.id)
            .take(living.len().saturating_sub(wanted))
            .copied()
            .collect();
        living.retain(|id| !demoted.contains(id));
        let least = if is_planted(Bug::EvictsTooMany) {
            1
        } else {
            policy.voters_min()
        };
        let floor = least.min(voters.len());
        let kept = floor
            .saturating_sub(living.len())
            .min(dead.len() + forgot.len());
        let evicted = dead.into_iter().chain(forgot).skip(kept);
        let evicted = evicted.chain(learners().filter(|id| self.is_lost(*id)));
        Next {
            promoted,
            demoted,
            evicted: evicted.collect(),
            living,
            kept,
        }
    }

    /// Whether the cluster could work with these voters, as far as can be known, and can get there.
    fn may_follow(&self, next: &Next) -> bool {
        let voters = self.configuration.voters();
        let answering = voters.iter().filter(|id| self.has_answered(**id)).count();
        // The old voters must agree to it as well (§4.3).
        if answering < majority(voters.len()) && !is_planted(Bug::ChangesUnheard) {
            return false;
        }
        // A voter that has just now fallen silent may be dead or not: which, is known soon.
        if !next.living.iter().all(|id| self.has_answered(*id)) {
            return false;
        }
        // As many voters may fail after it as before, at least, where dead ones must be kept.
        let spare_before = answering.saturating_sub(majority(voters.len()));
        let size = next.living.len() + next.kept;
        let spare = next.living.len().checked_sub(majority(size));
        spare.is_some_and(|spare| next.kept == 0 || spare >= spare_before)
    }
}

const fn majority(voters: usize) -> usize {
    voters / 2 + 1
}

#[cfg(test)]
mod tests;
