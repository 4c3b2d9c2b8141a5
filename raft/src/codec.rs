//! The codec of commands and replies, and how their types may change from version to version.
//!
//! Commands and replies are encoded by [serde] in the format of [postcard]. Commands travel between members, and stay
//! in logs and in the stores of outboxes; replies stay in snapshots. So bytes that one version of a program has written
//! are read by other versions, earlier ones included as long as both run in one cluster.
//!
//! # What can be encoded
//!
//! The bytes hold values and nothing else: fields follow one another in the order in which they are declared, and a
//! variant is told by its place, counted from 0. There are no names of fields, of variants or of types. So a type that
//! looks at its input to find out what it is does not decode: `#[serde(untagged)]`, `#[serde(tag = "…")]`,
//! `#[serde(flatten)]`, `serde_json::Value`. A field that is left out of the bytes shifts those behind it, so
//! `#[serde(skip_serializing_if = "…")]` is wrong here, and may go unnoticed.
//!
//! A type that holds itself, as a tree or a list of boxes does, is decoded by calls that nest as deep as the value
//! does, and a value may be deeper than the stack of a thread has room for, which ends the program. So a command is
//! refused if decoding it takes more than [`CHECKED_STACK_BYTES_MAX`] of stack, some hundreds of levels or more. What a
//! state machine does with the levels of a command by nested calls is its own matter.
//!
//! `propose` and `push` decode what they have encoded before anything is sent, and refuse what does not come back, or
//! panics on its way, with `Unserialisable`. A leader drops what it cannot decode when another member forwards it. An
//! entry that a member cannot decode all the same, since a later version wrote it, stops that member with the entry's
//! index and the type's name (`MachineFault::Undecodable`): to pass over it would let the member's state differ from
//! that of all others.
//!
//! A reply comes back to its caller as it is, unless it travels in a snapshot. There, one that does not decode costs
//! its caller the reply and nothing else: the command is done, and the error says so (`ReplyUnreadable`).
//!
//! # What may change
//!
//! | change | |
//! |---|---|
//! | another variant behind the last one of an enum | safe, if no member sends it before all members know it |
//! | another name for a field, a variant or a type | safe: names are not encoded |
//! | another field, one less, or fields in another order | breaks: decodes to an error or to other values |
//! | another type of a field, as `u32` for `u64` | breaks, or decodes to other values for some |
//! | a variant removed, or put before others | breaks: those behind it are taken for one another |
//! | another effect of an old command in `apply` | breaks: members of both versions no longer hold the same state |
//!
//! What needs another field is another variant. The old one stays, and does what it did, as long as a log, a snapshot
//! or an outbox may hold it. A safe change takes two steps: first every member is started with a version that knows the
//! new variant, and then a version proposes it.
//!
//! ```
//! # mod liferaft { pub use liferaft_raft::codec; pub use serde; }
//! use liferaft::codec::{decode, encode};
//! use liferaft::serde::{Deserialize, Serialize};
//!
//! /// The commands of the first version.
//! #[derive(Debug, PartialEq, Serialize, Deserialize)]
//! #[serde(crate = "liferaft::serde")] // Not needed where serde is a dependency of its own.
//! enum Blankets {
//!     Give { count: u32 },
//!     Count,
//! }
//!
//! /// Those of the second: `Give` as it was, and a variant at the end that says where as well.
//! #[derive(Debug, PartialEq, Serialize, Deserialize)]
//! #[serde(crate = "liferaft::serde")]
//! enum BlanketsSecond {
//!     Give { count: u32 },
//!     Count,
//!     GiveAt { count: u32, camp: String },
//! }
//!
//! // A test like this one notices a change that breaks: the bytes of each command, written down once.
//! let given = encode(&Blankets::Give { count: 7 })?;
//! assert_eq!(given, [0, 7]);
//!
//! // What the first version wrote the second reads, and the other way round.
//! assert_eq!(decode::<BlanketsSecond>(&given)?, BlanketsSecond::Give { count: 7 });
//! assert_eq!(decode::<Blankets>(&encode(&BlanketsSecond::Count)?)?, Blankets::Count);
//!
//! // What the second adds the first does not take for anything else.
//! let camp = "school".to_owned();
//! assert!(decode::<Blankets>(&encode(&BlanketsSecond::GiveAt { count: 7, camp })?).is_err());
//! # Ok::<(), liferaft::codec::CodecError>(())
//! ```
//!
//! [serde]: https://serde.rs
//! [postcard]: https://postcard.jamesmunns.com/wire-format

use alloc::format;
use alloc::string::{String, ToString};
use alloc::vec::Vec;
use core::any::type_name;
use core::hint::black_box;

use liferaft_platform::caught;
use postcard::de_flavors::{Flavor, Slice};
use postcard::ser_flavors::Size;
use serde::Serialize;
use serde::de::DeserializeOwned;
use thiserror::Error;

/// The most stack that [`decode`] takes, in bytes: 512 KiB, which a thread has room for natively and in browsers.
pub const STACK_BYTES_MAX: usize = 512 << 10;

/// The most stack that decoding a command may take before it is sent or appended, in bytes: 128 KiB. It is less than
/// [`STACK_BYTES_MAX`] because other members may run another build, in which the same value takes more.
pub const CHECKED_STACK_BYTES_MAX: usize = STACK_BYTES_MAX / 4;

/// Why a value has no bytes, or bytes are no value.
#[derive(Clone, Debug, PartialEq, Eq, Error)]
#[non_exhaustive]
pub enum CodecError {
    /// The value cannot be encoded.
    #[error("`{type_name}` cannot be encoded: {reason}")]
    Encode {
        /// The type of the value.
        type_name: &'static str,
        /// What serde says.
        reason: String,
    },
    /// The bytes are no value of the type.
    #[error("the bytes are no `{type_name}`: {reason}")]
    Decode {
        /// The type.
        type_name: &'static str,
        /// What serde says.
        reason: String,
    },
    /// The bytes go on behind the value.
    #[error("{bytes} bytes follow a `{type_name}`")]
    Left {
        /// The type of the value.
        type_name: &'static str,
        /// How many bytes follow it.
        bytes: usize,
    },
    /// Decoding the value takes more stack than allowed.
    #[error(
        "a `{type_name}` nests too deeply: decoding it takes more than {stack_bytes_max} bytes of stack"
    )]
    TooDeep {
        /// The type of the value.
        type_name: &'static str,
        /// How much is allowed.
        stack_bytes_max: usize,
    },
}

/// Returns the bytes of a value.
///
/// # Errors
/// [`CodecError::Encode`], also if the type panics.
pub fn encode<T: Serialize>(value: &T) -> Result<Vec<u8>, CodecError> {
    encode_behind(Vec::new(), value)
}

/// Returns how many bytes a value has when it is encoded.
///
/// # Errors
/// As of [`encode`].
pub(crate) fn encoded_bytes<T: Serialize>(value: &T) -> Result<usize, CodecError> {
    encode_by::<T, _>(|| postcard::serialize_with_flavor(value, Size::default()))
}

/// Returns the value that these bytes, all of them, encode.
///
/// # Errors
/// [`CodecError::Decode`], also if the type panics; [`CodecError::Left`]; [`CodecError::TooDeep`] beyond
/// [`STACK_BYTES_MAX`].
pub fn decode<T: DeserializeOwned>(bytes: &[u8]) -> Result<T, CodecError> {
    decode_within(STACK_BYTES_MAX, bytes)
}

/// Checks that bytes decode, on every member.
///
/// # Errors
/// As of [`decode`], beyond [`CHECKED_STACK_BYTES_MAX`].
pub fn check<T: DeserializeOwned>(bytes: &[u8]) -> Result<(), CodecError> {
    decode_within::<T>(CHECKED_STACK_BYTES_MAX, bytes).map(drop)
}

/// Returns the bytes of a value behind others, once it is sure that they decode.
///
/// # Errors
/// As of [`encode`] and [`check`].
pub fn encode_checked<T>(behind: Vec<u8>, value: &T) -> Result<Vec<u8>, CodecError>
where
    T: Serialize + DeserializeOwned,
{
    let begin = behind.len();
    let bytes = encode_behind(behind, value)?;
    check::<T>(&bytes[begin..])?;
    Ok(bytes)
}

fn encode_behind<T: Serialize>(bytes: Vec<u8>, value: &T) -> Result<Vec<u8>, CodecError> {
    encode_by::<T, _>(|| postcard::to_extend(value, bytes))
}

/// Encodes a value of type `T`.
fn encode_by<T, E>(encode: impl FnOnce() -> postcard::Result<E>) -> Result<E, CodecError> {
    told(caught(encode)).map_err(|reason| CodecError::Encode {
        type_name: type_name::<T>(),
        reason,
    })
}

fn decode_within<T: DeserializeOwned>(
    stack_bytes_max: usize,
    bytes: &[u8],
) -> Result<T, CodecError> {
    let type_name = type_name::<T>();
    let mut deserializer = postcard::Deserializer::from_flavor(Shallow {
        bytes: Slice::new(bytes),
        top: stack_address(),
        stack_bytes_max,
        is_too_deep: false,
    });
    let decoded = caught(|| T::deserialize(&mut deserializer));
    let (left, is_too_deep) = deserializer.finalize().expect("bytes end without an error");
    // First, since the type may have made another error of it, or none.
    if is_too_deep {
        return Err(CodecError::TooDeep {
            type_name,
            stack_bytes_max,
        });
    }
    let value = told(decoded).map_err(|reason| CodecError::Decode { type_name, reason })?;
    match left.len() {
        0 => Ok(value),
        bytes => Err(CodecError::Left { type_name, bytes }),
    }
}

/// The value, or why there is none: serde's word, or the message of a panic.
fn told<T>(result: Result<postcard::Result<T>, String>) -> Result<T, String> {
    match result {
        Ok(value) => value.map_err(|error| error.to_string()),
        Err(message) => Err(format!("it panicked: {message}")),
    }
}

/// Bytes that are read as long as there is stack. Every level of a value reads a byte at least, which tells it from the
/// others; so a look at the stack with each byte comes before it is exhausted.
struct Shallow<'de> {
    bytes: Slice<'de>,
    /// Where the stack was before the first byte.
    top: usize,
    stack_bytes_max: usize,
    is_too_deep: bool,
}

impl<'de> Flavor<'de> for Shallow<'de> {
    /// What is left, and whether the value was too deep.
    type Remainder = (&'de [u8], bool);
    type Source = &'de [u8];

    #[inline]
    fn pop(&mut self) -> postcard::Result<u8> {
        if self.top.abs_diff(stack_address()) > self.stack_bytes_max {
            self.is_too_deep = true;
            return Err(postcard::Error::NotYetImplemented);
        }
        self.bytes.pop()
    }

    #[inline]
    fn size_hint(&self) -> Option<usize> {
        self.bytes.size_hint()
    }

    #[inline]
    fn try_take_n(&mut self, count: usize) -> postcard::Result<&'de [u8]> {
        self.bytes.try_take_n(count)
    }

    fn finalize(self) -> postcard::Result<Self::Remainder> {
        Ok((self.bytes.finalize()?, self.is_too_deep))
    }
}

/// Returns about where the top of the stack is.
#[inline]
fn stack_address() -> usize {
    let here = 0_u8;
    core::ptr::from_ref(black_box(&here)).addr()
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use serde::{Deserialize, Serialize};

    use super::*;

    #[derive(Debug, PartialEq, Serialize, Deserialize)]
    #[serde(untagged)]
    enum Untagged {
        Number(u64),
    }

    #[derive(Debug, PartialEq, Serialize, Deserialize)]
    #[serde(tag = "kind")]
    enum Tagged {
        Number { number: u64 },
    }

    #[derive(Debug, PartialEq, Serialize, Deserialize)]
    struct Flat {
        #[serde(flatten)]
        rest: BTreeMap<String, u64>,
    }

    #[test]
    fn what_looks_at_its_input_to_know_its_type_is_refused() {
        let untagged = encode_checked(Vec::new(), &Untagged::Number(1));
        let tagged = encode_checked(Vec::new(), &Tagged::Number { number: 1 });
        let flat = encode_checked(
            Vec::new(),
            &Flat {
                rest: BTreeMap::new(),
            },
        );

        assert!(matches!(untagged, Err(CodecError::Decode { .. })));
        assert!(matches!(tagged, Err(CodecError::Decode { .. })));
        assert!(matches!(flat, Err(CodecError::Encode { .. })));
    }

    /// A list, each element of which is held by the one before.
    #[derive(Debug, PartialEq, Serialize, Deserialize)]
    enum Chain {
        End,
        Link(Box<Chain>),
    }

    /// The bytes of one with so many links.
    fn links(links: usize) -> Vec<u8> {
        let mut bytes = vec![1; links];
        bytes.push(0);
        bytes
    }

    #[test]
    fn a_value_that_nests_too_deeply_is_refused_before_the_stack_ends() {
        let too_deep = |stack_bytes_max| {
            let type_name = type_name::<Chain>();
            Err(CodecError::TooDeep {
                type_name,
                stack_bytes_max,
            })
        };
        let deep = links(1 << 20);

        assert_eq!(decode::<Chain>(&deep).map(drop), too_deep(STACK_BYTES_MAX));
        assert_eq!(check::<Chain>(&deep), too_deep(CHECKED_STACK_BYTES_MAX));
        assert_eq!(check::<Chain>(&links(128)), Ok(()));
    }

    #[test]
    fn what_is_checked_leaves_room_for_other_builds() {
        let deepest = (1..).find(|count| check::<Chain>(&links(*count)).is_err());

        let deepest = deepest.expect("some chain is too long");
        assert!(decode::<Chain>(&links(deepest * 3)).is_ok());
    }

    #[test]
    fn a_long_value_that_does_not_nest_is_not_too_deep() {
        let numbers = vec![7_u64; 1 << 16];

        let bytes = encode_checked(Vec::new(), &numbers);

        assert_eq!(bytes.and_then(|bytes| decode(&bytes)), Ok(numbers));
    }

    #[test]
    fn a_value_is_all_of_its_bytes_and_stands_behind_others() {
        let bytes = encode_checked(vec![9, 9], &7_u64);

        assert_eq!(bytes, Ok(vec![9, 9, 7]));
        assert_eq!(decode::<u64>(&[7]), Ok(7));
        assert!(matches!(
            decode::<u64>(&[7, 0]),
            Err(CodecError::Left { bytes: 1, .. })
        ));
    }
}
