//! Reads where others reach a member, as people write it.

use std::net::Ipv6Addr;

/// Checks that a text says where a member is reached: a host and a port, or a URL of WebSocket.
///
/// # Errors
/// Says what is wrong, and names right forms.
pub(super) fn advertised(text: &str) -> Result<String, String> {
    let wrong = |what| {
        Err(format!(
            "{what}: it is a host and a port, as van-2.example:4000 or [2001:db8::2]:4000, or a URL, as \
             wss://van-2.example/raft"
        ))
    };
    let url = ["ws://", "wss://"]
        .iter()
        .find_map(|scheme| text.strip_prefix(scheme));
    if url.is_none() && text.contains("://") {
        return wrong("others reach it by ws:// or wss:// alone");
    }
    let authority = url.map_or(text, |rest| {
        rest.split(['/', '?', '#']).next().unwrap_or_default()
    });
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
    Ok(text.to_owned())
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
        for right in [
            "van-2.example:4000",
            "10.0.0.2:1",
            "[2001:db8::2]:65535",
            "ws://van-2.example:80",
            "wss://van-2.example/raft",
            "wss://[::1]",
        ] {
            assert_eq!(advertised(right).as_deref(), Ok(right));
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
        ] {
            let why = advertised(wrong).expect_err(wrong);
            assert!(why.contains("van-2.example:4000"), "{wrong}: {why}");
        }
    }
}
