//! What a link does wrong, as a value.
//!
//! Probabilities and delays are integers and every decision is drawn from a seeded stream of words: the same seed makes
//! the same decisions on every machine.

use std::num::NonZeroU32;
use std::ops::RangeInclusive;
use std::time::Duration;

use rand_chacha::ChaCha8Rng;
use rand_core::Rng;
use thiserror::Error;

/// How links misbehave: a network's, or one link's. Nothing, by default.
///
/// ```
/// # mod liferaft { pub use liferaft_transport as transport; }
/// use std::time::Duration;
/// use liferaft::transport::memory::{Delay, Faults, Probability};
///
/// let radio = Faults::none()
///     .with_loss(Probability::percent(20))
///     .with_delay(Delay::uniform(Duration::from_millis(5)..=Duration::from_millis(80)));
/// assert_ne!(radio, Faults::none());
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Faults {
    pub(super) loss: Probability,
    pub(super) duplication: Probability,
    pub(super) reordering: Probability,
    pub(super) held_back_max: Duration,
    pub(super) delay: Delay,
    pub(super) retransmission_delay: Duration,
    pub(super) bytes_per_second: Option<NonZeroU32>,
}

impl Faults {
    /// A link that delivers at once, in order and without loss.
    #[must_use]
    pub const fn none() -> Self {
        Self {
            loss: Probability::NEVER,
            duplication: Probability::NEVER,
            reordering: Probability::NEVER,
            held_back_max: Duration::from_millis(10),
            delay: Delay::none(),
            retransmission_delay: Duration::from_millis(50),
            bytes_per_second: None,
        }
    }

    /// Frames are lost. A stream frame is sent again [later](Self::with_retransmission_delay) instead; when it is lost
    /// [`ATTEMPTS_MAX`](super::ATTEMPTS_MAX) times in a row, it is lost for good and its stream ends.
    #[must_use]
    pub const fn with_loss(self, loss: Probability) -> Self {
        Self { loss, ..self }
    }

    /// Datagram frames arrive twice, each of them after a delay of its own. Stream frames never do.
    #[must_use]
    pub const fn with_duplication(self, duplication: Probability) -> Self {
        Self {
            duplication,
            ..self
        }
    }

    /// Datagram frames are held back, so that later ones pass them. Stream frames never are.
    #[must_use]
    pub const fn with_reordering(self, reordering: Probability) -> Self {
        Self { reordering, ..self }
    }

    /// The longest that a frame is held back for reordering, beyond its delay: 10 ms unless set. The time is uniform
    /// between nothing and this.
    #[must_use]
    pub const fn with_held_back_max(self, held_back_max: Duration) -> Self {
        Self {
            held_back_max,
            ..self
        }
    }

    /// How long frames travel. Those of a stream wait for each other; the others pass.
    #[must_use]
    pub const fn with_delay(self, delay: Delay) -> Self {
        Self { delay, ..self }
    }

    /// How much later a lost stream frame arrives for each time that it is lost: 50 ms unless set.
    #[must_use]
    pub const fn with_retransmission_delay(self, retransmission_delay: Duration) -> Self {
        Self {
            retransmission_delay,
            ..self
        }
    }

    /// The link is slow: each frame occupies it for its bytes divided by this rate, before it travels.
    #[must_use]
    pub const fn with_bytes_per_second(self, bytes_per_second: NonZeroU32) -> Self {
        Self {
            bytes_per_second: Some(bytes_per_second),
            ..self
        }
    }

    /// Whether each frame arrives at once and as it was sent.
    pub(super) fn is_none(&self) -> bool {
        self.loss == Probability::NEVER
            && self.duplication == Probability::NEVER
            && self.reordering == Probability::NEVER
            && self.delay == Delay::none()
            && self.bytes_per_second.is_none()
    }
}

impl Default for Faults {
    fn default() -> Self {
        Self::none()
    }
}

/// How often something happens: a number of times in a million.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Default)]
pub struct Probability {
    per_million: u32,
}

impl Probability {
    /// Nothing ever happens.
    pub const NEVER: Self = Self { per_million: 0 };
    /// It happens each time.
    pub const ALWAYS: Self = Self {
        per_million: MILLION,
    };

    /// So many times in a million.
    ///
    /// # Errors
    /// When there are more than a million.
    pub const fn new(per_million: u32) -> Result<Self, ProbabilityError> {
        if per_million > MILLION {
            return Err(ProbabilityError { per_million });
        }
        Ok(Self { per_million })
    }

    /// So many times in a hundred.
    ///
    /// # Panics
    /// When there are more than a hundred. For numbers from outside there is [`new`](Self::new).
    #[must_use]
    pub const fn percent(percent: u32) -> Self {
        assert!(percent <= 100, "a probability is at most 100 percent");
        Self {
            per_million: percent * (MILLION / 100),
        }
    }

    /// How many times in a million.
    #[must_use]
    pub const fn per_million(self) -> u32 {
        self.per_million
    }

    /// Draws whether it happens, by one word of `random`, however likely it is.
    pub(super) fn happens(self, random: &mut ChaCha8Rng) -> bool {
        let drawn = (u64::from(random.next_u32()) * u64::from(MILLION)) >> u32::BITS;
        drawn < u64::from(self.per_million)
    }
}

const MILLION: u32 = 1_000_000;

/// More than a million times in a million.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Error)]
#[error("a probability of {per_million} in a million is more than certain")]
pub struct ProbabilityError {
    per_million: u32,
}

/// How long a frame travels: uniform between two times, with an occasional spike on top.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Delay {
    min: Duration,
    max: Duration,
    spikes: Probability,
    spike: Duration,
}

impl Delay {
    /// No time.
    #[must_use]
    pub const fn none() -> Self {
        Self::fixed(Duration::ZERO)
    }

    /// Always the same time.
    #[must_use]
    pub const fn fixed(delay: Duration) -> Self {
        Self {
            min: delay,
            max: delay,
            spikes: Probability::NEVER,
            spike: Duration::ZERO,
        }
    }

    /// Any time of the range, all equally likely. A range that is empty because its ends are swapped is taken the other
    /// way round.
    #[must_use]
    pub fn uniform(range: RangeInclusive<Duration>) -> Self {
        let (start, end) = range.into_inner();
        Self {
            min: start.min(end),
            max: start.max(end),
            ..Self::none()
        }
    }

    /// Adds `spike` to the delay of some frames.
    #[must_use]
    pub const fn with_spikes(self, spikes: Probability, spike: Duration) -> Self {
        Self {
            spikes,
            spike,
            ..self
        }
    }

    /// Draws a delay, by three words of `random`, whatever the delay is.
    pub(super) fn draw(&self, random: &mut ChaCha8Rng) -> Duration {
        let delay = self.min + up_to(self.max - self.min, random);
        if self.spikes.happens(random) {
            delay.saturating_add(self.spike)
        } else {
            delay
        }
    }
}

impl Default for Delay {
    fn default() -> Self {
        Self::none()
    }
}

/// Draws a time between nothing and `max`, both included, by two words of `random`.
pub(super) fn up_to(max: Duration, random: &mut ChaCha8Rng) -> Duration {
    let choices = u64::try_from(max.as_nanos()).unwrap_or(u64::MAX - 1) + 1;
    let drawn = (u128::from(random.next_u64()) * u128::from(choices)) >> u64::BITS;
    Duration::from_nanos(u64::try_from(drawn).expect("the product's upper half has 64 bits"))
}

#[cfg(test)]
mod tests {
    use rand_core::SeedableRng;

    use super::*;

    #[test]
    fn more_than_certain_is_refused() {
        assert_eq!(Probability::new(1_000_000), Ok(Probability::ALWAYS));
        assert_eq!(
            Probability::new(1_000_001),
            Err(ProbabilityError {
                per_million: 1_000_001
            })
        );
    }

    #[test]
    fn never_is_never_and_always_is_always() {
        let mut random = ChaCha8Rng::seed_from_u64(1);

        assert!((0..10_000).all(|_| !Probability::NEVER.happens(&mut random)));
        assert!((0..10_000).all(|_| Probability::ALWAYS.happens(&mut random)));
    }

    #[test]
    fn a_delay_stays_in_its_range_and_reaches_both_ends() {
        let mut random = ChaCha8Rng::seed_from_u64(1);
        let delay = Delay::uniform(Duration::from_nanos(7)..=Duration::from_nanos(9));

        let mut drawn: Vec<u128> = (0..100)
            .map(|_| delay.draw(&mut random).as_nanos())
            .collect();

        drawn.sort_unstable();
        drawn.dedup();
        assert_eq!(drawn, [7, 8, 9]);
    }

    #[test]
    fn a_spike_comes_on_top() {
        let mut random = ChaCha8Rng::seed_from_u64(1);
        let delay = Delay::fixed(Duration::from_millis(2))
            .with_spikes(Probability::ALWAYS, Duration::from_secs(1));

        assert_eq!(delay.draw(&mut random), Duration::from_millis(1_002));
    }

    #[test]
    fn the_longest_delays_do_not_overflow() {
        let mut random = ChaCha8Rng::seed_from_u64(1);
        let delay = Delay::uniform(Duration::ZERO..=Duration::MAX)
            .with_spikes(Probability::ALWAYS, Duration::MAX);

        assert_eq!(delay.draw(&mut random), Duration::MAX);
    }
}
