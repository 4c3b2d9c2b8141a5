//! Members that manage their membership by themselves: they look after it while they lead, and ask to be taken in.

use liferaft_raft::consensus::{ChangeError, ChangeId, Input, MembershipChange};
use liferaft_raft::ids::Index;
use liferaft_raft::policy::Act;

use super::losses::Asked;
use super::{End, Event, World};
use crate::invariants::Alarm;
use crate::invariants::policy::Call;
use crate::patience::election_timeout;
use crate::sometimes;
use crate::stewards::Word;

impl World {
    /// Lets the member's steward look, now that the core knows all that has arrived.
    pub(super) fn look_after(&mut self, at: usize) -> Result<(), Alarm> {
        let Some(plan) = self.stewards.plan() else {
            return Ok(());
        };
        let member = &self.members[at];
        let Some(raft) = &member.raft else {
            return Ok(());
        };
        let local = member.clock.at(self.now);
        match self.stewards.look(at, raft, local) {
            Act::Rest => {}
            Act::Ask => self.tell(at, Input::Ask),
            Act::Change(change) => {
                let called = raft.oversight().map_or(Ok(()), |view| {
                    let call = Call {
                        change: &change,
                        by: at,
                        view: &view,
                        known: raft.configuration().0,
                        plan,
                        members: &self.members,
                        lost: &self.lost,
                        network: &self.network,
                        stewards: &self.stewards,
                        now: self.now,
                        local: self.stewards.witness.now(at, local),
                    };
                    call.check()
                });
                called.map_err(|text| self.alarm("membership policy", at, text))?;
                self.stewards.witness.called(at);
                self.call_for(at, change);
            }
        }
        Ok(())
    }

    fn call_for(&mut self, at: usize, change: MembershipChange) {
        if self.needs_the_lost(at, &change) {
            // Disks went between the answers and the change: more than a cluster can spare, once it is made. It is
            // spared.
            let local = self.members[at].clock.at(self.now);
            let raft = self.members[at].raft.as_ref();
            let refused = Err(ChangeError::Pending);
            return self.stewards.changed(at, &refused, raft, local);
        }
        let id = ChangeId(self.name());
        let asked = Asked::by_policy(at, self.members[at].life, change.clone());
        self.changes_asked.insert(id, asked);
        self.tell(at, Input::Change(id, change));
    }

    /// The core has answered a change of its steward's.
    pub(super) fn policy_changed(
        &mut self,
        at: usize,
        change: &MembershipChange,
        result: &Result<Index, ChangeError>,
    ) {
        if result.is_ok() {
            sometimes::note_membership(change, &mut self.counts);
            self.stewards.made(change, &self.members, &mut self.counts);
        }
        let member = &self.members[at];
        let local = member.clock.at(self.now);
        self.stewards
            .changed(at, result, member.raft.as_ref(), local);
    }

    /// Those who are out ask all others, one of whom may lead. They do so again and again.
    pub(super) fn wish(&mut self) {
        let again = election_timeout(self);
        let turn = self.now / again;
        for from in 0..self.members.len() {
            let member = &self.members[from];
            let local = member.clock.at(self.now);
            let config = &self.plan.config;
            let wishes = self.stewards.wishes(from, member, config, local, turn);
            for to in (0..self.members.len()).filter(|to| wishes && *to != from) {
                self.say(from, to, Word::Join);
            }
        }
        self.agenda.enter(self.now + again, Event::Wishes);
    }

    fn say(&mut self, from: usize, to: usize, word: Word) {
        let fate = self.network.fate(from, to, &mut self.chance);
        if let Some(takes) = fate.takes {
            let [from, to] = [from, to].map(|at| (at, self.members[at].id));
            self.agenda
                .enter(self.now + takes, Event::Word { from, to, word });
        }
    }

    pub(super) fn hear(&mut self, (from, sender): End, (to, receiver): End, word: Word) {
        let member = &self.members[to];
        let is_heard = member.id == receiver && member.pauses == 0 && self.network.passes(from, to);
        let Some(raft) = member.raft.as_ref().filter(|_| is_heard) else {
            return;
        };
        match word {
            Word::Join => {
                let local = member.clock.at(self.now);
                let answer = self.stewards.asked(to, sender, raft, local);
                self.sleep(to);
                if let Some(answer) = answer {
                    self.say(to, from, answer);
                }
            }
            Word::Refused => self.stewards.resign(to),
        }
    }
}
