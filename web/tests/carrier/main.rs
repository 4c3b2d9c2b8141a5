//! The conformance kit over data channels between two ends that find each other by signals, as two tabs do. It runs in
//! a browser, which has all ends in one page.

#![cfg(target_arch = "wasm32")]

#[path = "../../../transport/tests/websocket_kit/cluster.rs"]
mod cluster;
#[path = "../../../transport/tests/websocket_kit/direct.rs"]
mod direct;
mod messenger;

use std::future::pending;
use std::pin::pin;
use std::time::Duration;

use futures::future::{BoxFuture, Either, select};
use liferaft_platform::{PublicKey, now, sleep_until};
use liferaft_transport::conformance::{Fixture, check_all};
use liferaft_transport::endpoint::Signer;
use liferaft_transport::links::Wanted;
use liferaft_transport::signing::SIGNATURE_BYTES;
use liferaft_transport::webrtc::{
    UNACKNOWLEDGED_BYTES_MAX, WebRtcCarrier, WebRtcConfig, WebRtcMeter,
};
use wasm_bindgen_test::wasm_bindgen_test;

use crate::cluster::{endpoint, id, wanted};
use crate::direct::{Direct, direct};
use crate::messenger::{Messenger, Post};

wasm_bindgen_test::wasm_bindgen_test_configure!(run_in_browser);

/// Ends of which all dial all, and what reads their counters.
#[derive(Default)]
struct Ends(Vec<WebRtcMeter>);

impl Fixture for Ends {
    type End = Direct;

    async fn connect(&mut self, ends: usize) -> Vec<Direct> {
        let post = Post::default();
        let numbers = (1..).take(ends);
        let wants: Vec<Wanted> = numbers
            .clone()
            .map(|number| {
                let address = format!("rtc:{:032x}", id(number).0);
                wanted(number, &address.parse().expect("an address"))
            })
            .collect();
        let ends = numbers.map(|number| {
            let carrier = WebRtcCarrier::dial_only(WebRtcConfig::default());
            self.0.push(carrier.meter());
            let mut end = endpoint(number, Messenger::new(carrier, post.clone()));
            end.want(&wants);
            end
        });
        direct(ends.collect()).await
    }

    fn patience(&self) -> Duration {
        Duration::from_secs(30)
    }
}

#[wasm_bindgen_test]
async fn ends_that_meet_by_signals_keep_every_promise() {
    let mut ends = Ends::default();

    assert_eq!(check_all(&mut ends).await, Ok(()));

    for meter in ends.0 {
        let counters = meter.read();
        assert!(counters.opened > 0, "{counters:?}");
        assert_eq!((counters.broken, counters.silent), (0, 0), "{counters:?}");
        let peak = counters.ordered_unacknowledged_peak;
        let peak = usize::try_from(peak).expect("it is short");
        assert!(peak <= UNACKNOWLEDGED_BYTES_MAX, "{counters:?}");
    }
}

/// A key of which the browser says nothing.
struct Mute;

impl Signer for Mute {
    fn public_key(&self) -> PublicKey {
        PublicKey([0; 32])
    }

    fn sign(&self, _: bytes::Bytes) -> BoxFuture<'static, Option<[u8; SIGNATURE_BYTES]>> {
        Box::pin(pending())
    }
}

#[wasm_bindgen_test]
async fn a_key_that_never_signs_is_waited_for_2_seconds() {
    let began = now();
    // A page that is held up for as long has both fall due, and looks at the first one first.
    let later = pin!(sleep_until(began + Duration::from_secs(3)));
    let configured = pin!(WebRtcConfig::default().with_tokens_of(&Mute));

    let waited = select(configured, later).await;

    assert!(matches!(waited, Either::Left(_)));
    assert!(now() - began >= Duration::from_secs(2));
}
