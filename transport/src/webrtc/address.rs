//! Reads the addresses that the carrier dials: `rtc://host:port#sha256=FINGERPRINT`.

use std::fmt;

use liferaft_platform::Address;

use crate::hosts::{Fingerprint, PIN_MARK, split_authority};

/// The scheme of all addresses of the carrier.
pub(super) const SCHEME: &str = "rtc";

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
