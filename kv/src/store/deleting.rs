//! Deleting many keys at once, by prefix or range.

use bytes::Bytes;
use liferaft_raft::consensus::planted::{Bug, is_planted};

use super::{Store, weight};
use crate::error::Refused;
use crate::keys::Keys;
use crate::limits::{DELETE_BYTES_MAX, DELETE_KEYS_MAX};
use crate::reply::DeleteKeys;

/// What one command has deleted by prefix or range: its bound is that of its work, and of what it adds to the history.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Deleted {
    keys: usize,
    bytes: u64,
}

impl Deleted {
    /// Counts one more key, if there is room for it.
    fn admit(&mut self, bytes: u64) -> bool {
        let total = self.bytes + bytes;
        let fits = self.keys == 0 || (self.keys < DELETE_KEYS_MAX && total <= DELETE_BYTES_MAX);
        if fits {
            self.keys += 1;
            self.bytes = total;
        }
        fits
    }
}

impl Store {
    /// Removes the first of these keys, in their order, as many as one command may.
    pub(crate) fn delete_keys(&mut self, keys: &Keys) -> DeleteKeys {
        let (some, more) = self.select(keys, &mut Deleted::default());
        DeleteKeys {
            deleted: self.delete_all(&some),
            more,
        }
    }

    /// Removes all of these keys, or none if that is more than is left to the command.
    pub(super) fn delete_all_keys(
        &mut self,
        keys: &Keys,
        deleted: &mut Deleted,
    ) -> Result<u64, Refused> {
        let mut with_these = *deleted;
        match self.select(keys, &mut with_these) {
            (_, true) => Err(Refused::TooMuchDeleted),
            (all, false) => {
                *deleted = with_these;
                Ok(self.delete_all(&all))
            }
        }
    }

    /// The first of these keys for which there is room, and whether there are more.
    fn select(&self, keys: &Keys, deleted: &mut Deleted) -> (Vec<Bytes>, bool) {
        let mut selected = Vec::new();
        let Some(bounds) = keys.bounds() else {
            return (selected, false);
        };
        for (key, record) in self.records.range::<_, Bytes>(bounds) {
            if !deleted.admit(weight(key, record)) {
                return (selected, true);
            }
            selected.push(key.clone());
        }
        (selected, false)
    }

    fn delete_all(&mut self, keys: &[Bytes]) -> u64 {
        let left = usize::from(is_planted(Bug::DeleteKeysLeavesLast));
        for key in &keys[..keys.len().saturating_sub(left)] {
            self.delete(key);
        }
        keys.len() as u64
    }
}
