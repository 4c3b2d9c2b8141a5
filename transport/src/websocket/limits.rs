//! Bounds what connections cost, whoever dials them.

use std::time::Duration;

use crate::links::{CREDIT_BYTES_MAX, OPENING_TIME_MAX};

/// The longest packet, in bytes. Both ends of a connection rely on it: a longer message closes the connection before
/// memory is taken for it.
///
/// Frames up to about this length are datagrams, which go before all that is ordered; so it is no longer than a
/// heartbeat can wait for on a slow network.
pub const PACKET_BYTES_MAX: usize = 64 * 1024;

/// The most events that wait for the carrier to be polled, beside up to three of each connection. A connection that has
/// another one reads nothing until there is room.
pub const UNREAD_EVENTS_MAX: usize = 256;

/// What a packet that waits costs beside its bytes, in bytes.
pub(super) const PACKET_COST_BYTES: usize = 128;

/// What connections may cost.
///
/// ```
/// # mod liferaft { pub use liferaft_transport as transport; }
/// use liferaft::transport::websocket::WebSocketLimits;
///
/// let mut limits = WebSocketLimits::default();
/// limits.accepted_max = 10_000;
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct WebSocketLimits {
    /// The most connections that others have dialed, counted from when TCP has accepted them until they are gone. One
    /// more is closed at once. Default 1,024.
    pub accepted_max: usize,
    /// The most such connections from one origin: an IPv4 address, or the first 64 bits of an IPv6 address. Default
    /// 128.
    pub accepted_per_origin_max: usize,
    /// The most connections that this end has dialed. Default 1,024.
    pub dialed_max: usize,
    /// The most bytes of datagrams that wait on a connection. More are dropped and
    /// [counted](super::WebSocketCounters::datagrams_dropped). Default 1 MiB.
    pub datagram_queue_bytes_max: usize,
    /// The most bytes of ordered packets that wait on a connection. More are refused with
    /// [`Full`](crate::carrier::CarryError::Full).
    ///
    /// The default is 256 KiB more than a link ever has under way ([`CREDIT_BYTES_MAX`]), as a link that was refused
    /// keeps its datagrams back too.
    pub ordered_queue_bytes_max: usize,
    /// How long opening a connection may take: resolving the name, TCP, TLS and the upgrade of HTTP, or what of these
    /// is left for whoever accepts. Default 5 s.
    pub opening_time_max: Duration,
    /// A connection on which for so long no packet has come, or none was to be sent, is closed, or at the latest after
    /// twice as long. It must be longer than this end's and peers'
    /// [`keep_alive_after`](crate::links::LinkLimits::keep_alive_after). Default 10 s.
    pub idle_time_max: Duration,
    /// How long a connection that was closed may take to send what waits. Default 1 s.
    pub closing_time_max: Duration,
}

impl Default for WebSocketLimits {
    fn default() -> Self {
        Self {
            accepted_max: 1_024,
            accepted_per_origin_max: 128,
            dialed_max: 1_024,
            datagram_queue_bytes_max: 1024 * 1024,
            ordered_queue_bytes_max: CREDIT_BYTES_MAX + 256 * 1024,
            opening_time_max: OPENING_TIME_MAX,
            idle_time_max: Duration::from_secs(10),
            closing_time_max: Duration::from_secs(1),
        }
    }
}
