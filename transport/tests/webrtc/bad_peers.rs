//! Peers that keep to no rule, beside a link that goes on.

use std::net::{Ipv4Addr, SocketAddr};
use std::time::Duration;

use liferaft_transport::endpoint::Endpoint;
use liferaft_transport::webrtc::{
    Fingerprint, WebRtcCarrier, WebRtcConfig, WebRtcCounters, WebRtcLimits, WebRtcMeter,
};

use crate::ends::{PATIENCE, assert_linked, connect, during, endpoint, listen, pair, wanted};
use crate::raw::{Raw, binding_request};

/// A link, and the socket at which others may try to disturb it.
struct Site {
    listening: Endpoint,
    dialing: Endpoint,
    address: SocketAddr,
    fingerprint: Fingerprint,
    meter: WebRtcMeter,
}

impl Site {
    async fn new(limits: WebRtcLimits) -> Self {
        let (carrier, _) = listen(WebRtcConfig::default().with_limits(limits)).await;
        let address = carrier.socket_address().expect("it listens");
        let (fingerprint, meter) = (carrier.fingerprint(), carrier.meter());
        let (listening, dialing) = pair(carrier).await;
        Self {
            listening,
            dialing,
            address,
            fingerprint,
            meter,
        }
    }

    /// Lets another do something, and asserts that the link goes on. Returns what the carrier has counted.
    async fn endure(&mut self, attack: impl Future<Output = ()>) -> WebRtcCounters {
        let generation = self.generation();
        during(&mut self.listening, &mut self.dialing, attack).await;
        assert_linked(&mut self.listening, &mut self.dialing).await;
        assert_linked(&mut self.dialing, &mut self.listening).await;
        assert_eq!(self.generation(), generation, "the link is the same");
        self.meter.read()
    }

    fn generation(&self) -> Option<u64> {
        let link = self.listening.link(self.dialing.local());
        link.map(|link| link.generation)
    }

    /// Has a stranger ask, and waits until the carrier has counted it, as the kernel keeps few that wait.
    fn asking(&self) -> impl AsyncFn(&Raw, usize) + use<> {
        let (meter, fingerprint) = (self.meter.clone(), self.fingerprint);
        async move |raw: &Raw, number: usize| {
            let counted = || {
                let counters = meter.read();
                counters.accepted + counters.refused
            };
            let before = counted();
            raw.send(&binding_request(fingerprint, &format!("name{number}")))
                .await;
            while counted() == before {
                tokio::task::yield_now().await;
            }
        }
    }

    /// Waits until the carrier has ignored some datagrams, or answered some strangers.
    fn reached<F: Fn(WebRtcCounters) -> bool>(
        &self,
        is_reached: F,
    ) -> impl Future<Output = ()> + use<F> {
        let meter = self.meter.clone();
        async move {
            while !is_reached(meter.read()) {
                tokio::task::yield_now().await;
            }
        }
    }
}

#[tokio::test]
async fn garbage_is_ignored() {
    let mut site = Site::new(WebRtcLimits::default()).await;
    let address = site.address;
    let reached = site.reached(|counters| counters.udp_ignored >= 256 * 4);

    let counters = site
        .endure(async {
            let raw = Raw::new(address).await;
            for first in 0..=u8::MAX {
                for length in [0, 1, 20, 1_999] {
                    raw.send(&[&[first][..], &vec![first; length]].concat())
                        .await;
                }
            }
            reached.await;
        })
        .await;

    assert_eq!(counters.accepted, 1, "the link's own");
}

#[tokio::test]
async fn truncated_and_damaged_requests_are_ignored() {
    let mut site = Site::new(WebRtcLimits::default()).await;
    let address = site.address;
    let request = binding_request(site.fingerprint, "stranger");
    // The last eight bytes are a checksum, which nobody needs who has the password.
    let checked = request.len() - 8;
    let ignored = 2 * checked as u64;
    let reached = site.reached(move |counters| counters.udp_ignored >= ignored);

    let counters = site
        .endure(async {
            let raw = Raw::new(address).await;
            for at in 0..checked {
                raw.send(&request[..at]).await;
                let mut damaged = request.clone();
                damaged[at] ^= 1;
                raw.send(&damaged).await;
            }
            reached.await;
        })
        .await;

    assert_eq!(counters.accepted, 1, "the link's own");
}

#[tokio::test]
async fn a_request_to_another_listener_is_ignored() {
    let mut site = Site::new(WebRtcLimits::default()).await;
    let address = site.address;
    let reached = site.reached(|counters| counters.udp_ignored > 0);

    let counters = site
        .endure(async {
            let raw = Raw::new(address).await;
            raw.send(&binding_request(Fingerprint([7; 32]), "stranger"))
                .await;
            reached.await;
        })
        .await;

    assert_eq!((counters.accepted, counters.udp_ignored), (1, 1));
}

#[tokio::test]
async fn a_request_that_is_repeated_opens_one_connection() {
    let mut site = Site::new(WebRtcLimits::default()).await;
    let address = site.address;
    let request = binding_request(site.fingerprint, "stranger");

    let counters = site
        .endure(async {
            let raw = Raw::new(address).await;
            for _ in 0..1_000 {
                raw.send(&request).await;
                let answer = raw.receive().await;
                assert!(answer.len() <= request.len(), "nothing is amplified");
            }
        })
        .await;

    assert_eq!(counters.accepted, 2, "the link's own, and this one");
}

/// Who has seen a request may send it again, but cannot lead the connection to another host.
#[tokio::test]
async fn a_request_that_comes_from_another_host_too_is_ignored_there() {
    let mut site = Site::new(WebRtcLimits::default()).await;
    let address = site.address;
    let request = binding_request(site.fingerprint, "stranger");
    let reached = site.reached(|counters| counters.udp_ignored > 0);

    let counters = site
        .endure(async {
            let raw = Raw::new(address).await;
            raw.send(&request).await;
            raw.receive().await;
            let other = Raw::on(Ipv4Addr::new(127, 0, 0, 2), address).await;
            other.send(&request).await;
            reached.await;
        })
        .await;

    assert_eq!((counters.accepted, counters.udp_ignored), (2, 1));
}

/// None is given up before all have asked.
fn patient() -> WebRtcLimits {
    let mut limits = WebRtcLimits::default();
    limits.opening_time_max = PATIENCE;
    limits
}

#[tokio::test]
async fn a_host_that_asks_without_end_is_bounded() {
    let mut site = Site::new(patient()).await;
    let address = site.address;
    let asking = site.asking();

    let counters = site
        .endure(async {
            // All stay open: a port that is free again may be one that a connection waits for, which is asked for
            // nothing new by it.
            let mut asked = Vec::new();
            for number in 0..200 {
                let raw = Raw::new(address).await;
                asking(&raw, number).await;
                asked.push(raw);
            }
        })
        .await;

    let kept = WebRtcLimits::default().opening_per_origin_max as u64;
    assert_eq!(counters.refused, 200 - kept, "{counters:?}");
}

#[tokio::test]
async fn many_hosts_that_ask_are_bounded_and_others_get_in() {
    let mut site = Site::new(patient()).await;
    let (address, fingerprint) = (site.address, site.fingerprint);
    let pinned = format!("rtc://{address}#sha256={fingerprint}");
    let asking = site.asking();

    let counters = site
        .endure(async {
            for number in 0..200_u8 {
                let host = Ipv4Addr::new(127, 0, 1, number);
                asking(&Raw::on(host, address).await, number.into()).await;
            }
        })
        .await;

    let kept = WebRtcLimits::default().opening_max as u64;
    assert_eq!(counters.refused, 200 - kept, "{counters:?}");
    let carrier = WebRtcCarrier::dial_only(WebRtcConfig::default());
    let mut other = endpoint(3, carrier);
    other.want(&[wanted(1, &pinned.parse().expect("an address"))]);
    connect(&mut site.listening, &mut other).await;
}

#[tokio::test]
async fn who_asks_and_then_says_nothing_is_given_up() {
    let mut limits = WebRtcLimits::default();
    limits.opening_time_max = Duration::from_millis(300);
    let mut site = Site::new(limits).await;
    let address = site.address;
    let request = binding_request(site.fingerprint, "stranger");
    let reached = site.reached(|counters| counters.unopened > 0);

    let counters = site
        .endure(async {
            Raw::new(address).await.send(&request).await;
            reached.await;
        })
        .await;

    assert_eq!((counters.accepted, counters.unopened), (2, 1));
}

#[tokio::test]
async fn garbage_in_place_of_dtls_opens_nothing() {
    let mut limits = WebRtcLimits::default();
    limits.opening_time_max = Duration::from_millis(500);
    let mut site = Site::new(limits).await;
    let address = site.address;
    let request = binding_request(site.fingerprint, "stranger");
    let reached = site.reached(|counters| counters.unopened > 0);

    let counters = site
        .endure(async {
            let raw = Raw::new(address).await;
            raw.send(&request).await;
            raw.receive().await;
            for kind in 20..64 {
                for length in [1, 12, 13, 100, 1_999] {
                    raw.send(&vec![kind; length]).await;
                }
            }
            reached.await;
        })
        .await;

    assert_eq!((counters.opened, counters.unopened), (1, 1), "{counters:?}");
}
