//! Carries packets over WebSocket (RFC 6455), which every network lets through: natively over TCP and TLS, in browsers
//! and Node by the sockets of the host.
//!
//! One message is one packet. [`WebSocketCarrier`] is the carrier of both: natively it dials and listens, in browsers
//! it dials. All that it does about peers is to move bytes and to bound what that costs; who is there, encryption,
//! reconnecting and finding dead connections are the business of [`links`](crate::links). `docs/websocket.md` in the
//! repository has addresses, bounds and what to know behind a proxy.
//!
//! ```
//! # mod liferaft { pub use liferaft_transport as transport; }
//! # #[tokio::main(flavor = "current_thread")]
//! # async fn main() -> Result<(), Box<dyn std::error::Error>> {
//! use liferaft::transport::endpoint::{Endpoint, KeySigner};
//! use liferaft::transport::websocket::{TlsIdentity, WebSocketCarrier, WebSocketConfig};
//!
//! // TLS with a certificate of its own, which peers know by the fingerprint in the address.
//! let config = WebSocketConfig::default().with_identity(TlsIdentity::self_signed()?);
//! let carrier = WebSocketCarrier::listen(config, "127.0.0.1:0".parse()?).await?;
//! let address = carrier.local_address().ok_or("it listens")?;
//! println!("{address}"); // wss://127.0.0.1:41377#sha256=8g3P…
//!
//! let end = Endpoint::new(KeySigner::from_secret(&[7; 32]), carrier);
//! # drop(end);
//! # Ok(())
//! # }
//! ```
//!
//! # Which packets go first
//!
//! A connection has two queues: datagrams go before ordered packets, so that a snapshot does not hold up heartbeats.
//! For that little is handed on ahead of time: 16 KiB or one packet at once, and on Linux no more than
//! [`UNSENT_BYTES_MAX`] wait in the kernel without being under way. Datagrams beyond their bound are dropped and
//! [counted](WebSocketCounters); ordered packets are refused until there is room.

mod carrier;
mod config;
mod deadlines;
mod limits;
mod meter;
mod pipe;
mod table;
mod target;

#[cfg(not(target_arch = "wasm32"))]
mod native;
#[cfg(target_arch = "wasm32")]
mod wasm;

#[cfg(not(target_arch = "wasm32"))]
use native as host;
#[cfg(target_arch = "wasm32")]
use wasm as host;

pub use self::carrier::WebSocketCarrier;
pub use self::config::WebSocketConfig;
pub use self::limits::{PACKET_BYTES_MAX, UNREAD_EVENTS_MAX, WebSocketLimits};
pub use self::meter::{WebSocketCounters, WebSocketMeter};
#[cfg(not(target_arch = "wasm32"))]
pub use self::native::{ContactError, TlsError, TlsIdentity, contact_at};
#[cfg(all(feature = "webrtc", not(target_arch = "wasm32")))]
pub(crate) use self::native::{Messages, Socket};
#[cfg(feature = "webrtc")]
pub(crate) use self::target::Target;
#[cfg(target_arch = "wasm32")]
pub use self::wasm::WebSocketAcceptor;
#[cfg(not(target_arch = "wasm32"))]
pub use crate::hosts::ListenError;
pub use crate::hosts::{Fingerprint, ParseFingerprintError};

/// The most bytes that wait in the kernel of Linux without being under way (`TCP_NOTSENT_LOWAT`). Elsewhere this is
/// unknown, and the kernel holds [`SEND_BUFFER_BYTES`] of both kinds.
pub const UNSENT_BYTES_MAX: u32 = 16 * 1024;

/// The kernel's send buffer of a connection, in bytes, where [`UNSENT_BYTES_MAX`] cannot be set. It bounds how much is
/// under way: 2.5 MB/s over a round trip of 50 ms.
pub const SEND_BUFFER_BYTES: usize = 128 * 1024;

/// Keeps what is handed to the kernel small, so that it goes out before long.
#[cfg(any(target_os = "linux", target_os = "android"))]
fn keep_unsent_low(socket: &tokio::net::TcpStream) -> std::io::Result<()> {
    socket2::SockRef::from(socket).set_tcp_notsent_lowat(UNSENT_BYTES_MAX)
}

/// Keeps what is handed to the kernel small, so that it goes out before long.
#[cfg(not(any(target_os = "linux", target_os = "android", target_arch = "wasm32")))]
fn keep_unsent_low(socket: &tokio::net::TcpStream) -> std::io::Result<()> {
    socket2::SockRef::from(socket).set_send_buffer_size(SEND_BUFFER_BYTES)
}
