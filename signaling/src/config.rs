//! States every setting and every bound of a server.

use std::net::IpAddr;
use std::sync::Arc;
use std::time::Duration;

use crate::names::Channel;
use crate::rate::Rate;
use crate::site::Site;

/// How a server is set up.
#[derive(Clone, Debug)]
pub struct Config {
    key: String,
    pub(crate) is_listed: bool,
    pub(crate) origins: Origins,
    pub(crate) trusted_proxies: Vec<IpAddr>,
    pub(crate) limits: Limits,
    pub(crate) site: Arc<Site>,
}

/// A setting that makes no sense.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum ConfigError {
    /// The key of the common place has other characters, is empty or long, or is what means rooms: `peers`, or a
    /// channel's number.
    #[error(
        "`{key}` is no key: 1 to 64 letters, digits, - and _, and neither `peers` nor a channel's number"
    )]
    Key {
        /// What was given.
        key: String,
    },
    /// An origin is not a scheme, a host and perhaps a port.
    #[error("`{origin}` is no origin, as `https://example.org` is")]
    Origin {
        /// What was given.
        origin: String,
    },
}

/// Whose pages may use the server. Programs that are no browsers send no origin, and are not refused by it.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub enum Origins {
    /// Pages of this server alone, by the host that they were asked for.
    #[default]
    Same,
    /// These too: `https://example.org`, with a port if it is not that of the scheme.
    Listed(Vec<String>),
    /// All.
    Any,
}

/// Bounds what a server holds and does. By default it needs less than 800 MB, whatever is sent to it, and 20 kB for
/// each connection that means well; `docs/signaling.md` has the sum.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct Limits {
    /// The most connections at a time: 4096.
    pub connections_max: usize,
    /// The most of them from one host: 256. A cluster of 101 tabs behind one NAT fits. Ids are bounded by twice this,
    /// since those of peers that were cut off are kept for a while.
    pub connections_per_host_max: usize,
    /// The most rooms at a time: 10 000.
    pub channels_max: usize,
    /// The most of them that one host made, or entered first: 100.
    pub channels_per_host_max: usize,
    /// The most peers of a room: 256. The common place has no bound but that of connections.
    pub peers_per_channel_max: usize,
    /// The longest message, in bytes: 64 KiB. A longer one closes its connection.
    pub frame_bytes_max: usize,
    /// The most bytes that wait to be read by one peer: 256 KiB. One that falls behind is disconnected.
    pub outgoing_bytes_per_connection_max: usize,
    /// The most bytes that wait to be read by all: 64 MiB. Beyond it, whoever something is for is disconnected.
    pub outgoing_bytes_max: usize,
    /// The most bytes of messages of one host that wait for peers that are not there: 2 MiB. More expire at once.
    pub waiting_bytes_per_host_max: usize,
    /// The most bytes of such messages in all: 32 MiB.
    pub waiting_bytes_max: usize,
    /// The most frames of one connection that are no messages: 16. The next one closes it.
    pub garbage_max: u32,
    /// Requests and connections of one host: 20 a second, 500 at once. More are refused. A new room costs ten.
    pub requests_per_host: Rate,
    /// Messages of one connection: 50 a second, 500 at once. More are read later.
    pub messages_per_connection: Rate,
    /// Bytes of all messages of one host: 512 KiB a second, 8 MiB at once. More are read later.
    pub bytes_per_host: Rate,
    /// A peer that was silent for this long is disconnected, and its id is free: 90 s, as in PeerJS. The id of a peer
    /// that was cut off without a goodbye is kept for its token for the same time.
    pub alive_timeout: Duration,
    /// A message waits this long for a peer that is not there: 5 s, as in PeerJS.
    pub expire_timeout: Duration,
    /// A room in which nobody is, is forgotten: after 10 minutes. Whoever comes later opens it again, but does not
    /// found in it.
    pub empty_channel_time: Duration,
}

impl Default for Limits {
    fn default() -> Self {
        Self {
            connections_max: 4096,
            connections_per_host_max: 256,
            channels_max: 10_000,
            channels_per_host_max: 100,
            peers_per_channel_max: 256,
            frame_bytes_max: 64 * 1024,
            outgoing_bytes_per_connection_max: 256 * 1024,
            outgoing_bytes_max: 64 * 1024 * 1024,
            waiting_bytes_per_host_max: 2 * 1024 * 1024,
            waiting_bytes_max: 32 * 1024 * 1024,
            garbage_max: 16,
            requests_per_host: Rate {
                per_second: 20,
                burst: 500,
            },
            messages_per_connection: Rate {
                per_second: 50,
                burst: 500,
            },
            bytes_per_host: Rate {
                per_second: 512 * 1024,
                burst: 8 * 1024 * 1024,
            },
            alive_timeout: Duration::from_secs(90),
            expire_timeout: Duration::from_secs(5),
            empty_channel_time: Duration::from_secs(10 * 60),
        }
    }
}

impl Default for Config {
    /// The key `peerjs`, no list of the common place, pages of the same origin, no proxies, the default limits, and
    /// a page that only says what the server is.
    fn default() -> Self {
        Self {
            key: "peerjs".to_owned(),
            is_listed: false,
            origins: Origins::Same,
            trusted_proxies: Vec::new(),
            limits: Limits::default(),
            site: Arc::default(),
        }
    }
}

impl Config {
    /// Sets the key of the common place, which PeerJS's clients name: `peerjs` if not said.
    ///
    /// # Errors
    /// The key has other characters than letters, digits, `-` and `_`, none or more than 64, or is `peers` or a
    /// channel's number.
    pub fn with_key(mut self, key: &str) -> Result<Self, ConfigError> {
        let fits = |c: u8| c.is_ascii_alphanumeric() || matches!(c, b'-' | b'_');
        let is_key = (1..=64).contains(&key.len()) && key.bytes().all(fits);
        if !is_key || key == "peers" || key.parse::<Channel>().is_ok() {
            let key = key.to_owned();
            return Err(ConfigError::Key { key });
        }
        key.clone_into(&mut self.key);
        Ok(self)
    }

    /// Lists the ids of the common place to everybody. Those of a room are listed to whoever knows its number.
    #[must_use]
    pub const fn listed(mut self) -> Self {
        self.is_listed = true;
        self
    }

    /// Sets whose pages may use the server.
    ///
    /// # Errors
    /// One of them is no origin.
    pub fn with_origins(mut self, mut origins: Origins) -> Result<Self, ConfigError> {
        if let Origins::Listed(listed) = &mut origins {
            for origin in listed {
                let as_sent = crate::origin::as_sent(origin);
                let unfit = || ConfigError::Origin {
                    origin: origin.clone(),
                };
                *origin = as_sent.ok_or_else(unfit)?;
            }
        }
        self.origins = origins;
        Ok(self)
    }

    /// Believes these hosts what they say in `X-Forwarded-For`: proxies in front of the server.
    #[must_use]
    pub fn with_trusted_proxies(mut self, proxies: Vec<IpAddr>) -> Self {
        self.trusted_proxies = proxies;
        self
    }

    /// Sets the bounds.
    #[must_use]
    pub const fn with_limits(mut self, limits: Limits) -> Self {
        self.limits = limits;
        self
    }

    /// Serves these pages instead of one that only says what the server is. People who come without a room get a new
    /// one at once.
    #[must_use]
    pub fn with_site(mut self, site: Site) -> Self {
        self.site = Arc::new(site);
        self
    }

    /// Returns the key of the common place.
    #[must_use]
    pub fn key(&self) -> &str {
        &self.key
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_key_is_plain_and_no_rooms_number() {
        let with = |key| Config::default().with_key(key).map(|config| config.key);

        assert_eq!(with("my_app-1"), Ok("my_app-1".to_owned()));
        for key in ["", "a/b", "ä", "peers", "0123456789abcdefghjk"] {
            let error = with(key).expect_err("it is no key").to_string();
            let text = "is no key: 1 to 64 letters, digits, - and _, and neither `peers` nor a channel's number";
            assert_eq!(error, format!("`{key}` {text}"));
        }
    }

    #[test]
    fn an_origin_is_not_a_url() {
        let listed = Origins::Listed(vec!["https://example.org/".to_owned()]);

        let error = Config::default().with_origins(listed);

        let text = "`https://example.org/` is no origin, as `https://example.org` is";
        assert_eq!(error.expect_err("it has a path").to_string(), text);
    }
}
