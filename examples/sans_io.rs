//! The consensus core driven by hand: three servers, no runtime, no network, no clock.
//!
//! Whatever comes out of a server is done at once here: messages are delivered, writes are "durable" as soon as they
//! are asked for, committed entries are applied to a list of lines.

use std::collections::VecDeque;
use std::time::Duration;

use liferaft::config::Config;
use liferaft::configuration::Configuration;
use liferaft::consensus::{
    Apply, Input, Output, Proposal, ProposalId, Raft, ReadId, Recovered, RoleKind,
};
use liferaft::entry::Payload;
use liferaft::ids::{Index, ServerId};
use liferaft::time::Instant;

/// Three servers, and the inputs on their way to them.
struct Servers {
    now: Instant,
    rafts: Vec<Raft>,
    inputs: VecDeque<(usize, Input)>,
    /// The state of each server: the lines that it has applied.
    lines: Vec<Vec<String>>,
    /// Reads that may be answered by a state which reflects the log up to this index.
    confirmed: Vec<(ReadId, Index)>,
}

impl Servers {
    fn new() -> Self {
        let now = Instant::ORIGIN;
        let ids = [ServerId(1), ServerId(2), ServerId(3)];
        let raft = |id: ServerId| {
            let seed = u64::try_from(id.0).expect("a small id");
            Raft::new(id, Config::default(), Recovered::default(), now, seed)
                .expect("a blank server always starts")
        };
        let bootstrap = |at| {
            (
                at,
                Input::Bootstrap(Box::new(Configuration::of_voters(ids))),
            )
        };
        Self {
            now,
            rafts: ids.map(raft).into(),
            inputs: (0..ids.len()).map(bootstrap).collect(),
            lines: vec![Vec::new(); ids.len()],
            confirmed: Vec::new(),
        }
    }

    /// Feeds all that is on its way, and what comes of it, until nothing is left to do at this moment.
    fn settle(&mut self) {
        let mut output = Output::default();
        while let Some((at, input)) = self.inputs.pop_front() {
            self.rafts[at].input(self.now, input, &mut output);
            self.perform(at, &mut output);
        }
    }

    fn perform(&mut self, at: usize, output: &mut Output) {
        let from = self.rafts[at].status().id;
        for write in output.writes.drain(..) {
            self.inputs.push_back((at, Input::Persisted(write.id)));
        }
        for (to, message) in output.messages.drain(..) {
            let to = usize::try_from(to.0 - 1).expect("a small id");
            self.inputs
                .push_back((to, Input::Message { from, message }));
        }
        for apply in output.apply.drain(..) {
            let Apply::Entries(entries) = apply else {
                unreachable!("no snapshot was taken")
            };
            for entry in &entries {
                if let Payload::Command(command) = &entry.payload {
                    self.lines[at].push(String::from_utf8_lossy(command).into_owned());
                }
            }
            let through = entries.last().map_or(Index::ZERO, |entry| entry.index);
            self.inputs.push_back((at, Input::Applied(through)));
        }
        for (read, index) in output.reads.drain(..) {
            let index = index.expect("a leader that hears the others confirms reads");
            self.confirmed.push((read, index));
        }
        output.clear();
    }

    /// Lets time pass until the next server has something to do.
    fn wait(&mut self) {
        let next = self.rafts.iter().filter_map(Raft::deadline).min();
        self.now = next
            .unwrap_or(self.now + Duration::from_secs(1))
            .max(self.now);
        self.inputs
            .extend((0..self.rafts.len()).map(|at| (at, Input::Timer)));
        self.settle();
    }

    fn leader(&self) -> Option<usize> {
        self.rafts
            .iter()
            .position(|raft| raft.role() == RoleKind::Leader)
    }
}

fn main() {
    let mut servers = Servers::new();
    servers.settle();
    while servers.leader().is_none() {
        servers.wait();
    }
    let leader = servers.leader().expect("the loop's condition");
    println!(
        "after {:?} server {} leads",
        servers.now.since_origin(),
        leader + 1
    );

    let proposals = ["to be", "or not", "to be"].into_iter().zip(0..);
    let proposals = proposals.map(|(line, id)| Proposal {
        id: ProposalId(id),
        command: line.into(),
    });
    let proposals = Input::Propose(proposals.collect());
    servers.inputs.push_back((leader, proposals));
    servers.settle();
    for (at, lines) in servers.lines.iter().enumerate() {
        println!("server {} applied {lines:?}", at + 1);
        assert_eq!(lines, &["to be", "or not", "to be"]);
    }

    let read = Input::Read(ReadId(1));
    servers.inputs.push_back((leader, read));
    servers.settle();
    let applied = servers.rafts[leader].status().applied;
    assert_eq!(servers.confirmed, [(ReadId(1), applied)]);
    println!(
        "a majority confirms that server {} still leads: a read there sees all {} lines",
        leader + 1,
        servers.lines[leader].len()
    );
}
