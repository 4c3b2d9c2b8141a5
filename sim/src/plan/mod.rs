//! Expands a seed to what it stands for: the cluster's settings, and which faults strike how often.
//!
//! *Swarm testing*: each seed enables a random subset of the faults and of the workload, with intensities of its own. A
//! run in which everything goes wrong at once explores less than many in which a few things go very wrong.

mod faults;
mod membership;
mod surroundings;
mod workload;

use core::time::Duration;

use liferaft_raft::config::{Config, Limits, ReadLease};
use serde::{Deserialize, Serialize};

use self::faults::draw_faults;
pub use self::faults::{FaultKind, FaultPlan};
pub use self::membership::MembershipPlan;
pub use self::surroundings::{DiskPlan, MachinePlan, NetworkPlan};
use self::surroundings::{draw_disk, draw_machine, draw_network};
pub use self::workload::{ActKind, ClientPlan, WorkloadPlan};
use self::workload::{draw_clients, draw_workload};
use crate::clock::{MICRO, MILLI, Nanos, SECOND};
use crate::dice::{Dice, PerMillion};
use crate::flaw::Flaw;
use crate::spelled;

/// The most members of a simulated cluster, spare ones included.
pub const MEMBERS_MAX: usize = 8;

/// Runs that last minutes.
const LONG_RUNS: PerMillion = PerMillion::percent(2);

/// Runs in which members read by lease.
const LEASES: PerMillion = PerMillion::percent(30);

/// Runs of closed clusters.
const CLOSED: PerMillion = PerMillion::percent(50);

/// Of the runs with leases, those in which little is written: a server that the leader has lost is not behind for that.
const READ_MOSTLY: PerMillion = PerMillion::percent(50);

/// Runs whose longest commands, if they are long, are as long as may be.
const TIGHT: PerMillion = PerMillion::percent(50);

/// Runs in which changes of membership, if there are any, may be large.
const CROWDED: PerMillion = PerMillion::percent(20);

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
    /// What clients asked and heard is given back.
    #[serde(skip)]
    pub keeps_history: bool,
    /// How far members' clocks run too fast or too slow, in parts of a million.
    pub skew_max: u64,
    /// Whether the cluster is closed: strangers lead nobody, and whoever asks to join comes by an invitation.
    #[serde(skip_serializing_if = "is_default")]
    pub is_closed: bool,
    /// Whether disks are copied: then servers show each other their starts.
    #[serde(skip_serializing_if = "is_default")]
    pub copies_disks: bool,
    /// How members manage who takes part; absent where that is left to operators.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub membership: Option<MembershipPlan>,
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
            disk: draw_disk(dice, election_timeout),
            machine: draw_machine(dice),
            faults: draw_faults(dice, members, election_timeout),
            workload: draw_workload(dice),
            clients: draw_clients(&mut Dice::new(seed, 4), election_timeout),
            flaw: None,
            turn_max: dice.weighted(&[(1, 0), (2, 200 * MICRO), (1, 3 * MILLI)]),
            tell: false,
            keeps_history: false,
            skew_max: dice.weighted(&[(2, 0), (2, 10_000), (1, 200_000)]),
            is_closed: Dice::new(seed, 19).falls(CLOSED),
            copies_disks: false,
            membership: MembershipPlan::draw(&mut Dice::new(seed, 8), election_timeout),
        };
        let jam_dice = &mut Dice::new(seed, 21);
        plan.network.draw_jams(jam_dice, election_timeout);
        plan.faults.draw_later_kinds(seed, members);
        plan.copies_disks = plan.faults.weights[FaultKind::Clone.place()] > 0;
        if plan.membership.is_some() {
            plan.faults.leave_membership();
        }
        plan.come_near_limits(&mut Dice::new(seed, 9));
        plan.clients.bound_replies(&mut Dice::new(seed, 17));
        plan.bound_log_memory(&mut Dice::new(seed, 18), election_timeout);
        let lease_dice = &mut Dice::new(seed, 6);
        if lease_dice.falls(LEASES) {
            plan.read_by_lease(lease_dice);
        }
        let length_dice = &mut Dice::new(seed, 7);
        if length_dice.falls(LONG_RUNS) {
            plan.make_long(length_dice);
        }
        plan
    }

    /// Members read by lease, and their clocks keep to what that rests on: they drift as much as the bound allows, and
    /// neither leap forward nor change their rate. Leaders have a hard time of it.
    fn read_by_lease(&mut self, dice: &mut Dice) {
        let bound = dice.weighted(&[(1, 1_000), (1, 100_000), (4, 400_000)]);
        self.skew_max = u64::from(bound);
        self.faults.try_leases(self.members);
        if dice.falls(READ_MOSTLY) {
            self.workload.read_mostly();
        }
        let lease = ReadLease::with_drift_bound_ppm(bound).expect("a bound that makes sense");
        self.config = rebuilt(&self.config, *self.config.limits(), Some(lease));
    }

    /// In some of the runs with long commands the longest are as long as may be, and some are longer; in some of all,
    /// operators add more learners than there are servers.
    fn come_near_limits(&mut self, dice: &mut Dice) {
        let (is_tight, is_crowded) = (dice.falls(TIGHT), dice.falls(CROWDED));
        if is_crowded && self.workload.changes_membership() {
            self.workload.crowd();
        }
        if is_tight && self.workload.has_long_commands() {
            let mut limits = *self.config.limits();
            limits.command_bytes_max = self.workload.come_near_limit();
            self.config = rebuilt(&self.config, limits, None);
        }
    }

    /// In most runs members hold less of their logs in memory than they have: nothing that is in storage, or a few
    /// entries. In some it takes long to read the others.
    fn bound_log_memory(&mut self, dice: &mut Dice, election_timeout: Nanos) {
        let mut limits = *self.config.limits();
        let all = limits.log_memory_bytes_max;
        limits.log_memory_bytes_max = dice.weighted(&[(3, all), (3, 0), (2, 300), (2, 3_000)]);
        // With a read for each entry or two a state machine would never catch up with a log that grows.
        limits.applying_bytes_max = limits.applying_bytes_max.max(100_000);
        self.config = rebuilt(&self.config, limits, None);
        self.disk.read_max = dice.weighted(&[(2, 0), (1, election_timeout * 4)]);
    }

    /// With minutes of faults, and pauses of a minute in the mean; with less work, since it lasts long.
    fn make_long(&mut self, dice: &mut Dice) {
        self.safety_phase = dice.between(60, 180) * SECOND;
        self.faults.pause_for(dice.between(10, 60) * SECOND);
        self.workload.every = dice.between(40, 80) * MILLI;
    }
}

/// The settings with other limits, and reads by lease if one is given.
fn rebuilt(config: &Config, limits: Limits, lease: Option<ReadLease>) -> Config {
    let mut builder = Config::builder()
        .election_timeout(config.election_timeout())
        .heartbeat_interval(config.heartbeat_interval())
        .limits(|all| *all = limits);
    if let Some(lease) = lease {
        builder = builder.read_lease(lease);
    }
    builder.build().expect("all settings drawn make sense")
}

/// An election timeout: 60 to 300 ms.
pub fn draw_election_timeout(dice: &mut Dice) -> Nanos {
    dice.between(60, 300) * MILLI
}

/// A heartbeat interval that goes with it.
pub fn draw_heartbeat(dice: &mut Dice, election_timeout: Nanos) -> Nanos {
    election_timeout / dice.between(3, 8)
}

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

fn is_default<T: Default + PartialEq>(plan: &T) -> bool {
    *plan == T::default()
}
