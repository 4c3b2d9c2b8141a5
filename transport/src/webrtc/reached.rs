//! Tells which signaling servers a carrier reaches, whoever has the carrier.

use std::future::poll_fn;
use std::sync::{Arc, Mutex, PoisonError};
use std::task::Poll;

use futures::task::AtomicWaker;

/// A signaling server of a carrier.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct SignalingStatus {
    /// Where it is: `ws://host:port/room`.
    pub address: String,
    /// True if signals reach it.
    pub is_connected: bool,
}

/// Reads which signaling servers a [`WebRtcCarrier`](super::WebRtcCarrier) reaches, also while an
/// [`Endpoint`](crate::endpoint::Endpoint) has the carrier: its own, and those that addresses name which it dials.
/// Members whose links are up go on without any of them.
#[derive(Clone, Debug, Default)]
pub struct SignalingMeter(Arc<Board>);

#[derive(Debug, Default)]
struct Board {
    servers: Mutex<Vec<SignalingStatus>>,
    reader: AtomicWaker,
}

impl SignalingMeter {
    /// Returns the servers as they are.
    #[must_use]
    pub fn read(&self) -> Vec<SignalingStatus> {
        let servers = self.0.servers.lock();
        servers.unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// Waits until the servers are otherwise than these, and returns them. Of several that wait, the last is told.
    pub async fn other_than(&self, known: &[SignalingStatus]) -> Vec<SignalingStatus> {
        poll_fn(|context| {
            self.0.reader.register(context.waker());
            let servers = self.read();
            if servers == known {
                Poll::Pending
            } else {
                Poll::Ready(servers)
            }
        })
        .await
    }

    /// Tells of the servers.
    pub(super) fn post(&self, servers: Vec<SignalingStatus>) {
        let posted = self.0.servers.lock();
        *posted.unwrap_or_else(PoisonError::into_inner) = servers;
        self.0.reader.wake();
    }
}

#[cfg(test)]
mod tests {
    use futures::FutureExt;

    use super::*;

    #[test]
    fn whoever_waits_is_told_once_a_server_is_reached() {
        let meter = SignalingMeter::default();
        let server = |is_connected| SignalingStatus {
            address: "ws://a/room".to_owned(),
            is_connected,
        };
        meter.post(vec![server(false)]);
        let known = meter.read();
        let mut other = Box::pin(meter.other_than(&known));

        let before = (&mut other).now_or_never();
        meter.post(vec![server(true)]);
        let after = other.now_or_never();

        assert_eq!(before, None);
        assert_eq!(after, Some(vec![server(true)]));
    }
}
