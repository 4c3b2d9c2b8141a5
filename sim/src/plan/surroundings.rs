//! What members run on: the network, disks and state machines, each as slow and as unreliable as the seed says.

use serde::{Deserialize, Serialize};

use crate::clock::{MICRO, MILLI, Nanos};
use crate::dice::{Dice, PerMillion};

/// Runs in which links jam.
const JAMS: PerMillion = PerMillion::percent(30);

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
    /// Of the entries and parts of snapshots that a link is given, each of this number jams it: zero for none.
    #[serde(skip_serializing_if = "is_zero")]
    pub jam_every: u64,
    /// For how long a jammed link takes nothing of the kind.
    #[serde(skip_serializing_if = "is_zero")]
    pub jam_lasts: Nanos,
}

impl NetworkPlan {
    /// Draws how links jam, for some of the runs.
    pub(super) fn draw_jams(&mut self, dice: &mut Dice, election_timeout: Nanos) {
        if dice.falls(JAMS) {
            self.jam_every = dice.between(3, 40);
            self.jam_lasts = dice.between(MILLI, 2 * election_timeout);
        }
    }
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
    /// How much longer it takes at most to read entries of the log, on every third disk: the others go on meanwhile.
    #[serde(skip_serializing_if = "is_zero")]
    pub read_max: Nanos,
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

#[expect(
    clippy::trivially_copy_pass_by_ref,
    reason = "serde passes it by reference"
)]
fn is_zero(nanos: &Nanos) -> bool {
    *nanos == 0
}

pub(super) fn draw_network(dice: &mut Dice, election_timeout: Nanos) -> NetworkPlan {
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
        jam_every: 0,
        jam_lasts: 0,
    }
}

pub(super) fn draw_disk(dice: &mut Dice, election_timeout: Nanos) -> DiskPlan {
    DiskPlan {
        latency: draw_range(dice, &[(10 * MICRO, 100 * MICRO), (MILLI, 10 * MILLI)]),
        stalls: sometimes(dice, 30, 20_000),
        stall_max: election_timeout * 2,
        read_max: 0,
    }
}

pub(super) fn draw_machine(dice: &mut Dice) -> MachinePlan {
    MachinePlan {
        apply_max: dice.between(1, 5_000) * MICRO,
        capture_max: dice.between(1, 50) * MILLI,
        snapshot_at_bytes: dice.weighted(&[(1, 300), (3, 2_000), (3, 20_000), (1, u64::MAX)]),
        padding_bytes: dice.weighted(&[(1, 0), (2, 300), (2, 3_000)]),
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
