//! Opens connections: names, TCP, TLS and the upgrade of HTTP.

use std::io;
use std::net::SocketAddr;
use std::time::Duration;

use futures::future::select_ok;
use liferaft_platform::{now, sleep_until};
use thiserror::Error;
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::{TcpStream, lookup_host};
use tokio_tungstenite::tungstenite::handshake::server::{
    Callback, ErrorResponse, Request, Response,
};
use tokio_tungstenite::tungstenite::http::StatusCode;
use tokio_tungstenite::tungstenite::http::header::ORIGIN;
use tokio_tungstenite::tungstenite::protocol::WebSocketConfig;
use tokio_tungstenite::{
    WebSocketStream, accept_hdr_async_with_config, client_async_with_config, tungstenite,
};

use super::super::limits::PACKET_BYTES_MAX;
use super::super::target::Target;
use super::tls::{TlsIdentity, Trust};

/// How many bytes of packets are written at once, when several wait. One packet is written in any case.
pub(super) const BATCH_BYTES: usize = 16 * 1024;

/// How many bytes are read at once. The buffer for them is there as long as the connection.
const READ_BYTES: usize = 16 * 1024;

/// How long an address of a name is tried alone before the next one is tried too (RFC 8305, section 5).
const ATTEMPT_DELAY: Duration = Duration::from_millis(250);

/// The most addresses of a name that are tried.
const ADDRESSES_MAX: u32 = 8;

/// A connection that is open.
pub(super) type Socket = WebSocketStream<Box<dyn Stream>>;

/// TCP, with or without TLS.
pub(super) trait Stream: AsyncRead + AsyncWrite + Send + Unpin {}

impl<T: AsyncRead + AsyncWrite + Send + Unpin> Stream for T {}

/// What all connections of a carrier are opened with.
#[derive(Debug)]
pub(super) struct Opener {
    pub(super) identity: Option<TlsIdentity>,
    pub(super) trust: Trust,
    pub(super) is_on_this_machine: bool,
}

/// Why a connection was not opened.
#[derive(Debug, Error)]
pub(super) enum OpenError {
    #[error("cannot resolve the name: {0}")]
    Name(io::Error),
    #[error("cannot connect: {0}")]
    Connect(io::Error),
    #[error("the address is not on this machine")]
    NotOnThisMachine,
    #[error("TLS: {0}")]
    Tls(io::Error),
    #[error("upgrade: {0}")]
    Upgrade(#[from] Box<tungstenite::Error>),
    #[error("it took too long")]
    TooLong,
}

impl Opener {
    /// Connects to a target.
    pub(super) async fn dial(&self, target: &Target) -> Result<Socket, OpenError> {
        let host = (&*target.host, target.port);
        let addresses = lookup_host(host).await.map_err(OpenError::Name)?;
        let addresses: Vec<_> = addresses
            .filter(|address| !self.is_on_this_machine || address.ip().is_loopback())
            .collect();
        if addresses.is_empty() {
            return Err(OpenError::NotOnThisMachine);
        }
        let socket = connect(addresses).await.map_err(OpenError::Connect)?;
        let stream: Box<dyn Stream> = if target.is_secure {
            let stream = self.trust.connect(&target.host, target.pin, socket).await;
            Box::new(stream.map_err(OpenError::Tls)?)
        } else {
            Box::new(socket)
        };
        let upgraded = client_async_with_config(target.url(), stream, Some(config())).await;
        upgraded
            .map(|(socket, _)| socket)
            .map_err(|error| Box::new(error).into())
    }

    /// Lets in a connection of another.
    pub(super) async fn accept(&self, socket: TcpStream) -> Result<Socket, OpenError> {
        prepare(&socket).map_err(OpenError::Connect)?;
        let stream: Box<dyn Stream> = match &self.identity {
            Some(identity) => {
                let stream = identity.accept(socket).await;
                Box::new(stream.map_err(OpenError::Tls)?)
            }
            None => Box::new(socket),
        };
        let gate = Gate {
            admits_pages: !self.is_on_this_machine,
        };
        let upgraded = accept_hdr_async_with_config(stream, gate, Some(config())).await;
        upgraded.map_err(|error| Box::new(error).into())
    }
}

/// Connects to the first of a host's addresses that answers.
async fn connect(addresses: Vec<SocketAddr>) -> io::Result<TcpStream> {
    let began = now();
    let attempts = (0..ADDRESSES_MAX).zip(addresses).map(|(number, address)| {
        Box::pin(async move {
            if number > 0 {
                sleep_until(began + number * ATTEMPT_DELAY).await;
            }
            TcpStream::connect(address).await
        })
    });
    let (socket, _others) = select_ok(attempts).await?;
    prepare(&socket)?;
    Ok(socket)
}

/// Packets are sent at once, and little is handed to the kernel before it can go out.
fn prepare(socket: &TcpStream) -> io::Result<()> {
    socket.set_nodelay(true)?;
    super::super::keep_unsent_low(socket)
}

/// A longer frame is refused when its head has come, before memory is taken for it.
fn config() -> WebSocketConfig {
    WebSocketConfig::default()
        .read_buffer_size(READ_BYTES)
        .write_buffer_size(BATCH_BYTES)
        // Never reached: what is written is flushed before more is.
        .max_write_buffer_size(4 * (BATCH_BYTES + PACKET_BYTES_MAX))
        .max_message_size(Some(PACKET_BYTES_MAX))
        .max_frame_size(Some(PACKET_BYTES_MAX))
}

/// Judges the request of another for the upgrade.
struct Gate {
    admits_pages: bool,
}

impl Callback for Gate {
    fn on_request(self, request: &Request, response: Response) -> Result<Response, ErrorResponse> {
        // Browsers always say which site a page is of, and others never do (RFC 6455, section 10.2).
        if self.admits_pages || !request.headers().contains_key(ORIGIN) {
            return Ok(response);
        }
        let mut refusal = ErrorResponse::new(None);
        *refusal.status_mut() = StatusCode::FORBIDDEN;
        Err(refusal)
    }
}
