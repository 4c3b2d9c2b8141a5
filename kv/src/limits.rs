//! The bounds of keys, values, sequences and the whole store.
//!
//! They are checked by the handle, so that a mistake costs no round trip, and again in `apply`, which trusts nobody. They
//! decide what a command does, so they are part of the replicated behaviour: members of one cluster must agree on them.

use crate::error::Refused;

/// The longest key, in bytes. The shortest is one byte.
pub const KEY_BYTES_MAX: usize = 1 << 10;

/// The longest value, alone or in a sequence, in bytes: 510 KiB.
///
/// The largest command carries a key and two values (`compare_and_set`). It fits the default bound of a command, 1 MiB,
/// and leaves 3 KiB to the envelopes around it.
pub const VALUE_BYTES_MAX: usize = 510 << 10;

/// The most values in one sequence.
pub const SEQUENCE_VALUES_MAX: u64 = 1 << 20;

/// The most that one sequence may weigh: the bytes of its values and [`SEQUENCE_VALUE_OVERHEAD_BYTES`] for each.
pub const SEQUENCE_BYTES_MAX: u64 = 256 << 20;

/// The most that all keys, values and sequences may weigh together: 512 MiB. A snapshot of them takes no more than that, and
/// leaves the other half of the default bound of a snapshot, 1 GiB, to the sessions that are stored beside them.
pub const STORE_BYTES_MAX: u64 = 512 << 20;

/// What each key is taken to weigh beside its bytes and its content, so that bounds in bytes also bound counts.
pub const KEY_OVERHEAD_BYTES: u64 = 32;

/// What each value in a sequence is taken to weigh beside its bytes.
pub const SEQUENCE_VALUE_OVERHEAD_BYTES: u64 = 16;

/// Checks a key.
///
/// # Errors
/// [`Refused::KeyEmpty`] and [`Refused::KeyTooLong`].
pub fn check_key(key: &[u8]) -> Result<(), Refused> {
    match key.len() {
        0 => Err(Refused::KeyEmpty),
        1..=KEY_BYTES_MAX => Ok(()),
        bytes => Err(Refused::KeyTooLong {
            bytes: bytes as u64,
        }),
    }
}

/// Checks a value.
///
/// # Errors
/// [`Refused::ValueTooLong`].
pub fn check_value(value: &[u8]) -> Result<(), Refused> {
    match value.len() {
        0..=VALUE_BYTES_MAX => Ok(()),
        bytes => Err(Refused::ValueTooLong {
            bytes: bytes as u64,
        }),
    }
}

/// The bounds of what a store holds. One store has one set of them for life.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct StoreLimits {
    pub(crate) sequence_values_max: u64,
    pub(crate) sequence_bytes_max: u64,
    pub(crate) store_bytes_max: u64,
}

impl Default for StoreLimits {
    fn default() -> Self {
        Self {
            sequence_values_max: SEQUENCE_VALUES_MAX,
            sequence_bytes_max: SEQUENCE_BYTES_MAX,
            store_bytes_max: STORE_BYTES_MAX,
        }
    }
}
