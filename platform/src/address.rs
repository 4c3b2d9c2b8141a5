//! Says where a server can be reached, in a form that any carrier can read its own part of.

use alloc::boxed::Box;
use alloc::string::String;
use core::fmt;
use core::str::FromStr;

use thiserror::Error;

/// The longest address, in bytes.
pub const ADDRESS_BYTES_MAX: usize = 128;

/// The most addresses that a server has.
pub const ADDRESSES_MAX: usize = 4;

/// Where a server can be reached: `scheme:rest`, as `udp:127.0.0.1:4000`, `ws://example.org/raft` or `memory:7`.
///
/// It is at most [`ADDRESS_BYTES_MAX`] bytes of ASCII without spaces and control characters. The scheme names the
/// carrier that dials it, which alone knows what the rest means. It begins with a lower-case letter, and lower-case
/// letters, digits, `+`, `-` and `.` follow (RFC 3986, section 3.1).
///
/// ```
/// # mod liferaft { pub use liferaft_platform as platform; }
/// use liferaft::platform::{Address, AddressError};
///
/// let address: Address = "udp:127.0.0.1:4000".parse()?;
/// assert_eq!((address.scheme(), address.rest()), ("udp", "127.0.0.1:4000"));
/// assert!(!address.is_signaled());
/// assert_eq!("127.0.0.1".parse::<Address>(), Err(AddressError::NoScheme));
/// # Ok::<(), AddressError>(())
/// ```
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
#[cfg_attr(
    feature = "serde",
    derive(serde::Serialize, serde::Deserialize),
    serde(try_from = "String", into = "String")
)]
pub struct Address(Box<str>);

/// Why a text is no address.
#[derive(Clone, Debug, PartialEq, Eq, Error)]
#[non_exhaustive]
pub enum AddressError {
    /// It is longer than [`ADDRESS_BYTES_MAX`].
    #[error("an address has at most {ADDRESS_BYTES_MAX} bytes, not {bytes}")]
    TooLong {
        /// Its length.
        bytes: usize,
    },
    /// It holds a space, a control character or something else than ASCII.
    #[error("{character:?} at byte {position} of an address is not printable ASCII")]
    NotPrintable {
        /// The first such character.
        character: char,
        /// Where it begins, in bytes from the start of the text.
        position: usize,
    },
    /// It does not begin with a scheme and a colon.
    #[error("an address begins with its scheme and a colon, as in udp:127.0.0.1:4000")]
    NoScheme,
    /// There is nothing after the colon.
    #[error("an address says where after its scheme, as in udp:127.0.0.1:4000")]
    NoRest,
}

impl Address {
    /// Returns the part before the first colon, which names the carrier.
    #[must_use]
    pub fn scheme(&self) -> &str {
        self.parts().0
    }

    /// Returns the part after the first colon.
    #[must_use]
    pub fn rest(&self) -> &str {
        self.parts().1
    }

    /// Returns true if others find the server by one in between, which the scheme names behind a `+`, as in
    /// `rtc+wss://example.org/room/7`. Whoever needs none is preferred.
    #[must_use]
    pub fn is_signaled(&self) -> bool {
        self.scheme().contains('+')
    }

    /// Returns the whole address.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }

    fn parts(&self) -> (&str, &str) {
        self.0
            .split_once(':')
            .expect("an address was checked to have a scheme when it was made")
    }
}

fn check(text: &str) -> Result<(), AddressError> {
    if text.len() > ADDRESS_BYTES_MAX {
        return Err(AddressError::TooLong { bytes: text.len() });
    }
    if let Some((position, character)) = text.char_indices().find(|(_, c)| !c.is_ascii_graphic()) {
        return Err(AddressError::NotPrintable {
            character,
            position,
        });
    }
    let (scheme, rest) = text.split_once(':').ok_or(AddressError::NoScheme)?;
    let is_scheme_byte =
        |byte: u8| byte.is_ascii_lowercase() || byte.is_ascii_digit() || b"+-.".contains(&byte);
    if !scheme.starts_with(|c: char| c.is_ascii_lowercase()) || !scheme.bytes().all(is_scheme_byte)
    {
        return Err(AddressError::NoScheme);
    }
    if rest.is_empty() {
        return Err(AddressError::NoRest);
    }
    Ok(())
}

impl FromStr for Address {
    type Err = AddressError;

    fn from_str(text: &str) -> Result<Self, AddressError> {
        check(text)?;
        Ok(Self(text.into()))
    }
}

impl TryFrom<String> for Address {
    type Error = AddressError;

    fn try_from(text: String) -> Result<Self, AddressError> {
        check(&text)?;
        Ok(Self(text.into()))
    }
}

impl From<Address> for String {
    fn from(address: Address) -> Self {
        address.0.into()
    }
}

/// The whole address.
impl fmt::Display for Address {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

/// The whole address, in quotes.
impl fmt::Debug for Address {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Debug::fmt(&self.0, f)
    }
}

#[cfg(test)]
mod tests {
    use alloc::string::ToString;

    use super::*;

    #[test]
    fn an_address_is_a_scheme_and_what_its_carrier_reads() {
        let udp: Address = "udp:127.0.0.1:4000".parse().unwrap();
        let secure: Address = "ws+tls://example.org/a?b".parse().unwrap();

        assert_eq!((udp.scheme(), udp.rest()), ("udp", "127.0.0.1:4000"));
        assert_eq!(
            (secure.scheme(), secure.rest()),
            ("ws+tls", "//example.org/a?b")
        );
        assert_eq!(udp.to_string(), "udp:127.0.0.1:4000");
    }

    #[test]
    fn the_longest_address_has_128_bytes() {
        let longest = "udp:".to_string() + &"a".repeat(124);

        assert!(longest.parse::<Address>().is_ok());
        assert_eq!(
            (longest + "a").parse::<Address>(),
            Err(AddressError::TooLong { bytes: 129 })
        );
    }

    #[test]
    fn a_text_that_is_no_address_is_told_what_is_wrong_with_it() {
        let texts = [
            "",
            "127.0.0.1",
            "UDP:1",
            ":1",
            "1a:1",
            "a b:1",
            "a:é",
            "a:\0",
            "udp:",
        ];

        let told = texts.map(|text| text.parse::<Address>().unwrap_err());

        let unprintable = |character, position| AddressError::NotPrintable {
            character,
            position,
        };
        assert_eq!(
            told,
            [
                AddressError::NoScheme,
                AddressError::NoScheme,
                AddressError::NoScheme,
                AddressError::NoScheme,
                AddressError::NoScheme,
                unprintable(' ', 1),
                unprintable('é', 2),
                unprintable('\0', 2),
                AddressError::NoRest,
            ]
        );
    }

    #[cfg(feature = "serde")]
    #[test]
    fn serde_reads_no_address_that_parsing_refuses() {
        let address: Address = "memory:7".parse().unwrap();

        let json = serde_json::to_string(&address).unwrap();

        assert_eq!(json, "\"memory:7\"");
        assert_eq!(serde_json::from_str::<Address>(&json).unwrap(), address);
        assert!(serde_json::from_str::<Address>("\"memory 7\"").is_err());
    }
}
