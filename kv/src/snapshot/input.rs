//! Reading bytes that may be anything.

use bytes::Bytes;
use liferaft_raft::state_machine::RestoreError;

use crate::limits::check_value;

/// What is still to be read.
pub(super) struct Input<'a> {
    pub(super) rest: &'a [u8],
    /// Whether more was wanted than there is.
    pub(super) ended_early: bool,
}

impl<'a> Input<'a> {
    pub(super) const fn of(bytes: &'a [u8]) -> Self {
        Self {
            rest: bytes,
            ended_early: false,
        }
    }

    pub(super) fn byte(&mut self) -> Result<u8, RestoreError> {
        let Some((first, rest)) = self.rest.split_first() else {
            return Err(self.ends_early());
        };
        self.rest = rest;
        Ok(*first)
    }

    pub(super) fn number(&mut self) -> Result<u64, RestoreError> {
        let mut number = 0;
        for shift in (0..u64::BITS).step_by(7) {
            let byte = self.byte()?;
            let bits = u64::from(byte & 0x7f);
            if bits << shift >> shift != bits {
                return Err(RestoreError::new("a number of more than 64 bits"));
            }
            number |= bits << shift;
            if byte & 0x80 == 0 {
                let is_shortest = byte != 0 || shift == 0;
                return is_shortest
                    .then_some(number)
                    .ok_or_else(|| RestoreError::new("a padded number"));
            }
        }
        Err(RestoreError::new("a number of more than 64 bits"))
    }

    pub(super) fn bytes(&mut self) -> Result<&'a [u8], RestoreError> {
        let len = usize::try_from(self.number()?).map_err(RestoreError::new)?;
        let Some((bytes, rest)) = self.rest.split_at_checked(len) else {
            return Err(self.ends_early());
        };
        self.rest = rest;
        Ok(bytes)
    }

    /// A value in memory of its own: a slice of the snapshot would keep all of it alive.
    pub(super) fn value(&mut self) -> Result<Bytes, RestoreError> {
        let value = self.bytes()?;
        check_value(value).map_err(RestoreError::new)?;
        Ok(Bytes::copy_from_slice(value))
    }

    fn ends_early(&mut self) -> RestoreError {
        self.ended_early = true;
        RestoreError::new("it ends too early")
    }
}
