//! What a seed expands to: the cluster's settings, and which faults strike how often.
//!
//! *Swarm testing*: each seed enables a random subset of the faults and of the workload, with intensities of its own. A
//! run in which everything goes wrong at once explores less than many in which a few things go very wrong.

use core::time::Duration;

use liferaft_raft::config::{Config, ReadLease};
use serde::{Deserialize, Serialize};

use crate::clock::{MICRO, MILLI, Nanos, SECOND};
use crate::dice::{Dice, PerMillion};
use crate::flaw::Flaw;
use crate::spelled;

/// The most members of a simulated cluster, spare ones included.
pub const MEMBERS_MAX: usize = 8;

/// Runs that last minutes.
const LONG_RUNS: PerMillion = PerMillion::percent(2);

/// What a run is like. What a file does not name is off.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Plan {
    /// The seed.
    pub seed: u64,
    /// How many members there are, those included that join later.
    pub members: usize,
    /// How many of them begin as voters.
    pub voters: usize,
    /// The members' settings.
    #[serde(with = "spelled::config")]
    pub config: Config,
    /// How long faults strike.
    pub safety_phase: Nanos,
    /// The network.
    pub network: NetworkPlan,
    /// The disks.
    pub disk: DiskPlan,
    /// The state machines.
    pub machine: MachinePlan,
    /// The faults that strike members and links.
    #[serde(skip_serializing_if = "is_default")]
    pub faults: FaultPlan,
    /// What clients and operators do.
    #[serde(skip_serializing_if = "is_default")]
    pub workload: WorkloadPlan,
    /// The clients.
    pub clients: ClientPlan,
    /// What is wrong with clients and state machines, to see that it is found.
    #[serde(skip)]
    pub flaw: Option<Flaw>,
    /// How long a driver's turn takes at most: what arrives meanwhile is one batch.
    pub turn_max: Nanos,
    /// Whether every turn is printed.
    #[serde(skip)]
    pub tell: bool,
    /// How far members' clocks run too fast or too slow, in parts of a million.
    pub skew_max: u64,
}

/// What the network does to messages.
#[derive(Clone, Copy, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct NetworkPlan {
    /// The least and the most that a message takes. Differences reorder.
    pub latency: (Nanos, Nanos),
    /// Messages that are lost.
    pub loss: PerMillion,
    /// Messages that arrive twice.
    pub duplication: PerMillion,
    /// Messages that take up to `spike_max` longer.
    pub spikes: PerMillion,
    /// How much longer.
    pub spike_max: Nanos,
}

/// What disks are like.
#[derive(Clone, Copy, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct DiskPlan {
    /// The least and the most that a write takes.
    pub latency: (Nanos, Nanos),
    /// Writes that take `stall_max` at most.
    pub stalls: PerMillion,
    /// How long a stalled one takes at most.
    pub stall_max: Nanos,
}

/// What state machines are like.
#[derive(Clone, Copy, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct MachinePlan {
    /// How long applying takes at most.
    pub apply_max: Nanos,
    /// How long capturing takes at most.
    pub capture_max: Nanos,
    /// A snapshot is due when the log weighs this, in bytes.
    pub snapshot_at_bytes: u64,
    /// How many bytes a snapshot carries beside the state.
    pub padding_bytes: usize,
}

/// What clients are like.
#[derive(Clone, Copy, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct ClientPlan {
    /// How many there are.
    pub count: usize,
    /// How long one waits for an answer before it tries another member.
    pub patience: Nanos,
    /// How often one tries before it gives up.
    pub tries_max: u32,
    /// How many times faster sessions grow old than the clocks.
    pub session_hurry: u64,
}

/// Faults that strike, each with the mean time between two of its kind; `None` if it never does.
#[derive(Clone, Copy, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct FaultPlan {
    /// The mean time between two faults of any kind.
    pub every: Nanos,
    /// Weights of the kinds; zero for one that this run does not have.
    #[serde(with = "fault_weights")]
    pub weights: [u32; FaultKind::ALL.len()],
    /// How long a fault lasts in the mean.
    pub lasts: Nanos,
    /// How long a pause lasts in the mean.
    pub pause_lasts: Nanos,
    /// How many of a hundred strikes are aimed at the leader.
    pub at_leader: PerMillion,
}

/// The kinds of faults that strike.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum FaultKind {
    /// A member crashes, and what it had not made durable is lost, wholly or from some point on.
    Crash,
    /// A member crashes in the middle of its next turn, when part of what it was about to do is done.
    CrashInTurn,
    /// All members crash at once.
    Blackout,
    /// A member does nothing for a while, then all that it missed at once.
    Pause,
    /// The members are parted into two groups.
    Partition,
    /// One member hears nobody and is heard by nobody.
    Isolate,
    /// One direction of one link fails.
    CutOneWay,
    /// Both directions of one link fail.
    CutBothWays,
    /// All that is on its way is lost.
    DropInFlight,
    /// A member's disk is very slow for a while.
    SlowDisk,
    /// A member's clock leaps forward.
    ClockForward,
    /// A member's clock leaps back.
    ClockBack,
    /// A member's clock runs at another rate.
    ClockRate,
    /// The leader hands leadership over, and from some moment on hears nobody: it does not learn that it was deposed.
    DeposeUnheard,
    /// A member crashes, and any subset of its unsynced writes is on its disk, some of them torn.
    TornWrites,
    /// A sync fails, and with it the member.
    FailedSync,
    /// A member's disk is full for a while: it stops at its next write.
    FullDisk,
    /// A member's disk is wiped: its server is gone, and a blank one comes in its place.
    WipedDisk,
    /// Something that a member had acknowledged rots on its disk, which is as good as gone.
    RottenDisk,
}

impl FaultKind {
    /// All of them.
    pub const ALL: [Self; 19] = [
        Self::Crash,
        Self::CrashInTurn,
        Self::Blackout,
        Self::Pause,
        Self::Partition,
        Self::Isolate,
        Self::CutOneWay,
        Self::CutBothWays,
        Self::DropInFlight,
        Self::SlowDisk,
        Self::ClockForward,
        Self::ClockBack,
        Self::ClockRate,
        Self::DeposeUnheard,
        Self::TornWrites,
        Self::FailedSync,
        Self::FullDisk,
        Self::WipedDisk,
        Self::RottenDisk,
    ];

    /// Whether a clock does what reads by lease rest on it not doing.
    const fn breaks_clocks(self) -> bool {
        match self {
            Self::ClockForward | Self::ClockBack | Self::ClockRate => true,
            Self::Crash
            | Self::CrashInTurn
            | Self::Blackout
            | Self::Pause
            | Self::Partition
            | Self::Isolate
            | Self::CutOneWay
            | Self::CutBothWays
            | Self::DropInFlight
            | Self::SlowDisk
            | Self::DeposeUnheard
            | Self::TornWrites
            | Self::FailedSync
            | Self::FullDisk
            | Self::WipedDisk
            | Self::RottenDisk => false,
        }
    }

    /// Whether it makes a leader go on for a while that others have given up.
    const fn tries_leases(self) -> bool {
        matches!(self, Self::Pause | Self::Isolate | Self::DeposeUnheard)
    }

    /// Its place among all.
    #[must_use]
    pub const fn place(self) -> usize {
        self as usize
    }

    /// How likely a fault of this kind is, compared with the others, where a run has it.
    const fn weight(self) -> u32 {
        match self {
            Self::Blackout => 1,
            Self::ClockForward | Self::ClockBack | Self::ClockRate | Self::DropInFlight => 3,
            Self::WipedDisk | Self::RottenDisk | Self::FullDisk => 3,
            Self::DeposeUnheard
            | Self::Pause
            | Self::SlowDisk
            | Self::CutBothWays
            | Self::TornWrites
            | Self::FailedSync => 5,
            Self::Partition | Self::Isolate | Self::CutOneWay => 8,
            Self::Crash | Self::CrashInTurn => 10,
        }
    }
}

/// What clients and operators do.
#[derive(Clone, Copy, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct WorkloadPlan {
    /// The mean time between two acts.
    pub every: Nanos,
    /// Weights of the kinds; zero for one that this run does not have.
    #[serde(with = "act_weights")]
    pub weights: [u32; ActKind::ALL.len()],
    /// The longest command, in bytes.
    pub command_bytes_max: usize,
    /// The most commands proposed at once.
    pub batch_max: u64,
    /// How many keys clients write and read.
    pub keys: u8,
    /// How many of a hundred acts are aimed at the leader.
    pub at_leader: PerMillion,
}

/// What clients and operators do.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum ActKind {
    /// Proposes commands.
    Propose,
    /// Reads.
    Read,
    /// Changes the membership.
    Change,
    /// Hands leadership over.
    Transfer,
    /// Captures a state machine, whatever its log weighs.
    Capture,
    /// Sets other times on all members, one after the other.
    SetTiming,
}

impl FaultKind {
    /// Whether it takes two members.
    const fn is_between_members(self) -> bool {
        match self {
            Self::Partition
            | Self::Isolate
            | Self::CutOneWay
            | Self::CutBothWays
            | Self::DropInFlight
            | Self::DeposeUnheard
            | Self::WipedDisk
            | Self::RottenDisk => true,
            Self::Crash
            | Self::CrashInTurn
            | Self::Blackout
            | Self::Pause
            | Self::SlowDisk
            | Self::ClockForward
            | Self::ClockBack
            | Self::ClockRate
            | Self::TornWrites
            | Self::FailedSync
            | Self::FullDisk => false,
        }
    }
}

impl ActKind {
    /// All of them.
    pub const ALL: [Self; 6] = [
        Self::Propose,
        Self::Read,
        Self::Change,
        Self::Transfer,
        Self::Capture,
        Self::SetTiming,
    ];
}

/// The weights of faults in a file: an object of those that are not zero.
mod fault_weights {
    use serde::{Deserializer, Serializer};

    use super::FaultKind;
    use crate::spelled;

    type Weights = [u32; FaultKind::ALL.len()];

    pub(super) fn serialize<S: Serializer>(of: &Weights, serializer: S) -> Result<S::Ok, S::Error> {
        spelled::weigh(&FaultKind::ALL, of, serializer)
    }

    pub(super) fn deserialize<'de, D: Deserializer<'de>>(from: D) -> Result<Weights, D::Error> {
        spelled::weighed(&FaultKind::ALL, from)
    }
}

/// The weights of acts in a file: an object of those that are not zero.
mod act_weights {
    use serde::{Deserializer, Serializer};

    use super::ActKind;
    use crate::spelled;

    type Weights = [u32; ActKind::ALL.len()];

    pub(super) fn serialize<S: Serializer>(of: &Weights, serializer: S) -> Result<S::Ok, S::Error> {
        spelled::weigh(&ActKind::ALL, of, serializer)
    }

    pub(super) fn deserialize<'de, D: Deserializer<'de>>(from: D) -> Result<Weights, D::Error> {
        spelled::weighed(&ActKind::ALL, from)
    }
}

fn is_default<T: Default + PartialEq>(plan: &T) -> bool {
    *plan == T::default()
}

impl Plan {
    /// What this seed expands to.
    ///
    /// # Panics
    /// Never: all settings drawn make sense.
    #[must_use]
    pub fn of_seed(seed: u64) -> Self {
        let dice = &mut Dice::new(seed, 0);
        let voters = dice.weighted(&[(2, 1), (3, 2), (10, 3), (4, 4), (6, 5)]);
        let spares = dice.between(0, 3);
        let members = (voters + usize::try_from(spares).expect("a few")).min(MEMBERS_MAX);
        let election_timeout = draw_election_timeout(dice);
        let heartbeat = draw_heartbeat(dice, election_timeout);
        let mut plan = Self {
            seed,
            members,
            voters,
            config: draw_config(dice, election_timeout, heartbeat),
            safety_phase: dice.between(5, 20) * SECOND,
            network: draw_network(dice, election_timeout),
            disk: DiskPlan {
                latency: draw_range(dice, &[(10 * MICRO, 100 * MICRO), (MILLI, 10 * MILLI)]),
                stalls: sometimes(dice, 30, 20_000),
                stall_max: election_timeout * 2,
            },
            machine: MachinePlan {
                apply_max: dice.between(1, 5_000) * MICRO,
                capture_max: dice.between(1, 50) * MILLI,
                snapshot_at_bytes: dice.weighted(&[
                    (1, 300),
                    (3, 2_000),
                    (3, 20_000),
                    (1, u64::MAX),
                ]),
                padding_bytes: dice.weighted(&[(1, 0), (2, 300), (2, 3_000)]),
            },
            faults: draw_faults(dice, members, election_timeout),
            workload: draw_workload(dice),
            clients: draw_clients(&mut Dice::new(seed, 4), election_timeout),
            flaw: None,
            turn_max: dice.weighted(&[(1, 0), (2, 200 * MICRO), (1, 3 * MILLI)]),
            tell: false,
            skew_max: dice.weighted(&[(2, 0), (2, 10_000), (1, 200_000)]),
        };
        let lease_dice = &mut Dice::new(seed, 6);
        if lease_dice.falls(PerMillion::percent(LEASES_PERCENT)) {
            plan.read_by_lease(lease_dice);
        }
        let length_dice = &mut Dice::new(seed, 7);
        if length_dice.falls(LONG_RUNS) {
            plan.make_long(length_dice);
        }
        plan
    }

    /// Members read by lease, and their clocks keep to what that rests on: they drift as much as the bound allows, and
    /// neither leap nor change their rate. Leaders have a hard time of it.
    fn read_by_lease(&mut self, dice: &mut Dice) {
        let bound = dice.weighted(&[(1, 1_000), (1, 100_000), (4, 400_000)]);
        self.skew_max = u64::from(bound);
        self.faults.at_leader = PerMillion::percent(80);
        let lease = ReadLease::with_drift_bound_ppm(bound).expect("a bound that makes sense");
        let limits = *self.config.limits();
        self.config = Config::builder()
            .election_timeout(self.config.election_timeout())
            .heartbeat_interval(self.config.heartbeat_interval())
            .limits(|all| *all = limits)
            .read_lease(lease)
            .build()
            .expect("all settings drawn make sense");
        for (kind, weight) in FaultKind::ALL.into_iter().zip(&mut self.faults.weights) {
            if kind.breaks_clocks() {
                *weight = 0;
            } else if kind.tries_leases() {
                *weight = kind.weight();
            }
        }
    }

    /// With minutes of faults, and pauses of a minute in the mean; with less work, since it lasts long.
    fn make_long(&mut self, dice: &mut Dice) {
        self.safety_phase = dice.between(60, 180) * SECOND;
        self.faults.pause_lasts = dice.between(10, 60) * SECOND;
        self.faults.weights[FaultKind::Pause.place()] = FaultKind::Pause.weight();
        self.workload.every = dice.between(40, 80) * MILLI;
    }
}

/// An election timeout: 60 to 300 ms.
pub fn draw_election_timeout(dice: &mut Dice) -> Nanos {
    dice.between(60, 300) * MILLI
}

/// A heartbeat interval that goes with it.
pub fn draw_heartbeat(dice: &mut Dice, election_timeout: Nanos) -> Nanos {
    election_timeout / dice.between(3, 8)
}

/// In so many of a hundred runs members read by lease.
const LEASES_PERCENT: u32 = 30;

fn draw_config(dice: &mut Dice, election_timeout: Nanos, heartbeat: Nanos) -> Config {
    Config::builder()
        .election_timeout(Duration::from_nanos(election_timeout))
        .heartbeat_interval(Duration::from_nanos(heartbeat))
        .limits(|limits| {
            limits.append_bytes_max = dice.weighted(&[(2, 64), (3, 400), (2, 4_000), (2, 256_000)]);
            limits.inflight_bytes_max = dice.weighted(&[(2, 128), (3, 1_000), (3, 1_000_000)]);
            limits.uncommitted_bytes_max = dice.weighted(&[(1, 500), (2, 5_000), (3, 1_000_000)]);
            limits.applying_bytes_max = dice.weighted(&[(1, 100), (2, 1_000), (3, 1_000_000)]);
            limits.snapshot_chunk_bytes = dice.weighted(&[(2, 50), (2, 500), (2, 64_000)]);
            limits.trailing_entries = dice.weighted(&[(2, 0), (2, 3), (2, 30), (1, 1024)]);
            // Else nobody would ever need a snapshot.
            limits.catch_up_bytes_max = limits.trailing_entries * 100;
            limits.reads_max = dice.weighted(&[(1, 3), (4, 1000)]);
            limits.catch_up_rounds = dice.weighted(&[(1, 2), (3, 10)]);
        })
        .build()
        .expect("all settings drawn make sense")
}

fn draw_network(dice: &mut Dice, election_timeout: Nanos) -> NetworkPlan {
    NetworkPlan {
        latency: draw_range(
            dice,
            &[
                (50 * MICRO, 200 * MICRO),
                (MILLI, 5 * MILLI),
                (MILLI, 30 * MILLI),
            ],
        ),
        loss: sometimes(dice, 50, 200_000),
        duplication: sometimes(dice, 50, 200_000),
        spikes: sometimes(dice, 50, 50_000),
        spike_max: dice.between(1, 8) * election_timeout,
    }
}

fn draw_range(dice: &mut Dice, of: &[(Nanos, Nanos)]) -> (Nanos, Nanos) {
    let (least, most) = dice.pick(of).expect("there are some");
    let a = dice.between(least, most);
    let b = dice.between(least, most);
    (a.min(b), a.max(b))
}

/// A frequency up to `most`, in `percent` of a hundred runs; never in the others.
fn sometimes(dice: &mut Dice, percent: u32, most: u32) -> PerMillion {
    if !dice.falls(PerMillion::percent(percent)) {
        return PerMillion(0);
    }
    let drawn = dice.between(1, u64::from(most));
    PerMillion(u32::try_from(drawn).expect("at most a million"))
}

fn draw_faults(dice: &mut Dice, members: usize, election_timeout: Nanos) -> FaultPlan {
    let mut weights = FaultKind::ALL.map(|kind| {
        let drawn = dice.falls(PerMillion::percent(45));
        if drawn && (members > 1 || !kind.is_between_members()) {
            kind.weight()
        } else {
            0
        }
    });
    if weights.iter().all(|weight| *weight == 0) {
        // A run without faults would prove little.
        weights[0] = FaultKind::ALL[0].weight();
    }
    let lasts = dice.between(1, 40) * election_timeout / 8;
    FaultPlan {
        every: dice.between(1, 16) * election_timeout / 4,
        weights,
        lasts,
        pause_lasts: lasts,
        at_leader: PerMillion::percent(dice.weighted(&[(1, 0), (1, 30), (1, 80)])),
    }
}

fn draw_clients(dice: &mut Dice, election_timeout: Nanos) -> ClientPlan {
    let tries = dice.weighted(&[(1, 1), (2, 3), (2, 8)]);
    ClientPlan {
        count: dice.weighted(&[(1, 1), (2, 3), (2, 8)]),
        patience: dice.between(2, 16) * election_timeout / 4,
        tries_max: tries,
        session_hurry: dice.weighted(&[(4, 1), (1, 1_000), (1, 10_000)]),
    }
}

fn draw_workload(dice: &mut Dice) -> WorkloadPlan {
    let weights = ActKind::ALL.map(|kind| match kind {
        ActKind::Propose => 60,
        ActKind::Read => dice.weighted(&[(1, 10), (1, 60)]),
        ActKind::Change => dice.weighted(&[(1, 0), (1, 2), (1, 10)]),
        ActKind::Transfer => dice.weighted(&[(2, 0), (1, 1), (1, 4)]),
        ActKind::Capture => dice.weighted(&[(2, 0), (1, 2)]),
        ActKind::SetTiming => dice.weighted(&[(3, 0), (1, 1)]),
    });
    WorkloadPlan {
        every: dice.between(1, 60) * MILLI,
        weights,
        command_bytes_max: dice.weighted(&[(2, 17), (2, 100), (1, 1_000)]),
        batch_max: dice.weighted(&[(2, 1), (1, 8)]),
        keys: dice.weighted(&[(1, 2), (2, 5), (1, 16)]),
        at_leader: PerMillion::percent(dice.weighted(&[(1, 50), (2, 90)])),
    }
}
