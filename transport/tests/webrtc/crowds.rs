//! Crowds of strangers that come by one way, hold what they get and say nothing, beside a peer that comes by another.

use std::future::poll_fn;
use std::ops::RangeInclusive;
use std::time::Duration;

use liferaft_platform::Address;
use liferaft_transport::carrier::{Carrier, CarrierEvent};
use liferaft_transport::endpoint::Endpoint;
use liferaft_transport::webrtc::{
    IceServer, WebRtcCarrier, WebRtcConfig, WebRtcCounters, WebRtcLimits,
};
use tokio::net::UdpSocket;
use tokio::task::JoinSet;
use tokio::time::timeout;

use crate::ends::{LOOPBACK, PATIENCE, connect, endpoint, id, socket, wanted};
use crate::exchange::{Exchange, address_of};

/// What a request for an address at a server of TURN begins with (RFC 8656, section 17).
const ALLOCATE: [u8; 2] = [0, 3];

/// How long the first attempt to link takes at most.
const AT_ONCE: Duration = Duration::from_secs(5);

/// Opens connections to server 1 in a name, one after the other, and holds so many.
async fn occupy(hostile: Exchange, name: u8, held_max: usize) {
    let mut stranger = hostile.carrier();
    stranger.introduce(id(name));
    let mut held = 0;
    let mut is_dialing = false;
    loop {
        if !is_dialing && held < held_max {
            stranger.dial(&address_of(id(1))).expect("an address");
            is_dialing = true;
        }
        match poll_fn(|context| stranger.poll(context)).await {
            Some(CarrierEvent::Opened { .. }) => (held, is_dialing) = (held + 1, false),
            Some(CarrierEvent::Closed { .. }) => held -= 1,
            Some(CarrierEvent::Unopened { .. }) => is_dialing = false,
            // Whatever comes is not answered.
            Some(_) => {}
            None => return,
        }
    }
}

/// A server that strangers crowd by signaling servers of theirs, and that listens.
struct Crowded {
    end: Endpoint,
    address: Address,
    honest: Exchange,
    _crowd: JoinSet<()>,
}

impl Crowded {
    /// Waits until the crowds have done their worst: of each server some names that hold so many connections each.
    async fn by<const SERVERS: usize>(
        crowds: [(RangeInclusive<u8>, usize); SERVERS],
        limits: WebRtcLimits,
        is_crowded: impl Fn(WebRtcCounters) -> bool,
    ) -> Self {
        let honest = Exchange::honest();
        let config = WebRtcConfig::default()
            .on_this_machine()
            .with_limits(limits);
        let listening = WebRtcCarrier::listen(config, socket(LOOPBACK)).await;
        let mut carrier = listening.expect("loopback has free ports");
        assert!(carrier.add_signaling(honest.end()));
        let address = carrier.local_address().expect("it listens");
        let meter = carrier.meter();
        let mut crowd = JoinSet::new();
        for (names, held_max) in crowds {
            let hostile = Exchange::honest();
            assert!(carrier.add_signaling(hostile.end()));
            for name in names {
                crowd.spawn(occupy(hostile.clone(), name, held_max));
            }
        }
        let mut end = endpoint(1, carrier);
        let crowding = async {
            while !is_crowded(meter.read()) {
                let moment = Duration::from_millis(50);
                let _quiet = timeout(moment, poll_fn(|context| end.poll_link_event(context))).await;
            }
        };
        timeout(PATIENCE, crowding).await.expect("it is crowded");
        Self {
            end,
            address,
            honest,
            _crowd: crowd,
        }
    }
}

/// Some 60 made-up ids took all places, and took them again whenever one was free.
#[tokio::test]
async fn strangers_by_signals_leave_room_for_whoever_dials_directly() {
    let mut limits = WebRtcLimits::default();
    limits.accepted_max = 24;
    let is_crowded = |counters: WebRtcCounters| counters.opened >= 24;
    let mut crowded = Crowded::by([(10..=69, 1)], limits, is_crowded).await;
    let mut other = endpoint(2, WebRtcCarrier::dial_only(WebRtcConfig::default()));

    other.want(&[wanted(1, &crowded.address)]);
    let linked = connect(&mut crowded.end, &mut other);

    timeout(2 * AT_ONCE, linked)
        .await
        .expect("there is a place");
}

/// Some 17 connections in a peer's name took all sockets, by whichever way the peer itself came.
#[tokio::test]
async fn impostors_in_its_name_keep_a_peer_out_by_no_other_way() {
    let is_crowded = |counters: WebRtcCounters| {
        counters.opened >= 17 || counters.opened >= 4 && counters.refused >= 4
    };
    let mut crowded = Crowded::by(
        [(2..=2, 12), (2..=2, 12)],
        WebRtcLimits::default(),
        is_crowded,
    )
    .await;
    let mut peer = endpoint(2, crowded.honest.carrier());

    peer.want(&[wanted(1, &address_of(id(1)))]);
    let linked = connect(&mut crowded.end, &mut peer);

    timeout(AT_ONCE, linked).await.expect("it gets in");
}

/// The socket of a relay was read before anything else, for as long as there was anything to be read.
#[tokio::test]
async fn a_turn_server_that_floods_keeps_nobody_from_linking() {
    let server = UdpSocket::bind(LOOPBACK).await.expect("a free port");
    let url = format!("turn:{}", server.local_addr().expect("it is bound"));
    let flood = async move {
        let mut buffer = [0; 2_048];
        let relay = loop {
            let (_, from) = server.recv_from(&mut buffer).await.expect("it is asked");
            if buffer.starts_with(&ALLOCATE) {
                break from;
            }
        };
        loop {
            for _ in 0..1_000 {
                let _full = server.try_send_to(&[0; 20], relay);
            }
            tokio::task::yield_now().await;
        }
    };
    let exchange = Exchange::honest();
    let config = WebRtcConfig::default()
        .on_this_machine()
        .with_ice_servers(move || {
            std::future::ready(vec![IceServer::turn(&url, "someone", "secret")])
        });
    let mut carrier = WebRtcCarrier::dial_only(config);
    assert!(carrier.add_signaling(exchange.end()));
    let mut a = endpoint(1, carrier);
    let mut b = endpoint(2, exchange.carrier());

    b.want(&[wanted(1, &address_of(id(1)))]);

    let linked = async {
        tokio::select! {
            () = connect(&mut a, &mut b) => {}
            () = flood => {}
        }
    };

    timeout(AT_ONCE, linked).await.expect("it is heard");
}
