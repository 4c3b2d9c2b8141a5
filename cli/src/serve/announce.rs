//! Says where a server is: to people, to cameras and to programs.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};

use serde_json::json;

use crate::code;

/// Where a server is.
#[derive(Debug)]
pub(super) struct Place {
    /// Where it listens.
    pub(super) address: SocketAddr,
    pub(super) monitor: Option<SocketAddr>,
    /// It has pages that are members.
    pub(super) has_pages: bool,
}

impl Place {
    /// Returns a line for programs.
    pub(super) fn to_json(&self) -> String {
        let started = json!({
            "news": "started",
            "address": self.signaling(),
            "monitor": self.monitor.map(|address| format!("http://{address}")),
            "pages": self.has_pages,
        });
        format!("{started}\n")
    }

    /// Returns lines for people, with a code for cameras where there is room for one, and others reach the address.
    pub(super) fn to_text(&self, interfaces: &[IpAddr]) -> String {
        let mut text = String::new();
        if self.has_pages {
            let pages = pages(self.address, interfaces);
            for page in &pages {
                text += &format!("chat at {page}\n");
            }
            // The last one is that of a network, if there is any.
            let is_of_network = pages.len() > 1 || !self.address.ip().is_loopback();
            let code = pages.last().filter(|_| is_of_network);
            text += &match code {
                Some(page) => code::of_text(page).unwrap_or_default(),
                None => format!(
                    "for this machine alone; for others: --listen 0.0.0.0:{}\n",
                    self.address.port()
                ),
            };
        } else {
            text += "without the chat, which `cargo xtask serve` builds into it\n";
        }
        text += &format!("signaling at {}\n", self.signaling());
        let monitor = self.monitor;
        text += &monitor.map_or(String::new(), |at| format!("monitors at http://{at}\n"));
        text
    }

    /// Returns where a browser on this machine finds the pages.
    pub(super) fn page_here(&self) -> String {
        pages(self.address, &[]).swap_remove(0)
    }

    fn signaling(&self) -> String {
        format!("http://{}", self.address)
    }
}

/// How the names of interfaces begin that lead to containers and machines within this one.
const WITHIN: [&str; 9] = [
    "br-", "cni", "docker", "lxcbr", "lxdbr", "podman", "vboxnet", "veth", "virbr",
];

/// Returns those of a machine's addresses that others may reach, by the names of their interfaces: last the one from
/// which it reaches others itself.
pub(super) fn reachable(
    interfaces: impl IntoIterator<Item = (String, IpAddr)>,
    outward: Option<IpAddr>,
) -> Vec<IpAddr> {
    let is_within = |name: &str| WITHIN.iter().any(|prefix| name.starts_with(prefix));
    let interfaces = interfaces.into_iter();
    let reachable = interfaces.filter(|(name, ip)| !is_within(name) || Some(*ip) == outward);
    let mut reachable: Vec<_> = reachable.map(|(_, ip)| ip).collect();
    reachable.sort_by_key(|ip| Some(*ip) == outward);
    reachable
}

/// Returns the addresses of the pages of a server that listens here, on a machine with these interfaces: first the one
/// for browsers on the machine itself.
fn pages(listening: SocketAddr, interfaces: &[IpAddr]) -> Vec<String> {
    let port = listening.port();
    let at = |ip: IpAddr| format!("http://{}/", SocketAddr::new(ip, port));
    match listening.ip() {
        ip if !ip.is_unspecified() => vec![at(ip)],
        ip => {
            let here = match ip {
                IpAddr::V4(_) => IpAddr::from(Ipv4Addr::LOCALHOST),
                IpAddr::V6(_) => IpAddr::from(Ipv6Addr::LOCALHOST),
            };
            let reached = interfaces.iter().filter(|other| match other {
                IpAddr::V4(_) => true,
                // An address of a link alone means nothing without the name of the interface.
                IpAddr::V6(other) => ip.is_ipv6() && !other.is_unicast_link_local(),
            });
            let reached = reached.filter(|other| !other.is_loopback());
            [here].iter().chain(reached).map(|ip| at(*ip)).collect()
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn pages_are_where_browsers_reach_the_machine() {
        let interfaces = ["127.0.0.1", "192.0.2.7", "::1", "fe80::1", "2001:db8::7"];
        let interfaces = interfaces.map(|it| it.parse().expect("an address"));
        let at = |address: &str| pages(address.parse().expect("an address"), &interfaces);

        assert_eq!(at("127.0.0.1:9000"), ["http://127.0.0.1:9000/"]);
        let of_network = ["http://127.0.0.1:9000/", "http://192.0.2.7:9000/"];
        assert_eq!(at("0.0.0.0:9000"), of_network);
        let of_both = [
            "http://[::1]:80/",
            "http://192.0.2.7:80/",
            "http://[2001:db8::7]:80/",
        ];
        assert_eq!(at("[::]:80"), of_both);
    }

    // The code was that of docker's bridge, whose name comes last in the system's list.
    #[test]
    fn the_last_address_is_the_one_that_reaches_others() {
        let ip = |text: &str| text.parse::<IpAddr>().expect("an address");
        let interfaces = [
            ("lo", "127.0.0.1"),
            ("wlan0", "192.0.2.7"),
            ("eth0", "198.51.100.7"),
            ("docker0", "172.17.0.1"),
        ];
        let interfaces = interfaces.map(|(name, text)| (name.to_owned(), ip(text)));

        let reachable = reachable(interfaces, Some(ip("192.0.2.7")));

        let expected = ["127.0.0.1", "198.51.100.7", "192.0.2.7"];
        assert_eq!(reachable, expected.map(ip));
    }

    #[test]
    fn a_server_for_its_machine_alone_says_so() {
        let at = |address: &str| Place {
            address: address.parse().expect("an address"),
            monitor: None,
            has_pages: true,
        };

        let own = at("127.0.0.1:9000").to_text(&[]);
        let all = at("0.0.0.0:9000").to_text(&[IpAddr::from([192, 0, 2, 7])]);

        assert!(own.contains("--listen 0.0.0.0:9000"), "{own}");
        assert!(!all.contains("--listen"), "{all}");
    }

    #[test]
    fn a_program_is_told_whether_there_are_pages() {
        let place = Place {
            address: SocketAddr::from(([127, 0, 0, 1], 9000)),
            monitor: None,
            has_pages: true,
        };

        let told: serde_json::Value = serde_json::from_str(&place.to_json()).expect("it is JSON");

        assert_eq!(told["address"], "http://127.0.0.1:9000");
        assert_eq!(told["pages"], true);
    }
}
