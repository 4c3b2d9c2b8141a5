//! Carries the packets of links over the connections of a host.

use std::task::{Context, Poll};

use futures::StreamExt;
use futures::channel::mpsc;

use super::config::WebSocketConfig;
use super::host::Host;
use super::limits::{PACKET_BYTES_MAX, UNREAD_EVENTS_MAX};
use super::meter::WebSocketMeter;
use super::table::Table;
use super::target::{PLAIN, SECURE, Target};
use crate::carrier::{
    Address, Carrier, CarrierEvent, CarryError, Channel, DialError, Packet, Path, Reach,
};

/// The most connections that are taken in between two events of others.
const ACCEPTS_MAX: usize = 16;

/// A carrier over WebSocket. Each connection is moved by a task of its own, so it is made and polled inside a runtime:
/// tokio's natively, with its I/O and timers enabled.
///
/// It dials `ws://host:port/path` and `wss://host:port/path`. Dropping it closes all connections, which send what waits
/// before that, for [`closing_time_max`](super::WebSocketLimits::closing_time_max) at most.
#[derive(Debug)]
pub struct WebSocketCarrier {
    pub(super) host: Host,
    table: Table,
    arrivals: mpsc::Receiver<CarrierEvent>,
}

impl WebSocketCarrier {
    /// Makes a carrier that dials and does not listen.
    #[must_use]
    pub fn dial_only(config: WebSocketConfig) -> Self {
        let limits = config.limits;
        Self::over(Host::new(config.host), limits)
    }

    pub(super) fn over(host: Host, limits: super::WebSocketLimits) -> Self {
        let (sender, arrivals) = mpsc::channel(UNREAD_EVENTS_MAX);
        Self {
            host,
            table: Table::new(limits, sender),
            arrivals,
        }
    }

    /// Returns what reads the counters of this carrier, as long as one likes.
    #[must_use]
    pub fn meter(&self) -> WebSocketMeter {
        self.table.meter.clone()
    }

    /// Takes in connections of others that wait. Returns true if there may be more.
    fn accept(&mut self, context: &mut Context<'_>) -> bool {
        for _ in 0..ACCEPTS_MAX {
            let Poll::Ready(incoming) = self.host.poll_incoming(context) else {
                return false;
            };
            // One that is refused is closed by being dropped.
            if let Some(end) = self.table.accepted(&incoming.origin(), incoming.from()) {
                incoming.open(end);
            }
        }
        true
    }
}

impl Carrier for WebSocketCarrier {
    fn scheme(&self) -> &str {
        PLAIN
    }

    fn other_schemes(&self) -> &[&'static str] {
        &[SECURE]
    }

    fn packet_bytes_max(&self) -> usize {
        PACKET_BYTES_MAX
    }

    fn reach(&self) -> Reach {
        self.host.reach()
    }

    fn is_reliable(&self) -> bool {
        true
    }

    fn describe(&self, path: &Path) -> Option<String> {
        self.table.describe(path)
    }

    fn dial(&mut self, address: &Address) -> Result<Path, DialError> {
        let target = Target::read(address).filter(|target| self.host.dials(target));
        let target = target.ok_or_else(|| DialError::BadAddress(address.clone()))?;
        let end = self
            .table
            .dialed(address)
            .ok_or_else(|| DialError::TooMany {
                address: address.clone(),
                connections_max: self.table.limits.dialed_max,
            })?;
        let path = end.path;
        self.host.dial(target, end);
        Ok(path)
    }

    fn send(&mut self, path: &Path, channel: Channel, packet: Packet) -> Result<(), CarryError> {
        self.table.send(path, channel, packet)
    }

    fn close(&mut self, path: &Path) {
        self.table.close(path);
    }

    fn poll(&mut self, context: &mut Context<'_>) -> Poll<Option<CarrierEvent>> {
        let has_more = self.accept(context);
        loop {
            match self.arrivals.poll_next_unpin(context) {
                Poll::Ready(Some(event)) => {
                    if let Some(news) = self.table.take(event) {
                        return Poll::Ready(Some(news));
                    }
                }
                // The table has a sender as long as the carrier lives.
                Poll::Ready(None) => return Poll::Ready(None),
                Poll::Pending => {
                    if has_more {
                        context.waker().wake_by_ref();
                    }
                    return Poll::Pending;
                }
            }
        }
    }
}
