//! In browsers and Node: `performance.now()`, `setTimeout` and the microtask queue.

use std::future::Future;
use std::sync::OnceLock;
use std::time::Duration;

use futures::FutureExt;
use futures::channel::oneshot;
use gloo_timers::future::TimeoutFuture;
use web_time::{Instant, SystemTime};

/// The longest wait that `setTimeout` understands, in milliseconds: it takes a signed 32-bit number.
const TIMEOUT_MAX: u32 = i32::MAX.unsigned_abs();

pub(crate) fn now() -> Duration {
    static ORIGIN: OnceLock<Instant> = OnceLock::new();
    ORIGIN.get_or_init(Instant::now).elapsed()
}

pub(crate) fn since_unix_epoch() -> Duration {
    let elapsed = SystemTime::UNIX_EPOCH.elapsed();
    elapsed.unwrap_or_default()
}

/// Browsers differ in what `performance.now()` counts, and none promises to count all.
pub(crate) const fn suspension_uncounted_max() -> Option<Duration> {
    None
}

/// Waits for `wait`, or for as long as one timeout can.
///
/// The timeout is an object of JavaScript's and not `Send`: it lives in a task of its own, which ends when the waiting
/// future is dropped.
pub(crate) async fn sleep(wait: Duration) {
    let milliseconds = wait.as_nanos().div_ceil(1_000_000);
    let milliseconds = u32::try_from(milliseconds).map_or(TIMEOUT_MAX, |ms| ms.min(TIMEOUT_MAX));
    let (mut elapsed, waiting) = oneshot::channel::<()>();
    wasm_bindgen_futures::spawn_local(async move {
        let dropped = futures::select_biased! {
            () = elapsed.cancellation().fuse() => true,
            () = TimeoutFuture::new(milliseconds).fuse() => false,
        };
        if !dropped {
            // Nobody waits any more if this is refused.
            let _unheard = elapsed.send(());
        }
    });
    // The sender is dropped only when it has been used or when nobody waits: either way the wait is over.
    let _over = waiting.await;
}

pub(crate) fn spawn(future: impl Future<Output = ()> + Send + 'static) {
    wasm_bindgen_futures::spawn_local(future);
}

/// How long steps of a computation are made before events are handled.
const STRETCH: Duration = Duration::from_millis(8);

pub(crate) async fn compute<T: Send + 'static>(
    mut step: impl FnMut() -> Option<T> + Send + 'static,
) -> T {
    loop {
        // Even for no time a timeout lets the browser handle what has arrived; a woken task would only let others of
        // ours run.
        sleep(Duration::ZERO).await;
        let began = now();
        while now().saturating_sub(began) < STRETCH {
            if let Some(result) = step() {
                return result;
            }
        }
    }
}
