//! Natively: tokio's clock, timers and tasks.

use std::future::Future;
use std::sync::OnceLock;
use std::time::{Duration, Instant, SystemTime};

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
    awake.saturating_add(suspension::total(awake))
}

pub(crate) fn since_unix_epoch() -> Duration {
    let elapsed = SystemTime::UNIX_EPOCH.elapsed();
    elapsed.unwrap_or_default()
}

pub(crate) const fn suspension_uncounted_max() -> Option<Duration> {
    suspension::uncounted_max()
}

pub(crate) async fn sleep(wait: Duration) {
    tokio::time::sleep(wait).await;
}

/// Tokio has timers of its own.
pub(crate) fn wake_by(_alarm: impl Fn(Option<u32>) + 'static) {}

pub(crate) fn rung() {}

pub(crate) fn spawn(future: impl Future<Output = ()> + Send + 'static) {
    tokio::spawn(future);
}

pub(crate) fn end_tasks() {}

/// Tokio's tasks hold up none of what a thread waits for.
pub(crate) async fn breathe() {}

/// How long steps of a computation are made before it rests: less than a core gives a thread at once, so that those who
/// wait for the core are not held up.
const STRETCH: Duration = Duration::from_micros(250);

/// How many times as long it rests as it has worked: it takes a quarter of a core.
const REST: u32 = 3;

pub(crate) async fn compute<T: Send + 'static>(
    mut step: impl FnMut() -> Option<T> + Send + 'static,
) -> T {
    let work = move || {
        let mut began = Instant::now();
        loop {
            if let Some(result) = step() {
                return result;
            }
            let worked = began.elapsed();
            if worked >= STRETCH {
                std::thread::sleep(worked * REST);
                began = Instant::now();
            }
        }
    };
    match tokio::task::spawn_blocking(work).await {
        Ok(result) => result,
        Err(error) => match error.try_into_panic() {
            Ok(panic) => std::panic::resume_unwind(panic),
            // The runtime ends, and this task with it.
            Err(_cancelled) => std::future::pending().await,
        },
    }
}
