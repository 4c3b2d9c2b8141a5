//! Reaches other servers through a signaling server that speaks PeerJS's protocol: ours, or npm's `peer`.
//!
//! ```
//! # mod liferaft { pub use liferaft_transport as transport; }
//! use liferaft::transport::signaling::SignalingServer;
//! use liferaft::transport::webrtc::WebRtcConfig;
//!
//! let server = SignalingServer::at("wss://signaling.example.org/peerjs")?;
//! let config = WebRtcConfig::default().with_signaling(server);
//! # drop(config);
//! # Ok::<(), liferaft::transport::signaling::SignalingServerError>(())
//! ```
//!
//! What is decided is the same everywhere ([`Client`]); a host ([`native`](self), and the one in browsers) opens a
//! socket and moves texts, between a [`Socket`] and its [`SocketEnd`].

mod client;
mod message;
mod place;

#[cfg(not(target_arch = "wasm32"))]
mod native;
#[cfg(target_arch = "wasm32")]
mod wasm;

#[cfg(not(target_arch = "wasm32"))]
use native as host;
#[cfg(target_arch = "wasm32")]
use wasm as host;

use std::fmt;
use std::task::{Context, Poll};

use futures::channel::{mpsc, oneshot};
use futures::{FutureExt, StreamExt};
use liferaft_platform::{ADDRESS_BYTES_MAX, Address, entropy_u64, now};
use sha2::{Digest, Sha256};
use thiserror::Error;
use zeroize::Zeroizing;

pub(crate) use self::message::{read_id, write_id};
pub(crate) use self::place::Place;
pub use self::place::SignalingAddressFault;

use self::client::{Client, Command};
use self::message::MESSAGE_BYTES_MAX;
use super::{Signal, Signaling, SignalingEvent, Visit};
use crate::ServerId;
use crate::alarm::Alarm;
use crate::allowance::{Allowance, Rate};
use crate::carrier::OpenFailure;

/// The most texts that wait to be sent on a socket. What is to be sent beyond it is dropped, and repeated by whoever
/// has sent it.
const TEXTS_MAX: usize = 256;

/// The most texts that wait to be read from a socket. One that has more to tell reads nothing until there is room.
const UNREAD_TEXTS_MAX: usize = 64;

/// How many bytes of texts are read from a server. Beyond it the server is made to wait.
const READING_RATE: Rate = Rate {
    per_second: 1024 * 1024,
    at_once_max: 4 * 1024 * 1024,
};

/// What a text counts for at least, in bytes: short ones cost as much to read.
const TEXT_COST_BYTES_MIN: usize = 1_024;

/// The most texts that mean nothing which are read before others of this thread have their turn.
const TEXTS_IN_A_ROW_MAX: usize = 4;

/// The longest token (`docs/signaling.md`), in bytes.
const TOKEN_BYTES_MAX: usize = 128;

/// Sets the digests by which tokens are drawn from a secret apart from any other.
const TOKEN_RULE: &[u8] = b"liferaft signaling token 1";

/// The bytes of a digest that become a token, in hexadecimal.
const TOKEN_DIGEST_BYTES: usize = 16;

/// A signaling server, and the room there in which others find this server.
///
/// This server's peer id there is its [`ServerId`] in 32 hexadecimal digits. It belongs to a token, with which it is
/// taken back after a loss: a member that keeps its token takes its id back after a restart too.
#[derive(Clone)]
pub struct SignalingServer {
    place: Place,
    token: Option<Zeroizing<String>>,
    host: host::Options,
}

/// Why there is no signaling server to be used.
#[derive(Clone, Debug, PartialEq, Eq, Error)]
#[non_exhaustive]
pub enum SignalingServerError {
    /// The address is none.
    #[error(
        "{address:?}: {fault}: it is the link of a room, as https://signaling.example/?channel=ROOM, or its address, as \
         wss://signaling.example/ROOM"
    )]
    BadAddress {
        /// The address, without what stands behind `#`, which may be a secret.
        address: String,
        /// What is wrong with it.
        fault: SignalingAddressFault,
    },
    /// The address is so long that the addresses of servers registered there have more than 128 bytes.
    #[error(
        "an address of {bytes} bytes is too long for a signaling server: with the id of a server it has at most {ADDRESS_BYTES_MAX}"
    )]
    TooLong {
        /// The length of the addresses of servers registered there, in bytes.
        bytes: usize,
    },
    /// The token is none.
    #[error("a token has 1 to {TOKEN_BYTES_MAX} letters, digits, '-' and '_'")]
    BadToken,
}

impl SignalingServer {
    /// Takes where a room of a server is: its address, `ws://host:port/room` or `wss://host/room`, or with a path
    /// before the room for a server that is not at the root; or the link of a page in the room, as `GET /new` answers
    /// with one: `https://host/?channel=room#firstServer`, of which nothing behind `#` counts, and
    /// `&server=https://host` if the page is from elsewhere. White space around it counts for nothing. The room of
    /// PeerJS's own clients is `peerjs` if they name none.
    ///
    /// # Errors
    /// When it is neither, or too long.
    pub fn at(room: &str) -> Result<Self, SignalingServerError> {
        Place::find(room).map(Self::new)
    }

    pub(crate) fn new(place: Place) -> Self {
        Self {
            place,
            token: None,
            host: host::Options::default(),
        }
    }

    /// Shows this token, by which the id is taken back. Without it the carrier makes one: a native carrier from the key
    /// of its certificate and the server's address, so that a member that keeps its certificate takes its id back after
    /// a restart; one in a browser from what its key signs, if it was given that, or else by chance.
    ///
    /// # Errors
    /// When it is none.
    pub fn with_token(mut self, token: &str) -> Result<Self, SignalingServerError> {
        let is_token_byte = |byte: u8| byte.is_ascii_alphanumeric() || b"-_".contains(&byte);
        if !(1..=TOKEN_BYTES_MAX).contains(&token.len()) || !token.bytes().all(is_token_byte) {
            return Err(SignalingServerError::BadToken);
        }
        self.token = Some(Zeroizing::new(token.to_owned()));
        Ok(self)
    }

    /// Returns the address at which others dial a server that is registered there:
    /// `rtc+ws://host:port/room/ID`.
    ///
    /// ```
    /// # mod liferaft { pub use {liferaft_platform as platform, liferaft_transport as transport}; }
    /// use liferaft::platform::ServerId;
    /// use liferaft::transport::signaling::SignalingServer;
    ///
    /// let server = SignalingServer::at("wss://signaling.example.org/peerjs")?;
    /// let address = server.address_of(ServerId::from(7));
    ///
    /// let id = "00000000000000000000000000000007";
    /// assert_eq!(address.to_string(), format!("rtc+wss://signaling.example.org/peerjs/{id}"));
    /// # Ok::<(), liferaft::transport::signaling::SignalingServerError>(())
    /// ```
    ///
    /// # Panics
    /// Never: an address that would be too long was refused.
    #[must_use]
    pub fn address_of(&self, server: ServerId) -> Address {
        let address = self.place.address_of(server).parse();
        address.expect("its length was checked when it was read")
    }

    pub(crate) fn place(&self) -> &Place {
        &self.place
    }

    /// Returns what connects to it when it is told who it is for. A token that was not given is made from a secret.
    pub(crate) fn into_signaling(self, secret: &TokenSource) -> impl Signaling {
        let Self { place, token, host } = self;
        let keeps_id = token.is_some() || secret.is_kept;
        let token = token.unwrap_or_else(|| secret.token_at(&place));
        Registration {
            place,
            token,
            keeps_id,
            host,
            client: None,
            own: None,
            socket: None,
            list: None,
            reading: Allowance::new(READING_RATE, now()),
            alarm: Alarm::default(),
            waker: None,
        }
    }
}

/// The token stays out of logs.
impl fmt::Debug for SignalingServer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("SignalingServer")
            .field("place", &self.place)
            .finish_non_exhaustive()
    }
}

/// The secret from which a carrier makes its tokens: another one for each server and room, so that none of them can
/// take its id elsewhere.
pub(crate) struct TokenSource {
    pub(crate) secret: Zeroizing<[u8; 32]>,
    /// Whether the secret is there after the end of the carrier, so that somebody comes back with its tokens.
    pub(crate) is_kept: bool,
}

impl TokenSource {
    fn token_at(&self, place: &Place) -> Zeroizing<String> {
        let digest = Sha256::new()
            .chain_update(TOKEN_RULE)
            .chain_update(*self.secret)
            .chain_update(place.to_string())
            .finalize();
        let digits = digest[..TOKEN_DIGEST_BYTES].iter();
        Zeroizing::new(digits.map(|byte| format!("{byte:02x}")).collect())
    }
}

/// The registration of a server at a signaling server.
struct Registration {
    place: Place,
    token: Zeroizing<String>,
    /// Whether somebody may come back with the token. If not, the id is given up with each socket.
    keeps_id: bool,
    host: host::Options,
    own: Option<ServerId>,
    client: Option<Client>,
    socket: Option<Socket>,
    /// What comes of asking who is there.
    list: Option<oneshot::Receiver<String>>,
    /// The bytes that may still be read from the server.
    reading: Allowance,
    alarm: Alarm,
    waker: Option<std::task::Waker>,
}

/// The carrier's end of a socket. Dropping it closes the socket.
#[derive(Debug)]
struct Socket {
    texts: mpsc::Sender<String>,
    events: mpsc::Receiver<SocketEvent>,
}

/// The host's end of a socket. It closes the socket when `texts` ends.
#[derive(Debug)]
struct SocketEnd {
    texts: mpsc::Receiver<String>,
    events: mpsc::Sender<SocketEvent>,
}

/// What a socket tells. When it is closed, or was not opened, the host drops its end.
#[derive(Debug)]
enum SocketEvent {
    Open,
    Text(String),
    /// It was not opened, and the host knows why.
    Unopened(OpenFailure),
}

impl Socket {
    fn pair() -> (Self, SocketEnd) {
        let (to_host, texts) = mpsc::channel(TEXTS_MAX);
        let (to_carrier, events) = mpsc::channel(UNREAD_TEXTS_MAX);
        let socket = Self {
            texts: to_host,
            events,
        };
        let events = to_carrier;
        (socket, SocketEnd { texts, events })
    }
}

impl Registration {
    fn obey(&mut self, command: Command) {
        match command {
            Command::Connect => {
                let Some(own) = self.own else {
                    return;
                };
                let (socket, end) = Socket::pair();
                let target = self.place.target(own, &self.token);
                host::open(target, &self.host, self.keeps_id, end);
                self.socket = Some(socket);
            }
            Command::Send(text) => {
                if let Some(socket) = &mut self.socket {
                    // One that is full drops it.
                    let _dropped = socket.texts.try_send(text);
                }
            }
            Command::Disconnect => self.socket = None,
            Command::List => {
                let (answer, list) = oneshot::channel();
                host::list(self.place.list(), &self.host, answer);
                self.list = Some(list);
            }
        }
    }
}

impl Signaling for Registration {
    fn introduce(&mut self, local: ServerId) {
        self.own = Some(local);
        self.client = Some(Client::new(local, self.place.to_string(), now()));
        if let Some(waker) = self.waker.take() {
            waker.wake();
        }
    }

    fn send(&mut self, to: ServerId, signal: &Signal) {
        let is_registered = self.client.as_ref().is_some_and(Client::is_registered);
        if is_registered {
            self.obey(Command::Send(message::write(to, signal)));
        }
    }

    fn answer(&mut self, answer: &Visit) {
        let is_registered = self.client.as_ref().is_some_and(Client::is_registered);
        if let Some(text) = message::write_answer(answer).filter(|_| is_registered) {
            self.obey(Command::Send(text));
        }
    }

    fn look_around(&mut self) {
        if let Some(client) = &mut self.client {
            client.look_around();
        }
    }

    fn poll(&mut self, context: &mut Context<'_>) -> Poll<Option<SignalingEvent>> {
        let mut texts = 0;
        loop {
            let Some(client) = &mut self.client else {
                self.waker = Some(context.waker().clone());
                return Poll::Pending;
            };
            if let Some(event) = client.next_event() {
                return Poll::Ready(Some(event));
            }
            if let Some(command) = client.next_command() {
                self.obey(command);
                continue;
            }
            if let Some(list) = &mut self.list
                && let Poll::Ready(listed) = list.poll_unpin(context)
            {
                self.list = None;
                // What was not answered in time, or at all, is asked again when somebody wants to know.
                if let Ok(text) = listed {
                    client.on_list(&text);
                }
                continue;
            }
            // A server may say what is nothing to us as fast as it is read.
            if texts >= TEXTS_IN_A_ROW_MAX {
                context.waker().wake_by_ref();
                return Poll::Pending;
            }
            // The longest text is there, or none is read.
            let read_at = self.reading.has_at(MESSAGE_BYTES_MAX, now());
            let socket = self.socket.as_mut().filter(|_| read_at <= now());
            let told = socket.map(|socket| socket.events.poll_next_unpin(context));
            match told {
                Some(Poll::Ready(Some(SocketEvent::Open))) => client.on_open(now()),
                Some(Poll::Ready(Some(SocketEvent::Text(text)))) => {
                    texts += 1;
                    let cost = text.len().clamp(TEXT_COST_BYTES_MIN, MESSAGE_BYTES_MAX);
                    let _there = self.reading.take(cost, now());
                    client.on_text(&text, now(), entropy_u64());
                }
                Some(Poll::Ready(Some(SocketEvent::Unopened(why)))) => {
                    client.on_closed(why.to_string(), now(), entropy_u64());
                }
                Some(Poll::Ready(None)) => {
                    self.socket = None;
                    let why = "the connection is closed".to_owned();
                    client.on_closed(why, now(), entropy_u64());
                }
                Some(Poll::Pending) | None => {
                    let is_held_up = told.is_none() && self.socket.is_some();
                    let read_at = is_held_up.then_some(read_at);
                    let deadline = read_at.into_iter().chain([client.deadline()]).min();
                    if !self.alarm.is_due(deadline, context) {
                        return Poll::Pending;
                    }
                    client.on_time(now(), entropy_u64());
                }
            }
        }
    }
}

/// The token stays out of logs.
impl fmt::Debug for Registration {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Registration")
            .field("place", &self.place)
            .field("client", &self.client)
            .finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    const SECOND: Duration = Duration::from_secs(1);

    /// It was read as fast as it said anything, and nothing else had its turn.
    #[tokio::test(start_paused = true)]
    async fn a_server_that_floods_is_read_no_faster_than_allowed() {
        let (socket, mut end) = Socket::pair();
        let own = ServerId::from(1);
        let mut registration = Registration {
            place: Place::read("ws://127.0.0.1:1/room").expect("it is one"),
            token: Zeroizing::new("t".to_owned()),
            host: host::Options::default(),
            own: Some(own),
            client: Some(Client::new(own, String::new(), now() + SECOND)),
            keeps_id: true,
            socket: Some(socket),
            list: None,
            reading: Allowance::new(READING_RATE, now()),
            alarm: Alarm::default(),
            waker: None,
        };
        let text = || SocketEvent::Text(format!("[{}0]", "0,".repeat(MESSAGE_BYTES_MAX / 2 - 2)));
        let mut read = || {
            let mut read = 0;
            for _ in 0..1_000 {
                while end.events.try_send(text()).is_ok() {
                    read += 1;
                }
                let mut context = Context::from_waker(std::task::Waker::noop());
                assert!(registration.poll(&mut context).is_pending());
            }
            read
        };

        let at_once = read();
        tokio::time::advance(SECOND / 2).await;
        let half_a_second_later = read();

        // What waits beyond it is little.
        assert!(
            (64..=64 + UNREAD_TEXTS_MAX + 1).contains(&at_once),
            "{at_once}"
        );
        assert!(
            (7..=9).contains(&half_a_second_later),
            "{half_a_second_later}"
        );
    }

    #[test]
    fn each_room_gets_a_token_of_its_own_and_always_the_same() {
        let secret = |byte| TokenSource {
            secret: Zeroizing::new([byte; 32]),
            is_kept: true,
        };
        let place = |text| Place::read(text).expect("it is one");
        let (a, b) = (place("ws://a/room"), place("ws://b/room"));

        let token = secret(1).token_at(&a);

        assert_eq!(token.len(), 32);
        assert_eq!(token, secret(1).token_at(&a));
        assert_ne!(token, secret(1).token_at(&b));
        assert_ne!(token, secret(2).token_at(&a));
    }

    #[test]
    fn a_token_that_is_none_is_refused() {
        let server = SignalingServer::at("ws://a/room").expect("it is one");

        for token in ["", "a&b", "a b", &"a".repeat(129)] {
            let refused = server.clone().with_token(token).err();
            assert_eq!(refused, Some(SignalingServerError::BadToken), "{token}");
        }
    }
}
