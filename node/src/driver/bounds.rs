//! Bounds what waits in a member: errors tell callers these numbers.

use crate::sessions::OUTSTANDING_MAX;
use crate::wire::COMMANDS_MAX;

/// The most requests that wait to be taken up by the member's task.
pub(super) const QUEUE_MAX: usize = 1 << 13;

/// The most bytes of commands that callers wait for, in the queue or pending.
pub(super) const COMMAND_BYTES_PENDING_MAX: usize = 64 << 20;

/// The most commands of this member that may be pending. It keeps them within the window of their session.
pub(super) const COMMANDS_PENDING_MAX: usize = 1 << 14;
const _: () = assert!(COMMANDS_PENDING_MAX as u64 <= OUTSTANDING_MAX);
// All that are pending, and a registration, may be forwarded in one frame.
const _: () = assert!(COMMANDS_PENDING_MAX < COMMANDS_MAX);

/// The most operations of this member that may be pending.
pub(super) const OPERATIONS_PENDING_MAX: usize = 64;

/// The most batches of queries that wait: each local read is one, and no more of them can wait for the driver.
pub(super) const QUERIES_MAX: usize = QUEUE_MAX;

/// The most reads in those batches. More are refused as busy: a state machine that hangs answers none of them.
pub(super) const READS_HANDED_OUT_MAX: usize = 1 << 16;

/// The most commands in one lane. What waits beyond that waits in the outbox.
pub(super) const LANE_COMMANDS_MAX: usize = 1024;
