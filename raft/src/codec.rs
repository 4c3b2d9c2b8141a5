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
//! [`propose`](crate::driver::Handle::propose) and [`push`](crate::driver::Outbox::push) decode what they have encoded
//! before anything is sent, and refuse what does not come back with
//! [`Unserialisable`](crate::driver::ProposeError::Unserialisable). A leader drops what it cannot decode when another
//! member forwards it. An entry that a member cannot decode all the same, since a later version wrote it, stops that
//! member with the entry's index and the type's name
//! ([`MachineFault::Undecodable`](crate::driver::MachineFault::Undecodable)): to pass over it would let the member's
//! state differ from that of all others.
//!
//! A reply comes back to its caller as it is, unless it travels in a snapshot. There, one that does not decode costs
//! its caller the reply and nothing else: the command is done, and the error says so
//! ([`ReplyUnreadable`](crate::driver::ProposeError::ReplyUnreadable)).
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

use core::any::type_name;

use serde::Serialize;
use serde::de::DeserializeOwned;
use thiserror::Error;

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
}

/// Returns the bytes of a value.
///
/// # Errors
/// [`CodecError::Encode`].
pub fn encode<T: Serialize>(value: &T) -> Result<Vec<u8>, CodecError> {
    encode_behind(Vec::new(), value)
}

/// Returns the value that these bytes, all of them, encode.
///
/// # Errors
/// [`CodecError::Decode`], [`CodecError::Left`].
pub fn decode<T: DeserializeOwned>(bytes: &[u8]) -> Result<T, CodecError> {
    let type_name = type_name::<T>();
    let (value, left) = postcard::take_from_bytes(bytes).map_err(|error| CodecError::Decode {
        type_name,
        reason: error.to_string(),
    })?;
    match left.len() {
        0 => Ok(value),
        bytes => Err(CodecError::Left { type_name, bytes }),
    }
}

/// Returns the bytes of a value behind others, once it is sure that they decode.
pub(crate) fn encode_checked<T>(behind: Vec<u8>, value: &T) -> Result<Vec<u8>, CodecError>
where
    T: Serialize + DeserializeOwned,
{
    let begin = behind.len();
    let bytes = encode_behind(behind, value)?;
    decode::<T>(&bytes[begin..])?;
    Ok(bytes)
}

fn encode_behind<T: Serialize>(bytes: Vec<u8>, value: &T) -> Result<Vec<u8>, CodecError> {
    postcard::to_extend(value, bytes).map_err(|error| CodecError::Encode {
        type_name: type_name::<T>(),
        reason: error.to_string(),
    })
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
