//! What a cluster is asked to do ([`Command`]) and to tell ([`Query`]).

use core::fmt;

use bytes::Bytes;
use serde::{Deserialize, Serialize};

use crate::count::Count;
use crate::error::{Refused, Shown};
use crate::limits::{check_key, check_value};

/// A change to one key, replicated to every member.
///
/// Most applications use the methods of [`KvHandle`](crate::KvHandle), which make these.
///
/// The variants are encoded by their position and the fields in their order: the encoding is stored in logs, so variants
/// are only ever added at the end.
#[derive(Clone, PartialEq, Eq, Serialize, Deserialize)]
#[non_exhaustive]
pub enum Command {
    /// Makes the key hold the value.
    Set {
        /// The key.
        key: Bytes,
        /// Its value from then on.
        value: Bytes,
    },
    /// Removes the key and what it holds, a value or a sequence.
    Delete {
        /// The key.
        key: Bytes,
    },
    /// Replaces the value if it is the expected one.
    CompareAndSet {
        /// The key.
        key: Bytes,
        /// What the key must hold; `None`: it must not exist.
        expected: Option<Bytes>,
        /// What it holds then; `None`: it is removed.
        new: Option<Bytes>,
    },
    /// Appends to the sequence if its counter is the given one.
    SeqAppend {
        /// The key of the sequence.
        key: Bytes,
        /// What its counter must be.
        count: Count,
        /// The value to append.
        value: Bytes,
    },
    /// Appends to the sequence, whatever its counter.
    Append {
        /// The key of the sequence.
        key: Bytes,
        /// The value to append.
        value: Bytes,
    },
}

impl Command {
    /// Checks the lengths of the key and the values.
    ///
    /// # Errors
    /// When they exceed the [`limits`](crate::limits).
    pub fn check(&self) -> Result<(), Refused> {
        match self {
            Self::Set { key, value }
            | Self::SeqAppend { key, value, .. }
            | Self::Append { key, value } => {
                check_key(key)?;
                check_value(value)
            }
            Self::Delete { key } => check_key(key),
            Self::CompareAndSet { key, expected, new } => {
                check_key(key)?;
                expected
                    .iter()
                    .chain(new)
                    .try_for_each(|value| check_value(value))
            }
        }
    }
}

/// Names the operation and its key, and only tells how long the values are: they are nobody's business in a log.
impl fmt::Debug for Command {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Set { key, value } => write!(f, "set({}, {} bytes)", Shown(key), value.len()),
            Self::Delete { key } => write!(f, "delete({})", Shown(key)),
            Self::CompareAndSet { key, expected, new } => {
                let (expected, new) = (OptionalLength(expected), OptionalLength(new));
                write!(f, "compare_and_set({}, {expected}, {new})", Shown(key))
            }
            Self::SeqAppend { key, count, value } => {
                write!(
                    f,
                    "seq_append({}, {count}, {} bytes)",
                    Shown(key),
                    value.len()
                )
            }
            Self::Append { key, value } => {
                write!(f, "append({}, {} bytes)", Shown(key), value.len())
            }
        }
    }
}

struct OptionalLength<'a>(&'a Option<Bytes>);

impl fmt::Display for OptionalLength<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.0 {
            Some(value) => write!(f, "{} bytes", value.len()),
            None => f.write_str("none"),
        }
    }
}

/// A question about one key, answered from the state of the member that asks.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Query {
    /// What is the key's value?
    Get {
        /// The key.
        key: Bytes,
    },
    /// What is in this part of the sequence?
    ReadSequence {
        /// The key of the sequence.
        key: Bytes,
        /// The place of the first value wanted; the first of all has place 0.
        from: u64,
        /// The most values wanted.
        limit: usize,
    },
}

impl Query {
    /// Checks the length of the key.
    ///
    /// # Errors
    /// When it exceeds the [`limits`](crate::limits).
    pub fn check(&self) -> Result<(), Refused> {
        match self {
            Self::Get { key } | Self::ReadSequence { key, .. } => check_key(key),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::limits::{KEY_BYTES_MAX, VALUE_BYTES_MAX};

    #[test]
    fn the_largest_command_fits_a_mebibyte_with_room_for_envelopes() {
        let value = Bytes::from(vec![0; VALUE_BYTES_MAX]);
        let largest = Command::CompareAndSet {
            key: Bytes::from(vec![0; KEY_BYTES_MAX]),
            expected: Some(value.clone()),
            new: Some(value),
        };

        let encoded = postcard::to_allocvec(&largest).expect("a command is encoded");

        assert_eq!(largest.check(), Ok(()));
        assert!(encoded.len() + 2048 <= 1 << 20, "{} bytes", encoded.len());
    }

    #[test]
    fn the_encoding_of_commands_stays_as_it_is() {
        let key = Bytes::from_static(b"k");
        let value = Bytes::from_static(b"v");
        let count = "3@300".parse().expect("a count");

        let encoded = [
            Command::Set {
                key: key.clone(),
                value: value.clone(),
            },
            Command::Delete { key: key.clone() },
            Command::CompareAndSet {
                key: key.clone(),
                expected: None,
                new: Some(value.clone()),
            },
            Command::SeqAppend {
                key: key.clone(),
                count,
                value: value.clone(),
            },
            Command::Append { key, value },
        ]
        .map(|command| postcard::to_allocvec(&command).expect("a command is encoded"));

        assert_eq!(
            encoded,
            [
                b"\x00\x01k\x01v".to_vec(),
                b"\x01\x01k".to_vec(),
                b"\x02\x01k\x00\x01\x01v".to_vec(),
                b"\x03\x01k\xac\x02\x03\x01v".to_vec(),
                b"\x04\x01k\x01v".to_vec(),
            ]
        );
    }

    #[test]
    fn a_command_shown_for_debugging_keeps_its_values_to_itself() {
        let command = Command::Set {
            key: "name".into(),
            value: "secret".into(),
        };

        assert_eq!(format!("{command:?}"), "set(name, 6 bytes)");
    }
}
