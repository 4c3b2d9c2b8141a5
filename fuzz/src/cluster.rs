//! Three servers of the core, driven by bytes.

use std::collections::VecDeque;
use std::time::Duration;

use arbitrary::{Result, Unstructured};
use bytes::Bytes;
use liferaft_raft::config::Config;
use liferaft_raft::configuration::Configuration;
use liferaft_raft::consensus::{
    Apply, ChangeId, Input, MembershipChange, Output, Proposal, ProposalId, Raft, ReadId,
    Recovered, Shelf, WriteId,
};
use liferaft_raft::entry::Entry;
use liferaft_raft::ids::{Index, ServerId};
use liferaft_raft::message::Message;
use liferaft_raft::time::{ClusterTime, Instant};

use crate::forge;

const SERVERS: usize = 3;

/// The most inputs of one run, so that none lasts.
const STEPS_MAX: usize = 2000;

struct Server {
    raft: Raft,
    writes: VecDeque<WriteId>,
    shelf: Shelf,
    handed_out: Index,
}

/// A message under way.
struct Flight {
    from: ServerId,
    to: usize,
    message: Message,
}

struct Cluster {
    now: Instant,
    servers: Vec<Server>,
    flights: Vec<Flight>,
    output: Output,
}

pub(crate) fn run(data: &[u8]) {
    let mut choices = Unstructured::new(data);
    let mut cluster = Cluster::new();
    for _ in 0..STEPS_MAX {
        if choices.is_empty() || cluster.step(&mut choices).is_err() {
            break;
        }
    }
}

fn id(at: usize) -> ServerId {
    ServerId(at as u128 + 1)
}

impl Cluster {
    fn new() -> Self {
        let config = Config::builder()
            .limits(|limits| {
                limits.trailing_entries = 2;
                limits.catch_up_bytes_max = 100;
                limits.snapshot_chunk_bytes = 8;
                limits.append_bytes_max = 200;
                limits.inflight_bytes_max = 400;
                limits.uncommitted_bytes_max = 2000;
                limits.snapshot_bytes_max = 4096;
                limits.reads_max = 8;
            })
            .build()
            .expect("the settings make sense");
        let server = |at: usize| Server {
            raft: Raft::new(
                id(at),
                config.clone(),
                Recovered::default(),
                Instant::ORIGIN,
                at as u64,
            )
            .expect("a blank server always starts"),
            writes: VecDeque::new(),
            shelf: Shelf::default(),
            handed_out: Index::ZERO,
        };
        let mut cluster = Self {
            now: Instant::ORIGIN,
            servers: (0..SERVERS).map(server).collect(),
            flights: Vec::new(),
            output: Output::default(),
        };
        for at in 0..SERVERS {
            let voters = Configuration::of_voters((0..SERVERS).map(id));
            cluster.input(at, Input::Bootstrap(Box::new(voters)));
        }
        cluster
    }

    fn step(&mut self, choices: &mut Unstructured<'_>) -> Result<()> {
        let at = choices.choose_index(SERVERS)?;
        match choices.int_in_range(0..=15_u8)? {
            0 | 1 => {
                let due = self.servers[at].raft.deadline().unwrap_or(self.now);
                self.now = self.now.max(due);
                self.input(at, Input::Timer);
            }
            2..=5 if !self.flights.is_empty() => {
                let flight = self
                    .flights
                    .swap_remove(choices.choose_index(self.flights.len())?);
                if choices.ratio(1, 8_u8)? {
                    let Flight {
                        from,
                        to,
                        ref message,
                    } = flight;
                    self.flights.push(Flight {
                        from,
                        to,
                        message: message.clone(),
                    });
                }
                let Flight { from, to, message } = flight;
                self.input(to, Input::Message { from, message });
            }
            6 if !self.flights.is_empty() => {
                self.flights
                    .swap_remove(choices.choose_index(self.flights.len())?);
            }
            7 | 8 => {
                if let Some(write) = self.servers[at].writes.pop_front() {
                    self.input(at, Input::Persisted(write));
                }
            }
            9 => self.input(at, Input::Applied(self.servers[at].handed_out)),
            10 => {
                let command = Bytes::from(vec![7; choices.int_in_range(0..=300_usize)?]);
                self.input(
                    at,
                    Input::Propose(vec![Proposal {
                        id: ProposalId(1),
                        command,
                    }]),
                );
            }
            11 => self.input(at, Input::Read(ReadId(1))),
            12 => {
                let change = self.change(choices)?;
                self.input(at, Input::Change(ChangeId(1), change));
            }
            13 => self.operate(at, choices)?,
            14 => {
                let from = ServerId(choices.int_in_range(1..=5_u128)?);
                let message = forge::message(choices)?;
                self.input(at, Input::Message { from, message });
            }
            _ => {
                let span = Duration::from_millis(choices.int_in_range(0..=5000_u64)?);
                self.now = if choices.arbitrary()? {
                    self.now + span
                } else {
                    self.now - span
                };
            }
        }
        Ok(())
    }

    fn change(&self, choices: &mut Unstructured<'_>) -> Result<MembershipChange> {
        let mut change = MembershipChange::default();
        for _ in 0..choices.int_in_range(0..=3_u8)? {
            let server = ServerId(choices.int_in_range(1..=5_u128)?);
            change = change.and(match choices.int_in_range(0..=2_u8)? {
                0 => MembershipChange::add_voter(server),
                1 => MembershipChange::add_learner(server),
                _ => MembershipChange::remove(server),
            });
        }
        Ok(change)
    }

    fn operate(&mut self, at: usize, choices: &mut Unstructured<'_>) -> Result<()> {
        if choices.arbitrary()? {
            let to = choices.int_in_range(0..=4_u128)?;
            self.input(at, Input::Transfer((to > 0).then_some(ServerId(to))));
        } else {
            let through = self.servers[at].raft.status().applied;
            let data = Bytes::from(vec![5; choices.int_in_range(0..=40_usize)?]);
            let server = &mut self.servers[at];
            let is_covered = |entry: &&Entry| entry.index == through;
            let covered = server.raft.log_from(through).find(is_covered);
            let stamp = covered.map_or(ClusterTime::ZERO, |entry| entry.stamp);
            let taken = server.shelf.taken(through, stamp, data);
            self.input(at, taken);
        }
        Ok(())
    }

    fn input(&mut self, at: usize, input: Input) {
        let server = &mut self.servers[at];
        server.raft.input(self.now, input, &mut self.output);
        server
            .writes
            .extend(self.output.writes.drain(..).map(|write| write.id));
        for apply in self.output.apply.drain(..) {
            server.handed_out = match apply {
                Apply::Entries(entries) => entries
                    .last()
                    .map_or(server.handed_out, |entry| entry.index),
                Apply::Restore(snapshot) => snapshot.metadata.last.index,
            };
        }
        for (to, message) in self.output.messages.drain(..) {
            if let Some(to) = (0..SERVERS).find(|at| id(*at) == to) {
                self.flights.push(Flight {
                    from: id(at),
                    to,
                    message,
                });
            }
        }
        let steps = self.output.snapshots.drain(..);
        let answers: Vec<_> = steps.filter_map(|step| server.shelf.step(step)).collect();
        self.output.clear();
        for answer in answers {
            self.input(at, answer);
        }
        // What is under way is bounded, as by a network that drops what it cannot carry.
        self.flights.truncate(512);
    }
}
