//! How clusters begin.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use bytes::Bytes;
use liferaft_raft::config::{Config, Limits, ReadLease};
use liferaft_raft::configuration::Configuration;
use liferaft_raft::consensus::{HardState, Input, Recovered};
use liferaft_raft::entry::{Entry, Payload};
use liferaft_raft::ids::{Index, ServerId, Term};
use liferaft_raft::time::{ClusterTime, Instant};

use super::checker::Checker;
use super::network::Network;
use super::server::{Clock, Server};
use super::{Cluster, ELECTION_TIMEOUT, Id, LATENCY, Outcomes};

impl Cluster {
    /// Servers 1 to `count`, all voters, none of them elected yet.
    pub(crate) fn of(count: Id) -> Self {
        Self::with_limits(count, |_| {})
    }

    /// Servers 1 to `count`, all voters, with other bounds than the default ones.
    pub(crate) fn with_limits(count: Id, change: impl FnOnce(&mut Limits)) -> Self {
        let mut cluster = Self::empty(change);
        let configuration = Configuration::of_voters((1..=count).map(ServerId));
        for id in 1..=count {
            cluster.add_blank(id);
        }
        for id in 1..=count {
            cluster.feed(
                ServerId(id),
                [Input::Bootstrap(Box::new(configuration.clone()))],
            );
        }
        cluster
    }

    /// Servers 1 to `count`, all voters, that read by lease. The clocks of the first loses as much as the drift bound
    /// allows, that of the others gains as much.
    pub(crate) fn with_leases(count: Id, drift_ppm: u32) -> Self {
        let lease = ReadLease::with_drift_bound_ppm(drift_ppm).expect("the bound makes sense");
        let config = Config::builder().read_lease(lease).build();
        let mut cluster = Self::of_blanks(config.expect("the settings make sense"));
        let configuration = Configuration::of_voters((1..=count).map(ServerId));
        for id in 1..=count {
            cluster.add_server_with_clock(
                id,
                if id == 1 {
                    -i64::from(drift_ppm)
                } else {
                    i64::from(drift_ppm)
                },
            );
        }
        for id in 1..=count {
            cluster.feed(
                ServerId(id),
                [Input::Bootstrap(Box::new(configuration.clone()))],
            );
        }
        cluster
    }

    /// Servers that come back from a crash, each with the log that it had: the terms of its entries. The entry at index
    /// 1 is the configuration of all of them, of term 1, and is not listed; a command's text is its `index@term`. All
    /// of them have seen the latest term of any log.
    pub(crate) fn from_logs<const N: usize>(logs: [(Id, &[u64]); N]) -> Self {
        Self::from_logs_with_limits(logs, |_| {})
    }

    /// As [`from_logs`](Self::from_logs), with other bounds than the default ones.
    pub(crate) fn from_logs_with_limits<const N: usize>(
        logs: [(Id, &[u64]); N],
        change: impl FnOnce(&mut Limits),
    ) -> Self {
        let mut cluster = Self::empty(change);
        let configuration = Configuration::of_voters(logs.iter().map(|(id, _)| ServerId(*id)));
        let latest = logs
            .iter()
            .filter_map(|(_, terms)| terms.last().copied())
            .max();
        let hard_state = HardState {
            term: Term(latest.unwrap_or(1)),
            ..HardState::default()
        };
        for (id, terms) in logs {
            let entries = stored_log(&configuration, terms);
            cluster.add(
                id,
                Recovered {
                    hard_state,
                    entries,
                    ..Recovered::default()
                },
            );
        }
        cluster
    }

    /// This cluster once this server leads it and all have heard of that.
    #[must_use]
    #[track_caller]
    pub(crate) fn with_leader(mut self, id: Id) -> Self {
        self.elect(id);
        self.settle();
        self
    }

    /// This cluster over a network that loses, doubles and delays messages, as the seed has it.
    #[must_use]
    pub(crate) fn over_a_bad_network(mut self, seed: u64) -> Self {
        self.network.worsen(seed, 20, 10, 4 * LATENCY);
        self
    }

    /// A server that nobody has added yet.
    pub(crate) fn add_blank(&mut self, id: Id) {
        self.add(id, Recovered::default());
    }

    fn empty(change: impl FnOnce(&mut Limits)) -> Self {
        let config = Config::builder()
            .limits(|limits| {
                // Else nobody would ever need a snapshot.
                limits.catch_up_bytes_max = 0;
                change(limits);
            })
            .build()
            .expect("the settings make sense");
        Self::of_blanks(config)
    }

    fn of_blanks(config: Config) -> Self {
        assert_eq!(config.election_timeout(), ELECTION_TIMEOUT);
        Self {
            now: Instant::ORIGIN + Duration::from_secs(1),
            config,
            servers: BTreeMap::new(),
            network: Network::new(LATENCY),
            happenings: BTreeMap::new(),
            sequence: 0,
            steps_at_once: 0,
            only_timer_of: None,
            checker: Checker::default(),
            outcomes: Outcomes::default(),
            next_name: 0,
            vouched: BTreeSet::new(),
        }
    }

    fn add_server_with_clock(&mut self, id: Id, gains_ppm: i64) {
        let mut server = Server::new(ServerId(id), Recovered::default());
        server.clock = Clock::gaining(gains_ppm);
        self.insert(server);
    }

    fn add(&mut self, id: Id, recovered: Recovered) {
        self.checker.take_for_granted(&recovered);
        self.insert(Server::new(ServerId(id), recovered));
    }

    fn insert(&mut self, server: Server) {
        let id = server.id;
        assert!(
            self.servers.insert(id, server).is_none(),
            "server {id} is there already"
        );
        self.boot(id);
    }
}

fn stored_log(configuration: &Configuration, terms: &[u64]) -> Vec<Entry> {
    let first = entry(1, 1, Payload::Configuration(configuration.clone().into()));
    let rest = (2_u64..).zip(terms).map(|(index, term)| {
        let command = Bytes::from(format!("{index}@{term}"));
        entry(index, *term, Payload::Command(command))
    });
    std::iter::once(first).chain(rest).collect()
}

fn entry(index: u64, term: u64, payload: Payload) -> Entry {
    Entry {
        index: Index(index),
        term: Term(term),
        stamp: ClusterTime::ZERO,
        payload,
    }
}
