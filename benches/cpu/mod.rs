//! What a benchmark costs in CPU time.

use std::fs;
use std::time::Duration;

/// The CPU time that this process has taken so far, from the kernel's counters of its threads; `None` where there are
/// none.
pub(crate) fn time() -> Option<Duration> {
    let mut total = Duration::ZERO;
    for thread in fs::read_dir("/proc/self/task").ok()? {
        let counters = fs::read_to_string(thread.ok()?.path().join("schedstat")).ok()?;
        let nanoseconds = counters.split_whitespace().next()?.parse().ok()?;
        total += Duration::from_nanos(nanoseconds);
    }
    Some(total)
}
