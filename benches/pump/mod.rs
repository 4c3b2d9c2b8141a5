//! Servers of the core in one thread, pumped by hand: no runtime, no encoding, no disk. What is measured with it is the
//! protocol alone, from the proposal to its application on all of them.

use std::collections::VecDeque;

use bytes::Bytes;
use liferaft::config::Config;
use liferaft::configuration::Configuration;
use liferaft::consensus::{
    Apply, Input, Output, Proposal, ProposalId, Raft, Recovered, RoleKind, SnapshotName,
};
use liferaft::ids::{Index, ServerId};
use liferaft::time::{ClusterTime, Instant};

/// After so many entries the servers are given a snapshot, so that their logs stay short.
const SNAPSHOT_EVERY: u64 = 4096;

/// Some servers, one of which leads.
#[derive(Debug)]
pub(crate) struct Pump {
    now: Instant,
    rafts: Vec<Raft>,
    inputs: VecDeque<(usize, Input)>,
    output: Output,
    leader: usize,
    /// The last entry that each has applied, with its stamp.
    applied: Vec<(Index, ClusterTime)>,
    next_snapshot: u64,
    /// How many messages were delivered.
    pub(crate) messages: u64,
}

impl Pump {
    /// So many servers, all voters, after an election.
    pub(crate) fn elected(count: usize) -> Self {
        let ids = || (1..=count as u128).map(ServerId);
        let config = Config::builder()
            .limits(|limits| limits.trailing_entries = 64)
            .build()
            .expect("the settings make sense");
        let rafts = ids()
            .zip(1..)
            .map(|(id, seed)| {
                let blank = Recovered::default();
                Raft::new(id, config.clone(), blank, Instant::ORIGIN, seed)
                    .expect("a blank server always starts")
            })
            .collect();
        let mut pump = Self {
            now: Instant::ORIGIN,
            rafts,
            inputs: VecDeque::new(),
            output: Output::default(),
            leader: 0,
            applied: vec![(Index::ZERO, ClusterTime::ZERO); count],
            next_snapshot: SNAPSHOT_EVERY,
            messages: 0,
        };
        let configuration = Configuration::of_voters(ids());
        for at in 0..count {
            pump.inputs
                .push_back((at, Input::Bootstrap(Box::new(configuration.clone()))));
        }
        pump.settle();
        while !pump
            .rafts
            .iter()
            .any(|raft| raft.role() == RoleKind::Leader)
        {
            let due = pump.rafts.iter().filter_map(Raft::deadline).min();
            pump.now = due.expect("voters wait for a leader");
            pump.inputs.extend((0..count).map(|at| (at, Input::Timer)));
            pump.settle();
        }
        let leads = |raft: &Raft| raft.role() == RoleKind::Leader;
        pump.leader = pump
            .rafts
            .iter()
            .position(leads)
            .expect("the loop's condition");
        pump
    }

    /// Proposes these commands together and returns when all servers have applied them.
    pub(crate) fn commit(&mut self, commands: impl Iterator<Item = Bytes>) {
        let proposals = commands
            .map(|command| Proposal {
                id: ProposalId(0),
                command,
            })
            .collect();
        self.inputs
            .push_back((self.leader, Input::Propose(proposals)));
        self.settle();
        if self.applied[self.leader].0.0 >= self.next_snapshot {
            self.next_snapshot += SNAPSHOT_EVERY;
            for at in 0..self.rafts.len() {
                let (through, stamp) = self.applied[at];
                let taken = Input::SnapshotTaken {
                    through,
                    stamp,
                    length: 0,
                    digest: 0,
                    name: SnapshotName(through.0),
                };
                self.inputs.push_back((at, taken));
            }
            self.settle();
        }
    }

    /// The last index that every server has applied.
    pub(crate) fn applied(&self) -> Index {
        let applied = self.applied.iter().map(|(index, _)| *index);
        applied.min().expect("there are some")
    }

    fn settle(&mut self) {
        while let Some((at, input)) = self.inputs.pop_front() {
            self.rafts[at].input(self.now, input, &mut self.output);
            self.perform(at);
        }
    }

    fn perform(&mut self, at: usize) {
        let from = ServerId(at as u128 + 1);
        // The last write says that all before it are durable, too.
        if let Some(write) = self.output.writes.last() {
            self.inputs.push_back((at, Input::Persisted(write.id)));
        }
        // In the order in which they were sent, as a link delivers them that reorders nothing.
        for (to, message) in self.output.messages.drain(..) {
            self.messages += 1;
            let to = usize::try_from(to.0).expect("a small id") - 1;
            self.inputs
                .push_back((to, Input::Message { from, message }));
        }
        for apply in self.output.apply.drain(..) {
            if let Apply::Entries(entries) = apply
                && let Some(last) = entries.last()
            {
                self.applied[at] = (last.index, last.stamp);
                self.inputs.push_back((at, Input::Applied(last.index)));
            }
        }
        self.output.clear();
    }
}
