//! Carries packets of bytes along paths, best effort: the little that a medium must offer.
//!
//! Whoever can move bytes, by UDP, WebSocket or radio, is a [`Carrier`], in about a page of code. A carrier knows no
//! peers, keeps no order, resends nothing and decides nothing: the layer above it ([`links`](crate::links)) finds out
//! who is at the other end, seals packets, resends what is lost and gives up paths that are dead.

use std::fmt;
use std::net::{IpAddr, SocketAddr};
use std::task::{Context, Poll};

use bytes::Bytes;
use thiserror::Error;

pub use liferaft_platform::{Address, ServerId};

use crate::frame::Frame;

/// One medium.
///
/// Everything here is best effort: a packet may be lost, duplicated, reordered, changed or made up by others. Only its
/// bounds are relied upon: no method blocks, and what waits inside a carrier is bounded by the carrier.
pub trait Carrier: Send + 'static {
    /// Returns the scheme of the addresses that it dials: `udp` for `udp:192.0.2.1:4000`.
    fn scheme(&self) -> &str;

    /// Returns further schemes of addresses that it dials, as `wss` beside `ws`. Default none.
    fn other_schemes(&self) -> &[&'static str] {
        &[]
    }

    /// Returns the length of the longest packet that it carries, head and body together, in bytes. It never changes.
    /// Links need at least [`PACKET_BYTES_MIN`].
    fn packet_bytes_max(&self) -> usize;

    /// Returns how far away those are who can send it packets. Default [`Reach::Anywhere`].
    fn reach(&self) -> Reach {
        Reach::Anywhere
    }

    /// Returns true if its packets stay inside this process, where nobody can read or change them. Links seal the
    /// packets of all others.
    fn is_inside_process(&self) -> bool {
        false
    }

    /// Returns true if [`Channel::Ordered`] loses and reorders nothing for as long as its path is open, so that links
    /// need not send again what was sent there.
    fn is_reliable(&self) -> bool {
        false
    }

    /// Returns how many bytes of a link's stream may be under way on a path, sent and not acknowledged by the link's
    /// other end. It never changes. By default only the [credit](crate::links::CREDIT_BYTES_MAX) of that end bounds
    /// them.
    fn stream_bytes_max(&self) -> usize {
        usize::MAX
    }

    /// Returns the address of a server of which nothing is known but its id, where the medium finds servers by their
    /// ids.
    fn address_of(&self, server: ServerId) -> Option<Address> {
        let _ = server;
        None
    }

    /// Takes the id of the server whose carrier it is. It is told once, before anything else; carriers that are found
    /// by an address have no use for it. Default: nothing.
    fn introduce(&mut self, local: ServerId) {
        let _ = local;
    }

    /// Takes a signal that another server's carrier of this scheme has sent, by [`CarrierEvent::Signal`], over links.
    /// The link with the server `by` has brought it, which has sent it itself or says that it is `from` another. It may
    /// be lost, and it may come twice. Default: nothing.
    fn on_signal(&mut self, from: ServerId, by: ServerId, signal: Bytes) {
        let _ = (from, by, signal);
    }

    /// Takes that a link is up along a path: whoever is at its other end has proven to be a server or client that may
    /// be there. Until then it may be anybody, and a carrier that has too many connections does well to close others.
    /// Default: nothing.
    fn on_linked(&mut self, path: &Path) {
        let _ = path;
    }

    /// Finds out who else is there than those who are dialed, best effort, where the medium has somebody to ask:
    /// [`CarrierEvent::Present`] tells. An end asks while it reaches nobody, each ten seconds at most. Default:
    /// nothing.
    fn look_around(&mut self) {}

    /// Returns what is to be known of a path by whoever looks after the cluster, in a few words: of a connection the
    /// addresses between which it runs, or that of the other end. Default: nothing.
    fn describe(&self, path: &Path) -> Option<String> {
        let _ = path;
        None
    }

    /// Returns a path to an address of its scheme, without waiting. It may come up later or never: a carrier with
    /// connections tells so by [`Opened`](CarrierEvent::Opened), [`Closed`](CarrierEvent::Closed) or
    /// [`Unopened`](CarrierEvent::Unopened), and answers [`Full`](CarryError::Full) until then.
    ///
    /// # Errors
    /// When there is certainly no path: see [`DialError`].
    fn dial(&mut self, address: &Address) -> Result<Path, DialError>;

    /// Sends a packet along a path, without waiting. `Ok` promises nothing.
    ///
    /// A carrier with an ordered channel alone uses it for both channels, and so does one that has none.
    ///
    /// # Errors
    /// When it certainly was not sent: see [`CarryError`]. After [`Full`](CarryError::Full) the carrier says
    /// [`Writable`](CarrierEvent::Writable) once there is room.
    fn send(&mut self, path: &Path, channel: Channel, packet: Packet) -> Result<(), CarryError>;

    /// Closes a path that is no longer needed. A carrier without connections has nothing to do.
    fn close(&mut self, path: &Path) {
        let _ = path;
    }

    /// Returns the next event; `None` once the carrier has ended for good.
    fn poll(&mut self, context: &mut Context<'_>) -> Poll<Option<CarrierEvent>>;
}

/// How far away those are who can reach a server.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Reach {
    /// They are in its process.
    Process,
    /// They are on its machine.
    Machine,
    /// They may be anywhere.
    Anywhere,
}

/// The longest signal, in bytes: what fits into a packet of any carrier.
pub const SIGNAL_BYTES_MAX: usize = 1_024;

/// The shortest [`packet_bytes_max`](Carrier::packet_bytes_max) of a carrier, in bytes: what every path of the Internet
/// takes (RFC 9000, section 14), and the longest message of a handshake.
pub const PACKET_BYTES_MIN: usize = 1_200;

/// The way to the other end of a medium, as its carrier names it: a socket address or the number of a connection.
///
/// A path is a small value with all that the carrier needs to find its other end, so that a carrier without
/// connections keeps no table. Its *origin* is the part that whoever sends from there cannot choose freely, such as the
/// address of a host without the port: unknown senders share a limit for each origin.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Path {
    bytes: [u8; PATH_BYTES_MAX],
    length: u8,
    origin_length: u8,
}

/// The longest path, in bytes.
pub const PATH_BYTES_MAX: usize = 30;

impl Path {
    /// Makes a path of its origin and of what tells it from other paths of the same origin.
    ///
    /// # Panics
    /// When both together are longer than [`PATH_BYTES_MAX`].
    #[must_use]
    pub fn new(origin: &[u8], rest: &[u8]) -> Self {
        let length = origin.len() + rest.len();
        assert!(
            length <= PATH_BYTES_MAX,
            "a path has at most {PATH_BYTES_MAX} bytes"
        );
        let mut bytes = [0; PATH_BYTES_MAX];
        bytes[..origin.len()].copy_from_slice(origin);
        bytes[origin.len()..length].copy_from_slice(rest);
        let short = |length| u8::try_from(length).expect("a path is short");
        Self {
            bytes,
            length: short(length),
            origin_length: short(origin.len()),
        }
    }

    /// Returns all bytes of the path: those of its origin, then the rest.
    #[must_use]
    pub fn as_bytes(&self) -> &[u8] {
        &self.bytes[..usize::from(self.length)]
    }

    /// Returns the bytes of the path's origin.
    #[must_use]
    pub fn origin(&self) -> &[u8] {
        &self.bytes[..usize::from(self.origin_length)]
    }

    /// Returns the socket address that this path was made of, `None` if it was made of anything else.
    #[must_use]
    pub fn socket_address(&self) -> Option<SocketAddr> {
        let port = <[u8; 2]>::try_from(&self.as_bytes()[self.origin().len()..]).ok()?;
        let ip = match self.origin().len() {
            4 => IpAddr::from(<[u8; 4]>::try_from(self.origin()).ok()?),
            16 => IpAddr::from(<[u8; 16]>::try_from(self.origin()).ok()?),
            _ => return None,
        };
        Some(SocketAddr::new(ip, u16::from_be_bytes(port)))
    }
}

/// The path to a socket. Its origin is the host.
impl From<SocketAddr> for Path {
    fn from(address: SocketAddr) -> Self {
        let port = address.port().to_be_bytes();
        match address.ip() {
            IpAddr::V4(ip) => Self::new(&ip.octets(), &port),
            IpAddr::V6(ip) => Self::new(&ip.octets(), &port),
        }
    }
}

/// The bytes in hexadecimal, with a slash after the origin.
impl fmt::Debug for Path {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (at, byte) in self.as_bytes().iter().enumerate() {
            let slash = if at == self.origin().len() { "/" } else { "" };
            write!(f, "{slash}{byte:02x}")?;
        }
        Ok(())
    }
}

/// How a packet travels.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Channel {
    /// By itself: it waits for no other packet, and may be dropped.
    Datagram,
    /// After those that were sent before it on this channel of the same path, where the medium has such a channel.
    Ordered,
}

/// The bytes of a packet, in parts of which the medium sees the concatenation: a head, and a frame behind it.
///
/// The body of the frame is shared: one that goes to several peers is in memory once. A carrier whose packets stay in
/// memory hands all parts over as they are; any other writes one after the other, and delivers them as one.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Packet {
    /// What comes first.
    pub head: Head,
    /// What comes after it.
    pub body: Frame,
}

impl Packet {
    /// Returns the length of head and body together, in bytes.
    #[must_use]
    pub fn len(&self) -> usize {
        self.head.as_bytes().len() + self.body.len()
    }

    /// Returns true if there is nothing in it.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// Returns all parts as one, which copies them unless there is only one.
    #[must_use]
    pub fn into_bytes(self) -> Bytes {
        if self.head.as_bytes().is_empty() {
            return self.body.into_bytes();
        }
        let Frame { head, body } = &self.body;
        [self.head.as_bytes(), head, body].concat().into()
    }
}

/// A packet in one piece.
impl From<Bytes> for Packet {
    fn from(bytes: Bytes) -> Self {
        Self {
            head: Head::default(),
            body: bytes.into(),
        }
    }
}

/// The first bytes of a packet, held in place so that making them allocates nothing.
#[derive(Clone, Copy, PartialEq, Eq)]
pub struct Head {
    bytes: [u8; HEAD_BYTES_MAX],
    length: u8,
}

/// The longest head, in bytes.
pub const HEAD_BYTES_MAX: usize = 31;

impl Head {
    /// Returns the bytes of the head.
    #[must_use]
    pub fn as_bytes(&self) -> &[u8] {
        &self.bytes[..usize::from(self.length)]
    }

    /// Appends bytes.
    ///
    /// # Panics
    /// When there are more than [`HEAD_BYTES_MAX`] then.
    pub(crate) fn push(&mut self, bytes: &[u8]) {
        let start = usize::from(self.length);
        let end = start + bytes.len();
        self.bytes[start..end].copy_from_slice(bytes);
        self.length = u8::try_from(end).expect("a head is short");
    }
}

impl Default for Head {
    fn default() -> Self {
        Self {
            bytes: [0; HEAD_BYTES_MAX],
            length: 0,
        }
    }
}

impl fmt::Debug for Head {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Head({:02x?})", self.as_bytes())
    }
}

/// The two ends of a connection that the medium has encrypted, by the SHA-256 fingerprints of their certificates: of a
/// WebRTC connection those of DTLS (RFC 8122). A handshake that names both proves that nobody stands between.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Binding {
    /// The fingerprint of this end's certificate.
    pub own: [u8; 32],
    /// The fingerprint of the certificate that the other end has shown.
    pub peer: [u8; 32],
}

/// What a carrier tells.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum CarrierEvent {
    /// A connection came up, dialed by either end. Carriers without connections never tell: a packet from an unknown
    /// path opens that path.
    Opened {
        /// The path along it.
        path: Path,
        /// What ties the handshake to it, if the medium has encrypted it.
        binding: Option<Binding>,
    },
    /// A path is closed, or will never open. Its packets are lost.
    Closed {
        /// The path.
        path: Path,
    },
    /// A path that was dialed will never open, and the carrier knows why: in place of [`Closed`](Self::Closed).
    Unopened {
        /// The path.
        path: Path,
        /// What went wrong.
        why: OpenFailure,
    },
    /// There is room again on a path that was [full](CarryError::Full).
    Writable {
        /// The path.
        path: Path,
    },
    /// The carrier reaches others by a way that it did not have, or not for a while. Peers without a link are dialed at
    /// once, as what has come to nothing before may come to a link.
    Ready,
    /// Somebody says that these servers are there, each to be dialed by this address. Nobody has proven it: it is a
    /// hint whom else to dial, and whoever answers proves who it is, as ever.
    Present {
        /// The servers, none of them twice.
        servers: Vec<(ServerId, Address)>,
    },
    /// A signal is to be carried over links to another server's carrier of the same scheme, best effort: to set up a
    /// connection to a server that has a link with this one, or with one of those that do.
    Signal {
        /// The server.
        to: ServerId,
        /// What to give to [`on_signal`](Carrier::on_signal) there: at most [`SIGNAL_BYTES_MAX`].
        signal: Bytes,
    },
    /// A packet arrived.
    Packet {
        /// Where it came from.
        path: Path,
        /// How it travelled.
        channel: Channel,
        /// Its bytes.
        packet: Packet,
    },
}

impl CarrierEvent {
    /// Returns the path that the event is about; `None` if it is about none.
    #[must_use]
    pub const fn path(&self) -> Option<&Path> {
        match self {
            Self::Opened { path, .. }
            | Self::Closed { path }
            | Self::Unopened { path, .. }
            | Self::Writable { path }
            | Self::Packet { path, .. } => Some(path),
            Self::Ready | Self::Signal { .. } | Self::Present { .. } => None,
        }
    }
}

/// Why there is certainly no path to an address.
#[derive(Clone, Debug, PartialEq, Eq, Error)]
#[non_exhaustive]
pub enum DialError {
    /// The address is none of this carrier's.
    #[error("cannot dial {0}: the carrier cannot read this address")]
    BadAddress(Address),
    /// The carrier has as many connections as it may.
    #[error(
        "cannot dial {address}: the carrier has {connections_max} connections, no more are allowed"
    )]
    TooMany {
        /// The address.
        address: Address,
        /// The most connections that it has at a time.
        connections_max: usize,
    },
}

/// Why a path that was dialed did not open.
#[derive(Clone, Debug, PartialEq, Eq, Error)]
#[non_exhaustive]
pub enum OpenFailure {
    /// The name of the host has no address, as the system says.
    #[error("the name of the host is not resolved: {0}")]
    NameNotResolved(String),
    /// The host is there, and nobody listens at the port.
    #[error("the connection is refused")]
    ConnectionRefused,
    /// Nobody answered in time.
    #[error("nobody answers in time")]
    TimedOut,
    /// The connection was not made, as the system says.
    #[error("there is no connection: {0}")]
    NotConnected(String),
    /// TLS found something wrong, such as a certificate that is not trusted.
    #[error("there is no TLS session: {0}")]
    Tls(String),
    /// Nobody answers, and the signaling server by which the peer was asked is not reached.
    #[error("the signaling server {server} is not reached: {why}")]
    NoSignaling {
        /// The room at the server, such as `ws://host:port/room`.
        server: String,
        /// Why the server is not reached.
        why: String,
    },
    /// Whoever is there does not speak the protocol of the carrier.
    #[error("whoever is there speaks another protocol: {0}")]
    OtherProtocol(String),
}

/// Why a packet certainly was not sent.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Error)]
#[non_exhaustive]
pub enum CarryError {
    /// There is no room for it on its path for now, or the connection is not up yet.
    #[error("there is no room on the path for now")]
    Full,
    /// There is no such path any more.
    #[error("the path is closed")]
    Closed,
    /// It is longer than the carrier carries.
    #[error("the packet is longer than the carrier carries")]
    TooLarge,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_path_gives_back_the_socket_it_was_made_of() {
        for text in ["192.0.2.1:4000", "[2001:db8::7]:65535"] {
            let address: SocketAddr = text.parse().unwrap();

            assert_eq!(Path::from(address).socket_address(), Some(address));
        }
    }

    #[test]
    fn ports_of_one_host_have_the_same_origin() {
        let path = |text: &str| Path::from(text.parse::<SocketAddr>().unwrap());

        assert_eq!(path("192.0.2.1:1").origin(), path("192.0.2.1:2").origin());
        assert_ne!(path("192.0.2.1:1").origin(), path("192.0.2.2:1").origin());
        assert_ne!(path("192.0.2.1:1"), path("192.0.2.1:2"));
    }

    #[test]
    fn a_packet_is_its_head_and_its_body() {
        let mut packet = Packet::from(Bytes::from_static(b"body"));
        packet.head.push(b"head ");

        assert_eq!(packet.len(), 9);
        assert_eq!(packet.into_bytes(), "head body");
    }
}
