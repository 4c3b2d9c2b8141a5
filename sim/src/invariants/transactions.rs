//! A transaction over several keys happens whole or not at all, whoever looks (plan 2.1 no. 13): some keys have a
//! mirror, which only transactions write, together with the key.

use liferaft_kv::{Entry, Page};

use super::{Verdict, demand};
use crate::operation::mirror_bytes;

/// A key and its mirror are read together.
///
/// # Errors
/// When they differ, or were not changed at the same revision.
pub fn mirrored(key: u8, page: &Page) -> Verdict {
    let mirror = mirror_bytes(key);
    let told = |entry: &Entry| (entry.value().cloned(), entry.meta);
    let find = |wanted: &[u8]| page.entries.iter().find(|entry| entry.key == wanted);
    let (one, other) = (find(&[key]).map(told), find(&mirror).map(told));
    demand!(
        one == other,
        "a transaction is half done: key {key} has {one:?}, its mirror {other:?}"
    );
    Ok(())
}
