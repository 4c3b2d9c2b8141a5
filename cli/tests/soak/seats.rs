//! Runs the members: a folder or a disk, an address and a process for each.

use std::collections::BTreeMap;
use std::io::{Read as _, Write as _};
use std::net::{SocketAddr, TcpStream};
use std::path::Path;
use std::time::Duration;

use liferaft::Invitation;
use rustix::process::Signal;
use serde_json::Value;

use crate::disk::{Disk, Freeze};
use crate::network::Network;
use crate::node::{Node, awaited, rows, run};

const NAMES: [&str; 11] = [
    "ada", "bob", "eve", "sue", "tom", "amy", "ben", "cat", "dan", "fay", "gus",
];

/// So many members there are, unless a story is about more.
pub(crate) const MEMBERS: usize = 5;

/// A member that does not answer a monitor within this time is paused.
const MONITOR_TIME: Duration = Duration::from_millis(500);

/// What is added up over all processes of all members.
pub(crate) const TAKEN: &str = "liferaft_snapshots_taken_total";
pub(crate) const INSTALLED: &str = "liferaft_snapshots_installed_total";
pub(crate) const ELECTIONS: &str = "liferaft_elections_total";
const TOTALS: [&str; 3] = [TAKEN, INSTALLED, ELECTIONS];

/// A member. What it drops first comes first: no process on a frozen disk can be ended, and no disk that is in use be
/// unmounted.
struct Seat {
    freeze: Option<Freeze>,
    node: Option<Node>,
    disk: Option<Disk>,
    folder: String,
    monitor: Option<SocketAddr>,
}

/// How many members there are, how they reach each other, and what they are told beside that.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Wiring<'a> {
    pub(crate) members: usize,
    /// The flag of what they listen for.
    pub(crate) listen: &'static str,
    /// Newcomers find the others by addresses of this scheme alone, if it is said.
    pub(crate) found_by: Option<&'static str>,
    pub(crate) flags: &'a [&'a str],
}

impl Wiring<'_> {
    /// Returns the invitation that newcomers get.
    fn restricted(&self, invitation: String) -> String {
        let Some(scheme) = self.found_by else {
            return invitation;
        };
        let invitation: Invitation = invitation.parse().expect("it was just printed");
        let addresses = invitation.addresses().iter();
        let addresses = addresses
            .filter(|address| address.scheme() == scheme)
            .cloned();
        let addresses: Vec<_> = addresses.collect();
        assert!(!addresses.is_empty(), "{scheme} is a way");
        let restricted = invitation.with_addresses(addresses);
        restricted.expect("they are fewer").to_string()
    }
}

/// All members.
pub(crate) struct Seats<'a> {
    seats: Vec<Seat>,
    pub(crate) network: Network,
    wiring: Wiring<'a>,
    /// An invitation to operators.
    pub(crate) operator: String,
    totals: BTreeMap<&'static str, u64>,
}

impl<'a> Seats<'a> {
    /// Makes a cluster of all members, on disks of their own if these can hang.
    pub(crate) fn start(
        folder: &Path,
        network: Network,
        wiring: Wiring<'a>,
        disks_can_hang: bool,
    ) -> Self {
        let seat = |name: &&str| {
            let folder = folder.join(name);
            Seat {
                freeze: None,
                node: None,
                disk: disks_can_hang.then(|| Disk::new(&folder)),
                // A new file system has a folder of its own.
                folder: folder.join("data").display().to_string(),
                monitor: None,
            }
        };
        let mut seats = Self {
            seats: NAMES.iter().take(wiring.members).map(seat).collect(),
            network,
            wiring,
            operator: String::new(),
            totals: BTreeMap::new(),
        };
        seats.run(0, "init", &["--name", NAMES[0]]);
        let first = seats.node(0);
        let invitation = wiring.restricted(first.invitation());
        seats.operator = first.invitation_for("operator");
        for (member, name) in NAMES.into_iter().enumerate().take(wiring.members).skip(1) {
            let named = ["--name", name, "--join", &invitation];
            seats.run(member, "node", &named);
        }
        seats.node(wiring.members - 1).until_voters(wiring.members);
        seats
    }

    fn node(&self, member: usize) -> &Node {
        self.seats[member].node.as_ref().expect("it runs")
    }

    fn run(&mut self, member: usize, command: &str, more: &[&str]) {
        let (listen, advertise) = self.network.addresses(member);
        let monitor = self.network.monitor(member);
        let seat = &mut self.seats[member];
        let Wiring {
            listen: listens_for,
            flags,
            ..
        } = self.wiring;
        let mut arguments = vec![command, "--data", &seat.folder, listens_for, &listen];
        arguments.extend(flags);
        arguments.extend(["--monitor", &monitor]);
        if let Some(advertise) = &advertise {
            arguments.extend(["--advertise", advertise]);
        }
        arguments.extend(more);
        let node = Node::start_by(self.network.program(member), &arguments);
        self.network.started(member, node.process.0.id());
        let started = node.until("started", |_| true);
        let monitor = started["monitor"].as_str().expect("it listens");
        let monitor = monitor.trim_start_matches("http://").parse();
        seat.monitor = Some(monitor.expect("it is an address"));
        seat.node = Some(node);
    }

    /// Starts a member again.
    pub(crate) fn restart(&mut self, member: usize) {
        self.run(member, "node", &[]);
    }

    /// Kills a member without a word to the others.
    pub(crate) fn kill(&mut self, member: usize) {
        self.add_up(member);
        self.seats[member].node = None;
    }

    /// Ends a member as its supervisor would.
    pub(crate) fn stop(&mut self, member: usize) {
        self.add_up(member);
        let node = self.seats[member].node.take().expect("it runs");
        assert_eq!(node.stop(), Some(0), "it stops as it is told");
    }

    pub(crate) fn pause(&self, member: usize) {
        self.signal(member, Signal::STOP);
    }

    pub(crate) fn resume(&self, member: usize) {
        self.signal(member, Signal::CONT);
    }

    fn signal(&self, member: usize, signal: Signal) {
        self.node(member).signal(signal);
    }

    pub(crate) fn freeze(&mut self, member: usize) {
        let seat = &mut self.seats[member];
        seat.freeze = seat.disk.as_ref().map(Disk::freeze);
    }

    pub(crate) fn thaw(&mut self, member: usize) {
        self.seats[member].freeze = None;
    }

    /// Waits until there is a leader that is none of these, and returns it.
    pub(crate) fn until_led(&self, but: &[usize]) -> usize {
        let leader = || {
            let leads = |member: &usize| {
                let figures = self.figures(*member)?;
                let leads = figure(&figures, "liferaft_is_leader") == 1;
                leads.then(|| (figure(&figures, "liferaft_term"), *member))
            };
            let members = (0..self.seats.len()).filter(|member| !but.contains(member));
            members.filter_map(|member| leads(&member)).max()
        };
        awaited(&format!("another than {but:?} leads"), leader).1
    }

    /// Waits until a member has applied what the leader has committed by now.
    pub(crate) fn until_caught_up(&self, member: usize) {
        let committed = |figures: String| figure(&figures, "liferaft_commit_index");
        let target = awaited("a leader answers", || {
            self.figures(self.until_led(&[])).map(committed)
        });
        awaited(&format!("{member} catches up to {target}"), || {
            let applied = figure(&self.figures(member)?, "liferaft_applied_index");
            (applied >= target).then_some(())
        });
    }

    /// Waits until each member has a link with each other one that runs over this carrier.
    pub(crate) fn until_linked_by(&self, carrier: &str) {
        let ask = ["status", "--at", &self.operator, "--links", "--json"];
        awaited(&format!("all are linked by {carrier}"), || {
            let told = String::from_utf8(run(&ask).stdout).expect("it is text");
            let rows = rows(&told);
            let is_member = |path: &Value| rows.iter().any(|row| row["id"] == path["peer"]);
            let is_linked = |row: &Value| {
                let paths = row["paths"].as_array().into_iter().flatten();
                let paths = paths.filter(|path| is_member(path) && path["carrier"] == carrier);
                paths.count() + 1 == self.seats.len()
            };
            (rows.len() == self.seats.len() && rows.iter().all(is_linked)).then_some(())
        });
    }

    /// Takes what members have told of others that they saw leave.
    pub(crate) fn departures(&self) -> Vec<Value> {
        let is_other = |told: &Value| {
            let voters = told["voters"].as_array().map(Vec::len);
            told["news"] == "members" && voters != Some(self.seats.len())
        };
        self.news().filter(is_other).collect()
    }

    /// Takes what members have told, each of what it saw.
    pub(crate) fn news(&self) -> impl Iterator<Item = Value> {
        let nodes = self.seats.iter().filter_map(|seat| seat.node.as_ref());
        nodes.flat_map(|node| node.news.try_iter())
    }

    /// Adds up what all members have counted. They are left running.
    pub(crate) fn totals(mut self) -> (Self, BTreeMap<&'static str, u64>) {
        for member in 0..self.seats.len() {
            self.add_up(member);
        }
        let totals = self.totals.clone();
        (self, totals)
    }

    /// Adds what a process has counted: its successor begins anew.
    fn add_up(&mut self, member: usize) {
        let Some(figures) = self.figures(member) else {
            return;
        };
        for name in TOTALS {
            *self.totals.entry(name).or_default() += figure(&figures, name);
        }
    }

    /// What a member tells monitors; `None` if it does not answer.
    fn figures(&self, member: usize) -> Option<String> {
        let seat = &self.seats[member];
        seat.node.as_ref()?;
        let address = seat.monitor?;
        let mut stream = TcpStream::connect_timeout(&address, MONITOR_TIME).ok()?;
        stream.set_read_timeout(Some(MONITOR_TIME)).ok()?;
        let request = "GET /metrics HTTP/1.1\r\nHost: member\r\nConnection: close\r\n\r\n";
        stream.write_all(request.as_bytes()).ok()?;
        let mut response = String::new();
        stream.read_to_string(&mut response).ok()?;
        Some(response)
    }
}

/// A figure of a member, which has one series of it; 0 if it was never counted.
fn figure(figures: &str, name: &str) -> u64 {
    let mut lines = figures.lines();
    let value = lines.find_map(|line| {
        line.strip_prefix(name)?
            .strip_prefix('{')?
            .split(' ')
            .next_back()
    });
    value.map_or(0, |value| value.parse().expect("it is whole"))
}
