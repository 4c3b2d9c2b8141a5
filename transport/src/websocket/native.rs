//! Natively: TCP, TLS by rustls, and a tokio task for each connection.

mod connection;
mod contact;
mod fetching;
mod opening;
mod tls;
mod unframed;

use std::future::Future;
use std::io;
use std::net::SocketAddr;
use std::pin::Pin;
use std::sync::{Arc, OnceLock};
use std::task::{Context, Poll, ready};
use std::time::Duration;

use liferaft_platform::{Address, AddressError, now, sleep_until, spawn};
use tokio::net::{TcpListener, TcpStream};

pub use self::contact::{ContactError, contact_at};
pub(crate) use self::opening::{Messages, Socket};
pub use self::tls::{TlsError, TlsIdentity};

use self::fetching::fetch;
use self::opening::{OpenError, Opener};
use self::tls::Trust;
use super::carrier::WebSocketCarrier;
use super::config::WebSocketConfig;
use super::table::End;
use super::target::{PLAIN, SECURE, Target};
use crate::carrier::Reach;
use crate::hosts::{ListenError, PIN_MARK, origin_of};

/// How long nobody is accepted after the system could not, such as for want of file descriptors.
const ACCEPT_PAUSE: Duration = Duration::from_millis(100);

/// What only a native carrier is told.
#[derive(Clone, Debug, Default)]
pub(super) struct Options {
    identity: Option<TlsIdentity>,
    trust: Trust,
    is_on_this_machine: bool,
}

impl WebSocketConfig {
    /// Listens under TLS with this certificate, at addresses that begin with `wss:`.
    #[must_use]
    pub fn with_identity(mut self, identity: TlsIdentity) -> Self {
        self.host.identity = Some(identity);
        self
    }

    /// Trusts the certificate authorities in a text in PEM, in place of those that the system trusts. Who is dialed by
    /// a fingerprint needs none.
    ///
    /// # Errors
    /// When there is no certificate in it, or one that is none.
    pub fn with_authorities(mut self, pem: &[u8]) -> Result<Self, TlsError> {
        self.host.trust = Trust::read(pem)?;
        Ok(self)
    }

    /// Stays on this machine: listens on and dials loopback addresses only, so that an open cluster may be run over it
    /// ([`Reach::Machine`]).
    ///
    /// Pages in browsers are not let in, whatever sites they are of: an `Origin` in the request is refused, as any page
    /// can dial this machine. Not for a server behind a proxy, which lets in others.
    #[must_use]
    pub fn on_this_machine(mut self) -> Self {
        self.host.is_on_this_machine = true;
        self
    }
}

impl WebSocketConfig {
    /// Opens a socket for something else than packets.
    pub(crate) async fn open(self, target: &Target) -> Result<Socket, OpenError> {
        Host::new(self.host).opener.dial(target).await
    }

    /// Asks a server of HTTP for a text of at most so many bytes.
    pub(crate) async fn fetch(self, target: &Target, bytes_max: usize) -> io::Result<String> {
        let opener = Host::new(self.host).opener;
        let stream = opener.connect(target).await.map_err(io::Error::other)?;
        fetch(stream, target, bytes_max).await
    }
}

impl WebSocketCarrier {
    /// Makes a carrier that dials, and listens on a socket. With port 0 the system chooses a free one.
    ///
    /// # Errors
    /// When it cannot listen there: see [`ListenError`].
    pub async fn listen(config: WebSocketConfig, address: SocketAddr) -> Result<Self, ListenError> {
        if config.host.is_on_this_machine && !address.ip().is_loopback() {
            return Err(ListenError::NotOnThisMachine { address });
        }
        let failed = |error| ListenError::Socket { address, error };
        let socket = TcpListener::bind(address).await.map_err(failed)?;
        let bound = socket.local_addr().map_err(failed)?;
        let mut host = Host::new(config.host);
        host.listener = Some(Listener {
            socket,
            bound,
            pause: None,
        });
        Ok(Self::over(host, config.limits))
    }

    /// Returns the socket address that it listens on; `None` if it does not listen.
    #[must_use]
    pub fn socket_address(&self) -> Option<SocketAddr> {
        self.host.listener.as_ref().map(|listener| listener.bound)
    }

    /// Returns the address at which peers dial the socket that it listens on; `None` if it does not listen. A socket of
    /// all interfaces (`0.0.0.0`, `::`) is dialed at the [address of a host](Self::address_at).
    #[must_use]
    pub fn local_address(&self) -> Option<Address> {
        let bound = self.socket_address()?.to_string();
        Some(self.address_at(&bound).expect("a socket address is short"))
    }

    /// Returns the address at which peers dial this carrier by a host, as `example.org:4000`: with the scheme, and the
    /// fingerprint if its certificate is [pinned](TlsIdentity::pinned).
    ///
    /// # Errors
    /// When the host makes it no address.
    pub fn address_at(&self, host: &str) -> Result<Address, AddressError> {
        let identity = self.host.opener.identity.as_ref();
        let scheme = identity.map_or(PLAIN, |_| SECURE);
        let pin = identity.and_then(TlsIdentity::pin);
        let pin = pin.map_or_else(String::new, |pin| format!("{PIN_MARK}{pin}"));
        format!("{scheme}://{host}{pin}").parse()
    }
}

/// The sockets of this process.
#[derive(Debug)]
pub(super) struct Host {
    opener: Arc<Opener>,
    listener: Option<Listener>,
}

struct Listener {
    socket: TcpListener,
    bound: SocketAddr,
    pause: Option<Pin<Box<dyn Future<Output = ()> + Send>>>,
}

impl Host {
    pub(super) fn new(options: Options) -> Self {
        let Options {
            identity,
            trust,
            is_on_this_machine,
        } = options;
        Self {
            opener: Arc::new(Opener {
                identity,
                trust,
                is_on_this_machine,
                contact: OnceLock::new(),
            }),
            listener: None,
        }
    }

    pub(super) fn reach(&self) -> Reach {
        if self.opener.is_on_this_machine {
            Reach::Machine
        } else {
            Reach::Anywhere
        }
    }

    pub(super) fn dials(&self, _any: &Target) -> bool {
        true
    }

    pub(super) fn dial(&self, target: Target, end: End) {
        let opener = Arc::clone(&self.opener);
        spawn(connection::run(
            async move { opener.dial(&target).await },
            end,
        ));
    }

    /// Returns the next connection of another.
    pub(super) fn poll_incoming(&mut self, context: &mut Context<'_>) -> Poll<Incoming> {
        let Some(listener) = &mut self.listener else {
            return Poll::Pending;
        };
        loop {
            if let Some(pause) = &mut listener.pause {
                ready!(pause.as_mut().poll(context));
                listener.pause = None;
            }
            match ready!(listener.socket.poll_accept(context)) {
                Ok((socket, from)) => {
                    return Poll::Ready(Incoming {
                        socket,
                        from,
                        opener: Arc::clone(&self.opener),
                    });
                }
                Err(error) if is_of_one(&error) => {}
                Err(error) => {
                    tracing::warn!(%error, "cannot accept a connection");
                    listener.pause = Some(Box::pin(sleep_until(now() + ACCEPT_PAUSE)));
                }
            }
        }
    }
}

/// Returns true if the error is of one connection, which was closed before it was accepted.
fn is_of_one(error: &io::Error) -> bool {
    use io::ErrorKind::{ConnectionAborted, ConnectionReset};
    matches!(error.kind(), ConnectionAborted | ConnectionReset)
}

impl std::fmt::Debug for Listener {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Listener")
            .field("bound", &self.bound)
            .finish_non_exhaustive()
    }
}

/// A connection of another that TCP has accepted.
pub(super) struct Incoming {
    socket: TcpStream,
    from: SocketAddr,
    opener: Arc<Opener>,
}

impl Incoming {
    /// Returns the part of its address that it cannot choose freely.
    pub(super) fn origin(&self) -> Vec<u8> {
        origin_of(self.from.ip())
    }

    pub(super) fn from(&self) -> SocketAddr {
        self.from
    }

    pub(super) fn open(self, end: End) {
        let Self { socket, opener, .. } = self;
        spawn(connection::run(
            async move { opener.accept(socket).await },
            end,
        ));
    }
}
