//! A member's turn: it is told all that has gathered, and what comes out is checked.

use liferaft_raft::consensus::{Input, Output};
use liferaft_raft::time::Instant;

use super::{Event, World};
use crate::clock::Nanos;
use crate::digest;
use crate::invariants::{self, Alarm, Turn};
use crate::member::View;
use crate::run::GIVEN_UP;
use crate::shadow::LogChange;
use crate::sometimes;

impl World {
    /// Puts something into a member's inbox.
    pub(crate) fn tell(&mut self, at: usize, input: Input) {
        if !self.members[at].is_up() {
            return;
        }
        self.members[at].inbox.push(input);
        let turn = self.chance.turn_wait(at, self.plan.turn_max);
        self.wake_at(at, self.now + turn);
    }

    pub(super) fn wake(&mut self, at: usize) {
        self.wake_at(at, self.now);
    }

    pub(super) fn wake_at(&mut self, at: usize, when: Nanos) {
        let member = &mut self.members[at];
        if when < member.wake_at {
            member.wake_at = when;
            self.agenda.enter(when, Event::Turn(at));
        }
    }

    /// Lets a member take its turn: it is told all that has gathered, and what comes out is done.
    pub(super) fn turn(&mut self, at: usize) -> Result<(), Alarm> {
        let now = self.now;
        let member = &mut self.members[at];
        if member.wake_at != now {
            // Superseded by an earlier turn.
            return Ok(());
        }
        member.wake_at = Nanos::MAX;
        let Some(raft) = &mut member.raft else {
            return Ok(());
        };
        if member.pauses > 0 {
            return Ok(());
        }
        let local = member.clock.at(now);
        // What has arrived is told before a deadline, as the driver does.
        if raft.deadline().is_some_and(|deadline| deadline <= local) {
            member.inbox.push(Input::Timer);
        }
        if member.inbox.is_empty() && !self.stewards.is_due(at, raft, local) {
            self.sleep(at);
            return Ok(());
        }
        if self.counts.inputs > self.inputs_max {
            let text = format!("more than {} inputs", self.inputs_max);
            return Err(self.alarm(GIVEN_UP, at, text));
        }
        let mut output = core::mem::take(&mut self.output);
        self.counts.inputs += member.inbox.len() as u64;
        self.counts.turns += 1;
        let before = member.view;
        let heartbeat = member.timing.heartbeat_interval();
        self.stewards.witness.turned(at, local, heartbeat);
        if self.plan.tell {
            println!("{now} {} <- {:?}", member.id, member.inbox);
        }
        self.heard.take(&member.inbox);
        raft.inputs(local, member.inbox.drain(..), &mut output);
        if self.plan.tell {
            println!("{now} {} -> {:?} {output:?}", member.id, View::of(raft));
        }
        member.view = View::of(raft);
        if let Some(story) = &mut self.story {
            story.turned(now, at, before, self.members[at].view);
        }
        self.trace(at, &output);
        let outside = self.blank_and_outside(at);
        let checked = self.check(at, local, before, &output);
        let begins_to_lead = self.members[at].view.leads() && !before.leads();
        let sprung = checked.and_then(|()| self.spring(at, begins_to_lead, &outside));
        let done = sprung.and_then(|()| self.carry_out(at, &mut output));
        output.clear();
        self.output = output;
        done?;
        self.look_after(at)?;
        self.sleep(at);
        Ok(())
    }

    /// Waits for the deadline.
    pub(super) fn sleep(&mut self, at: usize) {
        let member = &self.members[at];
        let Some(raft) = &member.raft else { return };
        let deadline = raft.deadline().unwrap_or(Instant::MAX);
        let deadline = deadline.min(self.stewards.due(at));
        if deadline < Instant::MAX {
            let when = member.clock.when(self.now, deadline);
            // A deadline that stays in the past must not stop the world.
            self.wake_at(at, when.max(self.now + 1000));
        }
    }

    fn trace(&mut self, at: usize, output: &Output) {
        let view = self.members[at].view;
        let mut trace = self
            .trace
            .with(self.now)
            .with(at as u64)
            .with(view.term.0)
            .with(view.role as u64)
            .with(view.positions.commit.0)
            .with(view.positions.last.index.0)
            .with(output.messages.len() as u64)
            .with(output.reads.len() as u64);
        for entry in output.writes.iter().flat_map(|write| &write.entries) {
            trace = trace.with(digest::of_entry(entry));
        }
        self.trace = trace;
    }

    fn check(
        &mut self,
        at: usize,
        local: Instant,
        before: View,
        output: &Output,
    ) -> Result<(), Alarm> {
        let mut change = LogChange::default();
        let (index, configuration) = self.members[at].log.configuration();
        let writes = &output.writes;
        let configuration = (!writes.is_empty())
            .then(|| configuration.cloned())
            .flatten();
        for write in writes {
            self.members[at].log.take(write, &mut change);
        }
        let configuration = configuration
            .as_ref()
            .or(self.members[at].log.configuration().1);
        let turn = Turn {
            now: self.now,
            members: &self.members,
            lost: &self.lost,
            member: at,
            before,
            change,
            configuration_before: (index, configuration),
            output,
            plan: &self.plan,
            heard: &self.heard,
            local,
        };
        sometimes::note_turn(&turn, &self.network, &mut self.counts);
        invariants::commit(&turn, &mut self.history)
            .and_then(|()| self.invariants.check(&turn, &self.history))
            .map_err(|(invariant, text)| self.alarm(invariant, at, text))
    }
}
