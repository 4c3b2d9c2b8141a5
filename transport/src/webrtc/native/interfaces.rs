//! Finds the addresses at which a socket is reached: the host candidates of ICE.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr, UdpSocket};

use super::super::description::{CandidateKind, IceCandidate};

/// The most addresses of this host that are told.
const HOSTS_MAX: usize = 8;

/// The preference of the first address; each further one has less.
const PREFERENCE_MAX: u16 = u16::MAX;

/// Returns the host candidates of a socket: its own address, or those of all interfaces if it is bound to all.
pub(super) fn host_candidates(bound: SocketAddr) -> Vec<IceCandidate> {
    let mut ips = Vec::new();
    if bound.ip().is_unspecified() {
        let interfaces = if_addrs::get_if_addrs().unwrap_or_else(|error| {
            tracing::debug!(%error, "the interfaces of this host are not known");
            Vec::new()
        });
        ips.extend(interfaces.iter().map(|interface| interface.ip()));
        ips.retain(|ip| is_told(*ip) && (bound.is_ipv6() || ip.is_ipv4()));
        ips.sort_unstable();
        ips.dedup();
        // A host without a network has itself.
        if ips.is_empty() {
            ips.push(Ipv4Addr::LOCALHOST.into());
        }
    } else {
        ips.push(bound.ip().to_canonical());
    }
    ips.truncate(HOSTS_MAX);
    let preferences = (0..=PREFERENCE_MAX).rev();
    let candidate =
        |(ip, preference)| IceCandidate::new(CandidateKind::Host, ip, bound.port(), preference);
    ips.into_iter().zip(preferences).map(candidate).collect()
}

/// Returns true for an address that others of the same network reach: not loopback, nor what means nothing without the
/// name of an interface.
fn is_told(ip: IpAddr) -> bool {
    match ip {
        IpAddr::V4(ip) => !ip.is_loopback() && !ip.is_link_local() && !ip.is_unspecified(),
        IpAddr::V6(ip) => !ip.is_loopback() && !ip.is_unicast_link_local() && !ip.is_unspecified(),
    }
}

/// Returns from where datagrams to another host go that are sent by a socket bound like this: from its own address, or
/// from that of the interface which leads there if it is bound to all.
pub(super) fn source_towards(other: SocketAddr, bound: SocketAddr) -> Option<SocketAddr> {
    if !bound.ip().is_unspecified() {
        return Some(SocketAddr::new(bound.ip().to_canonical(), bound.port()));
    }
    let any: IpAddr = match other {
        SocketAddr::V4(_) => Ipv4Addr::UNSPECIFIED.into(),
        SocketAddr::V6(_) => Ipv6Addr::UNSPECIFIED.into(),
    };
    let socket = UdpSocket::bind((any, 0)).ok()?;
    // Nothing is sent.
    socket.connect(other).ok()?;
    Some(SocketAddr::new(
        socket.local_addr().ok()?.ip(),
        bound.port(),
    ))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_socket_of_one_address_is_reached_there_alone() {
        let bound: SocketAddr = "127.0.0.1:4000".parse().expect("an address");

        let candidates = host_candidates(bound);

        let told: Vec<_> = candidates.iter().map(IceCandidate::to_sdp).collect();
        let host = "candidate:8323071 1 udp 2130706431 127.0.0.1 4000 typ host";
        assert_eq!(told, [host]);
    }

    #[test]
    fn a_socket_of_all_addresses_tells_few_and_none_that_nobody_reaches() {
        let bound: SocketAddr = "0.0.0.0:4000".parse().expect("an address");

        let candidates = host_candidates(bound);

        assert!((1..=HOSTS_MAX).contains(&candidates.len()));
    }

    #[test]
    fn datagrams_come_from_where_the_socket_is_bound() {
        let address = |text: &str| text.parse::<SocketAddr>().expect("an address");
        let (here, elsewhere) = (address("127.0.0.1:9"), address("192.0.2.1:9"));
        let loopback = address("127.0.0.1:4000");

        for all in ["0.0.0.0:4000", "[::]:4000"].map(address) {
            assert_eq!(source_towards(here, all), Some(loopback));
        }
        for bound in ["127.0.0.1:4000", "[::ffff:127.0.0.1]:4000"].map(address) {
            assert_eq!(source_towards(elsewhere, bound), Some(loopback));
        }
    }
}
