//! Systems that do not tell, or whose monotonic clock counts suspended time by itself.

use std::time::Duration;

pub(super) const COUNTS: bool = false;

/// The time since boot, suspended time included: not known.
pub(super) fn boottime() -> Duration {
    Duration::ZERO
}

/// How long the machine has been suspended since boot: not known.
pub(super) fn since_boot() -> Duration {
    Duration::ZERO
}
