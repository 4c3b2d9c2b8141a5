//! Links over connections that are found by signals, of a server or of the mesh.

use std::time::Duration;

use liferaft_transport::conformance::{Fixture, check_all};
use liferaft_transport::endpoint::Endpoint;
use liferaft_transport::links::LinkEvent;
use liferaft_transport::webrtc::{Fingerprint, WebRtcCarrier, WebRtcConfig, WebRtcMeter};
use tokio::time::timeout;

use crate::direct::{Direct, direct};
use crate::ends::{PATIENCE, assert_linked, connect, endpoint, id, listen, next, socket, wanted};
use crate::exchange::{Exchange, address_of};

#[tokio::test]
async fn two_ends_are_linked_by_their_ids_alone() {
    let exchange = Exchange::honest();
    let carrier = exchange.carrier();
    let meter = carrier.meter();
    let mut a = endpoint(1, carrier);
    let mut b = endpoint(2, exchange.carrier());

    a.want(&[wanted(2, &address_of(id(2)))]);
    connect(&mut a, &mut b).await;

    assert_linked(&mut a, &mut b).await;
    assert_linked(&mut b, &mut a).await;
    assert!(meter.read().udp_received > 0, "{:?}", meter.read());
}

#[tokio::test]
async fn a_member_that_listens_is_reached_by_its_port() {
    let exchange = Exchange::honest();
    let config = WebRtcConfig::default().on_this_machine();
    let listening = WebRtcCarrier::listen(config, socket("127.0.0.1:0")).await;
    let mut listening = listening.expect("loopback has free ports");
    assert!(listening.add_signaling(exchange.end()));
    let meter = listening.meter();
    let mut a = endpoint(1, listening);
    let mut b = endpoint(2, exchange.carrier());

    b.want(&[wanted(1, &address_of(id(1)))]);
    connect(&mut a, &mut b).await;

    assert_linked(&mut a, &mut b).await;
    assert_eq!(meter.read().opened, 1);
}

#[tokio::test]
async fn there_is_one_link_when_both_ends_dial_by_signals() {
    for _ in 0..10 {
        let exchange = Exchange::honest();
        let mut a = endpoint(1, exchange.carrier());
        let mut b = endpoint(2, exchange.carrier());

        a.want(&[wanted(2, &address_of(id(2)))]);
        b.want(&[wanted(1, &address_of(id(1)))]);
        connect(&mut a, &mut b).await;
        assert_linked(&mut a, &mut b).await;

        let generation = a.link(id(2)).map(|link| link.generation);
        assert_eq!(generation, b.link(id(1)).map(|link| link.generation));
    }
}

/// The socket of the earlier connection rests for a while, since datagrams of it may be under way.
#[tokio::test]
async fn an_end_that_comes_back_is_linked_again() {
    let exchange = Exchange::honest();
    let mut a = endpoint(1, exchange.carrier());
    a.want(&[wanted(2, &address_of(id(2)))]);

    for _ in 0..3 {
        let mut b = endpoint(2, exchange.carrier());
        connect(&mut a, &mut b).await;
        assert_linked(&mut a, &mut b).await;
        drop(b);
        while a.link(id(2)).is_some() {
            next(&mut a).await;
        }
    }
}

/// The first end has links with both others, who know nothing of each other but their ids.
#[tokio::test]
async fn members_are_introduced_by_one_that_has_links_with_both() {
    let (carrier, address) = listen(WebRtcConfig::default()).await;
    let mut hub = endpoint(1, carrier);
    let none = || WebRtcCarrier::dial_only(WebRtcConfig::default().on_this_machine());
    let (mut a, mut b) = (endpoint(2, none()), endpoint(3, none()));

    a.want(&[wanted(1, &address), wanted(3, &address_of(id(3)))]);
    b.want(&[wanted(1, &address)]);
    let linked = async {
        while !is_over_webrtc(&a, 3) || !is_over_webrtc(&b, 2) {
            tokio::select! {
                event = next(&mut hub) => drop(event),
                event = next(&mut a) => drop(event),
                event = next(&mut b) => drop(event),
            }
        }
    };

    timeout(PATIENCE, linked).await.expect("they are linked");
}

/// As behind a NAT: the address that a listener tells of itself leads others nowhere.
#[tokio::test]
async fn a_listener_whose_address_leads_nowhere_is_found_by_signals() {
    let (carrier, address) = listen(WebRtcConfig::default()).await;
    let mut hub = endpoint(1, carrier);
    let (carrier, _) = listen(WebRtcConfig::default().on_this_machine()).await;
    let mut a = endpoint(2, carrier);
    let none = WebRtcCarrier::dial_only(WebRtcConfig::default().on_this_machine());
    let mut b = endpoint(3, none);
    let pin = Fingerprint([7; 32]);
    let nowhere = format!("rtc://127.0.0.1:9#sha256={pin}");

    a.want(&[wanted(1, &address)]);
    b.want(&[
        wanted(1, &address),
        wanted(2, &nowhere.parse().expect("an address")),
    ]);
    let linked = async {
        while !is_over_webrtc(&b, 2) {
            tokio::select! {
                event = next(&mut hub) => drop(event),
                event = next(&mut a) => drop(event),
                event = next(&mut b) => drop(event),
            }
        }
    };

    timeout(PATIENCE, linked).await.expect("they are linked");
}

fn is_over_webrtc(end: &Endpoint, peer: u8) -> bool {
    let path = end.link_path(id(peer));
    path.is_some_and(|path| path.carrier == "rtc")
}

#[tokio::test]
async fn nobody_there_is_told_in_time() {
    let exchange = Exchange::honest();
    let mut a = endpoint(1, exchange.carrier());

    a.want(&[wanted(2, &address_of(id(2)))]);
    let event = next(&mut a).await;

    assert!(matches!(event, LinkEvent::Failed { .. }), "{event:?}");
}

/// Ends that find each other by signals, and what reads their counters.
#[derive(Default)]
struct Ends(Vec<WebRtcMeter>);

impl Fixture for Ends {
    type End = Direct;

    async fn connect(&mut self, ends: usize) -> Vec<Direct> {
        let exchange = Exchange::honest();
        let numbers = 1..=u8::try_from(ends).expect("they are few");
        let wants: Vec<_> = numbers
            .clone()
            .map(|number| wanted(number, &address_of(id(number))))
            .collect();
        let made = numbers.map(|number| {
            let carrier = exchange.carrier();
            self.0.push(carrier.meter());
            let mut end = endpoint(number, carrier);
            end.want(&wants);
            end
        });
        direct(made.collect()).await
    }

    fn patience(&self) -> Duration {
        PATIENCE
    }
}

#[tokio::test]
async fn ends_found_by_signals_keep_every_promise() {
    let mut ends = Ends::default();

    assert_eq!(check_all(&mut ends).await, Ok(()));

    for meter in ends.0 {
        let counters = meter.read();
        assert!(counters.udp_received > 0, "{counters:?}");
        // A goodbye may be lost, so that an end falls silent on a machine that is slow.
        assert_eq!(counters.broken, 0, "{counters:?}");
    }
}
