//! From a situation to the change that it calls for.

use alloc::collections::{BTreeMap, BTreeSet};
use alloc::vec::Vec;

use bytes::Bytes;

use super::MembershipPolicy;
use crate::configuration::{Configuration, Member, SERVERS_MAX};
use crate::consensus::planted::{Bug, is_planted};
use crate::consensus::{MembershipChange, MembershipStep};
use crate::ids::ServerId;

/// What a leader knows, as far as it matters who should take part.
#[derive(Clone, Debug)]
pub struct Situation<'a> {
    /// The leader.
    pub id: ServerId,
    /// The configuration in force. It is committed and simple, and no change is under way.
    pub configuration: &'a Configuration,
    /// What is heard of each of its servers. The leader hears itself; of whom nothing is said, an answer is awaited.
    pub voices: BTreeMap<ServerId, Voice>,
    /// Learners whose logs have caught up (§4.2.1).
    pub caught_up: BTreeSet<ServerId>,
    /// Who asks to join, with their public keys. Members are not among them.
    pub joiners: BTreeMap<ServerId, Bytes>,
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
/// for answers.
#[must_use]
pub fn next_change(
    policy: &MembershipPolicy,
    situation: &Situation<'_>,
) -> Option<MembershipChange> {
    let mut steps = situation.voter_steps(policy).unwrap_or_default();
    steps.extend(situation.joining_steps());
    (!steps.is_empty()).then_some(MembershipChange { steps })
}

/// The voters as they would be.
struct Next {
    promoted: Vec<ServerId>,
    demoted: Vec<ServerId>,
    evicted: Vec<ServerId>,
    /// All voters of the next configuration but those that are kept though they count for nothing.
    living: BTreeSet<ServerId>,
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
    /// configuration still names it. A change that had no room would be refused as a whole, and called for again.
    fn joining_steps(&self) -> impl Iterator<Item = MembershipStep> {
        let room = SERVERS_MAX.saturating_sub(self.configuration.members().len());
        let mut bytes = self.configuration.weight();
        let bytes_max = self.configuration.entry_bytes_max();
        let joiners = self.joiners.iter();
        joiners
            .filter(|(id, _)| !self.configuration.contains(**id))
            .take(room)
            .take_while(move |(_, public_key)| {
                bytes += Member::learner(Bytes::clone(public_key)).weight();
                bytes <= bytes_max
            })
            .map(|(id, public_key)| MembershipStep::AddLearner {
                id: *id,
                public_key: public_key.clone(),
            })
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
        let key = |id: ServerId| {
            self.configuration
                .member(id)
                .map_or_else(Bytes::new, |member| member.public_key.clone())
        };
        let mut steps: Vec<_> = next.evicted.into_iter().map(|id| self.leave(id)).collect();
        steps.extend(
            next.promoted
                .into_iter()
                .map(|id| MembershipStep::AddVoter {
                    id,
                    public_key: key(id),
                }),
        );
        steps.extend(
            next.demoted
                .into_iter()
                .map(|id| MembershipStep::AddLearner {
                    id,
                    public_key: key(id),
                }),
        );
        Some(steps)
    }

    fn next_voters(&self, policy: &MembershipPolicy) -> Next {
        let voters = self.configuration.voters();
        let wanted = policy.voters_wanted();
        let (lost, living): (Vec<_>, Vec<_>) = voters.iter().partition(|id| self.is_lost(**id));
        let mut living: BTreeSet<ServerId> = living.into_iter().collect();
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
