//! Endpoints over the carrier.

use std::net::SocketAddr;
use std::sync::Arc;

use liferaft_platform::{Address, ClusterId};
use liferaft_transport::access::AccessTable;
use liferaft_transport::endpoint::{Endpoint, Signer as _};
use liferaft_transport::links::Credentials;
use liferaft_transport::websocket::{WebSocketCarrier, WebSocketConfig};

use crate::cluster::{credentials, signer};
pub(crate) use crate::cluster::{endpoint, id, wanted};
pub(crate) use crate::polling::{PATIENCE, assert_linked, connect, during, next};

pub(crate) const LOOPBACK: &str = "127.0.0.1:0";

pub(crate) async fn listen(config: WebSocketConfig) -> (WebSocketCarrier, Address) {
    let carrier = WebSocketCarrier::listen(config, socket(LOOPBACK)).await;
    let carrier = carrier.expect("loopback has free ports");
    let address = carrier.local_address().expect("it listens");
    (carrier, address)
}

pub(crate) fn socket(text: &str) -> SocketAddr {
    text.parse().expect("a socket address")
}

/// Two ends whose links are up: the first listens, and the second has dialed it.
pub(crate) async fn pair(carrier: WebSocketCarrier) -> (Endpoint, Endpoint) {
    let address = carrier.local_address().expect("it listens");
    let mut listening = endpoint(1, carrier);
    let config = WebSocketConfig::default();
    let mut dialing = endpoint(2, WebSocketCarrier::dial_only(config));
    dialing.want(&[wanted(1, &address)]);
    connect(&mut listening, &mut dialing).await;
    (listening, dialing)
}

/// Makes an end of another cluster, whose key is that of an end of this one.
pub(crate) fn foreign_endpoint(number: u8, carrier: WebSocketCarrier) -> Endpoint {
    let signer = signer(number);
    let credentials = Credentials {
        cluster: ClusterId(8),
        ..credentials(signer.public_key())
    };
    let mut end = Endpoint::new(signer, carrier);
    end.introduce(credentials, Arc::new(AccessTable::default()));
    end
}
