//! Says what is on the wire: two data channels, agreed upon beforehand, that are never closed and opened again.
//!
//! A binary message is one packet, on either channel. There is nothing else.
//!
//! Both channels share one association of SCTP and its congestion window. Of two packets that are lost together SCTP
//! may find the second by its timeout alone, of one second, doubled each time, which closes the window to one packet:
//! as long as lost packets fill that, nothing else is sent, no heartbeat either. A packet that is never sent again
//! fills it too, until the timeout. So both channels send again what is lost, and give it up soon: links repair bulk,
//! and consensus says again what is still true.

/// The stream of the channel for datagrams, which delivers as [`DatagramMode`] says.
pub(super) const DATAGRAMS: u16 = 0;

/// The stream of the channel for bulk: in order, so that SCTP sends datagrams first.
pub(super) const BULK: u16 = 1;

/// How long SCTP tries to deliver a datagram, in milliseconds. After a pause of the peer it is heard that much later.
///
/// It is longer than a round trip to the other end of the world: what is not acknowledged in time is given up though it
/// arrives, and the congestion window stays small.
pub(super) const DATAGRAM_LIFETIME_MS: u16 = 350;

/// How long SCTP tries to deliver a packet of bulk, in milliseconds. A heartbeat waits for a lost one no longer.
///
/// It is longer than that of datagrams, as bulk fills the congestion window, and waits there before it is sent.
pub(super) const BULK_LIFETIME_MS: u16 = 500;

/// The label of both channels, which is not sent.
pub(super) const LABEL: &str = "liferaft";

/// How the channel for datagrams delivers what an end sends. Each end chooses for itself.
///
/// The default is neither ordered nor reliable, and what consensus wants: it sends again what matters and is still
/// true, and takes messages in any order. The other modes are there to be compared with it, as `docs/webrtc.md` in the
/// repository does.
///
/// ```
/// # mod liferaft { pub use liferaft_transport as transport; }
/// use liferaft::transport::webrtc::{DatagramMode, WebRtcConfig};
///
/// let tcp_like = DatagramMode { is_ordered: true, is_reliable: true };
/// let config = WebRtcConfig::default().with_datagram_mode(tcp_like);
/// # drop(config);
/// ```
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct DatagramMode {
    /// No packet overtakes another: what follows a lost one waits until that has arrived, or is given up.
    pub is_ordered: bool,
    /// A lost packet is sent again until it arrives. Others are given up after 350 ms.
    pub is_reliable: bool,
}
