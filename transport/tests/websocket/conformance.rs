//! The conformance kit over TLS; `websocket_kit` runs it over TCP.

use std::time::Duration;

use liferaft_transport::conformance::{Fixture, check_all};
use liferaft_transport::websocket::{TlsIdentity, WebSocketConfig};

use crate::direct::{Direct, direct};
use crate::ends::{PATIENCE, endpoint, listen, wanted};

/// Ends of which each listens and dials all others.
struct Ends(WebSocketConfig);

impl Fixture for Ends {
    type End = Direct;

    async fn connect(&mut self, ends: usize) -> Vec<Direct> {
        let numbers = (1..).take(ends);
        let mut made = Vec::new();
        let mut wants = Vec::new();
        for number in numbers {
            let (carrier, address) = listen(self.0.clone()).await;
            made.push(endpoint(number, carrier));
            wants.push(wanted(number, &address));
        }
        for end in &mut made {
            end.want(&wants);
        }
        direct(made).await
    }

    fn patience(&self) -> Duration {
        PATIENCE
    }
}

#[tokio::test]
async fn ends_over_tls_keep_every_promise() {
    let identity = TlsIdentity::self_signed().expect("there is entropy");
    let config = WebSocketConfig::default().with_identity(identity);

    assert_eq!(check_all(&mut Ends(config)).await, Ok(()));
}
