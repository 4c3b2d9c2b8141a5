//! What comes over the cluster from outside: faults, and what clients and operators are told to do.

use liferaft_raft::config::Timing;
use liferaft_raft::consensus::{Input, Raft, Recovered};

use super::{Event, World};
use crate::action::Action;
use crate::clock::{Nanos, SECOND};
use crate::disk::{Failure, Survival};
use crate::flaw::Flaw;
use crate::invariants::Alarm;
use crate::machine::Machine;
use crate::member::{Member, View};
use crate::shadow::ShadowLog;
use crate::sometimes::{self, Sometimes};

/// How often a fault is drawn that would strike nothing.
const DRAWS_MAX: u32 = 16;

impl World {
    pub(super) fn strike(&mut self) {
        if !self.chaotic {
            return;
        }
        let Some(wait) = self.chaos.until_fault() else {
            return;
        };
        let drawn = (0..DRAWS_MAX).find_map(|_| {
            let (kind, actions) = self.chaos.fault(&self.members);
            let strikes = actions
                .first()
                .is_some_and(|(_, first)| self.strikes(first));
            strikes.then_some((kind, actions))
        });
        // A trap may have sprung after the restart that was to follow it: links between the dead can be cut for ever.
        let somebody_runs = self.members.iter().any(Member::is_up);
        let drawn = drawn.filter(|_| somebody_runs);
        let next = if let Some((kind, actions)) = drawn {
            self.counts.fault(kind);
            self.enter(actions);
            wait
        } else {
            // There is nobody to strike: whoever is down starts again, and the next fault comes the sooner.
            let all = 0..self.members.len();
            self.enter(all.map(|at| (0, Action::Restart(at))).collect());
            wait / 8
        };
        self.agenda.enter(self.now + next, Event::NextFault);
    }

    /// Whether a fault that begins with this changes anything.
    fn strikes(&self, first: &Action) -> bool {
        match first {
            Action::Wipe(at) | Action::Rot(at, _) => self.may_lose(*at),
            Action::Blank(at) => self.may_go_on_blank(*at),
            Action::HangDisk(at) => {
                self.members[*at].is_up() && self.members[*at].disk.hangs_since.is_none()
            }
            Action::StallMachine(at) => self.members[*at].is_up() && !self.members[*at].is_stalled,
            Action::Crash(at, _)
            | Action::CrashInTurn(at, _)
            | Action::SlowDisk(at, _)
            | Action::ClockForward(at, _)
            | Action::ClockBack(at, _)
            | Action::ClockRate(at, _)
            | Action::FailSync(at, _)
            | Action::FillDisk(at, _)
            | Action::Transfer(at, _)
            | Action::PartWhenJoint(at, _)
            | Action::CrashInInstall(at)
            | Action::Stranger(at, _)
            | Action::Impostor(at, _)
            | Action::CopyDisk(at) => self.members[*at].is_up(),
            // Where pauses last for minutes, a second one would leave nobody awake.
            Action::Pause(at) => {
                let is_short = self.plan.faults.pause_lasts < SECOND * 5;
                let is_first = self.members.iter().all(|member| member.pauses == 0);
                self.members[*at].is_up() && (is_short || is_first)
            }
            _ => true,
        }
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
        let members = self.members.len();
        self.stewards.witness.acted(&action, members, self.now);
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
            // Of a leap while it sleeps a member sees nothing: leases rest on there being none.
            Action::ClockBack(at, _)
                if self.plan.config.read_lease().is_some() && self.members[at].pauses > 0 => {}
            Action::ClockBack(at, by) => {
                let member = &mut self.members[at];
                member.clock.leap_back(self.now, by);
                if self.plan.config.read_lease().is_some() {
                    if member.leads() {
                        self.counts.saw(Sometimes::ClockBackOnLease);
                    }
                    // It looks at its clock before anything else happens.
                    member.inbox.push(Input::Timer);
                    member.wake_at = self.now;
                    self.turn(at)?;
                }
            }
            Action::ClockRate(at, rate) => self.members[at].clock.set_rate(self.now, rate),
            Action::Propose(at, requests) => self.request(at, requests),
            Action::Read(at, key) => self.read(at, key),
            Action::Change(at, change) => self.ask_for_change(at, change),
            // Where members manage themselves nobody else does.
            Action::ReplaceLost if self.stewards.plan().is_some() => {}
            Action::ReplaceLost => {
                self.replace_lost();
            }
            Action::Transfer(at, to) => {
                let to = to.map(|to| self.members[to].id);
                self.counts.operations += 1;
                self.tell(at, Input::Transfer(to));
            }
            Action::Capture(at) => self.capture(at)?,
            Action::SetTiming(at, times) => {
                if let Some(timing) = times.timing() {
                    self.timing = timing;
                    self.set_timing(at, timing);
                }
            }
            Action::FailSync(at, survival) => {
                self.members[at].disk.failure = Some((Failure::Sync, survival));
            }
            Action::FillDisk(at, survival) => {
                self.members[at].disk.failure = Some((Failure::Full, survival));
            }
            Action::FreeDisk(at) => self.members[at].disk.failure = None,
            Action::Wipe(at) => self.wipe(at)?,
            Action::Rot(at, drawn) => self.rot(at, drawn)?,
            Action::PartWhenJoint(at, lasts) => self.members[at].parts_when_joint = Some(lasts),
            Action::CrashInInstall(at) => self.members[at].crashes_in_install = true,
            Action::MarkTime(at, times) => {
                for _ in 0..times {
                    self.tell(at, Input::MarkTime);
                }
            }
            Action::HangDisk(at) => self.hang_disk(at),
            Action::ResumeDisk(at) => self.resume_disk(at)?,
            Action::StallMachine(at) => self.members[at].is_stalled = true,
            Action::ResumeMachine(at) => self.resume_machine(at)?,
            Action::Stranger(at, saying) => self.hear_stranger(at, saying),
            Action::Blank(at) => self.go_on_blank(at)?,
            Action::Retire(at) => self.retire(at)?,
            Action::Impostor(at, saying) => self.hear_impostor(at, saying)?,
            Action::CopyDisk(at) => self.copy_disk(at),
            Action::ShowCopy(at) => self.show_copy(at)?,
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
        self.stewards.witness.struck(at, self.now);
        member.life += 1;
        member.inbox.clear();
        member.reading.clear();
        member.applying.clear();
        member.granted.clear();
        member.capturing = false;
        member.work_is_due = false;
        member.doomed = None;
        member.wake_at = Nanos::MAX;
        let crashed = member.disk.crash(survival, self.plan.flaw);
        let left_out = crashed.map_err(|text| self.alarm("disk contract", at, text))?;
        sometimes::note_left_out(left_out, &mut self.counts);
        Ok(())
    }

    pub(super) fn restart(&mut self, at: usize) -> Result<(), Alarm> {
        if self.members[at].is_up() {
            return Ok(());
        }
        let seed = self.chance.core_seed(at);
        let checks = self.plan.flaw != Some(Flaw::ChecksumsSkipped);
        let recovered = self.members[at].disk.durable().recover(checks);
        let recovered = recovered.unwrap_or_else(|_damaged| {
            self.counts.saw(Sometimes::DamagedDiskRefused);
            self.begin_anew(at);
            Recovered::default()
        });
        sometimes::note_recovered(&recovered, &mut self.counts);
        if self.invariants.is_promised(&self.members[at], self.now) {
            self.counts.saw(Sometimes::RestartedBound);
        }
        let member = &mut self.members[at];
        member.log = ShadowLog::of_recovered(&recovered);
        let now = member.clock.at(self.now);
        let bytes_max = self.plan.config.limits().log_memory_bytes_max;
        // The storage, too, reads no more into memory than the member may hold.
        let recovered = recovered.outlined(bytes_max);
        let config = self.plan.config.clone();
        let raft = recovered.and_then(|it| Raft::new(member.id, config, it, now, seed));
        let raft = raft.map_err(|error| self.alarm("recovery", at, error.to_string()))?;
        if let Some(story) = &mut self.story {
            story.started(self.now, at);
        }
        let member = &mut self.members[at];
        member.view = View::of(&raft);
        member.raft = Some(raft);
        member.machine = Machine::default();
        self.stewards.started(at);
        self.storages.start(at);
        self.stewards.witness.struck(at, self.now);
        let started = self.invariants.started(&self.members[at], at, self.now);
        started.map_err(|(invariant, text)| self.alarm(invariant, at, text))?;
        if self.members[at].is_founder {
            // It may have crashed before it knew of its cluster.
            self.bootstrap(at);
        }
        let timing = self.members[at].timing;
        if timing != self.plan.config.timing() {
            self.tell(at, Input::SetTiming(timing));
        }
        // The first turn hands the recovered snapshot to the state machine and learns the deadline.
        self.tell(at, Input::Timer);
        Ok(())
    }

    /// The oldest write under way is done, or its sync has failed: then the member stops, and what the disk holds is
    /// known when it starts again.
    pub(super) fn written(&mut self, at: usize) -> Result<(), Alarm> {
        let disk = &mut self.members[at].disk;
        if disk.hangs_since.is_some() {
            disk.withheld += 1;
            return Ok(());
        }
        let id = if let Some(survival) = disk.failed_sync() {
            self.counts.saw(Sometimes::StoppedByFailedSync);
            if self.plan.flaw != Some(Flaw::FailedSyncRetried) {
                return self.crash(at, survival);
            }
            disk.finish_in_vain()
        } else {
            let finished = disk.finish();
            Some(finished.map_err(|text| self.alarm("disk contract", at, text))?)
        };
        if let Some(id) = id {
            self.tell(at, Input::Persisted(id));
        }
        Ok(())
    }

    pub(super) fn set_timing(&mut self, at: usize, timing: Timing) {
        if self.members[at].leads() && self.chaotic {
            self.counts.saw(Sometimes::TimingChanged);
        }
        self.members[at].timing = timing;
        self.tell(at, Input::SetTiming(timing));
    }

    pub(super) fn bootstrap(&mut self, at: usize) {
        let configuration = self.first_configuration.clone();
        self.tell(at, Input::Bootstrap(Box::new(configuration)));
    }
}
