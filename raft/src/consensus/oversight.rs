//! Tells what a leader knows of the servers that it replicates to, for whoever decides who they should be.

use alloc::vec::Vec;
use core::time::Duration;

use super::role::Role;
use crate::config::Timing;
use crate::configuration::{Configuration, Dismissal};
use crate::ids::{Index, Round, ServerId, Term};
use crate::time::{ClusterTime, Instant};

/// A leader's knowledge of its peers.
#[derive(Clone, Debug)]
pub struct Oversight<'a> {
    /// The leader.
    pub id: ServerId,
    /// Its term.
    pub term: Term,
    /// When it took office.
    pub since: Instant,
    /// When another leader last spoke to it, or its own last leadership ended; `None` if neither has happened since it
    /// started. Of any other server it cannot have heard later, as its predecessor's follower.
    pub predecessor_led_at: Option<Instant>,
    /// The configuration in force: the newest in its log.
    pub configuration: &'a Configuration,
    /// Whether a membership change would be begun at once: its term has committed, the configuration in force is
    /// committed and simple, and no change is under way (§4.1).
    pub may_change: bool,
    /// Up to here entries are committed.
    pub commit: Index,
    /// The latest round that it has begun.
    pub round: Round,
    /// What cluster time it is, by which access tokens expire.
    pub cluster_time: ClusterTime,
    /// Its times.
    pub timing: Timing,
    /// Its peers, sorted by id: those that the configuration names, and some that are about to come or have just left.
    pub peers: Vec<Contact>,
}

/// What a leader knows of one peer.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Contact {
    /// The peer.
    pub id: ServerId,
    /// When it last echoed a round that it had not echoed before; `None` if it has not yet.
    pub heard_at: Option<Instant>,
    /// The latest round that it has echoed.
    pub round: Round,
    /// Up to here its log is durable and equal to the leader's.
    pub match_index: Index,
    /// The smoothed round trip, once one was measured.
    pub round_trip: Option<Duration>,
    /// When more of its log became durable, or its storage had more of a snapshot; `None` if neither ever was.
    pub headway_at: Option<Instant>,
    /// Within which time it makes headway, as it stands now, unless it is stuck.
    pub headway_within: Duration,
    /// How long, by its own answers, something that has arrived there has not become durable; `None` if all has.
    pub disk_stalled_for: Option<Duration>,
    /// Whether it has lost some of what it had acknowledged to this leader: it counts towards no quorum.
    pub has_forgotten: bool,
}

impl Oversight<'_> {
    /// What it knows of this peer.
    #[must_use]
    pub fn peer(&self, id: ServerId) -> Option<&Contact> {
        let at = self.peers.binary_search_by_key(&id, |peer| peer.id);
        at.ok().map(|at| &self.peers[at])
    }

    /// Returns true if this server has lost what it had acknowledged, as this leader has found or the configuration
    /// remembers: its id is not taken in again.
    #[must_use]
    pub fn has_forgotten(&self, id: ServerId) -> bool {
        let is_found = self.peer(id).is_some_and(|peer| peer.has_forgotten);
        is_found || self.configuration.dismissal(id) == Some(Dismissal::Forgot)
    }
}

impl super::Raft {
    /// What this server knows of its peers, if it leads.
    #[must_use]
    pub fn oversight(&self) -> Option<Oversight<'_>> {
        let Role::Leader(leader) = &self.role else {
            return None;
        };
        let common = &self.common;
        let peers = leader.peers.iter().map(|(id, peer)| Contact {
            id,
            heard_at: peer.heard_at,
            round: peer.acked_round,
            match_index: peer.match_index,
            round_trip: peer.round_trip.smoothed(),
            headway_at: peer.headway.made_at(),
            headway_within: peer.headway_within(common),
            disk_stalled_for: peer.headway.disk_stalled_for(),
            has_forgotten: peer.has_forgotten(),
        });
        Some(Oversight {
            id: common.id,
            term: common.current_term,
            since: leader.since,
            predecessor_led_at: leader.predecessor_led_at,
            configuration: common.configuration(),
            may_change: leader.may_change(common),
            commit: common.commit_index,
            round: leader.rounds.latest(),
            cluster_time: leader.cluster_time(common),
            timing: common.config.timing(),
            peers: peers.collect(),
        })
    }

    /// When a leader was last known to lead: when one last spoke to this server, or when it ceased to lead itself.
    #[must_use]
    pub fn led_at(&self) -> Option<Instant> {
        self.common.led_at
    }
}
