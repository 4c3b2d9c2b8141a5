//! Names what peers say: rooms, ids and tokens, bounded and checked once.

use std::fmt;
use std::str::FromStr;
use std::sync::Arc;

/// The most bytes of a peer's id.
const ID_BYTES_MAX: usize = 64;
/// The most bytes of a token.
const TOKEN_BYTES_MAX: usize = 128;
/// How many characters a channel's number has: 5 bits each, 100 bits.
const CHANNEL_CHARACTERS: usize = 20;
/// The digits of a channel's number: none that are mistaken for each other, none that a URL escapes.
const DIGITS: &[u8; 32] = b"0123456789abcdefghjkmnpqrstvwxyz";

/// A name that is not one.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum NameError {
    /// The id is empty, too long, or has other characters.
    #[error("an id has 1 to {ID_BYTES_MAX} letters, digits, spaces, - and _")]
    Id,
    /// The token is empty, too long, or has other characters.
    #[error("a token has 1 to {TOKEN_BYTES_MAX} visible ASCII characters")]
    Token,
    /// The number is not one that a channel may have.
    #[error("a channel's number has {CHANNEL_CHARACTERS} digits of a base of 32")]
    Channel,
}

/// The id that a peer chose: 1 to 64 letters, digits, spaces, `-` and `_` of ASCII.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct PeerId(Arc<str>);

impl PeerId {
    /// Returns its text.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl FromStr for PeerId {
    type Err = NameError;

    fn from_str(text: &str) -> Result<Self, NameError> {
        let fits = |c: u8| c.is_ascii_alphanumeric() || matches!(c, b' ' | b'-' | b'_');
        let is_id = (1..=ID_BYTES_MAX).contains(&text.len()) && text.bytes().all(fits);
        is_id.then(|| Self(text.into())).ok_or(NameError::Id)
    }
}

impl fmt::Debug for PeerId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Debug::fmt(&self.0, f)
    }
}

/// The secret by which a peer gets its id again: 1 to 128 visible characters of ASCII.
#[derive(Clone, PartialEq, Eq)]
pub struct Token(Box<str>);

impl FromStr for Token {
    type Err = NameError;

    fn from_str(text: &str) -> Result<Self, NameError> {
        let is_token = (1..=TOKEN_BYTES_MAX).contains(&text.len())
            && text.bytes().all(|c| c.is_ascii_graphic());
        is_token.then(|| Self(text.into())).ok_or(NameError::Token)
    }
}

/// Hides the secret.
impl fmt::Debug for Token {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Token(..)")
    }
}

/// The number of a room: 20 digits of a base of 32, so that nobody finds one by trying.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Channel([u8; CHANNEL_CHARACTERS]);

impl Channel {
    /// Makes a number of 100 bits from random bytes.
    #[must_use]
    pub fn from_random(bytes: [u8; CHANNEL_CHARACTERS]) -> Self {
        Self(bytes.map(|byte| DIGITS[usize::from(byte) % DIGITS.len()]))
    }

    /// Returns its digits.
    #[must_use]
    pub fn as_str(&self) -> &str {
        str::from_utf8(&self.0).expect("a channel's digits are ASCII")
    }
}

impl FromStr for Channel {
    type Err = NameError;

    fn from_str(text: &str) -> Result<Self, NameError> {
        let digits: [u8; CHANNEL_CHARACTERS] =
            text.as_bytes().try_into().map_err(|_| NameError::Channel)?;
        let is_number = digits.iter().all(|digit| DIGITS.contains(digit));
        is_number.then_some(Self(digits)).ok_or(NameError::Channel)
    }
}

/// Shows enough to tell two apart: whoever knows all of it may enter.
impl fmt::Debug for Channel {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Channel({}..)", &self.as_str()[..4])
    }
}

/// Where peers meet: what PeerJS calls the key.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Key {
    /// The place for all, which is always there.
    Common,
    /// A room.
    Channel(Channel),
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_id_is_bounded_and_plain() {
        let longest = "a".repeat(64);

        assert!("0x9f-3_c A".parse::<PeerId>().is_ok());
        assert!(longest.parse::<PeerId>().is_ok());
        assert_eq!(format!("{longest}a").parse::<PeerId>(), Err(NameError::Id));
        assert_eq!("".parse::<PeerId>(), Err(NameError::Id));
        assert_eq!("<b>".parse::<PeerId>(), Err(NameError::Id));
        assert_eq!("ä".parse::<PeerId>(), Err(NameError::Id));
    }

    #[test]
    fn a_token_is_bounded_and_not_shown() {
        let token: Token = "secret".parse().expect("it is plain");

        assert_eq!(format!("{token:?}"), "Token(..)");
        assert_eq!("a b".parse::<Token>(), Err(NameError::Token));
        assert_eq!("a".repeat(129).parse::<Token>(), Err(NameError::Token));
    }

    #[test]
    fn a_drawn_channel_reads_back() {
        let channel = Channel::from_random(*b"any bytes at all \xff\0\x80");

        assert_eq!(channel.as_str().parse(), Ok(channel));
        assert_eq!("peerjs".parse::<Channel>(), Err(NameError::Channel));
        assert_eq!("I".repeat(20).parse::<Channel>(), Err(NameError::Channel));
    }
}
