//! Accounts for what each host uses, so that one that takes too much takes it from nobody else.

use std::collections::BTreeMap;
use std::net::{IpAddr, Ipv6Addr};
use std::time::Duration;

use crate::config::Limits;
use crate::rate::Bucket;

/// The most hosts that are accounted for at a time: about 100 bytes each.
const HOSTS_MAX: usize = 65_536;

/// So many ids are held for each connection that may be: those of peers that were cut off are kept for a while.
pub(crate) const IDS_PER_CONNECTION: usize = 2;

/// Whoever is behind an address: an IPv4 address, or the first 64 bits of an IPv6 address, which one customer has.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Host(IpAddr);

impl Host {
    /// Returns the host of an address.
    #[must_use]
    pub fn of(address: IpAddr) -> Self {
        const FIRST_64_BITS: u128 = u128::MAX << 64;
        Self(match address.to_canonical() {
            IpAddr::V6(v6) => Ipv6Addr::from_bits(v6.to_bits() & FIRST_64_BITS).into(),
            v4 => v4,
        })
    }
}

/// What every host uses.
#[derive(Debug, Default)]
pub(crate) struct Hosts {
    entries: BTreeMap<Host, Entry>,
}

/// What a host uses.
#[derive(Debug, Default)]
struct Entry {
    connections: usize,
    ids: usize,
    channels: usize,
    waiting_bytes: usize,
    requests: Bucket,
    bytes: Bucket,
}

impl Entry {
    fn holds_nothing(&self) -> bool {
        self.connections == 0 && self.ids == 0 && self.channels == 0 && self.waiting_bytes == 0
    }
}

impl Hosts {
    pub(crate) fn len(&self) -> usize {
        self.entries.len()
    }

    /// Takes `cost` requests, or returns false.
    pub(crate) fn request(
        &mut self,
        now: Duration,
        host: Host,
        limits: &Limits,
        cost: usize,
    ) -> bool {
        let entry = self.entry(now, host);
        entry.is_some_and(|entry| entry.requests.take(now, limits.requests_per_host, cost))
    }

    /// Returns what a host uses; nothing if there are too many hosts that hold something.
    fn entry(&mut self, now: Duration, host: Host) -> Option<&mut Entry> {
        if self.entries.len() >= HOSTS_MAX && !self.entries.contains_key(&host) {
            self.make_room(now);
            if self.entries.len() >= HOSTS_MAX {
                return None;
            }
        }
        Some(self.entries.entry(host).or_default())
    }

    /// Forgets the hosts that hold nothing: first those that used nothing lately, then all. What they may do is bounded
    /// in all as well, so that a flood of addresses gains little by it.
    fn make_room(&mut self, now: Duration) {
        self.entries.retain(|_, entry| {
            !(entry.holds_nothing() && entry.requests.is_full(now) && entry.bytes.is_full(now))
        });
        if self.entries.len() >= HOSTS_MAX {
            self.entries.retain(|_, entry| !entry.holds_nothing());
        }
    }

    /// Takes a place for a connection, or returns false.
    pub(crate) fn connect(&mut self, now: Duration, host: Host, limits: &Limits) -> bool {
        let Some(entry) = self.entry(now, host) else {
            return false;
        };
        let is_allowed = entry.connections < limits.connections_per_host_max;
        entry.connections += usize::from(is_allowed);
        is_allowed
    }

    pub(crate) fn disconnect(&mut self, host: Host) {
        self.change(host, |entry| entry.connections -= 1);
    }

    /// Takes a place for an id, or returns false. Ids of peers that were cut off count too.
    pub(crate) fn take_id(&mut self, host: Host, limits: &Limits) -> bool {
        let entry = self.entries.entry(host).or_default();
        let is_allowed = entry.ids < IDS_PER_CONNECTION * limits.connections_per_host_max;
        entry.ids += usize::from(is_allowed);
        is_allowed
    }

    pub(crate) fn free_id(&mut self, host: Host) {
        self.change(host, |entry| entry.ids -= 1);
    }

    /// Takes a place for a room, or returns false.
    pub(crate) fn open_channel(&mut self, host: Host, limits: &Limits) -> bool {
        let entry = self.entries.entry(host).or_default();
        let is_allowed = entry.channels < limits.channels_per_host_max;
        entry.channels += usize::from(is_allowed);
        is_allowed
    }

    pub(crate) fn close_channel(&mut self, host: Host) {
        self.change(host, |entry| entry.channels -= 1);
    }

    /// Takes a place for a message that waits, or returns false.
    pub(crate) fn wait(&mut self, host: Host, bytes: usize, limits: &Limits) -> bool {
        let entry = self.entries.entry(host).or_default();
        let is_allowed = entry.waiting_bytes + bytes <= limits.waiting_bytes_per_host_max;
        entry.waiting_bytes += if is_allowed { bytes } else { 0 };
        is_allowed
    }

    pub(crate) fn waited(&mut self, host: Host, bytes: usize) {
        self.change(host, |entry| entry.waiting_bytes -= bytes);
    }

    /// Charges for bytes that have come, and returns how long to wait before reading more.
    pub(crate) fn charge(
        &mut self,
        now: Duration,
        host: Host,
        bytes: usize,
        limits: &Limits,
    ) -> Duration {
        let entry = self.entries.entry(host).or_default();
        entry.bytes.charge(now, limits.bytes_per_host, bytes)
    }

    fn change(&mut self, host: Host, change: impl FnOnce(&mut Entry)) {
        let entry = self.entries.get_mut(&host);
        change(entry.expect("a host that holds something is accounted for"));
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::rate::Rate;

    fn host(number: u32) -> Host {
        Host::of(IpAddr::V4(number.into()))
    }

    #[test]
    fn a_customers_ipv6_addresses_are_one_host() {
        let of = |text: &str| Host::of(text.parse().expect("an address"));

        assert_eq!(of("2001:db8::1"), of("2001:db8::ffff:1"));
        assert_ne!(of("2001:db8::1"), of("2001:db8:0:1::1"));
        assert_eq!(of("::ffff:192.0.2.1"), of("192.0.2.1"));
        assert_ne!(of("192.0.2.1"), of("192.0.2.2"));
    }

    #[test]
    fn a_flood_of_addresses_is_bounded_and_keeps_who_holds_something() {
        let limits = Limits::default();
        let mut hosts = Hosts::default();
        assert!(hosts.request(Duration::ZERO, host(0), &limits, 1));
        assert!(hosts.connect(Duration::ZERO, host(0), &limits));

        for number in 1..200_000 {
            assert!(hosts.request(Duration::ZERO, host(number), &limits, 1));
        }

        assert!(hosts.len() <= HOSTS_MAX);
        hosts.disconnect(host(0));
    }

    #[test]
    fn one_hosts_rate_is_not_anothers() {
        let limits = Limits {
            requests_per_host: Rate {
                per_second: 1,
                burst: 2,
            },
            ..Limits::default()
        };
        let mut hosts = Hosts::default();

        assert!(hosts.request(Duration::ZERO, host(1), &limits, 2));
        assert!(!hosts.request(Duration::ZERO, host(1), &limits, 1));
        assert!(hosts.request(Duration::ZERO, host(2), &limits, 1));
    }
}
