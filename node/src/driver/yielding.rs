//! Letting other tasks run.

use std::future::poll_fn;
use std::task::Poll;

/// Lets the tasks that are ready run first.
pub(super) async fn yield_now() {
    let mut yielded = false;
    poll_fn(|context| {
        if yielded {
            return Poll::Ready(());
        }
        yielded = true;
        context.waker().wake_by_ref();
        Poll::Pending
    })
    .await;
}
