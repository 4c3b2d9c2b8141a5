//! Gives [`Rooms`] a clock, randomness and connections.

use std::collections::HashMap;
use std::fmt;
use std::net::{IpAddr, SocketAddr};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError, Weak};
use std::time::Duration;

use axum::Router;
use axum::http::HeaderMap;
use tokio::sync::{Notify, mpsc, oneshot, watch};
use tokio::task::AbortHandle;
use tokio::time::{Instant, sleep_until, timeout};

use crate::config::Config;
use crate::figures::Figures;
use crate::hosts::Host;
use crate::names::Channel;
use crate::rooms::{Action, Closing, ConnectionId, Ending, Refusal, Rooms};
use crate::routes;

/// Connections that are told goodbye have ended by then.
const SHUTDOWN_TIME_MAX: Duration = Duration::from_secs(4);

/// A running server, to be embedded in another by its [`Router`]. Its clones are the same server, which ends with the
/// last.
#[derive(Clone)]
pub struct Hub(Arc<Shared>);

struct Shared {
    config: Config,
    state: Mutex<State>,
    started: Instant,
    next_connection: AtomicU64,
    /// Told when the deadline may be another.
    deadline_changed: Arc<Notify>,
    timer: AbortHandle,
    /// Every connection holds a receiver.
    open: watch::Sender<()>,
}

struct State {
    rooms: Rooms,
    sockets: HashMap<ConnectionId, Outlet>,
}

/// The way to a connection. What waits in it is bounded by [`Rooms`].
struct Outlet {
    texts: mpsc::UnboundedSender<String>,
    closing: oneshot::Sender<Closing>,
}

/// What a connection is told to do.
pub(crate) struct Inlet {
    pub(crate) texts: mpsc::UnboundedReceiver<String>,
    pub(crate) closing: oneshot::Receiver<Closing>,
    /// Held for as long as it is open.
    pub(crate) _open: watch::Receiver<()>,
}

impl Hub {
    /// Starts a server that has no connections.
    ///
    /// # Panics
    /// If it is not called in a tokio runtime with time, in which the server keeps a timer.
    #[must_use]
    pub fn new(config: Config) -> Self {
        let rooms = Rooms::new(&config);
        let deadline_changed = Arc::new(Notify::new());
        Self(Arc::new_cyclic(|shared: &Weak<Shared>| {
            let timer = tokio::spawn(keep_time(shared.clone(), Arc::clone(&deadline_changed)));
            Shared {
                config,
                state: Mutex::new(State {
                    rooms,
                    sockets: HashMap::new(),
                }),
                started: Instant::now(),
                next_connection: AtomicU64::new(0),
                deadline_changed,
                timer: timer.abort_handle(),
                open: watch::Sender::new(()),
            }
        }))
    }

    /// Returns the routes of visitors and peers.
    ///
    /// Serve it with `into_make_service_with_connect_info::<SocketAddr>()`: without addresses, all visitors count as
    /// one host. Connections that ask nothing are not bounded here, but by [`Server`](crate::Server), or your own.
    pub fn router(&self) -> Router {
        routes::public(self.clone())
    }

    /// Returns the routes of operators, `/metrics` and `/healthz`, for an address that visitors do not reach.
    pub fn operator_router(&self) -> Router {
        routes::operator(self.clone())
    }

    /// Returns what the server has and has done.
    #[must_use]
    pub fn figures(&self) -> Figures {
        self.lock().rooms.figures()
    }

    /// Stops signaling, or starts it again, while pages are served as before: connections of peers are closed, and what
    /// has to do with rooms is answered with 503. Rooms stay as they are, and peers come back when it is started again.
    pub fn set_open(&self, is_open: bool) {
        self.change(|rooms, now| rooms.set_open(now, is_open));
    }

    /// Returns true if signaling is not stopped.
    #[must_use]
    pub fn is_open(&self) -> bool {
        self.lock().rooms.is_open()
    }

    /// Closes all connections, and waits until they have ended: 4 s at most. Peers come back if there is a server
    /// again.
    pub async fn shut_down(&self) {
        self.change(Rooms::shut_down);
        let _time_is_up = timeout(SHUTDOWN_TIME_MAX, self.0.open.closed()).await;
    }

    pub(crate) fn config(&self) -> &Config {
        &self.0.config
    }

    /// Changes the state, and does what comes of it. What is done here does not wait for anything.
    pub(crate) fn change<T>(&self, change: impl FnOnce(&mut Rooms, Duration) -> T) -> T {
        let mut state = self.lock();
        let before = state.rooms.deadline();
        let result = change(&mut state.rooms, self.0.started.elapsed());
        for action in state.rooms.actions() {
            match action {
                Action::Send { connection, text } => {
                    if let Some(outlet) = state.sockets.get(&connection) {
                        // An error means that it has ended, which it reports itself.
                        let _ended = outlet.texts.send(text);
                    }
                }
                Action::Close {
                    connection,
                    closing,
                } => {
                    if let Some(outlet) = state.sockets.remove(&connection) {
                        let _ended = outlet.closing.send(closing);
                    }
                }
            }
        }
        let deadline = state.rooms.deadline();
        drop(state);
        if deadline.is_some_and(|deadline| before.is_none_or(|before| deadline < before)) {
            self.0.deadline_changed.notify_one();
        }
        result
    }

    /// Takes a place for a connection.
    pub(crate) fn connect(&self, host: Host) -> Result<(ConnectionId, Inlet), Refusal> {
        let connection = ConnectionId(self.0.next_connection.fetch_add(1, Ordering::Relaxed));
        let (texts, texts_from) = mpsc::unbounded_channel();
        let (closing, closing_from) = oneshot::channel();
        let outlet = Outlet { texts, closing };
        self.lock().sockets.insert(connection, outlet);
        if let Err(refusal) = self.change(|rooms, now| rooms.connect(now, host, connection)) {
            self.lock().sockets.remove(&connection);
            return Err(refusal);
        }
        let inlet = Inlet {
            texts: texts_from,
            closing: closing_from,
            _open: self.0.open.subscribe(),
        };
        Ok((connection, inlet))
    }

    /// Takes note that a connection has ended.
    pub(crate) fn end(&self, connection: ConnectionId, ending: Ending) {
        self.change(|rooms, now| rooms.end(now, connection, ending));
        self.lock().sockets.remove(&connection);
    }

    /// Returns who sent a request: the peer of its connection, or whom a trusted proxy names.
    pub(crate) fn host(&self, peer: Option<SocketAddr>, headers: &HeaderMap) -> Host {
        let Some(peer) = peer else {
            return Host::of(IpAddr::from([0, 0, 0, 0]));
        };
        let is_trusted = |address: &IpAddr| {
            self.0
                .config
                .trusted_proxies
                .contains(&address.to_canonical())
        };
        if !is_trusted(&peer.ip()) {
            return Host::of(peer.ip());
        }
        // Each proxy adds whom it was asked by: the last that is no proxy of ours is the one that ours saw.
        let forwarded = headers.get_all("x-forwarded-for").iter().rev();
        let addresses = forwarded
            .filter_map(|value| value.to_str().ok())
            .flat_map(|value| value.rsplit(','))
            .map(|address| address.trim().parse::<IpAddr>());
        for address in addresses {
            match address {
                Ok(address) if is_trusted(&address) => {}
                Ok(address) => return Host::of(address),
                Err(_) => break,
            }
        }
        Host::of(peer.ip())
    }

    fn lock(&self) -> std::sync::MutexGuard<'_, State> {
        self.0.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl fmt::Debug for Hub {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Hub").finish_non_exhaustive()
    }
}

impl Drop for Shared {
    fn drop(&mut self) {
        self.timer.abort();
    }
}

/// Does what is due, for as long as there is a server.
async fn keep_time(shared: Weak<Shared>, deadline_changed: Arc<Notify>) {
    loop {
        let next = {
            let Some(shared) = shared.upgrade() else {
                // Before the server is made, or after it has ended.
                deadline_changed.notified().await;
                continue;
            };
            let hub = Hub(shared);
            hub.change(|rooms, now| rooms.on_time(now));
            let deadline = hub.lock().rooms.deadline();
            deadline.map(|deadline| hub.0.started + deadline)
        };
        match next {
            Some(at) => tokio::select! {
                () = sleep_until(at) => {}
                () = deadline_changed.notified() => {}
            },
            None => deadline_changed.notified().await,
        }
    }
}

/// Draws a room's number.
pub(crate) fn draw_channel() -> Option<Channel> {
    let mut bytes = [0; 20];
    getrandom::fill(&mut bytes).ok()?;
    Some(Channel::from_random(bytes))
}

/// Draws an id as PeerJS's server does: a random UUID (RFC 9562, version 4).
pub(crate) fn draw_id() -> Option<String> {
    let mut bytes = [0; 16];
    getrandom::fill(&mut bytes).ok()?;
    let bits = u128::from_be_bytes(bytes);
    const VERSION: u128 = 0xf000 << 64;
    const VARIANT: u128 = 0xc000 << 48;
    let bits = bits & !VERSION & !VARIANT | 0x4000 << 64 | 0x8000 << 48;
    let digits = format!("{bits:032x}");
    let [a, b, c, d, e] = [0..8, 8..12, 12..16, 16..20, 20..32].map(|part| &digits[part]);
    Some(format!("{a}-{b}-{c}-{d}-{e}"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_drawn_id_is_a_random_uuid() {
        let id = draw_id().expect("the system has entropy");

        assert_eq!(id.len(), 36);
        assert_eq!(&id[14..15], "4");
        assert!("89ab".contains(&id[19..20]), "{id}");
        assert_ne!(draw_id(), Some(id));
    }

    #[tokio::test]
    async fn proxies_are_believed_if_they_are_trusted() {
        let proxy: IpAddr = "192.0.2.1".parse().expect("an address");
        let hub = Hub::new(Config::default().with_trusted_proxies(vec![proxy]));
        let headers = HeaderMap::from_iter([(
            "x-forwarded-for".parse().expect("a name"),
            "203.0.113.9, 198.51.100.7, 192.0.2.1"
                .parse()
                .expect("a value"),
        )]);
        let of = |text: &str| Host::of(text.parse().expect("an address"));
        let by = |peer: &str| hub.host(peer.parse().ok(), &headers);

        assert_eq!(by("192.0.2.1:4"), of("198.51.100.7"));
        assert_eq!(by("192.0.2.2:4"), of("192.0.2.2"));
        assert_eq!(
            hub.host("192.0.2.1:4".parse().ok(), &HeaderMap::new()),
            of("192.0.2.1")
        );
    }
}
