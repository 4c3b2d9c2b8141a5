//! Holds the public keys that servers and tokens are known by, and derives a server's id from its key.
//!
//! A key is written `0x` and 64 hexadecimal digits, so that it is never taken for anything else and can be pasted into
//! code, a shell or a configuration file, as an id can.

use core::fmt;
use core::str::FromStr;

use sha2::{Digest, Sha256};
use thiserror::Error;

use crate::ServerId;

/// The length of a public key, in bytes.
pub const PUBLIC_KEY_BYTES: usize = 32;

/// The Ed25519 public key of a server (RFC 8032): 32 bytes, which need not be a point of the curve.
///
/// The server's storage holds the secret half. Whoever verifies a signature with it finds out whether it is a key at
/// all.
///
/// ```
/// # mod liferaft { pub use liferaft_platform as platform; }
/// use liferaft::platform::PublicKey;
///
/// let key = PublicKey([7; 32]);
/// assert_eq!(key.to_string().parse(), Ok(key));
/// ```
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
#[cfg_attr(
    feature = "serde",
    derive(serde::Serialize, serde::Deserialize),
    serde(transparent)
)]
pub struct PublicKey(
    #[cfg_attr(feature = "serde", serde(with = "text_or_bytes"))] pub [u8; PUBLIC_KEY_BYTES],
);

impl PublicKey {
    /// Returns the id of the server with this key: the first 128 bits of the key's SHA-256 digest, as a big-endian
    /// number.
    #[must_use]
    pub fn server_id(&self) -> ServerId {
        let digest: [u8; 32] = Sha256::digest(self.0).into();
        let (first, _) = digest
            .split_first_chunk()
            .expect("a digest of 256 bits has 128");
        ServerId(u128::from_be_bytes(*first))
    }

    /// Returns the bytes of the key.
    #[must_use]
    pub const fn as_bytes(&self) -> &[u8; PUBLIC_KEY_BYTES] {
        &self.0
    }
}

/// The public half of an invitation's token, an Ed25519 key: all that the log and a configuration carry of the token.
///
/// The secret half is in the invitation; whoever signs with it holds one.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
#[cfg_attr(
    feature = "serde",
    derive(serde::Serialize, serde::Deserialize),
    serde(transparent)
)]
pub struct TokenKey(pub PublicKey);

/// Why a text is no key.
#[derive(Clone, Debug, PartialEq, Eq, Error)]
#[non_exhaustive]
pub enum ParseKeyError {
    /// It does not begin with `0x`.
    #[error("a key begins with 0x, and {DIGITS} digits follow")]
    NoPrefix,
    /// There is something else than hexadecimal digits after `0x`.
    #[error("{character:?} at byte {position} of a key is not a hexadecimal digit")]
    NoDigit {
        /// The first such character.
        character: char,
        /// Where it begins, in bytes from the start of the text.
        position: usize,
    },
    /// There are more or fewer digits after `0x` than the 64 of 32 bytes.
    #[error("a key has {DIGITS} digits after 0x, not {digits}")]
    DigitCount {
        /// How many there are.
        digits: usize,
    },
}

/// What is written before the digits.
const PREFIX: &str = "0x";

/// The number of hexadecimal digits of a key.
const DIGITS: usize = 2 * PUBLIC_KEY_BYTES;

/// `0x` and all 64 hexadecimal digits.
impl fmt::Display for PublicKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(PREFIX)?;
        self.0.iter().try_for_each(|byte| write!(f, "{byte:02x}"))
    }
}

/// As [`Display`](fmt::Display).
impl fmt::Debug for PublicKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

/// Reads `0x` and 64 hexadecimal digits, in either case.
impl FromStr for PublicKey {
    type Err = ParseKeyError;

    fn from_str(text: &str) -> Result<Self, ParseKeyError> {
        let digits = text.strip_prefix(PREFIX).ok_or(ParseKeyError::NoPrefix)?;
        if let Some((at, character)) = digits.char_indices().find(|(_, c)| !c.is_ascii_hexdigit()) {
            return Err(ParseKeyError::NoDigit {
                character,
                position: PREFIX.len() + at,
            });
        }
        if digits.len() != DIGITS {
            return Err(ParseKeyError::DigitCount {
                digits: digits.len(),
            });
        }
        let mut key = [0; PUBLIC_KEY_BYTES];
        for (i, byte) in key.iter_mut().enumerate() {
            *byte = u8::from_str_radix(&digits[2 * i..2 * i + 2], 16)
                .expect("two hexadecimal digits are a byte");
        }
        Ok(Self(key))
    }
}

/// As its [`PublicKey`].
impl fmt::Display for TokenKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(&self.0, f)
    }
}

/// As its [`PublicKey`].
impl fmt::Debug for TokenKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(&self.0, f)
    }
}

/// Reads what a [`PublicKey`] is read from.
impl FromStr for TokenKey {
    type Err = ParseKeyError;

    fn from_str(text: &str) -> Result<Self, ParseKeyError> {
        text.parse().map(Self)
    }
}

/// A key as text for formats that people read, as 32 bytes for others.
#[cfg(feature = "serde")]
mod text_or_bytes {
    use core::fmt;

    use serde::de::{Deserialize, Deserializer, Error, Visitor};
    use serde::ser::{Serialize, Serializer};

    use super::{PUBLIC_KEY_BYTES, PublicKey};

    pub(super) fn serialize<S: Serializer>(
        bytes: &[u8; PUBLIC_KEY_BYTES],
        serializer: S,
    ) -> Result<S::Ok, S::Error> {
        if serializer.is_human_readable() {
            serializer.collect_str(&PublicKey(*bytes))
        } else {
            bytes.serialize(serializer)
        }
    }

    pub(super) fn deserialize<'de, D: Deserializer<'de>>(
        deserializer: D,
    ) -> Result<[u8; PUBLIC_KEY_BYTES], D::Error> {
        if deserializer.is_human_readable() {
            deserializer.deserialize_str(KeyText)
        } else {
            Deserialize::deserialize(deserializer)
        }
    }

    /// Takes a key from its text.
    struct KeyText;

    impl Visitor<'_> for KeyText {
        type Value = [u8; PUBLIC_KEY_BYTES];

        fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
            f.write_str("a key as text: 0x and 64 hexadecimal digits")
        }

        fn visit_str<E: Error>(self, text: &str) -> Result<Self::Value, E> {
            text.parse::<PublicKey>()
                .map(|key| key.0)
                .map_err(E::custom)
        }
    }
}

#[cfg(test)]
mod tests {
    use alloc::string::ToString;

    use super::*;

    /// The public key of the first test of RFC 8032, section 7.1.
    const TEXT: &str = "0xd75a980182b10ab7d54bfed3c964073a0ee172f3daa62325af021a68f707511a";

    #[test]
    fn a_server_id_is_the_start_of_the_digest_of_its_key() {
        let key: PublicKey = TEXT.parse().unwrap();

        let id = key.server_id();

        assert_eq!(id, ServerId(0x21fe_31df_a154_a261_626b_f854_046f_d227));
    }

    #[test]
    fn a_key_is_read_back_from_what_it_is_written_as() {
        let key: PublicKey = TEXT.parse().unwrap();
        let token: TokenKey = TEXT.to_uppercase().replacen('X', "x", 1).parse().unwrap();

        assert_eq!(key.to_string(), TEXT);
        assert_eq!(token.to_string(), TEXT);
        assert_eq!(token, TokenKey(key));
    }

    #[test]
    fn a_text_that_is_no_key_is_told_what_is_wrong_with_it() {
        let texts = [&TEXT[2..], "0x1é", &TEXT[..65], "0x"];

        let told = texts.map(|text| text.parse::<PublicKey>().unwrap_err().to_string());

        assert_eq!(
            told,
            [
                "a key begins with 0x, and 64 digits follow",
                "'é' at byte 3 of a key is not a hexadecimal digit",
                "a key has 64 digits after 0x, not 63",
                "a key has 64 digits after 0x, not 0",
            ]
        );
    }

    #[cfg(feature = "serde")]
    #[test]
    fn serde_writes_text_for_people_and_bytes_for_others() {
        let token = TokenKey(TEXT.parse().unwrap());

        let json = serde_json::to_string(&token).unwrap();
        let binary = postcard::to_allocvec(&token).unwrap();

        assert_eq!(json.trim_matches('"'), TEXT);
        assert_eq!(binary, token.0.0);
        assert_eq!(serde_json::from_str::<TokenKey>(&json).unwrap(), token);
        assert_eq!(postcard::from_bytes::<TokenKey>(&binary).unwrap(), token);
    }
}
