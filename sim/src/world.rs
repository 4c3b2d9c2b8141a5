//! The world: a cluster, its network, its disks and its clients, one event after the other.

use std::collections::{BTreeMap, VecDeque};

use bytes::Bytes;
use liferaft_raft::configuration::Configuration;
use liferaft_raft::consensus::ProposeRefused;
use liferaft_raft::consensus::{
    Apply, ChangeId, Event as CoreEvent, Input, Output, Proposal, ProposalId, Raft, ReadId, Write,
};
use liferaft_raft::ids::{Index, ServerId};
use liferaft_raft::message::Message;

use crate::action::Action;
use crate::agenda::Agenda;
use crate::chaos::Chaos;
use crate::clients::{Clients, Letter, Request, Sent};
use crate::clock::{LocalClock, MICRO, Nanos};
use crate::counts::Counts;
use crate::dice::Dice;
use crate::digest::{self, Digest};
use crate::disk::{Disk, Survival};
use crate::flaw::Flaw;
use crate::history::History;
use crate::invariants::clear_answers::ClearAnswers;
use crate::invariants::exactly_once::{ExactlyOnce, SameEffects};
use crate::invariants::prefix_reads::PrefixReads;
use crate::invariants::reads::Reads;
use crate::invariants::{self, Alarm, Invariants, Turn, Verdict};
use crate::machine::{self, Effect, Head, Machine, Manner};
use crate::member::{Member, View};
use crate::network::Network;
use crate::operation::{Question, is_sequence};
use crate::plan::Plan;
use crate::shadow::{LogChange, ShadowLog};
use crate::sometimes::{self, AskedReads, Sometimes};

/// What is asked of a key by those who read it.
const fn question_of(key: u8) -> Question {
    if is_sequence(key) {
        Question::List
    } else {
        Question::Get
    }
}

/// A cluster and all that happens to it.
#[derive(Debug)]
pub struct World {
    pub(crate) plan: Plan,
    pub(crate) now: Nanos,
    pub(crate) members: Vec<Member>,
    pub(crate) history: History,
    pub(crate) counts: Counts,
    pub(crate) chaos: Chaos,
    pub(crate) answers: Answers,
    /// The digest of all that has happened.
    pub(crate) trace: Digest,
    agenda: Agenda<Event>,
    network: Network,
    dice: Dice,
    invariants: Invariants,
    reads: Reads,
    clear_answers: ClearAnswers,
    asked_reads: AskedReads,
    exactly_once: ExactlyOnce,
    same_effects: SameEffects,
    prefix_reads: PrefixReads,
    clients: Clients,
    /// The operations that reads are, with their keys.
    reading: BTreeMap<ReadId, (usize, u8)>,
    /// Chooses where clients try again, and when.
    client_dice: Dice,
    output: Output,
    asked: u64,
    chaotic: bool,
    first_configuration: Configuration,
}

/// What clients and operators have been told.
#[derive(Debug, Default)]
pub struct Answers {
    /// How many changes of membership have succeeded.
    pub changes: u64,
    /// The reads that were granted, in the last phase only.
    pub reads_granted: u64,
}

/// Something that is to happen.
#[derive(Debug)]
enum Event {
    Message {
        from: usize,
        to: usize,
        message: Message,
    },
    /// The oldest write under way is done.
    Written {
        member: usize,
        life: u32,
    },
    /// The oldest work of the state machine is done.
    Applied {
        member: usize,
        life: u32,
    },
    Captured {
        member: usize,
        life: u32,
        through: Index,
        data: Bytes,
    },
    Turn(usize),
    /// A client has waited long enough, and then turns to this member or to any.
    TryAgain(Sent, Option<usize>),
    Action(Action),
    NextFault,
    NextAct,
}

impl World {
    /// The cluster that a plan describes, at its beginning.
    ///
    /// # Errors
    /// When a blank member does not start.
    pub fn new(plan: Plan) -> Result<Self, Alarm> {
        let mut dice = Dice::new(plan.seed, 1);
        let mut members = Vec::new();
        for at in 0..plan.members {
            let id = ServerId(at as u128 + 1);
            let skew = dice.between(0, 2 * plan.skew_max);
            let rate = 1_000_000 - plan.skew_max + skew;
            let clock = LocalClock::new(dice.between(0, 1 << 40), rate);
            let seed = dice.number();
            let raft = Raft::new(
                id,
                plan.config.clone(),
                Default::default(),
                clock.at(0),
                seed,
            )
            .map_err(|error| Alarm {
                invariant: "recovery",
                at: 0,
                member: Some(id),
                text: error.to_string(),
            })?;
            members.push(Member {
                id,
                view: View::of(&raft),
                raft: Some(raft),
                life: 0,
                disk: Disk::default(),
                machine: Machine::default(),
                log: ShadowLog::default(),
                clock,
                inbox: Vec::new(),
                wake_at: Nanos::MAX,
                pauses: 0,
                applying: VecDeque::new(),
                granted: Vec::new(),
                capturing: false,
                doomed: None,
            });
        }
        let voters: Vec<ServerId> = members[..plan.voters]
            .iter()
            .map(|voter| voter.id)
            .collect();
        let configuration = Configuration::of_voters(voters);
        let mut world = Self {
            now: 0,
            history: History::default(),
            counts: Counts::default(),
            chaos: Chaos::new(plan.clone()),
            answers: Answers::default(),
            trace: Digest::default(),
            agenda: Agenda::default(),
            network: Network::new(plan.network, Dice::new(plan.seed, 3), plan.members),
            dice,
            invariants: Invariants::default(),
            reads: Reads::default(),
            clear_answers: ClearAnswers::default(),
            asked_reads: AskedReads::default(),
            exactly_once: ExactlyOnce::default(),
            same_effects: SameEffects::default(),
            prefix_reads: PrefixReads::default(),
            clients: Clients::new(plan.clients.count, plan.clients.tries_max, plan.flaw),
            reading: BTreeMap::new(),
            client_dice: Dice::new(plan.seed, 5),
            output: Output::default(),
            asked: 0,
            chaotic: true,
            first_configuration: Configuration::default(),
            members,
            plan,
        };
        world.first_configuration = configuration;
        for voter in 0..world.plan.voters {
            world.bootstrap(voter);
        }
        world.agenda.enter(0, Event::NextAct);
        world.agenda.enter(0, Event::NextFault);
        Ok(world)
    }

    /// Lets everything happen that happens before `end`.
    ///
    /// # Errors
    /// The first alarm.
    pub fn run_until(&mut self, end: Nanos) -> Result<(), Alarm> {
        while let Some((at, event)) = self.agenda.next_before(end) {
            self.now = at;
            self.happen(event)?;
        }
        self.now = end;
        Ok(())
    }

    /// Faults stop: links are mended, members are up and awake, and nothing strikes any more.
    ///
    /// # Errors
    /// When a member does not start.
    pub fn calm(&mut self) -> Result<(), Alarm> {
        self.chaotic = false;
        self.clients.be_patient();
        // A leader can be kept only if its word arrives in time (§3.9).
        let election_timeout = self.plan.config.election_timeout().as_nanos();
        let latency_max = Nanos::try_from(election_timeout / 20).unwrap_or(Nanos::MAX);
        self.network.heal(latency_max);
        self.plan.machine.apply_max = self.plan.machine.apply_max.min(20 * MICRO);
        self.agenda
            .retain(|event| !matches!(event, Event::Action(_)));
        for at in 0..self.members.len() {
            self.members[at].doomed = None;
            self.members[at].disk.slowness = 1;
            let rate = 1_000_000;
            self.members[at].clock.set_rate(self.now, rate);
            self.members[at].pauses = 0;
            self.restart(at)?;
            self.wake(at);
        }
        Ok(())
    }

    fn happen(&mut self, event: Event) -> Result<(), Alarm> {
        match event {
            Event::Message { from, to, message } => {
                if self.network.passes(from, to) && self.members[to].is_up() {
                    let from = self.members[from].id;
                    self.tell(to, Input::Message { from, message });
                }
            }
            Event::Written { member, life } if life == self.members[member].life => {
                let finished = self.members[member].disk.finish();
                let id = finished.map_err(|text| self.alarm("disk contract", member, text))?;
                self.tell(member, Input::Persisted(id));
            }
            Event::Applied { member, life } if life == self.members[member].life => {
                self.apply(member)?;
            }
            Event::Captured {
                member,
                life,
                through,
                data,
            } if life == self.members[member].life => {
                self.members[member].capturing = false;
                self.tell(member, Input::SnapshotTaken { through, data });
            }
            Event::Written { .. } | Event::Applied { .. } | Event::Captured { .. } => {}
            Event::Turn(member) => self.turn(member)?,
            Event::TryAgain(sent, to) => self.try_again(sent, to),
            Event::Action(action) => self.perform(action)?,
            Event::NextFault => self.strike(),
            Event::NextAct => self.act(),
        }
        Ok(())
    }

    fn strike(&mut self) {
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

    fn act(&mut self) {
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
            Action::Read(at, key) => {
                if self.members[at].is_up() {
                    let id = ReadId(self.name());
                    self.reads.ask(id, self.history.last_index());
                    self.asked_reads.ask(id, &self.counts);
                    self.counts.operations += 1;
                    let question = question_of(key);
                    let operation = self.clients.call(self.now, key, question);
                    self.reading.insert(id, (operation, key));
                    self.tell(at, Input::Read(id));
                }
            }
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

    fn name(&mut self) -> u64 {
        self.asked += 1;
        self.asked
    }

    /// Clients do what they are told to.
    fn request(&mut self, at: usize, requests: Vec<Request>) {
        self.counts.operations += requests.len() as u64;
        let now = self.now;
        let letters = requests
            .into_iter()
            .filter_map(|request| self.clients.request(now, at, request))
            .collect();
        self.post(letters);
    }

    /// Proposes what clients send to one member, and lets them wait for the answers.
    fn post(&mut self, letters: Vec<Letter>) {
        let Some(at) = letters.first().map(|letter| letter.at) else {
            return;
        };
        let is_up = self.members[at].is_up();
        let mut proposals = Vec::with_capacity(letters.len());
        for Letter { sent, command, .. } in letters {
            let patience = self.plan.clients.patience;
            let wait = self.client_dice.between(patience / 2, patience);
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

    fn try_again(&mut self, sent: Sent, to: Option<usize>) {
        let count = self.members.len();
        let to = to.unwrap_or_else(|| self.client_dice.below(count));
        let letter = self.clients.try_again(sent, to, &mut self.counts);
        self.post(letter.into_iter().collect());
    }

    /// A proposal is answered. What was refused is soon sent to the leader, if it is known.
    fn on_proposed(&mut self, id: ProposalId, refused: Option<&ProposeRefused>) {
        let Some(sent) = self.clients.on_answer(id, refused.is_some()) else {
            return;
        };
        let leader = match refused {
            Some(ProposeRefused::NotLeader { leader }) => *leader,
            Some(ProposeRefused::Transferring { to }) => Some(*to),
            Some(_) | None => None,
        };
        let to = leader.and_then(|leader| self.place_of(leader));
        let wait = self.plan.clients.patience / 8;
        let wait = self.client_dice.between(wait / 8, wait);
        self.agenda
            .enter(self.now + wait, Event::TryAgain(sent, to));
    }

    fn place_of(&self, id: ServerId) -> Option<usize> {
        self.members.iter().position(|member| member.id == id)
    }

    /// Answers the reads that were granted and whose index the state machine has reached.
    fn answer_reads(&mut self, at: usize) -> Result<(), Alarm> {
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

    /// Puts something into a member's inbox.
    pub(crate) fn tell(&mut self, at: usize, input: Input) {
        if !self.members[at].is_up() {
            return;
        }
        self.members[at].inbox.push(input);
        let turn = self.dice.between(0, self.plan.turn_max);
        self.wake_at(at, self.now + turn);
    }

    fn bootstrap(&mut self, at: usize) {
        let configuration = self.first_configuration.clone();
        self.tell(at, Input::Bootstrap(configuration));
    }

    fn wake(&mut self, at: usize) {
        self.wake_at(at, self.now);
    }

    fn wake_at(&mut self, at: usize, when: Nanos) {
        let member = &mut self.members[at];
        if when < member.wake_at {
            member.wake_at = when;
            self.agenda.enter(when, Event::Turn(at));
        }
    }

    fn crash(&mut self, at: usize, survival: Survival) -> Result<(), Alarm> {
        let member = &mut self.members[at];
        if member.is_up() {
            sometimes::note_crash(member, &mut self.counts);
        }
        if member.raft.take().is_none() {
            return Ok(());
        }
        self.counts.crashes += 1;
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

    fn restart(&mut self, at: usize) -> Result<(), Alarm> {
        if self.members[at].is_up() {
            return Ok(());
        }
        let seed = self.dice.number();
        let member = &mut self.members[at];
        let recovered = member.disk.durable().recover();
        if recovered.snapshot.is_some() {
            self.counts.saw(Sometimes::RestartedFromSnapshot);
        }
        member.log = ShadowLog::of_recovered(&recovered);
        let now = member.clock.at(self.now);
        let raft = Raft::new(member.id, self.plan.config.clone(), recovered, now, seed);
        let raft = raft.map_err(|error| self.alarm("recovery", at, error.to_string()))?;
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

    /// Lets a member take its turn: it is told all that has gathered, and what comes out is done.
    fn turn(&mut self, at: usize) -> Result<(), Alarm> {
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
        if member.inbox.is_empty() {
            self.sleep(at);
            return Ok(());
        }
        let mut output = core::mem::take(&mut self.output);
        self.counts.inputs += member.inbox.len() as u64;
        self.counts.turns += 1;
        let before = member.view;
        if self.plan.tell {
            println!("{now} {} <- {:?}", member.id, member.inbox);
        }
        raft.inputs(local, member.inbox.drain(..), &mut output);
        if self.plan.tell {
            println!("{now} {} -> {:?} {output:?}", member.id, View::of(raft));
        }
        member.view = View::of(raft);
        self.trace(at, &output);
        let checked = self.check(at, before, &output);
        let done = checked.and_then(|()| self.carry_out(at, &mut output));
        output.clear();
        self.output = output;
        done?;
        self.sleep(at);
        Ok(())
    }

    /// Waits for the deadline.
    fn sleep(&mut self, at: usize) {
        let member = &self.members[at];
        if let Some(raft) = &member.raft
            && let Some(deadline) = raft.deadline()
        {
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

    fn check(&mut self, at: usize, before: View, output: &Output) -> Result<(), Alarm> {
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
            members: &self.members,
            member: at,
            before,
            change,
            configuration_before: (index, configuration),
            output,
            plan: &self.plan,
        };
        sometimes::note_turn(&turn, &self.network, &mut self.counts);
        invariants::commit(&turn, &mut self.history)
            .and_then(|()| self.invariants.check(&turn, &self.history))
            .map_err(|(invariant, text)| self.alarm(invariant, at, text))
    }

    /// Does what came out of a member's turn.
    fn carry_out(&mut self, at: usize, output: &mut Output) -> Result<(), Alarm> {
        let doom = self.members[at].doomed;
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
        for apply in output.apply.drain(..) {
            self.members[at].applying.push_back(apply);
            if self.members[at].applying.len() == 1 {
                self.begin_to_apply(at);
            }
        }
        for (id, result) in output.reads.drain(..) {
            self.asked_reads
                .answer(id, result.is_ok(), &mut self.counts);
            match result {
                Ok(index) => {
                    self.answers.reads_granted += 1;
                    self.counts.reads += 1;
                    self.reads
                        .grant(id, index)
                        .map_err(|text| self.alarm("linearizable reads", at, text))?;
                    self.members[at].granted.push((index, id));
                }
                Err(_) => {
                    self.reads.forget(id);
                    self.reading.remove(&id);
                }
            }
        }
        self.answer_reads(at)?;
        for (id, answer) in output.proposals.drain(..) {
            let answered = self.clear_answers.answer(id, &answer);
            answered.map_err(|text| self.alarm("clear answers", at, text))?;
            self.on_proposed(id, answer.as_ref().err());
        }
        for (_, result) in output.changes.drain(..) {
            if result.is_ok() {
                self.answers.changes += 1;
                self.counts.changes += 1;
            }
        }
        for event in output.events.drain(..) {
            if let CoreEvent::SnapshotStarted { .. } = event {
                self.counts.snapshots_sent += 1;
            }
        }
        if self.members[at].view.leads() {
            self.counts.led(self.members[at].view.term);
        }
        self.capture_if_due(at)
    }

    fn write(&mut self, at: usize, write: Write) {
        let plan = self.plan.disk;
        let (least, most) = plan.latency;
        let mut takes = self.dice.between(least, most);
        if self.chaotic && self.dice.falls(plan.stalls) {
            takes += self.dice.between(0, plan.stall_max);
        }
        let member = &mut self.members[at];
        let life = member.life;
        let done = member.disk.begin(self.now, write, takes);
        self.agenda.enter(done, Event::Written { member: at, life });
    }

    fn send(&mut self, from: usize, to: ServerId, message: Message) {
        let Some(to) = self.members.iter().position(|member| member.id == to) else {
            return;
        };
        self.counts.messages += 1;
        sometimes::note_message(&message.body, &self.network, &mut self.counts);
        let fate = self.network.fate(from, to);
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

    fn begin_to_apply(&mut self, at: usize) {
        let takes = self.dice.between(0, self.plan.machine.apply_max);
        let life = self.members[at].life;
        self.agenda
            .enter(self.now + takes, Event::Applied { member: at, life });
    }

    /// The oldest work of a state machine is done.
    fn apply(&mut self, at: usize) -> Result<(), Alarm> {
        let member = &mut self.members[at];
        let Some(work) = member.applying.pop_front() else {
            return Ok(());
        };
        let more = !member.applying.is_empty();
        let on = member.id;
        let manner = Manner {
            session_hurry: self.plan.clients.session_hurry,
            flaw: self.plan.flaw,
        };
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
                let effect = machine.apply(entry, digest::of_entry(entry), on, manner)?;
                if let Effect::Command { copy, .. } = effect {
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
                let (clients, counts) = (&mut self.clients, &mut self.counts);
                letters.extend(clients.on_applied(self.now, at, entry.index, effect, counts));
                Ok(())
            }),
            Apply::Restore(snapshot) => Machine::restore(&snapshot.data).and_then(|machine| {
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

    fn capture_if_due(&mut self, at: usize) -> Result<(), Alarm> {
        let member = &self.members[at];
        let threshold = self.plan.machine.snapshot_at_bytes;
        let due = member
            .raft
            .as_ref()
            .is_some_and(|raft| raft.log_bytes() > threshold);
        if due && member.machine.applied > member.view.positions.snapshot {
            return self.capture(at);
        }
        Ok(())
    }

    fn capture(&mut self, at: usize) -> Result<(), Alarm> {
        let member = &mut self.members[at];
        if member.capturing || !member.is_up() || member.machine.applied == Index::ZERO {
            return Ok(());
        }
        member.capturing = true;
        let through = member.machine.applied;
        let life = member.life;
        let padding_bytes = self.plan.machine.padding_bytes;
        let captured = member.machine.capture(padding_bytes, self.plan.flaw);
        let captured = captured.and_then(|data| {
            let head = Head::of(&data).ok_or("the capture is damaged")?;
            self.same_effects.captured(&head)?;
            Ok(data)
        });
        let data = captured.map_err(|text| self.alarm("same effects", at, text))?;
        let takes = self.dice.between(0, self.plan.machine.capture_max);
        let captured = Event::Captured {
            member: at,
            life,
            through,
            data,
        };
        self.agenda.enter(self.now + takes, captured);
        Ok(())
    }

    pub(crate) fn alarm(&self, invariant: &'static str, at: usize, text: String) -> Alarm {
        Alarm {
            invariant,
            at: self.now,
            member: Some(self.members[at].id),
            text,
        }
    }
}
