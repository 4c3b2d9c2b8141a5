//! Names servers and clusters: 128 bits each, written the same way wherever people meet them.
//!
//! An id is written `0x` and hexadecimal digits, so that it is never taken for a decimal number, and so that what a log
//! shows can be pasted into code, a shell or a configuration file.

use core::fmt;
use core::str::FromStr;

use thiserror::Error;

/// A server of a cluster, and the end of a link that it is to its peers: 128 bits that belong to the storage which
/// holds its log.
///
/// An id is never used without that storage (invariant 3 of the design): a wiped disk comes back under a new id,
/// because it has forgotten the votes and acknowledgements that the old one gave. A transport answers for it that
/// frames from a peer are from that peer.
///
/// People tell servers apart by the first eight digits, which is all that [`Display`](fmt::Display) shows of a longer
/// id. [`Debug`](fmt::Debug) and serde write the whole of it, which can be parsed.
///
/// ```
/// # mod liferaft { pub use liferaft_platform as platform; }
/// use liferaft::platform::{ParseIdError, ServerId};
///
/// let ada: ServerId = "0x1f".parse()?;
/// assert_eq!(ada, ServerId(31));
/// assert_eq!(ada.to_string(), "0x1f");
///
/// let drawn = ServerId(0x9f3c21ab_5d6e7f80_12345678_9abcdef0);
/// assert_eq!(drawn.to_string(), "0x9f3c21ab…");
/// assert_eq!(format!("{drawn:?}").parse(), Ok(drawn));
///
/// // Digits alone could be a decimal number: they are refused.
/// assert_eq!("31".parse::<ServerId>(), Err(ParseIdError::NoPrefix));
/// # Ok::<(), ParseIdError>(())
/// ```
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Default)]
pub struct ServerId(pub u128);

/// A cluster: 128 random bits, drawn when it is founded. Frames of another cluster are refused.
///
/// It is written as a [`ServerId`] is, but always the whole of it: whoever joins the cluster has to be told.
///
/// ```
/// # mod liferaft { pub use liferaft_platform as platform; }
/// use liferaft::platform::ClusterId;
///
/// let cluster = ClusterId::random();
/// assert_eq!(cluster.to_string().parse(), Ok(cluster));
/// ```
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Default)]
pub struct ClusterId(pub u128);

/// Why a text is no id.
#[derive(Clone, Debug, PartialEq, Eq, Error)]
#[non_exhaustive]
pub enum ParseIdError {
    /// It does not begin with `0x`.
    #[error("an id begins with 0x, as in 0x1f")]
    NoPrefix,
    /// It ends in `…`, as ids do that are shown only to be told apart.
    #[error("the id is abbreviated: write all of its digits")]
    Abbreviated,
    /// There is something else than hexadecimal digits after `0x`.
    #[error("{character:?} at byte {position} of an id is not a hexadecimal digit")]
    NoDigit {
        /// The first such character.
        character: char,
        /// Where it begins, in bytes from the start of the text.
        position: usize,
    },
    /// There are no digits after `0x`, or more than 128 bits need.
    #[error("an id has 1 to {digits_max} digits after 0x, not {digits}")]
    DigitCount {
        /// How many there are.
        digits: usize,
        /// How many there may be.
        digits_max: usize,
    },
}

/// What is written before the digits.
const PREFIX: &str = "0x";

/// As many digits are shown of an id that people only have to tell from others.
const SHORT_DIGITS: usize = 8;

/// As many digits as write 128 bits.
const DIGITS_MAX: usize = 32;

/// Returns how many digits an id is written with. One that was drawn has them all, also the zeros in front: it is as
/// long as all others, and begins as it does in addresses.
const fn digits(id: u128) -> usize {
    match id >> u64::BITS {
        0 => (u128::BITS - id.leading_zeros()).div_ceil(4) as usize,
        _ => DIGITS_MAX,
    }
}

fn parse(text: &str) -> Result<u128, ParseIdError> {
    let digits = text.strip_prefix(PREFIX).ok_or(ParseIdError::NoPrefix)?;
    if digits.ends_with('…') {
        return Err(ParseIdError::Abbreviated);
    }
    if let Some((at, character)) = digits.char_indices().find(|(_, c)| !c.is_ascii_hexdigit()) {
        return Err(ParseIdError::NoDigit {
            character,
            position: PREFIX.len() + at,
        });
    }
    if digits.is_empty() || digits.len() > DIGITS_MAX {
        return Err(ParseIdError::DigitCount {
            digits: digits.len(),
            digits_max: DIGITS_MAX,
        });
    }
    Ok(u128::from_str_radix(digits, 16).expect("32 hexadecimal digits fit into 128 bits"))
}

macro_rules! id {
    ($($name:ident),*) => {$(
        #[cfg(feature = "std")]
        impl $name {
            /// Draws an id that nobody else has.
            ///
            /// # Panics
            /// When the system has no source of randomness, like [`entropy_u128`](crate::entropy_u128).
            #[must_use]
            pub fn random() -> Self {
                Self(crate::entropy_u128())
            }
        }

        impl From<u128> for $name {
            fn from(bits: u128) -> Self {
                Self(bits)
            }
        }

        impl From<$name> for u128 {
            fn from(id: $name) -> Self {
                id.0
            }
        }

        impl $name {
            /// Returns the id as people tell ids apart: `0x` and its hexadecimal digits, but of more than eight of
            /// them only the first eight, and `…`.
            #[must_use]
            pub fn short(self) -> impl fmt::Display {
                Short(self.0)
            }
        }

        /// `0x` and all hexadecimal digits: 32, as addresses have them, but of an id of 64 bits or less no leading
        /// zeros.
        impl fmt::Debug for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                let width = PREFIX.len() + digits(self.0);
                write!(f, "{:#0width$x}", self.0)
            }
        }

        /// Reads `0x` and 1 to 32 hexadecimal digits, in either case and with any zeros in front.
        impl FromStr for $name {
            type Err = ParseIdError;

            fn from_str(text: &str) -> Result<Self, ParseIdError> {
                parse(text).map(Self)
            }
        }

        /// As text for formats that people read, as a number of 128 bits for others.
        #[cfg(feature = "serde")]
        impl serde::Serialize for $name {
            fn serialize<S: serde::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
                if serializer.is_human_readable() {
                    serializer.collect_str(&format_args!("{self:?}"))
                } else {
                    serializer.serialize_u128(self.0)
                }
            }
        }

        #[cfg(feature = "serde")]
        impl<'de> serde::Deserialize<'de> for $name {
            fn deserialize<D: serde::Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
                if deserializer.is_human_readable() {
                    deserializer.deserialize_str(text::IdText)
                } else {
                    u128::deserialize(deserializer)
                }
                .map(Self)
            }
        }
    )*};
}
id!(ServerId, ClusterId);

/// As [`ServerId::short`].
impl fmt::Display for ServerId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(&Short(self.0), f)
    }
}

/// All digits, as [`Debug`](fmt::Debug) writes them.
impl fmt::Display for ClusterId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Debug::fmt(self, f)
    }
}

/// The first digits of an id.
struct Short(u128);

impl fmt::Display for Short {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match digits(self.0).saturating_sub(SHORT_DIGITS) {
            0 => write!(f, "{:#x}", self.0),
            more => write!(f, "{:#010x}…", self.0 >> (4 * more)),
        }
    }
}

#[cfg(feature = "serde")]
mod text {
    use core::fmt;

    use serde::de::{Error, Visitor};

    /// Takes an id from its text.
    pub(super) struct IdText;

    impl Visitor<'_> for IdText {
        type Value = u128;

        fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
            f.write_str("an id as text, such as 0x1f")
        }

        fn visit_str<E: Error>(self, text: &str) -> Result<u128, E> {
            super::parse(text).map_err(E::custom)
        }
    }
}
