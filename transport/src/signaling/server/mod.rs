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

use futures::StreamExt;
use futures::channel::mpsc;
use liferaft_platform::{ADDRESS_BYTES_MAX, Address, entropy_u64, now};
use sha2::{Digest, Sha256};
use thiserror::Error;
use zeroize::Zeroizing;

pub(crate) use self::message::{read_id, write_id};

use self::client::{Client, Command};
use super::{Signal, Signaling, SignalingEvent, Visit};
use crate::ServerId;
use crate::alarm::Alarm;
use crate::hosts::split_authority;
use crate::websocket::Target;

/// The most texts that wait to be sent on a socket, and that wait to be read. A socket that has more to tell reads
/// nothing until there is room; what is to be sent beyond it is dropped, and repeated by whoever has sent it.
const TEXTS_MAX: usize = 256;

/// What stands before the address of a room in that of a server that is registered there.
const RTC_PREFIX: &str = "rtc+";

/// The most texts that are read before others of this thread have their turn.
const TEXTS_IN_A_ROW_MAX: usize = 64;

/// The longest name of a room that is taken, in bytes.
const ROOM_BYTES_MAX: usize = 64;

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
    #[error("{0:?} is no signaling server: ws://host:port/room and wss://host/room are")]
    BadAddress(String),
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

/// Where a server and a room there are.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Place {
    is_secure: bool,
    host: String,
    port: u16,
    /// What the server's paths begin with: empty, or it begins with a slash and ends with none.
    prefix: String,
    room: String,
}

impl SignalingServer {
    /// Takes the address of a server and a room: `ws://host:port/room`, `wss://host/room`, or with a path before the
    /// room for a server that is not at the root. The room of PeerJS's own clients is `peerjs` if they name none.
    ///
    /// # Errors
    /// When it is no such address, or too long.
    pub fn at(address: &str) -> Result<Self, SignalingServerError> {
        let place = Place::read(address);
        let place = place.ok_or_else(|| SignalingServerError::BadAddress(address.to_owned()))?;
        let bytes = place.address_of(ServerId::from(0)).len();
        if bytes > ADDRESS_BYTES_MAX {
            return Err(SignalingServerError::TooLong { bytes });
        }
        Ok(Self::new(place))
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
    /// a restart; one in a browser by chance.
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
        let token = token.unwrap_or_else(|| secret.token_at(&place));
        Registration {
            place,
            token,
            host,
            client: None,
            own: None,
            socket: None,
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
pub(crate) struct TokenSource(pub(crate) Zeroizing<[u8; 32]>);

impl TokenSource {
    fn token_at(&self, place: &Place) -> Zeroizing<String> {
        let digest = Sha256::new()
            .chain_update(TOKEN_RULE)
            .chain_update(*self.0)
            .chain_update(place.to_string())
            .finalize();
        let digits = digest[..TOKEN_DIGEST_BYTES].iter();
        Zeroizing::new(digits.map(|byte| format!("{byte:02x}")).collect())
    }
}

/// As it is read, without a port that goes without saying.
impl fmt::Display for Place {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self {
            is_secure,
            host,
            port,
            prefix,
            room,
        } = self;
        let scheme = if *is_secure { "wss" } else { "ws" };
        write!(f, "{scheme}://")?;
        match host.contains(':') {
            true => write!(f, "[{host}]")?,
            false => f.write_str(host)?,
        }
        if *port != usual_port(*is_secure) {
            write!(f, ":{port}")?;
        }
        write!(f, "{prefix}/{room}")
    }
}

const fn usual_port(is_secure: bool) -> u16 {
    if is_secure { 443 } else { 80 }
}

impl Place {
    fn address_of(&self, server: ServerId) -> String {
        format!("{RTC_PREFIX}{self}/{}", write_id(server))
    }

    /// Reads `ws://authority/prefix/room`; `None` if it is none.
    pub(crate) fn read(address: &str) -> Option<Self> {
        let (is_secure, rest) = match address.strip_prefix("wss://") {
            Some(rest) => (true, rest),
            None => (false, address.strip_prefix("ws://")?),
        };
        let (authority, path) = rest.split_at(rest.find('/')?);
        let (host, port) = split_authority(authority)?;
        let (prefix, room) = path.rsplit_once('/')?;
        let is_room_byte = |byte: u8| byte.is_ascii_alphanumeric() || b"-_".contains(&byte);
        let is_room = (1..=ROOM_BYTES_MAX).contains(&room.len()) && room.bytes().all(is_room_byte);
        let is_prefix_byte = |byte: u8| is_room_byte(byte) || b"/.~".contains(&byte);
        let is_prefix = prefix.bytes().all(is_prefix_byte) && !prefix.ends_with('/');
        (is_room && is_prefix).then(|| Self {
            is_secure,
            host: host.to_owned(),
            port: port.unwrap_or(usual_port(is_secure)),
            prefix: prefix.to_owned(),
            room: room.to_owned(),
        })
    }

    /// Returns what the socket of a peer is opened to.
    fn target(&self, own: ServerId, token: &str) -> Target {
        let Self { prefix, room, .. } = self;
        let id = write_id(own);
        Target {
            is_secure: self.is_secure,
            host: self.host.clone(),
            port: self.port,
            resource: format!("{prefix}/peerjs?key={room}&id={id}&token={token}&version=1.5.5"),
            pin: None,
        }
    }
}

/// The registration of a server at a signaling server.
struct Registration {
    place: Place,
    token: Zeroizing<String>,
    host: host::Options,
    own: Option<ServerId>,
    client: Option<Client>,
    socket: Option<Socket>,
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
}

impl Socket {
    fn pair() -> (Self, SocketEnd) {
        let (to_host, texts) = mpsc::channel(TEXTS_MAX);
        let (to_carrier, events) = mpsc::channel(TEXTS_MAX);
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
                host::open(self.place.target(own, &self.token), &self.host, end);
                self.socket = Some(socket);
            }
            Command::Send(text) => {
                if let Some(socket) = &mut self.socket {
                    // One that is full drops it.
                    let _dropped = socket.texts.try_send(text);
                }
            }
            Command::Disconnect => self.socket = None,
        }
    }
}

impl Signaling for Registration {
    fn introduce(&mut self, local: ServerId) {
        self.own = Some(local);
        self.client = Some(Client::new(local, now()));
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
            // A server may say what is nothing to us as fast as it is read.
            if texts >= TEXTS_IN_A_ROW_MAX {
                context.waker().wake_by_ref();
                return Poll::Pending;
            }
            let told = self
                .socket
                .as_mut()
                .map(|socket| socket.events.poll_next_unpin(context));
            match told {
                Some(Poll::Ready(Some(SocketEvent::Open))) => client.on_open(now()),
                Some(Poll::Ready(Some(SocketEvent::Text(text)))) => {
                    texts += 1;
                    client.on_text(&text, now(), entropy_u64());
                }
                Some(Poll::Ready(None)) => {
                    self.socket = None;
                    client.on_closed(now(), entropy_u64());
                }
                Some(Poll::Pending) | None => {
                    if !self.alarm.is_due(Some(client.deadline()), context) {
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
    use super::*;

    #[test]
    fn a_room_is_at_the_end_of_its_servers_address() {
        let place = |text: &str| Place::read(text).expect("it is one");
        let url = |text: &str| place(text).target(ServerId::from(0x1f), "t").url();
        let query = "id=0000000000000000000000000000001f&token=t&version=1.5.5";

        assert_eq!(
            url("ws://127.0.0.1:9000/7AB"),
            format!("ws://127.0.0.1:9000/peerjs?key=7AB&{query}")
        );
        assert_eq!(
            url("wss://a.example/signal/room-1"),
            format!("wss://a.example:443/signal/peerjs?key=room-1&{query}")
        );
    }

    #[test]
    fn what_names_no_server_and_room_is_refused() {
        for text in [
            "http://a/room",
            "ws://a",
            "ws://a/",
            "ws://a//room",
            "ws://a/?key=b",
            "ws://a/room#b",
            "ws://a/room&b",
            "ws://a:0/room",
            "ws://a/pre fix/room",
        ] {
            assert!(SignalingServer::at(text).is_err(), "{text}");
        }
    }

    #[test]
    fn an_address_is_written_as_short_as_it_is_read() {
        for (text, written) in [
            ("ws://127.0.0.1:9000/7AB", "ws://127.0.0.1:9000/7AB"),
            ("wss://a.example:443/b/room-1", "wss://a.example/b/room-1"),
            ("ws://[::1]:80/room", "ws://[::1]/room"),
        ] {
            let place = Place::read(text).expect("it is one");

            assert_eq!(place.to_string(), written);
            assert_eq!(Place::read(written), Some(place));
        }
        let long = format!("wss://{}.example/room", "a".repeat(80));
        let refused = SignalingServer::at(&long).err();
        let bytes = long.len() + 4 + 1 + 32;
        assert_eq!(refused, Some(SignalingServerError::TooLong { bytes }));
    }

    #[test]
    fn each_room_gets_a_token_of_its_own_and_always_the_same() {
        let secret = |byte| TokenSource(Zeroizing::new([byte; 32]));
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
