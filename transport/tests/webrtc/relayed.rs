//! Links that go through a server of TURN, where coturn is installed.

use liferaft_transport::webrtc::{
    IceServer, IceTransportPolicy, WebRtcCarrier, WebRtcConfig, WebRtcMeter,
};

use crate::coturn::{CREDENTIAL, Coturn, USERNAME};
use crate::ends::{assert_linked, connect, endpoint, id, next, wanted};
use crate::exchange::{Exchange, address_of};

#[tokio::test]
async fn two_ends_that_may_only_be_relayed_are_linked() {
    let Some(coturn) = Coturn::start().await else {
        return;
    };
    let exchange = Exchange::honest();
    let [(one, meter), (other, _)] = [(); 2].map(|()| relayed(&exchange, &coturn));
    let mut a = endpoint(1, one);
    let mut b = endpoint(2, other);

    a.want(&[wanted(2, &address_of(id(2)))]);
    connect(&mut a, &mut b).await;

    assert_linked(&mut a, &mut b).await;
    assert_linked(&mut b, &mut a).await;
    assert_eq!(meter.read().relays_allocated, 1);
}

#[tokio::test]
async fn ends_are_linked_again_after_their_relay_was_restarted() {
    let Some(mut coturn) = Coturn::start().await else {
        return;
    };
    let exchange = Exchange::honest();
    let [(one, _), (other, _)] = [(); 2].map(|()| relayed(&exchange, &coturn));
    let mut a = endpoint(1, one);
    let mut b = endpoint(2, other);
    a.want(&[wanted(2, &address_of(id(2)))]);
    connect(&mut a, &mut b).await;
    assert_linked(&mut a, &mut b).await;

    coturn.restart().await;
    while a.link(id(2)).is_some() || b.link(id(1)).is_some() {
        tokio::select! {
            event = next(&mut a) => drop(event),
            event = next(&mut b) => drop(event),
        }
    }
    connect(&mut a, &mut b).await;

    assert_linked(&mut a, &mut b).await;
}

/// Makes a carrier that is reached through a server of TURN only.
fn relayed(exchange: &Exchange, coturn: &Coturn) -> (WebRtcCarrier, WebRtcMeter) {
    let url = format!("turn:{}", coturn.address);
    let config = WebRtcConfig::default()
        .on_this_machine()
        .with_ice_transport_policy(IceTransportPolicy::Relay)
        .with_ice_servers(move || {
            let servers = vec![IceServer::turn(&url, USERNAME, CREDENTIAL)];
            std::future::ready(servers)
        });
    let mut carrier = WebRtcCarrier::dial_only(config);
    assert!(carrier.add_signaling(exchange.end()));
    let meter = carrier.meter();
    (carrier, meter)
}
