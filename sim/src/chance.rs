//! What chance decides while a run goes on, besides what strikes: each kind of decision has a name here, and is drawn
//! nowhere else.

use crate::clock::{LocalClock, Nanos};
use crate::dice::Dice;
use crate::network::Fate;
use crate::plan::{ClientPlan, DiskPlan, MachinePlan, NetworkPlan};

/// Dice for the members, the network and the clients, so that one more throw for one changes nothing for the others.
#[derive(Debug)]
pub struct Chance {
    members: Dice,
    network: Dice,
    clients: Dice,
}

impl Chance {
    /// The chance of a seed.
    #[must_use]
    pub fn new(seed: u64) -> Self {
        Self {
            members: Dice::new(seed, 1),
            network: Dice::new(seed, 3),
            clients: Dice::new(seed, 5),
        }
    }

    /// A member's clock: what it shows at the beginning, and how wrong it goes.
    pub fn clock(&mut self, skew_max: u64) -> LocalClock {
        let rate = 1_000_000 - skew_max + self.members.between(0, 2 * skew_max);
        LocalClock::new(self.members.between(0, 1 << 40), rate)
    }

    /// The seed that a member's core starts with.
    pub fn core_seed(&mut self) -> u64 {
        self.members.number()
    }

    /// How long what arrives waits for a member's turn.
    pub fn turn_wait(&mut self, turn_max: Nanos) -> Nanos {
        self.members.between(0, turn_max)
    }

    /// How long a write takes. Disks stall only while faults strike.
    pub fn write_takes(&mut self, plan: &DiskPlan, may_stall: bool) -> Nanos {
        let (least, most) = plan.latency;
        let takes = self.members.between(least, most);
        if may_stall && self.members.falls(plan.stalls) {
            return takes + self.members.between(0, plan.stall_max);
        }
        takes
    }

    /// How long a state machine works on what it is given at once.
    pub fn apply_takes(&mut self, plan: &MachinePlan) -> Nanos {
        self.members.between(0, plan.apply_max)
    }

    /// How long a state machine takes to be captured.
    pub fn capture_takes(&mut self, plan: &MachinePlan) -> Nanos {
        self.members.between(0, plan.capture_max)
    }

    /// What becomes of a message on a link that is not cut.
    pub fn fate(&mut self, plan: &NetworkPlan) -> Fate {
        if self.network.falls(plan.loss) {
            return Fate::default();
        }
        let takes = Some(self.latency(plan));
        let doubled = self.network.falls(plan.duplication);
        let copy_takes = doubled.then(|| self.latency(plan) * 2);
        Fate { takes, copy_takes }
    }

    fn latency(&mut self, plan: &NetworkPlan) -> Nanos {
        let (least, most) = plan.latency;
        let usual = self.network.between(least, most);
        if self.network.falls(plan.spikes) {
            return usual + self.network.between(0, plan.spike_max);
        }
        usual
    }

    /// How long a client waits for an answer.
    pub fn patience(&mut self, plan: &ClientPlan) -> Nanos {
        self.clients.between(plan.patience / 2, plan.patience)
    }

    /// How long a client waits after it was refused.
    pub fn pause_after_refusal(&mut self, plan: &ClientPlan) -> Nanos {
        let wait = plan.patience / 8;
        self.clients.between(wait / 8, wait)
    }

    /// Whom a client turns to that knows nobody better.
    pub fn somebody(&mut self, members: usize) -> usize {
        self.clients.below(members)
    }
}
