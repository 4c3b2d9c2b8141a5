//! Clients and operators: what they send, and what becomes of the answers.

use bytes::Bytes;
use liferaft_raft::consensus::{Input, Proposal, ProposalId, ProposeRefused, ReadId};
use liferaft_raft::ids::ServerId;

use super::{Event, World};
use crate::client_history::Told;
use crate::clients::{Letter, Request, Sent};
use crate::flaw::Flaw;
use crate::invariants::Alarm;
use crate::machine;
use crate::operation::{Question, is_sequence};

impl World {
    pub(super) fn name(&mut self) -> u64 {
        self.asked += 1;
        self.asked
    }

    /// A client reads a key through a member.
    pub(super) fn read(&mut self, at: usize, key: u8) {
        if !self.members[at].is_up() {
            return;
        }
        let id = ReadId(self.name());
        self.reads.ask(id, self.history.last_index());
        self.asked_reads.ask(id, &self.counts);
        self.counts.operations += 1;
        let operation = self.clients.call(self.now, None, key, question_of(key));
        self.reading.insert(id, (operation, key));
        self.tell(at, Input::Read(id));
    }

    /// What clients asked and heard, in the order of the calls.
    #[must_use]
    pub fn told(&self) -> Vec<Told> {
        self.clients.told()
    }

    /// How many operations clients have called.
    #[must_use]
    pub fn operations_of_clients(&self) -> u64 {
        self.clients.called()
    }

    /// Clients do what they are told to.
    pub(super) fn request(&mut self, at: usize, requests: Vec<Request>) {
        self.counts.operations += requests.len() as u64;
        let now = self.now;
        let letters = requests
            .into_iter()
            .filter_map(|request| self.clients.request(now, at, request))
            .collect();
        self.post(letters);
    }

    /// Proposes what clients send to one member, and lets them wait for the answers.
    pub(super) fn post(&mut self, letters: Vec<Letter>) {
        let Some(at) = letters.first().map(|letter| letter.at) else {
            return;
        };
        let is_up = self.members[at].is_up();
        let mut proposals = Vec::with_capacity(letters.len());
        for Letter { sent, command, .. } in letters {
            let wait = self.chance.patience(sent.client, &self.plan.clients);
            self.agenda
                .enter(self.now + wait, Event::TryAgain(sent, None));
            if is_up {
                let id = ProposalId(self.name());
                self.clear_answers.propose(id, machine::copy_of(&command));
                self.clients.proposed(id, sent);
                let command = Bytes::from(command);
                proposals.push(Proposal { id, command });
            }
        }
        if is_up {
            self.tell(at, Input::Propose(proposals));
        }
    }

    pub(super) fn try_again(&mut self, sent: Sent, to: Option<usize>) {
        let members = self.members.len();
        let to = to.unwrap_or_else(|| self.chance.somebody(sent.client, sent.tries, members));
        let letter = self.clients.try_again(sent, to, &mut self.counts);
        self.post(letter.into_iter().collect());
    }

    /// A proposal is answered. What was refused is soon sent to the leader, if it is known.
    pub(super) fn on_proposed(&mut self, id: ProposalId, refused: Option<&ProposeRefused>) {
        let Some(sent) = self.clients.on_answer(id, refused.is_some()) else {
            return;
        };
        let leader = match refused {
            Some(ProposeRefused::NotLeader { leader }) => *leader,
            Some(ProposeRefused::Transferring { to }) => Some(*to),
            Some(_) | None => None,
        };
        let to = leader.and_then(|leader| self.place_of(leader));
        let wait = self
            .chance
            .pause_after_refusal(sent.client, &self.plan.clients);
        self.agenda
            .enter(self.now + wait, Event::TryAgain(sent, to));
    }

    pub(super) fn place_of(&self, id: ServerId) -> Option<usize> {
        self.members.iter().position(|member| member.id == id)
    }

    /// Answers the reads that were granted and whose index the state machine has reached.
    pub(super) fn answer_reads(&mut self, at: usize) -> Result<(), Alarm> {
        let member = &mut self.members[at];
        if member.granted.is_empty() {
            return Ok(());
        }
        let applied = member.machine.applied;
        let hasty = self.plan.flaw == Some(Flaw::ReadBeforeApplied);
        let mut waiting = core::mem::take(&mut member.granted);
        for (_, id) in waiting.extract_if(.., |(index, _)| hasty || *index <= applied) {
            let Some((operation, key)) = self.reading.remove(&id) else {
                continue;
            };
            let read = self.members[at].machine.read(key, question_of(key));
            let answer = read.map_err(|text| self.alarm("reads", at, text))?;
            let told = self.prefix_reads.answered(key, answer);
            told.map_err(|text| self.alarm("prefix reads", at, text))?;
            self.trace = answer.digest(self.trace);
            self.clients
                .answer_read(self.now, operation, (applied, answer), &mut self.counts);
        }
        self.members[at].granted = waiting;
        Ok(())
    }

    /// Judges what clients have heard, and whether all members that are as far hold the same.
    ///
    /// # Errors
    /// When they do not, or no order of the operations explains the answers.
    pub fn judge_clients(&mut self) -> Result<(), Alarm> {
        for at in 0..self.members.len() {
            let machine = &self.members[at].machine;
            let state = machine.state();
            let same = state.and_then(|state| self.same_effects.state(machine.applied, state));
            same.map_err(|text| self.alarm("same effects", at, text))?;
        }
        let judged = self.clients.judge(&mut self.counts);
        judged.map_err(|text| Alarm {
            invariant: "linearizability",
            at: self.now,
            member: None,
            text,
        })
    }
}

/// What is asked of a key by those who read it.
const fn question_of(key: u8) -> Question {
    if is_sequence(key) {
        Question::List
    } else {
        Question::Get
    }
}
