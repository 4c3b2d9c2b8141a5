//! In browsers and Node: `performance.now()`, timers behind one alarm, messages to itself, and the microtask queue.

mod alarm;
mod port;
mod timers;

use std::cell::Cell;
use std::future::{Future, poll_fn};
use std::pin::pin;
use std::sync::OnceLock;
use std::task::Poll;
use std::time::Duration;

use web_time::{Instant, SystemTime};

pub(crate) use port::breathe;
pub(crate) use timers::{rung, sleep, wake_by};

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

thread_local! {
    static HAVE_TASKS_ENDED: Cell<bool> = const { Cell::new(false) };
}

pub(crate) fn spawn(future: impl Future<Output = ()> + Send + 'static) {
    wasm_bindgen_futures::spawn_local(async move {
        let mut future = pin!(future);
        poll_fn(|context| match HAVE_TASKS_ENDED.get() {
            false => future.as_mut().poll(context),
            true => Poll::Pending,
        })
        .await;
    });
}

pub(crate) fn end_tasks() {
    HAVE_TASKS_ENDED.set(true);
}

pub(crate) async fn compute<T: Send + 'static>(
    mut step: impl FnMut() -> Option<T> + Send + 'static,
) -> T {
    loop {
        // A woken task would only let others of ours run.
        port::turn().await;
        let began = now();
        while now().saturating_sub(began) < port::STRETCH {
            if let Some(result) = step() {
                return result;
            }
        }
    }
}
