//! The world: a cluster, its network, its disks and its clients, one event after the other.

mod applying;
mod asking;
mod carry_out;
mod identities;
mod losses;
mod managing;
mod strikes;
mod traps;
mod turn;

use std::collections::BTreeMap;

use bytes::Bytes;
use liferaft_raft::config::Timing;
use liferaft_raft::configuration::Configuration;
use liferaft_raft::consensus::{ChangeId, EntriesRead, Input, Output, Raft, ReadId};
use liferaft_raft::entry::Entry;
use liferaft_raft::ids::{Index, ServerId};
use liferaft_raft::message::{Body, Message};
use liferaft_raft::time::ClusterTime;

use self::identities::Passage;
use crate::action::Action;
use crate::agenda::Agenda;
use crate::chance::Chance;
use crate::chaos::Chaos;
use crate::clients::{Clients, Sent};
use crate::clock::{MICRO, Nanos};
use crate::counts::Counts;
use crate::course::Course;
use crate::digest::Digest;
use crate::disk::Durable;
use crate::heard::Heard;
use crate::history::History;
use crate::invariants::clear_answers::ClearAnswers;
use crate::invariants::exactly_once::{ExactlyOnce, SameEffects};
use crate::invariants::leases::Leases;
use crate::invariants::past::Past;
use crate::invariants::prefix_reads::PrefixReads;
use crate::invariants::reads::Reads;
use crate::invariants::watches::Watches;
use crate::invariants::{Alarm, Invariants};
use crate::invitations::EVERYBODYS;
use crate::member::Member;
use crate::network::Network;
use crate::patience::SnapshotsUnderWay;
use crate::plan::Plan;
use crate::sometimes::AskedReads;
use crate::starts::Storages;
use crate::stewards::{Stewards, Word};
use crate::story::Story;
use crate::strangers::Overheard;
use crate::vouchers::Vouchers;

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
    pub(crate) snapshots_under_way: SnapshotsUnderWay,
    /// The digest of all that has happened.
    pub(crate) trace: Digest,
    /// What happened, for people, where it is to be told.
    pub(crate) story: Option<Story>,
    agenda: Agenda<Event>,
    network: Network,
    pub(crate) chance: Chance,
    pub(crate) course: Course,
    invariants: Invariants,
    pub(crate) stewards: Stewards,
    reads: Reads,
    clear_answers: ClearAnswers,
    asked_reads: AskedReads,
    exactly_once: ExactlyOnce,
    same_effects: SameEffects,
    prefix_reads: PrefixReads,
    watches: Watches,
    leases: Leases,
    past: Past,
    clients: Clients,
    /// The operations that reads are, with their keys.
    reading: BTreeMap<ReadId, (usize, u8)>,
    output: Output,
    heard: Heard,
    asked: u64,
    /// The run is given up when members have been told more than this.
    pub(crate) inputs_max: u64,
    chaotic: bool,
    first_configuration: Configuration,
    /// What servers that are gone had on their disks.
    lost: BTreeMap<ServerId, Durable>,
    /// The changes of membership that are not answered.
    changes_asked: BTreeMap<ChangeId, losses::Asked>,
    /// What operators have last set.
    pub(crate) timing: Timing,
    overheard: Overheard,
    vouchers: Vouchers,
    storages: Storages,
}

/// What clients and operators have been told.
#[derive(Debug, Default)]
pub struct Answers {
    /// How many changes of membership have succeeded.
    pub changes: u64,
    /// The reads that were granted, in the last phase only.
    pub reads_granted: u64,
}

/// The key that is read where a wrong answer is likely.
const TEMPTING_KEY: u8 = 0;

/// One end of a link. What was sent to a server, or by it, is not for the one that took its place.
type End = (usize, ServerId);

/// Something that is to happen.
#[derive(Debug)]
enum Event {
    Message {
        from: End,
        to: End,
        message: Message,
    },
    /// The oldest write under way is done.
    Written {
        member: usize,
        life: u32,
    },
    /// The oldest step of the lane of snapshots is done.
    Laned {
        member: usize,
        life: u32,
    },
    /// Entries of the log are read, or were, and are given to the member.
    Read {
        member: usize,
        life: u32,
        read: EntriesRead,
        entries: Option<Vec<Entry>>,
    },
    /// The oldest work of the state machine is done.
    Applied {
        member: usize,
        life: u32,
    },
    Captured {
        member: usize,
        life: u32,
        through: (Index, ClusterTime),
        data: Bytes,
    },
    Turn(usize),
    /// A client has waited long enough, and then turns to this member or to any.
    TryAgain(Sent, Option<usize>),
    Action(Action),
    NextFault,
    NextAct,
    /// A trap that was laid springs further: a member starts again that crashed in it.
    Return(usize),
    /// Links that a trap has cut are whole again.
    Mend(Vec<(usize, usize)>),
    /// Who was parted is asked to read.
    Tempt(usize),
    /// Those who are out ask the others to be taken in.
    Wishes,
    /// A link of a member that was jammed takes more again.
    Writable {
        member: usize,
        life: u32,
        to: ServerId,
    },
    /// A member says something about membership to another.
    Word {
        from: End,
        to: End,
        word: Word,
    },
}

impl World {
    /// The cluster that a plan describes, at its beginning.
    ///
    /// # Errors
    /// When a blank member does not start.
    pub fn new(plan: Plan) -> Result<Self, Alarm> {
        let chance = Chance::new(plan.seed);
        Self::begin(plan, chance, Course::default())
    }

    /// As [`World::new`], where chance and course decide what else happens.
    ///
    /// # Errors
    /// When a blank member does not start.
    pub fn begin(plan: Plan, mut chance: Chance, course: Course) -> Result<Self, Alarm> {
        let mut members = Vec::new();
        let mut invariants = Invariants::default();
        for at in 0..plan.members {
            let id = ServerId(at as u128 + 1);
            let by_lease = plan.config.read_lease().is_some();
            let clock = chance.clock(at, plan.skew_max, by_lease);
            let blank = Default::default();
            let seed = chance.core_seed(at);
            let raft = Raft::new(id, plan.config.clone(), blank, clock.at(0), seed);
            let raft = raft.map_err(|error| Alarm {
                invariant: "recovery",
                at: 0,
                member: Some(id),
                text: error.to_string(),
            })?;
            let mut member = Member::new(id, raft, clock, plan.config.timing());
            member.is_founder = at < plan.voters;
            let started = invariants.started(&member, at, 0);
            started.map_err(|(invariant, text)| Alarm {
                invariant,
                at: 0,
                member: Some(id),
                text,
            })?;
            members.push(member);
        }
        let voters: Vec<ServerId> = members[..plan.voters]
            .iter()
            .map(|voter| voter.id)
            .collect();
        let mut world = Self {
            now: 0,
            history: History::default(),
            counts: Counts::default(),
            chaos: Chaos::new(plan.clone()),
            answers: Answers::default(),
            snapshots_under_way: SnapshotsUnderWay::default(),
            trace: Digest::default(),
            agenda: Agenda::default(),
            network: Network::new(plan.network, plan.members),
            chance,
            course,
            story: None,
            invariants,
            stewards: Stewards::new(&plan),
            reads: Reads::default(),
            clear_answers: ClearAnswers::default(),
            asked_reads: AskedReads::default(),
            exactly_once: ExactlyOnce::default(),
            same_effects: SameEffects::default(),
            prefix_reads: PrefixReads::default(),
            watches: Watches::new(plan.members, plan.flaw),
            leases: Leases::default(),
            past: Past::new(plan.members),
            clients: Clients::new(plan.clients.count, plan.clients.tries_max, plan.flaw),
            reading: BTreeMap::new(),
            output: Output::default(),
            heard: Heard::default(),
            asked: 0,
            inputs_max: u64::MAX,
            chaotic: true,
            first_configuration: Configuration::of_voters(voters)
                .with_open(!plan.is_closed)
                .with_tokens(plan.is_closed.then_some(EVERYBODYS)),
            lost: BTreeMap::new(),
            changes_asked: BTreeMap::new(),
            timing: plan.config.timing(),
            overheard: Overheard::default(),
            vouchers: Vouchers::default(),
            storages: Storages::of(if plan.copies_disks { plan.members } else { 0 }),
            members,
            plan,
        };
        for at in 0..world.plan.members {
            world.storages.start(at);
        }
        for voter in 0..world.plan.voters {
            world.bootstrap(voter);
        }
        if world.stewards.plan().is_some() {
            world.agenda.enter(0, Event::Wishes);
        }
        if world.course.is_drawn() {
            world.agenda.enter(0, Event::NextAct);
            world.agenda.enter(0, Event::NextFault);
        }
        Ok(world)
    }

    /// Lets everything happen that happens before `end`.
    ///
    /// # Errors
    /// The first alarm.
    pub fn run_until(&mut self, end: Nanos) -> Result<(), Alarm> {
        while let Some((at, event)) = self.next_before(end) {
            self.now = at;
            self.happen(event)?;
        }
        self.now = end;
        Ok(())
    }

    fn next_before(&mut self, end: Nanos) -> Option<(Nanos, Event)> {
        let given = self.course.next(self.agenda.next_at(), end);
        given
            .map(|(at, action)| (at, Event::Action(action)))
            .or_else(|| self.agenda.next_before(end))
    }

    /// Faults stop: links are mended, members are up and awake, and nothing strikes any more.
    ///
    /// # Errors
    /// When a member does not start.
    pub fn calm(&mut self) -> Result<(), Alarm> {
        self.chaotic = false;
        self.course.calm();
        // Slow reads are a fault as well.
        self.plan.disk.read_max = 0;
        if let Some(story) = &mut self.story {
            story.calmed(self.now);
        }
        self.clients.be_patient();
        // A leader can be kept only if its word arrives in time (§3.9).
        let election_timeout = self.timing.election_timeout().as_nanos();
        let latency_max = Nanos::try_from(election_timeout / 20).unwrap_or(Nanos::MAX);
        self.network.heal(latency_max);
        self.plan.disk.read_max = 0;
        self.plan.machine.apply_max = self.plan.machine.apply_max.min(20 * MICRO);
        self.agenda
            .retain(|event| !matches!(event, Event::Action(_)));
        for at in 0..self.members.len() {
            self.members[at].doomed = None;
            self.members[at].parts_when_joint = None;
            self.members[at].crashes_in_install = false;
            self.members[at].disk.slowness = 1;
            self.members[at].disk.failure = None;
            self.retire(at)?;
            self.resume_disk(at)?;
            self.resume_machine(at)?;
            let rate = 1_000_000;
            self.members[at].clock.set_rate(self.now, rate);
            self.members[at].pauses = 0;
            self.restart(at)?;
            self.stewards.witness.struck(at, self.now);
            self.set_timing(at, self.timing);
            self.wake(at);
        }
        Ok(())
    }

    fn happen(&mut self, event: Event) -> Result<(), Alarm> {
        match &event {
            Event::Action(action) => {
                self.course.act(self.now, action);
                if !self.course.is_drawn()
                    && let Some(kind) = action.fault()
                {
                    self.counts.fault(kind);
                }
            }
            Event::NextFault | Event::NextAct => {}
            _ => self.course.pass(self.now),
        }
        match event {
            Event::Message { from, to, message } => self.arrive(from, to, message)?,
            Event::Written { member, life } if life == self.members[member].life => {
                self.written(member)?;
            }
            Event::Laned { member, life } if life == self.members[member].life => {
                self.step_lane(member)?;
            }
            Event::Read {
                member,
                life,
                read,
                entries,
            } if life == self.members[member].life => self.log_was_read(member, read, entries),
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
                let (through, stamp) = through;
                let shelf = &mut self.members[member].disk.shelf;
                let taken = shelf.taken(through, stamp, data);
                self.tell(member, taken);
            }
            Event::Written { .. }
            | Event::Laned { .. }
            | Event::Read { .. }
            | Event::Applied { .. }
            | Event::Captured { .. } => {}
            Event::Turn(member) => self.turn(member)?,
            Event::TryAgain(sent, to) => self.try_again(sent, to),
            Event::Action(action) => self.perform(action)?,
            Event::NextFault => self.strike(),
            Event::NextAct => self.act(),
            Event::Return(member) => self.restart(member)?,
            Event::Mend(links) => {
                for (from, to) in links {
                    self.network.mend(from, to);
                }
            }
            Event::Tempt(member) => self.read(member, TEMPTING_KEY),
            Event::Wishes => self.wish(),
            Event::Writable { member, life, to } => {
                if self.members[member].life == life {
                    self.tell(member, Input::Writable(to));
                }
            }
            Event::Word { from, to, word } => self.hear(from, to, word),
        }
        Ok(())
    }

    fn arrive(
        &mut self,
        (from, sender): End,
        (to, receiver): End,
        message: Message,
    ) -> Result<(), Alarm> {
        let reached = &self.members[to];
        let is_reached = reached.is_up() && reached.id == receiver && self.network.passes(from, to);
        let passage = if is_reached {
            self.passage(sender, to)
        } else {
            Passage::Known
        };
        let is_heard = is_reached && passage != Passage::Refused;
        if let Some(story) = &mut self.story {
            story.arrived(self.now, from, to, is_heard);
        }
        self.note_passage(passage, &message);
        if !is_heard {
            return Ok(());
        }
        self.meet(to, (from, sender))?;
        match &message.body {
            Body::InstallSnapshot(chunk) => self.snapshots_under_way.arrived(to, chunk),
            Body::InstallSnapshotReply(reply) => {
                self.snapshots_under_way
                    .acknowledged(from, reply.next_offset);
            }
            _ => {}
        }
        let from = sender;
        let local = self.members[to].clock.at(self.now);
        self.stewards.witness.delivered(to, from, &message, local);
        let input = if passage == Passage::Vouched {
            let message = Box::new(message);
            Input::VouchedMessage { from, message }
        } else {
            Input::Message { from, message }
        };
        self.tell(to, input);
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
