//! Says how a carrier is to be.

use super::channels::DatagramMode;
use super::host;
use super::limits::WebRtcLimits;

/// How a [`WebRtcCarrier`](super::WebRtcCarrier) is: its bounds, its channel for datagrams, and what only the host that
/// it runs on has.
#[derive(Clone, Debug, Default)]
pub struct WebRtcConfig {
    pub(super) limits: WebRtcLimits,
    pub(super) datagram_mode: DatagramMode,
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
}
