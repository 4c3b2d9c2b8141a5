//! What a cluster is asked to do.

use core::fmt;
use core::time::Duration;

use bytes::Bytes;
use serde::{Deserialize, Serialize};

use crate::count::Count;
use crate::entry::LeaseId;
use crate::error::{Length, Refused, Shown};
use crate::keys::Keys;
use crate::leases::check_ttl;
use crate::limits::{check_key, check_key_and_values};
use crate::step::Step;
use crate::txn::{Txn, check_steps};

/// A change, replicated to every member.
///
/// Most applications use the methods of [`KvHandle`](crate::KvHandle), which make these.
///
/// The variants are encoded by their position and the fields in their order: the encoding is stored in logs, so
/// variants are only ever added at the end.
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
    /// Does several steps together or not at all.
    Txn(Txn),
    /// Does several steps in one entry, each for itself: one that is refused does not hold up the others.
    Batch(Vec<Step>),
    /// Grants a lease.
    GrantLease {
        /// How long it lives without being kept alive, in milliseconds of cluster time.
        ttl_ms: u64,
    },
    /// Lets a lease live for its whole time from here on.
    KeepAlive {
        /// The lease.
        lease: LeaseId,
    },
    /// Ends a lease and deletes its keys.
    RevokeLease {
        /// The lease.
        lease: LeaseId,
    },
    /// Drops the first values of a sequence.
    TrimBefore {
        /// The key of the sequence.
        key: Bytes,
        /// The values that it counts are dropped.
        count: Count,
    },
    /// Removes keys and what they hold, up to a bound.
    DeleteKeys(Keys),
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
            | Self::Append { key, value } => check_key_and_values(key, [value]),
            Self::Delete { key } | Self::TrimBefore { key, .. } => check_key(key),
            Self::CompareAndSet { key, expected, new } => {
                check_key_and_values(key, expected.iter().chain(new))
            }
            Self::Txn(txn) => txn.check(),
            Self::Batch(steps) => {
                check_steps(steps.len(), steps.iter().map(Step::bytes))?;
                steps.iter().try_for_each(Step::check)
            }
            Self::GrantLease { ttl_ms } => check_ttl(Duration::from_millis(*ttl_ms)),
            Self::DeleteKeys(keys) => keys.check(),
            Self::KeepAlive { .. } | Self::RevokeLease { .. } => Ok(()),
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
                let (expected, new) = (Length(expected), Length(new));
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
            Self::Txn(Txn {
                compare,
                then,
                otherwise,
            }) => write!(f, "txn({compare:?}, {then:?}, {otherwise:?})"),
            Self::Batch(steps) => write!(f, "batch({steps:?})"),
            Self::GrantLease { ttl_ms } => write!(f, "grant_lease({ttl_ms} ms)"),
            Self::KeepAlive { lease } => write!(f, "keep_alive({lease})"),
            Self::RevokeLease { lease } => write!(f, "revoke_lease({lease})"),
            Self::TrimBefore { key, count } => write!(f, "trim_before({}, {count})", Shown(key)),
            Self::DeleteKeys(keys) => write!(f, "delete_keys({keys})"),
        }
    }
}

#[cfg(test)]
mod tests {
    use core::num::NonZeroU64;

    use super::*;
    use crate::limits::{KEY_BYTES_MAX, STEPS_BYTES_MAX, STEPS_MAX, VALUE_BYTES_MAX};
    use crate::revision::Revision;
    use crate::scan::Scan;
    use crate::txn::Compare;

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
    fn the_largest_transaction_fits_as_well() {
        let bytes = STEPS_BYTES_MAX / STEPS_MAX;
        let key = || Bytes::from(vec![0; KEY_BYTES_MAX]);
        let step = || Step::SeqAppend {
            key: key(),
            count: Count::new(u64::MAX, u64::MAX),
            value: Bytes::from(vec![0; bytes - KEY_BYTES_MAX]),
        };
        let largest = Command::Txn(Txn::always().then((0..STEPS_MAX).map(|_| step())));

        let encoded = postcard::to_allocvec(&largest).expect("a command is encoded");

        assert_eq!(largest.check(), Ok(()));
        assert!(encoded.len() + 2048 <= 1 << 20, "{} bytes", encoded.len());
    }

    #[test]
    fn the_encoding_of_commands_stays_as_it_is() {
        let key = Bytes::from_static(b"k");
        let value = Bytes::from_static(b"v");
        let count = "3@300".parse().expect("a count");
        let lease = LeaseId(NonZeroU64::MIN.saturating_add(2));

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
            Command::Append {
                key: key.clone(),
                value: value.clone(),
            },
            Command::Txn(
                Txn::when([Compare::value("k", "v")])
                    .then([Step::set("k", "v"), Step::get("k")])
                    .otherwise([Step::scan(
                        Scan::of(Keys::prefix("k")).limit(9).at(Revision(7)),
                    )]),
            ),
            Command::Batch(vec![Step::append(key, value)]),
            Command::GrantLease { ttl_ms: 300 },
            Command::KeepAlive { lease },
            Command::RevokeLease { lease },
            Command::TrimBefore {
                key: Bytes::from_static(b"k"),
                count,
            },
            Command::DeleteKeys(Keys::range("a", "b")),
            Command::Batch(vec![
                Step::trim_before("k", count),
                Step::delete_keys(Keys::prefix("k")),
            ]),
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
                b"\x05\x01\x01k\x00\x01v\x02\x01\x01k\x01v\x00\x00\x01k\x01\x06\x01\x01k\x00\x01\x09\x01\x07\x00".to_vec(),
                b"\x06\x01\x05\x01k\x01v".to_vec(),
                b"\x07\xac\x02".to_vec(),
                b"\x08\x03".to_vec(),
                b"\x09\x03".to_vec(),
                b"\x0a\x01k\xac\x02\x03".to_vec(),
                b"\x0b\x02\x01a\x01\x01b".to_vec(),
                b"\x06\x02\x07\x01k\xac\x02\x03\x08\x01\x01k".to_vec(),
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
