//! Bounds what peers cost: those that are known, and above all those that are not.

use std::time::Duration;

use crate::DeliveryClass;
use crate::frame::FRAME_BYTES_MAX;

/// The most handshakes that peers have begun and not finished. One more takes the place of the oldest that has had
/// [`HALF_OPEN_TIME_MIN`], of the origin with most by the gate with most; while there is none it is not taken up, and
/// comes in when it is repeated.
pub const HALF_OPEN_MAX: usize = 1_024;

/// The most unfinished handshakes by one gate, with the same policy as [`HALF_OPEN_MAX`]: a server that carries
/// signals, or a wide network of hosts (addresses of one length and first byte).
pub const HALF_OPEN_PER_GATE_MAX: usize = HALF_OPEN_MAX / 2;

/// The most unfinished handshakes from one origin of a carrier, such as the address of a host, with the same policy as
/// [`HALF_OPEN_MAX`].
pub const HALF_OPEN_PER_ORIGIN_MAX: usize = 8;

/// How long an unfinished handshake keeps its place, however many others come: enough for its two round trips.
pub const HALF_OPEN_TIME_MIN: Duration = Duration::from_millis(500);

/// How long carriers give a connection by default to come up.
pub const OPENING_TIME_MAX: Duration = Duration::from_secs(5);

/// How long a handshake may take, with the time that its path takes to come up. A carrier gives up a connection before
/// that, since it knows why the connection did not come up.
pub const HANDSHAKE_TIME_MAX: Duration = OPENING_TIME_MAX.saturating_add(Duration::from_secs(1));

/// The most peers that have a link without being wanted. More are sent away.
pub const UNWANTED_LINKS_MAX: usize = 1_024;

/// The most peers that are wanted. More are left out.
pub const WANTED_MAX: usize = 4_096;

/// The most events other than frames that wait unread. While so many wait, no handshake is accepted.
pub const UNREAD_EVENTS_MAX: usize = 8_192;

/// The most servers through which a signal is sent to one that has no link with this end. They change from signal to
/// signal, so that each has its turn.
pub const SIGNAL_FORWARDERS_MAX: usize = 3;

/// The most signals of a sender that are taken from a link in a second, for carriers here and to be passed on: of its
/// peer, and of each server whose signals the peer passes on. More are dropped.
pub const SIGNALS_PER_SECOND_MAX: u32 = 64;

/// The most signals of a sender that are taken from a link at once, after it has sent none for some seconds. More are
/// dropped.
pub const SIGNALS_AT_ONCE_MAX: u32 = 256;

/// The most signals that a peer passes on in a second, of all senders together. More are dropped.
pub const SIGNALS_PER_SECOND_TOTAL_MAX: u32 = 16 * SIGNALS_PER_SECOND_MAX;

/// The most signals that a peer passes on at once, of all senders together. More are dropped.
pub const SIGNALS_AT_ONCE_TOTAL_MAX: u32 = 16 * SIGNALS_AT_ONCE_MAX;

/// The most senders of a link whose signals are counted. Whoever has sent none for the longest is forgotten.
pub(super) const SIGNAL_SENDERS_MAX: usize = 256;

/// The most bytes of packets that are passed on for the peer of a link in a second. More are dropped, so that they do
/// not push out what this end has to send itself.
pub const RELAYED_BYTES_PER_SECOND_MAX: u32 = 1024 * 1024;

/// The most bytes of packets that are passed on for the peer of a link at once. More are dropped.
pub const RELAYED_BYTES_AT_ONCE_MAX: u32 = 256 * 1024;

/// The most bytes of packets that are passed on in a second, for all peers together. More are dropped.
pub const RELAYED_BYTES_PER_SECOND_TOTAL_MAX: u32 = 4 * 1024 * 1024;

/// What an unread frame costs beside its bytes, in bytes, as it counts towards the bound of what is unread.
pub(super) const FRAME_COST_BYTES: usize = 64;

/// What a link may cost, and how long it lives in silence.
///
/// ```
/// # mod liferaft { pub use liferaft_transport as transport; }
/// use liferaft::transport::links::LinkLimits;
///
/// let mut limits = LinkLimits::default();
/// limits.queue_bytes_max = 1024 * 1024;
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct LinkLimits {
    /// The longest datagram frame, in bytes, both ways.
    pub datagram_frame_bytes_max: usize,
    /// The longest stream frame, in bytes, both ways.
    pub stream_frame_bytes_max: usize,
    /// The most bytes that wait to be sent on a link's stream. More are refused.
    pub queue_bytes_max: usize,
    /// The most bytes of datagram frames of a peer that wait unread. More are dropped.
    pub unread_bytes_max: usize,
    /// How long after it last sent anything an end tells that it is there.
    pub keep_alive_after: Duration,
    /// How long after anything was last received a link is down. Handshakes of peers that take it for up still replace
    /// it.
    pub dead_after: Duration,
}

impl LinkLimits {
    /// Returns the longest frame of a class, in bytes.
    #[must_use]
    pub const fn frame_bytes_max(&self, class: DeliveryClass) -> usize {
        match class {
            DeliveryClass::Datagram => self.datagram_frame_bytes_max,
            DeliveryClass::Stream => self.stream_frame_bytes_max,
        }
    }
}

impl Default for LinkLimits {
    /// Frames of [`FRAME_BYTES_MAX`], queues of 4 MiB, a keep-alive after a second and the end after five.
    fn default() -> Self {
        Self {
            datagram_frame_bytes_max: FRAME_BYTES_MAX,
            stream_frame_bytes_max: FRAME_BYTES_MAX,
            queue_bytes_max: 4 * 1024 * 1024,
            unread_bytes_max: 8 * 1024 * 1024,
            keep_alive_after: Duration::from_secs(1),
            dead_after: Duration::from_secs(5),
        }
    }
}
