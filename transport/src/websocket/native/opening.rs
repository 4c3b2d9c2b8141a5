//! Opens connections: names, TCP, TLS and the upgrade of HTTP.

use std::future::pending;
use std::io;
use std::net::SocketAddr;
use std::sync::OnceLock;
use std::time::Duration;

use futures::StreamExt;
use futures::stream::FuturesUnordered;
use liferaft_platform::{now, sleep_until};
use thiserror::Error;
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::{TcpStream, lookup_host};
use tokio_tungstenite::tungstenite::handshake::server::{
    Callback, ErrorResponse, Request, Response,
};
use tokio_tungstenite::tungstenite::http::header::ORIGIN;
use tokio_tungstenite::tungstenite::http::{HeaderValue, StatusCode};
use tokio_tungstenite::tungstenite::protocol::WebSocketConfig;
use tokio_tungstenite::{
    WebSocketStream, accept_hdr_async_with_config, client_async_with_config, tungstenite,
};

use crate::carrier::OpenFailure;

use super::super::limits::PACKET_BYTES_MAX;
use super::super::target::Target;
use super::contact::CONTACT;
use super::tls::{TlsIdentity, Trust};
use super::unframed::Unframed;

/// How many bytes of packets are written at once, when several wait. One packet is written in any case.
pub(super) const BATCH_BYTES: usize = 16 * 1024;

/// How many bytes are read at once. The buffer for them is there as long as the connection.
pub(super) const READ_BYTES: usize = 16 * 1024;

/// How long an address of a name is tried alone before the next one is tried too (RFC 8305, section 5).
const ATTEMPT_DELAY: Duration = Duration::from_millis(250);

/// The most addresses of a name that are tried.
const ADDRESSES_MAX: usize = 8;

/// What is sent and what comes.
pub(crate) type Messages = WebSocketStream<Box<dyn Stream>>;

/// A connection that is open.
pub(crate) struct Socket {
    pub(crate) messages: Messages,
    pub(crate) unframed: Unframed,
}

/// TCP, with or without TLS.
pub(crate) trait Stream: AsyncRead + AsyncWrite + Send + Unpin {}

impl<T: AsyncRead + AsyncWrite + Send + Unpin> Stream for T {}

/// What all connections of a carrier are opened with.
#[derive(Debug)]
pub(super) struct Opener {
    pub(super) identity: Option<TlsIdentity>,
    pub(super) trust: Trust,
    pub(super) is_on_this_machine: bool,
    /// What whoever opens a connection is told.
    pub(super) contact: OnceLock<HeaderValue>,
}

/// Why a connection was not opened.
#[derive(Debug, Error)]
pub(crate) enum OpenError {
    #[error("cannot resolve the name: {0}")]
    Name(io::Error),
    #[error("cannot connect: {0}")]
    Connect(io::Error),
    #[error("the address is not on this machine")]
    NotOnThisMachine,
    #[error("TLS: {0}")]
    Tls(io::Error),
    #[error("whoever is there is no member, but a signaling server or a proxy perhaps: {0}")]
    Upgrade(#[from] Box<tungstenite::Error>),
    #[error("it took too long")]
    TooLong,
}

/// What links are told of it.
impl From<OpenError> for OpenFailure {
    fn from(error: OpenError) -> Self {
        match error {
            OpenError::Name(error) => Self::NameNotResolved(error.to_string()),
            OpenError::Connect(error) => match error.kind() {
                io::ErrorKind::ConnectionRefused => Self::ConnectionRefused,
                io::ErrorKind::TimedOut => Self::TimedOut,
                _ => Self::NotConnected(error.to_string()),
            },
            OpenError::NotOnThisMachine => Self::NotConnected(error.to_string()),
            OpenError::Tls(error) => Self::Tls(error.to_string()),
            OpenError::Upgrade(error) => match *error {
                tungstenite::Error::Io(error) => Self::NotConnected(error.to_string()),
                error => Self::OtherProtocol(error.to_string()),
            },
            OpenError::TooLong => Self::TimedOut,
        }
    }
}

impl Opener {
    /// Connects to a target.
    pub(super) async fn dial(&self, target: &Target) -> Result<Socket, OpenError> {
        self.upgrade(target).await.map(|(socket, _)| socket)
    }

    /// Connects to a target, and returns what it answers to the upgrade.
    pub(super) async fn upgrade(
        &self,
        target: &Target,
    ) -> Result<(Socket, tungstenite::handshake::client::Response), OpenError> {
        let unframed = Unframed::new(true);
        let stream = unframed.count(self.connect(target).await?);
        let upgraded = client_async_with_config(target.url(), stream, Some(config())).await;
        let (messages, response) = upgraded.map_err(Box::new)?;
        let socket = Socket { messages, unframed };
        Ok((socket, response))
    }

    /// Connects to the host of a target, by TLS if that is wanted.
    pub(super) async fn connect(&self, target: &Target) -> Result<Box<dyn Stream>, OpenError> {
        let host = (&*target.host, target.port);
        let addresses = lookup_host(host).await.map_err(OpenError::Name)?;
        let addresses: Vec<_> = addresses
            .filter(|address| !self.is_on_this_machine || address.ip().is_loopback())
            .collect();
        if addresses.is_empty() {
            return Err(OpenError::NotOnThisMachine);
        }
        let socket = connect(addresses).await.map_err(OpenError::Connect)?;
        Ok(if target.is_secure {
            let stream = self.trust.connect(&target.host, target.pin, socket).await;
            Box::new(stream.map_err(OpenError::Tls)?)
        } else {
            Box::new(socket)
        })
    }

    /// Lets in a connection of another.
    pub(super) async fn accept(&self, socket: TcpStream) -> Result<Socket, OpenError> {
        prepare(&socket).map_err(OpenError::Connect)?;
        let unframed = Unframed::new(false);
        let stream = match &self.identity {
            Some(identity) => {
                let stream = identity.accept(socket).await;
                unframed.count(stream.map_err(OpenError::Tls)?)
            }
            None => unframed.count(socket),
        };
        let gate = Gate {
            admits_pages: !self.is_on_this_machine,
            contact: self.contact.get(),
        };
        let upgraded = accept_hdr_async_with_config(stream, gate, Some(config())).await;
        let messages = upgraded.map_err(Box::new)?;
        Ok(Socket { messages, unframed })
    }
}

/// Connects to the first of a host's addresses that answers. Each is tried when the one before has failed, or has kept
/// silent for a while.
async fn connect(addresses: Vec<SocketAddr>) -> io::Result<TcpStream> {
    let mut untried = addresses.into_iter().take(ADDRESSES_MAX).peekable();
    let mut attempts = FuturesUnordered::new();
    loop {
        attempts.extend(untried.next().map(TcpStream::connect));
        let delay = async {
            match untried.peek() {
                Some(_) => sleep_until(now() + ATTEMPT_DELAY).await,
                None => pending().await,
            }
        };
        tokio::select! {
            Some(attempt) = attempts.next() => match attempt {
                Err(error) if attempts.is_empty() && untried.peek().is_none() => return Err(error),
                Err(_) => {}
                Ok(socket) => {
                    prepare(&socket)?;
                    return Ok(socket);
                }
            },
            () = delay => {}
        }
    }
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
struct Gate<'a> {
    admits_pages: bool,
    contact: Option<&'a HeaderValue>,
}

impl Callback for Gate<'_> {
    fn on_request(
        self,
        request: &Request,
        mut response: Response,
    ) -> Result<Response, ErrorResponse> {
        // Browsers always say which site a page is of, and others never do (RFC 6455, section 10.2).
        if self.admits_pages || !request.headers().contains_key(ORIGIN) {
            let contact = self.contact.map(|contact| (CONTACT, contact.clone()));
            response.headers_mut().extend(contact);
            return Ok(response);
        }
        let mut refusal = ErrorResponse::new(None);
        *refusal.status_mut() = StatusCode::FORBIDDEN;
        Err(refusal)
    }
}
