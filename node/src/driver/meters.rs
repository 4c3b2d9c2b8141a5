//! Counters and gauges through the `metrics` facade (feature `metrics`), all of them listed in `docs/observability.md`.
//!
//! They are brought up to date whenever the status is posted, which is once a heartbeat and when something that matters
//! has changed: nothing is measured where messages are handled. Handles are taken from the recorder once, when the
//! member starts, or when a peer is first seen.

use liferaft_platform::SortedMap;
use metrics::{Counter, Gauge, Label, counter, gauge};

use super::status::{Counters, Fresh, Queues};
use crate::consensus::{PeerStatus, RoleKind, Status};
use crate::ids::{ClusterId, ServerId};

/// A figure by its name, and where it is found.
type Named<Of> = (&'static str, fn(&Of) -> u64);

/// Figures by their handles, and where each is found.
type Metered<Meter, Of> = Vec<(Meter, fn(&Of) -> u64)>;

/// Whom a member's figures are of.
type Labels = Vec<Label>;

/// The meters of one member.
pub(super) struct Meters {
    labels: Labels,
    counters: Metered<Counter, Counters>,
    refused: Counter,
    positions: Metered<Gauge, Status>,
    queues: Metered<Gauge, Queues>,
    peers: SortedMap<ServerId, PeerMeters>,
}

/// What a leader measures of a peer.
struct PeerMeters {
    lag_entries: Gauge,
    inflight_bytes: Gauge,
    round_trip: Gauge,
    silence: Gauge,
}

const COUNTERS: [Named<Counters>; 16] = [
    ("liferaft_frames_received_total", |of| of.frames_received),
    ("liferaft_frames_sent_total", |of| of.frames_sent),
    ("liferaft_frames_not_sent_total", |of| of.frames_not_sent),
    ("liferaft_frames_undecodable_total", |of| {
        of.frames_undecodable
    }),
    ("liferaft_frames_of_another_cluster_total", |of| {
        of.frames_of_another_cluster
    }),
    ("liferaft_frames_of_another_history_total", |of| {
        of.frames_of_another_history
    }),
    ("liferaft_frames_for_another_server_total", |of| {
        of.frames_for_another_server
    }),
    ("liferaft_frames_not_admitted_total", |of| {
        of.frames_not_admitted
    }),
    ("liferaft_commands_malformed_total", |of| {
        of.commands_malformed
    }),
    ("liferaft_requests_refused_total", |of| of.requests_refused),
    ("liferaft_snapshots_taken_total", |of| of.snapshots_taken),
    ("liferaft_snapshots_installed_total", |of| {
        of.snapshots_installed
    }),
    ("liferaft_snapshots_refused_total", |of| {
        of.snapshots_refused
    }),
    ("liferaft_elections_total", |of| of.elections),
    ("liferaft_leader_changes_total", |of| of.leader_changes),
    ("liferaft_peers_forgot_total", |of| of.peers_forgot),
];

const POSITIONS: [Named<Status>; 10] = [
    ("liferaft_term", |of| of.term.0),
    ("liferaft_is_leader", |of| {
        u64::from(of.role == RoleKind::Leader)
    }),
    ("liferaft_has_leader", |of| u64::from(of.leader.is_some())),
    ("liferaft_last_index", |of| of.last.index.0),
    ("liferaft_persisted_index", |of| of.persisted.0),
    ("liferaft_commit_index", |of| of.commit.0),
    ("liferaft_applied_index", |of| of.applied.0),
    ("liferaft_snapshot_index", |of| of.snapshot.0),
    ("liferaft_log_bytes", |of| of.log_bytes),
    ("liferaft_voters", |of| {
        of.configuration.voters().len() as u64
    }),
];

const QUEUES: [Named<Queues>; 8] = [
    ("liferaft_queue_requests", |of| of.requests as u64),
    ("liferaft_queue_frames", |of| of.frames as u64),
    ("liferaft_queue_commands", |of| of.commands as u64),
    ("liferaft_queue_command_bytes", |of| of.command_bytes as u64),
    ("liferaft_queue_reads", |of| of.reads as u64),
    ("liferaft_queue_operations", |of| of.operations as u64),
    ("liferaft_queue_writes", |of| of.writes as u64),
    ("liferaft_queue_applying", |of| of.applying),
];

impl Meters {
    pub(super) fn new(cluster: ClusterId, server: ServerId) -> Self {
        let labels = vec![
            Label::new("cluster", cluster.to_string()),
            Label::new("server", format!("{server:?}")),
        ];
        let gauges = |name| gauge!(name, labels.clone());
        Self {
            counters: COUNTERS
                .map(|(name, of)| (counter!(name, labels.clone()), of))
                .into(),
            refused: counter!("liferaft_messages_refused_total", labels.clone()),
            positions: POSITIONS.map(|(name, of)| (gauges(name), of)).into(),
            queues: QUEUES.map(|(name, of)| (gauges(name), of)).into(),
            peers: SortedMap::new(),
            labels,
        }
    }

    /// Brings all of them up to date.
    pub(super) fn publish(&mut self, fresh: &Fresh) {
        for (counter, of) in &self.counters {
            counter.absolute(of(&fresh.counters));
        }
        self.refused.absolute(fresh.raft.refused.values().sum());
        for (gauge, of) in &self.positions {
            gauge.set(of(&fresh.raft) as f64);
        }
        for (gauge, of) in &self.queues {
            gauge.set(of(&fresh.queues) as f64);
        }
        // What a server that does not lead does not measure is not a number.
        self.peers.retain(|id, meters| {
            let is_peer = fresh.raft.peers.iter().any(|peer| peer.id == *id);
            if !is_peer {
                meters.set_unknown();
            }
            is_peer
        });
        for peer in &fresh.raft.peers {
            let labels = &self.labels;
            self.peers
                .entry(peer.id)
                .or_insert_with(|| PeerMeters::new(labels, peer.id))
                .set(peer);
        }
    }
}

impl PeerMeters {
    fn new(labels: &Labels, peer: ServerId) -> Self {
        let mut labels = labels.clone();
        labels.push(Label::new("peer", format!("{peer:?}")));
        let gauge = |name| gauge!(name, labels.clone());
        Self {
            lag_entries: gauge("liferaft_peer_lag_entries"),
            inflight_bytes: gauge("liferaft_peer_inflight_bytes"),
            round_trip: gauge("liferaft_peer_round_trip_seconds"),
            silence: gauge("liferaft_peer_silence_seconds"),
        }
    }

    fn set(&self, peer: &PeerStatus) {
        self.lag_entries.set(peer.lag_entries as f64);
        self.inflight_bytes.set(peer.inflight_bytes as f64);
        let seconds =
            |span: Option<std::time::Duration>| span.map_or(f64::NAN, |it| it.as_secs_f64());
        self.round_trip.set(seconds(peer.round_trip));
        self.silence.set(seconds(peer.silent_for));
    }

    fn set_unknown(&self) {
        for gauge in [
            &self.lag_entries,
            &self.inflight_bytes,
            &self.round_trip,
            &self.silence,
        ] {
            gauge.set(f64::NAN);
        }
    }
}
