//! Reads the addresses that the carrier dials.
//!
//! | form | whom it names |
//! |---|---|
//! | `rtc://host:port#sha256=FINGERPRINT` | a listener, which is dialed without signaling |
//! | `rtc:ID` | the server with this id (32 hexadecimal digits), by whatever signaling there is |
//! | `rtc+ws://host:port/ROOM/ID`, `rtc+wss://…` | the same, and it is registered in this room of a signaling server |

use std::fmt;

use liferaft_platform::Address;

use crate::ServerId;
use crate::hosts::{Fingerprint, PIN_MARK, split_authority};
use crate::signaling::{Place, read_id, write_id};

/// The scheme of addresses without a signaling server.
pub(super) const SCHEME: &str = "rtc";

/// The schemes of addresses with one, and that of its own address after the `+`.
pub(super) const SIGNALED_SCHEMES: [&str; 2] = ["rtc+ws", "rtc+wss"];

/// Whom an address names.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Dialed {
    Listener(Target),
    /// A server, which may be registered somewhere.
    Server(ServerId, Option<Place>),
}

impl Dialed {
    /// Reads an address; `None` if it is none for this carrier.
    pub(super) fn read(address: &Address) -> Option<Self> {
        let rest = address.rest();
        if address.scheme() == SCHEME {
            return match rest.starts_with("//") {
                true => Target::read(address).map(Self::Listener),
                false => read_id(rest).map(|id| Self::Server(id, None)),
            };
        }
        let scheme = address.scheme().strip_prefix("rtc+")?;
        let (room, id) = rest.rsplit_once('/')?;
        let place = Place::read(&format!("{scheme}:{room}"))?;
        Some(Self::Server(read_id(id)?, Some(place)))
    }
}

/// Returns the address of a server of which nothing is known but its id.
pub(super) fn address_of(server: ServerId) -> Address {
    let address = format!("{SCHEME}:{}", write_id(server));
    address.parse().expect("an id makes an address")
}

/// A listener that is dialed without any signaling: the credentials that ICE wants follow from the fingerprint.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Target {
    /// A name, an IPv4 address, or an IPv6 address without brackets.
    pub(super) host: String,
    pub(super) port: u16,
    /// The only certificate that is taken.
    pub(super) fingerprint: Fingerprint,
}

impl Target {
    /// Reads an address; `None` if it is none for this carrier. There is no usual port.
    pub(super) fn read(address: &Address) -> Option<Self> {
        if address.scheme() != SCHEME {
            return None;
        }
        let rest = address.rest().strip_prefix("//")?;
        let (authority, pin) = rest.split_at(rest.find('#')?);
        let fingerprint = pin.strip_prefix(PIN_MARK)?.parse().ok()?;
        let (host, port) = split_authority(authority)?;
        Some(Self {
            host: host.to_owned(),
            port: port?,
            fingerprint,
        })
    }
}

impl fmt::Display for Target {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self {
            host,
            port,
            fingerprint,
        } = self;
        if host.contains(':') {
            write!(f, "{SCHEME}://[{host}]:{port}{PIN_MARK}{fingerprint}")
        } else {
            write!(f, "{SCHEME}://{host}:{port}{PIN_MARK}{fingerprint}")
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const PIN: &str = "#sha256=BwcHBwcHBwcHBwcHBwcHBwcHBwcHBwcHBwcHBwcHBwc";

    fn read(text: &str) -> Option<Target> {
        Target::read(&text.parse().expect("it is an address"))
    }

    #[test]
    fn an_address_is_read_as_it_is_written() {
        for host in ["192.0.2.7:4000", "[2001:db8::7]:1", "a.example:65535"] {
            let text = format!("rtc://{host}{PIN}");

            let target = read(&text).expect("it is one of ours");

            assert_eq!(target.to_string(), text);
            assert_eq!(target.fingerprint, Fingerprint([7; 32]));
        }
    }

    #[test]
    fn a_server_is_named_by_its_id_and_where_it_is_registered() {
        let id = ServerId::from(0x1f);
        let read = |text: &str| Dialed::read(&text.parse().expect("it is an address"));
        let hexadecimal = "0000000000000000000000000000001f";

        assert_eq!(
            Dialed::read(&address_of(id)),
            Some(Dialed::Server(id, None))
        );
        let place = Place::read("wss://a.example/prefix/room");
        assert!(place.is_some());
        assert_eq!(
            read(&format!("rtc+wss://a.example/prefix/room/{hexadecimal}")),
            Some(Dialed::Server(id, place))
        );
        for none in [
            "rtc:1f".to_owned(),
            format!("rtc+ws:{hexadecimal}"),
            format!("rtc+ws://a/{hexadecimal}"),
            format!("rtc+http://a/room/{hexadecimal}"),
            "rtc+ws://a/room/1f".to_owned(),
        ] {
            assert_eq!(read(&none), None, "{none}");
        }
    }

    #[test]
    fn what_does_not_say_whom_to_dial_is_refused() {
        for text in [
            format!("wss://a:1{PIN}"),
            format!("rtc:a:1{PIN}"),
            format!("rtc://a{PIN}"),
            format!("rtc://a:0{PIN}"),
            format!("rtc://:1{PIN}"),
            format!("rtc://a:1/path{PIN}"),
            format!("rtc://a:1{PIN}A"),
            "rtc://a:1".to_owned(),
            "rtc://a:1#sha256=BwcH".to_owned(),
            "rtc:0x0123456789abcdef".to_owned(),
        ] {
            assert_eq!(read(&text), None, "{text}");
        }
    }
}
