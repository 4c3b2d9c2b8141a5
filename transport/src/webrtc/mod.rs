//! Carries packets over the data channels of WebRTC, by UDP: between native members by an address alone, without any
//! signaling.
//!
//! [`WebRtcCarrier`] dials and listens. All that it does about peers is to move bytes and to bound what that costs; who
//! is there, encryption end to end, reconnecting and finding dead connections are the business of
//! [`links`](crate::links), whose handshakes are bound to the certificates of both ends of the connection.
//! `docs/webrtc.md` in the repository has addresses, bounds, and what was measured.
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
//! In browsers there is nothing yet: the feature adds no carrier there.
//!
//! # Two channels
//!
//! A connection has two data channels, agreed upon beforehand and never closed and opened again: datagrams, unordered
//! and sent once unless [`DatagramMode`] says otherwise, and one that loses and reorders nothing, for snapshots and other bulk. What is under way on the
//! second is bounded by credit that the receiver gives ([`CREDIT_BYTES`]), so that heartbeats never wait behind bulk.

#[cfg(not(target_arch = "wasm32"))]
mod address;
#[cfg(not(target_arch = "wasm32"))]
mod channels;
#[cfg(not(target_arch = "wasm32"))]
mod config;
#[allow(dead_code, reason = "no carrier uses all of it on each platform")]
mod credentials;
#[allow(dead_code, reason = "no carrier uses all of it on each platform")]
pub(crate) mod description;
#[cfg(not(target_arch = "wasm32"))]
mod flow;
#[allow(dead_code, reason = "no carrier uses all of it on each platform")]
mod limits;
#[cfg(not(target_arch = "wasm32"))]
mod meter;
#[cfg(not(target_arch = "wasm32"))]
mod native;
#[allow(dead_code, reason = "no carrier uses all of it on each platform")]
mod negotiation;
#[allow(dead_code, reason = "no carrier uses all of it on each platform")]
mod negotiations;
#[cfg(target_arch = "wasm32")]
mod wasm;

#[cfg(not(target_arch = "wasm32"))]
pub use self::{
    channels::DatagramMode,
    config::WebRtcConfig,
    flow::{CREDIT_BYTES, UNACKNOWLEDGED_BYTES_MAX},
    limits::{PACKET_BYTES_MAX, WebRtcLimits},
    meter::{WebRtcCounters, WebRtcMeter},
    native::{WebRtcCarrier, WebRtcIdentity, WebRtcIdentityError},
};
#[cfg(not(target_arch = "wasm32"))]
pub use crate::hosts::ListenError;
pub use crate::hosts::{Fingerprint, ParseFingerprintError};
