//! Sends and dials where nothing gets through: that is told by an error or an event, and nothing panics.

use std::future::poll_fn;
use std::time::Duration;

use bytes::Bytes;
use liferaft_transport::carrier::{
    Carrier, CarrierEvent, CarryError, Channel, OpenFailure, Packet, Path,
};
use liferaft_transport::signaling::SignalingServer;
use liferaft_transport::webrtc::{PACKET_BYTES_MAX, WebRtcCarrier, WebRtcConfig, WebRtcLimits};
use tokio::time::timeout;

use crate::ends::{PATIENCE, id, listen};
use crate::exchange::address_of;

async fn event(carrier: &mut WebRtcCarrier) -> CarrierEvent {
    let event = poll_fn(|context| carrier.poll(context));
    let event = timeout(PATIENCE, event).await.expect("it comes in time");
    event.expect("the carrier goes on")
}

/// Waits until a path is open.
async fn opened(carrier: &mut WebRtcCarrier) -> Path {
    match event(carrier).await {
        CarrierEvent::Opened { path, .. } => path,
        event => panic!("it is opened: {event:?}"),
    }
}

/// Two carriers with a connection, and its path at each: the first listens.
async fn pair() -> [(WebRtcCarrier, Path); 2] {
    let (mut listening, address) = listen(WebRtcConfig::default()).await;
    let mut dialing = WebRtcCarrier::dial_only(WebRtcConfig::default());
    dialing.dial(&address).expect("there is no other");
    let (to, from) = tokio::join!(opened(&mut listening), opened(&mut dialing));
    [(listening, to), (dialing, from)]
}

fn packet(bytes: usize) -> Packet {
    Bytes::from(vec![7; bytes]).into()
}

#[tokio::test]
async fn what_is_sent_on_a_path_that_is_gone_is_refused() {
    let [(mut listening, to), (mut dialing, from)] = pair().await;

    dialing.close(&from);
    let own = [Channel::Datagram, Channel::Ordered]
        .map(|channel| dialing.send(&from, channel, packet(1)));
    let closed = tokio::select! {
        closed = event(&mut listening) => closed,
        event = event(&mut dialing) => panic!("it has closed it itself: {event:?}"),
    };
    let other = [Channel::Datagram, Channel::Ordered]
        .map(|channel| listening.send(&to, channel, packet(1)));

    assert_eq!(own, [Err(CarryError::Closed); 2]);
    assert!(
        matches!(closed, CarrierEvent::Closed { path, .. } if path == to),
        "{closed:?}"
    );
    assert_eq!(other, [Err(CarryError::Closed); 2]);
}

#[tokio::test]
async fn no_message_is_longer_than_every_browser_takes() {
    let [(mut listening, to), _] = pair().await;

    let sent = [PACKET_BYTES_MAX, PACKET_BYTES_MAX + 1]
        .map(|bytes| listening.send(&to, Channel::Ordered, packet(bytes)));

    assert_eq!(sent, [Ok(()), Err(CarryError::TooLarge)]);
    assert_eq!(listening.packet_bytes_max(), 16 << 10);
}

#[tokio::test]
async fn a_signaling_server_that_is_missing_is_named() {
    let mut limits = WebRtcLimits::default();
    limits.opening_time_max = Duration::from_millis(300);
    // Nobody listens there.
    let server = SignalingServer::at("ws://127.0.0.1:1/room").expect("it is an address");
    let config = WebRtcConfig::default()
        .with_limits(limits)
        .with_signaling(server);
    let mut carrier = WebRtcCarrier::dial_only(config);
    carrier.introduce(id(1));

    let path = carrier.dial(&address_of(id(2))).expect("it is an address");
    let unopened = loop {
        let event = event(&mut carrier).await;
        // Nobody carries these.
        if !matches!(event, CarrierEvent::Signal { .. }) {
            break event;
        }
    };

    let why = OpenFailure::NoSignaling {
        server: "ws://127.0.0.1:1/room".to_owned(),
        why: OpenFailure::ConnectionRefused.to_string(),
    };
    assert_eq!(unopened, CarrierEvent::Unopened { path, why });
}
