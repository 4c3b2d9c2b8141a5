//! Keeps what is known of a server that wants to be taken in.

use crate::consensus::Addition;
use crate::time::Instant;

/// Within this part of a heartbeat interval those who ask to join are gathered, to be taken in together.
pub(super) const GATHERINGS_PER_HEARTBEAT: u32 = 8;

/// A server that wants to be taken in.
#[derive(Clone, Debug)]
pub(super) struct Joiner {
    pub(super) addition: Addition,
    pub(super) first_asked_at: Instant,
    pub(super) asked_at: Instant,
}
