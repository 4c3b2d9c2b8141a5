//! Counts what becomes of connections and datagrams.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

/// What has become of a carrier's connections and datagrams.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct WebRtcCounters {
    /// Datagrams of UDP that were sent, for connections of whichever end.
    pub udp_sent: u64,
    /// Datagrams of UDP that came for a connection, or opened one.
    pub udp_received: u64,
    /// Datagrams of UDP that no connection took: garbage, or of an unknown sender.
    pub udp_ignored: u64,
    /// Datagrams of UDP that were dropped because the system took none for too long.
    pub udp_unsent: u64,
    /// Packets that data channels have brought, those that nobody waited for any more among them.
    pub packets_received: u64,
    /// Packets that were dropped because too many bytes of datagrams were under way, or, in browsers, of either channel
    /// unread.
    pub datagrams_dropped: u64,
    /// Packets of bulk that were refused until there is room.
    pub ordered_refused: u64,
    /// The most bytes that the channel for bulk of a connection ever had under way without their being acknowledged:
    /// never more than [`UNACKNOWLEDGED_BYTES_MAX`](super::UNACKNOWLEDGED_BYTES_MAX).
    pub ordered_unacknowledged_peak: u64,
    /// Connections of others that were taken, to be opened.
    pub accepted: u64,
    /// Connections of others that were not answered because there were too many, or that gave their place to others
    /// before a link was up by them.
    pub refused: u64,
    /// Connections, of whichever end, that were opened.
    pub opened: u64,
    /// Connections, of whichever end, that were not opened: nobody was there, the certificate was another, or it took
    /// too long.
    pub unopened: u64,
    /// Connections closed because the other end sent what is no packet.
    pub broken: u64,
    /// Connections closed because no packet had come, or none was to be sent, for too long.
    pub silent: u64,
    /// Addresses that servers of TURN have lent.
    pub relays_allocated: u64,
    /// Addresses that servers of TURN refused, took back or forgot, and servers that did not answer: the log says why.
    pub relays_lost: u64,
    /// Clients of PeerJS that dialed this server, and were told that it takes an invitation to join.
    pub visitors_refused: u64,
    /// Restarts of ICE that this end has offered or answered, since nothing came on a connection.
    pub restarts: u64,
    /// Of these, those after which something came again.
    pub restarts_recovered: u64,
    /// Of these, those whose connection was closed before anything came.
    pub restarts_lost: u64,
}

/// Reads a carrier's counters, also while an [`Endpoint`](crate::endpoint::Endpoint) has the carrier.
#[derive(Clone, Debug, Default)]
pub struct WebRtcMeter(Arc<Tally>);

#[derive(Debug, Default)]
pub(super) struct Tally {
    pub(super) udp_sent: Count,
    pub(super) udp_received: Count,
    pub(super) udp_ignored: Count,
    pub(super) udp_unsent: Count,
    pub(super) packets_received: Count,
    pub(super) datagrams_dropped: Count,
    pub(super) ordered_refused: Count,
    pub(super) ordered_unacknowledged_peak: Count,
    pub(super) accepted: Count,
    pub(super) refused: Count,
    pub(super) opened: Count,
    pub(super) unopened: Count,
    pub(super) broken: Count,
    pub(super) silent: Count,
    pub(super) relays_allocated: Count,
    pub(super) relays_lost: Count,
    pub(super) visitors_refused: Count,
    pub(super) restarts: Count,
    pub(super) restarts_recovered: Count,
    pub(super) restarts_lost: Count,
}

/// A number that grows.
#[derive(Debug, Default)]
pub(super) struct Count(AtomicU64);

impl Count {
    pub(super) fn add_one(&self) {
        self.0.fetch_add(1, Ordering::Relaxed);
    }

    /// Raises it to a length, if that is more.
    pub(super) fn raise_to(&self, bytes: usize) {
        let bytes = u64::try_from(bytes).expect("a length fits 64 bits");
        self.0.fetch_max(bytes, Ordering::Relaxed);
    }

    fn read(&self) -> u64 {
        self.0.load(Ordering::Relaxed)
    }
}

impl WebRtcMeter {
    /// Returns the counters. Each is exact, but they are not of one moment.
    #[must_use]
    pub fn read(&self) -> WebRtcCounters {
        let tally = &*self.0;
        WebRtcCounters {
            udp_sent: tally.udp_sent.read(),
            udp_received: tally.udp_received.read(),
            udp_ignored: tally.udp_ignored.read(),
            udp_unsent: tally.udp_unsent.read(),
            packets_received: tally.packets_received.read(),
            datagrams_dropped: tally.datagrams_dropped.read(),
            ordered_refused: tally.ordered_refused.read(),
            ordered_unacknowledged_peak: tally.ordered_unacknowledged_peak.read(),
            accepted: tally.accepted.read(),
            refused: tally.refused.read(),
            opened: tally.opened.read(),
            unopened: tally.unopened.read(),
            broken: tally.broken.read(),
            silent: tally.silent.read(),
            relays_allocated: tally.relays_allocated.read(),
            relays_lost: tally.relays_lost.read(),
            visitors_refused: tally.visitors_refused.read(),
            restarts: tally.restarts.read(),
            restarts_recovered: tally.restarts_recovered.read(),
            restarts_lost: tally.restarts_lost.read(),
        }
    }

    pub(super) fn tally(&self) -> &Tally {
        &self.0
    }
}
