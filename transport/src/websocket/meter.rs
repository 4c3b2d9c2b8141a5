//! Counts what becomes of connections and datagrams.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

/// What has become of a carrier's connections and datagrams.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct WebSocketCounters {
    /// Datagrams dropped because too many bytes of them waited.
    pub datagrams_dropped: u64,
    /// Connections of others that were taken, to be opened.
    pub accepted: u64,
    /// Connections of others that were closed at once, because there were too many.
    pub refused: u64,
    /// Connections, of whichever end, that were not opened: nobody was there, TLS or the upgrade failed, or it took too
    /// long.
    pub unopened: u64,
    /// Connections closed because the other end sent what is no packet: a text, a message that is too long, or what is
    /// not WebSocket.
    pub broken: u64,
    /// Connections closed because no packet had come for too long.
    pub silent: u64,
}

/// Reads a carrier's counters, also while an [`Endpoint`](crate::endpoint::Endpoint) has the carrier.
#[derive(Clone, Debug, Default)]
pub struct WebSocketMeter(Arc<Tally>);

#[derive(Debug, Default)]
struct Tally {
    datagrams_dropped: AtomicU64,
    accepted: AtomicU64,
    refused: AtomicU64,
    unopened: AtomicU64,
    broken: AtomicU64,
    silent: AtomicU64,
}

impl WebSocketMeter {
    /// Returns the counters. Each is exact, but they are not of one moment.
    #[must_use]
    pub fn read(&self) -> WebSocketCounters {
        let Tally {
            datagrams_dropped,
            accepted,
            refused,
            unopened,
            broken,
            silent,
        } = &*self.0;
        let read = |count: &AtomicU64| count.load(Ordering::Relaxed);
        WebSocketCounters {
            datagrams_dropped: read(datagrams_dropped),
            accepted: read(accepted),
            refused: read(refused),
            unopened: read(unopened),
            broken: read(broken),
            silent: read(silent),
        }
    }

    pub(super) fn on_datagram_dropped(&self) {
        add_one(&self.0.datagrams_dropped);
    }

    pub(super) fn on_accepted(&self) {
        add_one(&self.0.accepted);
    }

    pub(super) fn on_refused(&self) {
        add_one(&self.0.refused);
    }

    pub(super) fn on_unopened(&self) {
        add_one(&self.0.unopened);
    }

    pub(super) fn on_broken(&self) {
        add_one(&self.0.broken);
    }

    pub(super) fn on_silent(&self) {
        add_one(&self.0.silent);
    }
}

fn add_one(count: &AtomicU64) {
    count.fetch_add(1, Ordering::Relaxed);
}
