//! Deadlines, so that a story that waits for what never comes fails instead of hanging.

use std::future::Future;
use std::io::Write;
use std::panic::Location;
use std::sync::mpsc::{RecvTimeoutError, SyncSender, sync_channel};
use std::time::Duration;

/// How long a story waits for anything, by the paused clock: longer than any election, and passed in less than a
/// second.
const PATIENCE: Duration = Duration::from_secs(60);

/// How long a story may take by a real clock. The paused one stands still while a task is busy: where one spins,
/// [`PATIENCE`] never ends.
const STORY_MAX: Duration = Duration::from_secs(30);

/// Waits for what must happen, and fails where it was asked if it does not.
#[track_caller]
pub(crate) fn soon<T>(wanted: impl Future<Output = T>) -> impl Future<Output = T> {
    let asked = Location::caller();
    async move {
        let outcome = tokio::time::timeout(PATIENCE, wanted).await;
        outcome.unwrap_or_else(|_| panic!("{asked}: nothing happens within {PATIENCE:?}"))
    }
}

/// Ends the program if the story that holds it takes too long: nothing else can stop a thread that is busy.
#[allow(dead_code, reason = "each test uses its part")]
pub(crate) struct Watchdog {
    _story: SyncSender<()>,
}

#[allow(dead_code, reason = "each test uses its part")]
impl Watchdog {
    pub(crate) fn begin() -> Self {
        let (story, over) = sync_channel(0);
        let name = std::thread::current().name().map(str::to_owned);
        std::thread::spawn(move || {
            if over.recv_timeout(STORY_MAX) == Err(RecvTimeoutError::Timeout) {
                // Printed past the harness, which keeps what the threads of a test print until the test has ended.
                let told = writeln!(
                    std::io::stderr(),
                    "{name:?} does not end within {STORY_MAX:?}"
                );
                drop(told);
                std::process::exit(101);
            }
        });
        Self { _story: story }
    }
}
