//! Listens for visitors and operators, with bounds on connections that ask nothing.

use std::collections::HashMap;
use std::future::Future;
use std::io;
use std::net::SocketAddr;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use axum::Router;
use axum::body::Body;
use axum::extract::{ConnectInfo, Request};
use hyper::body::Incoming;
use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper_util::rt::{TokioIo, TokioTimer};
use tokio::net::{TcpListener, TcpStream};
use tokio::time::{sleep, timeout};
use tower_service::Service as _;

use crate::config::Config;
use crate::hosts::Host;
use crate::hub::Hub;

/// The most connections that have not become WebSockets.
const HTTP_CONNECTIONS_MAX: usize = 1024;
/// The most of them of one host that is no proxy.
const HTTP_CONNECTIONS_PER_HOST_MAX: usize = 64;
/// The head of a request comes within this time.
const HEAD_TIME_MAX: Duration = Duration::from_secs(10);
/// Such a connection is closed after this time, whatever is asked.
const HTTP_TIME_MAX: Duration = Duration::from_secs(60);
/// The most bytes of a request's head: most browsers send less than 2 KiB.
const HEAD_BYTES_MAX: usize = 16 * 1024;
/// The most headers of a request.
const HEADERS_MAX: usize = 64;
/// After an error of the listener, which mostly says that there are no file descriptors left.
const ACCEPT_PAUSE: Duration = Duration::from_millis(200);

/// So often the log is told what was refused.
const TROUBLES_TOLD_AFTER: Duration = Duration::from_secs(60);

/// A server that listens by itself.
#[derive(Debug)]
pub struct Server {
    hub: Hub,
    visitors: TcpListener,
    operators: Option<TcpListener>,
}

impl Server {
    /// Listens for visitors and peers. They are answered once it is [served](Server::serve).
    ///
    /// # Errors
    /// The address cannot be listened on.
    ///
    /// # Panics
    /// If it is not called in a tokio runtime with time and I/O.
    pub async fn bind(address: SocketAddr, config: Config) -> io::Result<Self> {
        Ok(Self {
            visitors: TcpListener::bind(address).await?,
            operators: None,
            hub: Hub::new(config),
        })
    }

    /// Listens for operators as well, at an address that visitors do not reach.
    ///
    /// # Errors
    /// The address cannot be listened on.
    pub async fn with_operators(mut self, address: SocketAddr) -> io::Result<Self> {
        self.operators = Some(TcpListener::bind(address).await?);
        Ok(self)
    }

    /// Returns where visitors are listened for.
    ///
    /// # Errors
    /// The system does not say.
    pub fn address(&self) -> io::Result<SocketAddr> {
        self.visitors.local_addr()
    }

    /// Returns where operators are listened for.
    #[must_use]
    pub fn operator_address(&self) -> Option<SocketAddr> {
        self.operators.as_ref()?.local_addr().ok()
    }

    /// Returns the server's state.
    #[must_use]
    pub const fn hub(&self) -> &Hub {
        &self.hub
    }

    /// Serves until `ends` is done, and then closes all connections, which takes 4 s at most.
    pub async fn serve(self, ends: impl Future<Output = ()>) {
        let Self {
            hub,
            visitors,
            operators,
        } = self;
        let address = |listener: &TcpListener| listener.local_addr().ok();
        tracing::info!(
            address = ?address(&visitors),
            monitor = ?operators.as_ref().and_then(address),
            "it serves"
        );
        let operating = async {
            match operators {
                Some(listener) => accept(&hub, listener, hub.operator_router()).await,
                None => std::future::pending().await,
            }
        };
        tokio::select! {
            () = accept(&hub, visitors, hub.router()) => {}
            () = operating => {}
            () = tell_troubles(&hub) => {}
            () = ends => {}
        }
        let connections = hub.figures().connections;
        tracing::info!(connections, "it ends, and closes all connections");
        hub.shut_down().await;
    }
}

/// Tells the log what was refused or cut off: in sums, since whoever asks without end is not to fill it, and without a
/// word of those who ask.
async fn tell_troubles(hub: &Hub) {
    let mut told = hub.figures();
    loop {
        sleep(TROUBLES_TOLD_AFTER).await;
        let now = hub.figures();
        if let Some(troubles) = now.troubles_since(&told) {
            tracing::info!(troubles, "within a minute");
        }
        told = now;
    }
}

async fn accept(hub: &Hub, listener: TcpListener, router: Router) {
    let gate = Arc::new(Gate::default());
    loop {
        let Ok((stream, peer)) = listener.accept().await else {
            sleep(ACCEPT_PAUSE).await;
            continue;
        };
        let is_proxy = hub
            .config()
            .trusted_proxies
            .contains(&peer.ip().to_canonical());
        // One that is over the bound is closed at once: were it left waiting, so would be those behind it.
        if let Some(pass) = Gate::enter(&gate, Host::of(peer.ip()), is_proxy) {
            let router = router.clone();
            tokio::spawn(async move {
                let served = timeout(HTTP_TIME_MAX, serve(stream, peer, router)).await;
                if let Ok(Err(error)) = served {
                    tracing::debug!(%error, "a connection has ended");
                }
                drop(pass);
            });
        }
    }
}

/// Answers requests of a connection until it ends or becomes a WebSocket.
async fn serve(stream: TcpStream, peer: SocketAddr, router: Router) -> hyper::Result<()> {
    // Messages are short, and answers to them are waited for.
    let _by_the_system = stream.set_nodelay(true);
    let service = service_fn(move |request: hyper::Request<Incoming>| {
        let mut request: Request = request.map(Body::new);
        request.extensions_mut().insert(ConnectInfo(peer));
        router.clone().call(request)
    });
    http1::Builder::new()
        .timer(TokioTimer::new())
        .header_read_timeout(HEAD_TIME_MAX)
        .max_buf_size(HEAD_BYTES_MAX)
        .max_headers(HEADERS_MAX)
        .serve_connection(TokioIo::new(stream), service)
        .with_upgrades()
        .await
}

/// Counts the connections that have not become WebSockets.
#[derive(Debug, Default)]
struct Gate(Mutex<HashMap<Host, usize>>);

/// A place behind the gate, given up when it is dropped.
struct Pass {
    gate: Arc<Gate>,
    host: Host,
}

impl Gate {
    fn enter(gate: &Arc<Self>, host: Host, is_proxy: bool) -> Option<Pass> {
        let mut counts = gate.0.lock().unwrap_or_else(PoisonError::into_inner);
        let all: usize = counts.values().sum();
        let of_host = counts.get(&host).copied().unwrap_or_default();
        let is_allowed =
            all < HTTP_CONNECTIONS_MAX && (is_proxy || of_host < HTTP_CONNECTIONS_PER_HOST_MAX);
        is_allowed.then(|| {
            counts.insert(host, of_host + 1);
            let gate = Arc::clone(gate);
            Pass { gate, host }
        })
    }
}

impl Drop for Pass {
    fn drop(&mut self) {
        let mut counts = self.gate.0.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(count) = counts.get_mut(&self.host) {
            *count -= 1;
            if *count == 0 {
                counts.remove(&self.host);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_flood_of_one_host_leaves_room_for_others() {
        let gate = Arc::new(Gate::default());
        let host = |last: u8| Host::of([192, 0, 2, last].into());

        let passes: Vec<_> = (0..2 * HTTP_CONNECTIONS_PER_HOST_MAX)
            .filter_map(|_| Gate::enter(&gate, host(1), false))
            .collect();

        assert_eq!(passes.len(), HTTP_CONNECTIONS_PER_HOST_MAX);
        assert!(Gate::enter(&gate, host(2), false).is_some());
        assert!(Gate::enter(&gate, host(1), true).is_some());
        drop(passes);
        assert!(gate.0.lock().expect("nobody panics").is_empty());
    }
}
