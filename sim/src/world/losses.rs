//! Disks that are gone, and what must not be lost with them.
//!
//! A server's id belongs to its disk: one whose disk was wiped, or is damaged where it had acknowledged something,
//! never takes part under its old id again. It comes back blank and under a new one, and operators put that in the old
//! one's place. What the cluster promises holds as long as a quorum of voters keeps its disk, so no more than that is
//! taken: the *recoverability limit*.

use std::collections::BTreeSet;

use liferaft_raft::configuration::Configuration;
use liferaft_raft::consensus::{ChangeId, Input, MembershipChange, MembershipStep};
use liferaft_raft::ids::{Index, ServerId};

use super::{Event, World};
use crate::disk::Survival;
use crate::flaw::Flaw;
use crate::invariants::Alarm;
use crate::invariants::policy::voters_after;
use crate::invitations::of_later_versions;
use crate::machine::Machine;
use crate::shadow::ShadowLog;
use crate::sometimes::Sometimes;

/// The new ids of a place are so far apart.
const ID_STEP: u128 = 100;

/// A change of membership that was asked for and is not answered.
#[derive(Debug)]
pub(super) struct Asked {
    at: usize,
    life: u32,
    pub(super) change: MembershipChange,
    /// Whether the member's policy asked for it, not an operator.
    pub(super) is_by_policy: bool,
}

impl Asked {
    /// What a member's policy calls for.
    pub(super) const fn by_policy(at: usize, life: u32, change: MembershipChange) -> Self {
        Self {
            at,
            life,
            change,
            is_by_policy: true,
        }
    }
}

impl World {
    /// A disk is wiped, unless too many would be gone.
    pub(super) fn wipe(&mut self, at: usize) -> Result<(), Alarm> {
        if !self.may_lose(at) {
            return Ok(());
        }
        self.crash(at, Survival::Nothing)?;
        self.counts.saw(Sometimes::DiskWiped);
        self.begin_anew(at);
        Ok(())
    }

    /// A record of a disk rots, unless too many disks would be gone. Its member starts again, or tries to.
    pub(super) fn rot(&mut self, at: usize, drawn: u64) -> Result<(), Alarm> {
        if self.may_lose(at) {
            self.crash(at, Survival::Nothing)?;
            self.members[at].disk.rot(drawn);
        }
        Ok(())
    }

    /// A member that is down gets a blank disk, and with it a new id.
    pub(super) fn begin_anew(&mut self, at: usize) {
        let member = &mut self.members[at];
        let durable = member.disk.wipe();
        // One that went on with a blank disk had promised what was there before.
        if !core::mem::take(&mut member.is_blank) {
            self.lost.insert(member.id, durable);
        }
        member.log = ShadowLog::default();
        member.machine = Machine::default();
        let keeps_its_id = self.plan.flaw == Some(Flaw::WipedKeepsItsName);
        if !keeps_its_id {
            member.id = ServerId(member.id.0 + ID_STEP);
        }
        member.is_founder = false;
        self.storages.wipe(at, keeps_its_id);
    }

    /// A disk is wiped, and its server goes on under its id, unless too many disks would be gone or it could not be
    /// found out. What was on its way to it, or from it, went with its links.
    pub(super) fn go_on_blank(&mut self, at: usize) -> Result<(), Alarm> {
        if !self.may_go_on_blank(at) {
            return Ok(());
        }
        self.crash(at, Survival::Nothing)?;
        self.counts.saw(Sometimes::WentOnBlank);
        self.agenda.retain(|event| match event {
            Event::Message { from, to, .. } => from.0 != at && to.0 != at,
            _ => true,
        });
        let member = &mut self.members[at];
        let durable = member.disk.wipe();
        self.lost.insert(member.id, durable);
        member.log = ShadowLog::default();
        member.machine = Machine::default();
        member.is_blank = true;
        member.is_founder = false;
        self.storages.wipe(at, true);
        Ok(())
    }

    /// Whether a server may go on with a blank disk: what is acknowledged would survive, and a leader knows of
    /// something that the server has acknowledged, so that it finds out.
    ///
    /// The next leader does not know. To it such a server is one that is behind, and once it has caught up with a part
    /// of the log it votes again, for a candidate without the rest of what it had acknowledged, or twice in the term in
    /// which it was wiped. Neither does a leader that an operator has remove the server and take it in again before it
    /// was found out. Only an id that lives on the disk closes that hole. Until then a run has no server go on blank
    /// under a second leader, or taken in again: see [`spring`](Self::spring).
    pub(super) fn may_go_on_blank(&self, at: usize) -> bool {
        let id = self.members[at].id;
        let leaders = self.members.iter().filter(|member| member.leads());
        let leader = leaders.max_by_key(|leader| leader.view.term);
        let oversight = leader.and_then(|leader| leader.raft.as_ref()?.oversight());
        let is_known = oversight.is_some_and(|view| {
            let peer = view.peer(id);
            peer.is_some_and(|peer| peer.match_index > Index::ZERO)
        });
        !self.members[at].is_blank && is_known && self.may_lose(at)
    }

    /// The places of servers that went on with a blank disk and are outside of this member's configuration.
    pub(super) fn blank_and_outside(&self, at: usize) -> Vec<usize> {
        let log = &self.members[at].log;
        let members = self.members.iter().enumerate();
        let outside = members.filter(|(_, it)| it.is_blank && !log.has_member(it.id));
        outside.map(|(place, _)| place).collect()
    }

    /// A server that went on with a blank disk gets an id of its own.
    pub(super) fn retire(&mut self, at: usize) -> Result<(), Alarm> {
        if self.members[at].is_blank {
            self.crash(at, Survival::Nothing)?;
            self.begin_anew(at);
        }
        Ok(())
    }

    /// Whether what is acknowledged would survive the loss of this disk too.
    pub(super) fn may_lose(&self, at: usize) -> bool {
        let lost = self.members[at].id;
        let is_safe = |voters: &BTreeSet<ServerId>| {
            let kept = voters
                .iter()
                .filter(|id| **id != lost && self.is_intact(**id));
            voters.is_empty() || kept.count() * 2 > voters.len()
        };
        let founders = self.first_configuration.voters().iter().copied().collect();
        let founding = self
            .members
            .iter()
            .any(|it| it.is_founder && it.log.configuration().1.is_none());
        if founding && !is_safe(&founders) {
            return false;
        }
        self.members.iter().all(|member| {
            let commit = member.view.positions.commit;
            // After a crash, the log of the disk may be in force again.
            let on_disk = member.disk.durable().log();
            let logs = [&member.log, &on_disk];
            let mut in_force = logs
                .into_iter()
                .flat_map(|log| log.configurations_from(commit));
            in_force.all(|configuration| halves(configuration).iter().all(is_safe))
        }) && self.voters_to_be().iter().all(is_safe)
    }

    /// The voters of the configurations that unanswered changes may still lead to.
    fn voters_to_be(&self) -> Vec<BTreeSet<ServerId>> {
        let asked = self.changes_asked.values();
        let asked = asked.filter(|asked| {
            let member = &self.members[asked.at];
            member.is_up() && member.life == asked.life
        });
        asked
            .map(|asked| self.voters_after(asked.at, &asked.change))
            .collect()
    }

    fn voters_after(&self, at: usize, change: &MembershipChange) -> BTreeSet<ServerId> {
        let configuration = self.members[at].log.configuration().1;
        let voters = configuration.into_iter().flat_map(Configuration::voters);
        voters_after(&voters.copied().collect(), change)
    }

    fn is_intact(&self, id: ServerId) -> bool {
        self.members
            .iter()
            .any(|member| member.id == id && !member.is_blank && !member.disk.durable().is_rotten())
    }

    /// Whether servers whose disks are gone would be needed for a quorum of the voters after this change.
    pub(super) fn needs_the_lost(&self, at: usize, change: &MembershipChange) -> bool {
        let voters = self.voters_after(at, change);
        let kept = voters.iter().filter(|id| self.is_intact(**id)).count();
        kept * 2 <= voters.len() && kept < voters.len()
    }

    /// Asks a member to change the membership. Operators know which disks are gone, and ask for nothing that such a
    /// server would be needed for.
    pub(super) fn ask_for_change(&mut self, at: usize, mut change: MembershipChange) {
        let described = self.members[at].log.configuration().1;
        let described = described.and_then(of_later_versions);
        for step in &mut change.steps {
            if let MembershipStep::AddVoter(addition) | MembershipStep::AddLearner(addition) = step
            {
                addition.description = described.clone();
            }
        }
        if self.needs_the_lost(at, &change) {
            return;
        }
        self.stewards.operator_asks(&change);
        let id = ChangeId(self.name());
        self.counts.operations += 1;
        if self.members[at].is_up() {
            let life = self.members[at].life;
            let asked = Asked {
                at,
                life,
                change: change.clone(),
                is_by_policy: false,
            };
            self.changes_asked.insert(id, asked);
        }
        self.tell(at, Input::Change(id, change));
    }

    /// Whether this change removes a server whose disk is gone.
    pub(super) fn removes_a_lost_server(&self, asked: &Asked) -> bool {
        let mut steps = asked.change.steps.iter();
        steps.any(|step| matches!(step, MembershipStep::Remove(id) if self.place_of(*id).is_none()))
    }

    /// Servers whose disks are gone leave the configuration, and those that came in their places join it.
    ///
    /// Tells whether there was anything to do.
    pub fn replace_lost(&mut self) -> bool {
        let leaders = (0..self.members.len()).filter(|at| self.members[*at].leads());
        let Some(leader) = leaders.max_by_key(|at| self.members[*at].view.term) else {
            return false;
        };
        let Some(configuration) = self.members[leader].log.configuration().1 else {
            return false;
        };
        let ids = configuration.members().map(|(id, _)| id);
        let lost: Vec<ServerId> = ids.filter(|id| self.place_of(*id).is_none()).collect();
        if lost.is_empty() {
            return false;
        }
        let removal =
            |change: MembershipChange, id: &ServerId| change.and(MembershipChange::remove(*id));
        let change = lost.iter().fold(MembershipChange::default(), removal);
        let came = self.members.iter().filter(|member| {
            let mut lost = lost.iter();
            let is_in_place = lost.any(|lost| lost.0 % ID_STEP == member.id.0 % ID_STEP);
            is_in_place && member.is_up() && !configuration.is_voter(member.id)
        });
        let change = came.fold(change, |change, member| {
            change.and(MembershipChange::add_voter(member.id))
        });
        self.ask_for_change(leader, change);
        true
    }
}

/// The voters of a configuration, and of the one that it leaves if it is joint.
fn halves(configuration: &Configuration) -> [BTreeSet<ServerId>; 2] {
    let set = |voters: &[ServerId]| voters.iter().copied().collect();
    [set(configuration.voters()), set(configuration.outgoing())]
}
