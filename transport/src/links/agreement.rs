//! Decides what becomes of a link that a handshake has agreed upon.

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
        // Of two links that come up at once both ends keep the better one, or that which the lesser id has begun.
        let comes_before = |pending: &ActiveLink| {
            is_same_start(pending) && (pending.route.carrier, peer) < (route.carrier, own)
        };
        if table.pending(peer).any(comes_before) {
            Self::GivesWay
        } else {
            Self::ComesUp
        }
    }
}
