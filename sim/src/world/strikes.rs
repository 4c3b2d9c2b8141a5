//! What comes over the cluster from outside: faults, and what clients and operators are told to do.

use liferaft_raft::consensus::{ChangeId, Input, Raft};

use super::{Event, World};
use crate::action::Action;
use crate::clock::Nanos;
use crate::disk::Survival;
use crate::invariants::Alarm;
use crate::machine::Machine;
use crate::member::View;
use crate::shadow::ShadowLog;
use crate::sometimes::{self, Sometimes};

impl World {
    pub(super) fn strike(&mut self) {
        if !self.chaotic {
            return;
        }
        let Some(wait) = self.chaos.until_fault() else {
            return;
        };
        let (kind, actions) = self.chaos.fault(&self.members);
        self.counts.fault(kind);
        self.enter(actions);
        self.agenda.enter(self.now + wait, Event::NextFault);
    }

    pub(super) fn act(&mut self) {
        if !self.chaotic {
            return;
        }
        let actions = self.chaos.act(&self.members);
        self.enter(actions);
        let wait = self.chaos.until_act();
        self.agenda.enter(self.now + wait, Event::NextAct);
    }

    fn enter(&mut self, actions: Vec<(Nanos, Action)>) {
        for (wait, action) in actions {
            self.agenda.enter(self.now + wait, Event::Action(action));
        }
    }

    /// Does what an action says.
    ///
    /// # Errors
    /// When a member does not start, or its disk is not as it must be.
    pub fn perform(&mut self, action: Action) -> Result<(), Alarm> {
        if self.plan.tell {
            println!("{} {action:?}", self.now);
        }
        if let Some(story) = &mut self.story {
            story.acted(self.now, &action);
        }
        match action {
            Action::Crash(at, survival) => self.crash(at, survival)?,
            Action::CrashInTurn(at, doom) => {
                if self.members[at].is_up() {
                    self.members[at].doomed = Some(doom);
                }
            }
            Action::Restart(at) => self.restart(at)?,
            Action::Pause(at) => self.members[at].pauses += 1,
            Action::Resume(at) => {
                let pauses = &mut self.members[at].pauses;
                *pauses = pauses.saturating_sub(1);
                self.wake(at);
            }
            Action::Cut(from, to) => self.network.cut(from, to),
            Action::Mend(from, to) => self.network.mend(from, to),
            Action::DropInFlight => {
                self.agenda
                    .retain(|event| !matches!(event, Event::Message { .. }));
            }
            Action::SlowDisk(at, slowness) => self.members[at].disk.slowness = slowness,
            Action::ClockForward(at, by) => {
                self.members[at].clock.leap_forward(self.now, by);
                self.wake(at);
            }
            Action::ClockBack(at, by) => self.members[at].clock.leap_back(self.now, by),
            Action::ClockRate(at, rate) => self.members[at].clock.set_rate(self.now, rate),
            Action::Propose(at, requests) => self.request(at, requests),
            Action::Read(at, key) => self.read(at, key),
            Action::Change(at, change) => {
                let id = ChangeId(self.name());
                self.counts.operations += 1;
                self.tell(at, Input::Change(id, change));
            }
            Action::Transfer(at, to) => {
                let to = to.map(|to| self.members[to].id);
                self.counts.operations += 1;
                self.tell(at, Input::Transfer(to));
            }
            Action::Capture(at) => self.capture(at)?,
        }
        Ok(())
    }

    pub(super) fn crash(&mut self, at: usize, survival: Survival) -> Result<(), Alarm> {
        let member = &mut self.members[at];
        if member.is_up() {
            sometimes::note_crash(member, &mut self.counts);
        }
        if member.raft.take().is_none() {
            return Ok(());
        }
        self.counts.crashes += 1;
        if let Some(story) = &mut self.story {
            story.crashed(self.now, at);
        }
        member.life += 1;
        member.inbox.clear();
        member.applying.clear();
        member.granted.clear();
        member.capturing = false;
        member.doomed = None;
        member.wake_at = Nanos::MAX;
        let crashed = member.disk.crash(survival);
        crashed.map_err(|text| self.alarm("disk contract", at, text))
    }

    pub(super) fn restart(&mut self, at: usize) -> Result<(), Alarm> {
        if self.members[at].is_up() {
            return Ok(());
        }
        let seed = self.chance.core_seed(at);
        let member = &mut self.members[at];
        let recovered = member.disk.durable().recover();
        if recovered.snapshot.is_some() {
            self.counts.saw(Sometimes::RestartedFromSnapshot);
        }
        member.log = ShadowLog::of_recovered(&recovered);
        let now = member.clock.at(self.now);
        let raft = Raft::new(member.id, self.plan.config.clone(), recovered, now, seed);
        let raft = raft.map_err(|error| self.alarm("recovery", at, error.to_string()))?;
        if let Some(story) = &mut self.story {
            story.started(self.now, at);
        }
        let member = &mut self.members[at];
        member.view = View::of(&raft);
        member.raft = Some(raft);
        member.machine = Machine::default();
        let restarted = self.invariants.restarted(&self.members[at]);
        restarted.map_err(|(invariant, text)| self.alarm(invariant, at, text))?;
        if at < self.plan.voters {
            // It may have crashed before it knew of its cluster.
            self.bootstrap(at);
        }
        // The first turn hands the recovered snapshot to the state machine and learns the deadline.
        self.tell(at, Input::Timer);
        Ok(())
    }

    pub(super) fn bootstrap(&mut self, at: usize) {
        let configuration = self.first_configuration.clone();
        self.tell(at, Input::Bootstrap(configuration));
    }
}
