//! The bounds of keys, values, sequences, transactions, the history and the whole store.
//!
//! They are checked by the handle, so that a mistake costs no round trip, and again in `apply`, which trusts nobody.
//! They decide what a command does, so they are part of the replicated behaviour: members of one cluster must agree on
//! them.

use core::time::Duration;

use bytes::Bytes;

use crate::error::Refused;

/// The longest key, in bytes. The shortest is one byte.
pub const KEY_BYTES_MAX: usize = 1 << 10;

/// The longest value, alone or in a sequence, in bytes: 510 KiB.
///
/// The largest command carries a key and two values (`compare_and_set`). It fits the default bound of a command, 1 MiB,
/// and leaves 3 KiB to the envelopes around it.
pub const VALUE_BYTES_MAX: usize = 510 << 10;

/// The most values in one sequence at a time. Those that are trimmed do not count.
pub const SEQUENCE_VALUES_MAX: u64 = 1 << 20;

/// The most that one sequence may weigh: the bytes of its values and [`SEQUENCE_VALUE_OVERHEAD_BYTES`] for each.
pub const SEQUENCE_BYTES_MAX: u64 = 256 << 20;

/// The most that all keys, values and sequences may weigh together: 512 MiB. A snapshot of them takes no more than
/// that, and leaves the other half of the default bound of a snapshot, 1 GiB, to the history and to the sessions that
/// are stored beside them, whose replies take 256 MiB at most.
pub const STORE_BYTES_MAX: u64 = 512 << 20;

/// What each key is taken to weigh beside its bytes and its content, so that bounds in bytes also bound counts.
pub const KEY_OVERHEAD_BYTES: u64 = 64;

/// What each value in a sequence is taken to weigh beside its bytes.
pub const SEQUENCE_VALUE_OVERHEAD_BYTES: u64 = 16;

/// The most conditions and steps in one transaction, or steps in one batch.
pub const STEPS_MAX: usize = 128;

/// The most bytes of keys and values in one transaction or batch. With what its steps take beside them it fits the
/// default bound of a command, 1 MiB.
pub const STEPS_BYTES_MAX: usize = 1000 << 10;

/// The most bytes of what the steps of one transaction or batch read, which is kept with the session of whoever asked
/// until the answer has arrived.
pub const STEPS_READ_BYTES_MAX: u64 = 1 << 20;

/// The most keys that one command deletes by prefix or range.
pub const DELETE_KEYS_MAX: usize = 1 << 10;

/// The most that the keys weigh which one command deletes by prefix or range, as counted against [`STORE_BYTES_MAX`];
/// or one key, whatever it weighs.
pub const DELETE_BYTES_MAX: u64 = 1 << 20;

/// The most changes that the history keeps. Older ones are compacted, by whole revisions.
pub const HISTORY_CHANGES_MAX: usize = 1 << 14;

/// The most that the history weighs: the bytes of keys and values, those before a change included, and
/// [`CHANGE_OVERHEAD_BYTES`] for each change. It is part of each snapshot.
pub const HISTORY_BYTES_MAX: u64 = 8 << 20;

/// The most that the changes weigh which a [`ClientWatch`](crate::ClientWatch) is told at once: 512 KiB, or one
/// revision.
pub const CHANGES_BYTES_MAX: u64 = 512 << 10;

/// What each change in the history is taken to weigh beside its bytes.
pub const CHANGE_OVERHEAD_BYTES: u64 = 128;

/// The most leases at a time.
pub const LEASES_MAX: usize = 1 << 16;

/// The shortest time to live of a lease. Expiry has the precision of cluster time, milliseconds, but a lease has to
/// outlive the round trips that keep it alive.
pub const LEASE_TTL_MIN: Duration = Duration::from_millis(100);

/// The longest time to live of a lease: thirty days.
pub const LEASE_TTL_MAX: Duration = Duration::from_secs(30 * 86_400);

/// The most watches on one member at a time.
pub const WATCHES_MAX: usize = 1 << 14;

/// The most revisions that wait for one watcher. A watcher that is slower is served from the history.
pub const WATCH_QUEUE_MAX: usize = 256;

/// The most bytes of changes that wait for one watcher, or one revision if that alone weighs more. They are shared
/// among watchers.
pub const WATCH_QUEUE_BYTES_MAX: u64 = 1 << 20;

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

/// Checks a key and the values that come with it.
pub(crate) fn check_key_and_values<'a>(
    key: &[u8],
    values: impl IntoIterator<Item = &'a Bytes>,
) -> Result<(), Refused> {
    check_key(key)?;
    values.into_iter().try_for_each(|value| check_value(value))
}

/// The bounds of what a store holds. One store has one set of them for life.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct StoreLimits {
    pub(crate) sequence_values_max: u64,
    pub(crate) sequence_bytes_max: u64,
    pub(crate) store_bytes_max: u64,
    pub(crate) history_changes_max: usize,
    pub(crate) history_bytes_max: u64,
}

impl Default for StoreLimits {
    fn default() -> Self {
        Self {
            sequence_values_max: SEQUENCE_VALUES_MAX,
            sequence_bytes_max: SEQUENCE_BYTES_MAX,
            store_bytes_max: STORE_BYTES_MAX,
            history_changes_max: HISTORY_CHANGES_MAX,
            history_bytes_max: HISTORY_BYTES_MAX,
        }
    }
}
