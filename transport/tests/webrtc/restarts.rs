//! Connections whose path goes away: ICE is restarted once, and if that does not help there is another connection.

use std::future::poll_fn;
use std::task::Poll;
use std::time::Duration;

use liferaft_transport::DeliveryClass;
use liferaft_transport::endpoint::Endpoint;
use liferaft_transport::links::LinkLimits;
use liferaft_transport::webrtc::WebRtcMeter;
use tokio::time::timeout;

use crate::cluster::endpoint_within;
use crate::ends::{PATIENCE, assert_linked, connect, frames, id, next, wanted};
use crate::exchange::{Carried, Exchange, address_of};
use crate::wires::Wires;

/// Where a signal has its round: 0 connects, and later ones restart ICE.
const ROUND_AT: usize = 10;

/// Two ends that are linked over wires: the first has offered the connection.
async fn linked(limits: LinkLimits, exchange: &Exchange) -> [(Endpoint, WebRtcMeter); 2] {
    let [(mut a, of_a), (mut b, of_b)] = [1, 2].map(|number| {
        let carrier = exchange.carrier();
        let meter = carrier.meter();
        (endpoint_within(limits, number, carrier), meter)
    });
    a.want(&[wanted(2, &address_of(id(2)))]);
    connect(&mut a, &mut b).await;
    assert_linked(&mut a, &mut b).await;
    [(a, of_a), (b, of_b)]
}

fn over(wires: &Wires, restarts_pass: bool) -> Exchange {
    let wires = wires.clone();
    Exchange::by(move |(from, to, signal): Carried| {
        let passes = restarts_pass || signal[ROUND_AT] == 0;
        passes
            .then(|| (from, to, wires.rewrite(&signal)))
            .into_iter()
            .collect()
    })
}

#[tokio::test]
async fn a_connection_whose_path_goes_away_comes_back_by_one_restart() {
    let wires = Wires::default();
    // Links wait longer than it takes on the busiest machine.
    let mut limits = LinkLimits::default();
    limits.dead_after = Duration::from_secs(25);
    let ends = linked(limits, &over(&wires, true)).await;
    let [(mut a, of_a), (mut b, of_b)] = ends;
    let generation = a.link(id(2)).map(|link| link.generation);

    wires.cut();
    let recovered = poll_fn(|context| {
        for end in [&mut a, &mut b] {
            while let Poll::Ready(Some(_)) = end.poll_link_event(context) {}
        }
        let mut ends = [&of_a, &of_b].into_iter();
        if ends.all(|meter| meter.read().restarts_recovered > 0) {
            return Poll::Ready(());
        }
        Poll::Pending
    });
    timeout(PATIENCE, recovered).await.expect("it comes back");
    // What is sent first may still go the old way. Links repair a stream, and no datagrams.
    a.send(id(2), DeliveryClass::Stream, "again".into())
        .expect("the link is up");
    frames(&mut a, &mut b, 1).await;
    assert_linked(&mut a, &mut b).await;
    assert_linked(&mut b, &mut a).await;

    assert_eq!(a.link(id(2)).map(|link| link.generation), generation);
    for counters in [of_a.read(), of_b.read()] {
        assert_eq!((counters.restarts, counters.restarts_lost), (1, 0));
        assert_eq!(counters.opened, 1, "{counters:?}");
    }
}

#[tokio::test]
async fn a_restart_that_does_not_help_is_followed_by_another_connection() {
    let wires = Wires::default();
    let ends = linked(LinkLimits::default(), &over(&wires, false)).await;
    let [(mut a, of_a), (mut b, of_b)] = ends;
    let generation = a.link(id(2)).map(|link| link.generation);
    // One end may have another link before the other end misses the first.
    let is_first = |end: &Endpoint, peer| {
        let link = end.link(peer);
        link.is_some() && link.map(|link| link.generation) == generation
    };

    wires.cut();
    while is_first(&a, id(2)) || is_first(&b, id(1)) {
        tokio::select! { event = next(&mut a) => drop(event), event = next(&mut b) => drop(event) }
    }
    connect(&mut a, &mut b).await;
    assert_linked(&mut a, &mut b).await;

    let counters = of_a.read();
    assert_eq!((counters.restarts, counters.restarts_recovered), (1, 0));
    assert_eq!((counters.restarts_lost, counters.opened), (1, 2));
    assert_eq!(of_b.read().restarts, 0);
}
