//! Reads where others reach a member, as people write it.

use std::net::Ipv6Addr;

/// Where others reach a member.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Advertised {
    /// Its listener of WebSocket, at this host and port.
    Host(String),
    /// The same, by a whole URL, as behind a proxy.
    Url(String),
    /// Its listener of WebRTC, at this host and port.
    Rtc(String),
}

impl Advertised {
    /// Reads a host and a port, which are those of a listener of WebSocket, a URL of WebSocket, or `rtc://` with a host
    /// and a port.
    ///
    /// # Errors
    /// Says what is wrong, and names right forms.
    pub(super) fn read(text: &str) -> Result<Self, String> {
        let wrong = |what| {
            Err(format!(
                "{what}: it is a host and a port, as van-2.example:4000 or [2001:db8::2]:4000, or a URL, as \
                 wss://van-2.example/raft, or for --rtc rtc://van-2.example:4000"
            ))
        };
        let behind = |scheme| text.strip_prefix(scheme);
        let url = behind("ws://").or_else(|| behind("wss://"));
        let rtc = behind("rtc://");
        let authority = match (url, rtc) {
            (Some(rest), _) => rest.split(['/', '?', '#']).next().unwrap_or_default(),
            (_, Some(rest)) if rest.contains(['/', '?', '#']) => {
                return wrong("nothing follows the port: the fingerprint is added");
            }
            (_, Some(authority)) => authority,
            _ if text.contains("://") => {
                return wrong("others reach it by ws://, wss:// or rtc:// alone");
            }
            _ => text,
        };
        let (host, port) = match authority.rsplit_once(':') {
            // An address of IPv6 in brackets may end without a port.
            Some((host, port)) if !port.ends_with(']') => (host, Some(port)),
            _ => (authority, None),
        };
        if !is_host(host) {
            return wrong("there is no host");
        }
        match port.map(str::parse::<u16>) {
            Some(Ok(1..)) => {}
            Some(_) => return wrong("the port is a number from 1 to 65535"),
            None if url.is_some() => {}
            None => return wrong("there is no port"),
        }
        Ok(match (url, rtc) {
            (Some(_), _) => Self::Url(text.to_owned()),
            (_, Some(authority)) => Self::Rtc(authority.to_owned()),
            _ => Self::Host(text.to_owned()),
        })
    }
}

fn is_host(host: &str) -> bool {
    let bracketed = host
        .strip_prefix('[')
        .and_then(|rest| rest.strip_suffix(']'));
    match bracketed {
        Some(address) => address.parse::<Ipv6Addr>().is_ok(),
        None => {
            let is_of_name =
                |byte| matches!(byte, b'a'..=b'z' | b'A'..=b'Z' | b'0'..=b'9' | b'-' | b'.' | b'_');
            !host.is_empty() && host.bytes().all(is_of_name)
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn hosts_with_ports_and_urls_are_taken() {
        for host in ["van-2.example:4000", "10.0.0.2:1", "[2001:db8::2]:65535"] {
            let rtc = format!("rtc://{host}");

            assert_eq!(
                Advertised::read(host),
                Ok(Advertised::Host(host.to_owned()))
            );
            assert_eq!(Advertised::read(&rtc), Ok(Advertised::Rtc(host.to_owned())));
        }
        for url in [
            "ws://van-2.example:80",
            "wss://van-2.example/raft",
            "wss://[::1]",
        ] {
            assert_eq!(Advertised::read(url), Ok(Advertised::Url(url.to_owned())));
        }
    }

    #[test]
    fn whatever_nobody_can_dial_is_refused_with_a_right_form() {
        for wrong in [
            "",
            "x",
            "x:0",
            "x:99999",
            "x:",
            ":1",
            "http://x:1",
            "x:1/y",
            "::1:80",
            "[x]:1",
            "a b:1",
            "ws://",
            "wss://x:0",
            "rtc://x",
            "rtc://x:1/y",
            "rtc://x:1#sha256=BwcHBwcHBwcHBwcHBwcHBwcHBwcHBwcHBwcHBwcHBwc",
        ] {
            let why = Advertised::read(wrong).expect_err(wrong);
            assert!(why.contains("van-2.example:4000"), "{wrong}: {why}");
        }
    }
}
