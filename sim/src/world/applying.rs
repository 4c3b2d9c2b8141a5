//! The work of state machines: entries, snapshots to restore, captures.

use liferaft_raft::consensus::{Apply, Input, Snapshot};
use liferaft_raft::ids::Index;

use super::{Event, World};
use crate::digest;
use crate::invariants::{self, Alarm, Verdict, bounds};
use crate::leasing::LeaseAct;
use crate::machine::{Effect, Head, Machine, Manner};
use crate::member::Member;
use crate::sometimes::Sometimes;

impl World {
    pub(super) fn begin_to_apply(&mut self, at: usize) {
        let takes = self.chance.apply_takes(at, &self.plan.machine);
        let life = self.members[at].life;
        self.agenda
            .enter(self.now + takes, Event::Applied { member: at, life });
    }

    /// The oldest work of a state machine is done.
    pub(super) fn apply(&mut self, at: usize) -> Result<(), Alarm> {
        let member = &mut self.members[at];
        if member.is_stalled {
            member.work_is_due = true;
            return Ok(());
        }
        let Some(work) = member.applying.pop_front() else {
            return Ok(());
        };
        let more = !member.applying.is_empty();
        let on = member.id;
        let mut manner = Manner {
            session_hurry: self.plan.clients.session_hurry,
            replies: self.plan.clients.reply_bounds(),
            flaw: self.plan.flaw,
            notes: false,
        };
        let members = self.plan.members;
        let mut letters = Vec::new();
        let mut wrong = None;
        let applied: Verdict = match work {
            Apply::Entries(entries) => entries.iter().try_for_each(|entry| {
                let machine = &mut member.machine;
                let next = machine.applied.next();
                invariants::demand!(
                    entry.index == next,
                    "{} is applied after {}",
                    entry.position(),
                    machine.applied
                );
                manner.notes = self.watches.is_first(entry.index.0);
                let effect = machine.apply(entry, digest::of_entry(entry), on, manner)?;
                if let Effect::Command { copy, header, .. } = effect {
                    let within = bounds::replies(machine, header.session, manner.replies);
                    wrong = wrong.take().or(within.err().map(|text| ("bounds", text)));
                    let checked = self.clear_answers.apply(copy);
                    wrong = wrong
                        .take()
                        .or(checked.err().map(|text| ("clear answers", text)));
                }
                let checked = self.exactly_once.applied(entry.index, &effect);
                wrong = wrong
                    .take()
                    .or(checked.err().map(|text| ("exactly once", text)));
                let checked = self.same_effects.applied(machine);
                wrong = wrong
                    .take()
                    .or(checked.err().map(|text| ("same effects", text)));
                if manner.notes {
                    self.watches.committed(machine);
                    let checked = self.leases.applied(machine);
                    if let Some(LeaseAct::Revoked(_, Some(1..))) = machine.noted.lease {
                        self.counts.saw(Sometimes::LeaseRevoked);
                    }
                    wrong = wrong.take().or(checked.err().map(|text| ("leases", text)));
                    self.past.committed(machine);
                }
                let checked = self.past.look(at, machine, &mut self.counts);
                wrong = wrong
                    .take()
                    .or(checked.err().map(|text| ("the past", text)));
                let checked = self.watches.look(at, machine, members);
                wrong = wrong.take().or(checked.err().map(|text| ("watches", text)));
                let (clients, counts) = (&mut self.clients, &mut self.counts);
                letters.extend(clients.on_applied(self.now, at, entry.index, effect, counts));
                Ok(())
            }),
            Apply::Restore(snapshot) => restored(member, &snapshot).and_then(|machine| {
                invariants::demand!(
                    machine.applied >= member.machine.applied,
                    "an older state, {}, is restored",
                    snapshot.metadata.last
                );
                member.machine = machine;
                self.counts.snapshots_restored += 1;
                Ok(())
            }),
        };
        let machine = &self.members[at].machine;
        let (applied_to, state) = (machine.applied, machine.digest);
        let applied = applied.and_then(|()| {
            let committed = self.history.entry(applied_to).map(|entry| entry.state);
            invariants::demand!(
                committed == Some(state),
                "the state at {applied_to} differs from what was committed"
            );
            Ok(())
        });
        applied.map_err(|text| self.alarm("state machine safety", at, text))?;
        if let Some((invariant, text)) = wrong {
            return Err(self.alarm(invariant, at, text));
        }
        self.post(letters);
        if more {
            self.begin_to_apply(at);
        }
        self.tell(at, Input::Applied(applied_to));
        Ok(())
    }

    pub(super) fn capture_if_due(&mut self, at: usize) -> Result<(), Alarm> {
        let member = &self.members[at];
        // As with the driver, a large state is not written each time that a little was logged.
        let last = member.disk.durable().snapshot_bytes();
        let threshold = self.plan.machine.snapshot_at_bytes.max(last / 2);
        let due = member
            .raft
            .as_ref()
            .is_some_and(|raft| raft.log_bytes() > threshold);
        if due && member.machine.applied > member.view.positions.snapshot {
            return self.capture(at);
        }
        Ok(())
    }

    pub(super) fn capture(&mut self, at: usize) -> Result<(), Alarm> {
        let member = &mut self.members[at];
        if member.capturing || !member.is_up() || member.machine.applied == Index::ZERO {
            return Ok(());
        }
        member.capturing = true;
        let through = (member.machine.applied, member.machine.stamp);
        let life = member.life;
        let padding_bytes = self.plan.machine.padding_bytes;
        let captured = member.machine.capture(padding_bytes, self.plan.flaw);
        let captured = captured.and_then(|data| {
            let head = Head::of(&data).ok_or("the capture is damaged")?;
            self.same_effects.captured(&head)?;
            Ok(data)
        });
        let data = captured.map_err(|text| self.alarm("same effects", at, text))?;
        let takes = self.chance.capture_takes(at, &self.plan.machine);
        let captured = Event::Captured {
            member: at,
            life,
            through,
            data,
        };
        self.agenda.enter(self.now + takes, captured);
        Ok(())
    }
}

/// The state machine that a snapshot on a member's disk holds.
fn restored(member: &Member, snapshot: &Snapshot) -> Result<Machine, String> {
    let state = member.disk.shelf.state(snapshot.name);
    let state = state.ok_or("the snapshot to restore is not in storage")?;
    Machine::restore(state, snapshot.metadata.stamp)
}
