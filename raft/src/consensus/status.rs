//! Tells what a server knows of itself.

use alloc::vec::Vec;
use core::time::Duration;

use super::common::Common;
use super::output::{Refusal, RoleKind};
use super::progress::{Flow, Progress};
use super::role::Role;
use crate::configuration::Configuration;
use crate::ids::{Index, LogPosition, ServerId, Term};
use crate::sorted::SortedMap;
use crate::time::ClusterTime;

/// A server's view of itself and of its cluster.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Status {
    /// The server.
    pub id: ServerId,
    /// What it does.
    pub role: RoleKind,
    /// Its current term.
    pub term: Term,
    /// Whom it voted for in that term.
    pub voted_for: Option<ServerId>,
    /// The leader it knows of: one that it has heard within two election timeouts.
    pub leader: Option<ServerId>,
    /// The end of its log.
    pub last: LogPosition,
    /// The cluster time of the last entry of its log, by which access tokens expire.
    pub last_stamp: ClusterTime,
    /// Up to here its log is on its disk.
    pub persisted: Index,
    /// Up to here entries are committed, as far as it knows.
    pub commit: Index,
    /// Up to here entries are applied.
    pub applied: Index,
    /// Up to here its snapshot reaches.
    pub snapshot: Index,
    /// For so long it answers reads without asking anybody (§6.4.1); `None` if it does not.
    pub lease: Option<Duration>,
    /// What the entries behind the snapshot weigh, in bytes.
    pub log_bytes: u64,
    /// The configuration in force: the newest in its log, committed or not (§4.1).
    pub configuration: Configuration,
    /// The index of that configuration's entry.
    pub configuration_index: Index,
    /// For a leader, each server that it replicates to.
    pub peers: Vec<PeerStatus>,
    /// How many messages were refused, by reason.
    pub refused: SortedMap<Refusal, u64>,
}

/// Where a server's log stands: cheap to ask for after every input.
///
/// Invariant: `compacted <= snapshot`, `applied <= commit` and `snapshot <= commit <= last`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Positions {
    /// Up to here the log is compacted away.
    pub compacted: Index,
    /// Up to here its durable snapshot reaches.
    pub snapshot: Index,
    /// Up to here entries are applied.
    pub applied: Index,
    /// Up to here entries are committed, as far as it knows.
    pub commit: Index,
    /// Up to here its log is on its disk.
    pub persisted: Index,
    /// The end of its log.
    pub last: LogPosition,
}

/// What a leader knows of a server that it replicates to.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PeerStatus {
    /// The server.
    pub id: ServerId,
    /// How entries go to it.
    pub state: ReplicationState,
    /// Up to here its log is durable and equal to the leader's; zero for one that has lost what it had acknowledged.
    pub match_index: Index,
    /// The next entry to send.
    pub next_index: Index,
    /// Up to here it has applied.
    pub applied: Index,
    /// How many entries of the leader's log are not known to be durable there.
    pub lag_entries: u64,
    /// What is on its way to it and not known to have arrived weighs, in bytes of entries or of a snapshot.
    pub inflight_bytes: u64,
    /// The smoothed round trip, once one was measured.
    pub round_trip: Option<Duration>,
    /// The time since it last answered a new round; `None` if it never did.
    pub silent_for: Option<Duration>,
    /// How long, by its own answers, something that has arrived there has not become durable: its disk hangs, or is
    /// slow. `None` if all that has arrived is durable.
    pub disk_stalled_for: Option<Duration>,
}

/// How entries go to a peer (§10.2.1).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ReplicationState {
    /// One message at a time, until the place is found where the logs agree.
    Probe,
    /// Pipelined, within a window of bytes.
    Replicate,
    /// Its next entry is compacted away: it is sent the snapshot.
    Snapshot,
    /// Not at all: it has lost some of what it had acknowledged, and counts for nothing as long as this leader leads.
    Forgot,
}

impl super::Raft {
    /// Where its log stands.
    #[must_use]
    pub fn positions(&self) -> Positions {
        let common = &self.common;
        Positions {
            compacted: common.log.base().index,
            snapshot: common.snapshot_index(),
            applied: common.applied(),
            commit: common.commit_index,
            persisted: common.outbox.persisted(),
            last: common.log.last(),
        }
    }

    /// The configuration in force, with the index of its entry: the newest in the log, committed or not (§4.1).
    #[must_use]
    pub fn configuration(&self) -> (Index, &Configuration) {
        let common = &self.common;
        (
            common.configurations.current_index(),
            common.configuration(),
        )
    }

    /// What this server can tell of itself. It copies the configuration: ask when something changed, not all the time.
    #[must_use]
    pub fn status(&self) -> Status {
        let common = &self.common;
        let peers = match &self.role {
            Role::Leader(leader) => leader
                .peers
                .iter()
                .map(|(id, peer)| PeerStatus::of(id, peer, common))
                .collect(),
            Role::Follower(_) | Role::PreCandidate(_) | Role::Candidate(_) => Vec::new(),
        };
        Status {
            id: common.id,
            role: self.role.kind(),
            term: common.current_term,
            voted_for: common.voted_for,
            leader: self.leader(),
            last: common.log.last(),
            last_stamp: common.log.last_stamp(),
            persisted: common.outbox.persisted(),
            commit: common.commit_index,
            applied: common.applied(),
            snapshot: common.snapshot_index(),
            lease: self
                .lease_until()
                .map(|until| until.since(common.now))
                .filter(|left| !left.is_zero()),
            log_bytes: common.log.bytes(),
            configuration: common.configuration().clone(),
            configuration_index: common.configurations.current_index(),
            peers,
            refused: common.refused.clone(),
        }
    }
}

impl PeerStatus {
    fn of(id: ServerId, peer: &Progress, common: &Common) -> Self {
        let (match_index, lacks_after) = match peer.flow {
            Flow::Forgot { last } => (Index::ZERO, last.min(peer.match_index)),
            Flow::Probe { .. } | Flow::Replicate(_) | Flow::Snapshot(_) => {
                (peer.match_index, peer.match_index)
            }
        };
        Self {
            id,
            state: match peer.flow {
                Flow::Probe { .. } => ReplicationState::Probe,
                Flow::Replicate(_) => ReplicationState::Replicate,
                Flow::Snapshot(_) => ReplicationState::Snapshot,
                Flow::Forgot { .. } => ReplicationState::Forgot,
            },
            match_index,
            next_index: peer.next_index,
            applied: peer.applied,
            lag_entries: common.log.last_index().distance_from(lacks_after),
            inflight_bytes: match &peer.flow {
                Flow::Probe { .. } | Flow::Forgot { .. } => 0,
                Flow::Replicate(window) => window.bytes(),
                Flow::Snapshot(sending) => sending.sent.saturating_sub(sending.acked),
            },
            round_trip: peer.round_trip.smoothed(),
            silent_for: peer.heard_at.map(|at| common.now.since(at)),
            disk_stalled_for: peer.headway.disk_stalled_for(),
        }
    }
}
