//! How members manage by themselves who takes part.

use core::time::Duration;

use liferaft_raft::policy::{MembershipPolicy, Target};
use serde::{Deserialize, Serialize};

use crate::clock::Nanos;
use crate::dice::{Dice, PerMillion};

/// Runs in which members manage their membership by themselves.
const MANAGED: PerMillion = PerMillion::percent(25);

/// The settings of the members' policy.
#[derive(Clone, Copy, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct MembershipPlan {
    /// Who has answered nothing for so long is evicted.
    pub evict_after: Nanos,
    /// By eviction there are never fewer voters.
    pub voters_min: usize,
    /// How many should vote; absent if all should.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub voters: Option<usize>,
}

impl MembershipPlan {
    /// Draws one, for some of the runs. The time until eviction is at least four election timeouts: from there on
    /// a policy promises that nobody is evicted whose own silences are shorter.
    pub(super) fn draw(dice: &mut Dice, election_timeout: Nanos) -> Option<Self> {
        dice.falls(MANAGED).then(|| {
            let plan = Self {
                evict_after: dice.weighted(&[(3, 4), (1, 6), (1, 10)]) * election_timeout,
                voters_min: dice.weighted(&[(1, 1), (1, 2), (3, 3)]),
                voters: dice.weighted(&[(4, None), (2, Some(3)), (1, Some(1))]),
            };
            // Where one is to vote alone, a policy that asked nobody could have its way at once.
            let is_alone = plan.voters == Some(1);
            let voters_min = if is_alone { 1 } else { plan.voters_min };
            Self { voters_min, ..plan }
        })
    }

    /// The members' policy.
    #[must_use]
    pub fn policy(&self) -> MembershipPolicy {
        MembershipPolicy::default()
            .with_evict_after(Duration::from_nanos(self.evict_after))
            .with_voters_min(self.voters_min)
            .with_voters(self.voters.map_or(Target::All, Target::Count))
    }
}
