//! Panics of the state machine, caught so that the member can say what happened.

use std::any::Any;
use std::panic::AssertUnwindSafe;

use futures::FutureExt;

/// Runs what calls the state machine.
///
/// # Errors
/// What it said when it panicked. What it was working on must not be used again.
pub(super) async fn caught<T>(work: impl Future<Output = T>) -> Result<T, String> {
    AssertUnwindSafe(work)
        .catch_unwind()
        .await
        .map_err(|panic| format!("it panicked: {}", message(&*panic)))
}

fn message(panic: &(dyn Any + Send)) -> &str {
    if let Some(message) = panic.downcast_ref::<&str>() {
        message
    } else if let Some(message) = panic.downcast_ref::<String>() {
        message
    } else {
        "without a word"
    }
}

#[cfg(test)]
mod tests {
    use futures::executor::block_on;

    use super::*;

    #[test]
    fn what_does_not_panic_comes_back() {
        assert_eq!(block_on(caught(async { 7 })), Ok(7));
    }

    #[test]
    fn a_panic_is_told_by_its_message() {
        let literal = block_on(caught(async { panic!("one too many") }));
        let number = 2;
        let formatted = block_on(caught(async { panic!("{number} too many") }));

        let told = |message: &str| Err::<(), _>(format!("it panicked: {message}"));
        assert_eq!(literal, told("one too many"));
        assert_eq!(formatted, told("2 too many"));
    }
}
