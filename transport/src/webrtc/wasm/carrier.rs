//! Carries the packets of links over the connections of a browser.

use std::task::{Context, Poll};

use futures::StreamExt;
use futures::channel::mpsc;
use wasm_bindgen_futures::spawn_local;

use super::super::address::{SCHEME, Target};
use super::super::config::WebRtcConfig;
use super::super::limits::PACKET_BYTES_MAX;
use super::super::meter::WebRtcMeter;
use super::Options;
use super::connection::dial_all;
use super::table::{End, Table};
use crate::carrier::{
    Address, Carrier, CarrierEvent, CarryError, Channel, DialError, Packet, Path,
};

/// A carrier over the data channels of a browser, which has them in pages and not in workers. It dials
/// `rtc://host:port#sha256=FINGERPRINT`. Dropping it closes all connections.
#[derive(Debug)]
pub struct WebRtcCarrier {
    table: Table,
    /// To the task that makes connections. At most as many wait there as connections may be dialed.
    dials: mpsc::UnboundedSender<(Target, End)>,
    arrivals: mpsc::UnboundedReceiver<CarrierEvent>,
}

impl WebRtcCarrier {
    /// Makes a carrier that dials.
    #[must_use]
    pub fn dial_only(config: WebRtcConfig) -> Self {
        let WebRtcConfig {
            limits,
            datagram_mode,
            // A listener that is dialed by its address is reached without help.
            ice_servers: _,
            ice_transport_policy: _,
            // Addresses that need signaling are refused.
            servers: _,
            host: Options {},
        } = config;
        let (sender, arrivals) = mpsc::unbounded();
        let (dials, dialed) = mpsc::unbounded();
        spawn_local(dial_all(dialed, datagram_mode));
        Self {
            table: Table::new(limits, sender),
            dials,
            arrivals,
        }
    }

    /// Returns what reads the counters of this carrier, as long as one likes. Those of UDP stay zero: a browser does
    /// not show its datagrams.
    #[must_use]
    pub fn meter(&self) -> WebRtcMeter {
        self.table.meter.clone()
    }
}

impl Carrier for WebRtcCarrier {
    fn scheme(&self) -> &str {
        SCHEME
    }

    fn packet_bytes_max(&self) -> usize {
        PACKET_BYTES_MAX
    }

    fn is_reliable(&self) -> bool {
        true
    }

    fn describe(&self, path: &Path) -> Option<String> {
        self.table.describe(path)
    }

    fn dial(&mut self, address: &Address) -> Result<Path, DialError> {
        let target = Target::read(address);
        let target = target.ok_or_else(|| DialError::BadAddress(address.clone()))?;
        let end = self.table.dialed().ok_or_else(|| DialError::TooMany {
            address: address.clone(),
            connections_max: self.table.limits.dialed_max,
        })?;
        let path = end.path;
        let sent = self.dials.unbounded_send((target, end));
        assert!(sent.is_ok(), "the task lives as long as the carrier");
        Ok(path)
    }

    fn send(&mut self, path: &Path, channel: Channel, packet: Packet) -> Result<(), CarryError> {
        self.table.send(path, channel, packet)
    }

    fn close(&mut self, path: &Path) {
        self.table.close(path);
    }

    fn poll(&mut self, context: &mut Context<'_>) -> Poll<Option<CarrierEvent>> {
        while let Poll::Ready(event) = self.arrivals.poll_next_unpin(context) {
            // The table has a sender as long as the carrier lives.
            let Some(event) = event else {
                return Poll::Ready(None);
            };
            if let Some(news) = self.table.take(event) {
                return Poll::Ready(Some(news));
            }
        }
        Poll::Pending
    }
}
