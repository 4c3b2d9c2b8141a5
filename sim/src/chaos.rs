//! Draws the actions of a run from its seed: faults, and what clients and operators do.

mod identities;

use liferaft_kv::Count;
use liferaft_raft::configuration::Configuration;
use liferaft_raft::consensus::{MembershipChange, MembershipStep};
use liferaft_raft::ids::ServerId;

use crate::action::{Action, Times};
use crate::clients::Request;
use crate::clock::{MILLI, Nanos};
use crate::dice::{Dice, PerMillion};
use crate::disk::Survival;
use crate::invitations::{description, token};
use crate::member::{Doom, Member};
use crate::operation::{Change, counter, is_batched, is_sequence};
use crate::plan::{ActKind, FaultKind, Plan, draw_election_timeout, draw_heartbeat};

/// Actions, each with the time until it happens.
pub type Timed = Vec<(Nanos, Action)>;

/// The most values that are added to one sequence.
const SEQUENCE_VALUES_MAX: u16 = 60;

/// How often a leader that may have a lease is asked to read, in an election timeout.
const LEASE_READS: Nanos = 8;

/// What the clock of a leader that is to lead on shows for a million nanoseconds, and those of all others.
const SLOW: u64 = 800_000;
const FAST: u64 = 1_250_000;

/// How many entries a leader has that is left alone.
const STALE_ENTRIES: u32 = 40;

/// The most learners that are added at once.
const CROWD_MAX: u64 = 60;

/// The ids of learners that are nowhere to be found begin here. No member's id ends like one of them.
const FIRST_OF_CROWD: u128 = 20;

/// How often operators try to replace a server that is gone.
const REPLACEMENT_ATTEMPTS: u32 = 4;

/// Where actions come from.
#[derive(Debug)]
pub struct Chaos {
    plan: Plan,
    dice: Dice,
    /// Decide which of the changes of its kind a request makes.
    kinds: Dice,
    /// Decide on what changes of membership do beside.
    further: Dice,
    next_value: u64,
    /// How many values were added to each sequence.
    appended: [u16; 256],
}

impl Chaos {
    /// The chaos of a plan.
    #[must_use]
    pub fn new(plan: Plan) -> Self {
        let dice = Dice::new(plan.seed, 2);
        let kinds = Dice::new(plan.seed, 16);
        let further = Dice::new(plan.seed, 20);
        Self {
            plan,
            dice,
            kinds,
            further,
            next_value: 1,
            appended: [0; 256],
        }
    }

    /// The time until the next fault; `None` if this run has none.
    pub fn until_fault(&mut self) -> Option<Nanos> {
        let faults = &self.plan.faults;
        let some = faults.weights.iter().any(|weight| *weight > 0);
        // Never twice as long: the shortest of runs has its faults.
        let mean = faults.every;
        some.then(|| self.dice.between(mean / 2, mean / 2 * 3))
    }

    /// The time until the next act of a client or operator.
    pub fn until_act(&mut self) -> Nanos {
        self.dice.around(self.plan.workload.every)
    }

    /// A fault and how it ends.
    pub fn fault(&mut self, members: &[Member]) -> (FaultKind, Timed) {
        let weights = self.plan.faults.weights;
        let kinds: Vec<_> = weights.into_iter().zip(FaultKind::ALL).collect();
        let kind = self.dice.weighted(&kinds);
        let victim = self.victim(members, self.plan.faults.at_leader);
        let lasts = self.dice.around(self.plan.faults.lasts).max(MILLI);
        let brief = self.dice.around(self.plan.faults.lasts / 8).max(MILLI);
        let all = 0..self.plan.members;
        let actions = match kind {
            FaultKind::Crash => vec![
                (0, Action::Crash(victim, self.survival())),
                (
                    if self.dice.falls(PerMillion::percent(50)) {
                        lasts
                    } else {
                        brief
                    },
                    Action::Restart(victim),
                ),
            ],
            FaultKind::CrashInTurn => {
                let doom = Doom {
                    survival: self.survival(),
                    speaks: self.dice.falls(PerMillion::percent(50)),
                };
                vec![
                    (0, Action::CrashInTurn(victim, doom)),
                    (brief, Action::Restart(victim)),
                ]
            }
            FaultKind::Blackout => {
                let mut actions = Vec::new();
                for member in all {
                    actions.push((0, Action::Crash(member, self.survival())));
                    actions.push((self.dice.around(lasts), Action::Restart(member)));
                }
                actions
            }
            FaultKind::Pause => {
                let lasts = self.dice.around(self.plan.faults.pause_lasts).max(MILLI);
                vec![(0, Action::Pause(victim)), (lasts, Action::Resume(victim))]
            }
            FaultKind::Partition => {
                let mut sides: Vec<bool> = all
                    .map(|_| self.dice.falls(PerMillion::percent(50)))
                    .collect();
                if sides.iter().all(|side| *side == sides[victim]) {
                    sides[victim] = !sides[victim];
                }
                self.cuts(lasts, |a, b| sides[a] != sides[b])
            }
            FaultKind::Isolate => self.cuts(lasts, |a, b| a == victim || b == victim),
            FaultKind::CutOneWay => {
                let other = self.other_than(victim);
                self.cuts(lasts, |a, b| a == victim && b == other)
            }
            FaultKind::CutBothWays => {
                let other = self.other_than(victim);
                self.cuts(lasts, |a, b| {
                    (a, b) == (victim, other) || (b, a) == (victim, other)
                })
            }
            FaultKind::DropInFlight => vec![(0, Action::DropInFlight)],
            FaultKind::SlowDisk => {
                let slowness = self.dice.between(2, 200);
                vec![
                    (0, Action::SlowDisk(victim, slowness)),
                    (lasts, Action::SlowDisk(victim, 1)),
                ]
            }
            FaultKind::ClockForward => vec![(0, Action::ClockForward(victim, lasts))],
            FaultKind::ClockBack if self.plan.config.read_lease().is_some() => {
                self.clock_back_on_lease(members, victim, lasts)
            }
            FaultKind::ClockBack => vec![(0, Action::ClockBack(victim, brief))],
            FaultKind::DeposeUnheard => {
                let leader = members.iter().position(Member::leads).unwrap_or(victim);
                let soon = self.dice.around(2 * self.plan.network.latency.1);
                let mut actions = vec![(0, Action::Transfer(leader, None))];
                for (wait, action) in self.cuts(lasts, |_, to| to == leader) {
                    actions.push((wait + soon, action));
                }
                actions
            }
            FaultKind::ClockRate => {
                let rate = self.dice.between(800_000, 1_250_000);
                vec![(0, Action::ClockRate(victim, rate))]
            }
            FaultKind::TornWrites => vec![
                (0, Action::Crash(victim, self.torn())),
                (brief, Action::Restart(victim)),
            ],
            FaultKind::FailedSync => vec![
                (0, Action::FailSync(victim, self.survival())),
                (brief, Action::Restart(victim)),
                (lasts, Action::Restart(victim)),
                (2 * lasts, Action::Restart(victim)),
            ],
            FaultKind::FullDisk => vec![
                (0, Action::FillDisk(victim, self.survival())),
                // It stops again at its first write.
                (lasts / 2, Action::Restart(victim)),
                (lasts, Action::FreeDisk(victim)),
                (lasts, Action::Restart(victim)),
            ],
            FaultKind::WipedDisk => {
                let mut actions = vec![(0, Action::Wipe(victim)), (brief, Action::Restart(victim))];
                actions.extend(self.replacements(brief));
                actions
            }
            FaultKind::RottenDisk => {
                let drawn = self.dice.number();
                let mut actions = vec![
                    (0, Action::Rot(victim, drawn)),
                    (brief, Action::Restart(victim)),
                ];
                actions.extend(self.replacements(brief));
                actions
            }
            FaultKind::RestartLoyal => self.restart_loyal(members, victim, lasts),
            FaultKind::PartWhenJoint => self.part_when_joint(members, victim, lasts),
            FaultKind::CrashInInstall => self.crash_in_install(members, victim, lasts),
            FaultKind::HungDisk => vec![
                (0, Action::HangDisk(victim)),
                (self.election_timeout() + lasts, Action::ResumeDisk(victim)),
            ],
            FaultKind::StalledMachine => vec![
                (0, Action::StallMachine(victim)),
                (
                    self.election_timeout() + lasts,
                    Action::ResumeMachine(victim),
                ),
            ],
            FaultKind::Stranger => self.stranger(victim),
            FaultKind::BlankDisk => self.blank_disk(members, victim, (brief, lasts)),
            FaultKind::Impostor => self.impostor(victim),
            FaultKind::Clone => self.clone_of(victim, brief, lasts),
            FaultKind::Replaced => self.replaced(members, victim, lasts),
        };
        (kind, actions)
    }

    fn election_timeout(&self) -> Nanos {
        let election_timeout = self.plan.config.election_timeout().as_nanos();
        Nanos::try_from(election_timeout).unwrap_or(Nanos::MAX)
    }

    /// A leader loses one follower, which waits in vain for as long as it may. When it asks for votes, nobody hears the
    /// leader any more, and all others start again, some of them just after they were given shorter times. The leader
    /// is asked to read meanwhile.
    fn restart_loyal(&mut self, members: &[Member], victim: usize, lasts: Nanos) -> Timed {
        let leader = members.iter().position(Member::leads).unwrap_or(victim);
        let lonely = self.other_than(leader);
        let election_timeout = self.election_timeout();
        let waits = election_timeout + self.dice.between(0, election_timeout);
        let apart = |a, b| (a, b) == (leader, lonely) || (b, a) == (leader, lonely);
        let mut actions = self.cuts(waits + lasts, apart);
        for (wait, action) in self.cuts(lasts, |a, b| a == leader || b == leader) {
            actions.push((waits + wait, action));
        }
        let down = self.dice.between(1, 10) * MILLI / 10;
        let is_hasty = self.dice.falls(PerMillion::percent(50));
        let warned = self.dice.between(0, 20) * MILLI;
        let short = (election_timeout / 8).max(30 * MILLI);
        let [short, known] = [short, election_timeout].map(|election_timeout| Times {
            election_timeout,
            heartbeat_interval: draw_heartbeat(&mut self.dice, election_timeout),
        });
        for other in 0..self.plan.members {
            if other != leader && other != lonely {
                if is_hasty {
                    let before = waits.saturating_sub(warned);
                    actions.push((before, Action::SetTiming(other, short)));
                    actions.push((waits + lasts, Action::SetTiming(other, known)));
                }
                actions.push((waits, Action::Crash(other, self.survival())));
                actions.push((waits + down, Action::Restart(other)));
            }
        }
        for turn in 1..=LEASE_READS {
            let wait = waits + election_timeout * turn / LEASE_READS;
            actions.push((wait, Action::Read(leader, self.key())));
        }
        actions
    }

    /// A leader's clock goes back by more than its lease lasts, and nobody hears it any more. It is asked to read for
    /// as long as it may think that it leads.
    fn clock_back_on_lease(&mut self, members: &[Member], victim: usize, lasts: Nanos) -> Timed {
        let leader = members.iter().position(Member::leads).unwrap_or(victim);
        let by = self.election_timeout() + lasts;
        let mut actions = vec![(0, Action::ClockBack(leader, by))];
        let soon = self.dice.between(0, self.plan.network.latency.1);
        for (wait, action) in self.cuts(by + lasts, |a, b| a == leader || b == leader) {
            actions.push((wait + soon, action));
        }
        for turn in 1..=2 * LEASE_READS {
            let wait = (by + self.election_timeout()) * turn / (2 * LEASE_READS);
            actions.push((wait, Action::Read(leader, self.key())));
        }
        actions
    }

    /// Operators put others in the places of all voters but the leader. As soon as that is begun, the leader is parted
    /// from those, and its clock is slow.
    fn part_when_joint(&mut self, members: &[Member], victim: usize, lasts: Nanos) -> Timed {
        let leader = members.iter().position(Member::leads).unwrap_or(victim);
        let configuration = members[leader].log.configuration().1;
        let voters = configuration.map_or(&[][..], Configuration::voters);
        let id = members[leader].id;
        let ids = members.iter().filter(|member| member.is_up());
        let mut outsiders: Vec<_> = ids.map(|member| member.id).collect();
        outsiders.retain(|other| *other != id && !voters.contains(other));
        let others: Vec<_> = voters
            .iter()
            .copied()
            .filter(|voter| *voter != id)
            .collect();
        // Where all vote already, some leave to make the next of these changes possible.
        let leaving = if outsiders.is_empty() {
            &others[..others.len().min(1)]
        } else {
            &others[..]
        };
        let joining = outsiders.iter().take(self.dice.below(2) + 1);
        let change = leaving
            .iter()
            .fold(MembershipChange::default(), |change, id| {
                change.and(MembershipChange::remove(*id))
            });
        let change = joining.fold(change, |change, id| {
            change.and(MembershipChange::add_voter(*id))
        });
        let mut actions = vec![
            (
                0,
                Action::PartWhenJoint(leader, lasts.max(2 * self.election_timeout())),
            ),
            (0, Action::Change(leader, change)),
        ];
        for member in 0..members.len() {
            let rate = if member == leader { SLOW } else { FAST };
            actions.push((0, Action::ClockRate(member, rate)));
        }
        // If they were removed after all, they come back.
        let back = leaving
            .iter()
            .fold(MembershipChange::default(), |change, id| {
                change.and(MembershipChange::add_voter(*id))
            });
        for member in 0..members.len() {
            let wait = 2 * lasts + self.dice.around(lasts);
            actions.push((wait, Action::Change(member, back.clone())));
        }
        actions
    }

    /// A leader is left alone with entries that nobody else has. The others go on without it and take snapshots; one of
    /// those takes the place of its log, and reaches no further than that.
    fn crash_in_install(&mut self, members: &[Member], victim: usize, lasts: Nanos) -> Timed {
        let leader = members.iter().position(Member::leads).unwrap_or(victim);
        let lasts = lasts + 3 * self.election_timeout();
        let mut actions = vec![(0, Action::CrashInInstall(leader))];
        actions.extend(self.cuts(lasts, |a, b| a == leader || b == leader));
        actions.push((0, Action::MarkTime(leader, STALE_ENTRIES)));
        for other in (0..self.plan.members).filter(|other| *other != leader) {
            for quarters in 2..=4 {
                actions.push((lasts / 4 * quarters, Action::Capture(other)));
            }
        }
        actions
    }

    /// A disk is wiped, and its server goes on under its id for a while. Half of the time it is not alone: the leader
    /// crashes just then, and another server comes back that had lost it before: that one needs one vote.
    fn blank_disk(
        &mut self,
        members: &[Member],
        victim: usize,
        (brief, lasts): (Nanos, Nanos),
    ) -> Timed {
        let mut actions = Vec::new();
        let (mut blank, mut at) = (victim, 0);
        if members.len() > 2 && self.dice.falls(PerMillion::percent(50)) {
            let leader = members.iter().position(Member::leads).unwrap_or(victim);
            blank = self.other_than(leader);
            let others: Vec<usize> = (0..members.len())
                .filter(|other| *other != leader && *other != blank)
                .collect();
            let behind = self.dice.pick(&others).unwrap_or(leader);
            at = self.election_timeout() / 2 + brief;
            actions = self.cuts(at, |a, b| a == behind || b == behind);
            actions.push((at, Action::Blank(blank)));
            actions.push((at, Action::Crash(leader, self.survival())));
            let absent = lasts + 4 * self.election_timeout();
            actions.push((at + absent, Action::Restart(leader)));
        } else {
            actions.push((0, Action::Blank(blank)));
        }
        let until = at + brief + lasts + 2 * self.election_timeout();
        actions.push((at + self.dice.between(0, brief), Action::Restart(blank)));
        actions.push((until, Action::Retire(blank)));
        actions.push((until, Action::Restart(blank)));
        actions.extend(self.replacements(until));
        actions
    }

    /// Operators try a few times to put another server in the place of one that is gone.
    fn replacements(&mut self, after: Nanos) -> Timed {
        let attempts = (0..REPLACEMENT_ATTEMPTS).map(|_| {
            let wait = self.dice.around(self.plan.faults.lasts + 500 * MILLI);
            (after + wait, Action::ReplaceLost)
        });
        attempts.collect()
    }

    fn other_than(&mut self, member: usize) -> usize {
        let members = self.plan.members;
        (member + 1 + self.dice.below(members - 1)) % members
    }

    /// An act of a client or an operator.
    pub fn act(&mut self, members: &[Member]) -> Timed {
        let weights = self.plan.workload.weights;
        let kinds: Vec<_> = weights.into_iter().zip(ActKind::ALL).collect();
        let kind = self.dice.weighted(&kinds);
        let mut at = self.victim(members, self.plan.workload.at_leader);
        if kind == ActKind::Read
            && let Some(deposed) = deposed(members)
            && self.dice.falls(PerMillion::percent(70))
        {
            at = deposed;
        }
        let action = match kind {
            ActKind::Propose => {
                let count = self.dice.between(1, self.plan.workload.batch_max);
                let mut requests: Vec<_> = (0..count).map(|_| self.request()).collect();
                if self.dice.falls(self.plan.workload.too_long)
                    && let Some(request) = requests.first_mut()
                {
                    request.bytes = self.plan.workload.command_bytes_max + 1;
                }
                Action::Propose(at, requests)
            }
            ActKind::Read => Action::Read(at, self.key()),
            ActKind::Change => Action::Change(at, self.change(members)),
            ActKind::Transfer => {
                let to = self.dice.falls(PerMillion::percent(70));
                let to = to.then(|| self.dice.below(self.plan.members));
                Action::Transfer(at, to)
            }
            ActKind::Capture => Action::Capture(at),
            ActKind::SetTiming => return self.timing(),
            ActKind::Crowd => Action::Change(at, self.crowd(members, at)),
        };
        vec![(0, action)]
    }

    /// A client's request, which writes what no other does.
    pub fn request(&mut self) -> Request {
        let value = self.next_value;
        self.next_value += 1;
        let mut key = self.key();
        // State must not grow without end: a snapshot of it has to pass through the smallest chunks.
        if is_sequence(key) && self.appended[usize::from(key)] >= SEQUENCE_VALUES_MAX {
            key -= 1;
        }
        let change = if is_sequence(key) {
            self.appended[usize::from(key)] += 1;
            Change::Append(value)
        } else {
            self.dice.weighted(&[
                (6, Change::Set(value)),
                (3, Change::CompareAndSet(0, value)),
                (1, Change::Delete),
            ])
        };
        let change = self.kind_of(key, change, value);
        let most = self.plan.workload.command_bytes_max as u64;
        let bytes = self.dice.between(1, most);
        Request {
            client: self.dice.below(self.plan.clients.count),
            key,
            change,
            bytes: usize::try_from(bytes).expect("a short command"),
        }
    }

    /// The change, or another that a key of this kind can have.
    fn kind_of(&mut self, key: u8, change: Change, value: u64) -> Change {
        if !is_sequence(key) {
            return self.kinds.weighted(&[
                (12, change),
                (2, Change::CompareAndDelete(0)),
                (2, Change::DeleteKeys(0)),
                (2, Change::Undone(value)),
            ]);
        }
        // What an append by batch leaves beside the sequence its reader does not see, and could not tell what went.
        let deletes_keys = u32::from(!is_batched(key));
        // The incarnation says nothing but whether the counter is to be a stale one.
        let len = self.kinds.between(1, u64::from(SEQUENCE_VALUES_MAX));
        self.kinds.weighted(&[
            (6, change),
            (5, Change::SeqAppend(Count::ZERO, value)),
            (1, Change::Delete),
            (deletes_keys, Change::DeleteKeys(0)),
            (2, Change::TrimBefore(counter(value, len))),
            (1, Change::Undone(value)),
        ])
    }

    fn key(&mut self) -> u8 {
        let drawn = self.dice.below(usize::from(self.plan.workload.keys));
        u8::try_from(drawn).expect("at most 256 keys")
    }

    /// A member that is up, if there is one: the leader as often as asked for.
    fn victim(&mut self, members: &[Member], at_leader: PerMillion) -> usize {
        let leader = members.iter().position(Member::leads);
        if let Some(leader) = leader
            && self.dice.falls(at_leader)
        {
            return leader;
        }
        let up: Vec<usize> = (0..members.len())
            .filter(|at| members[*at].is_up())
            .collect();
        self.dice.pick(&up).unwrap_or(0)
    }

    /// Operators set other times, on one member after the other.
    fn timing(&mut self) -> Timed {
        let election_timeout = draw_election_timeout(&mut self.dice);
        let times = Times {
            election_timeout,
            heartbeat_interval: draw_heartbeat(&mut self.dice, election_timeout),
        };
        let between = self.dice.between(0, 20) * MILLI;
        let at = (0..).step_by(usize::try_from(between.max(1)).unwrap_or(1));
        at.zip(0..self.plan.members)
            .map(|(wait, member)| (wait, Action::SetTiming(member, times)))
            .collect()
    }

    /// What survives of a crash: where writes are torn, they are torn by any crash.
    fn survival(&mut self) -> Survival {
        let of_torn = FaultKind::TornWrites.place();
        let tears = self.plan.faults.weights[of_torn] > 0;
        if self.dice.falls(PerMillion::percent(50)) {
            Survival::Nothing
        } else if tears && self.dice.falls(PerMillion::percent(50)) {
            self.torn()
        } else {
            Survival::Prefix(self.dice.between(0, 1000))
        }
    }

    fn torn(&mut self) -> Survival {
        if self.dice.falls(PerMillion::percent(30)) {
            Survival::Torn(self.dice.between(0, 999))
        } else {
            Survival::Scattered(self.dice.number())
        }
    }

    fn cuts(&mut self, lasts: Nanos, of: impl Fn(usize, usize) -> bool) -> Timed {
        let mut actions = Vec::new();
        for a in 0..self.plan.members {
            for b in 0..self.plan.members {
                if a != b && of(a, b) {
                    actions.push((0, Action::Cut(a, b)));
                    actions.push((lasts, Action::Mend(a, b)));
                }
            }
        }
        actions
    }

    /// Many learners come of whom nobody is there, or those that came go.
    fn crowd(&mut self, members: &[Member], at: usize) -> MembershipChange {
        let configuration = members[at].log.configuration().1;
        let known = configuration.into_iter().flat_map(Configuration::members);
        let is_of_crowd = |id: &ServerId| (FIRST_OF_CROWD..100).contains(&id.0);
        let there: Vec<_> = known.map(|(id, _)| id).filter(is_of_crowd).collect();
        if !there.is_empty() {
            return there
                .iter()
                .fold(MembershipChange::default(), |change, id| {
                    change.and(MembershipChange::remove(*id))
                });
        }
        let count = u128::from(self.dice.between(1, CROWD_MAX));
        let coming = FIRST_OF_CROWD..FIRST_OF_CROWD + count;
        coming.fold(MembershipChange::default(), |change, id| {
            change.and(MembershipChange::add_learner(ServerId(id)))
        })
    }

    /// A change of one to three steps, which may or may not make sense. Some have a step more, which leaves all servers
    /// as they are.
    fn change(&mut self, members: &[Member]) -> MembershipChange {
        let steps = self.dice.weighted(&[(6, 1), (3, 2), (1, 3)]);
        let further = self.further_step(members);
        let alone = further.is_some() && self.further.falls(PerMillion::percent(50));
        let change = (0..steps).fold(MembershipChange::default(), |change, _| {
            let id = members[self.dice.below(members.len())].id;
            change.and(match self.dice.weighted(&[(4, 0), (2, 1), (4, 2)]) {
                0 => MembershipChange::add_voter(id),
                1 => MembershipChange::add_learner(id),
                _ => MembershipChange::remove(id),
            })
        });
        match further {
            Some(further) if alone => further.into(),
            Some(further) => change.and(further.into()),
            None => change,
        }
    }

    /// A step that is about a description, a token or the version, in some of the changes.
    fn further_step(&mut self, members: &[Member]) -> Option<MembershipStep> {
        let dice = &mut self.further;
        if !dice.falls(PerMillion::percent(30)) {
            return None;
        }
        let id = members[dice.below(members.len())].id;
        let number = u8::try_from(dice.between(0, 7)).unwrap_or_default();
        Some(match dice.weighted(&[(6, 0), (2, 1), (1, 2), (2, 3)]) {
            0 => MembershipStep::Describe(id, description(number)),
            1 => MembershipStep::Issue(token(number)),
            2 => MembershipStep::Revoke(token(number).key),
            _ => MembershipStep::RaiseVersion(2 + u32::from(number) % 2),
        })
    }
}

/// A member that leads and does not know that another leads a later term: a read there is a temptation.
fn deposed(members: &[Member]) -> Option<usize> {
    let latest = members.iter().filter(|member| member.leads());
    let latest = latest.map(|member| member.view.term).max()?;
    members
        .iter()
        .position(|member| member.leads() && member.view.term < latest)
}
