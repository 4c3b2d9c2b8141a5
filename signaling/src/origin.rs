//! Judges which pages may use the server: browsers say where a page came from, in `Origin`, and no page can change it.

use axum::http::HeaderMap;
use axum::http::header::{HOST, ORIGIN};

use crate::config::Origins;

/// Returns true if the request may be answered. One without an origin comes from no page, or from one that is opened.
pub(crate) fn is_allowed(headers: &HeaderMap, origins: &Origins) -> bool {
    let Some(origin) = headers.get(ORIGIN) else {
        return true;
    };
    let Ok(origin) = origin.to_str() else {
        return false;
    };
    match origins {
        Origins::Any => true,
        Origins::Listed(listed) => listed.iter().any(|it| it == origin) || is_own(headers, origin),
        Origins::Same => is_own(headers, origin),
    }
}

/// Returns true if the page came from the host that it asks. A proxy may speak TLS for us, so the scheme is not
/// compared.
fn is_own(headers: &HeaderMap, origin: &str) -> bool {
    let host = headers.get(HOST).and_then(|host| host.to_str().ok());
    let Some((own, (default_port, authority))) = host.zip(split(origin)) else {
        return false;
    };
    let without_default_port = |authority: &'_ str| {
        authority
            .strip_suffix(default_port)
            .unwrap_or(authority)
            .to_ascii_lowercase()
    };
    without_default_port(own) == without_default_port(authority)
}

/// Splits an origin into the port that its scheme has by itself, and its host with its port.
fn split(origin: &str) -> Option<(&'static str, &str)> {
    let https = origin.strip_prefix("https://").map(|it| (":443", it));
    https.or_else(|| origin.strip_prefix("http://").map(|it| (":80", it)))
}

/// Returns an origin as browsers send it, without the port that its scheme has by itself, if the text is one.
pub(crate) fn as_sent(text: &str) -> Option<String> {
    let (default_port, authority) = split(text)?;
    let fits = |c: u8| c.is_ascii_lowercase() || c.is_ascii_digit() || b".-:[]_".contains(&c);
    let is_origin = !authority.is_empty() && authority.bytes().all(fits);
    is_origin.then(|| text.strip_suffix(default_port).unwrap_or(text).to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn headers(host: &'static str, origin: &'static str) -> HeaderMap {
        HeaderMap::from_iter([
            (HOST, host.parse().expect("a value")),
            (ORIGIN, origin.parse().expect("a value")),
        ])
    }

    #[test]
    fn a_page_of_the_same_host_is_allowed() {
        let is_own = |host, origin| is_allowed(&headers(host, origin), &Origins::Same);

        assert!(is_own("example.org", "https://example.org"));
        assert!(is_own("Example.org:443", "https://example.org"));
        assert!(is_own("127.0.0.1:9000", "http://127.0.0.1:9000"));
        assert!(!is_own("example.org", "https://example.org:8443"));
        assert!(!is_own("example.org", "https://evil.example.org"));
        assert!(!is_own("example.org", "https://example.org.evil.org"));
        assert!(!is_own("example.org", "null"));
        assert!(!is_own("null", "null"));
    }

    #[test]
    fn a_listed_page_is_allowed_and_no_other() {
        let listed = Origins::Listed(vec!["https://a.example".to_owned()]);
        let is_listed = |origin| is_allowed(&headers("own.example", origin), &listed);

        assert!(is_listed("https://a.example"));
        assert!(is_listed("https://own.example"));
        assert!(!is_listed("http://a.example"));
        assert!(!is_listed("https://a.example:1"));
    }

    #[test]
    fn programs_send_no_origin_and_are_allowed() {
        assert!(is_allowed(&HeaderMap::new(), &Origins::Same));
    }

    #[test]
    fn origins_are_written_as_browsers_do() {
        let is_sent_as = |text, sent: &str| as_sent(text).as_deref() == Some(sent);

        assert!(is_sent_as("https://example.org", "https://example.org"));
        assert!(is_sent_as("http://[::1]:8080", "http://[::1]:8080"));
        assert!(is_sent_as("https://example.org:443", "https://example.org"));
        assert_eq!(as_sent("example.org"), None);
        assert_eq!(as_sent("https://example.org/"), None);
        assert_eq!(as_sent("https://"), None);
    }
}
