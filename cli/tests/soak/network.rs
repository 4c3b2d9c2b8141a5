//! Lets members reach each other in a way that can be cut in one direction.
//!
//! Where the system allows it, each member has a network namespace, and a cut is a rule of the receiver that drops what
//! another sends: packets are lost, connections stay open, and nobody is told. The whole run is in namespaces of its
//! own, so that it leaves nothing behind and meets no other run. Elsewhere there is a [`proxy`](crate::proxy) before
//! each member.

use std::env;
use std::os::unix::process::CommandExt as _;
use std::process::Command;

use crate::node::{ANYWHERE, liferaft};
use crate::proxy::Proxies;

/// Tells the program that it is inside of the namespaces.
const INSIDE: &str = "LIFERAFT_SOAK_INSIDE";

/// `proxy` here keeps the run out of namespaces.
const NETWORK: &str = "LIFERAFT_SOAK_NETWORK";

/// What must be possible there.
const PROBE: &str = "mount -t tmpfs tmpfs /run && ip netns add probe \
                     && ip -n probe rule add pref 10 from 10.77.0.1 blackhole";

/// What the members are connected by.
pub(crate) enum Network {
    /// A namespace for each.
    Namespaces { cuts: Vec<(usize, usize)> },
    /// A proxy before each.
    Proxies(Proxies),
}

/// Starts this program anew inside of namespaces, if that is possible. It returns if it is not, or was done.
pub(crate) fn enter() {
    if env::var_os(INSIDE).is_some() || env::var_os(NETWORK).is_some_and(|how| how == "proxy") {
        return;
    }
    // As root, or as whoever may be root of namespaces of its own.
    for rights in [&[][..], &["--user", "--map-root-user"]] {
        let apart = || {
            let mut command = Command::new("unshare");
            command.args(rights);
            command.args(["--net", "--mount", "--propagation", "private"]);
            command
        };
        let probed = apart().args(["sh", "-c", PROBE]).output();
        if probed.is_ok_and(|probed| probed.status.success()) {
            let program = env::current_exe().expect("it runs");
            let error = apart()
                .arg(program)
                .args(env::args_os().skip(1))
                .env(INSIDE, "1")
                .exec();
            panic!("it cannot be started inside of namespaces: {error}");
        }
    }
}

impl Network {
    pub(crate) fn new(members: usize) -> Self {
        if env::var_os(INSIDE).is_none() {
            println!("one-way cuts: proxies (no network namespaces here)");
            return Self::Proxies(Proxies::new(members));
        }
        println!("one-way cuts: network namespaces");
        run("mount -t tmpfs tmpfs /run");
        run("ip link set lo up");
        run("ip link add hub type bridge");
        run("ip address add 10.77.0.254/24 dev hub");
        run("ip link set hub up");
        for member in 0..members {
            let (space, address) = (space(member), address(member));
            run(&format!("ip netns add {space}"));
            run(&format!(
                "ip link add veth{member} type veth peer name eth0 netns {space}"
            ));
            run(&format!("ip link set veth{member} master hub up"));
            run(&format!("ip -n {space} link set lo up"));
            run(&format!("ip -n {space} address add {address}/24 dev eth0"));
            run(&format!("ip -n {space} link set eth0 up"));
            // What comes for this address is told so by the first rule: it gives way to those of cuts.
            run(&format!("ip -n {space} rule add pref 100 lookup local"));
            run(&format!("ip -n {space} rule del pref 0"));
        }
        Self::Namespaces { cuts: Vec::new() }
    }

    /// The program, run where the member is.
    pub(crate) fn program(&self, member: usize) -> Command {
        match self {
            Self::Namespaces { .. } => {
                let mut command = Command::new("ip");
                command.args(["netns", "exec", &space(member)]);
                command.arg(liferaft().get_program());
                command
            }
            Self::Proxies(_) => liferaft(),
        }
    }

    /// Where a member listens, and the address at which others reach it if that is another.
    pub(crate) fn addresses(&self, member: usize) -> (String, Option<String>) {
        match self {
            Self::Namespaces { .. } => (format!("{}:4000", address(member)), None),
            Self::Proxies(proxies) => {
                let (listen, advertise) = proxies.addresses(member);
                (listen, Some(advertise))
            }
        }
    }

    /// Where a member answers monitors.
    pub(crate) fn monitor(&self, member: usize) -> String {
        match self {
            Self::Namespaces { .. } => format!("{}:9000", address(member)),
            Self::Proxies(_) => ANYWHERE.to_owned(),
        }
    }

    /// Notes which process a member is.
    pub(crate) fn started(&self, member: usize, process: u32) {
        if let Self::Proxies(proxies) = self {
            proxies.started(member, process);
        }
    }

    /// Nothing that one member sends reaches the other.
    pub(crate) fn cut(&mut self, from: usize, to: usize) {
        match self {
            Self::Namespaces { cuts } => {
                let (space, address) = (space(to), address(from));
                run(&format!(
                    "ip -n {space} rule add pref 10 from {address} blackhole"
                ));
                cuts.push((from, to));
            }
            Self::Proxies(proxies) => proxies.cut(from, to),
        }
    }

    /// Ends all cuts.
    pub(crate) fn heal(&mut self) {
        match self {
            Self::Namespaces { cuts } => {
                for (from, to) in cuts.drain(..) {
                    let (space, address) = (space(to), address(from));
                    run(&format!("ip -n {space} rule del pref 10 from {address}"));
                }
            }
            Self::Proxies(proxies) => proxies.heal(),
        }
    }
}

fn space(member: usize) -> String {
    format!("member-{member}")
}

fn address(member: usize) -> String {
    format!("10.77.0.{}", member + 1)
}

/// Runs a command of words without spaces.
pub(crate) fn run(line: &str) {
    let words: Vec<_> = line.split(' ').collect();
    let output = Command::new(words[0]).args(&words[1..]).output();
    let output = output.unwrap_or_else(|error| panic!("{line}: {error}"));
    let told = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{line}: {told}");
}
