//! Holds what carriers that reach hosts over a network have in common: how their addresses name a host and pin its
//! certificate, and how they listen.

#[cfg(not(target_arch = "wasm32"))]
mod native;
#[cfg(target_arch = "wasm32")]
mod wasm;

use std::fmt;
use std::str::FromStr;

use base64ct::{Base64UrlUnpadded, Encoding};
use thiserror::Error;

#[cfg(not(target_arch = "wasm32"))]
pub use self::native::ListenError;
#[cfg(not(target_arch = "wasm32"))]
pub(crate) use self::native::{origin_of, push_pem};

/// What stands before a fingerprint in an address.
pub(crate) const PIN_MARK: &str = "#sha256=";

/// Cuts `host:port`, `[host]:port` or a host alone.
pub(crate) fn split_authority(authority: &str) -> Option<(&str, Option<u16>)> {
    let (host, port) = if let Some(rest) = authority.strip_prefix('[') {
        let (host, port) = rest.split_once(']')?;
        host.parse::<std::net::Ipv6Addr>().ok()?;
        (host, port)
    } else {
        let (host, port) = authority.split_at(authority.find(':').unwrap_or(authority.len()));
        let is_name_byte = |byte: u8| byte.is_ascii_alphanumeric() || b"-._".contains(&byte);
        if host.is_empty() || !host.bytes().all(is_name_byte) {
            return None;
        }
        (host, port)
    };
    let port = match port.strip_prefix(':') {
        None if port.is_empty() => None,
        None => return None,
        // A number's parser takes a sign too.
        Some(digits) => {
            let is_number = digits.bytes().all(|byte| byte.is_ascii_digit());
            Some(digits.parse().ok().filter(|port| is_number && *port > 0)?)
        }
    };
    Some((host, port))
}

/// The SHA-256 fingerprint of a certificate: the digest of its DER form, as `openssl x509 -fingerprint -sha256` prints
/// it in hexadecimal. It is written in base64url without padding (RFC 4648, section 5), 43 characters.
#[derive(Clone, Copy, PartialEq, Eq, Hash)]
pub struct Fingerprint(pub [u8; 32]);

/// The text is no [`Fingerprint`].
#[derive(Clone, Copy, Debug, PartialEq, Eq, Error)]
#[error("a fingerprint is 43 characters of base64url")]
pub struct ParseFingerprintError;

impl FromStr for Fingerprint {
    type Err = ParseFingerprintError;

    fn from_str(text: &str) -> Result<Self, ParseFingerprintError> {
        let mut digest = [0; 32];
        let decoded = Base64UrlUnpadded::decode(text, &mut digest);
        match decoded.map(<[u8]>::len) {
            Ok(32) => Ok(Self(digest)),
            _ => Err(ParseFingerprintError),
        }
    }
}

impl fmt::Display for Fingerprint {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&Base64UrlUnpadded::encode_string(&self.0))
    }
}

impl fmt::Debug for Fingerprint {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Fingerprint({self})")
    }
}
