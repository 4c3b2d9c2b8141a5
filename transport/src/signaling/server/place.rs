//! Reads where a room of a signaling server is, as people and programs have it: the link of a page that is in it, or
//! its address.

use std::fmt;

use form_urlencoded::parse;
use liferaft_platform::ADDRESS_BYTES_MAX;
use thiserror::Error;

use super::{SignalingServerError, write_id};
use crate::ServerId;
use crate::hosts::split_authority;
use crate::websocket::Target;

/// What stands before the address of a room in that of a server that is registered there.
const RTC_PREFIX: &str = "rtc+";

/// The longest name of a room that is taken, in bytes.
const ROOM_BYTES_MAX: usize = 64;

// The parameters of a link: the room, and its server where the page is from elsewhere.
const ROOM: &str = "channel";
const SERVER: &str = "server";

/// How long the name of a room is in a link.
const LINKED_ROOM_BYTES: usize = 20;

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

/// What is wrong with the address of a signaling server.
#[derive(Clone, Debug, PartialEq, Eq, Error)]
#[non_exhaustive]
pub enum SignalingAddressFault {
    /// Its scheme is missing, or is another.
    #[error("there is no http://, https://, ws:// or wss:// at its beginning")]
    NoScheme,
    /// It names a server and no room there.
    #[error("there is no room in it: {new} makes one, and that of npm's `peer` is {peerjs}")]
    NoRoom {
        /// What makes a room when it is visited.
        new: String,
        /// The address of the one room of npm's `peer`, if that is the server.
        peerjs: String,
    },
    /// No room has this name.
    #[error("the name of a room has 1 to {ROOM_BYTES_MAX} letters, digits, '-' and '_'")]
    BadRoom,
    /// A link names no room so: it was cut off.
    #[error(
        "a room that a link names has {LINKED_ROOM_BYTES} letters and digits: perhaps the link was cut off"
    )]
    CutOff,
    /// There is no such host.
    #[error("there is no host in it, or its port is no number from 1 to 65535")]
    BadHost,
    /// The path before the room is none.
    #[error("the path before the room has letters, digits, '/', '.', '~', '-' and '_' alone")]
    BadPath,
    /// The server that a link names beside its room (`server=`) is none.
    #[error("its server is none of http:// or https://")]
    BadServer,
}

impl Place {
    /// Reads a link (`http://host/?channel=ROOM#firstServer`) or an address (`ws://host/ROOM`).
    pub(super) fn find(text: &str) -> Result<Self, SignalingServerError> {
        let shown = without_fragment(text);
        let wrong = |fault| SignalingServerError::BadAddress {
            address: shown.to_owned(),
            fault,
        };
        let place = Self::read_room(shown).map_err(wrong)?;
        let bytes = place.address_of(ServerId::from(0)).len();
        if bytes > ADDRESS_BYTES_MAX {
            return Err(SignalingServerError::TooLong { bytes });
        }
        Ok(place)
    }

    fn read_room(text: &str) -> Result<Self, SignalingAddressFault> {
        let (page, query) = text.split_once('?').unwrap_or((text, ""));
        let of = |name| parse(query.as_bytes()).find(|(known, _)| known == name);
        let (scheme, rest) = page
            .split_once("://")
            .ok_or(SignalingAddressFault::NoScheme)?;
        let Some((_, room)) = of(ROOM) else {
            return match scheme {
                "ws" | "wss" => Self::read_address(text),
                "http" | "https" => Err(no_room(scheme, rest)),
                _ => Err(SignalingAddressFault::NoScheme),
            };
        };
        let whole = |place: Self| match place.room.len() {
            LINKED_ROOM_BYTES => Ok(place),
            _ => Err(SignalingAddressFault::CutOff),
        };
        let is_secure = match scheme {
            "http" | "ws" => false,
            "https" | "wss" => true,
            _ => return Err(SignalingAddressFault::NoScheme),
        };
        let Some((_, server)) = of(SERVER) else {
            let folder = rest.rfind('/').map_or(rest, |end| &rest[..end]);
            return Self::new(is_secure, folder, &room).and_then(whole);
        };
        let (is_secure, server) = match server.split_once("://") {
            Some(("http", server)) => (false, server),
            Some(("https", server)) => (true, server),
            _ => return Err(SignalingAddressFault::BadServer),
        };
        Self::new(is_secure, server.trim_end_matches('/'), &room).and_then(whole)
    }

    /// Reads `ws://authority/prefix/room`; `None` if it is none.
    pub(crate) fn read(address: &str) -> Option<Self> {
        Self::read_address(address).ok()
    }

    fn read_address(address: &str) -> Result<Self, SignalingAddressFault> {
        let (is_secure, rest) = match address.split_once("://") {
            Some(("ws", rest)) => (false, rest),
            Some(("wss", rest)) => (true, rest),
            _ => return Err(SignalingAddressFault::NoScheme),
        };
        let scheme = if is_secure { "https" } else { "http" };
        match rest.rsplit_once('/') {
            Some((server, room)) if !room.is_empty() => Self::new(is_secure, server, room),
            _ => Err(no_room(scheme, rest)),
        }
    }

    /// Takes a server, as `authority/prefix`, and a room there.
    fn new(is_secure: bool, server: &str, room: &str) -> Result<Self, SignalingAddressFault> {
        let (authority, prefix) = server.split_at(server.find('/').unwrap_or(server.len()));
        let (host, port) = split_authority(authority).ok_or(SignalingAddressFault::BadHost)?;
        let is_room_byte = |byte: u8| byte.is_ascii_alphanumeric() || b"-_".contains(&byte);
        if !(1..=ROOM_BYTES_MAX).contains(&room.len()) || !room.bytes().all(is_room_byte) {
            return Err(SignalingAddressFault::BadRoom);
        }
        let is_prefix_byte = |byte: u8| is_room_byte(byte) || b"/.~".contains(&byte);
        if !prefix.bytes().all(is_prefix_byte) || prefix.ends_with('/') {
            return Err(SignalingAddressFault::BadPath);
        }
        Ok(Self {
            is_secure,
            host: host.to_owned(),
            port: port.unwrap_or(usual_port(is_secure)),
            prefix: prefix.to_owned(),
            room: room.to_owned(),
        })
    }

    /// Returns the address of a server that is registered there.
    pub(crate) fn address_of(&self, server: ServerId) -> String {
        format!("{RTC_PREFIX}{self}/{}", write_id(server))
    }

    /// Returns where the server says who is in the room.
    pub(super) fn list(&self) -> Target {
        let Self { prefix, room, .. } = self;
        Target {
            is_secure: self.is_secure,
            host: self.host.clone(),
            port: self.port,
            resource: format!("{prefix}/{room}/peers"),
            pin: None,
        }
    }

    /// Returns what the socket of a peer is opened to.
    pub(super) fn target(&self, own: ServerId, token: &str) -> Target {
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

/// What a link has behind `#` is for those who open it: it may be an invitation, which is a secret.
fn without_fragment(text: &str) -> &str {
    text.split('#').next().unwrap_or_default().trim()
}

fn no_room(scheme: &str, server: &str) -> SignalingAddressFault {
    let mut server = server.trim_end_matches('/');
    for page in ["/new", "/peerjs"] {
        server = server.strip_suffix(page).unwrap_or(server);
    }
    let new = format!("{scheme}://{server}/new");
    let peerjs = format!("{}://{server}/peerjs", scheme.replace("http", "ws"));
    SignalingAddressFault::NoRoom { new, peerjs }
}

#[cfg(test)]
mod tests {
    use super::super::SignalingServer;
    use super::*;

    fn place(text: &str) -> Place {
        Place::find(text).expect(text)
    }

    #[test]
    fn a_room_is_read_as_people_have_it() {
        let room = "0123456789abcdefghjk";

        for (text, address) in [
            (
                "http://127.0.0.1:9000/?channel={room}#firstServer",
                "ws://127.0.0.1:9000/{room}",
            ),
            (
                " https://a.example/?channel={room}\n",
                "wss://a.example/{room}",
            ),
            (
                "https://a.example/b/page.html?x=1&channel={room}#AQBp",
                "wss://a.example/b/{room}",
            ),
            (
                "http://[::1]:8/p.html?channel={room}&server=http%3A%2F%2F127.0.0.1%3A9000",
                "ws://127.0.0.1:9000/{room}",
            ),
            ("https://a.example?channel={room}", "wss://a.example/{room}"),
            (
                "ws://127.0.0.1:9000/?channel={room}",
                "ws://127.0.0.1:9000/{room}",
            ),
            ("wss://a.example:443/b/{room}", "wss://a.example/b/{room}"),
            ("ws://[::1]:80/{room}", "ws://[::1]/{room}"),
            (
                "ws://127.0.0.1:9000/b/{room}#AQBp",
                "ws://127.0.0.1:9000/b/{room}",
            ),
        ] {
            let filled = |text: &str| text.replace("{room}", room);
            let read = place(&filled(text));

            assert_eq!(read.to_string(), filled(address));
            assert_eq!(Place::read(&filled(address)), Some(read));
        }
    }

    #[test]
    fn what_names_no_room_is_refused_with_its_fault_and_no_secret() {
        use SignalingAddressFault::{BadHost, BadPath, BadRoom, BadServer, CutOff, NoScheme};
        let no_room = |new: &str| SignalingAddressFault::NoRoom {
            new: new.to_owned(),
            peerjs: new.replace("http", "ws").replace("/new", "/peerjs"),
        };

        for (wrong, why) in [
            ("", NoScheme),
            ("127.0.0.1:9000", NoScheme),
            ("127.0.0.1:9000/?channel=1", NoScheme),
            ("rtc+ws://a.example/1/2#SECRET", NoScheme),
            ("ftp://a.example/?channel=1", NoScheme),
            (
                "http://127.0.0.1:9000",
                no_room("http://127.0.0.1:9000/new"),
            ),
            (
                "http://127.0.0.1:9000/new#SECRET",
                no_room("http://127.0.0.1:9000/new"),
            ),
            ("http://a.example/peerjs", no_room("http://a.example/new")),
            (
                "https://a.example/b/#SECRET",
                no_room("https://a.example/b/new"),
            ),
            ("ws://a.example", no_room("http://a.example/new")),
            ("wss://a.example/", no_room("https://a.example/new")),
            ("http://a/?channel=", BadRoom),
            ("http://a/?channel=../b", BadRoom),
            ("ws://a/?key=b", BadRoom),
            ("ws://a/room&b", BadRoom),
            (
                "https://a.example/?channel=0123456789abcdefghj#SECRET",
                CutOff,
            ),
            ("http:///?channel=1", BadHost),
            ("ws://a:0/room", BadHost),
            ("ws://a//room", BadPath),
            ("ws://a/pre fix/room", BadPath),
            ("http://a/?channel=1&server=ftp://b", BadServer),
        ] {
            let refused = Place::find(wrong).expect_err(wrong);

            assert!(!refused.to_string().contains("SECRET"), "{refused}");
            let address = without_fragment(wrong).to_owned();
            let expected = SignalingServerError::BadAddress {
                address,
                fault: why,
            };
            assert_eq!(refused, expected);
        }
    }

    #[test]
    fn an_address_too_long_for_those_registered_there_is_refused() {
        let long = format!("wss://{}.example/room", "a".repeat(80));

        let refused = SignalingServer::at(&long).err();

        let bytes = long.len() + 4 + 1 + 32;
        assert_eq!(refused, Some(SignalingServerError::TooLong { bytes }));
    }

    #[test]
    fn a_room_is_at_the_end_of_its_servers_address() {
        let url = |text: &str| place(text).target(ServerId::from(0x1f), "t").url();
        let query = "id=0000000000000000000000000000001f&token=t&version=1.5.5";

        assert_eq!(
            url("ws://127.0.0.1:9000/7AB"),
            format!("ws://127.0.0.1:9000/peerjs?key=7AB&{query}")
        );
        let list = place("wss://a.example/signal/room-1").list().url();
        assert_eq!(list, "wss://a.example:443/signal/room-1/peers");
        assert_eq!(
            url("wss://a.example/signal/room-1"),
            format!("wss://a.example:443/signal/peerjs?key=room-1&{query}")
        );
    }
}
