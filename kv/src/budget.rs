//! How much a store may hold.

use crate::error::Refused;

/// What may be used, and what is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Budget {
    used: u64,
    max: u64,
}

impl Budget {
    pub(crate) const fn of(max: u64) -> Self {
        Self { used: 0, max }
    }

    pub(crate) const fn used(&self) -> u64 {
        self.used
    }

    /// Takes back `released` bytes and uses `taken` others. What does not grow always fits.
    pub(crate) fn exchange(&mut self, released: u64, taken: u64) -> Result<(), Refused> {
        let used = self.used - released + taken;
        if used > self.max && taken > released {
            return Err(Refused::StoreFull);
        }
        self.used = used;
        Ok(())
    }

    pub(crate) const fn release(&mut self, bytes: u64) {
        self.used -= bytes;
    }
}
