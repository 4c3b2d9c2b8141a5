//! Says how a carrier is to be.

use super::host;
use super::limits::WebSocketLimits;

/// How a [`WebSocketCarrier`](super::WebSocketCarrier) is: its bounds, and what only the host that it runs on has.
#[derive(Clone, Debug, Default)]
pub struct WebSocketConfig {
    pub(super) limits: WebSocketLimits,
    pub(super) host: host::Options,
}

impl WebSocketConfig {
    /// Bounds connections otherwise than by default.
    #[must_use]
    pub fn with_limits(mut self, limits: WebSocketLimits) -> Self {
        self.limits = limits;
        self
    }
}
