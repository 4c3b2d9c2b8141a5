//! Membership changes as scripts ask for them.

use std::collections::BTreeMap;

use liferaft_raft::configuration::{Configuration, Suffrage};
use liferaft_raft::consensus::{Addition, ChangeId, Input, MembershipChange, MembershipStep};
use liferaft_raft::ids::{Index, ServerId};

use super::network::{ChangeKind, Parcel};
use super::{Cluster, Difference, Outcome};
use crate::expected::{Step, StepKind};

/// A joint phase that the script keeps open. Ours end by themselves as soon as they may (§4.3): the messages with the
/// entry that ends it are delayed until the script asks for it.
#[derive(Debug)]
pub(super) struct JointPhase {
    /// The end of the leader's log when the change was asked for.
    pub(super) base: Index,
    /// Whether ours is joint too. A change of one voter needs no joint phase: then nothing is delayed, and only the
    /// script's own rule holds, that one phase ends before the next change.
    pub(super) is_joint: bool,
}

impl Cluster {
    pub(crate) fn change(
        &mut self,
        id: u64,
        steps: Vec<Step>,
        kind: ChangeKind,
    ) -> Result<Outcome, String> {
        let node = self.node(id)?;
        let (from, leader) = (node.id, node.leader());
        match leader {
            Some(leader) if leader == from => self.change_at(from, &steps, kind),
            Some(leader) => {
                let parcel = Parcel::Change { steps, kind };
                self.network.send(from, leader, parcel);
                Ok(Outcome::Forwarded)
            }
            None => Ok(Outcome::Dropped),
        }
    }

    pub(super) fn change_at(
        &mut self,
        id: ServerId,
        steps: &[Step],
        kind: ChangeKind,
    ) -> Result<Outcome, String> {
        if steps.is_empty() {
            return Ok(self.end_joint_phase());
        }
        self.note_change_overtaken();
        self.note_change();
        let in_joint_phase = self.joint_phase.is_some();
        self.last_proposal += 1;
        let name = ChangeId(self.last_proposal);
        let Some(node) = self.peer(id).filter(|node| node.leads()) else {
            return Ok(Outcome::Dropped);
        };
        let status = node.status();
        if in_joint_phase {
            self.number_apart(1);
            return Ok(Outcome::Refused("a joint phase is open".to_owned()));
        }
        let current = status.configuration.left_joint();
        let (change, voters_changed) = difference(&current, steps);
        if change.steps.is_empty() {
            // etcd logs a change that changes nothing.
            self.number_apart(1 + u64::from(kind.joint));
            return Ok(Outcome::Done);
        }
        let base = status.last.index;
        node.input(Input::Change(name, change));
        let answers = std::mem::take(&mut node.ready.changes);
        let appended = node.status().last.index > base;
        let disabled = node.options.validation_disabled;
        let refusal = answers
            .into_iter()
            .filter(|(of, _)| *of == name)
            .find_map(|(_, answer)| answer.err());
        if let Some(error) = refusal {
            // etcd appends an empty entry in place of what it refuses, or makes the change if it checks nothing.
            self.number_apart(1 + u64::from(disabled && kind.joint));
            if disabled {
                self.note_missing(steps, kind.joint, Difference::ChangesAreValidated);
            }
            return Ok(Outcome::Refused(error.to_string()));
        }
        let joint = voters_changed > 1;
        if kind.explicit {
            let is_joint = joint;
            self.joint_phase = Some(JointPhase { base, is_joint });
        }
        // etcd has a joint phase, and an entry to leave it, where ours needs none.
        if kind.joint != joint {
            self.number_apart(1);
        }
        self.change_waits = (!appended).then_some((id, base));
        if !appended {
            self.note_missing(steps, kind.joint, Difference::VotersCatchUpFirst);
        }
        Ok(Outcome::Done)
    }

    fn end_joint_phase(&mut self) -> Outcome {
        if self.joint_phase.take().is_some() {
            self.network.release();
            return Outcome::Done;
        }
        // etcd logs the attempt.
        self.number_apart(1);
        Outcome::Refused("no joint phase is open".to_owned())
    }

    /// Whether a change that was taken waits for its joiners to catch up with the log (§4.2.1). etcd appends it at
    /// once.
    pub(crate) fn change_waits(&mut self) -> bool {
        let Some((leader, base)) = self.change_waits else {
            return false;
        };
        let waits = self
            .peer(leader)
            .is_some_and(|node| node.leads() && node.status().configuration_index <= base);
        if !waits {
            self.change_waits = None;
            self.forget_waiting();
        }
        waits
    }

    /// From here on entries are numbered apart: etcd's log has so many more, or has them elsewhere.
    fn number_apart(&mut self, entries: u64) {
        self.numbered_apart = true;
        self.entries_more += entries;
    }

    /// The highest commit index that etcd's may have: that of the last entry of ours, and as many more as only etcd's
    /// have.
    pub(crate) fn commit_max(&mut self) -> u64 {
        // The change, and the entry that leaves its joint phase.
        let waiting = if self.change_waits() { 2 } else { 0 };
        let last = self.nodes().iter().map(|node| node.status().last.index.0);
        last.max().unwrap_or(0) + self.entries_more + waiting
    }

    /// A change that still waits is overtaken by what is appended next.
    pub(super) fn note_change_overtaken(&mut self) {
        self.numbered_apart |= self.change_waits();
    }
}

/// The change that makes these steps, one after the other, in one: without those that change nothing; and how many
/// voters it changes.
fn difference(current: &Configuration, steps: &[Step]) -> (MembershipChange, usize) {
    let mut wanted: BTreeMap<ServerId, Option<Suffrage>> = current
        .members()
        .map(|(id, member)| (id, member.suffrage))
        .collect();
    for step in steps {
        let id = ServerId(u128::from(step.server));
        match step.kind {
            StepKind::Voter => wanted.insert(id, Some(Suffrage::Voter)),
            StepKind::Learner => wanted.insert(id, Some(Suffrage::Learner)),
            StepKind::Remove => wanted.insert(id, None),
            StepKind::Update => None,
        };
    }
    let mut change = MembershipChange::default();
    let mut voters_changed = 0;
    for (id, suffrage) in wanted {
        let before = current.member(id).and_then(|member| member.suffrage);
        if before == suffrage {
            continue;
        }
        change.steps.push(match suffrage {
            Some(Suffrage::Voter) => MembershipStep::AddVoter(Addition::of(id)),
            Some(Suffrage::Learner) => MembershipStep::AddLearner(Addition::of(id)),
            None => MembershipStep::Remove(id),
        });
        let voters = [before, suffrage].map(|suffrage| suffrage == Some(Suffrage::Voter));
        voters_changed += usize::from(voters[0] != voters[1]);
    }
    (change, voters_changed)
}
