//! Fills files up to whole pages, and tells padding from what was written.

use crate::storage::records::record::{Flaw, broken};

/// Files are written in pages of this many bytes, so that no write touches a page that an earlier one has made durable.
pub(super) const PAGE_BYTES: usize = 4096;

/// Fills the last page up with zeros.
pub(super) fn pad(buffer: &mut Vec<u8>) {
    buffer.resize(buffer.len().next_multiple_of(PAGE_BYTES), 0);
}

/// Refuses what should be padding and is not.
pub(super) fn expect_zeros(bytes: &[u8]) -> Result<(), Flaw> {
    if is_zero(bytes) {
        Ok(())
    } else {
        Err(broken("there is something in the padding"))
    }
}

/// Returns true if all bytes are zero.
pub(super) fn is_zero(bytes: &[u8]) -> bool {
    const ZEROS: [u8; PAGE_BYTES] = [0; PAGE_BYTES];
    bytes
        .chunks(PAGE_BYTES)
        .all(|piece| *piece == ZEROS[..piece.len()])
}
