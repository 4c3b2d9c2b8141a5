//! The network: what becomes of each message.

use crate::chance::Chance;
use crate::clock::Nanos;
use crate::plan::NetworkPlan;

/// The links between members.
#[derive(Debug)]
pub struct Network {
    plan: NetworkPlan,
    members: usize,
    /// How many faults cut each direction of each link.
    cuts: Vec<u32>,
    /// What each direction of each link was given of what takes room.
    loads: Vec<Load>,
}

/// How much a link was given, and whether it takes more.
#[derive(Clone, Copy, Debug, Default)]
struct Load {
    given: u64,
    jammed_until: Nanos,
}

/// A link that takes no more.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Jam {
    /// When its sender is told that it takes more again; `None` if it is told so for an earlier message, or never.
    pub told_at: Option<Nanos>,
}

/// What becomes of a message: when each copy of it arrives.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Fate {
    /// How long the message takes; `None` if it is lost.
    pub takes: Option<Nanos>,
    /// How long a second copy takes, if there is one.
    pub copy_takes: Option<Nanos>,
}

impl Network {
    /// A network that is whole.
    #[must_use]
    pub fn new(plan: NetworkPlan, members: usize) -> Self {
        Self {
            plan,
            members,
            cuts: vec![0; members * members],
            loads: vec![Load::default(); members * members],
        }
    }

    /// Cuts one direction of a link once more.
    pub fn cut(&mut self, from: usize, to: usize) {
        self.cuts[from * self.members + to] += 1;
    }

    /// Takes one cut back.
    pub fn mend(&mut self, from: usize, to: usize) {
        let cuts = &mut self.cuts[from * self.members + to];
        *cuts = cuts.saturating_sub(1);
    }

    /// Takes all cuts back and loses, doubles and delays nothing any more. No message takes longer than `latency_max`.
    pub fn heal(&mut self, latency_max: Nanos) {
        let (least, most) = self.plan.latency;
        self.plan.latency = (least.min(latency_max), most.min(latency_max));
        self.cuts.fill(0);
        self.plan.loss.0 = 0;
        self.plan.duplication.0 = 0;
        self.plan.spikes.0 = 0;
        self.plan.jam_every = 0;
        self.loads.fill(Load::default());
    }

    /// Gives a link something that takes room.
    ///
    /// # Errors
    /// When it does not take it. Of two jams the end of one is told.
    pub fn load(&mut self, from: usize, to: usize, now: Nanos) -> Result<(), Jam> {
        let NetworkPlan {
            jam_every,
            jam_lasts,
            ..
        } = self.plan;
        if jam_every == 0 {
            return Ok(());
        }
        let load = &mut self.loads[from * self.members + to];
        if now < load.jammed_until {
            return Err(Jam { told_at: None });
        }
        load.given += 1;
        if !load.given.is_multiple_of(jam_every) {
            return Ok(());
        }
        load.jammed_until = now + jam_lasts;
        let is_told = (load.given / jam_every).is_multiple_of(2);
        Err(Jam {
            told_at: is_told.then_some(load.jammed_until),
        })
    }

    /// Whether messages pass.
    #[must_use]
    pub fn passes(&self, from: usize, to: usize) -> bool {
        self.cuts[from * self.members + to] == 0
    }

    /// Whether some direction of some link is cut.
    #[must_use]
    pub fn is_cut(&self) -> bool {
        self.cuts.iter().any(|cuts| *cuts > 0)
    }

    /// Whether messages are lost, on all links or on some.
    #[must_use]
    pub fn is_lossy(&self) -> bool {
        self.plan.loss.0 > 0 || self.is_cut()
    }

    /// What becomes of the next message on a link.
    #[must_use]
    pub fn fate(&self, from: usize, to: usize, chance: &mut Chance) -> Fate {
        if self.passes(from, to) {
            chance.fate(from, to, &self.plan)
        } else {
            chance.pass_over(from, to);
            Fate::default()
        }
    }
}
