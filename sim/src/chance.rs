//! What is decided while a run goes on, besides what strikes: each kind of decision has a name here, and is made
//! nowhere else.
//!
//! The dice decide, or a schedule. What the dice decide can be kept, so that a schedule comes of it.

use std::collections::BTreeMap;

use crate::chaos::Chaos;
use crate::choices::{Choice, Choices, Series};
use crate::clients::Request;
use crate::clock::{LocalClock, Nanos};
use crate::dice::Dice;
use crate::network::Fate;
use crate::operation::{Change, is_sequence};
use crate::plan::{ClientPlan, DiskPlan, MachinePlan, NetworkPlan};

/// Dice for the members, the network and the clients, so that one more throw for one changes nothing for the others.
#[derive(Debug)]
pub struct Chance {
    members: Dice,
    network: Dice,
    clients: Dice,
    source: Source,
}

/// Who decides.
#[derive(Debug)]
enum Source {
    /// The dice.
    Dice,
    /// The dice, and what they decide is kept where it is not what is usual.
    Kept(Counted),
    /// A schedule, and where it says nothing what is usual.
    Scripted(Counted),
}

/// Choices, and how many of each series have been made.
#[derive(Debug, Default)]
struct Counted {
    choices: Choices,
    made: BTreeMap<Series, u32>,
    fresh: u32,
}

/// Values from here on are written by requests that a schedule does not name: no request that was drawn writes them.
const USUAL_VALUES: u64 = 1 << 40;

impl Chance {
    /// The chance of a seed.
    #[must_use]
    pub fn new(seed: u64) -> Self {
        Self {
            members: Dice::new(seed, 1),
            network: Dice::new(seed, 3),
            clients: Dice::new(seed, 5),
            source: Source::Dice,
        }
    }

    /// The chance of a seed, kept.
    #[must_use]
    pub fn kept(seed: u64) -> Self {
        Self {
            source: Source::Kept(Counted::default()),
            ..Self::new(seed)
        }
    }

    /// What a schedule decided.
    #[must_use]
    pub fn scripted(choices: Choices) -> Self {
        let counted = Counted {
            choices,
            ..Counted::default()
        };
        Self {
            source: Source::Scripted(counted),
            ..Self::new(0)
        }
    }

    /// The choices that were kept.
    #[must_use]
    pub fn into_kept(self) -> Choices {
        match self.source {
            Source::Kept(counted) => counted.choices,
            Source::Dice | Source::Scripted(_) => Choices::default(),
        }
    }

    /// A member's clock: what it shows at the beginning, and how wrong it goes; as wrong as it may where reads by lease
    /// rest on its going no more wrong.
    pub fn clock(&mut self, at: usize, skew_max: u64, is_relied_upon: bool) -> LocalClock {
        let dice = &mut self.members;
        let rate = self.source.number(Series::ClockRate(at), 1_000_000, || {
            let gained = dice.between(0, 2 * skew_max);
            let gained = match (is_relied_upon, gained < skew_max) {
                (false, _) => gained,
                (true, true) => 0,
                (true, false) => 2 * skew_max,
            };
            1_000_000 - skew_max + gained
        });
        let shows = Series::ClockOrigin(at);
        let shows = self.source.number(shows, 0, || dice.between(0, 1 << 40));
        LocalClock::new(shows, rate)
    }

    /// The seed that a member's core starts with.
    pub fn core_seed(&mut self, at: usize) -> u64 {
        let dice = &mut self.members;
        let usual = at as u64 + 1;
        self.source
            .number(Series::CoreSeed(at), usual, || dice.number())
    }

    /// How long what arrives waits for a member's turn.
    pub fn turn_wait(&mut self, at: usize, turn_max: Nanos) -> Nanos {
        let dice = &mut self.members;
        self.source
            .number(Series::TurnWait(at), 0, || dice.between(0, turn_max))
    }

    /// How long a write takes. Disks stall only while faults strike.
    pub fn write_takes(&mut self, at: usize, plan: &DiskPlan, may_stall: bool) -> Nanos {
        let dice = &mut self.members;
        let (least, most) = plan.latency;
        self.source.number(Series::Write(at), least, || {
            let takes = dice.between(least, most);
            if may_stall && dice.falls(plan.stalls) {
                return takes + dice.between(0, plan.stall_max);
            }
            takes
        })
    }

    /// How long a disk takes for a step with the state of a snapshot, beside the writes.
    pub fn lane_takes(&mut self, at: usize, plan: &DiskPlan) -> Nanos {
        let dice = &mut self.members;
        let (least, most) = plan.latency;
        self.source
            .number(Series::Lane(at), least, || dice.between(least, most))
    }

    /// How long a disk takes until it has read entries of the log, or until the member has them.
    pub fn read_takes(&mut self, at: usize, plan: &DiskPlan) -> Nanos {
        let dice = &mut self.members;
        let (least, most) = plan.latency;
        self.source.number(Series::Read(at), least, || {
            let more = if at.is_multiple_of(3) {
                plan.read_max
            } else {
                0
            };
            dice.between(least, most + more)
        })
    }

    /// How long a state machine works on what it is given at once.
    pub fn apply_takes(&mut self, at: usize, plan: &MachinePlan) -> Nanos {
        let dice = &mut self.members;
        self.source
            .number(Series::Apply(at), 0, || dice.between(0, plan.apply_max))
    }

    /// How long a state machine takes to be captured.
    pub fn capture_takes(&mut self, at: usize, plan: &MachinePlan) -> Nanos {
        let dice = &mut self.members;
        self.source
            .number(Series::Capture(at), 0, || dice.between(0, plan.capture_max))
    }

    /// What becomes of a message on a link that is not cut.
    pub fn fate(&mut self, from: usize, to: usize, plan: &NetworkPlan) -> Fate {
        let dice = &mut self.network;
        let usual = Choice::Number(plan.latency.0);
        let chosen = self.source.choose(Series::Link(from, to), usual, || {
            draw_fate(dice, plan).into()
        });
        chosen.into()
    }

    /// A message on a link that is cut has its place among the others, and no choice.
    pub fn pass_over(&mut self, from: usize, to: usize) {
        match &mut self.source {
            Source::Dice => {}
            Source::Kept(counted) | Source::Scripted(counted) => {
                counted.next(Series::Link(from, to));
            }
        }
    }

    /// How long a client waits for an answer.
    pub fn patience(&mut self, client: usize, plan: &ClientPlan) -> Nanos {
        let dice = &mut self.clients;
        self.source
            .number(Series::Patience(client), plan.patience, || {
                dice.between(plan.patience / 2, plan.patience)
            })
    }

    /// How long a client waits after it was refused.
    pub fn pause_after_refusal(&mut self, client: usize, plan: &ClientPlan) -> Nanos {
        let dice = &mut self.clients;
        let wait = plan.patience / 8;
        self.source.number(Series::Pause(client), wait / 8, || {
            dice.between(wait / 8, wait)
        })
    }

    /// Whom a client turns to, of so many members, that knows nobody better after so many tries.
    pub fn somebody(&mut self, client: usize, tries: u32, members: usize) -> usize {
        let dice = &mut self.clients;
        let usual = u64::from(tries) % (members as u64);
        // As its id, which is what a schedule calls it.
        let id = self.source.number(Series::Somebody(client), usual + 1, || {
            dice.below(members) as u64 + 1
        });
        usize::try_from(id - 1).expect("a place among the members")
    }

    /// What a client writes in the liveness phase.
    pub fn fresh_request(&mut self, chaos: &mut Chaos) -> Request {
        match &mut self.source {
            Source::Dice => chaos.request(),
            Source::Kept(counted) => {
                let request = chaos.request();
                counted.choices.fresh.insert(counted.fresh, request);
                counted.fresh += 1;
                request
            }
            Source::Scripted(counted) => {
                let place = counted.fresh;
                counted.fresh += 1;
                let listed = counted.choices.fresh.get(&place).copied();
                listed.unwrap_or(usual_request(place))
            }
        }
    }
}

fn usual_request(place: u32) -> Request {
    const KEY: u8 = 0;
    const { assert!(!is_sequence(KEY)) }
    Request {
        client: 0,
        key: KEY,
        change: Change::Set(USUAL_VALUES + u64::from(place)),
        bytes: 1,
    }
}

fn draw_fate(dice: &mut Dice, plan: &NetworkPlan) -> Fate {
    if dice.falls(plan.loss) {
        return Fate::default();
    }
    let takes = Some(latency(dice, plan));
    let doubled = dice.falls(plan.duplication);
    let copy_takes = doubled.then(|| latency(dice, plan) * 2);
    Fate { takes, copy_takes }
}

fn latency(dice: &mut Dice, plan: &NetworkPlan) -> Nanos {
    let (least, most) = plan.latency;
    let usual = dice.between(least, most);
    if dice.falls(plan.spikes) {
        return usual + dice.between(0, plan.spike_max);
    }
    usual
}

impl Source {
    fn number(&mut self, series: Series, usual: u64, draw: impl FnOnce() -> u64) -> u64 {
        match self {
            Self::Dice => draw(),
            Self::Kept(_) | Self::Scripted(_) => {
                match self.choose(series, Choice::Number(usual), || Choice::Number(draw())) {
                    Choice::Number(number) => number,
                    Choice::Lost | Choice::Twice(..) => usual,
                }
            }
        }
    }

    fn choose(&mut self, series: Series, usual: Choice, draw: impl FnOnce() -> Choice) -> Choice {
        match self {
            Self::Dice => draw(),
            Self::Kept(counted) => {
                let place = counted.next(series);
                let chosen = draw();
                if chosen != usual {
                    counted.choices.enter(series, place, chosen);
                }
                chosen
            }
            Self::Scripted(counted) => {
                let place = counted.next(series);
                counted.choices.get(series, place).unwrap_or(usual)
            }
        }
    }
}

impl Counted {
    fn next(&mut self, series: Series) -> u32 {
        let made = self.made.entry(series).or_default();
        *made += 1;
        *made - 1
    }
}
