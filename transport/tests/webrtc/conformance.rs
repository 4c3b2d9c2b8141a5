//! The conformance kit over data channels.

use std::time::Duration;

use liferaft_transport::conformance::{Fixture, check_all};
use liferaft_transport::webrtc::{UNACKNOWLEDGED_BYTES_MAX, WebRtcConfig, WebRtcMeter};

use crate::direct::{Direct, direct};
use crate::ends::{PATIENCE, endpoint, listen, wanted};

/// Ends of which each listens and dials all others, and what reads their counters.
#[derive(Default)]
struct Ends(Vec<WebRtcMeter>);

impl Fixture for Ends {
    type End = Direct;

    async fn connect(&mut self, ends: usize) -> Vec<Direct> {
        let mut made = Vec::new();
        let mut wants = Vec::new();
        for number in (1..).take(ends) {
            let (carrier, address) = listen(WebRtcConfig::default()).await;
            self.0.push(carrier.meter());
            made.push(endpoint(number, carrier));
            wants.push(wanted(number, &address));
        }
        for end in &mut made {
            end.want(&wants);
        }
        direct(made).await
    }

    /// A stream of a megabyte is sealed twice and goes through SCTP, which takes a starved machine half a minute.
    fn patience(&self) -> Duration {
        PATIENCE * 6
    }
}

/// There is no other way between these ends than UDP, and each of them has used it.
#[tokio::test]
async fn ends_over_udp_keep_every_promise() {
    let mut ends = Ends::default();

    assert_eq!(check_all(&mut ends).await, Ok(()));

    for meter in ends.0 {
        let counters = meter.read();
        assert!(
            counters.udp_sent > 0 && counters.udp_received > 0,
            "{counters:?}"
        );
        // A goodbye may be lost, so that an end falls silent on a machine that is slow.
        assert_eq!(counters.broken, 0, "{counters:?}");
        assert_eq!(counters.udp_unsent, 0, "{counters:?}");
        let peak = counters.ordered_unacknowledged_peak;
        assert!(peak <= UNACKNOWLEDGED_BYTES_MAX as u64, "{counters:?}");
    }
}
