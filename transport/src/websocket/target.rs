//! Reads the addresses that the carrier dials: `ws://host:port/path`, and `wss://…` with or without a fingerprint.

use liferaft_platform::Address;

use crate::hosts::{Fingerprint, PIN_MARK, split_authority};

/// The scheme of connections in the clear. Links seal what they carry.
pub(super) const PLAIN: &str = "ws";

/// The scheme of connections under TLS.
pub(super) const SECURE: &str = "wss";

/// Where to connect to.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Target {
    pub(crate) is_secure: bool,
    /// A name, an IPv4 address, or an IPv6 address without brackets.
    pub(crate) host: String,
    pub(crate) port: u16,
    /// The path and the query that are asked for. It begins with a slash.
    pub(crate) resource: String,
    /// The only certificate that is taken.
    pub(crate) pin: Option<Fingerprint>,
}

impl Target {
    /// Reads an address; `None` if it is none for this carrier.
    pub(super) fn read(address: &Address) -> Option<Self> {
        let is_secure = match address.scheme() {
            PLAIN => false,
            SECURE => true,
            _ => return None,
        };
        let rest = address.rest().strip_prefix("//")?;
        let (rest, pin) = match rest.find('#') {
            None => (rest, None),
            Some(at) if is_secure => {
                let pin = rest[at..].strip_prefix(PIN_MARK)?.parse().ok()?;
                (&rest[..at], Some(pin))
            }
            Some(_) => return None,
        };
        let (authority, resource) = rest.split_at(rest.find(['/', '?']).unwrap_or(rest.len()));
        let (host, port) = split_authority(authority)?;
        let port = match port {
            Some(port) => port,
            None if is_secure => 443,
            None => 80,
        };
        let slash = if resource.starts_with('/') { "" } else { "/" };
        Some(Self {
            is_secure,
            host: host.to_owned(),
            port,
            resource: format!("{slash}{resource}"),
            pin,
        })
    }

    /// Returns the URL that is asked for, which has no fragment.
    pub(crate) fn url(&self) -> String {
        let Self {
            host,
            port,
            resource,
            ..
        } = self;
        let scheme = if self.is_secure { SECURE } else { PLAIN };
        if host.contains(':') {
            format!("{scheme}://[{host}]:{port}{resource}")
        } else {
            format!("{scheme}://{host}:{port}{resource}")
        }
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn read(text: &str) -> Option<Target> {
        Target::read(&text.parse().unwrap())
    }

    fn url(text: &str) -> Option<String> {
        read(text).map(|target| target.url())
    }

    #[test]
    fn an_address_says_host_port_and_path() {
        assert_eq!(
            url("ws://a.example:81").as_deref(),
            Some("ws://a.example:81/")
        );
        assert_eq!(
            url("wss://a.example/raft?b=1").as_deref(),
            Some("wss://a.example:443/raft?b=1")
        );
        assert_eq!(url("ws://[::1]?b").as_deref(), Some("ws://[::1]:80/?b"));
    }

    #[test]
    fn a_fingerprint_is_read_as_it_is_written() {
        let pin = Fingerprint([7; 32]);

        let target = read(&format!("wss://192.0.2.1:4000{PIN_MARK}{pin}")).unwrap();

        assert_eq!(target.pin, Some(pin));
        assert_eq!(target.url(), "wss://192.0.2.1:4000/");
    }

    #[test]
    fn a_pinned_address_has_room_for_a_host_of_60_bytes() {
        let host = "h".repeat(60);

        let pinned = format!("wss://{host}:65535{PIN_MARK}{}", Fingerprint([7; 32]));

        assert!(read(&pinned).is_some());
    }

    proptest! {
        /// Addresses come from other members too.
        #[test]
        fn an_address_that_is_read_says_what_its_url_says(
            rest in r"(\[::1\]|[a-z.:@\[]{0,6})(:[0-9+]{0,6})?[/?#]?[!-~]{0,30}",
        ) {
            for scheme in [PLAIN, SECURE] {
                let target = read(&format!("{scheme}://{rest}"));
                let again = target.as_ref().and_then(|target| read(&target.url()));
                let unpinned = target.map(|target| Target { pin: None, ..target });
                prop_assert_eq!(again, unpinned);
            }
        }
    }

    #[test]
    fn what_cannot_be_dialed_as_it_says_is_refused() {
        for text in [
            "udp:127.0.0.1:1",
            "ws:127.0.0.1:1",
            "ws://",
            "ws://:1",
            "ws://a:",
            "ws://a:0",
            "ws://a:+1",
            "ws://a:65536",
            "ws://[::1",
            "ws://[::1]1",
            "ws://[a]:1",
            "ws://user@a:1",
            "ws://a#sha256=BwcHBwcHBwcHBwcHBwcHBwcHBwcHBwcHBwcHBwcHBwc",
            "wss://a#sha256=BwcH",
            "wss://a#sha1=BwcH",
        ] {
            assert_eq!(read(text), None, "{text}");
        }
    }
}
