//! Says how a carrier is to be.

use super::channels::DatagramMode;
use super::limits::WebRtcLimits;
use super::native::WebRtcIdentity;

/// How a [`WebRtcCarrier`](super::WebRtcCarrier) is: its certificate, its bounds and its channel for datagrams.
#[derive(Clone, Debug, Default)]
pub struct WebRtcConfig {
    pub(super) limits: WebRtcLimits,
    pub(super) identity: Option<WebRtcIdentity>,
    pub(super) datagram_mode: DatagramMode,
    pub(super) is_on_this_machine: bool,
}

impl WebRtcConfig {
    /// Bounds connections otherwise than by default.
    #[must_use]
    pub fn with_limits(mut self, limits: WebRtcLimits) -> Self {
        self.limits = limits;
        self
    }

    /// Shows this certificate. Without it each carrier makes one of its own, and the address of a listener is another
    /// at each start.
    #[must_use]
    pub fn with_identity(mut self, identity: WebRtcIdentity) -> Self {
        self.identity = Some(identity);
        self
    }

    /// Sends datagrams by a channel of this mode.
    #[must_use]
    pub fn with_datagram_mode(mut self, mode: DatagramMode) -> Self {
        self.datagram_mode = mode;
        self
    }

    /// Stays on this machine: listens on and dials loopback addresses only, so that an open cluster may be run over it
    /// ([`Reach::Machine`](crate::carrier::Reach::Machine)).
    ///
    /// A page in a browser of this machine can reach it if it knows the fingerprint.
    #[must_use]
    pub fn on_this_machine(mut self) -> Self {
        self.is_on_this_machine = true;
        self
    }
}
