//! Natively: tokio's clock, timers and tasks.

use std::future::Future;
use std::sync::OnceLock;
use std::time::{Duration, Instant};

use crate::suspension;

/// What the clock shows at the origin.
///
/// The origin is the real time of the first question. A paused clock that was stopped before stands behind it: this is
/// how far it may stand behind without reading negative, which is longer than such a process lives.
const HEADROOM: Duration = Duration::from_secs(365 * 24 * 60 * 60);

pub(crate) fn now() -> Duration {
    // From the system's clock, never from tokio's: a paused runtime may be the first to ask, and its clock may have
    // been moved to any time.
    static ORIGIN: OnceLock<Instant> = OnceLock::new();
    let origin = *ORIGIN.get_or_init(Instant::now);
    let instant = tokio::time::Instant::now().into_std();
    let awake = match instant.checked_duration_since(origin) {
        Some(after) => HEADROOM.saturating_add(after),
        None => HEADROOM.saturating_sub(origin.duration_since(instant)),
    };
    awake.saturating_add(suspension::total())
}

pub(crate) const fn suspension_uncounted_max() -> Option<Duration> {
    suspension::uncounted_max()
}

pub(crate) async fn sleep(wait: Duration) {
    tokio::time::sleep(wait).await;
}

pub(crate) fn spawn(future: impl Future<Output = ()> + Send + 'static) {
    tokio::spawn(future);
}
