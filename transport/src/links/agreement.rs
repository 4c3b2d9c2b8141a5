//! Decides what becomes of a link that a handshake has agreed upon, and whose preference counts.

use std::time::Duration;

use super::event::Route;
use super::link::{ActiveLink, is_server};
use super::table::Table;
use crate::ServerId;
use crate::handshake::Established;

/// What becomes of a link that both ends have agreed upon.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Fate {
    /// There is one that will do.
    Superfluous,
    /// The peer may not have it.
    Refused,
    /// It waits for the first packet of the peer, which has begun the handshake.
    Waits,
    /// One that the peer has begun is as good.
    GivesWay,
    /// It is up.
    ComesUp,
}

impl Fate {
    /// Decides about a link by a route. `looked_for` is the server that this end has looked for, if it has begun the
    /// handshake; `is_crowded` says that there is no room for a further peer.
    pub(super) fn of(
        established: &Established,
        (route, looked_for): (Route, Option<ServerId>),
        (own, is_crowded): (ServerId, bool),
        table: &Table,
    ) -> Self {
        let peer = established.peer.server_id();
        let is_same_start =
            |link: &ActiveLink| link.about.starts.newest() == established.starts.newest();
        let active = table.active(peer);
        // Where several are looked for at one address, whoever is there answers for each: one link to it will do.
        let is_another = looked_for.is_some_and(|looked_for| looked_for != peer);
        if is_another && active.is_some_and(is_same_start) {
            return Self::Superfluous;
        }
        let is_old =
            active.is_some_and(|link| !established.starts.may_follow(&link.about.starts.newest()));
        // A third server passes on what the peers of its own links send, of servers and of nobody else.
        let is_relayed_as = route.relay().map(|(_, server)| server);
        let is_passed =
            is_relayed_as.is_none_or(|server| server == peer && is_server(established.role));
        if is_old || !is_passed || is_crowded || table.has_generation(established.generation) {
            return Self::Refused;
        }
        if looked_for.is_none() {
            return Self::Waits;
        }
        // Of two links that come up at once both ends keep that which the lesser id has begun. Which one is better they
        // may see differently, and a better one replaces it soon.
        if peer < own && table.pending(peer).any(is_same_start) {
            Self::GivesWay
        } else {
            Self::ComesUp
        }
    }
}

/// Returns how long the link has lived that another takes the place of, if the peer has made that although this end
/// holds it for worse, and the peer's word counts for more: that of the lesser id.
pub(super) fn outweighed(
    link: &ActiveLink,
    own: ServerId,
    table: &Table,
    now: Duration,
) -> Option<Duration> {
    let earlier = table.active(link.about.peer)?;
    let is_worse = earlier.route.carrier < link.route.carrier && !link.route.is_relayed();
    let is_same_start = earlier.about.starts.newest() == link.about.starts.newest();
    let is_by_choice = is_worse && is_same_start && earlier.is_heard_lately(now);
    let is_of_peer = !link.is_initiator && link.about.peer < own;
    (is_by_choice && is_of_peer).then(|| now.saturating_sub(earlier.up_at()))
}
