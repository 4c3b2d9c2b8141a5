//! The conformance kit over WebSocket where there are no threads and no tokio: under Node, with its own
//! sockets and those of npm's `ws`. It runs natively too, as an ordinary test, so that what fails in one world only is told apart.

mod cluster;
mod host;

use std::time::Duration;

use liferaft_transport::conformance::{Fixture, check_all};
use liferaft_transport::endpoint::Endpoint;
use wasm_bindgen_test::wasm_bindgen_test;

use crate::cluster::{endpoint, wanted};

/// Ends of which each listens and dials all others.
struct Ends;

impl Fixture for Ends {
    type End = Endpoint;

    async fn connect(&mut self, ends: usize) -> Vec<Endpoint> {
        let mut made = Vec::new();
        let mut wants = Vec::new();
        for number in (1..).take(ends) {
            let (carrier, address) = host::listen(number).await;
            made.push(endpoint(number, carrier));
            wants.push(wanted(number, &address));
        }
        for end in &mut made {
            end.want(&wants);
        }
        made
    }

    fn patience(&self) -> Duration {
        Duration::from_secs(30)
    }
}

#[wasm_bindgen_test(unsupported = tokio::test)]
async fn ends_over_websocket_keep_every_promise() {
    assert_eq!(check_all(&mut Ends).await, Ok(()));
}
