//! Names the servers that tell an end its address (STUN, RFC 8489) and relay for it (TURN, RFC 8656), and asks for them
//! anew whenever they are needed: their credentials expire.

use std::fmt;
use std::future::Future;
use std::pin::Pin;
use std::sync::Arc;

use thiserror::Error;

/// The most URLs of servers that are used at a time. Those beyond are ignored.
pub(super) const ICE_URLS_MAX: usize = 8;

/// The longest URL of a server, in bytes: a name of the longest kind (253 bytes), and what is around it.
const URL_BYTES_MAX: usize = 320;

/// The longest name of a user and the longest credential, in bytes (RFC 8489, section 14.3).
const CREDENTIAL_BYTES_MAX: usize = 508;

/// The port of STUN and TURN (RFC 8489, section 18.6).
const PORT: u16 = 3478;

/// The port of STUN and TURN over TLS.
const TLS_PORT: u16 = 5349;

/// A server of STUN or TURN, as browsers name it: `RTCIceServer` of WebRTC.
///
/// ```
/// # mod liferaft { pub use liferaft_transport as transport; }
/// use liferaft::transport::webrtc::IceServer;
///
/// let stun = IceServer::stun("stun:stun.example.org");
/// let turn = IceServer::turn("turn:turn.example.org:3478?transport=udp", "1767225600:node1", "…");
/// assert_eq!(stun.urls, ["stun:stun.example.org"]);
/// assert!(!format!("{turn:?}").contains('…'));
/// ```
#[derive(Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct IceServer {
    /// Where it is: `stun:host`, `stun:host:port`, `turn:host:port` or `turn:host:port?transport=udp` (RFC 7064, RFC
    /// 7065). Browsers take `stuns:`, `turns:` and `?transport=tcp` too, which native ends ignore with a warning.
    ///
    /// Of all servers together the first 8 URLs are used.
    pub urls: Vec<String>,
    /// The name of the user, which TURN needs: at most 508 bytes.
    pub username: Option<String>,
    /// The user's password, which TURN needs: at most 508 bytes.
    pub credential: Option<String>,
}

impl IceServer {
    /// Names a server of STUN by its URL.
    pub fn stun(url: impl Into<String>) -> Self {
        Self {
            urls: vec![url.into()],
            username: None,
            credential: None,
        }
    }

    /// Names a server of TURN by its URL, and who uses it.
    pub fn turn(
        url: impl Into<String>,
        username: impl Into<String>,
        credential: impl Into<String>,
    ) -> Self {
        Self {
            urls: vec![url.into()],
            username: Some(username.into()),
            credential: Some(credential.into()),
        }
    }

    /// Checks that each of its URLs is one, and that there is what TURN needs. Those for browsers alone pass: `stuns:`,
    /// `turns:` and `?transport=tcp`.
    ///
    /// # Errors
    /// What is wrong first, without what stands there: see [`IceServerError`].
    pub fn check(&self) -> Result<(), IceServerError> {
        if self.urls.is_empty() {
            return Err(IceServerError::NoUrl);
        }
        for url in &self.urls {
            match NamedServer::read(self, url) {
                Ok(_) | Err(IceServerError::NotByUdp) => {}
                Err(error) => return Err(error),
            }
        }
        Ok(())
    }
}

/// Shows no credential.
impl fmt::Debug for IceServer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("IceServer")
            .field("urls", &self.urls)
            .field("username", &self.username)
            .finish_non_exhaustive()
    }
}

/// By which ways an end that is found by signaling may be reached: `RTCIceTransportPolicy` of WebRTC.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub enum IceTransportPolicy {
    /// By whichever works.
    #[default]
    All,
    /// Through servers of TURN only, so that other ends do not learn where this end is.
    Relay,
}

/// Asks for the servers, as often as they are needed.
#[derive(Clone)]
pub(super) struct IceServers(Arc<dyn Fn() -> Answer + Send + Sync>);

/// The servers, once the question is answered.
pub(super) type Answer = Pin<Box<dyn Future<Output = Vec<IceServer>> + Send>>;

impl IceServers {
    pub(super) fn new<F, A>(ask: F) -> Self
    where
        F: Fn() -> A + Send + Sync + 'static,
        A: Future<Output = Vec<IceServer>> + Send + 'static,
    {
        Self(Arc::new(move || Box::pin(ask())))
    }

    pub(super) fn ask(&self) -> Answer {
        (self.0)()
    }
}

/// What is asked is known to whoever gave it.
impl fmt::Debug for IceServers {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("IceServers").finish_non_exhaustive()
    }
}

/// A server of which every part is there.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct NamedServer {
    /// A name, or an address without brackets.
    pub(super) host: String,
    pub(super) port: u16,
    /// Who uses TURN there; `None` for STUN alone.
    pub(super) user: Option<User>,
}

/// Who uses a server of TURN.
#[derive(Clone, PartialEq, Eq)]
pub(super) struct User {
    pub(super) name: String,
    pub(super) credential: String,
}

/// Shows no credential.
impl fmt::Debug for User {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("User").field(&self.name).finish()
    }
}

/// Why a server of STUN or TURN is not used.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Error)]
#[non_exhaustive]
pub enum IceServerError {
    /// It has no URL.
    #[error("it has no URL")]
    NoUrl,
    /// A URL of it is too long.
    #[error("its URL has more than {URL_BYTES_MAX} bytes")]
    UrlTooLong,
    /// A URL of it has another scheme.
    #[error("its URL begins with none of stun:, turn:, stuns: and turns:")]
    UnknownScheme,
    /// A URL of it names no host.
    #[error("its URL names no host")]
    NoHost,
    /// The port of a URL of it is none.
    #[error("the port of its URL is no number from 1 to 65535")]
    BadPort,
    /// What stands behind `?` in a URL of it is unknown.
    #[error("its URL asks for something else than ?transport=udp or ?transport=tcp")]
    BadQuery,
    /// It is for browsers alone.
    #[error("native ends reach servers of STUN and TURN by UDP only")]
    NotByUdp,
    /// It is one of TURN, and who uses it is not said, or at too great a length.
    #[error(
        "a server of TURN needs a username and a credential, of 1 to {CREDENTIAL_BYTES_MAX} bytes each"
    )]
    NoCredentials,
}

impl NamedServer {
    /// Returns the servers that are reached by UDP, at most [`ICE_URLS_MAX`]. Those that are not used are logged.
    pub(super) fn by_udp(servers: &[IceServer]) -> Vec<Self> {
        let mut named = Vec::new();
        for server in servers {
            for url in &server.urls {
                match Self::read(server, url) {
                    Ok(_) if named.len() == ICE_URLS_MAX => {
                        tracing::warn!(ICE_URLS_MAX, "too many ICE servers: the rest is not used");
                        return named;
                    }
                    Ok(server) => named.push(server),
                    Err(error) => {
                        let url = shortened(url);
                        tracing::warn!(%url, %error, "an ICE server is not used");
                    }
                }
            }
        }
        named
    }

    fn read(server: &IceServer, url: &str) -> Result<Self, IceServerError> {
        if url.len() > URL_BYTES_MAX {
            return Err(IceServerError::UrlTooLong);
        }
        let (scheme, rest) = url.split_once(':').ok_or(IceServerError::UnknownScheme)?;
        let (relays, is_secure) = match scheme.to_ascii_lowercase().as_str() {
            "stun" => (false, false),
            "stuns" => (false, true),
            "turn" => (true, false),
            "turns" => (true, true),
            _ => return Err(IceServerError::UnknownScheme),
        };
        let (authority, query) = match rest.split_once('?') {
            Some((authority, query)) => (authority, Some(query)),
            None => (rest, None),
        };
        let is_tcp = match query {
            None => false,
            Some("transport=udp") if relays => false,
            Some("transport=tcp") if relays => true,
            Some(_) => return Err(IceServerError::BadQuery),
        };
        let default_port = if is_secure { TLS_PORT } else { PORT };
        let (host, port) = split_authority(authority, default_port)?;
        let user = match relays {
            true => Some(User::of(server).ok_or(IceServerError::NoCredentials)?),
            false => None,
        };
        if is_secure || is_tcp {
            return Err(IceServerError::NotByUdp);
        }
        Ok(Self {
            host: host.to_owned(),
            port,
            user,
        })
    }
}

impl User {
    fn of(server: &IceServer) -> Option<Self> {
        let fits = |text: &&String| (1..=CREDENTIAL_BYTES_MAX).contains(&text.len());
        Some(Self {
            name: server.username.as_ref().filter(fits)?.clone(),
            credential: server.credential.as_ref().filter(fits)?.clone(),
        })
    }
}

/// Takes a host and its port apart.
fn split_authority(authority: &str, default_port: u16) -> Result<(&str, u16), IceServerError> {
    let (host, port) = match authority.strip_prefix('[') {
        Some(rest) => {
            let (host, after) = rest.split_once(']').ok_or(IceServerError::NoHost)?;
            let port = match after {
                "" => None,
                after => Some(after.strip_prefix(':').ok_or(IceServerError::BadPort)?),
            };
            (host, port)
        }
        None => match authority.split_once(':') {
            Some((host, port)) => (host, Some(port)),
            None => (authority, None),
        },
    };
    let is_host =
        |character: char| character.is_ascii_alphanumeric() || ".-_:%".contains(character);
    if host.is_empty() || !host.chars().all(is_host) {
        return Err(IceServerError::NoHost);
    }
    let port = match port {
        None => default_port,
        Some(port) => port.parse().map_err(|_| IceServerError::BadPort)?,
    };
    match port {
        0 => Err(IceServerError::BadPort),
        port => Ok((host, port)),
    }
}

/// Returns what a log may show of a URL that somebody gave.
fn shortened(url: &str) -> String {
    const SHOWN: usize = 80;
    url.chars().take(SHOWN).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(url: &str) -> Result<(String, u16, bool), IceServerError> {
        let server = IceServer::turn(url, "node1", "secret");
        let named = NamedServer::read(&server, url)?;
        Ok((named.host, named.port, named.user.is_some()))
    }

    #[test]
    fn a_server_is_checked_for_browsers_and_native_ends_alike() {
        let turn = |url: &str| IceServer::turn(url, "node1", "secret");
        let unnamed = |url: &str| IceServer::stun(url).check();
        let mut two = turn("turn:a.example");
        two.urls.push("http://a.example".to_owned());
        let mut none = IceServer::stun("");
        none.urls.clear();

        for url in ["turn:a.example", "turns:a.example?transport=tcp"] {
            assert_eq!(turn(url).check(), Ok(()));
            assert_eq!(unnamed(url), Err(IceServerError::NoCredentials));
        }
        assert_eq!(unnamed("stuns:a.example"), Ok(()));
        assert_eq!(two.check(), Err(IceServerError::UnknownScheme));
        assert_eq!(none.check(), Err(IceServerError::NoUrl));
    }

    #[test]
    fn urls_of_both_schemes_are_read() {
        let host = |host: &str, port, relays| Ok((host.to_owned(), port, relays));

        assert_eq!(read("stun:example.org"), host("example.org", 3478, false));
        assert_eq!(
            read("STUN:192.0.2.1:19302"),
            host("192.0.2.1", 19302, false)
        );
        assert_eq!(read("turn:[2001:db8::1]:99"), host("2001:db8::1", 99, true));
        assert_eq!(read("turn:[::1]?transport=udp"), host("::1", 3478, true));
    }

    #[test]
    fn ways_that_native_ends_lack_are_told_apart() {
        for url in [
            "turn:a?transport=tcp",
            "turns:a",
            "stuns:a:1",
            "turns:a:1?transport=tcp",
        ] {
            assert_eq!(read(url), Err(IceServerError::NotByUdp), "{url}");
        }
    }

    #[test]
    fn what_is_no_url_of_a_server_is_told() {
        use IceServerError::{BadPort, BadQuery, NoHost, UnknownScheme, UrlTooLong};
        let long = format!("stun:{}", "a".repeat(URL_BYTES_MAX));
        for (url, error) in [
            ("", UnknownScheme),
            ("https://example.org", UnknownScheme),
            ("stun:", NoHost),
            ("stun:[::1", NoHost),
            ("stun://example.org", NoHost),
            ("stun:a b", NoHost),
            ("stun:a:", BadPort),
            ("stun:a:0", BadPort),
            ("stun:a:65536", BadPort),
            ("stun:[::1]x", BadPort),
            ("stun:a?transport=udp", BadQuery),
            ("turn:a?transport=sctp", BadQuery),
            (&long, UrlTooLong),
        ] {
            assert_eq!(read(url), Err(error), "{url}");
        }
    }

    #[test]
    fn turn_without_credentials_is_not_used() {
        let bare = IceServer::stun("turn:example.org");
        let long = IceServer::turn("turn:example.org", "a".repeat(509), "secret");

        assert_eq!(NamedServer::by_udp(&[bare, long]), []);
    }

    #[test]
    fn eight_urls_are_used_at_most() {
        let mut server = IceServer::stun("stun:example.org");
        server.urls = vec!["stun:example.org".to_owned(); ICE_URLS_MAX + 1];

        assert_eq!(NamedServer::by_udp(&[server]).len(), ICE_URLS_MAX);
    }

    #[test]
    fn no_debug_output_has_a_credential() {
        let server = IceServer::turn("turn:example.org", "node1", "secret");
        let named = NamedServer::by_udp(std::slice::from_ref(&server));
        let servers = IceServers::new(move || std::future::ready(vec![server.clone()]));

        let shown = format!(
            "{named:?} {servers:?} {:?}",
            IceServer::turn("", "", "secret")
        );

        assert!(!shown.contains("secret"), "{shown}");
    }
}
