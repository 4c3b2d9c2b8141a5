//! Handshakes of links are bound to the connections that they go through.

use std::future::poll_fn;

use liferaft_transport::carrier::{Binding, Carrier, CarrierEvent};
use liferaft_transport::links::LinkEvent;
use liferaft_transport::webrtc::{WebRtcCarrier, WebRtcConfig};
use tokio::time::timeout;

use crate::between::Between;
use crate::ends::{PATIENCE, endpoint, id, listen, wanted};

async fn opened(carrier: &mut WebRtcCarrier) -> Binding {
    let event = poll_fn(|context| carrier.poll(context)).await;
    match event {
        Some(CarrierEvent::Opened { binding, .. }) => binding.expect("the medium is encrypted"),
        event => panic!("it is opened: {event:?}"),
    }
}

#[tokio::test]
async fn both_ends_know_the_certificates_of_their_connection() {
    let (mut listening, address) = listen(WebRtcConfig::default()).await;
    let mut dialing = WebRtcCarrier::dial_only(WebRtcConfig::default());
    dialing.dial(&address).expect("there is no other");

    let both = async { tokio::join!(opened(&mut listening), opened(&mut dialing)) };
    let (of_listener, of_dialer) = timeout(PATIENCE, both).await.expect("it opens");

    let (listener, dialer) = (listening.fingerprint().0, dialing.fingerprint().0);
    assert_eq!(
        of_listener,
        Binding {
            own: listener,
            peer: dialer
        }
    );
    assert_eq!(
        of_dialer,
        Binding {
            own: dialer,
            peer: listener
        }
    );
}

/// The keys of both ends are proven through it as they would be without it, but not that nobody stands between.
#[tokio::test]
async fn whoever_stands_between_two_ends_lets_no_link_come_up() {
    let (carrier, of_a) = listen(WebRtcConfig::default()).await;
    let mut a = endpoint(1, carrier);
    let (front, of_front) = listen(WebRtcConfig::default()).await;
    let back = WebRtcCarrier::dial_only(WebRtcConfig::default());
    let mut between = Between::new(front, back, of_a);
    let mut b = endpoint(2, WebRtcCarrier::dial_only(WebRtcConfig::default()));
    b.want(&[wanted(1, &of_front)]);

    let mut tried = 0;
    let trying = async {
        while tried < 2 {
            let event = tokio::select! {
                event = poll_fn(|context| a.poll_link_event(context)) => event,
                event = poll_fn(|context| b.poll_link_event(context)) => event,
                () = poll_fn(|context| between.poll(context)) => continue,
            };
            match event {
                Some(LinkEvent::Failed { .. }) => tried += 1,
                Some(LinkEvent::Up(link)) => panic!("{link:?}"),
                _ => {}
            }
        }
    };
    timeout(PATIENCE, trying).await.expect("it is tried twice");

    assert!(a.link(id(2)).is_none() && b.link(id(1)).is_none());
    assert!(between.passed >= 2, "{}", between.passed);
}
