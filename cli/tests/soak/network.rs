//! Lets members reach each other in a way that can be cut in one direction.
//!
//! Where the system allows it, that is a [`lab`](crate::lab): packets are lost, connections stay open, and nobody is
//! told. Elsewhere there is a [`proxy`](crate::proxy) before each member.

use std::env;
use std::process::Command;

use crate::lab::{self, Lab, Weather};
use crate::node::{ANYWHERE, free_ports, liferaft};
use crate::proxy::Proxies;

/// `proxy` here keeps the run out of namespaces.
const NETWORK: &str = "LIFERAFT_SOAK_NETWORK";

/// What the members are connected by.
pub(crate) enum Network {
    Lab(Lab),
    /// A proxy before each.
    Proxies(Proxies),
    /// The loopback device, with a port for each, and no cuts.
    Loopback(Vec<u16>),
}

/// Starts this program anew inside of namespaces, if that is possible. Tells whether it is inside.
pub(crate) fn enter() -> bool {
    if env::var_os(NETWORK).is_some_and(|how| how == "proxy") {
        return false;
    }
    let entered = lab::enter();
    if let Err(missing) = &entered {
        println!("no network of namespaces can be made here: {missing}");
    }
    entered.is_ok()
}

impl Network {
    /// Makes one that loses nothing by chance.
    pub(crate) fn new(members: usize, is_inside: bool) -> Self {
        if !is_inside {
            println!("one-way cuts: proxies");
            return Self::Proxies(Proxies::new(members));
        }
        println!("one-way cuts: network namespaces");
        Self::Lab(Lab::new(members, Weather::default(), 0))
    }

    /// Makes one that is never cut.
    pub(crate) fn loopback(members: usize) -> Self {
        Self::Loopback(free_ports(members))
    }

    /// The program, run where the member is.
    pub(crate) fn program(&self, member: usize) -> Command {
        match self {
            Self::Lab(_) => {
                let mut command = Command::new("ip");
                command.args(["netns", "exec", &lab::space(member)]);
                command.arg(liferaft().get_program());
                command
            }
            Self::Proxies(_) | Self::Loopback(_) => liferaft(),
        }
    }

    /// Where a member listens, and the address at which others reach it if that is another.
    pub(crate) fn addresses(&self, member: usize) -> (String, Option<String>) {
        match self {
            Self::Lab(_) => (format!("{}:4000", lab::address(member)), None),
            Self::Proxies(proxies) => {
                let (listen, advertise) = proxies.addresses(member);
                (listen, Some(advertise))
            }
            Self::Loopback(ports) => (format!("127.0.0.1:{}", ports[member]), None),
        }
    }

    /// Where a member answers monitors.
    pub(crate) fn monitor(&self, member: usize) -> String {
        match self {
            Self::Lab(_) => format!("{}:9000", lab::address(member)),
            Self::Proxies(_) | Self::Loopback(_) => ANYWHERE.to_owned(),
        }
    }

    /// Notes which process a member is.
    pub(crate) fn started(&self, member: usize, process: u32) {
        if let Self::Proxies(proxies) = self {
            proxies.started(member, process);
        }
    }

    /// Nothing that one member sends reaches the other.
    pub(crate) fn cut(&self, from: usize, to: usize) {
        match self {
            Self::Lab(lab) => lab.cut(from, to, |_| true),
            Self::Proxies(proxies) => proxies.cut(from, to),
            Self::Loopback(_) => unreachable!("nobody cuts it"),
        }
    }

    /// Ends all cuts.
    pub(crate) fn heal(&self) {
        match self {
            Self::Lab(lab) => lab.heal(),
            Self::Proxies(proxies) => proxies.heal(),
            Self::Loopback(_) => {}
        }
    }
}
