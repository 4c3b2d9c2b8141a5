//! Endpoints over the carrier.

use std::net::SocketAddr;

use liferaft_platform::Address;
use liferaft_transport::endpoint::Endpoint;
use liferaft_transport::webrtc::{WebRtcCarrier, WebRtcConfig};

pub(crate) use crate::cluster::{endpoint, id, wanted};
pub(crate) use crate::polling::{PATIENCE, assert_linked, connect, during, frames, next};

pub(crate) const LOOPBACK: &str = "127.0.0.1:0";

pub(crate) async fn listen(config: WebRtcConfig) -> (WebRtcCarrier, Address) {
    let carrier = WebRtcCarrier::listen(config, socket(LOOPBACK)).await;
    let carrier = carrier.expect("loopback has free ports");
    let address = carrier.local_address().expect("it listens");
    (carrier, address)
}

pub(crate) fn socket(text: &str) -> SocketAddr {
    text.parse().expect("a socket address")
}

/// Two ends whose links are up: the first listens, and the second has dialed it.
pub(crate) async fn pair(carrier: WebRtcCarrier) -> (Endpoint, Endpoint) {
    let address = carrier.local_address().expect("it listens");
    let mut listening = endpoint(1, carrier);
    let config = WebRtcConfig::default();
    let mut dialing = endpoint(2, WebRtcCarrier::dial_only(config));
    dialing.want(&[wanted(1, &address)]);
    connect(&mut listening, &mut dialing).await;
    (listening, dialing)
}
