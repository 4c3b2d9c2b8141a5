//! Bounds what connections cost, whoever dials them.

use std::time::Duration;

use crate::links::{CREDIT_BYTES_MAX, OPENING_TIME_MAX};

/// The longest packet, in bytes: what every implementation of data channels takes as one message. A longer one closes
/// the connection.
pub const PACKET_BYTES_MAX: usize = 16 * 1024;

/// What a packet that waits costs beside its bytes, in bytes.
pub(super) const PACKET_COST_BYTES: usize = 128;

/// What connections may cost.
///
/// ```
/// # mod liferaft { pub use liferaft_transport as transport; }
/// use liferaft::transport::webrtc::WebRtcLimits;
///
/// let mut limits = WebRtcLimits::default();
/// limits.accepted_max = 10_000;
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct WebRtcLimits {
    /// The most connections that others have dialed or offered, those that are being opened included. One more takes
    /// the place of one by which no link is up, and otherwise is not answered. Default 1,024.
    pub accepted_max: usize,
    /// The most such connections from one origin, with the same policy: an IPv4 address, or the first 64 bits of an
    /// IPv6 address. Default 128.
    pub accepted_per_origin_max: usize,
    /// The most that have dialed an address of this end and are being opened; and the most that each signaling server,
    /// and each server whose link brings signals, has brought and by which no link is up. One more takes the place of
    /// the oldest, if that has had half a second, or two of those by signals, and otherwise is not answered: whoever
    /// dials asks again. Default 64.
    pub opening_max: usize,
    /// The most that are being opened from one origin by an address, with the same policy. Default 8.
    pub opening_per_origin_max: usize,
    /// The most connections that this end has dialed. Default 1,024.
    pub dialed_max: usize,
    /// The most bytes of datagrams that a connection has under way, acknowledged by nobody. More are dropped and
    /// [counted](super::WebRtcCounters::datagrams_dropped). Default 256 KiB.
    pub datagram_bytes_max: usize,
    /// The most bytes of bulk that wait on a connection. More are refused with
    /// [`Full`](crate::carrier::CarryError::Full).
    ///
    /// The default is 256 KiB more than a link ever has under way ([`CREDIT_BYTES_MAX`]), as a link that was refused
    /// keeps its datagrams back too.
    pub ordered_queue_bytes_max: usize,
    /// How long opening a connection may take: resolving the name, ICE, DTLS and SCTP. Default 5 s.
    pub opening_time_max: Duration,
    /// A connection on which for so long no packet has come, or none was to be sent, is closed, or at the latest after
    /// twice as long. It must be longer than this end's and peers'
    /// [`keep_alive_after`](crate::links::LinkLimits::keep_alive_after). Default 10 s.
    pub idle_time_max: Duration,
    /// A connection that signals have found, and on which nothing has come for so long, gets a restart of ICE. It must
    /// be longer than this end's and peers' [`keep_alive_after`](crate::links::LinkLimits::keep_alive_after), and
    /// shorter than their [`dead_after`](crate::links::LinkLimits::dead_after), or it comes too late. In browsers, the
    /// browser decides. Default 2.5 s.
    pub disconnected_after: Duration,
}

impl Default for WebRtcLimits {
    fn default() -> Self {
        Self {
            accepted_max: 1_024,
            accepted_per_origin_max: 128,
            opening_max: 64,
            opening_per_origin_max: 8,
            dialed_max: 1_024,
            datagram_bytes_max: 256 * 1024,
            ordered_queue_bytes_max: CREDIT_BYTES_MAX + 256 * 1024,
            opening_time_max: OPENING_TIME_MAX,
            idle_time_max: Duration::from_secs(10),
            disconnected_after: Duration::from_millis(2_500),
        }
    }
}
