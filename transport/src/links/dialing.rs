//! Decides when to dial a peer, and at which of its addresses.
//!
//! Attempts rotate through the addresses. Each one that comes to nothing doubles the wait for the next, up to a bound;
//! waits are drawn at random, so that those who lost a peer at the same moment do not return at the same moment.

use std::time::Duration;

use liferaft_platform::Address;
use rand_chacha::ChaCha20Rng;
use rand_core::Rng;

/// The wait after the first attempt that came to nothing, before jitter.
pub const BACK_OFF_MIN: Duration = Duration::from_millis(100);

/// The longest wait between two attempts, before jitter: as long as an attempt that nobody answers. Whoever was cut off
/// for long is found again within seconds.
pub const BACK_OFF_MAX: Duration = Duration::from_secs(5);

/// When and where to dial one peer.
#[derive(Clone, Debug)]
pub(super) struct Dialing {
    addresses: Vec<Address>,
    /// The next address is this one, in turn.
    turn: usize,
    /// How many attempts came to nothing since a link lived for long.
    failures: u32,
    /// Not before this.
    not_before: Duration,
}

impl Dialing {
    /// Dials at once, and then in turn.
    pub(super) fn new(addresses: &[Address], now: Duration) -> Self {
        Self {
            addresses: addresses.to_vec(),
            turn: 0,
            failures: 0,
            not_before: now,
        }
    }

    /// Replaces the addresses. If they differ, the next attempt is made at once.
    pub(super) fn set_addresses(&mut self, addresses: &[Address], now: Duration) {
        if self.addresses != addresses {
            *self = Self::new(addresses, now);
        }
    }

    /// Returns when the next attempt is due, `None` if there is no address.
    pub(super) fn deadline(&self) -> Option<Duration> {
        (!self.addresses.is_empty()).then_some(self.not_before)
    }

    /// Returns the address to dial at `now`, if an attempt is due.
    pub(super) fn next(&mut self, now: Duration) -> Option<Address> {
        if self.deadline()? > now {
            return None;
        }
        let address = self
            .addresses
            .get(self.turn % self.addresses.len())
            .cloned();
        self.turn = self.turn.wrapping_add(1);
        address
    }

    /// An attempt came to nothing. The wait is between half the back-off and all of it.
    pub(super) fn on_failure(&mut self, now: Duration, random: &mut ChaCha20Rng) {
        // Every address is tried once before the wait grows.
        let count = u32::try_from(self.addresses.len())
            .unwrap_or(u32::MAX)
            .max(1);
        let doublings = (self.failures / count).min(16);
        let back_off = BACK_OFF_MIN
            .saturating_mul(1 << doublings)
            .min(BACK_OFF_MAX);
        self.failures = self.failures.saturating_add(1);
        let jitter = back_off / 2 * (random.next_u32() % 1_024) / 1_024;
        self.not_before = now.saturating_add(back_off / 2 + jitter);
    }

    /// A link is up. The address that worked is tried first when it is lost.
    pub(super) fn on_up(&mut self) {
        self.turn = self.turn.wrapping_sub(1);
    }

    /// The peer is well: the next wait is the shortest.
    pub(super) fn forget_failures(&mut self) {
        self.failures = 0;
    }
}

#[cfg(test)]
mod tests {
    use rand_core::SeedableRng;

    use super::*;

    const fn ms(milliseconds: u64) -> Duration {
        Duration::from_millis(milliseconds)
    }

    fn addresses(texts: &[&str]) -> Vec<Address> {
        texts.iter().map(|text| text.parse().unwrap()).collect()
    }

    fn failing(dialing: &mut Dialing, times: usize) -> Vec<(Duration, String)> {
        let mut random = ChaCha20Rng::seed_from_u64(1);
        let attempt = |_| {
            let at = dialing.deadline().unwrap();
            let address = dialing.next(at).unwrap();
            dialing.on_failure(at, &mut random);
            (dialing.deadline().unwrap() - at, address.to_string())
        };
        (0..times).map(attempt).collect()
    }

    #[test]
    fn the_first_attempt_is_made_at_once() {
        let mut dialing = Dialing::new(&addresses(&["udp:a"]), ms(5));

        assert_eq!(dialing.next(ms(5)).unwrap().to_string(), "udp:a");
    }

    #[test]
    fn a_peer_without_addresses_is_not_dialed() {
        let mut dialing = Dialing::new(&[], ms(0));

        assert_eq!(dialing.deadline(), None);
        assert_eq!(dialing.next(ms(1_000_000)), None);
    }

    #[test]
    fn attempts_rotate_through_the_addresses() {
        let mut dialing = Dialing::new(&addresses(&["udp:a", "ws:b"]), ms(0));

        let tried = failing(&mut dialing, 4)
            .into_iter()
            .map(|(_, address)| address);

        assert_eq!(
            tried.collect::<Vec<_>>(),
            ["udp:a", "ws:b", "udp:a", "ws:b"]
        );
    }

    #[test]
    fn waits_double_up_to_their_bound_with_jitter() {
        let mut dialing = Dialing::new(&addresses(&["udp:a"]), ms(0));

        let waits: Vec<_> = failing(&mut dialing, 40)
            .into_iter()
            .map(|(wait, _)| wait)
            .collect();

        assert!(waits[0] >= BACK_OFF_MIN / 2 && waits[0] <= BACK_OFF_MIN);
        assert!(waits[3] >= 4 * BACK_OFF_MIN && waits[3] <= 8 * BACK_OFF_MIN);
        assert!(waits[39] >= BACK_OFF_MAX / 2 && waits[39] <= BACK_OFF_MAX);
        assert_ne!(waits[38], waits[39]);
    }

    #[test]
    fn new_addresses_are_tried_at_once_and_old_ones_are_not() {
        let mut dialing = Dialing::new(&addresses(&["udp:a"]), ms(0));
        failing(&mut dialing, 10);

        dialing.set_addresses(&addresses(&["udp:a"]), ms(7));
        assert!(dialing.deadline() > Some(ms(7)));
        dialing.set_addresses(&addresses(&["udp:b"]), ms(7));

        assert_eq!(dialing.next(ms(7)).unwrap().to_string(), "udp:b");
    }
}
