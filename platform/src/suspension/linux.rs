//! Linux and Android: `CLOCK_BOOTTIME` counts suspended time, `CLOCK_MONOTONIC` does not.

use std::time::Duration;

use rustix::time::{ClockId, Timespec, clock_gettime};

pub(super) const COUNTS: bool = true;

/// The time since boot, suspended time included.
pub(super) fn boottime() -> Duration {
    duration(clock_gettime(ClockId::Boottime))
}

/// How long the machine has been suspended since boot.
pub(super) fn since_boot() -> Duration {
    // In this order a pause between the readings makes the distance too small, which corrects itself, and never too
    // great, which could not be taken back.
    let boottime = clock_gettime(ClockId::Boottime);
    let monotonic = clock_gettime(ClockId::Monotonic);
    duration(boottime).saturating_sub(duration(monotonic))
}

fn duration(time: Timespec) -> Duration {
    // Both clocks count up from zero, so the fallback is never taken.
    Duration::try_from(time).unwrap_or_default()
}
