//! Draws the actions of a run from its seed: faults, and what clients and operators do.

use liferaft_raft::consensus::MembershipChange;

use crate::action::{Action, Times};
use crate::clients::Request;
use crate::clock::{MILLI, Nanos};
use crate::dice::{Dice, PerMillion};
use crate::disk::Survival;
use crate::member::{Doom, Member};
use crate::operation::{Change, is_sequence};
use crate::plan::{ActKind, FaultKind, Plan, draw_election_timeout, draw_heartbeat};

/// Actions, each with the time until it happens.
pub type Timed = Vec<(Nanos, Action)>;

/// The most values that are added to one sequence.
const SEQUENCE_VALUES_MAX: u16 = 60;

/// How often operators try to replace a server that is gone.
const REPLACEMENT_ATTEMPTS: u32 = 4;

/// Where actions come from.
#[derive(Debug)]
pub struct Chaos {
    plan: Plan,
    dice: Dice,
    next_value: u64,
    /// How many values were added to each sequence.
    appended: [u16; 256],
}

impl Chaos {
    /// The chaos of a plan.
    #[must_use]
    pub fn new(plan: Plan) -> Self {
        let dice = Dice::new(plan.seed, 2);
        Self {
            plan,
            dice,
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
        };
        (kind, actions)
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
                Action::Propose(at, (0..count).map(|_| self.request()).collect())
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
        let most = self.plan.workload.command_bytes_max as u64;
        let bytes = self.dice.between(1, most);
        Request {
            client: self.dice.below(self.plan.clients.count),
            key,
            change,
            bytes: usize::try_from(bytes).expect("a short command"),
        }
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

    /// A change of one to three steps, which may or may not make sense.
    fn change(&mut self, members: &[Member]) -> MembershipChange {
        let steps = self.dice.weighted(&[(6, 1), (3, 2), (1, 3)]);
        (0..steps).fold(MembershipChange::default(), |change, _| {
            let id = members[self.dice.below(members.len())].id;
            change.and(match self.dice.weighted(&[(4, 0), (2, 1), (4, 2)]) {
                0 => MembershipChange::add_voter(id),
                1 => MembershipChange::add_learner(id),
                _ => MembershipChange::remove(id),
            })
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
