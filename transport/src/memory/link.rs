//! One direction between two members, once anything is wrong with it.

use std::time::Duration;

use rand_chacha::ChaCha8Rng;
use rand_core::{Rng, SeedableRng};

use super::faults::{Faults, up_to};
use super::{ATTEMPTS_MAX, LINK_BYTES_MAX, LINK_FRAMES_MAX};
use crate::{DeliveryClass, ServerId};

#[derive(Debug)]
pub(super) struct Link {
    random: ChaCha8Rng,
    /// When a slow link has sent all that it was given.
    idle_at: Duration,
    /// When the last frame of the stream arrives. None arrives before it.
    stream_arrives_at: Duration,
    frames: usize,
    bytes: usize,
    stream_frames: usize,
}

/// What the dice say about a frame. The times are those of its arrival.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Fate {
    Lost,
    Arrives { at: Arrival, again: Option<Arrival> },
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Arrival {
    pub(super) at: Duration,
    pub(super) held_back: bool,
}

impl Link {
    /// A link whose decisions depend on the seed, its two ends and a generation, and on no other link: what one pair
    /// sends changes nothing for another.
    pub(super) fn new(seed: u64, generation: u64, from: ServerId, to: ServerId) -> Self {
        let mut key = [0; 32];
        ChaCha8Rng::seed_from_u64(seed).fill_bytes(&mut key);
        let ends = from.0.to_le_bytes().into_iter().chain(to.0.to_le_bytes());
        for (byte, of_ends) in key.iter_mut().zip(ends) {
            *byte ^= of_ends;
        }
        let mut random = ChaCha8Rng::from_seed(key);
        random.set_stream(generation);
        Self {
            random,
            idle_at: Duration::ZERO,
            stream_arrives_at: Duration::ZERO,
            frames: 0,
            bytes: 0,
            stream_frames: 0,
        }
    }

    /// Whether the frames under way leave no room for another. An empty link takes any frame.
    pub(super) fn is_full(&self, bytes: usize) -> bool {
        self.frames > 0 && (self.frames >= LINK_FRAMES_MAX || self.bytes + bytes > LINK_BYTES_MAX)
    }

    pub(super) fn is_half_empty(&self) -> bool {
        2 * self.frames <= LINK_FRAMES_MAX && 2 * self.bytes <= LINK_BYTES_MAX
    }

    /// Whether stream frames are under way, which later ones must not pass.
    pub(super) fn has_stream_under_way(&self) -> bool {
        self.stream_frames > 0
    }

    pub(super) fn on_departure(&mut self, class: DeliveryClass, bytes: usize) {
        self.frames += 1;
        self.bytes += bytes;
        self.stream_frames += usize::from(class == DeliveryClass::Stream);
    }

    pub(super) fn on_arrival(&mut self, class: DeliveryClass, bytes: usize) {
        self.frames -= 1;
        self.bytes -= bytes;
        self.stream_frames -= usize::from(class == DeliveryClass::Stream);
    }

    /// Decides what becomes of a frame that is sent now.
    pub(super) fn draw_fate(
        &mut self,
        faults: &Faults,
        class: DeliveryClass,
        bytes: usize,
        now: Duration,
    ) -> Fate {
        // Lost frames have occupied a slow link too.
        if let Some(rate) = faults.bytes_per_second {
            self.idle_at = self
                .idle_at
                .max(now)
                .saturating_add(time_to_send(bytes, rate.get()));
        }
        let sent_at = self.idle_at.max(now);
        match class {
            DeliveryClass::Datagram => self.draw_datagram_fate(faults, sent_at),
            DeliveryClass::Stream => self.draw_stream_fate(faults, sent_at),
        }
    }

    fn draw_datagram_fate(&mut self, faults: &Faults, sent_at: Duration) -> Fate {
        if faults.loss.happens(&mut self.random) {
            return Fate::Lost;
        }
        let duplicated = faults.duplication.happens(&mut self.random);
        let at = self.draw_arrival(faults, sent_at);
        let again = duplicated.then(|| self.draw_arrival(faults, sent_at));
        Fate::Arrives { at, again }
    }

    fn draw_arrival(&mut self, faults: &Faults, sent_at: Duration) -> Arrival {
        let at = sent_at.saturating_add(faults.delay.draw(&mut self.random));
        if !faults.reordering.happens(&mut self.random) {
            return Arrival {
                at,
                held_back: false,
            };
        }
        let held_back = up_to(faults.held_back_max, &mut self.random);
        Arrival {
            at: at.saturating_add(held_back),
            held_back: true,
        }
    }

    fn draw_stream_fate(&mut self, faults: &Faults, sent_at: Duration) -> Fate {
        let mut late = Duration::ZERO;
        for _ in 0..ATTEMPTS_MAX {
            if !faults.loss.happens(&mut self.random) {
                let delay = faults.delay.draw(&mut self.random).saturating_add(late);
                let at = sent_at.saturating_add(delay).max(self.stream_arrives_at);
                self.stream_arrives_at = at;
                return Fate::Arrives {
                    at: Arrival {
                        at,
                        held_back: false,
                    },
                    again: None,
                };
            }
            late = late.saturating_add(faults.retransmission_delay);
        }
        Fate::Lost
    }
}

/// Rounded up to nanoseconds, so that a frame takes time on any link.
fn time_to_send(bytes: usize, bytes_per_second: u32) -> Duration {
    let bytes = u64::try_from(bytes).unwrap_or(u64::MAX);
    let rate = u64::from(bytes_per_second);
    let rest = (bytes % rate * 1_000_000_000).div_ceil(rate);
    Duration::from_secs(bytes / rate).saturating_add(Duration::from_nanos(rest))
}

#[cfg(test)]
mod tests {
    use super::super::{Delay, Probability};
    use super::*;

    const A: ServerId = ServerId(1);
    const B: ServerId = ServerId(2);

    fn fates(link: &mut Link) -> Vec<Fate> {
        let faults = Faults::none()
            .with_loss(Probability::percent(30))
            .with_duplication(Probability::percent(30))
            .with_delay(Delay::uniform(Duration::ZERO..=Duration::from_secs(1)));
        let draw = |_| link.draw_fate(&faults, DeliveryClass::Datagram, 1, Duration::ZERO);
        (0..100).map(draw).collect()
    }

    #[test]
    fn the_same_link_of_the_same_seed_decides_the_same() {
        assert_eq!(
            fates(&mut Link::new(7, 0, A, B)),
            fates(&mut Link::new(7, 0, A, B))
        );
    }

    #[test]
    fn another_seed_direction_or_generation_decides_otherwise() {
        let decided = fates(&mut Link::new(7, 0, A, B));

        assert_ne!(decided, fates(&mut Link::new(8, 0, A, B)));
        assert_ne!(decided, fates(&mut Link::new(7, 0, B, A)));
        assert_ne!(decided, fates(&mut Link::new(7, 1, A, B)));
    }

    #[test]
    fn a_frame_occupies_a_slow_link_for_its_bytes_by_the_rate() {
        assert_eq!(time_to_send(500, 1_000), Duration::from_millis(500));
        assert_eq!(time_to_send(0, 1_000), Duration::ZERO);
        assert_eq!(time_to_send(1, 3), Duration::from_nanos(333_333_334));
        assert_eq!(
            time_to_send(usize::MAX, u32::MAX),
            Duration::new(4_294_967_297, 0)
        );
    }
}
