//! Seeded chance: the only source of randomness in a run.

use rand_chacha::ChaCha8Rng;
use rand_core::{Rng, SeedableRng};
use serde::{Deserialize, Serialize};

use crate::clock::Nanos;

/// How often something happens, in parts of a million.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub struct PerMillion(pub u32);

impl PerMillion {
    /// This many of a hundred.
    #[must_use]
    pub const fn percent(percent: u32) -> Self {
        Self(percent * 10_000)
    }
}

/// Dice that fall the same way for the same seed.
#[derive(Clone, Debug)]
pub struct Dice(ChaCha8Rng);

impl Dice {
    /// Dice of their own for each use of a seed, so that one more throw in one place changes nothing elsewhere.
    #[must_use]
    pub fn new(seed: u64, stream: u64) -> Self {
        let mut rng = ChaCha8Rng::seed_from_u64(seed);
        rng.set_stream(stream);
        Self(rng)
    }

    /// Any number.
    pub fn number(&mut self) -> u64 {
        self.0.next_u64()
    }

    /// A number from `from` up to and including `to`.
    pub fn between(&mut self, from: u64, to: u64) -> u64 {
        // The bias of the remainder is far below what any test could notice.
        from + self.0.next_u64() % (to - from + 1)
    }

    /// A number below `end`.
    pub fn below(&mut self, end: usize) -> usize {
        let drawn = self.0.next_u64() % (end.max(1) as u64);
        usize::try_from(drawn).expect("below a usize")
    }

    /// A time around `mean`: evenly from nothing to twice as long.
    pub fn around(&mut self, mean: Nanos) -> Nanos {
        self.between(0, 2 * mean)
    }

    /// Whether something of this frequency happens.
    pub fn falls(&mut self, chance: PerMillion) -> bool {
        chance.0 > 0 && self.0.next_u64() % 1_000_000 < u64::from(chance.0)
    }

    /// One of several.
    pub fn pick<T: Copy>(&mut self, of: &[T]) -> Option<T> {
        (!of.is_empty()).then(|| of[self.below(of.len())])
    }

    /// One of several that differ in weight.
    ///
    /// # Panics
    /// When no weight is positive.
    pub fn weighted<T: Copy>(&mut self, of: &[(u32, T)]) -> T {
        let total: u32 = of.iter().map(|(weight, _)| weight).sum();
        let mut at = self.between(0, u64::from(total) - 1);
        for (weight, what) in of {
            match at.checked_sub(u64::from(*weight)) {
                Some(rest) => at = rest,
                None => return *what,
            }
        }
        unreachable!("the weights add up to their sum")
    }
}
