//! Links over connections: however they are dialed, and when they are cut.

use std::time::Duration;

use liferaft_transport::DeliveryClass;
use liferaft_transport::carrier::{Carrier, DialError, OpenFailure, Reach};
use liferaft_transport::handshake::{HandshakeError, Hint};
use liferaft_transport::links::{DownReason, LinkError, LinkEvent, LinkLimits};
use liferaft_transport::websocket::{
    ListenError, WebSocketCarrier, WebSocketConfig, WebSocketLimits,
};

use crate::cluster::endpoint_within;
use crate::ends::{
    PATIENCE, assert_linked, connect, endpoint, foreign_endpoint, id, listen, next, pair, socket,
    wanted,
};
use crate::proxy::Proxy;

#[tokio::test]
async fn frames_of_both_classes_pass_both_ways() {
    let (carrier, _) = listen(WebSocketConfig::default()).await;

    let (mut a, mut b) = pair(carrier).await;

    assert_linked(&mut a, &mut b).await;
    assert_linked(&mut b, &mut a).await;
}

#[tokio::test]
async fn names_are_resolved() {
    let (carrier, address) = listen(WebSocketConfig::default()).await;
    let named = address.as_str().replace("127.0.0.1", "localhost") + "/raft?cluster=7";
    let mut a = endpoint(1, carrier);
    let mut b = endpoint(2, WebSocketCarrier::dial_only(WebSocketConfig::default()));

    b.want(&[wanted(1, &named.parse().expect("an address"))]);

    connect(&mut a, &mut b).await;
}

#[tokio::test]
async fn there_is_one_link_when_both_ends_dial() {
    for _ in 0..10 {
        let (carrier, of_a) = listen(WebSocketConfig::default()).await;
        let mut a = endpoint(1, carrier);
        let (carrier, of_b) = listen(WebSocketConfig::default()).await;
        let mut b = endpoint(2, carrier);

        a.want(&[wanted(2, &of_b)]);
        b.want(&[wanted(1, &of_a)]);
        connect(&mut a, &mut b).await;
        assert_linked(&mut a, &mut b).await;

        let generation = a.link(id(2)).map(|link| link.generation);
        assert_eq!(generation, b.link(id(1)).map(|link| link.generation));
    }
}

/// It says so and hangs up at once, which is no reason to forget what it has said.
#[tokio::test]
async fn a_server_of_another_cluster_is_told_from_one_that_hangs_up() {
    let (carrier, address) = listen(WebSocketConfig::default()).await;
    let mut foreign = foreign_endpoint(1, carrier);
    let mut end = endpoint(2, WebSocketCarrier::dial_only(WebSocketConfig::default()));
    end.want(&[wanted(1, &address)]);

    let failed = loop {
        tokio::select! {
            event = next(&mut foreign) => drop(event),
            event = next(&mut end) => if let LinkEvent::Failed { error, .. } = event { break error },
        }
    };

    let hint = Some(Hint::OtherCluster);
    assert_eq!(failed, HandshakeError::TimedOut { hint }.into());
}

#[tokio::test]
async fn a_link_that_was_cut_is_made_again() {
    let (carrier, _) = listen(WebSocketConfig::default()).await;
    let proxy = Proxy::to(carrier.socket_address().expect("it listens")).await;
    let through = format!("ws://{}", proxy.address).parse();
    let mut a = endpoint(1, carrier);
    let mut b = endpoint(2, WebSocketCarrier::dial_only(WebSocketConfig::default()));
    b.want(&[wanted(1, &through.expect("an address"))]);
    connect(&mut a, &mut b).await;

    for _ in 0..3 {
        let earlier = b.link(id(1)).map(|link| link.generation);
        proxy.cut();
        while b.link(id(1)).map(|link| link.generation) == earlier {
            tokio::select! { event = next(&mut a) => drop(event), event = next(&mut b) => drop(event) }
        }
        connect(&mut a, &mut b).await;
        assert_linked(&mut b, &mut a).await;
    }
}

/// A NAT or a proxy that has forgotten a connection tells neither end.
#[tokio::test]
async fn a_link_whose_connection_was_forgotten_is_made_again() {
    let (carrier, _) = listen(WebSocketConfig::default()).await;
    let proxy = Proxy::to(carrier.socket_address().expect("it listens")).await;
    let through = format!("ws://{}", proxy.address).parse();
    let mut limits = LinkLimits::default();
    limits.keep_alive_after = Duration::from_millis(100);
    limits.dead_after = Duration::from_secs(2);
    let mut a = endpoint_within(limits, 1, carrier);
    let dialing = WebSocketCarrier::dial_only(WebSocketConfig::default());
    let mut b = endpoint_within(limits, 2, dialing);
    b.want(&[wanted(1, &through.expect("an address"))]);
    connect(&mut a, &mut b).await;

    proxy.forget();
    let why = loop {
        let event = tokio::select! { _ = next(&mut a) => continue, event = next(&mut b) => event };
        if let LinkEvent::Down { why, .. } = event {
            break why;
        }
    };

    assert_eq!(why, DownReason::Silent);
    connect(&mut a, &mut b).await;
    assert_linked(&mut b, &mut a).await;
}

#[tokio::test]
async fn a_peer_that_leaves_says_goodbye() {
    let (carrier, _) = listen(WebSocketConfig::default()).await;
    let (mut a, mut b) = pair(carrier).await;
    a.send(id(2), DeliveryClass::Datagram, "on its way".into())
        .expect("the link is up");

    drop(a);

    let why = loop {
        if let LinkEvent::Down { why, .. } = next(&mut b).await {
            break why;
        }
    };
    assert_eq!(why.to_string(), "the peer has closed it: it leaves");
}

#[tokio::test]
async fn no_more_is_dialed_than_allowed() {
    let mut limits = WebSocketLimits::default();
    limits.dialed_max = 2;
    let config = WebSocketConfig::default().with_limits(limits);
    let mut carrier = WebSocketCarrier::dial_only(config);
    let address = "ws://127.0.0.1:9".parse().expect("an address");

    let dialed = [(); 3].map(|()| carrier.dial(&address));

    assert!(dialed[..2].iter().all(Result::is_ok));
    let connections_max = 2;
    let refused = DialError::TooMany {
        address,
        connections_max,
    };
    assert_eq!(dialed[2], Err(refused));
}

#[tokio::test]
async fn a_carrier_that_stays_on_this_machine_listens_for_nobody_else() {
    let local = || WebSocketConfig::default().on_this_machine();

    let open = WebSocketCarrier::listen(local(), socket("0.0.0.0:0")).await;
    let (own, _) = listen(local()).await;
    let (others, _) = listen(WebSocketConfig::default()).await;

    assert!(matches!(open, Err(ListenError::NotOnThisMachine { .. })));
    assert_eq!(own.reach(), Reach::Machine);
    assert_eq!(others.reach(), Reach::Anywhere);
}

#[tokio::test]
async fn a_carrier_that_stays_on_this_machine_dials_nobody_else() {
    let config = WebSocketConfig::default().on_this_machine();
    let carrier = WebSocketCarrier::dial_only(config);
    let meter = carrier.meter();
    let mut end = endpoint(1, carrier);

    // An address of RFC 5737, to which nothing would answer.
    end.want(&[wanted(2, &"ws://192.0.2.1:80".parse().expect("an address"))]);
    let failed = tokio::time::timeout(PATIENCE / 10, next(&mut end)).await;

    let failed = failed.expect("it fails before any connection could");
    assert!(matches!(failed, LinkEvent::Failed { .. }), "{failed:?}");
    assert_eq!(meter.read().unopened, 1);
}

#[tokio::test]
async fn a_port_where_nobody_listens_refuses_the_connection() {
    let (carrier, address) = listen(WebSocketConfig::default()).await;
    drop(carrier);
    let mut end = endpoint(1, WebSocketCarrier::dial_only(WebSocketConfig::default()));

    end.want(&[wanted(2, &address)]);
    let failed = next(&mut end).await;

    let LinkEvent::Failed { error, .. } = failed else {
        panic!("there is no link: {failed:?}");
    };
    assert_eq!(error, LinkError::NotOpened(OpenFailure::ConnectionRefused));
}
