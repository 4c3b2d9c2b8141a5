//! Lays traps for what strikes at a moment that only the cluster knows, and springs each in the turn that it waits for.
//! And carries on with what goes on for a while in a member's surroundings.

use liferaft_raft::consensus::Input;
use liferaft_raft::ids::ServerId;

use super::{Event, World};
use crate::invariants::Alarm;
use crate::patience::election_timeout;
use crate::sometimes::Sometimes;
use crate::strangers::Saying;

/// Who was parted is asked to read so often in an election timeout, and for so many of them.
const TEMPTATIONS: u64 = 12;
const TEMPTED_ELECTION_TIMEOUTS: u64 = 2;

impl World {
    /// Springs the traps that a turn steps into, before what came out of it is done. The places of servers that were
    /// blank and outside of the member's configuration before the turn are `outside`.
    ///
    /// # Errors
    /// When a disk is not as it must be.
    pub(super) fn spring(
        &mut self,
        at: usize,
        begins_to_lead: bool,
        outside: &[usize],
    ) -> Result<(), Alarm> {
        for place in 0..self.members.len() {
            let (leader, it) = (&self.members[at], &self.members[place]);
            let takes_in = || leader.view.leads() && leader.log.has_member(it.id);
            // A leader that is new, or to which the server is, would not find it out.
            if it.is_blank && (begins_to_lead || (outside.contains(&place) && takes_in())) {
                self.retire(place)?;
                self.agenda.enter(self.now, Event::Return(place));
            }
        }
        if self.members[at].parts_when_joint.is_some() {
            self.part_if_joint(at);
        }
        Ok(())
    }

    /// A leader that has entered a joint configuration is parted from the voters that it replaces.
    fn part_if_joint(&mut self, at: usize) {
        let member = &self.members[at];
        let Some(configuration) = member.log.configuration().1 else {
            return;
        };
        if !member.leads() || !configuration.is_joint() {
            return;
        }
        let Some(lasts) = self.members[at].parts_when_joint.take() else {
            return;
        };
        let configuration = self.members[at].log.configuration().1;
        let is_new = |id: ServerId| {
            let [voters, outgoing] =
                configuration.map_or([&[][..]; 2], |it| [it.voters(), it.outgoing()]);
            voters.contains(&id) && !outgoing.contains(&id)
        };
        let sides = self.members.iter().enumerate();
        let with_leader: Vec<bool> = sides
            .map(|(place, it)| place == at || is_new(it.id))
            .collect();
        let all = 0..self.members.len();
        let pairs = all
            .clone()
            .flat_map(|from| all.clone().map(move |to| (from, to)));
        let links: Vec<_> = pairs
            .filter(|(from, to)| with_leader[*from] != with_leader[*to])
            .collect();
        for (from, to) in &links {
            self.network.cut(*from, *to);
        }
        self.counts.saw(Sometimes::PartedWhileJoint);
        self.agenda.enter(self.now + lasts, Event::Mend(links));
        let gap = election_timeout(self) / TEMPTATIONS;
        for turn in 1..=TEMPTATIONS * TEMPTED_ELECTION_TIMEOUTS {
            self.agenda.enter(self.now + turn * gap, Event::Tempt(at));
        }
    }

    pub(super) fn hang_disk(&mut self, at: usize) {
        let now = self.now;
        self.members[at].disk.hangs_since.get_or_insert(now);
    }

    /// A disk that hung finishes what it was to do.
    pub(super) fn resume_disk(&mut self, at: usize) -> Result<(), Alarm> {
        let disk = &mut self.members[at].disk;
        let Some(since) = disk.hangs_since.take() else {
            return Ok(());
        };
        disk.goes_on(self.now);
        let withheld = core::mem::take(&mut disk.withheld);
        let lane_withheld = core::mem::take(&mut disk.lane_withheld);
        let reads_withheld = core::mem::take(&mut disk.reads_withheld);
        if withheld > 0 && self.now - since > election_timeout(self) {
            self.counts.saw(Sometimes::DiskHung);
        }
        let life = self.members[at].life;
        for _ in 0..withheld {
            // A sync that fails stops the member.
            if self.members[at].life == life {
                self.written(at)?;
            }
        }
        if self.members[at].life == life {
            for read in reads_withheld {
                self.log_was_read(at, read, None);
            }
        }
        if lane_withheld && self.members[at].life == life {
            self.step_lane(at)?;
        }
        Ok(())
    }

    /// A state machine that stalled goes on.
    pub(super) fn resume_machine(&mut self, at: usize) -> Result<(), Alarm> {
        let member = &mut self.members[at];
        member.is_stalled = false;
        if !core::mem::take(&mut member.work_is_due) {
            return Ok(());
        }
        self.counts.saw(Sometimes::MachineStalled);
        self.apply(at)
    }

    /// A member hears what a stranger says.
    pub(super) fn hear_stranger(&mut self, at: usize, saying: Saying) {
        // A blank server knows of no cluster, and believes whoever leads or campaigns.
        let raft = self.members[at].raft.as_ref();
        let believes = raft.is_none_or(|raft| raft.configuration().1.is_open());
        if !self.members[at].is_up() || believes && saying.what.may_be_newer() {
            return;
        }
        let said = self.overheard.say(saying, self.members[at].view.term);
        if let Some((from, message)) = said {
            self.counts.saw(Sometimes::StrangerHeard);
            self.tell(at, Input::Message { from, message });
        }
    }
}

#[cfg(test)]
mod tests {
    use crate::clock::SECOND;
    use crate::plan::{FaultKind, Plan};
    use crate::run::run;
    use crate::sometimes::Sometimes;

    /// Runs with this kind of fault and no other, until the situation occurs.
    #[track_caller]
    fn assert_brings_about(kind: FaultKind, situation: Sometimes) {
        let occurs = (1..=30).any(|seed| {
            let mut plan = Plan::of_seed(seed);
            plan.faults.weights = [0; FaultKind::ALL.len()];
            plan.faults.weights[kind.place()] = 1;
            plan.safety_phase = 2 * SECOND;
            run(plan).counts.sometimes.contains_key(&situation)
        });
        assert!(occurs, "{kind:?} never brings about {situation:?}");
    }

    #[test]
    fn a_leader_is_parted_as_soon_as_it_is_joint() {
        assert_brings_about(FaultKind::PartWhenJoint, Sometimes::PartedWhileJoint);
    }

    #[test]
    fn a_crash_while_installing_leaves_a_contradicting_tail() {
        assert_brings_about(FaultKind::CrashInInstall, Sometimes::ContradictingTail);
    }

    #[test]
    fn a_disk_hangs_for_longer_than_an_election_timeout() {
        assert_brings_about(FaultKind::HungDisk, Sometimes::DiskHung);
    }

    #[test]
    fn a_state_machine_stalls_with_work_to_do() {
        assert_brings_about(FaultKind::StalledMachine, Sometimes::MachineStalled);
    }

    #[test]
    fn a_server_goes_on_under_its_id_with_a_blank_disk() {
        assert_brings_about(FaultKind::BlankDisk, Sometimes::WentOnBlank);
    }

    #[test]
    fn a_stranger_is_heard() {
        assert_brings_about(FaultKind::Stranger, Sometimes::StrangerHeard);
    }

    #[test]
    fn an_impostor_is_heard() {
        assert_brings_about(FaultKind::Impostor, Sometimes::ImpostorHeard);
    }

    #[test]
    fn a_copy_of_a_storage_is_refused() {
        assert_brings_about(FaultKind::Clone, Sometimes::CloneRefused);
    }

    #[test]
    fn who_was_cut_off_follows_a_newcomer_by_the_word_of_others() {
        assert_brings_about(FaultKind::Replaced, Sometimes::VouchedLeaderHeard);
    }

    #[test]
    fn a_server_for_which_nobody_vouches_is_refused() {
        assert_brings_about(FaultKind::Replaced, Sometimes::UnvouchedRefused);
    }
}
