//! Links over connections: however they are dialed, and when an end is gone.

use std::future::poll_fn;
use std::time::Duration;

use liferaft_platform::Address;
use liferaft_transport::carrier::{Carrier, CarrierEvent, DialError, OpenFailure, Reach};
use liferaft_transport::links::LinkLimits;
use liferaft_transport::webrtc::{
    Fingerprint, ListenError, WebRtcCarrier, WebRtcConfig, WebRtcIdentity, WebRtcLimits,
};

use crate::cluster::endpoint_within;
use crate::ends::{assert_linked, connect, endpoint, id, listen, next, pair, socket, wanted};

#[tokio::test]
async fn frames_of_both_classes_pass_both_ways() {
    let (carrier, _) = listen(WebRtcConfig::default()).await;

    let (mut a, mut b) = pair(carrier).await;

    assert_linked(&mut a, &mut b).await;
    assert_linked(&mut b, &mut a).await;
}

#[tokio::test]
async fn names_are_resolved() {
    let (carrier, address) = listen(WebRtcConfig::default()).await;
    let named = address.as_str().replace("127.0.0.1", "localhost");
    let mut a = endpoint(1, carrier);
    let mut b = endpoint(2, WebRtcCarrier::dial_only(WebRtcConfig::default()));

    b.want(&[wanted(1, &named.parse().expect("an address"))]);

    connect(&mut a, &mut b).await;
}

#[tokio::test]
async fn there_is_one_link_when_both_ends_dial() {
    for _ in 0..10 {
        let (carrier, of_a) = listen(WebRtcConfig::default()).await;
        let mut a = endpoint(1, carrier);
        let (carrier, of_b) = listen(WebRtcConfig::default()).await;
        let mut b = endpoint(2, carrier);

        a.want(&[wanted(2, &of_b)]);
        b.want(&[wanted(1, &of_a)]);
        connect(&mut a, &mut b).await;
        assert_linked(&mut a, &mut b).await;

        let generation = a.link(id(2)).map(|link| link.generation);
        assert_eq!(generation, b.link(id(1)).map(|link| link.generation));
    }
}

/// As a member that is restarted: its address holds the fingerprint of a certificate that it has kept.
#[tokio::test]
async fn an_address_stays_valid_when_its_listener_comes_back() {
    let kept = WebRtcIdentity::generate().to_pem();
    let config = || {
        let identity = WebRtcIdentity::from_pem(kept.as_bytes()).expect("it was kept");
        WebRtcConfig::default().with_identity(identity)
    };
    let (carrier, address) = listen(config()).await;
    let bound = carrier.socket_address().expect("it listens");
    let (a, mut b) = pair(carrier).await;

    drop(a);
    let carrier = WebRtcCarrier::listen(config(), bound).await;
    let carrier = carrier.expect("the port is free again");
    assert_eq!(carrier.local_address(), Some(address));
    let mut a = endpoint(1, carrier);

    connect(&mut a, &mut b).await;
    assert_linked(&mut b, &mut a).await;
}

/// Nobody says goodbye for a killed process: that it is gone shows in its silence alone.
#[tokio::test]
async fn an_end_that_falls_silent_is_found_out_by_the_link() {
    let (carrier, address) = listen(WebRtcConfig::default()).await;
    let mut limits = LinkLimits::default();
    limits.keep_alive_after = Duration::from_millis(100);
    limits.dead_after = Duration::from_secs(1);
    let mut a = endpoint_within(limits, 1, carrier);
    let dialing = WebRtcCarrier::dial_only(WebRtcConfig::default());
    let mut b = endpoint_within(limits, 2, dialing);
    b.want(&[wanted(1, &address)]);
    connect(&mut a, &mut b).await;

    // From here on nobody polls `a`.
    while b.link(id(1)).is_some() {
        next(&mut b).await;
    }

    connect(&mut a, &mut b).await;
    assert_linked(&mut a, &mut b).await;
}

#[tokio::test]
async fn an_address_with_another_fingerprint_leads_nowhere() {
    let (mut listening, address) = listen(WebRtcConfig::default()).await;
    let own = listening.fingerprint().to_string();
    let other = address
        .as_str()
        .replace(&own, &Fingerprint([7; 32]).to_string());
    let mut limits = WebRtcLimits::default();
    limits.opening_time_max = Duration::from_millis(300);
    let config = WebRtcConfig::default().with_limits(limits);
    let mut dialing = WebRtcCarrier::dial_only(config);

    let path = dialing.dial(&other.parse().expect("an address"));
    let path = path.expect("there is no other");
    let event = tokio::select! {
        event = event(&mut listening) => panic!("nothing happens there: {event:?}"),
        event = event(&mut dialing) => event,
    };

    let why = OpenFailure::TimedOut;
    assert_eq!(event, Some(CarrierEvent::Unopened { path, why }));
    assert_eq!(dialing.meter().read().unopened, 1);
    assert_eq!(listening.meter().read().accepted, 0);
}

#[tokio::test]
async fn a_carrier_that_stays_on_this_machine_reaches_no_other() {
    let config = WebRtcConfig::default().on_this_machine();
    let anywhere = WebRtcCarrier::listen(config.clone(), socket("0.0.0.0:0")).await;
    let mut carrier = WebRtcCarrier::dial_only(config);
    let pin = Fingerprint([7; 32]);

    let path = carrier.dial(&format!("rtc://192.0.2.1:1#sha256={pin}").parse().unwrap());
    let path = path.expect("it is an address");

    assert!(matches!(
        anywhere,
        Err(ListenError::NotOnThisMachine { .. })
    ));
    assert_eq!(carrier.reach(), Reach::Machine);
    let why = OpenFailure::NotConnected("it has no address that is dialed".to_owned());
    let unopened = CarrierEvent::Unopened { path, why };
    assert_eq!(event(&mut carrier).await, Some(unopened));
    assert_eq!(carrier.meter().read().udp_sent, 0);
}

#[tokio::test]
async fn what_is_no_address_and_one_too_many_are_refused() {
    let mut limits = WebRtcLimits::default();
    limits.dialed_max = 1;
    let mut carrier = WebRtcCarrier::dial_only(WebRtcConfig::default().with_limits(limits));
    let bad: Address = "rtc://192.0.2.1:1".parse().unwrap();
    let pin = Fingerprint([7; 32]);
    let good: Address = format!("rtc://127.0.0.1:1#sha256={pin}").parse().unwrap();

    assert_eq!(carrier.dial(&bad), Err(DialError::BadAddress(bad)));
    assert!(carrier.dial(&good).is_ok());
    let too_many = DialError::TooMany {
        address: good.clone(),
        connections_max: 1,
    };
    assert_eq!(carrier.dial(&good), Err(too_many));
}

#[tokio::test]
async fn a_name_without_an_address_is_told() {
    let mut carrier = WebRtcCarrier::dial_only(WebRtcConfig::default());
    let pin = Fingerprint([7; 32]);
    let nowhere: Address = format!("rtc://nowhere.invalid:1#sha256={pin}")
        .parse()
        .unwrap();

    let path = carrier.dial(&nowhere).expect("it is an address");
    let event = event(&mut carrier).await;

    let Some(CarrierEvent::Unopened {
        path: unopened,
        why,
    }) = event
    else {
        panic!("it is not opened: {event:?}");
    };
    assert_eq!(unopened, path);
    assert!(matches!(why, OpenFailure::NameNotResolved(_)), "{why:?}");
}

async fn event(carrier: &mut WebRtcCarrier) -> Option<CarrierEvent> {
    poll_fn(|context| carrier.poll(context)).await
}
