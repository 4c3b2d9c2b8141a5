//! Carries packets over the data channels of WebRTC, by UDP: to native members by an address alone, without any
//! signaling.
//!
//! [`WebRtcCarrier`] is the carrier of both hosts: natively it dials and listens, in browsers it dials. All that it
//! does about peers is to move bytes and to bound what that costs; who is there, encryption end to end, reconnecting
//! and finding dead connections are the business of [`links`](crate::links), whose handshakes are bound to the
//! certificates of both ends of the connection. `docs/webrtc.md` in the repository has addresses, bounds, and what was
//! measured.
//!
//! ```
//! # mod liferaft { pub use liferaft_transport as transport; }
//! # #[tokio::main(flavor = "current_thread")]
//! # async fn main() -> Result<(), Box<dyn std::error::Error>> {
//! use liferaft::transport::endpoint::{Endpoint, KeySigner};
//! use liferaft::transport::webrtc::{WebRtcCarrier, WebRtcConfig, WebRtcIdentity};
//!
//! // Made once, and kept with the member's other secrets: the address has its fingerprint.
//! let kept = WebRtcIdentity::generate().to_pem();
//!
//! let identity = WebRtcIdentity::from_pem(kept.as_bytes())?;
//! let config = WebRtcConfig::default().with_identity(identity);
//! let carrier = WebRtcCarrier::listen(config, "127.0.0.1:0".parse()?).await?;
//! let address = carrier.local_address().ok_or("it listens")?;
//! println!("{address}"); // rtc://127.0.0.1:41377#sha256=8g3P…
//!
//! let end = Endpoint::new(KeySigner::from_secret(&[7; 32]), carrier);
//! # drop(end);
//! # Ok(())
//! # }
//! ```
//!
//! # Two channels
//!
//! A connection has two data channels, agreed upon beforehand and never closed and opened again: datagrams, unordered
//! and given up after a third of a second unless [`DatagramMode`] says otherwise, and one for snapshots and other bulk.
//! On the second runs the stream of links, reliable and in order, under credit that the receiver gives: links repair
//! what it loses, and SCTP does not. What is under way on it is bounded ([`UNACKNOWLEDGED_BYTES_MAX`]), so that
//! heartbeats never wait behind bulk.

#[allow(dead_code, reason = "no carrier uses all of it on each platform")]
mod address;
mod by_hand;
mod channels;
mod config;
#[allow(dead_code, reason = "no carrier uses all of it on each platform")]
mod credentials;
#[allow(dead_code, reason = "no carrier uses all of it on each platform")]
pub(crate) mod description;
#[allow(dead_code, reason = "not each host asks all of it")]
mod flow;
#[allow(dead_code, reason = "no carrier uses all of it on each platform")]
mod ice_servers;
#[allow(dead_code, reason = "no carrier uses all of it on each platform")]
mod limits;
mod meter;

#[cfg(not(target_arch = "wasm32"))]
mod native;
#[allow(dead_code, reason = "no carrier uses all of it on each platform")]
mod negotiation;
#[allow(dead_code, reason = "no carrier uses all of it on each platform")]
mod negotiations;
#[allow(dead_code, reason = "no carrier uses all of it on each platform")]
mod places;
mod reached;
mod servers;
mod shunned;
mod strangers;
#[allow(dead_code, reason = "no carrier uses all of it on each platform")]
mod supply;
#[allow(dead_code, reason = "no carrier uses all of it on each platform")]
mod switchboard;
#[allow(dead_code, reason = "no carrier uses all of it on each platform")]
mod visitors;
#[cfg(target_arch = "wasm32")]
mod wasm;

#[cfg(not(target_arch = "wasm32"))]
use native as host;
#[cfg(target_arch = "wasm32")]
use wasm as host;

pub use self::by_hand::{BY_HAND_MAX, BY_HAND_TIME_MAX, ByHand, ByHandError};
pub use self::channels::DatagramMode;
pub use self::config::WebRtcConfig;
pub use self::flow::UNACKNOWLEDGED_BYTES_MAX;
pub use self::host::WebRtcCarrier;
pub use self::ice_servers::{IceServer, IceServerError, IceTransportPolicy};
pub use self::limits::{PACKET_BYTES_MAX, WebRtcLimits};
pub use self::meter::{WebRtcCounters, WebRtcMeter};
#[cfg(not(target_arch = "wasm32"))]
pub use self::native::{WebRtcIdentity, WebRtcIdentityError};
pub use self::reached::{SignalingMeter, SignalingStatus};
#[cfg(not(target_arch = "wasm32"))]
pub use crate::hosts::ListenError;
pub use crate::hosts::{Fingerprint, ParseFingerprintError};
