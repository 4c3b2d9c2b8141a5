//! Servers that say anything but what they should.

use std::net::SocketAddr;
use std::time::{Duration, Instant};

use proptest::prelude::*;

use crate::webrtc::ice_servers::{IceTransportPolicy, User};
use crate::webrtc::meter::WebRtcMeter;
use crate::webrtc::native::gathering::{Gathered, Gatherer, Place};

fn server() -> SocketAddr {
    "192.0.2.1:3478".parse().unwrap()
}

/// Returns a gatherer that has asked one server for both kinds of addresses, and what it has sent.
fn asking(now: Instant) -> (Gatherer, Vec<Gathered>) {
    let mut gatherer = Gatherer::new(IceTransportPolicy::All, WebRtcMeter::default());
    let user = User {
        name: "node1".to_owned(),
        credential: "secret".to_owned(),
    };
    let mut out = Vec::new();
    gatherer.gather(0, now, &mut out);
    gatherer.on_servers(vec![(server(), Some(user))], now, &mut out);
    (gatherer, out)
}

fn sent(out: &[Gathered]) -> Vec<(Place, Vec<u8>)> {
    let sent = out.iter().filter_map(|what| match what {
        Gathered::Send { by, datagram, .. } => Some((*by, datagram.clone())),
        _ => None,
    });
    sent.collect()
}

/// Lets the time go on from deadline to deadline, and returns all that came of it.
fn run_for(gatherer: &mut Gatherer, start: Instant, time: Duration) -> Vec<Gathered> {
    let mut out = Vec::new();
    let mut steps = 0;
    while let Some(deadline) = gatherer.deadline().filter(|due| *due <= start + time) {
        gatherer.on_time(deadline, false, &mut out);
        steps += 1;
        assert!(steps < 1_000, "time goes on");
    }
    out
}

#[test]
fn a_dead_server_is_asked_some_times_and_left_alone() {
    let start = Instant::now();
    let (mut gatherer, before) = asking(start);

    let out = run_for(&mut gatherer, start, Duration::from_secs(3_600));

    let asked = sent(&before).len() + sent(&out).len();
    assert!((4..=8).contains(&asked), "{asked} requests");
    assert!(
        out.contains(&Gathered::Ask),
        "its credentials may be outdated"
    );
    assert_eq!(gatherer.deadline(), None);
}

#[test]
fn an_answer_of_another_host_is_not_taken() {
    let now = Instant::now();
    let (mut gatherer, out) = asking(now);
    let (by, request) = sent(&out).remove(0);
    let elsewhere = "192.0.2.2:3478".parse().unwrap();

    let mut out = Vec::new();
    let is_of_a_server = gatherer.on_datagram(by, elsewhere, &request, now, &mut out);

    assert!(!is_of_a_server);
    assert_eq!(out, []);
}

#[test]
fn a_server_named_no_longer_is_asked_no_longer() {
    let start = Instant::now();
    let (mut gatherer, _) = asking(start);

    let mut out = Vec::new();
    gatherer.on_servers(Vec::new(), start, &mut out);
    run_for(&mut gatherer, start, Duration::from_secs(3_600));
    let later = start + Duration::from_secs(3_600);
    gatherer.gather(0, later, &mut out);
    gatherer.on_servers(Vec::new(), later, &mut out);

    assert_eq!(sent(&out), []);
    assert_eq!(gatherer.deadline(), None);
}

proptest! {
    #[test]
    fn whatever_servers_send_is_survived(
        datagrams in prop::collection::vec(prop::collection::vec(any::<u8>(), 0..200), 0..20),
        flips in prop::collection::vec((any::<prop::sample::Index>(), any::<u8>()), 0..12),
        kind in 0_u8..4,
    ) {
        let start = Instant::now();
        let (mut gatherer, out) = asking(start);
        let requests = sent(&out);
        let mut out = Vec::new();
        for (by, request) in &requests {
            // What looks like an answer to the request, and is changed here and there.
            let mut answer = request.clone();
            answer[0] |= kind & 1;
            answer[1] |= (kind & 2) << 3;
            for (place, change) in &flips {
                let place = place.index(answer.len());
                answer[place] ^= change;
            }
            gatherer.on_datagram(*by, server(), &answer, start, &mut out);
            for datagram in &datagrams {
                gatherer.on_datagram(*by, server(), datagram, start, &mut out);
            }
        }
        run_for(&mut gatherer, start, Duration::from_secs(600));

        prop_assert_eq!(gatherer.deadline(), None);
    }
}
