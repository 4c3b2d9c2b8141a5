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

    /// Returns lines for people, with a code for cameras where there is room for one.
    pub(super) fn to_text(&self, interfaces: &[IpAddr]) -> String {
        let mut text = String::new();
        if self.has_pages {
            let pages = pages(self.address, interfaces);
            for page in &pages {
                text += &format!("chat at {page}\n");
            }
            // The last one is that of a network, if there is any.
            let code = pages.last().and_then(|page| code::of_text(page));
            text += &code.unwrap_or_default();
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
