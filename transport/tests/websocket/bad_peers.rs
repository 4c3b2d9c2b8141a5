//! Peers that keep to no rule, beside a link that goes on.

use std::net::{Ipv4Addr, SocketAddr};
use std::time::Duration;

use futures::future::join_all;
use liferaft_transport::carrier::PACKET_BYTES_MIN;
use liferaft_transport::endpoint::Endpoint;
use liferaft_transport::websocket::{
    TlsIdentity, WebSocketConfig, WebSocketCounters, WebSocketLimits, WebSocketMeter,
};

use crate::ends::{PATIENCE, assert_linked, during, listen, pair};
use crate::raw::{BINARY, PING, Raw, TEXT};

/// A link, and the socket at which others may try to disturb it.
struct Site {
    listening: Endpoint,
    dialing: Endpoint,
    address: SocketAddr,
    meter: WebSocketMeter,
}

impl Site {
    async fn new(config: WebSocketConfig) -> Self {
        let (carrier, _) = listen(config).await;
        let address = carrier.socket_address().expect("it listens");
        let meter = carrier.meter();
        let (listening, dialing) = pair(carrier).await;
        Self {
            listening,
            dialing,
            address,
            meter,
        }
    }

    /// Times that a test can wait for.
    async fn with_short_times() -> Self {
        let mut limits = WebSocketLimits::default();
        limits.opening_time_max = Duration::from_millis(300);
        Self::new(WebSocketConfig::default().with_limits(limits)).await
    }

    /// Lets another do something, and asserts that the link goes on. Returns what the carrier has counted.
    async fn endure(&mut self, attack: impl Future<Output = ()>) -> WebSocketCounters {
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
}

#[tokio::test]
async fn garbage_is_no_upgrade() {
    let mut site = Site::new(WebSocketConfig::default()).await;
    let address = site.address;

    let counters = site
        .endure(async {
            let mut raw = Raw::connect(address).await;
            raw.write(&[0xa5; 4096]).await;
            raw.closed().await;
        })
        .await;

    assert_eq!(counters.unopened, 1);
}

#[tokio::test]
async fn half_a_request_is_waited_for_and_then_closed() {
    let mut site = Site::with_short_times().await;
    let address = site.address;

    let counters = site
        .endure(async {
            let mut raw = Raw::connect(address).await;
            raw.write(b"GET / HTTP/1.1\r\nHost: life").await;
            raw.closed().await;
        })
        .await;

    assert_eq!(counters.unopened, 1);
}

#[tokio::test]
async fn a_frame_that_announces_4_gib_is_refused() {
    let mut site = Site::new(WebSocketConfig::default()).await;
    let address = site.address;

    let counters = site
        .endure(async {
            let mut raw = Raw::connect(address).await;
            raw.upgrade().await;
            raw.write(&[BINARY, 0xff, 0, 0, 0, 1, 0, 0, 0, 0, 0, 0, 0, 0])
                .await;
            raw.closed().await;
        })
        .await;

    assert_eq!(counters.broken, 1);
}

#[tokio::test]
async fn parts_of_a_message_are_no_way_around_its_bound() {
    let mut site = Site::new(WebSocketConfig::default()).await;
    let address = site.address;

    let counters = site
        .endure(async {
            let mut raw = Raw::connect(address).await;
            raw.upgrade().await;
            raw.write_frame(0x02, &[0; 125]).await;
            for _ in 0..1_000 {
                raw.write_frame(0x00, &[0; 125]).await;
            }
            raw.closed().await;
        })
        .await;

    assert_eq!(counters.broken, 1);
}

#[tokio::test]
async fn what_ends_no_message_closes_the_connection() {
    let mut site = Site::new(WebSocketConfig::default()).await;
    let address = site.address;
    let of_nothing = [BINARY & 0x7f, 0x80, 0, 0, 0, 0];
    let endless = [(&of_nothing[..], 0x00), (&[], PING), (&[], BINARY)];

    let counters = site
        .endure(async {
            for (first, frame) in endless {
                let mut raw = Raw::connect(address).await;
                raw.upgrade().await;
                raw.write(first).await;
                raw.write(&[frame, 0x80, 0, 0, 0, 0].repeat(100_000)).await;
                raw.closed().await;
            }
        })
        .await;

    assert_eq!(counters.broken, 3);
}

#[tokio::test]
async fn a_text_closes_the_connection() {
    let mut site = Site::new(WebSocketConfig::default()).await;
    let address = site.address;

    let counters = site
        .endure(async {
            let mut raw = Raw::connect(address).await;
            raw.upgrade().await;
            raw.write_frame(TEXT, b"hello").await;
            raw.closed().await;
        })
        .await;

    assert_eq!(counters.broken, 1);
}

#[tokio::test]
async fn packets_that_mean_nothing_are_passed_over() {
    let mut site = Site::new(WebSocketConfig::default()).await;
    let address = site.address;

    let counters = site
        .endure(async {
            let mut raw = Raw::connect(address).await;
            raw.upgrade().await;
            for first in 0..=u8::MAX {
                raw.write_frame(BINARY, &[first; 100]).await;
                raw.write_frame(BINARY, &[]).await;
            }
        })
        .await;

    assert_eq!(counters.broken, 0);
}

#[tokio::test]
async fn an_idle_connection_is_closed_and_a_link_is_not() {
    let mut limits = WebSocketLimits::default();
    limits.idle_time_max = Duration::from_secs(3);
    let mut site = Site::new(WebSocketConfig::default().with_limits(limits)).await;
    let address = site.address;

    let counters = site
        .endure(async {
            let mut raw = Raw::connect(address).await;
            raw.upgrade().await;
            raw.closed().await;
        })
        .await;

    assert_eq!(counters.silent, 1);
}

#[tokio::test]
async fn packets_that_mean_nothing_keep_no_connection() {
    let mut limits = WebSocketLimits::default();
    limits.idle_time_max = Duration::from_secs(3);
    let mut site = Site::new(WebSocketConfig::default().with_limits(limits)).await;
    let address = site.address;

    let counters = site
        .endure(async {
            let mut raw = Raw::connect(address).await;
            raw.upgrade().await;
            while !raw.is_closed_within(Duration::from_millis(200)).await {
                raw.write_frame(BINARY, &[]).await;
            }
        })
        .await;

    assert_eq!(counters.silent, 1);
}

#[tokio::test]
async fn a_thousand_idle_connections_of_one_host_are_bounded() {
    let mut limits = WebSocketLimits::default();
    // None is closed for its silence before all are there.
    limits.opening_time_max = PATIENCE;
    let mut site = Site::new(WebSocketConfig::default().with_limits(limits)).await;
    let address = site.address;

    let counters = site
        .endure(async {
            let mut kept = 0;
            let mut idle = Vec::new();
            // Those that are closed are let go of, as a process may have no more than 1,024 files.
            for _ in 0..10 {
                for _ in 0..100 {
                    idle.push(Raw::connect(address).await);
                }
                let moment = Duration::from_secs(2);
                let new = idle[kept..].iter_mut();
                let closed = join_all(new.map(|raw| raw.is_closed_within(moment))).await;
                let mut closed = std::iter::repeat_n(false, kept).chain(closed);
                idle.retain(|_| closed.next() == Some(false));
                kept = idle.len();
            }
            // What another host dials is let in as long as they stay.
            let mut other = Raw::connect_from(Ipv4Addr::new(127, 0, 0, 2), address).await;
            other.upgrade().await;
            assert!(kept < limits.accepted_per_origin_max, "{kept}");
        })
        .await;

    // The first place is the link's.
    let kept = limits.accepted_per_origin_max - 1;
    assert_eq!(counters.refused, 1_000 - kept as u64);
}

#[tokio::test]
async fn garbage_in_place_of_tls_is_no_connection() {
    let identity = TlsIdentity::self_signed().expect("there is entropy");
    let mut site = Site::new(WebSocketConfig::default().with_identity(identity)).await;
    let address = site.address;

    let counters = site
        .endure(async {
            let mut raw = Raw::connect(address).await;
            raw.write(b"GET / HTTP/1.1\r\n\r\n").await;
            raw.closed().await;
        })
        .await;

    assert_eq!(counters.unopened, 1);
}

#[tokio::test]
async fn pages_are_let_in_unless_the_carrier_stays_on_this_machine() {
    const PAGE: &str = "Origin: https://example.org\r\n";
    for (config, expected) in [
        (WebSocketConfig::default(), 101),
        (WebSocketConfig::default().on_this_machine(), 403),
    ] {
        let mut site = Site::new(config).await;
        let address = site.address;

        site.endure(async {
            let mut raw = Raw::connect(address).await;
            let status = raw.upgrade_with(PAGE).await;
            assert_eq!(status.expect("it is answered"), expected);
        })
        .await;
    }
}

/// The longest message of a handshake fits a frame of this test's peer many times over; whoever sends only such waits.
#[tokio::test]
async fn a_peer_that_floods_and_never_reads_is_bounded() {
    let mut site = Site::new(WebSocketConfig::default()).await;
    let address = site.address;

    site.endure(async {
        let mut raw = Raw::connect(address).await;
        raw.upgrade().await;
        // Pings, each of which is answered.
        for _ in 0..100 * PACKET_BYTES_MIN {
            raw.write_frame(0x89, &[7; 125]).await;
        }
    })
    .await;
}
