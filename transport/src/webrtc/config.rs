//! Says how a carrier is to be.

use std::future::Future;

use super::channels::DatagramMode;
use super::host;
use super::ice_servers::{IceServer, IceServers, IceTransportPolicy};
use super::limits::WebRtcLimits;
use crate::signaling::SignalingServer;

/// How a [`WebRtcCarrier`](super::WebRtcCarrier) is: its bounds, its channel for datagrams, the servers that help it,
/// and what only the host that it runs on has.
#[derive(Clone, Debug, Default)]
#[allow(dead_code, reason = "no carrier uses all of it on each platform")]
pub struct WebRtcConfig {
    pub(super) limits: WebRtcLimits,
    pub(super) datagram_mode: DatagramMode,
    pub(super) ice_servers: Option<IceServers>,
    pub(super) ice_transport_policy: IceTransportPolicy,
    pub(super) servers: Vec<SignalingServer>,
    pub(super) host: host::Options,
}

impl WebRtcConfig {
    /// Bounds connections otherwise than by default.
    #[must_use]
    pub fn with_limits(mut self, limits: WebRtcLimits) -> Self {
        self.limits = limits;
        self
    }

    /// Sends datagrams by a channel of this mode.
    #[must_use]
    pub fn with_datagram_mode(mut self, mode: DatagramMode) -> Self {
        self.datagram_mode = mode;
        self
    }

    /// Takes servers of STUN and TURN from this function. Without it there are none.
    ///
    /// It is called each time that addresses are gathered for a connection that is set up by signaling, and whenever a
    /// server of TURN no longer takes the credentials: what it returns is used at once, and never kept for later. It
    /// has five seconds to answer; without an answer there are no servers.
    ///
    /// ```
    /// # mod liferaft { pub use liferaft_transport as transport; }
    /// use liferaft::transport::webrtc::{IceServer, WebRtcConfig};
    /// # async fn fetch_credential() -> String { String::new() }
    ///
    /// let config = WebRtcConfig::default().with_ice_servers(|| async {
    ///     let credential = fetch_credential().await;
    ///     vec![IceServer::turn("turn:turn.example.org", "node1", credential)]
    /// });
    /// ```
    #[must_use]
    pub fn with_ice_servers<F, A>(mut self, ask: F) -> Self
    where
        F: Fn() -> A + Send + Sync + 'static,
        A: Future<Output = Vec<IceServer>> + Send + 'static,
    {
        self.ice_servers = Some(IceServers::new(ask));
        self
    }

    /// Restricts the ways by which this end is reached, on connections that are set up by signaling. Default: all.
    #[must_use]
    pub fn with_ice_transport_policy(mut self, policy: IceTransportPolicy) -> Self {
        self.ice_transport_policy = policy;
        self
    }

    /// Registers at a signaling server too, where others find this server by its id. A carrier uses at most eight of
    /// them, those in the addresses that it dials included.
    #[must_use]
    pub fn with_signaling(mut self, server: SignalingServer) -> Self {
        self.servers.push(server);
        self
    }
}
