//! Decides when to dial a peer in one way, and at which of its addresses.
//!
//! Attempts rotate through the addresses, and leave out those that are being dialed. Each one that comes to nothing
//! doubles the wait for the next, up to a bound; waits are drawn at random, so that those who lost a peer at the same
//! moment do not return at the same moment.

use std::time::Duration;

use liferaft_platform::Address;
use rand_chacha::ChaCha20Rng;
use rand_core::Rng;

/// The wait after the first attempt that came to nothing, before jitter.
pub const BACK_OFF_MIN: Duration = Duration::from_millis(100);

/// The longest wait between two attempts, before jitter: as long as an attempt that nobody answers. Whoever was cut off
/// for long is found again within seconds.
pub const BACK_OFF_MAX: Duration = Duration::from_secs(5);

/// The shortest wait before a peer that has a link is dialed for a better one, before jitter.
pub const UPGRADE_BACK_OFF_MIN: Duration = Duration::from_secs(1);

/// The longest wait between two attempts to get a better link, before jitter.
pub const UPGRADE_BACK_OFF_MAX: Duration = Duration::from_secs(60);

/// When and where to dial one peer, in one way.
#[derive(Clone, Debug)]
pub(super) struct Dialing {
    addresses: Vec<Address>,
    /// The next address is this one, in turn.
    turn: usize,
    /// How many attempts came to nothing since a link lived for long.
    failures: u32,
    /// Not before this while there is no link.
    not_before: Duration,
    /// Not before this while there is a worse link.
    upgrade_not_before: Duration,
}

impl Dialing {
    /// Dials at once, and then in turn.
    pub(super) fn new(addresses: &[Address], now: Duration) -> Self {
        Self {
            addresses: addresses.to_vec(),
            turn: 0,
            failures: 0,
            not_before: now,
            upgrade_not_before: now,
        }
    }

    /// Replaces the addresses. If they differ, the next attempt is made at once.
    pub(super) fn set_addresses(&mut self, addresses: &[Address], now: Duration) {
        if self.addresses != addresses {
            *self = Self::new(addresses, now);
        }
    }

    /// Returns when the next attempt is due while there is no link.
    pub(super) fn deadline(&self) -> Duration {
        self.not_before
    }

    /// Returns when the next attempt is due while there is a worse link.
    pub(super) fn upgrade_deadline(&self) -> Duration {
        self.upgrade_not_before
    }

    /// Returns true if an attempt came to nothing since a link lived for long.
    pub(super) fn has_failed(&self) -> bool {
        self.failures > 0
    }

    /// Returns how many attempts may be under way at a time: one for each address, and one where there are none.
    pub(super) fn attempts_max(&self) -> usize {
        self.addresses.len().max(1)
    }

    /// Returns the address whose turn it is, of those that are not being dialed; `None` if there is none.
    pub(super) fn next(&mut self, is_dialed: impl Fn(&Address) -> bool) -> Option<Address> {
        let count = self.addresses.len();
        let mut turns = (0..count).map(|after| (self.turn + after) % count);
        let turn = turns.find(|turn| !is_dialed(&self.addresses[*turn]))?;
        self.turn = (turn + 1) % count;
        Some(self.addresses[turn].clone())
    }

    /// An attempt came to nothing. The wait is between half the back-off and all of it.
    pub(super) fn on_failure(&mut self, now: Duration, random: &mut ChaCha20Rng) {
        // Every address is tried once before the wait grows.
        let count = u32::try_from(self.addresses.len())
            .unwrap_or(u32::MAX)
            .max(1);
        let doublings = (self.failures / count).min(16);
        self.failures = self.failures.saturating_add(1);
        let after = |min: Duration, max: Duration, random: &mut ChaCha20Rng| {
            let back_off = min.saturating_mul(1 << doublings).min(max);
            now.saturating_add(jittered(back_off, random))
        };
        self.not_before = after(BACK_OFF_MIN, BACK_OFF_MAX, random);
        self.upgrade_not_before = after(UPGRADE_BACK_OFF_MIN, UPGRADE_BACK_OFF_MAX, random);
    }

    /// The next address is this one.
    pub(super) fn prefer(&mut self, address: &Address) {
        let turn = self.addresses.iter().position(|known| known == address);
        self.turn = turn.unwrap_or(self.turn);
    }

    /// The next address is the first one.
    pub(super) fn begin_anew(&mut self) {
        self.turn = 0;
    }

    /// The next attempt is made at once, as it may come to more than the last ones.
    pub(super) fn hurry(&mut self, now: Duration) {
        self.not_before = self.not_before.min(now);
    }

    /// A link by a worse way is up, which is left alone for this time, or half of it.
    pub(super) fn on_worse_up(&mut self, wait: Duration, now: Duration, random: &mut ChaCha20Rng) {
        let soonest = now.saturating_add(jittered(wait, random));
        self.upgrade_not_before = self.upgrade_not_before.max(soonest);
    }

    /// The peer is well: the next wait is the shortest.
    pub(super) fn forget_failures(&mut self) {
        self.failures = 0;
    }
}

/// Returns between half of a wait and all of it.
fn jittered(wait: Duration, random: &mut ChaCha20Rng) -> Duration {
    wait / 2 + wait / 2 * (random.next_u32() % 1_024) / 1_024
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
            let at = dialing.deadline();
            let address = dialing.next(|_| false).unwrap();
            dialing.on_failure(at, &mut random);
            (dialing.deadline() - at, address.to_string())
        };
        (0..times).map(attempt).collect()
    }

    #[test]
    fn the_first_attempt_is_made_at_once() {
        let mut dialing = Dialing::new(&addresses(&["udp:a"]), ms(5));

        assert_eq!(dialing.deadline(), ms(5));
        assert_eq!(dialing.next(|_| false).unwrap().to_string(), "udp:a");
    }

    #[test]
    fn a_peer_without_addresses_is_not_dialed() {
        let mut dialing = Dialing::new(&[], ms(0));

        assert_eq!(dialing.next(|_| false), None);
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
    fn an_address_that_is_being_dialed_is_left_out() {
        let mut dialing = Dialing::new(&addresses(&["udp:a", "ws:b"]), ms(0));
        let first = dialing.next(|_| false).unwrap();

        dialing.prefer(&first);
        let second = dialing.next(|address| *address == first).unwrap();

        assert_eq!(second.to_string(), "ws:b");
        assert_eq!(dialing.next(|_| true), None);
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
        assert!(dialing.deadline() > ms(7));
        dialing.set_addresses(&addresses(&["udp:b"]), ms(7));

        assert_eq!(dialing.deadline(), ms(7));
        assert_eq!(dialing.next(|_| false).unwrap().to_string(), "udp:b");
    }

    #[test]
    fn better_links_are_tried_for_after_a_second_to_a_minute() {
        let mut random = ChaCha20Rng::seed_from_u64(1);
        let mut dialing = Dialing::new(&addresses(&["udp:a"]), ms(0));

        dialing.on_worse_up(UPGRADE_BACK_OFF_MIN, ms(0), &mut random);
        let first = dialing.upgrade_deadline();
        failing(&mut dialing, 20);
        let at = dialing.deadline();
        dialing.on_failure(at, &mut random);
        let last = dialing.upgrade_deadline() - at;

        assert!(first >= UPGRADE_BACK_OFF_MIN / 2 && first <= UPGRADE_BACK_OFF_MIN);
        assert!(last >= UPGRADE_BACK_OFF_MAX / 2 && last <= UPGRADE_BACK_OFF_MAX);
    }
}
