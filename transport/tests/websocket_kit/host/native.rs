//! Natively: a socket of the carrier's own.

use liferaft_platform::Address;
use liferaft_transport::websocket::{WebSocketCarrier, WebSocketConfig};

pub(crate) async fn listen(_number: u8) -> (WebSocketCarrier, Address) {
    let loopback = "127.0.0.1:0".parse().expect("a socket address");
    let carrier = WebSocketCarrier::listen(WebSocketConfig::default(), loopback).await;
    let carrier = carrier.expect("loopback has free ports");
    let address = carrier.local_address().expect("it listens");
    (carrier, address)
}
