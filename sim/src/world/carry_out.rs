//! Doing what came out of a member's turn, as its driver would.

use liferaft_raft::consensus::{
    EntriesRead, Event as CoreEvent, Input, Output, ProposeRefused, ReadId, SnapshotStep, Write,
};
use liferaft_raft::entry::{Entry, Payload};
use liferaft_raft::ids::{Index, ServerId};
use liferaft_raft::message::{Body, Message};

use super::{Event, World};
use crate::clock::{MILLI, SECOND};
use crate::disk::{Failure, Survival};
use crate::invariants::Alarm;
use crate::member::Doom;
use crate::network::Jam;
use crate::patience::election_timeout;
use crate::plan::MEMBERS_MAX;
use crate::sometimes::{self, Sometimes};

/// So many parts of a snapshot are read or written in the time of a sync.
const STEPS_IN_A_SYNC: u64 = 16;

impl World {
    /// Does what came out of a member's turn.
    pub(super) fn carry_out(&mut self, at: usize, output: &mut Output) -> Result<(), Alarm> {
        // A leader's word is in what it says, also where its own disk has no room for it.
        for write in &output.writes {
            self.note_let_in(at, write);
        }
        let doom = self.doom_of(at, output);
        for write in output.writes.drain(..) {
            self.write(at, write);
        }
        if doom.is_none_or(|doom| doom.speaks) {
            for (to, message) in output.messages.drain(..) {
                self.send(at, to, message);
            }
        }
        if let Some(doom) = doom {
            return self.crash(at, doom.survival);
        }
        for step in output.snapshots.drain(..) {
            self.members[at].disk.lane.push_back(step);
            if self.members[at].disk.lane.len() == 1 {
                self.begin_lane_step(at);
            }
        }
        for read in output.entries.drain(..) {
            self.members[at].reading.insert(read.whose);
            self.read_log(at, read, None);
        }
        for apply in output.apply.drain(..) {
            self.members[at].applying.push_back(apply);
            if self.members[at].applying.len() == 1 {
                self.begin_to_apply(at);
            }
        }
        for (id, result) in output.reads.drain(..) {
            self.on_read(at, id, result.ok())?;
        }
        self.answer_reads(at)?;
        for (id, answer) in output.proposals.drain(..) {
            let answered = self.clear_answers.answer(id, &answer);
            answered.map_err(|text| self.alarm("clear answers", at, text))?;
            if matches!(answer, Err(ProposeRefused::TooLarge { .. })) {
                self.counts.saw(Sometimes::TooLong);
            }
            self.on_proposed(id, answer.as_ref().err());
        }
        for (id, result) in output.changes.drain(..) {
            let asked = self.changes_asked.remove(&id);
            if let Some(asked) = asked.as_ref().filter(|asked| asked.is_by_policy) {
                self.policy_changed(at, &asked.change, &result);
                continue;
            }
            if let (Ok(_), Some(asked)) = (&result, &asked) {
                sometimes::note_membership(&asked.change, &mut self.counts);
            }
            if let Ok(made_at) = result {
                if asked
                    .as_ref()
                    .is_some_and(|it| it.change.steps.len() > MEMBERS_MAX)
                {
                    self.counts.saw(Sometimes::Crowded);
                }
                if let Some(asked) = &asked {
                    self.stewards.operator_changed(&asked.change, made_at);
                }
                if asked.is_some_and(|asked| self.removes_a_lost_server(&asked)) {
                    self.counts.saw(Sometimes::LostServerReplaced);
                }
                self.answers.changes += 1;
                self.counts.changes += 1;
            }
        }
        for event in output.events.drain(..) {
            match event {
                CoreEvent::SnapshotStarted { .. } => self.counts.snapshots_sent += 1,
                CoreEvent::ConfigurationCommitted { index } => {
                    self.stewards.committed(at, &self.members[at], index);
                }
                _ => {}
            }
        }
        if self.members[at].view.leads() {
            self.counts.led(self.members[at].view.term);
        }
        self.capture_if_due(at)
    }

    /// How the member crashes in this turn, if it does: a full disk stops it as soon as there is something to write.
    fn doom_of(&mut self, at: usize, output: &mut Output) -> Option<Doom> {
        let member = &self.members[at];
        if let Some((Failure::Full, survival)) = member.disk.failure
            && !output.writes.is_empty()
        {
            self.counts.saw(Sometimes::StoppedByFullDisk);
            output.writes.clear();
            return Some(Doom {
                survival,
                speaks: true,
            });
        }
        // Another server's snapshot drops what is stored from the beginning on.
        let installs = |write: &Write| write.snapshot.is_some() && write.truncate.is_some();
        if member.crashes_in_install && output.writes.iter().any(installs) {
            self.members[at].crashes_in_install = false;
            self.agenda.enter(self.now + MILLI, Event::Return(at));
            return Some(Doom {
                survival: Survival::ToSnapshot,
                speaks: true,
            });
        }
        member.doomed
    }

    /// A read is granted an index, or refused.
    fn on_read(&mut self, at: usize, id: ReadId, granted: Option<Index>) -> Result<(), Alarm> {
        let is_granted = granted.is_some();
        self.asked_reads.answer(id, is_granted, &mut self.counts);
        let Some(index) = granted else {
            self.reads.forget(id);
            self.reading.remove(&id);
            return Ok(());
        };
        self.answers.reads_granted += 1;
        self.counts.reads += 1;
        if let Some(story) = &mut self.story {
            story.granted(self.now, at, index);
        }
        self.reads
            .grant(id, index)
            .map_err(|text| self.alarm("linearizable reads", at, text))?;
        self.members[at].granted.push((index, id));
        Ok(())
    }

    fn write(&mut self, at: usize, write: Write) {
        let takes = self.chance.write_takes(at, &self.plan.disk, self.chaotic);
        let member = &mut self.members[at];
        let life = member.life;
        let done = member.disk.begin(self.now, write, takes);
        // A disk that was slow is so until the last write from then is done: a term that is not durable is not answered
        // in.
        if done > self.now + election_timeout(self) {
            self.stewards.witness.struck(at, done);
        }
        self.agenda.enter(done, Event::Written { member: at, life });
    }

    /// A leader lets those in whom a configuration names that it appends.
    fn note_let_in(&mut self, at: usize, write: &Write) {
        let member = &self.members[at];
        if !self.plan.is_closed || !member.view.leads() {
            return;
        }
        for entry in &write.entries {
            if let Payload::Configuration(after) = &entry.payload
                && let Some((_, before)) = member.log.configuration_before(entry.index)
            {
                let after = (entry.index, after.as_ref());
                self.vouchers.let_in(member.id, before, after);
            }
        }
    }

    /// A disk takes its time until it has read entries of the log, and again until the member has them.
    pub(super) fn read_log(&mut self, at: usize, read: EntriesRead, entries: Option<Vec<Entry>>) {
        let takes = self.chance.read_takes(at, &self.plan.disk);
        let member = &self.members[at];
        let takes = (takes * member.disk.slowness.max(1)).min(SECOND);
        let life = member.life;
        let event = Event::Read {
            member: at,
            life,
            read,
            entries,
        };
        self.agenda.enter(self.now + takes, event);
    }

    /// Entries of the log are read, or have been; on a disk that hangs, later.
    pub(super) fn log_was_read(
        &mut self,
        at: usize,
        read: EntriesRead,
        entries: Option<Vec<Entry>>,
    ) {
        let member = &mut self.members[at];
        match entries {
            None if member.disk.hangs_since.is_some() => member.disk.reads_withheld.push(read),
            None => {
                let entries = member.disk.durable().read(&read);
                self.read_log(at, read, Some(entries));
            }
            Some(entries) => {
                member.reading.remove(&read.whose);
                sometimes::note_read(member, &read, &entries, &mut self.counts);
                self.tell(at, Input::EntriesRead { read, entries });
            }
        }
    }

    fn begin_lane_step(&mut self, at: usize) {
        let takes = self.chance.lane_takes(at, &self.plan.disk);
        let member = &mut self.members[at];
        let (life, takes) = (member.life, takes * member.disk.slowness.max(1));
        // Only the end of a snapshot waits for a sync.
        let takes = match member.disk.lane.front() {
            Some(SnapshotStep::Finish { .. }) | None => takes,
            Some(_) => takes / STEPS_IN_A_SYNC,
        };
        let ends = self.now + takes;
        member.disk.works_until(ends);
        self.agenda.enter(ends, Event::Laned { member: at, life });
    }

    /// The oldest step of the lane of snapshots is done; on a full disk it stops the member instead.
    pub(super) fn step_lane(&mut self, at: usize) -> Result<(), Alarm> {
        let disk = &mut self.members[at].disk;
        if disk.hangs_since.is_some() {
            disk.lane_withheld = true;
            return Ok(());
        }
        let Some(step) = disk.lane.pop_front() else {
            return Ok(());
        };
        let writes = matches!(
            step,
            SnapshotStep::Append { .. } | SnapshotStep::Finish { .. }
        );
        if let Some((Failure::Full, survival)) = disk.failure
            && writes
        {
            self.counts.saw(Sometimes::StoppedByFullDisk);
            return self.crash(at, survival);
        }
        let more = !disk.lane.is_empty();
        if let Some(answer) = disk.shelf.step(step) {
            self.tell(at, answer);
        }
        if more {
            self.begin_lane_step(at);
        }
        Ok(())
    }

    /// A jammed link did not take a message, and its sender is told.
    fn not_sent(&mut self, from: usize, to: ServerId, message: Message, jam: Jam) {
        let message = Box::new(message);
        self.tell(from, Input::Unsent { to, message });
        if let Some(at) = jam.told_at {
            let (member, life) = (from, self.members[from].life);
            self.agenda.enter(at, Event::Writable { member, life, to });
        }
    }

    fn send(&mut self, from: usize, to: ServerId, message: Message) {
        let receiver = to;
        let Some(to) = self.place_of(receiver) else {
            return;
        };
        if is_bulk(&message)
            && let Err(jam) = self.network.load(from, to, self.now)
        {
            self.counts.saw(Sometimes::LinkJammed);
            return self.not_sent(from, receiver, message, jam);
        }
        self.counts.messages += 1;
        self.overheard.listen(&message);
        sometimes::note_message(&message.body, &self.network, &mut self.counts);
        let fate = self.network.fate(from, to, &mut self.chance);
        if let Some(story) = &mut self.story {
            story.sent(self.now, from, to, &message, fate);
        }
        let (from, to) = ((from, self.members[from].id), (to, receiver));
        if let Some(takes) = fate.copy_takes {
            let message = message.clone();
            self.agenda
                .enter(self.now + takes, Event::Message { from, to, message });
        }
        if let Some(takes) = fate.takes {
            self.agenda
                .enter(self.now + takes, Event::Message { from, to, message });
        }
    }
}

/// Whether a message holds what takes room on a link.
fn is_bulk(message: &Message) -> bool {
    match &message.body {
        Body::AppendEntries(append) => !append.entries.is_empty(),
        Body::InstallSnapshot(chunk) => !chunk.data.is_empty(),
        _ => false,
    }
}
