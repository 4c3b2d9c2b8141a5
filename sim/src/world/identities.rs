//! Decides who is believed to be who: what links let through, and what becomes of impostors and of copies of storages.

use liferaft_raft::admission::Sender;
use liferaft_raft::consensus::{Input, Output};
use liferaft_raft::ids::ServerId;
use liferaft_raft::message::{Body, Message};

use super::{End, World};
use crate::invariants::{Alarm, impostors};
use crate::member::View;
use crate::sometimes::Sometimes;
use crate::starts::Shown;
use crate::strangers::{Saying, stranger};

/// How a message comes to its receiver.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Passage {
    /// Its sender is known, or nobody asks.
    Known,
    /// Those whom the receiver knows vouch for its sender.
    Vouched,
    /// There is no link: nobody vouches for the sender.
    Refused,
}

impl World {
    /// What the receiver's link makes of a sender, by the configuration that the receiver knows.
    pub(super) fn passage(&self, sender: ServerId, to: usize) -> Passage {
        let Some(raft) = self.members[to]
            .raft
            .as_ref()
            .filter(|_| self.plan.is_closed)
        else {
            return Passage::Known;
        };
        if raft.sender(sender, false) != Sender::Stranger {
            return Passage::Known;
        }
        if self.vouchers.reach(sender, raft.configuration()) {
            Passage::Vouched
        } else {
            Passage::Refused
        }
    }

    /// Whether a server's link lets another one in.
    pub(crate) fn lets_in(&self, to: usize, sender: ServerId) -> bool {
        self.passage(sender, to) != Passage::Refused
    }

    /// The link between two servers shows each which start of the other it is with.
    ///
    /// # Errors
    /// When the other one is refused as a copy, which it is not.
    pub(super) fn meet(&mut self, to: usize, (from, sender): End) -> Result<(), Alarm> {
        if !self.plan.copies_disks || self.members[from].id != sender {
            return Ok(());
        }
        let raft = self.members[to].raft.as_ref();
        let is_member = |id| raft.is_some_and(|raft| raft.configuration().1.contains(id));
        let met = self.storages.meet(to, (from, sender), is_member);
        met.map_err(|text| self.alarm("clones", to, text))
    }

    /// Counts what comes by way of vouchers.
    pub(super) fn note_passage(&mut self, passage: Passage, message: &Message) {
        let leads = matches!(
            message.body,
            Body::AppendEntries(_) | Body::InstallSnapshot(_)
        );
        match passage {
            Passage::Known => {}
            Passage::Vouched if leads => self.counts.saw(Sometimes::VouchedLeaderHeard),
            Passage::Vouched => {}
            Passage::Refused => self.counts.saw(Sometimes::UnvouchedRefused),
        }
    }

    /// A member hears an impostor, right after it has taken in all else.
    ///
    /// # Errors
    /// When that has any effect.
    pub(super) fn hear_impostor(&mut self, at: usize, saying: Saying) -> Result<(), Alarm> {
        if !self.members[at].is_up() || self.members[at].pauses > 0 {
            return Ok(());
        }
        self.members[at].inbox.push(Input::Timer);
        self.members[at].wake_at = self.now;
        self.turn(at)?;
        let from = self.pretender(at, saying.by);
        let member = &mut self.members[at];
        let Some(raft) = &mut member.raft else {
            return Ok(());
        };
        // Nobody is an impostor to who knows of no cluster yet, or believes everybody.
        let believes = raft.configuration().1.is_open();
        if believes && saying.what.may_be_newer() || raft.leader() == Some(from) {
            return Ok(());
        }
        let Some(message) = self.overheard.pretend(saying, from, &member.view) else {
            return Ok(());
        };
        let before = (View::of(raft), raft.leader());
        let mut output = Output::default();
        let local = member.clock.at(self.now);
        raft.input(local, Input::Message { from, message }, &mut output);
        let after = (View::of(raft), raft.leader());
        self.counts.inputs += 1;
        self.counts.saw(Sometimes::ImpostorHeard);
        let checked = impostors::check(from, before, after, &output);
        checked.map_err(|text| self.alarm("impostors", at, text))
    }

    /// A server that a member does not know: one that is there, or whose disk is gone, or one that never was.
    fn pretender(&self, at: usize, by: u8) -> ServerId {
        let there = self.members.iter().map(|member| member.id);
        let raft = self.members[at].raft.as_ref();
        let is_unknown = |id: &ServerId| {
            let knows = |id| raft.is_some_and(|raft| raft.sender(id, false) != Sender::Stranger);
            *id != self.members[at].id && !knows(*id)
        };
        let unknown: Vec<ServerId> = there
            .chain(self.lost.keys().copied())
            .filter(is_unknown)
            .collect();
        let drawn = usize::from(by) % (unknown.len() + 1);
        unknown.get(drawn).copied().unwrap_or_else(|| stranger(by))
    }

    /// A member's storage is copied as it is.
    pub(super) fn copy_disk(&mut self, at: usize) {
        self.storages.copy(at, self.members[at].id);
    }

    /// The copy of a member's storage is started, and shows itself to all others that are up and that its links reach.
    ///
    /// # Errors
    /// When one believes it that has met the member since the storage was copied.
    pub(super) fn show_copy(&mut self, of: usize) -> Result<(), Alarm> {
        self.storages.start_copy(of);
        for to in 0..self.members.len() {
            if to == of || !self.members[to].is_up() || !self.network.passes(of, to) {
                continue;
            }
            match self.storages.show_copy(of, to) {
                Shown::Unmet => {}
                Shown::Refused => self.counts.saw(Sometimes::CloneRefused),
                Shown::Believed { server, shown, met } => {
                    let text = format!("takes {shown:?} for {server}, of which it has met {met:?}");
                    return Err(self.alarm("clones", to, text));
                }
            }
        }
        Ok(())
    }
}
